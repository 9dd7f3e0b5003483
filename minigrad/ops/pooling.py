"""Pooling over windows, and normalisation by means over channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.checks import integer, integers
from minigrad.ops.arithmetic import add, div, mul
from minigrad.ops.elementary import pow, square
from minigrad.ops.joining import pad
from minigrad.ops.reductions import mean
from minigrad.ops.shape import reshape, squeeze, unsqueeze
from minigrad.recording import floating_operand, needs_grad, operand, record, require
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
    a = operand(name, input)
    h, w = a.shape[-2:]
    if h % height == 0 and w % width == 0:
        return max_pool2d(input, (h // height, w // width), return_indices=return_indices)
    rows, columns = _cell_ranges(h, height), _cell_ranges(w, width)
    index = np.empty((*a.shape[:-2], height, width), np.int64)
    for i, top, bottom in zip(range(height), *rows, strict=True):
        for j, left, right in zip(range(width), *columns, strict=True):
            cell = a.real[..., top:bottom, left:right]
            cell = cell.reshape(*a.shape[:-2], (bottom - top) * (right - left))
            nan = np.isnan(cell)  # the last one wins, as in max_pool2d
            place = np.where(nan.any(-1), nan.shape[-1] - 1 - nan[..., ::-1].argmax(-1),
                             cell.argmax(-1))  # fmt: skip
            row, column = np.divmod(place, right - left)
            index[..., i, j] = (top + row) * w + left + column
    flat = index.reshape(*a.shape[:-2], height * width)
    y = np.take_along_axis(a.reshape(*a.shape[:-2], h * w), flat, -1).reshape(index.shape)
    backend, shape, planes = kernels.backend_for(a), a.shape, flat.size // flat.shape[-1]

    def vjp(g: Any) -> Any:
        each, places = (v.reshape(planes, 1, height, width) for v in (g, index))
        return (backend.max_pool2d_backward(each, places, (planes, 1, h, w)).reshape(shape),)

    out = record(name, y, (input,), vjp)
    return (out, wrap(index)) if return_indices else out
