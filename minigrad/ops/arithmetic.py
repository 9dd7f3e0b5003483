"""Elementwise arithmetic. `g` is the gradient of the loss with respect to an op's output.

Every choice (a comparison, a sign) is made on the real part, so that a complex number can carry a
derivative through (see autograd/). Division by zero gives inf and nan in silence.

Three things stand beside the formulas and change no result; skip them when you read the first time.
`plus`, `minus`, `times` and `over` are +, -, * and /, and `summed` is the un-broadcasting of
`recording.fit`: for large arrays (TURNED_FROM and more elements) they go the faster way
(ops/large.py). `one_pass` and `of_two` hand large arrays to compiled code. `in_float32` rounds the
result of float16 and a number once, not twice.
"""

from __future__ import annotations

from functools import partial
from typing import Any, overload

import numpy as np

from minigrad.checks import number, one_of
from minigrad.dtypes import float16, promote
from minigrad.incoming import as_array, check_numbers
from minigrad.ops.convert import in_float32, to
from minigrad.ops.large import (
    TURNED_FROM,
    minus,
    of_two,
    one_pass,
    over,
    plus,
    summed,
    summed_product,
    times,
)
from minigrad.recording import (
    check_broadcast,
    operand,
    operand_arrays,
    operands,
    record_each,
    refuse_numbers,
)
from minigrad.tensor import Tensor, wrap

quiet = np.errstate(all="ignore")


def scaled(name: str, what: str, factor: float, y: Any, *others: Any) -> Any:
    """factor·y for an op on y and others, in whose dtype the factor has no part."""
    dtype = operand_arrays(name, y, *others)[0].dtype
    factor = number(name, what, factor)
    if dtype.kind in "biu":
        if factor % 1 != 0:
            raise RuntimeError(
                f"{name}: {what}={factor} is a fraction, and the result {dtype}: use .float()"
            )
        factor = bool(factor) if dtype.kind == "b" else int(factor)
    if isinstance(y, np.ndarray):
        y = wrap(y)
    if isinstance(y, Tensor):
        return mul(to(y, promote(y.dtype, dtype)), factor)
    product = (y.item() if isinstance(y, np.generic) else y) * factor
    return bool(product) if dtype.kind == "b" else product


def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """x + alpha·y."""
    # y = a + b        dL/da = g        dL/db = g
    if alpha != 1:
        other = scaled("add", "alpha", alpha, other, input)
    a, b = operands("add", input, other)
    if a.dtype is float16 and (out := in_float32(add, input, other)) is not None:
        return out
    if a.size < TURNED_FROM > b.size:  # both are small, and numpy's + is as fast as any
        return record_each("add", a + b, (input, lambda g: g), (other, lambda g: g))
    of_a, of_b = a.shape, b.shape
    return record_each(
        "add", plus(a, b), (input, lambda g: summed(g, of_a)), (other, lambda g: summed(g, of_b))
    )


def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """x - alpha·y."""
    # y = a - b        dL/da = g        dL/db = -g
    if alpha != 1:
        other = scaled("sub", "alpha", alpha, other, input)
    a, b = operands("sub", input, other)
    if a.dtype is float16 and (out := in_float32(sub, input, other)) is not None:
        return out
    for v in (input, other):
        if isinstance(v, bool) or (isinstance(v, Tensor) and v.array.dtype.kind == "b"):
            raise RuntimeError(
                "sub: bool tensors cannot be subtracted: use ^ (logical_xor) or convert them"
            )
    if a.size < TURNED_FROM > b.size:
        return record_each("sub", a - b, (input, lambda g: g), (other, lambda g: -g))
    of_a, of_b = a.shape, b.shape
    return record_each(
        "sub", minus(a, b), (input, lambda g: summed(g, of_a)), (other, lambda g: -summed(g, of_b))
    )


def mul(input: Any, other: Any) -> Tensor:
    """x·y."""
    # y = a·b        dL/da = g·b        dL/db = g·a
    a, b = operands("mul", input, other)
    if a.dtype is float16 and (out := in_float32(mul, input, other)) is not None:
        return out
    out = a * b if a.size < TURNED_FROM > b.size else times(a, b)
    if out.size < TURNED_FROM:
        return record_each("mul", out, (input, lambda g: g * b), (other, lambda g: g * a))
    of_a, of_b = a.shape, b.shape
    maps = (lambda g: summed_product(g, b, of_a)), (lambda g: summed_product(g, a, of_b))
    return record_each("mul", out, (input, maps[0]), (other, maps[1]))


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """x / y; `rounding_mode` "floor" or "trunc" rounds the quotient, which has gradient 0."""
    # y = a/b        dL/da = g/b        dL/db = -g·(a/b)/b
    if rounding_mode is not None:
        one_of("div", "rounding_mode", rounding_mode, (None, "floor", "trunc"))
    if rounding_mode == "floor":
        return floor_divide(input, other)
    a, b = operands("div", input, other, floating=rounding_mode is None)
    op = partial(div, rounding_mode=rounding_mode)
    if a.dtype is float16 and (out := in_float32(op, input, other)) is not None:
        return out
    if rounding_mode == "trunc":
        if np.result_type(a, b).kind in "iub":
            refuse_zero("div", a, b)
            out = np.floor_divide(np.abs(a), np.abs(b)) * (np.sign(a) * np.sign(b))
            return wrap(out.astype(np.result_type(a, b)))
        with np.errstate(all="ignore"):
            return record_each(
                "div", np.trunc(a / b), (input, np.zeros_like), (other, np.zeros_like)
            )
    with np.errstate(all="ignore"):
        out = over(a, b)
    of_a, of_b = a.shape, b.shape
    # Of the operands, not of the quotient, which scripts mask in place: y = a / b; y[y != y] = 0.
    da = lambda g: summed(over(g, b), of_a)  # noqa: E731
    db = lambda g: -summed(times(g, over(over(a, b), b)), of_b)  # noqa: E731
    return record_each("div", out, (input, da), (other, db))


