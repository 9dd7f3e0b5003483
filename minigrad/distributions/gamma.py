"""The gamma distribution, and draws from it with gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from minigrad.distributions.constraints import nonnegative, positive
from minigrad.distributions.distribution import Distribution
from minigrad.ops.arithmetic import clamp
from minigrad.ops.elementary import log
from minigrad.ops.random import generator
from minigrad.ops.special import digamma, digamma_of, lgamma, lgamma_of
from minigrad.ops.trigonometry import xlogy
from minigrad.recording import operands, record_each
from minigrad.tensor import Tensor


class Gamma(Distribution):
    """The gamma distribution, of density proportional to x^(concentration - 1)·e^(-rate·x).

    Args:
        concentration, rate: above 0, numbers or tensors; broadcast.
    """

    has_rsample = True
    arg_constraints: ClassVar = {"concentration": positive, "rate": positive}
    support = nonnegative
    concentration: Tensor
    rate: Tensor

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self._hold(validate_args, concentration=concentration, rate=rate)

    @property
    def mean(self) -> Tensor:
        """concentration/rate."""
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        """(concentration - 1)/rate, or 0."""
        return clamp((self.concentration - 1) / self.rate, min=0)

    @property
    def variance(self) -> Tensor:
        """concentration/rate²."""
        return self.concentration / self.rate**2

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """z/rate for a z of rate 1; gradients pass to both parameters."""
        z = standard_gamma(self.concentration, self._shape(sample_shape))
        return clamp(z / self.rate, min=float(np.finfo(self._dtype).tiny))

    def log_prob(self, value: Any) -> Tensor:
        """c·log rate + (c - 1)·log x - rate·x - log Γ(c)."""
        x, c = self._value(value), self.concentration
        return xlogy(c, self.rate) + xlogy(c - 1, x) - self.rate * x - lgamma(c)

    def cdf(self, value: Any) -> Tensor:
        """The regularised incomplete gamma function P(concentration, rate·x)."""
        return gammainc(self.concentration, self.rate * self._value(value))

    def entropy(self) -> Tensor:
        """c - log rate + log Γ(c) + (1 - c)·ψ(c)."""
        c = self.concentration
        return c - log(self.rate) + lgamma(c) + (1 - c) * digamma(c)


def standard_gamma(
    concentration: Tensor, shape: tuple[int, ...], logarithm: bool = False
) -> Tensor:
    """Draws of rate 1 in float64's precision, or their logarithms, which do not underflow.

    The gradient is that of the quantile which was drawn: x(a) with P(a, x) constant.
    """
    a = concentration.array
    _refuse_probes("rsample", a)
    # x of a < 1 is u^(1/a) times one of a + 1
    small = np.broadcast_to(a < 1, shape)
    logs = np.log(generator().standard_gamma(np.asarray(a, np.float64) + (a < 1), shape))
    logs = logs - np.where(small, generator().standard_exponential(shape) / a, 0)
    y = logs if logarithm else np.exp(logs)

    def da(g: Any) -> Any:
        slope = by_blocks(_log_slope, np.broadcast_to(a, shape), logs)
        return g * (slope if logarithm else slope * y).astype(a.dtype)

    return record_each("standard_gamma", y.astype(a.dtype), (concentration, da))


def _refuse_probes(method: str, *arrays: Any) -> None:
    if any(a.dtype.kind == "c" for a in arrays):
        raise NotImplementedError(f"Gamma: there are no second derivatives of {method}")


def by_blocks(f: Callable[..., Any], *arrays: Any) -> Any:
    """f of float64 arrays of one shape, some thousand elements at a time: a series is as long as
    its slowest element needs, and blocks stay in the cache."""
    flat = [np.asarray(a, np.float64).reshape(-1) for a in arrays]
    out = np.empty(flat[0].shape)
    with np.errstate(all="ignore"):
        for i in range(0, len(out), 4096):
            out[i : i + 4096] = f(*(a[i : i + 4096] for a in flat))
    return out.reshape(arrays[0].shape)


def _series(a: Any, log_x: Any) -> tuple[Any, Any]:
    """S = Σ t_n with t_n = x^n/((a + 1)…(a + n)), and Σ t_n·(ψ(a + n + 1) - log x).

    P(a, x) = x^a·e^-x/Γ(a + 1)·S; the second sum has the derivative of its logarithm in a.
    """
    x, term, n = np.exp(log_x), np.ones(a.shape), 0
    slope = digamma_of(a + 1) - log_x
    total, weighted = term.copy(), slope.copy()
    while n % 4 or np.any(term > 1e-17 * total):
        n += 1
        step = 1 / (a + n)
        term *= x * step
        slope += step
        total += term
        weighted += term * slope
    return total, weighted


def _log_slope(a: Any, log_x: Any) -> Any:
    """d log x/da where P(a, x) stays: by the series, or from a = 100 by Cornish and Fisher's."""
    out, near = np.empty(a.shape), a < 100
    if near.any():
        out[near] = _series(a[near], log_x[near])[1] / a[near]
    if not near.all():
        out[~near] = _far_slope(a[~near], np.exp(log_x[~near]))
    return out


