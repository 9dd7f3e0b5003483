"""Threads that help with the tasks of a loop.

Who starts a loop does its tasks, one after the other; helpers that are awake take some of them. It
waits for tasks that a helper has begun, and never for a helper: on a busy machine a thread that
sleeps may get a processor only after milliseconds, in which the loop could have ended long ago.

The pool is a block of integers (the fields below), which all sides change atomically:

    starting   FUNCTION, FIRST, SECOND, BACK, SEATS, DONE = 0; LEFT = tasks; EPOCH += 1; wake
    a helper   sees another EPOCH, takes one of the SEATS, and then task after task
    a task     LEFT -= 1; if it was positive: function(task, first, second)
    ending     all that were taken by helpers are DONE

Who started takes the tasks from the front, helpers from the back: so most of an array's parts are
computed by the same processor in one loop as in the next, and lie in its cache.

A ticket is taken from LEFT before anything else is read: who has one knows that the loop which the
fields tell of goes on, as its starter waits for it, so a helper that comes late to one loop takes
part in the next one or finds nothing left.

Helpers run compiled code alone and never hold Python's lock. When they have found nothing to do for
a while, they sleep on a condition variable of the system's.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import atexit
import ctypes
import os
import platform
import sys
import threading
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils

from minigrad.kernels.machinery.arrays import address_of
from minigrad.kernels.machinery.cache import cfunc

intrinsic: Any = extending.intrinsic
_options: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": True}
inlined: Any = njit(**_options)

# Fields, in bytes: what is written while a loop goes on lies in cache lines of its own.
LEFT, DONE, EPOCH, SEATS, ASLEEP = 0, 64, 128, 192, 256
FUNCTION, FIRST, SECOND, STOP, BACK = 320, 328, 336, 344, 472
LOCK, UNLOCK, WAIT, WAKE, YIELD, MUTEX, CONDITION = range(384, 440, 8)  # addresses
WANTED = 440  # how many helpers the next loop may have
SHARE = 448  # where `share` lies, lest it be compiled into every kernel
MUTEX_AT, CONDITION_AT, SIZE = 512, 768, 1024
# What a helper does before it sleeps: it pauses, and now and then gives way, half a millisecond in
# all. Between one loop and the next in a training step lie some ten or hundred microseconds, and to
# wake takes as long; with a tenth of this, 36 networks took 9 % longer in the geometric mean.
SPIN, PAUSES = 10_000, 16
PIECES = 128  # of a kernel's tasks, which may be short: who takes one looks at memory that all use
FOREVER = 0xFFFFFFFF
I64 = ir.IntType(64)
X86, ARM = ("x86_64", "AMD64"), ("aarch64", "arm64")


def _pointer(b: Any, address: Any) -> Any:
    return b.inttoptr(address, I64.as_pointer())


@intrinsic
def add(typingctx, address, n):
    """Add to the integer at an address, atomically; what it was before."""

    def codegen(_, b, sig, args):
        return b.atomic_rmw("add", _pointer(b, args[0]), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def get(typingctx, address):
    """The integer at an address, as it is now for all threads."""

    def codegen(_, b, sig, args):
        return b.load_atomic(_pointer(b, args[0]), "seq_cst", 8)

    return types.int64(types.int64), codegen


@intrinsic
def put(typingctx, address, n):
    """Write an integer, which all threads see from now on, and all that was written before."""

    def codegen(context, b, sig, args):
        b.store_atomic(args[1], _pointer(b, args[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def pause(typingctx):
    """Tell the processor that a loop is waiting."""

    def codegen(context, b, sig, args):
        nothing, hint = ir.VoidType(), ir.IntType(32)
        if platform.machine() in X86:
            kind, name, given = [], "llvm.x86.sse2.pause", []
        else:
            kind, name, given = [hint], "llvm.aarch64.hint", [ir.Constant(hint, 1)]
        if platform.machine() in X86 + ARM:
            kind = ir.FunctionType(nothing, kind)
            b.call(cgutils.get_or_insert_function(b.module, kind, name), given)
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def call(typingctx, function, a, b, c):
    """Call the C function at an address, which ignores arguments it does not have. (The fourth is
    0: Windows asks for it where it waits.)"""

    def codegen(context, builder, sig, args):
        kind = ir.FunctionType(ir.VoidType(), [I64] * 4)
        arguments = [*args[1:], ir.Constant(I64, 0)]
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), arguments)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), codegen


def start_at(builder: Any, pool: Any, *values: Any) -> None:
    """`share`, by its address in the pool."""
    place = builder.add(pool, ir.Constant(I64, SHARE))
    function = builder.load(_pointer(builder, place))
    kind = ir.FunctionType(ir.VoidType(), [I64] * 5)
    builder.call(builder.inttoptr(function, kind.as_pointer()), [pool, *values])


@intrinsic
def start(typingctx, pool, tasks, function, first, second):
    """`share` these tasks."""

    def codegen(context, builder, sig, args):
        start_at(builder, *args)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


@inlined
def take(pool, from_front):
    """Do tasks as long as there are some; how many it were."""
    n = 0
    while add(pool + LEFT, -1) > 0:
        task = n if from_front else add(pool + BACK, -1) - 1
        call(get(pool + FUNCTION), task, get(pool + FIRST), get(pool + SECOND))
        n += 1
    return n


def help_loop(pool):
    """What a helper's thread does, until it is told to stop."""
    seen = 0
    while True:
        spins = 0
        while get(pool + EPOCH) == seen:
            if spins < SPIN:
                spins += 1
                if spins % PAUSES:
                    pause()
                else:  # to whoever else wants this processor
                    call(get(pool + YIELD), 0, 0, 0)
                continue
            call(get(pool + LOCK), get(pool + MUTEX), 0, 0)
            add(pool + ASLEEP, 1)
            while get(pool + EPOCH) == seen:
                call(get(pool + WAIT), get(pool + CONDITION), get(pool + MUTEX), FOREVER)
            add(pool + ASLEEP, -1)
            call(get(pool + UNLOCK), get(pool + MUTEX), 0, 0)
        seen = get(pool + EPOCH)
        if get(pool + STOP):
            return
        if add(pool + SEATS, -1) > 0:
            n = take(pool, False)
            if n:
                add(pool + DONE, n)


