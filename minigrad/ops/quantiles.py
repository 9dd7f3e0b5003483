"""Quantiles, and sums and means of the elements that are not NaN."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from minigrad.checks import axis_of, one_of
from minigrad.incoming import as_array
from minigrad.names import AxisKeepdims, numpy_names
from minigrad.ops.arithmetic import div, mul, sub
from minigrad.ops.indexing import gather, masked_fill
from minigrad.ops.reductions import Dim, axes_of, sum
from minigrad.ops.search import sort
from minigrad.ops.shape import movedim, reshape, squeeze, unsqueeze
from minigrad.ops.trigonometry import lerp
from minigrad.recording import floating_operand, operand, record_each
from minigrad.tensor import Tensor, wrap


@numpy_names
def nansum(
    input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None,
    **names: Unpack[AxisKeepdims],
) -> Tensor:  # fmt: skip
    """The sum over `dim` of the elements that are not NaN; 0 if all are."""
    # y = Σ x over the numbers        dL/dx = g where x is a number, else 0
    return sum(_numbers("nansum", operand("nansum", input), input), dim, keepdim, dtype=dtype)


@numpy_names
def nanmean(
    input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None,
    **names: Unpack[AxisKeepdims],
) -> Tensor:  # fmt: skip
    """The mean over `dim` of the elements that are not NaN; NaN if all are."""
    a = floating_operand("nanmean", input)
    axes = axes_of("nanmean", dim, a.ndim)
    count = np.asarray((~np.isnan(a.real)).sum(axis=axes, keepdims=keepdim))
    total = sum(_numbers("nanmean", a, input), axes, keepdim, dtype=dtype)
    with np.errstate(all="ignore"):
        return div(total, wrap(count.astype(total.array.real.dtype)))


def _numbers(name: str, a: Any, x: Any) -> Tensor:
    """x with 0 for NaN."""
    number = ~np.isnan(a.real)
    return record_each(name, np.where(number, a, a.dtype.type(0)), (x, lambda g: g * number))


INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


@numpy_names
def quantile(
    input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear", **names: Unpack[AxisKeepdims],
) -> Tensor:  # fmt: skip
    """The values below which a fraction q of the elements lie; NaN where one of them is NaN.

    Args:
        input: floating, not empty.
        q: from 0 to 1: a number, or a vector (Q,) of the input's dtype, which gives the result a
            first axis of size Q.
        dim: the axis; None for all elements.
        keepdim: keep the axis, or with None all of them, at size 1.
        interpolation: between the two elements on either side: "linear", "lower", "higher",
            "midpoint" or "nearest".
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation)


@numpy_names
def nanquantile(
    input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear", **names: Unpack[AxisKeepdims],
) -> Tensor:  # fmt: skip
    """`quantile` of the elements that are not NaN; NaN where all are."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation)


def _quantile(name: str, x: Any, q: Any, dim: Any, keepdim: bool, interpolation: str) -> Tensor:
    # With the elements in order, x_0 ≤ … ≤ x_{n-1}, and r = q·(n - 1):
    # y = x_⌊r⌋ + (r - ⌊r⌋)·(x_⌈r⌉ - x_⌊r⌋)        so two elements share g, as lerp does it
    one_of(name, "interpolation", interpolation, INTERPOLATIONS)
    a = floating_operand(name, x)
    fractions: Any = (
        np.asarray(q, np.float64) if type(q) in (int, float) else as_array(q, name=name)
    )
    fractions = fractions.real
    if not a.size:
        raise RuntimeError(f"{name}: expected at least one element, got shape {a.shape}")
    if fractions.ndim > 1:
        raise RuntimeError(f"{name}: q must be a number or a vector, got shape {fractions.shape}")
    if isinstance(q, Tensor) and fractions.dtype != a.real.dtype:
        raise RuntimeError(f"{name}: q has dtype {q.dtype}, expected the input's {a.dtype}")
    if not ((fractions >= 0) & (fractions <= 1)).all():
        raise RuntimeError(f"{name}: q must be from 0 to 1, got {fractions}")
    axis, ndim = None if dim is None else axis_of(name, dim, a.ndim), a.ndim
    rows = reshape(x, -1) if axis is None or not ndim else movedim(x, axis, -1)
    where = (range(ndim) if axis is None else (axis,)) if keepdim and ndim else ()
    ordered = sort(rows, -1).values  # NaN last
    nan = np.isnan(ordered.array.real)
    count = nan.shape[-1] - nan.sum(-1, keepdims=True)
    last = np.maximum(count - 1, 0).astype(a.real.dtype)
    ranks = fractions.reshape(-1).astype(a.real.dtype) * last  # (…, Q)
    spoilt = nan.any(-1, keepdims=True) & (name == "quantile")
    ranks = np.where(spoilt, nan.shape[-1] - 1, ranks)
    if interpolation in ("lower", "higher", "nearest"):
        rounding = {"lower": np.floor, "higher": np.ceil, "nearest": np.rint}[interpolation]
        return _shaped(gather(ordered, -1, rounding(ranks).astype(np.int64)), fractions, where)
    below = np.floor(ranks)
    weight: Any = 0.5
    if interpolation == "linear":
        given = q if isinstance(q, Tensor) else wrap(fractions.astype(a.real.dtype))
        weight = sub(mul(reshape(given, -1), wrap(last)), wrap(below))
        weight = masked_fill(weight, wrap(np.broadcast_to(spoilt, ranks.shape)), 0)
    low = gather(ordered, -1, below.astype(np.int64))
    high = gather(ordered, -1, np.ceil(ranks).astype(np.int64))
    return _shaped(lerp(low, high, weight), fractions, where)


def _shaped(y: Tensor, q: Any, where: Any) -> Tensor:
    """From (…, Q) to (Q, …), or without that axis for one q; new axes of size 1 at `where`."""
    for axis in where:
        y = unsqueeze(y, axis)
    y = movedim(y, -1, 0)
    return y if q.ndim else squeeze(y, 0)
