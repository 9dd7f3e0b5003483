"""Student's t distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.distributions.distribution import Distribution, drawn, no_gradient, parameters
from minigrad.ops.arithmetic import where
from minigrad.ops.elementary import log, log1p
from minigrad.ops.random import generator
from minigrad.ops.special import digamma, lgamma
from minigrad.tensor import Tensor


class StudentT(Distribution):
    """Student's t distribution: loc + scale·z/√(w/df), z standard normal, w of χ² with df
    degrees of freedom.

    Args:
        df: above 0, a number or a tensor.
        loc: the centre.
        scale: above 0.
    """

    has_rsample = True
    _names = ("df", "loc", "scale")
    _expected = "a number, not NaN"

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        self.df, self.loc, self.scale = parameters("StudentT", df=df, loc=loc, scale=scale)
        super().__init__(self.df.shape, validate_args=validate_args)
        self._check("loc", self.loc, ~np.isnan(self.loc.array), "a number")
        for name, x in (("df", self.df), ("scale", self.scale)):
            self._check(name, x, x.array.real > 0, "above 0")

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def mean(self) -> Tensor:
        """loc for df above 1, else NaN."""
        return where(self.df > 1, self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        """scale²·df/(df - 2) for df above 2, inf above 1, else NaN."""
        wide = self.df > 2
        finite = self.scale**2 * self.df / where(wide, self.df - 2, 1.0)
        return where(wide, finite, where(self.df > 1, math.inf, math.nan).to(self.df.dtype))

    def _supports(self, value: Any) -> Any:
        return value == value

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc + scale·t for a standard t; no gradient passes to df.

        Raises:
            NotImplementedError: df wants a gradient.
        """
        shape = self._shape(sample_shape)
        no_gradient(self, "df", self.df)
        t = generator().standard_t(self.df.array.real, shape)
        return self.loc + self.scale * drawn(self.loc, t)

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
