"""The door: what comes from outside (numbers, lists, arrays, other libraries' tensors) as arrays.

It is used wherever values enter. Plain numbers become float32 (int64, bool); what has a dtype of
its own keeps it. Nothing changes in silence: a value that an integer dtype cannot hold is refused.
Other byte orders are converted, since compiled kernels read none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, SupportsIndex, overload

import numpy as np

from minigrad.checks import asked, integers
from minigrad.device import check_device
from minigrad.dtypes import CATEGORY, PYTHON_DTYPE, float32, native, promote

Array = np.ndarray[Any, np.dtype[Any]]
PROTOCOLS = ("__array__", "__array_interface__", "__dlpack__")


class Holder:
    """What holds its numbers in `.array`: a Tensor, as far as the door needs to know it."""

    __slots__ = ()

    array: Array


KNOWN = (Holder, np.ndarray, np.generic)


class Size(tuple[int, ...]):
    """The sizes of a tensor's axes. `Tensor(x.shape)` is a tensor of that shape, as `Tensor(2, 3)`
    is, where any other tuple is a list of numbers. Parts and sums of sizes are sizes."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Size: ...
    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return Size(part) if isinstance(index, slice) else part

    def __add__(self, other: Any) -> Any:
        return Size((*self, *other)) if isinstance(other, tuple) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return Size((*other, *self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, n: Any) -> Any:
        return Size(super().__mul__(n)) if isinstance(n, int) else NotImplemented

    __rmul__ = __mul__

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self)


def as_array(data: Any, dtype: Any = None, name: str = "tensor") -> Array:
    """The array of a number, a nested list, an array or a Tensor, or of anything that has
    `__array__`, `__array_interface__`, `__dlpack__` or the buffer protocol; shared where it can be.

    Args:
        data: plain numbers and lists of them become float32 (int64, bool), others keep their dtype.
        dtype: convert to this dtype.
        name: what errors call the operation.

    Raises:
        TypeError: these are no numbers.
        ValueError: a nested list that is not rectangular; elements are masked.
        RuntimeError: an integer dtype does not hold a value; the other library gives no array.
    """
    if isinstance(data, Holder):
        return data.array if dtype is None else data.array.astype(np.dtype(dtype), copy=False)
    if type(data) in PYTHON_DTYPE:
        array, own = np.asarray(data), PYTHON_DTYPE[type(data)]
    elif is_array(data):
        array = taken(name, data)
        own = array.dtype
    elif isinstance(data, Sequence) and not isinstance(data, str):
        array, own = _nested(name, data)
    else:
        return as_array(_plain(name, data), dtype, name)
    return _converted(name, array, own if dtype is None else native(dtype))


def made(data: tuple[Any, ...], dtype: Any, device: Any) -> Array:
    """The array of `Tensor(*data)`: a copy of the one list or array, or memory of these sizes."""
    check_device("Tensor", device)
    dtype = None if dtype is None else native(dtype)
    first = data[0] if len(data) == 1 else None
    if is_array(first) and not isinstance(first, np.integer):
        return np.array(as_array(first, dtype, "Tensor"))
    if isinstance(first, Sequence) and not isinstance(first, str | Size):
        array = as_array(first, dtype, "Tensor")
        plain = dtype is None and array.dtype.kind != "c"
        return array.astype(float32, copy=False) if plain else array
    if type(first) in PYTHON_DTYPE and type(first) is not int:
        raise TypeError(
            f"Tensor: expected sizes, a list or an array, got {first}: minigrad.tensor({first}) "
            "takes a number"
        )
    sizes = first if isinstance(first, Size) else data or (0,)
    return np.empty(integers("Tensor", "sizes", sizes, minimum=0), dtype or float32)


