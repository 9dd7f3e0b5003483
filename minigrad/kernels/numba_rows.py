"""Compiled layer norm, rms norm and cross-entropy; equation numbers as in numpy_kernels.

Everything is computed in float64, whatever the dtype of x.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from . import numpy_kernels
from .arrays import Array
from .launch import checked, exact, fast, ready, run, threaded, vector
from .memory import empty

F64 = np.dtype(np.float64)


@exact
def _sub(a, b):
    return a - b


# Rows of x (N, D) are independent in layer norm and rms norm; a task is a row on the way forward.
# On the way back it is one of at most BLOCKS blocks of rows, because dgamma and dbeta are sums over
# rows: every block has its own, and they are added up in order.

BLOCKS = 16


@fast
def _layer_norm(lo, hi, x, gamma, beta, eps, y, mean, inv_std):
    D = x.shape[1]
    for n in range(lo, hi):
        row, out = x[n], y[n]
        x0 = np.float64(row[0])
        s = 0.0
        for j in range(D):
            s += _sub(row[j], x0)
        shift = s / D
        q = 0.0
        for j in range(D):
            d = _sub(row[j], x0) - shift
            q += d * d
        r = 1 / np.sqrt(q / D + eps)
        mean[n], inv_std[n] = x0 + shift, r
        for j in range(D):
            z = (row[j] - mean[n]) * r
            if gamma.size:
                z *= gamma[j]
            out[j] = z + beta[j] if beta.size else z


@fast
def _layer_norm_backward(lo, hi, g, x, mean, inv_std, gamma, dx, dgamma, dbeta):
    """mean has no elements for rms norm, which subtracts none (11)."""
    N, D = x.shape
    for t in range(lo, hi):
        dg, db = dgamma[t], dbeta[t]
        for n in range(t * N // dgamma.shape[0], (t + 1) * N // dgamma.shape[0]):
            row, g_row, out = x[n], g[n], dx[n]
            mu, r = mean[n] if mean.size else 0.0, inv_std[n]
            s = 0.0
            q = 0.0
            for j in range(D):
                x_hat = (row[j] - mu) * r
                gh = g_row[j] * np.float64(gamma[j]) if gamma.size else np.float64(g_row[j])
                s += gh
                q += gh * x_hat
                dg[j] += g_row[j] * x_hat
                db[j] += g_row[j]
            s = s / D if mean.size else 0.0
            q = q / D
            for j in range(D):
                gh = g_row[j] * np.float64(gamma[j]) if gamma.size else np.float64(g_row[j])
                out[j] = r * (gh - s - (row[j] - mu) * r * q)


@fast
def _rms_norm(lo, hi, x, gamma, eps, y, inv_rms):
    D = x.shape[1]
    for n in range(lo, hi):
        row, out = x[n], y[n]
        q = 0.0
        for j in range(D):
            q += np.float64(row[j]) * np.float64(row[j])
        r = 1 / np.sqrt(q / D + eps)
        inv_rms[n] = r
        for j in range(D):
            out[j] = row[j] * r * gamma[j] if gamma.size else row[j] * r


@threaded
def _layer_norm_p(tasks, *args):
    for t in prange(tasks):
        _layer_norm(t, t + 1, *args)


@threaded
def _layer_norm_backward_p(tasks, *args):
    for t in prange(tasks):
        _layer_norm_backward(t, t + 1, *args)


@threaded
def _rms_norm_p(tasks, *args):
    for t in prange(tasks):
        _rms_norm(t, t + 1, *args)


def layer_norm(
    x: Array, gamma: Array | None, beta: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Normalise each row of x (N, D), gamma and beta (D,): y, mean (N,), inv_std (N,)."""
    if not x.size:
        return numpy_kernels.layer_norm(x, gamma, beta, eps)
    N, a = len(x), ready(x, x.dtype)
    y, mean, inv_std = empty(a.shape, x.dtype), np.empty(N), np.empty(N)
    args = (a, vector(gamma, x.dtype), vector(beta, x.dtype), float(eps), y, mean, inv_std)
    run(_layer_norm, _layer_norm_p, N, x.size, *args)
    return y, mean, inv_std


def layer_norm_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None
) -> tuple[Array, Array, Array]:
    """Equations (9) and (10): dx (N, D), dgamma (D,), dbeta (D,)."""
    (N, D), tasks = x.shape, max(1, min(BLOCKS, len(x) // 16))
    dx, dgamma, dbeta = empty((N, D), x.dtype), np.zeros((tasks, D)), np.zeros((tasks, D))
    args: tuple[Any, ...] = (ready(g, x.dtype), ready(x, x.dtype), ready(mean, F64))
    args += (ready(inv_std, F64), vector(gamma, x.dtype), dx, dgamma, dbeta)
    run(_layer_norm_backward, _layer_norm_backward_p, tasks, x.size, *args)
    return dx, dgamma.sum(0), dbeta.sum(0)


def rms_norm(x: Array, gamma: Array | None, eps: float) -> tuple[Array, Array]:
    """Divide each row of x (N, D) by its root mean square, gamma (D,): y and inv_rms (N,)."""
    if not x.size:
        return numpy_kernels.rms_norm(x, gamma, eps)
    N, a = len(x), ready(x, x.dtype)
    y, inv_rms = empty(a.shape, x.dtype), np.empty(N)
    args = (a, vector(gamma, x.dtype), float(eps), y, inv_rms)
    run(_rms_norm, _rms_norm_p, N, x.size, *args)
    return y, inv_rms


def rms_norm_backward(
    g: Array, x: Array, inv_rms: Array, gamma: Array | None
) -> tuple[Array, Array]:
    """Equation (11): dx (N, D) and dgamma (D,)."""
    dx, dgamma, _ = layer_norm_backward(g, x, np.empty(0), inv_rms, gamma)
    return dx, dgamma


# ---------------------------------------------------------------------------- cross-entropy


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


def cross_entropy(x: Array, target: Array) -> tuple[Array, Array]:
    """(15) per row of x (N, C), target (N,): loss and log Σ exp, both (N,) float64."""
    N, C = x.shape
    target = checked(target, C, "target")
    loss, log_sum_exp = np.empty(N), np.empty(N)
    args = (ready(x, x.dtype), target, loss, log_sum_exp)
    run(_cross_entropy, _cross_entropy_p, N, x.size, *args)
    return loss, log_sum_exp


def cross_entropy_backward(g: Array, x: Array, log_sum_exp: Array, target: Array) -> Array:
    """Equation (16), g (N,) one number a row: dx (N, C)."""
    target = checked(target, x.shape[1], "target")
    dx = np.empty(x.shape, x.dtype)
    args = (ready(g, F64), ready(x, x.dtype), ready(log_sum_exp, F64), target, dx)
    run(_cross_entropy_backward, _cross_entropy_backward_p, len(x), x.size, *args)
    return dx
