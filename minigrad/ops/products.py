"""Norms of matrices, and products made of simpler ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, Unpack

import numpy as np

from minigrad.checks import axis_of, integer, integers
from minigrad.incoming import as_array
from minigrad.names import Axis, AxisKeepdims, Keepdims, numpy_names
from minigrad.ops import linalg
from minigrad.ops.arithmetic import abs as absolute
from minigrad.ops.arithmetic import add, div, mul, sub
from minigrad.ops.convert import to
from minigrad.ops.indexing import getitem
from minigrad.ops.joining import roll
from minigrad.ops.large import FROM, for_both, last
from minigrad.ops.linear import bmm, einsum, matmul, matrices, mv, outer, weighted
from minigrad.ops.reductions import Dim, amax, amin
from minigrad.ops.reductions import norm as p_norm
from minigrad.ops.reductions import sum as total
from minigrad.ops.shape import (
    broadcast_tensors,
    clone,
    diagonal,
    movedim,
    permute,
    reshape,
    squeeze,
    unsqueeze,
)
from minigrad.recording import (
    check_broadcast,
    check_floating,
    floating_operand,
    operand,
    record_each,
    require,
)
from minigrad.tensor import Tensor


@numpy_names
def vector_norm(
    x: Any, ord: Any = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None,
    **names: Unpack[AxisKeepdims],
) -> Tensor:  # fmt: skip
    """(Σ |x|^ord)^(1/ord) over `dim`; the largest |x| for inf, the smallest for -inf; 0 counts
    what is not 0."""
    return p_norm(x if dtype is None else to(x, dtype), ord, dim, keepdim)


@numpy_names
def matrix_norm(
    A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *,
    dtype: Any = None, **names: Unpack[Keepdims],
) -> Tensor:  # fmt: skip
    """A norm of the matrices in two axes.

    "fro": the root of the sum of squares; "nuc", 2, -2: the sum, the largest and the smallest of
    the singular values; 1, -1: the largest and smallest sum of |x| in a column, inf, -inf: in a
    row.
    """
    a = floating_operand("matrix_norm", A)
    axes = integers("matrix_norm", "dim", dim, 2, None)
    if a.ndim < 2:
        raise RuntimeError(f"matrix_norm: expected at least two axes, got shape {a.shape}")
    rows, columns = (axis_of("matrix_norm", d, a.ndim) for d in axes)
    if rows == columns:
        raise RuntimeError(f"matrix_norm: dim {axes} names an axis twice")
    A = A if dtype is None else to(A, dtype)
    if ord == "fro":
        return p_norm(A, 2, (rows, columns), keepdim)
    B = movedim(A, (rows, columns), (-2, -1))
    if ord in ("nuc", 2, -2):
        values = linalg.svdvals(B)
        out = total(values, -1) if ord == "nuc" else (amax if ord == 2 else amin)(values, -1)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = total(absolute(B), -2 if ord in (1, -1) else -1)
        out = (amax if ord > 0 else amin)(sums, -1)
    else:
        raise ValueError(
            f"matrix_norm: ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}"
        )
    if not keepdim:
        return out
    return unsqueeze(unsqueeze(out, min(rows, columns)), max(rows, columns))


@numpy_names
def norm(
    A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None,
    **names: Unpack[AxisKeepdims],
) -> Tensor:  # fmt: skip
    """`matrix_norm` where `ord` is given and `dim` names two axes (or a matrix has no others), else
    `vector_norm`, of all elements if neither is given."""
    a = floating_operand("norm", A)
    pair = isinstance(dim, tuple | list) and len(dim) == 2
    if isinstance(ord, str) and not pair and not (dim is None and a.ndim == 2):
        raise RuntimeError(f"norm: ord={ord!r} is of matrices: expected two axes, got dim={dim!r}")
    if ord is not None and (pair or (dim is None and a.ndim == 2)):
        return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    if ord is not None and dim is None and a.ndim > 2:
        raise RuntimeError(f"norm: ord={ord!r} of {a.ndim} axes: pass dim, one axis or two")
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)


def multi_dot(tensors: Sequence[Any]) -> Tensor:
    """The product of matrices in the order that multiplies least; the first and last may be
    vectors."""
    # cost[i, j] = min over k of cost[i, k] + cost[k+1, j] + rows_i · columns_k · columns_j
    items = list(tensors)
    if len(items) < 2:
        raise RuntimeError(f"multi_dot: expected at least two tensors, got {len(items)}")
    require("multi_dot", **{f"tensor_{i}": x for i, x in enumerate(items)})
    shapes = [x.shape for x in items]
    ends = {0, len(items) - 1}
    if any(len(s) != 2 and not (len(s) == 1 and i in ends) for i, s in enumerate(shapes)):
        raise RuntimeError(f"multi_dot: expected matrices, vectors at the ends, got {shapes}")
    sizes = [1 if len(shapes[0]) == 1 else shapes[0][0]]
    sizes += [s[0] for s in shapes[1:]]
    sizes.append(shapes[-1][-1] if len(shapes[-1]) == 2 else 1)
    n = len(items)
    best: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(n)}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            best[i, j] = min(
                (best[i, k][0] + best[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return _chain(items, best, 0, n - 1)


def _chain(items: list[Any], best: dict[Any, tuple[int, int]], i: int, j: int) -> Tensor:
    """The product of items i to j, in the best order."""
    k = best[i, j][1]
    return items[i] if i == j else matmul(_chain(items, best, i, k), _chain(items, best, k + 1, j))


def trace(input: Any) -> Tensor:
    """The sum of a matrix's diagonal."""
    a = operand("trace", input)
    if a.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, got shape {a.shape}")
    return total(diagonal(input))


