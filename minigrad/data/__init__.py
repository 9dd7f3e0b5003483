"""Data: datasets and the loader, preprocessing, and the sources of the examples."""

from minigrad.data.loader import (
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
)
from minigrad.data.preprocessing import ClipOutliers, MinMax, Standardize, Whiten
from minigrad.data.sources import digits, mnist, titanic

__all__ = [
    "ClipOutliers",
    "DataLoader",
    "Dataset",
    "MinMax",
    "Standardize",
    "Subset",
    "TensorDataset",
    "Whiten",
    "default_collate",
    "digits",
    "mnist",
    "random_split",
    "titanic",
]
