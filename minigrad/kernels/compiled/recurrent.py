"""Compiled steps of recurrent layers: one call goes over a whole sequence.

The rows of a batch do not meet before their gradients are added up. So a task is some rows, which
it takes through all steps, product and gates in turn, and nobody waits for another between steps.
The rows of a task depend on the shapes alone, so the bits do not depend on the number of threads.
U is packed once for all steps.

The steps of complex arrays, with which second derivatives are taken, are numpy's.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import extending, types
from numba.np.numpy_support import carray

from minigrad.kernels import reference
from minigrad.kernels.compiled import functions
from minigrad.kernels.compiled.conv_tile import VECTOR_BYTES
from minigrad.kernels.compiled.row_products import multiply, packed
from minigrad.kernels.machinery.arrays import Array, address_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import exact, run
from minigrad.kernels.machinery.pointers import at, on, part
from minigrad.kernels.reference.recurrent import Rows

SHARED = 16  # rows, from which on a batch has two tasks; each of them reads U at every step
MOST = 8  # tasks, of 32 rows or more if there are more than two
WORK = 4  # what a gate costs, a product's multiply-add costing an eighth of an element
# Of the smaller dtype: an integer beside a float32 is a float64 in compiled code.
ZERO, ONE = np.float32(0), np.float32(1)

# Sizes; where the arrays lie, by the names of the reference, with U packed, the rows of n apart in
# a GRU; `rows` is how many each step concerns.
ARRAYS = ["z", "u", "u_n", "states", "cells", "tanhs", "q", "g", "dz", "dp", "dh", "dc", "rows"]
JOB = np.dtype(
    [(name, np.int64) for name in ("steps", "batch", "size", "each", "relu", "lanes", *ARRAYS)]
)


def sigmoid(x):
    """1/(1 + e⁻ˣ) in the dtype of x."""


def tanh(x):
    """In the dtype of x."""


@extending.overload(sigmoid, jit_options={"fastmath": False})
def _sigmoid(x):
    if x == types.float32:
        return lambda x: functions.sigmoid(x)
    return lambda x: 1 / (1 + math.exp(-x))


@extending.overload(tanh, jit_options={"fastmath": False})
def _tanh(x):
    return (lambda x: functions.tanh(x)) if x == types.float32 else (lambda x: math.tanh(x))


@exact
def _of_task(job, task):
    """The first of a task's rows, and how many they are."""
    first = task * job.each
    return first, min(job.each, job.batch - first)


@exact
def _concerned(job, t, first, count):
    """How many of them step t concerns."""
    return min(max(at(job.rows, 0)[t] - first, 0), count)


@exact
def _keep(address, like, here, there, done, whole):
    """The rest of the rows keep their state: from `here` to `there`, behind those that are done."""
    states = at(address, like)
    for k in range(done, whole):
        states[there + k] = states[here + k]


@exact
def _add(address, like, here, other, there, n):
    """The n numbers from `here` on grow by those from `there` on of another array."""
    a, b = part(address, like, here, n), part(other, like, there, n)
    for k in range(n):
        a[k] += b[k]


@exact
def _clear(address, like, start, n):
    a = part(address, like, start, n)
    for k in range(n):
        a[k] = 0


def rnn_rows(task, jobs, like):
    """A task's rows, by (RNN 1) and (RNN 2)."""
    job = carray(jobs, 1)[0]
    (first, count), m, apart = _of_task(job, task), job.size, job.batch * job.size
    u = at(job.u, like)
    for t in range(job.steps):
        n, here = _concerned(job, t, first, count), t * apart + first * m
        before, z = on(at(job.states, like), here), on(at(job.z, like), here)
        multiply(before, m, n, u, m, m, job.lanes, 1, z, m)
        sums, y = part(job.z, like, here, n * m), part(job.states, like, here + apart, n * m)
        if job.relu:
            for k in range(n * m):
                y[k] = ZERO if sums[k] <= 0 else sums[k]
        else:
            for k in range(n * m):
                y[k] = tanh(sums[k])
        _keep(job.states, like, here, here + apart, n * m, count * m)


