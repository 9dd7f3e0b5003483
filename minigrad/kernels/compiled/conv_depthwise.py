"""Depthwise convolution: every channel alone, with one filter. Equations are those of ops/conv.py.

There is little to compute, so what counts is what a plane costs besides. A plane is copied once,
with its padding, its columns sorted by their residue modulo the stride; then every tap of an output
row is a row of the copy, and vectors of it are multiplied and added as they lie:

    y[p, q] = Σ_k w[k]·plane[p·step + off[k] + q],    k = (a, b)

    off[a, b] = (a·dh·sw + b·dw mod sw)·S + b·dw // sw,    step = sh·sw·S

with S the width of a residue's row. dw[k] = Σ_(n,p,q) g·plane, summed in as many vectors as there
are taps. dx is the convolution of g with the filter turned, as conv says.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import pkgutil
import zlib
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.compiled.conv_rows import (
    copy_row,
    products_of_taps,
    row_of_taps,
    total,
)
from minigrad.kernels.compiled.conv_tile import VECTOR_BYTES
from minigrad.kernels.machinery.arrays import Array, Pair, address_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import exact, ready, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import at, on

TASKS = 32  # into which the planes (of dw: the channels) are divided
PLANE = 60  # elements of other kernels whose time copying a plane and the like takes

FIELDS = ["N", "G", "H", "W", "OH", "OW", "S", "sh", "sw", "ph", "pw", "rows", "taps", "lanes"]
FIELDS += ["offsets", "images", "g", "weights", "bias", "scratch", "room"]
_sources = [pkgutil.get_data("minigrad.kernels.compiled", f"conv_{n}.py") for n in ("tile", "rows")]
_source = zlib.crc32(b"".join(source or b"" for source in _sources))
JOB = np.dtype([*((name, np.int64) for name in FIELDS), (f"rows_{_source}", np.int64)])


@exact
def _copy_plane(image, job, plane):
    """The plane (rows, sw, S), whose rows beyond the image are zeros already."""
    W, S, sw = job.W, job.S, job.sw
    for h in range(max(0, -job.ph), min(job.H, job.rows - job.ph)):
        for r in range(sw):
            left = r - job.pw  # the image's column that is this residue's first
            first = 0 if left >= 0 else (-left + sw - 1) // sw
            last = min(S, (W - 1 - left) // sw + 1)
            row = on(plane, ((h + job.ph) * sw + r) * S)
            copy_row(row, on(image, h * W + left), sw, first, last, S)


def convolve(t, jobs, y):
    """Task t's share of the planes of y (N·G, OH, OW)."""
    job = carray(jobs, 1)[0]
    plane = on(at(job.scratch, y), t * job.room)
    carray(plane, job.room)[:] = 0
    offsets, images, weights = at(job.offsets, 0), at(job.images, y), at(job.weights, y)
    planes, step = job.N * job.G, job.sh * job.sw * job.S
    for i in range(t * planes // TASKS, (t + 1) * planes // TASKS):
        _copy_plane(on(images, i * job.H * job.W), job, plane)
        c = i % job.G
        w, out = on(weights, c * job.taps), on(y, i * job.OH * job.OW)
        for p in range(job.OH):
            row_of_taps(on(out, p * job.OW), on(plane, p * step), offsets, w, job.taps, job.OW)
        if job.bias:
            b, whole = at(job.bias, y)[c], carray(out, job.OH * job.OW)
            for q in range(whole.size):
                whole[q] += b


def weight_gradient(t, jobs, dw):
    """Task t's share of the channels of dw (G, taps): the sum over all images, in their order."""
    job = carray(jobs, 1)[0]
    sums = on(at(job.scratch, dw), t * job.room)
    plane = on(sums, job.taps * job.lanes)
    carray(plane, job.room - job.taps * job.lanes)[:] = 0
    offsets, images, gs = at(job.offsets, 0), at(job.images, dw), at(job.g, dw)
    step = job.sh * job.sw * job.S
    for c in range(t * job.G // TASKS, (t + 1) * job.G // TASKS):
        carray(sums, job.taps * job.lanes)[:] = 0
        for n in range(job.N):
            i = n * job.G + c
            _copy_plane(on(images, i * job.H * job.W), job, plane)
            g = on(gs, i * job.OH * job.OW)
            for p in range(job.OH):
                products_of_taps(
                    sums, on(g, p * job.OW), on(plane, p * step), offsets, job.taps, job.OW
                )
        for k in range(job.taps):
            on(dw, c * job.taps)[k] = total(sums, k)


class _Plan(NamedTuple):
    """A geometry, worked out once."""

    numbers: dict[str, int]
    offsets: Array
    size: int  # of the plane, with the vectors that may be read behind it


@lru_cache(256)
def _plan(
    size: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, lanes: int
) -> _Plan:
    (KH, KW), (OH, OW), (sh, sw), (dh, dw) = kernel, out, stride, dilation
    S, rows = OW + (KW - 1) * dw // sw + 1, (OH - 1) * sh + (KH - 1) * dh + 1
    offsets = np.array(
        [(a * dh * sw + b * dw % sw) * S + b * dw // sw for a in range(KH) for b in range(KW)],
        np.int64,
    )
    numbers = {
        "H": size[0], "W": size[1], "OH": OH, "OW": OW, "S": S, "sh": sh, "sw": sw,
        "ph": padding[0], "pw": padding[1], "rows": rows, "taps": KH * KW, "lanes": lanes,
        "offsets": address_of(offsets),
    }  # fmt: skip
    return _Plan(numbers, offsets, rows * sw * S + 2 * lanes)


def _start(
    function: Any, plan: _Plan, x: Array, result: Array, room: int, elements: int,
    **arrays: Array | None,
) -> None:  # fmt: skip
    scratch = empty((TASKS, room), x.dtype)
    places = {name: address_of(a) for name, a in arrays.items() if a is not None}
    given = {
        **plan.numbers, **places, "N": len(x), "G": x.shape[1], "images": address_of(x),
        "scratch": address_of(scratch), "room": room,
    }  # fmt: skip
    job = np.array([*(given.get(name, 0) for name in FIELDS), 0], np.int64)
    code = address(function, JOB, x.dtype)
    run(serial, parallel, TASKS, elements, code, job, address_of(result))


def conv2d(
    x: Array, w: Array, out: Pair, stride: Pair, padding: Pair, dilation: Pair,
    bias: Array | None = None,
) -> Array:  # fmt: skip
    """x (N, G, H, W) with a filter for each channel, w (G, KH, KW): (N, G, *out)."""
    lanes, taps = VECTOR_BYTES // x.itemsize, w.shape[1] * w.shape[2]
    plan = _plan(x.shape[2:], out, w.shape[1:], stride, padding, dilation, lanes)
    y = empty((*x.shape[:2], *out), x.dtype)
    elements = len(x) * x.shape[1] * (PLANE + out[0] * out[1] * taps // 4)
    w, bias = ready(w, x.dtype), None if bias is None else ready(bias, x.dtype)
    _start(convolve, plan, ready(x, x.dtype), y, plan.size, elements, weights=w, bias=bias)
    return y


def conv2d_weight_grad(
    g: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """dw (G, KH, KW) from g (N, G, OH, OW) and x (N, G, H, W)."""
    lanes, taps, out = VECTOR_BYTES // x.itemsize, kernel[0] * kernel[1], g.shape[2:]
    plan = _plan(x.shape[2:], out, kernel, stride, padding, dilation, lanes)
    dw = np.empty((x.shape[1], *kernel), x.dtype)
    elements = len(x) * x.shape[1] * (PLANE + out[0] * out[1] * taps // 4)
    room = plan.size + taps * lanes
    g = ready(g, x.dtype)
    _start(weight_gradient, plan, ready(x, x.dtype), dw, room, elements, g=g)
    return dw
