"""Elementwise arithmetic. `g` is the gradient of the loss with respect to an op's output.

Every choice (a comparison, a sign) is made on the real part, so that a complex number can carry a
derivative through (see autograd.py). Division by zero and the like give inf and nan in silence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.checks import integer, number, one_of
from minigrad.ops.large import PAIRS_FROM, minus, one_pass, over, plus, power, times
from minigrad.recording import (
    check_broadcast,
    operand,
    operand_arrays,
    operands,
    record_each,
    refuse_numbers,
)
from minigrad.tensor import Tensor, as_array, wrap

quiet = np.errstate(all="ignore")


def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """x + alpha·y."""
    # y = a + b        dL/da = g        dL/db = g
    if alpha != 1:
        other = mul(other, number("add", "alpha", alpha))
    a, b = operands("add", input, other)
    out = a + b if a.size < PAIRS_FROM > b.size else plus(a, b)
    return record_each("add", out, (input, lambda g: g), (other, lambda g: g))


def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """x - alpha·y."""
    # y = a - b        dL/da = g        dL/db = -g
    if alpha != 1:
        other = mul(other, number("sub", "alpha", alpha))
    a, b = operands("sub", input, other)
    for v in (input, other):
        if isinstance(v, bool) or (isinstance(v, Tensor) and v.array.dtype.kind == "b"):
            raise RuntimeError(
                "sub: bool tensors cannot be subtracted: use ^ (logical_xor) or convert them"
            )
    out = a - b if a.size < PAIRS_FROM > b.size else minus(a, b)
    return record_each("sub", out, (input, lambda g: g), (other, lambda g: -g))


def mul(input: Any, other: Any) -> Tensor:
    """x·y."""
    # y = a·b        dL/da = g·b        dL/db = g·a
    a, b = operands("mul", input, other)
    if a.size < PAIRS_FROM > b.size:
        return record_each("mul", a * b, (input, lambda g: g * b), (other, lambda g: g * a))
    return record_each(
        "mul", times(a, b), (input, lambda g: times(g, b)), (other, lambda g: times(g, a))
    )


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """x / y; `rounding_mode` "floor" or "trunc" rounds the quotient, which has gradient 0."""
    # y = a/b        dL/da = g/b        dL/db = -g·(a/b)/b
    if rounding_mode is not None:
        one_of("div", "rounding_mode", rounding_mode, (None, "floor", "trunc"))
    if rounding_mode == "floor":
        return floor_divide(input, other)
    a, b = operands("div", input, other, floating=rounding_mode is None)
    if rounding_mode == "trunc":
        if np.result_type(a, b).kind in "iub":
            _refuse_zero("div", b)
            out = np.floor_divide(np.abs(a), np.abs(b)) * (np.sign(a) * np.sign(b))
            return wrap(out.astype(np.result_type(a, b)))
        with np.errstate(all="ignore"):
            return record_each(
                "div", np.trunc(a / b), (input, np.zeros_like), (other, np.zeros_like)
            )
    with np.errstate(all="ignore"):
        out = over(a, b)
    return record_each(
        "div", out, (input, lambda g: over(g, b)), (other, lambda g: -times(g, over(out, b)))
    )


def _refuse_zero(name: str, b: Any) -> None:
    if np.any(np.equal(b, 0)):
        raise RuntimeError(f"{name}: integer division by zero: convert to a floating dtype")


def floor_divide(input: Any, other: Any) -> Tensor:
    """The quotient rounded down; its gradient is 0."""
    a, b = operands("floor_divide", input, other)
    if np.result_type(a, b).kind in "iub":
        _refuse_zero("floor_divide", b)
    with np.errstate(all="ignore"):
        out = np.floor_divide(a, b)
    return record_each("floor_divide", out, (input, np.zeros_like), (other, np.zeros_like))


def remainder(input: Any, other: Any) -> Tensor:
    """x - y·floor(x/y), with the sign of y."""
    # dL/da = g        dL/db = -g·floor(a/b)
    if not isinstance(other, Tensor):
        refuse_numbers("remainder", input, hint="one of the two must be a tensor")
    a, b = operands("remainder", input, other)
    if np.result_type(a, b).kind in "iub":
        _refuse_zero("remainder", b)
    with np.errstate(all="ignore"):
        out = np.remainder(a, b)
    return record_each(
        "remainder", out, (input, lambda g: g), (other, lambda g: -g * np.floor(a / b))
    )


@one_pass
def neg(input: Any) -> Tensor:
    """-x."""
    a = operand("neg", input)
    if a.dtype == bool:
        raise TypeError("neg: bool tensors have no negative: use logical_not")
    return record_each("neg", -a, (input, lambda g: -g))


def positive(input: Any) -> Tensor:
    """x itself."""
    return input if isinstance(input, Tensor) else wrap(as_array(input))


def pow(input: Any, exponent: Any) -> Tensor:
    """x**y."""
    # y = a^b    dL/da = g·b·a^(b-1)  (0 where b = 0)    dL/db = g·a^b·log a  (0 at 0^b, b >= 0)
    if not isinstance(exponent, Tensor):
        refuse_numbers("pow", input, hint="one of the two must be a tensor")
    a, b = operands("pow", input, exponent)
    kind = np.result_type(a, b).kind
    if kind == "b":
        raise RuntimeError("pow: bool tensors are not supported: convert them")
    constant = exponent if isinstance(exponent, int | float) else None
    if kind in "iu" and np.any(np.less(b, 0)):
        if constant is not None:
            raise ValueError("pow: integers cannot take negative powers: use a floating dtype")
        whole = np.power(a, np.abs(b))  # 1/whole rounds to 0, except for 1 and -1
        return wrap(np.where((b >= 0) | (np.abs(a) == 1), whole, 0))
    if constant == 2:
        return square(input)
    if constant == 0:
        return record_each("pow", np.ones_like(a), (input, np.zeros_like))
    if constant == 1:
        return record_each("pow", np.array(a), (input, lambda g: g))
    if constant == 3:
        return record_each("pow", a * a * a, (input, lambda g: g * (3 * a * a)))
    if constant is not None and (large := power(input, constant)) is not None:
        return large
    with np.errstate(all="ignore"):
        out = np.power(a, b)
    if constant is not None:
        return record_each("pow", out, (input, lambda g: g * (b * np.power(a, b - 1))))

    def da(g: Any) -> Any:
        return np.where(b.real == 0, 0, g * (b * np.power(a, b - 1)))

    def db(g: Any) -> Any:
        log_a = np.log(np.where((a.real == 0) & (b.real >= 0), 1, a))
        return g * (out * log_a)

    return record_each("pow", out, (input, da), (exponent, db))


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


@one_pass
def abs(input: Any) -> Tensor:
    """|x|; its derivative at 0 is 0."""
    # dL/da = g·sign a
    a = operand("abs", input)
    sign = np.sign(a.real)
    slope = np.where(np.isnan(sign), 0, sign)
    return record_each("abs", _times_sign(a, sign), (input, lambda g: g * slope.astype(g.dtype)))


def _times_sign(a: Any, sign: Any) -> Any:
    """|a|: numpy's for real numbers (|-0.0| = 0.0), a·sign for a number carrying a derivative."""
    return a * sign if a.dtype.kind == "c" else np.abs(a)


