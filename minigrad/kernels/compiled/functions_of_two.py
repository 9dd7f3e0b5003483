"""float32 functions of two numbers that LLVM can inline and vectorise, as those of functions.py.

A quotient is taken in float64, whose 53 digits hold it and its product with a divisor of 24 exactly
up to 2²⁸. What is beyond, and infinities, come out as NaN from fmod and remainder: numpy's loop has
to serve such arrays.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiled.functions import INF, exp, f4, log1p, with_sign
from minigrad.kernels.machinery.launch import contracted, exact


@exact
def fmod(x, y):
    """x - y·trunc(x/y), with the sign of x."""
    q = np.trunc(np.float64(x) / y)
    r = with_sign(abs(f4(x - q * y)), x)
    return r if abs(q) < 268435456.0 and abs(y) < INF else f4(np.nan)


@exact
def remainder(x, y):
    """x - y·floor(x/y), with the sign of y."""
    r = fmod(x, y)
    return with_sign(r, y) if r == 0 else (r + y if (r < 0) != (y < 0) else r)


@exact
def floor_of_quotient(x, y):
    q = np.trunc(np.float64(x) / y)
    r = x - q * y
    return f4(q - 1 if r != 0 and (r < 0) != (y < 0) else q)


@exact
def hypot(x, y):
    """√(x² + y²), in float64 lest the squares overflow; inf beside a NaN is inf."""
    h = f4(np.sqrt(np.float64(x) * x + np.float64(y) * y))
    return INF if abs(x) == INF or abs(y) == INF else h


@contracted
def logaddexp(x, y):
    """log(e^x + e^y) = max + log(1 + e^-|x - y|); of equal infinities x + y."""
    top, d = max(x, y), abs(x - y)
    return top + log1p(exp(-d)) if d < INF else (top if d == INF else x + y)
