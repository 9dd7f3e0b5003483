"""Parameters: the tensors that training changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.incoming import as_array
from minigrad.tensor import Tensor


class Parameter(Tensor):
    """A tensor that becomes a module's parameter when it is assigned to one.

    Args:
        data: a Tensor, whose memory is shared, or what `minigrad.tensor` takes, which is copied.
        requires_grad: False makes a parameter that training leaves alone.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        self.array = data.array if isinstance(data, Tensor) else np.array(as_array(data))
        self.node = self.leaf = self.base = None
        self.requires_grad = requires_grad

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
