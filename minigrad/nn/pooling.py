"""Pooling layers, and those that only change the shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.checks import integer, integers
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.ops.shape import flatten, unflatten
from minigrad.tensor import Tensor

Ints = int | tuple[int, ...]


class _Pool(Module):
    """The window: an int, or one for each spatial axis; stride is the kernel size if not given."""

    axes: int

    def __init__(self, kernel_size: Ints, stride: Ints | None, padding: Ints) -> None:
        super().__init__()
        name, n = type(self).__name__, self.axes
        kernel = integers(name, "kernel_size", kernel_size, n)
        if stride is not None:
            integers(name, "stride", stride, n)
        for k, p in zip(kernel, integers(name, "padding", padding, n, 0), strict=True):
            if 2 * p > k:
                raise ValueError(
                    f"{name}: padding must be at most half the kernel size, got padding={padding} "
                    f"with kernel_size={kernel_size}: a window could lie in the padding alone"
                )
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        integers(type(self).__name__, "dilation", dilation, self.axes)
        self.dilation, self.return_indices, self.ceil_mode = dilation, return_indices, ceil_mode

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest value in each window of (N, C, L) or (C, L).

    Args:
        kernel_size: the window.
        stride: its step; the kernel size if not given.
        padding: added on both sides, never chosen.
        dilation: the distance between the elements of a window.
        return_indices: return the positions as well.
        ceil_mode: let the last window reach over the edge.
    """

    axes = 1

    def forward(self, input: Tensor) -> Any:
        """The maxima; with return_indices, a pair of maxima and positions."""
        return F.max_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip


class MaxPool2d(_MaxPool):
    """The largest value in each window of (N, C, H, W) or (C, H, W).

    Args:
        kernel_size: the window, an int or one for each axis; so are stride, padding and dilation.
        stride: its step; the kernel size if not given.
        padding: added on both sides, never chosen.
        dilation: the distance between the elements of a window.
        return_indices: return the positions in the flattened plane as well.
        ceil_mode: let the last window reach over the edge.

    >>> nn.MaxPool2d(2)(mg.arange(16.0).reshape(1, 1, 4, 4))
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """

    axes = 2

    def forward(self, input: Tensor) -> Any:
        """The maxima; with return_indices, a pair of maxima and positions."""
        return F.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip


class MaxPool3d(_MaxPool):
    """The largest value in each window of (N, C, D, H, W) or (C, D, H, W); arguments as for
    `MaxPool2d`."""

    axes = 3

    def forward(self, input: Tensor) -> Any:
        """The maxima; with return_indices, a pair of maxima and positions."""
        return F.max_pool3d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip


class AvgPool1d(_Pool):
    """The mean of each window of (N, C, L) or (C, L).

    Args:
        kernel_size: the window.
        stride: its step; the kernel size if not given.
        padding: zeros added on both sides.
        ceil_mode: let the last window reach over the edge.
        count_include_pad: divide by the window's size, padding included.
    """

    axes = 1

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        # PyTorch keeps and prints these as tuples, unlike those of the other pools
        self.kernel_size = integers("AvgPool1d", "kernel_size", self.kernel_size, 1)
        self.stride = integers("AvgPool1d", "stride", self.stride, 1)
        self.padding = integers("AvgPool1d", "padding", self.padding, 1, 0)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        if divisor_override == 0:
            raise ValueError(f"{type(self).__name__}: divisor_override must not be 0")
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """The mean of each window of (N, C, H, W) or (C, H, W).

    Args:
        kernel_size: the window, an int or one for each axis; so are stride and padding.
        stride: its step; the kernel size if not given.
        padding: zeros added on both sides.
        ceil_mode: let the last window reach over the edge.
        count_include_pad: divide by the window's size, padding included.
        divisor_override: divide by this instead.
    """

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.avg_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip


class AvgPool3d(_AvgPool):
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W); arguments as for `AvgPool2d`."""

    axes = 3

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.avg_pool3d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip


class _AdaptivePool(Module):
    axes = 2

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        super().__init__()
        name, n = type(self).__name__, self.axes
        sizes = output_size if isinstance(output_size, tuple | list) else (output_size,) * n
        if len(sizes) != n:
            words = {1: "one size", 2: "one size or two", 3: "one size or three"}[n]
            raise ValueError(f"{name}: output_size must be {words}, got {output_size!r}")
        for size in sizes:
            if size is not None:
                integer(name, "output_size", size)
        self.output_size: Any = output_size

    def extra_repr(self) -> str:
        """The output size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptivePool):
    """Means over `output_size` cells of (N, C, L) or (C, L).

    Args:
        output_size: how many.
    """

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptivePool):
    """Means over a grid of `output_size` cells of (N, C, H, W) or (C, H, W).

    Args:
        output_size: rows and columns of the grid, or one int for both; None keeps the input's.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptivePool):
    """Means over a grid of `output_size` cells of (N, C, D, H, W) or (C, D, H, W).

    Args:
        output_size: the sizes of the grid, or one int for all; None keeps the input's.
    """

    axes = 3

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.adaptive_avg_pool3d(input, self.output_size)


class _AdaptiveMaxPool(_AdaptivePool):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima over `output_size` cells of (N, C, L) or (C, L).

    Args:
        output_size: how many.
        return_indices: return the positions as well.
    """

    axes = 1

    def forward(self, input: Tensor) -> Any:
        """The maxima; with return_indices, a pair of maxima and positions."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima over a grid of `output_size` cells of (N, C, H, W) or (C, H, W).

    Args:
        output_size: rows and columns of the grid, or one int for both; None keeps the input's.
        return_indices: return the positions in the flattened plane as well.
    """

    def forward(self, input: Tensor) -> Any:
        """The maxima; with return_indices, a pair of maxima and positions."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima over a grid of `output_size` cells of (N, C, D, H, W) or (C, D, H, W).

    Args:
        output_size: the sizes of the grid, or one int for all; None keeps the input's.
        return_indices: return the positions in the flattened volume as well.
    """

    axes = 3

    def forward(self, input: Tensor) -> Any:
        """The maxima; with return_indices, a pair of maxima and positions."""
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)


class Flatten(Module):
    """Merge the axes from start_dim to end_dim into one; by default all but the batch."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = integer("Flatten", "start_dim", start_dim, None)
        self.end_dim = integer("Flatten", "end_dim", end_dim, None)

    def forward(self, input: Tensor) -> Tensor:
        """x in its new shape."""
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split the axis `dim` into axes of sizes `unflattened_size`, one of which may be -1."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = integer("Unflatten", "dim", dim, None)
        if not isinstance(unflattened_size, tuple | list):
            raise TypeError(
                f"Unflatten: unflattened_size must be a tuple of sizes, got {unflattened_size!r}"
            )
        integers("Unflatten", "unflattened_size", unflattened_size, minimum=-1)
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """x in its new shape."""
        return unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
