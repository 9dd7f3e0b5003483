"""Decorrelated batch normalisation; the other relatives of BatchNorm are in `variants.py`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minigrad.changes import note_change
from minigrad.checks import integer
from minigrad.nn.norm.batch import MOMENTUM, BatchNorm1d, BatchNorm2d, BatchNormBase
from minigrad.ops.whitening import covariance, grouped, inverse_root, whiten
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap


def along_channels(x: Tensor, vector: Tensor) -> Tensor:
    """A vector (C,) shaped to broadcast along the channels of x (N, C, …)."""
    shaped: Tensor = vector.reshape(1, -1, *[1] * (x.ndim - 2))
    return shaped


def apply_affine(x_hat: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """gamma·x_hat + beta."""
    y = x_hat if weight is None else x_hat * along_channels(x_hat, weight)
    return y if bias is None else y + along_channels(y, bias)


class _DecorrelatedBatchNorm(BatchNormBase):
    """Whiten groups of channels over the batch (ZCA): mean 0 and covariance I, but for eps.

    DecorrelatedBatchNorm1d takes (N, C) or (N, C, L), DecorrelatedBatchNorm2d (N, C, H, W).

    y = gamma·(Σ^(-½)·(x - mean)) + beta per channel, with Σ = covariance + eps·I of a group. One
    channel a group is BatchNorm. A group needs more values per channel than channels, or its
    covariance is singular. Beside `running_mean` there is `running_cov` (num_groups, d, d),
    unbiased as BatchNorm's variance is; evaluation takes its inverse root. (The paper averages the
    roots, which do not estimate the root of the mean.) A value that is not finite shows in its
    whole group, and that group keeps its statistics.

    Args: as BatchNorm's, and
        num_groups: into how many groups of C/num_groups neighbouring channels to split C.

    Source: Huang, Yang, Lang and Deng, Decorrelated batch normalization, 2018; the derivation is in
    `ops/whitening.py`.
    """

    per_channel = False
    variance_name = "running_cov"
    running_cov: Tensor | None

    def __init__(
        self, num_features: int, num_groups: int = 1, eps: float = 1e-5,
        momentum: float | None = MOMENTUM, affine: bool = True, track_running_stats: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True, decay: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias,
            decay=decay,
        )
        self.num_groups = integer(type(self).__name__, "num_groups", num_groups)
        if num_features % num_groups:
            name = f"{type(self).__name__}: num_features={num_features}"
            raise ValueError(f"{name} does not divide into num_groups={num_groups}")
        if self.running_cov is not None:
            self.running_cov = wrap(self._identity(self.running_cov.dtype))

    def _identity(self, dtype: Any = np.float64) -> Array:
        each = self.num_features // self.num_groups
        return np.tile(np.eye(each, dtype=dtype), (self.num_groups, 1, 1))

    def reset_running_stats(self) -> None:
        """Forget the running statistics: mean 0, covariance I, no batches."""
        super().reset_running_stats()
        if self.running_cov is not None:
            self.running_cov.array[...] = self._identity()
            note_change(self.running_cov.array)

    def vectors(self) -> tuple[Tensor | None, ...]:
        """Without the covariance, which is none."""
        return self.weight, self.bias, self.running_mean

    def check_input(self, x: Tensor, axis: int = 1) -> None:
        """The covariance's shape, too."""
        super().check_input(x, axis)
        shape = self._identity().shape
        if self.running_cov is not None and self.running_cov.shape != shape:
            raise RuntimeError(
                f"{self._title()}: running_cov has shape {self.running_cov.shape}, expected {shape}"
            )

    def _train_forward(self, x: Tensor) -> tuple[Tensor, Array, Array]:
        if not x.array.size:
            return super()._train_forward(x)
        y, mean, cov = whiten(x, self.num_groups, self.eps)
        return apply_affine(y, self.weight, self.bias), mean, cov

    def _eval_forward(self, x: Tensor) -> Tensor:
        if self.running_mean is None or self.running_cov is None:
            raise RuntimeError(f"{type(self).__name__}: one of the running statistics is None")
        dtype = self.running_mean.dtype
        w = inverse_root(self.running_cov.array.astype(np.float64), self.eps)[0].astype(dtype)
        c = (x - along_channels(x, wrap(self.running_mean.array.copy()))).reshape(
            x.shape[0], self.num_groups, self.num_features // self.num_groups, -1
        )
        return apply_affine((wrap(w) @ c).reshape(x.shape), self.weight, self.bias)

    def statistics(self, x: Tensor) -> tuple[Array, Array]:
        """The mean and the biased covariance of a batch (float64)."""
        _, mean, cov = covariance(grouped(x.array, self.num_groups))
        return mean.reshape(-1), cov

    def between_batch_variance(self, shift: Array) -> Array:
        """The covariance that a shift of the mean stands for."""
        parts = shift.reshape(self.num_groups, -1, 1)
        return parts * parts.swapaxes(1, 2)

    def standard_deviation(self, var: Array) -> Array:
        """The standard deviation of each channel, from the covariances' diagonals."""
        variances = np.diagonal(var, axis1=1, axis2=2)
        return np.asarray(np.sqrt(variances).reshape(-1))

    def extra_repr(self) -> str:
        """BatchNorm's, and the groups."""
        return f"{super().extra_repr()}, num_groups={self.num_groups}"


class DecorrelatedBatchNorm1d(_DecorrelatedBatchNorm):
    ranks: ClassVar[dict[int, str]] = BatchNorm1d.ranks


class DecorrelatedBatchNorm2d(_DecorrelatedBatchNorm):
    ranks: ClassVar[dict[int, str]] = BatchNorm2d.ranks
