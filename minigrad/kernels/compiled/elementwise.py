"""Elementwise operations on large float32 arrays: one compiled pass each way, vectorised, threaded.

numpy computes a formula operation by operation, each a pass over memory of its own, on one thread.
Where arrays are large, the ops that are listed here run the formula of their forward, and that of
their backward, for one element at a time. In float64, on small arrays and on the numpy path the
op's own numpy formula runs; that is the one to read.

A formula is a line of the tables below. x is the input, y the result, g the gradient of the result,
p and q are the op's parameters; the functions are those of functions.py, numbers are float32. Each
becomes a C function (machinery/jobs.py) around a loop over a part of the arrays. They are written
out as text, not made by a factory, because numba keeps no closures on disk.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.compiled import functions
from minigrad.kernels.compiled.conv_tile import at, on
from minigrad.kernels.compiled.functions import (  # the words of the formulas
    erf,
    exp,
    expm1,
    f4,
    log,
    log1p,
    log2,
    log10,
    power,
    sigmoid,
    softplus,
    tanh,
)
from minigrad.kernels.machinery.arrays import Array
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import exact, ready, run
from minigrad.kernels.machinery.memory import empty

__all__ = ["PASSES", "Pass", "backward", "forward"]

CHUNK = 1 << 12  # elements of one task: its arrays fit the first cache
F32 = np.dtype(np.float32)


class Pass(NamedTuple):
    """The formulas of an op, and what they need."""

    forward: str
    backward: str
    parameters: tuple[str, ...] = ()  # the op's arguments that are p and q
    work: int = 1  # how much longer than copying an element one takes


# Constants: √½, 1/√2π, 2/√π, and selu's and gelu's own.
PASSES = {
    "exp": Pass("exp(x)", "g * y", work=2),
    "expm1": Pass("expm1(x)", "g * (y + 1)", work=2),
    "log": Pass("log(x)", "g / x", work=2),
    "log2": Pass("log2(x)", "g / (x * 0.693147181)", work=2),
    "log10": Pass("log10(x)", "g / (x * 2.30258509)", work=2),
    "log1p": Pass("log1p(x)", "g / (x + 1)", work=2),
    "sqrt": Pass("np.sqrt(x)", "g / (2 * y)"),
    "rsqrt": Pass("1 / np.sqrt(x)", "g * (-0.5 * y * y * y)"),
    "reciprocal": Pass("1 / x", "-g * y * y"),
    "square": Pass("x * x", "g * (2 * x)"),
    "neg": Pass("-x", "-g"),
    "abs": Pass("abs(x)", "g if x > 0 else (-g if x < 0 else g * x)"),
    "tanh": Pass("tanh(x)", "g * (1 - y * y)", work=2),
    "sigmoid": Pass("sigmoid(x)", "g * (y * (1 - y))", work=2),
    "erf": Pass("erf(x)", "g * (1.12837917 * exp(-x * x))", work=3),
    "leaky_relu": Pass("x if x > 0 else x * p", "g if x > 0 else g * p", ("negative_slope",)),
    "elu": Pass("x if x > 0 else p * expm1(x)", "g if x > 0 else g * (p * exp(x))", ("alpha",), 2),
    "celu": Pass(
        "x if x > 0 else p * expm1(x / p)", "g if x > 0 else g * exp(x / p)", ("alpha",), 2
    ),
    "selu": Pass(
        "1.05070099 * x if x > 0 else 1.75809932 * expm1(x)",
        "1.05070099 * g if x > 0 else g * (1.75809932 * exp(x))",
        work=2,
    ),
    "softplus": Pass(
        "x if x * p > q else softplus(x * p) / p", "g if x * p > q else g * sigmoid(x * p)",
        ("beta", "threshold"), 4,
    ),
    "logsigmoid": Pass("-softplus(-x)", "g * sigmoid(-x)", work=4),
    "silu": Pass("x * sigmoid(x)", "g * (sigmoid(x) * (1 + x * (1 - sigmoid(x))))", work=2),
    "mish": Pass(
        "x * tanh(softplus(x))",
        "g * (tanh(softplus(x)) + x * (1 - tanh(softplus(x)) * tanh(softplus(x))) * sigmoid(x))",
        work=4,
    ),
    "gelu": Pass(
        "x * (0.5 * (1 + erf(x * 0.707106781)))",
        "g * (0.5 * (1 + erf(x * 0.707106781)) + x * (0.39894228 * exp(-0.5 * x * x)))",
        work=3,
    ),
    "gelu_tanh": Pass(
        "0.5 * x * (1 + tanh(gelu_inner(x)))",
        "g * (0.5 * (1 + tanh(gelu_inner(x))) + 0.5 * x * (1 - tanh(gelu_inner(x))"
        " * tanh(gelu_inner(x))) * (0.797884561 * (1 + 0.134145 * x * x)))",
        work=3,
    ),
    "hardtanh": Pass(
        "p if x <= p else (q if x >= q else x)", "g if p < x < q else 0", ("min_val", "max_val")
    ),
    "hardsigmoid": Pass(
        "0 if x <= -3 else (1 if x >= 3 else (x + 3) / 6)", "g / 6 if -3 < x < 3 else 0"
    ),
    "hardswish": Pass(
        "0 if x <= -3 else (x if x >= 3 else x * ((x + 3) / 6))",
        "0 if x <= -3 else (g if x >= 3 else g * (x / 3 + 0.5))",
    ),
    "softsign": Pass("x / (1 + abs(x))", "g / ((1 + abs(x)) * (1 + abs(x)))"),
}  # fmt: skip

TEXT = """
def {name}(t, jobs, first):
    job = carray(jobs, 1)[0]
    start = t * CHUNK
    n = min(CHUNK, job.n - start)
    xs, ys, gs, out = part(job.x, first, start, n), part(job.y, first, start, n), part(job.g, first, start, n), carray(on(first, start), n)
    p, q = f4(job.p), f4(job.q)
    for i in range(n):
        x, y, g = xs[i], ys[i], gs[i]  # what a formula does not name is not read
        out[i] = {formula}
