"""Histograms: how many elements fall between two edges."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.checks import integer, number
from minigrad.incoming import as_array
from minigrad.recording import floating_operand
from minigrad.tensor import Tensor, wrap


class Histogram(NamedTuple):
    """What histogram returns."""

    hist: Tensor
    bin_edges: Tensor


def _limits(name: str, a: Any, low: float, high: float, margin: float) -> tuple[Any, Any]:
    """From where to where bins reach: over the data where low and high are equal, and `margin`
    beyond that where the data are."""
    if low > high:
        raise RuntimeError(
            f"{name}: the upper limit must not be below the lower, got {low}, {high}"
        )
    lower, upper = a.dtype.type(low), a.dtype.type(high)
    if lower == upper and a.size:
        lower, upper = a.min(), a.max()
    if not (np.isfinite(lower) and np.isfinite(upper)):
        raise RuntimeError(f"{name}: the range from {lower} to {upper} is not finite")
    if lower == upper:
        lower, upper = a.dtype.type(lower - margin), a.dtype.type(upper + margin)
    return lower, upper


def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of `bins` equal parts of [min, max], which is the range of
    the data where both are 0; others are not counted."""
    a, bins = floating_operand("histc", input).ravel(), integer("histc", "bins", bins)
    low, high = _limits(
        "histc", a, number("histc", "min", min), number("histc", "max", max), margin=1
    )
    inside = a[(a >= low) & (a <= high)]
    part = ((inside - low) / (high - low) * a.dtype.type(bins)).astype(np.int64)
    counts = np.bincount(np.minimum(part, bins - 1), minlength=bins)  # the last one has both edges
    return wrap(counts.astype(a.dtype))


def histogram(
    input: Any, bins: Any, *, range: tuple[float, float] | None = None, weight: Any = None,
    density: bool = False,
) -> Histogram:  # fmt: skip
    """How many elements lie between the edges, of which the last bin has both.

    Args:
        input: the elements, floating.
        bins: how many parts of equal width, or their edges in ascending order.
        range: where the parts begin and end; that of the data if None.
        weight: what each element counts instead of 1, in the shape of x.
        density: divide by the sum and the widths, so that the integral is 1.
    """
    name = "histogram"
    values = floating_operand(name, input)
    a, one = values.ravel(), values.dtype.type
    if np.ndim(as_array(bins, name=name)):
        edges = as_array(bins, a.dtype, name)
        if edges.ndim != 1 or edges.size < 2 or (np.diff(edges) < 0).any():
            raise RuntimeError(
                f"{name}: bins must be a number or at least 2 edges in ascending order"
            )
    else:
        edges = _even(*_edges_of(a, range), integer(name, "bins", bins), one)
    given = None if weight is None else as_array(weight, name=name)
    if given is not None and (given.shape != values.shape or given.dtype != values.dtype):
        raise RuntimeError(
            f"{name}: weight must be {values.dtype} of shape {values.shape}, got {given.dtype} of "
            f"shape {given.shape}"
        )
    inside = (a >= edges[0]) & (a <= edges[-1])
    part = np.minimum(np.searchsorted(edges, a[inside], "right") - 1, len(edges) - 2)
    weights = None if given is None else given.ravel()[inside]
    hist = np.bincount(part, weights, minlength=len(edges) - 1)
    if density:
        with np.errstate(all="ignore"):
            hist = hist / (hist.sum() * np.diff(edges))
    return Histogram(wrap(hist.astype(a.dtype)), wrap(edges.copy()))


def _edges_of(a: Any, range: Any) -> tuple[Any, Any]:
    if range is None:
        if not a.size:
            return a.dtype.type(0), a.dtype.type(1)
        return _limits("histogram", a, 0.0, 0.0, margin=0.5)
    if not isinstance(range, tuple | list) or len(range) != 2:
        raise TypeError(f"histogram: range must be two numbers, got {range!r}")
    low, high = (number("histogram", "range", limit) for limit in range)
    return _limits("histogram", a[:0], low, high, margin=0.5)


def _even(low: Any, high: Any, bins: int, one: Any) -> Any:
    """Edges of equal parts, counted from the nearer end: both ends come out exactly."""
    step, i = (high - low) / one(bins), np.arange(bins + 1)
    left, right = low + step * i.astype(one), high - step * (bins - i).astype(one)
    return np.where(i < (bins + 1) // 2, left, right)
