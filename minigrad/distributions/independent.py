"""Axes of a batch as axes of one sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.checks import integer
from minigrad.distributions import constraints
from minigrad.distributions.distribution import Distribution, sum_last
from minigrad.tensor import Tensor


class Independent(Distribution):
    """A distribution whose last axes of the batch count as axes of one sample, so that `log_prob`
    and `entropy` sum over them.

    Args:
        base_distribution: any distribution.
        reinterpreted_batch_ndims: how many of the last axes of its batch_shape.

    Raises:
        ValueError: the batch has fewer axes.
    """

    _parts = ("base_dist",)

    def __init__(
        self, base_distribution: Distribution, reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        name = "Independent"
        given: Any = base_distribution
        if not isinstance(given, Distribution):
            kind = type(given).__name__
            raise TypeError(f"{name}: base_distribution must be a Distribution, got {kind}")
        count = integer(name, "reinterpreted_batch_ndims", reinterpreted_batch_ndims, 0)
        batch = base_distribution.batch_shape
        if count > len(batch):
            raise ValueError(
                f"{name}: reinterpreted_batch_ndims is {count}, but batch_shape {batch} has "
                f"{len(batch)} axes"
            )
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, count
        self.has_rsample = base_distribution.has_rsample
        at = len(batch) - count
        super().__init__(batch[:at], batch[at:] + base_distribution.event_shape, validate_args)

    @property
    def support(self) -> constraints.Constraint | None:
        """That of the base."""
        base = self.base_dist.support
        return base and constraints.independent(base, self.reinterpreted_batch_ndims)

    @property
    def mean(self) -> Tensor:
        """That of the base."""
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        """That of the base."""
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        """That of the base."""
        return self.base_dist.variance

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw from the base."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw from the base so that gradients pass."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Tensor:
        """The sum of the base's over the axes."""
        return sum_last(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        """The sum of the base's over the axes."""
        return sum_last(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"
