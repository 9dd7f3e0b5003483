"""`minigrad.data.distributed` under PyTorch's name."""

from minigrad.data.distributed import DistributedSampler

__all__ = ["DistributedSampler"]
