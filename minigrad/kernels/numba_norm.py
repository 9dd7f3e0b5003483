"""Compiled normalisation: batch norm in its two layouts, layer norm, rms norm.

Equation numbers are those of numpy_kernels. What differs is that the values are read once for the
statistics and once for the result. In float32, sums run in float32 over short stretches that are
merged in float64. What is summed is x - c with c close to the mean, in a subtraction (_sub) that
the compiler may not reorder. A sum that is not finite is done again in float64.

Functions that call each other must stay in one file: numba's cache on disk does not notice changes
in other files.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from . import numpy_kernels
from .launch import exact, fast, ready, run, threaded, vector
from .numpy_kernels import Array

STRETCH = 4096  # elements of one float32 partial sum
COLUMNS = 128  # features of one task where features are contiguous
ROWS = 64  # rows of one float32 partial sum there
F64 = np.dtype(np.float64)


@exact
def _sub(a, b):
    return a - b


@fast
def _sum(row, c):
    s = row.dtype.type(0)
    for i in range(row.size):
        s += _sub(row[i], c)
    return s


@fast
def _sum2(row, c):
    """Σ d and Σ d² of d = row - c."""
    s = row.dtype.type(0)
    q = row.dtype.type(0)
    for i in range(row.size):
        d = _sub(row[i], c)
        s += d
        q += d * d
    return s, q


@fast
def _sum_g(g, row, c):
    """Σ g and Σ g·(row - c)."""
    s = row.dtype.type(0)
    q = row.dtype.type(0)
    for i in range(row.size):
        s += g[i]
        q += g[i] * _sub(row[i], c)
    return s, q


@exact
def _statistics(x, c):
    """Mean and biased variance of x[:, c] by the definition, all in float64: slow but sure."""
    N, _, S = x.shape
    m = N * S
    x0 = np.float64(x[0, c, 0])
    s = 0.0
    for n in range(N):
        for i in range(S):
            s += x[n, c, i] - x0
    shift = s / m
    q = 0.0
    for n in range(N):
        for i in range(S):
            d = (x[n, c, i] - x0) - shift
            q += d * d
    return x0 + shift, q / m


@fast
def _feature_moments(x, c):
    """Mean and biased variance of x[:, c, :], values of a feature contiguous."""
    N, _, S = x.shape
    m = N * S
    # A guess at the mean: that of the first sample. For a constant feature it is exact.
    row = x[0, c]
    x0 = row[0]
    guess = x.dtype.type(x0 + np.float64(_sum(row[:STRETCH], x0)) / min(S, STRETCH))
    for _ in range(2):
        s = 0.0
        q = 0.0
        for n in range(N):
            row = x[n, c]
            for i in range(0, S, STRETCH):
                ds, dq = _sum2(row[i : i + STRETCH], guess)
                s += ds
                q += dq
        if q == 0.0:
            return np.float64(guess), 0.0
        if not np.isfinite(q):
            break  # NaN or inf among the values, or an overflow of float32
        shift = s / m
        var = q / m - shift * shift
        if shift * shift <= var:
            return guess + shift, var
        # The guess was more than a standard deviation off, so digits of var cancelled: again,
        # around the mean just found.
        guess = x.dtype.type(guess + shift)
    return _statistics(x, c)


@fast
def _moments_s(lo, hi, x, mean, var):
    for c in range(lo, hi):
        mean[c], var[c] = _feature_moments(x, c)


@fast
def _affine(row, y, mean, scale, beta):
    for i in range(row.size):
        y[i] = (row[i] - mean) * scale + beta


@fast
def _normalize_s(lo, hi, x, mean, inv_std, gamma, beta, y):
    for c in range(lo, hi):
        scale = inv_std[c] * gamma[c] if gamma.size else inv_std[c]
        shift = np.float64(beta[c]) if beta.size else 0.0
        for n in range(x.shape[0]):
            _affine(x[n, c], y[n, c], mean[c], scale, shift)


@fast
def _batch_norm_s(lo, hi, x, gamma, beta, eps, y, mean, var, inv_std):
    for c in range(lo, hi):
        mean[c], var[c] = _feature_moments(x, c)
        inv_std[c] = 1 / np.sqrt(var[c] + eps)
        _normalize_s(c, c + 1, x, mean, inv_std, gamma, beta, y)


@exact
def _gradient_sums(g, x, c, mean):
    """Σ g and Σ g·(x - mean) of feature c, all in float64."""
    s = 0.0
    q = 0.0
    for n in range(x.shape[0]):
        for i in range(x.shape[2]):
            s += g[n, c, i]
            q += g[n, c, i] * (x[n, c, i] - mean)
    return s, q


@fast
def _three_terms(g, row, dx, mean, a, b, c):
    for i in range(row.size):
        dx[i] = a * g[i] + b * (row[i] - mean) + c


@fast
def _backward_s(lo, hi, g, x, mean, inv_std, gamma, batch, dx, dgamma, dbeta):
    N, _, S = x.shape
    m = N * S
    for c in range(lo, hi):
        centre = x.dtype.type(mean[c])
        s = 0.0
        q = 0.0
        for n in range(N):
            row, g_row = x[n, c], g[n, c]
            for i in range(0, S, STRETCH):
                ds, dq = _sum_g(g_row[i : i + STRETCH], row[i : i + STRETCH], centre)
                s += ds
                q += dq
        q -= s * (mean[c] - centre)
        if not (np.isfinite(s) and np.isfinite(q)):
            s, q = _gradient_sums(g, x, c, mean[c])
        dbeta[c] = s
        dgamma[c] = q * inv_std[c]
        a = inv_std[c] * gamma[c] if gamma.size else inv_std[c]
        b = -a * inv_std[c] * dgamma[c] / m if batch else 0.0  # (8), x_hat written out
        k = -a * s / m if batch else 0.0
        if batch:
            for n in range(N):
                _three_terms(g[n, c], x[n, c], dx[n, c], mean[c], a, b, k)
        else:
            for n in range(N):
                _affine(g[n, c], dx[n, c], 0.0, a, 0.0)


# The same for x (N, C), features contiguous: loops run along rows, a task is a block of columns.
# Rows are taken as slices first: an index like x[n, c0 + j] would be checked for wrapping around.


@fast
def _add_row(row, c, s):
    for j in range(row.size):
        s[j] += _sub(row[j], c[j])


@fast
def _add_row2(row, c, s, q):
    for j in range(row.size):
        d = _sub(row[j], c[j])
        s[j] += d
        q[j] += d * d


@fast
def _flush(part, total):
    for j in range(total.size):
        total[j] += part[j]
        part[j] = 0


@fast
def _moments_block(x, j0, j1, mean, var):
    N = x.shape[0]
    w = j1 - j0
    s, q = np.zeros(w), np.zeros(w)
    part_s, part_q = np.zeros(w, x.dtype), np.zeros(w, x.dtype)
    guess = x[0, j0:j1].copy()  # then the mean of a few rows
    few = min(N, 16)
    for n in range(few):
        _add_row(x[n, j0:j1], guess, part_s)
    for j in range(w):
        guess[j] += part_s[j] / few
        part_s[j] = 0
    for n0 in range(0, N, ROWS):
        for n in range(n0, min(n0 + ROWS, N)):
            _add_row2(x[n, j0:j1], guess, part_s, part_q)
        _flush(part_s, s)
        _flush(part_q, q)
    for j in range(w):
        shift = s[j] / N
        var[j] = q[j] / N - shift * shift
        mean[j] = guess[j] + shift
        if q[j] == 0.0:
            var[j] = 0.0
        elif not (np.isfinite(q[j]) and shift * shift <= 4 * var[j]):
            mean[j], var[j] = _statistics(x.reshape(N, x.shape[1], 1), j0 + j)


@fast
def _moments_c(lo, hi, x, mean, var):
    for t in range(lo, hi):
        j0, j1 = t * COLUMNS, min((t + 1) * COLUMNS, x.shape[1])
        _moments_block(x, j0, j1, mean[j0:j1], var[j0:j1])


@fast
def _affine_row(row, y, mean, scale, beta):
    for j in range(row.size):
        y[j] = (row[j] - mean[j]) * scale[j] + beta[j]


@fast
def _normalize_c(lo, hi, x, mean, inv_std, gamma, beta, y):
    for t in range(lo, hi):
        j0, j1 = t * COLUMNS, min((t + 1) * COLUMNS, x.shape[1])
        scale, shift = inv_std[j0:j1].copy(), np.zeros(j1 - j0)
        if gamma.size:
            scale *= gamma[j0:j1]
        if beta.size:
            shift += beta[j0:j1]
        for n in range(x.shape[0]):
            _affine_row(x[n, j0:j1], y[n, j0:j1], mean[j0:j1], scale, shift)


@fast
def _batch_norm_c(lo, hi, x, gamma, beta, eps, y, mean, var, inv_std):
    for t in range(lo, hi):
        j0, j1 = t * COLUMNS, min((t + 1) * COLUMNS, x.shape[1])
        _moments_block(x, j0, j1, mean[j0:j1], var[j0:j1])
        for j in range(j0, j1):
            inv_std[j] = 1 / np.sqrt(var[j] + eps)
        _normalize_c(t, t + 1, x, mean, inv_std, gamma, beta, y)


@fast
def _add_row_g(g, row, c, s, q):
    for j in range(row.size):
        s[j] += g[j]
        q[j] += g[j] * _sub(row[j], c[j])


@fast
def _three_terms_row(g, row, dx, mean, a, b, c):
    for j in range(row.size):
        dx[j] = a[j] * g[j] + b[j] * (row[j] - mean[j]) + c[j]


@fast
def _backward_c(lo, hi, g, x, mean, inv_std, gamma, batch, dx, dgamma, dbeta):
    N, C = x.shape
    for t in range(lo, hi):
        j0, j1 = t * COLUMNS, min((t + 1) * COLUMNS, C)
        w = j1 - j0
        s, q = np.zeros(w), np.zeros(w)
        part_s, part_q = np.zeros(w, x.dtype), np.zeros(w, x.dtype)
        centre = mean[j0:j1].astype(x.dtype)
        for n0 in range(0, N, ROWS):
            for n in range(n0, min(n0 + ROWS, N)):
                _add_row_g(g[n, j0:j1], x[n, j0:j1], centre, part_s, part_q)
            _flush(part_s, s)
            _flush(part_q, q)
        a, b, k = inv_std[j0:j1].copy(), np.zeros(w), np.zeros(w)
        if gamma.size:
            a *= gamma[j0:j1]
        for j in range(w):
            q[j] -= s[j] * (mean[j0 + j] - centre[j])
            if not (np.isfinite(s[j]) and np.isfinite(q[j])):
                s[j], q[j] = _gradient_sums(
                    g.reshape(N, C, 1), x.reshape(N, C, 1), j0 + j, mean[j0 + j]
                )
            r = inv_std[j0 + j]
            dbeta[j0 + j] = s[j]
            dgamma[j0 + j] = q[j] * r
            if batch:
                b[j] = -a[j] * r * r * q[j] / N
                k[j] = -a[j] * s[j] / N
        for n in range(N):
            if batch:
                _three_terms_row(g[n, j0:j1], x[n, j0:j1], dx[n, j0:j1], mean[j0:j1], a, b, k)
            else:
                _affine_row(g[n, j0:j1], dx[n, j0:j1], k, a, k)


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


# The parallel twins.


@threaded
def _moments_s_p(tasks, *args):
    for t in prange(tasks):
        _moments_s(t, t + 1, *args)


@threaded
def _normalize_s_p(tasks, *args):
    for t in prange(tasks):
        _normalize_s(t, t + 1, *args)


@threaded
def _batch_norm_s_p(tasks, *args):
    for t in prange(tasks):
        _batch_norm_s(t, t + 1, *args)


@threaded
def _backward_s_p(tasks, *args):
    for t in prange(tasks):
        _backward_s(t, t + 1, *args)


@threaded
def _moments_c_p(tasks, *args):
    for t in prange(tasks):
        _moments_c(t, t + 1, *args)


@threaded
def _normalize_c_p(tasks, *args):
    for t in prange(tasks):
        _normalize_c(t, t + 1, *args)


@threaded
def _batch_norm_c_p(tasks, *args):
    for t in prange(tasks):
        _batch_norm_c(t, t + 1, *args)


@threaded
def _backward_c_p(tasks, *args):
    for t in prange(tasks):
        _backward_c(t, t + 1, *args)


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


def _flat(x: Array) -> tuple[Array, int]:
    """x (N, C, S) as the kernels take it, (N, C) if S is 1, and the number of tasks."""
    N, C, S = x.shape
    if S == 1:
        return ready(x.reshape(N, C), x.dtype), -(-C // COLUMNS)
    return ready(x, x.dtype), C


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance (C,) of x (N, C, S) over N and S, in float64."""
    if not x.size:
        return numpy_kernels.moments(x)
    C, (a, tasks) = x.shape[1], _flat(x)
    mean, var = np.empty(C), np.empty(C)
    if a.ndim == 2:
        run(_moments_c, _moments_c_p, tasks, x.size, a, mean, var)
    else:
        run(_moments_s, _moments_s_p, tasks, x.size, a, mean, var)
    return mean, var


