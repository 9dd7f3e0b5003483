"""Functions of probability and statistics: error, gamma and Bessel functions, the normal
distribution's. All are computed in float64, for float32 too.

A function f is written for real arrays, with its first two derivatives: the gradient of a loss
needs f', and of a complex probe a + ih both f(a) + ih·f'(a) and f'(a) + ih·f''(a).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minigrad.checks import integer
from minigrad.ops.activations import ERFC_P, ERFC_Q, TAIL_P, TAIL_Q, erf_of, rational
from minigrad.ops.arithmetic import add, quiet
from minigrad.ops.arithmetic import sub as minus
from minigrad.ops.large import one_pass
from minigrad.recording import operand, record_each
from minigrad.tensor import Tensor

Real = Callable[[Any], Any]
ROOT_PI, ROOT_2 = math.sqrt(math.pi), math.sqrt(2)


@quiet
def _function(name: str, x: Any, f: Real, slope: Real, bend: Real) -> Tensor:
    """f of every element; `slope` and `bend` are f' and f''."""
    # dL/dx = g·f'(x)
    a = operand(name, x, floating=True)
    r = np.asarray(a.real, np.float64)
    if a.dtype.kind != "c":
        y = np.asarray(f(r), a.dtype)
        return record_each(name, y, (x, quiet(lambda g: g * np.asarray(slope(r), a.dtype))))
    h = 1j * a.imag
    return record_each(
        name, f(r) + h * slope(r), (x, quiet(lambda g: g * (slope(r) + h * bend(r))))
    )


# The error function and its inverse.


def scaled_erfc(y: Any) -> Any:
    """e^(y²)·erfc(y) for y >= 0.46875, by the approximations of erf (ops/activations.py)."""
    middle = np.clip(y, 0.46875, 4.0)
    large = np.maximum(y, 4.0)
    t = 1 / (large * large)
    tail = (1 / ROOT_PI + t * rational(TAIL_P, TAIL_Q, t)) / large
    return np.where(y <= 4.0, rational(ERFC_P, ERFC_Q, middle), tail)


def _gaussian(y: Any) -> Any:
    """e^(-y²), with y² in two parts so that no digits of it are lost."""
    short = np.trunc(np.minimum(y, 40) * 16) / 16
    return np.exp(-short * short) * np.exp(-(y - short) * (y + short))


def erfc_of(x: Any) -> Any:
    """erfc of real numbers; small ones keep their digits."""
    y = np.abs(x)
    upper = np.where(y > 0.46875, _gaussian(y) * scaled_erfc(np.maximum(y, 0.46875)), 1 - erf_of(y))
    return np.where(np.isnan(x), x, np.where(x < 0, 2 - upper, upper))


def _erf_slope(x: Any) -> Any:
    return 2 / ROOT_PI * np.exp(-x * x)


@one_pass
def erfc(input: Any) -> Tensor:
    """1 - erf x; small results keep their digits."""
    return _function(
        "erfc", input, erfc_of, lambda x: -_erf_slope(x), lambda x: 2 * x * _erf_slope(x)
    )


def _first_guess(log_q: Any) -> Any:
    """erfinv(y) to some 0.2 %, of log(1 - y²): Winitzki's approximation, with a = 0.147."""
    b = 2 / (math.pi * 0.147) + log_q / 2
    return np.sqrt(np.sqrt(b * b - log_q / 0.147) - b)


def _erfc_inverse(q: Any) -> Any:
    """x >= 0 with erfc(x) = q, for q from 0 to 1."""
    # Newton's steps on log erfc(x) - log q, which is nearly a parabola
    safe = np.where(q > 0, q, 1)
    x = _first_guess(np.log(safe * (2 - safe)))
    for _ in range(4):
        value = erfc_of(x)
        x = np.maximum(x + (np.log(value) - np.log(safe)) * value / _erf_slope(x), 0)
    return np.where(q == 0, np.inf, x)


