"""Padding layers: `functional.pad` in its four modes, of the last axis, the last two or three."""

from __future__ import annotations

from typing import ClassVar

from minigrad.checks import integers
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.tensor import Tensor


class _Pad(Module):
    """Amounts (left, right) for one axis, (left, right, top, bottom) for two, and
    (…, front, back) for three; or one for all."""

    axes: ClassVar[int]
    mode: ClassVar[str] = "constant"

    def __init__(self, padding: int | tuple[int, ...]) -> None:
        super().__init__()
        n = 2 * self.axes
        self.padding = integers(type(self).__name__, "padding", padding, n, None)

    def forward(self, input: Tensor) -> Tensor:
        """x with its margins."""
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        """The amounts."""
        return str(self.padding)


class ConstantPad1d(_Pad):
    """Pad the last axis of (N, C, L) or (C, L) with a number."""

    axes = 1

    def __init__(self, padding: int | tuple[int, ...], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """x with its margins."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """Pad the last two axes of (N, C, H, W) or (C, H, W) with a number."""

    axes = 2


class ConstantPad3d(ConstantPad1d):
    """Pad the last three axes of (N, C, D, H, W) or (C, D, H, W) with a number."""

    axes = 3


class ZeroPad1d(_Pad):
    """Pad the last axis with zeros."""

    axes = 1


class ZeroPad2d(_Pad):
    """Pad the last two axes with zeros."""

    axes = 2


class ZeroPad3d(_Pad):
    """Pad the last three axes with zeros."""

    axes = 3


class ReflectionPad1d(_Pad):
    """Pad the last axis with its reflection in the border."""

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Pad the last two axes with their reflection in the border."""

    axes, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Pad the last three axes with their reflection in the border."""

    axes, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Pad the last axis with copies of its border."""

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Pad the last two axes with copies of their border."""

    axes, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Pad the last three axes with copies of their border."""

    axes, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Pad the last axis with what lies at its other end."""

    axes, mode = 1, "circular"


class CircularPad2d(_Pad):
    """Pad the last two axes with what lies at their other ends."""

    axes, mode = 2, "circular"


class CircularPad3d(_Pad):
    """Pad the last three axes with what lies at their other ends."""

    axes, mode = 3, "circular"
