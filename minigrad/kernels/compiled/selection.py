"""Order in large float32 arrays: the first k of each row, its order, running extremes, searching.

As in elementwise.py, these serve where arrays are large; the ops say what they compute. The order
is numpy's: NaN last, -0 and 0 equal, and of equals the first one first.

A number and its place are packed into one int64, which sorts as the two do:

    ordered(x) in the upper half, complemented for descending order    its place in the lower one

So no two are equal, any sort of them is stable, and numpy sorts them in vectors.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from math import prod

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.compiled.functions import f4, i4, ordered
from minigrad.kernels.machinery.arrays import Array, addresses_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import exact, ready, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import at, on

CHUNK = 1 << 12  # elements of one task, where rows are shorter
STEPS = 64  # values that are searched for side by side
SHORT = 12  # so few are sorted one by one
LINE = 16  # elements of a cache line, which two threads should not share
FIELDS = ["rows", "n", "inner", "k", "each", "columns", "parts", "down", "right", "shared", "kept"]
FIELDS += ["x", "packed", "values", "out"]
JOB = np.dtype([(name, np.int64) for name in FIELDS])
F32, I64 = np.dtype(np.float32), np.dtype(np.int64)
LOW = (1 << 32) - 1

# ---------------------------------------------------------------------------- the loops


@exact
def key_of(x):
    """An integer that sorts as x does."""
    return ordered(x + f4(0)) if x == x else i4(2**31 - 1)  # -0 + 0 is 0


@exact
def packed(x, place, down):
    """A number and its place; `down` is -1 for descending order, else 0."""
    return (np.int64(key_of(x) ^ i4(down)) << 32) | place


def pack_loop(t, jobs, like):
    job = carray(jobs, 1)[0]
    n, down = job.n, job.down
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        x, out = on(at(job.x, like), row * n), on(at(job.packed, 0), row * n)
        for i in range(n):
            out[i] = packed(x[i], i, down)


def first_loop(t, jobs, like):
    """The k first of each row of x, packed, the last of them at their end; or only that one."""
    job = carray(jobs, 1)[0]
    n, k, down, kept = job.n, job.k, job.down, job.kept
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        x, a = on(at(job.x, like), row * n), on(at(job.packed, 0), row * n)
        for i in range(n):
            a[i] = packed(x[i], i, down)
        select(a, n, k - 1)
        out = on(at(job.out, 0), row * kept)
        for i in range(kept):
            out[i] = a[k - kept + i]


@exact
def select(a, n, target):
    """Bring what is at `target` in the order of n distinct integers there, what is less before it.

    Each round puts the middle one of three in its place, one of them taken as if at random: in no
    order that data may have are they bad ones time and again."""
    low, high, random = 0, n, 1
    while high - low > SHORT:
        random = (random * 1103515245 + 12345) & 0x7FFFFFFF
        p, q, r = low + ((random >> 8) * (high - low) >> 23), (low + high) // 2, high - 1
        if a[q] < a[p]:
            p, q = q, p
        middle = q if a[q] < a[r] else (p if a[r] < a[p] else r)
        pivot = a[middle]
        a[middle] = a[r]
        i = low
        for j in range(low, r):  # what is less goes to the front, without a branch
            v = a[j]
            a[j] = a[i]
            a[i] = v
            i += v < pivot
        a[r] = a[i]
        a[i] = pivot
        if i == target:
            return
        low, high = (low, i) if i > target else (i + 1, high)
    for i in range(low + 1, high):
        v, j = a[i], i
        while j > low and a[j - 1] > v:
            a[j] = a[j - 1]
            j -= 1
        a[j] = v


def running_loop(t, jobs, like):
    """The largest so far, or the smallest, along the middle axis of x (rows, n, inner): the values,
    and in `out` their places."""
    job = carray(jobs, 1)[0]
    n, inner, down = job.n, job.inner, job.down != 0
    begin, first = t // job.parts * job.each, t % job.parts * job.columns
    width = min(job.columns, inner - first)
    for row in range(begin, min(begin + job.each, job.rows)):
        start = row * n * inner + first
        x, y = on(at(job.x, like), start), on(at(job.values, like), start)
        places = on(at(job.out, 0), start)
        if inner == 1:
            top, best, place = i4(-(2**31)), x[0], 0
            for i in range(n):  # of integers the largest is found without a branch, too
                v = x[i]
                key = key_of(v) if v != v or not down else ~key_of(v)  # a NaN is the extreme
                top = max(top, key)
                best, place = v if key == top else best, i if key == top else place
                y[i] = best
                places[i] = place
            continue
        for q in range(width):
            y[q] = x[q]
            places[q] = 0
        for i in range(1, n):
            here = i * inner
            for q in range(width):
                v, best = x[here + q], y[here - inner + q]
                taken = ((v <= best) if down else (v >= best)) | (v != v)
                y[here + q] = v if taken else best
                places[here + q] = i if taken else places[here - inner + q]


def search_loop(t, jobs, like):
    """How many of x's row are below each of the row's k values, or `right`, not above it. Each step
    of the search is one for many values, whose loads then need not wait for one another."""
    job = carray(jobs, 1)[0]
    n, k, right = job.n, job.k, job.right
    i, end = t * job.each, min((t + 1) * job.each, job.rows * k)
    while i < end:
        x = on(at(job.x, like), 0 if job.shared else i // k * n)
        v, low = on(at(job.values, like), i), on(at(job.out, 0), i)
        count, size = min(end - i, STEPS if job.shared else min(STEPS, k - i % k)), n
        for c in range(count):
            low[c] = 0
        while size > 1:
            half = size // 2
            for c in range(count):
                low[c] += half & below(x[low[c] + half - 1], v[c], right)
            size -= half
        for c in range(count):
            low[c] -= below(x[low[c]], v[c], right)
        i += count


@exact
def below(a, v, right):
    """-1 if a < v, or with `right` a <= v, else 0; a branch would be foreseen half of the time."""
    return (np.int64(key_of(a)) - (np.int64(key_of(v)) + right)) >> 63


# ---------------------------------------------------------------------------- arrays in and out


def _start(
    loop: object, tasks: int, work: int, x: Array, sizes: tuple[int, ...],
    *arrays: Array | None,
) -> None:  # fmt: skip
    places = addresses_of(x, *arrays)
    job = np.array((*sizes, *places), np.int64)
    run(serial, parallel, tasks, work, address(loop, JOB, F32), job, places[0])


def first(x: Array, k: int, down: bool, last: bool = False) -> Array:
    """The places of the k first of each row, in order, or with `last` only that of the k-th."""
    n = x.shape[-1]
    x, rows, each = ready(x, F32), x.size // n, max(1, CHUNK // n)
    kept = 1 if last else k
    scratch, out = empty((rows, n), I64), np.empty((*x.shape[:-1], kept), np.int64)
    sizes = rows, n, 1, k, each, 0, 0, -int(down), 0, 0, kept
    _start(first_loop, -(-rows // each), 4 * x.size, x, sizes, scratch, None, out)
    if not last:
        out.sort(-1)
    out &= LOW
    return out


def order(x: Array, down: bool) -> Array:
    """The places that sort each row."""
    n = x.shape[-1]
    x, rows, each = ready(x, F32), x.size // n, max(1, CHUNK // n)
    out = empty(x.shape, I64)
    sizes = rows, n, 1, 0, each, 0, 0, -int(down), 0, 0, 0
    _start(pack_loop, -(-rows // each), x.size, x, sizes, out, None, None)
    out.sort(-1)
    out &= LOW
    return out


def running(x: Array, axis: int, down: bool) -> tuple[Array, Array]:
    """The largest so far along an axis, or the smallest, and their places; the last of equals."""
    n, rows, inner = x.shape[axis], prod(x.shape[:axis]), prod(x.shape[axis + 1 :])
    x = ready(x, F32)
    values, places = empty(x.shape, F32), empty(x.shape, I64)
    columns = min(max(LINE, -(-inner // 4)) // LINE * LINE, inner)
    parts, each = -(-inner // columns), max(1, CHUNK // (n * inner))
    sizes = rows, n, inner, 0, each, columns, parts, int(down), 0, 0, 0
    tasks = -(-rows // each) * parts
    _start(running_loop, tasks, 2 * x.size, x, sizes, None, values, places)
    return values, places


def search(x: Array, values: Array, right: bool) -> Array:
    """Where values (rows, k) would be inserted into sorted rows of x, none of which is empty, or
    into the only one, before or after what is equal."""
    n, k, x, values = x.shape[-1], values.shape[-1], ready(x, F32), ready(values, F32)
    out = np.empty(values.shape, np.int64)
    each = CHUNK // 4
    sizes = values.size // k, n, 1, k, each, 0, 0, 0, int(right), int(x.ndim == 1), 0
    tasks = -(-values.size // each)
    _start(search_loop, tasks, 8 * values.size, x, sizes, None, values, out)
    return out
