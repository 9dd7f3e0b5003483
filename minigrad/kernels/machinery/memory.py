"""Large results in memory that is already there.

The system hands out large blocks as fresh pages and takes them back when they are freed, so a
training step would pay for the same pages again and again: a batch norm of 51 MB takes twice as
long into fresh memory. So large results of the compiled kernels lie in blocks of our own, and a
block whose last array is gone waits here for the next result of the same size.

Scope: results of at least FROM bytes of compiled kernels, nothing else in the process. At most
limit() bytes wait, the blocks that waited longest are freed first; set_limit(0) turns it off.
"""

from __future__ import annotations

import os
import threading
from math import prod
from typing import Any

import numpy as np

from minigrad.kernels.machinery.arrays import Array

FROM = 1 << 18
ALIGNMENT = 64  # a cache line

_limit = 1 << 28
_waiting: list[Array] = []  # longest waiting first
_lock = threading.RLock()  # reentrant: collecting garbage may end a lease inside any line


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Lease:
    """Memory under the arrays made from it; numpy keeps it alive as their base."""

    exclusive = True  # no other object leads to this memory: changes.unshared may count references

    def __init__(self, block: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._block = block
        address = block.ctypes.data
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (address + -address % ALIGNMENT, False),
        }

    def __del__(self) -> None:
        with _lock:
            _waiting.append(self._block)
            _trim()


def _trim() -> None:
    while _waiting and waiting() > _limit:
        del _waiting[0]


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """np.empty(shape, dtype), from a waiting block if it is large."""
    size = prod(shape) * dtype.itemsize
    if size < FROM or not _limit:
        return np.empty(shape, dtype)
    size += ALIGNMENT
    with _lock:
        # The newest block is the one most likely to be in the cache.
        found = next((i for i in reversed(range(len(_waiting))) if _waiting[i].size == size), None)
        block = np.empty(size, np.uint8) if found is None else _waiting.pop(found)
    return np.asarray(_Lease(block, shape, dtype))


def waiting() -> int:
    """How many bytes wait to be used again."""
    return sum(block.size for block in _waiting)


def limit() -> int:
    """How many bytes may wait."""
    return _limit


def set_limit(size: int) -> None:
    """Let at most size bytes wait; 0 hands all memory back at once."""
    global _limit
    if size < 0:
        raise ValueError(f"set_limit: size must be at least 0, got {size}")
    with _lock:
        _limit = size
        _trim()
