"""Cross-entropy. Equations are those of ops/losses.py."""

from __future__ import annotations

import numpy as np

from minigrad.kernels.machinery.arrays import Array, accumulator, like


def cross_entropy(x: Array, target: Array) -> tuple[Array, Array]:
    """(CE 1) per row of x (N, C), target (N,): loss and log Σ exp, both (N,) accumulators."""
    top = x.real.max(1, initial=-np.inf)  # exp of what is left cannot overflow
    with np.errstate(all="ignore"):
        z = np.subtract(x, top[:, None], dtype=accumulator(x))
        log_sum = np.log(np.exp(z).sum(1))
        loss = log_sum - z[np.arange(len(x)), target]
    return loss, log_sum + top


def cross_entropy_backward(g: Array, x: Array, log_sum_exp: Array, target: Array) -> Array:
    """Equation (CE 2), g (N,) one number a row: dx (N, C)."""
    with np.errstate(all="ignore"):
        dx: Array = np.exp(x - log_sum_exp[:, None])
        dx[np.arange(len(x)), target] -= 1
        dx = dx * g[:, None]
    return dx.astype(like(x, g, log_sum_exp), copy=False)
