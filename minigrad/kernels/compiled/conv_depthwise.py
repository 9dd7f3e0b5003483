"""Depthwise convolution: every channel alone, with one filter. Equations are those of ops/conv.py.

There is little to compute, so what counts is what a plane costs besides. As many channels as a
vector has lanes are taken together (conv_lanes), with their padding, S pixels to a row; then a tap
of an output pixel is one vector, wherever stride and dilation put it:

    y[p, q] = Σ_k w[k]·x[p·row_step + q·step + off[k]],    k = (a, b)

    off[a, b] = a·dh·S + b·dw        row_step = sh·S        step = sw

dx is the same sum read backwards: x[…] receives w[k]·g[p, q]. dw[k] = Σ_(n,p,q) g·x[…], first over
the pixels of an image and then over the images, so that no sum gets long.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.compiled.conv_costs import shares_of
from minigrad.kernels.compiled.conv_lanes import (
    TAPS,
    products_with_taps,
    spread_to_taps,
    sums_of_taps,
    turn_in,
    turn_out,
)
from minigrad.kernels.compiled.conv_tile import VECTOR_BYTES
from minigrad.kernels.machinery.arrays import Array, Pair, address_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import exact, ready, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import at, on
from minigrad.kernels.machinery.threads import get_num_threads

# How many elements of other kernels, which launch.run counts, take as long as a vector that is
# multiplied and added, and as one that is turned.
PRODUCT, TURN = 4, 16

FIELDS = ["N", "G", "pixels", "OH", "OW", "taps", "row_step", "step", "lanes", "blocks", "size"]
FIELDS += ["offsets", "places", "in_order", "images", "g", "weights", "scratch", "room"]
FIELDS += ["g_size", "shares", "workers"]
JOB = np.dtype([(name, np.int64) for name in FIELDS])


@exact
def _block(job, n, block):
    """A block of image n: which it is, its first channel among all images', how many it has."""
    first = block * job.lanes
    return block, n * job.G + first, min(job.lanes, job.G - first)


