"""Arrays whose last axis is not the one that lies densest, written in row-major order.

Copying them number by number reads or writes one number of a cache line at a time. Here a square of
as many rows and columns as a vector has lanes is read as it lies, turned in registers, and written
as it is to lie:

                 turned: blocks of 1, 2, 4, … change places across the diagonal
    a b c d          a e c g          a e i m
    e f g h   ──►    b f d h   ──►    b f j n
    i j k l          i m k o          c g k o
    m n o p          j n l p          d h l p

Masks leave alone what is beside a square that is not full.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.np.numpy_support import carray

from minigrad.kernels.compiled.conv_rows import Masked
from minigrad.kernels.compiled.conv_tile import VECTOR_BYTES, Vectors, constant
from minigrad.kernels.machinery.arrays import Array, address_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import intrinsic, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import at, on
from minigrad.kernels.machinery.threads import get_num_threads

FIELDS = ["a", "rows", "columns", "a_step", "out_step", "others", "axes", "lanes", "workers"]
JOB = np.dtype([(name, np.int64) for name in FIELDS])
FILLED = 4  # of so many lanes, one at least has to be used


def turned(v: Vectors, rows: list[Any]) -> list[Any]:
    """The transpose of as many vectors as they have lanes."""
    step = 1
    while step < v.lanes:
        low = [i + v.lanes - step if i & step else i for i in range(v.lanes)]
        high = [i + v.lanes if i & step else i + step for i in range(v.lanes)]
        for i in range(v.lanes):
            if not i & step:
                a, b = rows[i], rows[i + step]
                rows[i], rows[i + step] = v.shuffle(a, b, low), v.shuffle(a, b, high)
        step *= 2
    return rows


def row_of(masked: Masked, start: Any, step: Any, k: int, rows: Any, columns: Any) -> Any:
    """Where row k begins, and which lanes of a vector are its columns. A row that is not there has
    no lane, and the place of the first: where there is no memory, a processor takes a hundred times
    as long to find that nothing is asked of it."""
    b, zero = masked.v.b, constant(0)
    there = b.icmp_signed("<", constant(k), rows)
    place = b.gep(start, [b.select(there, b.mul(step, constant(k)), zero)])
    return place, masked.lanes(zero, b.select(there, columns, zero))


@intrinsic
def _square(typingctx, target, source, rows, columns, target_step, source_step):
    """target[j, i] = source[i, j], of at most as many rows and columns as a vector has lanes."""

    def codegen(context, b, signature, args):
        target, source, rows, columns, target_step, source_step = args
        v = Vectors(b, signature.args[0].dtype)
        masked = Masked(v)
        vectors = [
            masked.load(*row_of(masked, source, source_step, k, rows, columns))
            for k in range(v.lanes)
        ]
        for k, vector in enumerate(turned(v, vectors)):
            masked.store(vector, *row_of(masked, target, target_step, k, columns, rows))
        return context.get_dummy_value()

    n_ = types.intp
    return types.void(target, target, n_, n_, n_, n_), codegen


def transpose(s, jobs, out):
    """Worker s's share of the strips, as high as a vector, of out: for each place in the other axes
    a matrix (columns, rows), the transpose of a matrix (rows, columns) of a."""
    job = carray(jobs, 1)[0]
    lanes, rows, columns = job.lanes, job.rows, job.columns
    axes = carray(at(job.axes, 0), (job.others, 3))  # size, step in a, step in out
    strips = -(-columns // lanes)
    tasks = strips
    for k in range(job.others):
        tasks *= axes[k, 0]
    for t in range(s * tasks // job.workers, (s + 1) * tasks // job.workers):
        j, rest = t % strips * lanes, t // strips
        source, target = on(at(job.a, out), j), on(out, j * job.out_step)
        for k in range(job.others - 1, -1, -1):
            i, rest = rest % axes[k, 0], rest // axes[k, 0]
            source, target = on(source, i * axes[k, 1]), on(target, i * axes[k, 2])
        for i in range(0, rows, lanes):
            from_, count = on(source, i * job.a_step), min(lanes, rows - i)
            _square(on(target, i), from_, count, min(lanes, columns - j), job.out_step, job.a_step)


def row_major(a: Array) -> Array:
    """A copy in row-major order of an array of float32 or float64."""
    out = empty(a.shape, a.dtype)
    write(out, a)
    return out


def write(out: Array, a: Array) -> None:
    """out[...] = a, of an array of float32 or float64 and the same dtype and shape, which share no
    memory."""
    size = a.itemsize
    steps = [*a.strides, *out.strides]
    if not (a.flags.aligned and out.flags.aligned) or any(step % size for step in steps):
        out[...] = a
        return
    axes = [
        [n, step // size, to // size]
        for n, step, to in zip(a.shape, a.strides, out.strides, strict=True)
        if n > 1
    ]
    for k in range(len(axes) - 1, 0, -1):  # axes that lie one within the other in both are one
        (n, *outer), (m, *inner) = axes[k - 1], axes[k]
        if outer == [step * m for step in inner]:
            axes[k - 1 : k + 1] = [[n * m, *inner]]
    lanes = VECTOR_BYTES // size
    dense = [k for k, axis in enumerate(axes[:-1]) if axis[1] == 1 and axis[0] * FILLED >= lanes]
    if not a.size or not dense or axes[-1][2] != 1:
        out[...] = a  # numpy copies rows as fast as can be
        return
    columns, _, out_step = axes.pop(dense[0])
    rows, a_step, _ = axes.pop()
    others = np.array(axes, np.int64).reshape(-1, 3)
    tasks = -(-columns // lanes) * int(np.prod(others[:, 0]))
    workers = max(1, min(get_num_threads(), tasks))
    places = address_of(a), rows, columns, a_step, out_step, len(others), others.ctypes.data
    job = np.array([*places, lanes, workers], np.int64)
    run(serial, parallel, workers, a.size, address(transpose, JOB, a.dtype), job, address_of(out))
