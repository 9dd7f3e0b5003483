"""Compiled convolution by im2col: what conv has no tile for.

Equations are those of ops/conv.py. A task is one plane: an image's channel. Its KH·KW
rows of cols are copies of shifted windows.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np
from numba import prange

from minigrad.kernels.compiled.products import product
from minigrad.kernels.machinery.arrays import Array, Pair, pairs_array
from minigrad.kernels.machinery.launch import exact, exact_kernel, ready, run, threaded
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.reference.conv import output_size


@exact
def _reach(offset, stride, size, out):
    """Outputs o in lo..hi-1 read inside the image: 0 <= o·stride + offset < size."""
    lo = 0 if offset >= 0 else (-offset + stride - 1) // stride
    hi = 0 if offset >= size else (size - 1 - offset) // stride + 1
    lo = min(lo, out)
    return lo, max(lo, min(hi, out))


@exact_kernel
def _image_to_columns(lo, hi, x, where, cols):
    """x (N·C, H, W) to cols (N·C, KH·KW, OH, OW)."""
    kernel, stride, padding, dilation = where[0], where[1], where[2], where[3]
    _, H, W = x.shape
    _, _, OH, OW = cols.shape
    for t in range(lo, hi):
        for a in range(kernel[0]):
            h0 = a * dilation[0] - padding[0]
            p0, p1 = _reach(h0, stride[0], H, OH)
            for b in range(kernel[1]):
                w0 = b * dilation[1] - padding[1]
                q0, q1 = _reach(w0, stride[1], W, OW)
                out = cols[t, a * kernel[1] + b]
                out[:p0] = 0
                out[p1:] = 0
                for p in range(p0, p1):
                    row, source = out[p], x[t, p * stride[0] + h0]
                    row[:q0] = 0
                    row[q1:] = 0
                    if stride[1] == 1:
                        row[q0:q1] = source[q0 + w0 : q1 + w0]
                    else:
                        for q in range(q0, q1):
                            row[q] = source[q * stride[1] + w0]


@exact_kernel
def _columns_to_image(lo, hi, cols, where, x):
    """The transpose: x (N·C, H, W) becomes the sum of columns where they came from."""
    kernel, stride, padding, dilation = where[0], where[1], where[2], where[3]
    _, H, W = x.shape
    _, _, OH, OW = cols.shape
    for t in range(lo, hi):
        x[t] = 0
        for a in range(kernel[0]):
            h0 = a * dilation[0] - padding[0]
            p0, p1 = _reach(h0, stride[0], H, OH)
            for b in range(kernel[1]):
                w0 = b * dilation[1] - padding[1]
                q0, q1 = _reach(w0, stride[1], W, OW)
                for p in range(p0, p1):
                    row, target = cols[t, a * kernel[1] + b, p], x[t, p * stride[0] + h0]
                    if stride[1] == 1:
                        target[q0 + w0 : q1 + w0] += row[q0:q1]
                    else:
                        for q in range(q0, q1):
                            target[q * stride[1] + w0] += row[q]


@threaded
def _image_to_columns_p(tasks, *args):
    for t in prange(tasks):
        _image_to_columns(np.int64(t), np.int64(t) + 1, *args)


@threaded
def _columns_to_image_p(tasks, *args):
    for t in prange(tasks):
        _columns_to_image(np.int64(t), np.int64(t) + 1, *args)


def _same_pixels(kernel: Pair, stride: Pair, padding: Pair, size: Pair, out: Pair) -> bool:
    """Whether columns and image are the same. (Output padding may make an image larger.)"""
    return kernel == (1, 1) and stride == (1, 1) and padding == (0, 0) and size == out


def _columns(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, size: Pair
) -> Array:
    N, C, H, W = x.shape
    if _same_pixels(kernel, stride, padding, (H, W), size):
        return ready(x, x.dtype)
    cols = empty((N * C, kernel[0] * kernel[1], *size), x.dtype)
    where = pairs_array(kernel, stride, padding, dilation)
    args = (ready(x, x.dtype).reshape(N * C, H, W), where, cols)
    run(_image_to_columns, _image_to_columns_p, N * C, cols.size, *args)
    return cols


def conv2d(x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """Cross-correlate x (N, C, H, W) with w (O, C/groups, KH, KW): (N, O, OH, OW), (CONV 1)."""
    (N, C, H, W), (O, Cg, KH, KW) = x.shape, w.shape
    OH = output_size(H, KH, stride[0], padding[0], dilation[0])
    OW = output_size(W, KW, stride[1], padding[1], dilation[1])
    cols = _columns(x, (KH, KW), stride, padding, dilation, (OH, OW))
    cols = cols.reshape(N, groups, C // groups * KH * KW, OH * OW)
    return product(w.reshape(groups, O // groups, Cg * KH * KW), cols).reshape(N, O, OH, OW)


def conv2d_input_grad(
    g: Array,
    w: Array,
    x_shape: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """Equation (CONV 2): dx of shape x_shape from g (N, O, OH, OW)."""
    (N, C, H, W), (O, Cg, KH, KW), (OH, OW) = x_shape, w.shape, g.shape[2:]
    wt = w.reshape(groups, O // groups, Cg * KH * KW).swapaxes(1, 2)
    cols = product(wt, g.reshape(N, groups, O // groups, OH * OW))
    if _same_pixels((KH, KW), stride, padding, (H, W), (OH, OW)):
        return cols.reshape(x_shape)
    dx = empty((N * C, H, W), cols.dtype)
    cols = cols.reshape(N * C, KH * KW, OH, OW)
    args = (cols, pairs_array((KH, KW), stride, padding, dilation), dx)
    run(_columns_to_image, _columns_to_image_p, N * C, cols.size, *args)
    return dx.reshape(x_shape)


def conv2d_weight_grad(
    g: Array,
    x: Array,
    w_shape: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """Equation (CONV 3): dw of shape w_shape from g (N, O, OH, OW) and x (N, C, H, W)."""
    (N, O, OH, OW), (_, Cg, KH, KW) = g.shape, w_shape
    cols = _columns(x, (KH, KW), stride, padding, dilation, (OH, OW))
    cols = cols.reshape(N, groups, Cg * KH * KW, OH * OW)
    gs = g.reshape(N, groups, O // groups, OH * OW)
    per_image: Array = gs @ cols.swapaxes(2, 3)  # (N, G, O/G, C/G·KH·KW)
    dw: Array = per_image.sum(0)
    return dw.reshape(w_shape)
