"""The multinomial distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.checks import integer
from minigrad.distributions.binomial import Binomial
from minigrad.distributions.constraints import Constraint
from minigrad.distributions.one_hot_categorical import OfCategories
from minigrad.ops.arithmetic import where
from minigrad.ops.elementary import exp
from minigrad.ops.random import generator
from minigrad.ops.special import lgamma
from minigrad.tensor import Tensor


class Multinomial(OfCategories):
    """How often each of K outcomes comes in some trials.

    Args:
        total_count: the number of trials, an integer.
        probs: (…, K), at least 0; they are normalised to sum 1. Or
        logits: (…, K), logarithms of such, which need not be normalised.
    """

    def __init__(
        self, total_count: int = 1, probs: Any = None, logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        self.total_count = integer("Multinomial", "total_count", total_count, 0)
        self._hold_categories(probs, logits, validate_args)

    @property
    def support(self) -> Constraint:
        """Whole numbers of sum at most total_count, as in PyTorch."""
        return Constraint(
            f"whole numbers of at least 0, of sum at most {self.total_count} along the last axis",
            lambda a: (a >= 0) & (a % 1 == 0)
            & (a.sum(axis=-1, keepdims=True) <= self.total_count), True, 1,
        )  # fmt: skip

    @property
    def mean(self) -> Tensor:
        """n·probs for n trials."""
        return self.total_count * self.probs

    @property
    def variance(self) -> Tensor:
        """n·probs·(1 - probs)."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Counts in the dtype of the parameters."""
        p = self.probs.array.real.astype(np.float64)
        p = p / p.sum(axis=-1, keepdims=True)  # of sum 1 in float64, too
        shape = self._shape(sample_shape)[:-1]
        return self._categorical._drawn(generator().multinomial(self.total_count, p, shape))

    def log_prob(self, value: Any) -> Tensor:
        """log (Σ x)! - Σ log x! + Σ x·log probs."""
        x = self._count(value)
        powers = where(x == 0, 0.0, x * self.logits).sum(-1)
        return lgamma(x.sum(-1) + 1) - lgamma(x + 1).sum(-1) + powers

    def entropy(self) -> Tensor:
        """n·H - log n! + Σ E[log x_k!], H the entropy of one trial, x_k binomial."""
        counts = Binomial(self.total_count, self.probs, validate_args=False)
        values = counts.enumerate_support(False)
        expected = (exp(counts.log_prob(values)) * lgamma(values + 1)).sum((0, -1))
        n = values.reshape(-1)[-1]
        return n * self._categorical.entropy() - lgamma(n + 1) + expected