def rnn_rows_backward(task, jobs, like):
    """A task's rows, by (RNN 3) and (RNN 4)."""
    job = carray(jobs, 1)[0]
    (first, count), m, apart = _of_task(job, task), job.size, job.batch * job.size
    u, begin = at(job.u, like), first * m
    for back in range(job.steps):
        t = job.steps - 1 - back
        n, here = _concerned(job, t, first, count), t * apart + begin
        _add(job.dh, like, begin, job.g, here, count * m)
        y, d = part(job.states, like, here + apart, n * m), part(job.dz, like, here, n * m)
        dh = part(job.dh, like, begin, n * m)
        if job.relu:
            for k in range(n * m):
                d[k] = ZERO if y[k] <= 0 else dh[k]
        else:
            for k in range(n * m):
                d[k] = dh[k] * (ONE - y[k] * y[k])
        _clear(job.dz, like, here + n * m, (count - n) * m)
        dz, result = on(at(job.dz, like), here), on(at(job.dh, like), begin)
        multiply(dz, m, n, u, m, m, job.lanes, 0, result, m)


@exact
def _blocks(address, like, row, m):
    """Row `row` of (…, 4·H) as its four blocks; indices that begin at 0 are not looked at twice."""
    start = 4 * m * row
    i, f = part(address, like, start, m), part(address, like, start + m, m)
    return i, f, part(address, like, start + 2 * m, m), part(address, like, start + 3 * m, m)


@exact
def _lstm_gates(job, like, row, m):
    """One row of a step, by (LSTM 1) to (LSTM 3)."""
    i, f, a, o = _blocks(job.z, like, row, m)
    here, after = row * m, (row + job.batch) * m
    before, cell = part(job.cells, like, here, m), part(job.cells, like, after, m)
    tanh_c, state = part(job.tanhs, like, here, m), part(job.states, like, after, m)
    for k in range(m):
        i[k] = sigmoid(i[k])
    for k in range(m):
        f[k] = sigmoid(f[k])
    for k in range(m):
        a[k] = tanh(a[k])
    for k in range(m):
        o[k] = sigmoid(o[k])
    for k in range(m):
        cell[k] = f[k] * before[k] + i[k] * a[k]
    for k in range(m):
        tanh_c[k] = tanh(cell[k])
    for k in range(m):
        state[k] = o[k] * tanh_c[k]


def lstm_rows(task, jobs, like):
    """A task's rows, by (RNN 1) and (LSTM 1) to (LSTM 3)."""
    job = carray(jobs, 1)[0]
    (first, count), m, apart = _of_task(job, task), job.size, job.batch * job.size
    u = at(job.u, like)
    for t in range(job.steps):
        n, row = _concerned(job, t, first, count), t * job.batch + first
        before, z = on(at(job.states, like), row * m), on(at(job.z, like), 4 * row * m)
        multiply(before, m, n, u, m, 4 * m, job.lanes, 1, z, 4 * m)
        for r in range(row, row + n):
            _lstm_gates(job, like, r, m)
        _keep(job.states, like, row * m, row * m + apart, n * m, count * m)
        _keep(job.cells, like, row * m, row * m + apart, n * m, count * m)


@exact
def _lstm_gates_backward(job, like, row, at_row, m):
    """One row of a step, `row` over all steps and `at_row` in the batch, by (LSTM 4) to (LSTM 6);
    dc becomes what goes on."""
    i, f, a, o = _blocks(job.z, like, row, m)
    z_i, z_f, z_a, z_o = _blocks(job.dz, like, row, m)
    before, tanh_c = part(job.cells, like, row * m, m), part(job.tanhs, like, row * m, m)
    dh, dc = part(job.dh, like, at_row * m, m), part(job.dc, like, at_row * m, m)
    for k in range(m):
        dc[k] += dh[k] * o[k] * (ONE - tanh_c[k] * tanh_c[k])
    for k in range(m):
        z_o[k] = dh[k] * tanh_c[k] * (o[k] * (ONE - o[k]))
    for k in range(m):
        z_i[k] = dc[k] * a[k] * (i[k] * (ONE - i[k]))
    for k in range(m):
        z_f[k] = dc[k] * before[k] * (f[k] * (ONE - f[k]))
    for k in range(m):
        z_a[k] = dc[k] * i[k] * (ONE - a[k] * a[k])
    for k in range(m):
        dc[k] *= f[k]