@numpy_names
def cross(input: Any, other: Any, dim: int | None = None, **names: Unpack[Axis]) -> Tensor:
    """The cross products of vectors of 3 elements along `dim`: the first such axis if None."""
    require("cross", input=input, other=other)
    x, y = broadcast_tensors(input, other)
    if dim is None:
        dim = next((i for i, n in enumerate(x.shape) if n == 3), -1)
    axis = axis_of("cross", dim, x.ndim)
    if not x.ndim or x.shape[axis] != 3:
        raise RuntimeError(f"cross: expected 3 elements along dim {dim}, got shape {x.shape}")
    return sub(mul(roll(x, -1, axis), roll(y, -2, axis)), mul(roll(x, -2, axis), roll(y, -1, axis)))


@numpy_names
def linalg_cross(input: Any, other: Any, *, dim: int = -1, **names: Unpack[Axis]) -> Tensor:
    """The cross products of vectors of 3 elements along `dim`."""
    require("cross", input=input, other=other)
    axis = axis_of("cross", dim, max(input.ndim, other.ndim))
    if input.ndim != other.ndim or not input.shape[axis] == other.shape[axis] == 3:
        raise RuntimeError(
            f"cross: expected 3 elements along dim {dim} of tensors of as many axes, got shapes "
            f"{input.shape} and {other.shape}"
        )
    return cross(input, other, dim)


def kron(input: Any, other: Any) -> Tensor:
    """The Kronecker product: every element of x times the whole of y."""
    a, b = as_array(input), as_array(other)
    n = max(a.ndim, b.ndim)
    left, right = (1,) * (n - a.ndim) + a.shape, (1,) * (n - b.ndim) + b.shape
    x = reshape(input, [m for size in left for m in (size, 1)])
    y = reshape(other, [m for size in right for m in (1, size)])
    return reshape(mul(x, y), [p * q for p, q in zip(left, right, strict=True)])


def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """The p-norms (…, P, R) of all differences of the rows of (…, P, M) and of (…, R, M).

    `compute_mode` is accepted as in PyTorch; the differences are always taken.
    """
    a, b = floating_operand("cdist", x1), floating_operand("cdist", x2)
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise RuntimeError(
            f"cdist: expected (…, P, M) and (…, R, M), got shapes {a.shape} and {b.shape}"
        )
    if p in (1, 2) and (large := _large_cdist(x1, x2, a, b, int(p))) is not None:
        return large
    p = p if a.shape[-1] else 1  # of rows without elements all are 0
    out = p_norm(sub(unsqueeze(x1, -2), unsqueeze(x2, -3)), p, -1)
    if p == 0:  # counts, whose gradient is zero
        return record_each(
            "cdist", out.array, (x1, lambda g: np.zeros_like(a)), (x2, lambda g: np.zeros_like(b))
        )
    return out


def _large_cdist(x1: Any, x2: Any, a: Any, b: Any, p: int) -> Tensor | None:
    """cdist without an array of all differences, if those are many; else None."""
    # w = g, or g/d for p = 2        dL/dx1 = Σ_k w_ik·(x1_i - x2_k), or of its sign for p = 1
    try:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        return None  # the subtraction says why
    (P, M), R, B = a.shape[-2:], b.shape[-2], math.prod(batch)
    if B * P * R * M < FROM or (loops := for_both("distances", a, b)) is None:
        return None
    x, y = (np.broadcast_to(v, (*batch, *v.shape[-2:])).reshape(B, *v.shape[-2:]) for v in (a, b))
    turned_x, turned_y = last(x, 1), last(y, 1)
    d = loops.distances(p, x, turned_y)

    def weights(g: Any) -> Any:
        g = g.reshape(d.shape)
        return np.divide(g, d, out=np.zeros_like(d), where=d != 0) if p == 2 else g

    def dx1(g: Any) -> Any:
        return loops.backward(p, weights(g), x, turned_y).reshape(*batch, P, M)

    def dx2(g: Any) -> Any:
        return loops.backward(p, last(weights(g), 1), y, turned_x).reshape(*batch, R, M)

    return record_each("cdist", d.reshape(*batch, P, R), (x1, dx1), (x2, dx2))


