"""Reductions of large float32 arrays, row by row: softmax and its family, sums, products.

As in elementwise.py, these serve where arrays are large; the formulas to read are those of the ops.
Sums are taken in float64. A task is one or more rows of x (rows, n); of a sum over columns, a block
of rows, so that the bits do not depend on the number of threads.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.compiled import columns
from minigrad.kernels.compiled.functions import exp, f4, largest
from minigrad.kernels.machinery.arrays import Array, addresses_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import REORDERED, ready, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import doubles, part

F32 = np.dtype(np.float32)
CHUNK = 1 << 12  # elements of one task, where rows are shorter
BLOCKS = 16  # of rows, in a sum over columns
FIELDS = ["rows", "n", "each", "x", "y", "out", "centres", "factors", "back"]
JOB = np.dtype([(name, np.int64) for name in FIELDS])

# ---------------------------------------------------------------------------- the loops


def softmax_loop(t, jobs, like):
    job = carray(jobs, 1)[0]
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        x, y = part(job.x, like, row * job.n, job.n), part(job.out, like, row * job.n, job.n)
        top, total = largest(x), 0.0
        for i in range(x.size):
            e = exp(x[i] - top)
            y[i] = e
            total += e
        scale = f4(1 / total)
        for i in range(y.size):
            y[i] *= scale


def softmax_backward_loop(t, jobs, like):
    """dx = y·(g - Σ g·y); x is g."""
    job = carray(jobs, 1)[0]
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        g, y = part(job.x, like, row * job.n, job.n), part(job.y, like, row * job.n, job.n)
        dx, total = part(job.out, like, row * job.n, job.n), 0.0
        for i in range(y.size):
            total += g[i] * y[i]
        along = f4(total)
        for i in range(y.size):
            dx[i] = y[i] * (g[i] - along)


def log_softmax_loop(t, jobs, like):
    job = carray(jobs, 1)[0]
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        x, y = part(job.x, like, row * job.n, job.n), part(job.out, like, row * job.n, job.n)
        top, total = largest(x), 0.0
        for i in range(x.size):
            total += exp(x[i] - top)
        log_total = f4(np.log(total))
        for i in range(y.size):
            y[i] = (x[i] - top) - log_total


def log_softmax_backward_loop(t, jobs, like):
    """dx = g - e^y·Σ g; x is g."""
    job = carray(jobs, 1)[0]
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        g, y = part(job.x, like, row * job.n, job.n), part(job.y, like, row * job.n, job.n)
        dx, total = part(job.out, like, row * job.n, job.n), 0.0
        for i in range(y.size):
            total += g[i]
        along = f4(total)
        for i in range(y.size):
            dx[i] = g[i] - exp(y[i]) * along


def log_sum_exp_loop(t, jobs, like):
    job = carray(jobs, 1)[0]
    out = carray(doubles(job.out), job.rows)
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        x = part(job.x, like, row * job.n, job.n)
        top, total = largest(x), 0.0
        if not abs(top) < np.inf:
            top = f4(0)
        for i in range(x.size):
            total += exp(x[i] - top)
        out[row] = np.log(total) + top


def cumsum_loop(t, jobs, like):
    """Running sums, from the end if `back` is 1."""
    job = carray(jobs, 1)[0]
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        x, y = part(job.x, like, row * job.n, job.n), part(job.out, like, row * job.n, job.n)
        total = 0.0
        for m in range(x.size):
            i = x.size - 1 - m if job.back else m
            total += x[i]
            y[i] = total


SUM = """
def {name}(t, jobs, like):
    job = carray(jobs, 1)[0]
    out, centres = carray(doubles(job.out), job.rows), carray(doubles(job.centres), job.rows)
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        xs, total = part(job.x, like, row * job.n, job.n), 0.0
        c = centres[row] if job.centres else 0.0
        for i in range(xs.size):
            x = np.float64(xs[i])
            total += {formula}
        out[row] = total
