"""Products of a few rows with the same matrix again and again, as recurrent layers have them.

    y[r, j] = Σ_k a[r, k] · u[k, j]

BLAS copies u, at every call, into the order in which its register tiles read it, which for few rows
takes longer than the product. Here u is packed once: panels of VECS vectors of columns, each with
its K rows one after the other, and behind them what columns are left in panels of one vector,
filled up with zeros. A register tile goes over a panel for up to ROWS rows.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.np.numpy_support import carray

from minigrad.kernels.compiled.conv_rows import Masked, copy_row
from minigrad.kernels.compiled.conv_tile import ROWS, VECS, VECTOR_BYTES, Vectors, constant
from minigrad.kernels.machinery.arrays import Array, address_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import contracted_part, intrinsic, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import at, on

FEW = ROWS // 4  # rows of the low tile, which takes a last one or two

FIELDS = ["u", "row", "column", "taps", "columns", "lanes"]  # steps between the numbers of u; sizes
JOB = np.dtype([(name, np.int64) for name in FIELDS])


def pack(panel, jobs, out):
    """A panel of u, those of VECS vectors first."""
    job = carray(jobs, 1)[0]
    lanes = job.lanes
    whole = job.columns // (VECS * lanes)
    width = VECS * lanes if panel < whole else lanes
    first = panel * width if panel < whole else (whole * VECS + panel - whole) * lanes
    left = min(width, job.columns - first)
    target, source = on(out, first * job.taps), on(at(job.u, out), first * job.column)
    for k in range(job.taps):
        copy_row(on(target, k * width), on(source, k * job.row), job.column, 0, left, width)


def packed(u: Array) -> Array:
    """u (K, columns), which may lie in any order, as `multiply` reads it."""
    size = u.itemsize
    if not u.flags.aligned or any(step % size for step in u.strides):
        u = u.copy()
    (taps, columns), lanes = u.shape, VECTOR_BYTES // size
    whole = columns // (VECS * lanes)
    ends = -(-(columns - whole * VECS * lanes) // lanes)
    out = empty(((whole * VECS + ends) * lanes * taps,), u.dtype)
    job = np.array(
        [address_of(u), *(step // size for step in u.strides), taps, columns, lanes], np.int64
    )
    code = address(pack, JOB, u.dtype)
    run(serial, parallel, whole + ends, out.size, code, job, address_of(out))
    return out


def _tile_of(rows: int, vecs: int) -> Any:
    @intrinsic
    def tile(typingctx, a, a_row, left, panel, taps, add, y, y_row, columns):
        """y[r·y_row + j] = Σ_k a[r·a_row + k]·panel[k·vecs·lanes + j], or += if `add`, for
        r < min(left, rows), the last of which is read in place of those behind, and j < columns
        if there is one vector."""

        def codegen(context, b, signature, args):
            a, a_row, left, panel, taps, add, y, y_row, columns = args
            v = Vectors(b, signature.args[0].dtype)
            masked = Masked(v)
            mask = masked.lanes(constant(0), columns)
            last, starts = b.sub(left, constant(1)), []
            for r in range(rows):
                inside = b.icmp_signed("<", constant(r), left)
                starts.append(b.gep(a, [b.mul(a_row, b.select(inside, constant(r), last))]))
            sums = v.sums(rows * vecs)
            with cgutils.for_range(b, taps) as loop:
                here = b.gep(panel, [b.mul(loop.index, constant(vecs * v.lanes))])
                us = [v.load(here, constant(i * v.lanes)) for i in range(vecs)]
                for r in range(rows):
                    a_r = v.broadcast(b.load(b.gep(starts[r], [loop.index])))
                    for i in range(vecs):
                        v.add_product(sums[r * vecs + i], a_r, us[i])

            def load(place):
                return v.load(place, constant(0)) if vecs > 1 else masked.load(place, mask)

            def store(value, place):
                if vecs > 1:
                    v.store(value, place, constant(0))
                else:
                    masked.store(value, place, mask)

            adds = b.icmp_signed("!=", add, constant(0))
            for r in range(rows):
                with b.if_then(b.icmp_signed("<", constant(r), left), likely=True):
                    for i in range(vecs):
                        slot = sums[r * vecs + i]
                        place = b.gep(y, [b.add(b.mul(y_row, constant(r)), constant(i * v.lanes))])
                        with b.if_then(adds):
                            b.store(b.fadd(load(place), b.load(slot)), slot)
                        store(b.load(slot), place)
            return context.get_dummy_value()

        n = types.intp
        return types.void(a, n, n, a, n, n, a, n, n), codegen

    return tile


_tall, _tall_end = _tile_of(ROWS, VECS), _tile_of(ROWS, 1)
_low, _low_end = _tile_of(FEW, VECS), _tile_of(FEW, 1)


@contracted_part
def multiply(a, a_row, n, panels, taps, columns, lanes, add, y, y_row):
    """y (n, columns) = a (n, taps)·u, or += if `add`; the rows of a and y lie so far apart."""
    wide, j = VECS * lanes, 0
    while j < columns:
        panel, whole, r = on(panels, j * taps), j + wide <= columns, 0
        while r < n:
            rows, place, left = on(a, r * a_row), on(y, r * y_row + j), n - r
            if left > FEW and whole:
                _tall(rows, a_row, left, panel, taps, add, place, y_row, wide)
            elif left > FEW:
                _tall_end(rows, a_row, left, panel, taps, add, place, y_row, columns - j)
            elif whole:
                _low(rows, a_row, left, panel, taps, add, place, y_row, wide)
            else:
                _low_end(rows, a_row, left, panel, taps, add, place, y_row, columns - j)
            r += ROWS if left > FEW else FEW
        j += wide if whole else lanes
