"""Compiled convolution: how it becomes sums over windows, which numba_tile computes."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from . import get_num_threads, numba_images
from .arrays import Array, Pair
from .launch import ready, run
from .memory import FROM, empty
from .numba_tile import DOT_ROWS, DOT_TAPS, JOB, ROWS, VECS, VECTOR_BYTES
from .numba_tile import compiled, convolve, parallel, serial, weight_gradient
from .numpy_images import output_size

TASKS = 8
PARTIAL = 1 << 22  # elements
SCRATCH = 1 << 20  # bytes


class Plan(NamedTuple):
    """What a convolution of this geometry looks like, apart from where its arrays lie."""

    job: Array  # its sizes
    offsets: Array  # of the taps (c, a, b) among the windows
    residues: Array


@lru_cache(256)
def _plan(
    images: int, C: int, size: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Pair,
    dilation: Pair, itemsize: int,
) -> Plan | None:  # fmt: skip
    (OH, OW), (KH, KW) = out, kernel
    lanes = VECTOR_BYTES // itemsize
    if OH * OW < lanes or not C * KH * KW:
        return None
    rows = [divmod(a * dilation[0], stride[0]) for a in range(KH)]
    residues = sorted({r for _, r in rows})
    reach = max(m for m, _ in rows)
    row = C * len(residues) * KW * OW  # one row of all windows
    fit = SCRATCH // itemsize // row - reach
    bands = max(-(-OH // max(1, fit)), -(-8 // max(1, images)))
    bands = min(bands, max(1, OH // -(-VECS * lanes // OW)))
    M = -(-OH // bands) + reach
    offsets = [
        (((c * len(residues) + residues.index(r)) * KW + b) * M + m) * OW
        for c in range(C) for m, r in rows for b in range(KW)
    ]  # fmt: skip
    job = np.zeros(1, JOB)
    numbers = {
        "C": C, "H": size[0], "W": size[1], "OH": OH, "OW": OW, "KW": KW, "M": M,
        "R": len(residues), "taps": len(offsets), "sh": stride[0], "sw": stride[1],
        "ph": padding[0], "pw": padding[1], "dw": dilation[1], "bands": bands, "size": row * M,
    }  # fmt: skip
    for name, value in numbers.items():
        job[name] = value
    return Plan(job, np.array(offsets), np.array(residues))


def _start(
    function: Any, job: Array, result: Array, work: int, offsets: Array, **arrays: Array
) -> None:
    """Hand out the job; `arrays` holds what it reads, under the names of its places."""
    room, workers, dtype = int(job["room"][0]), int(job["workers"][0]), result.dtype
    room = max(room, -(-FROM // (dtype.itemsize * workers)))  # large enough to be used again
    job["room"] = room
    arrays |= {"offsets": offsets, "scratch": empty((workers, room), dtype)}
    for name, array in arrays.items():
        job[name] = array.ctypes.data
    address = compiled(function, dtype)
    run(serial, parallel, workers, work, address, job.ctypes.data, result.ctypes.data)


def _convolve(
    x: Array, w: Array, bias: Array | None, out: Pair, stride: Pair, padding: Pair,
    dilation: Pair,
) -> Array | None:  # fmt: skip
    """x (N, G·C, H, W) and w (G, O, C, KH, KW) to (N, G·O, *out); None: too small for a tile."""
    (N, _, H, W), (G, O, C, KH, KW), dtype = x.shape, w.shape, x.dtype
    settings = (stride, padding, dilation, dtype.itemsize)
    plan = _plan(N * G, C, (H, W), out, (KH, KW), *settings)
    if plan is None:
        return None
    taps, job = plan.offsets.size, plan.job.copy()
    biased, blocks = taps + (bias is not None), -(-O // ROWS)
    packed = np.zeros((G, blocks, biased, ROWS), dtype)
    whole = np.zeros((G, blocks * ROWS, biased), dtype)
    whole[:, :O, :taps] = w.reshape(G, O, taps)
    offsets = plan.offsets
    if bias is not None:
        whole[:, :O, taps] = bias.reshape(G, O)
        offsets = np.append(offsets, job["size"])
    packed[...] = whole.reshape(G, blocks, ROWS, biased).swapaxes(2, 3)
    y = empty((N, G * O, *out), dtype)
    bands = int(job["bands"][0])
    workers = max(1, min(get_num_threads(), N * G * bands))
    ones = -(-out[0] // bands) * out[1]
    for name, value in {"N": N, "G": G, "O": O, "taps": biased, "workers": workers}.items():
        job[name] = value
    job["room"] = job["size"] + ones
    _start(
        convolve, job, y, y.size * taps // 8, offsets,
        images=ready(x, dtype), weights=packed, residues=plan.residues,
    )  # fmt: skip
    return y


def conv2d(
    x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int,
    bias: Array | None = None,
) -> Array:  # fmt: skip
    """Cross-correlate x (N, C, H, W) with w (O, C/groups, KH, KW): (N, O, OH, OW), (12)."""
    (_, _, H, W), (O, Cg, KH, KW) = x.shape, w.shape
    OH = output_size(H, KH, stride[0], padding[0], dilation[0])
    OW = output_size(W, KW, stride[1], padding[1], dilation[1])
    grouped = w.reshape(groups, O // groups, Cg, KH, KW)
    y = _convolve(x, grouped, bias, (OH, OW), stride, padding, dilation)
    if y is None:
        y = numba_images.conv2d(x, w, stride, padding, dilation, groups)
        if bias is not None:
            y += bias.reshape(-1, 1, 1)
    return y


def conv2d_input_grad(
    g: Array, w: Array, x_shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> Array:  # fmt: skip
    """Equation (13): dx of shape x_shape from g (N, O, OH, OW)."""
    (_, _, H, W), (O, Cg, KH, KW) = x_shape, w.shape
    if stride == (1, 1):
        turned = w.reshape(groups, O // groups, Cg, KH, KW).swapaxes(1, 2)[..., ::-1, ::-1]
        around = (dilation[0] * (KH - 1) - padding[0], dilation[1] * (KW - 1) - padding[1])
        dx = _convolve(g, turned, None, (H, W), stride, around, dilation)
        if dx is not None:
            return dx
    return numba_images.conv2d_input_grad(g, w, x_shape, stride, padding, dilation, groups)


def conv2d_weight_grad(
    g: Array, x: Array, w_shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> Array:  # fmt: skip
    """Equation (14): dw of shape w_shape from g (N, O, OH, OW) and x (N, C, H, W)."""
    (N, O, OH, OW), (_, C, KH, KW), dtype, G = g.shape, w_shape, g.dtype, groups
    O //= G
    # Few shares for large weights, and then parts of the channels, to have tasks enough.
    shares = max(1, min(N, TASKS, PARTIAL // max(1, O * G * C * KH * KW)))
    parts = next((p for p in range(1, C + 1) if C % p == 0 and shares * G * p >= TASKS), max(1, C))
    C //= parts
    settings = (stride, padding, dilation, dtype.itemsize)
    plan = _plan(TASKS, C, x.shape[2:], (OH, OW), (KH, KW), *settings)
    if plan is None:
        return numba_images.conv2d_weight_grad(g, x, w_shape, stride, padding, dilation, groups)
    taps, job = plan.offsets.size, plan.job.copy()
    rows, rounded = -(-O // DOT_ROWS) * DOT_ROWS, -(-taps // DOT_TAPS) * DOT_TAPS
    offsets = np.zeros(rounded, np.int64)
    offsets[:taps] = plan.offsets
    partial = empty((shares, G * parts, rows, rounded), dtype)
    partial[...] = 0
    size = int(job["size"][0])
    at_once = max(1, min(SCRATCH // (size * dtype.itemsize), -(-N // shares)))
    if job["bands"][0] > 1:
        at_once = 1
    workers = min(get_num_threads(), shares * G * parts)
    numbers = {
        "N": N, "G": G, "O": O, "taps": rounded, "shares": shares, "parts": parts,
        "at_once": at_once, "workers": workers, "room": size * at_once,
    }  # fmt: skip
    for name, value in numbers.items():
        job[name] = value
    _start(
        weight_gradient, job, partial, g.size * taps // 8, offsets,
        images=ready(x, dtype), g=ready(g, dtype), residues=plan.residues,
    )  # fmt: skip
    dw = partial.sum(0).reshape(G, parts, rows, rounded)[:, :, :O, :taps]
    return dw.swapaxes(1, 2).reshape(w_shape)
