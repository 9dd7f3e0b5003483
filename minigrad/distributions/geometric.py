"""The geometric distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minigrad.distributions.constraints import chance, nonnegative_integer, real
from minigrad.distributions.discrete import OfChance
from minigrad.modes import no_grad
from minigrad.ops.create import zeros_like
from minigrad.ops.elementary import log, log1p
from minigrad.ops.losses import binary_cross_entropy_with_logits
from minigrad.ops.rounding import floor
from minigrad.ops.trigonometry import xlog1py
from minigrad.tensor import Tensor


class Geometric(OfChance):
    """How many trials fail before the first that succeeds: probs·(1 - probs)^x.

    Args:
        probs: the probability of success, above 0, a number or a tensor; or
        logits: its log-odds.
    """

    arg_constraints: ClassVar = {"probs": chance, "logits": real}
    support = nonnegative_integer

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._hold_chance(validate_args, probs, logits)

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

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Whole numbers in the dtype of the parameters: an exponential number's whole part."""
        with no_grad(), np.errstate(divide="ignore"):
            return floor(-self._exponential(sample_shape) / log1p(-self.probs))

    def log_prob(self, value: Any) -> Tensor:
        """x·log(1 - probs) + log probs."""
        return xlog1py(self._count(value), -self.probs) + log(self.probs)

    def entropy(self) -> Tensor:
        """That of one trial, times the number of trials to expect."""
        one = binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
        return one / self.probs
