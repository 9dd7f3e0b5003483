"""PyTorch's name for where `data` is: `minigrad.utils.data`."""

from minigrad.utils import data

__all__ = ["data"]