"""
JOB = np.dtype(
    [(name, np.int64) for name in ("n", "x", "y", "g")]
    + [(name, np.float64) for name in ("p", "q")]
    + [(f"functions_{functions.SOURCE}", np.int64)]  # inlined, so part of the cache's key
)


@exact
def part(place, like, start, n):
    """n elements from `start` on of the array at the address `place`."""
    return carray(on(at(place, like), start), n)


@exact
def gelu_inner(x):
    return f4(0.797884561) * (x + f4(0.044715) * x * x * x)


_compiled: dict[str, Any] = {}


def function(name: str, formula: str) -> Any:
    """The C function around a formula, written when it is first asked for."""
    if name not in _compiled:
        formula = re.sub(r"(?<![\w.])(\d+(\.\d*)?)", r"f4(\1)", formula)
        exec(compile(TEXT.format(name=f"pass_{name}", formula=formula), __file__, "exec"), globals())
        _compiled[name] = globals()[f"pass_{name}"]
    return _compiled[name]


def _start(name, formula, n, work, out, **given):
    job = np.zeros(1, JOB)
    for key, value in given.items():
        job[key] = value.ctypes.data if isinstance(value, np.ndarray) else value
    job["n"] = n
    addresses = address(function(name, formula), JOB, F32), job.ctypes.data, out.ctypes.data
    run(serial, parallel, -(-n // CHUNK), n * work, *addresses)


def forward(name: str, x: Array, p: float = 0.0, q: float = 0.0) -> Array:
    """The op's result for each element of x."""
    spec, x, y = PASSES[name], ready(x, F32), empty(x.shape, F32)
    _start(name, spec.forward, x.size, spec.work, y, x=x, p=p, q=q)
    return y


def backward(name: str, g: Array, x: Array, y: Array, p: float = 0.0, q: float = 0.0) -> Array:
    """The gradient of each element, from that of the result."""
    spec, g, dx = PASSES[name], ready(g, F32), empty(g.shape, F32)
    _start(f"{name}_backward", spec.backward, g.size, spec.work, dx, x=x, y=y, g=g, p=p, q=q)
    return dx
