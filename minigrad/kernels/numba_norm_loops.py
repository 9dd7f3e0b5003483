"""The loops of compiled batch normalisation, for each of the two layouts of x.

Equation numbers are those of numpy_kernels. What differs is that the values are read once for the
statistics and once for the result. In float32, sums run in float32 over short stretches that are
merged in float64. What is summed is x - c with c close to the mean, in a subtraction (_sub) that
the compiler may not reorder. A sum that is not finite is done again in float64.

Functions that call each other must stay in one file: numba's cache on disk does not notice changes
in other files.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import contracted, exact, fast, threaded

STRETCH = 4096  # elements of one float32 partial sum
COLUMNS = 256  # features of one task where features are contiguous
ROWS = 64  # rows of one float32 partial sum there


@exact
def _sub(a, b):
    return a - b


@exact
def _usable(q, m):
    """Whether a sum of m squares neither overflowed nor drowned in the bottom of float32.

    A comparison, because np.isfinite(q) asks for q - q, which `fast` code takes to be 0.
    """
    return m * 1e-30 < q < np.inf


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
        if s == 0.0 and q == 0.0:
            return np.float64(guess), 0.0
        if not _usable(q, m):
            break
        shift = s / m
        var = q / m - shift * shift
        if shift * shift <= var:
            return guess + shift, var
        # The guess was more than a standard deviation off, so digits of var cancelled: again,
        # around the mean just found.
        guess = x.dtype.type(guess + shift)
    return _statistics(x, c)


@fast
def moments_s(lo, hi, x, mean, var):
    for c in range(lo, hi):
        mean[c], var[c] = _feature_moments(x, c)


@exact
def _ordinary(v):
    """Whether v fits float32 with room to spare; what is not finite comes out so either way."""
    return v == 0.0 or 1e-25 < abs(v) < 1e25 or not abs(v) < np.inf


@contracted
def _affine(row, y, centre, scale, rest, shift):
    """(5) with scale + rest = gamma·inv_std and centre ~ mean, split so that float32 will do."""
    for i in range(row.size):
        d = row[i] - centre
        y[i] = d * scale + (d * rest + shift)


@contracted
def _affine_wide(row, y, mean, scale, shift):
    for i in range(row.size):
        y[i] = (row[i] - mean) * scale + shift


@fast
def normalize_s(lo, hi, x, mean, inv_std, gamma, beta, y):
    for c in range(lo, hi):
        scale = inv_std[c] * gamma[c] if gamma.size else inv_std[c]
        shift = np.float64(beta[c]) if beta.size else 0.0
        if _ordinary(scale) and _ordinary(inv_std[c]) and _ordinary(mean[c]):
            centre, scale_x = x.dtype.type(mean[c]), x.dtype.type(scale)
            rest = x.dtype.type(_sub(scale, scale_x))
            shift_x = x.dtype.type(shift - _sub(mean[c], centre) * scale)
            for n in range(x.shape[0]):
                _affine(x[n, c], y[n, c], centre, scale_x, rest, shift_x)
        else:
            for n in range(x.shape[0]):
                _affine_wide(x[n, c], y[n, c], mean[c], scale, shift)


@fast
def batch_norm_s(lo, hi, x, gamma, beta, eps, y, mean, var, inv_std):
    for c in range(lo, hi):
        mean[c], var[c] = _feature_moments(x, c)
        inv_std[c] = 1 / np.sqrt(var[c] + eps)
        normalize_s(c, c + 1, x, mean, inv_std, gamma, beta, y)


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


@contracted
def _three_terms(g, row, dx, centre, a, b, k):
    """(8) as a·g + b·(x - centre) + k, in the dtype of the coefficients."""
    for i in range(row.size):
        dx[i] = a * g[i] + (b * (row[i] - centre) + k)


@fast
def backward_s(lo, hi, g, x, mean, inv_std, gamma, batch, dx, dgamma, dbeta):
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
        if not (abs(s) < np.inf and abs(q) < np.inf):
            s, q = _gradient_sums(g, x, c, mean[c])
        dbeta[c] = s
        dgamma[c] = q * inv_std[c]
        a = inv_std[c] * gamma[c] if gamma.size else inv_std[c]
        b = -a * inv_std[c] * dgamma[c] / m if batch else 0.0
        k = -a * s / m if batch else 0.0
        k_x = k - b * _sub(mean[c], centre)
        if _ordinary(a) and _ordinary(b) and _ordinary(k_x) and _ordinary(mean[c]):
            a_x, b_x, k_x = x.dtype.type(a), x.dtype.type(b), x.dtype.type(k_x)
            for n in range(N):
                _three_terms(g[n, c], x[n, c], dx[n, c], centre, a_x, b_x, k_x)
        else:
            for n in range(N):
                _three_terms(g[n, c], x[n, c], dx[n, c], mean[c], a, b, k)


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
def _add_rows2(r0, r1, r2, r3, c, s, q):
    """Four rows at once: s and q are loaded and stored once for all of them."""
    for j in range(c.size):
        d0, d1, d2, d3 = _sub(r0[j], c[j]), _sub(r1[j], c[j]), _sub(r2[j], c[j]), _sub(r3[j], c[j])
        s[j] += (d0 + d1) + (d2 + d3)
        q[j] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)


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
        n1 = min(n0 + ROWS, N)
        n4 = n1 - (n1 - n0) % 4
        for n in range(n0, n4, 4):
            r0, r1, r2, r3 = x[n, j0:j1], x[n + 1, j0:j1], x[n + 2, j0:j1], x[n + 3, j0:j1]
            _add_rows2(r0, r1, r2, r3, guess, part_s, part_q)
        for n in range(n4, n1):
            _add_row2(x[n, j0:j1], guess, part_s, part_q)
        _flush(part_s, s)
        _flush(part_q, q)
    for j in range(w):
        shift = s[j] / N
        var[j] = q[j] / N - shift * shift
        mean[j] = guess[j] + shift
        if s[j] == 0.0 and q[j] == 0.0:
            var[j] = 0.0
        elif not (_usable(q[j], N) and shift * shift <= 4 * var[j]):
            mean[j], var[j] = _statistics(x.reshape(N, x.shape[1], 1), j0 + j)


@fast
def moments_c(lo, hi, x, mean, var):
    for t in range(lo, hi):
        j0, j1 = t * COLUMNS, min((t + 1) * COLUMNS, x.shape[1])
        _moments_block(x, j0, j1, mean[j0:j1], var[j0:j1])


@contracted
def _affine_c(x, y, j0, j1, table):
    """_affine for columns j0..j1-1. One table of coefficients: fewer arrays that might overlap."""
    for n in range(x.shape[0]):
        row, out = x[n, j0:j1], y[n, j0:j1]
        centre, scale, rest, shift = table[0], table[1], table[2], table[3]
        for j in range(row.size):
            d = row[j] - centre[j]
            out[j] = d * scale[j] + (d * rest[j] + shift[j])


@fast
def normalize_c(lo, hi, x, mean, inv_std, gamma, beta, y):
    for t in range(lo, hi):
        j0, j1 = t * COLUMNS, min((t + 1) * COLUMNS, x.shape[1])
        table, wide = np.empty((4, j1 - j0), x.dtype), np.zeros((4, j1 - j0))
        ordinary = True
        for j in range(j1 - j0):
            mu, r = mean[j0 + j], inv_std[j0 + j]
            scale = r * gamma[j0 + j] if gamma.size else r
            shift = np.float64(beta[j0 + j]) if beta.size else 0.0
            table[0, j], table[1, j] = mu, scale
            table[2, j] = _sub(scale, table[1, j])
            table[3, j] = shift - _sub(mu, table[0, j]) * scale
            wide[0, j], wide[1, j], wide[3, j] = mu, scale, shift
            ordinary &= _ordinary(scale) and _ordinary(r) and _ordinary(mu)
        if ordinary:
            _affine_c(x, y, j0, j1, table)
        else:
            _affine_c(x, y, j0, j1, wide)


@fast
def batch_norm_c(lo, hi, x, gamma, beta, eps, y, mean, var, inv_std):
    for t in range(lo, hi):
        j0, j1 = t * COLUMNS, min((t + 1) * COLUMNS, x.shape[1])
        _moments_block(x, j0, j1, mean[j0:j1], var[j0:j1])
        for j in range(j0, j1):
            inv_std[j] = 1 / np.sqrt(var[j] + eps)
        normalize_c(t, t + 1, x, mean, inv_std, gamma, beta, y)


@fast
def _add_row_g(g, row, c, s, q):
    for j in range(row.size):
        s[j] += g[j]
        q[j] += g[j] * _sub(row[j], c[j])


@fast
def _add_rows_g(g0, g1, r0, r1, c, s, q):
    """Two rows at once."""
    for j in range(c.size):
        s[j] += g0[j] + g1[j]
        q[j] += g0[j] * _sub(r0[j], c[j]) + g1[j] * _sub(r1[j], c[j])


@contracted
def _three_terms_c(g, x, dx, j0, j1, table):
    for n in range(x.shape[0]):
        g_row, row, out = g[n, j0:j1], x[n, j0:j1], dx[n, j0:j1]
        centre, a, b, k = table[0], table[1], table[2], table[3]
        for j in range(row.size):
            out[j] = a[j] * g_row[j] + (b[j] * (row[j] - centre[j]) + k[j])


@fast
def _sums_block(g, x, j0, j1, mean, centre, s, q):
    """(6) and Σ g·(x - mean), for one block of columns."""
    N, C = x.shape
    part_s, part_q = np.zeros(j1 - j0, x.dtype), np.zeros(j1 - j0, x.dtype)
    for n0 in range(0, N, ROWS):
        n1 = min(n0 + ROWS, N)
        n2 = n1 - (n1 - n0) % 2
        for n in range(n0, n2, 2):
            g0, g1, r0, r1 = g[n, j0:j1], g[n + 1, j0:j1], x[n, j0:j1], x[n + 1, j0:j1]
            _add_rows_g(g0, g1, r0, r1, centre, part_s, part_q)
        for n in range(n2, n1):
            _add_row_g(g[n, j0:j1], x[n, j0:j1], centre, part_s, part_q)
        _flush(part_s, s)
        _flush(part_q, q)
    for j in range(j1 - j0):
        q[j] -= s[j] * _sub(mean[j], centre[j])
        if not (abs(s[j]) < np.inf and abs(q[j]) < np.inf):
            wide = g.reshape(N, C, 1), x.reshape(N, C, 1)
            s[j], q[j] = _gradient_sums(wide[0], wide[1], j0 + j, mean[j])


@fast
def backward_c(lo, hi, g, x, mean, inv_std, gamma, batch, dx, dgamma, dbeta):
    N, C = x.shape
    for t in range(lo, hi):
        j0, j1 = t * COLUMNS, min((t + 1) * COLUMNS, C)
        s, q, centre = dbeta[j0:j1], np.zeros(j1 - j0), mean[j0:j1].astype(x.dtype)
        _sums_block(g, x, j0, j1, mean[j0:j1], centre, s, q)
        table, wide = np.empty((4, j1 - j0), x.dtype), np.empty((4, j1 - j0))
        ordinary = True
        for j in range(j1 - j0):
            mu, r = mean[j0 + j], inv_std[j0 + j]
            dgamma[j0 + j] = q[j] * r
            a = r * gamma[j0 + j] if gamma.size else r
            b = -a * r * r * q[j] / N if batch else 0.0
            k = -a * s[j] / N if batch else 0.0
            k_x = k - b * _sub(mu, centre[j])
            table[0, j], table[1, j], table[2, j], table[3, j] = centre[j], a, b, k_x
            wide[0, j], wide[1, j], wide[2, j], wide[3, j] = mu, a, b, k
            ordinary &= _ordinary(a) and _ordinary(b) and _ordinary(k_x) and _ordinary(mu)
        if ordinary:
            _three_terms_c(g, x, dx, j0, j1, table)
        else:
            _three_terms_c(g, x, dx, j0, j1, wide)


# The parallel twins.


@threaded
def moments_s_p(tasks, *args):
    for t in prange(tasks):
        moments_s(t, t + 1, *args)


@threaded
def normalize_s_p(tasks, *args):
    for t in prange(tasks):
        normalize_s(t, t + 1, *args)


@threaded
def batch_norm_s_p(tasks, *args):
    for t in prange(tasks):
        batch_norm_s(t, t + 1, *args)


@threaded
def backward_s_p(tasks, *args):
    for t in prange(tasks):
        backward_s(t, t + 1, *args)


@threaded
def moments_c_p(tasks, *args):
    for t in prange(tasks):
        moments_c(t, t + 1, *args)


@threaded
def normalize_c_p(tasks, *args):
    for t in prange(tasks):
        normalize_c(t, t + 1, *args)


@threaded
def batch_norm_c_p(tasks, *args):
    for t in prange(tasks):
        batch_norm_c(t, t + 1, *args)


@threaded
def backward_c_p(tasks, *args):
    for t in prange(tasks):
        backward_c(t, t + 1, *args)
