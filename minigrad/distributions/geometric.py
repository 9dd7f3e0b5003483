"""The geometric distribution."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.distributions.discrete import OfProbabilities, inside
from minigrad.distributions.distribution import drawn
from minigrad.ops.activations import sigmoid
from minigrad.ops.arithmetic import where
from minigrad.ops.create import zeros_like
from minigrad.ops.elementary import log, log1p
from minigrad.ops.losses import binary_cross_entropy_with_logits
from minigrad.ops.random import generator
from minigrad.ops.shape import broadcast_tensors
from minigrad.tensor import Tensor


class Geometric(OfProbabilities):
    """How many trials fail before the first that succeeds.

    Args:
        probs: the probability of success, above 0; or
        logits: its log-odds.
    """

    has_enumerate_support = False
    _expected = "a whole number, at least 0"

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        given = self._take("Geometric", probs, logits)
        super().__init__(given.shape, validate_args=validate_args)
        if self._is_logits:
            self.logits = given
            self._check("logits", given, ~np.isnan(given.array), "a number")
        else:
            self.probs = given
            p = given.array.real
            self._check("probs", given, (p > 0) & (p <= 1), "above 0 and at most 1")

    @cached_property
    def probs(self) -> Tensor:
        """The probability of success."""
        return sigmoid(self.logits)

    @cached_property
    def logits(self) -> Tensor:
        """Its log-odds."""
        p = inside(self.probs)
        return log(p) - log1p(-p)

    @property
    def mean(self) -> Tensor:
        """1/probs - 1."""
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        """0."""
        return zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        """(1/probs - 1)/probs."""
        return (1 / self.probs - 1) / self.probs

    def _supports(self, value: Any) -> Any:
        return (value >= 0) & (value % 1 == 0)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Whole numbers in the dtype of the parameters."""
        trials = generator().geometric(self.probs.array.real, self._shape(sample_shape))
        return drawn(self.probs, trials - 1)

    def log_prob(self, value: Any) -> Tensor:
        """x·log(1 - probs) + log probs."""
        x, p = broadcast_tensors(self._value(value), self.probs)
        return x * log1p(-where((p == 1) & (x == 0), 0.0, p)) + log(self.probs)

    def entropy(self) -> Tensor:
        """That of one trial, divided by probs."""
        once = binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
        return once / self.probs
