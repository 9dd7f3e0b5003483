"""Normalisation of each sample by itself: LayerNorm, GroupNorm, RMSNorm need no batch, and keep no
statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad.checks import integer, number
from minigrad.nn.module import Module
from minigrad.nn.norm.base import affine_parameters, fill, sizes_of
from minigrad.nn.parameter import Parameter
from minigrad.ops import norm as ops
from minigrad.ops.pooling import local_response_norm
from minigrad.tensor import Tensor


class GroupNorm(Module):
    """Normalise groups of channels of each sample (N, C, …), the same with any batch size.

    One group is layer normalisation over (C, …) with gamma and beta per channel, C groups are
    instance normalisation.

    Args:
        num_groups: how many groups the channels are split into.
        num_channels: the number of channels C, divisible by num_groups.
        eps: added to the variance, inside the root.
        affine: learn gamma (`weight`) and beta (`bias`) per channel.
        device: the CPU, the only one there is.
        dtype: of the parameters; float32 by default.
        bias: with affine, learn beta.

    Raises:
        ValueError: num_channels is not divisible; an input of another number of channels, or with
            one value per group.

    Source: Wu and He, Group normalization, 2018.
    """

    weight: Parameter  # None where the layer was made without
    bias: Parameter  # None where the layer was made without

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        num_groups = integer("GroupNorm", "num_groups", num_groups)
        num_channels = integer("GroupNorm", "num_channels", num_channels)
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_channels={num_channels} does not divide into "
                f"num_groups={num_groups}"
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = number("GroupNorm", "eps", eps, at_least=0), affine
        self.weight, self.bias = affine_parameters(
            "GroupNorm", (num_channels,), affine, bias, device, dtype
        )

    def reset_parameters(self) -> None:
        """Start again: weight 1, bias 0."""
        fill(self.weight, 1)
        fill(self.bias, 0)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise x (N, C, …)."""
        if isinstance(input, Tensor) and (input.ndim < 2 or input.shape[1] != self.num_channels):
            raise ValueError(
                f"GroupNorm({self.num_groups}, {self.num_channels}): expected an input "
                f"(N, {self.num_channels}, …), got shape {input.shape}"
            )
        if isinstance(input, Tensor) and math.prod(input.shape[1:]) == self.num_groups:
            title = f"GroupNorm({self.num_groups}, {self.num_channels})"
            raise ops.one_value(title, "group", input.shape, ops.GROUP_WAYS_OUT)
        return ops.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LayerNorm(Module):
    """Normalise each sample over its last axes, the same with any batch size.

    Args:
        normalized_shape: the sizes of those axes, or the last one's.
        eps: added to the variance, inside the root.
        elementwise_affine: learn gamma (`weight`) and beta (`bias`) for each element.
        bias: with elementwise_affine, learn beta.
        device: the CPU, the only one there is.
        dtype: of the parameters; float32 by default.

    Source: Ba, Kiros and Hinton, Layer normalization, 2016.

    >>> nn.LayerNorm(2, eps=0)(mg.tensor([[1.0, 3.0], [10.0, 30.0]]))
    tensor([[-1.,  1.],
            [-1.,  1.]], grad_fn=<layer_norm>)
    """

    weight: Parameter  # None where the layer was made without
    bias: Parameter  # None where the layer was made without

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = sizes_of("LayerNorm", normalized_shape)
        self.eps = number("LayerNorm", "eps", eps, at_least=0)
        self.elementwise_affine = elementwise_affine
        self.weight, self.bias = affine_parameters(
            "LayerNorm", self.normalized_shape, elementwise_affine, bias, device, dtype
        )

    def reset_parameters(self) -> None:
        """Start again: weight 1, bias 0."""
        fill(self.weight, 1)
        fill(self.bias, 0)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise x (…, *normalized_shape)."""
        return ops.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Divide each sample by the root mean square over its last axes.

    Args:
        normalized_shape: the sizes of those axes, or the last one's.
        eps: added to the mean square; None for the dtype's machine epsilon.
        elementwise_affine: learn gamma (`weight`) for each element.
        device: the CPU, the only one there is.
        dtype: of the parameter; float32 by default.

    Source: Zhang and Sennrich, Root mean square layer normalization, 2019.
    """

    weight: Parameter  # None where the layer was made without

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = sizes_of("RMSNorm", normalized_shape)
        self.eps = None if eps is None else number("RMSNorm", "eps", eps, at_least=0)
        self.elementwise_affine = elementwise_affine
        self.weight, _ = affine_parameters(
            "RMSNorm", self.normalized_shape, elementwise_affine, False, device, dtype
        )

    def reset_parameters(self) -> None:
        """Start again: weight 1."""
        fill(self.weight, 1)

    def forward(self, input: Tensor) -> Tensor:
        """Divide x (…, *normalized_shape)."""
        return ops.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class LocalResponseNorm(Module):
    """x / (k + alpha·mean of x² over `size` neighbouring channels)^beta, for x (N, C, …).

    Args:
        size: how many channels.
        alpha: the factor of the mean.
        beta: the exponent.
        k: what is added.

    Source: Krizhevsky et al., ImageNet classification with deep convolutional neural networks,
    2012, section 3.3, whose alpha is this one / size.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = integer("LocalResponseNorm", "size", size)
        self.alpha = number("LocalResponseNorm", "alpha", alpha)
        self.beta = number("LocalResponseNorm", "beta", beta)
        self.k = number("LocalResponseNorm", "k", k)

    def forward(self, input: Tensor) -> Tensor:
        """The normalised x."""
        return local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
