"""Searching and sorting: which element, in which order. Of those that tie, one is taken."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack, overload

import numpy as np

from minigrad import kernels
from minigrad.checks import axis_of, integer
from minigrad.dtypes import float32, int32, int64
from minigrad.incoming import as_array
from minigrad.kernels import for_large
from minigrad.names import Axis, AxisKeepdims, Keepdims, numpy_names, numpy_overloads
from minigrad.ops.arithmetic import maximum, minimum
from minigrad.ops.indexing import check_index
from minigrad.ops.large import FROM, selection
from minigrad.ops.places import Along
from minigrad.ops.reductions import extreme
from minigrad.recording import operand, record_each, unrecorded
from minigrad.tensor import Tensor, wrap


class ValuesIndices(NamedTuple):
    """What max(dim), min(dim), sort and topk return."""

    values: Tensor
    indices: Tensor


@overload
def max(input: Any, dim: Tensor | None = None) -> Tensor: ...
@overload
def max(
    input: Any, dim: int, keepdim: bool = False, **names: Unpack[Keepdims]
) -> ValuesIndices: ...
@overload
def max(
    input: Any, *, axis: int, keepdim: bool = False, **names: Unpack[Keepdims]
) -> ValuesIndices: ...
@numpy_overloads
def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest value; over one `dim` a pair (values, indices) of which one element is taken;
    with a tensor in place of `dim`, `maximum`."""
    return _max_or_min("max", input, dim, keepdim)


