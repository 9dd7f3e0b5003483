"""Angles, hyperbolas, and other functions of every element that scripts meet now and then."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.checks import number
from minigrad.ops.arithmetic import add, clamp, div, mul, quiet, refuse_zero, scaled, sub
from minigrad.ops.convert import to
from minigrad.ops.elementary import exp, pow
from minigrad.ops.large import in_one_pass, of_two, one_pass, over, times
from minigrad.ops.rounding import trunc
from minigrad.recording import (
    check_floating,
    operand,
    operand_arrays,
    operands,
    record_each,
    refuse_numbers,
    unrecorded,
)
from minigrad.tensor import Tensor, wrap


@quiet
def tan(input: Any) -> Tensor:
    """The tangent."""
    # dL/da = g·(1 + y²)
    y = np.tan(operand("tan", input, floating=True))
    return record_each("tan", y, (input, lambda g: g * (1 + y * y)))


@quiet
def sinh(input: Any) -> Tensor:
    """The hyperbolic sine."""
    # dL/da = g·cosh a
    a = operand("sinh", input, floating=True)
    return record_each("sinh", np.sinh(a), (input, lambda g: g * np.cosh(a)))


@quiet
def cosh(input: Any) -> Tensor:
    """The hyperbolic cosine."""
    # dL/da = g·sinh a
    a = operand("cosh", input, floating=True)
    return record_each("cosh", np.cosh(a), (input, lambda g: g * np.sinh(a)))


def _by_slope(name: str, x: Any, f: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Tensor:
    """f of every element; of a complex probe, by its derivative: numpy's own functions have
    branches there, or lose digits."""
    a = operand(name, x, floating=True)
    y = f(a.real) + 1j * slope(a.real) * a.imag if a.dtype.kind == "c" else f(a)
    return record_each(name, y, (x, lambda g: g * slope(a)))


@quiet
def asin(input: Any) -> Tensor:
    """The angle in [-π/2, π/2] with this sine; NaN beyond ±1."""
    # dL/da = g/√(1 - a²)
    return _by_slope("asin", input, np.arcsin, lambda a: 1 / np.sqrt(1 - a * a))


@quiet
def acos(input: Any) -> Tensor:
    """The angle in [0, π] with this cosine; NaN beyond ±1."""
    # dL/da = -g/√(1 - a²)
    return _by_slope("acos", input, np.arccos, lambda a: -1 / np.sqrt(1 - a * a))


@quiet
def atan(input: Any) -> Tensor:
    """The angle in [-π/2, π/2] with this tangent."""
    # dL/da = g/(1 + a²)
    return _by_slope("atan", input, np.arctan, lambda a: 1 / (1 + a * a))


@quiet
def asinh(input: Any) -> Tensor:
    """The inverse of sinh."""
    # dL/da = g/√(a² + 1)
    return _by_slope("asinh", input, np.arcsinh, lambda a: 1 / np.sqrt(a * a + 1))


@quiet
def acosh(input: Any) -> Tensor:
    """The inverse of cosh; NaN below 1."""
    # dL/da = g/√(a² - 1)
    return _by_slope("acosh", input, np.arccosh, lambda a: 1 / np.sqrt(a * a - 1))


@quiet
def atanh(input: Any) -> Tensor:
    """The inverse of tanh; NaN beyond ±1."""
    # dL/da = g/(1 - a²)
    return _by_slope("atanh", input, np.arctanh, lambda a: 1 / (1 - a * a))


@quiet
def atan2(input: Any, other: Any) -> Tensor:
    """The angle of the point (y, x) = (input, other), in [-π, π]."""
    # dL/dy = g·x/(x² + y²)        dL/dx = -g·y/(x² + y²)        0 at the origin
    refuse_numbers("atan2", input, other, hint="both must be tensors")
    y, x = operands("atan2", input, other, floating=True)
    square = x * x + y * y
    inverse: Any = np.where(square.real == 0, 0, 1 / np.where(square.real == 0, 1, square))
    out: Any = np.arctan2(y.real, x.real)
    if square.dtype.kind == "c":
        out = out + 1j * ((x.real * y.imag - y.real * x.imag) * inverse.real)
    return record_each(
        "atan2", out, (input, lambda g: g * (x * inverse)), (other, lambda g: -g * (y * inverse))
    )


@quiet
def hypot(input: Any, other: Any) -> Tensor:
    """√(x² + y²), without overflow."""
    # dL/dx = g·x/h        dL/dy = g·y/h        (NaN at the origin, as in PyTorch)
    refuse_numbers("hypot", input, other, hint="both must be tensors")
    a, b = operands("hypot", input, other, floating=True)
    if (large := of_two("hypot", input, other, a, b)) is not None:
        return large
    h: Any = np.hypot(a.real, b.real)
    if np.result_type(a, b).kind == "c":
        h = np.sqrt(a * a + b * b)
    return record_each("hypot", h, (input, lambda g: g * (a / h)), (other, lambda g: g * (b / h)))


def deg2rad(input: Any) -> Tensor:
    """Degrees as radians."""
    return mul(input, math.pi / 180)


def rad2deg(input: Any) -> Tensor:
    """Radians as degrees."""
    return mul(input, 180 / math.pi)


@one_pass
@quiet
def frac(input: Any) -> Tensor:
    """What stands behind the point, with the sign of x."""
    return sub(input, trunc(input))


@quiet
def fmod(input: Any, other: Any) -> Tensor:
    """x - y·trunc(x/y), with the sign of x."""
    # dL/da = g        dL/db = -g·trunc(a/b)
    refuse_numbers("fmod", input, hint="the first must be one")
    a, b = operands("fmod", input, other)
    if np.result_type(a, b).kind in "iub":
        refuse_zero("fmod", a, b)
    if (large := of_two("fmod", input, other, a, b)) is not None:
        return large
    whole = np.trunc(a.real / b.real) if np.result_type(a, b).kind in "fc" else None
    out = np.fmod(a, b) if np.result_type(a, b).kind != "c" else a - b * whole
    return record_each("fmod", out, (input, lambda g: g), (other, lambda g: -g * whole))


@quiet
def copysign(input: Any, other: Any) -> Tensor:
    """|x| with the sign of y."""
    # dL/da = g·y/a: g where the signs agree, else -g; 0 at 0        dL/db = 0
    refuse_numbers("copysign", input, hint="the first must be one")
    a, b = operands("copysign", input, other, floating=True)
    flip = np.sign(a.real) * np.copysign(1, b.real)
    out = a * flip if a.dtype.kind == "c" else np.copysign(a, b.real)
    flip = np.where(np.isinf(a.real), np.nan, flip)  # as PyTorch's y/a has it
    return record_each("copysign", out, (input, lambda g: g * flip), (other, np.zeros_like))


def signbit(input: Any) -> Tensor:
    """Whether the sign is negative, of -0.0 too."""
    a = operand("signbit", input)
    return unrecorded("signbit", np.signbit(a.real) if a.dtype.kind in "fc" else a < 0)


def heaviside(input: Any, values: Any) -> Tensor:
    """0 below 0, 1 above, and `values` at 0; its gradient is not defined."""
    refuse_numbers("heaviside", input, values, hint="both must be tensors")
    a, b = operands("heaviside", input, values)
    return unrecorded("heaviside", np.where(a == 0, b, (a > 0).astype(b.dtype)))


@one_pass
def exp2(input: Any) -> Tensor:
    """2^x."""
    return exp(mul(input, math.log(2)))


@one_pass
@quiet
def logit(input: Any, eps: float | None = None) -> Tensor:
    """log(x/(1 - x)), the inverse of sigmoid; x is clamped to [eps, 1 - eps] if eps is given."""
    # dL/dx = g/(x·(1 - x)), 0 where x was clamped, NaN outside 0 … 1
    a = operand("logit", input, floating=True)
    low = -np.inf if eps is None else number("logit", "eps", eps)
    inside = (a.real >= low) & (a.real <= 1 - low)
    held = np.where(a.real < low, low, np.where(a.real > 1 - low, 1 - low, a))
    held = held.astype(a.dtype, copy=False)
    defined = np.where((a.real >= 0) & (a.real <= 1), 1, np.nan)

    def da(g: Any) -> Any:
        return np.where(inside, (defined * g / (a * (1 - a))).astype(g.dtype), 0)

    return record_each("logit", np.log(held / (1 - held)), (input, quiet(da)))


def xlogy(input: Any, other: Any) -> Tensor:
    """x·log y, and 0 where x is 0, whatever y; NaN where y is."""
    return _times_log("xlogy", input, other, np.log, 0)


def xlog1py(input: Any, other: Any) -> Tensor:
    """x·log(1 + y), and 0 where x is 0, whatever y; NaN where y is."""
    return _times_log("xlog1py", input, other, np.log1p, 1)


@quiet
def _times_log(name: str, input: Any, other: Any, log: Callable[[Any], Any], shift: int) -> Tensor:
    """x·log(y + shift)."""
    # dL/da = g·log(b + s) (0 at a = 0, b <= -s, as in PyTorch)        dL/db = g·a/(b + s)
    if not isinstance(other, Tensor):
        refuse_numbers(name, input, hint="one of the two must be one")
    a, b = operands(name, input, other, floating=True)
    logs, zero = log(b), (a.real == 0) & ~np.isnan(b.real)
    none = zero & (b.real <= -shift)
    # a complex probe of a = 0 carries its derivative, too
    probed = np.result_type(a, b).kind == "c"
    out = np.where(none if probed else zero, 0, a * logs)
    return record_each(
        name, out,
        (input, lambda g: g * np.where(none, 0, logs)), (other, lambda g: g * (a / (b + shift))),
    )  # fmt: skip


def logaddexp(input: Any, other: Any) -> Tensor:
    """log(e^x + e^y), safe from overflow."""
    # y = max + log(1 + e^-|a - b|)        dL/da = g/(1 + e^(b - a))
    refuse_numbers("logaddexp", input, other, hint="both must be tensors")
    a, b = operands("logaddexp", input, other, floating=True)
    if (large := of_two("logaddexp", input, other, a, b)) is not None:
        return large
    with np.errstate(all="ignore"):
        if np.result_type(a, b).kind == "c":
            peak = np.maximum(a.real, b.real)
            y = peak + np.log(np.exp(a - peak) + np.exp(b - peak))
        else:
            y = np.logaddexp(a, b)
    return record_each(
        "logaddexp", y,
        (input, quiet(lambda g: g / (1 + np.exp(b - a)))),
        (other, quiet(lambda g: g / (1 + np.exp(a - b)))),
    )  # fmt: skip


def logaddexp2(input: Any, other: Any) -> Tensor:
    """log₂(2^x + 2^y), safe from overflow."""
    refuse_numbers("logaddexp2", input, other, hint="both must be tensors")
    dtype = operands("logaddexp2", input, other, floating=True)[0].dtype
    if dtype.kind == "f":  # or one of them would be rounded to a lower one first
        input, other = to(input, dtype), to(other, dtype)
    return mul(logaddexp(mul(input, math.log(2)), mul(other, math.log(2))), 1 / math.log(2))


@quiet
def lerp(input: Any, end: Any, weight: Any) -> Tensor:
    """x + weight·(end - x)."""
    dtypes = {v.dtype for v in (input, end, weight) if isinstance(v, Tensor)}
    if len({d for d in dtypes if d.kind != "c"}) > 1 or any(d.kind in "iub" for d in dtypes):
        found = ", ".join(sorted(map(str, dtypes)))
        raise RuntimeError(f"lerp: expected one floating dtype, got {found}")
    # computed from the nearer end, and so exact at both
    # dL/dx = g·(1 - w)        dL/dend = g·w        dL/dw = g·(end - x)
    a, b, w = operand_arrays("lerp", input, end, weight)
    if (
        not isinstance(weight, Tensor)
        and (large := of_two("lerp", input, end, a, b, float(w.real))) is not None
    ):
        return large
    if (out := in_one_pass("lerp", a, b, w)) is None:
        out = np.where(np.abs(w.real) < 0.5, a + w * (b - a), b - (b - a) * (1 - w))
    return record_each(
        "lerp", out,
        (input, lambda g: g * (1 - w)), (end, lambda g: g * w), (weight, lambda g: g * (b - a)),
    )  # fmt: skip


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Tensor:
    """x + value·a·b."""
    # dL/dx = g        dL/da = value·g·b        dL/db = value·g·a
    x, a, b = operand_arrays("addcmul", input, tensor1, tensor2)
    if type(value) not in (int, float) or (out := in_one_pass("addcmul", x, a, b, p=value)) is None:
        weighted = scaled("addcmul", "value", value, tensor1, tensor2, input)
        return to(add(input, mul(weighted, tensor2)), x.dtype)
    return record_each(
        "addcmul", out, (input, lambda g: g),
        (tensor1, lambda g: times(g, b) * value), (tensor2, lambda g: times(g, a) * value),
    )  # fmt: skip


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Tensor:
    """x + value·a/b."""
    # dL/dx = g        dL/da = value·g/b        dL/db = -value·g·(a/b)/b
    x, a, b = operand_arrays("addcdiv", input, tensor1, tensor2)
    check_floating("addcdiv", x)
    if type(value) not in (int, float) or (out := in_one_pass("addcdiv", x, a, b, p=value)) is None:
        weighted = scaled("addcdiv", "value", value, tensor1, tensor2, input)
        return to(add(input, div(weighted, tensor2)), x.dtype)
    return record_each(
        "addcdiv", out, (input, lambda g: g), (tensor1, lambda g: over(g, b) * value),
        (tensor2, lambda g: times(g, over(over(a, b), b)) * -value),
    )  # fmt: skip


def float_power(input: Any, exponent: Any) -> Tensor:
    """x^y in float64."""
    if not isinstance(exponent, Tensor):
        refuse_numbers("float_power", input, hint="one of the two must be one")
    raised = [
        v.double() if isinstance(v, Tensor) else wrap(np.asarray(v, np.float64))
        for v in (input, exponent)
    ]
    return pow(*raised)


def nan_to_num(
    input: Any, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Numbers for NaN (zero), inf and -inf (the dtype's largest and smallest)."""
    # dL/da = g where a is finite, else 0
    a = operand("nan_to_num", input)
    for name, value in (("nan", nan), ("posinf", posinf), ("neginf", neginf)):
        if value is not None:
            number("nan_to_num", name, value)
    if a.dtype.kind not in "fc":
        return wrap(a.copy())
    limits = np.finfo(a.real.dtype)
    high, low = float(limits.max) if posinf is None else posinf, neginf
    low = float(limits.min) if low is None else low
    finite, r = np.isfinite(a.real), a.real
    out = np.where(np.isnan(r), nan or 0.0, np.where(r == np.inf, high, low)).astype(a.dtype)
    return record_each("nan_to_num", np.where(finite, a, out), (input, lambda g: g * finite))


