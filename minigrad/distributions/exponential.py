"""The exponential distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from minigrad.distributions.constraints import nonnegative, positive
from minigrad.distributions.distribution import Distribution
from minigrad.ops.create import as_tensor, zeros_like
from minigrad.ops.elementary import expm1, log, log1p
from minigrad.tensor import Tensor


class Exponential(Distribution):
    """The exponential distribution, of density rate·e^(-rate·x).

    Args:
        rate: above 0, a number or a tensor.
    """

    has_rsample = True
    arg_constraints: ClassVar = {"rate": positive}
    support = nonnegative
    rate: Tensor

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        self._hold(validate_args, rate=rate)

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

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """z/rate for a z of rate 1."""
        return self._exponential(sample_shape) / self.rate

    def log_prob(self, value: Any) -> Tensor:
        """log rate - rate·x."""
        return log(self.rate) - self.rate * self._value(value)

    def cdf(self, value: Any) -> Tensor:
        """1 - e^(-rate·x)."""
        return -expm1(-self.rate * self._value(value))

    def icdf(self, value: Any) -> Tensor:
        """-log(1 - x)/rate."""
        return -log1p(-as_tensor(value)) / self.rate

    def entropy(self) -> Tensor:
        """1 - log rate."""
        return 1 - log(self.rate)
