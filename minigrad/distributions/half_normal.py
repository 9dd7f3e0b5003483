"""The distributions of the size of a normal, or of Cauchy's, number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from minigrad.distributions.constraints import nonnegative, positive
from minigrad.distributions.distribution import Distribution
from minigrad.distributions.normal import Normal
from minigrad.ops.arithmetic import abs as absolute
from minigrad.ops.arithmetic import where
from minigrad.ops.create import as_tensor, zeros_like
from minigrad.tensor import Tensor


class Folded(Distribution):
    """|x| for an x of a distribution that is the same on both sides of 0.

    Args:
        scale: that of x, above 0, a number or a tensor.
    """

    has_rsample = True
    arg_constraints: ClassVar = {"scale": positive}
    support = nonnegative
    scale: Tensor
    _whole: ClassVar[Any]

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        self._hold(validate_args, scale=scale)

    @property
    def base_dist(self) -> Any:
        """The distribution of x."""
        return self._whole(zeros_like(self.scale), self.scale, validate_args=False)

    @property
    def mode(self) -> Tensor:
        """0."""
        return zeros_like(self.scale)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """|x|."""
        return absolute(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Any) -> Tensor:
        """That of x, and log 2; -inf below 0."""
        x = self._value(value)
        return where(as_tensor(x) >= 0, self.base_dist.log_prob(x) + math.log(2), -math.inf)

    def cdf(self, value: Any) -> Tensor:
        """Twice that of x, less 1."""
        return 2 * self.base_dist.cdf(self._value(value)) - 1  # type: ignore[no-any-return]

    def icdf(self, value: Any) -> Tensor:
        """That of x at (p + 1)/2."""
        return self.base_dist.icdf((as_tensor(value) + 1) / 2)  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        """That of x, less log 2."""
        return self.base_dist.entropy() - math.log(2)  # type: ignore[no-any-return]


class HalfNormal(Folded):
    """|x| for a normal x of mean 0.

    Args:
        scale: the standard deviation of x, above 0, a number or a tensor.
    """

    _whole = Normal

    @property
    def mean(self) -> Tensor:
        """scale·√(2/π)."""
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Tensor:
        """scale²·(1 - 2/π)."""
        return self.scale**2 * (1 - 2 / math.pi)
