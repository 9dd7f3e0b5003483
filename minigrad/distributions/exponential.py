"""The exponential distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.distributions.distribution import Distribution, drawn, parameters
from minigrad.ops.create import as_tensor, zeros_like
from minigrad.ops.elementary import exp, log, log1p
from minigrad.ops.random import generator
from minigrad.tensor import Tensor


class Exponential(Distribution):
    """The exponential distribution, of density rate·e^(-rate·x).

    Args:
        rate: above 0, a number or a tensor.
    """

    has_rsample = True
    _names = ("rate",)
    _expected = "at least 0"

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = parameters("Exponential", rate=rate)
        super().__init__(self.rate.shape, validate_args=validate_args)
        self._check("rate", self.rate, self.rate.array.real > 0, "above 0")

    @property
    def mean(self) -> Tensor:
        """1/rate."""
        return 1 / self.rate

    @property
    def mode(self) -> Tensor:
        """0."""
        return zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        """1/rate."""
        return 1 / self.rate

    @property
    def variance(self) -> Tensor:
        """1/rate²."""
        return self.rate**-2.0

    def _supports(self, value: Any) -> Any:
        return value >= 0

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """z/rate for a z of rate 1."""
        z = generator().standard_exponential(self._shape(sample_shape))
        return drawn(self.rate, z) / self.rate

    def log_prob(self, value: Any) -> Tensor:
        """log rate - rate·x."""
        return log(self.rate) - self.rate * self._value(value)

    def cdf(self, value: Any) -> Tensor:
        """1 - e^(-rate·x)."""
        return 1 - exp(-self.rate * self._value(value))

    def icdf(self, value: Any) -> Tensor:
        """-log(1 - x)/rate."""
        return -log1p(-as_tensor(value)) / self.rate

    def entropy(self) -> Tensor:
        """1 - log rate."""
        return 1 - log(self.rate)