def erfinv_of(y: Any) -> Any:
    """erfinv of real numbers: inf at ±1, NaN beyond."""
    size = np.abs(y)
    near = np.minimum(size, 0.5)
    x = _first_guess(np.log1p(-near * near))
    for _ in range(3):  # Newton's steps on erf(x) - y
        x = x - (erf_of(x) - near) / _erf_slope(x)
    x = np.where(size <= 0.5, x, _erfc_inverse(np.clip(1 - size, 0, 0.5)))
    return np.where(size <= 1, np.copysign(x, y), np.nan)


@one_pass
def erfinv(input: Any) -> Tensor:
    """The x with erf(x) = y, for y from -1 to 1; NaN beyond.

    Its derivative is √π/2·e^(x²).
    """

    def slope(y: Any) -> Any:
        return ROOT_PI / 2 * np.exp(erfinv_of(y) ** 2)

    return _function("erfinv", input, erfinv_of, slope, lambda y: 2 * erfinv_of(y) * slope(y) ** 2)


# The normal distribution.


def _density(x: Any) -> Any:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _below(x: Any) -> Any:
    return erfc_of(-x / ROOT_2) / 2


@one_pass
def ndtr(input: Any) -> Tensor:
    """The probability that a standard normal number is below x."""
    return _function("ndtr", input, _below, _density, lambda x: -x * _density(x))


def ndtri_of(p: Any) -> Any:
    """ndtri of real numbers."""
    outside = _erfc_inverse(np.clip(2 * np.minimum(p, 1 - p), 0, 1)) * np.sign(p - 0.5)
    x = ROOT_2 * np.where(np.abs(p - 0.5) <= 0.25, erfinv_of(2 * p - 1), outside)
    return np.where((p >= 0) & (p <= 1), x, np.nan)


@one_pass
def ndtri(input: Any) -> Tensor:
    """The inverse of ndtr: the x below which a standard normal number is with probability p."""

    def slope(p: Any) -> Any:
        return 1 / _density(ndtri_of(p))

    return _function("ndtri", input, ndtri_of, slope, lambda p: ndtri_of(p) * slope(p) ** 2)


def log_ndtr(input: Any) -> Tensor:
    """log of ndtr, which does not vanish far below 0."""

    def f(x: Any) -> Any:
        far = np.maximum(-x / ROOT_2, 0.5)
        return np.where(x < -1, np.log(scaled_erfc(far) / 2) - x * x / 2, np.log1p(-_below(-x)))

    def slope(x: Any) -> Any:  # density/ndtr
        far = np.maximum(-x / ROOT_2, 0.5)
        return np.where(x < -1, math.sqrt(2 / math.pi) / scaled_erfc(far), _density(x) / _below(x))

    return _function("log_ndtr", input, f, slope, lambda x: -slope(x) * (x + slope(x)))


@one_pass
def entr(input: Any) -> Tensor:
    """-x·log x, 0 at 0 and -inf below."""

    def f(x: Any) -> Any:
        inside = np.where(x == 0, 0, -x * np.log(np.where(x > 0, x, 1)))
        return np.where(np.isnan(x), x, np.where(x < 0, -np.inf, inside))

    return _function("entr", input, f, lambda x: -np.log(x) - 1, lambda x: -1 / x)


# The gamma function.

# Numbers of Bernoulli B_2, B_4, …: log Γ(x) = (x - 1/2)·log x - x + log √(2π)
#     + Σ B_2k/(2k·(2k-1))·x^(1-2k), by Stirling, and derivatives of that; good to 1e-16 from x = 10
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def _shifted(x: Any, step: Real) -> tuple[Any, Any]:
    """x + n for the least n that makes it at least 10, and step(x) + … + step(x + n - 1)."""
    x, total = np.maximum(x, 1e-300), np.zeros(x.shape)
    for _ in range(10):
        small = x < 10
        total = total + np.where(small, step(np.where(small, x, 1)), 0)
        x = x + small
    return x, total


