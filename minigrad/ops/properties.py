"""What a tensor says of its array: its sizes, its memory, its kind."""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from minigrad.checks import axis_of
from minigrad.incoming import Size
from minigrad.names import numpy_overloads
from minigrad.tape import Array
from minigrad.tensor import Tensor, origin


def _array(name: str, input: Any) -> Array:
    """The array of a tensor, for what is a function of the package, too."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(input).__name__}")
    return input.array


def dim(input: Tensor) -> int:
    """The number of axes."""
    return input.array.ndim


@overload
def size(input: Tensor, dim: None = None) -> Size: ...
@overload
def size(input: Tensor, dim: int) -> int: ...
@overload
def size(input: Tensor, *, axis: int) -> int: ...
@numpy_overloads
def size(input: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size of one axis."""
    shape = input.array.shape
    return Size(shape) if dim is None else shape[axis_of("size", dim, len(shape))]


def numel(input: Tensor) -> int:
    """The number of elements."""
    return _array("numel", input).size


def get_device(input: Tensor) -> int:
    """-1, which stands for the CPU."""
    return -1


def is_pinned(input: Tensor, device: Any = None) -> bool:
    """False: memory is pinned for a GPU to copy it."""
    return False


def is_shared(input: Tensor) -> bool:
    """False: no other process sees the memory."""
    return False


def element_size(input: Tensor) -> int:
    """Bytes per element."""
    return input.array.itemsize


def is_contiguous(input: Tensor) -> bool:
    """Whether the elements lie in memory in row-major order."""
    return bool(input.array.flags.c_contiguous)


def is_complex(input: Tensor) -> bool:
    """Whether the dtype is a complex one."""
    return bool(_array("is_complex", input).dtype.kind == "c")


def is_signed(input: Tensor) -> bool:
    """Whether the dtype has numbers below 0."""
    return _array("is_signed", input).dtype.kind in "ifc"


def storage_offset(input: Tensor) -> int:
    """How many elements of the tensor that this is a view of stand in front of it in memory."""
    a, whole = _array("storage_offset", input), origin(input).array
    return (a.ctypes.data - whole.ctypes.data) // a.itemsize


@overload
def stride(input: Tensor, dim: None = None) -> tuple[int, ...]: ...
@overload
def stride(input: Tensor, dim: int) -> int: ...
@overload
def stride(input: Tensor, *, axis: int) -> int: ...
@numpy_overloads
def stride(input: Tensor, dim: int | None = None) -> Any:
    """How many elements further in memory the next one along each axis lies, or along one axis."""
    a = input.array
    if not a.size:  # numpy has zeros where there is nothing to step over
        a = np.empty([max(n, 1) for n in a.shape], a.dtype)
    strides = tuple(n // a.itemsize for n in a.strides)
    return strides if dim is None else strides[axis_of("stride", dim, len(strides))]


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating one."""
    return bool(_array("is_floating_point", input).dtype.kind == "f")


def data_ptr(input: Tensor) -> int:
    """The address of the first element."""
    return input.array.ctypes.data
