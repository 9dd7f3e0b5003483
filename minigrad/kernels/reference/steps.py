"""What changes arrays in place: running statistics, optimisers, scatter."""

from __future__ import annotations

from math import sqrt

import numpy as np

from minigrad.kernels.machinery.arrays import Array


def move_stats_(
    mean: Array, var: Array, batch_mean: Array, batch_var: Array, factor: float, correction: float
) -> Array:
    """Move running statistics (C,) in place: (1 - factor)·running + factor·batch, the batch's
    variance times `correction`. Channels where that is not finite stay; returns which."""
    with np.errstate(all="ignore"):
        new_mean = ((1 - factor) * mean.astype(np.float64) + factor * batch_mean).astype(mean.dtype)
        new_var = (1 - factor) * var.astype(np.float64) + factor * (batch_var * correction)
        new_var = new_var.astype(var.dtype)
    stay = ~(np.isfinite(new_mean) & np.isfinite(new_var))
    np.copyto(mean, new_mean, where=~stay)
    np.copyto(var, new_var, where=~stay)
    return np.flatnonzero(stay)


def sgd_step_(
    p: Array,
    g: Array,
    buf: Array | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
) -> None:
    """One step of SGD, in place in p and buf: buf = momentum·buf + (1 - dampening)·g."""
    d = -g if maximize else g
    if weight_decay:
        d = d + weight_decay * p
    if buf is not None:
        buf *= momentum
        buf += (1 - dampening) * d
        d = d + momentum * buf if nesterov else buf
    p -= lr * d


def adam_step_(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
    decoupled: bool,
    maximize: bool,
) -> None:
    """Step number `step` (from 1) of Adam, or AdamW if decoupled, in place in p, m and v."""
    d = -g if maximize else g
    if weight_decay and decoupled:
        p *= 1 - lr * weight_decay
    elif weight_decay:
        d = d + weight_decay * p
    m += (1 - beta1) * (d - m)
    v *= beta2
    v += (1 - beta2) * d * d
    # m and v start at zero; the divisions take out the bias that leaves in them.
    denominator = np.sqrt(v) / sqrt(1 - beta2**step) + eps
    p -= lr / (1 - beta1**step) * m / denominator


def add_at_(out: Array, index: Array, rows: Array) -> None:
    """out[index[k]] += rows[k] in order; out (V, D), index (K,), rows (K, D)."""
    np.add.at(out, index, rows)
