"""Batch normalisation. The mathematics is in `ops/norm.py`."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np

from minigrad import kernels
from minigrad.modes import stats_may_move
from minigrad.nn.norm.base import NormBase
from minigrad.ops import norm as ops
from minigrad.ops.activations import relu as relu_op
from minigrad.ops.running_stats import update_running_stats
from minigrad.tape import Array
from minigrad.tensor import Tensor

# PyTorch's 0.1 as an object of its own, so that an explicit `momentum=0.1` can be told from none.
MOMENTUM = float("0.1")


class BatchNormBase(NormBase):
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
        device: the CPU, the only one there is.
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

    >>> layer = nn.BatchNorm1d(2, eps=0)
    >>> layer(mg.tensor([[1.0, 10.0], [3.0, 30.0]]))
    tensor([[-1., -1.],
            [ 1.,  1.]], grad_fn=<batch_norm>)
    >>> layer.running_mean
    tensor([0.2, 2. ])
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = MOMENTUM,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
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
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )
        self.frozen = False
        if decay is None and momentum is not None and momentum > 0.5 and track_running_stats:
            warnings.warn(
                f"{name}: momentum={momentum} gives the last batch {momentum:.0%} of the running "
                f"statistics; did you mean decay={momentum} (momentum={1 - momentum:.2g})?",
                UserWarning,
                stacklevel=2,
            )

    def freeze(self) -> BatchNormBase:
        """Normalise by the running statistics, unmoved, in training mode too, until `unfreeze`."""
        if self.running_mean is None:
            raise RuntimeError(
                f"{type(self).__name__}.freeze: there are no running statistics to use "
                "(track_running_stats=False)"
            )
        self.frozen = True
        return self

    def unfreeze(self) -> BatchNormBase:
        """Follow `train()` and `eval()` again."""
        self.frozen = False
        return self

    def forward(self, input: Tensor, *, relu: bool = False) -> Tensor:
        """Normalise x (N, C, …). With `relu`, so Sequential asks for a ReLU that follows, return
        relu of the result, in training in one op."""
        self.check_input(input)
        if self.running_mean is not None and (self.frozen or not self.training):
            return relu_op(self._eval_forward(input)) if relu else self._eval_forward(input)
        m = input.array.size // self.num_features
        if m == 1:
            raise self._one_value(input)
        y, mean, var = self._train_forward_relu(input) if relu else self._train_forward(input)
        tracked = self.running_mean is not None and self.track_running_stats
        if m and tracked and stats_may_move(self):
            self._update_running_stats(mean, var, m)
        return y

    # What the relatives in variants.py do in their own ways. Where it says variance, some have a
    # covariance or a scale.

    def _train_forward(self, x: Tensor) -> tuple[Tensor, Array, Array]:
        """The output in training, and the batch's mean and biased variance (float64)."""
        return ops.batch_norm_train(x, self.weight, self.bias, self.eps)

    def _train_forward_relu(self, x: Tensor) -> tuple[Tensor, Array, Array]:
        """The same with relu of the output; relatives run two ops."""
        if type(self)._train_forward is BatchNormBase._train_forward:
            return ops.batch_norm_train(x, self.weight, self.bias, self.eps, relu=True)
        y, mean, var = self._train_forward(x)
        return relu_op(y), mean, var

    def _eval_forward(self, x: Tensor) -> Tensor:
        """The output by the running statistics."""
        return ops.batch_norm_eval(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.eps
        )

    per_channel: ClassVar[bool] = True  # evaluation is a fixed scale and shift of each channel

    def eval_statistics(self) -> tuple[Array, Array]:
        """mean and inv_std (float64) of the layer's evaluation: gamma·(x - mean)·inv_std + beta."""
        if self.running_mean is None or self.running_var is None:
            raise ValueError(f"{self._title()}: no running statistics")
        var = self.running_var.array.astype(np.float64)
        return self.running_mean.array.astype(np.float64), 1 / np.sqrt(var + self.eps)

    def statistics(self, x: Tensor) -> tuple[Array, Array]:
        """The mean and the biased variance of a batch (float64), as training would use them."""
        a = x.array.reshape(*x.shape[:2], -1)
        mean, var = kernels.backend_for(a).moments(a)
        return mean, var

    def bessel_correction(self, m: int) -> float:
        """From the biased variance of m values to the unbiased one."""
        return m / (m - 1)

    def between_batch_variance(self, shift: Array) -> Array:
        """The variance that a shift of the mean stands for, in the law of total variance."""
        return shift * shift

    def standard_deviation(self, var: Array) -> Array:
        """The standard deviation of each channel."""
        return np.sqrt(var)

    def _update_running_stats(self, mean: Array, var: Array, m: int) -> None:
        """Move the running statistics towards those of a batch of m values a channel."""
        count, factor = self.num_batches_tracked, self.momentum
        running = self.running_stats()
        if count is None:
            raise RuntimeError(
                f"{self._title()}: the running statistics and num_batches_tracked belong together, "
                "but num_batches_tracked was set to None"
            )
        if factor is None:  # mean of k + 1 values = mean of k + (new - mean of k)/(k + 1)
            factor = 1 / (int(count.array) + 1)
        running["num_batches_tracked"] = count
        name = f"{type(self).__name__}({self.num_features})"
        correction = self.bessel_correction(m)
        update_running_stats(name, running, mean, var, factor, correction, self._warn_once)

    def _one_value(self, x: Tensor) -> ValueError:
        cause = ": the batch has one sample (N=1)"
        ways = "batches of more samples (drop_last=True in the DataLoader)"
        if x.ndim > 2:
            sizes = "x".join(map(str, x.shape[2:]))
            cause += f" and the map after the layers before has one position ({sizes})"
            ways += " or larger maps"
        if self.track_running_stats:
            ways += ", eval() or freeze() to use the running statistics"
        ways += ", or LayerNorm or GroupNorm, which do not need a batch"
        return ops.one_value(self._title(), "channel in training", x.shape, ways, cause)

    def extra_repr(self) -> str:
        """The arguments as PyTorch prints them, then the rule of the running statistics."""
        text = super().extra_repr()
        if self.track_running_stats:
            rule = "mean of all batches"
            if self.momentum is not None:
                rule = f"{1 - self.momentum:g}·old + {self.momentum:g}·batch"
            text += f", running = {rule}"
        return text + (", frozen" if self.frozen else "")


class BatchNorm1d(BatchNormBase):
    ranks: ClassVar[dict[int, str]] = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(BatchNormBase):
    ranks: ClassVar[dict[int, str]] = {4: "(N, C, H, W)"}


class BatchNorm3d(BatchNormBase):
    ranks: ClassVar[dict[int, str]] = {5: "(N, C, D, H, W)"}
