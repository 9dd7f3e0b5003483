"""PyTorch's `torch.multiprocessing`, which is not here: importing it says so."""

from minigrad.names import INSTEAD

raise ImportError(f"minigrad.multiprocessing: {INSTEAD['multiprocessing']}", name=__name__)
