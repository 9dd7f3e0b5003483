"""What distributions over a few values have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.distributions.distribution import Distribution, Shape, parameters
from minigrad.ops.arithmetic import clamp
from minigrad.ops.shape import expand
from minigrad.tensor import Tensor


class OfProbabilities(Distribution):
    """What is made of either `probs` or `logits`, and computes the other when it is asked for."""

    has_enumerate_support = True
    _names = ("probs", "logits")
    _is_logits: bool

    def _take(self, name: str, probs: Any, logits: Any) -> Tensor:
        if (probs is None) == (logits is None):
            raise ValueError(f"{name}: expected either probs or logits")
        self._is_logits = probs is None
        argument = "logits" if self._is_logits else "probs"
        return parameters(name, **{argument: logits if self._is_logits else probs})[0]

    def _given(self) -> tuple[str, ...]:
        return ("logits",) if self._is_logits else ("probs",)

    @property
    def param_shape(self) -> Shape:
        """The shape of probs and logits."""
        return tuple(getattr(self, self._given()[0]).shape)


def inside(p: Tensor) -> Tensor:
    """Probabilities kept off 0 and 1, where their logarithms are infinite."""
    eps = float(np.finfo(p.array.real.dtype).eps)
    return clamp(p, eps, 1 - eps)


def enumerated(values: Tensor, batch_shape: Shape, wide: bool) -> Tensor:
    values = values.reshape(-1, *(1,) * len(batch_shape))
    return expand(values, (-1, *batch_shape)) if wide else values
