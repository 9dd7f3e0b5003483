"""Normalisation layers. The mathematics is in `ops/norm.py`.

`base.py` has what layers with running statistics share, `batch.py` and `instance.py` have those
layers, `synchronised.py` the one of several processes; those of `per_sample.py` need no batch and
keep no statistics. `variants.py` and `decorrelated.py` have what PyTorch does not. `recalibrate.py`
takes the statistics of a trained network anew, `fold.py` folds them into the layer before.
"""

from minigrad.modes import frozen_stats
from minigrad.nn.norm.batch import BatchNorm1d, BatchNorm2d, BatchNorm3d
from minigrad.nn.norm.instance import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from minigrad.nn.norm.per_sample import GroupNorm, LayerNorm, LocalResponseNorm, RMSNorm
from minigrad.nn.norm.synchronised import SyncBatchNorm
from minigrad.nn.norm.variants import (
    BatchInstanceNorm2d,
    BatchRenorm1d,
    BatchRenorm2d,
    DecorrelatedBatchNorm1d,
    DecorrelatedBatchNorm2d,
    LpBatchNorm1d,
    LpBatchNorm2d,
)

__all__ = [
    "BatchInstanceNorm2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "BatchRenorm1d",
    "BatchRenorm2d",
    "DecorrelatedBatchNorm1d",
    "DecorrelatedBatchNorm2d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "LpBatchNorm1d",
    "LpBatchNorm2d",
    "RMSNorm",
    "SyncBatchNorm",
    "frozen_stats",
]