def fitting(name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    """A number, or a tensor or array without axes, as a 0-d array of a dtype that can hold it.

    Raises:
        TypeError: it is no number.
        RuntimeError: it has axes, or the dtype cannot hold it. Fractions are cut off.
    """
    if type(value) in PYTHON_DTYPE:
        a = np.asarray(value)
        if dtype.kind == "f" and a.dtype.kind == "f" and -60000 < value < 60000:
            return a.astype(dtype)
    elif is_array(value):
        a = taken(name, value)
    else:
        return fitting(name, _plain(name, value), dtype)
    if a.ndim:
        raise RuntimeError(f"{asked(name)}: expected a number or a 0-d tensor, got shape {a.shape}")
    out = _converted(name, a, dtype)
    if out.dtype.kind == "f" and np.isinf(out) and abs(a.item()) != np.inf:
        raise _misfit(name, a.item(), dtype)
    return out


def check_numbers(name: str, dtype: np.dtype[Any], *values: Any) -> None:
    """Raise if one of the values is a plain number that the dtype cannot hold."""
    for value in values:
        if type(value) in PYTHON_DTYPE or isinstance(value, np.generic):
            fitting(name, value, dtype)


def is_array(data: Any) -> bool:
    """Whether it is an array or tensor, of whichever library."""
    if isinstance(data, KNOWN):
        return True
    if any(hasattr(data, protocol) for protocol in PROTOCOLS):
        return not isinstance(data, type)
    try:
        memoryview(data)
    except TypeError:
        return False
    return True


def taken(name: str, data: Any) -> Array:
    """The array of what `is_array` knows: in its dtype, and its memory unless that has another byte
    order than this machine's."""
    if isinstance(data, Holder):
        return data.array
    try:
        if isinstance(data, KNOWN) or any(hasattr(data, p) for p in PROTOCOLS[:2]):
            array = np.asarray(data)
        else:
            array = (
                np.from_dlpack(data)
                if hasattr(data, "__dlpack__")
                else np.asarray(memoryview(data))
            )
    except Exception as error:  # each library has its own, for memory on devices, gradients, …
        kind = f"{type(data).__module__}.{type(data).__name__}"
        advice = ""
        if "ScalarType" in str(error):  # PyTorch's sentence has no way out
            advice = f": numpy has no {getattr(data, 'dtype', kind)}, convert it with .float()"
        raise RuntimeError(f"{asked(name)}: {kind} gives no array: {error}{advice}") from error
    if type(data) is not np.ndarray and isinstance(data, np.ndarray) and np.any(_mask(data)):
        count = int(np.sum(_mask(data)))
        masked = "1 element is" if count == 1 else f"{count} elements are"
        raise ValueError(
            f"{asked(name)}: {masked} masked, and a tensor has no mask: say what to take instead, "
            "with .filled(value)"
        )
    if array.dtype.kind not in CATEGORY:
        advice = ": convert it, with .astype(float), say" if array.dtype == object else ""
        raise _no_numbers(name, f"{type(data).__name__} of dtype {array.dtype}{advice}")
    return array if array.dtype.isnative else array.astype(native(array.dtype))


def _plain(name: str, data: Any, where: str = "") -> int | float:
    """The plain number of a type that is derived from Python's: an IntEnum's member, say."""
    if isinstance(data, int | float):
        return int(data) if isinstance(data, int) else float(data)
    raise _no_numbers(name, type(data).__name__ + where)


def _mask(data: Any) -> Any:
    """That of numpy.ma's arrays; of others False."""
    return getattr(data, "mask", False)


def _nested(name: str, items: Sequence[Any]) -> tuple[Array, np.dtype[Any]]:
    """The array of nested lists, and the common dtype of the numbers and arrays in them."""
    kinds: set[np.dtype[Any]] = set()
    try:
        array = np.asarray(_leaves(name, items, kinds))
    except ValueError as error:
        raise ValueError(f"{asked(name)}: the nested list is not rectangular ({error})") from None
    return array, reduce(promote, kinds) if kinds else float32


def _leaves(name: str, items: Sequence[Any], kinds: set[np.dtype[Any]]) -> list[Any]:
    """Nested lists with arrays and tensors as numpy's arrays; `kinds` collects the dtypes."""
    types = set(map(type, items))
    if types <= PYTHON_DTYPE.keys():  # the innermost lists, mostly
        kinds.update(PYTHON_DTYPE[kind] for kind in types)
        return list(items)
    leaves: list[Any] = []
    nested = isinstance(items[0], Sequence)
    for item in items:
        if type(item) in PYTHON_DTYPE:
            kinds.add(PYTHON_DTYPE[type(item)])
        elif not isinstance(item, list | tuple) and is_array(item):
            # PyTorch takes a tensor of one element for a number, however many axes it has.
            number = isinstance(item, Holder) and item.array.size == 1 and not nested
            item = taken(name, item)
            kinds.add(item.dtype)
            item = item.reshape(()) if number else item
        elif isinstance(item, Sequence) and not isinstance(item, str):
            item = _leaves(name, item, kinds)
        else:
            item = _plain(name, item, " in a list")
            kinds.add(PYTHON_DTYPE[type(item)])
        leaves.append(item)
    return leaves


def _converted(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """The array in a dtype, unless that is one of integers and does not hold all values."""
    if array.dtype == dtype:
        return array
    if array.dtype == object:  # integers of more than 64 bits
        if dtype.kind in "iu":
            raise _misfit(name, max(array.flat, key=abs), dtype)
        try:
            array = array.astype(np.float64)
        except OverflowError:
            raise _misfit(name, max(array.flat, key=abs), dtype) from None
    if array.dtype.kind == "c" and dtype.kind in "iuf":
        raise RuntimeError(f"{asked(name)}: complex numbers do not fit dtype {dtype}")
    if dtype.kind in "iu" and array.size and not np.can_cast(array.dtype, dtype):
        for value in (array.min().item(), array.max().item()):  # a NaN is both
            if not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
                raise _misfit(name, value, dtype)
    with np.errstate(over="ignore"):
        return array.astype(dtype, copy=False)


def _no_numbers(name: str, got: str) -> TypeError:
    return TypeError(f"{asked(name)}: expected a tensor, an array or numbers, got {got}")


def _misfit(name: str, value: Any, dtype: np.dtype[Any]) -> RuntimeError:
    limits: Any = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    if isinstance(value, int) and value.bit_length() > 100:
        value = f"an integer of {value.bit_length()} bits"
    return RuntimeError(
        f"{asked(name)}: {value} does not fit dtype {dtype}, which holds {limits.min} to "
        f"{limits.max}"
    )
