"""Running sums and products, maxima and minima."""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from minigrad.checks import axis_of
from minigrad.kernels import for_large
from minigrad.names import numpy_overloads
from minigrad.ops.arithmetic import quiet
from minigrad.ops.indexing import gather, recorded
from minigrad.ops.large import FROM, last, placed, rows, scans
from minigrad.ops.places import Along
from minigrad.ops.reductions import accumulator, summed
from minigrad.ops.search import ValuesIndices
from minigrad.recording import floating_operand, operand, record_each
from minigrad.tensor import Tensor, wrap


@overload
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Tensor: ...
@overload
def cumsum(input: Any, *, axis: int, dtype: Any = None) -> Tensor: ...
@numpy_overloads
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Tensor:
    """The running sum along `dim`."""
    # dL/dx_i = Σ_{j≥i} g_j: a running sum from the other end
    a = summed("cumsum", input, dtype)
    position = axis_of("cumsum", dim, a.ndim)
    if not a.ndim:
        return record_each("cumsum", a.copy(), (input, lambda g: g))
    loops = rows(a)
    acc = accumulator(a.dtype)

    if loops is not None:
        out = loops.cumsum(a, position)
        return record_each("cumsum", out, (input, lambda g: loops.cumsum(g, position, back=True)))

    def running(v: Any) -> Any:
        return np.cumsum(v, axis=position, dtype=acc).astype(v.dtype)

    def dx(g: Any) -> Any:
        return np.flip(running(np.flip(g, position)), position)

    return record_each("cumsum", running(a), (input, dx))


@overload
def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Tensor: ...
@overload
def cumprod(input: Any, *, axis: int, dtype: Any = None) -> Tensor: ...
@numpy_overloads
def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Tensor:
    """The running product along `dim`."""
    # up to the first 0 of a row   dL/dx_i = (Σ_{j≥i} g_j·y_j)/x_i
    # at the first 0, place z      dL/dx_z = y_{z-1}·Σ_{j≥z} g_j·Π_{z<k≤j} x_k      beyond it 0
    a = summed("cumprod", input, dtype)
    position = axis_of("cumprod", dim, a.ndim)
    if not a.ndim or a.shape[position] == 1:
        return record_each("cumprod", a.copy(), (input, lambda g: g))
    if (loops := scans(a)) is not None:
        x = last(a, position)
        y = loops.cumprod(x)

        def back(g: Any) -> Any:
            return placed(loops.cumprod_backward(last(g, position), x, y), position)

        return record_each("cumprod", placed(y, position), (input, back))
    acc = accumulator(a.dtype)
    with np.errstate(over="ignore"):
        out = np.cumprod(a, axis=position, dtype=acc).astype(a.dtype)

    def dx(g: Any) -> Any:
        x, y, g = (np.moveaxis(v, position, -1) for v in (a, out, g))
        is_zero = x.real == 0
        if x.dtype.kind == "c" and is_zero.any():  # the zeros of a complex probe are not quite
            places = np.arange(x.shape[-1])
            others = (np.cumprod(np.where(places == i, 1, x), -1)[..., i:] for i in places)
            parts = [(g[..., i:] * y).sum(-1) for i, y in enumerate(others)]
            return np.moveaxis(np.stack(parts, -1), -1, position)
        zeros = np.cumsum(is_zero, -1)  # how many up to each place
        terms = np.flip(np.where(zeros == 0, g * y, 0), -1)
        each = np.flip(np.cumsum(terms, -1, dtype=acc), -1) / x
        if is_zero.any():
            first = is_zero & (zeros == 1)
            after = np.cumprod(np.where((zeros == 1) & ~first, x, 1), -1, dtype=acc)
            total = (after * np.where(zeros == 1, g, 0)).sum(-1, keepdims=True)
            before = np.concatenate((np.ones_like(y[..., :1]), y[..., :-1]), -1)
            each = np.where(first, total * before, np.where(zeros == 0, each, 0))
        return np.moveaxis(each, -1, position).astype(g.dtype)

    return record_each("cumprod", out, (input, dx))


