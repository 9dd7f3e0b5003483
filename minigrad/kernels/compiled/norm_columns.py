"""The loops of compiled batch normalisation for x (N, C): features contiguous.

As norm_planes, but loops run along rows. A task is a block of rows in a panel of columns;
each block has sums of its own, which are merged in order. Rows are taken as slices first: an index
like x[n, j0 + j] would be checked for wrapping around.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np

from minigrad.kernels.machinery.launch import (
    cold,
    contracted_part,
    exact,
    fast,
    in_parallel,
    kernel,
    part,
    threaded,
    uncounted,
)

PANEL = 1024  # at most so many columns in one task
ROWS = 32  # rows of one float32 partial sum
BLOCKS = 16  # at most so many blocks of rows


@exact
def _sub(a, b):
    return a - b


@exact
def _usable(q, m):
    """As in norm_planes."""
    return m * 1e-30 < q < np.inf


@exact
def _ordinary(v):
    """As in norm_planes."""
    return v == 0.0 or 1e-25 < abs(v) < 1e25


@cold
def _statistics(x, j):
    """Mean and biased variance of x[:, j] by the definition, all in float64: slow but sure."""
    x0, m = np.float64(x[0, j]), len(x)
    s = 0.0
    for n in range(m):
        s += x[n, j] - x0
    shift = s / m
    q = 0.0
    for n in range(m):
        d = (x[n, j] - x0) - shift
        q += d * d
    return x0 + shift, q / m


@cold
def _gradient_sums(g, x, j, mean):
    """Σ g and Σ g·(x - mean) of column j, all in float64."""
    s = 0.0
    q = 0.0
    for n in range(len(x)):
        s += g[n, j]
        q += g[n, j] * (x[n, j] - mean)
    return s, q


@fast
def _place(t, shape):
    """The rows n0..n1-1 and the columns j0..j1-1 of task t."""
    N, C = shape
    panels = -(-C // PANEL)
    rows = rows_of_block(N)
    n0, j0 = t // panels * rows, t % panels * PANEL
    return n0, min(n0 + rows, N), j0, min(j0 + PANEL, C)


@fast
def rows_of_block(N):
    """ROWS, or what makes at most BLOCKS blocks."""
    return max(ROWS, -(-N // BLOCKS))


@fast
def _no_sums(x):
    """Zeros for two sums per feature of each block of rows."""
    N, C = x.shape
    return np.zeros((-(-N // rows_of_block(N)), 2, C))


@part
def _guess(x):
    """The mean of a few rows; of a constant feature, the constant."""
    few = min(x.shape[0], 16)
    guess, s = x[0].copy(), np.zeros(x.shape[1], x.dtype)
    for n in range(1, few):
        row = x[n]
        for j in range(row.size):
            s[j] += _sub(row[j], guess[j])
    for j in range(guess.size):
        guess[j] += s[j] / few
    return guess


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


@part
def _sums_c(lo, hi, x, guess, sums):
    """Σ d and Σ d² of d = x - guess, per block of rows: sums (blocks, 2, C)."""
    x, guess, sums = uncounted(x), uncounted(guess), uncounted(sums)
    for t in range(lo, hi):
        begin, end, j0, j1 = _place(t, x.shape)
        block, c = sums[begin // rows_of_block(x.shape[0])], guess[j0:j1]
        part_s, part_q = np.zeros(j1 - j0, x.dtype), np.zeros(j1 - j0, x.dtype)
        for n0 in range(begin, end, ROWS):
            n1 = min(n0 + ROWS, end)
            n4 = n1 - (n1 - n0) % 4
            for n in range(n0, n4, 4):
                r0, r1, r2, r3 = x[n, j0:j1], x[n + 1, j0:j1], x[n + 2, j0:j1], x[n + 3, j0:j1]
                _add_rows2(r0, r1, r2, r3, c, part_s, part_q)
            for n in range(n4, n1):
                _add_row2(x[n, j0:j1], c, part_s, part_q)
            _flush(part_s, block[0, j0:j1])
            _flush(part_q, block[1, j0:j1])


@fast
def _merge(sums):
    for b in range(1, len(sums)):
        for k in range(2):
            total, part = sums[0, k], sums[b, k]
            for j in range(total.size):
                total[j] += part[j]
    return sums[0, 0], sums[0, 1]


@part
def _moments_from(x, guess, sums, mean, var):
    N, C = x.shape
    s, q = _merge(sums)
    for j in range(C):
        shift = s[j] / N
        var[j] = q[j] / N - shift * shift
        mean[j] = guess[j] + shift
        if not (_usable(q[j], N) and shift * shift <= 4 * var[j]):
            mean[j], var[j] = _statistics(x, j)


@kernel
def moments_c(lo, hi, x, mean, var):
    guess, sums = _guess(x), _no_sums(x)
    _sums_c(lo, hi, x, guess, sums)
    _moments_from(x, guess, sums, mean, var)


@part
def _coefficients(x, mean, inv_std, gamma, beta):
    """_affine's coefficients per feature, those of _affine_wide, and the features that need them.

    One array for all four: LLVM must check each pair of arrays for overlap before it vectorises.
    """
    C = x.shape[1]
    table, wide, odd = np.empty((4, C), x.dtype), np.empty((3, C)), np.zeros(C, np.bool_)
    for j in range(C):
        mu, r = mean[j], inv_std[j]
        scale = r * gamma[j] if gamma.size else r
        shift = np.float64(beta[j]) if beta.size else 0.0
        table[0, j], table[1, j] = mu, scale
        table[2, j] = _sub(scale, table[1, j])
        table[3, j] = shift - _sub(mu, table[0, j]) * scale
        wide[0, j], wide[1, j], wide[2, j] = mu, scale, shift
        odd[j] = not (_ordinary(scale) and _ordinary(r) and _ordinary(mu))
    return table, wide, np.flatnonzero(odd)


BOUND = 1e10


@contracted_part
def _affine_c(lo, hi, x, table, wide, odd, y):
    x, table, y = uncounted(x), uncounted(table), uncounted(y)
    for t in range(lo, hi):
        n0, n1, j0, j1 = _place(t, x.shape)
        centre, scale = table[0, j0:j1], table[1, j0:j1]
        rest, shift, bound = table[2, j0:j1], table[3, j0:j1], x.dtype.type(BOUND)
        for n in range(n0, n1):
            row, out = x[n, j0:j1], y[n, j0:j1]
            for j in range(row.size):
                d = row[j] - centre[j]
                # bounded as in norm_planes
                out[j] = d * scale[j] + (min(max(d, -bound), bound) * rest[j] + shift[j])
        for j in odd:
            if j0 <= j < j1:
                for n in range(n0, n1):
                    y[n, j] = (x[n, j] - wide[0, j]) * wide[1, j] + wide[2, j]


@kernel
def normalize_c(lo, hi, x, mean, inv_std, gamma, beta, y):
    table, wide, odd = _coefficients(x, mean, inv_std, gamma, beta)
    _affine_c(lo, hi, x, table, wide, odd, y)


@kernel
def batch_norm_c(lo, hi, x, gamma, beta, eps, y, mean, var, inv_std):
    moments_c(lo, hi, x, mean, var)
    for j in range(mean.size):
        inv_std[j] = 1 / np.sqrt(var[j] + eps)
    normalize_c(lo, hi, x, mean, inv_std, gamma, beta, y)


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


@part
def _sums_g_c(lo, hi, g, x, centre, sums):
    """Σ g and Σ g·(x - centre), per block of rows: sums (blocks, 2, C)."""
    g, x, centre, sums = uncounted(g), uncounted(x), uncounted(centre), uncounted(sums)
    for t in range(lo, hi):
        begin, end, j0, j1 = _place(t, x.shape)
        block, c = sums[begin // rows_of_block(x.shape[0])], centre[j0:j1]
        part_s, part_q = np.zeros(j1 - j0, x.dtype), np.zeros(j1 - j0, x.dtype)
        for n0 in range(begin, end, ROWS):
            n1 = min(n0 + ROWS, end)
            n2 = n1 - (n1 - n0) % 2
            for n in range(n0, n2, 2):
                g0, g1, r0, r1 = g[n, j0:j1], g[n + 1, j0:j1], x[n, j0:j1], x[n + 1, j0:j1]
                _add_rows_g(g0, g1, r0, r1, c, part_s, part_q)
            for n in range(n2, n1):
                _add_row_g(g[n, j0:j1], x[n, j0:j1], c, part_s, part_q)
            _flush(part_s, block[0, j0:j1])
            _flush(part_q, block[1, j0:j1])


@part
def _gradient_coefficients(g, x, centre, sums, mean, inv_std, gamma, batch, dgamma, dbeta):
    """dgamma and dbeta from the sums; then as _coefficients, for _three_terms."""
    N, C = x.shape
    s, q = _merge(sums)
    table, wide, odd = np.empty((4, C), x.dtype), np.empty((4, C)), np.zeros(C, np.bool_)
    for j in range(C):
        mu, r = mean[j], inv_std[j]
        q[j] -= s[j] * _sub(mu, centre[j])
        if not (abs(s[j]) < np.inf and abs(q[j]) < np.inf):
            s[j], q[j] = _gradient_sums(g, x, j, mu)
        dbeta[j], dgamma[j] = s[j], q[j] * r
        a = r * gamma[j] if gamma.size else r
        b = -a * r * r * q[j] / N if batch else 0.0  # the part of g along x_hat
        k = -a * s[j] / N if batch else 0.0  # the mean of g
        k_x = k - b * _sub(mu, centre[j])
        table[0, j], table[1, j], table[2, j], table[3, j] = centre[j], a, b, k_x
        wide[0, j], wide[1, j], wide[2, j], wide[3, j] = mu, a, b, k
        odd[j] = not (_ordinary(a) and _ordinary(b) and _ordinary(k_x) and _ordinary(mu))
    return table, wide, np.flatnonzero(odd)


@contracted_part
def _three_terms_c(lo, hi, g, x, table, wide, odd, batch, dx):
    """(BN 11) as a·g + (b·(x - mean) + k)."""
    g, x, table, dx = uncounted(g), uncounted(x), uncounted(table), uncounted(dx)
    for t in range(lo, hi):
        n0, n1, j0, j1 = _place(t, x.shape)
        centre, a, b, k = table[0, j0:j1], table[1, j0:j1], table[2, j0:j1], table[3, j0:j1]
        for n in range(n0, n1):
            g_row, row, out = g[n, j0:j1], x[n, j0:j1], dx[n, j0:j1]
            if batch:
                for j in range(row.size):
                    out[j] = a[j] * g_row[j] + (b[j] * (row[j] - centre[j]) + k[j])
            else:  # (BN 12): x plays no part, not even where it is not finite
                for j in range(row.size):
                    out[j] = a[j] * g_row[j]
        for j in odd:
            if j0 <= j < j1:
                c, a_j, b_j, k_j = wide[0, j], wide[1, j], wide[2, j], wide[3, j]
                for n in range(n0, n1):
                    dx[n, j] = a_j * g[n, j]
                    if batch:
                        dx[n, j] = a_j * g[n, j] + (b_j * (x[n, j] - c) + k_j)


@kernel
def backward_c(lo, hi, g, x, mean, inv_std, gamma, batch, dx, dgamma, dbeta):
    centre, sums = mean.astype(x.dtype), _no_sums(x)
    _sums_g_c(lo, hi, g, x, centre, sums)
    table, wide, odd = _gradient_coefficients(
        g, x, centre, sums, mean, inv_std, gamma, batch, dgamma, dbeta
    )
    _three_terms_c(lo, hi, g, x, table, wide, odd, batch, dx)


# The parallel forms.


@threaded
def moments_c_p(pool, tasks, x, mean, var):
    guess, sums = _guess(x), _no_sums(x)
    in_parallel(pool, tasks, _sums_c, (x, guess, sums))
    _moments_from(x, guess, sums, mean, var)


@threaded
def normalize_c_p(pool, tasks, x, mean, inv_std, gamma, beta, y):
    table, wide, odd = _coefficients(x, mean, inv_std, gamma, beta)
    in_parallel(pool, tasks, _affine_c, (x, table, wide, odd, y))


@threaded
def batch_norm_c_p(pool, tasks, x, gamma, beta, eps, y, mean, var, inv_std):
    guess, sums = _guess(x), _no_sums(x)
    in_parallel(pool, tasks, _sums_c, (x, guess, sums))
    _moments_from(x, guess, sums, mean, var)
    for j in range(mean.size):
        inv_std[j] = 1 / np.sqrt(var[j] + eps)
    table, wide, odd = _coefficients(x, mean, inv_std, gamma, beta)
    in_parallel(pool, tasks, _affine_c, (x, table, wide, odd, y))


@threaded
def backward_c_p(pool, tasks, g, x, mean, inv_std, gamma, batch, dx, dgamma, dbeta):
    centre, sums = mean.astype(x.dtype), _no_sums(x)
    in_parallel(pool, tasks, _sums_g_c, (g, x, centre, sums))
    table, wide, odd = _gradient_coefficients(
        g, x, centre, sums, mean, inv_std, gamma, batch, dgamma, dbeta
    )
    in_parallel(pool, tasks, _three_terms_c, (g, x, table, wide, odd, batch, dx))
