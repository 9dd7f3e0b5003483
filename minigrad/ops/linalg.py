"""Linear algebra: inverses, determinants, factorisations, equations. All take stacks of matrices.

In the formulas ᵀ exchanges the last two axes, g is the gradient of the output. A complex probe
A + ihE passes through a factorisation by its derivative along E, which stands with each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad.checks import integer, number, one_of
from minigrad.incoming import as_array
from minigrad.ops import decompositions
from minigrad.ops.joining import cat
from minigrad.ops.linear import matmul, matrices
from minigrad.ops.shape import narrow, transpose
from minigrad.recording import fit, floating_operand, needs_grad, record, record_each, unrecorded
from minigrad.tape import Array
from minigrad.tensor import Tensor


class SignLogdet(NamedTuple):
    """The determinant as sign · e^logabsdet."""

    sign: Tensor
    logabsdet: Tensor


class QR(NamedTuple):
    """A = Q·R."""

    Q: Tensor
    R: Tensor


class Eigh(NamedTuple):
    """A = Q·diag(λ)·Qᵀ: the eigenvalues λ in ascending order, and Q."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVD(NamedTuple):
    """A = U·diag(S)·Vh, S in descending order."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def matrix_operand(name: str, x: Any, square: bool = True) -> Array:
    """The array of an input, checked to be of matrices."""
    a = floating_operand(name, x)
    if a.ndim < 2 or (square and a.shape[-1] != a.shape[-2]):
        kind = "square matrices (…, n, n)" if square else "matrices (…, m, n)"
        raise RuntimeError(f"{name}: expected {kind}, got shape {a.shape}")
    if a.dtype == np.float16:
        raise RuntimeError(f"{name}: float16 is not supported: use .float()")
    return a


def computed(name: str, f: Callable[..., Any], *arrays: Array) -> Any:
    """What numpy computes, its error in the words of ours."""
    try:
        with np.errstate(all="ignore"):
            return f(*arrays)
    except np.linalg.LinAlgError as error:
        what = str(error).lower()
        hint = {
            "singular": "a matrix is singular, so it has no inverse: add a multiple of eye(n)",
            "positive": "a matrix is not positive definite: add a multiple of eye(n)",
        }
        said = next((text for word, text in hint.items() if word in what), what)
        raise RuntimeError(f"{name}: {said}") from None


def _t(a: Any) -> Any:
    return a.swapaxes(-1, -2)


def _times(a: Any, b: Any) -> Any:
    """a scaled along its last axis by the vectors b."""
    return a * b[..., None, :]


def inv(A: Any) -> Tensor:
    """The inverse of square matrices (…, n, n)."""
    # Y = A⁻¹        dL/dA = -Yᵀ·g·Yᵀ
    y = computed("inv", np.linalg.inv, matrix_operand("inv", A))
    return record_each("inv", y, (A, lambda g: -_t(y) @ g @ _t(y)))


def det(input: Any) -> Tensor:
    """The determinants (…) of square matrices (…, n, n)."""
    # dL/dA = g·C, C the cofactors: det(A)·A⁻ᵀ, or by A = U·diag(s)·Vᵀ where A has no inverse
    a = matrix_operand("det", input)
    y = np.asarray(np.linalg.det(a))

    def dA(g: Any) -> Any:
        if a.dtype.kind == "c" or not (y == 0).any():
            return (g * y)[..., None, None] * _t(computed("det", np.linalg.inv, a))
        u, s, vh = computed("det", decompositions.svd, a)
        n = s.shape[-1]
        others = np.where(np.eye(n, dtype=bool), 1, s[..., None, :]).prod(-1)
        sign = np.linalg.det(u) * np.linalg.det(vh)
        return (g * sign)[..., None, None] * (_times(u, others) @ vh)

    return record_each("det", y, (input, lambda g: dA(g).astype(g.dtype)))


def slogdet(input: Any) -> SignLogdet:
    """The signs and the logarithms of the absolute values of determinants; -inf for 0."""
    # dL/dA = g·A⁻ᵀ
    a = matrix_operand("slogdet", input)
    sign: Any
    log: Any
    sign, log = (np.asarray(part) for part in np.linalg.slogdet(a))
    if a.dtype.kind == "c":  # the sign turns by a tiny angle, which is the logarithm's derivative
        log = log + 1j * (sign.imag / sign.real)
        sign = np.sign(sign.real)
    return SignLogdet(
        unrecorded("slogdet", sign),
        record_each(
            "slogdet", log,
            (input, lambda g: g[..., None, None] * _t(computed("slogdet", np.linalg.inv, a))),
        ),
    )  # fmt: skip


def logdet(input: Any) -> Tensor:
    """The logarithms of determinants (…): NaN for negative ones, -inf for 0."""
    # dL/dA = g·A⁻ᵀ
    a = matrix_operand("logdet", input)
    sign, log = slogdet(a)
    y = np.where(sign.array.real < 0, np.nan, log.array)
    return record_each(
        "logdet",
        y,
        (input, lambda g: g[..., None, None] * _t(computed("logdet", np.linalg.inv, a))),
    )


def solve(A: Any, B: Any, *, left: bool = True) -> Tensor:
    """X of A·X = B, or of X·A = B if not `left`; B is (…, n, k), or vectors (…, n)."""
    # X = A⁻¹·B        dL/dB = A⁻ᵀ·g        dL/dA = -(dL/dB)·Xᵀ
    a = matrix_operand("solve", A)
    a, b = matrices("solve", A, B, names=("A", "B"))
    vectors = b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1])
    if not left:
        if vectors:
            raise RuntimeError("solve: vectors B are for left=True")
        return solve(A.mT, B.mT).mT if isinstance(B, Tensor) else solve(A.mT, _t(as_array(B))).mT
    columns = b[..., None] if vectors else b
    if columns.ndim < 2 or columns.shape[-2] != a.shape[-1]:
        raise RuntimeError(f"solve: A of shape {a.shape} and B of shape {b.shape} do not fit")
    x = computed("solve", np.linalg.solve, a, columns)
    need_a, need_b = needs_grad(A), needs_grad(B)
    a_shape, b_shape, columns_shape, a_dtype, b_dtype = (
        a.shape, b.shape, columns.shape, a.dtype, b.dtype
    )  # fmt: skip
    out_shape = x.shape

    def vjp(g: Any) -> Any:
        db = np.linalg.solve(_t(a), g.reshape(out_shape))
        da = fit(-db @ _t(x), a_shape, a_dtype) if need_a else None
        return da, fit(db, columns_shape, b_dtype).reshape(b_shape) if need_b else None

    return record("solve", x[..., 0] if vectors else x, (A, B), vjp)


def _lower_half(m: Any) -> Any:
    """The lower triangle, half of the diagonal: Φ with Φ(M) + Φ(M)ᵀ = M for symmetric M."""
    return np.tril(m) - 0.5 * m * np.eye(m.shape[-1], dtype=m.dtype)


def cholesky(A: Any, *, upper: bool = False) -> Tensor:
    """The lower triangle L with A = L·Lᵀ of symmetric positive definite matrices (…, n, n); with
    `upper`, Lᵀ."""
    # A + E:  dL = L·Φ(L⁻¹·E·L⁻ᵀ)        dL/dA = (X + Xᵀ)/2,  X = L⁻ᵀ·Φ(Lᵀ·g)·L⁻¹
    a = matrix_operand("cholesky", A)
    y = computed("cholesky", np.linalg.cholesky, a.real)
    if a.dtype.kind == "c":
        inner = np.linalg.solve(y, _t(np.linalg.solve(y, a.imag)))
        y = y + 1j * (y @ _lower_half((inner + _t(inner)) / 2))

    def dA(g: Any) -> Any:
        inner = _lower_half(_t(y) @ (_t(g) if upper else g))
        left = np.linalg.solve(_t(y), inner)  # L⁻ᵀ·Φ
        x = _t(np.linalg.solve(_t(y), _t(left)))
        return (x + _t(x)) / 2

    return record_each("cholesky", _t(y) if upper else y, (A, dA))


def _wide_qr(A: Any, size: int) -> QR:
    """A = [X Y] of more columns than rows: X = Q·U, and R = [U Qᵀ·Y]."""
    q, u = qr(narrow(A, -1, 0, size))
    y = narrow(A, -1, size, A.shape[-1] - size)
    return QR(q, cat([u, matmul(transpose(q, -1, -2), y)], -1))


def qr(A: Any, mode: str = "reduced") -> QR:
    """A = Q·R: columns Q of length 1, at right angles, and R an upper triangle.

    Matrices (…, m, n) give (…, m, k) and (…, k, n), k = min(m, n), or m if mode is "complete"; with
    mode "r", Q is empty. Gradients need Q, and for m > n the reduced one.
    """
    # M = Qᵀ·E·R⁻¹, Ω its part that is no triangle: Ω = tril(M, -1) - tril(M, -1)ᵀ
    #     dQ = Q·Ω + (E·R⁻¹ - Q·M)        dR = (M - Ω)·R
    # dL/dA = (g_Q + Q·sym(M))·R⁻ᵀ,  M = R·g_Rᵀ - g_Qᵀ·Q,  sym(M) = tril(M) + tril(M, -1)ᵀ
    a = matrix_operand("qr", A, square=False)
    mode = one_of("qr", "mode", mode, ("reduced", "complete", "r"))
    (m, n), has_q = a.shape[-2:], mode != "r"
    if m < n and has_q and needs_grad(A):
        return _wide_qr(A, m)
    qr_of: Any = np.linalg.qr
    q, r = qr_of(a.real, mode) if has_q else (np.empty(0, a.real.dtype), qr_of(a.real, mode))
    thin = has_q and m >= n and (mode == "reduced" or m == n)
    if a.dtype.kind == "c" and thin:
        er = _t(np.linalg.solve(_t(r), _t(a.imag)))
        inner = _t(q) @ er
        turn = np.tril(inner, -1)
        turn = turn - _t(turn)
        q, r = q + 1j * (q @ turn + er - q @ inner), r + 1j * ((inner - turn) @ r)

    def dA(gq: Any, gr: Any) -> Any:
        if not thin:
            raise RuntimeError(
                f"qr: no gradient for matrices of shape {(m, n)} with mode {mode!r}: expected at "
                'least as many rows as columns, and mode "reduced"'
            )
        inner = (0 if gr is None else r @ _t(gr)) - (0 if gq is None else _t(gq) @ q)
        total = q @ (np.tril(inner) + _t(np.tril(inner, -1)))
        total = total if gq is None else total + gq
        return _t(computed("qr", np.linalg.solve, r, _t(total)))

    return QR(
        record_each("qr", q, (A, lambda g: dA(g, None))) if has_q else unrecorded("qr", q),
        record_each("qr", r, (A, lambda g: dA(None, g))),
    )


def eigh(A: Any, UPLO: str = "L") -> Eigh:
    """Eigenvalues (…, n) and eigenvectors, as columns (…, n, n), of symmetric matrices.

    Only the lower triangle is read, or with UPLO="U" the upper one. Gradients by the vectors are
    finite only where the eigenvalues differ, and hold for losses that do not ask for their signs.
    """
    # E along the vectors: M = Qᵀ·E·Q, F_ij = 1/(λ_j - λ_i):  dλ = diag(M),  dQ = Q·(F∘M)
    # dL/dA = Q·diag(g_λ)·Qᵀ        and        Q·(F∘(K - Kᵀ)/2)·Qᵀ,  K = Qᵀ·g_Q
    # Both are symmetric: a step by them leaves A symmetric.
    a = matrix_operand("eigh", A)
    one_of("eigh", "UPLO", UPLO, ("L", "U"))
    w, q = computed("eigh", lambda x: decompositions.eigh(x, "L" if UPLO == "L" else "U"), a.real)
    if a.dtype.kind == "c":
        half = np.tril(a.imag) if UPLO == "L" else np.triu(a.imag)
        inner = _t(q) @ (half + _t(half) - half * np.eye(half.shape[-1])) @ q
        w, q = w + 1j * np.diagonal(inner, axis1=-2, axis2=-1), q + 1j * (q @ (_gaps(w) * inner))
    return Eigh(
        record_each("eigh", w, (A, lambda g: _times(q, g) @ _t(q))),
        record_each("eigh", q, (A, lambda g: q @ _turn(_t(q) @ g, w) @ _t(q) / 2)),
    )


def _turn(m: Any, w: Any) -> Any:
    """(M_ij - M_ji)/(w_j - w_i), and 0 on the diagonal."""
    return (m - _t(m)) * _gaps(w)


def _gaps(w: Any) -> Any:
    """1/(w_j - w_i), and 0 on the diagonal."""
    gaps = w[..., None, :] - w[..., :, None]
    with np.errstate(all="ignore"):
        return np.where(np.eye(w.shape[-1], dtype=bool), 0, 1 / gaps)


def eigvalsh(A: Any, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric matrices, in ascending order; see `eigh`."""
    return eigh(A, UPLO).eigenvalues


