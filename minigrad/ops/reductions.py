"""Reductions over one, several or all axes. Sums are accumulated in float64."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Unpack, overload

import numpy as np

from minigrad.checks import axis_of, number
from minigrad.dtypes import int64, uint8
from minigrad.incoming import as_array
from minigrad.names import Axis, AxisKeepdims, Keepdims, numpy_names, numpy_overloads
from minigrad.ops.arithmetic import abs as absolute
from minigrad.ops.arithmetic import quiet
from minigrad.ops.convert import to
from minigrad.ops.large import along, row_major, rows, total
from minigrad.recording import floating_operand, operand, record, record_each, unrecorded
from minigrad.tensor import Tensor

Dim = Any  # None, an int, or a tuple of ints


def axes_of(name: str, dim: Dim, ndim: int) -> tuple[int, ...]:
    """The reduced axes, counted from the front; all of them for None or ()."""
    if dim is None or (isinstance(dim, tuple | list) and not dim):
        return tuple(range(ndim))
    if not isinstance(dim, tuple | list):
        dim = (dim,)
    axes = tuple(axis_of(name, d, ndim) for d in dim)
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"{name}: dim {tuple(dim)} names an axis twice")
    return axes if ndim else ()


def _kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def summed(name: str, x: Any, dtype: Any) -> Any:
    """The array in `dtype`, by default its own, and int64 for integers and bools."""
    a = operand(name, x)
    if dtype is None:
        dtype = int64 if a.dtype.kind in "iub" else a.dtype
    if a.dtype.kind == "c":
        return a  # a probe keeps its derivative
    return a.astype(dtype, copy=False)


def _total(a: Any, axes: tuple[int, ...]) -> Any:
    """The sum over the axes, which are kept, in the accumulator's dtype."""
    large = total("sum", a, axes)
    if large is not None:
        return large
    return a.sum(axis=axes, keepdims=True, dtype=accumulator(a.dtype))


def _count(name: str, a: Any, dim: Dim, keepdim: bool = False) -> Tensor:
    """How many elements are nonzero. Of all axes, numpy counts by vectors."""
    axes = axes_of(name, dim, a.ndim)
    if len(axes) == a.ndim:
        count = np.full(_kept(a.shape, axes), np.count_nonzero(a), int64)
    else:
        count = np.add.reduce(a != 0, axes, int64, keepdims=True)
    return unrecorded(name, _dropped(count, axes, keepdim))


