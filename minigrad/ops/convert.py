"""Changes of dtype."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from minigrad.ops.shape import clone
from minigrad.recording import elementwise
from minigrad.tensor import Tensor


def to(x: Tensor, *args: Any, dtype: Any = None, copy: builtins.bool = False) -> Tensor:
    """Convert to a dtype (or to another tensor's); "cpu", the only device, changes nothing."""
    # dL/dx = g in x's dtype
    for arg in args:
        if isinstance(arg, Tensor):
            dtype = arg.dtype
        elif isinstance(arg, str) and not arg.startswith("cpu") and arg not in np.sctypeDict:
            raise ValueError(f"to: expected a dtype or 'cpu', got {arg!r}")
        elif not isinstance(arg, str) or not arg.startswith("cpu"):
            dtype = np.dtype(arg)
    dtype = x.dtype if dtype is None else np.dtype(dtype)
    if dtype == x.dtype:
        return clone(x) if copy else x
    if x.dtype.kind == "c" and dtype.kind == "f":  # a probe keeps its derivative
        return clone(x)
    return elementwise("to", x.data.astype(dtype), (x, lambda g: g))


def float(x: Tensor) -> Tensor:
    """As float32."""
    return to(x, np.float32)


def double(x: Tensor) -> Tensor:
    """As float64."""
    return to(x, np.float64)


def half(x: Tensor) -> Tensor:
    """As float16."""
    return to(x, np.float16)


def long(x: Tensor) -> Tensor:
    """As int64."""
    return to(x, np.int64)


def int(x: Tensor) -> Tensor:
    """As int32."""
    return to(x, np.int32)


def bool(x: Tensor) -> Tensor:
    """As bool: is not zero."""
    return to(x, np.bool_)


def type_as(x: Tensor, other: Tensor) -> Tensor:
    """In the dtype of another tensor."""
    return to(x, other.dtype)


def cpu(x: Tensor) -> Tensor:
    """The tensor itself."""
    return x
