"""The categorical distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from minigrad.distributions.constraints import (
    Constraint,
    integer_interval,
    real_vector,
    simplex,
)
from minigrad.distributions.discrete import OfProbabilities, enumerated, inside
from minigrad.modes import no_grad
from minigrad.ops.activations import softmax
from minigrad.ops.arithmetic import clamp
from minigrad.ops.create import full, tensor
from minigrad.ops.elementary import log
from minigrad.ops.indexing import gather
from minigrad.ops.random import multinomial
from minigrad.ops.reductions import logsumexp
from minigrad.ops.search import argmax
from minigrad.ops.shape import expand as expanded
from minigrad.tensor import Tensor


class Categorical(OfProbabilities):
    """0 … K - 1, each with a probability of its own.

    Args:
        probs: (…, K), at least 0; they are normalised to sum 1. Or
        logits: (…, K), logarithms of such, which need not be normalised.

    Raises:
        ValueError: both or none of them is given, one has no axis, or is out of range.
    """

    has_enumerate_support = True
    arg_constraints: ClassVar = {"probs": simplex, "logits": real_vector}

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        (given,) = self._take(probs, logits)
        argument = self._given()[0]
        if not given.ndim or not given.shape[-1]:
            raise ValueError(
                f"{self._title}: {argument} must have an axis of K probabilities, got shape "
                f"{given.shape}"
            )
        super().__init__(given.shape[:-1], validate_args=validate_args)
        self._num_events = given.shape[-1]
        a = given.array.real
        if self._is_logits:
            self._check(argument, given, ~np.isnan(a), "a number")
            self.logits = given - logsumexp(given, -1, keepdim=True)
        else:
            self._check(argument, given, (a >= 0) & (a < np.inf), "finite and at least 0")
            some = (a > 0).any(axis=-1, keepdims=True)
            self._check(argument, given, some, "above 0 somewhere in each row")
            self.probs = given / given.sum(-1, keepdim=True)

    @cached_property
    def probs(self) -> Tensor:
        """The probabilities, of sum 1."""
        return softmax(self.logits, -1)

    @cached_property
    def logits(self) -> Tensor:
        """Their logarithms."""
        return log(inside(self.probs))

    @property
    def mean(self) -> Tensor:
        """NaN: the numbers are names."""
        return full(self.batch_shape, math.nan, dtype=self.probs.dtype)

    @property
    def mode(self) -> Tensor:
        """The most probable number."""
        return argmax(self.probs, -1)

    @property
    def variance(self) -> Tensor:
        """NaN: the numbers are names."""
        return full(self.batch_shape, math.nan, dtype=self.probs.dtype)

    @property
    def support(self) -> Constraint:
        """The whole numbers below K."""
        return integer_interval(0, self._num_events - 1, "a whole number from 0 to K - 1")

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Numbers from 0 to K - 1, int64."""
        shape = self._shape(sample_shape)
        count = math.prod(shape[: len(shape) - len(self.batch_shape)])
        if not math.prod(shape):
            return full(shape, 0)
        with no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            return multinomial(rows, count, True).t().reshape(shape).contiguous()

    def log_prob(self, value: Any) -> Tensor:
        """logits[x]."""
        x = self._value(value).long()
        shape = np.broadcast_shapes(x.shape, self.batch_shape)
        logits = expanded(self.logits, (*shape, self._num_events))
        return gather(logits, -1, expanded(x, shape).unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """-Σ p·log p."""
        # 0·log 0 is 0: the smallest number stands for -inf
        least = float(np.finfo(self.logits.array.real.dtype).min)
        return -(clamp(self.logits, min=least) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 … K - 1, (K, *batch_shape)."""
        return enumerated(tensor(np.arange(self._num_events)), self.batch_shape, expand)
