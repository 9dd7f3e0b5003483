"""Relatives of batch normalisation that PyTorch does not have.

They keep BatchNorm's promises for their running statistics, through the same code.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from minigrad.changes import note_change
from minigrad.modes import stats_may_move
from minigrad.nn.module import Parameter
from minigrad.nn.norm.base import fill
from minigrad.nn.norm.batch import MOMENTUM, BatchNorm1d, BatchNorm2d, BatchNormBase
from minigrad.nn.norm.decorrelated import (
    DecorrelatedBatchNorm1d,
    DecorrelatedBatchNorm2d,
    along_channels,
    apply_affine,
)
from minigrad.ops import norm as ops
from minigrad.ops.arithmetic import clamp
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

__all__ = [
    "BatchInstanceNorm2d",
    "BatchRenorm1d",
    "BatchRenorm2d",
    "DecorrelatedBatchNorm1d",
    "DecorrelatedBatchNorm2d",
    "LpBatchNorm1d",
    "LpBatchNorm2d",
]


class BatchInstanceNorm2d(BatchNormBase):
    """Mix batch and instance normalisation of x (N, C, H, W) by a gate per channel.

    y = gamma·(rho·x_hat_batch + (1 - rho)·x_hat_instance) + beta, rho in [0, 1], starting at 1:
    batch normalisation. Batch statistics are BatchNorm2d's; instance statistics are always the
    input's own.

    `rho` is read-only: the parameter `gate` limited to [0, 1], which is all that any output
    depends on. What an optimiser's step carried out of the interval, the next forward pass in
    training cuts off, in place, before it uses it: the projected gradient method, which the authors
    run by clamping after each step. So no code is needed in the training loop, and a gate that sits
    at a bound receives its gradient in full and comes back as soon as that points inwards.
    Evaluation, `frozen_stats` and gradient checks leave the parameter alone.

    Args: as BatchNorm2d's. The authors train the gates without weight decay, at 10 times the rate.

    Raises:
        ValueError: a map of one position, besides what BatchNorm2d refuses.

    Source: Nam and Kim, Batch-instance normalization for adaptively style-invariant neural
    networks, 2018, equation 4.
    """

    ranks: ClassVar[dict[int, str]] = BatchNorm2d.ranks
    per_channel = False
    gate: Tensor

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = MOMENTUM,
        affine: bool = True, track_running_stats: bool = True, device: Any = None,
        dtype: Any = None, *, bias: bool = True, decay: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias,
            decay=decay,
        )
        self.gate = Parameter(wrap(np.ones(num_features, np.dtype(dtype or np.float32))))

    def reset_parameters(self) -> None:
        """Start again: weight and gate 1, bias 0, no statistics."""
        super().reset_parameters()
        fill(self.gate, 1)

    @property
    def rho(self) -> Tensor:
        """The gates as they are used: in [0, 1], a copy."""
        return wrap(np.clip(self.gate.array, 0, 1))

    def vectors(self) -> tuple[Tensor | None, ...]:
        """The gate, too."""
        return *super().vectors(), self.gate

    def _mixed(self, x: Tensor, by_batch: Tensor) -> Tensor:
        by_instance = ops.instance_norm_train(self._title(), x, None, None, self.eps)[0]
        self._project()
        rho = along_channels(x, clamp(self.gate, 0, 1))
        return apply_affine(rho * by_batch + (1 - rho) * by_instance, self.weight, self.bias)

    def _project(self) -> None:
        gate = self.gate  # in the place of a Parameter, functional_call puts a tensor of the user's
        if self.training and isinstance(gate, Parameter) and stats_may_move(self):
            limited = np.clip(gate.array, 0, 1)
            if (limited != gate.array).any():
                gate.array[...] = limited
                note_change(gate.array)

    def _train_forward(self, x: Tensor) -> tuple[Tensor, Array, Array]:
        y, mean, var = ops.batch_norm_train(x, None, None, self.eps)
        return self._mixed(x, y), mean, var

    def _eval_forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        return self._mixed(x, ops.batch_norm_eval(x, mean, var, None, None, self.eps))


class _BatchRenorm(BatchNormBase):
    """Batch normalisation corrected, in training too, towards the running statistics.

    BatchRenorm1d takes (N, C) or (N, C, L), BatchRenorm2d (N, C, H, W).

    y = gamma·(x_hat·r + d) + beta with x_hat by the batch's mean and biased variance, and

        r = sigma_batch/sigma limited to [1/rmax, rmax],    sigma = √(running_var + eps)
        d = (mean - running_mean)/sigma limited to [-dmax, dmax]

    which are constants to the gradient. Unlimited, y is what evaluation gives; with rmax = 1 and
    dmax = 0 it is BatchNorm's. The running statistics are BatchNorm's, too (the paper averages
    sigma rather than the variance), so state dicts can be exchanged.

    Args: as BatchNorm's, and
        rmax, dmax: the limits; may be assigned to later. None is the paper's schedule: 1 and 0 for
            the first 5000 batches (`num_batches_tracked`), then in a straight line up to 3 at
            40 000 and 5 at 25 000.

    Source: Ioffe, Batch renormalization: towards reducing minibatch dependence in batch-normalized
    models, 2017, Algorithm 1 and section 4.1.
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = MOMENTUM,
        affine: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True,
        decay: float | None = None, rmax: float | None = None, dmax: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            num_features, eps, momentum, affine, True, device, dtype, bias=bias, decay=decay
        )
        name = type(self).__name__
        if rmax is not None and not rmax >= 1:
            raise ValueError(f"{name}: rmax must be None or at least 1, got {rmax}")
        if dmax is not None and not dmax >= 0:
            raise ValueError(f"{name}: dmax must be None or at least 0, got {dmax}")
        self.rmax, self.dmax = rmax, dmax

    def limits(self) -> tuple[float, float]:
        """rmax and dmax for the next batch."""
        count = self.num_batches_tracked
        n = 0 if count is None else int(count.array)
        rmax = 1 + 2 * min(max(n - 5000, 0) / 35000, 1) if self.rmax is None else self.rmax
        dmax = 5 * min(max(n - 5000, 0) / 20000, 1) if self.dmax is None else self.dmax
        return rmax, dmax

    def _train_forward(self, x: Tensor) -> tuple[Tensor, Array, Array]:
        x_hat, mean, var = ops.batch_norm_train(x, None, None, self.eps)
        if self.running_mean is None or not x.array.size:
            return apply_affine(x_hat, self.weight, self.bias), mean, var
        rmax, dmax = self.limits()
        running_mean, inv_std = self.eval_statistics()
        with np.errstate(all="ignore"):
            r = np.clip(np.sqrt(var.real + self.eps) * inv_std, 1 / rmax, rmax)
            d = np.clip((mean.real - running_mean) * inv_std, -dmax, dmax)
        r, d = r.astype(self.running_mean.dtype), d.astype(self.running_mean.dtype)
        corrected = apply_affine(x_hat, wrap(r), wrap(d))
        return apply_affine(corrected, self.weight, self.bias), mean, var

    def extra_repr(self) -> str:
        """BatchNorm's, and the limits."""
        limits = "the paper's schedule"
        if self.rmax is not None or self.dmax is not None:
            limits = f"rmax={self.rmax}, dmax={self.dmax}"
        return f"{super().extra_repr()}, {limits}"