@one_pass
def sign(input: Any) -> Tensor:
    """-1, 0 or 1; its gradient is 0."""
    a = operand("sign", input)
    if a.dtype == bool:
        return wrap(a.copy())
    out = np.where(np.isnan(a.real), 0, np.sign(a.real)).astype(a.dtype)
    return record_each("sign", out, (input, np.zeros_like))


def _rounding(name: str, function: Any) -> Any:
    def op(input: Any) -> Tensor:
        a = operand(name, input)
        if a.dtype.kind in "iu":
            return wrap(a.copy())
        if a.dtype.kind == "b":
            raise RuntimeError(f"{name}: bool tensors are not supported: convert them")
        return record_each(name, function(a.real).astype(a.dtype), (input, np.zeros_like))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"{name} of every element; its gradient is 0."
    return op


floor, ceil, trunc = (_rounding(n, f) for n, f in
                      (("floor", np.floor), ("ceil", np.ceil), ("trunc", np.trunc)))  # fmt: skip


def round(input: Any, *, decimals: int = 0) -> Tensor:
    """Round half to even; its gradient is 0."""
    a, decimals = operand("round", input), integer("round", "decimals", decimals, None)
    if a.dtype.kind == "b":
        raise RuntimeError("round: bool tensors are not supported: convert them")
    return record_each("round", np.round(a.real, decimals).astype(a.dtype), (input, np.zeros_like))


