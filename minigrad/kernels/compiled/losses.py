"""Compiled cross-entropy. Equations are those of ops/losses.py.

Rows along the last axis have kernels of their own. Along another axis, small arrays are left to
numpy.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import cast

import numpy as np

from minigrad.kernels.compiled import rows
from minigrad.kernels.machinery.arrays import Array
from minigrad.kernels.machinery.launch import checked, in_parallel, kernel, ready, run, threaded
from minigrad.kernels.reference import losses as reference

F64 = np.dtype(np.float64)
FROM = 1 << 14  # elements, in float32: there e^x comes in vectors


@kernel
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


@kernel
def _cross_entropy_backward(lo, hi, g, x, log_sum_exp, target, dx):
    for n in range(lo, hi):
        row, out, scale = x[n], dx[n], np.float64(g[n])
        for c in range(x.shape[1]):
            out[c] = np.exp(row[c] - log_sum_exp[n]) * scale
        t = target[n]
        out[t] = (np.exp(row[t] - log_sum_exp[n]) - 1) * scale


@threaded
def _cross_entropy_p(pool, tasks, *args):
    in_parallel(pool, tasks, _cross_entropy, args)


@threaded
def _cross_entropy_backward_p(pool, tasks, *args):
    in_parallel(pool, tasks, _cross_entropy_backward, args)


def cross_entropy(x: Array, target: Array) -> tuple[Array, Array]:
    """(CE 1) per row of x (N, C, …), target (N, …): loss and log Σ exp, float64."""
    C = x.shape[1]
    target = checked(target, C, "target")
    if x.dtype == np.float32 and x.size >= FROM:
        x = ready(x, x.dtype)
        log_sum_exp = rows.log_sum_exp(x, 1)
        log_sum_exp[~np.isfinite(log_sum_exp)] = np.nan  # inf - inf, as softmax has it
        found = x.reshape(-1)[reference.places(target, C)].reshape(target.shape)
        return log_sum_exp - found, log_sum_exp
    if x.ndim > 2:
        return reference.cross_entropy(x, target)
    loss, log_sum_exp = np.empty(len(x)), np.empty(len(x))
    args = (ready(x, x.dtype), target, loss, log_sum_exp)
    run(_cross_entropy, _cross_entropy_p, len(x), x.size, *args)
    return loss, log_sum_exp


def cross_entropy_backward(g: Array, x: Array, log_sum_exp: Array, target: Array) -> Array:
    """Equation (CE 2), g (N, …) one number a row: dx (N, C, …)."""
    target = checked(target, x.shape[1], "target")
    if x.dtype == np.float32 and x.size >= FROM:
        g = ready(g, F64)
        dx = cast(Array, rows.along("exp", x, (1,), log_sum_exp, g))
        dx.reshape(-1)[reference.places(target, x.shape[1])] -= g.reshape(-1)
        return dx
    if x.ndim > 2:
        return reference.cross_entropy_backward(g, x, log_sum_exp, target)
    dx = np.empty(x.shape, x.dtype)
    args = (ready(g, F64), ready(x, x.dtype), ready(log_sum_exp, F64), target, dx)
    run(_cross_entropy_backward, _cross_entropy_backward_p, len(x), x.size, *args)
    return dx
