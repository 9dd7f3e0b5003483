"""Compiled convolution as matrix products (im2col): what conv has no tile for, or is slower at.

Equations are those of ops/conv.py. cols has a row for every channel and tap and a column for every
output pixel: of one image, or of all images, as the columns of one product. One product reads the
weights once, where a product for each image reads them for each. Then a pixel is the numbers of all
images at that place, side by side, so that what is copied are long runs, however small an image is;
but images and result are transposed to lie so. It pays where an image's pixels are fewer than the
numbers that each of them is a sum of. Of many or large images some are taken at a time, so that
their columns stay in the cache and need little memory.

A task of the copies is one plane: a channel, of one image or of all.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.compiled.conv_rows import add_to_row, copy_row
from minigrad.kernels.compiled.products import product
from minigrad.kernels.compiled.transpose import row_major
from minigrad.kernels.machinery.arrays import Array, Pair, pairs_array
from minigrad.kernels.machinery.launch import exact_kernel, in_parallel, ready, run, threaded
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import on
from minigrad.kernels.machinery.pointers import start as first
from minigrad.kernels.reference.conv import output_size

PAGE, PAD = 4096, 64  # bytes
ROOM = 1 << 24  # bytes of columns that are made at a time: about what the last cache holds
CACHED = 1 << 19  # bytes of a matrix that are transposed in a processor's own cache, in little time


@exact_kernel
def _image_to_columns(lo, hi, x, where, met, cols):
    """x (N·C, H, W·B), whose pixels are B numbers, to cols, a vector: row k of image n begins at
    n·steps[0] + k·steps[1]."""
    (KH, KW), (OH, OW), (sh, sw), steps, (C, B) = where
    _, H, W = x.shape
    image, columns = first(x), first(cols)
    for t in range(lo, hi):
        n, c = t // C, t % C
        start = n * steps[0] + c * KH * KW * steps[1]
        for a in range(KH):
            h0, p0, p1 = met[0, a]
            for b in range(KW):
                w0, q0, q1 = met[1, b]
                for p in range(OH):
                    target = on(columns, start + p * OW * B)
                    source = on(image, (t * H + h0 + p * sh) * W + w0 * B)
                    if not p0 <= p < p1:
                        copy_row(target, image, 1, 0, 0, OW * B)
                    elif sw == 1:
                        copy_row(target, source, 1, q0 * B, q1 * B, OW * B)
                    elif B == 1:
                        copy_row(target, source, sw, q0, q1, OW)
                    else:
                        for q in range(OW):
                            last = B if q0 <= q < q1 else 0
                            copy_row(on(target, q * B), on(source, q * sw * B), 1, 0, last, B)
                start += steps[1]


@exact_kernel
def _columns_to_image(lo, hi, x, where, met, cols):
    """The transpose: x (N·C, H, W·B) becomes the sum of columns where they came from."""
    (KH, KW), (_, OW), (sh, sw), steps, (C, B) = where
    _, H, W = x.shape
    image, columns = first(x), first(cols)
    for t in range(lo, hi):
        n, c = t // C, t % C
        x[t] = 0
        start = n * steps[0] + c * KH * KW * steps[1]
        for a in range(KH):
            h0, p0, p1 = met[0, a]
            for b in range(KW):
                w0, q0, q1 = met[1, b]
                for p in range(p0, p1):
                    source = on(columns, start + p * OW * B)
                    target = on(image, (t * H + h0 + p * sh) * W + w0 * B)
                    if sw == 1:
                        add_to_row(target, source, q0 * B, q1 * B)
                    elif B == 1:
                        row, pixels = carray(source, OW), carray(target, W * sw)
                        for q in range(q0, q1):
                            pixels[q * sw] += row[q]
                    else:
                        for q in range(q0, q1):
                            add_to_row(on(target, q * sw * B), on(source, q * B), 0, B)
                start += steps[1]


@exact_kernel
def _place(lo, hi, part, x, where):
    """x[t, r::s, …] = part[t], residues and strides of which are in `where`."""
    (rh, rw), (sh, sw) = where
    for t in range(lo, hi):
        for p in range(part.shape[1]):
            row, target = part[t, p], x[t, rh + p * sh]
            for q in range(row.size):
                target[rw + q * sw] = row[q]


@threaded
def _image_to_columns_p(pool, tasks, *args):
    in_parallel(pool, tasks, _image_to_columns, args)


@threaded
def _columns_to_image_p(pool, tasks, *args):
    in_parallel(pool, tasks, _columns_to_image, args)


@threaded
def _place_p(pool, tasks, *args):
    in_parallel(pool, tasks, _place, args)


def same_pixels(kernel: Pair, stride: Pair, padding: Pair, size: Pair, out: Pair) -> bool:
    """Whether columns and image are the same. (Output padding may make an image larger.)"""
    return kernel == (1, 1) and stride == (1, 1) and padding == (0, 0) and size == out


def _whole(kernel: Pair, padding: Pair, size: Pair, groups: int) -> bool:
    """Whether the one window is the whole image, so that this is a linear layer."""
    return kernel == size and padding == (0, 0) and groups == 1


def images_in(room: int, images: int, columns: int) -> int:
    """How many images are taken together if each has columns of so many bytes."""
    most = max(1, room // max(1, columns))
    return -(-images // -(-images // most)) if images else 0


def at_once(images: int, pixels: int, summands: int) -> bool:
    """Whether the images that are taken together are columns of one product."""
    return images > 1 and pixels < summands


class _Columns(NamedTuple):
    """The windows of images (N, C, H, W) and where they lie: all at once (groups,
    C/groups·KH·KW, OH·OW·N), or else (N, groups, C/groups·KH·KW, OH·OW)."""

    array: Array
    steps: Pair  # elements from image to image, and from row to row


def _empty(
    shape: tuple[int, ...], rows: int, out: Pair, G: int, once: bool, dtype: Any
) -> _Columns:
    N, pixels = shape[0], out[0] * out[1]
    if not once:
        return _Columns(empty((N, G, rows, pixels), dtype), (G * rows * pixels, pixels))
    # Rows that lie a multiple of a page apart would share few places in the cache.
    width = N * pixels
    width += PAD // dtype.itemsize if width * dtype.itemsize % PAGE == 0 else 0
    return _Columns(empty((G, rows, width), dtype)[..., : N * pixels], (0, width))


@lru_cache(256)
def _met(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, out: Pair
) -> Array:
    """For each row a of the kernel h0, p0 and p1: for p0 <= p < p1, output row p meets row
    h0 + p·stride of the image. Then for each of its columns."""
    met = np.zeros((2, max(kernel), 3), np.int64)
    for axis in (0, 1):
        for tap in range(kernel[axis]):
            offset, step = tap * dilation[axis] - padding[axis], stride[axis]
            low = min(out[axis], max(0, -(offset // step)))
            high = max(low, min(out[axis], (size[axis] - 1 - offset) // step + 1))
            met[axis, tap] = offset, low, high
    return met


def _columns(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, out: Pair, groups: int,
    once: bool,
) -> Array:  # fmt: skip
    """The windows of x (N, C, H, W)."""
    N, C, H, W = x.shape
    x, rows = ready(x, x.dtype), C // groups * kernel[0] * kernel[1]
    if same_pixels(kernel, stride, padding, (H, W), out):
        shape = (groups, rows, N * H * W) if once else (N, groups, rows, H * W)
        return (images_last(x) if once else x).reshape(shape)
    cols = _empty(x.shape, rows, out, groups, once, x.dtype)
    planes = images_last(x).reshape(C, H, W * N) if once else x.reshape(N * C, H, W)
    where = pairs_array(kernel, out, stride, cols.steps, (C, N if once else 1))
    met = _met((H, W), kernel, stride, padding, dilation, out)
    args = (planes, where, met, _flat(cols.array))
    run(_image_to_columns, _image_to_columns_p, len(planes), cols.array.size, *args)
    return cols.array


def images_last(x: Array) -> Array:
    """x (N, …), contiguous, as (…, N)."""
    return row_major(x.reshape(len(x), -1).T)


def images_first(x: Array, N: int) -> Array:
    """(…, N), contiguous, as (N, …)."""
    return row_major(x.reshape(-1, N).T)


def _flat(cols: Array) -> Array:
    """All of the memory, of which these may be a part of each row."""
    whole = cols if cols.base is None or cols.flags.c_contiguous else cols.base
    return whole.reshape(-1)


def place(part: Array, x: Array, residue: Pair, stride: Pair) -> None:
    """x[:, :, rh::sh, rw::sw] = part."""
    planes, where = len(x) * x.shape[1], pairs_array(residue, stride)
    args = (part.reshape(planes, *part.shape[2:]), x.reshape(planes, *x.shape[2:]), where)
    run(_place, _place_p, planes, part.size, *args)


def conv2d(
    x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int,
    bias: Array | None = None,
) -> Array:  # fmt: skip
    """Cross-correlate x (N, C, H, W) with w (O, C/groups, KH, KW): (N, O, OH, OW), (CONV 1)."""
    (N, _, H, W), (O, Cg, KH, KW), G = x.shape, w.shape, groups
    if _whole((KH, KW), padding, (H, W), G):
        rows, columns = x.reshape(N, Cg * KH * KW), w.reshape(O, Cg * KH * KW).T
        return product(rows, columns, bias).reshape(N, O, 1, 1)
    OH = output_size(H, KH, stride[0], padding[0], dilation[0])
    OW = output_size(W, KW, stride[1], padding[1], dilation[1])
    some = images_in(ROOM, N, G * Cg * KH * KW * OH * OW * x.itemsize)
    if some < N:
        y = empty((N, O, OH, OW), x.dtype)
        for i in range(0, N, some):
            y[i : i + some] = conv2d(x[i : i + some], w, stride, padding, dilation, groups, bias)
        return y
    once = at_once(N, OH * OW, Cg * KH * KW)
    cols = _columns(x, (KH, KW), stride, padding, dilation, (OH, OW), G, once)
    of_group = None if bias is None or G > 1 else bias[:, None]
    y = product(w.reshape(G, O // G, Cg * KH * KW), cols, of_group)
    y = (images_first(y, N) if once else y).reshape(N, O, OH, OW)
    if bias is not None and of_group is None:
        y += bias.reshape(-1, 1, 1)
    return y


def conv2d_input_grad(
    g: Array, w: Array, x_shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> Array:  # fmt: skip
    """Equation (CONV 2): dx of shape x_shape from g (N, O, OH, OW)."""
    (N, C, H, W), (O, Cg, KH, KW), (OH, OW), G = x_shape, w.shape, g.shape[2:], groups
    once, g = at_once(N, OH * OW, Cg * KH * KW), ready(g, g.dtype)
    if _whole((KH, KW), padding, (H, W), G):
        return product(g.reshape(N, O), w.reshape(O, Cg * KH * KW)).reshape(x_shape)
    some = images_in(ROOM, N, C * KH * KW * OH * OW * g.itemsize)
    if some < N:
        dx = empty(x_shape, g.dtype)
        for i in range(0, N, some):
            shape = (len(g[i : i + some]), *x_shape[1:])
            dx[i : i + some] = conv2d_input_grad(
                g[i : i + some], w, shape, stride, padding, dilation, groups
            )
        return dx
    wt = w.reshape(G, O // G, Cg * KH * KW).swapaxes(1, 2)
    shape = (G, O // G, OH * OW * N) if once else (N, G, O // G, OH * OW)
    cols = product(wt, (images_last(g) if once else g).reshape(shape))
    steps = (0, OH * OW * N) if once else (C * KH * KW * OH * OW, OH * OW)
    if same_pixels((KH, KW), stride, padding, (H, W), (OH, OW)):
        return (images_first(cols, N) if once else cols).reshape(x_shape)
    dx = empty((C, H, W * N) if once else (N * C, H, W), cols.dtype)
    where = pairs_array((KH, KW), (OH, OW), stride, steps, (C, N if once else 1))
    met = _met((H, W), (KH, KW), stride, padding, dilation, (OH, OW))
    args = (dx, where, met, cols.reshape(-1))
    run(_columns_to_image, _columns_to_image_p, len(dx), cols.size, *args)
    return (images_first(dx, N) if once else dx).reshape(x_shape)


def conv2d_weight_grad(
    g: Array, x: Array, w_shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> Array:  # fmt: skip
    """Equation (CONV 3): dw of shape w_shape from g (N, O, OH, OW) and x (N, C, H, W)."""
    (N, O, OH, OW), (_, Cg, KH, KW), G = g.shape, w_shape, groups
    once, g = at_once(N, OH * OW, Cg * KH * KW), ready(g, g.dtype)
    if _whole((KH, KW), padding, x.shape[2:], G):
        return product(g.reshape(N, O).T, x.reshape(N, Cg * KH * KW)).reshape(w_shape)
    some = images_in(ROOM, N, G * Cg * KH * KW * OH * OW * g.itemsize)
    if some < N:
        dw = np.zeros(w_shape, g.dtype)
        for i in range(0, N, some):
            dw += conv2d_weight_grad(
                g[i : i + some], x[i : i + some], w_shape, stride, padding, dilation, groups
            )
        return dw
    cols = _columns(x, (KH, KW), stride, padding, dilation, (OH, OW), G, once)
    shape = (G, O // G, OH * OW * N) if once else (N, G, O // G, OH * OW)
    gt = (images_last(g) if once else g).reshape(shape).swapaxes(-1, -2)
    # A small dw is made as its transpose, as BLAS is quicker at more rows than columns.
    turned = prod(w_shape) * g.itemsize <= CACHED
    a, b = (cols, gt) if turned else (gt.swapaxes(-1, -2), cols.swapaxes(-1, -2))
    if G == 1 and not once:
        dw = product(a[:, 0], b[:, 0], summed=True)
    else:
        dw = product(a, b) if once else product(a, b).sum(0)
    return ready(dw.swapaxes(-1, -2) if turned else dw, dw.dtype).reshape(w_shape)
