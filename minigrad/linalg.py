"""PyTorch's `torch.linalg`: matrices, their factorisations and their norms."""

from minigrad.ops.linalg import (
    SignLogdet,
    cholesky,
    eigh,
    eigvalsh,
    inv,
    pinv,
    qr,
    solve,
    svd,
    svdvals,
)
from minigrad.ops.linalg import det as _det
from minigrad.ops.linalg import matrix_power as _matrix_power
from minigrad.ops.linalg import slogdet as _slogdet
from minigrad.ops.linear import matmul, vecdot
from minigrad.ops.products import linalg_cross as cross
from minigrad.ops.products import matrix_norm, multi_dot, norm, vector_norm
from minigrad.ops.ranks import cond, matrix_rank
from minigrad.ops.shape import diagonal as _diagonal
from minigrad.ops.solving import lstsq, lu, lu_factor, lu_solve, solve_triangular
from minigrad.ops.solving import matrix_exp as _matrix_exp
from minigrad.ops.writing import take_out as _take_out
from minigrad.tensor import Tensor as _Tensor

__all__ = [
    "cholesky", "cond", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "lstsq", "lu",
    "lu_factor", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank",
    "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_triangular", "svd", "svdvals",
    "vecdot", "vector_norm",
]  # fmt: skip


# As in PyTorch, the matrices are called A here and `input` at the top level.


def det(A: _Tensor) -> _Tensor:
    """The determinants (…) of square matrices (…, n, n)."""
    return _det(A)


def slogdet(A: _Tensor) -> SignLogdet:
    """The signs and the logarithms of the absolute values of determinants; -inf for 0."""
    return _slogdet(A)


def matrix_power(A: _Tensor, n: int) -> _Tensor:
    """A multiplied n times; its inverse, -n times, for negative n."""
    return _matrix_power(A, n)


def matrix_exp(A: _Tensor) -> _Tensor:
    """Σ Aᵏ/k! of square matrices (…, n, n); NaN where one is not finite."""
    return _matrix_exp(A)


def diagonal(A: _Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> _Tensor:
    """The diagonals of matrices in two axes, as the last axis."""
    return _diagonal(A, offset, dim1, dim2)


_take_out(globals(), (name for name in __all__ if name not in ("diagonal", "lstsq", "matrix_exp")))