def _far_slope(a: Any, x: Any) -> Any:
    # x = a + √a·z + (z² - 1)/3 + (z³ - 7z)/(36√a) - (3z⁴ + 7z² - 16)/(810a)
    #     + (9z⁵ + 256z³ - 433z)/(38880·a^1.5) for the normal quantile z, which Newton's steps find
    r = np.sqrt(a)
    z = (x - a) / r
    for last in (False, False, False, True):
        s = z * z
        third, fourth = (s - 7) * z, (3 * s + 7) * s - 16
        fifth = ((9 * s + 256) * s - 433) * z
        if last:
            break
        value = a + r * z + (s - 1) / 3 + third / (36 * r)
        value += fifth / (38880 * a * r) - fourth / (810 * a)
        z -= (value - x) / (r + 2 * z / 3 + (3 * s - 7) / (36 * r))
    slope = 1 + z / (2 * r) - third / (72 * a * r) + fourth / (810 * a * a)
    return (slope - fifth / (25920 * a * a * r)) / x


def _incomplete(a: Any, x: Any) -> Any:
    """P(a, x), 1 where x is far above a."""
    beyond = x > a + 30 * np.sqrt(a) + 100
    log_x = np.log(np.where(beyond, a, x))
    p = np.exp(a * log_x - np.exp(log_x) - lgamma_of(a + 1)) * _series(a, log_x)[0]
    return np.where(beyond, 1, np.where(x == 0, 0, np.minimum(p, 1)))


def gammainc(input: Any, other: Any) -> Tensor:
    """P(a, x), the part of Γ(a) that the integral from 0 to x makes."""
    # dP/dx = x^(a - 1)·e^-x/Γ(a)        dP/da = -dP/dx·dx/da where P stays
    given = operands("gammainc", input, other, floating=True)
    _refuse_probes("cdf", *given)
    shape, kind = np.broadcast_shapes(*(v.shape for v in given)), given[0].dtype
    a, x = (np.broadcast_to(v.real, shape).astype(np.float64) for v in given)

    def density() -> Any:
        with np.errstate(all="ignore"):
            logs = np.where(a == 1, 0, (a - 1) * np.log(x))
            return np.exp(logs - x - lgamma_of(a))

    def da(g: Any) -> Any:
        with np.errstate(all="ignore"):
            move = np.where(x > 0, density() * x * by_blocks(_log_slope, a, np.log(x)), 0)
        return -g * move.astype(kind)

    y = by_blocks(_incomplete, a, x).astype(kind)
    return record_each("gammainc", y, (input, da), (other, lambda g: g * density().astype(kind)))
