"""`python tests/kernels/fit_functions.py`: the polynomials of kernels/compiled/functions.py.

Each is the one whose greatest error on its interval, relative to the function, is least (found by
Lawson's method: least squares whose weights grow where the error is large). Printed are the
coefficients, from the constant on, and that error in units in the last place of float32. Needs
mpmath.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np

mp.mp.dps = 40
Function = Callable[[Any], Any]


def fit(
    f: Function, powers: list[int], low: float, high: float, weight: Function
) -> tuple[list[float], float]:
    """Coefficients of these powers, and the greatest weighted error."""
    n = 400
    nodes = 0.5 * (low + high) + 0.5 * (high - low) * np.cos(np.pi * (np.arange(n) + 0.5) / n)
    xs = [mp.mpf(float(x)) for x in nodes]
    w = [weight(x) for x in xs]
    basis = np.array([[float(v * x**k) for k in powers] for x, v in zip(xs, w, strict=True)])
    values = np.array([float(v * f(x)) for x, v in zip(xs, w, strict=True)])
    shares = np.ones(n) / n
    for _ in range(60):
        root = np.sqrt(shares)
        found, *_ = np.linalg.lstsq(basis * root[:, None], values * root, rcond=None)
        error = np.abs(basis @ found - values)
        shares *= error
        shares /= shares.sum()
    return list(found), float(error.max()) * 2**24


def nonzero(f: Function, at_zero: float) -> Function:
    return lambda x: f(x) if x != 0 else mp.mpf(at_zero)


half_ln2 = float(mp.log(2) / 2) * 1.01
low, high = float(mp.sqrt(0.5)) - 1.002, float(mp.sqrt(2)) - 0.998


def tail(w: Any) -> Any:
    """e^(t²)·erfc(t)/w of w = 1/(1 + t/2)."""
    t = 2 / w - 2
    return mp.exp(t * t) * mp.erfc(t) / w


def inverse(w: Any) -> Any:
    """erfinv(x)/x where w = -log(1 - x²)."""
    if w < 1e-12:
        return mp.sqrt(mp.pi) / 2
    x, q = mp.sqrt(-mp.expm1(-w)), mp.exp(-w)
    q = q / (1 + x)  # 1 - x
    y = mp.erfinv(x) if w < 30 else mp.sqrt(-mp.log(q * mp.sqrt(mp.pi) * mp.sqrt(w)))
    for _ in range(4):  # Newton's steps on log erfc, where x has lost the digits of 1 - x
        e = mp.erfc(y)
        y += (mp.log(e) - mp.log(q)) * e * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
    return y / x


def bessel(order: int, small: bool) -> Function:
    """e^-x·I(x)/xⁿ of x/4 - 1 up to 8, √x·e^-x·I(x) of 16/x - 1 beyond, I of order n."""

    def f(v: Any) -> Any:
        x = 4 * (v + 1) if small else (16 / (v + 1) if v > -1 + 1e-9 else mp.mpf(1e8))
        if small and x < 1e-12:
            return mp.mpf(0.5**order)
        scale = mp.e**-x * (1 / x**order if small else mp.sqrt(x))
        return scale * mp.besseli(order, x) if x < 1e7 else 1 / mp.sqrt(2 * mp.pi)

    return f


FITS: dict[str, tuple[Function, list[int], float, float, Function]] = {
    "(e^r - 1 - r)/r²": (
        nonzero(lambda r: (mp.e**r - 1 - r) / r**2, 0.5), [0, 1, 2, 3, 4], -half_ln2, half_ln2,
        lambda r: r * r / mp.e**r,
    ),
    "erf(t)/t - 1": (
        nonzero(lambda t: mp.erf(t) / t - 1, float(2 / mp.sqrt(mp.pi) - 1)), [0, 2, 4, 6, 8, 10],
        0, 0.95, nonzero(lambda t: t / mp.erf(t), float(mp.sqrt(mp.pi) / 2)),
    ),
    "-log(erfc(t))/t - 1": (
        lambda t: -mp.log(mp.erfc(t)) / t - 1, [0, 1, 2, 3, 4, 5, 6], 0.9, 3.95,
        lambda t: t * mp.erfc(t) / mp.erf(t),
    ),
    "(tanh(t)/t - 1)/t²": (
        nonzero(lambda t: (mp.tanh(t) / t - 1) / t**2, -1 / 3), [0, 2, 4, 6, 8], 0, 0.65,
        nonzero(lambda t: t**3 / mp.tanh(t), 0),
    ),
    "(log(1 + f) - f + f²/2)/f³": (
        nonzero(lambda f: (mp.log(1 + f) - f + f * f / 2) / f**3, 1 / 3), list(range(8)), low, high,
        nonzero(lambda f: f**3 / mp.log(1 + f), 0),
    ),
    "e^(t²)·erfc(t)/w of w - 1/2, w = 1/(1 + t/2)": (
        lambda v: tail(v + 0.5), list(range(9)), 2 / 12.1 - 0.5, 2 / 2.48 - 0.5,
        lambda v: 1 / tail(v + 0.5),
    ),
    "erfinv(x)/x of w - 2.5, w = -log(1 - x²)": (
        lambda v: inverse(v + 2.5), list(range(10)), -2.5, 2.5, lambda v: 1 / inverse(v + 2.5),
    ),
    "erfinv(x)/x of √w - 3": (
        lambda v: inverse((v + 3) ** 2), list(range(10)), -0.77, 1.1,
        lambda v: 1 / inverse((v + 3) ** 2),
    ),
    "erfinv(x)/x of √w - 7": (
        lambda v: inverse((v + 7) ** 2), list(range(10)), -2.95, 3.25,
        lambda v: 1 / inverse((v + 7) ** 2),
    ),
    **{
        f"e^-x·I{n}(x), {'small' if small else 'large'} x": (
            bessel(n, small), list(range(18 if small else 7)), -1, 1,
            lambda v, n=n, small=small: 1 / bessel(n, small)(v),
        )
        for n in (0, 1) for small in (True, False)
    },
}  # fmt: skip

if __name__ == "__main__":
    for name, arguments in FITS.items():
        coefficients, units = fit(*arguments)
        digits = 12 if "I" in name else 9
        print(f"{name}: {', '.join(f'{c:.{digits}g}' for c in coefficients)}; {units:.2g} units")
