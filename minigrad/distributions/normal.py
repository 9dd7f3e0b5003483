"""The normal distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad.distributions.location_scale import LocationScale
from minigrad.ops.activations import erf
from minigrad.ops.create import as_tensor
from minigrad.ops.elementary import log
from minigrad.ops.random import randn
from minigrad.ops.special import erfinv
from minigrad.tensor import Tensor


class Normal(LocationScale):
    """The normal distribution.

    Args:
        loc: the mean, a number or a tensor.
        scale: the standard deviation, above 0; broadcast with `loc`.

    Raises:
        ValueError: scale is not above 0, or a parameter is NaN.
    """

    @property
    def mean(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """scale."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """scale²."""
        return self.scale**2

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc + scale·z for a standard normal z."""
        z = randn(self._shape(sample_shape), dtype=self.loc.array.real.dtype)
        return self.loc + z * self.scale

    def log_prob(self, value: Any) -> Tensor:
        """-(x - loc)²/(2·scale²) - log scale - log √(2π)."""
        z = (self._value(value) - self.loc) / self.scale
        return -0.5 * z * z - log(self.scale) - 0.5 * math.log(2 * math.pi)

    def cdf(self, value: Any) -> Tensor:
        """(1 + erf((x - loc)/(scale·√2)))/2."""
        return 0.5 * (1 + erf((self._value(value) - self.loc) / (self.scale * math.sqrt(2))))

    def icdf(self, value: Any) -> Tensor:
        """loc + scale·√2·erfinv(2x - 1)."""
        return self.loc + self.scale * erfinv(2 * as_tensor(value) - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        """1/2 + log √(2π) + log scale."""
        return 0.5 + 0.5 * math.log(2 * math.pi) + log(self.scale)
