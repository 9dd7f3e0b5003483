"""What PyTorch has in `torch.utils`: `data`, which is `minigrad.data`, and `checkpoint`."""

from minigrad.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
