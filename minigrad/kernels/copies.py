"""Parts of arrays copied, with constants beside them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minigrad.kernels.machinery.arrays import Array
from minigrad.kernels.machinery.memory import empty

SHORT = 64  # elements of a row, below which its two ends take as long to fill as the whole
BAND = 64  # rows, few enough for a mask of their part of the diagonal


def placed(shape: tuple[int, ...], window: tuple[slice, ...], a: Array, around: Any = 0) -> Array:
    """An array of this shape with a in the window, whose slices say where they start and stop, and
    `around` beside it."""
    out = empty(shape, a.dtype)
    if a.size < out.size and shape[-1] < SHORT:
        out[...] = around
    elif a.size < out.size:
        for axis, part in enumerate(window):
            out[(*window[:axis], slice(0, part.start))] = around
            out[(*window[:axis], slice(part.stop, None))] = around
    out[window] = a
    return out


def triangle(a: Array, diagonal: int, upper: bool) -> Array:
    """One triangle of the last two axes, by bands of rows: on both sides of the diagonal they are
    copied or zero as a whole."""
    out = empty(a.shape, a.dtype)
    rows, columns = a.shape[-2:]
    for i in range(0, rows, BAND):
        end = min(i + BAND, rows)
        first, behind = (min(max(j + diagonal, 0), columns) for j in (i, end))
        left, band, right = (
            (..., slice(i, end), slice(*ends))
            for ends in ((0, first), (first, behind), (behind, columns))
        )
        out[left], out[band], out[right] = (0, 0, a[right]) if upper else (a[left], 0, 0)
        which = _mask(end - i, behind - first, i + diagonal - first, upper)
        np.copyto(out[band], a[band], where=which)
    return out


@lru_cache(16)
def _mask(rows: int, columns: int, diagonal: int, upper: bool) -> Array:
    mask: Array = np.tri(rows, columns, diagonal - upper, bool)
    return ~mask if upper else mask
