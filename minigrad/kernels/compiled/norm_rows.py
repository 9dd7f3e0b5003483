"""Compiled layer norm and rms norm. Equations are those of ops/norm.py."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.kernels import reference
from minigrad.kernels.machinery.arrays import Array
from minigrad.kernels.machinery.launch import (
    PARALLEL_FROM,
    cold,
    contracted,
    exact,
    fast,
    in_parallel,
    kernel,
    ready,
    run,
    threaded,
    uncounted,
    vector,
)
from minigrad.kernels.machinery.memory import empty

F64 = np.dtype(np.float64)


@exact
def _sub(a, b):
    return a - b


@exact
def _ordinary(v):
    """Whether v fits float32 with room to spare."""
    return v == 0.0 or 1e-25 < abs(v) < 1e25


# Rows of x (N, D) are independent in layer norm and rms norm; a task is a row on the way forward.
# On the way back it is one of at most BLOCKS blocks of rows, because dgamma and dbeta are sums over
# rows: every block has its own, and they are added up in order. In float32, sums run in float32
# over short stretches of x - c with c close to the mean, as in norm_planes.

BLOCKS = 16
STRETCH = 512  # elements of one float32 partial sum
ROWS = 32  # rows of one float32 partial sum of dgamma and dbeta


@fast
def _sum2(row, c):
    s = row.dtype.type(0)
    q = row.dtype.type(0)
    for j in range(row.size):
        d = _sub(row[j], c)
        s += d
        q += d * d
    return s, q


@cold
def _statistics(row):
    """Mean and biased variance by the definition, all in float64: slow but sure."""
    x0, D = np.float64(row[0]), row.size
    s = 0.0
    for j in range(D):
        s += row[j] - x0
    q = 0.0
    for j in range(D):
        d = (row[j] - x0) - s / D
        q += d * d
    return x0 + s / D, q / D


@fast
def _row_moments(row):
    D, guess = row.size, row[0]
    for _ in range(2):
        s = 0.0
        q = 0.0
        for j in range(0, D, STRETCH):
            ds, dq = _sum2(row[j : j + STRETCH], guess)
            s += ds
            q += dq
        shift = s / D
        var = q / D - shift * shift
        if D * 1e-30 < q < np.inf and shift * shift <= var:
            return guess + shift, var
        # Digits of var cancelled: again, around the mean just found.
        guess = row.dtype.type(guess + shift)
    return _statistics(row)


@contracted
def _affine(row, out, centre, scale, rest, gamma, beta):
    """x_hat·gamma + beta, with x_hat = (x - centre)·scale + rest."""
    if gamma.size and beta.size:
        for j in range(row.size):
            out[j] = ((row[j] - centre) * scale + rest) * gamma[j] + beta[j]
    elif gamma.size:
        for j in range(row.size):
            out[j] = ((row[j] - centre) * scale + rest) * gamma[j]
    elif beta.size:
        for j in range(row.size):
            out[j] = ((row[j] - centre) * scale + rest) + beta[j]
    else:
        for j in range(row.size):
            out[j] = (row[j] - centre) * scale + rest


@kernel
def _layer_norm(lo, hi, x, gamma, beta, eps, y, mean, inv_std):
    x, gamma, beta, y = uncounted(x), uncounted(gamma), uncounted(beta), uncounted(y)
    for n in range(lo, hi):
        row, kind = x[n], x.dtype.type
        mean[n], var = _row_moments(row)
        r = 1 / np.sqrt(var + eps)
        inv_std[n] = r
        if _ordinary(r) and _ordinary(mean[n]):
            centre = kind(mean[n])
            rest = kind(-_sub(mean[n], centre) * r)
            _affine(row, y[n], centre, kind(r), rest, gamma, beta)
        else:
            _affine(row, y[n], mean[n], r, 0.0, gamma, beta)


@fast
def _gradient_sums(g, row, centre, scale, rest, gamma):
    """Σ g·gamma and Σ g·gamma·x_hat, in stretches summed in gamma's dtype."""
    s = 0.0
    q = 0.0
    for j0 in range(0, row.size, STRETCH):
        g_part, part = g[j0 : j0 + STRETCH], row[j0 : j0 + STRETCH]
        ds = gamma.dtype.type(0)
        dq = gamma.dtype.type(0)
        if gamma.size:
            weight = gamma[j0 : j0 + STRETCH]
            for j in range(part.size):
                gh = g_part[j] * weight[j]
                ds += gh
                dq += gh * (_sub(part[j], centre) * scale + rest)
        else:
            for j in range(part.size):
                ds += g_part[j]
                dq += g_part[j] * (_sub(part[j], centre) * scale + rest)
        s += ds
        q += dq
    return s, q


@contracted
def _gradients(g, row, dx, centre, scale, rest, gamma, b, k, dgamma, dbeta):
    """(LN 2), and (LN 3) as dgamma += g·x_hat, dbeta += g: one loop, which reads g and x once."""
    if gamma.size:
        for j in range(row.size):
            d = row[j] - centre
            dgamma[j] += g[j] * (d * scale + rest)
            dbeta[j] += g[j]
            dx[j] = scale * g[j] * gamma[j] + (b * d + k)
    else:
        for j in range(row.size):
            d = row[j] - centre
            dgamma[j] += g[j] * (d * scale + rest)
            dbeta[j] += g[j]
            dx[j] = scale * g[j] + (b * d + k)