def batch_norm(
    x: Array, gamma: Array | None, beta: Array | None, eps: float
) -> tuple[Array, Array, Array, Array]:
    """Normalise x (N, C, S) per feature, (1) to (5): y and mean, var, inv_std (C,)."""
    if not x.size:
        return numpy_kernels.batch_norm(x, gamma, beta, eps)
    C, (a, tasks) = x.shape[1], _flat(x)
    y, mean, var, inv_std = np.empty(a.shape, x.dtype), np.empty(C), np.empty(C), np.empty(C)
    args = (a, vector(gamma, x.dtype), vector(beta, x.dtype), float(eps), y, mean, var, inv_std)
    if a.ndim == 2:
        run(_batch_norm_c, _batch_norm_c_p, tasks, x.size, *args)
    else:
        run(_batch_norm_s, _batch_norm_s_p, tasks, x.size, *args)
    return y.reshape(x.shape), mean, var, inv_std


def normalize(
    x: Array, mean: Array, inv_std: Array, gamma: Array | None, beta: Array | None
) -> Array:
    """Equations (4) and (5) for x (N, C, S) with statistics (C,) that are given."""
    a, tasks = _flat(x)
    y = np.empty(a.shape, x.dtype)
    args = (ready(mean, F64), ready(inv_std, F64), vector(gamma, x.dtype), vector(beta, x.dtype))
    if a.ndim == 2:
        run(_normalize_c, _normalize_c_p, tasks, x.size, a, *args, y)
    else:
        run(_normalize_s, _normalize_s_p, tasks, x.size, a, *args, y)
    return y.reshape(x.shape)


