"""Gradients within bounds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minigrad.changes import note_change
from minigrad.checks import number, users_level
from minigrad.nn.renamed import without_underscore
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap


def _gradients(name: str, parameters: Tensor | Iterable[Tensor]) -> list[Array]:
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not tensors and isinstance(parameters, Iterator):
        warnings.warn(
            f"{name}: the iterator of parameters is empty, so nothing is clipped; one such as "
            "model.parameters() can be used once: call it again",
            UserWarning,
            stacklevel=users_level(),
        )
    return [t.grad.array for t in tensors if t.grad is not None]


def _norm(gradients: list[Array], p: float) -> float:
    """The p-norm of all elements together, in float64."""
    if p == math.inf:
        return max((float(np.abs(g).max(initial=0)) for g in gradients), default=0.0)
    powers = (np.sum(np.abs(g.astype(np.float64)) ** p) for g in gradients)
    return math.pow(sum(powers), 1 / p)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients by one factor so that their common norm is at most `max_norm`.

    Args:
        parameters: tensors, or one; those without a gradient are passed over.
        max_norm: the bound.
        norm_type: p of the p-norm; may be inf.
        error_if_nonfinite: refuse a norm that is NaN or infinite, and change nothing.
        foreach: a way of PyTorch's to compute the same; nothing depends on it here.

    Returns:
        The norm before, 0-d.

    Source: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks,
    2013, algorithm 1.
    """
    norm_type = number("clip_grad_norm_", "norm_type", norm_type, above=0)
    max_norm = number("clip_grad_norm_", "max_norm", max_norm, at_least=0)
    gradients = _gradients("clip_grad_norm_", parameters)
    with np.errstate(all="ignore"):
        total = _norm(gradients, float(norm_type))
        if error_if_nonfinite and not math.isfinite(total):
            raise RuntimeError(
                f"clip_grad_norm_: the norm of the gradients is {total}; nothing was changed. Look "
                "for its source with detect_anomaly()"
            )
        factor = max_norm / (total + 1e-6)  # PyTorch's guard against a norm of 0
        if not factor >= 1:
            for gradient in gradients:
                gradient *= factor
                note_change(gradient)
    dtype = np.result_type(*gradients) if gradients else np.float32
    return wrap(np.array(total, dtype))


clip_grad_norm = without_underscore(clip_grad_norm_)


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: Any, foreach: bool | None = None
) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value]; nothing depends on
    `foreach`."""
    clip_value = number("clip_grad_value_", "clip_value", clip_value, at_least=0)
    for gradient in _gradients("clip_grad_value_", parameters):
        np.clip(gradient, -clip_value, clip_value, out=gradient)
        note_change(gradient)
