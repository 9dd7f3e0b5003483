"""Compiled cross-entropy, optimiser steps and scatter; equation numbers as in numpy_kernels."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from math import sqrt

import numpy as np
from numba import prange

from . import numpy_kernels
from .launch import exact, fast, ready, run, threaded
from .numpy_kernels import Array

F64, I64 = np.dtype(np.float64), np.dtype(np.int64)


@fast
def _cross_entropy(lo, hi, x, target, loss, log_sum_exp):
    C = x.shape[1]
    for n in range(lo, hi):
        row = x[n]
        top = row[0]
        for c in range(C):
            top = max(top, row[c])
        s = 0.0
        for c in range(C):
            s += np.exp(np.float64(row[c]) - top)
        log_sum = np.log(s)
        loss[n] = log_sum - (np.float64(row[target[n]]) - top)
        log_sum_exp[n] = log_sum + top


@fast
def _cross_entropy_backward(lo, hi, g, x, log_sum_exp, target, dx):
    for n in range(lo, hi):
        row, out, scale = x[n], dx[n], np.float64(g[n])
        for c in range(x.shape[1]):
            out[c] = np.exp(row[c] - log_sum_exp[n]) * scale
        t = target[n]
        out[t] = (np.exp(row[t] - log_sum_exp[n]) - 1) * scale


@threaded
def _cross_entropy_p(tasks, *args):
    for t in prange(tasks):
        _cross_entropy(t, t + 1, *args)


@threaded
def _cross_entropy_backward_p(tasks, *args):
    for t in prange(tasks):
        _cross_entropy_backward(t, t + 1, *args)


def _checked(index: Array, size: int, what: str) -> Array:
    """index as int64: compiled code would read or write outside the array without a word."""
    index = ready(index, I64)
    if index.size and (index.min() < 0 or index.max() >= size):
        raise IndexError(f"{what} out of range for {size}: {index.min()} to {index.max()}")
    return index


def cross_entropy(x: Array, target: Array) -> tuple[Array, Array]:
    """(15) per row of x (N, C), target (N,): loss and log Σ exp, both (N,) float64."""
    N, C = x.shape
    target = _checked(target, C, "target")
    loss, log_sum_exp = np.empty(N), np.empty(N)
    args = (ready(x, x.dtype), target, loss, log_sum_exp)
    run(_cross_entropy, _cross_entropy_p, N, x.size, *args)
    return loss, log_sum_exp


def cross_entropy_backward(g: Array, x: Array, log_sum_exp: Array, target: Array) -> Array:
    """Equation (16), g (N,) one number a row: dx (N, C)."""
    target = _checked(target, x.shape[1], "target")
    dx = np.empty(x.shape, x.dtype)
    args = (ready(g, F64), ready(x, x.dtype), ready(log_sum_exp, F64), target, dx)
    run(_cross_entropy_backward, _cross_entropy_backward_p, len(x), x.size, *args)
    return dx


# ---------------------------------------------------------------------------- optimisers
# Compiled without any flag, with scalars in the dtype of p: the floats are those of the formula.


@exact
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


@exact
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
        a is None or (a.flags.carray and a.dtype == p.dtype and a.shape == p.shape)
        for a in arrays
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
    g = ready(g, p.dtype)
    if not _in_place(p, g, buf):
        numpy_kernels.sgd_step_(
            p, g, buf, lr, momentum, dampening, weight_decay, nesterov, maximize
        )
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
        numpy_kernels.adam_step_(
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


@exact
def _add_at(out, index, rows):
    for k in range(index.size):
        target, row = out[index[k]], rows[k]
        for j in range(row.size):
            target[j] += row[j]


def add_at_(out: Array, index: Array, rows: Array) -> None:
    """out[index[k]] += rows[k] in order; out (V, D), index (K,), rows (K, D)."""
    if not out.flags.carray:
        numpy_kernels.add_at_(out, index, rows)
        return
    _add_at(out, _checked(index, len(out), "index"), ready(rows, out.dtype))
