"""New tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.dtypes import float32, int64
from minigrad.ops.shape import sizes_of
from minigrad.tensor import Tensor, as_array, wrap


def tensor(data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A copy of numbers, nested lists or arrays as a tensor."""
    return Tensor(data, requires_grad, dtype)


def as_tensor(data: Any, dtype: Any = None) -> Tensor:
    """The tensor itself, or a tensor that shares an array's memory where it can."""
    if isinstance(data, Tensor) and (dtype is None or data.dtype == np.dtype(dtype)):
        return data
    return wrap(as_array(data, dtype))


def from_numpy(array: Any) -> Tensor:
    """A tensor that shares the array's memory."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a numpy array, got {type(array).__name__}")
    return wrap(as_array(array))


def _shape(name: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    shape = sizes_of(name, size)
    if min(shape, default=0) < 0:
        raise RuntimeError(f"{name}: sizes must not be negative, got {shape}")
    return shape


def _new(array: Any, requires_grad: bool) -> Tensor:
    return wrap(array).requires_grad_(requires_grad)


def zeros(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros."""
    return _new(np.zeros(_shape("zeros", size), float32 if dtype is None else dtype), requires_grad)


def ones(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones."""
    return _new(np.ones(_shape("ones", size), float32 if dtype is None else dtype), requires_grad)


def empty(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Memory as it comes: write before reading."""
    return _new(np.empty(_shape("empty", size), float32 if dtype is None else dtype), requires_grad)


def full(size: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """One number everywhere."""
    shape = _shape("full", (size,))
    return _new(np.full(shape, as_array(fill_value, dtype)[()]), requires_grad)


def arange(
    start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """start, start + step, … up to but not including end; int64 if all are integers."""
    if end is None:
        start, end = 0, start
    start, end, step = (v.item() if isinstance(v, Tensor) else v for v in (start, end, step))
    if step == 0 or (end - start) * step < 0:
        raise RuntimeError(f"arange: {step} steps do not lead from {start} to {end}")
    if dtype is None:
        whole = all(isinstance(v, int | np.integer) for v in (start, end, step))
        dtype = int64 if whole else float32
    count = max(int(np.ceil((end - start) / step)), 0)
    return _new((start + step * np.arange(count)).astype(dtype), requires_grad)


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` numbers evenly spaced from start to end, both included."""
    if steps < 0:
        raise RuntimeError(f"linspace: steps must be non-negative, got {steps}")
    array = np.linspace(start, end, steps).astype(float32 if dtype is None else dtype)
    return _new(array, requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal."""
    return _new(np.eye(n, m, dtype=float32 if dtype is None else dtype), requires_grad)


def _like(x: Any, dtype: Any) -> tuple[tuple[int, ...], Any]:
    a = as_array(x)
    return a.shape, a.dtype if dtype is None else dtype


def zeros_like(x: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape and dtype of x."""
    return _new(np.zeros(*_like(x, dtype)), requires_grad)


def ones_like(x: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones in the shape and dtype of x."""
    return _new(np.ones(*_like(x, dtype)), requires_grad)


def empty_like(x: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`empty` in the shape and dtype of x."""
    return _new(np.empty(*_like(x, dtype)), requires_grad)


def full_like(x: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """One number everywhere, in the shape and dtype of x."""
    shape, kind = _like(x, dtype)
    return _new(np.full(shape, as_array(fill_value)[()], kind), requires_grad)


def new_zeros(x: Tensor, *size: Any) -> Tensor:
    """Zeros in the dtype of x."""
    return zeros(*size, dtype=x.dtype)


def new_ones(x: Tensor, *size: Any) -> Tensor:
    """Ones in the dtype of x."""
    return ones(*size, dtype=x.dtype)


def is_tensor(x: Any) -> bool:
    """Whether x is a Tensor."""
    return isinstance(x, Tensor)