def maximum(input: Any, other: Any) -> Tensor:
    """The larger of two, elementwise; where they are equal each receives half the gradient."""
    a, b = operand_arrays("maximum", input, other)
    return _extremum("maximum", input, other, a, b, a.real > b.real)


def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of two, elementwise; where they are equal each receives half the gradient."""
    a, b = operand_arrays("minimum", input, other)
    return _extremum("minimum", input, other, a, b, a.real < b.real)


def _extremum(name: str, x: Any, y: Any, a: Any, b: Any, first: Any) -> Tensor:
    refuse_numbers(name, x, y, hint="use clamp")
    # dL/da = g where a is taken, g/2 where a = b, else 0        (dL/db: the same with b)
    dtype = np.result_type(a, b)
    out = np.where(first | np.isnan(a), a, b).astype(dtype, copy=False)
    second = ~first & (a.real != b.real)  # a NaN is neither larger nor smaller: both are "taken"
    nan = np.isnan(a) | np.isnan(b)

    def half(g: Any, taken: Any, lost: Any) -> Any:
        return np.where(taken | nan, g, np.where(lost, 0, g * 0.5))

    return record_each(
        name,
        out,
        (x, lambda g: half(g, first, second)),
        (y, lambda g: half(g, second & ~nan, first)),
    )


@one_pass
def clamp(input: Any, min: Any = None, max: Any = None) -> Tensor:
    """Limit x to [min, max], numbers, tensors or None; derivative 1 at both bounds."""
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max is needed")
    values = [v for v in (input, min, max) if v is not None]
    arrays = operand_arrays("clamp", *values)
    a = arrays[0]
    low = None if min is None else arrays[1]
    high = None if max is None else arrays[-1]
    below = np.zeros((), bool) if low is None else np.asarray(a.real < low.real)
    above = np.zeros((), bool) if high is None else np.asarray(a.real > high.real)
    if low is not None and high is not None:
        above = above | (np.where(below, low.real, a.real) > high.real)  # min > max: max wins
        below = below & ~above
    out = a if low is None else np.where(below, low, a)
    out = out if high is None else np.where(above, high, out)
    out = np.array(out) if out is a else out
    inside = ~(below | above)
    return record_each(
        "clamp",
        out,
        (input, lambda g: np.where(inside, g, 0)),
        (min, lambda g: np.where(below, g, 0)),
        (max, lambda g: np.where(above, g, 0)),
    )


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """x where the condition holds, else y; with one argument, the indices of the true elements."""
    # dL/dx = g where the condition holds, else 0        dL/dy = the other way round
    mask = as_array(condition)
    if mask.dtype != bool and (input is not None or mask.dtype.kind not in "iufb"):
        raise TypeError(f"where: the condition must be a bool tensor, got dtype {mask.dtype}")
    if input is None and other is None:
        return tuple(wrap(i) for i in np.nonzero(mask))
    if input is None or other is None:
        raise TypeError("where: give both x and y, or neither")
    a, b = operands("where", input, other)
    check_broadcast("where", [mask, np.asarray(a), np.asarray(b)])
    dtype = np.result_type(a, b) if not (np.isscalar(a) and np.isscalar(b)) else None
    out = np.where(mask, a, b)
    out = out if dtype is None else out.astype(dtype, copy=False)
    return record_each(
        "where",
        out,
        (input, lambda g: np.where(mask, g, 0)),
        (other, lambda g: np.where(mask, 0, g)),
    )


@quiet
def lerp(input: Any, end: Any, weight: Any) -> Tensor:
    """x + weight·(end - x)."""
    dtypes = {v.dtype for v in (input, end, weight) if isinstance(v, Tensor)}
    if len({d for d in dtypes if d.kind != "c"}) > 1 or any(d.kind in "iub" for d in dtypes):
        found = ", ".join(sorted(map(str, dtypes)))
        raise RuntimeError(f"lerp: expected one floating dtype, got {found}")
    if not isinstance(weight, int | float) or not all(isinstance(v, Tensor) for v in (input, end)):
        return add(input, mul(weight, sub(end, input)))
    # y = a + w·(b - a)        dL/da = g·(1 - w)        dL/db = g·w
    a, b = operands("lerp", input, end)
    w, rest = a.dtype.type(weight), a.dtype.type(1 - weight)
    return record_each("lerp", a + w * (b - a), (input, lambda g: g * rest), (end, lambda g: g * w))


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Tensor:
    """x + value·a·b."""
    return add(input, mul(mul(tensor1, tensor2), value))
