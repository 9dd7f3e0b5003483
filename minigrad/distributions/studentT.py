"""Student's distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from minigrad.distributions.constraints import positive, real
from minigrad.distributions.distribution import Distribution
from minigrad.distributions.gamma import standard_gamma
from minigrad.ops.arithmetic import where
from minigrad.ops.elementary import exp, log, log1p
from minigrad.ops.random import randn
from minigrad.ops.special import digamma, lgamma
from minigrad.tensor import Tensor


class StudentT(Distribution):
    """Student's distribution: a normal number, divided by the root of the mean of df squares.

    Args:
        df: the degrees of freedom, above 0, a number or a tensor.
        loc: the mode; broadcast with `df`.
        scale: above 0; broadcast with both.
    """

    has_rsample = True
    arg_constraints: ClassVar = {"df": positive, "loc": real, "scale": positive}
    support = real
    df: Tensor
    loc: Tensor
    scale: Tensor

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        self._hold(validate_args, df=df, loc=loc, scale=scale)

    @property
    def mean(self) -> Tensor:
        """loc for df above 1, else NaN."""
        return where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """scale²·df/(df - 2) for df above 2, inf above 1, else NaN."""
        finite = self.df > 2
        value = self.scale**2 * self.df / where(finite, self.df - 2, 1.0)
        return where(finite, value, where(self.df > 1, math.inf * self.df.detach(), math.nan))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc + scale·z/√(g/(df/2)) for a normal z and g of the gamma distribution."""
        shape = self._shape(sample_shape)
        z, half = randn(shape, dtype=self._dtype), 0.5 * self.df
        # the root of the quotient, by logarithms, which do not underflow where df is small
        narrow = 0.5 * (log(half) - standard_gamma(half, shape, logarithm=True))
        return self.loc + self.scale * z * exp(narrow)

    def log_prob(self, value: Any) -> Tensor:
        """-(df + 1)/2·log(1 + z²/df) - log scale - log √(df·π) - log Γ(df/2) + log Γ((df + 1)/2),
        z = (x - loc)/scale."""
        z, df = (self._value(value) - self.loc) / self.scale, self.df
        norm = log(self.scale) + 0.5 * log(df) + 0.5 * math.log(math.pi)
        norm = norm + lgamma(0.5 * df) - lgamma(0.5 * (df + 1))
        return -0.5 * (df + 1) * log1p(z**2 / df) - norm

    def entropy(self) -> Tensor:
        """log scale + (df + 1)/2·(ψ((df + 1)/2) - ψ(df/2)) + log √df + log B(df/2, 1/2)."""
        half = 0.5 * (self.df + 1)
        beta = lgamma(0.5 * self.df) + math.lgamma(0.5) - lgamma(half)
        slope = half * (digamma(half) - digamma(0.5 * self.df))
        return log(self.scale) + slope + 0.5 * log(self.df) + beta
