"""Changes of dtype."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from minigrad import dtypes
from minigrad.device import check_device, only_cpu, only_threads
from minigrad.device import device as device_type
from minigrad.dtypes import NoDtype, native
from minigrad.ops.shape import clone
from minigrad.recording import record_each
from minigrad.tensor import Tensor


def dtype_of(name: str, args: tuple[Any, ...], dtype: Any, device: Any) -> np.dtype[Any] | None:
    """The dtype among the arguments of `to`: dtypes, tensors and devices, which are checked."""
    for arg in args:
        if isinstance(arg, str | device_type):
            device = arg
        else:
            dtype = arg.dtype if isinstance(arg, Tensor) else arg
    check_device(name, device)
    try:
        return None if dtype is None else native(dtype)
    except TypeError:
        if isinstance(dtype, NoDtype):  # which says it better
            raise
        raise TypeError(f"{name}: expected a dtype, a tensor or 'cpu', got {dtype!r}") from None


def to(
    x: Tensor, *args: Any, dtype: Any = None, device: Any = None,
    non_blocking: builtins.bool = False, copy: builtins.bool = False,
) -> Tensor:  # fmt: skip
    """Convert to a dtype (or to another tensor's); the CPU, the only device, changes nothing."""
    # dL/dx = g in x's dtype
    dtype = dtype_of("to", args, dtype, device)
    dtype = x.dtype if dtype is None else dtype
    if dtype == x.dtype:
        return clone(x) if copy else x
    if x.dtype.kind == "c" and dtype.kind == "f":  # a probe keeps its derivative
        return clone(x)
    with np.errstate(over="ignore", invalid="ignore"):
        out = x.array.astype(dtype)
    return record_each("to", out, (x, lambda g: g))


def in_float32(op: Any, x: Any, y: Any) -> Tensor | None:
    """`op` of a float16 tensor and a number, or a 0-d tensor of another dtype, neither of which is
    to be rounded to float16 first: computed in float32 and rounded once. None of other pairs."""
    weak = [not isinstance(v, Tensor) or not (v.ndim or v.dtype == np.float16) for v in (x, y)]
    if not any(weak) or isinstance(x, np.ndarray) or isinstance(y, np.ndarray):
        return None
    x, y = (v if w else to(v, np.float32) for v, w in zip((x, y), weak, strict=True))
    return to(op(x, y), np.float16)


def float(x: Tensor) -> Tensor:
    """As float32."""
    return to(x, np.float32)


def double(x: Tensor) -> Tensor:
    """As float64."""
    return to(x, np.float64)


def half(x: Tensor) -> Tensor:
    """As float16."""
    return to(x, np.float16)


def bfloat16(x: Tensor) -> Tensor:
    """Refused with the ways out: numpy has no such dtype."""
    return to(x, dtypes.bfloat16)


def long(x: Tensor) -> Tensor:
    """As int64."""
    return to(x, np.int64)


def int(x: Tensor) -> Tensor:
    """As int32."""
    return to(x, np.int32)


def short(x: Tensor) -> Tensor:
    """As int16."""
    return to(x, np.int16)


def char(x: Tensor) -> Tensor:
    """As int8."""
    return to(x, np.int8)


def byte(x: Tensor) -> Tensor:
    """As uint8."""
    return to(x, np.uint8)


def bool(x: Tensor) -> Tensor:
    """As bool: is not zero."""
    return to(x, np.bool_)


def type_as(x: Tensor, other: Tensor) -> Tensor:
    """In the dtype of another tensor."""
    return to(x, other.dtype)


def cpu(x: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself."""
    return x


def pin_memory(x: Tensor, device: Any = None) -> Tensor:
    """The tensor itself: there is no device that pinned memory would be copied to."""
    return x


def share_memory_(x: Tensor) -> Tensor:
    """Refused: memory is shared between threads, not between processes."""
    raise only_threads("share_memory_")


def cuda(x: Tensor, device: Any = None, non_blocking: builtins.bool = False) -> Tensor:
    """Refused: the CPU is the only device there is."""
    raise only_cpu("cuda")
