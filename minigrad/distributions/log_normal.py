"""The distribution of numbers whose logarithms are normal."""

from __future__ import annotations

from typing import Any, ClassVar

from minigrad.distributions.constraints import positive, real
from minigrad.distributions.normal import Normal
from minigrad.distributions.transformed_distribution import TransformedDistribution
from minigrad.distributions.transforms import ExpTransform
from minigrad.ops.elementary import exp, expm1
from minigrad.tensor import Tensor


class LogNormal(TransformedDistribution):
    """e^x for a normal x.

    Args:
        loc: the mean of x, a number or a tensor.
        scale: its standard deviation, above 0; broadcast with `loc`.
    """

    arg_constraints: ClassVar = {"loc": real, "scale": positive}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal._as_part_of("LogNormal", loc, scale, validate_args)
        super().__init__(base, ExpTransform(), validate_args)

    @property
    def loc(self) -> Tensor:
        """The mean of the logarithm."""
        return self.base_dist.loc  # type: ignore[attr-defined, no-any-return]

    @property
    def scale(self) -> Tensor:
        """The standard deviation of the logarithm."""
        return self.base_dist.scale  # type: ignore[attr-defined, no-any-return]

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
        """The logarithm's, and loc."""
        return self.base_dist.entropy() + self.loc

    def __repr__(self) -> str:
        return repr(self.base_dist)
