"""The negative binomial distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from minigrad.distributions.constraints import (
    half_open_chance,
    nonnegative,
    nonnegative_integer,
    real,
)
from minigrad.distributions.discrete import OfChance
from minigrad.ops.activations import logsigmoid, sigmoid
from minigrad.ops.arithmetic import clamp, where
from minigrad.ops.elementary import exp
from minigrad.ops.random import generator
from minigrad.ops.rounding import floor
from minigrad.ops.special import lgamma
from minigrad.tensor import Tensor


class NegativeBinomial(OfChance):
    """How many trials succeed before a number of them has failed.

    Args:
        total_count: the failures, at least 0, a number, which need not be whole, or a tensor;
            broadcast with
        probs: the probability that one succeeds, below 1; or
        logits: its log-odds.
    """

    arg_constraints: ClassVar = {
        "total_count": nonnegative, "probs": half_open_chance, "logits": real,
    }  # fmt: skip
    support = nonnegative_integer
    total_count: Tensor

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        self._hold_chance(validate_args, probs, logits, total_count=total_count)

    @property
    def mean(self) -> Tensor:
        """n·p/(1 - p) for n failures and probs p."""
        return self.total_count * exp(self.logits)

    @property
    def mode(self) -> Tensor:
        """The whole part of (n - 1)·p/(1 - p), at least 0."""
        return clamp(floor((self.total_count - 1) * exp(self.logits)), min=0.0)

    @property
    def variance(self) -> Tensor:
        """n·p/(1 - p)²."""
        return self.mean / sigmoid(-self.logits)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Poisson's numbers, whose rates are of the gamma distribution."""
        shape, draw = self._shape(sample_shape), generator()
        odds = exp(self.logits).array.real
        rates = draw.standard_gamma(self.total_count.array.real, shape) * odds
        return self._drawn(draw.poisson(rates))

    def log_prob(self, value: Any) -> Tensor:
        """log Γ(n + x) - log x! - log Γ(n) + n·log(1 - p) + x·log p."""
        x, n = self._count(value), self.total_count
        none = n + x == 0  # no failure is awaited and none has succeeded: that is certain
        ways = lgamma(where(none, 1.0, n + x)) - lgamma(1 + x) - lgamma(where(none, 1.0, n))
        return ways + n * logsigmoid(-self.logits) + x * logsigmoid(self.logits)
