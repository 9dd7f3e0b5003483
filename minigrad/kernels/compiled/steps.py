"""Compiled steps of running statistics and optimisers, and scatter."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from math import sqrt

import numpy as np

from minigrad.kernels import reference
from minigrad.kernels.machinery.arrays import Array
from minigrad.kernels.machinery.launch import checked, exact_kernel, ready

# ---------------------------------------------------------------------------- running statistics


@exact_kernel
def _move(mean, var, batch_mean, batch_var, factor, correction):
    """Whether all came out finite; nothing has changed if not."""
    keep = 1 - factor
    for c in range(mean.size):
        new_mean = mean.dtype.type(keep * mean[c] + factor * batch_mean[c])
        new_var = var.dtype.type(keep * var[c] + factor * (batch_var[c] * correction))
        if not (np.isfinite(new_mean) and np.isfinite(new_var)):
            return False
    for c in range(mean.size):
        mean[c] = keep * mean[c] + factor * batch_mean[c]
        var[c] = keep * var[c] + factor * (batch_var[c] * correction)
    return True


_NONE = np.empty(0, np.int64)


def move_stats_(
    mean: Array, var: Array, batch_mean: Array, batch_var: Array, factor: float, correction: float
) -> Array:
    """(BN 13) for running statistics in place, `correction` being m/(m - 1): mean (C,), var (C,) or
    a covariance (G, d, d) of each of G groups of channels. Groups in which not all comes out finite
    stay; returns their channels. With factor 1 nothing of what was there is left."""
    fits = var.ndim == 1 and mean.flags.carray and var.flags.carray
    if fits and _move(mean, var, batch_mean, batch_var, factor, correction):
        return _NONE
    return reference.move_stats_(mean, var, batch_mean, batch_var, factor, correction)


# ---------------------------------------------------------------------------- optimisers
# Compiled without any flag, with scalars in the dtype of p: the floats are those of the formula.


@exact_kernel
def _sgd(p, g, buf, lr, momentum, rest, weight_decay, nesterov, maximize):
    for i in range(p.size):
        d = -g[i] if maximize else g[i]
        if weight_decay != 0:
            d = d + weight_decay * p[i]
        if buf.size:
            b = buf[i] * momentum + rest * d
            buf[i] = b
            d = d + momentum * b if nesterov else b
        p[i] -= lr * d


@exact_kernel
def _adam(p, g, m, v, shrink, a1, b2, a2, eps, weight_decay, root, rate, maximize):
    for i in range(p.size):
        d = -g[i] if maximize else g[i]
        q = p[i] * shrink
        d = d + weight_decay * q
        m[i] += a1 * (d - m[i])
        v[i] = v[i] * b2 + a2 * d * d
        p[i] = q - rate * m[i] / (np.sqrt(v[i]) / root + eps)


def _in_place(p: Array, *arrays: Array | None) -> bool:
    """Whether the compiled loop can run over these arrays as they lie in memory."""
    return p.flags.carray and all(
        a is None or (a.flags.carray and a.dtype == p.dtype and a.shape == p.shape) for a in arrays
    )


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
    # Starting a compiled loop costs as much as three numpy calls on a small array.
    small = p.size < 4096 and buf is None
    if small or not _in_place(p, g := ready(g, p.dtype), buf):
        reference.sgd_step_(p, g, buf, lr, momentum, dampening, weight_decay, nesterov, maximize)
        return
    f = p.dtype.type
    b = np.empty(0, p.dtype) if buf is None else buf.reshape(-1)
    scalars = (f(lr), f(momentum), f(1 - dampening), f(weight_decay))
    _sgd(p.reshape(-1), g.reshape(-1), b, *scalars, bool(nesterov), bool(maximize))


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
    g = ready(g, p.dtype)
    if not _in_place(p, g, m, v):
        reference.adam_step_(
            p, g, m, v, lr, beta1, beta2, eps, weight_decay, step, decoupled, maximize
        )
        return
    f = p.dtype.type
    shrink = f(1 - lr * weight_decay) if decoupled else f(1)
    decay = f(0) if decoupled else f(weight_decay)
    root, rate = f(sqrt(1 - beta2**step)), f(lr / (1 - beta1**step))
    scalars = (shrink, f(1 - beta1), f(beta2), f(1 - beta2), f(eps), decay, root, rate)
    flat = (p.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1))
    _adam(*flat, *scalars, bool(maximize))


# ---------------------------------------------------------------------------- scatter


@exact_kernel
def _add_at(out, index, rows):
    for k in range(index.size):
        target, row = out[index[k]], rows[k]
        for j in range(row.size):
            target[j] += row[j]


def add_at_(out: Array, index: Array, rows: Array) -> None:
    """out[index[k]] += rows[k] in order; out (V, D), index (K,), rows (K, D)."""
    if not out.flags.carray:
        reference.add_at_(out, index, rows)
        return
    _add_at(out, checked(index, len(out), "index"), ready(rows, out.dtype))
