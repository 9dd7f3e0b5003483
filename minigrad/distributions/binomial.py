"""The binomial distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minigrad.distributions.constraints import (
    Constraint,
    integer_interval,
    nonnegative_integer,
    real,
    unit_interval,
)
from minigrad.distributions.discrete import OfChance, enumerated
from minigrad.ops.activations import softplus
from minigrad.ops.arithmetic import minimum
from minigrad.ops.create import tensor
from minigrad.ops.elementary import exp
from minigrad.ops.random import generator
from minigrad.ops.rounding import floor
from minigrad.ops.special import lgamma
from minigrad.tensor import Tensor


class Binomial(OfChance):
    """How many of some trials succeed.

    Args:
        total_count: the number of trials, a number or a tensor, broadcast with
        probs: the probability that one succeeds; or
        logits: its log-odds.
    """

    has_enumerate_support = True
    arg_constraints: ClassVar = {
        "total_count": nonnegative_integer, "probs": unit_interval, "logits": real,
    }  # fmt: skip
    total_count: Tensor

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        self._hold_chance(validate_args, probs, logits, total_count=total_count)

    @property
    def support(self) -> Constraint:
        """The whole numbers up to total_count."""
        return integer_interval(0, self.total_count, "a whole number from 0 to total_count")

    @property
    def mean(self) -> Tensor:
        """n·probs for n trials."""
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        """The whole part of (n + 1)·probs, at most n."""
        return minimum(floor((self.total_count + 1) * self.probs), self.total_count)

    @property
    def variance(self) -> Tensor:
        """n·probs·(1 - probs)."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Whole numbers in the dtype of the parameters."""
        n, p = self.total_count.array.real, self.probs.array.real
        return self._drawn(generator().binomial(n.astype(np.int64), p, self._shape(sample_shape)))

    def log_prob(self, value: Any) -> Tensor:
        """log (n choose x) + x·logits + n·log(1 - probs)."""
        x, n = self._count(value), self.total_count
        ways = lgamma(n + 1) - lgamma(x + 1) - lgamma(n - x + 1)
        return ways + x * self.logits - n * softplus(self.logits)

    def entropy(self) -> Tensor:
        """-Σ p·log p over all values, for one number of trials."""
        logs = self.log_prob(self.enumerate_support(False))
        return -(exp(logs) * logs).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 … n, (n + 1, *batch_shape), for one number of trials."""
        counts = np.unique(self.total_count.array.real)
        if len(counts) != 1:
            raise NotImplementedError(
                "Binomial: entropy and enumerate_support need one total_count for all, got "
                f"{len(counts)} different ones"
            )
        values = tensor(np.arange(int(counts[0]) + 1), dtype=self._dtype)
        return enumerated(values, self.batch_shape, expand)
