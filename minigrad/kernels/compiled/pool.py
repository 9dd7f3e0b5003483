"""Compiled pooling; the formulas are those of reference.conv. A task is one plane."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types

from minigrad.kernels.machinery.arrays import Array, Pair, pairs_array
from minigrad.kernels.machinery.launch import (
    exact,
    exact_kernel,
    in_parallel,
    intrinsic,
    ready,
    run,
    threaded,
    uncounted,
)
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.reference.pool import divisors


@exact
def _inside(start, step, count, size):
    """The range of k in 0..count-1 for which start + k·step lies in 0..size-1."""
    if start >= 0 and start + (count - 1) * step < size:
        return 0, count
    return max(0, -(start // step)), min(count, (size - 1 - start) // step + 1)


LANES = 4  # windows compared at once


@intrinsic
def _compare(typingctx, top, bottom, y, index, q, first, width):
    """y[q : q + LANES] and index[q : q + LANES] of 2 x 2 windows in two rows of an image.

    Rows of an image are too short for LLVM to make vectors of this by itself. The second of two
    values is taken if it is larger, or NaN; `first` is the position of the row's beginning.
    """

    def emit(context, builder, signature, args):
        kind, b = signature.args[0], builder
        scalar = ir.FloatType() if kind.dtype == types.float32 else ir.DoubleType()
        i64 = ir.IntType(64)
        pair, line = ir.VectorType(scalar, 2 * LANES), ir.VectorType(scalar, LANES)
        places = ir.VectorType(i64, LANES)

        def at(array, position, vector):
            data = context.make_array(signature.args[array])(context, b, args[array]).data
            return b.bitcast(b.gep(data, [position]), vector.as_pointer())

        def choose(x, y):
            later = b.or_(b.fcmp_ordered(">", y, x), b.fcmp_unordered("uno", y, y))
            return later, b.select(later, y, x)

        def every_second(values, begin):
            mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [*range(begin, 2 * LANES, 2)])
            return b.shuffle_vector(values, ir.Constant(pair, ir.Undefined), mask)

        def splat(number):
            one = b.insert_element(
                ir.Constant(places, ir.Undefined), number, ir.Constant(ir.IntType(32), 0)
            )
            mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            return b.shuffle_vector(one, one, mask)

        q, first, width = args[4], args[5], args[6]
        column, size = b.mul(q, ir.Constant(i64, 2)), kind.dtype.bitwidth // 8
        upper = b.load(at(0, column, pair), align=size)
        lower = b.load(at(1, column, pair), align=size)
        right, above = choose(every_second(upper, 0), every_second(upper, 1))
        right_below, under = choose(every_second(lower, 0), every_second(lower, 1))
        below, result = choose(above, under)
        step = b.select(
            below, b.add(splat(width), b.zext(right_below, places)), b.zext(right, places)
        )
        columns = ir.Constant(places, [*range(0, 2 * LANES, 2)])
        b.store(result, at(2, q, line), align=size)
        b.store(b.add(b.add(splat(b.add(first, column)), columns), step), at(3, q, places), align=8)
        return context.get_dummy_value()

    return types.void(top, bottom, y, index, q, first, width), emit


@exact_kernel
def _max_of_four(lo, hi, x, y, index):
    """The usual windows: 2 x 2, side by side."""
    x, y, index = uncounted(x), uncounted(y), uncounted(index)
    W, n = x.shape[2], y.shape[2]
    for t in range(lo, hi):
        for p in range(y.shape[1]):
            top, bottom = x[t, 2 * p], x[t, 2 * p + 1]
            # The last LANES windows end with the row, so some of them may be done twice.
            for q in range(0, n if n >= LANES else 0, LANES):
                _compare(top, bottom, y[t, p], index[t, p], min(q, n - LANES), 2 * p * W, W)
            for q in range(0 if n >= LANES else n):
                best, at = top[2 * q], 0
                for i in range(1, 4):
                    v = bottom[2 * q + i - 2] if i > 1 else top[2 * q + 1]
                    if v > best or v != v:
                        best, at = v, i
                y[t, p, q] = best
                index[t, p, q] = (2 * p + at // 2) * W + 2 * q + at % 2


@exact_kernel
def _max_pool(lo, hi, x, where, y, index):
    kernel, stride, padding, dilation = where[0], where[1], where[2], where[3]
    _, H, W = x.shape
    _, OH, OW = y.shape
    for t in range(lo, hi):
        plane = x[t].reshape(-1)
        for p in range(OH):
            h0 = p * stride[0] - padding[0]
            a0, a1 = _inside(h0, dilation[0], kernel[0], H)
            for q in range(OW):
                w0 = q * stride[1] - padding[1]
                b0, b1 = _inside(w0, dilation[1], kernel[1], W)
                best, at = x.dtype.type(-np.inf), -1
                if a0 < a1 and b0 < b1:
                    at = (h0 + a0 * dilation[0]) * W + w0 + b0 * dilation[1]
                    best = plane[at]
                for a in range(a0, a1):
                    first = (h0 + a * dilation[0]) * W + w0
                    for b in range(b0, b1):
                        i = first + b * dilation[1]
                        # An unsigned index is not tested for being negative, and a selection is
                        # no branch, which the processor would have to guess.
                        v = plane[np.uint64(i)]
                        take = (v > best) | (v != v)
                        best = v if take else best
                        at = i if take else at
                y[t, p, q] = best
                index[t, p, q] = at


@exact_kernel
def _max_pool_backward(lo, hi, g, index, dx):
    for t in range(lo, hi):
        dx[t] = 0
        for i in range(g.shape[1]):
            at = index[t, i]
            if 0 <= at < dx.shape[1]:
                dx[t, at] += g[t, i]


# Averages are taken row by row, tap column by tap column, so that the innermost loop runs along a
# row of windows and not within one of them.


@exact_kernel
def _avg_pool(lo, hi, x, where, divisor, y):
    kernel, stride, padding = where[0], where[1], where[2]
    x, y = uncounted(x), uncounted(y)
    _, H, W = x.shape
    _, OH, OW = y.shape
    sums, step = np.empty(OW), np.uint64(stride[1])
    for t in range(lo, hi):
        for p in range(OH):
            sums[:] = 0
            top = p * stride[0] - padding[0]
            for h in range(max(top, 0), min(top + kernel[0], H)):
                for b in range(kernel[1]):
                    q0, q1 = _inside(b - padding[1], stride[1], OW, W)
                    if q0 < q1:
                        row = x[t, h, q0 * stride[1] - padding[1] + b :]
                        some = sums[q0:q1]
                        if step == 2:  # a step that the compiler knows gives vectors
                            for q in range(q1 - q0):
                                some[q] += row[np.uint64(q) * np.uint64(2)]
                        else:
                            for q in range(q1 - q0):
                                some[q] += row[np.uint64(q) * step]
            for q in range(OW):
                y[t, p, q] = sums[q] / divisor[p, q]


@exact_kernel
def _avg_pool_backward(lo, hi, g, where, divisor, dx):
    kernel, stride, padding = where[0], where[1], where[2]
    g, dx = uncounted(g), uncounted(dx)
    _, H, W = dx.shape
    _, OH, OW = g.shape
    shares, step = np.empty(OW), np.uint64(stride[1])
    for t in range(lo, hi):
        dx[t] = 0
        for p in range(OH):
            for q in range(OW):
                shares[q] = g[t, p, q] / divisor[p, q]
            top = p * stride[0] - padding[0]
            for h in range(max(top, 0), min(top + kernel[0], H)):
                for b in range(kernel[1]):
                    q0, q1 = _inside(b - padding[1], stride[1], OW, W)
                    if q0 < q1:
                        row = dx[t, h, q0 * stride[1] - padding[1] + b :]
                        some = shares[q0:q1]
                        for q in range(q1 - q0):
                            row[np.uint64(q) * step] += some[q]


@threaded
def _max_of_four_p(pool, tasks, *args):
    in_parallel(pool, tasks, _max_of_four, args)


@threaded
def _max_pool_p(pool, tasks, *args):
    in_parallel(pool, tasks, _max_pool, args)


@threaded
def _max_pool_backward_p(pool, tasks, *args):
    in_parallel(pool, tasks, _max_pool_backward, args)


@threaded
def _avg_pool_p(pool, tasks, *args):
    in_parallel(pool, tasks, _avg_pool, args)


@threaded
def _avg_pool_backward_p(pool, tasks, *args):
    in_parallel(pool, tasks, _avg_pool_backward, args)


def max_pool2d(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, out_size: Pair
) -> tuple[Array, Array]:
    """Maxima (N, C, OH, OW) of x (N, C, H, W) and where each came from, as h·W + w, int64."""
    (N, C, H, W), (OH, OW) = x.shape, out_size
    y = empty((N * C, OH, OW), x.dtype)
    index = empty((N * C, OH, OW), np.dtype(np.int64))
    image = ready(x, x.dtype).reshape(N * C, H, W)
    elements = y.size * kernel[0] * kernel[1]
    usual = (kernel, stride, padding, dilation) == ((2, 2), (2, 2), (0, 0), (1, 1))
    if usual and 2 * OH <= H and 2 * OW <= W:
        run(_max_of_four, _max_of_four_p, N * C, elements, image, y, index)
    else:
        where = pairs_array(kernel, stride, padding, dilation)
        run(_max_pool, _max_pool_p, N * C, elements, image, where, y, index)
    return y.reshape(N, C, OH, OW), index.reshape(N, C, OH, OW)


def max_pool2d_backward(g: Array, index: Array, x_shape: tuple[int, ...]) -> Array:
    """Send each element of g (N, C, OH, OW) to the element that was the maximum."""
    N, C, H, W = x_shape
    dx = empty((N * C, H * W), g.dtype)
    flat = (N * C, g.shape[2] * g.shape[3])
    args = (ready(g, g.dtype).reshape(flat), ready(index, index.dtype).reshape(flat), dx)
    run(_max_pool_backward, _max_pool_backward_p, N * C, dx.size, *args)
    return dx.reshape(x_shape)


def avg_pool2d(
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    out_size: Pair,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Averages (N, C, OH, OW) of the windows of x (N, C, H, W)."""
    (N, C, H, W), (OH, OW) = x.shape, out_size
    divisor = divisors(
        (H, W), kernel, stride, padding, out_size, count_include_pad, divisor_override
    )
    y = empty((N * C, OH, OW), x.dtype)
    image = ready(x, x.dtype).reshape(N * C, H, W)
    elements = y.size * kernel[0] * kernel[1]
    run(
        _avg_pool,
        _avg_pool_p,
        N * C,
        elements,
        image,
        pairs_array(kernel, stride, padding),
        divisor,
        y,
    )
    return y.reshape(N, C, OH, OW)


def avg_pool2d_backward(
    g: Array,
    x_shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    out_size: Pair,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Spread each element of g (N, C, OH, OW) evenly over its window: dx of shape x_shape."""
    (N, C, H, W), (OH, OW) = x_shape, out_size
    divisor = divisors(
        (H, W), kernel, stride, padding, out_size, count_include_pad, divisor_override
    )
    dx = empty((N * C, H, W), g.dtype)
    shares = ready(g, g.dtype).reshape(N * C, OH, OW)
    elements = g.size * kernel[0] * kernel[1]
    args = (shares, pairs_array(kernel, stride, padding), divisor, dx)
    run(_avg_pool_backward, _avg_pool_backward_p, N * C, elements, *args)
    return dx.reshape(x_shape)
