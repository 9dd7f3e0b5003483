"""Data: datasets, samplers and the loader, preprocessing, and the sources of the examples."""

from minigrad.data.collate import default_collate, default_convert
from minigrad.data.datasets import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    random_split,
)
from minigrad.data.distributed import DistributedSampler
from minigrad.data.loader import DataLoader
from minigrad.data.preprocessing import ClipOutliers, MinMax, Standardize, Whiten
from minigrad.data.samplers import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from minigrad.data.sources import digits, mnist, titanic
from minigrad.data.workers import get_worker_info

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ClipOutliers",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "MinMax",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Standardize",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "Whiten",
    "default_collate",
    "default_convert",
    "digits",
    "get_worker_info",
    "mnist",
    "random_split",
    "titanic",
]
