"""Pooling over a grid of cells whose number is given, and not their size."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.checks import integers
from minigrad.ops.large import FROM, resampled
from minigrad.ops.pooling import avg_pool2d, check_planes, check_row, max_pool2d, sums_of
from minigrad.ops.reductions import mean
from minigrad.ops.shape import squeeze, unsqueeze
from minigrad.recording import floating_operand, operand, record, record_each
from minigrad.tensor import Tensor, wrap


def _cells(name: str, x: Tensor, output_size: Any, least: int) -> tuple[int, ...]:
    """Rows and columns of the grid; None keeps the input's."""
    check_planes(name, x)
    given = output_size if isinstance(output_size, tuple | list) else (output_size,) * 2
    if len(given) != 2:
        raise ValueError(f"{name}: output_size must be one size or two, got {output_size!r}")
    wanted = [n if o is None else o for o, n in zip(given, x.shape[-2:], strict=True)]
    return integers(name, "output_size", wanted, 2, least)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means over a grid of output_size cells; cell i covers floor(i·H/OH) to ceil((i+1)·H/OH)."""
    # y = the sum over a cell's rows and columns, divided by their number
    # dL/dx = Σ g/number over the cells that an element is in: those are neighbours, too
    name = "adaptive_avg_pool2d"
    height, width = _cells(name, input, output_size, 0)
    a = floating_operand(name, input)
    h, w = shape = a.shape[-2:]
    if height == width == 1:
        return mean(input, (-2, -1), keepdim=True)
    dtype, acc, whole = a.dtype, np.result_type(a.dtype, np.float64), a.shape
    if not (height and width):
        none = np.zeros((*whole[:-2], height, width), dtype)
        return record(name, none, (input,), lambda g: (np.zeros(whole, dtype),))
    grid = zip((-2, -1), shape, (height, width), strict=True)
    large = resampled(a, lambda m: {a.ndim + axis: _cell_means(m, n, k) for axis, n, k in grid})
    if large is not None:
        return record_each(name, large[0], (input, large[1]))
    if h % height == 0 and w % width == 0:
        return avg_pool2d(input, (h // height, w // width))
    cells = [_cell_ranges(n, k) for n, k in zip(shape, (height, width), strict=True)]
    sizes = np.outer(*(end - start for start, end in cells))
    y = _sums(_sums(a, -2, *cells[0], acc), -1, *cells[1], acc) / sizes

    def vjp(g: Any) -> Any:
        each = g / sizes
        for axis, n, (start, end) in zip((-2, -1), shape, cells, strict=True):
            at = np.arange(n)
            first, behind = (np.searchsorted(bound, at, "right") for bound in (end, start))
            each = _sums(each, axis, first, behind, acc)
        return (each.astype(dtype),)

    return record(name, y.astype(dtype), (input,), vjp)


def _cell_ranges(n: int, cells: int) -> tuple[Any, Any]:
    """Where each of the cells along an axis of n elements starts, and ends."""
    i = np.arange(cells)
    return i * n // cells, -(-(i + 1) * n // cells)


@lru_cache(32)
def _cell_means(matrix: Any, n: int, cells: int) -> Any:
    start, end = _cell_ranges(n, cells)
    return sums_of(matrix, n, start, end, 1 / (end - start))


def _sums(a: Any, axis: int, start: Any, end: Any, acc: Any) -> Any:
    """The sums of a[start[i]:end[i]] along the axis, which may overlap. (A product with a matrix of
    zeros and ones would be shorter, and spread a NaN to all of them.)"""
    more = np.concatenate((a, np.zeros_like(np.take(a, [0], axis))), axis)  # an end may be n
    sums = np.add.reduceat(more, np.stack((start, end), 1).ravel(), axis, acc)
    return np.take(sums, np.arange(0, 2 * len(start), 2), axis)  # without what is in between


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """`adaptive_avg_pool2d` over (N, C, L) or (C, L), as one row."""
    name = "adaptive_avg_pool1d"
    check_row(name, input)
    if 0 in input.shape[-2:]:
        raise RuntimeError(f"{name}: only N may be 0, got shape {input.shape}")
    (size,) = integers(name, "output_size", output_size, 1, 0)
    return squeeze(adaptive_avg_pool2d(unsqueeze(input, -2), (1, size)), -2)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over a grid of output_size cells, on request with their flat positions in the plane;
    see adaptive_avg_pool2d."""
    name = "adaptive_max_pool2d"
    height, width = _cells(name, input, output_size, 1)
    h, w = input.shape[-2:]
    if h % height == 0 and w % width == 0 and _loops(input.array) is None:
        return max_pool2d(input, (h // height, w // width), return_indices=return_indices)
    out = adaptive_max(name, input, (height, width))
    return out if return_indices else out[0]


def _loops(a: Any) -> Any:
    return kernels.for_large("cells", a) if a.size >= FROM else None


def adaptive_max(name: str, x: Tensor, cells: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Maxima over a grid of cells on the last axes, and their flat positions there."""
    # dL/dx = g added at the element that each cell took
    a = operand(name, x)
    lead, volume = a.shape[: -len(cells)], a.shape[-len(cells) :]
    loops = _loops(a) if len(cells) == 2 else None
    if loops is not None:
        y, index = loops.largest(
            a, *(np.stack(_cell_ranges(n, k)) for n, k in zip(volume, cells, strict=True))
        )
    else:
        y, index = _peaks(a, cells)
    backend, shape, planes = kernels.backend_for(a), a.shape, math.prod(lead)

    def vjp(g: Any) -> Any:
        each, places = (v.reshape(planes, 1, 1, math.prod(cells)) for v in (g, index))
        whole = (planes, 1, 1, math.prod(volume))
        return (backend.max_pool2d_backward(each, places, whole).reshape(shape),)

    return record(name, y, (x,), vjp), wrap(np.ascontiguousarray(index))


def _peaks(a: Any, cells: tuple[int, ...]) -> tuple[Any, Any]:
    """The formula: the maxima of cells along one axis after the other, and where they were."""
    y: Any = a
    volume = a.shape[-len(cells) :]
    index = np.broadcast_to(np.arange(math.prod(volume)).reshape(volume), a.shape)
    for axis in range(-1, -1 - len(cells), -1):  # one axis after the other keeps the order of ties
        taken = []
        for start, end in zip(*_cell_ranges(a.shape[axis], cells[axis]), strict=True):
            cell = np.take(y.real, np.arange(start, end), axis)
            nan = np.isnan(cell)  # the last one wins, as in max_pool2d
            last = end - 1 - np.flip(nan, axis).argmax(axis)
            taken.append(np.where(nan.any(axis), last, start + cell.argmax(axis)))
        place = np.stack(taken, axis)
        y, index = (np.take_along_axis(v, place, axis) for v in (y, index))
    return y, index


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """`adaptive_max_pool2d` over (N, C, L) or (C, L), as one row."""
    name = "adaptive_max_pool1d"
    check_row(name, input)
    if 0 in input.shape[-2:]:
        raise RuntimeError(f"{name}: only N may be 0, got shape {input.shape}")
    (size,) = integers(name, "output_size", output_size, 1)
    y, index = adaptive_max_pool2d(unsqueeze(input, -2), (1, size), True)
    return (squeeze(y, -2), squeeze(index, -2)) if return_indices else squeeze(y, -2)
