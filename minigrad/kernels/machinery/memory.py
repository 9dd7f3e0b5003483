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
from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.machinery.arrays import Array

FROM = 1 << 18
ALIGNMENT = 64  # a cache line


class _Block(NamedTuple):
    size: int  # in bytes, and what may be lost by aligning it
    start: int  # the address of its first whole cache line
    memory: Array


_limit = 1 << 28
_waiting: list[_Block] = []  # longest waiting first
_bytes = 0  # in them
_lock = threading.Lock()  # of these two
# Collecting garbage may end a lease inside any line, of this file too. So what comes back is laid
# here, and whoever has the lock takes it from there.
_returned: list[_Block] = []


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Lease:
    """Memory under the arrays made from it; numpy keeps it alive as their base."""

    exclusive = True  # no other object leads to this memory: changes.unshared may count references

    def __init__(self, block: _Block, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._block = block
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (block.start, False),
        }

    def __del__(self) -> None:
        # Not by acquire(blocking=False): Ctrl-C may come between that call and what it returns, and
        # the lock would never be free again.
        _returned.append(self._block)
        if not _lock.locked():
            with _lock:
                _collect()


def _collect() -> None:
    """Let what came back wait, as much of it as may."""
    global _bytes
    while _returned:
        block = _returned.pop()
        _waiting.append(block)
        _bytes += block.size
    while _waiting and _bytes > _limit:
        _bytes -= _waiting.pop(0).size
    if not _waiting:  # Ctrl-C may come between a change of the list and that of its size
        _bytes = 0


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """np.empty(shape, dtype), from a waiting block if it is large."""
    global _bytes
    size = prod(shape) * dtype.itemsize
    if size < FROM or not _limit:
        return np.empty(shape, dtype)
    size += ALIGNMENT
    block = None
    with _lock:  # and nothing is made within, which might collect garbage, and so run any code
        _collect()
        # The newest block is the one most likely to be in the cache.
        for i in range(len(_waiting) - 1, -1, -1):
            if _waiting[i].size == size:
                block = _waiting.pop(i)
                _bytes -= size
                break
    if block is None:
        memory = np.empty(size, np.uint8)
        address = memory.ctypes.data
        block = _Block(size, address + -address % ALIGNMENT, memory)
    return np.asarray(_Lease(block, shape, dtype))


def waiting() -> int:
    """How many bytes wait to be used again."""
    return _bytes


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
        _collect()
