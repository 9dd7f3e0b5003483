"""The categorical distribution over rows of one 1 among zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minigrad.distributions.categorical import Categorical
from minigrad.distributions.constraints import one_hot, real_vector, simplex
from minigrad.distributions.distribution import Distribution, Shape
from minigrad.ops.create import tensor
from minigrad.ops.shape import expand as expanded
from minigrad.tensor import Tensor, wrap


class OfCategories(Distribution):
    """What is made of a row of probabilities, or of their logarithms, as `Categorical` is."""

    arg_constraints: ClassVar = {"probs": simplex, "logits": real_vector}
    _parts = ("_categorical",)
    _categorical: Categorical

    def _hold_categories(self, probs: Any, logits: Any, validate_args: bool | None) -> None:
        self._categorical = Categorical._as_part_of(self._title, probs, logits, validate_args)
        shape = self._categorical.param_shape
        Distribution.__init__(self, shape[:-1], shape[-1:], validate_args)

    @property
    def probs(self) -> Tensor:
        """The probabilities, of sum 1."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """Their logarithms."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Shape:
        """The shape of probs and logits."""
        return self._categorical.param_shape

    @property
    def _dtype(self) -> np.dtype[Any]:
        return self._categorical._dtype

    def __repr__(self) -> str:
        return repr(self._categorical)


class OneHotCategorical(OfCategories):
    """Rows of zeros and one 1, whose place has probabilities.

    Args:
        probs: (…, K), at least 0; they are normalised to sum 1. Or
        logits: (…, K), logarithms of such, which need not be normalised.
    """

    has_enumerate_support = True
    support = one_hot

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._hold_categories(probs, logits, validate_args)

    @property
    def mean(self) -> Tensor:
        """probs."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """1 at the most probable place."""
        return self._rows(self._categorical.mode.array)

    @property
    def variance(self) -> Tensor:
        """probs·(1 - probs)."""
        return self.probs * (1 - self.probs)

    def _rows(self, places: Any) -> Tensor:
        return wrap(np.eye(self.event_shape[0], dtype=self._dtype)[places])

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Rows in the dtype of the parameters."""
        return self._rows(self._categorical.sample(sample_shape).array)

    def log_prob(self, value: Any) -> Tensor:
        """logits[place of the 1]."""
        return self._categorical.log_prob(self._value(value).argmax(-1))

    def entropy(self) -> Tensor:
        """-Σ p·log p."""
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All rows, (K, *batch_shape, K)."""
        k = self.event_shape[0]
        rows = tensor(np.eye(k, dtype=self._dtype)).reshape(k, *(1,) * len(self.batch_shape), k)
        return expanded(rows, (k, *self.batch_shape, k)) if expand else rows


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical`, with gradients through samples as if they were the probabilities."""

    has_rsample = True

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Rows of zeros and one 1, with the gradient of probs."""
        return self.sample(sample_shape) + (self.probs - self.probs.detach())
