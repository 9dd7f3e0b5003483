"""The log-normal distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.distributions.normal import Normal
from minigrad.distributions.transformed_distribution import TransformedDistribution
from minigrad.distributions.transforms import ExpTransform
from minigrad.ops.elementary import exp, expm1
from minigrad.tensor import Tensor


class LogNormal(TransformedDistribution):
    """What has a normal logarithm.

    Args:
        loc: the mean of the logarithm.
        scale: its standard deviation, above 0.
    """

    base_dist: Normal
    _expected = "above 0"

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args)

    def _supports(self, value: Any) -> Any:
        return value > 0

    def expand(self, batch_shape: Sequence[int]) -> LogNormal:
        """The same distribution for a larger batch."""
        base = self.base_dist.expand(batch_shape)
        return LogNormal(base.loc, base.scale, validate_args=False)

    @property
    def loc(self) -> Tensor:
        """The mean of the logarithm."""
        return self.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """The standard deviation of the logarithm."""
        return self.base_dist.scale

    @property
    def mean(self) -> Tensor:
        """e^(loc + scale²/2)."""
        return exp(self.loc + self.scale**2 / 2)

    @property
    def mode(self) -> Tensor:
        """e^(loc - scale²)."""
        return exp(self.loc - self.scale**2)

    @property
    def variance(self) -> Tensor:
        """(e^(scale²) - 1)·e^(2·loc + scale²)."""
        return expm1(self.scale**2) * exp(2 * self.loc + self.scale**2)

    def entropy(self) -> Tensor:
        """The normal distribution's, and loc."""
        return self.base_dist.entropy() + self.loc
