"""Winograd's forms of convolution as matrix products of all images at once.

Where an image has few pixels, the tiles of conv_windows have few to run over and read all weights
for each image. Here the components of all images' tiles are the columns of one product,

    U[ij] = (G w Gᵀ)[ij]     (O, C)        filters
    V[ij] = (Bᵀ d B)[ij]     (C, tiles)    inputs, of 4 x 4 pixels
    M[ij] = U[ij]·V[ij]      (O, tiles)    Y = Aᵀ M A, of 2 x 2 pixels

for each of 16 components ij; conv_transforms has the matrices. A kernel of 2 x 2 taps has 9. A
stride s divides a convolution into s·s of stride 1, of every s-th pixel with every s-th tap, whose
results are added: their channels lie one after the other,

    Σ_a w[a]·x[p·s + a] = Σ_r Σ_m w[m·s + r]·x[(p + m)·s + r],     a = m·s + r

So a kernel of 4 x 4 with stride 2 is four kernels of 2 x 2, and takes 9/16 of the multiplications.

The gradients are the same three maps transposed: with H = A g Aᵀ, dV = Uᵀ·H and dx is the sum of
all B dV Bᵀ where they came from, and dU = H·Vᵀ and dw = Gᵀ dU G.

A pixel is the numbers of all images there, side by side (images last), so that every transform is
made of whole vectors, whatever the stride and however small the image. It is taken along one axis
and then along the other. A task is one channel, or of the filters one of the outputs.

The sums of a tile make NaN of what is not finite. Images in which there is any are convolved again,
by conv_im2col.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.compiled import conv_im2col
from minigrad.kernels.compiled.conv_im2col import ROOM, images_first, images_in, images_last
from minigrad.kernels.compiled.conv_rows import copy
from minigrad.kernels.compiled.conv_transforms import (
    add_inputs,
    filters,
    inputs,
    outputs,
    to_filters,
    to_outputs,
)
from minigrad.kernels.compiled.products import product
from minigrad.kernels.compiled.transpose import write
from minigrad.kernels.machinery.arrays import Array, Pair, pairs_array
from minigrad.kernels.machinery.launch import (
    exact,
    exact_kernel,
    in_parallel,
    ready,
    run,
    threaded,
)
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import on
from minigrad.kernels.machinery.pointers import start as first

# ---------------------------------------------------------------------------- the loops


@exact
def clear(target, n):
    """n zeros."""
    row = carray(target, n)
    for k in range(n):
        row[k] = 0


@exact
def written(target, source, n, bias):
    """target[k] = source[k] + bias for k < n. Is any of them not finite?"""
    row, out, odd = carray(source, n), carray(target, n), False
    for k in range(n):
        value = row[k] + bias
        out[k] = value
        odd |= value - value != 0
    return odd


@exact
def padded_size(where, x):
    """Of a plane of x (C, H, W, N) with its padding, as far as tiles reach: rows, numbers in a row,
    and how many of these are of a row of x."""
    (nh, nw), (sh, sw), (_, pw), (P, Q) = where
    N, width = x.shape[3], (2 * Q + nw - 2) * sw * x.shape[3]
    return (2 * P + nh - 2) * sh, width, min(width, (x.shape[2] + pw) * N) - pw * N


@exact_kernel
def _input_transform(lo, hi, x, where, v):
    """V (components, phases, C, tiles·N) of x (C, H, W, N)."""
    (nh, nw), (sh, sw), (ph, pw), (P, Q) = where
    C, H, W, N = x.shape
    rows, width, met = padded_size(where, x)
    scratch = np.empty((rows + nh) * width, x.dtype)
    padded = first(scratch)
    lines = on(padded, rows * width)
    component, phase = sh * sw * C * P * Q * N, C * P * Q * N
    clear(padded, rows * width)
    for c in range(lo, hi):
        for h in range(min(H, rows - ph)):
            copy(on(padded, (h + ph) * width + pw * N), on(first(x), (c * H + h) * W * N), met)
        for p in range(P):
            for a in range(sh):
                top = on(padded, (2 * p * sh + a) * width)
                inputs(nh, top, sh * width, lines, width, width)
                for i in range(nh):
                    for b in range(sw):
                        source = on(lines, i * width + b * N)
                        target = on(first(v), i * nw * component + (a * sw + b) * phase)
                        target = on(target, (c * P + p) * Q * N)
                        for q in range(Q):
                            tile = on(source, 2 * q * sw * N)
                            inputs(nw, tile, sw * N, on(target, q * N), component, N)


@exact_kernel
def _input_transposed(lo, hi, v, where, x, odd):
    """x (C, H, W, N), the sum of what V's transforms give back. Is any of it not finite?"""
    (nh, nw), (sh, sw), (ph, pw), (P, Q) = where
    C, H, W, N = x.shape
    rows, width, met = padded_size(where, x)
    scratch = np.empty((rows + nh) * width, x.dtype)
    padded = first(scratch)
    lines = on(padded, rows * width)
    component, phase = sh * sw * C * P * Q * N, C * P * Q * N
    for c in range(lo, hi):
        clear(padded, rows * width)
        for p in range(P):
            for a in range(sh):
                clear(lines, nh * width)
                for i in range(nh):
                    for b in range(sw):
                        target = on(lines, i * width + b * N)
                        source = on(first(v), i * nw * component + (a * sw + b) * phase)
                        source = on(source, (c * P + p) * Q * N)
                        for q in range(Q):
                            tile = on(target, 2 * q * sw * N)
                            add_inputs(nw, on(source, q * N), component, tile, sw * N, N)
                top = on(padded, (2 * p * sh + a) * width)
                add_inputs(nh, lines, width, top, sh * width, width)
        plane = on(first(x), c * H * W * N)
        clear(plane, H * W * N)
        for h in range(min(H, rows - ph)):
            source = on(padded, (h + ph) * width + pw * N)
            odd[c] |= written(on(plane, h * W * N), source, met, 0)


