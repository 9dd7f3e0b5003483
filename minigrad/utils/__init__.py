"""What PyTorch has in `torch.utils`: `data`, which is `minigrad.data`, and two files beside it."""

from minigrad.utils import _pytree, checkpoint, data

__all__ = ["_pytree", "checkpoint", "data"]
