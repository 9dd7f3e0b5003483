"""What singular values say of matrices: their rank, and how far they are from singular ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.incoming import as_array
from minigrad.ops import decompositions
from minigrad.ops.arithmetic import div, mul
from minigrad.ops.linalg import computed, inv, matrix_operand, svdvals
from minigrad.ops.products import matrix_norm
from minigrad.ops.shape import select
from minigrad.recording import unrecorded
from minigrad.tensor import Tensor


def matrix_rank(
    A: Any, tol: Any = None, *, atol: Any = None, rtol: Any = None, hermitian: bool = False
) -> Tensor:
    """How many singular values of matrices (…, m, n) are large: above atol, and above rtol times
    the largest; int64 (…).

    Args:
        A: the matrices.
        tol: the old name of atol.
        atol, rtol: numbers or tensors (…); rtol is max(m, n)·eps if neither is given.
        hermitian: accepted; the matrices are symmetric then.
    """
    a = matrix_operand("matrix_rank", A, square=False).real
    atol = tol if atol is None else atol
    if rtol is None:
        rtol = 0.0 if atol is not None else max(a.shape[-2:]) * float(np.finfo(a.dtype).eps)
    s = computed("matrix_rank", lambda x: decompositions.svd(x, compute_uv=False), a)
    bounds = as_array(rtol) * s.max(-1, initial=0), as_array(0.0 if atol is None else atol)
    large = s > np.maximum(*bounds)[..., None]
    return unrecorded("matrix_rank", large.sum(-1, dtype=np.int64))


def cond(A: Any, p: Any = None) -> Tensor:
    """The condition numbers (…) of matrices: the largest singular value over the smallest (p None
    or 2), its inverse (-2), or the norm p of the matrix times that of its inverse, inf if there is
    none."""
    if p in (None, 2, -2):
        a = matrix_operand("cond", A, square=False)
        ends = (-1, 0) if p == -2 else (0, -1)
        if not min(a.shape[-2:]):
            raise RuntimeError(f"cond: expected matrices with elements, got shape {a.shape}")
        s = svdvals(A)
        return div(select(s, -1, ends[0]), select(s, -1, ends[1]))
    a = matrix_operand("cond", A)
    try:
        return mul(matrix_norm(A, p), matrix_norm(inv(A), p))
    except RuntimeError:
        if math.prod(a.shape[:-2]) == 1:  # singular
            return unrecorded("cond", np.full(a.shape[:-2], np.inf, a.dtype))
        raise
