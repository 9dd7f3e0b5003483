"""PyTorch's `torch.nn.utils.fusion`: a batch normalisation in evaluation becomes part of the layer
before it. `fold_batchnorm` does it for a whole network, and checks the result."""

from __future__ import annotations

import copy
from typing import TypeVar

from minigrad.modes import no_grad
from minigrad.nn.conv import Conv1d, Conv2d, Conv3d
from minigrad.nn.linear import Linear
from minigrad.nn.module import Module, Parameter
from minigrad.nn.norm.batch import BatchNormBase
from minigrad.ops.create import ones_like, zeros_like
from minigrad.ops.elementary import rsqrt
from minigrad.ops.shape import reshape
from minigrad.tensor import Tensor

C = TypeVar("C", Conv1d, Conv2d, Conv3d)


def fuse_conv_bn_weights(
    conv_w: Tensor, conv_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float,
    bn_w: Tensor | None, bn_b: Tensor | None, transpose: bool = False,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """The weight and bias of a convolution that normalises its outputs by these statistics;
    `transpose` is for transposed ones, whose outputs are the weight's second axis."""
    # s = gamma/√(var + eps)        W' = s·W of each output        b' = s·(b - mean) + beta
    with no_grad():
        bias = zeros_like(bn_rm) if conv_b is None else conv_b
        scale = (ones_like(bn_rm) if bn_w is None else bn_w) * rsqrt(bn_rv + bn_eps)
        shape = [1] * conv_w.ndim
        shape[1 if transpose else 0] = -1
        shift = (bias - bn_rm) * scale
        shift = shift if bn_b is None else shift + bn_b
        weight = conv_w * reshape(scale, shape)
    return (
        Parameter(weight.to(conv_w.dtype), conv_w.requires_grad),
        Parameter(shift.to(bias.dtype), conv_b is None or conv_b.requires_grad),
    )


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float,
    bn_w: Tensor, bn_b: Tensor,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """The weight and bias of a Linear that normalises its outputs by these statistics."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def _checked(
    name: str, layer: Module, outputs: int, bn: BatchNormBase
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The statistics by which bn normalises the outputs of a layer."""
    if layer.training or bn.training:
        raise RuntimeError(f"{name}: both layers must be in evaluation mode: call eval() first")
    mean, variance = bn.running_mean, bn.running_var
    if mean is None or variance is None:
        raise ValueError(f"{name}: the batch normalisation has no running statistics")
    if outputs != bn.num_features:
        raise ValueError(
            f"{name}: {outputs} outputs do not fit a normalisation of {bn.num_features} features"
        )
    return mean, variance


def fuse_conv_bn_eval(conv: C, bn: BatchNormBase, transpose: bool = False) -> C:
    """A copy of a convolution that computes what it and the normalisation after it do.

    Raises:
        RuntimeError: one of the two is in training mode.
        ValueError: the normalisation has no running statistics, or another number of features.
    """
    mean, variance = _checked("fuse_conv_bn_eval", conv, conv.out_channels, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, mean, variance, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_eval(linear: Linear, bn: BatchNormBase) -> Linear:
    """A copy of a Linear that computes what it and the normalisation after it do.

    Raises:
        RuntimeError: one of the two is in training mode.
        ValueError: the normalisation has no running statistics, or another number of features.
    """
    mean, variance = _checked("fuse_linear_bn_eval", linear, linear.out_features, bn)
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, mean, variance, bn.eps, bn.weight, bn.bias
    )
    return fused
