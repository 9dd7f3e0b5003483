"""Channels in the lanes of vectors, for depthwise convolution.

A block is as many channels of an image as a vector has lanes. It is turned, so that the numbers of
one pixel lie side by side,

    x[c, pixel]  ──turn_in──►  block[place[pixel], c]  ──turn_out──►  y[c, pixel]

and from then on a pixel is one vector: neither the stride nor the dilation, nor how wide an image
is, matters to the sums over taps. Masks leave alone what is beside a block that is not full.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils

from minigrad.kernels.compiled.conv_rows import Masked
from minigrad.kernels.compiled.conv_tile import Vectors, constant
from minigrad.kernels.compiled.transpose import row_of, turned
from minigrad.kernels.machinery.launch import intrinsic

# Sums that run side by side, because each addition waits for the one before it: of so many pixels,
# or taps. (Five divide the taps of 5 x 5 kernels, and leave one idle of those of 3 x 3 and 7 x 7.)
PIXELS, TAPS = 4, 5


def _turn(inwards: bool) -> Any:
    @intrinsic
    def turn(typingctx, block, places, plane, n, channels):
        """Between block[places[i], c] and plane[c·n + i], for i < n and c < channels.

        `places` has whole vectors; those of no pixel name a place that does not matter.
        """

        def codegen(context, b, signature, args):
            block, places, plane, n, channels = args
            v = Vectors(b, signature.args[0].dtype)
            masked, lanes = Masked(v), constant(v.lanes)

            def pixel(i, k):
                place = b.load(b.gep(places, [b.add(i, constant(k))]))
                return b.mul(place, lanes)

            with cgutils.for_range_slice(b, constant(0), n, lanes) as (i, _):
                start, rest = b.gep(plane, [i]), b.sub(n, i)
                parts = [row_of(masked, start, n, c, channels, rest) for c in range(v.lanes)]
                if inwards:
                    rows = [masked.load(*part) for part in parts]
                    for k, vector in enumerate(turned(v, rows)):
                        v.store(vector, block, pixel(i, k))
                else:
                    rows = [v.load(block, pixel(i, k)) for k in range(v.lanes)]
                    for vector, part in zip(turned(v, rows), parts, strict=True):
                        masked.store(vector, *part)
            return context.get_dummy_value()

        n_ = types.intp
        return types.void(block, places, block, n_, n_), codegen

    return turn


turn_in, turn_out = _turn(True), _turn(False)


@intrinsic
def sums_of_taps(typingctx, y, x, offsets, weights, taps, n, step):
    """y[q] = weights[0] + Σ_k weights[k + 1]·x[offsets[k] + q·step] for q < n, all of them vectors;
    n counts those of y, while offsets and step count numbers."""

    def codegen(context, b, signature, args):
        y, x, offsets, weights, taps, n, step = args
        v = Vectors(b, signature.args[0].dtype)
        lanes = constant(v.lanes)
        totals = v.sums(PIXELS)

        def some(q, count):
            for total in totals[:count]:
                b.store(v.load(weights, constant(0)), total)
            start = b.gep(x, [b.mul(q, step)])
            with cgutils.for_range(b, taps) as loop:
                at = b.load(b.gep(offsets, [loop.index]))
                weight = v.load(weights, b.mul(b.add(loop.index, constant(1)), lanes))
                for total in totals[:count]:
                    v.add_product(total, weight, v.load(start, at))
                    at = b.add(at, step)
            for i, total in enumerate(totals[:count]):
                v.store(b.load(total), y, b.mul(b.add(q, constant(i)), lanes))

        whole = b.and_(n, constant(-PIXELS))
        with cgutils.for_range_slice(b, constant(0), whole, constant(PIXELS)) as (q, _):
            some(q, PIXELS)
        with cgutils.for_range_slice(b, whole, n, constant(1)) as (q, _):
            some(q, 1)
        return context.get_dummy_value()

    n_ = types.intp
    return types.void(y, x, offsets, x, n_, n_, n_), codegen


@intrinsic
def spread_to_taps(typingctx, x, g, offsets, weights, taps, n, step):
    """x[offsets[k] + q·step] += weights[k]·g[q] for q < n, counted as in `sums_of_taps`."""

    def codegen(context, b, signature, args):
        x, g, offsets, weights, taps, n, step = args
        v = Vectors(b, signature.args[0].dtype)
        lanes = constant(v.lanes)
        with cgutils.for_range(b, n) as pixel:
            gradient = v.load(g, b.mul(pixel.index, lanes))
            start = b.gep(x, [b.mul(pixel.index, step)])
            with cgutils.for_range(b, taps) as loop:
                at = b.load(b.gep(offsets, [loop.index]))
                weight = v.load(weights, b.mul(loop.index, lanes))
                product = b.fmul(weight, gradient, flags=("contract",))
                v.store(b.fadd(v.load(start, at), product, flags=("contract",)), start, at)
        return context.get_dummy_value()

    n_ = types.intp
    return types.void(x, g, offsets, x, n_, n_, n_), codegen


@intrinsic
def products_with_taps(typingctx, sums, g, x, offsets, taps, rows, n, row_step, step):
    """sums[k] += Σ_(p,q) g[p·n + q]·x[offsets[k] + p·row_step + q·step] for p < rows and q < n, all
    of them vectors. There is room for offsets and sums of whole groups of TAPS taps."""

    def codegen(context, b, signature, args):
        sums, g, x, offsets, taps, rows, n, row_step, step = args
        v = Vectors(b, signature.args[0].dtype)
        lanes = constant(v.lanes)
        totals = v.sums(TAPS)
        with cgutils.for_range_slice(b, constant(0), taps, constant(TAPS)) as (k, _):
            for total in totals:
                b.store(v.zero, total)
            taps_ = [b.add(k, constant(i)) for i in range(TAPS)]
            ats = [b.load(b.gep(offsets, [tap])) for tap in taps_]
            with cgutils.for_range(b, rows) as row:
                line = b.gep(x, [b.mul(row.index, row_step)])
                first = b.mul(row.index, n)
                with cgutils.for_range(b, n) as pixel:
                    gradient = v.load(g, b.mul(b.add(first, pixel.index), lanes))
                    start = b.gep(line, [b.mul(pixel.index, step)])
                    for total, at in zip(totals, ats, strict=True):
                        v.add_product(total, gradient, v.load(start, at))
            for total, tap in zip(totals, taps_, strict=True):
                place = b.mul(tap, lanes)
                v.store(b.fadd(v.load(sums, place), b.load(total)), sums, place)
        return context.get_dummy_value()

    n_ = types.intp
    return types.void(sums, g, x, offsets, *[n_] * 5), codegen
