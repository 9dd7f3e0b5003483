"""Batch normalisation over the batches of all processes; see `minigrad.distributed`."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from minigrad import distributed
from minigrad.modes import stats_may_move
from minigrad.nn.module import Module
from minigrad.nn.norm.batch import (
    MOMENTUM,
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    BatchNormBase,
)
from minigrad.ops.activations import relu as relu_op
from minigrad.ops.synchronised import batch_norm_over_ranks
from minigrad.tensor import Tensor


def one_group(name: str, process_group: Any) -> None:
    """Refuse a group of some of the ranks."""
    if process_group is not None:
        raise ValueError(f"{name}: there is one group, of all ranks: leave process_group out")


class SyncBatchNorm(BatchNormBase):
    """`BatchNorm` whose batch is that of all ranks together, for batches too small to have good
    statistics of their own. They may differ in size, and be empty on some ranks.

    Takes (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W). In evaluation, and where
    `init_process_group` was not called, it is BatchNorm. The gradients of weight and bias are those
    of the rank's own samples, which DistributedDataParallel then averages.
    """

    ranks: ClassVar[dict[int, str]] = {
        2: "(N, C)", 3: "(N, C, L)", 4: "(N, C, H, W)", 5: "(N, C, D, H, W)",
    }  # fmt: skip

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = MOMENTUM,
        affine: bool = True, track_running_stats: bool = True, process_group: Any = None,
        device: Any = None, dtype: Any = None, *, bias: bool = True, decay: float | None = None,
    ) -> None:  # fmt: skip
        one_group("SyncBatchNorm", process_group)
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias,
            decay=decay,
        )  # fmt: skip

    def forward(self, input: Tensor, *, relu: bool = False) -> Tensor:
        """Normalise x (N, C, …) by the statistics of all ranks' samples."""
        evaluating = self.running_mean is not None and (self.frozen or not self.training)
        if evaluating or not distributed.is_initialized():
            return super().forward(input, relu=relu)
        self.check_input(input)
        group = distributed.group_of("SyncBatchNorm")
        y, mean, var, m = batch_norm_over_ranks(input, self.weight, self.bias, self.eps, group)
        if m == 1:
            raise self._one_value(input)
        tracked = self.running_mean is not None and self.track_running_stats
        if m and tracked and stats_may_move(self):
            self._update_running_stats(mean, var, m)
        return relu_op(y) if relu else y

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module with a SyncBatchNorm, of the same parameters and statistics, in the place of
        every BatchNorm1d, 2d and 3d in it."""
        one_group("convert_sync_batchnorm", process_group)
        if type(module) in (BatchNorm1d, BatchNorm2d, BatchNorm3d):
            return cls._of(module)
        for name, child in list(module.named_children()):
            made = cls.convert_sync_batchnorm(child)
            if made is not child:
                setattr(module, name, made)
        return module

    @classmethod
    def _of(cls, layer: Any) -> Self:
        own = cls(
            layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats,
            dtype=layer.weight.dtype if layer.weight is not None else None,
        )  # fmt: skip
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            setattr(own, name, getattr(layer, name))
        own.frozen = layer.frozen
        return own.train(layer.training)
