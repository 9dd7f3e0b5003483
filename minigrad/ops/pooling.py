"""Pooling over windows, and normalisation by means over channels."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.checks import integer, integers
from minigrad.incoming import as_array
from minigrad.ops.arithmetic import add, div, mul
from minigrad.ops.elementary import pow, square
from minigrad.ops.joining import pad
from minigrad.ops.large import resampled
from minigrad.ops.reductions import mean
from minigrad.ops.shape import reshape, squeeze, unsqueeze
from minigrad.recording import floating_operand, needs_grad, operand, record, record_each, require
from minigrad.tensor import Tensor, wrap


def windows_per_axis(
    name: str, size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[int, ...]:
    """Windows per axis; with ceil_mode one may overhang the end but must start inside."""
    out = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        if 2 * p > k:
            raise RuntimeError(f"{name}: padding {padding} is larger than half the kernel {kernel}")
        room = n + 2 * p - d * (k - 1) - 1
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        if count < 1:
            raise RuntimeError(
                f"{name}: the kernel {kernel} (dilation {dilation}) is larger than the input "
                f"{tuple(size)} with padding {padding}"
            )
        out.append(count)
    return tuple(out)


def _check(name: str, x: Tensor) -> None:
    require(name, input=x)
    if x.dtype.kind == "b":
        raise RuntimeError(f"{name}: bool tensors are not supported: convert with .float()")
    if x.ndim not in (3, 4) or 0 in x.shape[-3:]:
        raise RuntimeError(
            f"{name}: expected (N, C, H, W) or (C, H, W), only N may be 0, got shape {x.shape}"
        )


def _steps(name: str, stride: Any, size: tuple[int, ...]) -> tuple[int, ...]:
    """The stride, which is the kernel size if it is not given."""
    return size if stride in (None, (), []) else integers(name, "stride", stride, 2)


def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest value in each window; with return_indices also its flat position in the plane."""
    out = _max_pool("max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode)
    return out if return_indices else out[0]


def _max_pool(
    name: str, x: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
    ceil_mode: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    # dL/dx = g added at the element that each window took
    _check(name, x)
    if x.ndim == 3:
        y, i = _max_pool(name, unsqueeze(x, 0), kernel_size, stride, padding, dilation, ceil_mode)
        return squeeze(y, 0), squeeze(i, 0)
    size = integers(name, "kernel_size", kernel_size, 2)
    step, padding = _steps(name, stride, size), integers(name, "padding", padding, 2, 0)
    dilation = integers(name, "dilation", dilation, 2)
    out_size = windows_per_axis(name, x.shape[2:], size, step, padding, dilation, ceil_mode)
    a = operand(name, x)
    backend, shape = kernels.backend_for(a), a.shape
    peaks, index = backend.max_pool2d(a, size, step, padding, dilation, out_size)
    kept = index if needs_grad(x) else None
    out = record(name, peaks, (x,), lambda g: (backend.max_pool2d_backward(g, kept, shape),))
    return out, wrap(index)


def avg_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window."""
    counting = (count_include_pad, divisor_override)
    return _avg_pool("avg_pool2d", input, kernel_size, stride, padding, ceil_mode, *counting)


def _avg_pool(
    name: str, x: Tensor, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
    *counting: Any,
) -> Tensor:  # fmt: skip
    # dL/dx = g/(elements of the window), added over the windows that an element is in
    _check(name, x)
    if x.ndim == 3:
        out = _avg_pool(name, unsqueeze(x, 0), kernel_size, stride, padding, ceil_mode, *counting)
        return squeeze(out, 0)
    count_include_pad, divisor = counting
    if divisor is not None and (divisor := integer(name, "divisor_override", divisor, None)) == 0:
        raise ValueError(f"{name}: divisor_override must not be zero")
    size = integers(name, "kernel_size", kernel_size, 2)
    step, padding = _steps(name, stride, size), integers(name, "padding", padding, 2, 0)
    out_size = windows_per_axis(name, x.shape[2:], size, step, padding, (1, 1), ceil_mode)
    a = operand(name, x)
    backend, shape = kernels.backend_for(a), a.shape
    settings = (size, step, padding, out_size, count_include_pad, divisor)
    y = backend.avg_pool2d(a, *settings)
    return record(name, y, (x,), lambda g: (backend.avg_pool2d_backward(g, shape, *settings),))


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha·mean of x² over `size` neighbouring channels)^beta, for x (N, C, …).

    Source: Krizhevsky et al., ImageNet classification with deep convolutional neural networks,
    2012, section 3.3, whose alpha is this one / size.
    """
    name = "local_response_norm"
    require(name, input=input)
    size = integer(name, "size", size)
    if input.ndim < 3:
        raise ValueError(
            f"{name}: expected an input (N, C, …) of 3 axes or more, got {input.shape}"
        )
    if 0 in input.shape:
        return mul(input, 1)
    n, c, *_ = input.shape
    squares = pad(reshape(square(input), n, 1, c, -1), (0, 0, size // 2, (size - 1) // 2))
    means = reshape(avg_pool2d(squares, (size, 1), stride=1), *input.shape)
    return div(input, pow(add(mul(means, alpha), k), beta))


def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """`max_pool2d` over (N, C, L) or (C, L), as one row."""
    _check_row("max_pool1d", input)
    y, index = _max_pool(
        "max_pool1d", unsqueeze(input, -2), _row("max_pool1d", "kernel_size", kernel_size, 1),
        _row("max_pool1d", "stride", stride, 1), _row("max_pool1d", "padding", padding, 0),
        _row("max_pool1d", "dilation", dilation, 1), ceil_mode,
    )  # fmt: skip
    return (squeeze(y, -2), squeeze(index, -2)) if return_indices else squeeze(y, -2)


def avg_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """`avg_pool2d` over (N, C, L) or (C, L), as one row."""
    _check_row("avg_pool1d", input)
    out = _avg_pool(
        "avg_pool1d", unsqueeze(input, -2), _row("avg_pool1d", "kernel_size", kernel_size, 1),
        _row("avg_pool1d", "stride", stride, 1), _row("avg_pool1d", "padding", padding, 0),
        ceil_mode, count_include_pad, None,
    )  # fmt: skip
    return squeeze(out, -2)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """`adaptive_avg_pool2d` over (N, C, L) or (C, L), as one row."""
    name = "adaptive_avg_pool1d"
    _check_row(name, input)
    if 0 in input.shape[-2:]:
        raise RuntimeError(f"{name}: only N may be 0, got shape {input.shape}")
    (size,) = integers(name, "output_size", output_size, 1, 0)
    return squeeze(adaptive_avg_pool2d(unsqueeze(input, -2), (1, size)), -2)


def _check_row(name: str, x: Tensor) -> None:
    require(name, input=x)
    if x.ndim not in (2, 3):
        raise RuntimeError(f"{name}: expected (N, C, L) or (C, L), got shape {x.shape}")


def _row(name: str, argument: str, value: Any, other: int) -> Any:
    if value in (None, (), []):
        return None
    return (other, *integers(name, argument, value, 1, other))


def _cells(name: str, x: Tensor, output_size: Any, least: int) -> tuple[int, ...]:
    """Rows and columns of the grid; None keeps the input's."""
    _check(name, x)
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
    if h % height == 0 and w % width == 0:
        return avg_pool2d(input, (h // height, w // width))
    grid = zip((-2, -1), shape, (height, width), strict=True)
    large = resampled(a, lambda m: {a.ndim + axis: _cell_means(m, n, k) for axis, n, k in grid})
    if large is not None:
        return record_each(name, large[0], (input, large[1]))
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
    sizes = end - start
    to = np.repeat(np.arange(cells), sizes)
    of = np.arange(len(to)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + start[to]
    return matrix(cells, n, to, of, 1 / sizes[to])


def _sums(a: Any, axis: int, start: Any, end: Any, acc: Any) -> Any:
    """The sums of a[start[i]:end[i]] along the axis, which may overlap. (A product with a matrix of
    zeros and ones would be shorter, and spread a NaN to all of them.)"""
    more = np.concatenate((a, np.zeros_like(np.take(a, [0], axis))), axis)  # an end may be n
    sums = np.add.reduceat(more, np.stack((start, end), 1).ravel(), axis, acc)
    return np.take(sums, np.arange(0, 2 * len(start), 2), axis)  # without what is in between


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over a grid of output_size cells, on request with their flat positions in the plane;
    see adaptive_avg_pool2d."""
    name = "adaptive_max_pool2d"
    height, width = _cells(name, input, output_size, 1)
    h, w = input.shape[-2:]
    if h % height == 0 and w % width == 0:
        return max_pool2d(input, (h // height, w // width), return_indices=return_indices)
    out = adaptive_max(name, input, (height, width))
    return out if return_indices else out[0]


def adaptive_max(name: str, x: Tensor, cells: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Maxima over a grid of cells on the last axes, and their flat positions there."""
    # dL/dx = g added at the element that each cell took
    a = operand(name, x)
    y: Any = a
    lead, volume = a.shape[: -len(cells)], a.shape[-len(cells) :]
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
    backend, shape, planes = kernels.backend_for(a), a.shape, math.prod(lead)

    def vjp(g: Any) -> Any:
        each, places = (v.reshape(planes, 1, 1, math.prod(cells)) for v in (g, index))
        whole = (planes, 1, 1, math.prod(volume))
        return (backend.max_pool2d_backward(each, places, whole).reshape(shape),)

    return record(name, y, (x,), vjp), wrap(np.ascontiguousarray(index))


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """`adaptive_max_pool2d` over (N, C, L) or (C, L), as one row."""
    name = "adaptive_max_pool1d"
    _check_row(name, input)
    if 0 in input.shape[-2:]:
        raise RuntimeError(f"{name}: only N may be 0, got shape {input.shape}")
    (size,) = integers(name, "output_size", output_size, 1)
    y, index = adaptive_max_pool2d(unsqueeze(input, -2), (1, size), True)
    return (squeeze(y, -2), squeeze(index, -2)) if return_indices else squeeze(y, -2)


def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:  # fmt: skip
    """`max_unpool2d` over (N, C, L) or (C, L)."""
    return _max_unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:  # fmt: skip
    """Maxima at the places that max_pool2d took them from, of (N, C, H, W) or (C, H, W), and zeros
    elsewhere.

    OH = (H - 1)·stride - 2·padding + kernel_size, OW alike, unless output_size says which of the
    sizes that are pooled to H and W it was.
    """
    return _max_unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:  # fmt: skip
    """`max_unpool2d` over (N, C, D, H, W) or (C, D, H, W)."""
    return _max_unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


def _max_unpool(
    name: str, axes: int, x: Tensor, indices: Any, kernel_size: Any, stride: Any, padding: Any,
    output_size: Any,
) -> Tensor:  # fmt: skip
    # y[index] = x, 0 elsewhere        dL/dx = g[index]
    require(name, input=x, indices=indices)
    if x.ndim not in (axes + 1, axes + 2) or 0 in x.shape[-1 - axes :]:
        raise RuntimeError(
            f"{name}: expected (N, C, …) or (C, …) with {axes} axes more, only N may be 0, got "
            f"shape {x.shape}"
        )
    i = as_array(indices)
    if i.shape != x.shape or i.dtype != np.int64:
        raise RuntimeError(
            f"{name}: expected int64 indices of the input's shape {x.shape}, got {i.dtype} of "
            f"shape {i.shape}: they are what max_pool{axes}d(…, return_indices=True) returns"
        )
    kernel = integers(name, "kernel_size", kernel_size, axes)
    step = kernel if stride in (None, (), []) else integers(name, "stride", stride, axes)
    around = integers(name, "padding", padding, axes, 0)
    sizes = zip(x.shape[-axes:], kernel, step, around, strict=True)
    size = tuple((n - 1) * s - 2 * p + k for n, k, s, p in sizes)
    if output_size is not None:
        given = tuple(output_size)[-axes:]
        fits = len(output_size) in (axes, axes + 2) and all(
            d - s < n < d + s for n, d, s in zip(given, size, step, strict=True)
        )
        if not fits:
            raise ValueError(
                f"{name}: output_size must be {axes} sizes, each less than a stride {step} from "
                f"{size}, got {tuple(output_size)}"
            )
        size = integers(name, "output_size", given, axes)
    volume = math.prod(size)
    if min(size) < 1 or (i.size and not 0 <= i.min() <= i.max() < volume):
        found = f"from {i.min()} to {i.max()}" if i.size else "without elements"
        raise RuntimeError(
            f"{name}: indices {found} do not fit an output of size {size}: pass the output_size "
            "that was pooled"
        )
    a = operand(name, x)
    shape, lead = a.shape, a.shape[:-axes]
    places = i.reshape(*lead, math.prod(shape[-axes:]))
    y = np.zeros((*lead, volume), a.dtype)
    np.put_along_axis(y, places, a.reshape(places.shape), -1)

    def vjp(g: Any) -> Any:
        rows = g.reshape(*lead, volume)
        return (np.take_along_axis(rows, places, -1).reshape(shape),)

    return record(name, y.reshape(*lead, *size), (x,), vjp)
