"""Large compiled kernels as C functions, called by address from one small parallel loop.

A C function is compiled once for each dtype, and what starts it knows nothing of it: serial and
parallel are launch.run's two forms, the same for all.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types

from minigrad.kernels.machinery.cache import cfunc
from minigrad.kernels.machinery.launch import exact_kernel, intrinsic, threaded
from minigrad.kernels.machinery.pool import start


@intrinsic
def call(typingctx, function, s, job, result):
    def codegen(context, builder, signature, args):
        number = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [number] * 3)  # addresses are passed like integers
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), codegen


@exact_kernel
def serial(lo, hi, function, job, result):
    """Workers lo..hi-1, one after the other."""
    for s in range(lo, hi):
        call(function, s, job.ctypes.data, result)


@threaded
def parallel(pool, workers, function, job, result):
    start(pool, workers, function, job.ctypes.data, result)


compiled_here: dict[str, bool] = {}  # whether a function was compiled, or found on disk


@lru_cache
def address(
    function: Any, job: np.dtype[Any], dtype: np.dtype[Any], floats: frozenset[str] = frozenset()
) -> int:
    """Where function(s, job, result) lies: worker s, a record, and the first element of a result.

    Compiled for this kind of record and this dtype of the result, and kept on disk; `floats` are
    the flags of launch.py.
    """
    pointers = [types.CPointer(numba.from_dtype(d)) for d in (job, dtype)]
    signature = types.void(types.intp, *pointers)
    compiled: Any = cfunc(signature, error_model="numpy", fastmath=set(floats))(function)
    compiled_here[f"{function.__name__} {dtype}"] = not compiled.cache_hits
    return int(compiled.address)
