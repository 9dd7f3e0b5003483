"""The loops of rows.py along an axis that is not the last one.

x is seen as (outer, n, inner), and n is the axis: neighbours along it lie inner elements apart. So
WIDTH columns go together, one in each lane of the vectors. A task is a block of columns of one or
more of the outer arrays, and a column's sum is taken in order, in float64. As e^0 is one of its
terms, the logarithm of a sum of exponentials is log1p of the others, which loses no digits.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.compiled.functions import exp, f4, log1p
from minigrad.kernels.machinery.arrays import Array, addresses_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import REORDERED, exact, run
from minigrad.kernels.machinery.pointers import at, doubles, part

F32 = np.dtype(np.float32)
WIDTH = 128  # columns of a block
CHUNK = 1 << 12  # elements of one task, where the outer arrays are smaller
FIELDS = ["outer", "n", "inner", "blocks", "each", "x", "y", "out", "centres", "factors", "back"]
JOB = np.dtype([(name, np.int64) for name in FIELDS])

# ---------------------------------------------------------------------------- the loops


@exact
def of_task(t, job):
    """The first outer array of a task, the one behind its last, its first column, how many."""
    first, j = t // job.blocks * job.each, t % job.blocks * WIDTH
    return first, min(first + job.each, job.outer), j, min(WIDTH, job.inner - j)


@exact
def across(place, like, job, a, i, j, w):
    """Element i of w columns."""
    return part(place, like, (a * job.n + i) * job.inner + j, w)


@exact
def of_columns(place, job, a, j, w):
    """A float64 of each of w columns."""
    start = a * job.inner + j
    return carray(doubles(place), start + w)[start:]


@exact
def find_largest(like, job, a, j, tops):
    """The largest of each column; a NaN is passed over."""
    tops[:] = f4(-np.inf)
    for i in range(job.n):
        x = across(job.x, like, job, a, i, j, tops.size)
        for k in range(tops.size):
            tops[k] = x[k] if x[k] > tops[k] else tops[k]


def softmax_loop(t, jobs, like):
    job = carray(jobs, 1)[0]
    first, last, j, w = of_task(t, job)
    tops, totals, scales = np.empty(w, np.float32), np.empty(w), np.empty(w, np.float32)
    for a in range(first, last):
        find_largest(like, job, a, j, tops)
        totals[:] = 0
        for i in range(job.n):
            x, y = across(job.x, like, job, a, i, j, w), across(job.out, like, job, a, i, j, w)
            for k in range(w):
                e = exp(x[k] - tops[k])
                y[k] = e
                totals[k] += e
        for k in range(w):
            scales[k] = f4(1 / totals[k])
        for i in range(job.n):
            y = across(job.out, like, job, a, i, j, w)
            for k in range(w):
                y[k] *= scales[k]


def softmax_backward_loop(t, jobs, like):
    """dx = y·(g - Σ g·y); x is g."""
    job = carray(jobs, 1)[0]
    first, last, j, w = of_task(t, job)
    totals, sums = np.empty(w), np.empty(w, np.float32)
    for a in range(first, last):
        totals[:] = 0
        for i in range(job.n):
            g, y = across(job.x, like, job, a, i, j, w), across(job.y, like, job, a, i, j, w)
            for k in range(w):
                totals[k] += g[k] * y[k]
        for k in range(w):
            sums[k] = f4(totals[k])
        for i in range(job.n):
            g, y = across(job.x, like, job, a, i, j, w), across(job.y, like, job, a, i, j, w)
            dx = across(job.out, like, job, a, i, j, w)
            for k in range(w):
                dx[k] = y[k] * (g[k] - sums[k])


def log_softmax_loop(t, jobs, like):
    job = carray(jobs, 1)[0]
    first, last, j, w = of_task(t, job)
    tops, totals, logs = np.empty(w, np.float32), np.empty(w), np.empty(w, np.float32)
    for a in range(first, last):
        find_largest(like, job, a, j, tops)
        totals[:] = 0
        for i in range(job.n):
            x = across(job.x, like, job, a, i, j, w)
            for k in range(w):
                totals[k] += exp(x[k] - tops[k])
        for k in range(w):
            logs[k] = log1p(f4(totals[k] - 1))
        for i in range(job.n):
            x, y = across(job.x, like, job, a, i, j, w), across(job.out, like, job, a, i, j, w)
            for k in range(w):
                y[k] = (x[k] - tops[k]) - logs[k]


def log_softmax_backward_loop(t, jobs, like):
    """dx = g - e^y·Σ g; x is g."""
    job = carray(jobs, 1)[0]
    first, last, j, w = of_task(t, job)
    totals, sums = np.empty(w), np.empty(w, np.float32)
    for a in range(first, last):
        totals[:] = 0
        for i in range(job.n):
            g = across(job.x, like, job, a, i, j, w)
            for k in range(w):
                totals[k] += g[k]
        for k in range(w):
            sums[k] = f4(totals[k])
        for i in range(job.n):
            g, y = across(job.x, like, job, a, i, j, w), across(job.y, like, job, a, i, j, w)
            dx = across(job.out, like, job, a, i, j, w)
            for k in range(w):
                dx[k] = g[k] - exp(y[k]) * sums[k]


def log_sum_exp_loop(t, jobs, like):
    job = carray(jobs, 1)[0]
    first, last, j, w = of_task(t, job)
    tops, totals = np.empty(w, np.float32), np.empty(w)
    for a in range(first, last):
        find_largest(like, job, a, j, tops)
        for k in range(w):
            tops[k] = tops[k] if abs(tops[k]) < np.inf else f4(0)
        totals[:] = 0
        for i in range(job.n):
            x = across(job.x, like, job, a, i, j, w)
            for k in range(w):
                totals[k] += exp(x[k] - tops[k])
        out = of_columns(job.out, job, a, j, w)
        for k in range(w):
            out[k] = np.float64(log1p(f4(totals[k] - 1))) + tops[k]


def cumsum_loop(t, jobs, like):
    """Running sums, from the end if `back` is 1."""
    job = carray(jobs, 1)[0]
    first, last, j, w = of_task(t, job)
    totals = np.empty(w)
    for a in range(first, last):
        totals[:] = 0
        for m in range(job.n):
            i = job.n - 1 - m if job.back else m
            x, y = across(job.x, like, job, a, i, j, w), across(job.out, like, job, a, i, j, w)
            for k in range(w):
                totals[k] += x[k]
                y[k] = totals[k]


# Each element by a centre and a factor of its column; see rows.ALONG.
ALONG = """
def {name}(t, jobs, like):
    job = carray(jobs, 1)[0]
    first, last, j, w = of_task(t, job)
    cs, rests = np.empty(w, np.float32), np.empty(w, np.float32)
    fs = np.empty(w, np.float32)
    for a in range(first, last):
        centres = of_columns(job.centres, job, a, j, w)
        factors = of_columns(job.factors, job, a, j, w)
        for k in range(w):
            cs[k], fs[k] = f4(centres[k]), f4(factors[k])
            rests[k] = f4(cs[k] - centres[k]) if abs(cs[k]) < np.inf else f4(0)
        for i in range(job.n):
            xs, out = across(job.x, like, job, a, i, j, w), across(job.out, like, job, a, i, j, w)
            for k in range(w):
                x, c, rest, factor = xs[k], cs[k], rests[k], fs[k]
                out[k] = {formula}
