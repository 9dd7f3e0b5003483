"""Max pooling taken back: maxima at their places again, and zeros elsewhere."""

from __future__ import annotations

from typing import Any

from minigrad.checks import integers
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.nn.pooling import Ints
from minigrad.tensor import Tensor


class _MaxUnpool(Module):
    """The window that was pooled, as for the pool."""

    axes: int

    def __init__(self, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0) -> None:
        super().__init__()
        name, n = type(self).__name__, self.axes
        self.kernel_size = integers(name, "kernel_size", kernel_size, n)
        self.stride = self.kernel_size if stride is None else integers(name, "stride", stride, n)
        self.padding = integers(name, "padding", padding, n, 0)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """What `MaxPool1d(…, return_indices=True)` took, back in its places, zeros elsewhere."""

    axes = 1

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """See `functional.max_unpool1d`."""
        return F.max_unpool1d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool2d(_MaxUnpool):
    """What `MaxPool2d(…, return_indices=True)` took, back in its places, zeros elsewhere.

    >>> y, places = nn.MaxPool2d(2, return_indices=True)(mg.arange(4.0).reshape(1, 2, 2))
    >>> nn.MaxUnpool2d(2)(y, places)
    tensor([[[0., 0.],
             [0., 3.]]])
    """

    axes = 2

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """See `functional.max_unpool2d`."""
        return F.max_unpool2d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool3d(_MaxUnpool):
    """What `MaxPool3d(…, return_indices=True)` took, back in its places, zeros elsewhere."""

    axes = 3

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """See `functional.max_unpool3d`."""
        return F.max_unpool3d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )
