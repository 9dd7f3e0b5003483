"""The part of CASES with attention, folding and resizing, three axes, and local normalisation."""

from __future__ import annotations

import math

import numpy as np
from sampling import case

rng = np.random.default_rng(6)


def attention(q, k, v, mask=0.0, scale=None):  # type: ignore[no-untyped-def]
    """Row by row."""
    stack = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (np.broadcast_to(x, stack + x.shape[-2:]) for x in (q, k, v))
    out = np.zeros(q.shape[:-1] + v.shape[-1:])
    mask = np.broadcast_to(mask, (*out.shape[:-1], k.shape[-2]))
    for i in np.ndindex(out.shape[:-1]):
        z = mask[i] + [q[i] @ key * (scale or 1 / math.sqrt(q.shape[-1])) for key in k[i[:-1]]]
        p = [math.exp(a - max(z)) if a > -math.inf else 0.0 for a in z]
        for j, value in enumerate(v[i[:-1]]):
            out[i] += p[j] / (sum(p) or 1.0) * value
    return out


SDPA = "F.scaled_dot_product_attention"
QKV = [((3, 4), (5, 4), (5, 2)), ((2, 2, 3, 4), (2, 2, 3, 4), (2, 2, 3, 4)),
       ((2, 2, 3, 4), (1, 2, 5, 4), (2, 1, 5, 3)), ((1, 1), (1, 1), (1, 1))]  # fmt: skip
SEEN = rng.random((3, 5)) < 0.5
SEEN[1] = False  # a query that may look nowhere
case(SDPA, QKV, attention)
case(SDPA, [((0, 4), (5, 4), (5, 2)), ((0, 3, 4), (0, 5, 4), (0, 5, 2))],
     lambda q, k, v: np.zeros((*q.shape[:-1], 2)))  # fmt: skip
case(SDPA, QKV[:1], lambda q, k, v: attention(q, k, v, scale=0.3), scale=0.3)
case(SDPA, [((2, 3, 4), (2, 5, 4), (2, 5, 2))],
     lambda q, k, v: attention(q, k, v, np.where(SEEN, 0, -np.inf)), SEEN)  # fmt: skip
case(SDPA, QKV[:2], lambda q, k, v: attention(
    q, k, v, np.where(np.tri(len(q.T[0].T) if q.ndim < 3 else 3, k.shape[-2]), 0, -np.inf)),
     is_causal=True)  # fmt: skip
case(SDPA, [((2, 3, 4), (2, 5, 4), (2, 5, 2), (3, 5)), ((2, 3, 4), (2, 5, 4), (2, 5, 2), (1, 5))],
     attention)  # fmt: skip
case(SDPA, [((1, 4, 3, 2), (1, 2, 3, 2), (1, 2, 3, 2))], lambda q, k, v: attention(
    q, k.repeat(2, 1), v.repeat(2, 1)), enable_gqa=True)  # fmt: skip
