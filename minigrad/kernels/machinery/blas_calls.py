"""numpy's own BLAS from compiled code: its functions by address, held at one thread meanwhile.

That setting belongs to the whole process. Whoever comes first notes what it was, whoever leaves
last puts it back, in compiled code, where no exception and no signal comes between. Nothing of it
is left when a product is done.

A job that calls BLAS begins with FIELDS, which `begin` fills; `serial` and `parallel` are
launch.run's two forms for it.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import os
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from minigrad.kernels.machinery.blas import Blas, blas
from minigrad.kernels.machinery.jobs import call
from minigrad.kernels.machinery.launch import cold, exact, exact_kernel, intrinsic, threaded
from minigrad.kernels.machinery.pointers import at
from minigrad.kernels.machinery.pool import start

FIELDS = ["state", "get_threads", "set_threads", "gemm", "gemv", "bits"]
STATE, GET, SET = 0, 1, 2  # places among them
AS_IT_LIES, TRANSPOSED, ROW_MAJOR = 111, 112, 101  # as CBLAS calls them

_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _cblas(kinds: str, bits: int) -> Any:
    """A function of CBLAS by its address. Its arguments are: e, an enumeration; i, an integer, of
    so many bits; s, a number of the arrays' dtype, given as an integer; p, a pointer."""

    @intrinsic
    def function(typingctx, address, args):
        def codegen(context, builder, signature, values):
            element = next(t.dtype for t in signature.args[1] if isinstance(t, types.CPointer))
            scalar = context.get_value_type(element)
            of_kind = {"e": _I32, "i": ir.IntType(bits), "s": scalar, "p": scalar.as_pointer()}
            passed = []
            for i, kind in enumerate(kinds):
                value, wanted = builder.extract_value(values[1], i), of_kind[kind]
                if kind == "s":
                    value = builder.sitofp(value, scalar)
                elif value.type != wanted:
                    value = builder.trunc(value, wanted)
                passed.append(value)
            c_type = ir.FunctionType(ir.VoidType(), [of_kind[kind] for kind in kinds])
            builder.call(builder.inttoptr(values[0], c_type.as_pointer()), passed)
            return context.get_dummy_value()

        return types.void(address, args), codegen

    return function


GEMM, GEMV = "eeeiiispipispi", "eeiispipispi"
_gemm32, _gemm64 = _cblas(GEMM, 32), _cblas(GEMM, 64)
_gemv32, _gemv64 = _cblas(GEMV, 32), _cblas(GEMV, 64)


@exact
def gemm(job, args):
    """cblas_?gemm, with its arguments."""
    if job.bits == 64:
        _gemm64(job.gemm, args)
    else:
        _gemm32(job.gemm, args)


@exact
def gemv(job, args):
    """cblas_?gemv, with its arguments."""
    if job.bits == 64:
        _gemv64(job.gemv, args)
    else:
        _gemv32(job.gemv, args)


@intrinsic
def _exchange(typingctx, address, value):
    """Write a value and return what was there, in one step, whatever other threads do."""

    def codegen(context, builder, signature, args):
        place = builder.inttoptr(args[0], _I64.as_pointer())
        return builder.atomic_rmw("xchg", place, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def _threads(typingctx, function):
    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(_I32, [])
        return builder.sext(builder.call(builder.inttoptr(args[0], kind.as_pointer()), []), _I64)

    return types.int64(types.int64), codegen


@intrinsic
def _set_threads(typingctx, function, n):
    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [_I32])
        number = builder.trunc(args[1], _I32)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [number])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


# The process's: a lock, how many calls are on their way, BLAS's threads before the first of them,
# and whether calls have to wait, because the process is about to fork.
_state = np.zeros(4, np.int64)


@cold
def hold(job):
    """BLAS uses one thread until `release`."""
    state = at(job[STATE], 0)
    while _exchange(job[STATE], 1) or state[3]:
        if state[3]:
            _exchange(job[STATE], 0)
    if state[1] == 0:
        state[2] = _threads(job[GET])
        _set_threads(job[SET], 1)
    state[1] += 1
    _exchange(job[STATE], 0)


@cold
def release(job):
    """The last call puts back what was; unless somebody else has set it meanwhile."""
    while _exchange(job[STATE], 1):
        pass
    state = at(job[STATE], 0)
    state[1] -= 1
    if state[1] == 0 and _threads(job[GET]) == 1:
        _set_threads(job[SET], state[2])
    _exchange(job[STATE], 0)


@exact_kernel
def _wait_for_calls(place):
    """Let no call begin, and those that are on their way end."""
    state = at(place, 0)
    state[3] = 1
    while True:
        while _exchange(place, 1):
            pass
        calls = state[1]
        _exchange(place, 0)
        if calls == 0:
            return


def _before_fork() -> None:
    """Who has BLAS start or end threads holds a lock, which nobody in the child would give back."""
    if blas.cache_info().currsize:
        _wait_for_calls(_state.ctypes.data)


def _go_on() -> None:
    _state[3] = 0


def _begin() -> None:
    _state[:] = 0  # one that waits may have the lock, and is not there in the child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_go_on, after_in_child=_begin)


@exact_kernel
def serial(lo, hi, function, job, result):
    """Tasks lo..hi-1, one after the other."""
    hold(job)
    for t in range(lo, hi):
        call(function, t, job.ctypes.data, result)
    release(job)


@threaded
def parallel(pool, tasks, function, job, result):
    hold(job)
    start(pool, tasks, function, job.ctypes.data, result)
    release(job)


def begin(library: Blas, itemsize: int) -> tuple[int, ...]:
    """What FIELDS hold, for arrays of float32 or float64."""
    return (
        _state.ctypes.data, library.get_threads, library.set_threads,
        *((library.sgemm, library.sgemv) if itemsize == 4 else (library.dgemm, library.dgemv)),
        library.bits,
    )  # fmt: skip
