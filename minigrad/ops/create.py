"""New tensors. The keyword `device` is checked to be the CPU wherever PyTorch has it."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from minigrad.checks import integer, number, users_level
from minigrad.device import check_device, check_memory_format
from minigrad.dtypes import float32, int64, native
from minigrad.incoming import as_array, fitting, is_array, taken
from minigrad.ops.convert import to
from minigrad.ops.shape import clone, sizes_of
from minigrad.tensor import Tensor, wrap


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A copy of numbers, nested lists, or arrays and tensors of any library. Plain numbers become
    float32 (int64, bool), others keep their dtype; a value that an integer dtype cannot hold is a
    RuntimeError.

    >>> mg.tensor([[1, 2], [3, 4]]).dtype, mg.tensor(1.5).dtype
    (dtype('int64'), dtype('float32'))
    """
    check_device("tensor", device)
    return wrap(np.array(as_array(data, dtype))).requires_grad_(requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The tensor itself, in another dtype if one is given; or a tensor that shares the memory of an
    array or of another library's tensor where it can."""
    check_device("as_tensor", device)
    if isinstance(data, Tensor):
        return data if dtype is None else to(data, dtype)
    return wrap(as_array(data, dtype, "as_tensor"))


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`as_tensor`; with copy=True always a copy, with copy=False an error where one is needed."""
    x = as_tensor(obj, dtype, device)
    shared = is_array(obj) and np.may_share_memory(taken("asarray", obj), x.array)
    if copy is False and not shared:
        raise ValueError(f"asarray: {type(obj).__name__} cannot become a tensor without a copy")
    x = clone(x) if copy and shared else x
    return x if requires_grad is False else x.requires_grad_(requires_grad)


def from_numpy(ndarray: Any) -> Tensor:
    """A tensor that shares the array's memory; of an array in another byte order, a copy."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expected a numpy array, got {type(ndarray).__name__}")
    return wrap(as_array(ndarray, name="from_numpy"))


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor that shares the memory of another library's tensor, which has `__dlpack__`."""
    if not hasattr(ext_tensor, "__dlpack__"):
        raise TypeError(f"from_dlpack: {type(ext_tensor).__name__} has no __dlpack__")
    try:
        array = np.from_dlpack(ext_tensor)
    except (BufferError, RuntimeError) as error:  # a dtype that numpy lacks, a gradient, …
        kind = f"{type(ext_tensor).__module__}.{type(ext_tensor).__name__}"
        raise type(error)(f"from_dlpack: {kind} gives no array: {error}") from error
    return wrap(as_array(array, name="from_dlpack"))


def shape_of(name: str, sizes: tuple[Any, ...], size: Any = ()) -> tuple[int, ...]:
    """The shape from f(2, 3), f((2, 3)) or f(size=(2, 3))."""
    shape = sizes_of(name, sizes or (size,))
    if min(shape, default=0) < 0:
        raise RuntimeError(f"{name}: sizes must not be negative, got {shape}")
    return shape


def _new(name: str, array: Any, device: Any, requires_grad: bool) -> Tensor:
    check_device(name, device)
    return wrap(taken(name, array)).requires_grad_(requires_grad)


def zeros(
    *sizes: Any, size: Any = (), dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros."""
    array = np.zeros(shape_of("zeros", sizes, size), native(float32 if dtype is None else dtype))
    return _new("zeros", array, device, requires_grad)


def ones(
    *sizes: Any, size: Any = (), dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones."""
    array = np.ones(shape_of("ones", sizes, size), native(float32 if dtype is None else dtype))
    return _new("ones", array, device, requires_grad)


def empty(
    *sizes: Any, size: Any = (), dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Memory as it comes: write before reading."""
    array = np.empty(shape_of("empty", sizes, size), native(float32 if dtype is None else dtype))
    return _new("empty", array, device, requires_grad)


def _filling(name: str, value: Any, dtype: Any) -> Any:
    dtype = as_array(value, name=name).dtype if dtype is None else native(dtype)
    return fitting(name, value, dtype)


def full(
    size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """One number everywhere."""
    array = np.full(shape_of("full", (size,)), _filling("full", fill_value, dtype))
    return _new("full", array, device, requires_grad)


def arange(
    start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """start, start + step, … up to but not including end; int64 if all are integers.

    >>> mg.arange(1, 10, 3)
    tensor([1, 4, 7])
    """
    if end is None:
        start, end = 0, start
    given = {"start": start, "end": end, "step": step}
    start, end, step = (  # bools, too, as in PyTorch
        int(v) if isinstance(v, bool) else number("arange", k, v) for k, v in given.items()
    )
    if step == 0 or not math.isfinite((end - start) / step) or (end - start) * step < 0:
        raise RuntimeError(f"arange: steps of {step} do not lead from {start} to {end}")
    if dtype is not None and native(dtype) == int64:
        if int(step) == 0:
            raise RuntimeError(f"arange: a step of {step} is 0 in int64: leave out dtype=")
        end, start, step = int(end), int(start), int(step)
    whole = all(isinstance(v, int) for v in (start, end, step))
    count = -((start - end) // step) if whole else math.ceil((end - start) / step)
    dtype = np.dtype(dtype or (int64 if whole else float32))
    if dtype.kind in "iu":
        start, step = int(start), int(step)
        for value in (start, start + step * max(count - 1, 0)):
            fitting("arange", value, dtype)
    with np.errstate(over="ignore"):
        array = (start + step * np.arange(count)).astype(dtype)
    return _new("arange", array, device, requires_grad)


def range(
    start: float, end: float, step: float = 1, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """start, start + step, … up to end, which is included, in float32 if no dtype is given; the
    name is deprecated, as in PyTorch: use arange."""
    text = "range is deprecated, as it includes its end: use arange"
    warnings.warn(text, UserWarning, stacklevel=users_level())
    given = {"start": start, "end": end, "step": step}
    first, last, by = (number("range", k, v) for k, v in given.items())
    if by == 0 or not math.isfinite((last - first) / by) or (last - first) * by < 0:
        raise RuntimeError(f"range: steps of {by} do not lead from {first} to {last}")
    array = first + by * np.arange(math.floor((last - first) / by) + 1)
    dtype = native(float32 if dtype is None else dtype)
    return _new("range", as_array(array, dtype, "range"), device, requires_grad)


def linspace(
    start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`steps` numbers evenly spaced from start to end, both included."""
    steps = integer("linspace", "steps", steps, 0)
    dtype = native(float32 if dtype is None else dtype)
    for value in (start, end):
        fitting("linspace", value, dtype)
    array = np.linspace(float(start), float(end), steps)
    return _new("linspace", array.astype(dtype), device, requires_grad)


def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`steps` powers of `base`, their exponents evenly spaced from start to end, both included."""
    given = {"start": start, "end": end, "base": base}
    first, last, root = (float(number("logspace", k, v)) for k, v in given.items())
    with np.errstate(all="ignore"):
        array = np.power(root, np.linspace(first, last, integer("logspace", "steps", steps, 0)))
    dtype = float32 if dtype is None else dtype
    return _new("logspace", as_array(array, dtype, "logspace"), device, requires_grad)


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A vector on the memory of bytes, a bytearray or the like: `count` elements, or all, from the
    byte `offset` on. That of bytes cannot be written to."""
    try:
        array = np.frombuffer(buffer, dtype, count, offset)
    except (TypeError, ValueError, BufferError) as error:
        raise ValueError(f"frombuffer: {error}") from None
    return wrap(array).requires_grad_(requires_grad)


def scalar_tensor(
    s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A number as a tensor without axes, in float32 whatever its kind if no dtype is given."""
    if is_array(s) and not isinstance(s, np.generic):
        raise TypeError(f"scalar_tensor: expected a number, got {type(s).__name__}: use as_tensor")
    dtype = native(float32 if dtype is None else dtype)
    return _new("scalar_tensor", fitting("scalar_tensor", s, dtype), device, requires_grad)


def eye(
    n: int, m: int | None = None, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Ones on the diagonal."""
    rows = integer("eye", "n", n, 0)
    columns = rows if m is None else integer("eye", "m", m, 0)
    array = np.eye(rows, columns, dtype=native(float32 if dtype is None else dtype))
    return _new("eye", array, device, requires_grad)


def _like(x: Any, dtype: Any) -> tuple[tuple[int, ...], Any]:
    a = as_array(x)
    return a.shape, a.dtype if dtype is None else dtype


def zeros_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """Zeros in the shape and dtype of x."""
    check_memory_format("zeros_like", memory_format)
    return _new("zeros_like", np.zeros(*_like(input, dtype)), device, requires_grad)


def ones_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """Ones in the shape and dtype of x."""
    check_memory_format("ones_like", memory_format)
    return _new("ones_like", np.ones(*_like(input, dtype)), device, requires_grad)


def empty_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """`empty` in the shape and dtype of x."""
    check_memory_format("empty_like", memory_format)
    return _new("empty_like", np.empty(*_like(input, dtype)), device, requires_grad)


def full_like(
    input: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False, memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """One number everywhere, in the shape and dtype of x."""
    check_memory_format("full_like", memory_format)
    shape, dtype = _like(input, dtype)
    array = np.full(shape, _filling("full_like", fill_value, dtype))
    return _new("full_like", array, device, requires_grad)


def new(x: Tensor, *data: Any) -> Tensor:
    """`Tensor(*data)` in the dtype of x: of sizes, or of a list's numbers."""
    return Tensor(*data, dtype=x.dtype)


def new_tensor(
    x: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`tensor` in the dtype of x."""
    dtype = x.dtype if dtype is None else dtype
    return tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)


def new_zeros(
    x: Tensor, *sizes: Any, size: Any = (), dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`zeros` in the dtype of x."""
    dtype = x.dtype if dtype is None else dtype
    return zeros(*sizes, size=size, dtype=dtype, device=device, requires_grad=requires_grad)


def new_ones(
    x: Tensor, *sizes: Any, size: Any = (), dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`ones` in the dtype of x."""
    dtype = x.dtype if dtype is None else dtype
    return ones(*sizes, size=size, dtype=dtype, device=device, requires_grad=requires_grad)


def new_empty(
    x: Tensor, *sizes: Any, size: Any = (), dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`empty` in the dtype of x."""
    dtype = x.dtype if dtype is None else dtype
    return empty(*sizes, size=size, dtype=dtype, device=device, requires_grad=requires_grad)


def new_full(
    x: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`full` in the dtype of x."""
    dtype = x.dtype if dtype is None else dtype
    return full(size, fill_value, dtype=dtype, device=device, requires_grad=requires_grad)


def is_tensor(obj: Any) -> bool:
    """Whether x is a Tensor."""
    return isinstance(obj, Tensor)
