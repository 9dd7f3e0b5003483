"""Pooling over windows, and normalisation by means over channels."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.checks import integer, integers
from minigrad.incoming import as_array
from minigrad.kernels.reference.pool import axis_counts
from minigrad.ops.arithmetic import add, div, mul
from minigrad.ops.elementary import pow, square
from minigrad.ops.joining import pad
from minigrad.ops.large import resampled
from minigrad.ops.shape import reshape, squeeze, unsqueeze
from minigrad.recording import needs_grad, operand, record, record_each, require
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


def check_planes(name: str, x: Tensor) -> None:
    require(name, input=x)
    if x.dtype.kind == "b":
        raise RuntimeError(f"{name}: bool tensors are not supported: convert with .float()")
    if x.ndim not in (3, 4) or 0 in x.shape[-3:]:
        raise RuntimeError(
            f"{name}: expected (N, C, H, W) or (C, H, W), only N may be 0, got shape {x.shape}"
        )


def _steps(name: str, stride: Any, size: tuple[int, ...]) -> tuple[int, ...]:
    """The stride, which is the kernel size if it is not given."""
    return size if stride in (None, (), []) else integers(name, "stride", stride, len(size))


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
    check_planes(name, x)
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
    check_planes(name, x)
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
    axes = list(zip(shape[2:], out_size, size, step, padding, (1, divisor), strict=True))
    large = resampled(a, lambda m: {
        axis: _window_means(m, *each, count_include_pad, divisor and share)
        for axis, (*each, share) in enumerate(axes, 2)
    })  # fmt: skip
    if large is not None:
        return record_each(name, large[0], (x, large[1]))
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
    check_row("max_pool1d", input)
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
    check_row("avg_pool1d", input)
    out = _avg_pool(
        "avg_pool1d", unsqueeze(input, -2), _row("avg_pool1d", "kernel_size", kernel_size, 1),
        _row("avg_pool1d", "stride", stride, 1), _row("avg_pool1d", "padding", padding, 0),
        ceil_mode, count_include_pad, None,
    )  # fmt: skip
    return squeeze(out, -2)


def check_row(name: str, x: Tensor) -> None:
    require(name, input=x)
    if x.ndim not in (2, 3):
        raise RuntimeError(f"{name}: expected (N, C, L) or (C, L), got shape {x.shape}")


def _row(name: str, argument: str, value: Any, other: int) -> Any:
    if value in (None, (), []):
        return None
    return (other, *integers(name, argument, value, 1, other))


@lru_cache(32)
def _window_means(matrix: Any, n: int, m: int, k: int, s: int, p: int, *counting: Any) -> Any:
    """The means of m windows along an axis, with the numbers of elements of `divisors`; under an
    override, whose share for this axis is the second of `counting`, their sums by that."""
    count_include_pad, divisor = counting
    number = axis_counts(n, k, s, p, m, count_include_pad)
    start = np.arange(m) * s - p
    first, end = np.maximum(start, 0), np.minimum(start + k, n)
    weights = 1 / np.maximum(number, 1) if divisor is None else np.full(m, 1 / divisor)
    return sums_of(matrix, n, first, np.maximum(end, first), weights)


def sums_of(matrix: Any, n: int, start: Any, end: Any, weights: Any) -> Any:
    """The matrix of sums from start to end of n elements, by weights."""
    sizes = end - start
    to = np.repeat(np.arange(len(sizes)), sizes)
    of = np.arange(len(to)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + start[to]
    return matrix(len(sizes), n, to, of, weights[to])


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


def _unpooled_size(
    name: str, shape: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any,
    output_size: Any,
) -> tuple[int, ...]:  # fmt: skip
    """The sizes that were pooled to `shape`; those given, if they may be."""
    axes = len(shape)
    kernel = integers(name, "kernel_size", kernel_size, axes)
    step = _steps(name, stride, kernel)
    around = integers(name, "padding", padding, axes, 0)
    sizes = zip(shape, kernel, step, around, strict=True)
    size = tuple((n - 1) * s - 2 * p + k for n, k, s, p in sizes)
    if output_size is None:
        return size
    given = tuple(output_size)[-axes:]
    if len(output_size) not in (axes, axes + 2) or not all(
        d - s < n < d + s for n, d, s in zip(given, size, step, strict=True)
    ):
        raise ValueError(
            f"{name}: output_size must be {axes} sizes, each less than a stride {step} from "
            f"{size}, got {tuple(output_size)}"
        )
    return integers(name, "output_size", given, axes)


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
    size = _unpooled_size(name, x.shape[-axes:], kernel_size, stride, padding, output_size)
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