def convolve(s, jobs, y):
    """Worker s's share of the blocks of y (N, G, OH·OW)."""
    job = carray(jobs, 1)[0]
    lanes, out = job.lanes, job.OH * job.OW
    x = on(at(job.scratch, y), s * job.room)
    sums = on(x, job.size)
    carray(x, job.size)[:] = 0
    offsets, places, in_order = at(job.offsets, 0), at(job.places, 0), at(job.in_order, 0)
    images, weights = at(job.images, y), at(job.weights, y)
    tasks = job.N * job.blocks
    for t in range(s * tasks // job.workers, (s + 1) * tasks // job.workers):
        block, first, channels = _block(job, t // job.blocks, t % job.blocks)
        turn_in(x, places, on(images, first * job.pixels), job.pixels, channels)
        w = on(weights, block * (job.taps + 1) * lanes)  # and before them the bias
        for p in range(job.OH):
            row, line = on(sums, p * job.OW * lanes), on(x, p * job.row_step)
            sums_of_taps(row, line, offsets, w, job.taps, job.OW, job.step)
        turn_out(sums, in_order, on(y, first * out), out, channels)


def input_gradient(s, jobs, dx):
    """Worker s's share of the blocks of dx (N, G, H·W)."""
    job = carray(jobs, 1)[0]
    lanes, out = job.lanes, job.OH * job.OW
    x = on(at(job.scratch, dx), s * job.room)
    g = on(x, job.size)
    offsets, places, in_order = at(job.offsets, 0), at(job.places, 0), at(job.in_order, 0)
    gs, weights = at(job.g, dx), at(job.weights, dx)
    tasks = job.N * job.blocks
    for t in range(s * tasks // job.workers, (s + 1) * tasks // job.workers):
        block, first, channels = _block(job, t // job.blocks, t % job.blocks)
        turn_in(g, in_order, on(gs, first * out), out, channels)
        carray(x, job.size)[:] = 0
        w = on(weights, block * job.taps * lanes)
        for p in range(job.OH):
            line, row = on(x, p * job.row_step), on(g, p * job.OW * lanes)
            spread_to_taps(line, row, offsets, w, job.taps, job.OW, job.step)
        turn_out(x, places, on(dx, first * job.pixels), job.pixels, channels)


def weight_gradient(s, jobs, partial):
    """Worker s's part of partial (shares, G, taps): each the sum over its share of the images, in
    their order, so that the bits do not depend on the number of workers."""
    job = carray(jobs, 1)[0]
    out = job.OH * job.OW
    x = on(at(job.scratch, partial), s * job.room)
    g = on(x, job.size)
    sums = on(g, job.g_size)
    carray(x, job.size)[:] = 0
    offsets, places, in_order = at(job.offsets, 0), at(job.places, 0), at(job.in_order, 0)
    images, gs = at(job.images, partial), at(job.g, partial)
    tasks = job.shares * job.blocks
    for t in range(s * tasks // job.workers, (s + 1) * tasks // job.workers):
        share = t // job.blocks
        carray(sums, job.room - job.size - job.g_size)[:] = 0
        for n in range(share * job.N // job.shares, (share + 1) * job.N // job.shares):
            _, first, channels = _block(job, n, t % job.blocks)
            turn_in(x, places, on(images, first * job.pixels), job.pixels, channels)
            turn_in(g, in_order, on(gs, first * out), out, channels)
            products_with_taps(
                sums, g, x, offsets, job.taps, job.OH, job.OW, job.row_step, job.step
            )
        _, first, channels = _block(job, share, t % job.blocks)
        turn_out(sums, in_order, on(partial, first * job.taps), job.taps, channels)


class _Plan(NamedTuple):
    """A geometry, worked out once."""

    numbers: dict[str, int]
    kept: tuple[Array, ...]  # what the numbers have the addresses of
    room: int  # numbers that a worker needs


@lru_cache(256)
def _plan(
    size: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, lanes: int
) -> _Plan:
    (H, W), (KH, KW), (OH, OW), (sh, sw), (dh, dw) = size, kernel, out, stride, dilation
    rows, S = (OH - 1) * sh + (KH - 1) * dh + 1, (OW - 1) * sw + (KW - 1) * dw + 1
    offsets = (np.arange(KH)[:, None] * dh * S + np.arange(KW) * dw).ravel() * lanes
    offsets = np.append(offsets, [0] * TAPS).astype(np.int64)
    h, w = np.arange(H)[:, None] + padding[0], np.arange(W) + padding[1]
    # Pixels that no tap meets have the place behind the others, which nobody reads.
    met = (h >= 0) & (h < rows) & (w >= 0) & (w < S)
    places = np.append(np.where(met, h * S + w, rows * S), [rows * S] * lanes).astype(np.int64)
    in_order = np.arange(max(OH * OW, KH * KW) + lanes, dtype=np.int64)
    numbers = {
        "pixels": H * W, "OH": OH, "OW": OW, "taps": KH * KW, "row_step": sh * S * lanes,
        "step": sw * lanes, "lanes": lanes, "size": (rows * S + 1) * lanes,
        "offsets": address_of(offsets), "places": address_of(places),
        "in_order": address_of(in_order),
    }  # fmt: skip
    # Behind x lie g, or y, and the sums of the taps; of both, whole squares are turned.
    numbers["g_size"] = (OH * OW + lanes) * lanes
    room = numbers["size"] + numbers["g_size"] + (KH * KW + lanes) * lanes
    return _Plan(numbers, (offsets, places, in_order), room)


def _start(
    function: Any, plan: _Plan, N: int, G: int, result: Array, shares: int = 0, **arrays: Array
) -> None:
    """`shares`: into how many the images are divided, if a task sums over its share of them."""
    lanes = plan.numbers["lanes"]
    blocks = -(-G // lanes)
    workers = min(get_num_threads(), (shares or N) * blocks)
    scratch = empty((max(workers, 1), plan.room), result.dtype)
    places = {name: address_of(a) for name, a in arrays.items()}
    given = {
        **plan.numbers, **places, "N": N, "G": G, "blocks": blocks, "scratch": address_of(scratch),
        "room": plan.room, "shares": shares, "workers": workers,
    }  # fmt: skip
    job = np.array([*(given.get(name, 0) for name in FIELDS)], np.int64)
    numbers, code = plan.numbers, address(function, JOB, result.dtype)
    work = PRODUCT * numbers["OH"] * numbers["OW"] * numbers["taps"] + TURN * numbers["pixels"]
    run(serial, parallel, workers, N * blocks * work, code, job, address_of(result))


def _in_lanes(w: Array, lanes: int) -> Array:
    """Numbers of each channel (G, n) as (blocks, n, lanes)."""
    G, n = w.shape
    blocks = np.zeros((-(-G // lanes) * lanes, n), w.dtype)
    blocks[:G] = w
    return np.ascontiguousarray(blocks.reshape(-1, lanes, n).swapaxes(1, 2))


def conv2d(
    x: Array, w: Array, out: Pair, stride: Pair, padding: Pair, dilation: Pair,
    bias: Array | None = None,
) -> Array:  # fmt: skip
    """x (N, G, H, W) with a filter for each channel, w (G, KH, KW): (N, G, *out)."""
    lanes, (N, G) = VECTOR_BYTES // x.itemsize, x.shape[:2]
    plan = _plan(x.shape[2:], out, w.shape[1:], stride, padding, dilation, lanes)
    y = empty((N, G, *out), x.dtype)
    first = np.zeros(G, x.dtype) if bias is None else bias
    weights = _in_lanes(np.column_stack([first, w.reshape(G, -1)]), lanes)
    _start(convolve, plan, N, G, y, images=ready(x, x.dtype), weights=weights)
    return y


def conv2d_input_grad(
    g: Array, w: Array, size: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """dx (N, G, *size) from g (N, G, OH, OW) and w (G, KH, KW)."""
    if stride == (1, 1):  # g convolved with the filter turned: nothing is added up in memory
        (KH, KW), (ph, pw), (dh, dw) = w.shape[1:], padding, dilation
        around = dh * (KH - 1) - ph, dw * (KW - 1) - pw
        return conv2d(g, w[:, ::-1, ::-1], size, stride, around, dilation)
    lanes, (N, G) = VECTOR_BYTES // g.itemsize, g.shape[:2]
    plan = _plan(size, g.shape[2:], w.shape[1:], stride, padding, dilation, lanes)
    dx = empty((N, G, *size), g.dtype)
    weights = _in_lanes(w.reshape(G, -1), lanes)
    _start(input_gradient, plan, N, G, dx, g=ready(g, g.dtype), weights=weights)
    return dx


def conv2d_weight_grad(
    g: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """dw (G, KH, KW) from g (N, G, OH, OW) and x (N, G, H, W)."""
    lanes, (N, G) = VECTOR_BYTES // x.itemsize, x.shape[:2]
    plan = _plan(x.shape[2:], g.shape[2:], kernel, stride, padding, dilation, lanes)
    shares = shares_of(N, G * kernel[0] * kernel[1])
    partial = np.empty((shares, G, *kernel), x.dtype)
    x, g = ready(x, x.dtype), ready(g, x.dtype)
    _start(weight_gradient, plan, N, G, partial, shares, images=x, g=g)
    return np.asarray(partial.sum(0))
