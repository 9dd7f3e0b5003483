"""Compiled matrix products: numpy's own BLAS, called for one block of the result after the other.

A BLAS that works on threads of its own is a second pool beside ours: each waits, spinning, while
the other works. So the threads are ours, every task is a block of the result, and BLAS is held at
one thread meanwhile (blas_calls.py). The blocks depend on the shapes alone, so the bits do not
depend on the number of threads.

Small products, which OpenBLAS computes on one thread anyway, are np.matmul's, and so are all where
numpy has another BLAS.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from functools import lru_cache, reduce
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels import reference
from minigrad.kernels.machinery import blas_calls
from minigrad.kernels.machinery.arrays import Array, address_of
from minigrad.kernels.machinery.blas import blas
from minigrad.kernels.machinery.blas_calls import (
    AS_IT_LIES,
    ROW_MAJOR,
    TRANSPOSED,
    gemm,
    gemv,
)
from minigrad.kernels.machinery.jobs import address
from minigrad.kernels.machinery.launch import exact, exact_kernel, run, threaded
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import at, on

FROM = 1 + (1 << 18)  # multiply-adds; OpenBLAS uses threads of its own from here on
FROM_VECTOR = 9216  # of a matrix and a vector, likewise
TWO_BLOCKS = 1 << 21  # multiply-adds that two threads share; twice the blocks take 32 times as many
MOST = 16  # tasks
EDGE = 16  # what a block's sizes are multiples of, so that BLAS's own register tiles fit
COLUMN = 2  # what packing a number of b costs, a number of a costing 1
PLANS = 1024  # at most, that are kept
WORK = 8  # multiply-adds that take as long as an element of other kernels, which launch.run counts

# What a task is told: of BLAS, where the arrays begin, how they lie, and how the result is cut into
# blocks.
FIELDS = [*blas_calls.FIELDS, "a", "b", "bias"]
FIELDS += ["a_at", "b_at", "a_kind", "b_kind", "a_row", "b_row", "bias_row", "bias_column"]
FIELDS += ["stack", "terms", "each", "m", "n", "k", "rows", "columns"]
JOB = np.dtype([(name, np.int64) for name in FIELDS])
A, B, BIAS = (FIELDS.index(name) for name in ("a", "b", "bias"))

# ---------------------------------------------------------------------------- the loops


@exact
def _vector(job, m, n, x, y, beta, c):
    """A block of a product with a vector: c = x·y + beta·c where m or n is 1."""
    if job.n == 1:
        kind, row, rows, columns, matrix = job.a_kind, job.a_row, m, job.k, x
        vector, step = y, job.b_row if job.b_kind == AS_IT_LIES else 1
    else:  # cᵀ = yᵀ·xᵀ
        kind, row, rows, columns, matrix = job.b_kind, job.b_row, job.k, n, y
        vector, step = x, 1 if job.a_kind == AS_IT_LIES else job.a_row
        kind = TRANSPOSED if kind == AS_IT_LIES else AS_IT_LIES
    # CBLAS is told how the matrix lies in memory, then whether to transpose it
    if (job.n == 1) == (kind == TRANSPOSED):
        rows, columns = columns, rows
    args = (ROW_MAJOR, kind, rows, columns, 1, matrix, row, vector, step, beta, c, 1)
    gemv(job, args)


def multiply(t, jobs, out):
    """Task t: a block of out[s] = Σ_r a[s, r]·b[s, r] + bias, for some of the stack's s."""
    job = carray(jobs, 1)[0]
    down, across = -(-job.m // job.rows), -(-job.n // job.columns)
    first = t // (down * across) * job.each
    i, j = t // across % down * job.rows, t % across * job.columns
    m, n = min(job.rows, job.m - i), min(job.columns, job.n - j)
    a = on(at(job.a, out), i * job.a_row if job.a_kind == AS_IT_LIES else i)
    b = on(at(job.b, out), j if job.b_kind == AS_IT_LIES else j * job.b_row)
    a_at, b_at, bias = at(job.a_at, 0), at(job.b_at, 0), at(job.bias, out)
    for s in range(first, min(first + job.each, job.stack)):
        c = on(out, (s * job.m + i) * job.n + j)
        if job.bias:
            step = job.bias_column
            for p in range(m):
                row, from_ = on(c, p * job.n), on(bias, (i + p) * job.bias_row + j * step)
                if step == 1:  # which becomes a loop over vectors
                    for q in range(n):
                        row[q] = from_[q]
                else:
                    for q in range(n):
                        row[q] = from_[q * step]
        for r in range(job.terms):
            beta = 1 if r > 0 or job.bias != 0 else 0
            x, y = on(a, a_at[s * job.terms + r]), on(b, b_at[s * job.terms + r])
            if job.m == 1 or job.n == 1:
                _vector(job, m, n, x, y, beta, c)
            else:
                args = (ROW_MAJOR, job.a_kind, job.b_kind, m, n, job.k, 1, x, job.a_row, y,
                        job.b_row, beta, c, job.n)  # fmt: skip
                gemm(job, args)


@exact_kernel
def _serial(lo, hi, function, plan, a, b, bias, result):
    job = plan.copy()
    job[A], job[B], job[BIAS] = a, b, bias
    blas_calls.serial(lo, hi, function, job, result)


@threaded
def _parallel(pool, tasks, function, plan, a, b, bias, result):
    job = plan.copy()
    job[A], job[B], job[BIAS] = a, b, bias
    blas_calls.parallel(pool, tasks, function, job, result)


# ---------------------------------------------------------------------------- what they are told


@lru_cache(1024)
def _blocks(m: int, n: int, k: int, stack: int) -> tuple[int, int, int, int]:
    """Rows and columns of a block, how many of the stack's products a task takes, and tasks.

    A stack is divided at no cost. A block of one product has BLAS pack its rows and its columns
    anew, as other blocks have; hence few, and cut where that is least.
    """
    wanted = 1
    while wanted < MOST and stack * m * n * k >= TWO_BLOCKS * wanted**5:
        wanted *= 2
    parts = min(stack, MOST if wanted > 1 else 1)
    cuts = -(-wanted // parts)
    down, across = min(
        ((i, -(-cuts // i)) for i in range(1, cuts + 1)),
        key=lambda cut: COLUMN * cut[0] * n + cut[1] * m,
    )
    height, width = (-(-size // (cut * EDGE)) * EDGE for size, cut in ((m, down), (n, across)))
    each = -(-stack // parts)
    return height, width, each, -(-stack // each) * -(-m // height) * -(-n // width)


class Plan(NamedTuple):
    """A product's geometry, worked out once."""

    job: Array  # but for where the arrays lie
    shape: tuple[int, ...]
    tasks: int
    elements: int  # of work, as launch.run counts
    kept: tuple[Array, ...]  # what the job has the addresses of


_plans: dict[Any, Plan | None] = {}  # None: np.matmul's
UNREADABLE = Plan(np.empty(0, np.int64), (), 0, 0, ())  # for CBLAS, as the arrays lie


def _layout(x: Array) -> tuple[int, int] | None:
    """How the matrices of a stack lie and how far apart their rows (or columns) are, for CBLAS."""
    size, (down, across), (rows, columns) = x.itemsize, x.strides[-2:], x.shape[-2:]
    if any(s % size for s in x.strides):
        return None
    down, across = down // size, across // size
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return AS_IT_LIES, max(down, columns) if rows > 1 else columns
    if (down == 1 or rows == 1) and (across >= rows or columns == 1):
        return TRANSPOSED, max(across, rows) if columns > 1 else rows
    return None


def _merged(x: Array, axis: int) -> Array | None:
    """A stack as one matrix, its matrices one after the other along the axis, if they lie so (not
    if they all are one, broadcast)."""
    axes = [i for i in (*range(x.ndim - 2), x.ndim + axis) if x.shape[i] > 1]
    for i, after in pairwise(axes):
        if x.strides[i] != x.strides[after] * x.shape[after]:
            return None
    if axis == -1:
        merged = _merged(x.swapaxes(-1, -2), -2)
        return None if merged is None else merged.T
    merged = x.reshape(-1, x.shape[-1])
    return None if _layout(merged) is None else merged


def _planned(a: Array, b: Array, bias: Array | None, summed: bool) -> Plan | None:
    """The plan of product(a, b, bias, summed)."""
    (m, k), n, size, library = a.shape[-2:], b.shape[-1], a.itemsize, blas()
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    work = prod(stack) * m * n * k
    least = FROM_VECTOR if m == 1 or n == 1 else FROM
    if library is None or (k == 1 and not summed) or work < least:
        return None
    if _layout(a) is None or _layout(b) is None:
        return UNREADABLE
    shape = (m, n) if summed else (*stack, m, n)
    a, b = np.broadcast_to(a, (*stack, m, k)), np.broadcast_to(b, (*stack, k, n))
    if stack and summed:
        rows, tall = _merged(a, -1), _merged(b, -2)
        if rows is not None and tall is not None:
            a, b, stack, k = rows, tall, (), rows.shape[1]
    elif stack and not any(b.strides[:-2]) and (bias is None or bias.ndim < 2):
        tall = _merged(a, -2)
        if tall is not None:
            a, b, stack, m = tall, b[(0,) * len(stack)], (), tall.shape[0]
    a_lies, b_lies = _layout(a), _layout(b)
    assert a_lies is not None and b_lies is not None
    starts = [_offsets(stack, tuple(s // size for s in x.strides[:-2])) for x in (a, b)]
    steps = (0, 0)
    if bias is not None:
        down, across = np.broadcast_to(bias, (m, n)).strides
        steps = (down // size, across // size)
    items, terms = (1, prod(stack)) if summed else (prod(stack), 1)
    height, width, each, tasks = _blocks(m, n, k * terms, items)
    job = (
        *blas_calls.begin(library, size), 0, 0, 0,
        *(x.ctypes.data for x in starts), a_lies[0], b_lies[0], a_lies[1], b_lies[1], *steps,
        items, terms, each, m, n, k, height, width,
    )  # fmt: skip
    return Plan(np.array(job, np.int64), shape, tasks, work // WORK, tuple(starts))


def _offsets(shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """Where the matrices of a stack begin, in elements."""
    steps = [np.arange(n, dtype=np.int64) * s for n, s in zip(shape, strides, strict=True)]
    return reduce(np.add.outer, steps, np.zeros((), np.int64)).ravel()


def product(a: Array, b: Array, bias: Array | None = None, summed: bool = False) -> Array:
    """a (…, m, k) times b (…, k, n), for each of the stack or summed over it, plus a bias that
    broadcasts to (m, n): (…, m, n) or (m, n). All are of one dtype, float32 or float64."""
    n = b.shape[-1]
    work = a.size * n  # of all that a meets, unless it is broadcast
    if work < (FROM if a.ndim == b.ndim == 2 and n > 1 and a.shape[0] > 1 else FROM_VECTOR):
        return reference.product(a, b, bias, summed)
    around = None if bias is None else (bias.shape, bias.strides)
    geometry = (a.shape, a.strides, b.shape, b.strides, a.itemsize, around, summed)
    try:
        plan = _plans[geometry]
    except KeyError:
        if len(_plans) >= PLANS:
            _plans.clear()
        plan = _plans[geometry] = _planned(a, b, bias, summed)
    if plan is None:
        return reference.product(a, b, bias, summed)
    at_a, at_b = address_of(a), address_of(b)
    if plan is UNREADABLE or (at_a | at_b) % a.itemsize:
        return product(a.copy(), b.copy(), bias, summed)
    out = empty(plan.shape, a.dtype)
    places = (at_a, at_b, 0 if bias is None else address_of(bias), address_of(out))
    function = address(multiply, JOB, a.dtype)
    run(_serial, _parallel, plan.tasks, plan.elements, function, plan.job, *places)
    return out
