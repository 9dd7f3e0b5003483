"""The uniform distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from minigrad.distributions.constraints import Constraint, interval, real
from minigrad.distributions.distribution import Distribution
from minigrad.ops.arithmetic import clamp
from minigrad.ops.create import as_tensor
from minigrad.ops.elementary import log
from minigrad.ops.random import rand
from minigrad.tensor import Tensor


class Uniform(Distribution):
    """The uniform distribution on [low, high).

    Args:
        low, high: numbers or tensors, which are broadcast.

    Raises:
        ValueError: low is not below high.
    """

    has_rsample = True
    arg_constraints: ClassVar = {"low": real, "high": real}
    low: Tensor
    high: Tensor

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self._hold(validate_args, low=low, high=high)
        self._check("low", self.low, self.low.array.real < self.high.array.real, "below high")

    @property
    def mean(self) -> Tensor:
        """(low + high)/2."""
        return (self.low + self.high) / 2

    @property
    def mode(self) -> Tensor:
        """NaN: all values are alike."""
        return math.nan * self.high

    @property
    def variance(self) -> Tensor:
        """(high - low)²/12."""
        return (self.high - self.low) ** 2 / 12

    @property
    def stddev(self) -> Tensor:
        """(high - low)/√12."""
        return (self.high - self.low) / math.sqrt(12)

    @property
    def support(self) -> Constraint:
        """From low to high."""
        return interval(self.low, self.high, "from low to high")

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """low + (high - low)·u for a u uniform in [0, 1)."""
        u = rand(self._shape(sample_shape), dtype=self.low.array.real.dtype)
        return self.low + u * (self.high - self.low)

    def log_prob(self, value: Any) -> Tensor:
        """-log(high - low) in [low, high), -inf elsewhere."""
        x = self._value(value)
        inside = (self.low <= x) & (x < self.high)
        return log(inside.to(self.low.dtype)) - log(self.high - self.low)

    def cdf(self, value: Any) -> Tensor:
        """(x - low)/(high - low), from 0 to 1."""
        return clamp((self._value(value) - self.low) / (self.high - self.low), 0, 1)

    def icdf(self, value: Any) -> Tensor:
        """low + x·(high - low)."""
        return as_tensor(value) * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        """log(high - low)."""
        return log(self.high - self.low)
