"""`minigrad.data` under PyTorch's name, for scripts that write `utils.data`."""

import sys

from minigrad.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    get_worker_info,
    random_split,
)
from minigrad.data import datasets as dataset
from minigrad.data import loader as dataloader
from minigrad.data import samplers as sampler
from minigrad.utils.data import distributed  # noqa: F401 (PyTorch has it here)

# PyTorch has them in these files. An import looks here first.
sys.modules.update(
    {
        f"{__name__}.dataloader": dataloader,
        f"{__name__}.dataset": dataset,
        f"{__name__}.sampler": sampler,
    }
)

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]