def svd(A: Any, full_matrices: bool = True) -> SVD:
    """The singular value decomposition of matrices (…, m, n): U (…, m, m), S (…, k), Vh (…, n, n),
    k = min(m, n); U (…, m, k) and Vh (…, k, n) if not `full_matrices`.

    Gradients by U and Vh need full_matrices=False, are finite only where the values differ, and
    hold for losses that do not ask for the signs of the vectors. Second derivatives are refused.
    """
    # With E_ij = s_j² - s_i², skew(M) = M - Mᵀ:
    # dL/dA = U·diag(g_S)·Vᵀ
    #       + U·(skew(Uᵀ·g_U)/E)·diag(s)·Vᵀ + (1 - U·Uᵀ)·g_U·diag(1/s)·Vᵀ
    #       + U·diag(s)·(skew(Vᵀ·g_V)/E)·Vᵀ + U·diag(1/s)·g_Vᵀ·(1 - V·Vᵀ)
    a = matrix_operand("svd", A, square=False)
    if a.dtype.kind == "c":
        raise TypeError("svd: second derivatives are not supported: use eigh of A.mT @ A")
    u, s, vh = computed("svd", lambda x: decompositions.svd(x, full_matrices), a)
    k = s.shape[-1]
    uk, vk = u[..., :k], _t(vh)[..., :k]
    square = u.shape[-1] == k and vh.shape[-2] == k

    def check() -> None:
        if not square:
            raise RuntimeError("svd: gradients by U and Vh need full_matrices=False")

    def by_u(g: Any) -> Any:
        check()
        inner = uk @ _times(_turn(_t(uk) @ g, s * s), s)
        rest = _times(g - uk @ (_t(uk) @ g), 1 / s)
        return (inner + rest) @ _t(vk)

    def by_vh(g: Any) -> Any:
        check()
        gv = _t(g)
        inner = s[..., None] * _turn(_t(vk) @ gv, s * s) @ _t(vk)
        rest = _t(_times(gv - vk @ (_t(vk) @ gv), 1 / s))
        return uk @ (inner + rest)

    return SVD(
        record_each("svd", u, (A, by_u)),
        record_each("svd", s, (A, lambda g: _times(uk, g) @ _t(vk))),
        record_each("svd", vh, (A, by_vh)),
    )


