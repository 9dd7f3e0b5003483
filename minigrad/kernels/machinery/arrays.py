"""The words that the kernels share for arrays."""

from __future__ import annotations

import ctypes
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


def sigmoid(a: Array) -> Any:
    """1/(1 + e^-a), whose small values keep their digits, without overflow if a is complex too."""
    if a.dtype.kind == "c":
        e = np.exp(np.where(a.real > 0, -a, a))
        return np.where(a.real > 0, 1, e) / (1 + e)
    return 1 / (1 + np.exp(-a))


def pairs_array(*pairs: Pair) -> Array:
    """kernel, stride, padding and the like as one array: a parallel loop takes no tuples."""
    return np.array(pairs, np.int64)


def address_of(x: Array) -> int:
    """x.ctypes.data in a fifth of its time, which matters to small products: by numpy's C ABI, the
    first field of an array, after the head of every Python object, is where its numbers lie."""
    return _number_at(id(x) + HEAD).value


_number_at, HEAD = ctypes.c_ssize_t.from_address, object.__basicsize__
_probe = np.empty(2, np.int8)[1:]
ABI = address_of(_probe) == _probe.ctypes.data
if not ABI:  # an interpreter whose objects are made otherwise

    def address_of(x: Array) -> int:
        return int(x.ctypes.data)


def addresses_of(*arrays: Array | None) -> list[int]:
    """Where they lie, 0 for None."""
    return [0 if a is None else address_of(a) for a in arrays]
