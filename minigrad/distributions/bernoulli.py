"""The Bernoulli distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad.distributions.constraints import boolean
from minigrad.distributions.discrete import OfChance, enumerated
from minigrad.modes import no_grad
from minigrad.ops.arithmetic import where
from minigrad.ops.create import tensor
from minigrad.ops.losses import binary_cross_entropy_with_logits
from minigrad.ops.random import bernoulli
from minigrad.ops.shape import broadcast_tensors
from minigrad.ops.shape import expand as expanded
from minigrad.tensor import Tensor


class Bernoulli(OfChance):
    """1 with a probability, else 0.

    Args:
        probs: the probability of 1, a number or a tensor; or
        logits: its log-odds, log(probs/(1 - probs)).

    Raises:
        ValueError: both or none of them is given, or one is out of range.
    """

    has_enumerate_support = True
    support = boolean

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._hold_chance(validate_args, probs, logits)

    @property
    def mean(self) -> Tensor:
        """probs."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """1 where it is the more probable, NaN where both are alike."""
        likely = where(self.probs >= 0.5, 1.0, 0.0).to(self.probs.dtype)
        return where(self.probs == 0.5, math.nan, likely)

    @property
    def variance(self) -> Tensor:
        """probs·(1 - probs)."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """0 and 1 in the dtype of the parameters."""
        with no_grad():
            return bernoulli(expanded(self.probs, self._shape(sample_shape)))

    def log_prob(self, value: Any) -> Tensor:
        """x·log probs + (1 - x)·log(1 - probs)."""
        logits, x = broadcast_tensors(self.logits, self._value(value))
        return -binary_cross_entropy_with_logits(logits, x.to(logits.dtype), reduction="none")

    def entropy(self) -> Tensor:
        """-p·log p - (1 - p)·log(1 - p)."""
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 and 1, (2, *batch_shape)."""
        return enumerated(tensor([0, 1], dtype=self.probs.dtype), self.batch_shape, expand)
