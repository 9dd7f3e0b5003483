"""Elementary functions of every element: powers, logarithms, roots, sine and cosine."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.dtypes import float16
from minigrad.incoming import as_array, check_numbers
from minigrad.ops.arithmetic import mul, quiet
from minigrad.ops.convert import in_float32
from minigrad.ops.large import base_to, one_pass, power
from minigrad.recording import operand, operands, record_each, refuse_numbers
from minigrad.tensor import Tensor, wrap


def ldexp(input: Any, other: Any) -> Tensor:
    """x·2^y."""
    refuse_numbers("ldexp", input, other, hint="both must be tensors")
    exponent = other if isinstance(other, Tensor) else wrap(as_array(other, name="ldexp"))
    return mul(input, pow(2.0, exponent))


def pow(input: Any, exponent: Any) -> Tensor:
    """x**y."""
    # y = a^b    dL/da = g·b·a^(b-1)  (0 where b = 0)    dL/db = g·a^b·log a  (0 at 0^b, b >= 0)
    if not isinstance(exponent, Tensor):
        refuse_numbers("pow", input, hint="one of the two must be a tensor")
    a, b = operands("pow", input, exponent)
    if a.dtype is float16 and (out := in_float32(pow, input, exponent)) is not None:
        return out
    kind = np.result_type(a, b).kind
    if kind == "b":
        raise RuntimeError("pow: bool tensors are not supported: convert them")
    constant = exponent if isinstance(exponent, int | float) else None
    if kind in "iu":
        check_numbers("pow", np.result_type(a, b), exponent)
    if kind in "iu" and np.any(np.less(b, 0)):
        if constant is not None:
            raise ValueError("pow: integers cannot take negative powers: use a floating dtype")
        whole = np.power(a, np.abs(b))  # 1/whole rounds to 0, except for 1 and -1
        return wrap(np.where((b >= 0) | (np.abs(a) == 1), whole, 0))
    if constant == 2:
        return square(input)
    if constant == -1 and kind == "f":
        return reciprocal(input)
    if constant == 0:
        return record_each("pow", np.ones_like(a), (input, np.zeros_like))
    if constant == 1:
        return record_each("pow", np.array(a), (input, lambda g: g))
    if constant == 3:
        return record_each("pow", a * a * a, (input, lambda g: g * (3 * a * a)))
    if constant is not None and (large := power(input, constant)) is not None:
        return large
    if (large := base_to(input, exponent)) is not None:
        return large
    with np.errstate(all="ignore"):
        out = np.power(a, b) if constant is None else _power(a, constant, b)
    if constant is not None:
        return record_each("pow", out, (input, lambda g: g * (b * _power(a, constant - 1, b - 1))))

    def da(g: Any) -> Any:
        return np.where(b.real == 0, 0, g * (b * np.power(a, b - 1)))

    def db(g: Any) -> Any:
        log_a = np.log(np.where((a.real == 0) & (b.real >= 0), 1, a))
        return g * (out * log_a)

    return record_each("pow", out, (input, da), (exponent, db))


def _power(a: Any, constant: float, b: Any) -> Any:
    """a^b for a plain number b: the roots are sqrt's, as in PyTorch, so NaN at -inf."""
    if constant in (0.5, -0.5) and a.dtype.kind in "fc":
        return np.sqrt(a) if constant > 0 else 1 / np.sqrt(a)
    return np.power(a, b)


@one_pass
def square(input: Any) -> Tensor:
    """x²."""
    # dL/da = 2·g·a
    a = operand("square", input)
    a = a.astype(np.int64) if a.dtype.kind == "b" else a
    return record_each("square", a * a, (input, lambda g: g * (2 * a)))


@one_pass
@quiet
def exp(input: Any) -> Tensor:
    """e^x."""
    # dL/da = g·e^a
    y = np.exp(operand("exp", input, floating=True))
    return record_each("exp", y, (input, lambda g: g * y))


@one_pass
@quiet
def expm1(input: Any) -> Tensor:
    """e^x - 1, exact near 0."""
    # dL/da = g·(y + 1)
    y = np.expm1(operand("expm1", input, floating=True))
    return record_each("expm1", y, (input, lambda g: g * (y + 1)))


@one_pass
@quiet
def log(input: Any) -> Tensor:
    """The natural logarithm."""
    # dL/da = g/a
    a = operand("log", input, floating=True)
    return record_each("log", np.log(a), (input, lambda g: g / a))


@one_pass
@quiet
def log2(input: Any) -> Tensor:
    """The logarithm to base 2."""
    # dL/da = g/(a·ln 2)
    a = operand("log2", input, floating=True)
    return record_each("log2", np.log2(a), (input, lambda g: g / (a * float(np.log(2)))))


@one_pass
@quiet
def log10(input: Any) -> Tensor:
    """The logarithm to base 10."""
    # dL/da = g/(a·ln 10)
    a = operand("log10", input, floating=True)
    return record_each("log10", np.log10(a), (input, lambda g: g / (a * float(np.log(10)))))


@one_pass
@quiet
def log1p(input: Any) -> Tensor:
    """log(1 + x), exact near 0."""
    # dL/da = g/(1 + a)
    a = operand("log1p", input, floating=True)
    return record_each("log1p", np.log1p(a), (input, lambda g: g / (1 + a)))


@one_pass
@quiet
def sqrt(input: Any) -> Tensor:
    """The square root; its derivative at 0 is inf."""
    # dL/da = g/(2·y)
    y = np.sqrt(operand("sqrt", input, floating=True))
    return record_each("sqrt", y, (input, lambda g: g / (2 * y)))


@one_pass
@quiet
def rsqrt(input: Any) -> Tensor:
    """1/√x."""
    # dL/da = -g·y³/2
    y = 1 / np.sqrt(operand("rsqrt", input, floating=True))
    return record_each("rsqrt", y, (input, lambda g: g * (-0.5 * y * y * y)))


@one_pass
@quiet
def reciprocal(input: Any) -> Tensor:
    """1/x."""
    # dL/da = -g·y²
    y = 1 / operand("reciprocal", input, floating=True)
    return record_each("reciprocal", y, (input, lambda g: -g * (y * y)))


@quiet
def sin(input: Any) -> Tensor:
    """The sine."""
    # dL/da = g·cos a
    a = operand("sin", input, floating=True)
    return record_each("sin", np.sin(a), (input, lambda g: g * np.cos(a)))


@quiet
def cos(input: Any) -> Tensor:
    """The cosine."""
    # dL/da = -g·sin a
    a = operand("cos", input, floating=True)
    return record_each("cos", np.cos(a), (input, lambda g: -g * np.sin(a)))
