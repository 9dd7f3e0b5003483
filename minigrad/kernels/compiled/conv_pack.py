"""Filters as the register tiles of convolution read them: ROWS outputs of a tap side by side."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.compiled.conv_rows import copy_row
from minigrad.kernels.compiled.conv_tile import ROWS
from minigrad.kernels.machinery.arrays import Array, address_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import ready, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import at, on
from minigrad.kernels.machinery.threads import get_num_threads

FIELDS = ["w", "bias", "G", "O", "C", "KH", "KW", "taps", "blocks", "workers"]
FIELDS += ["group", "output", "channel", "row", "column"]  # steps between the numbers of w
JOB = np.dtype([(name, np.int64) for name in FIELDS])


def pack(s, jobs, out):
    """Worker s's share of the blocks of out (G, blocks, taps, ROWS)."""
    job = carray(jobs, 1)[0]
    w, n = at(job.w, out), job.G * job.blocks
    for i in range(s * n // job.workers, (s + 1) * n // job.workers):
        g, first = i // job.blocks, i % job.blocks * ROWS
        outputs = min(ROWS, job.O - first)
        start = g * job.group + first * job.output
        target = on(out, i * job.taps * ROWS)
        for c in range(job.C):
            for a in range(job.KH):
                for b in range(job.KW):
                    source = on(w, start + c * job.channel + a * job.row + b * job.column)
                    copy_row(target, source, job.output, 0, outputs, ROWS)
                    target = on(target, ROWS)
        if job.bias:
            copy_row(target, on(at(job.bias, out), g * job.O + first), 1, 0, outputs, ROWS)


def packed(w: Array, bias: Array | None = None) -> Array:
    """w (G, O, C, KH, KW), which may lie in any order, as (G, ceil(O / ROWS), C·KH·KW, ROWS),
    filled up with zeros; with a bias (G·O,) it is one more tap."""
    G, O, C, KH, KW = w.shape
    size = w.itemsize
    if not w.flags.aligned or any(step % size for step in w.strides):
        w = w.copy()
    bias = None if bias is None else ready(bias, w.dtype)
    taps, blocks = C * KH * KW + (bias is not None), -(-O // ROWS)
    out = empty((G, blocks, taps, ROWS), w.dtype)
    workers = max(1, min(get_num_threads(), G * blocks))
    places = address_of(w), 0 if bias is None else address_of(bias)
    steps = [step // size for step in w.strides]
    job = np.array([*places, *w.shape, taps, blocks, workers, *steps], np.int64)
    run(serial, parallel, workers, out.size, address(pack, JOB, w.dtype), job, address_of(out))
    return out
