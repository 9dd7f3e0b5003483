"""PyTorch's `torch.nn.modules`, for scripts that import layers from the files that they stand in
there: `from minigrad.nn.modules.batchnorm import _BatchNorm`."""

from __future__ import annotations

import sys
from typing import Any

from minigrad.nn import (
    activation,
    container,
    linear,
    loss,
    module,
    padding,
    pooling,
    transformer,
)
from minigrad.nn import conv as _conv
from minigrad.nn.norm import batch as _batch
from minigrad.nn.norm import instance as _instance
from minigrad.nn.norm import synchronised as _synchronised

__all__ = [
    "activation", "batchnorm", "container", "conv", "instancenorm", "linear", "loss", "module",
    "padding", "pooling", "transformer", "utils",
]  # fmt: skip


class batchnorm:
    """Batch normalisation; every layer of it is a `_BatchNorm`."""

    _BatchNorm = _batch.BatchNormBase
    BatchNorm1d = _batch.BatchNorm1d
    BatchNorm2d = _batch.BatchNorm2d
    BatchNorm3d = _batch.BatchNorm3d
    SyncBatchNorm = _synchronised.SyncBatchNorm


class instancenorm:
    """Instance normalisation; every layer of it is an `_InstanceNorm`."""

    _InstanceNorm = _instance.InstanceNormBase
    InstanceNorm1d = _instance.InstanceNorm1d
    InstanceNorm2d = _instance.InstanceNorm2d
    InstanceNorm3d = _instance.InstanceNorm3d


class conv:
    """Convolutions; every layer of them is a `_ConvNd`."""

    _ConvNd = _conv.ConvBase
    Conv1d = _conv.Conv1d
    Conv2d = _conv.Conv2d
    Conv3d = _conv.Conv3d
    ConvTranspose1d = _conv.ConvTranspose1d
    ConvTranspose2d = _conv.ConvTranspose2d
    ConvTranspose3d = _conv.ConvTranspose3d


class utils:
    """A number as a tuple of it, and a tuple as it is."""

    @staticmethod
    def _single(x: Any) -> tuple[Any, ...]:
        return _ntuple(x, 1)

    @staticmethod
    def _pair(x: Any) -> tuple[Any, ...]:
        return _ntuple(x, 2)

    @staticmethod
    def _triple(x: Any) -> tuple[Any, ...]:
        return _ntuple(x, 3)


def _ntuple(x: Any, n: int) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, tuple | list) else (x,) * n


# An import looks here first, and then for files.
_PARTS: dict[str, Any] = {
    "activation": activation, "batchnorm": batchnorm, "container": container, "conv": conv,
    "instancenorm": instancenorm, "linear": linear, "loss": loss, "module": module,
    "padding": padding, "pooling": pooling, "transformer": transformer, "utils": utils,
}  # fmt: skip
sys.modules.update({f"{__name__}.{name}": part for name, part in _PARTS.items()})
