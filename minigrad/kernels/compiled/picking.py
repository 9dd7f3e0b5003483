"""Elements of large arrays by index along an axis: read, written, added to, taken out.

As in elementwise.py, these serve where arrays are large; the ops say what they compute. numpy goes
through an iterator of several arrays at once, which takes several times as long as the reading.

Arrays are seen as (outer, n, inner), n being the axis. An index has one number for each element of
the result, (outer, m, inner), or one for each slice along the axis, (m,). Every number is compared
with n before it is used; if one does not fit, nothing is read or written for it, and the caller
hears of it.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from math import prod

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.machinery.arrays import Array, address_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import exact, ready, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import at, on

CHUNK = 1 << 12  # elements of one task, where there are many
REGION = 1 << 16  # elements that one task writes to: they stay in the cache
LINE = 16  # elements of a cache line, which two threads should not share
FIELDS = ["outer", "n", "m", "inner", "wrap", "i_o", "i_j", "i_q", "each", "columns", "parts"]
FIELDS += ["mode", "v_step", "index", "a", "v", "unfit"]
JOB = np.dtype([(name, np.int64) for name in FIELDS])
I64 = np.dtype(np.int64)
SET, ADD, TAKE_OUT = range(3)

# ---------------------------------------------------------------------------- the loops


@exact
def counted(k, wrap):
    """k, from the end if it is negative: wrap is n, or 0 where it may not be."""
    return k + wrap if k < 0 else k


@exact
def within(k, n):
    """0 <= k < n, in one comparison."""
    return np.uint64(k) < np.uint64(n)


def take_loop(t, jobs, like):
    """Rows (o, j) of v = a[o, index, q]."""
    job = carray(jobs, 1)[0]
    n, m, inner, wrap, i_j = job.n, job.m, job.inner, job.wrap, job.i_j
    row, end, unfit = t * job.each, min((t + 1) * job.each, job.outer * m), False
    while row < end:
        o, j = row // m, row % m
        rows = min(m - j, end - row)
        a, v = on(at(job.a, like), o * n * inner), on(at(job.v, like), row * inner)
        index = on(at(job.index, 0), o * job.i_o + j * i_j)
        if inner == 1:
            for r in range(rows):
                k = counted(index[r * i_j], wrap)
                if within(k, n):
                    v[r] = a[k]
                else:
                    unfit = True
        elif job.i_q == 0:
            for r in range(rows):
                k = counted(index[r * i_j], wrap)
                if within(k, n):
                    source, target = on(a, k * inner), on(v, r * inner)
                    for q in range(inner):
                        target[q] = source[q]
                else:
                    unfit = True
        else:
            for r in range(rows):
                numbers, target = on(index, r * i_j), on(v, r * inner)
                for q in range(inner):
                    k = counted(numbers[q], wrap)
                    if within(k, n):
                        target[q] = a[k * inner + q]
                    else:
                        unfit = True
        row += rows
    if unfit:
        at(job.unfit, 0)[0] = 1


def write_loop(t, jobs, like):
    """Some columns of some o: a[o, index, q] = v, += v, or v = a[o, index, q] and 0 there."""
    job = carray(jobs, 1)[0]
    n, m, inner, wrap, mode, step = job.n, job.m, job.inner, job.wrap, job.mode, job.v_step
    i_j, alone, unfit = job.i_j, inner == 1 or job.i_q != 0, False
    first, begin = t % job.parts * job.columns, t // job.parts * job.each
    rows, width, q_step = m, min(job.columns, inner - first), 1
    if inner == 1:  # the axis is the last: one row
        rows, width, q_step = 1, m, 0
    for o in range(begin, min(begin + job.each, job.outer)):
        a = on(at(job.a, like), o * n * inner + first)
        v = on(at(job.v, like), (o * m * inner + first) * step)
        index = on(at(job.index, 0), o * job.i_o + first * job.i_q)
        for r in range(rows):
            j = rows - 1 - r if mode == TAKE_OUT else r
            numbers, values = on(index, j * i_j), on(v, j * inner * step)
            if alone:  # a number for each element
                for p in range(width):
                    q = width - 1 - p if mode == TAKE_OUT else p
                    k = counted(numbers[q], wrap)
                    if within(k, n):
                        place, value = on(a, k * inner + q * q_step), on(values, q * step)
                        if mode == ADD:
                            place[0] += value[0]
                        elif mode == SET:
                            place[0] = value[0]
                        else:
                            value[0] = place[0]
                            place[0] = 0
                    else:
                        unfit = True
                continue
            k = counted(numbers[0], wrap)
            if not within(k, n):
                unfit = True
                continue
            place = on(a, k * inner)
            if mode == ADD:
                for q in range(width):
                    place[q] += values[q * step]
            elif mode == SET:
                for q in range(width):
                    place[q] = values[q * step]
            else:
                for q in range(width):
                    values[q] = place[q]
                    place[q] = 0
    if unfit:
        at(job.unfit, 0)[0] = 1


# ---------------------------------------------------------------------------- arrays in and out


def _start(
    loop: object, tasks: int, work: int, sizes: tuple[int, ...], index: Array, a: Array, v: Array
) -> bool:
    """Whether all numbers of the index fitted."""
    unfit = np.zeros(1, np.int64)
    places = [address_of(x) for x in (index, a, v, unfit)]
    job = np.array((*sizes, *places), np.int64)
    run(serial, parallel, tasks, work, address(loop, JOB, a.dtype), job, places[1])
    return not unfit[0]


def _seen(a: Array, axis: int, index: Array, each: bool) -> tuple[tuple[int, ...], Array]:
    """outer, n, m, inner and the steps of an index, and that as it is read; it names slices unless
    it has a number for each element."""
    outer, n, inner = prod(a.shape[:axis]), a.shape[axis], prod(a.shape[axis + 1 :])
    if not each:
        return (outer, n, index.size, inner, 0, 1, 0), ready(index, I64)
    m = index.shape[axis]
    return (outer, n, m, inner, m * inner, inner, int(inner > 1)), ready(index, I64)


def take(
    a: Array, index: Array, axis: int, each: bool = False, negative: bool = False
) -> Array | None:
    """a[..., index, ...] along the axis: slices, or with `each` elements, of an index that has a's
    shape beside the axis. `negative` numbers count from the end. None if a number does not fit."""
    shape = index.shape if each else (*a.shape[:axis], *index.shape, *a.shape[axis + 1 :])
    v = empty(shape, a.dtype)
    if not v.size:
        return None
    (outer, n, m, inner, *steps), index = _seen(a, axis, index, each)
    rows = max(1, CHUNK // inner)
    sizes = outer, n, m, inner, n if negative else 0, *steps, rows, 0, 0, 0, 0
    fits = _start(take_loop, -(-outer * m // rows), 2 * v.size, sizes, index, ready(a, a.dtype), v)
    return v if fits else None


def write(
    mode: int, a: Array, index: Array, axis: int, v: Array, each: bool = False,
    negative: bool = False,
) -> None:  # fmt: skip
    """At the places that `take` would read, in place in a, which is contiguous: SET to v, ADD v, or
    TAKE_OUT what is there into v, writing 0. v has the shape of what `take` gives, or is one
    number. Of several numbers that name one place the last is set, all are added, in their order,
    and the last takes out. The caller has checked that all fit."""
    (outer, n, m, inner, *steps), index = _seen(a, axis, index, each)
    if not outer * m * inner:
        return
    columns = min(max(LINE, REGION // max(n, 1), -(-inner // 4)) // LINE * LINE, inner)
    parts, each_o = -(-inner // columns), max(1, CHUNK // (m * inner))
    tasks = -(-outer // each_o) * parts
    sizes = outer, n, m, inner, n if negative else 0, *steps, each_o, columns, parts
    v = v if mode == TAKE_OUT else ready(v, a.dtype)
    sizes = *sizes, mode, int(v.ndim > 0)
    if not _start(write_loop, tasks, 2 * outer * m * inner, sizes, index, a, v):
        raise IndexError("an index was changed while it was in use")
