"""Dtypes by the names of classes: FloatTensor and its like, as scripts of PyTorch's first years
write them, `Tensor.type`, and the default dtype."""

from __future__ import annotations

import builtins
import warnings
from typing import Any, overload

import numpy as np

from minigrad.dtypes import (
    CATEGORY,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    native,
    result_dtype,
    uint8,
)
from minigrad.ops.convert import to
from minigrad.tensor import Tensor, wrap


class TensorType(builtins.type):
    """The class of FloatTensor and its like: which tensors belong to them is a matter of dtype."""

    own_dtype: np.dtype[Any]

    @property
    def dtype(cls) -> np.dtype[Any]:
        """The dtype of its tensors."""
        return cls.own_dtype

    def __call__(cls, *data: Any, device: Any = None) -> Tensor:
        return Tensor(*data, dtype=cls.own_dtype, device=device)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor) and instance.array.dtype == cls.own_dtype


class FloatTensor(Tensor, metaclass=TensorType):
    """`FloatTensor(2, 3)` and `FloatTensor([1, 2])`: `Tensor` of float32."""

    own_dtype = float32


class DoubleTensor(Tensor, metaclass=TensorType):
    """`Tensor` of float64."""

    own_dtype = float64


class HalfTensor(Tensor, metaclass=TensorType):
    """`Tensor` of float16."""

    own_dtype = float16


class LongTensor(Tensor, metaclass=TensorType):
    """`Tensor` of int64; fractions are cut off."""

    own_dtype = int64


class IntTensor(Tensor, metaclass=TensorType):
    """`Tensor` of int32; fractions are cut off."""

    own_dtype = int32


class ShortTensor(Tensor, metaclass=TensorType):
    """`Tensor` of int16; fractions are cut off."""

    own_dtype = int16


class CharTensor(Tensor, metaclass=TensorType):
    """`Tensor` of int8; fractions are cut off."""

    own_dtype = int8


class ByteTensor(Tensor, metaclass=TensorType):
    """`Tensor` of uint8; fractions are cut off."""

    own_dtype = uint8


class BoolTensor(Tensor, metaclass=TensorType):
    """`Tensor` of bool: is not zero."""

    own_dtype = bool_


TYPES: dict[str, TensorType] = {
    cls.__name__: cls
    for cls in (
        FloatTensor, DoubleTensor, HalfTensor, LongTensor, IntTensor, ShortTensor, CharTensor,
        ByteTensor, BoolTensor,
    )
}  # fmt: skip
NAMES = {cls.own_dtype: f"minigrad.{name}" for name, cls in TYPES.items()}


def dtype_named(name: str, dtype: Any) -> np.dtype[Any]:
    """The dtype for a dtype, for FloatTensor and its like, and for their names as strings.

    Raises:
        ValueError: a string that names none of them.
        TypeError: something else.
        RuntimeError: a type of another device.
    """
    if isinstance(dtype, TensorType):
        return dtype.own_dtype
    if dtype is Tensor:
        return float32
    if isinstance(dtype, str):
        package, _, short = dtype.rpartition(".")
        if package.endswith(".cuda"):
            raise RuntimeError(f"{name}: the CPU is the only device there is, got {dtype!r}")
        if package not in ("minigrad", "torch") or short not in (*TYPES, "Tensor"):
            raise ValueError(
                f"{name}: expected a dtype or the name of a type, such as 'minigrad.FloatTensor', "
                f"got {dtype!r}"
            )
        return float32 if short == "Tensor" else TYPES[short].own_dtype
    try:
        return native(dtype)
    except TypeError:
        raise TypeError(
            f"{name}: expected a dtype or a type such as FloatTensor, got {dtype!r}"
        ) from None


@overload
def type(x: Tensor, dtype: None = None, non_blocking: bool = False) -> str: ...
@overload
def type(x: Tensor, dtype: Any, non_blocking: bool = False) -> Tensor: ...
def type(x: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the tensor's type, "minigrad.FloatTensor"; or the tensor in another dtype, which
    is given as such, as a type or as a type's name."""
    if dtype is None:
        return NAMES.get(x.dtype, f"minigrad.Tensor of {x.dtype}")
    return to(x, dtype_named("type", dtype))


def get_default_dtype() -> np.dtype[Any]:
    """The dtype of new tensors of numbers with a fraction: float32."""
    return float32


def set_default_dtype(d: Any) -> None:
    """Takes float32, which the default always is.

    Raises:
        RuntimeError: another dtype.
    """
    dtype = dtype_named("set_default_dtype", d)
    if dtype != float32:
        raise RuntimeError(
            f"set_default_dtype: the default is float32 and cannot be changed, got {dtype}: pass "
            f"dtype= to what makes tensors, or convert with .to(minigrad.{dtype})"
        )


def set_default_tensor_type(t: Any) -> None:
    """Takes FloatTensor, which the default always is.

    Raises:
        RuntimeError: another type.
    """
    set_default_dtype(t)


def result_type(tensor1: Any, tensor2: Any) -> np.dtype[Any]:
    """The dtype of an operation on these two, tensors or numbers.

    >>> mg.result_type(mg.tensor([1, 2]), 1.5)
    dtype('float32')
    """
    return result_dtype(tensor1, tensor2)


def can_cast(from_: Any, to: Any) -> bool:
    """Whether numbers of one dtype may be written to tensors of another: fractions not to integers,
    and only bools to bools."""
    a, b = native(from_), native(to)
    return CATEGORY[a.kind] <= CATEGORY[b.kind]


class _VariableType(builtins.type):
    def __call__(
        cls, data: Any = None, requires_grad: bool = False, volatile: bool = False
    ) -> Tensor:
        if volatile:
            warnings.warn(
                "Variable: volatile=True has no effect, as in PyTorch: use no_grad()", stacklevel=2
            )
        if data is None:
            return Tensor()
        if not isinstance(data, Tensor):
            raise TypeError(
                f"Variable: expected a tensor, got {data.__class__.__name__}: use minigrad.tensor"
            )
        return wrap(data.array).requires_grad_(requires_grad)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)


class Variable(Tensor, metaclass=_VariableType):
    """What tensors that require grad were once wrapped in: the detached tensor on the same memory,
    as in PyTorch. Every tensor is one."""