def svdvals(A: Any) -> Tensor:
    """The singular values (…, min(m, n)) of matrices (…, m, n), in descending order."""
    return svd(A, False).S


def pinv(
    A: Any, *, atol: float | None = None, rtol: float | None = None, hermitian: bool = False
) -> Tensor:
    """The pseudoinverse (…, n, m) of matrices (…, m, n), by their singular values.

    Args:
        A: the matrices.
        atol, rtol: singular values below atol, or below rtol times the largest, count as 0;
            rtol is max(m, n)·eps if neither is given.
        hermitian: accepted; the matrices are symmetric then.
    """
    # P = A⁺:  dP = -P·E·P + P·Pᵀ·Eᵀ·(1 - A·P) + (1 - P·A)·Eᵀ·Pᵀ·P
    # dL/dA = -Pᵀ·g·Pᵀ + (1 - A·P)·gᵀ·P·Pᵀ + Pᵀ·P·gᵀ·(1 - P·A)
    a = matrix_operand("pinv", A, square=False)
    if rtol is None:
        rtol = 0.0 if atol else max(a.shape[-2:]) * float(np.finfo(a.real.dtype).eps)
    limit: Any = number("pinv", "rtol", rtol)
    if atol:
        s = computed("pinv", lambda x: decompositions.svd(x, compute_uv=False), a.real)
        largest = s.max(-1, initial=0)
        limit = np.maximum(limit, number("pinv", "atol", atol) / np.where(largest, largest, 1))
    p = computed("pinv", lambda x: decompositions.pinv(x, limit), a.real)
    if a.dtype.kind == "c":
        b, e = a.real, a.imag
        left, right = np.eye(b.shape[-2]) - b @ p, np.eye(b.shape[-1]) - p @ b
        p = p + 1j * (-p @ e @ p + p @ _t(p) @ _t(e) @ left + right @ _t(e) @ _t(p) @ p)

    def dA(g: Any) -> Any:
        d = -_t(p) @ g @ _t(p)
        d = d + (_t(g) - a @ (p @ _t(g))) @ (p @ _t(p))
        return d + (_t(p) @ p) @ (_t(g) - (_t(g) @ p) @ a)

    return record_each("pinv", p, (A, dA))


def matrix_power(input: Any, n: int) -> Tensor:
    """A multiplied n times; its inverse, -n times, for negative n."""
    a = matrix_operand("matrix_power", input)
    n = integer("matrix_power", "n", n, None)
    if n < 0:
        return matrix_power(inv(input), -n)
    if n == 0:
        eye = np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape)
        return record_each("matrix_power", eye, (input, np.zeros_like))
    out, square = record_each("matrix_power", a.copy(), (input, lambda g: g)), input
    n -= 1
    while n:  # by the binary digits of n
        if n % 2:
            out = matmul(out, square)
        n //= 2
        square = matmul(square, square) if n else square
    return out


def inverse(input: Any) -> Tensor:
    """The inverse of square matrices (…, n, n)."""
    return inv(input)


def pinverse(input: Any, rcond: float = 1e-15) -> Tensor:
    """The pseudoinverse of matrices: singular values below rcond times the largest count as 0."""
    return pinv(input, rtol=rcond)


def lower_cholesky(input: Any, upper: bool = False) -> Tensor:
    """The lower triangle L with A = L·Lᵀ of symmetric positive definite matrices; or Lᵀ."""
    return cholesky(input, upper=upper)
