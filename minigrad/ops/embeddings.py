"""Rows of a table that integers name, one by one or in bags."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.checks import integer, number, one_of
from minigrad.incoming import as_array
from minigrad.modes import no_grad
from minigrad.ops.indexing import check_index
from minigrad.recording import needs_grad, operand, overwrite, record, record_each
from minigrad.tensor import Tensor


def embedding(
    input: Any, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """The rows of `weight` that the integers in x name; row `padding_idx` receives no gradient.

    Args:
        input: x.
        weight: the table (rows, width).
        padding_idx: a row that receives no gradient.
        max_norm: scale the rows that x names to this norm, in place, if theirs is larger.
        norm_type: which norm.
        scale_grad_by_freq: divide a row's gradient by how often x names it.
        sparse: False: there are no sparse gradients.
    """
    # dL/dweight = g added up by row
    name = "embedding"
    i, w, padding = _table(name, input, weight, padding_idx, sparse)
    _renorm(name, i, weight, max_norm, norm_type)
    backend, flat, shape = kernels.backend_for(w), i.reshape(-1), w.shape

    def back(g: Any) -> Any:
        dw, g = np.zeros(shape, g.dtype), g.reshape(len(flat), shape[1])
        backend.add_at_(dw, flat, _shared(g, flat) if scale_grad_by_freq else g)
        if padding is not None:
            dw[padding] = 0
        return dw

    return record_each(name, w[i], (weight, back))


def embedding_bag(
    input: Any, weight: Tensor, offsets: Any = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean",
    sparse: bool = False, per_sample_weights: Any = None, include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:  # fmt: skip
    """The sum, mean or maximum over each bag of the rows of `weight` that its integers name; zeros
    for an empty bag.

    Args:
        input: the integers, a bag in each row (B, N), or one bag after the other (N,).
        weight: the table (rows, width).
        offsets: where each bag of (N,) begins, (B,).
        max_norm: scale the rows that are named to this norm, in place, if theirs is larger.
        norm_type: which norm.
        scale_grad_by_freq: divide a row's gradient by how often it is named.
        mode: "sum", "mean" or "max".
        sparse: False: there are no sparse gradients.
        per_sample_weights: factors of the rows in the shape of the input, for "sum".
        include_last_offset: `offsets` ends with the end of the last bag.
        padding_idx: a row that counts nothing, where it is named.
    """
    # sum:   y_b = Σ p_k·w[i_k] over the k in bag b
    #        dL/dw[i_k] += p_k·g_b        dL/dp_k = g_b·w[i_k]
    # mean:  p_k = 1/(how many there are)
    name = "embedding_bag"
    one_of(name, "mode", mode, ("sum", "mean", "max"))
    i, w, padding = _table(name, input, weight, padding_idx, sparse)
    flat, bags, bag = _bags(name, i, offsets, include_last_offset)
    factors: Any = None
    if per_sample_weights is not None:
        factors = operand(name, per_sample_weights)
        if mode != "sum" or factors.shape != i.shape:
            raise (NotImplementedError if mode != "sum" else ValueError)(
                f"{name}: per_sample_weights are for mode='sum' and have the input's shape, got "
                f"mode={mode!r} and shapes {factors.shape} and {i.shape}"
            )
        factors = factors.reshape(-1)
    if mode == "max" and scale_grad_by_freq:
        raise ValueError(f"{name}: scale_grad_by_freq is for the other modes, not for 'max'")
    _renorm(name, i, weight, max_norm, norm_type)
    kept = np.flatnonzero(flat != padding) if padding is not None else np.arange(flat.size)
    flat, bag = flat[kept], bag[kept]
    rows = w[flat]
    if mode == "max":
        return _largest(name, weight, rows, flat, bag, bags)
    if factors is not None:
        factors = factors[kept, None]
    elif mode == "mean":
        factors = (1 / np.bincount(bag, minlength=bags)[bag, None]).astype(w.real.dtype)
    each = rows if factors is None else rows * factors
    out = np.zeros((bags, w.shape[1]), each.dtype)
    kernels.backend_for(out).add_at_(out, bag, each)
    needs, shape = (needs_grad(weight), needs_grad(per_sample_weights)), i.shape
    table = w.shape

    def vjp(g: Any) -> Any:
        dw = dp = None
        if needs[0]:
            part = g[bag] if factors is None else g[bag] * factors
            part = _shared(part, flat) if scale_grad_by_freq else part
            dw = np.zeros(table, part.dtype)
            kernels.backend_for(dw).add_at_(dw, flat, part)
        if needs[1]:
            along = (g[bag] * rows).sum(axis=1)
            dp = np.zeros(shape, along.dtype)
            dp.reshape(-1)[kept] = along
        return dw, dp

    return record(name, out, (weight, per_sample_weights), vjp)


def _largest(name: str, weight: Tensor, rows: Any, flat: Any, bag: Any, bags: int) -> Tensor:
    """The maximum of each bag's rows, column by column; 0 of an empty bag."""
    # the gradient of each column goes to the first of its largest
    first = _first_of_largest(rows, bag, bags)
    there, table = first < len(rows), weight.array.shape
    column = np.nonzero(there)[1]
    out = np.zeros(first.shape, rows.dtype)
    out[there] = rows[first[there], column]

    def dw(g: Any) -> Any:
        dw = np.zeros(table, g.dtype)
        np.add.at(dw, (flat[first[there]], column), g[there])
        return dw

    return record_each(name, out, (weight, dw))


