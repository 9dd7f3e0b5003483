"""Gumbel's distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.distributions.location_scale import LocationScale
from minigrad.ops.create import as_tensor
from minigrad.ops.elementary import exp, log
from minigrad.tensor import Tensor


class Gumbel(LocationScale):
    """Gumbel's distribution, of the largest of many numbers: cdf e^(-e^(-(x - loc)/scale)).

    Args:
        loc: the mode, a number or a tensor.
        scale: above 0; broadcast with `loc`.
    """

    @property
    def mean(self) -> Tensor:
        """loc + γ·scale, γ Euler's constant."""
        return self.loc + self.scale * np.euler_gamma

    @property
    def stddev(self) -> Tensor:
        """π/√6·scale."""
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Tensor:
        """π²/6·scale²."""
        return self.stddev**2

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc - scale·log z for an exponential z."""
        return self.loc - self.scale * log(self._exponential(sample_shape))

    def log_prob(self, value: Any) -> Tensor:
        """-z - e^-z - log scale for z = (x - loc)/scale."""
        z = (self._value(value) - self.loc) / self.scale
        return -z - exp(-z) - log(self.scale)

    def cdf(self, value: Any) -> Tensor:
        """e^(-e^-z)."""
        return exp(-exp((self.loc - self._value(value)) / self.scale))

    def icdf(self, value: Any) -> Tensor:
        """loc - scale·log(-log x)."""
        return self.loc - self.scale * log(-log(as_tensor(value)))

    def entropy(self) -> Tensor:
        """1 + γ + log scale."""
        return log(self.scale) + (1 + np.euler_gamma)