def clamp_min(input: Any, min: Any) -> Tensor:
    """x, at least min."""
    refuse_numbers("clamp_min", input, hint="the first must be one")
    return clamp(input, min=min)


def clamp_max(input: Any, max: Any) -> Tensor:
    """x, at most max."""
    refuse_numbers("clamp_max", input, hint="the first must be one")
    return clamp(input, max=max)


def fmax(input: Any, other: Any) -> Tensor:
    """The larger of two; of a NaN and a number, the number."""
    refuse_numbers("fmax", input, other, hint="both must be tensors")
    a, b = operands("fmax", input, other)
    return _chosen("fmax", input, other, a, b, (a.real >= b.real) | np.isnan(b.real))


def fmin(input: Any, other: Any) -> Tensor:
    """The smaller of two; of a NaN and a number, the number."""
    refuse_numbers("fmin", input, other, hint="both must be tensors")
    a, b = operands("fmin", input, other)
    return _chosen("fmin", input, other, a, b, (a.real <= b.real) | np.isnan(b.real))


def _chosen(name: str, x: Any, y: Any, a: Any, b: Any, first: Any) -> Tensor:
    # dL/dx = g where x was taken, as of two that are equal
    return record_each(
        name, np.where(first, a, b),
        (x, lambda g: np.where(first, g, 0)), (y, lambda g: np.where(first, 0, g)),
    )  # fmt: skip


@quiet
def sinc(input: Any) -> Tensor:
    """sin(πx)/(πx), and 1 at 0."""
    # dL/da = g·(cos(πa) - y)/a, 0 at 0
    a = operand("sinc", input, floating=True)
    zero = a.real == 0
    safe = np.where(zero, 1, a)
    y = np.where(zero, 1, np.sin(math.pi * safe) / (math.pi * safe)).astype(a.dtype)
    # At 0 y is 1 - (πa)²/6, which a complex probe needs for the second derivative.
    slope = np.where(zero, -(math.pi**2) / 3 * a, (np.cos(math.pi * safe) - y) / safe)
    return record_each("sinc", y, (input, lambda g: g * slope.astype(g.dtype)))


arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh
arctan2, fix = atan2, trunc