def _dropped(a: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
    """Without the reduced axes, unless they are to be kept."""
    return a if keepdim else a.reshape([n for i, n in enumerate(a.shape) if i not in axes])


def accumulator(dtype: Any) -> Any:
    return np.result_type(dtype, np.float64) if dtype.kind in "fc" else dtype


@numpy_names
def sum(
    input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None,
    **names: Unpack[AxisKeepdims],
) -> Tensor:  # fmt: skip
    """The sum over `dim` (all axes if None)."""
    # dL/dx = g, spread over the reduced axes
    if dtype is None and (bools := operand("sum", input)).dtype.kind == "b":
        return _count("sum", bools, dim, keepdim)
    a = summed("sum", input, dtype)
    axes = axes_of("sum", dim, a.ndim)
    shape, kept = a.shape, _kept(a.shape, axes)
    out = _dropped(_total(a, axes), axes, keepdim).astype(a.dtype)
    return record_each("sum", out, (input, lambda g: np.broadcast_to(g.reshape(kept), shape)))


@numpy_names
def mean(
    input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None,
    **names: Unpack[AxisKeepdims],
) -> Tensor:  # fmt: skip
    """The arithmetic mean over `dim`."""
    # dL/dx = g/n, spread over the reduced axes
    a = operand("mean", input) if dtype is None else summed("mean", input, dtype)
    if a.dtype.kind not in "fc":
        raise RuntimeError(f"mean: expected a floating tensor, got dtype {a.dtype}: use .float()")
    axes = axes_of("mean", dim, a.ndim)
    n = math.prod(a.shape[i] for i in axes)
    with np.errstate(all="ignore"):
        whole = _dropped(_total(a, axes), axes, keepdim)
        out = np.asarray(whole / np.float64(n)).astype(a.dtype)
    shape, kept = a.shape, _kept(a.shape, axes)
    return record_each(
        "mean", out, (input, lambda g: np.broadcast_to((g / n).reshape(kept), shape))
    )


@numpy_names
def var(
    input: Any, dim: Dim = None, unbiased: bool = True, keepdim: bool = False, *,
    correction: float | None = None, **names: Unpack[AxisKeepdims],
) -> Tensor:  # fmt: skip
    """The variance over `dim`: Σ (x - mean)²/(n - correction); correction is 1 by default."""
    # dL/dx = g·2·(x - mean)/(n - correction)        (the mean's own term sums to zero)
    v = _variance("var", input, dim, unbiased, keepdim, correction)
    return record_each(
        "var",
        v.out.astype(v.dtype),
        (input, lambda g: v.centred(2 / v.divisor * g.reshape(v.kept))),
    )


@numpy_names
def std(
    input: Any, dim: Dim = None, unbiased: bool = True, keepdim: bool = False, *,
    correction: float | None = None, **names: Unpack[AxisKeepdims],
) -> Tensor:  # fmt: skip
    """The standard deviation over `dim`; its gradient is 0 where all values are equal."""
    # dL/dx = g·(x - mean)/((n - correction)·std)
    v = _variance("std", input, dim, unbiased, keepdim, correction)
    with np.errstate(all="ignore"):
        root = np.sqrt(v.out)
        constant = root.real == 0
        scale = (np.where(constant, 0, 1) / np.where(constant, 1, root) / v.divisor).reshape(v.kept)
    return record_each(
        "std", root.astype(v.dtype), (input, lambda g: v.centred(scale * g.reshape(v.kept)))
    )


class _Variance(NamedTuple):
    out: Any
    divisor: Any
    kept: tuple[int, ...]  # the shape with the reduced axes kept
    dtype: Any
    centred: Callable[[Any], Any]  # from a factor (kept) to factor·(x - mean)


def _variance(
    name: str, x: Any, dim: Dim, unbiased: Any, keepdim: bool, correction: Any
) -> _Variance:
    if isinstance(dim, bool):  # var(unbiased) without dim, as torch allows
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased else 0
    correction = number(name, "correction", correction)
    a = operand(name, x)
    if a.dtype.kind not in "fc":
        raise RuntimeError(f"{name}: expected a floating tensor, got dtype {a.dtype}")
    axes, dtype = axes_of(name, dim, a.ndim), a.dtype
    n = math.prod(a.shape[i] for i in axes)
    divisor = np.float64(n - correction)  # of slopes; the variance is inf beyond the count
    with np.errstate(all="ignore"):
        mean = _total(a, axes) / np.float64(n)
        squares = total("spread", a, axes, mean)
        if squares is None:
            centred = a - mean
            squares = (centred * centred).sum(axis=axes, keepdims=True)
        out = np.asarray(_dropped(squares, axes, keepdim) / builtins.max(divisor, np.float64(0)))

    def times_centred(factor: Any) -> Any:
        large = along("linear", a, axes, mean, factor)
        return ((a - mean) * factor).astype(dtype) if large is None else large

    return _Variance(out, divisor, _kept(a.shape, axes), dtype, times_centred)


@numpy_names
def var_mean(
    input: Any, dim: Dim = None, unbiased: bool = True, keepdim: bool = False, *,
    correction: float | None = None, **names: Unpack[AxisKeepdims],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The variance and the mean."""
    variance = var(input, dim, unbiased, keepdim, correction=correction)
    return variance, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@numpy_names
def std_mean(
    input: Any, dim: Dim = None, unbiased: bool = True, keepdim: bool = False, *,
    correction: float | None = None, **names: Unpack[AxisKeepdims],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The standard deviation and the mean."""
    deviation = std(input, dim, unbiased, keepdim, correction=correction)
    return deviation, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def extreme(name: str, pick: Any, x: Any, dim: Dim = (), keepdim: bool = False) -> Tensor:
    """The extreme that `pick` finds; elements that tie share the gradient evenly.

    Where it is NaN the NaNs share the gradient, but in amax and amin, as in PyTorch, all elements
    receive NaN: g divided by the number of elements that are equal to NaN, which is 0.
    """
    # dL/dx = g/k for each of the k elements equal to the extreme
    a = operand(name, x)
    axes = axes_of(name, dim, a.ndim)
    if not a.size and builtins.any(a.shape[i] == 0 for i in axes):
        raise RuntimeError(f"{name}: an empty axis has no extreme, got shape {a.shape}")
    peak = pick.reduce(a.real, axis=axes, keepdims=True)
    if name != "norm" and (loops := rows(a)) is not None and loops.neighbours(axes):
        return _large_extreme(name, x, a, axes, peak, keepdim, loops)
    taken = a.real == peak
    if name not in ("amax", "amin"):
        taken |= np.isnan(a.real) & np.isnan(peak)
    with np.errstate(all="ignore"):
        share = taken / taken.sum(axis=axes, keepdims=True)
    out = (a * share).sum(axis=axes, keepdims=True) if a.dtype.kind == "c" else peak
    dtype, kept = a.dtype, _kept(a.shape, axes)

    def dx(g: Any) -> Any:
        each = g.reshape(kept) * share
        return (np.where(taken, each, 0) if name in ("max", "min") else each).astype(dtype)

    return record_each(name, _dropped(out, axes, keepdim), (x, dx))


def _large_extreme(
    name: str, x: Any, a: Any, axes: tuple[int, ...], peak: Any, keepdim: bool, loops: Any
) -> Tensor:
    """`extreme` of a large array over neighbouring axes. Who shares, the backward looks up."""
    way = "same" if name in ("max", "min") else "equal"

    def dx(g: Any) -> Any:
        v, g = a if a.flags.carray else row_major(a), g.reshape(peak.shape)
        count = loops.total(way, v, axes, peak)
        with np.errstate(all="ignore"):
            share = g / np.where(count == 0, np.nan, count)  # of amax, to which no NaN is equal
        return loops.along(way, v, axes, peak, share)

    return record_each(name, _dropped(peak, axes, keepdim), (x, dx))


@numpy_names
def amax(input: Any, dim: Dim = (), keepdim: bool = False, **names: Unpack[AxisKeepdims]) -> Tensor:
    """The largest value over `dim`; ties share the gradient evenly."""
    return extreme("amax", np.maximum, input, dim, keepdim)


@numpy_names
def amin(input: Any, dim: Dim = (), keepdim: bool = False, **names: Unpack[AxisKeepdims]) -> Tensor:
    """The smallest value over `dim`; ties share the gradient evenly."""
    return extreme("amin", np.minimum, input, dim, keepdim)


@numpy_names
def prod(
    input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None,
    **names: Unpack[AxisKeepdims],
) -> Tensor:  # fmt: skip
    """The product over `dim`."""
    # dL/dx_i = g·y/x_i; where some x are 0, g·Π_{j≠i} x_j from products of all before and all after
    a = summed("prod", input, dtype)
    if dim is None:
        flat, position = a.reshape(-1), 0
        kept: tuple[int, ...] = (1,)
    else:
        position = axis_of("prod", dim, a.ndim)
        flat = a if a.ndim else a.reshape(1)
        kept = _kept(flat.shape, (position,))
    out = np.asarray(flat.prod(axis=position, keepdims=keepdim and dim is not None), a.dtype)
    out = out if a.ndim else out.reshape(())
    shape = a.shape
    if not a.ndim:
        return record_each("prod", out, (input, lambda g: g))

    def dx(g: Any) -> Any:
        zeros = flat.size - np.count_nonzero(flat.real)
        if not zeros:
            return (g.reshape(kept) * out.reshape(kept) / flat).reshape(shape)
        if dim is None and zeros > 1:
            return np.zeros(shape, g.dtype)
        moved = np.moveaxis(flat, position, 0)
        before, after = np.ones_like(moved), np.ones_like(moved)
        np.cumprod(moved[:-1], axis=0, out=before[1:])
        np.cumprod(moved[:0:-1], axis=0, out=after[-2::-1])
        return (g.reshape(kept) * np.moveaxis(before * after, 0, position)).reshape(shape)

    return record_each("prod", out, (input, dx))


@overload
def logsumexp(input: Any, dim: Dim, keepdim: bool = False, **names: Unpack[Keepdims]) -> Tensor: ...
@overload
def logsumexp(
    input: Any, *, axis: Dim, keepdim: bool = False, **names: Unpack[Keepdims]
) -> Tensor: ...
@numpy_overloads
@quiet
def logsumexp(input: Any, dim: Dim, keepdim: bool = False) -> Tensor:
    """log Σ e^x over `dim`, safe from overflow."""
    # dL/dx = g·e^(x - y)        (NaN where both are infinite)
    a = operand("logsumexp", input, floating=True)
    axes = axes_of("logsumexp", dim, a.ndim)
    kept = _kept(a.shape, axes)
    loops = rows(a) if len(axes) == 1 else None
    if loops is None:
        peak = np.max(a.real, axis=axes, keepdims=True, initial=-np.inf)
        peak = np.where(np.isfinite(peak), peak, 0)
        y = np.asarray(np.log(np.exp(a - peak).sum(axis=axes, keepdims=True)) + peak)
    else:
        y = loops.log_sum_exp(a, axes[0]).reshape(kept)
    out = _dropped(y.astype(a.dtype, copy=False), axes, keepdim)

    def dx(g: Any) -> Any:
        if loops is not None:
            return loops.along("exp", a, axes, y, g.reshape(kept))
        return g.reshape(kept) * np.exp(a - y)

    return record_each("logsumexp", out, (input, dx))


@numpy_names
def norm(
    input: Any, p: Any = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None,
    **names: Unpack[AxisKeepdims],
) -> Tensor:  # fmt: skip
    """The p-norm over `dim` ("fro", a number, inf; 0 counts nonzeros) in `dtype`; slope 0 at 0."""
    # y = (Σ |x|^p)^(1/p)        dL/dx = g·sign(x)·(|x|/y)^(p-1)
    if isinstance(p, str) and p != "fro":
        raise ValueError(f"norm: p must be 'fro' or a number, got {p!r}")
    p = 2 if p in ("fro", None) else number("norm", "p", p)
    input = input if dtype is None else to(input, dtype)
    a = floating_operand("norm", input)
    if p in (math.inf, -math.inf):
        pick = np.maximum if p > 0 else np.minimum
        return extreme("norm", pick, absolute(input), dim, keepdim)
    axes = axes_of("norm", dim, a.ndim)
    if p == 0:
        count = np.asarray((a.real != 0).sum(axis=axes, keepdims=keepdim), a.dtype)
        return record("norm", count, (input,), lambda g: (None,))
    kept = _kept(a.shape, axes)
    power = total("abs" if p == 1 else "square", a, axes) if p in (1, 2) else None
    if power is not None:
        line, y = ("sign", power) if p == 1 else ("linear", np.sqrt(power))
        with np.errstate(all="ignore"):
            factor = np.where(y == 0, 0, 1 if p == 1 else 1 / y)

        def slope(g: Any) -> Any:
            f = factor * g.reshape(kept)
            large = along(line, a, axes, np.zeros(kept), f)
            return f * (np.nan_to_num(np.sign(a)) if p == 1 else a) if large is None else large

        return record_each("norm", _dropped(y, axes, keepdim).astype(a.dtype), (input, slope))
    sign = np.sign(np.real(a))
    size, sign = a * sign + 0.0, np.where(np.isnan(sign), 0, sign)  # + 0.0 makes 0.0 of -0.0
    with np.errstate(all="ignore"):
        y = (size**p).sum(axis=axes, keepdims=True, dtype=accumulator(a.dtype)) ** (1 / p)
        zero, dtype = y.real == 0, a.dtype

    def dx(g: Any) -> Any:
        none = 1.0 if p == 1 else 0 / y  # where x is 0; NaN only where y is
        slope = sign * np.where(np.real(size) == 0, none, (size / np.where(zero, 1, y)) ** (p - 1))
        return np.where(zero, 0, g.reshape(kept) * slope).astype(dtype)

    return record_each("norm", _dropped(y, axes, keepdim).astype(dtype), (input, dx))


@numpy_names
def any(
    input: Any, dim: Dim = None, keepdim: bool = False, **names: Unpack[AxisKeepdims]
) -> Tensor:
    """Whether any element is nonzero; bool, but uint8 for uint8. For dim=(), each by itself."""
    return _whether("any", as_array(input), dim, keepdim)


@numpy_names
def all(
    input: Any, dim: Dim = None, keepdim: bool = False, **names: Unpack[AxisKeepdims]
) -> Tensor:
    """Whether all elements are nonzero; bool, but uint8 for uint8. For dim=(), each by itself."""
    return _whether("all", as_array(input), dim, keepdim)


def _whether(name: str, a: Any, dim: Dim, keepdim: bool) -> Tensor:
    axes = () if isinstance(dim, tuple | list) and not dim else axes_of(name, dim, a.ndim)
    out = getattr(a, name)(axis=axes, keepdims=keepdim)
    return unrecorded(name, np.asarray(out, a.dtype if a.dtype == uint8 else bool))


@numpy_names
def count_nonzero(input: Any, dim: Dim = None, **names: Unpack[Axis]) -> Tensor:
    """How many elements are nonzero."""
    return _count("count_nonzero", as_array(input), dim)
