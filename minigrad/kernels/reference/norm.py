"""Batch, group, layer and rms normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad.kernels.machinery.arrays import Array, accumulator, like
from minigrad.kernels.reference.relu import relu, relu_backward

BLOCK = 1 << 16  # elements of one temporary: 512 KiB of float64 stay in the second-level cache

# x is (N, C, S): N samples, C features, S positions; m = N·S values share one mean and variance.
# Equations are those of ops/norm.py.
#
# Sums are taken of x - x0, x0 a feature's first value. Then a large common offset costs no digits,
# and a constant feature has exactly mean x0 and variance 0, so (BN 4) gives exactly beta.


def _feature_blocks(x: Array) -> Iterator[slice]:
    """Slices of features small enough that several passes over one find it in the cache."""
    N, C, S = x.shape
    width = max(1, BLOCK // max(1, N * S))
    return (slice(c, min(c + width, C)) for c in range(0, C, width))


def _centred(x: Array, acc: np.dtype[Any]) -> tuple[Array, Array, Array]:
    """x - mean (N, C, S) with mean and biased variance (C,): equations (BN 1) and (BN 2)."""
    m = x.shape[0] * x.shape[2]
    x0 = x[0, :, 0].astype(acc)
    d = np.subtract(x, x0[:, None], dtype=acc)
    shift = np.einsum("ncs->c", d) / m
    d -= shift[:, None]
    return d, x0 + shift, np.einsum("ncs,ncs->c", d, d) / m


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance (C,) of x (N, C, S) over N and S, in the accumulator dtype."""
    acc, C = accumulator(x), x.shape[1]
    mean, var = np.full(C, np.nan, acc), np.full(C, np.nan, acc)  # what no values at all give
    if x.size:
        with np.errstate(all="ignore"):  # inf - inf: that feature becomes NaN, as it should
            for c in _feature_blocks(x):
                _, mean[c], var[c] = _centred(x[:, c], acc)
    return mean, var


def batch_norm(
    x: Array, gamma: Array | None, beta: Array | None, eps: float, then_relu: bool = False
) -> tuple[Array, Array, Array, Array]:
    """(BN 1) to (BN 4) for x (N, C, S), then relu: y and, per feature, mean, var, inv_std (C,)."""
    acc, C = accumulator(x), x.shape[1]
    y = np.empty(x.shape, like(x, gamma, beta))
    mean, var = np.full(C, np.nan, acc), np.full(C, np.nan, acc)
    inv_std = np.full(C, np.nan, acc)
    if not x.size:
        return y, mean, var, inv_std
    with np.errstate(all="ignore"):
        for c in _feature_blocks(x):
            d, mean[c], var[c] = _centred(x[:, c], acc)
            inv_std[c] = 1 / np.sqrt(var[c] + eps)
            scale = inv_std[c] if gamma is None else inv_std[c] * gamma[c]
            d = np.multiply(d, scale[:, None], out=d if scale.dtype == d.dtype else None)
            y[:, c] = d if beta is None else d + beta[c, None]
    return relu(y) if then_relu else y, mean, var, inv_std


def normalize(
    x: Array, mean: Array, inv_std: Array, gamma: Array | None, beta: Array | None
) -> Array:
    """Equations (BN 3) and (BN 4) for x (N, C, S) with statistics (C,) that are given."""
    acc = accumulator(x, mean)
    y = np.empty(x.shape, like(x, mean, inv_std, gamma, beta))
    with np.errstate(all="ignore"):
        for c in _feature_blocks(x):
            d = np.subtract(x[:, c], mean[c, None], dtype=acc)
            scale = inv_std[c] if gamma is None else inv_std[c] * gamma[c]
            d = d * scale[:, None]
            y[:, c] = d if beta is None else d + beta[c, None]
    return y


def _norm_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None, batch: bool
) -> tuple[Array, Array, Array]:
    """(BN 5), (BN 6) and, if the statistics came from this batch, (BN 11), else (BN 12)."""
    acc, C = accumulator(g, x, mean, inv_std), x.shape[1]
    m = x.shape[0] * x.shape[2]
    dx = np.empty(x.shape, like(x, g, mean, inv_std, gamma))
    dgamma, dbeta = np.zeros(C, acc), np.zeros(C, acc)
    if not x.size:
        return dx, dgamma, dbeta
    with np.errstate(all="ignore"):
        for c in _feature_blocks(x):
            gc = g[:, c].astype(acc)
            x_hat = np.subtract(x[:, c], mean[c, None], dtype=acc)
            x_hat *= inv_std[c, None]
            dbeta[c] = np.einsum("ncs->c", gc)
            dgamma[c] = np.einsum("ncs,ncs->c", gc, x_hat)
            if batch:
                gc -= (dbeta[c] / m)[:, None]  # the mean of g
                x_hat *= (dgamma[c] / m)[:, None]
                gc -= x_hat  # its part along x_hat
            scale = inv_std[c] if gamma is None else inv_std[c] * gamma[c]
            dx[:, c] = gc * scale[:, None]
    return dx, dgamma, dbeta


def batch_norm_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None, y: Array | None = None
) -> tuple[Array, Array, Array]:
    """dx (N, C, S) by (BN 11), dgamma (C,), dbeta (C,). y is the result after relu."""
    g = g if y is None else relu_backward(g, y)
    return _norm_backward(g, x, mean, inv_std, gamma, batch=True)


def normalize_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None
) -> tuple[Array, Array, Array]:
    """dx by (BN 12): constant statistics pass no gradient back to x; dgamma (C,), dbeta (C,)."""
    return _norm_backward(g, x, mean, inv_std, gamma, batch=False)