@exact_kernel
def _output_transform(lo, hi, m, bias, where, y, odd):
    """y (O, OH, OW, N) with the bias from M (components, O, tiles·N). Is any of it not finite?"""
    (nh, nw), _, _, (P, Q) = where
    O, OH, OW, N = y.shape
    width = Q * N
    scratch = np.empty((2 * nw + 4) * width, y.dtype)
    lines = first(scratch)
    rows = on(lines, 2 * nw * width)
    component = O * P * width
    for o in range(lo, hi):
        for p in range(P):
            source = on(first(m), (o * P + p) * width)
            for j in range(nw):
                target = on(lines, j * width)
                outputs(nh, on(source, j * component), nw * component, target, nw * width, width)
            for r in range(min(2, OH - 2 * p)):
                row = on(rows, r * 2 * width)
                for q in range(Q):
                    outputs(nw, on(lines, (r * nw * Q + q) * N), width, on(row, 2 * q * N), N, N)
                target = on(first(y), (o * OH + 2 * p + r) * OW * N)
                odd[o] |= written(target, row, OW * N, bias[o])


@exact_kernel
def _output_transposed(lo, hi, g, where, m):
    """H (components, O, tiles·N) of g (O, OH, OW, N)."""
    (nh, nw), _, _, (P, Q) = where
    O, OH, OW, N = g.shape
    width = 2 * Q * N
    scratch = np.empty((2 + nh) * width, g.dtype)
    rows = first(scratch)
    lines = on(rows, 2 * width)
    component = O * P * Q * N
    for o in range(lo, hi):
        for p in range(P):
            clear(rows, 2 * width)
            for r in range(min(2, OH - 2 * p)):
                copy(on(rows, r * width), on(first(g), (o * OH + 2 * p + r) * OW * N), OW * N)
            to_outputs(nh, rows, width, lines, width, width)
            for i in range(nh):
                target = on(first(m), i * nw * component + (o * P + p) * Q * N)
                for q in range(Q):
                    source = on(lines, i * width + 2 * q * N)
                    to_outputs(nw, source, N, on(target, q * N), component, N)


