"""PyTorch's `torch.nn.modules`, for scripts that import layers from the files that they stand in
there: `from minigrad.nn.modules.batchnorm import _BatchNorm`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from minigrad.names import NoAttribute
from minigrad.nn.conv import ConvBase
from minigrad.nn.loss import _Loss, _WeightedLoss
from minigrad.nn.norm.batch import BatchNormBase
from minigrad.nn.norm.instance import InstanceNormBase

FILES = (
    "activation", "adaptive", "batchnorm", "channelshuffle", "container", "conv", "distance",
    "dropout", "flatten", "fold", "instancenorm", "linear", "loss", "module", "normalization",
    "padding", "pixelshuffle", "pooling", "rnn", "sparse", "transformer", "upsampling", "utils",
)  # fmt: skip

# What nn itself has no name for: the classes that all layers of a file belong to, and a number as
# a tuple of it, where a tuple stays as it is.
BASES: dict[str, dict[str, Any]] = {
    "batchnorm": {"_BatchNorm": BatchNormBase, "_NormBase": BatchNormBase},
    "conv": {"_ConvNd": ConvBase},
    "instancenorm": {"_InstanceNorm": InstanceNormBase},
    "loss": {"_Loss": _Loss, "_WeightedLoss": _WeightedLoss},
    "utils": {
        "_single": lambda x: _ntuple(x, 1),
        "_pair": lambda x: _ntuple(x, 2),
        "_triple": lambda x: _ntuple(x, 3),
    },
}


def _ntuple(x: Any, n: int) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, tuple | list) else (x,) * n


def _layer(module: str, name: str) -> Any:
    """The class of this name; which file it stands in there makes no difference here."""
    found = getattr(sys.modules["minigrad.nn"], name, None)
    if not isinstance(found, type):
        raise NoAttribute(f"module {module!r}", name, lambda: sys.modules["minigrad.nn"].__all__)
    return found


class _File(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return _layer(self.__name__, name)


def __getattr__(name: str) -> Any:
    return _layer(__name__, name)


for _name in FILES:
    _file = globals()[_name] = _File(f"{__name__}.{_name}")
    _file.__dict__.update(BASES.get(_name, {}))
    sys.modules[_file.__name__] = _file  # where an import looks first
