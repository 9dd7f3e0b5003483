"""The Gumbel distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.distributions.distribution import Distribution, drawn, parameters
from minigrad.ops.create import as_tensor
from minigrad.ops.elementary import exp, log
from minigrad.ops.random import generator
from minigrad.tensor import Tensor


class Gumbel(Distribution):
    """The Gumbel distribution, of probability e^(-e^(-(x - loc)/scale)) to be below x.

    Args:
        loc: a number or a tensor.
        scale: above 0; broadcast with `loc`.
    """

    has_rsample = True
    _names = ("loc", "scale")
    _expected = "a number, not NaN"

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = parameters("Gumbel", loc=loc, scale=scale)
        super().__init__(self.loc.shape, validate_args=validate_args)
        self._check("loc", self.loc, ~np.isnan(self.loc.array), "a number")
        self._check("scale", self.scale, self.scale.array.real > 0, "above 0")

    @property
    def mean(self) -> Tensor:
        """loc + 0.5772…·scale."""
        return self.loc + self.scale * float(np.euler_gamma)

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """scale·π/√6."""
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Tensor:
        """(scale·π)²/6."""
        return self.stddev**2

    def _supports(self, value: Any) -> Any:
        return value == value

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc + scale·z for a z of the standard distribution."""
        z = generator().gumbel(size=self._shape(sample_shape))
        return self.loc + drawn(self.loc, z) * self.scale

    def log_prob(self, value: Any) -> Tensor:
        """z - e^z - log scale, z = (loc - x)/scale."""
        z = (self.loc - self._value(value)) / self.scale
        return z - exp(z) - log(self.scale)

    def cdf(self, value: Any) -> Tensor:
        """e^(-e^(-(x - loc)/scale))."""
        return exp(-exp((self.loc - self._value(value)) / self.scale))

    def icdf(self, value: Any) -> Tensor:
        """loc - scale·log(-log x)."""
        return self.loc - self.scale * log(-log(as_tensor(value)))

    def entropy(self) -> Tensor:
        """log scale + 1 + 0.5772…"""
        return log(self.scale) + (1 + float(np.euler_gamma))
