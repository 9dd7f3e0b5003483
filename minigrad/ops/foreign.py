"""Operators between a tensor and something that no op knows: the other side is asked.

Where `x + y` is more than two numbers, Python asks `type(x).__add__`, and if that returns
NotImplemented `type(y).__radd__`; `==` falls back on identity. So a tensor is unequal to None, and
a class of somebody else can say what it is to add one of its objects to a tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from minigrad.incoming import taken
from minigrad.tensor import Tensor, wrap

Op = TypeVar("Op", bound=Callable[..., Any])
KNOWN = (Tensor, float, int, np.ndarray, np.generic, complex)


def operator(op: Op, sign: str, other_side: str) -> Op:
    """`x sign other`. Of what no op knows, the other side is asked, as Python has it."""

    def method(x: Tensor, other: Any) -> Any:
        if isinstance(other, KNOWN):
            return op(x, other)
        if _only_data(other):
            return op(x, wrap(taken(op.__name__, other)))
        return _ask(op, sign, x, other, other_side)

    method.__name__, method.__doc__ = op.__name__, op.__doc__
    return cast("Op", method)


def reflected(
    op: Callable[[Any, Any], Tensor], sign: str, other_side: str
) -> Callable[[Any, Any], Tensor]:
    """`other sign x`, after other's own method did not know x."""

    def method(x: Tensor, other: Any) -> Any:
        if isinstance(other, KNOWN):
            return op(other, x)
        if _only_data(other):
            return op(wrap(taken(op.__name__, other)), x)
        return _ask(op, sign, other, x, other_side)

    method.__name__, method.__doc__ = op.__name__, op.__doc__
    return method


def _only_data(other: Any) -> bool:
    """Whether it is a tensor that has no way to work with one of ours: PyTorch's, which finds a
    tensor of equal numbers unequal. (What has `__array_ufunc__`, as pandas's Series, has one.)"""
    return hasattr(other, "__dlpack__") and not hasattr(other, "__array_ufunc__")


def _ask(op: Any, sign: str, left: Any, right: Any, other_side: str) -> Any:
    """NotImplemented if the type that is no tensor has a method of its own for this: Python calls
    it, or has. If not, an error in Python's words and ours."""
    kinds = type(left), type(right)
    foreign = kinds[0] if isinstance(right, Tensor) else kinds[1]
    if sign in ("==", "!=") or any(other_side in vars(k) for k in foreign.__mro__[:-1]):
        return NotImplemented
    names = " and ".join(f"'{kind.__name__}'" for kind in kinds)
    said = f"unsupported operand type(s) for {sign}: {names}"
    if sign in ("<", "<=", ">", ">="):
        said = f"'{sign}' not supported between instances of {names}"
    raise TypeError(f"{op.__name__}: {said}: expected a tensor, an array or a number")
