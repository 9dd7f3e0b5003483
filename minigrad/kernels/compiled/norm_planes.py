"""The loops of compiled batch normalisation for x (N, C, S): values of a feature contiguous.

Equations are those of ops/norm.py. What differs from reference is that the values are read once for
the statistics and once for the result. In float32, sums run in float32 over short stretches, which
are merged in float64. What is summed is x - c with c close to the mean, in a subtraction (_sub)
that the compiler may not reorder. A sum that is not finite is done again in float64.

Functions that call each other must stay in one file, small ones stand in both: numba's cache on
disk does not notice changes in other files.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np

from minigrad.kernels.machinery.launch import (
    cold,
    contracted,
    exact,
    fast,
    in_parallel,
    kernel,
    threaded,
    uncounted,
)

STRETCH = 512  # elements of one float32 partial sum


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


@cold
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


@kernel
def moments_s(lo, hi, x, mean, var):
    x = uncounted(x)
    for c in range(lo, hi):
        mean[c], var[c] = _feature_moments(x, c)


@exact
def _ordinary(v):
    """Whether v fits float32 with room to spare."""
    return v == 0.0 or 1e-25 < abs(v) < 1e25


BOUND = 1e10


@contracted
def _affine(row, y, centre, scale, rest, shift):
    """(BN 4) with scale + rest = gamma·inv_std and centre ~ mean, split so that float32 will do.

    The small term is that of a bounded d, lest inf - inf or inf·0 make NaN of an infinite pixel;
    beyond the bound it is below half a unit of the last place.
    """
    bound = row.dtype.type(BOUND)
    for i in range(row.size):
        d = row[i] - centre
        y[i] = d * scale + (min(max(d, -bound), bound) * rest + shift)


@contracted
def _affine_wide(row, y, mean, scale, shift):
    for i in range(row.size):
        y[i] = (row[i] - mean) * scale + shift


@fast
def _normalize_feature(x, y, c, mean, inv_std, gamma, beta):
    """(BN 3) and (BN 4) for x[:, c]."""
    scale = inv_std * gamma
    if _ordinary(scale) and _ordinary(inv_std) and _ordinary(mean):
        centre, scale_x = x.dtype.type(mean), x.dtype.type(scale)
        rest = x.dtype.type(_sub(scale, scale_x))
        shift_x = x.dtype.type(beta - _sub(mean, centre) * scale)
        for n in range(x.shape[0]):
            _affine(x[n, c], y[n, c], centre, scale_x, rest, shift_x)
    else:
        for n in range(x.shape[0]):
            _affine_wide(x[n, c], y[n, c], mean, scale, beta)


@exact
def _at(parameter, c, without):
    """gamma or beta of a feature in float64."""
    return np.float64(parameter[c]) if parameter.size else without


@kernel
def normalize_s(lo, hi, x, mean, inv_std, gamma, beta, y):
    x, y = uncounted(x), uncounted(y)
    for c in range(lo, hi):
        _normalize_feature(x, y, c, mean[c], inv_std[c], _at(gamma, c, 1.0), _at(beta, c, 0.0))


@exact
def _relu(y, c):
    for n in range(y.shape[0]):
        row = y[n, c]
        for i in range(row.size):
            row[i] = 0 if row[i] <= 0 else row[i]


@kernel
def batch_norm_s(lo, hi, x, gamma, beta, eps, relu, y, mean, var, inv_std):
    x, y = uncounted(x), uncounted(y)
    for c in range(lo, hi):
        mean[c], var[c] = _feature_moments(x, c)
        inv_std[c] = 1 / np.sqrt(var[c] + eps)
        _normalize_feature(x, y, c, mean[c], inv_std[c], _at(gamma, c, 1.0), _at(beta, c, 0.0))
        if relu:
            _relu(y, c)


@kernel
def group_norm_s(lo, hi, x, groups, channels, gamma, beta, eps, y, mean, var, inv_std):
    """Statistics of `groups` (1, N·G, C/G·S); x and y are (1, N·C, S). A task is a group."""
    x, groups, y = uncounted(x), uncounted(groups), uncounted(y)
    spread = x.shape[1] // groups.shape[1]
    for t in range(lo, hi):
        mean[t], var[t] = _feature_moments(groups, t)
        inv_std[t] = 1 / np.sqrt(var[t] + eps)
        for i in range(t * spread, (t + 1) * spread):
            c = i % channels
            _normalize_feature(x, y, i, mean[t], inv_std[t], _at(gamma, c, 1.0), _at(beta, c, 0.0))


@cold
def _exact_gradient_sums(g, x, c, mean):
    """Σ g and Σ g·(x - mean) of feature c, all in float64."""
    s = 0.0
    q = 0.0
    for n in range(x.shape[0]):
        for i in range(x.shape[2]):
            s += g[n, c, i]
            q += g[n, c, i] * (x[n, c, i] - mean)
    return s, q


@fast
def _gradient_sums(g, x, c, mean):
    """Σ g and Σ g·(x - mean) of feature c."""
    centre = x.dtype.type(mean)
    s = 0.0
    q = 0.0
    for n in range(x.shape[0]):
        row, g_row = x[n, c], g[n, c]
        for i in range(0, row.size, STRETCH):
            ds, dq = _sum_g(g_row[i : i + STRETCH], row[i : i + STRETCH], centre)
            s += ds
            q += dq
    q -= s * _sub(mean, centre)
    if not (abs(s) < np.inf and abs(q) < np.inf):
        s, q = _exact_gradient_sums(g, x, c, mean)
    return s, q


@contracted
def _three_terms(g, row, dx, centre, a, b, k):
    for i in range(row.size):
        dx[i] = a * g[i] + (b * (row[i] - centre) + k)


@contracted
def _three_terms_in_place(dx, row, centre, a, b, k):
    """As _three_terms, with g in dx."""
    for i in range(row.size):
        dx[i] = a * dx[i] + (b * (row[i] - centre) + k)


@fast
def _gradient_of_feature(g, x, dx, c, mean, a, b, k, batch, in_place):
    """(BN 11) as a·g + (b·(x - mean) + k), in the dtype of x if the coefficients fit it. With
    `in_place` g and dx are the same array."""
    if not batch:  # (BN 12): x plays no part, not even where it is not finite
        for n in range(x.shape[0]):
            g_row, out = g[n, c], dx[n, c]
            for i in range(out.size):
                out[i] = a * g_row[i]
        return
    centre = x.dtype.type(mean)
    k_x = k - b * _sub(mean, centre)
    if _ordinary(a) and _ordinary(b) and _ordinary(k_x) and _ordinary(mean):
        a_x, b_x, k_x = x.dtype.type(a), x.dtype.type(b), x.dtype.type(k_x)
        for n in range(x.shape[0]):
            if in_place:
                _three_terms_in_place(dx[n, c], x[n, c], centre, a_x, b_x, k_x)
            else:
                _three_terms(g[n, c], x[n, c], dx[n, c], centre, a_x, b_x, k_x)
    else:
        for n in range(x.shape[0]):
            _three_terms(g[n, c], x[n, c], dx[n, c], mean, a, b, k)


@exact
def _relu_backward(g, y, c, out):
    """out[:, c] = what relu, with the result y, lets pass of g[:, c]."""
    for n in range(y.shape[0]):
        g_row, y_row, row = g[n, c], y[n, c], out[n, c]
        for i in range(row.size):
            row[i] = 0 if y_row[i] <= 0 else g_row[i]


@kernel
def backward_s(lo, hi, g, y, x, mean, inv_std, gamma, batch, dx, dgamma, dbeta):
    """If relu followed, y is its result; else y has no elements."""
    g, y, x, dx = uncounted(g), uncounted(y), uncounted(x), uncounted(dx)
    m = x.shape[0] * x.shape[2]
    for c in range(lo, hi):
        if y.size:
            _relu_backward(g, y, c, dx)
        source = dx if y.size else g
        s, q = _gradient_sums(source, x, c, mean[c])
        r = inv_std[c]
        dbeta[c], dgamma[c] = s, q * r
        a = r * _at(gamma, c, 1.0)
        b = -a * r * r * q / m if batch else 0.0  # the part of g along x_hat
        k = -a * s / m if batch else 0.0  # the mean of g
        _gradient_of_feature(source, x, dx, c, mean[c], a, b, k, batch, y.size > 0)


@kernel
def group_backward_s(lo, hi, g, x, channels, mean, inv_std, gamma, dx, dgamma, dbeta):
    """(LN 2) in each group. g, x and dx are (1, N·C, S), dgamma and dbeta (N·C,)."""
    g, x, dx = uncounted(g), uncounted(x), uncounted(dx)
    spread = x.shape[1] // mean.size
    m = spread * x.shape[2]
    for t in range(lo, hi):
        r = inv_std[t]
        total = 0.0
        along = 0.0
        for i in range(t * spread, (t + 1) * spread):
            s, q = _gradient_sums(g, x, i, mean[t])
            dbeta[i], dgamma[i] = s, q * r
            total += s * _at(gamma, i % channels, 1.0)
            along += q * _at(gamma, i % channels, 1.0)
        b = -r * r * r * along / m  # the part of dx_hat along x_hat
        k = -r * total / m  # the mean of dx_hat
        for i in range(t * spread, (t + 1) * spread):
            a = r * _at(gamma, i % channels, 1.0)
            _gradient_of_feature(g, x, dx, i, mean[t], a, b, k, True, False)


# The parallel forms.


@threaded
def moments_s_p(pool, tasks, *args):
    in_parallel(pool, tasks, moments_s, args)


@threaded
def normalize_s_p(pool, tasks, *args):
    in_parallel(pool, tasks, normalize_s, args)


@threaded
def batch_norm_s_p(pool, tasks, *args):
    in_parallel(pool, tasks, batch_norm_s, args)


@threaded
def backward_s_p(pool, tasks, *args):
    in_parallel(pool, tasks, backward_s, args)


@threaded
def group_norm_s_p(pool, tasks, *args):
    in_parallel(pool, tasks, group_norm_s, args)


@threaded
def group_backward_s_p(pool, tasks, *args):
    in_parallel(pool, tasks, group_backward_s, args)
