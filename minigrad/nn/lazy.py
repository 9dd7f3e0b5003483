"""Layers that learn the size of their input from the first one."""

from __future__ import annotations

from typing import Any

from minigrad.checks import floating
from minigrad.modes import frozen_stats, no_grad
from minigrad.nn.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvBase,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    Ints,
)
from minigrad.nn.linear import Linear
from minigrad.nn.module import Module
from minigrad.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from minigrad.nn.norm.batch import BatchNormBase
from minigrad.nn.parameter import UninitializedParameter
from minigrad.tensor import Tensor


class _Lazy(Module):
    """What lazy layers share. Each is made with size 1, which the first input replaces."""

    ordinary: Any  # the layer that it becomes
    size_name: str  # of the argument that the input tells
    axis: int  # of the input that has this size
    least: int  # axes that the input must have to have it
    _dtype: Any

    def _forget(self, dtype: Any) -> None:
        self._dtype = floating(type(self).__name__, dtype)
        object.__setattr__(self, self.size_name, 0)
        for name in list(self._parameter_names):
            if getattr(self, name) is not None:
                setattr(self, name, UninitializedParameter(self._dtype))
        for name in ("running_mean", "running_var"):
            if name in self._buffer_names:
                setattr(self, name, None)

    def _made(self, size: int) -> Module:
        """The ordinary layer for inputs of this size."""
        raise NotImplementedError

    def _kind(self) -> Any:
        """The dtype of the parameters to be, which `to` may have changed."""
        return next((p.dtype for p in self.parameters()), self._dtype)

    def forward(self, input: Tensor, *args: Any, **options: Any) -> Any:
        """Become the ordinary layer for this input, and run it."""
        name = type(self).__name__
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}: input must be a Tensor, got {type(input).__name__}")
        if not self.least <= input.ndim:
            raise RuntimeError(
                f"{name}: expected an input of at least {self.least} axes to learn "
                f"{self.size_name} from, got shape {input.shape}"
            )
        layer = self._made(input.shape[self.axis]).train(self.training)
        with no_grad(), frozen_stats(layer):
            layer(input, *args, **options)  # what it refuses leaves this one as it was
        for key in layer._parameter_names:
            if (parameter := getattr(self, key)) is not None:
                parameter.materialize(getattr(layer, key).array)
        for key in layer._buffer_names:
            setattr(self, key, getattr(layer, key))
        object.__setattr__(self, self.size_name, getattr(layer, self.size_name))
        self.__class__ = type(layer)  # type: ignore[assignment]
        return self.forward(input, *args, **options)


class LazyLinear(_Lazy, Linear):
    """`Linear` whose in_features are those of its first input; until then its parameters cannot be
    used."""

    size_name, axis, least = "in_features", -1, 1

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        Linear.__init__(self, 1, out_features, bias, device, dtype)
        self._forget(dtype)

    def _made(self, size: int) -> Module:
        return Linear(size, self.out_features, self.bias is not None, dtype=self._kind())


class _LazyConv(_Lazy, ConvBase):
    """What the lazy convolutions share."""

    size_name = "in_channels"

    def __init__(
        self,
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
        self.ordinary.__init__(
            self, groups, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip
        self._forget(dtype)

    def _made(self, size: int) -> Any:
        return self.ordinary(
            size, self.out_channels, self.kernel_size, self.stride, self.padding, self.dilation,
            self.groups, self.bias is not None, self.padding_mode, dtype=self._kind(),
        )  # fmt: skip


class LazyConv1d(_LazyConv, Conv1d):
    """`Conv1d` that learns its in_channels as `LazyConv2d` does."""

    ordinary, axis, least = Conv1d, -2, 2


class LazyConv2d(_LazyConv, Conv2d):
    """`Conv2d` whose in_channels are those of its first input; until then its parameters cannot be
    used."""

    ordinary, axis, least = Conv2d, -3, 3


class LazyConv3d(_LazyConv, Conv3d):
    """`Conv3d` that learns its in_channels as `LazyConv2d` does."""

    ordinary, axis, least = Conv3d, -4, 4


class _LazyConvTranspose(_Lazy, ConvBase):
    """What the lazy transposed convolutions share."""

    size_name = "in_channels"

    def __init__(
        self,
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
        self.ordinary.__init__(
            self, groups, out_channels, kernel_size, stride, padding, output_padding, groups,
            bias, dilation, padding_mode, device, dtype,
        )  # fmt: skip
        self._forget(dtype)

    def _made(self, size: int) -> Any:
        return self.ordinary(
            size, self.out_channels, self.kernel_size, self.stride, self.padding,
            self.output_padding, self.groups, self.bias is not None, self.dilation,
            self.padding_mode, dtype=self._kind(),
        )  # fmt: skip


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """`ConvTranspose1d` that learns its in_channels as `LazyConv2d` does."""

    ordinary, axis, least = ConvTranspose1d, -2, 2


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """`ConvTranspose2d` that learns its in_channels as `LazyConv2d` does."""

    ordinary, axis, least = ConvTranspose2d, -3, 3


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """`ConvTranspose3d` that learns its in_channels as `LazyConv2d` does."""

    ordinary, axis, least = ConvTranspose3d, -4, 4


class _LazyBatchNorm(_Lazy, BatchNormBase):
    """What the lazy batch normalisations share."""

    size_name, axis = "num_features", 1

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        self.ordinary.__init__(
            self, 1, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self._forget(dtype)

    def _made(self, size: int) -> Any:
        return self.ordinary(
            size, self.eps, self.momentum, self.affine, self.track_running_stats,
            dtype=self._kind(), bias=self.bias is not None,
        )  # fmt: skip


class LazyBatchNorm1d(_LazyBatchNorm, BatchNorm1d):
    """`BatchNorm1d` that learns its num_features as `LazyBatchNorm2d` does."""

    ordinary, least = BatchNorm1d, 2


class LazyBatchNorm2d(_LazyBatchNorm, BatchNorm2d):
    """`BatchNorm2d` whose num_features are the channels of its first input; until then its
    parameters cannot be used."""

    ordinary, least = BatchNorm2d, 4


class LazyBatchNorm3d(_LazyBatchNorm, BatchNorm3d):
    """`BatchNorm3d` that learns its num_features as `LazyBatchNorm2d` does."""

    ordinary, least = BatchNorm3d, 5
