"""Distances of all pairs of rows, large: |x_i - y_k| by the sum of differences or squares.

x is (B, P, M). y lies turned, (B, M, R), so that neighbours in the vectors' lanes are R rows of y.
Sums run over SHORT terms in the arrays' dtype, and over such sums in float64. A task is one or more
rows of x.

    forward     d_ik = Σ_m |x_im - y_km|                 or the root of Σ_m (x_im - y_km)²
    backward    dx_im = Σ_k w_ik·sign(x_im - y_km)       or Σ_k w_ik·(x_im - y_km)

where w is the gradient of d, divided by d for the root. dy is the same, with x and y exchanged.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.machinery.arrays import Array, addresses_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import REORDERED, ready, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import part

CHUNK = 1 << 14  # differences of one task, where a row has fewer
SHORT, WIDTH = 8, 512  # terms; columns at once, whose sums fit the first cache
LANES = 64  # terms of a sum across lanes
FIELDS = ["rows", "P", "R", "M", "each", "x", "y", "w", "out"]
JOB = np.dtype([(name, np.int64) for name in FIELDS])

FORWARD = """
def {name}_distances(t, jobs, like):
    job = carray(jobs, 1)[0]
    totals, short = np.empty(WIDTH), np.empty(WIDTH, number)
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        x, out = part(job.x, like, row * job.M, job.M), part(job.out, like, row * job.R, job.R)
        for k0 in range(0, job.R, WIDTH):
            n = min(WIDTH, job.R - k0)
            totals[:] = 0
            for m0 in range(0, job.M, SHORT):
                short[:] = 0
                for m in range(m0, min(m0 + SHORT, job.M)):
                    y = part(job.y, like, (row // job.P * job.M + m) * job.R + k0, n)
                    v = x[m]
                    for k in range(n):
                        d = v - y[k]
                        short[k] += {term}
                for k in range(n):
                    totals[k] += short[k]
            for k in range(n):
                out[k0 + k] = {result}
"""
BACKWARD = """
def {name}_backward(t, jobs, like):
    job = carray(jobs, 1)[0]
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        x, out = part(job.x, like, row * job.M, job.M), part(job.out, like, row * job.M, job.M)
        for m in range(job.M):
            v, total = x[m], 0.0
            for k0 in range(0, job.R, LANES):
                n = min(LANES, job.R - k0)
                y = part(job.y, like, (row // job.P * job.M + m) * job.R + k0, n)
                w, some = part(job.w, like, row * job.R + k0, n), number(0)
                for k in range(n):
                    d = v - y[k]
                    some += w[k] * {slope}
                total += some
            out[m] = total
"""
SCOPES: dict[str, dict[str, Any]] = {
    dtype.char: {
        "__name__": __name__, "LANES": LANES, "SHORT": SHORT, "WIDTH": WIDTH, "carray": carray,
        "number": dtype.type, "np": np, "part": part,
    }
    for dtype in map(np.dtype, "fd")
}  # fmt: skip
SIGN = "(number(1) if d > 0 else (number(-1) if d < 0 else d))"
for _name, _term, _result, _slope in (
    ("p1", "abs(d)", "totals[k]", SIGN), ("p2", "d * d", "np.sqrt(totals[k])", "d"),
):  # fmt: skip
    _words = {"name": _name, "term": _term, "result": _result, "slope": _slope}
    for _text, _scope in itertools.product((FORWARD, BACKWARD), SCOPES.values()):
        exec(compile(_text.format(**_words), __file__, "exec"), _scope)


def _start(loop: str, x: Array, y: Array, w: Array | None, out: Array) -> Array:
    (B, P, M), R = x.shape, y.shape[2]
    each = max(1, CHUNK // max(R * M, 1))
    places = addresses_of(x, y, w, out)
    job = np.array((B * P, P, R, M, each, *places), np.int64)
    code = address(SCOPES[x.dtype.char][loop], JOB, x.dtype, frozenset(REORDERED))
    run(serial, parallel, -(-B * P // each), B * P * R * M, code, job, places[0])
    return out


def distances(p: int, x: Array, y: Array) -> Array:
    """The p-norms (B, P, R), p being 1 or 2, of x (B, P, M) and turned y (B, M, R)."""
    x, y = (ready(v, x.dtype) for v in (x, y))
    return _start(f"p{p}_distances", x, y, None, empty((*x.shape[:2], y.shape[2]), x.dtype))


def backward(p: int, w: Array, x: Array, y: Array) -> Array:
    """dx (B, P, M) from w (B, P, R), x and turned y (B, M, R)."""
    x, y, w = (ready(v, w.dtype) for v in (x, y, w))
    return _start(f"p{p}_backward", x, y, w, empty(x.shape, w.dtype))
