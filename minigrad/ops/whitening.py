"""ZCA whitening of groups of channels over a batch (Huang et al. 2018, Decorrelated batch
normalization), with a backward by hand.

One group has d channels and m values of each, x (d, m):

    forward     mean = Σ_j x_j / m,   c = x - mean                                   (DBN 1)
                Σ = c·cᵀ/m + eps·I = D·Λ·Dᵀ                                          (DBN 2)
                W = Σ^(-½) = D·Λ^(-½)·Dᵀ,   y = W·c                                  (DBN 3)

    backward    dW = g·cᵀ                                                            (DBN 4)
                W·W·Σ = I, so a change of Σ by E changes W, seen in the basis D, by
                K ∘ (Dᵀ·E·D),   K_ij = (λ_i^(-½) - λ_j^(-½))/(λ_i - λ_j)
                                     = -1/(√λ_i·√λ_j·(√λ_i + √λ_j))                  (DBN 5)
                dΣ = D·(K ∘ (Dᵀ·dW·D))·Dᵀ                     (the adjoint: K = Kᵀ)  (DBN 6)
                dc = W·g + (dΣ + dΣᵀ)·c/m,   dx = dc - Σ_j dc_j / m                  (DBN 7)

PCA whitening, y = Λ^(-½)·Dᵀ·c, differs by a rotation, and so would have 1/(λ_i - λ_j) in (DBN 5),
which explodes where two eigenvalues meet; and the axes swap places from batch to batch. ZCA has
neither.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.recording import record
from minigrad.tape import Array
from minigrad.tensor import Tensor


def grouped(a: Array, groups: int) -> Array:
    """x (N, C, …) as (G, d, m) in the accumulator dtype: a copy."""
    samples, channels = a.shape[:2]
    each = channels // groups
    parts = a.reshape(samples, groups, each, -1).transpose(1, 2, 0, 3)
    return parts.reshape(groups, each, -1).astype(np.result_type(a.dtype, np.float64))


def _ungrouped(parts: Array, shape: tuple[int, ...]) -> Array:
    samples, channels = shape[:2]
    split = parts.reshape(*parts.shape[:2], samples, -1)
    return split.transpose(2, 0, 1, 3).reshape(samples, channels, *shape[2:])


def covariance(x: Array) -> tuple[Array, Array, Array]:
    """x - mean (G, d, m), mean (G, d) and biased covariance (G, d, d) of x (G, d, m)."""
    first = x[:, :, :1]  # sums of x - first: a common offset costs no digits
    shifted = x - first
    shift = shifted.mean(axis=2, keepdims=True)
    c = shifted - shift
    cov = kernels.backend_for(c).product(c, c.swapaxes(1, 2))
    return c, (first + shift)[:, :, 0], cov / x.shape[2]


def inverse_root(cov: Array, eps: float) -> tuple[Array, Array, Array]:
    """W, √λ and D of (DBN 2) and (DBN 3) for each group; NaN in groups that are not finite."""
    sigma = cov + eps * np.eye(cov.shape[1])
    finite = np.isfinite(sigma).all(axis=(1, 2)).reshape(-1, 1, 1)
    values, d = np.linalg.eigh(np.where(finite, sigma, np.eye(cov.shape[1])))
    # rounding may leave an eigenvalue of a singular matrix just below eps
    roots = np.where(finite[:, 0], np.sqrt(np.maximum(values, eps)), np.nan)
    return (d / roots[:, None]) @ d.swapaxes(1, 2), roots, d


def whiten(x: Tensor, groups: int, eps: float) -> tuple[Tensor, Array, Array]:
    """(y, mean (C,), biased covariance (G, d, d)) of x (N, C, …), C = G·d, by the batch."""
    shape, dtype = x.shape, x.array.dtype
    with np.errstate(all="ignore"):
        c, mean, cov = covariance(grouped(x.array, groups))
        if dtype.kind == "c":
            w, sigma_gradient = _probed(cov + eps * np.eye(cov.shape[1]))
        else:
            w, roots, d = inverse_root(cov, eps)
            sigma_gradient = _by_eigenvectors(roots, d)
        y = _ungrouped(kernels.backend_for(w, c).product(w, c), shape).astype(dtype)

    def vjp(g: Any) -> Any:
        wide = grouped(g, groups)
        product = kernels.backend_for(wide, c, w).product
        dsigma = sigma_gradient(product(wide, c.swapaxes(1, 2)))  # (DBN 4), (DBN 6)
        dc = product(w, wide) + product(dsigma + dsigma.swapaxes(1, 2), c) / c.shape[2]
        return (_ungrouped(dc - dc.mean(axis=2, keepdims=True), shape).astype(g.dtype),)

    return record("whiten", y, (x,), vjp), mean.reshape(-1), cov


def _by_eigenvectors(roots: Array, d: Array) -> Any:
    def sigma_gradient(dw: Array) -> Array:
        k = -1 / (roots[:, :, None] * roots[:, None] * (roots[:, :, None] + roots[:, None]))
        dt = d.swapaxes(1, 2)
        return np.asarray(d @ (k * (dt @ dw @ d)) @ dt)

    return sigma_gradient


def _probed(sigma: Array) -> tuple[Array, Any]:
    """W and dW -> dΣ of a complex Σ, whose imaginary part is a derivative: without eigenvectors.

    The iteration of Denman and Beavers (1976): y -> Σ^½ and z -> Σ^(-½). With W = S^(-1), S = Σ^½,
    dS = -W·dW·W and S·dΣ + dΣ·S = dS, a linear system.
    """
    eye = np.eye(sigma.shape[1])
    scale = np.trace(sigma.real, axis1=1, axis2=2)[:, None, None]  # of eigenvalues into (0, 1]
    y, z = sigma / scale, np.broadcast_to(eye, sigma.shape).astype(sigma.dtype)
    for _ in range(40):
        y, z = (y + np.linalg.inv(z)) / 2, (z + np.linalg.inv(y)) / 2
    s, w = y * np.sqrt(scale), z / np.sqrt(scale)

    def sigma_gradient(dw: Array) -> Array:
        ds = -w @ dw @ w
        system = np.array([np.kron(one, eye) + np.kron(eye, one) for one in s])  # S = Sᵀ
        return np.linalg.solve(system, ds.reshape(len(s), -1, 1)).reshape(ds.shape)

    return w, sigma_gradient
