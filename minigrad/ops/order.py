"""Order statistics: the k-th smallest, the most frequent; and runs of equal elements."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack, overload

import numpy as np

from minigrad.checks import axis_of, integer
from minigrad.dtypes import int64
from minigrad.names import Axis, AxisKeepdims, Keepdims, numpy_names, numpy_overloads
from minigrad.ops.indexing import gather
from minigrad.ops.reductions import amax, amin
from minigrad.ops.search import ValuesIndices, argsort, kth, median_of_all, sort
from minigrad.ops.shape import squeeze
from minigrad.recording import operand
from minigrad.tensor import Tensor, wrap


def msort(input: Any) -> Tensor:
    """x with its elements in ascending order along axis 0."""
    return sort(input, 0)[0]


class MinMax(NamedTuple):
    """What aminmax returns."""

    min: Tensor
    max: Tensor


def _line(name: str, a: Any, dim: Any) -> int:
    """The axis of `dim`, which has elements."""
    axis = axis_of(name, dim, a.ndim)
    if a.ndim and not a.shape[axis]:
        raise IndexError(f"{name}: axis {axis} of shape {a.shape} is empty")
    return axis


def _taken(x: Any, a: Any, index: Any, axis: int, keepdim: bool) -> ValuesIndices:
    """The elements at `index`, whose axis is kept; each gives its gradient to where it was."""
    if not a.ndim:
        return ValuesIndices(gather(x, 0, index.reshape(())), wrap(index.reshape(())))
    values, places = gather(x, axis, index), wrap(np.asarray(index, int64, order="C"))
    if keepdim:
        return ValuesIndices(values, places)
    return ValuesIndices(squeeze(values, axis), squeeze(places, axis))


@numpy_names
def kthvalue(
    input: Any, k: int, dim: int = -1, keepdim: bool = False, **names: Unpack[AxisKeepdims]
) -> ValuesIndices:
    """The k-th smallest element along `dim`, k from 1, and where it is."""
    a = operand("kthvalue", input)
    axis, k = _line("kthvalue", a, dim), integer("kthvalue", "k", k, None)
    if not 1 <= k <= (a.shape[axis] if a.ndim else 1):
        raise RuntimeError(f"kthvalue: k = {k} is out of range for axis {axis} of shape {a.shape}")
    index = kth(a, k, axis) if a.ndim else np.zeros((), int64)
    return _taken(input, a, index, axis, keepdim)


@numpy_names
def mode(
    input: Any, dim: int = -1, keepdim: bool = False, **names: Unpack[AxisKeepdims]
) -> ValuesIndices:
    """The most frequent value along `dim`, of those that are equally frequent the smallest, and
    where it stands last."""
    a = operand("mode", input)
    axis = _line("mode", a, dim)
    if not a.ndim:
        return _taken(input, a, np.zeros((), int64), axis, keepdim)
    order = argsort(wrap(a), axis).array
    rows = np.moveaxis(np.take_along_axis(a.real, order, axis), axis, -1)
    # In order, the length of the run of equal values that ends at each place.
    places = np.arange(rows.shape[-1])
    fresh = np.ones(rows.shape, bool)
    fresh[..., 1:] = rows[..., 1:] != rows[..., :-1]
    length = places - np.maximum.accumulate(np.where(fresh, places, 0), -1)
    last = np.moveaxis(length.argmax(-1)[..., None], -1, axis)
    return _taken(input, a, np.take_along_axis(order, last, axis), axis, keepdim)


@overload
def nanmedian(input: Any, dim: None = None) -> Tensor: ...
@overload
def nanmedian(
    input: Any, dim: int, keepdim: bool = False, **names: Unpack[Keepdims]
) -> ValuesIndices: ...
@overload
def nanmedian(
    input: Any, *, axis: int, keepdim: bool = False, **names: Unpack[Keepdims]
) -> ValuesIndices: ...
@numpy_overloads
def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of the elements that are not NaN; over one `dim` a pair (values,
    indices)."""
    a = operand("nanmedian", input)
    if dim is None:
        return median_of_all("nanmedian", input, a, _lower)
    axis = _line("nanmedian", a, dim)
    index = _lower(a, axis) if a.ndim else np.zeros((), int64)
    return _taken(input, a, index, axis, keepdim)


def _lower(a: Any, axis: int) -> Any:
    """The position of the lower median of the numbers along the axis, kept; NaN sort last."""
    count = (~np.isnan(a.real)).sum(axis, keepdims=True)
    return np.take_along_axis(argsort(wrap(a), axis).array, np.maximum(count - 1, 0) // 2, axis)


@numpy_names
def aminmax(
    input: Any, *, dim: int | None = None, keepdim: bool = False, **names: Unpack[AxisKeepdims]
) -> MinMax:
    """`amin` and `amax`, of all elements or along one `dim`."""
    a = operand("aminmax", input)
    axes: Any = tuple(range(a.ndim)) if dim is None else _line("aminmax", a, dim)
    if dim is None and not a.size:
        raise RuntimeError(f"aminmax: expected at least one element, got shape {a.shape}")
    return MinMax(amin(input, axes, keepdim), amax(input, axes, keepdim))


@numpy_names
def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None,
    **names: Unpack[Axis],
) -> Any:  # fmt: skip
    """The elements (or slices along `dim`) without those that repeat the one before; on request
    also which of them each element is, and how often each repeats."""
    name = "unique_consecutive"
    a = operand(name, input)
    axis = 0 if dim is None else axis_of(name, dim, a.ndim)
    rows = a.reshape(-1) if dim is None else np.moveaxis(a, axis, 0)
    fresh = np.ones(len(rows), bool)
    other = rows[1:] != rows[:-1]
    fresh[1:] = other if rows.ndim == 1 else other.any(tuple(range(1, rows.ndim)))
    kept = np.flatnonzero(fresh)
    out = wrap(np.ascontiguousarray(np.moveaxis(rows.take(kept, 0), 0, axis)))
    more = []
    if return_inverse:
        inverse = np.cumsum(fresh) - 1
        more.append(wrap(inverse.reshape(a.shape) if dim is None else inverse))
    if return_counts:
        more.append(wrap(np.diff(kept, append=len(rows))))
    return (out, *more) if more else out
