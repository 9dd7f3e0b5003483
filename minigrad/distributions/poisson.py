"""The Poisson distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from minigrad.distributions.constraints import nonnegative, nonnegative_integer
from minigrad.distributions.distribution import Distribution
from minigrad.ops.random import generator
from minigrad.ops.rounding import floor
from minigrad.ops.special import lgamma
from minigrad.ops.trigonometry import xlogy
from minigrad.tensor import Tensor


class Poisson(Distribution):
    """How many of many rare events happen: e^-rate·rate^x/x!.

    Args:
        rate: the mean, at least 0, a number or a tensor.
    """

    arg_constraints: ClassVar = {"rate": nonnegative}
    support = nonnegative_integer
    rate: Tensor

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        self._hold(validate_args, rate=rate)

    @property
    def mean(self) -> Tensor:
        """rate."""
        return self.rate

    @property
    def mode(self) -> Tensor:
        """The whole part of the rate."""
        return floor(self.rate)

    @property
    def variance(self) -> Tensor:
        """rate."""
        return self.rate

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Whole numbers in the dtype of the rate."""
        shape = self._shape(sample_shape)
        return self._drawn(generator().poisson(self.rate.array.real, shape))

    def log_prob(self, value: Any) -> Tensor:
        """x·log rate - rate - log x!."""
        x = self._count(value)
        return xlogy(x, self.rate) - self.rate - lgamma(x + 1)