def share(pool, tasks, function, first, second):
    """Call function(task, first, second) for each task. One thread at a time may do this."""
    put(pool + FUNCTION, function)
    put(pool + FIRST, first)
    put(pool + SECOND, second)
    put(pool + BACK, tasks)
    put(pool + SEATS, get(pool + WANTED))
    put(pool + DONE, 0)
    put(pool + LEFT, tasks)
    add(pool + EPOCH, 1)
    if get(pool + ASLEEP) > 0:
        call(get(pool + LOCK), get(pool + MUTEX), 0, 0)
        call(get(pool + WAKE), get(pool + CONDITION), 0, 0)
        call(get(pool + UNLOCK), get(pool + MUTEX), 0, 0)
    mine = take(pool, True)
    turns = 0
    while mine + get(pool + DONE) < tasks:
        turns += 1
        if turns % 256:
            pause()
        else:
            call(get(pool + YIELD), 0, 0, 0)


@intrinsic
def in_parallel(typingctx, pool, tasks, part, args):
    """Share out part(lo, hi, *args) for the tasks lo <= t < hi, in up to PIECES pieces."""
    numbers = types.intp, types.intp

    def codegen(context, builder, sig, values):
        called = part.get_call_type(typingctx, (*numbers, *args), {})
        compiled = part.dispatcher.get_compile_result(called)
        context.add_linking_libs(context.get_function(part, called).libs)
        tasks, given = values[1], values[3]

        def upwards(a: Any, b: Any) -> Any:
            """a/b, rounded up."""
            return builder.sdiv(builder.add(a, builder.sub(b, ir.Constant(I64, 1))), b)

        each = upwards(tasks, ir.Constant(I64, PIECES))
        told = [cgutils.alloca_once_value(builder, v) for v in (tasks, each, given)]
        addresses = [builder.ptrtoint(p, I64) for p in told]
        frame = cgutils.alloca_once_value(builder, cgutils.pack_array(builder, addresses))

        # A C function (t, frame, …) that finds there what this call was given.
        kind = ir.FunctionType(ir.VoidType(), [I64] * 4)
        name = builder.module.get_unique_name(f"{compiled.fndesc.mangled_name}.task")
        function = ir.Function(builder.module, kind, name)
        function.linkage = "internal"
        b = ir.IRBuilder(function.append_basic_block())
        t, place, *_ = function.args
        found = b.load(b.inttoptr(place, frame.type))
        n, step, given = (
            b.load(b.inttoptr(b.extract_value(found, i), p.type)) for i, p in enumerate(told)
        )
        lo = b.mul(t, step)
        hi = b.add(lo, step)
        hi = b.select(b.icmp_signed("<", hi, n), hi, n)
        items = cgutils.unpack_tuple(b, given)
        context.call_internal_no_propagate(b, compiled.fndesc, called, [lo, hi, *items])
        b.ret_void()

        task, frame_at = (builder.ptrtoint(p, I64) for p in (function, frame))
        start_at(builder, values[0], upwards(tasks, each), task, frame_at, ir.Constant(I64, 0))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, part, args), codegen