def refuse_zero(name: str, a: Any, b: Any) -> None:
    if np.size(a) and np.any(np.equal(b, 0)):
        raise RuntimeError(f"{name}: integer division by zero: convert to a floating dtype")


def floor_divide(input: Any, other: Any) -> Tensor:
    """The quotient rounded down; its gradient is 0."""
    a, b = operands("floor_divide", input, other)
    if a.dtype is float16 and (out := in_float32(floor_divide, input, other)) is not None:
        return out
    if np.result_type(a, b).kind in "iub":
        refuse_zero("floor_divide", a, b)
    with np.errstate(all="ignore"):
        out = np.floor_divide(a, b)
    return record_each("floor_divide", out, (input, np.zeros_like), (other, np.zeros_like))


def remainder(input: Any, other: Any) -> Tensor:
    """x - y·floor(x/y), with the sign of y."""
    # dL/da = g        dL/db = -g·floor(a/b)
    if not isinstance(other, Tensor):
        refuse_numbers("remainder", input, hint="one of the two must be a tensor")
    a, b = operands("remainder", input, other)
    if a.dtype is float16 and (out := in_float32(remainder, input, other)) is not None:
        return out
    if np.result_type(a, b).kind in "iub":
        refuse_zero("remainder", a, b)
    if (large := of_two("remainder", input, other, a, b)) is not None:
        return large
    with np.errstate(all="ignore"):
        if np.result_type(a, b).kind == "c":
            out = a - b * np.floor_divide(a.real, b.real)
        else:
            out = np.remainder(a, b)

    def quotient() -> Any:
        if out.dtype.kind == "f" and np.isfinite(out).all():
            return np.rint((a - out) / b)  # numpy's division would take the remainder once more
        return np.floor_divide(a.real, b.real)

    db = quiet(lambda g: -g * quotient())
    return record_each("remainder", out, (input, lambda g: g), (other, db))


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


def maximum(input: Any, other: Any) -> Tensor:
    """The larger of two, elementwise; where they are equal each receives half the gradient."""
    a, b = operand_arrays("maximum", input, other)
    return _extremum("maximum", input, other, a, b, np.greater)


def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of two, elementwise; where they are equal each receives half the gradient."""
    a, b = operand_arrays("minimum", input, other)
    return _extremum("minimum", input, other, a, b, np.less)


def _extremum(name: str, x: Any, y: Any, a: Any, b: Any, comes_first: Any) -> Tensor:
    refuse_numbers(name, x, y, hint="use clamp")
    if (large := of_two(name, x, y, a, b)) is not None:
        return large
    # dL/da = g where a is taken, g/2 where a = b, else 0        (dL/db: the same with b)
    dtype, first = np.result_type(a, b), comes_first(a.real, b.real)
    out = np.where(first | np.isnan(a), a, b).astype(dtype, copy=False)
    second = ~first & (a.real != b.real)  # a NaN is neither larger nor smaller: both are "taken"
    nan = np.isnan(a) | np.isnan(b)

    def half(g: Any, taken: Any, lost: Any) -> Any:
        return np.where(taken | nan, g, np.where(lost, 0, g * 0.5))

    lost = second & ~nan
    maps = (x, lambda g: half(g, first, second)), (y, lambda g: half(g, lost, first))
    return record_each(name, out, *maps)


@one_pass
def clamp(input: Any, min: Any = None, max: Any = None) -> Tensor:
    """Limit x to [min, max], numbers, tensors or None; derivative 1 at both bounds, 0 at NaN."""
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max is needed")
    values = [v for v in (input, min, max) if v is not None]
    a, *bounds = operand_arrays("clamp", *values)
    check_numbers("clamp", a.dtype, min, max)
    low, high = None if min is None else bounds[0], None if max is None else bounds[-1]
    out = a if low is None else _choose(a.real < low.real, low, a)
    out = out if high is None else _choose(out.real > high.real, high, out)  # max wins over min
    inside = True if low is None else a.real >= low.real
    inside = inside if high is None else inside & (a.real <= high.real)
    pairs = [(input, lambda g: np.where(inside, g, 0))]
    if low is not None:
        below = a.real < low.real if high is None else (a.real < low.real) & (low.real < high.real)
        pairs.append((min, lambda g: np.where(below, g, 0)))
    if high is not None:
        above = a.real > high.real if low is None else (a.real > high.real) | (high.real < low.real)
        pairs.append((max, lambda g: np.where(above, g, 0)))
    return record_each("clamp", out, *pairs)


def _choose(bounded: Any, bound: Any, a: Any) -> Any:
    """The bound where `bounded` holds, or where it is NaN; else a."""
    return np.where(bounded | np.isnan(bound.real), bound, a)


@overload
def where(condition: Any) -> tuple[Tensor, ...]: ...
@overload
def where(condition: Any, input: Any, other: Any) -> Tensor: ...
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
    if dtype is not None and dtype.kind in "iu":
        check_numbers("where", dtype, input, other)
    out = np.where(mask, a, b)
    out = out if dtype is None else out.astype(dtype, copy=False)
    maps = (input, lambda g: np.where(mask, g, 0)), (other, lambda g: np.where(mask, 0, g))
    return record_each("where", out, *maps)
