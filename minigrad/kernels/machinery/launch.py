"""How compiled kernels are made and started: compiler flags, threads, arrays as they want them.

A kernel is a serial loop over tasks lo <= t < hi (features, rows, planes). Its twin, named _p,
hands the same tasks to several threads. No sum crosses a task, and the tasks do not depend on the
number of threads, so neither do the bits of the result.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import extending, njit

from minigrad.kernels.machinery.arrays import Array
from minigrad.kernels.machinery.threads import get_num_threads, hold_blas

intrinsic: Any = extending.intrinsic

# Sums may be reordered into vector lanes. Not among the flags: nnan and ninf, with which LLVM would
# delete the checks for NaN and inf.
FLAGS = {"reassoc", "contract", "nsz", "arcp"}
PARALLEL_FROM = 1 << 18  # elements; below, waking threads costs about what they save

# What does not say fastmath=False inherits the flags of its first caller.
# nogil: threads of the user may run while a kernel does. Nothing compiles before it is called.
# What only kernels call has no wrapper for Python, which would have to be compiled and loaded.
# Small functions are inlined, because every call would count references to its arrays. Kernels, and
# parts that a kernel shares with its twin, are not: compiled a second time, their sums might be
# reordered in another way, and the bits would depend on the number of threads.
_options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_inner = {**_options, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
kernel = njit(**_options, fastmath=FLAGS)
exact_kernel = njit(**_options, fastmath=False)
part = njit(**_inner, fastmath=FLAGS)
contracted_part = njit(**_inner, fastmath={"contract"})
fast = njit(**_inner, fastmath=FLAGS, forceinline=True)
contracted = njit(**_inner, fastmath={"contract"}, forceinline=True)
exact = njit(**_inner, fastmath=False, forceinline=True)
seldom = njit(**_inner, fastmath=False)  # exact, and left out of line
threaded = njit(**_options, parallel=True)


@intrinsic
def borrowed(typingctx: Any, array: Any) -> Any:
    """The array, whose slices from now on count no references: its caller holds it long enough."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(signature.return_type)(context, builder, args[0])
        view.meminfo = ir.Constant(view.meminfo.type, None)
        view.parent = ir.Constant(view.parent.type, None)
        return view._getvalue()

    return array(array), emit


hold_blas()
_MOST = int(vars(numba.config)["NUMBA_NUM_THREADS"])  # read from the environment on import
_lock = threading.Lock()  # some numba threading layers abort when two threads call them at once
_forked = False  # a child's copy of the pool has no threads, so a child stays serial


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def run(kernel: Any, twin: Any, tasks: int, elements: int, *args: Any) -> None:
    """Run tasks 0..tasks-1: in parallel if that pays and nobody else is doing so, else serially."""
    if elements >= PARALLEL_FROM and tasks > 1 and not _forked:
        n = min(get_num_threads(), _MOST)
        if n > 1 and _lock.acquire(blocking=False):
            try:
                before = numba.get_num_threads()  # the user's, for kernels of their own
                if before != n:  # setting takes longer than asking
                    numba.set_num_threads(n)
                try:
                    twin(tasks, *args)
                finally:
                    if before != n:
                        numba.set_num_threads(before)
            finally:
                _lock.release()
            return
    kernel(0, tasks, *args)


def ready(a: Array, dtype: np.dtype[Any]) -> Array:
    """a itself, or a copy in this dtype that is contiguous, aligned and writable.

    Each kind of array would be compiled for separately.
    """
    return a if a.flags.carray and a.dtype == dtype else np.array(a, dtype, order="C")


def vector(a: Array | None, dtype: np.dtype[Any]) -> Array:
    """A parameter as an array; an empty one stands for None."""
    return np.empty(0, dtype) if a is None else ready(a, dtype)


def checked(index: Array, size: int, what: str) -> Array:
    """index as int64: compiled code would read or write outside the array without a word."""
    index = ready(index, np.dtype(np.int64))
    if index.size and (index.min() < 0 or index.max() >= size):
        raise IndexError(f"{what} out of range for {size}: {index.min()} to {index.max()}")
    return index