@exact_kernel
def _filter_transform(lo, hi, w, where, u):
    """U (components, O, phases, C) of w (KH, KW, O, C)."""
    (nh, nw), (sh, sw) = where
    _, KW, O, C = w.shape
    scratch = np.empty(nh * (nw - 1) * C, w.dtype)
    lines = first(scratch)
    component, tap = O * sh * sw * C, O * C
    for o in range(lo, hi):
        for a in range(sh):
            for b in range(sw):
                for m in range(nw - 1):
                    source = on(first(w), (a * KW + m * sw + b) * tap + o * C)
                    target = on(lines, m * C)
                    filters(nh, source, sh * KW * tap, target, (nw - 1) * C, C)
                for i in range(nh):
                    target = on(first(u), i * nw * component + ((o * sh + a) * sw + b) * C)
                    filters(nw, on(lines, i * (nw - 1) * C), C, target, component, C)


@exact_kernel
def _filter_transposed(lo, hi, u, where, w, odd):
    """w (KH, KW, O, C) of U (components, O, phases, C). Is any of it not finite?"""
    (nh, nw), (sh, sw) = where
    _, KW, O, C = w.shape
    scratch = np.empty((nh * (nw - 1) + nh - 1) * C, w.dtype)
    lines = first(scratch)
    rows = on(lines, nh * (nw - 1) * C)
    component, tap = O * sh * sw * C, O * C
    for o in range(lo, hi):
        for a in range(sh):
            for b in range(sw):
                for i in range(nh):
                    source = on(first(u), i * nw * component + ((o * sh + a) * sw + b) * C)
                    to_filters(nw, source, component, on(lines, i * (nw - 1) * C), C, C)
                for m in range(nw - 1):
                    to_filters(nh, on(lines, m * C), (nw - 1) * C, rows, C, C)
                    for k in range(nh - 1):
                        target = on(first(w), ((k * sh + a) * KW + m * sw + b) * tap + o * C)
                        odd[o] |= written(target, on(rows, k * C), C, 0)


@threaded
def _input_transform_p(pool, tasks, *args):
    in_parallel(pool, tasks, _input_transform, args)


@threaded
def _input_transposed_p(pool, tasks, *args):
    in_parallel(pool, tasks, _input_transposed, args)


@threaded
def _output_transform_p(pool, tasks, *args):
    in_parallel(pool, tasks, _output_transform, args)


@threaded
def _output_transposed_p(pool, tasks, *args):
    in_parallel(pool, tasks, _output_transposed, args)


@threaded
def _filter_transform_p(pool, tasks, *args):
    in_parallel(pool, tasks, _filter_transform, args)


@threaded
def _filter_transposed_p(pool, tasks, *args):
    in_parallel(pool, tasks, _filter_transposed, args)


# ---------------------------------------------------------------------------- arrays in and out


class Form(NamedTuple):
    """How a convolution is divided."""

    components: Pair
    stride: Pair
    padding: Pair
    tiles: Pair
    some: int  # images that are taken together

    def pairs(self, count: int) -> Array:
        """The first of them, for a loop."""
        return pairs_array(*(self.components, self.stride, self.padding, self.tiles)[:count])


