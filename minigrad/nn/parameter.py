"""Parameters, the tensors that training changes, and buffers, which it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.incoming import as_array
from minigrad.tape import Leaf
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


class Buffer(Tensor):
    """A tensor that becomes a module's buffer when it is assigned to one, as `register_buffer`
    makes them.

    Args:
        data: a Tensor, whose memory is shared, or what `minigrad.tensor` takes, which is copied.
        persistent: whether it is part of the state dict.
    """

    __slots__ = ("persistent",)

    def __init__(self, data: Any, *, persistent: bool = True) -> None:
        self.array = data.array if isinstance(data, Tensor) else np.array(as_array(data))
        self.node = self.leaf = self.base = None
        self.persistent = persistent


class UninitializedParameter(Parameter):
    """A parameter whose shape is not known yet: it has no array, and every use of it says so. Its
    leaf has its dtype, and whether it requires a gradient."""

    __slots__ = ()

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.node = self.leaf = Leaf((0,), dtype)
        self.base = None

    def convert(self, dtype: np.dtype[Any]) -> None:
        """Have this dtype once there is an array."""
        self._leaf().become((0,), dtype)

    def materialize(self, array: Any) -> None:
        """Become an ordinary parameter with this array."""
        self._leaf().become(array.shape, array.dtype)
        self.array = array
        self.__class__ = Parameter  # type: ignore[assignment]
        self.requires_grad = self.node is not None

    def _leaf(self) -> Leaf:
        assert self.leaf is not None  # it has one from the beginning
        return self.leaf

    def __repr__(self) -> str:
        return "<UninitializedParameter>"

    if not TYPE_CHECKING:

        @property
        def dtype(self) -> np.dtype[Any]:
            return self.leaf.dtype

        @property
        def requires_grad(self) -> bool:
            return self.node is not None

        @requires_grad.setter
        def requires_grad(self, value: bool) -> None:
            self.node = self.leaf if value else None

        def __getattr__(self, name: str) -> Any:
            if name == "array":
                raise ValueError(
                    "an uninitialized parameter of a lazy layer was used: run the network once on "
                    "an input first, then load into it"
                )
            return super().__getattr__(name)
