"""Sequences of several lengths, side by side in one tensor: padded, or packed.

Three sequences a, b and c, the longest first, of which step t concerns the first sizes[t]:

    padded (T, N)    a1 b1 c1        packed    a1 b1 c1 a2 b2 a3        sizes    3 2 1
                     a2 b2  ·
                     a3  ·  ·

Packing takes what stands inside row by row, and padding puts it back: each one's gradient is the
other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.dtypes import result_dtype
from minigrad.incoming import fitting
from minigrad.recording import fit, record, record_each
from minigrad.tensor import Tensor


def to_packed(padded: Tensor, sizes: Sequence[int]) -> Tensor:
    """The elements (sum of sizes, …) of padded sequences (T, N, …)."""
    # dL/dx = g at the places inside, 0 outside
    a = padded.array
    inside = _inside(sizes, a.shape[1])

    def back(g: Any) -> Any:
        dx = np.zeros(shape, g.dtype)
        dx[inside] = g
        return dx

    shape = a.shape
    return record_each("pack_padded_sequence", a[inside], (padded, back))


def to_padded(data: Tensor, sizes: Sequence[int], value: float = 0.0) -> Tensor:
    """Sequences (T, N, …) from their elements (sum of sizes, …), with `value` outside."""
    # dL/dx = what stands inside g
    a = data.array
    inside = _inside(sizes, max(sizes))
    fill = fitting("pad_packed_sequence", value, a.dtype)
    out = np.full(inside.shape + a.shape[1:], fill, a.dtype)
    out[inside] = a
    return record_each("pad_packed_sequence", out, (data, lambda g: g[inside]))


def _inside(sizes: Sequence[int], rows: int) -> Any:
    """(T, N): whether a step concerns a row."""
    return np.arange(rows) < np.asarray(sizes)[:, None]


def side_by_side(
    sequences: Sequence[Tensor], batch_first: bool, value: float, left: bool
) -> Tensor:
    """Sequences (T_i, …) in one tensor (T, N, …) or (N, T, …), filled up with `value` to the
    longest, behind or, with `left`, before them."""
    # dL/dx_i = g at the places of x_i
    arrays = [x.array for x in sequences]
    lengths = [len(a) for a in arrays]
    longest, dtype = max(lengths), result_dtype(*sequences)
    shape = (len(arrays), longest, *arrays[0].shape[1:])
    out = np.full(shape, fitting("pad_sequence", value, dtype), dtype)
    starts = [longest - n if left else 0 for n in lengths]
    for row, a, start, n in zip(out, arrays, starts, lengths, strict=True):
        row[start : start + n] = a
    dtypes = [a.dtype for a in arrays]

    def vjp(g: Any) -> Any:
        rows = g if batch_first else g.swapaxes(0, 1)
        parts = [row[i : i + n] for row, i, n in zip(rows, starts, lengths, strict=True)]
        return [fit(part, part.shape, dtype) for part, dtype in zip(parts, dtypes, strict=True)]

    return record("pad_sequence", out if batch_first else out.swapaxes(0, 1), sequences, vjp)
