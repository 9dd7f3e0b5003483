"""The words that the kernels share for arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]  # of any dtype; np.dtype[Any] has no `real` for pyright
Pair = tuple[int, int]  # (height, width)


def accumulator(*arrays: Array | None) -> np.dtype[Any]:
    """The dtype to sum in: float64, or complex128 if an array is complex."""
    return np.result_type(np.float64, *(a for a in arrays if a is not None))


def like(x: Array, *others: Array | None) -> np.dtype[Any]:
    """The dtype of x, or complex128 when a probe comes in through another argument."""
    probes = any(a is not None and a.dtype.kind == "c" for a in others)
    return np.dtype(np.complex128) if probes else x.dtype


def pairs_array(*pairs: Pair) -> Array:
    """kernel, stride, padding and the like as one array: a parallel loop takes no tuples."""
    return np.array(pairs, np.int64)
