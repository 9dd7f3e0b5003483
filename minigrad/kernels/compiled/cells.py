"""The largest elements of cells that planes are divided into, of any height and width each.

Down the rows of a cell, all columns of the plane are compared at once, in vectors; across its
columns one after the other. What is taken is what a walk along the rows would take: the first of
equal ones, and the last NaN if there is one.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.machinery.arrays import Array, address_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import checked, ready, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import at, part
from minigrad.kernels.machinery.threads import get_num_threads

F32, I64 = np.dtype(np.float32), np.dtype(np.int64)
FIELDS = ["x", "planes", "height", "width", "down", "across", "rows", "columns", "out", "index"]
JOB = np.dtype([(name, np.int64) for name in (*FIELDS, "best", "places", "workers")])


def peaks(s, jobs, like):
    """Worker s's share of the planes."""
    job = carray(jobs, 1)[0]
    width, cells = job.width, job.down * job.across
    rows, columns = (
        carray(at(job.rows, 0), (2, job.down)),
        carray(at(job.columns, 0), (2, job.across)),
    )
    best = part(job.best, like, s * width, width)
    place = carray(at(job.places, 0), (job.workers, width))[s]
    for t in range(s * job.planes // job.workers, (s + 1) * job.planes // job.workers):
        out, index = (
            part(job.out, like, t * cells, cells),
            carray(at(job.index, 0), (t + 1, cells))[t],
        )
        for p in range(job.down):
            for h in range(rows[0, p], rows[1, p]):
                line = part(job.x, like, (t * job.height + h) * width, width)
                if h == rows[0, p]:
                    for j in range(width):
                        best[j], place[j] = line[j], h * width + j
                else:
                    for j in range(width):
                        v = line[j]
                        take = (v > best[j]) | (v != v)
                        best[j] = v if take else best[j]
                        place[j] = h * width + j if take else place[j]
            for q in range(job.across):
                j = columns[0, q]
                b, i = best[j], place[j]
                for j in range(columns[0, q] + 1, columns[1, q]):
                    v, k = best[j], place[j]
                    if v != v:
                        take = b == b or k > i
                    else:
                        take = v > b or (v == b and k < i)
                    b, i = (v, k) if take else (b, i)
                out[p * job.across + q], index[p * job.across + q] = b, i


def largest(x: Array, rows: Array, columns: Array) -> tuple[Array, Array]:
    """Of planes x (…, H, W): the largest elements (…, OH, OW) and where they are, as h·W + w.

    rows (2, OH) says where the cells start and end, columns (2, OW) alike; none may be empty.
    """
    x, (*lead, height, width) = ready(x, F32), x.shape
    for bounds, n in ((rows, height), (columns, width)):
        checked(bounds[0], n, "a cell")
        checked(bounds[1] - 1, n, "a cell")
        if (bounds[0] >= bounds[1]).any():
            raise IndexError("a cell is empty")
    rows, columns = ready(rows, I64), ready(columns, I64)
    shape = *lead, rows.shape[1], columns.shape[1]
    out, index = empty(shape, F32), empty(shape, I64)
    planes = x.size // (height * width)
    workers = max(1, min(get_num_threads(), planes))
    best, places = np.empty((workers, width), F32), np.empty((workers, width), I64)
    ends = *map(address_of, (rows, columns, out, index, best, places)), workers
    sizes = planes, height, width, *shape[-2:]
    job, code = np.array([address_of(x), *sizes, *ends], np.int64), address(peaks, JOB, F32)
    run(serial, parallel, workers, x.size * 2, code, job, address_of(out))
    return out, index
