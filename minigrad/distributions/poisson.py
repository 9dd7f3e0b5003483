"""The Poisson distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.distributions.distribution import Distribution, drawn, parameters
from minigrad.ops.random import generator
from minigrad.ops.rounding import floor
from minigrad.ops.special import lgamma
from minigrad.ops.trigonometry import xlogy
from minigrad.tensor import Tensor


class Poisson(Distribution):
    """0, 1, 2, … with probabilities rate^x·e^(-rate)/x!.

    Args:
        rate: at least 0, a number or a tensor.
    """

    has_rsample = False
    _names = ("rate",)
    _expected = "a whole number, at least 0"

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = parameters("Poisson", rate=rate)
        super().__init__(self.rate.shape, validate_args=validate_args)
        self._check("rate", self.rate, self.rate.array.real >= 0, "at least 0")

    @property
    def mean(self) -> Tensor:
        """rate."""
        return self.rate

    @property
    def mode(self) -> Tensor:
        """The rate, rounded down."""
        return floor(self.rate)

    @property
    def variance(self) -> Tensor:
        """rate."""
        return self.rate

    def _supports(self, value: Any) -> Any:
        return (value >= 0) & (value % 1 == 0)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Whole numbers in the dtype of the rate."""
        return drawn(
            self.rate, generator().poisson(self.rate.array.real, self._shape(sample_shape))
        )

    def log_prob(self, value: Any) -> Tensor:
        """x·log rate - rate - log x!."""
        x = self._value(value)
        return xlogy(x, self.rate) - self.rate - lgamma(x + 1)
