"""Arrangements made of simpler ones: stacks, splits, mirrors, indices, differences."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Unpack, overload

import numpy as np

from minigrad.checks import axis_of, integer, integers, number
from minigrad.dtypes import float32, int32, int64
from minigrad.incoming import as_array
from minigrad.kernels import backend_for
from minigrad.names import Axis, numpy_names, numpy_overloads
from minigrad.ops.arithmetic import div, mul, scaled, sub
from minigrad.ops.indexing import carrying, writable
from minigrad.ops.joining import cat, flip, joined, meshgrid, stack
from minigrad.ops.places import ALL, Places
from minigrad.ops.search import searchsorted
from minigrad.ops.shape import narrow, reshape, transpose
from minigrad.recording import fit, needs_grad, operand, record, require
from minigrad.tensor import Tensor, wrap


def ravel(input: Any) -> Tensor:
    """All elements in one axis."""
    return reshape(input, -1)


def _with_axis(input: Any) -> Tensor:
    """The tensor, with an axis if it has none."""
    return input if as_array(input).ndim else reshape(input, 1)


def _with_two_axes(input: Any) -> Tensor:
    """The tensor, with axes in front up to two."""
    shape = as_array(input).shape
    return input if len(shape) > 1 else reshape(input, (1, *(shape or (1,))))


def hstack(tensors: Sequence[Any]) -> Tensor:
    """Tensors side by side: along axis 1, vectors along their only one."""
    parts = [_with_axis(x) for x in tensors]
    return joined("hstack", parts, 0 if parts and parts[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Any]) -> Tensor:
    """Tensors one below the other, vectors as rows."""
    return joined("vstack", [_with_two_axes(x) for x in tensors], 0)


def dstack(tensors: Sequence[Any]) -> Tensor:
    """Tensors one behind the other: along axis 2."""
    parts = [_with_two_axes(x) for x in tensors]
    return joined("dstack", [x if x.ndim > 2 else x.unsqueeze(-1) for x in parts], 2)


def column_stack(tensors: Sequence[Any]) -> Tensor:
    """Tensors side by side, vectors as columns."""
    shapes = [(x, as_array(x).shape) for x in tensors]
    parts = [x if len(s) > 1 else reshape(x, (-1, 1)) for x, s in shapes]
    return joined("column_stack", parts, 1)


@numpy_names
def tensor_split(
    input: Any, indices_or_sections: Any, dim: int = 0, **names: Unpack[Axis]
) -> tuple[Tensor, ...]:
    """The tensor in so many parts along `dim`, the first ones longer by one where it does not
    divide; or cut before each index of a list."""
    return _split("tensor_split", input, indices_or_sections, dim)


def _split(name: str, input: Any, indices_or_sections: Any, dim: int) -> tuple[Tensor, ...]:
    require(name, input=input)
    if not input.ndim:
        raise RuntimeError(f"{name}: expected at least one axis, got a 0-d tensor")
    n = input.shape[axis_of(name, dim, input.ndim)]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, tuple | list):
        cuts = integers(name, "indices_or_sections", indices_or_sections, None, None)
        ends = [min(max(c + n if c < 0 else c, 0), n) for c in cuts]
    else:
        parts = integer(name, "indices_or_sections", indices_or_sections)
        ends = [i * (n // parts) + min(i, n % parts) for i in range(1, parts)]
    pairs = itertools.pairwise([0, *ends, n])
    return tuple(narrow(input, dim, a, max(b - a, 0)) for a, b in pairs)


def hsplit(input: Any, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along axis 1, of vectors along their only one."""
    return _split("hsplit", input, indices_or_sections, 0 if as_array(input).ndim == 1 else 1)


