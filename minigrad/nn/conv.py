"""Convolution layers."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from minigrad.checks import floating, integer, integers, one_of
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter
from minigrad.tensor import Tensor, wrap

Ints = int | tuple[int, ...]


class ConvBase(Module):
    """What the convolutions share: arguments, parameters and their text."""

    axes: int  # how many spatial axes
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints,
        padding: Ints | str,
        dilation: Ints,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
        output_padding: Ints = 0,
    ) -> None:
        super().__init__()
        name, n = type(self).__name__, self.axes
        self.in_channels = integer(name, "in_channels", in_channels)
        self.out_channels = integer(name, "out_channels", out_channels)
        self.kernel_size = integers(name, "kernel_size", kernel_size, n)
        self.stride = integers(name, "stride", stride, n)
        self.padding = self._padding(name, padding)
        self.dilation = integers(name, "dilation", dilation, n)
        self.output_padding = integers(name, "output_padding", output_padding, n, 0)
        self.groups = integer(name, "groups", groups)
        for argument in ("in_channels", "out_channels"):
            if (channels := getattr(self, argument)) % self.groups:
                raise ValueError(
                    f"{name}: {argument}={channels} does not divide into groups={groups}"
                )
        modes = ("zeros",) if self.transposed else ("zeros", "reflect", "replicate", "circular")
        self.padding_mode = one_of(name, "padding_mode", padding_mode, modes)
        kind = floating(name, dtype, device)
        outer, inner = self.out_channels, self.in_channels // self.groups
        if self.transposed:
            outer, inner = self.in_channels, self.out_channels // self.groups
        self.weight = Parameter(wrap(np.empty((outer, inner, *self.kernel_size), kind)))
        self.bias: Parameter  # None where the layer was made without
        self.register_parameter(
            "bias", Parameter(wrap(np.empty(self.out_channels, kind))) if bias else None
        )
        self.reset_parameters()

    def _padding(self, name: str, padding: Ints | str) -> tuple[int, ...] | str:
        if not isinstance(padding, str):
            return integers(name, "padding", padding, self.axes, 0)
        if padding not in ("same", "valid") or self.transposed:
            words = "" if self.transposed else "'same', 'valid' or "
            raise ValueError(f"{name}: padding must be {words}integers, got {padding!r}")
        if padding == "same" and set(self.stride) != {1}:
            raise ValueError(f"{name}: padding='same' needs stride 1, got stride={self.stride}")
        return padding

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.default_(self.weight, self.bias)

    def extra_repr(self) -> str:
        """The arguments, those at their defaults left out."""
        n = self.axes
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0,) * n:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * n:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * n:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        text += ", bias=False" if self.bias is None else ""
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


class _PlainConv(ConvBase):
    """What the convolutions that are not transposed share."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | str = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def _padded(self, x: Tensor) -> tuple[Tensor, Any]:
        """The input, padded here unless with zeros, and the padding left for the convolution."""
        if self.padding_mode == "zeros" or self.padding == "valid":
            return x, self.padding
        amounts: list[int] = []
        for i in reversed(range(self.axes)):  # F.pad starts from the last axis
            total = self.dilation[i] * (self.kernel_size[i] - 1)
            before = total // 2 if self.padding == "same" else int(self.padding[i])
            amounts += [before, total - before if self.padding == "same" else before]
        return F.pad(x, amounts, mode=self.padding_mode), 0