class BatchRenorm1d(_BatchRenorm):
    ranks: ClassVar[dict[int, str]] = BatchNorm1d.ranks


class BatchRenorm2d(_BatchRenorm):
    ranks: ClassVar[dict[int, str]] = BatchNorm2d.ranks


class _LpBatchNorm(BatchNormBase):
    """Batch normalisation by the mean absolute (p=1) or largest (p=inf) deviation.

    LpBatchNorm1d takes (N, C) or (N, C, L), LpBatchNorm2d (N, C, H, W).

    y = gamma·(x - mean)/(scale + eps) + beta; scale is Σ |x - mean|/m or max |x - mean|. Beside
    `running_mean` there is `running_scale`, which has no m/(m - 1): that is for variances.
    Both are of centred values here, so a constant added to x changes nothing; the paper takes
    the norm before it centres.

    Args: as BatchNorm's, and
        p: 1 or inf. (2 is BatchNorm.)

    Source: Santurkar, Tsipras, Ilyas and Madry, How does batch normalization help optimization?,
    2018, section 3.3.
    """

    variance_name = "running_scale"
    running_scale: Tensor | None

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = MOMENTUM,
        affine: bool = True, track_running_stats: bool = True, device: Any = None,
        dtype: Any = None, *, bias: bool = True, decay: float | None = None, p: float = 1,
    ) -> None:  # fmt: skip
        if p not in (1, math.inf):
            raise ValueError(f"{type(self).__name__}: p must be 1 or inf, got {p} (2 is BatchNorm)")
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias,
            decay=decay,
        )
        self.p = p

    def vectors(self) -> tuple[Tensor | None, ...]:
        """With the scale in the variance's place."""
        return self.weight, self.bias, self.running_mean, self.running_scale

    def _train_forward(self, x: Tensor) -> tuple[Tensor, Array, Array]:
        if not x.array.size:
            return super()._train_forward(x)
        axes = (0, *range(2, x.ndim))
        # x - x0, x0 the channel's first value: a large common offset costs no digits
        x0 = x.array[(slice(0, 1), slice(None), *[slice(0, 1)] * (x.ndim - 2))].real
        with np.errstate(all="ignore"):
            shifted = x - wrap(np.array(x0, x.dtype))
            shift = shifted.mean(dim=axes, keepdim=True)
            d = shifted - shift
            scale = d.abs()
            scale = scale.mean(axes, True) if self.p == 1 else scale.amax(axes, True)
            y = apply_affine(d / (scale + self.eps), self.weight, self.bias)
            mean = x0.astype(np.float64) + shift.array
        return y, mean.reshape(-1), scale.array.astype(mean.dtype).reshape(-1)

    def eval_statistics(self) -> tuple[Array, Array]:
        """mean and 1/(scale + eps), float64."""
        if self.running_mean is None or self.running_scale is None:
            raise ValueError(f"{self._title()}: no running statistics")
        scale = self.running_scale.array.astype(np.float64)
        return self.running_mean.array.astype(np.float64), 1 / (scale + self.eps)

    def _eval_forward(self, x: Tensor) -> Tensor:
        mean, inv_scale = self.eval_statistics()
        var = wrap(1 / inv_scale**2)
        return ops.batch_norm_eval(x, wrap(mean), var, self.weight, self.bias, 0.0)

    def statistics(self, x: Tensor) -> tuple[Array, Array]:
        """The mean and the scale of a batch (float64)."""
        return self._train_forward(wrap(x.array.astype(np.float64)))[1:]

    def bessel_correction(self, m: int) -> float:
        """None: a scale is no variance."""
        return 1.0

    def between_batch_variance(self, shift: Array) -> Array:
        """None: batches keep the mean of their scales."""
        return np.zeros_like(shift)

    def standard_deviation(self, var: Array) -> Array:
        """The scale itself."""
        return var

    def extra_repr(self) -> str:
        """BatchNorm's, and p."""
        return f"{super().extra_repr()}, p={self.p}"


class LpBatchNorm1d(_LpBatchNorm):
    ranks: ClassVar[dict[int, str]] = BatchNorm1d.ranks


class LpBatchNorm2d(_LpBatchNorm):
    ranks: ClassVar[dict[int, str]] = BatchNorm2d.ranks