def vsplit(input: Any, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along axis 0 of at least two."""
    if as_array(input).ndim < 2:
        raise RuntimeError(f"vsplit: expected two axes, got shape {as_array(input).shape}")
    return _split("vsplit", input, indices_or_sections, 0)


def dsplit(input: Any, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along axis 2 of at least three."""
    if as_array(input).ndim < 3:
        raise RuntimeError(f"dsplit: expected three axes, got shape {as_array(input).shape}")
    return _split("dsplit", input, indices_or_sections, 2)


def fliplr(input: Any) -> Tensor:
    """Mirrored along axis 1."""
    if as_array(input).ndim < 2:
        raise RuntimeError(f"fliplr: expected two axes, got shape {as_array(input).shape}")
    return flip(input, (1,))


def flipud(input: Any) -> Tensor:
    """Mirrored along axis 0."""
    if as_array(input).ndim < 1:
        raise RuntimeError("flipud: expected at least one axis, got a 0-d tensor")
    return flip(input, (0,))


def rot90(input: Any, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned k times by 90 degrees, from the first of two axes to the second."""
    a = operand("rot90", input)
    axes = integers("rot90", "dims", dims, None, None)
    if len(axes) != 2:
        raise RuntimeError(f"rot90: expected two dims, got {dims!r}")
    first, second = (axis_of("rot90", d, a.ndim) for d in axes)
    if first == second:
        raise RuntimeError(f"rot90: dims {dims!r} name one axis twice")
    turns = integer("rot90", "k", k, None) % 4
    if turns == 2:
        return flip(input, (first, second))
    if not turns:
        return mul(input, 1)
    turned = flip(input, (second,)) if turns == 1 else input
    out = transpose(turned, first, second)
    return out.contiguous() if turns == 1 else flip(out, (second,))


@numpy_names
def diff(
    input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None,
    **names: Unpack[Axis],
) -> Tensor:  # fmt: skip
    """The n-th differences of neighbours along `dim`, of what `prepend` and `append` put around."""
    a = operand("diff", input)
    axis = axis_of("diff", dim, a.ndim)
    if not a.ndim:
        raise RuntimeError("diff: expected at least one axis, got a 0-d tensor")
    around = [x for x in (prepend, input, append) if x is not None]
    if n == 0:
        return mul(input, 1)
    x = cat(around, axis) if len(around) > 1 else input
    for _ in range(integer("diff", "n", n, 0)):
        size = max(x.shape[axis] - 1, 0)
        later, before = narrow(x, axis, min(1, x.shape[axis]), size), narrow(x, axis, 0, size)
        x = later.ne(before) if a.dtype.kind == "b" else sub(later, before)
    return x


@numpy_names
def gradient(
    input: Any, *, spacing: Any = None, dim: Any = None, edge_order: int = 1, **names: Unpack[Axis]
) -> tuple[Tensor, ...]:
    """Derivatives by central differences, one of x's shape for each axis in `dim`.

    Args:
        input: values of a function on a grid, at least edge_order + 1 along each axis.
        spacing: the step between neighbours, 1 if None, or for each axis a step or a vector of
            coordinates.
        dim: an axis or several, all of them if None.
        edge_order: 1 or 2: of which order the differences at the two ends are.
    """
    a = operand("gradient", input)
    if a.dtype.kind == "b":
        raise RuntimeError("gradient: expected a tensor of numbers, got dtype bool: use .float()")
    if edge_order not in (1, 2):
        raise RuntimeError(f"gradient: edge_order must be 1 or 2, got {edge_order!r}")
    given = range(a.ndim) if dim is None else integers("gradient", "dim", dim, minimum=None)
    axes = [axis_of("gradient", d, a.ndim) for d in given]
    spacing = 1 if spacing is None else spacing
    steps = list(spacing) if isinstance(spacing, tuple | list) else [spacing] * len(axes)
    if len(steps) != len(axes) or len(set(axes)) != len(axes):
        raise RuntimeError(f"gradient: {len(steps)} spacings for axes {axes}, expected one each")
    return tuple(_slopes(input, *pair, edge_order) for pair in zip(axes, steps, strict=True))


def _slopes(x: Any, axis: int, spacing: Any, order: int) -> Tensor:
    # p and q the steps before and after, y₋ y y₊ the values:
    # inside          (-q²·y₋ + (q² - p²)·y + p²·y₊)/(p·q·(p + q)), or (y₊ - y₋)/(p + q) where p = q
    # at the ends     (y₁ - y)/p, or (p + q)/(p·q)·y₁ - (2p + q)/(p·(p + q))·y - p/(q·(p + q))·y₂,
    #                 p and q the steps from there inwards, to y₁ and then to y₂
    a: Any = as_array(x)
    n, ends = a.shape[axis] if a.ndim else 1, a.ndim - 1 - axis
    if n <= order:
        raise RuntimeError(
            f"gradient: {n} elements along dim {axis}, expected at least {order + 1}"
        )
    dtype, even = a.real.dtype if a.dtype.kind in "fc" else float32, not as_array(spacing).ndim
    if even:
        h = wrap(np.full((n - 1, *[1] * ends), number("gradient", "spacing", spacing), dtype))
    elif as_array(spacing).shape != (n,):
        shape = as_array(spacing).shape
        raise RuntimeError(f"gradient: coordinates of shape {shape}, expected {(n,)}")
    else:
        h = reshape(diff(spacing), (-1, *[1] * ends))

    def part(start: int, size: int = 1) -> Tensor:
        return narrow(x, axis, start, size)

    def end(i: int, step: int) -> Tensor:
        p = narrow(h, 0, min(i, i + step), 1) * step
        if order == 1:
            return div(sub(part(i + step), part(i)), p)
        q = narrow(h, 0, min(i + step, i + 2 * step), 1) * step
        near, far = mul(part(i + step), (p + q) / (p * q)), mul(part(i + 2 * step), p / q / (p + q))
        return near - mul(part(i), (2 * p + q) / p / (p + q)) - far

    before, here, after = part(0, n - 2), part(1, n - 2), part(2, n - 2)
    p, q = narrow(h, 0, 0, n - 2), narrow(h, 0, 1, n - 2)
    if even:
        inside = (after - before) / (p + q)
    else:
        inside = after * (p / (q * (p + q))) - before * (q / (p * (p + q)))
        inside = inside + here * ((q - p) / (p * q))
    return cat([end(0, 1), inside, end(n - 1, -1)], axis)


def cartesian_prod(*tensors: Any) -> Tensor:
    """All tuples of one element from each vector, as rows; an only vector as it is."""
    require("cartesian_prod", **{f"tensor_{i}": x for i, x in enumerate(tensors)})
    if not tensors or any(x.ndim != 1 for x in tensors):
        shapes = [x.shape for x in tensors]
        raise RuntimeError(f"cartesian_prod: expected vectors, got shapes {shapes}")
    if len(tensors) == 1:
        return mul(tensors[0], 1)
    return stack([reshape(g, -1) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of r elements of a vector in their order, as rows."""
    a = operand("combinations", input)
    if a.ndim != 1:
        raise RuntimeError(f"combinations: expected a vector, got shape {a.shape}")
    r = integer("combinations", "r", r, 0)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    chosen = list(choose(range(a.size), r))
    rows = np.array(chosen, np.int64).reshape(len(chosen), r)
    return input[wrap(rows)] if r else wrap(np.empty(0, a.dtype))


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = int64, device: Any = None
) -> Tensor:
    """The rows and columns (2, n) of the lower triangle of a matrix (row, col)."""
    row, col = integer("tril_indices", "row", row, 0), integer("tril_indices", "col", col, 0)
    return wrap(np.stack(np.tril_indices(row, offset, col)).astype(dtype))


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = int64, device: Any = None
) -> Tensor:
    """The rows and columns (2, n) of the upper triangle of a matrix (row, col)."""
    row, col = integer("triu_indices", "row", row, 0), integer("triu_indices", "col", col, 0)
    return wrap(np.stack(np.triu_indices(row, offset, col)).astype(dtype))


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element is one of `test_elements`; with `invert`, whether it is none."""
    return wrap(np.isin(as_array(elements), as_array(test_elements), invert=bool(invert)))


def bucketize(
    input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """Between which of the sorted boundaries each element lies: 0 up to the first one, which is
    included unless `right`."""
    edges, values = as_array(boundaries), as_array(input)
    if edges.ndim != 1:
        raise RuntimeError(f"bucketize: expected boundaries in one axis, got shape {edges.shape}")
    found = searchsorted(wrap(edges), wrap(values.reshape(-1)), right=right).array
    return wrap(found.reshape(values.shape).astype(int32 if out_int32 else int64))


def _along(name: str, input: Any, dim: Any, index: Any) -> tuple[Any, tuple[Any, ...], int]:
    """The array, the index of the rows that `index` names along `dim`, and the axis."""
    a, rows = operand(name, input), as_array(index)
    axis = axis_of(name, dim, a.ndim)
    if rows.ndim > 1 or rows.dtype.kind not in "iu":
        raise RuntimeError(
            f"{name}: index must be a vector of integers, got {rows.dtype} {rows.shape}"
        )
    n = a.shape[axis] if a.ndim else 1
    rows = rows.reshape(-1)
    if ((rows < -n) | (rows >= n)).any():
        raise IndexError(f"{name}: an index is out of range for size {n} along dim {axis}")
    return a, (*[ALL] * axis, rows.copy()), axis


def _source(name: str, source: Any, a: Any, rows: int, axis: int) -> Any:
    """What comes to so many rows of a along the axis, checked."""
    s, shape = as_array(source), (*a.shape[:axis], rows, *a.shape[axis + 1 :])
    if s.shape != shape or (
        s.dtype.kind != a.dtype.kind and "c" not in (a.dtype.kind, s.dtype.kind)
    ):
        raise RuntimeError(
            f"{name}: source is {s.dtype} of shape {s.shape}, expected {a.dtype} of shape {shape}"
        )
    return s


@overload
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Tensor: ...
@overload
def index_fill(input: Any, *, axis: int, index: Any, value: Any) -> Tensor: ...
@numpy_overloads
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Tensor:
    """x with `value` in the rows along `dim` that index names."""
    # dL/dx = g, 0 in those rows
    if not input.ndim:
        return reshape(index_fill(reshape(input, 1), dim, index, value), ())
    a, where, _ = _along("index_fill", input, dim, index)
    number = writable("index_fill", value, a)
    out = a.astype(carrying(a, number))
    out[where] = number

    def vjp(g: Any) -> Any:
        filled = np.zeros(g.shape, bool)
        filled[where] = True  # once, as often as the index may name it
        dvalue = fit(g[filled].sum(), value.shape, value.dtype) if needs_grad(value) else None
        return np.where(filled, 0, g), dvalue

    return record("index_fill", out, (input, value), vjp)


@overload
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Tensor: ...
@overload
def index_add(input: Any, *, axis: int, index: Any, source: Any, alpha: float = 1) -> Tensor: ...
@numpy_overloads
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Tensor:
    """x with alpha·source added to the rows along `dim` that index names, as often as it does."""
    # dL/dx = g        dL/ds = g in those rows, s = alpha·source
    if not input.ndim:
        rows = reshape(input, 1), dim, index, reshape(source, -1)
        return reshape(index_add(*rows, alpha=alpha), ())
    a, where, axis = _along("index_add", input, dim, index)
    s = _source("index_add", source, a, where[-1].size, axis)
    if alpha != 1:
        source = scaled("index_add", "alpha", alpha, source)
    out, places = a.astype(np.result_type(a, s), order="C"), Places((), where, False)
    places.add(out, as_array(source), backend_for(out))
    return record("index_add", out, (input, source), lambda g: (g, places.read(g)))


@overload
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Tensor: ...
@overload
def index_copy(input: Any, *, axis: int, index: Any, source: Any) -> Tensor: ...
@numpy_overloads
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Tensor:
    """x with source in the rows along `dim` that index names, which should be different ones."""
    # dL/dx = g, 0 in those rows        dL/ds = g in those rows
    if not input.ndim:
        return reshape(index_copy(reshape(input, 1), dim, index, reshape(source, -1)), ())
    a, where, axis = _along("index_copy", input, dim, index)
    s = _source("index_copy", source, a, where[-1].size, axis)
    out = a.astype(np.result_type(a, s))
    out[where] = s

    def vjp(g: Any) -> Any:
        dx = g.copy()
        dx[where] = 0
        return dx, g[where]

    return record("index_copy", out, (input, source), vjp)


row_stack = vstack