@lru_cache(1024)
def form_of(N: int, C: int, O: int, kernel: Pair, stride: Pair, padding: Pair, out: Pair) -> Form:
    """How N images of C channels are divided, to become O channels."""
    components = (kernel[0] // stride[0] + 1, kernel[1] // stride[1] + 1)
    tiles = (-(-out[0] // 2), -(-out[1] // 2))
    of_image = 4 * prod(components) * prod(tiles) * (prod(stride) * C + O)  # bytes, as float32
    return Form(components, stride, padding, tiles, images_in(ROOM, N, of_image))


def _filters(w: Array, form: Form) -> Array:
    """U of w (O, C, KH, KW)."""
    (nh, nw), (sh, sw), (O, C, KH, KW) = form.components, form.stride, w.shape
    taps_first = images_last(w.reshape(O * C, KH * KW)).reshape(KH, KW, O, C)
    u = empty((nh * nw, O, sh * sw * C), w.dtype)
    run(_filter_transform, _filter_transform_p, O, u.size, taps_first, form.pairs(2), u)
    return u


def _inputs(x: Array, form: Form) -> Array:
    """V of x (N, C, H, W)."""
    N, C, H, W = x.shape
    shape = (prod(form.components), prod(form.stride) * C, prod(form.tiles) * N)
    v, last = empty(shape, x.dtype), images_last(x).reshape(C, H, W, N)
    run(_input_transform, _input_transform_p, C, v.size, last, form.pairs(4), v)
    return v


def _gradients(g: Array, form: Form) -> Array:
    """H of g (N, O, OH, OW)."""
    N, O, OH, OW = g.shape
    m, last = empty((prod(form.components), O, prod(form.tiles) * N), g.dtype), images_last(g)
    args = (last.reshape(O, OH, OW, N), form.pairs(4), m)
    run(_output_transposed, _output_transposed_p, O, m.size, *args)
    return m


def conv2d(x: Array, w: Array, out: Pair, stride: Pair, padding: Pair, bias: Array | None) -> Array:
    """Cross-correlate x (N, C, H, W) with w (O, C, KH, KW): (N, O, *out), (CONV 1)."""
    (N, C, _, _), (O, _, KH, KW) = x.shape, w.shape
    form, x = form_of(N, C, O, (KH, KW), stride, padding, out), ready(x, x.dtype)
    some, u = form.some, _filters(ready(w, w.dtype), form)
    added = np.zeros(O, w.dtype) if bias is None else ready(bias, w.dtype)
    y, odd = empty((N, O, *out), x.dtype), np.zeros(O, np.bool_)
    for i in range(0, N, some):
        part = x[i : i + some]
        m = product(u, _inputs(part, form))
        last = empty((O, *out, len(part)), x.dtype)
        args = (m, added, form.pairs(4), last, odd)
        run(_output_transform, _output_transform_p, O, m.size, *args)
        write(y[i : i + some].reshape(len(part), -1), last.reshape(-1, len(part)).T)
    if odd.any():
        again = _not_finite(y)
        y[again] = conv_im2col.conv2d(x[again], w, stride, padding, (1, 1), 1, bias)
    return y


def conv2d_input_grad(
    g: Array, w: Array, x_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> Array:
    """Equation (CONV 2): dx of shape x_shape from g (N, O, OH, OW)."""
    (N, C, H, W), (O, _, KH, KW) = x_shape, w.shape
    form = form_of(N, C, O, (KH, KW), stride, padding, (g.shape[2], g.shape[3]))
    some, g = form.some, ready(g, g.dtype)
    ut = _filters(ready(w, w.dtype), form).swapaxes(1, 2)
    dx, odd = empty(x_shape, g.dtype), np.zeros(C, np.bool_)
    for i in range(0, N, some):
        part = g[i : i + some]
        v = product(ut, _gradients(part, form))
        last = empty((C, H, W, len(part)), g.dtype)
        args = (v, form.pairs(4), last, odd)
        run(_input_transposed, _input_transposed_p, C, v.size, *args)
        write(dx[i : i + some].reshape(len(part), -1), last.reshape(-1, len(part)).T)
    if odd.any():
        again = _not_finite(dx)
        shape = (int(again.sum()), *x_shape[1:])
        dx[again] = conv_im2col.conv2d_input_grad(g[again], w, shape, stride, padding, (1, 1), 1)
    return dx


def _not_finite(images: Array) -> Array:
    """Which of them have a number that is not finite."""
    finite: Array = np.isfinite(images.reshape(len(images), -1))
    return np.logical_not(finite.all(axis=1))


def conv2d_weight_grad(
    g: Array, x: Array, w_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> Array:
    """Equation (CONV 3): dw of shape w_shape from g (N, O, OH, OW) and x (N, C, H, W)."""
    (O, C, KH, KW), dtype = w_shape, g.dtype
    form = form_of(len(x), C, O, (KH, KW), stride, padding, (g.shape[2], g.shape[3]))
    some, g, x = form.some, ready(g, dtype), ready(x, dtype)
    parts = (
        product(_gradients(g[i : i + some], form), _inputs(x[i : i + some], form).swapaxes(1, 2))
        for i in range(0, len(x), some)
    )
    u = next(parts)
    for part in parts:
        u += part
    taps_first, odd = empty((KH, KW, O, C), dtype), np.zeros(O, np.bool_)
    run(_filter_transposed, _filter_transposed_p, O, u.size, u, form.pairs(2), taps_first, odd)
    if odd.any():
        return conv_im2col.conv2d_weight_grad(g, x, w_shape, stride, padding, (1, 1), 1)
    return images_first(taps_first, O * C).reshape(w_shape)
