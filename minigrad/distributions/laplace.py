"""Laplace's distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad.distributions.location_scale import LocationScale
from minigrad.ops.arithmetic import abs as absolute
from minigrad.ops.create import as_tensor
from minigrad.ops.elementary import expm1, log, log1p
from minigrad.ops.rounding import sign
from minigrad.tensor import Tensor


class Laplace(LocationScale):
    """Laplace's distribution, of density e^(-|x - loc|/scale)/(2·scale).

    Args:
        loc: the mean, a number or a tensor.
        scale: above 0; broadcast with `loc`.
    """

    @property
    def mean(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """√2·scale."""
        return math.sqrt(2) * self.scale

    @property
    def variance(self) -> Tensor:
        """2·scale²."""
        return 2 * self.scale**2

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc + scale·(z - z') for two exponential numbers."""
        z = self._exponential(sample_shape) - self._exponential(sample_shape)
        return self.loc + self.scale * z

    def log_prob(self, value: Any) -> Tensor:
        """-|x - loc|/scale - log(2·scale)."""
        return -log(2 * self.scale) - absolute(self._value(value) - self.loc) / self.scale

    def cdf(self, value: Any) -> Tensor:
        """(1 + s·(1 - e^(-|x - loc|/scale)))/2 for the sign s of x - loc."""
        apart = (self._value(value) - self.loc) / self.scale
        return 0.5 - 0.5 * sign(apart) * expm1(-absolute(apart))

    def icdf(self, value: Any) -> Tensor:
        """loc - scale·s·log(1 - 2·|x - 1/2|) for the sign s of x - 1/2."""
        apart = as_tensor(value) - 0.5
        return self.loc - self.scale * sign(apart) * log1p(-2 * absolute(apart))

    def entropy(self) -> Tensor:
        """1 + log(2·scale)."""
        return 1 + log(2 * self.scale)
