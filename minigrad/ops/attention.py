"""Attention: each query takes a mean of the values, weighted by how well it fits their keys.

Q (L, E) has a query in each row, K (S, E) a key and V (S, D) a value; stacks of such matrices go
alongside. M is added to the scores: 0, or -∞ where a query must not look. ∘ multiplies element by
element.

    forward     Z = scale·Q·Kᵀ + M                          scale = 1/√E if not given    (ATT 1)
                P = softmax(Z)                              along each row               (ATT 2)
                A = P∘R                                     R drops: 0 or 1/(1 - p)      (ATT 3)
                Y = A·V                                                                  (ATT 4)

    backward    dV = Aᵀ·g,   dA = g·Vᵀ,   dP = dA∘R                                      (ATT 5)
                dZ_ij = P_ij·(dP_ij - Σ_k dP_ik·P_ik),   dM = dZ                         (ATT 6)
                dQ = scale·dZ·K,   dK = scale·dZᵀ·Q                                      (ATT 7)

A query that may look nowhere has a row of -∞ in Z; its row of P is 0, not the NaN of 0/0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.checks import number, probability
from minigrad.incoming import as_array
from minigrad.ops.arithmetic import quiet
from minigrad.ops.joining import repeat_interleave
from minigrad.ops.large import rows
from minigrad.ops.linear import matrices
from minigrad.ops.random import generator
from minigrad.recording import fit, needs_grad, record, require
from minigrad.tensor import Tensor

NAMES = ("query", "key", "value")


@quiet
def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """softmax(scale·Q·Kᵀ + mask)·V for queries (…, L, E), keys (…, S, E), values (…, S, D).

    attn_mask (…, L, S): bools, True where a query may look, or numbers to add. `is_causal` lets
    query i look at keys up to i. Weights are dropped with probability `dropout_p`, in training or
    not; scale is 1/√E by default. With `enable_gqa`, groups of query heads (axis -3) share a key
    head. Source: Vaswani et al., Attention is all you need, 2017.
    """
    name = "scaled_dot_product_attention"
    require(name, query=query, key=key, value=value)
    p = probability(name, "dropout_p", dropout_p)
    if enable_gqa:
        key, value = (_shared(name, query, what, x) for what, x in (("key", key), ("value", value)))
    q: Any
    q, k, v = matrices(name, query, key, value, names=NAMES)
    _check_shapes(name, q, k, v)
    factor = 1 / math.sqrt(q.shape[-1] or 1) if scale is None else number(name, "scale", scale)
    scaled = q.real.dtype.type(factor)
    product = kernels.backend_for(q, k, v).product
    z = product(q * scaled, k.swapaxes(-1, -2))  # (ATT 1)
    mask = _mask(name, attn_mask, is_causal, q, z.shape)
    if mask is not None:
        z = z + mask if mask.dtype.kind == "c" else np.add(z, mask, out=z)
    weights = _softmax(z) if z.size else z  # (ATT 2)
    keep = None
    if p:
        keep = np.zeros(weights.shape, weights.real.dtype)
        if p < 1:
            keep[...] = np.asarray(generator().random(weights.shape) >= p) / (1 - p)
    used = weights if keep is None else weights * keep  # (ATT 3)
    y = product(used, v)  # (ATT 4)
    need_q, need_k, need_v, need_mask = map(needs_grad, (query, key, value, attn_mask))
    given = (q, k, v, as_array(attn_mask)) if need_mask else (q, k, v)
    shapes = [(x.shape, x.dtype) for x in given]
    kept_q, kept_k = q if need_k else None, k if need_q else None
    kept_v = v if need_q or need_k or need_mask else None

    def vjp(g: Any) -> Any:
        dq = dk = dm = None
        product = kernels.backend_for(g, weights).product
        dv = fit(product(used.swapaxes(-1, -2), g), *shapes[2]) if need_v else None  # (ATT 5)
        if kept_v is not None:
            dp = product(g, kept_v.swapaxes(-1, -2))
            if keep is not None:
                dp *= keep
            dz = _softmax_gradient(dp, weights)  # (ATT 6)
            dm = fit(dz, *shapes[3]) if need_mask else None
            if kept_k is not None:  # (ATT 7)
                dq = fit(product(dz, kept_k), *shapes[0]) * scaled
            if kept_q is not None:
                dk = fit(product(dz.swapaxes(-1, -2), kept_q), *shapes[1]) * scaled
        return dq, dk, dv, dm

    return record(name, y, (query, key, value, attn_mask), vjp)


def _softmax(z: Any) -> Any:
    """Along the last axis; 0 where all is -∞."""
    if (loops := rows(z)) is not None:
        y = loops.softmax(z)
    else:
        y = np.exp(z - z.real.max(-1, keepdims=True))
        y /= y.sum(-1, keepdims=True)
    if np.isnan(y[..., 0]).any():
        y[np.isneginf(z.real).all(-1)] = 0
    return y


def _softmax_gradient(dp: Any, p: Any) -> Any:
    loops = rows(dp) if p.dtype == dp.dtype else None
    if loops is not None:
        return loops.softmax_backward(dp, p)
    return p * (dp - (dp * p).sum(-1, keepdims=True))


def _shared(name: str, query: Tensor, what: str, x: Tensor) -> Tensor:
    """Each key head repeated for its group of query heads."""
    heads = query.shape[-3] if query.ndim > 2 else 1
    own = x.shape[-3] if x.ndim > 2 else 1
    if not own or heads % own:
        raise RuntimeError(f"{name}: {heads} query heads do not divide among {own} {what} heads")
    return repeat_interleave(x, heads // own, -3) if heads != own else x


def _check_shapes(name: str, q: Any, k: Any, v: Any) -> None:
    shapes = f"got query {q.shape}, key {k.shape}, value {v.shape}"
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise RuntimeError(f"{name}: expected (…, L, E), (…, S, E) and (…, S, D), {shapes}")
    if q.dtype.kind not in "fc":
        raise RuntimeError(f"{name}: expected floating tensors, got {q.dtype}: use .float()")
    if q.shape[-1] != k.shape[-1]:
        raise RuntimeError(f"{name}: queries and keys must have one size E, {shapes}")
    if k.shape[-2] != v.shape[-2]:
        raise RuntimeError(f"{name}: there must be as many values as keys, {shapes}")
    try:
        np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    except ValueError:
        raise RuntimeError(f"{name}: the stacks do not broadcast, {shapes}") from None


def _mask(name: str, attn_mask: Any, is_causal: bool, q: Any, shape: tuple[int, ...]) -> Any:
    """What is added to the scores of this shape; None for nothing."""
    mask: Any = None if attn_mask is None else as_array(attn_mask)
    if mask is not None:
        if mask.dtype.kind == "b":
            mask = np.where(mask, 0, -np.inf).astype(q.real.dtype)
        elif mask.dtype != q.dtype and "c" not in (mask.dtype.kind, q.dtype.kind):
            raise RuntimeError(
                f"{name}: attn_mask must be bool or of the query's dtype {q.dtype}, got "
                f"{mask.dtype}"
            )
        try:
            fits = np.broadcast_shapes(mask.shape, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            raise RuntimeError(
                f"{name}: attn_mask of shape {mask.shape} does not broadcast to the scores' {shape}"
            )
    if is_causal:
        causal = np.where(np.tri(*shape[-2:], dtype=np.bool_), 0, -np.inf).astype(q.real.dtype)
        mask = causal if mask is None else mask + causal
    return mask