def pdist(input: Any, p: float = 2.0) -> Tensor:
    """The p-norms of the differences of all pairs of rows of x (N, M): (N·(N - 1)/2,), those of the
    first row in front."""
    a = floating_operand("pdist", input)
    if a.ndim != 2:
        raise RuntimeError(f"pdist: expected rows (N, M), got shape {a.shape}")
    first, second = np.triu_indices(len(a), 1)
    out = p_norm(sub(getitem(input, first), getitem(input, second)), p, 1)
    if p == 0:  # counts, whose gradient is zero
        return record_each("pdist", out.array, (input, lambda g: np.zeros_like(a)))
    return out


def chain_matmul(*matrices: Any) -> Tensor:
    """`linalg.multi_dot` of its arguments, by its name before PyTorch 1.8."""
    require("chain_matmul", **{f"matrix_{i}": x for i, x in enumerate(matrices)})
    return clone(matrices[0]) if len(matrices) == 1 else multi_dot(matrices)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of each element of a vector as a row: x^(N - 1) … x, 1, or in the other order."""
    # dL/dx = Σ_k g_k·k·x^(k - 1)
    a = operand("vander", x)
    if a.ndim != 1:
        raise RuntimeError(f"vander: expected a vector, got shape {a.shape}")
    n = len(a) if N is None else integer("vander", "N", N, 0)
    powers = np.ones((len(a), n), a.dtype)
    powers[:, 1:] = a[:, None]
    powers, way = np.multiply.accumulate(powers, axis=1), 1 if increasing else -1
    return record_each(
        "vander", powers[:, ::way],
        (x, lambda g: (g[:, ::way][:, 1:] * np.arange(1, n) * powers[:, :-1]).sum(axis=1)),
    )  # fmt: skip


def dist(input: Any, other: Any, p: float = 2) -> Tensor:
    """The p-norm of the difference of two tensors, which broadcast."""
    require("dist", input=input, other=other)
    check_broadcast("dist", [as_array(input), as_array(other)])
    difference = sub(input, other)
    check_floating("dist", difference.array)
    return p_norm(difference, p)


def addmv(input: Any, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta·x + alpha·(mat @ vec); nothing of x where beta is 0."""
    return weighted("addmv", input, mv(mat, vec), beta, alpha)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Tensor:
    """x₁ᵀ·Wₖ·x₂ + bₖ for each k: x₁ (…, in1), x₂ (…, in2), weight (out, in1, in2), bias (out,)."""
    given = (input1, input2, weight) if bias is None else (input1, input2, weight, bias)
    names = ("input1", "input2", "weight", "bias")
    a, b, w, *rest = matrices("bilinear", *given, names=names)
    if w.ndim != 3 or not a.ndim or a.shape[:-1] != b.shape[:-1]:
        raise RuntimeError(
            f"bilinear: inputs of shapes {a.shape} and {b.shape} with weight of shape {w.shape}, "
            "expected (…, in1), (…, in2) with equal sizes in front, and (out, in1, in2)"
        )
    if a.shape[-1] != w.shape[1] or b.shape[-1] != w.shape[2]:
        raise RuntimeError(
            f"bilinear: inputs with last sizes {a.shape[-1]} and {b.shape[-1]} do not fit weight "
            f"of shape {w.shape}: expected {w.shape[1]} and {w.shape[2]}"
        )
    if rest and rest[0].shape != w.shape[:1]:
        raise RuntimeError(f"bilinear: bias of shape {rest[0].shape}, expected {w.shape[:1]}")
    rows = einsum("...i,kij->...kj", input1, weight)  # the order decides where inf - inf comes
    out = squeeze(matmul(rows, unsqueeze(input2, -1)), -1)
    return out if bias is None else add(out, bias)