"""
# The first place of the largest or the smallest of a column, or of its first NaN.
EXTREMUM = """
def {name}(t, jobs, like):
    job = carray(jobs, 1)[0]
    first, last, j, w = of_task(t, job)
    best, places = np.empty(w, np.float32), np.empty(w, np.int32)
    for a in range(first, last):
        best[:], places[:] = across(job.x, like, job, a, 0, j, w), 0
        for i in range(1, job.n):
            x = across(job.x, like, job, a, i, j, w)
            for k in range(w):
                taken = (x[k] {sign} best[k]) | ((x[k] != x[k]) & (best[k] == best[k]))
                best[k] = x[k] if taken else best[k]
                places[k] = np.int32(i) if taken else places[k]
        out = carray(at(job.out, 0), (a + 1) * job.inner)[a * job.inner + j :]
        for k in range(w):
            out[k] = places[k]
"""
SCOPE: dict[str, Any] = {
    "__name__": __name__, "across": across, "at": at, "carray": carray, "exp": exp, "f4": f4,
    "np": np, "of_columns": of_columns, "of_task": of_task,
}  # fmt: skip
for _name, _sign in (("argmax", ">"), ("argmin", "<")):
    exec(compile(EXTREMUM.format(name=_name, sign=_sign), __file__, "exec"), SCOPE)


def along_loop(name: str, formula: str) -> Any:
    """ALONG by a formula of rows.LINES, written when it is first asked for."""
    name = f"{name}_along_columns"
    if name not in SCOPE:
        exec(compile(ALONG.format(name=name, formula=formula), __file__, "exec"), SCOPE)
    return SCOPE[name]


# ---------------------------------------------------------------------------- arrays in and out


def start(
    loop: Any, x: Array, axis: int, out: Array, y: Array | None = None, work: int = 1,
    centres: Array | None = None, factors: Array | None = None, back: bool = False, axes: int = 1,
) -> Array:  # fmt: skip
    """Run a loop along `axis` (`axes` of them, from there on) of contiguous arrays."""
    end = axis + axes
    outer, n, inner = (prod(s) for s in (x.shape[:axis], x.shape[axis:end], x.shape[end:]))
    each, blocks = max(1, CHUNK // max(n * inner, 1)), -(-inner // WIDTH)
    places = addresses_of(x, y, out, centres, factors)
    job = np.array((outer, n, inner, blocks, each, *places, back), np.int64)
    code = address(loop, JOB, F32, frozenset(REORDERED))
    run(serial, parallel, -(-outer // each) * blocks, x.size * work, code, job, places[0])
    return out


def extremum(name: str, x: Array, axis: int) -> Array:
    """The places of argmax or argmin along an axis that is not empty, kept, int64."""
    out = np.empty((*x.shape[:axis], 1, *x.shape[axis + 1 :]), np.int64)
    return start(SCOPE[name], x, axis, out)
