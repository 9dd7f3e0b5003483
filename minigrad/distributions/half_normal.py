"""The half-normal distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.distributions.distribution import Distribution, drawn, parameters
from minigrad.distributions.normal import Normal
from minigrad.ops.arithmetic import where
from minigrad.ops.create import as_tensor, zeros_like
from minigrad.ops.random import generator
from minigrad.tensor import Tensor


class HalfNormal(Distribution):
    """The absolute value of what is normal with mean 0.

    Args:
        scale: the standard deviation of that, above 0.
    """

    has_rsample = True
    _names = ("scale",)
    _expected = "at least 0"

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        (self.scale,) = parameters("HalfNormal", scale=scale)
        super().__init__(self.scale.shape, validate_args=validate_args)
        self._check("scale", self.scale, self.scale.array.real > 0, "above 0")

    @property
    def _normal(self) -> Normal:
        """The normal distribution."""
        return Normal(zeros_like(self.scale), self.scale, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """scale·√(2/π)."""
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Tensor:
        """0."""
        return zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        """scale²·(1 - 2/π)."""
        return self.scale**2 * (1 - 2 / math.pi)

    def _supports(self, value: Any) -> Any:
        return value >= 0

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """scale·|z| for a standard normal z."""
        z = generator().standard_normal(self._shape(sample_shape))
        return drawn(self.scale, np.abs(z)) * self.scale

    def log_prob(self, value: Any) -> Tensor:
        """That of the normal distribution, and log 2; -inf below 0."""
        x = self._value(value)
        return where(x >= 0, self._normal.log_prob(x) + math.log(2), -math.inf)

    def cdf(self, value: Any) -> Tensor:
        """erf(x/(scale·√2))."""
        return 2 * self._normal.cdf(self._value(value)) - 1

    def icdf(self, value: Any) -> Tensor:
        """The normal distribution's at (x + 1)/2."""
        return self._normal.icdf((as_tensor(value) + 1) / 2)

    def entropy(self) -> Tensor:
        """1/2 + log √(2π) + log scale - log 2."""
        return self._normal.entropy() - math.log(2)
