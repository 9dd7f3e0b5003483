"""Systems that are not square or have a factor already, the exponential, and PyTorch's old `svd`.

Chapter `linalg` has the factorisations themselves.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minigrad.checks import number, one_of
from minigrad.incoming import as_array
from minigrad.ops import linalg
from minigrad.ops.arithmetic import add
from minigrad.ops.create import zeros
from minigrad.ops.indexing import take_along_dim
from minigrad.ops.linalg import QR, matrix_operand, pinv, svdvals
from minigrad.ops.linalg import svd as _svd
from minigrad.ops.linear import matmul, matrices
from minigrad.ops.reductions import sum as total
from minigrad.ops.shape import broadcast_to, clone, squeeze, transpose, tril, triu, unsqueeze
from minigrad.recording import record_each, unrecorded
from minigrad.tensor import Tensor, wrap


class USV(NamedTuple):
    """A = U·diag(S)·Vᵀ, S in descending order."""

    U: Tensor
    S: Tensor
    V: Tensor


class TriangularSolve(NamedTuple):
    """The solution, and a copy of the matrices."""

    solution: Tensor
    cloned_coefficient: Tensor


class Lstsq(NamedTuple):
    """The solution, and what was found on the way."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


class LUFactor(NamedTuple):
    """L below the diagonal and U above it, and which row came to each place, counted from 1."""

    LU: Tensor
    pivots: Tensor


class PLU(NamedTuple):
    """A = P·L·U."""

    P: Tensor
    L: Tensor
    U: Tensor


def svd(input: Any, some: bool = True, compute_uv: bool = True) -> USV:
    """`linalg.svd` with V (…, n, k) instead of Vᵀ, reduced if `some`. U and V are zeros if not
    `compute_uv`."""
    u, s, vh = _svd(input, not some)
    if compute_uv:
        return USV(u, s, transpose(vh, -2, -1))
    (m, n), rest = matrix_operand("svd", input, square=False).shape[-2:], s.shape[:-1]
    return USV(zeros(*rest, m, m, dtype=s.dtype), s, zeros(*rest, n, n, dtype=s.dtype))


def qr(input: Any, some: bool = True) -> QR:
    """`linalg.qr` by its older name and argument: reduced, or complete."""
    return linalg.qr(input, "reduced" if some else "complete")


def matrix_exp(input: Any) -> Tensor:
    """Σ Aᵏ/k! of square matrices (…, n, n); NaN where one is not finite."""
    # dL/dA is the upper right block of exp [[Aᵀ, g], [0, Aᵀ]]
    # (Al-Mohy & Higham 2009, Computing the Fréchet derivative of the matrix exponential)
    a = matrix_operand("matrix_exp", input)
    n, t = a.shape[-1], a.swapaxes(-1, -2)

    def dA(g: Any) -> Any:
        zero = np.zeros_like(g)
        return _exponential(np.block([[t + zero, g], [zero, t + zero]]))[..., :n, n:]

    return record_each("matrix_exp", _exponential(a), (input, dA))


def _exponential(a: Any) -> Any:
    """By its series for A/2ˢ, whose norm is at most 1/2 so that 17 terms do, squared s times."""
    x = a.astype(np.result_type(a, np.float64))
    if a.shape[-1] == 1:
        with np.errstate(all="ignore"):
            return np.exp(x).astype(a.dtype)
    norm = np.abs(x.real).sum(-2).max(-1, initial=0)[..., None, None]
    finite = norm < np.inf
    times = np.maximum(np.frexp(np.where(finite, norm, 0))[1] + 1, 0)
    one = np.eye(a.shape[-1])
    with np.errstate(all="ignore"):
        x = x * np.where(finite, np.ldexp(1.0, -times), np.nan)
        y = one + 0 * x
        for k in range(17, 0, -1):
            y = one + x @ y / k
        for k in range(times.max(initial=0)):
            y = np.where(k < times, y @ y, y)
        return y.astype(a.dtype)


def _columns(name: str, a: Any, b: Any) -> None:
    """Raise unless the columns of b are as long as those of a, and the sizes in front broadcast."""
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        fits = b.ndim > 1 and b.shape[-2] == a.shape[-2]
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(
            f"{name}: A of shape {a.shape} and B of shape {b.shape} do not fit: expected "
            f"{a.shape[-2]} rows in B, and sizes in front that broadcast"
        )


