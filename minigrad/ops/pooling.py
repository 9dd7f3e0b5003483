"""Pooling over windows."""

from __future__ import annotations

from typing import Any, cast

from minigrad import kernels
from minigrad.ops.conv import ints
from minigrad.ops.reductions import mean
from minigrad.ops.shape import squeeze, unsqueeze
from minigrad.recording import needs_grad, record
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
    if x.ndim not in (3, 4):
        raise RuntimeError(f"{name}: expected (N, C, H, W) or (C, H, W), got shape {x.shape}")


def max_pool2d(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest value in each window; with return_indices also its flat position in the plane."""
    # dL/dx = g added at the element that each window took
    name = "max_pool2d"
    _check(name, x)
    if x.ndim == 3:
        out = max_pool2d(
            unsqueeze(x, 0), kernel_size, stride, padding, dilation, ceil_mode, return_indices
        )
        return tuple(squeeze(o, 0) for o in out) if return_indices else squeeze(out, 0)
    size = ints(name, "kernel_size", kernel_size, 2, 1)
    step = size if stride is None or stride == [] else ints(name, "stride", stride, 2, 1)
    padding = ints(name, "padding", padding, 2, 0)
    dilation = ints(name, "dilation", dilation, 2, 1)
    out_size = _output_size(name, x.shape[2:], size, step, padding, dilation, ceil_mode)
    a = x.data
    kernel, shape = kernels.current(a), a.shape
    y, index = kernel.max_pool2d(a, size, step, padding, dilation, out_size)
    kept = index if needs_grad(x) else None
    out = record(name, y, (x,), lambda g: (kernel.max_pool2d_backward(g, kept, shape),))
    return (out, wrap(index)) if return_indices else out


def avg_pool2d(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window."""
    # dL/dx = g/(elements of the window), added over the windows that an element is in
    name = "avg_pool2d"
    _check(name, x)
    if x.ndim == 3:
        out = avg_pool2d(
            unsqueeze(x, 0), kernel_size, stride, padding, ceil_mode, count_include_pad,
            divisor_override,
        )  # fmt: skip
        return squeeze(out, 0)
    if divisor_override == 0:
        raise ValueError(f"{name}: divisor_override must not be zero")
    size = ints(name, "kernel_size", kernel_size, 2, 1)
    step = size if stride is None or stride == [] else ints(name, "stride", stride, 2, 1)
    padding = ints(name, "padding", padding, 2, 0)
    out_size = _output_size(name, x.shape[2:], size, step, padding, (1, 1), ceil_mode)
    a = x.data
    kernel, shape = kernels.current(a), a.shape
    settings = (size, step, padding, out_size, count_include_pad, divisor_override)
    y = kernel.avg_pool2d(a, *settings)
    return record(name, y, (x,), lambda g: (kernel.avg_pool2d_backward(g, shape, *settings),))


def max_pool1d(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """`max_pool2d` over (N, C, L) or (C, L), as one row."""
    _check_row("max_pool1d", x)
    out = max_pool2d(
        unsqueeze(x, -2), _row("max_pool1d", "kernel_size", kernel_size, 1),
        _row("max_pool1d", "stride", stride, 1), _row("max_pool1d", "padding", padding, 0),
        _row("max_pool1d", "dilation", dilation, 1), ceil_mode, return_indices,
    )  # fmt: skip
    return tuple(squeeze(o, -2) for o in out) if return_indices else squeeze(out, -2)


def avg_pool1d(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """`avg_pool2d` over (N, C, L) or (C, L), as one row."""
    _check_row("avg_pool1d", x)
    out = avg_pool2d(
        unsqueeze(x, -2), _row("avg_pool1d", "kernel_size", kernel_size, 1),
        _row("avg_pool1d", "stride", stride, 1), _row("avg_pool1d", "padding", padding, 0),
        ceil_mode, count_include_pad,
    )  # fmt: skip
    return squeeze(out, -2)


def _check_row(name: str, x: Tensor) -> None:
    if x.ndim not in (2, 3):
        raise RuntimeError(f"{name}: expected (N, C, L) or (C, L), got shape {x.shape}")


def _row(name: str, argument: str, value: Any, other: int) -> Any:
    return None if value is None else (other, *ints(name, argument, value, 1, other))


def adaptive_avg_pool2d(x: Tensor, output_size: Any) -> Tensor:
    """Means over a grid of output_size cells; cell i covers floor(i·H/OH) to ceil((i+1)·H/OH)."""
    from minigrad.ops.linear import matmul
    from minigrad.ops.shape import transpose

    name = "adaptive_avg_pool2d"
    _check(name, x)
    given = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    wanted = [n if o is None else o for o, n in zip(given, x.shape[-2:], strict=True)]
    height, width = ints(name, "output_size", wanted, 2, 0)
    h, w = x.shape[-2:]
    if height == width == 1:
        return mean(x, (-2, -1), keepdim=True)
    if height and width and h % height == 0 and w % width == 0:
        return avg_pool2d(x, (h // height, w // width))
    # y = R·x·Cᵀ, where the rows of R and C average the cells of their axis
    rows, columns = _averages(h, height, x.dtype), _averages(w, width, x.dtype)
    return transpose(matmul(columns, transpose(matmul(rows, x), -1, -2)), -1, -2)


def _averages(n: int, cells: int, dtype: Any) -> Tensor:
    import numpy as np

    out = np.zeros((cells, n), dtype)
    for i in range(cells):
        start, end = i * n // cells, -(-(i + 1) * n // cells)
        out[i, start:end] = 1 / (end - start)
    return wrap(out)


def adaptive_max_pool2d(x: Tensor, output_size: Any) -> Tensor:
    """Maxima over a grid of output_size cells; see adaptive_avg_pool2d."""
    from minigrad.ops.joining import stack

    name = "adaptive_max_pool2d"
    _check(name, x)
    given = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    wanted = [n if o is None else o for o, n in zip(given, x.shape[-2:], strict=True)]
    height, width = ints(name, "output_size", wanted, 2, 1)
    h, w = x.shape[-2:]
    if h % height == 0 and w % width == 0:
        return cast(Tensor, max_pool2d(x, (h // height, w // width)))

    def cell(i: int, n: int, cells: int) -> slice:
        return slice(i * n // cells, -(-(i + 1) * n // cells))

    grid = [
        stack([x[..., cell(i, h, height), cell(j, w, width)].flatten(-2).max(-1)[0]
               for j in range(width)], -1)
        for i in range(height)
    ]  # fmt: skip
    return stack(grid, -2)
