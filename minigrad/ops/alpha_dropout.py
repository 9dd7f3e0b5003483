"""Dropout for self-normalising networks: what is dropped takes SELU's value at -∞, and the rest is
moved so that a mean of 0 and a variance of 1 stay."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.checks import probability
from minigrad.incoming import as_array
from minigrad.ops.random import generator
from minigrad.recording import floating_operand, record_each
from minigrad.tensor import Tensor, wrap

LOWEST = -1.7580993408473766  # SELU's λ·α


def alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """In training, set each element to SELU's lowest value with probability p, and scale and shift
    all so that the mean and the variance of a standard normal input stay.

    Source: Klambauer et al., Self-normalizing neural networks, 2017.
    """
    return _dropped("alpha_dropout", input, p, training, as_array(input).shape)


def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, …)."""
    shape = as_array(input).shape
    if len(shape) < 2 and training:
        raise RuntimeError(f"feature_alpha_dropout: expected an input (N, C, …), got shape {shape}")
    return _dropped(
        "feature_alpha_dropout", input, p, training, shape[:2] + (1,) * (len(shape) - 2)
    )


def _dropped(name: str, x: Any, p: float, training: bool, shape: tuple[int, ...]) -> Tensor:
    # with m = LOWEST, kept ~ 1 with probability 1 - p, else 0
    #     y = a·(x·kept + m·(1 - kept)) + b        a = ((1 - p)·(1 + p·m²))^-½        b = -a·p·m
    # dL/dx = g·a·kept
    p = probability(name, "p", p)
    if not training or p == 0:
        return x if isinstance(x, Tensor) else wrap(as_array(x))
    v = floating_operand(name, x)
    dtype = v.real.dtype
    if p == 1:  # nothing is left to be scaled
        return record_each(name, v * dtype.type(0), (x, lambda g: g * dtype.type(0)))
    a = ((1 - p) * (1 + p * LOWEST**2)) ** -0.5
    kept = generator().random(shape) >= p
    factor = np.where(kept, a, 0).astype(dtype)
    shift = (np.where(kept, 0, a * LOWEST) - a * p * LOWEST).astype(dtype)
    return record_each(name, v * factor + shift, (x, lambda g: g * factor))