def group_norm(
    x: Array, gamma: Array | None, beta: Array | None, groups: int, eps: float
) -> tuple[Array, Array, Array, Array]:
    """Normalise groups of C/G channels of each sample of x (N, C, S), gamma and beta (C,): y and
    mean, var, inv_std (N·G,)."""
    N, C, S = x.shape
    mean, var = moments(x.reshape(1, N * groups, C // groups * S))
    with np.errstate(all="ignore"):
        inv_std = 1 / np.sqrt(var + eps)
    # each (sample, channel) as a feature: its group's statistics, its channel's affine map
    statistics = np.repeat(mean, C // groups), np.repeat(inv_std, C // groups)
    affine = (None if p is None else np.tile(p, N) for p in (gamma, beta))
    y = normalize(x.reshape(1, N * C, S), *statistics, *affine)
    return y.reshape(x.shape), mean, var, inv_std


def group_norm_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None, groups: int
) -> tuple[Array, Array, Array]:
    """dx (N, C, S), dgamma (C,), dbeta (C,)."""
    N, C, S = x.shape
    each, rows = (1, N * C, S), (1, N * groups, C // groups * S)
    statistics = np.repeat(mean, C // groups), np.repeat(inv_std, C // groups)
    gamma_c = None if gamma is None else np.tile(gamma, N)
    dx, dgamma, dbeta = normalize_backward(g.reshape(each), x.reshape(each), *statistics, gamma_c)
    # (LN 2) in each group; its two sums from dbeta and dgamma of each (n, c)
    weight, m = 1 if gamma_c is None else gamma_c, max(1, rows[2])
    with np.errstate(all="ignore"):
        mean_g = (weight * dbeta).reshape(N * groups, C // groups).sum(1) / m
        along = (weight * dgamma).reshape(N * groups, C // groups).sum(1) / m  # x_hat
        slope = inv_std * inv_std * along  # inv_std·(mean_g + x_hat·along), as an affine map of x
        minus = x.reshape(rows) * slope[:, None] + (inv_std * mean_g - slope * mean)[:, None]
        dx = (dx.reshape(rows) - minus).astype(dx.dtype, copy=False).reshape(x.shape)
    return dx, dgamma.reshape(N, C).sum(0), dbeta.reshape(N, C).sum(0)


def layer_norm(
    x: Array, gamma: Array | None, beta: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """(LN 1) for each row of x (N, D), gamma and beta (D,): y, mean (N,), inv_std (N,)."""
    acc, (N, D) = accumulator(x), x.shape
    if not x.size:
        nothing = np.full(N, np.nan, acc)
        return np.empty(x.shape, like(x, gamma, beta)), nothing, nothing.copy()
    with np.errstate(all="ignore"):
        x0 = x[:, :1].astype(acc)
        d = x - x0
        shift = np.einsum("nd->n", d)[:, None] / D
        d -= shift
        inv_std = 1 / np.sqrt(np.einsum("nd,nd->n", d, d) / D + eps)
        y = d * inv_std[:, None]
        y = y if gamma is None else y * gamma
        y = y if beta is None else y + beta
    return y.astype(like(x, gamma, beta), copy=False), (x0 + shift)[:, 0], inv_std


def layer_norm_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None
) -> tuple[Array, Array, Array]:
    """Equations (LN 2) and (LN 3): dx (N, D), dgamma (D,), dbeta (D,)."""
    acc, D = accumulator(g, x, mean), max(1, x.shape[1])
    with np.errstate(all="ignore"):
        x_hat = (x - mean[:, None]) * inv_std[:, None]
        gh = g.astype(acc) if gamma is None else g * gamma.astype(accumulator(gamma))
        mean_g = np.einsum("nd->n", gh)[:, None] / D
        along = np.einsum("nd,nd->n", gh, x_hat)[:, None] / D  # x_hat
        dx = inv_std[:, None] * (gh - mean_g - x_hat * along)
        dgamma, dbeta = np.einsum("nd,nd->d", g, x_hat), g.sum(0, dtype=accumulator(g))
    return dx.astype(like(x, g, mean, gamma), copy=False), dgamma, dbeta


def rms_norm(x: Array, gamma: Array | None, eps: float) -> tuple[Array, Array]:
    """(RMS 1) and (RMS 2) for each row of x (N, D), gamma (D,): y and inv_rms (N,)."""
    acc, D = accumulator(x), max(1, x.shape[1])
    with np.errstate(all="ignore"):
        d = x.astype(acc)
        inv_rms = 1 / np.sqrt(np.einsum("nd,nd->n", d, d) / D + eps)
        y = d * inv_rms[:, None]
        y = y if gamma is None else y * gamma
    return y.astype(like(x, gamma), copy=False), inv_rms


def rms_norm_backward(
    g: Array, x: Array, inv_rms: Array, gamma: Array | None
) -> tuple[Array, Array]:
    """Equations (RMS 3) and (RMS 4): dx (N, D) and dgamma (D,)."""
    acc, D = accumulator(g, x, inv_rms), max(1, x.shape[1])
    with np.errstate(all="ignore"):
        x_hat = x * inv_rms[:, None]
        gh = g.astype(acc) if gamma is None else g * gamma.astype(accumulator(gamma))
        along = np.einsum("nd,nd->n", gh, x_hat)[:, None] / D  # x_hat
        dx = inv_rms[:, None] * (gh - x_hat * along)
        dgamma = np.einsum("nd,nd->d", g, x_hat)
    return dx.astype(like(x, g, inv_rms, gamma), copy=False), dgamma
