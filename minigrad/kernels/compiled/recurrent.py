"""Compiled gates of recurrent layers: each step one pass over its rows, in float32.

numpy takes a dozen passes a step over arrays that are small, so that starting each of them is most
of their time. In float64 numpy's run.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels import reference
from minigrad.kernels.compiled.functions import f4, sigmoid, tanh
from minigrad.kernels.machinery.arrays import Array, address_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import exact, run
from minigrad.kernels.machinery.pointers import part
from minigrad.kernels.reference.recurrent import Step

CHUNK = 1 << 12  # elements of one task
WORK = 4  # how much longer than copying an element one takes

# The step and how many rows it concerns; sizes, where the arrays lie.
FIELDS = ["t", "n", "rows", "size", "each", "z", "product", "states", "cells", "tanhs"]
FIELDS += ["dz", "dh", "dc"]
JOB = np.dtype([(name, np.int64) for name in FIELDS])
FLOAT32 = np.dtype(np.float32)


@exact
def _blocks(address, like, row, m):
    """Row `row` of (…, 4·H) as its four blocks; indices that begin at 0 are not looked at twice."""
    at = 4 * m * row
    i, f = part(address, like, at, m), part(address, like, at + m, m)
    return i, f, part(address, like, at + 2 * m, m), part(address, like, at + 3 * m, m)


def lstm_rows(task, jobs, like):
    """Rows of a step forward, by (LSTM 1) to (LSTM 3)."""
    job = carray(jobs, 1)[0]
    m = job.size
    for row in range(task * job.each, min(task * job.each + job.each, job.n)):
        at = job.t * job.rows + row
        i, f, a, o = _blocks(job.z, like, at, m)
        p_i, p_f, p_a, p_o = _blocks(job.product, like, row, m)
        before, after = part(job.cells, like, at * m, m), (at + job.rows) * m
        cell, tanh_c = part(job.cells, like, after, m), part(job.tanhs, like, at * m, m)
        state = part(job.states, like, after, m)
        for k in range(m):
            i[k] = sigmoid(i[k] + p_i[k])
        for k in range(m):
            f[k] = sigmoid(f[k] + p_f[k])
        for k in range(m):
            a[k] = tanh(a[k] + p_a[k])
        for k in range(m):
            o[k] = sigmoid(o[k] + p_o[k])
        for k in range(m):
            cell[k] = f[k] * before[k] + i[k] * a[k]
        for k in range(m):
            tanh_c[k] = tanh(cell[k])
        for k in range(m):
            state[k] = o[k] * tanh_c[k]


def lstm_rows_backward(task, jobs, like):
    """Rows of a step backward, by (LSTM 4) to (LSTM 6)."""
    job = carray(jobs, 1)[0]
    m, one = job.size, f4(1)
    for row in range(task * job.each, min(task * job.each + job.each, job.n)):
        at = job.t * job.rows + row
        i, f, a, o = _blocks(job.z, like, at, m)
        z_i, z_f, z_a, z_o = _blocks(job.dz, like, at, m)
        before, tanh_c = part(job.cells, like, at * m, m), part(job.tanhs, like, at * m, m)
        dh, dc = part(job.dh, like, row * m, m), part(job.dc, like, row * m, m)
        for k in range(m):
            dc[k] += dh[k] * o[k] * (one - tanh_c[k] * tanh_c[k])
        for k in range(m):
            z_o[k] = dh[k] * tanh_c[k] * (o[k] * (one - o[k]))
        for k in range(m):
            z_i[k] = dc[k] * a[k] * (i[k] * (one - i[k]))
        for k in range(m):
            z_f[k] = dc[k] * before[k] * (f[k] * (one - f[k]))
        for k in range(m):
            z_a[k] = dc[k] * i[k] * (one - a[k] * a[k])
        for k in range(m):
            dc[k] *= f[k]


def _steps(function: Any, shape: tuple[int, ...], arrays: list[Array | None]) -> Step:
    """step(t, n), for which the job is written once. It has addresses alone: whoever takes steps
    holds the arrays."""
    _, rows, size = shape
    each = max(1, CHUNK // max(1, 4 * size))
    places = [0 if a is None else address_of(a) for a in arrays]
    job = np.array((0, 0, rows, size, each, *places), np.int64)
    code = address(function, JOB, FLOAT32)
    first = next(place for place in places if place)

    def step(t: int, n: int) -> None:
        job[0], job[1] = t, n
        run(serial, parallel, -(-n // each), WORK * 4 * n * size, code, job, first)

    return step


def _all_float32(*arrays: Array) -> bool:
    return all(a.dtype.char == "f" for a in arrays)


def lstm_gates(z: Array, product: Array, states: Array, cells: Array, tanhs: Array) -> Step:
    """As the reference."""
    if not _all_float32(z, product, states, cells, tanhs):
        return reference.lstm_gates(z, product, states, cells, tanhs)
    return _steps(lstm_rows, tanhs.shape, [z, product, states, cells, tanhs, None, None, None])


def lstm_gates_backward(
    z: Array, cells: Array, tanhs: Array, dz: Array, whole_dh: Array, whole_dc: Array
) -> Step:
    """As the reference."""
    if not _all_float32(z, cells, tanhs, dz, whole_dh, whole_dc):
        return reference.lstm_gates_backward(z, cells, tanhs, dz, whole_dh, whole_dc)
    arrays = [z, None, None, cells, tanhs, dz, whole_dh, whole_dc]
    return _steps(lstm_rows_backward, tanhs.shape, arrays)
