"""Comparisons, logic and tests of elements: results without gradient."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from minigrad import modes
from minigrad.checks import number
from minigrad.incoming import as_array
from minigrad.recording import check_broadcast, operand, operands, refuse_numbers
from minigrad.tensor import Tensor, wrap


def _compared(name: str, compare: Any, x: Any, y: Any) -> Tensor:
    refuse_numbers(name, x, hint="exchange the two sides")
    a, b = operands(name, x, y)
    return wrap(compare(a.real, b.real))


def eq(input: Any, other: Any) -> Tensor:
    """x == y, elementwise: a bool tensor."""
    return _compared("eq", np.equal, input, other)


def ne(input: Any, other: Any) -> Tensor:
    """x != y, elementwise: a bool tensor."""
    return _compared("ne", np.not_equal, input, other)


def lt(input: Any, other: Any) -> Tensor:
    """x < y, elementwise: a bool tensor."""
    return _compared("lt", np.less, input, other)


def le(input: Any, other: Any) -> Tensor:
    """x <= y, elementwise: a bool tensor."""
    return _compared("le", np.less_equal, input, other)


def gt(input: Any, other: Any) -> Tensor:
    """x > y, elementwise: a bool tensor."""
    return _compared("gt", np.greater, input, other)


def ge(input: Any, other: Any) -> Tensor:
    """x >= y, elementwise: a bool tensor."""
    return _compared("ge", np.greater_equal, input, other)


def _logic(name: str, combine: Any, x: Any, y: Any) -> Tensor:
    refuse_numbers(name, x, y, hint="wrap it with tensor()")
    return wrap(combine(*operands(name, x, y)))


def logical_and(input: Any, other: Any) -> Tensor:
    """Both are nonzero."""
    return _logic("logical_and", np.logical_and, input, other)


def logical_or(input: Any, other: Any) -> Tensor:
    """At least one is nonzero."""
    return _logic("logical_or", np.logical_or, input, other)


def logical_xor(input: Any, other: Any) -> Tensor:
    """Exactly one is nonzero."""
    return _logic("logical_xor", np.logical_xor, input, other)


def logical_not(input: Any) -> Tensor:
    """Is zero."""
    return wrap(np.logical_not(as_array(input)))


def _bitwise(name: str, combine: Any, x: Any, y: Any) -> Tensor:
    if not isinstance(y, Tensor):
        refuse_numbers(name, x, hint="one of the two must be a tensor")
    a, b = (np.asarray(v) for v in operands(name, x, y))
    if a.dtype.kind == "f":
        raise TypeError(f"{name}: expected bool or integer tensors, got dtype {a.dtype}")
    return wrap(combine(a, b))


def bitwise_and(input: Any, other: Any) -> Tensor:
    """Elementwise and of bools or integers."""
    return _bitwise("bitwise_and", np.bitwise_and, input, other)


def bitwise_or(input: Any, other: Any) -> Tensor:
    """Elementwise or of bools or integers."""
    return _bitwise("bitwise_or", np.bitwise_or, input, other)


def bitwise_xor(input: Any, other: Any) -> Tensor:
    """Elementwise xor of bools or integers."""
    return _bitwise("bitwise_xor", np.bitwise_xor, input, other)


def bitwise_not(input: Any) -> Tensor:
    """Elementwise not of bools or integers."""
    a = operand("bitwise_not", input)
    if a.dtype.kind == "f":
        raise TypeError(f"bitwise_not: expected a bool or integer tensor, got dtype {a.dtype}")
    return wrap(~a)


def _whole(name: str, combine: Any, x: Any, y: Any) -> Tensor:
    refuse_numbers(name, x, y, hint="wrap it with tensor()")
    a, b = operands(name, x, y)
    if a.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integer tensors, got dtype {a.dtype}: use .long()")
    return wrap(combine(a, b))


def gcd(input: Any, other: Any) -> Tensor:
    """The greatest integer that divides both, elementwise; 0 for two zeros."""
    return _whole("gcd", np.gcd, input, other)


def lcm(input: Any, other: Any) -> Tensor:
    """The least positive integer that both divide, elementwise; 0 where one is 0."""
    return _whole("lcm", np.lcm, input, other)


def isnan(input: Any) -> Tensor:
    """Is not a number."""
    return wrap(np.isnan(as_array(input)))


def isinf(input: Any) -> Tensor:
    """Is plus or minus infinity."""
    return wrap(np.isinf(as_array(input)))


def _is_value(name: str, x: Any, value: float) -> Tensor:
    a: Any = as_array(x)
    if a.dtype.kind == "c" and not modes.probing.get():
        raise TypeError(f"{name}: expected a real tensor, got dtype {a.dtype}")
    return wrap(a.real == value)


def isposinf(input: Any) -> Tensor:
    """Is plus infinity."""
    return _is_value("isposinf", input, np.inf)


def isneginf(input: Any) -> Tensor:
    """Is minus infinity."""
    return _is_value("isneginf", input, -np.inf)


def isreal(input: Any) -> Tensor:
    """Has no imaginary part: true of all real numbers, NaN among them."""
    a: Any = as_array(input)
    return wrap(np.asarray(a.imag == 0))


def isfinite(input: Any) -> Tensor:
    """Is neither infinite nor NaN."""
    return wrap(np.isfinite(as_array(input)))


def nextafter(input: Any, other: Any) -> Tensor:
    """The floating number next to x in the direction of y, elementwise."""
    refuse_numbers("nextafter", input, other, hint="both must be tensors")
    a, b = operands("nextafter", input, other)
    if a.dtype.kind not in "fc":
        raise TypeError(f"nextafter: expected floating tensors, got dtype {a.dtype}: use .float()")
    return wrap(np.nextafter(a.real, b.real))


def bitwise_left_shift(input: Any, other: Any) -> Tensor:
    """x·2^y of integers, elementwise."""
    return _shifted("bitwise_left_shift", np.left_shift, input, other)


def bitwise_right_shift(input: Any, other: Any) -> Tensor:
    """x/2^y of integers, rounded down, elementwise."""
    return _shifted("bitwise_right_shift", np.right_shift, input, other)


def _shifted(name: str, shift: Any, x: Any, y: Any) -> Tensor:
    if not isinstance(y, Tensor):
        refuse_numbers(name, x, hint="one of the two must be a tensor")
    a, b = (np.asarray(v) for v in operands(name, x, y))
    if a.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integer tensors, got dtype {a.dtype}")
    return wrap(shift(a, b))


def is_nonzero(input: Any) -> builtins.bool:
    """Whether the only element is not 0."""
    a = as_array(input)
    if a.size != 1:
        raise RuntimeError(f"is_nonzero: expected one element, got shape {a.shape}")
    return bool(a.reshape(()))


def isclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """|x - y| <= atol + rtol·|y|, elementwise."""
    a, b = _close_operands("isclose", input, other, rtol, atol)
    return wrap(np.isclose(a, b, rtol, atol, equal_nan))


def _close_operands(name: str, x: Any, y: Any, rtol: float, atol: float) -> tuple[Any, Any]:
    refuse_numbers(name, x, y, hint="wrap it with tensor()")
    a, b = as_array(x), as_array(y)
    if a.dtype != b.dtype:
        raise RuntimeError(f"{name}: expected one dtype, got {a.dtype} and {b.dtype}")
    number(name, "rtol", rtol, at_least=0)
    number(name, "atol", atol, at_least=0)
    check_broadcast(name, (a, b))
    return a, b


def allclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> builtins.bool:
    """Whether all elements are close."""
    a, b = _close_operands("allclose", input, other, rtol, atol)
    return bool(np.allclose(a, b, rtol, atol, equal_nan))


def equal(input: Any, other: Any) -> builtins.bool:
    """Whether two tensors have the same shape and elements."""
    return bool(np.array_equal(as_array(input), as_array(other)))


less, less_equal, greater, greater_equal, not_equal = lt, le, gt, ge, ne