class Conv1d(_PlainConv):
    """Convolve (N, C, L) or (C, L); arguments as for `Conv2d`."""

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        """The convolution, (N, O, OL) or (O, OL)."""
        x, padding = self._padded(input)
        return F.conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_PlainConv):
    """Convolve (N, C, H, W) or (C, H, W).

    Args:
        in_channels: C, the channels of the input.
        out_channels: O, the channels of the output.
        kernel_size: an int, or one for each spatial axis; so are stride, padding and dilation.
        stride: the step of the kernel.
        padding: what is added on both sides, "same" (stride 1 only) or "valid" (none).
        dilation: the distance between the kernel's taps.
        groups: split the channels into this many groups that do not see one another.
        bias: learn an offset per output channel.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: the CPU, the only one there is.
        dtype: of the parameters; float32 by default.

    `weight` (O, C/groups, *kernel_size) and `bias` start uniform on ±1/√fan_in.

    >>> layer = nn.Conv2d(3, 16, kernel_size=3, padding=1)
    >>> layer(mg.zeros(8, 3, 32, 32)).shape, layer.weight.shape
    ((8, 16, 32, 32), (16, 3, 3, 3))
    """

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        """The convolution, (N, O, OH, OW) or (O, OH, OW)."""
        x, padding = self._padded(input)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv3d(_PlainConv):
    """Convolve (N, C, D, H, W) or (C, D, H, W); arguments as for `Conv2d`."""

    axes = 3

    def forward(self, input: Tensor) -> Tensor:
        """The convolution, (N, O, OD, OH, OW) or (O, OD, OH, OW)."""
        x, padding = self._padded(input)
        return F.conv3d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _ConvTranspose(ConvBase):
    """What the transposed convolutions share."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype, output_padding,
        )  # fmt: skip

    def _convolved(self, function: Any, x: Tensor, output_size: Any) -> Any:
        extra = self.output_padding if output_size is None else self._extra(x, output_size)
        settings = (self.stride, self.padding, extra, self.groups, self.dilation)
        return function(x, self.weight, self.bias, *settings)

    def _extra(self, x: Tensor, output_size: Any) -> tuple[int, ...]:
        """The output_padding that leads to this size."""
        name, n = type(self).__name__, self.axes
        sizes = integers(name, "output_size", output_size)
        padding = integers(name, "padding", self.padding, n, 0)
        settings = zip(
            x.shape[-n:], self.stride, padding, self.dilation, self.kernel_size, strict=True
        )
        least = [(size - 1) * s - 2 * p + d * (k - 1) + 1 for size, s, p, d, k in settings]
        if len(sizes) not in (n, x.ndim):
            raise ValueError(
                f"{name}: output_size must have {n} or {x.ndim} sizes, got {output_size!r}"
            )
        extra = tuple(size - low for size, low in zip(sizes[-n:], least, strict=True))
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            most = [low + s - 1 for low, s in zip(least, self.stride, strict=True)]
            raise ValueError(
                f"{name}: output_size must be from {least} to {most} for an input of shape "
                f"{x.shape}, got {sizes}"
            )
        return extra


class ConvTranspose1d(_ConvTranspose):
    """The transpose of `Conv1d`, on (N, C, L) or (C, L); arguments as for `ConvTranspose2d`."""

    axes = 1

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """The transposed convolution, (N, O, OL) or (O, OL); `output_size`
        chooses among the sizes that output_padding could give."""
        return cast(Tensor, self._convolved(F.conv_transpose1d, input, output_size))


class ConvTranspose2d(_ConvTranspose):
    """The transpose of a convolution, which enlarges (N, C, H, W) or (C, H, W).

    Args:
        in_channels: C, the channels of the input.
        out_channels: O, the channels of the output.
        kernel_size: an int, or one for each spatial axis; so are stride, the paddings and dilation.
        stride: the step of the kernel over the output.
        padding: taken off the output on both sides.
        output_padding: added to the output at the end; less than stride or dilation.
        groups: split the channels into this many groups that do not see one another.
        bias: learn an offset per output channel.
        dilation: the distance between the kernel's taps.
        padding_mode: "zeros".
        dtype: of the parameters; float32 by default.

    `weight` is (C, O/groups, *kernel_size).
    """

    axes = 2

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """The transposed convolution, (N, O, OH, OW) or (O, OH, OW); `output_size`
        chooses among the sizes that output_padding could give."""
        return cast(Tensor, self._convolved(F.conv_transpose2d, input, output_size))


class ConvTranspose3d(_ConvTranspose):
    """The transpose of `Conv3d`, on (N, C, D, H, W) or (C, D, H, W); arguments as for
    `ConvTranspose2d`.
    """

    axes = 3

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """The transposed convolution, (N, O, OD, OH, OW) or (O, OD, OH, OW); `output_size`
        chooses among the sizes that output_padding could give."""
        return cast(Tensor, self._convolved(F.conv_transpose3d, input, output_size))
