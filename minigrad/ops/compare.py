"""Comparisons, logic and tests of elements: results without gradient."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from minigrad.recording import operand, operands
from minigrad.tensor import Tensor, as_array, wrap


def _comparison(name: str, function: Any) -> Any:
    def op(x: Any, y: Any) -> Tensor:
        a, b = operands(name, x, y)
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


def logical_and(x: Any, y: Any) -> Tensor:
    """Both are nonzero."""
    return wrap(np.logical_and(*operands("logical_and", x, y)))


def logical_or(x: Any, y: Any) -> Tensor:
    """At least one is nonzero."""
    return wrap(np.logical_or(*operands("logical_or", x, y)))


def logical_xor(x: Any, y: Any) -> Tensor:
    """Exactly one is nonzero."""
    return wrap(np.logical_xor(*operands("logical_xor", x, y)))


def logical_not(x: Any) -> Tensor:
    """Is zero."""
    return wrap(np.logical_not(as_array(x)))


def _bitwise(name: str, function: Any) -> Any:
    def op(x: Any, y: Any) -> Tensor:
        a, b = (np.asarray(v) for v in operands(name, x, y))
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


def bitwise_not(x: Any) -> Tensor:
    """Elementwise not of bools or integers."""
    a = operand("bitwise_not", x)
    if a.dtype.kind == "f":
        raise TypeError(f"bitwise_not: expected a bool or integer tensor, got dtype {a.dtype}")
    return wrap(~a)


def isnan(x: Any) -> Tensor:
    """Is not a number."""
    return wrap(np.isnan(as_array(x)))


def isinf(x: Any) -> Tensor:
    """Is plus or minus infinity."""
    return wrap(np.isinf(as_array(x)))


def isfinite(x: Any) -> Tensor:
    """Is neither infinite nor NaN."""
    return wrap(np.isfinite(as_array(x)))


def isclose(
    x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """|x - y| <= atol + rtol·|y|, elementwise."""
    return wrap(np.isclose(as_array(x), as_array(y), rtol, atol, equal_nan))


def allclose(
    x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> builtins.bool:
    """Whether all elements are close."""
    return bool(np.allclose(as_array(x), as_array(y), rtol, atol, equal_nan))


def equal(x: Any, y: Any) -> builtins.bool:
    """Whether two tensors have the same shape and elements."""
    return bool(np.array_equal(as_array(x), as_array(y)))