"""
# The sum over the middle axis of x (A, R, n), in `each` blocks of R; y is R.
SUM_COLUMNS = """
def {name}(t, jobs, like):
    job = carray(jobs, 1)[0]
    a, block = t // job.each, t % job.each
    out = carray(doubles(job.out), (t + 1) * job.n)[t * job.n :]
    centres = carray(doubles(job.centres), (a + 1) * job.n)[a * job.n :]
    out[:] = 0
    for r in range(block * job.y // job.each, (block + 1) * job.y // job.each):
        xs = part(job.x, like, (a * job.y + r) * job.n, job.n)
        for i in range(xs.size):
            x, c = np.float64(xs[i]), centres[i]
            out[i] += {formula}
"""
# Each element by a centre and a factor of its row; `rest` is what float32 lost of the centre.
ALONG = """
def {name}(t, jobs, like):
    job = carray(jobs, 1)[0]
    centres = carray(doubles(job.centres), job.rows)
    factors = carray(doubles(job.factors), job.rows)
    for row in range(t * job.each, min((t + 1) * job.each, job.rows)):
        xs, out = part(job.x, like, row * job.n, job.n), part(job.out, like, row * job.n, job.n)
        c, factor = f4(centres[row]), f4(factors[row])
        rest = f4(c - centres[row]) if abs(c) < np.inf else f4(0)
        for i in range(xs.size):
            x = xs[i]
            out[i] = {formula}
"""
LINES = {
    "linear": "factor * ((x - c) + rest)",
    "exp": "factor * exp((x - c) + rest)",
    "sign": "factor if x > 0 else (-factor if x < 0 else f4(0) * factor)",
    # of an extremum: NaN may be one, but is equal to none
    "same": "factor if x == c or (x != x and c != c) else f4(0)",
    "equal": "factor if x == c else f4(0) * factor",
}
SUMS = {
    "sum": "x", "abs": "abs(x)", "square": "x * x", "spread": "(x - c) * (x - c)",
    "same": "1.0 if x == c or (x != x and c != c) else 0.0",
    "equal": "1.0 if x == c else 0.0",
}  # fmt: skip
SCOPE = {
    "__name__": __name__, "carray": carray, "doubles": doubles, "exp": exp, "f4": f4, "np": np,
    "part": part,
}  # fmt: skip
for _formulas, _kind, _text in (
    (SUMS, "of_rows", SUM), (SUMS, "of_columns", SUM_COLUMNS), (LINES, "along", ALONG),
):  # fmt: skip
    for _name, _formula in _formulas.items():
        _source = _text.format(name=f"{_name}_{_kind}", formula=_formula)
        exec(compile(_source, __file__, "exec"), SCOPE)

# ---------------------------------------------------------------------------- arrays in and out


def start(
    loop: Any, rows: int, n: int, x: Array, out: Array, y: Array | None = None, work: int = 1,
    centres: Array | None = None, factors: Array | None = None, back: bool = False,
) -> Array:  # fmt: skip
    """Run a loop along the rows (rows, n) of contiguous arrays."""
    each = max(1, CHUNK // max(n, 1))
    arrays = (x, y, out, centres, factors)
    places = addresses_of(*arrays)
    job = np.array((rows, n, each, *places, back), np.int64)
    code = address(loop, JOB, F32, frozenset(REORDERED))
    run(serial, parallel, -(-rows // each), rows * n * work, code, job, places[0])
    return out


def _either(
    name: str, x: Array, axis: int, y: Array | None = None, work: int = 1, kept: bool = True,
    back: bool = False,
) -> Array:  # fmt: skip
    """The loop of this name along an axis: of rows where it is the last one, else of columns. The
    result has the shape of x, or one float64 in place of the axis."""
    x, axis = ready(x, F32), axis % x.ndim
    n, label = x.shape[axis], f"{name}_loop"
    out = empty(x.shape, F32) if kept else np.empty((*x.shape[:axis], *x.shape[axis + 1 :]))
    if prod(x.shape[axis + 1 :]) == 1:
        return start(globals()[label], x.size // n, n, x, out, y, work, back=back)
    return columns.start(getattr(columns, label), x, axis, out, y, work, back=back)


def softmax(x: Array, axis: int = -1) -> Array:
    """Along an axis."""
    return _either("softmax", x, axis, work=2)


def softmax_backward(g: Array, y: Array, axis: int = -1) -> Array:
    """dx, from the gradient of y."""
    return _either("softmax_backward", g, axis, y)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """Along an axis."""
    return _either("log_softmax", x, axis, work=2)


def log_softmax_backward(g: Array, y: Array, axis: int = -1) -> Array:
    """dx, from the gradient of y."""
    return _either("log_softmax_backward", g, axis, y, work=2)


def log_sum_exp(x: Array, axis: int = -1) -> Array:
    """log Σ e^x along an axis, in float64."""
    return _either("log_sum_exp", x, axis, work=2, kept=False)


def cumsum(x: Array, axis: int = -1, back: bool = False) -> Array:
    """Running sums along an axis, from its end if `back`."""
    return _either("cumsum", x, axis, back=back)


def neighbours(axes: tuple[int, ...]) -> bool:
    """Whether there are axes, and none in between."""
    return bool(axes) and max(axes) - min(axes) == len(axes) - 1


def along(
    name: str, x: Array, axes: tuple[int, ...], centres: Array, factors: Array
) -> Array | None:
    """LINES[name] of each element, with the centre and the factor (float64) of its place along the
    axes that are not in `axes`; None if those are not neighbours."""
    if not neighbours(axes):
        return None
    first, last = min(axes), max(axes) + 1
    x = ready(x, F32)
    out, centres, factors = empty(x.shape, F32), ready(centres, F64), ready(factors, F64)
    if prod(x.shape[last:]) != 1:
        loop = columns.along_loop(name, LINES[name])
        return columns.start(
            loop, x, first, out, None, 2, centres, factors, axes=last - first
        )  # fmt: skip
    rows = prod(x.shape[:first])
    n, flat, result = x.size // rows, x.reshape(-1), out.reshape(-1)
    if rows == 1 and n > CHUNK:  # one long row, in parts
        whole = n // CHUNK * CHUNK
        c, f = (np.full(n // CHUNK, v.reshape(())) for v in (centres, factors))
        start(SCOPE[f"{name}_along"], n // CHUNK, CHUNK, flat, result, None, 2, c, f)
        flat, result, n = flat[whole:], result[whole:], n - whole
    if n:
        start(SCOPE[f"{name}_along"], rows, n, flat, result, None, 2, centres, factors)
    return out


F64 = np.dtype(np.float64)


def total(name: str, x: Array, axes: tuple[int, ...], centres: Array | None = None) -> Array | None:
    """The sum over `axes` of SUMS[name], in float64, axes kept; `centres` has that shape, too. None
    if x lies so that no loop fits it: elements apart, or axes that are neither first nor last."""
    if not x.flags.carray or not axes:
        return None
    reduced = [i in axes for i in range(x.ndim)]
    kept = tuple(1 if r else n for r, n in zip(reduced, x.shape, strict=True))
    if centres is not None:
        centres = ready(centres, F64)
    if reduced[-1]:  # rows, from the last axis that is kept on
        first = x.ndim
        while first and reduced[first - 1]:
            first -= 1
        n = prod(x.shape[first:])
        if any(reduced[:first]) and centres is not None:
            return None
        if (not any(reduced[:first]) and first and prod(x.shape[:first]) == 1) or not first:
            return _long_row(name, x, n, kept, centres)
        out = np.empty(x.shape[:first])
        start(SCOPE[f"{name}_of_rows"], out.size, n, x, out, centres=centres)
        rest = tuple(i for i in axes if i < first)
        return (out.sum(rest) if rest else out).reshape(kept)
    last = max(axes) + 1
    first = last
    while first and reduced[first - 1]:
        first -= 1
    if any(reduced[:first]) and centres is not None:
        return None
    A, R, n = prod(x.shape[:first]), prod(x.shape[first:last]), prod(x.shape[last:])
    blocks = max(1, min(BLOCKS, R * n // CHUNK, R))
    out = np.empty((A, blocks, n))
    centres = np.empty(n) if centres is None else centres  # which nobody reads
    at_x, at_out, at_centres = addresses_of(x, out, centres)
    job = np.array((A * blocks, n, blocks, at_x, R, at_out, at_centres, 0, 0), np.int64)
    code = address(SCOPE[f"{name}_of_columns"], JOB, F32, frozenset(REORDERED))
    run(serial, parallel, A * blocks, x.size, code, job, at_x)
    rest = tuple(i for i in axes if i < first)
    each: Array = out.sum(1).reshape(*x.shape[:first], n)
    return (each.sum(rest) if rest else each).reshape(kept)


def _long_row(name: str, x: Array, n: int, kept: tuple[int, ...], centres: Array | None) -> Array:
    """All elements: rows of CHUNK, and what is left over."""
    rows, rest = divmod(n, CHUNK)
    flat, parts = x.reshape(-1), np.empty(rows + (rest > 0))
    each = None if centres is None else np.full(parts.size, centres.reshape(()))
    if rows:
        start(SCOPE[f"{name}_of_rows"], rows, CHUNK, flat, parts, centres=each)
    if rest:
        tail = flat[rows * CHUNK :]
        start(SCOPE[f"{name}_of_rows"], 1, rest, tail, parts[rows:], centres=each)
    return np.asarray(parts.sum()).reshape(kept)