@overload
def min(input: Any, dim: Tensor | None = None) -> Tensor: ...
@overload
def min(
    input: Any, dim: int, keepdim: bool = False, **names: Unpack[Keepdims]
) -> ValuesIndices: ...
@overload
def min(
    input: Any, *, axis: int, keepdim: bool = False, **names: Unpack[Keepdims]
) -> ValuesIndices: ...
@numpy_overloads
def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest value; see `max`."""
    return _max_or_min("min", input, dim, keepdim)


def _max_or_min(name: str, x: Any, dim: Any, keepdim: bool) -> Any:
    if isinstance(dim, Tensor):
        return (maximum if name == "max" else minimum)(x, dim)
    if dim is None:
        return extreme(name, np.maximum if name == "max" else np.minimum, x)
    a = operand(name, x)
    index = _arg(name, a, dim)
    return ValuesIndices(*_take(name, x, a, index, axis_of(name, dim, a.ndim), keepdim))


def _arg(name: str, a: Any, dim: int) -> Any:
    """The position of the first extreme (of the first NaN, if there is one) along dim, kept."""
    axis = axis_of(name, dim, a.ndim)
    if not a.ndim:
        return np.zeros((), int64)
    if a.shape[axis] == 0:
        raise IndexError(f"{name}: axis {axis} of shape {a.shape} is empty")
    find = "argmax" if "max" in name else "argmin"
    if a.size >= FROM and axis < a.ndim - 1 and a.flags.carray:  # numpy's go element by element
        loops = kernels.for_large("columns", a)
        if loops is not None:
            return loops.extremum(find, a, axis)
    return np.asarray(getattr(np, find)(a.real, axis=axis, keepdims=True), int64)


def _take(name: str, x: Any, a: Any, index: Any, axis: int, keepdim: bool) -> tuple[Any, Any]:
    """Values at `index` (kept axis); backward puts each gradient where its value came from."""
    if not a.ndim:
        return record_each(name, a.copy(), (x, lambda g: g)), wrap(index)
    places, shape, kept = Along(index, axis), a.shape, index.shape
    values = places.read(a)

    def scatter(g: Any) -> Any:
        dx = np.zeros(shape, g.dtype)
        places.write(dx, g.reshape(kept))
        return dx

    if not keepdim:
        values, shown = values.squeeze(axis), index.squeeze(axis)
    else:
        shown = index
    return record_each(name, values, (x, scatter)), unrecorded(name, shown)


@numpy_names
def argmax(
    input: Any, dim: int | None = None, keepdim: bool = False, **names: Unpack[AxisKeepdims]
) -> Tensor:
    """The position of the largest value along `dim`, of the flattened tensor if None."""
    return _position("argmax", input, dim, keepdim)


@numpy_names
def argmin(
    input: Any, dim: int | None = None, keepdim: bool = False, **names: Unpack[AxisKeepdims]
) -> Tensor:
    """The position of the smallest value along `dim`, of the flattened tensor if None."""
    return _position("argmin", input, dim, keepdim)


def _position(name: str, x: Any, dim: int | None, keepdim: bool) -> Tensor:
    a = operand(name, x)
    if dim is None:
        if not a.size:
            raise IndexError(f"{name}: the tensor of shape {a.shape} is empty")
        flat = _arg(name, a.reshape(-1), 0)
        return wrap(flat.reshape((1,) * a.ndim if keepdim else ()))
    index = _arg(name, a, dim)
    kept = keepdim or not a.ndim
    return unrecorded(name, index if kept else index.squeeze(axis_of(name, dim, a.ndim)))


@numpy_names
def sort(
    input: Any, dim: int = -1, descending: bool = False, stable: bool = True, **names: Unpack[Axis]
) -> ValuesIndices:
    """Values in order along `dim`, and where they came from; always stable."""
    a = operand("sort", input)
    axis = axis_of("sort", dim, a.ndim)
    index = argsort(input, dim, descending).array
    return ValuesIndices(*_take("sort", input, a, index, axis, True))


@numpy_names
def argsort(
    input: Any, dim: int = -1, descending: bool = False, stable: bool = True, **names: Unpack[Axis]
) -> Tensor:
    """The positions that sort the tensor along `dim`; always stable."""
    a = operand("argsort", input)
    axis = axis_of("argsort", dim, a.ndim)
    if not a.ndim:
        return wrap(np.zeros((), int64))
    return unrecorded("argsort", _order(a, axis, descending))


def _moved(index: Any, axis: int) -> Any:
    """With the last axis in the place of `axis`."""
    return index if axis == index.ndim - 1 else np.moveaxis(index, -1, axis)


def _order(a: Any, axis: int, descending: bool) -> Any:
    """The positions that sort along the axis, stably."""
    loops, rows = selection(a, axis)
    if loops is not None:
        return _moved(loops.order(rows, descending), axis)
    if descending:  # a stable descending order: sort the mirrored axis, mirror back
        mirrored = np.argsort(np.flip(a.real, axis), axis=axis, kind="stable")
        return a.shape[axis] - 1 - np.flip(mirrored, axis)
    return np.argsort(a.real, axis=axis, kind="stable")


def kth(a: Any, k: int, axis: int) -> Any:
    """The positions of the k-th in ascending order, k from 1, along the axis, which is kept."""
    loops, rows = selection(a, axis)
    if loops is not None:
        return _moved(loops.first(rows, k, False, last=True), axis)
    return np.take(_order(a, axis, False), [k - 1], axis)


@numpy_names
def topk(
    input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True,
    **names: Unpack[Axis],
) -> ValuesIndices:  # fmt: skip
    """The k largest (or smallest) values along `dim`, in order, and where they came from."""
    a = operand("topk", input)
    axis, k = axis_of("topk", dim, a.ndim), integer("topk", "k", k, None)
    if not 0 <= k <= (a.shape[axis] if a.ndim else 1):
        raise RuntimeError(f"topk: k = {k} is out of range for axis {axis} of shape {a.shape}")
    return ValuesIndices(*_take("topk", input, a, _top(a, k, axis, largest), axis, True))


def _top(a: Any, k: int, axis: int, largest: bool) -> Any:
    """The positions of the k first along the axis, in descending or ascending order."""
    n = a.shape[axis] if a.ndim else 1
    loops, rows = selection(a, axis)
    if loops is not None and k:
        return _moved(loops.first(rows, k, largest), axis)
    if not a.ndim or 4 * k > n:
        order = argsort(wrap(a), axis, descending=largest).array
        return order[(slice(None),) * axis + (slice(k),)] if a.ndim else order
    # Only the k first are sorted. A NaN is the largest of all, for numpy too.
    rest = slice(n - k, n) if largest else slice(k)
    chosen = np.argpartition(a.real, n - k if largest else k, axis)
    chosen = np.sort(chosen[(slice(None),) * axis + (rest,)], axis)  # of those that tie, the first
    order = argsort(wrap(np.take_along_axis(a, chosen, axis)), axis, descending=largest).array
    return np.take_along_axis(chosen, order, axis)


@overload
def median(input: Any, dim: None = None) -> Tensor: ...
@overload
def median(
    input: Any, dim: int, keepdim: bool = False, **names: Unpack[Keepdims]
) -> ValuesIndices: ...
@overload
def median(
    input: Any, *, axis: int, keepdim: bool = False, **names: Unpack[Keepdims]
) -> ValuesIndices: ...
@numpy_overloads
def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of all elements, those equal to it sharing the gradient evenly; over one
    `dim` a pair (values, indices). A NaN among the elements is their median."""
    a = operand("median", input)
    if dim is None:
        return median_of_all("median", input, a, _middle)
    axis = axis_of("median", dim, a.ndim)
    if a.ndim and not a.shape[axis]:
        raise IndexError(f"median: axis {axis} of shape {a.shape} is empty")
    index = _middle(a, axis) if a.ndim else np.zeros((), int64)
    return ValuesIndices(*_take("median", input, a, index, axis, keepdim))


