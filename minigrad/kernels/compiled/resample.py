"""Axes of large arrays resampled: each output element is a weighted sum of a few input elements.

Padding by what is inside, interpolation of every kind and means over cells are of this kind, and so
is their backward, whose matrix is the transpose. Such a matrix, sparse and made once for the sizes
of an axis, is applied to one axis or to the last two in one pass over memory:

    a (outer, n, width) ──► line = Σ of some rows of a, in float64 ──► out: for each of its columns,
                                                                       Σ of some elements of line

An element that has no place of its own in a sum reads the zero that lies behind the line, so that
what is infinite or NaN goes where its weights send it and nowhere else.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from functools import cached_property, lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.machinery.arrays import Array, address_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import CONTRACTED, checked, ready, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import at, doubles, on, part
from minigrad.kernels.machinery.threads import get_num_threads

FLAT = 2  # products for an element of a plane, up to which both axes are taken at once
PART = 1 << 11  # columns that are computed together: their sums fit the first cache
WORK = 4  # how much longer than copying an element one takes
FIELDS = ["outer", "n", "rows", "width", "wide", "x", "out", "bounds", "chosen", "row_weights"]
FIELDS += ["table", "places", "weights", "rest", "rest_weights", "scratch"]
FIELDS += ["parts", "taps", "room", "workers"]
JOB = np.dtype([(name, np.int64) for name in FIELDS])


def resample(s, jobs, like):
    """Worker s's share of the lines of out (outer, rows, wide), in parts."""
    job = carray(jobs, 1)[0]
    bounds = carray(at(job.bounds, 0), job.rows + 1)
    chosen = carray(at(job.chosen, 0), int(bounds[job.rows]))
    row_weights = carray(doubles(job.row_weights), int(bounds[job.rows]))
    table = carray(at(job.table, 0), (job.parts, 6))
    scratch = carray(doubles(job.scratch), (job.workers, job.room))[s]
    rest = carray(at(job.rest, 0), (2, int(table[job.parts - 1, 5])))
    rest_weights = carray(doubles(job.rest_weights), int(table[job.parts - 1, 5]))
    tasks = job.outer * job.rows * job.parts
    for t in range(s * tasks // job.workers, (s + 1) * tasks // job.workers):
        p, row = t % job.parts, t // job.parts
        first, n, low, size = table[p, 0], table[p, 1], table[p, 2], table[p, 3]
        image, row_of = row // job.rows * job.n, row % job.rows
        out, line = part(job.out, like, row * job.wide + first, n), scratch[:size]
        begin, end = bounds[row_of], bounds[row_of + 1]
        if begin == end:
            line[:] = 0
        for k in range(begin, end):
            xs, w = part(job.x, like, (image + chosen[k]) * job.width + low, size), row_weights[k]
            if k == begin:
                for j in range(size):
                    line[j] = w * xs[j]
            else:
                for j in range(size):
                    line[j] += w * xs[j]
        if job.taps < 0:  # the columns stay as they are
            for j in range(n):
                out[j] = line[j]
            continue
        scratch[size] = 0
        sums = scratch[size + 1 : size + 1 + n]
        for k in range(job.taps):
            places = carray(on(at(job.places, 0), k * job.wide + first), n)
            weights = carray(on(doubles(job.weights), k * job.wide + first), n)
            if k == 0:
                for j in range(n):
                    sums[j] = weights[j] * scratch[np.uint64(places[j])]
            else:
                for j in range(n):
                    sums[j] += weights[j] * scratch[np.uint64(places[j])]
        if job.taps == 0:
            sums[:] = 0
        for k in range(table[p, 4], table[p, 5]):
            sums[rest[0, k] - first] += rest_weights[k] * scratch[rest[1, k] - low]
        for j in range(n):
            out[j] = sums[j]


class Columns(NamedTuple):
    """A matrix as it is applied along a line. The table has of each part of the outputs where it
    begins, how many they are, the first element that it needs, how many it needs, and where its
    share of the rest begins and ends."""

    table: Array
    taps: int  # -1 if the columns stay as they are
    places: Array  # (taps, m), counted from the first element that the part needs
    weights: Array
    rest: Array  # (2, …): which output, and which element
    rest_weights: Array


class Matrix:
    """A sparse matrix (m, n): to output `to[k]` goes weights[k] times element `of[k]`."""

    def __init__(self, m: int, n: int, to: Array, of: Array, weights: Array) -> None:
        to, of = checked(to, m, "an output"), checked(of, n, "an element")
        order = np.argsort(to, kind="stable")
        self.m, self.n, self.to, self.of = m, n, to[order], of[order]
        self.weights = np.asarray(weights, np.float64)[order]

    @classmethod
    def of_taps(cls, n: int, taps: list[tuple[Array, Array | None]]) -> Matrix:
        """Output i is Σ weight[i]·element[index[i]] over (index, weight); no weight is 1."""
        m = len(taps[0][0])
        weights = [np.ones(m) if w is None else w for _, w in taps]
        to, of = np.tile(np.arange(m), len(taps)), np.concatenate([index for index, _ in taps])
        return cls(m, n, to, of, np.concatenate(weights))

    @cached_property
    def adjoint(self) -> Matrix:
        """The transpose."""
        return Matrix(self.n, self.m, self.of, self.to, self.weights)

    @cached_property
    def bounds(self) -> Array:
        """Where the elements of each output begin and end."""
        return np.concatenate(([0], np.cumsum(np.bincount(self.to, minlength=self.m))))

    @cached_property
    def columns(self) -> Columns:
        """As many elements of every output as two thirds of them have, side by side, and as the
        rest what others have more than that."""
        m, counts = self.m, np.diff(self.bounds)
        taps = int(np.partition(counts, m * 2 // 3)[m * 2 // 3])
        number = np.arange(len(self.to)) - np.repeat(self.bounds[:-1], counts)
        usual, more = np.flatnonzero(number < taps), number >= taps
        rest = np.stack((self.to[more], self.of[more]))
        table = _parts(m)
        places, weights = np.empty((taps, m), np.int64), np.zeros((taps, m))
        for line in table:
            start, end = line[0], line[0] + line[1]
            of = self.of[self.bounds[start] : self.bounds[end]]
            low, high = (of.min(), of.max() + 1) if of.size else (0, 0)
            line[2:] = low, high - low, *np.searchsorted(rest[0], (start, end))
            places[:, start:end] = high - low
        low = np.repeat(table[:, 2], table[:, 1])
        where = number[usual], self.to[usual]
        places[where] = self.of[usual] - low[self.to[usual]]
        weights[where] = self.weights[usual]
        return Columns(table, taps, places, weights, rest, self.weights[more])


def _parts(m: int) -> Array:
    """The table for m outputs, of which each needs the input in its place."""
    starts = np.arange(0, m, PART)
    table = np.zeros((len(starts), 6), np.int64)
    table[:, 0] = table[:, 2] = starts
    table[:, 1] = table[:, 3] = np.minimum(PART, m - starts)
    return table


@lru_cache(64)
def _unchanged(width: int) -> Columns:
    none = np.zeros((2, 0), np.int64)
    return Columns(_parts(width), -1, none, np.zeros(0), none, np.zeros(0))


@lru_cache(64)
def _of_planes(rows: Matrix, columns: Matrix) -> Matrix | None:
    """One matrix for planes as lines, if they are so small that their own lines would be too short
    for vector instructions, and if that does not take more products."""
    m, n = rows.m * columns.m, rows.n * columns.n
    products = len(rows.to) * len(columns.to)
    if max(m, n) > PART or products > FLAT * max(m, n):
        return None
    to = np.add.outer(rows.to * columns.m, columns.to).ravel()
    of = np.add.outer(rows.of * columns.n, columns.of).ravel()
    return Matrix(m, n, to, of, np.multiply.outer(rows.weights, columns.weights).ravel())


SAME = Matrix(1, 1, np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1))


def applied(x: Array, matrices: dict[int, Matrix]) -> Array:
    """x, each of these axes multiplied by a matrix."""
    x, last = ready(x, x.dtype), x.ndim - 1
    steps: list[tuple[int, tuple[Matrix, ...]]] = [(axis, (m,)) for axis, m in matrices.items()]
    if last in matrices and last - 1 in matrices:
        steps = [step for step in steps if step[0] < last - 1]
        steps.append((last - 1, (matrices[last - 1], matrices[last])))
    # what makes the array smaller comes first, what makes it larger last
    steps.sort(key=lambda step: prod(m.m for m in step[1]) / prod(m.n for m in step[1]))
    for axis, each in steps:
        x = _step(x, axis, each)
    return x


def _step(x: Array, axis: int, each: tuple[Matrix, ...]) -> Array:
    """x, one axis or the last two multiplied by matrices."""
    shape, end = x.shape, axis + len(each)
    out = empty((*shape[:axis], *(m.m for m in each), *shape[end:]), x.dtype)
    if not out.size:
        return out
    if end < x.ndim:  # a line is all that lies within the axis
        width = wide = prod(shape[end:])
        rows, columns = each[0], _unchanged(width)
    else:
        plane = _of_planes(*each) if len(each) > 1 else None
        rows, last = (SAME, *each)[-2:] if plane is None else (SAME, plane)
        columns, width, wide = last.columns, last.n, last.m
    table, room = columns.table, int(columns.table[:, 3].max()) + 1 + PART
    outer = out.size // (wide * rows.m)
    workers = max(1, min(get_num_threads(), out.size // wide * len(table)))
    arrays = (
        x, out, rows.bounds, rows.of, rows.weights, table, columns.places, columns.weights,
        columns.rest, columns.rest_weights, np.empty((workers, room)),
    )  # fmt: skip
    sizes = outer, rows.n, rows.m, width, wide
    numbers = *sizes, *map(address_of, arrays), len(table), columns.taps, room, workers
    job, code = np.array(numbers, np.int64), address(resample, JOB, x.dtype, frozenset(CONTRACTED))
    run(serial, parallel, workers, out.size * WORK, code, job, address_of(out))
    return out