def _table(
    name: str, input: Any, weight: Any, padding_idx: int | None, sparse: bool
) -> tuple[Any, Any, int | None]:
    """The integers, the table, and the padding's row counted from the front, checked."""
    i, w = as_array(input), operand(name, weight)
    if i.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: expected an integer tensor, got dtype {i.dtype}")
    if w.ndim != 2:
        raise RuntimeError(f"{name}: weight must have 2 axes, got shape {w.shape}")
    if sparse:
        raise NotImplementedError(f"{name}: there are no sparse gradients: leave sparse out")
    rows = w.shape[0]
    if padding_idx is not None:
        padding_idx = integer(name, "padding_idx", padding_idx, None)
        if not -rows <= padding_idx < rows:
            raise ValueError(f"{name}: padding_idx {padding_idx} is outside {rows} rows")
        padding_idx %= rows
    check_index(name, i, rows)
    return i, w, padding_idx


def _renorm(name: str, i: Any, weight: Tensor, max_norm: float | None, norm_type: float) -> None:
    """Scale the rows that are named to the largest norm there may be, in place."""
    if max_norm is None:
        return
    most = number(name, "max_norm", max_norm, at_least=0)
    named = np.unique(i)
    rows = weight.array[named].astype(np.float64)
    norms = np.linalg.norm(rows.real, number(name, "norm_type", norm_type), axis=1)
    large = norms > most
    if large.any():
        scaled = rows[large] * (most / (norms[large, None] + 1e-7))
        with no_grad():
            overwrite(name, weight, lambda out: out.__setitem__(named[large], scaled))


def _bags(name: str, i: Any, offsets: Any, include_last: bool) -> tuple[Any, int, Any]:
    """The integers as a vector, the number of bags, and the bag of each integer."""
    if i.ndim == 2:
        if offsets is not None:
            raise ValueError(f"{name}: offsets are for integers (N,), got shape {i.shape}")
        return i.reshape(-1), len(i), np.repeat(np.arange(len(i)), i.shape[1])
    starts = None if offsets is None else as_array(offsets)
    if i.ndim != 1 or starts is None or starts.ndim != 1 or starts.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: expected integers (B, N), or (N,) with offsets (B,), got shape {i.shape} and "
            f"offsets {None if starts is None else starts.shape}"
        )
    ends = starts[1:] if include_last else np.append(starts[1:], i.size)
    sizes = ends - starts[: len(ends)]
    if (starts.size and starts[0] != 0) or (include_last and not starts.size) or (
        starts.size and not 0 <= starts[-1] <= i.size
    ):  # fmt: skip
        raise ValueError(
            f"{name}: offsets must begin at 0 and end at most at {i.size}, got {starts.tolist()}"
        )
    if sizes.size and sizes.min() < 0:
        raise ValueError(f"{name}: offsets must not fall, got {starts.tolist()}")
    flat = i[: int(sizes.sum())]
    return flat, len(sizes), np.repeat(np.arange(len(sizes)), sizes)


def _shared(g: Any, flat: Any) -> Any:
    """Each row's gradient divided by how often the row is named."""
    return g / np.bincount(flat)[flat, None].astype(g.real.dtype)


def _first_of_largest(rows: Any, bag: Any, bags: int) -> Any:
    """Which row is the largest of its bag, for each column, a NaN being larger than all; for empty
    bags the number of rows."""
    first = np.full((bags, rows.shape[1]), len(rows))
    if not len(rows):
        return first
    starts = np.flatnonzero(np.diff(bag, prepend=-1))
    top = np.maximum.reduceat(rows.real, starts, axis=0)
    tops = np.repeat(top, np.diff(np.append(starts, len(rows))), axis=0)
    found = (rows.real == tops) | np.isnan(rows.real)
    order = np.where(found, np.arange(len(rows))[:, None], len(rows))
    first[bag[starts]] = np.minimum.reduceat(order, starts, axis=0)
    return first
