"""A categorical distribution made continuous."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad.distributions.constraints import simplex
from minigrad.distributions.one_hot_categorical import OfCategories
from minigrad.ops.activations import softmax
from minigrad.ops.create import as_tensor
from minigrad.ops.elementary import log
from minigrad.ops.reductions import logsumexp
from minigrad.tensor import Tensor


class RelaxedOneHotCategorical(OfCategories):
    """Rows of sum 1 near one 1 among zeros, through which gradients pass.

    Args:
        temperature: above 0, a number or a tensor; the lower, the nearer to 0 and 1.
        probs: (…, K), at least 0; they are normalised to sum 1. Or
        logits: (…, K), logarithms of such, which need not be normalised.
    """

    has_rsample = True
    support = simplex

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        self._hold_categories(probs, logits, validate_args)
        self.temperature = as_tensor(temperature)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The softmax of (logits + z)/temperature for Gumbel's numbers z."""
        z = log(self._exponential(sample_shape))
        return softmax((self.logits - z) / self.temperature, -1)

    def log_prob(self, value: Any) -> Tensor:
        """log Γ(K) + (K - 1)·log t + Σ s_k - K·log Σ e^s_k - Σ log x_k, with
        s_k = logits_k - t·log x_k for the temperature t."""
        logs, k = log(self._value(value)), self.event_shape[0]
        score = self.logits - logs * self.temperature
        score = (score - logsumexp(score, -1, keepdim=True)).sum(-1)
        return score + math.lgamma(k) + (k - 1) * log(self.temperature) - logs.sum(-1)