@overload
def logcumsumexp(input: Any, dim: int) -> Tensor: ...
@overload
def logcumsumexp(input: Any, *, axis: int) -> Tensor: ...
@numpy_overloads
@quiet
def logcumsumexp(input: Any, dim: int) -> Tensor:
    """log of the running sum of e^x along `dim`, safe from overflow."""
    # dL/dx_i = Σ_{j≥i} g_j·e^(x_i - y_j) = e^(x_i - y_i)·s_i
    # with s_i = g_i + e^(y_i - y_{i+1})·s_{i+1}: no exponent is above 0, since y grows
    a = floating_operand("logcumsumexp", input)
    position = axis_of("logcumsumexp", dim, a.ndim)
    if not a.ndim:
        return record_each("logcumsumexp", a.copy(), (input, lambda g: g))
    if (loops := scans(a)) is not None:
        x = last(a, position)
        y = loops.logcumsumexp(x)

        def back(g: Any) -> Any:
            return placed(loops.logcumsumexp_backward(last(g, position), x, y), position)

        return record_each("logcumsumexp", placed(y, position), (input, back))
    x = np.moveaxis(a, position, 0)
    y = x.copy()
    for i in range(1, len(x)):
        peak = np.maximum(y[i - 1].real, x[i].real)
        peak = np.where(np.isfinite(peak), peak, 0)
        y[i] = np.log(np.exp(y[i - 1] - peak) + np.exp(x[i] - peak)) + peak

    def dx(g: Any) -> Any:
        s = np.moveaxis(g, position, 0).astype(np.result_type(g, y))
        for i in reversed(range(len(s) - 1)):
            s[i] += np.where(np.isposinf(y[i + 1].real), 0, np.exp(y[i] - y[i + 1]) * s[i + 1])
        return np.moveaxis(s * np.exp(x - y), 0, position)

    return record_each("logcumsumexp", np.moveaxis(y, 0, position), (input, dx))


@overload
def cummax(input: Any, dim: int) -> ValuesIndices: ...
@overload
def cummax(input: Any, *, axis: int) -> ValuesIndices: ...
@numpy_overloads
def cummax(input: Any, dim: int) -> ValuesIndices:
    """The largest elements so far along `dim`, of those that tie the last, and where they are. A
    NaN is the largest from there on."""
    return _running("cummax", np.maximum, input, dim)


@overload
def cummin(input: Any, dim: int) -> ValuesIndices: ...
@overload
def cummin(input: Any, *, axis: int) -> ValuesIndices: ...
@numpy_overloads
def cummin(input: Any, dim: int) -> ValuesIndices:
    """The smallest elements so far along `dim`, of those that tie the last, and where they are. A
    NaN is the smallest from there on."""
    return _running("cummin", np.minimum, input, dim)


def _running(name: str, pick: Any, x: Any, dim: int) -> ValuesIndices:
    # y_j = x_{i(j)}        dL/dx_i = Σ g_j over those j that took x_i, as in gather
    a = operand(name, x)
    position = axis_of(name, dim, a.ndim)
    loops = None
    if a.size >= FROM:
        loops = for_large("selection", a)
    if not a.ndim:
        index = np.zeros((), np.int64)
    elif loops is not None:
        values, index = loops.running(a, position, pick is np.minimum)
        return ValuesIndices(recorded(name, x, a, Along(index, position), values), wrap(index))
    else:
        real = np.moveaxis(a.real, position, -1)
        here = (real == pick.accumulate(real, -1)) | np.isnan(real)
        places = np.where(here, np.arange(real.shape[-1]), 0)
        index = np.moveaxis(np.maximum.accumulate(places, -1), -1, position)
    return ValuesIndices(gather(x, dim, index), wrap(np.asarray(index, order="C")))