def _norm_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None, batch: bool
) -> tuple[Array, Array, Array]:
    C = x.shape[1]
    dgamma, dbeta = np.zeros(C), np.zeros(C)
    if not x.size:
        return np.empty(x.shape, x.dtype), dgamma, dbeta
    a, tasks = _flat(x)
    dx = np.empty(a.shape, x.dtype)
    args: tuple[Any, ...] = (ready(g.reshape(a.shape), x.dtype), a)
    args += (ready(mean, F64), ready(inv_std, F64), vector(gamma, x.dtype), batch)
    if a.ndim == 2:
        run(_backward_c, _backward_c_p, tasks, x.size, *args, dx, dgamma, dbeta)
    else:
        run(_backward_s, _backward_s_p, tasks, x.size, *args, dx, dgamma, dbeta)
    return dx.reshape(x.shape), dgamma, dbeta


def batch_norm_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None
) -> tuple[Array, Array, Array]:
    """Equations (6) to (8): dx (N, C, S), dgamma (C,), dbeta (C,)."""
    return _norm_backward(g, x, mean, inv_std, gamma, True)


def normalize_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None
) -> tuple[Array, Array, Array]:
    """(6), (7) and dx = gamma·inv_std·g: constant statistics pass no gradient back to x."""
    return _norm_backward(g, x, mean, inv_std, gamma, False)


