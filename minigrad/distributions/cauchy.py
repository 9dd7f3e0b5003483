"""Cauchy's distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad.distributions.location_scale import LocationScale
from minigrad.ops.create import as_tensor, full_like
from minigrad.ops.elementary import log, log1p
from minigrad.ops.random import generator
from minigrad.ops.trigonometry import atan, tan
from minigrad.tensor import Tensor


class Cauchy(LocationScale):
    """Cauchy's distribution, of density proportional to 1/(1 + ((x - loc)/scale)²).

    Args:
        loc: the median and mode, a number or a tensor.
        scale: half of the width at half of the height, above 0; broadcast with `loc`.
    """

    @property
    def mean(self) -> Tensor:
        """NaN: there is none."""
        return full_like(self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        """inf."""
        return full_like(self.loc, math.inf)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc + scale·z for a z of loc 0 and scale 1."""
        z = self._drawn(generator().standard_cauchy(self._shape(sample_shape)))
        return self.loc + z * self.scale

    def log_prob(self, value: Any) -> Tensor:
        """-log π - log scale - log(1 + ((x - loc)/scale)²)."""
        z = (self._value(value) - self.loc) / self.scale
        return -math.log(math.pi) - log(self.scale) - log1p(z**2)

    def cdf(self, value: Any) -> Tensor:
        """atan((x - loc)/scale)/π + 1/2."""
        return atan((self._value(value) - self.loc) / self.scale) / math.pi + 0.5

    def icdf(self, value: Any) -> Tensor:
        """loc + scale·tan(π·(x - 1/2))."""
        return tan(math.pi * (as_tensor(value) - 0.5)) * self.scale + self.loc

    def entropy(self) -> Tensor:
        """log(4π·scale)."""
        return math.log(4 * math.pi) + log(self.scale)