@fast
def _flush(part, total):
    for j in range(total.size):
        total[j] += part[j]
        part[j] = 0


@kernel
def _layer_norm_backward(lo, hi, g, x, mean, inv_std, gamma, dx, dgamma, dbeta):
    """(LN 2) and (LN 3); for rms norm, (RMS 3) and (RMS 4), mean has no elements."""
    g, x, gamma, dx = uncounted(g), uncounted(x), uncounted(gamma), uncounted(dx)
    dgamma, dbeta = uncounted(dgamma), uncounted(dbeta)
    N, D = x.shape
    kind, wide = x.dtype.type, gamma.astype(np.float64)
    part_g, part_b = np.zeros(D, x.dtype), np.zeros(D, x.dtype)
    for t in range(lo, hi):
        begin, end = t * N // dgamma.shape[0], (t + 1) * N // dgamma.shape[0]
        for n in range(begin, end):
            row, mu, r = x[n], mean[n] if mean.size else 0.0, inv_std[n]
            centre, scale = kind(mu), kind(r)
            rest = kind(-_sub(mu, centre) * r)
            s, q = _gradient_sums(g[n], row, centre, scale, rest, gamma)
            ordinary = D > 1 and _ordinary(r) and _ordinary(mu) and abs(s) < np.inf > abs(q)
            if not ordinary:
                s, q = _gradient_sums(g[n], row, mu, r, 0.0, wide)
            b = -r * r * q / D  # the part of dx_hat along x_hat
            k = -r * s / D if mean.size else 0.0  # the mean of dx_hat
            k_x = k - b * _sub(mu, centre)
            if ordinary and _ordinary(b) and _ordinary(k_x):
                b_x, k_x = kind(b), kind(k_x)
                _gradients(g[n], row, dx[n], centre, scale, rest, gamma, b_x, k_x, part_g, part_b)
            else:
                _gradients(g[n], row, dx[n], mu, r, 0.0, wide, b, k, dgamma[t], dbeta[t])
            if (n + 1 - begin) % ROWS == 0 or n + 1 == end:
                _flush(part_g, dgamma[t])
                _flush(part_b, dbeta[t])


@kernel
def _rms_norm(lo, hi, x, gamma, eps, y, inv_rms):
    x, y, D = uncounted(x), uncounted(y), x.shape[1]
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
def _layer_norm_p(pool, tasks, *args):
    in_parallel(pool, tasks, _layer_norm, args)


@threaded
def _layer_norm_backward_p(pool, tasks, *args):
    in_parallel(pool, tasks, _layer_norm_backward, args)


@threaded
def _rms_norm_p(pool, tasks, *args):
    in_parallel(pool, tasks, _rms_norm, args)


def layer_norm(
    x: Array, gamma: Array | None, beta: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """(LN 1) for each row of x (N, D), gamma and beta (D,): y, mean (N,), inv_std (N,)."""
    if not x.size:
        return reference.layer_norm(x, gamma, beta, eps)
    N, a = len(x), ready(x, x.dtype)
    y, mean, inv_std = empty(a.shape, x.dtype), np.empty(N), np.empty(N)
    args = (a, vector(gamma, x.dtype), vector(beta, x.dtype), float(eps), y, mean, inv_std)
    run(_layer_norm, _layer_norm_p, N, x.size, *args)
    return y, mean, inv_std


def layer_norm_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None
) -> tuple[Array, Array, Array]:
    """Equations (LN 2) and (LN 3): dx (N, D), dgamma (D,), dbeta (D,)."""
    N, D = x.shape
    tasks = 1 if x.size < PARALLEL_FROM else max(1, min(BLOCKS, N // 16))
    dx, (dgamma, dbeta) = empty((N, D), x.dtype), np.zeros((2, tasks, D))
    args: tuple[Any, ...] = (ready(g, x.dtype), ready(x, x.dtype), ready(mean, F64))
    args += (ready(inv_std, F64), vector(gamma, x.dtype), dx, dgamma, dbeta)
    run(_layer_norm_backward, _layer_norm_backward_p, tasks, x.size, *args)
    return (dx, dgamma[0], dbeta[0]) if tasks == 1 else (dx, dgamma.sum(0), dbeta.sum(0))


def rms_norm(x: Array, gamma: Array | None, eps: float) -> tuple[Array, Array]:
    """(RMS 1) and (RMS 2) for each row of x (N, D), gamma (D,): y and inv_rms (N,)."""
    if not x.size:
        return reference.rms_norm(x, gamma, eps)
    N, a = len(x), ready(x, x.dtype)
    y, inv_rms = empty(a.shape, x.dtype), np.empty(N)
    args = (a, vector(gamma, x.dtype), float(eps), y, inv_rms)
    run(_rms_norm, _rms_norm_p, N, x.size, *args)
    return y, inv_rms


def rms_norm_backward(
    g: Array, x: Array, inv_rms: Array, gamma: Array | None
) -> tuple[Array, Array]:
    """Equations (RMS 3) and (RMS 4): dx (N, D) and dgamma (D,)."""
    dx, dgamma, _ = layer_norm_backward(g, x, np.empty(0), inv_rms, gamma)
    return dx, dgamma