# ---------------------------------------------------------------------------- the one pool there is

_state: Any = None  # its integers, once it was needed
_helpers: list[threading.Thread] = []
_over = False  # the process ends, or is a fork, which has no other threads
one_loop = threading.Lock()  # held by the one thread that uses the pool


def _system() -> list[int]:
    """Where the functions lie that lock, unlock, wait, wake all, and give way."""
    if sys.platform == "win32":
        kernel32 = ctypes.WinDLL("kernel32")
        names = ["AcquireSRWLockExclusive", "ReleaseSRWLockExclusive", "SleepConditionVariableSRW",
                 "WakeAllConditionVariable", "SwitchToThread"]  # fmt: skip
        functions = [getattr(kernel32, name) for name in names]
    else:
        process = ctypes.CDLL(None)
        names = ["pthread_mutex_lock", "pthread_mutex_unlock", "pthread_cond_wait",
                 "pthread_cond_broadcast", "sched_yield"]  # fmt: skip
        functions = [getattr(process, name) for name in names]
    return [ctypes.cast(f, ctypes.c_void_p).value or 0 for f in functions]


def _made() -> Any:
    """A pool without helpers. Its memory is never freed: a helper may look at it at any time."""
    memory = np.zeros(2 * SIZE // 8, np.int64)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
    skipped = -memory.ctypes.data % 64 // 8
    state = memory[skipped : skipped + SIZE // 8]
    mutex, condition = (state.ctypes.data + at for at in (MUTEX_AT, CONDITION_AT))
    if sys.platform != "win32":  # where zeros will do
        process = ctypes.CDLL(None)
        process.pthread_mutex_init(ctypes.c_void_p(mutex), None)
        process.pthread_cond_init(ctypes.c_void_p(condition), None)
    state[LOCK // 8 : WANTED // 8] = [*_system(), mutex, condition]
    state[SHARE // 8] = _address(share, 5)
    return state


def pool_of(threads: int) -> int:
    """The pool's address, with so many threads, the caller's among them, that may take part in the
    next loop; 0 if there is none. For who holds `one_loop`."""
    global _state
    if _over:
        return 0
    if _state is None:
        _state = _made()
        atexit.register(_stop)
    address = address_of(_state)
    while len(_helpers) < threads - 1:
        loop: Any = ctypes.CFUNCTYPE(None, ctypes.c_int64)(_address(help_loop, 1))
        thread = threading.Thread(
            target=loop, args=(address,), name=f"minigrad helper {len(_helpers) + 1}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # a limit of the system's is reached, or the process ends
            break
        _helpers.append(thread)
    if _state[WANTED // 8] != threads - 1:
        _state[WANTED // 8] = threads - 1
    return address


@lru_cache
def _address(function: Any, arguments: int) -> int:
    """Where a C function of so many integers lies."""
    signature = types.void(*[types.int64] * arguments)
    compiled: Any = cfunc(signature, error_model="numpy")(function)
    return int(compiled.address)


def _stop() -> None:
    """Let the helpers' threads end: what they run is about to be taken down. A loop of a thread
    that nobody waits for (a daemon) is done first, unless it takes long; its next one is serial."""
    global _over
    _over = True
    if not one_loop.acquire(timeout=10):
        return
    _state[STOP // 8] = 1
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 5)(int(_state[SHARE // 8]))(
        _state.ctypes.data, 0, 0, 0, 0
    )
    one_loop.release()
    for thread in _helpers:
        thread.join(1)


def _after_fork() -> None:
    global _over
    _over = True
    if _state is not None:
        atexit.unregister(_stop)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
