"""Cross-entropy. Equations are those of ops/losses.py.

A row of x (N, C, …) is what lies along axis 1, and has one target (N, …)."""

from __future__ import annotations

from math import prod

import numpy as np

from minigrad.kernels.machinery.arrays import Array, accumulator, like


def places(target: Array, classes: int) -> Array:
    """Where the elements of the targets lie in x, seen as one row."""
    rows = target.reshape(len(target), prod(target.shape[1:]))
    first = np.arange(len(rows))[:, None] * classes
    return ((first + rows) * rows.shape[1] + np.arange(rows.shape[1])).reshape(-1)


def cross_entropy(x: Array, target: Array) -> tuple[Array, Array]:
    """(CE 1) per row of x: loss and log Σ exp, both (N, …) accumulators."""
    top = x.real.max(1, initial=-np.inf)  # exp of what is left cannot overflow
    with np.errstate(all="ignore"):
        z = np.subtract(x, top[:, None], dtype=accumulator(x))
        log_sum = np.log(np.exp(z).sum(1))
        loss = log_sum - z.reshape(-1)[places(target, x.shape[1])].reshape(target.shape)
    return loss, log_sum + top


def cross_entropy_backward(g: Array, x: Array, log_sum_exp: Array, target: Array) -> Array:
    """Equation (CE 2), g (N, …) one number a row: dx (N, C, …)."""
    with np.errstate(all="ignore"):
        dx: Array = np.exp(np.subtract(x, log_sum_exp[:, None], order="C"))
        dx.reshape(-1)[places(target, x.shape[1])] -= 1
        dx = dx * g[:, None]
    return dx.astype(like(x, g, log_sum_exp), copy=False)