def _mirrored(x: Any, f: Real, mirror: Callable[[Any, Any, Any], Any]) -> Any:
    """f(x) for x > 0; else mirror(f(1 - x), sin πx, cos πx)."""
    turn = math.pi * (x - np.round(x))  # exact, for large x too
    there = mirror(f(np.where(x > 0, 1, 1 - x)), np.sin(turn), np.cos(turn))
    return np.where(x > 0, f(np.where(x > 0, x, 1)), np.where(np.isnan(x), x, there))


def lgamma_of(x: Any) -> Any:
    """log |Γ(x)| of real numbers."""

    def positive(x: Any) -> Any:
        z, logs = _shifted(x, np.log)
        series = sum(b / (2 * k * (2 * k - 1)) * z ** (1 - 2 * k)
                     for k, b in enumerate(BERNOULLI, 1))  # fmt: skip
        return (z - 0.5) * np.log(z) - z + 0.5 * math.log(2 * math.pi) + series - logs

    y = _mirrored(x, positive, lambda f, s, c: np.log(math.pi / np.abs(s)) - f)
    y = np.where((x == 1) | (x == 2), 0, y)
    return np.where(np.isinf(x) | ((x <= 0) & (x == np.round(x))), np.inf, y)


def digamma_of(x: Any) -> Any:
    """The derivative of log Γ."""

    def positive(x: Any) -> Any:
        z, steps = _shifted(x, lambda v: 1 / v)
        series = sum(b / (2 * k) * z ** (-2 * k) for k, b in enumerate(BERNOULLI, 1))
        return np.log(z) - 0.5 / z - series - steps

    y = _mirrored(x, positive, lambda f, s, c: f - math.pi * c / s)
    y = np.where((x < 0) & (x == np.round(x)), np.nan, y)
    return np.where(x == 0, np.copysign(np.inf, -x), y)


def _trigamma(x: Any) -> Any:
    """The second derivative of log Γ."""

    def positive(x: Any) -> Any:
        z, steps = _shifted(x, lambda v: 1 / (v * v))
        series = sum(b * z ** (-1 - 2 * k) for k, b in enumerate(BERNOULLI, 1))
        return 1 / z + 0.5 / (z * z) + series + steps

    y = _mirrored(x, positive, lambda f, s, c: (math.pi / s) ** 2 - f)
    return np.where((x <= 0) & (x == np.round(x)), np.inf, y)


@one_pass
def lgamma(input: Any) -> Tensor:
    """log |Γ(x)|; inf at 0, -1, -2, …"""
    return _function("lgamma", input, lgamma_of, digamma_of, _trigamma)


@one_pass
def digamma(input: Any) -> Tensor:
    """The derivative of lgamma; NaN at -1, -2, …"""
    return _function("digamma", input, digamma_of, _trigamma, partial(_polygamma, 2))


def mvlgamma(input: Any, p: int) -> Tensor:
    """The logarithm of the gamma function of p dimensions, Σ lgamma(x - j/2) + p·(p-1)/4·log π
    over j = 0 … p-1."""
    p = integer("mvlgamma", "p", p)
    operand("mvlgamma", input)
    out = lgamma(input)
    for j in range(1, p):
        out = add(out, lgamma(minus(input, j / 2)))
    return add(out, p * (p - 1) / 4 * math.log(math.pi))


def polygamma(n: int, input: Any) -> Tensor:
    """The n-th derivative of digamma: (-1)^(n+1)·n!·ζ(n+1, x) from n = 1 on."""
    # y = ψ⁽ⁿ⁾(x)        dL/dx = g·ψ⁽ⁿ⁺¹⁾(x)
    n = integer("polygamma", "n", n, 0)
    if n > 165:  # where factorials leave float64's range
        raise ValueError(f"polygamma: n must be at most 165, got {n}")
    if n == 0:
        return digamma(input)
    return _function("polygamma", input, *(partial(_polygamma, n + k) for k in range(3)))


def _polygamma(n: int, x: Any) -> Any:
    return (-1) ** (n + 1) * math.gamma(n + 1) * _zeta(n + 1, x)


