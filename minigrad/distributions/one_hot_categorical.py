"""The categorical distribution in rows with a single 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.distributions.categorical import Categorical
from minigrad.distributions.distribution import Distribution
from minigrad.ops.indexing import one_hot
from minigrad.ops.search import argmax
from minigrad.tensor import Tensor


class OneHotCategorical(Distribution):
    """Rows (K,) with a 1 at a place that `Categorical` draws, else 0.

    Args:
        probs: (…, K), at least 0; they are normalised to sum 1. Or
        logits: (…, K), logarithms of such, which need not be normalised.
    """

    _expected = "a row with a single 1, else 0"

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._places = Categorical(probs, logits, validate_args=validate_args)
        size = self._places._num_events
        super().__init__(self._places.batch_shape, (size,), validate_args)

    def expand(self, batch_shape: Sequence[int]) -> OneHotCategorical:
        """The same distribution for a larger batch."""
        places = self._places.expand(batch_shape)
        return OneHotCategorical(logits=places.logits, validate_args=False)

    @property
    def probs(self) -> Tensor:
        """The probabilities, of sum 1."""
        return self._places.probs

    @property
    def logits(self) -> Tensor:
        """Their logarithms."""
        return self._places.logits

    @property
    def mean(self) -> Tensor:
        """probs."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The most probable row."""
        return one_hot(argmax(self.probs, -1), self.event_shape[0]).to(self.probs.dtype)

    @property
    def variance(self) -> Tensor:
        """probs·(1 - probs)."""
        return self.probs * (1 - self.probs)

    def _supports(self, value: Any) -> Any:
        return ((value == 0) | (value == 1)) & (value.sum(-1, keepdims=True) == 1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Rows in the dtype of the parameters."""
        rows = one_hot(self._places.sample(sample_shape), self.event_shape[0])
        return rows.to(np.dtype(self.probs.array.real.dtype))

    def log_prob(self, value: Any) -> Tensor:
        """logits[the place of the 1]."""
        return self._places.log_prob(argmax(self._value(value), -1))

    def entropy(self) -> Tensor:
        """-Σ p·log p."""
        return self._places.entropy()