def _substituted(t: Any, b: Any, upper: bool) -> Any:
    """X of T·X = B, row by row: each needs those that were found before."""
    n = t.shape[-1]
    shape = np.broadcast_shapes(t.shape[:-2], b.shape[:-2]) + b.shape[-2:]
    x = np.zeros(shape, np.result_type(t, b))
    with np.errstate(all="ignore"):
        for i in reversed(range(n)) if upper else range(n):
            known = slice(i + 1, n) if upper else slice(i)
            row = slice(i, i + 1)
            rest = b[..., row, :] - t[..., row, known] @ x[..., known, :]
            x[..., row, :] = rest / t[..., row, row]
    return x


def solve_triangular(
    A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X of A·X = B, or of X·A = B if not `left`, for triangles A (…, n, n) and B (…, n, k).

    Args:
        A: the matrices, of which the other triangle is not read.
        B: the right-hand sides.
        upper: whether the triangle is the upper one.
        left: on which side A stands.
        unitriangular: whether the diagonal is taken to be 1, and not read.
    """
    # X = A⁻¹·B        dL/dB = A⁻ᵀ·g        dL/dA = -(dL/dB)·Xᵀ, in the triangle
    return _triangular("solve_triangular", A, B, upper, left, unitriangular)


def _triangular(name: str, A: Any, B: Any, upper: bool, left: bool, unit: bool) -> Tensor:
    matrix_operand(name, A)
    a, b = matrices(name, A, B, names=("A", "B"))
    if not left:
        if b.ndim < 2:
            raise RuntimeError(f"{name}: B must have at least 2 axes, got shape {b.shape}")
        x = _triangular(name, transpose(A, -2, -1), transpose(B, -2, -1), not upper, True, unit)
        return transpose(x, -2, -1)
    _columns(name, a, b)
    part = np.triu if upper else np.tril
    t = part(a, (1 if upper else -1) if unit else 0) + unit * np.eye(a.shape[-1], dtype=a.dtype)
    x = _substituted(t, b, upper)

    def dB(g: Any) -> Any:
        return _substituted(t.swapaxes(-1, -2), g, not upper)

    def dA(g: Any) -> Any:
        return part(-dB(g) @ x.swapaxes(-1, -2), (1 if upper else -1) if unit else 0)

    return record_each(name, x, (A, dA), (B, dB))


def triangular_solve(
    input: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> TriangularSolve:
    """X of A·X = B, or of Aᵀ·X = B if `transpose`, and a copy of A: the older name of
    `linalg.solve_triangular`, with B (…, n, k) first."""
    matrix_operand("triangular_solve", A)
    a, up = (A.swapaxes(-1, -2), not upper) if transpose else (A, upper)
    x = _triangular("triangular_solve", a, input, up, True, unitriangular)
    return TriangularSolve(x, clone(broadcast_to(A, (*x.shape[:-2], *A.shape[-2:]))))


def cholesky_solve(input: Any, input2: Any, upper: bool = False) -> Tensor:
    """X of A·X = B for right-hand sides B (…, n, k) and the factor L of A = L·Lᵀ that `cholesky`
    gives, or with `upper` Lᵀ."""
    name = "cholesky_solve"
    matrix_operand(name, input2)
    turned = transpose(input2, -2, -1)
    lower, up = (turned, input2) if upper else (input2, turned)
    y = _triangular(name, lower, input, False, True, False)
    return _triangular(name, up, y, True, True, False)


def lstsq(A: Any, B: Any, rcond: float | None = None, *, driver: str | None = None) -> Lstsq:
    """X with the least Σ(A·X - B)², and of several the one with the least Σ X²: (…, n, k) for A
    (…, m, n) and B (…, m, k), or vectors (…, m) that give vectors (…, n).

    Args:
        A: the matrices.
        B: the right-hand sides.
        rcond: singular values below rcond times the largest count as 0; max(m, n)·eps if None.
        driver: all find the same solution, by singular values; as in PyTorch, "gels" and "gelsy"
            give no singular values, "gelsy" (and None) no residuals. The rank is always given.
    """
    # X = A⁺·B
    a = matrix_operand("lstsq", A, square=False)
    a, b = matrices("lstsq", A, B, names=("A", "B"))
    one_of("lstsq", "driver", driver, (None, "gels", "gelsy", "gelsd", "gelss"))
    m, n = a.shape[-2:]
    eps = max(m, n) * float(np.finfo(a.real.dtype).eps)
    limit = eps if rcond is None else number("lstsq", "rcond", rcond)
    if b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]:
        found = lstsq(A, unsqueeze(B, -1), rcond, driver=driver)
        return found._replace(solution=squeeze(found.solution, -1))
    _columns("lstsq", a, b)
    solution = matmul(pinv(A, rtol=limit), B)
    s = svdvals(a.real).array
    rank = np.asarray((s > limit * s.max(-1, initial=0)[..., None]).sum(-1))
    residuals = unrecorded("lstsq", np.empty(0, a.dtype))
    if driver not in (None, "gelsy") and m > n and (rank == n).all():
        residuals = total((matmul(A, solution) - B) ** 2, -2)
    values = s if driver in ("gelsd", "gelss") else np.empty(0, s.dtype)
    return Lstsq(solution, residuals, unrecorded("lstsq", rank), unrecorded("lstsq", values))


def lu_factor(A: Any, *, pivot: bool = True) -> LUFactor:
    """P·A = L·U of matrices (…, m, n): L (m, k) and U (k, n) in one, k = min(m, n), and the row
    that was exchanged with each, int32 (…, k). A singular matrix is a RuntimeError."""
    # of a square A, dL/dA = Pᵀ·L⁻ᵀ·(tril(Lᵀ·g_L, -1) + triu(g_U·Uᵀ))·U⁻ᵀ,  g_L below the diagonal,
    # g_U the rest. More columns of U are U' = L⁻¹·P·A', with gradients W = L⁻ᵀ·g_U', so that
    # g_L = g_L - W·U'ᵀ; more rows of L are L' = P·A'·U⁻¹, with W = g_L'·U⁻ᵀ and g_U = g_U - L'ᵀ·W.
    found = _factored("lu_factor", A, pivot)
    if not np.diagonal(found.LU.array, axis1=-2, axis2=-1).all():
        raise RuntimeError("lu_factor: a matrix is singular: add a multiple of eye(n)")
    return found


def _factored(name: str, A: Any, pivot: bool) -> LUFactor:
    """`lu_factor`, of singular matrices too: U has zeros on its diagonal then."""
    a = matrix_operand(name, A, square=False)
    if not pivot:
        raise RuntimeError(f"{name}: pivot=False is not supported, as in PyTorch on the CPU")
    m, n = a.shape[-2:]
    count = min(m, n)
    stack: Any = np.array(a).reshape(math.prod(a.shape[:-2]), m, n)
    pivots = _eliminate(stack).reshape(*a.shape[:-2], count)
    lu = stack.reshape(a.shape)
    order = np.argsort(_order(pivots, m), -1)[..., None]
    core = lu[..., :count, :count]
    lower_t = (np.tril(core, -1) + np.eye(count, dtype=lu.dtype)).swapaxes(-1, -2)
    upper = np.triu(core)

    def dA(g: Any) -> Any:
        inner, right, below = g[..., :count, :count], g[..., count:], g[..., count:, :]
        if n > m:
            right = _substituted(lower_t, right, True)
            inner = inner - np.tril(right @ lu[..., count:].swapaxes(-1, -2), -1)
        if m > n:
            below = _substituted(upper, below.swapaxes(-1, -2), True).swapaxes(-1, -2)
            inner = inner - np.triu(lu[..., count:, :].swapaxes(-1, -2) @ below)
        middle = np.tril(lower_t @ np.tril(inner, -1), -1)
        middle = middle + np.triu(np.triu(inner) @ upper.swapaxes(-1, -2))
        middle = _substituted(lower_t, middle, True)
        middle = _substituted(upper, middle.swapaxes(-1, -2), True).swapaxes(-1, -2)
        if n > m:
            middle = np.concatenate((middle, right), -1)
        if m > n:
            middle = np.concatenate((middle, below), -2)
        return np.take_along_axis(middle, order, -2)

    return LUFactor(record_each(name, lu, (A, dA)), unrecorded(name, pivots))


def _eliminate(lu: Any) -> Any:
    """Turn matrices (N, m, n) into L and U in one, by Gauss's elimination with the largest element
    of a column as its pivot; the row that was exchanged with each, counted from 1."""
    which, pivots = np.arange(len(lu)), np.zeros((len(lu), min(lu.shape[1:])), np.int32)
    for k in range(pivots.shape[1]):
        row = k + np.abs(lu[:, k:, k].real).argmax(1)
        lu[which, k], lu[which, row] = lu[which, row], lu[which, k]
        pivots[:, k] = row + 1
        with np.errstate(all="ignore"):  # below a pivot of 0 all are 0
            lu[:, k + 1 :, k] /= np.where(lu[:, k, k, None] == 0, 1, lu[:, k, k, None])
            lu[:, k + 1 :, k + 1 :] -= lu[:, k + 1 :, k, None] * lu[:, k, None, k + 1 :]
    return pivots


def lu(A: Any, *, pivot: bool = True) -> PLU:
    """A = P·L·U of matrices (…, m, n): a permutation (m, m), a lower triangle (m, k) with ones on
    its diagonal, and an upper triangle (k, n); k is the smaller of m and n."""
    return lu_unpack(*_factored("lu", A, pivot))


def lu_unpack(
    LU_data: Any, LU_pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True
) -> PLU:
    """P, L and U of what `lu_factor` gave; what is not to be unpacked is empty."""
    a, p = matrix_operand("lu_unpack", LU_data, square=False), as_array(LU_pivots)
    m, n = a.shape[-2:]
    count, nothing = min(m, n), unrecorded("lu_unpack", np.empty(0, a.dtype))
    if p.dtype.kind not in "iu" or p.shape != (*a.shape[:-2], count) or _outside(p, m):
        raise RuntimeError(
            f"lu_unpack: pivots are {p.dtype} of shape {p.shape}, expected integers from 1 to {m} "
            f"of shape {(*a.shape[:-2], count)}, as lu_factor gives them"
        )
    P = L = U = nothing
    if unpack_pivots:
        rows = np.eye(m, dtype=a.dtype)[_order(p, m)]
        P = unrecorded("lu_unpack", rows.swapaxes(-1, -2))
    if unpack_data:
        L = add(tril(LU_data, -1)[..., :count], wrap(np.eye(m, count, dtype=a.dtype)))
        U = triu(LU_data)[..., :count, :]
    return PLU(P, L, U)


def _outside(pivots: Any, rows: int) -> bool:
    return bool((pivots < 1).any() or (pivots > rows).any())


def _order(pivots: Any, rows: int) -> Any:
    """Which row of A each row of P·A is."""
    count = pivots.shape[-1]
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), count) - 1
    order = np.broadcast_to(np.arange(rows), (len(flat), rows)).copy()
    which = np.arange(len(flat))
    for k in range(count):
        row = flat[:, k]
        order[which, k], order[which, row] = order[which, row], order[which, k]
    return order.reshape(*pivots.shape[:-1], rows)


def lu_solve(LU: Any, pivots: Any, B: Any, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """X of A·X = B, B (…, n, k), by what `lu_factor` gave for A; of X·A = B if not `left`, and with
    Aᵀ for A if `adjoint`."""
    # X = U⁻¹·L⁻¹·P·B        and        X = Pᵀ·L⁻ᵀ·U⁻ᵀ·B
    name = "lu_solve"
    a, p = matrix_operand(name, LU), as_array(pivots)
    a, b = matrices(name, LU, B, names=("LU", "B"))
    n = a.shape[-1]
    if p.dtype.kind not in "iu" or p.shape != a.shape[:-1] or _outside(p, n):
        raise RuntimeError(
            f"{name}: pivots are {p.dtype} of shape {p.shape}, expected integers from 1 to {n} of "
            f"shape {a.shape[:-1]}, as lu_factor gives them"
        )
    if not left:
        turned = lu_solve(LU, pivots, transpose(B, -2, -1), adjoint=not adjoint)
        return transpose(turned, -2, -1)
    _columns(name, a, b)
    order, turned = _order(p, n), transpose(LU, -2, -1)
    if adjoint:
        y = _triangular(name, turned, B, False, True, False)
        return _rows(_triangular(name, turned, y, True, True, True), np.argsort(order, -1))
    y = _triangular(name, LU, _rows(B, order), False, True, True)
    return _triangular(name, LU, y, True, True, False)


def old_lu(A: Any, pivot: bool = True, get_infos: bool = False) -> tuple[Tensor, ...]:
    """`lu_factor` by its older name; `get_infos` adds zeros (…), int32, which say that no matrix is
    singular."""
    found = lu_factor(A, pivot=pivot)
    if not get_infos:
        return found
    return (*found, unrecorded("lu", np.zeros(found.pivots.shape[:-1], np.int32)))


def old_lu_solve(b: Any, LU_data: Any, LU_pivots: Any) -> Tensor:
    """`linalg.lu_solve` by the older order of its arguments, the right-hand sides first."""
    return lu_solve(LU_data, LU_pivots, b)


def _rows(x: Any, order: Any) -> Tensor:
    """The rows of each matrix in this order."""
    shape = as_array(x).shape
    front = np.broadcast_shapes(shape[:-2], order.shape[:-1])
    rows = np.broadcast_to(order[..., None], (*front, *order.shape[-1:], 1))
    return take_along_dim(broadcast_to(x, (*front, *shape[-2:])), rows, -2)