def _zeta(s: int, x: Any) -> Any:
    """Hurwitz's Σ (x + k)^-s over k = 0, 1, …, for s = 2, 3, …; inf at 0, -1, -2, …"""
    # the first m terms, where x < 0, are (-1)^s·(ζ(s, r) - ζ(s, r + m)), r = 1 - m - x from 0 to 1
    m = np.where(np.isfinite(x), np.maximum(np.ceil(-x), 0), 0)
    below = (-1) ** s * (_positive_zeta(s, -(x + (m - 1))) - _positive_zeta(s, 1 - x))
    whole = np.where(x < 0, below, 0) + _positive_zeta(s, x + m)
    return np.where((x <= 0) & (x == np.round(x)), np.inf, whole)


def _positive_zeta(s: int, x: Any) -> Any:
    """For x > 0 by Euler and Maclaurin from the first x + k on that is at least 20:

    z^(1-s)/(s-1) + z^-s/2 + Σ_j B_2j/(2j)!·s·(s+1)…(s+2j-2)·z^(1-s-2j).
    """
    total, z = np.zeros(x.shape), x
    for _ in range(20):
        total, z = total + np.where(z < 20, z ** (-s), 0), z + (z < 20)
    rest = z ** (1 - s) / (s - 1) + z ** (-s) / 2
    for j, b in enumerate(BERNOULLI, 1):
        factor = b * math.prod(range(s, s + 2 * j - 1)) / math.factorial(2 * j)
        rest = rest + factor * z ** (1 - s - 2 * j)
    return total + rest


# The modified Bessel functions I_0 and I_1.


def _bessel(x: Any, order: int, scaled: bool = False) -> Any:
    """I_0 or I_1 of |x|: a series of powers up to 20, one of 1/x beyond; times e^-|x| if scaled."""
    small, large = np.minimum(x, 20), np.maximum(x, 20)
    power = (small / 2) ** order
    inner: Any = power
    for k in range(1, 60):
        power = power * (small * small / 4) / (k * (k + order))
        inner = inner + power
    term: Any = np.ones(x.shape)
    outer: Any = term
    for k in range(1, 30):
        term = term * ((2 * k - 1) ** 2 - 4 * order) / (8 * k * large)
        outer = outer + term
    if scaled:
        return np.where(x <= 20, inner * np.exp(-small), outer / np.sqrt(2 * math.pi * large))
    beyond = np.exp(large / 2) * (np.exp(large / 2) / np.sqrt(2 * math.pi * large) * outer)
    return np.where(x <= 20, inner, np.where(np.isinf(x), np.inf, beyond))


@one_pass
def i0(input: Any) -> Tensor:
    """The modified Bessel function of the first kind, of order 0."""

    def slope(x: Any) -> Any:
        return np.copysign(_bessel(np.abs(x), 1), x)

    def bend(x: Any) -> Any:  # I_0 - I_1/x, 1/2 at 0
        safe = np.where(x == 0, 1, x)
        return np.where(x == 0, 0.5, _bessel(np.abs(x), 0) - slope(safe) / safe)

    return _function("i0", input, lambda x: _bessel(np.abs(x), 0), slope, bend)


def _bessel_ratio(x: Any) -> Any:
    return _bessel(x, 1, scaled=True) / _bessel(x, 0, scaled=True)


def _ratio_slope(x: Any) -> Any:  # 1 - r/x - r²
    r = _bessel_ratio(x)
    return 1 - r / x - r * r


def _ratio_bend(x: Any) -> Any:
    r, slope = _bessel_ratio(x), _ratio_slope(x)
    return r / (x * x) - slope / x - 2 * r * slope


def log_i0(input: Any) -> Tensor:
    """log I_0(x) for x > 0, which does not overflow."""
    return _function(
        "log_i0", input, lambda x: x + np.log(_bessel(x, 0, scaled=True)), _bessel_ratio,
        _ratio_slope,
    )  # fmt: skip


def bessel_ratio(input: Any) -> Tensor:
    """I_1(x)/I_0(x) for x > 0."""
    return _function("bessel_ratio", input, _bessel_ratio, _ratio_slope, _ratio_bend)
