"""Sums of products of large float32 arrays along rows or columns, without the products in between:
the gradient of a factor that broadcasting stretched.

Sums are taken in float64. A task is a number of rows, and of a sum down the columns a block of them
whose sums are added at the end, so that the bits do not depend on the number of threads.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.machinery.arrays import Array, address_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import REORDERED, ready, run
from minigrad.kernels.machinery.pointers import doubles, part

F32 = np.dtype(np.float32)
CHUNK = 1 << 12  # elements of one task, where rows are shorter
BLOCKS = 16  # of rows, in a sum over columns
FIELDS = ["x", "y", "y_row", "y_n", "out", "rows", "n", "each"]
JOB = np.dtype([(name, np.int64) for name in FIELDS])


def dots_of_rows(t, jobs, like):
    job = carray(jobs, 1)[0]
    out = carray(doubles(job.out), job.rows)
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        xs, ys = part(job.x, like, row * job.n, job.n), part(job.y, like, row * job.y_row, job.n)
        total = 0.0
        if job.y_n:
            for i in range(xs.size):
                total += np.float64(xs[i]) * ys[i]
        else:
            y = np.float64(ys[0])
            for i in range(xs.size):
                total += xs[i] * y
        out[row] = total


def dots_of_columns(t, jobs, like):
    """Of block t."""
    job = carray(jobs, 1)[0]
    out = carray(doubles(job.out), (t + 1, job.n))[t]
    out[:] = 0
    for row in range(t * job.rows // job.each, (t + 1) * job.rows // job.each):
        xs, ys = part(job.x, like, row * job.n, job.n), part(job.y, like, row * job.y_row, job.n)
        if job.y_n:
            for i in range(xs.size):
                out[i] += np.float64(xs[i]) * ys[i]
        else:
            y = np.float64(ys[0])
            for i in range(xs.size):
                out[i] += xs[i] * y


def dots(x: Array, y: Array, axes: tuple[int, ...]) -> Array | None:
    """Σ x·y over `axes` in float64, axes kept, of a y that broadcasts to x. None unless the last
    axis is among them, or they are the first ones, and others remain."""
    cut = x.ndim
    while cut and cut - 1 in axes:
        cut -= 1
    first = cut == x.ndim  # the sums are of columns, over the first axes
    if first:
        cut = len(axes)
    if not x.size or not 0 < cut < x.ndim or (first and axes != tuple(range(cut))):
        return None
    rows, n = prod(x.shape[:cut]), prod(x.shape[cut:])
    x, y = ready(x, F32), np.broadcast_to(y, x.shape).reshape(rows, n)
    steps = [0 if size == 1 else step for size, step in zip(y.shape, y.strides, strict=True)]
    if not y.flags.aligned or steps[0] % 4 or steps[1] not in (0, 4):
        y = ready(y, F32)
        steps = list(y.strides)
    kept = tuple(1 if i in axes else size for i, size in enumerate(x.shape))
    if first:
        each = tasks = max(1, min(BLOCKS, x.size // CHUNK, rows))
        out, loop = np.empty((tasks, n)), dots_of_columns
    else:
        each = max(1, CHUNK // n)
        tasks = -(-rows // each)
        out, loop = np.empty(rows), dots_of_rows
    places = address_of(x), address_of(y), steps[0] // 4, steps[1] // 4, address_of(out)
    job = np.array([*places, rows, n, each], np.int64)
    code: Any = address(loop, JOB, F32, frozenset(REORDERED))
    run(serial, parallel, tasks, x.size, code, job, address_of(x))
    rest = tuple(axis for axis in axes if axis < cut)
    each_row: Array = out.sum(0) if first else out.reshape(x.shape[:cut]).sum(rest)
    return each_row.reshape(kept)
