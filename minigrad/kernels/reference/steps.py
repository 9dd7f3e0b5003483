"""What changes arrays in place: running statistics, optimisers, scatter."""

from __future__ import annotations

from math import sqrt

import numpy as np

from minigrad.kernels.machinery.arrays import Array


def move_stats_(
    mean: Array, var: Array, batch_mean: Array, batch_var: Array, factor: float, correction: float,
    count: Array, partly: bool = False,
) -> Array:  # fmt: skip
    """(BN 13) for running statistics in place, `correction` being m/(m - 1): mean (C,), var (C,) or
    a covariance (G, d, d) of each of G groups of channels; then count () += 1. With factor 1
    nothing of what was there is left.

    Returns the channels of the groups in which not all comes out finite. If there are any, nothing
    moves; `partly` moves the others and the count."""

    def moved(old: Array, new: Array) -> Array:
        rest = (1 - factor) * old.astype(np.float64) if factor != 1 else 0.0
        return np.asarray(rest + factor * new).astype(old.dtype)

    with np.errstate(all="ignore"):
        new_mean, new_var = moved(mean, batch_mean), moved(var, batch_var * correction)
    groups = len(var)
    fits = np.isfinite(new_mean).reshape(groups, -1).all(1)
    fits &= np.isfinite(new_var).reshape(groups, -1).all(1)
    channels = np.repeat(fits, len(mean) // groups)
    stay = np.flatnonzero(~channels)
    if partly or not len(stay):
        np.copyto(mean, new_mean, where=channels)
        np.copyto(var, new_var, where=fits.reshape(-1, *[1] * (var.ndim - 1)))
        count += 1
    return stay


def sgd_step_(
    params: list[Array], grads: list[Array], buffers: list[Array | None], lr: float,
    momentum: float, dampening: list[float], weight_decay: float, nesterov: bool, maximize: bool,
) -> None:  # fmt: skip
    """One step of SGD for parameters of one dtype, in place in them and in their buffers:
    buf = momentum·buf + (1 - dampening)·g."""
    for p, g, buf, damp in zip(params, grads, buffers, dampening, strict=True):
        rate = np.array(lr, p.dtype)  # numpy computes faster with it than with a plain number
        d = -g if maximize else g
        if weight_decay:
            d = d + weight_decay * p
        if buf is not None:
            buf *= momentum
            buf += (1 - damp) * d
            d = d + momentum * buf if nesterov else buf
        p -= rate * d


def adam_step_(
    params: list[Array], grads: list[Array], means: list[Array], squares: list[Array], lr: float,
    beta1: float, beta2: float, eps: float, weight_decay: float, steps: list[int],
    decoupled: bool, maximize: bool,
) -> None:  # fmt: skip
    """Each one's step number (from 1) of Adam, or AdamW if decoupled, for parameters of one dtype,
    in place in them and in their running means of g and of g²."""
    for p, g, m, v, step in zip(params, grads, means, squares, steps, strict=True):
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
