"""Power-average pooling layers."""

from __future__ import annotations

from minigrad.checks import integers, number
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.nn.pooling import Ints
from minigrad.tensor import Tensor


class _LPPool(Module):
    """What they share.

    Args:
        norm_type: p.
        kernel_size: the window, an int or one for each axis; so is stride.
        stride: its step; the kernel size if not given.
        ceil_mode: let the last window reach over the edge.
    """

    axes: int

    def __init__(
        self,
        norm_type: float,
        kernel_size: Ints,
        stride: Ints | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if number(name, "norm_type", norm_type) == 0:
            raise ValueError(f"{name}: norm_type must not be 0")
        integers(name, "kernel_size", kernel_size, self.axes)
        if stride is not None:
            integers(name, "stride", stride, self.axes)
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """(Σ x^p)^(1/p) over each window of (N, C, L) or (C, L); see `F.lp_pool2d`."""

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        """The norms."""
        return F.lp_pool1d(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPool):
    """(Σ x^p)^(1/p) over each window of (N, C, H, W) or (C, H, W); see `F.lp_pool2d`."""

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        """The norms."""
        return F.lp_pool2d(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class LPPool3d(_LPPool):
    """(Σ x^p)^(1/p) over each window of (N, C, D, H, W) or (C, D, H, W); see `F.lp_pool2d`."""

    axes = 3

    def forward(self, input: Tensor) -> Tensor:
        """The norms."""
        return F.lp_pool3d(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)
