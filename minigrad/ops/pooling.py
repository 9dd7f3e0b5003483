"""Pooling over windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.checks import integer, integers
from minigrad.ops.joining import stack
from minigrad.ops.linear import matmul
from minigrad.ops.reductions import mean
from minigrad.ops.shape import flatten, squeeze, transpose, unflatten, unsqueeze
from minigrad.recording import floating_operand, needs_grad, record
from minigrad.tensor import Tensor, wrap


def _output_size(
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
    out_size = _output_size(name, x.shape[2:], size, step, padding, dilation, ceil_mode)
    a = x.array
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
    out_size = _output_size(name, x.shape[2:], size, step, padding, (1, 1), ceil_mode)
    a = x.array
    backend, shape = kernels.backend_for(a), a.shape
    settings = (size, step, padding, out_size, count_include_pad, divisor)
    y = backend.avg_pool2d(a, *settings)
    return record(name, y, (x,), lambda g: (backend.avg_pool2d_backward(g, shape, *settings),))


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


def _check_row(name: str, x: Tensor) -> None:
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
    floating_operand("adaptive_avg_pool2d", input)
    height, width = _cells("adaptive_avg_pool2d", input, output_size, 0)
    h, w = input.shape[-2:]
    if height == width == 1:
        return mean(input, (-2, -1), keepdim=True)
    if height and width and h % height == 0 and w % width == 0:
        return avg_pool2d(input, (h // height, w // width))
    # y = R·x·Cᵀ, where the rows of R and C average the cells of their axis
    rows, columns = _averages(h, height, input.dtype), _averages(w, width, input.dtype)
    return transpose(matmul(columns, transpose(matmul(rows, input), -1, -2)), -1, -2)


def _averages(n: int, cells: int, dtype: Any) -> Tensor:
    out = np.zeros((cells, n), dtype)
    for i in range(cells):
        start, end = i * n // cells, -(-(i + 1) * n // cells)
        out[i, start:end] = 1 / (end - start)
    return wrap(out)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over a grid of output_size cells, on request with their flat positions in the plane;
    see adaptive_avg_pool2d."""
    height, width = _cells("adaptive_max_pool2d", input, output_size, 1)
    h, w = input.shape[-2:]
    if h % height == 0 and w % width == 0:
        return max_pool2d(input, (h // height, w // width), return_indices=return_indices)
    peaks, places = [], []
    for i, j in np.ndindex(height, width):
        top, bottom = i * h // height, -(-(i + 1) * h // height)
        left, right = j * w // width, -(-(j + 1) * w // width)
        cell = flatten(input[..., top:bottom, left:right], -2)
        peak, place = cell.max(-1)
        peaks.append(peak)
        row, column = np.divmod(place.array, right - left)
        places.append(wrap((top + row) * w + left + column))
    y = unflatten(stack(peaks, -1), -1, (height, width))
    return (y, unflatten(stack(places, -1), -1, (height, width))) if return_indices else y
