"""Instance normalisation: each channel of each sample by itself, in training always."""

from __future__ import annotations

from typing import Any, ClassVar

from minigrad.modes import stats_may_move
from minigrad.nn.norm.base import NormBase
from minigrad.ops import norm as ops
from minigrad.ops.running_stats import update_running_stats
from minigrad.ops.shape import squeeze, unsqueeze
from minigrad.tensor import Tensor


class InstanceNormBase(NormBase):
    """Normalise each channel of each sample by its own mean and variance.

    InstanceNorm1d takes (N, C, L) or (C, L), InstanceNorm2d (N, C, H, W) or (C, H, W), and
    InstanceNorm3d (N, C, D, H, W) or (C, D, H, W).

    Args:
        num_features: the number of channels C.
        eps: added to the variance, inside the root.
        momentum: the weight of the new batch in the running statistics.
        affine: learn gamma (`weight`) and beta (`bias`) per channel.
        track_running_stats: keep running means over samples, and normalise by them in eval mode.
        device: the CPU, the only one there is.
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
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """Normalise x (N, C, …) or (C, …)."""
        single = isinstance(input, Tensor) and input.ndim == min(self.ranks)
        self.check_input(input, 0 if single else 1)
        y = self._normalise(unsqueeze(input, 0) if single else input)
        return squeeze(y, 0) if single else y

    def _normalise(self, x: Tensor) -> Tensor:
        affine = self.weight, self.bias
        if not self.training and self.running_mean is not None:
            return ops.batch_norm_eval(x, self.running_mean, self.running_var, *affine, self.eps)
        y, mean, var = ops.instance_norm_train(self._title(), x, *affine, self.eps)
        tracked = self.training and self.running_mean is not None and self.momentum is not None
        if tracked and x.array.size and stats_may_move(self):
            size = x.array.size // (x.shape[0] * x.shape[1])
            factor, correction = self.momentum or 0.0, size / (size - 1)
            update_running_stats(
                self._title(), self.running_stats(), mean, var, factor, correction, self._warn_once
            )
        return y


class InstanceNorm1d(InstanceNormBase):
    ranks: ClassVar[dict[int, str]] = {2: "(C, L)", 3: "(N, C, L)"}


class InstanceNorm2d(InstanceNormBase):
    ranks: ClassVar[dict[int, str]] = {3: "(C, H, W)", 4: "(N, C, H, W)"}


class InstanceNorm3d(InstanceNormBase):
    ranks: ClassVar[dict[int, str]] = {4: "(C, D, H, W)", 5: "(N, C, D, H, W)"}