def layer_norm(
    x: Array, gamma: Array | None, beta: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Normalise each row of x (N, D), gamma and beta (D,): y, mean (N,), inv_std (N,)."""
    if not x.size:
        return numpy_kernels.layer_norm(x, gamma, beta, eps)
    N, a = len(x), ready(x, x.dtype)
    y, mean, inv_std = np.empty(a.shape, x.dtype), np.empty(N), np.empty(N)
    args = (a, vector(gamma, x.dtype), vector(beta, x.dtype), float(eps), y, mean, inv_std)
    run(_layer_norm, _layer_norm_p, N, x.size, *args)
    return y, mean, inv_std


def layer_norm_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None
) -> tuple[Array, Array, Array]:
    """Equations (9) and (10): dx (N, D), dgamma (D,), dbeta (D,)."""
    (N, D), tasks = x.shape, max(1, min(BLOCKS, len(x) // 16))
    dx, dgamma, dbeta = np.empty((N, D), x.dtype), np.zeros((tasks, D)), np.zeros((tasks, D))
    args: tuple[Any, ...] = (ready(g, x.dtype), ready(x, x.dtype), ready(mean, F64))
    args += (ready(inv_std, F64), vector(gamma, x.dtype), dx, dgamma, dbeta)
    run(_layer_norm_backward, _layer_norm_backward_p, tasks, x.size, *args)
    return dx, dgamma.sum(0), dbeta.sum(0)


def rms_norm(x: Array, gamma: Array | None, eps: float) -> tuple[Array, Array]:
    """Divide each row of x (N, D) by its root mean square, gamma (D,): y and inv_rms (N,)."""
    if not x.size:
        return numpy_kernels.rms_norm(x, gamma, eps)
    N, a = len(x), ready(x, x.dtype)
    y, inv_rms = np.empty(a.shape, x.dtype), np.empty(N)
    args = (a, vector(gamma, x.dtype), float(eps), y, inv_rms)
    run(_rms_norm, _rms_norm_p, N, x.size, *args)
    return y, inv_rms


def rms_norm_backward(
    g: Array, x: Array, inv_rms: Array, gamma: Array | None
) -> tuple[Array, Array]:
    """Equation (11): dx (N, D) and dgamma (D,)."""
    dx, dgamma, _ = layer_norm_backward(g, x, np.empty(0), inv_rms, gamma)
    return dx, dgamma
