"""Batch normalisation over the batches of several processes. The equations are those of norm.py;
what is new is that their sums run over all processes."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from minigrad import kernels
from minigrad.recording import need_grad, record
from minigrad.tape import Array
from minigrad.tensor import Tensor


class Ranks(Protocol):
    """What the op asks of the processes; see `distributed.Group`."""

    def announce(self, what: str) -> None: ...
    def gathered(self, a: Array) -> Array: ...
    def sum_(self, a: Array) -> None: ...


def batch_norm_over_ranks(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, ranks: Ranks
) -> tuple[Tensor, Array, Array, int]:
    """(y, mean, biased variance, m) of x (N, C, …) by the statistics of all ranks' m values.

    Means and variances of the ranks, which may have different numbers of samples and none, are
    merged in float64 as Chan, Golub and LeVeque do (1979), so that no digits cancel:

        mean = Σ m_r·mean_r / m,   var = Σ m_r·(var_r + (mean_r - mean)²) / m
    """
    # (BN 11), with dbeta, dgamma and m those of all ranks
    a, gamma, beta = (None if v is None else v.array for v in (x, weight, bias))
    assert a is not None
    shape, view = a.shape, (a.shape[0], a.shape[1], math.prod(a.shape[2:]))
    backend, x3 = kernels.backend_for(a), a.reshape(view)
    what = f"SyncBatchNorm of {a.dtype}, {view[1]} channels"
    own = np.zeros((3, view[1]))
    if x3.size:
        own[0] = view[0] * view[2]
        own[1], own[2] = backend.moments(x3)
    ranks.announce(what)
    counts, means, variances = np.moveaxis(ranks.gathered(own), 1, 0)
    m = int(counts[:, 0].sum())
    with np.errstate(all="ignore"):
        mean = (counts * means).sum(0) / m
        var = (counts * (variances + (means - mean) ** 2)).sum(0) / m
        inv_std = 1 / np.sqrt(var + eps)
        scale = (inv_std if gamma is None else inv_std * gamma)[:, None]
    y = backend.normalize(x3, mean, inv_std, gamma, beta)
    needs = need_grad(x, weight, bias)

    def vjp(g: Any) -> Any:
        g = g.reshape(view)
        _, dgamma, dbeta = backend.normalize_backward(g, x3, mean, inv_std, gamma)
        sums = np.stack([dbeta, dgamma]).astype(np.float64)
        ranks.announce(f"backward of {what}")
        ranks.sum_(sums)
        x_hat = (x3 - mean[:, None]) * inv_std[:, None]
        dx = scale * (g - sums[0][:, None] / m - x_hat * (sums[1][:, None] / m))
        parts = dx.astype(a.dtype).reshape(shape), dgamma.astype(a.dtype), dbeta.astype(a.dtype)
        return tuple(part if need else None for part, need in zip(parts, needs, strict=True))

    return record("batch_norm", y.reshape(shape), (x, weight, bias), vjp), mean, var, m
