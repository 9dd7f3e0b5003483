"""Normalisation layers. The mathematics is in `ops/norm.py`, the running statistics are kept by
`norm_base.py`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minigrad.nn.module import Module
from minigrad.nn.norm_base import (
    NormBase,
    affine_parameters,
    check_eps,
    fill,
    frozen_stats,
    sizes_of,
    stats_move,
)
from minigrad.ops import norm as ops
from minigrad.ops.shape import squeeze, unsqueeze
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
    "RMSNorm",
    "frozen_stats",
]

# PyTorch's 0.1 as an object of its own, so that an explicit `momentum=0.1` can be told from none.
MOMENTUM = float("0.1")


class _BatchNorm(NormBase):
    """Normalise each channel by the statistics of the batch (training) or of the past (eval).

    BatchNorm1d takes (N, C) or (N, C, L), BatchNorm2d (N, C, H, W), BatchNorm3d (N, C, D, H, W).

    y = gamma·(x - mean)/√(var + eps) + beta, and in training

        running_mean ← (1 - momentum)·running_mean + momentum·mean
        running_var  ← (1 - momentum)·running_var  + momentum·var·m/(m - 1)

    where m values share a channel: the variance that normalises is the biased one, the variance
    that is stored is unbiased. `repr` states the rule, because other libraries give momentum the
    opposite meaning.

    Args:
        num_features: the number of channels C.
        eps: added to the variance, inside the root.
        momentum: the weight of the new batch; None for the plain mean over all batches.
        affine: learn gamma (`weight`) and beta (`bias`) per channel.
        track_running_stats: keep running statistics; without them, eval mode uses the batch too.
        dtype: of parameters and statistics; float32 by default.
        bias: with affine, learn beta.
        decay: 1 - momentum, the word of libraries that weigh the old value; instead of momentum.

    An error, an empty batch (which gives an empty output), a gradient check or `frozen_stats` moves
    neither statistics nor `num_batches_tracked`. A channel with NaN, infinite or too large values
    shows them in its output; its running statistics keep their last finite values, and one
    RuntimeWarning says so.

    Raises:
        ValueError: in training, one value per channel, whose variance would be 0; another number
            of axes or channels.
        TypeError, RuntimeError: an input that is not floating, or of another dtype than the layer.

    Source: Ioffe and Szegedy, Batch normalization: accelerating deep network training by reducing
    internal covariate shift, 2015, Algorithms 1 and 2.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = MOMENTUM,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = None,
        *,
        bias: bool = True,
        decay: float | None = None,
    ) -> None:
        name = type(self).__name__
        if decay is not None:
            if momentum is not MOMENTUM:
                raise ValueError(
                    f"{name}: decay={decay} means momentum={1 - decay:g}: give one of them, got "
                    f"momentum={momentum} too"
                )
            if not track_running_stats:
                raise ValueError(f"{name}: decay={decay} needs track_running_stats=True")
            if not 0 <= decay <= 1:
                raise ValueError(f"{name}: decay must be in [0, 1], got {decay}")
            momentum = float(f"{1 - decay:.12g}")  # 0.1, not 0.09999999999999998
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype, bias)
        self.frozen = False
        if decay is None and momentum is not None and momentum > 0.5 and track_running_stats:
            warnings.warn(
                f"{name}: momentum={momentum} gives the last batch {momentum:.0%} of the running "
                f"statistics; did you mean decay={momentum} (momentum={1 - momentum:.2g})?",
                UserWarning,
                stacklevel=2,
            )

    def freeze(self) -> _BatchNorm:
        """Normalise by the running statistics, unmoved, in training mode too, until `unfreeze`."""
        if self.running_mean is None:
            raise RuntimeError(
                f"{type(self).__name__}.freeze: there are no running statistics to use "
                "(track_running_stats=False)"
            )
        self.frozen = True
        return self

    def unfreeze(self) -> _BatchNorm:
        """Follow `train()` and `eval()` again."""
        self.frozen = False
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, …)."""
        self.check_rank(x)
        self.check_channels(x, 1)
        self.check_dtype(x)
        running_mean, running_var = self.running_mean, self.running_var
        if running_mean is not None and (self.frozen or not self.training):
            return ops.batch_norm_eval(
                x, running_mean, running_var, self.weight, self.bias, self.eps
            )
        m = x.data.size // self.num_features
        if m == 1:
            raise ValueError(self._one_value(x))
        y, mean, var = ops.batch_norm_train(x, self.weight, self.bias, self.eps)
        if m and running_mean is not None and self.track_running_stats and stats_move(self):
            self._move(mean, var, m)
        return y

    def _move(self, mean: Array, var: Array, m: int) -> None:
        """Move the running statistics towards those of a batch (float64), and count it."""
        running_mean, running_var = self.running_mean, self.running_var
        count, factor = self.num_batches_tracked, self.momentum
        if running_mean is None or running_var is None or count is None:
            raise RuntimeError(
                f"{type(self).__name__}({self.num_features}): running_mean, running_var and "
                "num_batches_tracked belong together, but one of them was set to None"
            )
        if factor is None:  # mean of k + 1 values = mean of k + (new - mean of k)/(k + 1)
            factor = 1 / (int(count.data) + 1)
        old_mean, old_var = running_mean.data, running_var.data
        with np.errstate(all="ignore"):  # what is not finite or too large, `store` sees
            new_mean = (old_mean + factor * (mean - old_mean)).astype(old_mean.dtype)
            new_var = old_var + factor * (var * (m / (m - 1)) - old_var)
            self.store(running_mean, running_var, new_mean, new_var.astype(old_var.dtype))
        count.data += 1  # an integer: no graph can have saved it

    def _one_value(self, x: Tensor) -> str:
        cause = "the batch has one sample (N=1)"
        if x.ndim > 2:
            sizes = "x".join(map(str, x.shape[2:]))
            cause += f" and the map after the layers before has one position ({sizes})"
        ways = "batches of more samples (drop_last=True in the DataLoader)"
        if x.ndim > 2:
            ways += " or larger maps"
        if self.track_running_stats:
            ways += ", eval() or freeze() to use the running statistics"
        return (
            f"{type(self).__name__}({self.num_features}): one value per channel in training, input "
            f"shape {x.shape}: {cause}. Its variance is 0 and the output would be beta, whatever "
            f"comes in. Ways out: {ways}, or LayerNorm or GroupNorm, which do not need a batch"
        )

    def extra_repr(self) -> str:
        """The arguments as PyTorch prints them, then the rule of the running statistics."""
        text = super().extra_repr()
        if self.track_running_stats:
            rule = "mean of all batches"
            if self.momentum is not None:
                rule = f"{1 - self.momentum:g}·old + {self.momentum:g}·batch"
            text += f", running = {rule}"
        return text + (", frozen" if self.frozen else "")


class BatchNorm1d(_BatchNorm):
    ranks: ClassVar[dict[int, str]] = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(_BatchNorm):
    ranks: ClassVar[dict[int, str]] = {4: "(N, C, H, W)"}


class BatchNorm3d(_BatchNorm):
    ranks: ClassVar[dict[int, str]] = {5: "(N, C, D, H, W)"}


class _InstanceNorm(NormBase):
    """Normalise each channel of each sample by its own mean and variance.

    InstanceNorm1d takes (N, C, L) or (C, L), InstanceNorm2d (N, C, H, W) or (C, H, W).

    Args:
        num_features: the number of channels C.
        eps: added to the variance, inside the root.
        momentum: the weight of the new batch in the running statistics.
        affine: learn gamma (`weight`) and beta (`bias`) per channel.
        track_running_stats: keep running means over samples, and normalise by them in eval mode.
        dtype: of parameters and statistics; float32 by default.
        bias: with affine, learn beta.

    Raises:
        ValueError: one value per channel and sample; another number of axes or channels.
        TypeError, RuntimeError: an input that is not floating, or of another dtype than the layer.

    Source: Ulyanov, Vedaldi and Lempitsky, Instance normalization: the missing ingredient for fast
    stylization, 2016.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, …) or (C, …)."""
        self.check_rank(x)
        single = x.ndim == min(self.ranks)
        self.check_channels(x, 0 if single else 1)
        self.check_dtype(x)
        y = self._normalise(unsqueeze(x, 0) if single else x)
        return squeeze(y, 0) if single else y

    def _normalise(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        by_input = self.training or mean is None
        momentum = 0.0 if self.momentum is None else self.momentum
        affine = self.weight, self.bias
        if not by_input:
            return ops.instance_norm(x, mean, var, *affine, False, momentum, self.eps)
        if mean is None or var is None or not stats_move(self):
            return ops.instance_norm(x, None, None, *affine, True, momentum, self.eps)
        new_mean, new_var = wrap(mean.data.copy()), wrap(var.data.copy())
        y = ops.instance_norm(x, new_mean, new_var, *affine, True, momentum, self.eps)
        with np.errstate(all="ignore"):
            self.store(mean, var, new_mean.data, new_var.data)
        return y


class InstanceNorm1d(_InstanceNorm):
    ranks: ClassVar[dict[int, str]] = {2: "(C, L)", 3: "(N, C, L)"}


class InstanceNorm2d(_InstanceNorm):
    ranks: ClassVar[dict[int, str]] = {3: "(C, H, W)", 4: "(N, C, H, W)"}


class GroupNorm(Module):
    """Normalise groups of channels of each sample (N, C, …), the same with any batch size.

    One group is layer normalisation over (C, …) with gamma and beta per channel, C groups are
    instance normalisation.

    Args:
        num_groups: how many groups the channels are split into.
        num_channels: the number of channels C, divisible by num_groups.
        eps: added to the variance, inside the root.
        affine: learn gamma (`weight`) and beta (`bias`) per channel.
        dtype: of the parameters; float32 by default.
        bias: with affine, learn beta.

    Raises:
        ValueError: num_channels is not divisible; an input of another number of channels.

    Source: Wu and He, Group normalization, 2018.
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels < 1 or num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_channels={num_channels} does not divide into "
                f"num_groups={num_groups}"
            )
        check_eps("GroupNorm", eps)
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.affine = affine
        self.weight, self.bias = affine_parameters(
            "GroupNorm", (num_channels,), affine, bias, dtype
        )

    def reset_parameters(self) -> None:
        """Start again: weight 1, bias 0."""
        fill(self.weight, 1)
        fill(self.bias, 0)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, …)."""
        if isinstance(x, Tensor) and (x.ndim < 2 or x.shape[1] != self.num_channels):
            raise ValueError(
                f"GroupNorm({self.num_groups}, {self.num_channels}): expected an input "
                f"(N, {self.num_channels}, …), got shape {x.shape}"
            )
        return ops.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

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
        dtype: of the parameters; float32 by default.

    Source: Ba, Kiros and Hinton, Layer normalization, 2016.
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_eps("LayerNorm", eps)
        self.normalized_shape = sizes_of("LayerNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight, self.bias = affine_parameters(
            "LayerNorm", self.normalized_shape, elementwise_affine, bias, dtype
        )

    def reset_parameters(self) -> None:
        """Start again: weight 1, bias 0."""
        fill(self.weight, 1)
        fill(self.bias, 0)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (…, *normalized_shape)."""
        return ops.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

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
        dtype: of the parameter; float32 by default.

    Source: Zhang and Sennrich, Root mean square layer normalization, 2019.
    """

    weight: Tensor | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if eps is not None:
            check_eps("RMSNorm", eps)
        self.normalized_shape = sizes_of("RMSNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight, _ = affine_parameters(
            "RMSNorm", self.normalized_shape, elementwise_affine, False, dtype
        )

    def reset_parameters(self) -> None:
        """Start again: weight 1."""
        fill(self.weight, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Divide x (…, *normalized_shape)."""
        return ops.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )
