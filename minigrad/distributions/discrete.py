"""What distributions over a few values have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from minigrad.distributions.constraints import real, unit_interval
from minigrad.distributions.distribution import Distribution, Shape, parameters
from minigrad.ops.activations import sigmoid
from minigrad.ops.arithmetic import clamp
from minigrad.ops.elementary import log, log1p
from minigrad.ops.shape import expand
from minigrad.tensor import Tensor


class OfProbabilities(Distribution):
    """What is made of either `probs` or `logits`, and computes the other when it is asked for."""

    _is_logits: bool

    def _take(self, probs: Any, logits: Any, **others: Any) -> list[Tensor]:
        """Whichever is given, and the other parameters, as tensors of one shape."""
        name = self._title
        if (probs is None) == (logits is None):
            raise ValueError(f"{name}: expected either probs or logits")
        self._is_logits = probs is None
        argument = "logits" if self._is_logits else "probs"
        return parameters(name, **{argument: logits if self._is_logits else probs}, **others)

    def _given(self) -> tuple[str, ...]:
        return ("logits",) if self._is_logits else ("probs",)

    @property
    def param_shape(self) -> Shape:
        """The shape of probs and logits."""
        return tuple(getattr(self, self._given()[0]).shape)


class OfChance(OfProbabilities):
    """What is made of the probability of one of two outcomes, or of its log-odds."""

    arg_constraints: ClassVar = {"probs": unit_interval, "logits": real}
    _others: Sequence[str] = ()

    def _hold_chance(
        self, validate_args: bool | None, probs: Any, logits: Any, **others: Any
    ) -> None:
        self._others = tuple(others)
        made = self._take(probs, logits, **others)
        self._hold(validate_args, **dict(zip(self._given(), made, strict=True)))

    def _given(self) -> tuple[str, ...]:
        return (*super()._given(), *self._others)

    @cached_property
    def probs(self) -> Tensor:
        """The probability."""
        return sigmoid(self.logits)

    @cached_property
    def logits(self) -> Tensor:
        """Its log-odds."""
        p = inside(self.probs)
        return log(p) - log1p(-p)


def inside(p: Tensor) -> Tensor:
    """Probabilities kept off 0 and 1, where their logarithms are infinite."""
    eps = float(np.finfo(p.array.real.dtype).eps)
    return clamp(p, eps, 1 - eps)


def enumerated(values: Tensor, batch_shape: Shape, wide: bool) -> Tensor:
    """All values along a first axis, for each distribution of the batch if `wide`."""
    values = values.reshape(-1, *(1,) * len(batch_shape))
    return expand(values, (-1, *batch_shape)) if wide else values
