"""Running products and logarithms of sums of large float32 arrays, row by row.

Each element of a row needs the one before it, so only rows run side by side: a task is one or more
of them, as in rows.py. The ops turn arrays so that the axis in question is the last one.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.compiled.functions import exp, f4, log
from minigrad.kernels.machinery.arrays import Array, addresses_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import ready, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import part

F32 = np.dtype(np.float32)
CHUNK = 1 << 12  # elements of one task, where rows are shorter
FIELDS = ["rows", "n", "each", "x", "y", "g", "out"]
JOB = np.dtype([(name, np.int64) for name in FIELDS])


def cumprod_loop(t, jobs, like):
    job = carray(jobs, 1)[0]
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        x, y = part(job.x, like, row * job.n, job.n), part(job.out, like, row * job.n, job.n)
        product = 1.0
        for i in range(job.n):
            product *= x[i]
            y[i] = product


def cumprod_backward_loop(t, jobs, like):
    """The equations of ops/cumulative.py."""
    job = carray(jobs, 1)[0]
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        x, y = part(job.x, like, row * job.n, job.n), part(job.y, like, row * job.n, job.n)
        g, dx = part(job.g, like, row * job.n, job.n), part(job.out, like, row * job.n, job.n)
        z = 0
        while z < job.n and x[z] != 0:
            z += 1
        total = 0.0
        for i in range(z - 1, -1, -1):
            total += np.float64(g[i]) * y[i]
            dx[i] = total / x[i]
        if z < job.n:
            total, product = np.float64(g[z]), 1.0
            for i in range(z + 1, job.n):
                product *= x[i]
                if x[i] == 0:
                    break
                total += product * g[i]
            dx[z] = total * y[z - 1] if z else total
            for i in range(z + 1, job.n):
                dx[i] = 0


def logcumsumexp_loop(t, jobs, like):
    """y = top + log(total), the total being of e^(x - top)."""
    job = carray(jobs, 1)[0]
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        x, y = part(job.x, like, row * job.n, job.n), part(job.out, like, row * job.n, job.n)
        top, total = f4(-np.inf), np.float64(0)
        for i in range(job.n):
            if x[i] > top:
                total = total * exp(top - x[i]) + 1
                top = x[i]
            else:
                total += f4(1) if x[i] == top else exp(x[i] - top)  # not e^(inf - inf)
            y[i] = top + log(f4(total))


def logcumsumexp_backward_loop(t, jobs, like):
    """dx_i = e^(x_i - c)·Σ_{j≥i} g_j·e^(c - y_j), c being a y nearby: y does not fall."""
    job = carray(jobs, 1)[0]
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        x, y = part(job.x, like, row * job.n, job.n), part(job.y, like, row * job.n, job.n)
        g, dx = part(job.g, like, row * job.n, job.n), part(job.out, like, row * job.n, job.n)
        c, s = f4(np.inf), np.float64(0)
        for i in range(job.n - 1, -1, -1):
            if y[i] != np.inf:
                if c - y[i] > 16:
                    s *= exp(y[i] - c)
                    c = y[i]
                s += g[i] * exp(c - y[i])
            dx[i] = s * exp(x[i] - c)


# ---------------------------------------------------------------------------- arrays in and out


def _start(loop: Any, x: Array, y: Array | None = None, g: Array | None = None) -> Array:
    n, out = x.shape[-1], empty(x.shape, F32)
    arrays = (x, y, g, out)
    starts = addresses_of(*arrays)
    rows, each = x.size // n, max(1, CHUNK // n)
    job = np.array((rows, n, each, *starts), np.int64)
    code = address(loop, JOB, F32)
    run(serial, parallel, -(-rows // each), x.size * 2, code, job, starts[3])
    return out


def cumprod(x: Array) -> Array:
    """Running products along the last axis."""
    x = ready(x, F32)
    return _start(cumprod_loop, x)


def cumprod_backward(g: Array, x: Array, y: Array) -> Array:
    """dx, from the gradient of y."""
    g, x, y = (ready(v, F32) for v in (g, x, y))
    return _start(cumprod_backward_loop, x, y, g)


def logcumsumexp(x: Array) -> Array:
    """log of the running sum of e^x along the last axis."""
    x = ready(x, F32)
    return _start(logcumsumexp_loop, x)


def logcumsumexp_backward(g: Array, x: Array, y: Array) -> Array:
    """dx, from the gradient of y."""
    g, x, y = (ready(v, F32) for v in (g, x, y))
    return _start(logcumsumexp_backward_loop, x, y, g)