def addr(input: Any, vec1: Any, vec2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta·x + alpha·(the outer product of two vectors); nothing of x where beta is 0."""
    return weighted("addr", input, outer(vec1, vec2), beta, alpha)


def baddbmm(input: Any, batch1: Any, batch2: Any, *, alpha: float = 1, beta: float = 1) -> Tensor:
    """beta·x + alpha·(the products of two stacks of matrices); nothing of x where beta is 0."""
    return weighted("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def addbmm(input: Any, batch1: Any, batch2: Any, *, alpha: float = 1, beta: float = 1) -> Tensor:
    """beta·x + alpha·(the sum of the products of two stacks); nothing of x where beta is 0."""
    return weighted("addbmm", input, total(bmm(batch1, batch2), 0), beta, alpha)


def tensordot(a: Any, b: Any, dims: Any = 2) -> Tensor:
    """The sum of products over axes: the last `dims` of a with the first of b, or those that a pair
    of lists names."""
    x, y = as_array(a), as_array(b)
    if isinstance(dims, tuple | list):
        if len(dims) != 2:
            raise RuntimeError(f"tensordot: dims must be a number or two lists, got {dims!r}")
        given = [integers("tensordot", "dims", d, None, None) for d in dims]
        left = [axis_of("tensordot", d, x.ndim) for d in given[0]]
        right = [axis_of("tensordot", d, y.ndim) for d in given[1]]
    else:
        n = integer("tensordot", "dims", dims, 0)
        if n > min(x.ndim, y.ndim):
            raise RuntimeError(f"tensordot: {n} axes of shapes {x.shape} and {y.shape}")
        left, right = [*range(x.ndim - n, x.ndim)], [*range(n)]
    for i, j in zip(left, right, strict=False):  # an axis of size 1 meets any
        if x.shape[i] == 1 != y.shape[j]:
            b = total(b, j, keepdim=True, dtype=y.dtype)
        elif y.shape[j] == 1 != x.shape[i]:
            a = total(a, i, keepdim=True, dtype=x.dtype)
    x, y = as_array(a), as_array(b)
    sizes = [x.shape[i] for i in left]
    if len(left) != len(right) or sizes != [y.shape[i] for i in right if i < y.ndim]:
        raise RuntimeError(
            f"tensordot: the axes {dims!r} of shapes {x.shape} and {y.shape} do not match"
        )
    rest_x = [i for i in range(x.ndim) if i not in left]
    rest_y = [i for i in range(y.ndim) if i not in right]
    inner = math.prod(sizes)
    rows = reshape(permute(a, *rest_x, *left), (math.prod(x.shape[i] for i in rest_x), inner))
    columns = reshape(permute(b, *right, *rest_y), (inner, math.prod(y.shape[i] for i in rest_y)))
    return reshape(
        matmul(rows, columns), [x.shape[i] for i in rest_x] + [y.shape[i] for i in rest_y]
    )


def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Tensor:
    """The covariances of variables, the rows of (variables, observations), divided by the number
    of observations less `correction`; an observation counts `fweights` times, integers, and by its
    weight `aweights` (observations,)."""
    a = floating_operand("cov", input)
    if a.ndim > 2:
        raise RuntimeError(f"cov: expected at most two axes, got shape {a.shape}")
    x = reshape(input, (1, -1)) if a.ndim < 2 else input
    weights = [w for w in (fweights, aweights) if w is not None]
    if any(w.shape != (x.shape[1],) for w in weights):
        shapes = [w.shape for w in weights]
        raise RuntimeError(f"cov: weights of shapes {shapes}, expected {(x.shape[1],)}")
    if not all((as_array(w) >= 0).all() for w in weights):
        raise RuntimeError("cov: fweights and aweights must not be negative or NaN")
    if fweights is not None and fweights.dtype.kind not in "iu":
        raise RuntimeError(f"cov: fweights must be integers, got {fweights.dtype}")
    correction = integer("cov", "correction", correction, None)
    w: Any = reduce(mul, weights) if weights else None
    count: Any = x.shape[1] if w is None else total(w)
    centred = sub(x, div(total(x if w is None else mul(x, w), 1, keepdim=True), count))
    scale: Any = count - correction
    if aweights is not None and correction:
        scale = sub(count, mul(div(total(mul(w, aweights)), count), correction))
    if as_array(scale) <= 0:
        scale = 0.0
    weighted = centred if w is None else mul(centred, w)
    out = div(matmul(weighted, permute(centred, 1, 0)), scale)
    return reshape(out, ()) if x.shape[0] == 1 else out


def corrcoef(input: Any) -> Tensor:
    """The correlations of variables, the rows of (variables, observations)."""
    c = cov(input)
    if not c.ndim:
        return c / c
    deviations = diagonal(c).sqrt()
    return (c / unsqueeze(deviations, 1) / unsqueeze(deviations, 0)).clamp(-1, 1)