def lstm_rows_backward(task, jobs, like):
    """A task's rows, by (RNN 3) and (LSTM 4) to (LSTM 6)."""
    job = carray(jobs, 1)[0]
    (first, count), m = _of_task(job, task), job.size
    u, begin = at(job.u, like), first * m
    for back in range(job.steps):
        t = job.steps - 1 - back
        n, row = _concerned(job, t, first, count), t * job.batch + first
        _add(job.dh, like, begin, job.g, row * m, count * m)
        for r in range(n):
            _lstm_gates_backward(job, like, row + r, first + r, m)
        _clear(job.dz, like, 4 * (row + n) * m, 4 * (count - n) * m)
        dz, result = on(at(job.dz, like), 4 * row * m), on(at(job.dh, like), begin)
        multiply(dz, 4 * m, n, u, 4 * m, m, job.lanes, 0, result, m)


@exact
def _gru_gates(job, like, row, m):
    """One row of a step, by (GRU 1) to (GRU 3)."""
    r, update = part(job.z, like, 3 * row * m, m), part(job.z, like, (3 * row + 1) * m, m)
    n, q = part(job.z, like, (3 * row + 2) * m, m), part(job.q, like, row * m, m)
    before = part(job.states, like, row * m, m)
    state = part(job.states, like, (row + job.batch) * m, m)
    for k in range(m):
        r[k] = sigmoid(r[k])
    for k in range(m):
        update[k] = sigmoid(update[k])
    for k in range(m):
        n[k] = tanh(n[k] + r[k] * q[k])
    for k in range(m):
        state[k] = n[k] + update[k] * (before[k] - n[k])


def gru_rows(task, jobs, like):
    """A task's rows, by (GRU 1) to (GRU 3): two products, as that of n has a place of its own."""
    job = carray(jobs, 1)[0]
    (first, count), m, apart = _of_task(job, task), job.size, job.batch * job.size
    u, u_n = at(job.u, like), at(job.u_n, like)
    for t in range(job.steps):
        n, row = _concerned(job, t, first, count), t * job.batch + first
        before, z = on(at(job.states, like), row * m), on(at(job.z, like), 3 * row * m)
        multiply(before, m, n, u, m, 2 * m, job.lanes, 1, z, 3 * m)
        multiply(before, m, n, u_n, m, m, job.lanes, 1, on(at(job.q, like), row * m), m)
        for r in range(row, row + n):
            _gru_gates(job, like, r, m)
        _keep(job.states, like, row * m, row * m + apart, n * m, count * m)


@exact
def _gru_gates_backward(job, like, row, at_row, m):
    """One row of a step, by (GRU 4) to (GRU 6); dh becomes h_t's share of (GRU 7)."""
    start = 3 * row * m
    r, update = part(job.z, like, start, m), part(job.z, like, start + m, m)
    n, q = part(job.z, like, start + 2 * m, m), part(job.q, like, row * m, m)
    z_r, z_u = part(job.dz, like, start, m), part(job.dz, like, start + m, m)
    z_n, p_q = part(job.dz, like, start + 2 * m, m), part(job.dp, like, start + 2 * m, m)
    p_r, p_u = part(job.dp, like, start, m), part(job.dp, like, start + m, m)
    before, dh = part(job.states, like, row * m, m), part(job.dh, like, at_row * m, m)
    for k in range(m):
        z_u[k] = dh[k] * (before[k] - n[k]) * (update[k] * (ONE - update[k]))
    for k in range(m):
        z_n[k] = dh[k] * (ONE - update[k]) * (ONE - n[k] * n[k])
    for k in range(m):
        z_r[k] = z_n[k] * q[k] * (r[k] * (ONE - r[k]))
    for k in range(m):
        p_q[k] = z_n[k] * r[k]
    for k in range(m):
        p_r[k] = z_r[k]
    for k in range(m):
        p_u[k] = z_u[k]
    for k in range(m):
        dh[k] *= update[k]


def gru_rows_backward(task, jobs, like):
    """A task's rows, by (GRU 4) to (GRU 7)."""
    job = carray(jobs, 1)[0]
    (first, count), m = _of_task(job, task), job.size
    u, begin = at(job.u, like), first * m
    for back in range(job.steps):
        t = job.steps - 1 - back
        n, row = _concerned(job, t, first, count), t * job.batch + first
        _add(job.dh, like, begin, job.g, row * m, count * m)
        for r in range(n):
            _gru_gates_backward(job, like, row + r, first + r, m)
        for gradient in (job.dz, job.dp):
            _clear(gradient, like, 3 * (row + n) * m, 3 * (count - n) * m)
        dp, result = on(at(job.dp, like), 3 * row * m), on(at(job.dh, like), begin)
        multiply(dp, 3 * m, n, u, 3 * m, m, job.lanes, 1, result, m)


