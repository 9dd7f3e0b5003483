"""Compiled relu: one pass, into memory that is already there."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from minigrad.kernels import reference
from minigrad.kernels.machinery.arrays import Array
from minigrad.kernels.machinery.launch import exact_kernel, in_parallel, ready, run, threaded
from minigrad.kernels.machinery.memory import empty

FROM = 1 << 12  # elements; below, numpy's pass costs less than starting a compiled loop
BACKWARD_FROM = 1 << 10  # its backward is three passes, one of them of choices
CHUNK = 1 << 14  # elements of one task


@exact_kernel
def _relu(lo, hi, x, y):
    for t in range(lo, hi):
        part, out = x[t * CHUNK : (t + 1) * CHUNK], y[t * CHUNK : (t + 1) * CHUNK]
        for i in range(part.size):
            out[i] = 0 if part[i] <= 0 else part[i]


@exact_kernel
def _relu_backward(lo, hi, g, y, dx):
    for t in range(lo, hi):
        part, out = g[t * CHUNK : (t + 1) * CHUNK], dx[t * CHUNK : (t + 1) * CHUNK]
        kept = y[t * CHUNK : (t + 1) * CHUNK]
        for i in range(part.size):
            out[i] = 0 if kept[i] <= 0 else part[i]


@threaded
def _relu_p(pool, tasks, x, y):
    in_parallel(pool, tasks, _relu, (x, y))


@threaded
def _relu_backward_p(pool, tasks, g, y, dx):
    in_parallel(pool, tasks, _relu_backward, (g, y, dx))


def relu(x: Array) -> Array:
    """x where it is positive (or NaN), else 0; any shape."""
    if x.size < FROM:
        return reference.relu(x)
    y = empty(x.shape, x.dtype)
    flat = ready(x, x.dtype).reshape(-1), y.reshape(-1)
    run(_relu, _relu_p, -(-x.size // CHUNK), x.size, *flat)
    return y


def relu_backward(g: Array, y: Array) -> Array:
    """g where y, the result of relu, is positive (or NaN), else 0."""
    if y.size < BACKWARD_FROM:
        return reference.relu_backward(g, y)
    dx = empty(y.shape, y.dtype)
    flat = ready(g, y.dtype).reshape(-1), ready(y, y.dtype).reshape(-1), dx.reshape(-1)
    run(_relu_backward, _relu_backward_p, -(-y.size // CHUNK), y.size, *flat)
    return dx
