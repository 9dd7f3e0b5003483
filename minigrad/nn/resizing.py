"""Layers that resize planes, take them apart into windows and put them together."""

from __future__ import annotations

from typing import Any

from minigrad.checks import integer, integers, number, one_of
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.ops.resizing import MODES
from minigrad.tensor import Tensor

Ints = int | tuple[int, ...]


class Upsample(Module):
    """x (N, C, L), (N, C, H, W) or (N, C, D, H, W) resized to `size`, or by `scale_factor`.

    Args:
        size: the sizes of the output's spatial axes, or one for all.
        scale_factor: numbers that the input's sizes are multiplied with (and rounded down).
        mode: "nearest", "nearest-exact", or by the spatial axes "linear", "bilinear", "bicubic" or
            "trilinear", and "area", the means of cells.
        align_corners: the outermost elements keep their places; else the outermost edges do.
        recompute_scale_factor: go by the sizes, although scale_factor was given.
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        factors = scale_factor
        if isinstance(factors, tuple | list):
            factors = tuple(float(number("Upsample", "scale_factor", f)) for f in factors)
        elif factors is not None:
            factors = float(number("Upsample", "scale_factor", factors))
        self.scale_factor = factors
        self.mode = one_of("Upsample", "mode", mode, tuple(MODES))
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The resized x."""
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners,
            self.recompute_scale_factor,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        given = "size" if self.scale_factor is None else "scale_factor"
        return f"{given}={getattr(self, given)!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` of (N, C, H, W) to the nearest elements."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor)


class UpsamplingBilinear2d(Upsample):
    """Bilinear `Upsample` of (N, C, H, W) whose outermost elements keep their places."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class ChannelShuffle(Module):
    """x (N, C, …) with the channels of its groups dealt out: the first of each group, the second of
    each, and so on.

    Args:
        groups: how many groups the channels are in.

    Source: Zhang et al., ShuffleNet, 2018.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = integer("ChannelShuffle", "groups", groups)

    def forward(self, input: Tensor) -> Tensor:
        """x with its channels in another order."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """The argument."""
        return f"groups={self.groups}"


class PixelShuffle(Module):
    """x (…, C·r², H, W) as (…, C, H·r, W·r): each pixel's r² channels become a block of pixels.

    Args:
        upscale_factor: r.

    Source: Shi et al., Real-time single image and video super-resolution using an efficient
    sub-pixel convolutional neural network, 2016.
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = integer("PixelShuffle", "upscale_factor", upscale_factor)

    def forward(self, input: Tensor) -> Tensor:
        """x in larger planes."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The argument."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """x (…, C, H·r, W·r) as (…, C·r², H, W), the inverse of `PixelShuffle`.

    Args:
        downscale_factor: r.
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = integer("PixelUnshuffle", "downscale_factor", downscale_factor)

    def forward(self, input: Tensor) -> Tensor:
        """x in smaller planes."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The argument."""
        return f"downscale_factor={self.downscale_factor}"


class _Windows(Module):
    def __init__(self, kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints) -> None:
        super().__init__()
        name = type(self).__name__
        integers(name, "kernel_size", kernel_size, 2)
        integers(name, "dilation", dilation, 2)
        integers(name, "padding", padding, 2, 0)
        integers(name, "stride", stride, 2)
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Unfold(_Windows):
    """Each window of x (N, C, H, W) or (C, H, W) as a column: (N, C·KH·KW, L) or (C·KH·KW, L).

    Args:
        kernel_size: the window, an int or one for each axis; so are dilation, padding and stride.
        dilation: the distance between the elements of a window.
        padding: zeros added on both sides.
        stride: the step of the windows.
    """

    def __init__(
        self, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)

    def forward(self, input: Tensor) -> Tensor:
        """The columns."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(_Windows):
    """Columns (N, C·KH·KW, L) added where their windows lie in planes: (N, C, H, W).

    Args:
        output_size: H and W.
        kernel_size: the window, an int or one for each axis; so are dilation, padding and stride.
        dilation: the distance between the elements of a window.
        padding: what was added on both sides, and is cut off.
        stride: the step of the windows.
    """

    def __init__(
        self,
        output_size: Ints,
        kernel_size: Ints,
        dilation: Ints = 1,
        padding: Ints = 0,
        stride: Ints = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        integers("Fold", "output_size", output_size, 2)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """The planes; where windows overlap, their sum."""
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return f"output_size={self.output_size}, {super().extra_repr()}"