def median_of_all(name: str, x: Any, a: Any, middle: Any) -> Tensor:
    """The element whose position `middle(flat, 0)` gives; of none NaN, or the least integer."""
    # dL/dx = g/k for each of the k elements equal to the median
    flat = a.reshape(-1)
    with np.errstate(invalid="ignore"):
        none = np.asarray(np.nan).astype(a.dtype)
    value = np.take_along_axis(flat, middle(flat, 0), 0).reshape(()) if a.size else none
    real, found = np.real(a), np.real(value)
    same = (real == found) | (np.isnan(real) & np.isnan(found))

    def dx(g: Any) -> Any:
        return np.where(same, g * (same.astype(a.dtype) / a.dtype.type(same.sum())), 0)

    return record_each(name, value, (x, dx))


def _middle(a: Any, axis: int) -> Any:
    """The position of the lower median along the axis (of the first NaN, if there is one), kept."""
    half = (a.shape[axis] - 1) // 2
    if selection(a, axis)[0] is not None:
        middle = kth(a, half + 1, axis)
    else:
        middle = np.take(np.argpartition(a.real, half, axis), [half], axis)
    nan = np.isnan(a.real)
    if not nan.any():
        return middle
    first = nan.argmax(axis=axis, keepdims=True)
    return np.where(nan.any(axis=axis, keepdims=True), first, middle)


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Tensor:
    """How often each non-negative integer occurs."""
    a = as_array(input)
    if a.ndim != 1 or a.dtype.kind not in "iu" or (a.size and a.min() < 0):
        raise ValueError(
            f"bincount: expected one axis of non-negative integers, got shape {a.shape}, {a.dtype}"
        )
    minlength = integer("bincount", "minlength", minlength, 0)
    out = np.bincount(a, None if weights is None else as_array(weights), minlength)
    return wrap(
        out.astype(float32) if weights is not None and as_array(weights).dtype == float32 else out
    )


def searchsorted(
    sorted_sequence: Any, input: Any, *, out_int32: bool = False, right: bool = False,
    side: str | None = None, sorter: Any = None,
) -> Tensor:  # fmt: skip
    """Where values would be inserted into a sorted vector, or into the rows of a sorted tensor,
    before (side "left") or after ("right") those that are equal. `sorter` is the order that sorts
    a sequence which is not."""
    if side not in (None, "left", "right") or (side == "left" and right):
        raise RuntimeError(f"searchsorted: side must be 'left' or 'right', got {side!r}")
    a, v = as_array(sorted_sequence), as_array(input)
    if sorter is not None:
        order = as_array(sorter)
        if order.shape != a.shape or order.dtype.kind not in "iu":
            raise RuntimeError(
                f"searchsorted: sorter is {order.dtype} of shape {order.shape}, expected integers "
                f"of shape {a.shape}"
            )
        check_index("searchsorted", order, a.shape[-1])
        a = np.take_along_axis(a, order, -1)
    if a.ndim != 1 and a.shape[:-1] != v.shape[:-1]:
        raise RuntimeError(f"searchsorted: sequences {a.shape} and values {v.shape} do not match")
    loops = None
    if v.size >= FROM and a.size and a.dtype == v.dtype:
        loops = for_large("selection", a)
    if loops is not None:
        found = loops.search(a, v, right or side == "right")
        return wrap(found.astype(int32 if out_int32 else int64, copy=False))
    out = np.empty(v.shape, int32 if out_int32 else int64)
    where: Any = "right" if right else side or "left"
    for row in np.ndindex(a.shape[:-1]):
        out[row] = np.searchsorted(a[row], v[row], where)
    return wrap(out)