def _compiled(
    function: Any, shape: tuple[int, ...], u: list[Array], rows: Rows, relu: bool = False,
    **arrays: Array,
) -> bool:  # fmt: skip
    """Whether all are real and row-major, and then the steps, taken, of a sequence (T, N, H).

    U as the product needs it, (K, columns), in any order; the columns for n apart in a GRU.
    """
    (steps, batch, size), dtype = shape, arrays["dh" if "dh" in arrays else "z"].dtype
    if (
        dtype.char not in "fd"
        or 0 in shape
        or any(a.dtype != dtype or not a.flags.c_contiguous for a in arrays.values())
        or any(v.dtype != dtype for v in u)
    ):
        return False
    used = sum(v.size for v in u)
    tasks = 1 if batch < SHARED else max(2, min(MOST, batch // 32))
    each = -(-batch // tasks)
    arrays.update(zip(("u", "u_n"), map(packed, u), strict=False))
    arrays["rows"] = np.array(rows, np.int64)
    places = (address_of(arrays[name]) if name in arrays else 0 for name in ARRAYS)
    lanes = VECTOR_BYTES // dtype.itemsize
    job = np.array([steps, batch, size, each, relu, lanes, *places], np.int64)
    work = steps * batch * (WORK * used // size + used // 8)
    code = address(function, JOB, dtype)
    run(serial, parallel, -(-batch // each), work, code, job, address_of(arrays["u"]))
    return True


def rnn(z: Array, ut: Array, states: Array, relu: bool, rows: Rows) -> None:
    """As the reference."""
    if not _compiled(rnn_rows, z.shape, [ut], rows, relu, z=z, states=states):
        reference.rnn(z, ut, states, relu, rows)


def rnn_backward(
    u: Array, states: Array, relu: bool, g: Array, dz: Array, dh: Array, rows: Rows
) -> None:
    """As the reference."""
    g = np.ascontiguousarray(g)
    if not _compiled(rnn_rows_backward, g.shape, [u], rows, relu, states=states, g=g, dz=dz, dh=dh):
        reference.rnn_backward(u, states, relu, g, dz, dh, rows)


def lstm(z: Array, ut: Array, states: Array, cells: Array, tanhs: Array, rows: Rows) -> None:
    """As the reference."""
    if not _compiled(
        lstm_rows, tanhs.shape, [ut], rows, z=z, states=states, cells=cells, tanhs=tanhs
    ):
        reference.lstm(z, ut, states, cells, tanhs, rows)


def lstm_backward(
    z: Array, u: Array, cells: Array, tanhs: Array, g: Array, dz: Array, dh: Array, dc: Array,
    rows: Rows,
) -> None:  # fmt: skip
    """As the reference."""
    g = np.ascontiguousarray(g)
    if not _compiled(
        lstm_rows_backward, tanhs.shape, [u], rows,
        z=z, cells=cells, tanhs=tanhs, g=g, dz=dz, dh=dh, dc=dc,
    ):  # fmt: skip
        reference.lstm_backward(z, u, cells, tanhs, g, dz, dh, dc, rows)


def gru(z: Array, ut: Array, states: Array, q: Array, rows: Rows) -> None:
    """As the reference."""
    n = 2 * q.shape[2]
    if not _compiled(gru_rows, q.shape, [ut[:, :n], ut[:, n:]], rows, z=z, states=states, q=q):
        reference.gru(z, ut, states, q, rows)


def gru_backward(
    z: Array, u: Array, states: Array, q: Array, g: Array, dz: Array, dp: Array, dh: Array,
    rows: Rows,
) -> None:  # fmt: skip
    """As the reference."""
    g = np.ascontiguousarray(g)
    if not _compiled(
        gru_rows_backward, q.shape, [u], rows, z=z, states=states, q=q, g=g, dz=dz, dp=dp, dh=dh
    ):
        reference.gru_backward(z, u, states, q, g, dz, dp, dh, rows)
