"""How compiled kernels are made and started: compiler flags, threads, arrays as they want them.

A kernel has two forms. The serial one is a loop over tasks lo <= t < hi (features, rows, planes).
The parallel one, named _p, hands the same tasks to several threads (pool.py), and `run` chooses.
No sum crosses a task, and the tasks do not depend on the number of threads, so neither do the bits
of the result.

The parallel forms are written out: numba's cache on disk, without which every process would compile
for seconds, never hits for functions that another function makes.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, njit

from minigrad.kernels.machinery.arrays import Array
from minigrad.kernels.machinery.cache import kept
from minigrad.kernels.machinery.pool import in_parallel as in_parallel
from minigrad.kernels.machinery.pool import one_loop, pool_of
from minigrad.kernels.machinery.threads import get_num_threads

intrinsic: Any = extending.intrinsic

PARALLEL_FROM = 1 << 17  # elements; below, waking threads costs about what they save

# What LLVM may do with floats. REORDERED: sums run in vector lanes. CONTRACTED: a product and a sum
# are one instruction. EXACT: nothing. nnan and ninf are nowhere among the flags: with them LLVM
# would delete the checks for NaN and inf.
REORDERED = {"reassoc", "contract", "nsz", "arcp"}
CONTRACTED = {"contract"}
EXACT = False  # has to be said: without a word, a function inherits the flags of its first caller


def _njit(floats: Any, inlined: bool, from_python: bool) -> Any:
    """Compiled when it is first called, kept on disk, and run without holding Python's lock."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    if inlined:  # a call would count references to its arrays
        options["forceinline"] = True
    if not from_python:  # a wrapper for Python would have to be compiled and loaded, too
        options.update(no_cpython_wrapper=True, no_cfunc_wrapper=True)
    made = njit(**options, fastmath=floats)
    return lambda function: kept(made(function), function)


# fmt: off
#                       floats      inlined  called from Python    what for
kernel          = _njit(REORDERED,  False,   True)   # the serial form of a kernel with sums
exact_kernel    = _njit(EXACT,      False,   True)   # of one whose floats are the formula's
part            = _njit(REORDERED,  False,   False)  # what both forms of a kernel share
contracted_part = _njit(CONTRACTED, False,   False)  # the same, where nothing is summed
fast            = _njit(REORDERED,  True,    False)  # a small function with sums
contracted      = _njit(CONTRACTED, True,    False)  # a small function without
exact           = _njit(EXACT,      True,    False)  # x - c and comparisons, to stay as written
cold            = _njit(EXACT,      False,   False)  # what rarely runs, kept out of its callers
threaded        = _njit(EXACT,      False,   True)   # the parallel form, which shares it out
# fmt: on
# Serial forms and parts are not inlined: compiled a second time, within the parallel form, their
# sums might be reordered in another way, and the bits would depend on the number of threads.


@intrinsic
def uncounted(typingctx: Any, array: Any) -> Any:
    """The array, whose slices from now on count no references: its caller holds it long enough.

    Without it, every slice that a loop takes costs two atomic counts.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(signature.return_type)(context, builder, args[0])
        view.meminfo = ir.Constant(view.meminfo.type, None)
        view.parent = ir.Constant(view.parent.type, None)
        return view._getvalue()

    return array(array), emit


_MOST = int(os.environ.get("NUMBA_NUM_THREADS") or 1 << 10)


def run(serial: Any, parallel: Any, tasks: int, elements: int, *args: Any) -> None:
    """Run tasks 0..tasks-1: in parallel if that pays and nobody else is doing so, else serially."""
    if elements >= PARALLEL_FROM and tasks > 1:
        threads = min(get_num_threads(), _MOST, tasks)
        if threads > 1 and not one_loop.locked():
            with one_loop:  # which Ctrl-C cannot leave locked
                if pool := pool_of(threads):
                    parallel(pool, tasks, *args)
                    return
    serial(0, tasks, *args)


def ready(a: Array, dtype: np.dtype[Any]) -> Array:
    """a itself, or a copy in this dtype that is contiguous, aligned and writable.

    Each kind of array would be compiled for separately.
    """
    return a if a.flags.carray and a.dtype == dtype else np.array(a, dtype, order="C")


def vector(a: Array | None, dtype: np.dtype[Any]) -> Array:
    """A parameter, made `ready`; an empty array stands for None."""
    if a is not None and a.flags.carray and a.dtype == dtype:
        return a
    return np.empty(0, dtype) if a is None else ready(a, dtype)


def checked(index: Array, size: int, what: str) -> Array:
    """index as int64: compiled code would read or write outside the array without a word."""
    index = ready(index, np.dtype(np.int64))
    if index.size and (index.min() < 0 or index.max() >= size):
        raise IndexError(f"{what} out of range for {size}: {index.min()} to {index.max()}")
    return index
