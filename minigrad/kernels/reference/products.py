"""Matrix products."""

from __future__ import annotations

from math import prod

import numpy as np

from minigrad.kernels.machinery.arrays import Array


def product(a: Array, b: Array, bias: Array | None = None, summed: bool = False) -> Array:
    """a (…, m, k) times b (…, k, n), for each of the stack or summed over it, plus a bias that
    broadcasts to (m, n): (…, m, n) or (m, n)."""
    if summed and (a.ndim > 2 or b.ndim > 2):  # Σ over the stack is one long product
        (m, k), n = a.shape[-2:], b.shape[-1]
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = np.broadcast_to(a, (*stack, m, k)), np.broadcast_to(b, (*stack, k, n))
        long = prod(stack) * k
        a, b = np.moveaxis(a, -2, 0).reshape(m, long), b.reshape(long, n)
    if a.shape[-1] == 1:  # BLAS would pack what it reads once
        y: Array = a * b
    elif a.ndim > 2 and b.ndim == 2 and a.size:  # and rows that meet the same b are one matrix
        y = (a.reshape(-1, a.shape[-1]) @ b).reshape(*a.shape[:-1], b.shape[-1])
    else:
        y = a @ b
    if bias is not None:
        y = np.add(y, bias, out=y) if y.dtype is bias.dtype else y + bias
    return y
