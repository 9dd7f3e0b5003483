"""Comparisons, logic and tests of elements: results without gradient."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from minigrad.checks import number
from minigrad.incoming import as_array
from minigrad.recording import check_broadcast, operand, operands, refuse_numbers
from minigrad.tensor import Tensor, wrap


def _comparison(name: str, function: Any) -> Any:
    def op(input: Any, other: Any) -> Tensor:
        refuse_numbers(name, input, hint="exchange the two sides")
        a, b = operands(name, input, other)
        return wrap(function(a.real, b.real))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"Elementwise comparison `{name}`: a bool tensor."
    return op


eq, ne, lt, le, gt, ge = (
    _comparison(name, function)
    for name, function in (
        ("eq", np.equal),
        ("ne", np.not_equal),
        ("lt", np.less),
        ("le", np.less_equal),
        ("gt", np.greater),
        ("ge", np.greater_equal),
    )
)


def _logical(name: str, function: Any, doc: str) -> Any:
    def op(input: Any, other: Any) -> Tensor:
        refuse_numbers(name, input, other, hint="wrap it with tensor()")
        return wrap(function(*operands(name, input, other)))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = doc
    return op


logical_and = _logical("logical_and", np.logical_and, "Both are nonzero.")
logical_or = _logical("logical_or", np.logical_or, "At least one is nonzero.")
logical_xor = _logical("logical_xor", np.logical_xor, "Exactly one is nonzero.")


def logical_not(input: Any) -> Tensor:
    """Is zero."""
    return wrap(np.logical_not(as_array(input)))


def _bitwise(name: str, function: Any) -> Any:
    def op(input: Any, other: Any) -> Tensor:
        if not isinstance(other, Tensor):
            refuse_numbers(name, input, hint="one of the two must be a tensor")
        a, b = (np.asarray(v) for v in operands(name, input, other))
        if a.dtype.kind == "f":
            raise TypeError(f"{name}: expected bool or integer tensors, got dtype {a.dtype}")
        return wrap(function(a, b))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"Elementwise {name.replace('_', ' ')} of bools or integers."
    return op


bitwise_and, bitwise_or, bitwise_xor = (
    _bitwise(f"bitwise_{n}", f)
    for n, f in (("and", np.bitwise_and), ("or", np.bitwise_or), ("xor", np.bitwise_xor))
)


def bitwise_not(input: Any) -> Tensor:
    """Elementwise not of bools or integers."""
    a = operand("bitwise_not", input)
    if a.dtype.kind == "f":
        raise TypeError(f"bitwise_not: expected a bool or integer tensor, got dtype {a.dtype}")
    return wrap(~a)


def isnan(input: Any) -> Tensor:
    """Is not a number."""
    return wrap(np.isnan(as_array(input)))


def isinf(input: Any) -> Tensor:
    """Is plus or minus infinity."""
    return wrap(np.isinf(as_array(input)))


def isfinite(input: Any) -> Tensor:
    """Is neither infinite nor NaN."""
    return wrap(np.isfinite(as_array(input)))


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
