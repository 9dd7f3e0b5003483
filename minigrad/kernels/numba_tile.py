"""The compiled half of convolution: two register tiles, and the loops that feed them.

A tile is a small piece of a result that stays in vector registers while a long sum runs over it.
LLVM's loop vectoriser keeps such sums in memory and reaches a third of the machine's speed, so the
tiles are emitted here as vector instructions. Both read x through a table of offsets; what the
offsets mean (numba_conv derives them) they need not know.

    tile      y[o, j] = Σ_k w[k, o] · x[off[k] + j]     sums over the taps k of a convolution

                       VECS vectors of LANES pixels          per tap: VECS loads of x,
                      j ────────────────────────────►                 ROWS numbers of w,
                   o ┌─────────┬─────────┬─────────┐                  ROWS·VECS vector
       w[k, 0]  ─► │ │ y[0, :] │         │         │                  multiply-adds
       w[k, 1]  ─► │ │ y[1, :] │         │         │
          …        ▼ │   …     │         │         │         8 · 3 sums + 3 of x + 1 of w
       w[k, 7]  ─►   └─────────┴─────────┴─────────┘         fill 28 of 32 registers
                     x[off[k] + j …]

    dot_tile  d[o, k] += Σ_j g[o, j] · x[off[k] + j]    sums over the pixels j, LANES at a time

The functions that call one another share this file, because numba's cache on disk does not notice
changes in another one. Its key contains the CPU and its features, hence also the vector width.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.np.numpy_support import carray

from .launch import exact, intrinsic

# ---------------------------------------------------------------------------- the machine


def cpu_features() -> set[str]:
    """Features of the CPU that numba compiles for, as LLVM writes them: "+avx2", "-avx512f"."""
    return set(cpu_target.target_context.codegen().magic_tuple()[2].split(","))


def _machine() -> tuple[int, int]:
    """Bytes in a vector register and how many registers there are."""
    features = cpu_features()
    if "+avx512f" in features:
        return 64, 32
    if "+avx" in features:
        return 32, 16
    # SSE2 or NEON; where there is neither, LLVM makes scalars of the vectors.
    return 16, 16 if platform.machine() in ("x86_64", "AMD64", "i686") else 32


VECTOR_BYTES, _REGISTERS = _machine()
# Sums in registers, and beside them the operands of one step. Few outputs (the input gradient of a
# first layer has as many as the image has channels) get a flat tile, lest most of it be idle.
ROWS, VECS = (8, 3) if _REGISTERS == 32 else (4, 3)
FLAT_ROWS, FLAT_VECS = (2, 8) if _REGISTERS == 32 else (1, 6)
DOT_ROWS, DOT_TAPS = (4, 6) if _REGISTERS == 32 else (2, 5)

_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _constant(n: int) -> Any:
    return ir.Constant(_I64, n)


class _Vectors:
    """Emits code for vectors of one element type."""

    def __init__(self, builder: Any, element: types.Float) -> None:
        self.b = builder
        self.scalar = ir.FloatType() if element == types.float32 else ir.DoubleType()
        self.bytes = element.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.bytes
        self.type = ir.VectorType(self.scalar, self.lanes)
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)
        suffix = f"v{self.lanes}f{element.bitwidth}"
        get, module = cgutils.get_or_insert_function, builder.module
        three = ir.FunctionType(self.type, [self.type] * 3)
        # fmuladd is one instruction where the CPU has it, and never a call of libm's fma
        self._fma = get(module, three, f"llvm.fmuladd.{suffix}")
        horizontal = ir.FunctionType(self.scalar, [self.scalar, self.type])
        self._sum = get(module, horizontal, f"llvm.vector.reduce.fadd.{suffix}")

    def sums(self, n: int) -> list[Any]:
        """n vectors of zeros; LLVM moves them from the stack into registers."""
        slots = [cgutils.alloca_once(self.b, self.type) for _ in range(n)]
        for slot in slots:
            self.b.store(self.zero, slot)
        return slots

    def add_product(self, slot: Any, a: Any, b: Any) -> None:
        self.b.store(self.b.call(self._fma, [a, b, self.b.load(slot)]), slot)

    def load(self, pointer: Any, at: Any) -> Any:
        place = self.b.bitcast(self.b.gep(pointer, [at]), self.type.as_pointer())
        return self.b.load(place, align=self.bytes)

    def store(self, value: Any, pointer: Any, at: Any) -> None:
        place = self.b.bitcast(self.b.gep(pointer, [at]), self.type.as_pointer())
        self.b.store(value, place, align=self.bytes)

    def broadcast(self, value: Any) -> Any:
        undefined = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = self.b.insert_element(undefined, value, ir.Constant(_I32, 0))
        zeros = ir.Constant(ir.VectorType(_I32, self.lanes), [0] * self.lanes)
        return self.b.shuffle_vector(first, undefined, zeros)

    def from_lane(self, n: Any) -> Any:
        """A mask: lanes n and above."""
        lanes = ir.Constant(ir.VectorType(_I64, self.lanes), list(range(self.lanes)))
        return self.b.icmp_signed(">=", lanes, self.broadcast(n))

    def total(self, vector: Any) -> Any:
        start = ir.Constant(self.scalar, 0.0)
        return self.b.call(self._sum, [start, vector], fastmath=("reassoc",))


def _tile_of(rows: int, vecs: int) -> Any:
    @intrinsic
    def tile(typingctx, x, off, taps, w, y, stride, outs):
        """y[o·stride + j] = Σ_k w[k·ROWS + o]·x[off[k] + j], o < min(outs, rows)."""

        def codegen(context, b, signature, args):
            x, off, taps, w, y, stride, outs = args
            v = _Vectors(b, signature.args[0].dtype)
            sums = v.sums(rows * vecs)
            with cgutils.for_range(b, taps) as loop:
                start = b.gep(x, [b.load(b.gep(off, [loop.index]))])
                xs = [v.load(start, _constant(i * v.lanes)) for i in range(vecs)]
                ws = b.gep(w, [b.mul(loop.index, _constant(ROWS))])
                for o in range(rows):
                    w_o = v.broadcast(b.load(b.gep(ws, [_constant(o)])))
                    for i in range(vecs):
                        v.add_product(sums[o * vecs + i], w_o, xs[i])
            for o in range(rows):
                with b.if_then(b.icmp_signed("<", _constant(o), outs), likely=True):
                    row = b.gep(y, [b.mul(stride, _constant(o))])
                    for i in range(vecs):
                        v.store(b.load(sums[o * vecs + i]), row, _constant(i * v.lanes))
            return context.get_dummy_value()

        pointers = (x, off, types.intp, x, x, types.intp, types.intp)
        return types.void(*pointers), codegen

    return tile


_wide, _wide_end = _tile_of(ROWS, VECS), _tile_of(ROWS, 1)
_flat, _flat_end = _tile_of(FLAT_ROWS, FLAT_VECS), _tile_of(FLAT_ROWS, 1)


@intrinsic
def _dot_tile(typingctx, g, g_image, g_row, last, x, x_image, off, images, pixels, d, d_row):
    """d[o·d_row + k] += Σ_n Σ_j g[n·g_image + min(o, last)·g_row + j]·x[n·x_image + off[k] + j]

    for o < DOT_ROWS, k < DOT_TAPS; the sums run over n < images and j < pixels >= LANES.
    """

    def codegen(context, b, signature, args):
        g, g_image, g_row, last, x, x_image, off, images, pixels, d, d_row = args
        v = _Vectors(b, signature.args[0].dtype)
        lanes = _constant(v.lanes)
        sums = v.sums(DOT_ROWS * DOT_TAPS)
        offsets = [b.load(b.gep(off, [_constant(k)])) for k in range(DOT_TAPS)]
        rows = []
        for o in range(DOT_ROWS):
            within = b.icmp_signed("<", _constant(o), last)
            rows.append(b.mul(b.select(within, _constant(o), last), g_row))

        def step(gs, xs, j, mask):
            def part(p):
                vector = v.load(p, j)
                return vector if mask is None else b.select(mask, vector, v.zero)

            g_parts = [part(p) for p in gs]
            for k in range(DOT_TAPS):
                x_part = part(xs[k])
                for o in range(DOT_ROWS):
                    v.add_product(sums[o * DOT_TAPS + k], g_parts[o], x_part)

        with cgutils.for_range(b, images) as image:
            g_n = b.gep(g, [b.mul(image.index, g_image)])
            x_n = b.gep(x, [b.mul(image.index, x_image)])
            gs = [b.gep(g_n, [row]) for row in rows]
            xs = [b.gep(x_n, [offset]) for offset in offsets]
            rest = b.srem(pixels, lanes)
            whole = b.sub(pixels, rest)
            with cgutils.for_range_slice(b, _constant(0), whole, lanes) as (j, _):
                step(gs, xs, j, None)
            # The last vector ends with the last pixel; what was already summed is masked out, on
            # both sides, for 0 · inf is not 0.
            with b.if_then(b.icmp_signed(">", rest, _constant(0))):
                step(gs, xs, b.sub(pixels, lanes), v.from_lane(b.sub(lanes, rest)))
        for o in range(DOT_ROWS):
            for k in range(DOT_TAPS):
                place = b.gep(d, [b.add(b.mul(d_row, _constant(o)), _constant(k))])
                b.store(b.fadd(b.load(place), v.total(b.load(sums[o * DOT_TAPS + k]))), place)
        return context.get_dummy_value()

    n = types.intp
    return types.void(g, n, n, n, x, n, off, n, n, x, n), codegen


# ---------------------------------------------------------------------------- jobs
# What a worker is told: sizes, and where the arrays lie.

GEOMETRY = ["C", "H", "W", "OH", "OW", "KW", "M", "R", "sh", "sw", "ph", "pw", "dw"]
GEOMETRY += ["lanes", "bands", "size", "residues"]
CALL = ["N", "G", "O", "taps", "parts", "shares", "at_once", "workers", "room"]
CALL += ["images", "g", "weights", "offsets", "scratch"]
JOB = np.dtype([(name, np.int64) for name in GEOMETRY + CALL])


@intrinsic
def _at(typingctx, address, like):
    """An address as a pointer of the kind of `like`; an integer there means a pointer to some."""
    kind = like if isinstance(like, types.CPointer) else types.CPointer(types.intp)

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return kind(types.intp, like), codegen


@intrinsic
def _on(typingctx, pointer, i):
    """The pointer to the element that lies i elements on."""

    def codegen(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), codegen


# ---------------------------------------------------------------------------- windows


@intrinsic
def _copy(typingctx, target, source, n):
    """n elements from source to target."""

    def codegen(context, builder, signature, args):
        size = context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype))
        cgutils.raw_memcpy(builder, args[0], args[1], args[2], size)
        return context.get_dummy_value()

    return types.void(target, target, types.intp), codegen


@intrinsic
def _clear(typingctx, target, n):
    """n zeros to target."""

    def codegen(context, builder, signature, args):
        size = context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype))
        cgutils.memset(builder, args[0], builder.mul(args[1], _constant(size)), 0)
        return context.get_dummy_value()

    return types.void(target, types.intp), codegen


@exact
def _fill(image, job, row0, out):
    """The windows (C, R, KW, M, OW) of image (C, H, W), for the output rows from row0 on.

    Window (c, r, b) holds what tap column b of the kernel meets in channel c: its row m is row
    row0·sh + residues[r] + m·sh - ph of the image, its column q column q·sw + b·dw - pw.
    """
    H, W, OW, M, sh, sw = job.H, job.W, job.OW, job.M, job.sh, job.sw
    residues = carray(_at(job.residues, 0), job.R)
    for _ in range(job.C):
        for r in range(job.R):
            top = row0 * sh - job.ph + residues[r]
            m0 = min(M, (sh - 1 - top) // sh if top < 0 else 0)  # rows m0..m1-1 meet the image
            m1 = max(m0, min(M, (H - 1 - top) // sh + 1))
            for b in range(job.KW):
                left = b * job.dw - job.pw
                q0 = min(OW, (sw - 1 - left) // sw if left < 0 else 0)
                q1 = max(q0, min(OW, (W - 1 - left) // sw + 1))
                _clear(out, m0 * OW)
                _clear(_on(out, m1 * OW), (M - m1) * OW)
                window, plane = carray(out, M * OW), carray(image, H * W)
                if sh == 1 and sw == 1 and OW == W and m0 < m1 and q0 < q1:
                    # Plane and window have equal rows: one long copy, then the columns beside it.
                    start, n = m0 * OW + q0, (m1 - m0 - 1) * OW + q1 - q0
                    _copy(_on(out, start), _on(image, top * W + left + start), n)
                else:
                    for m in range(m0, m1):
                        source = (top + m * sh) * W + left
                        for q in range(q0, q1):
                            window[m * OW + q] = plane[source + q * sw]
                for q in range(q0):
                    for m in range(m0, m1):
                        window[m * OW + q] = 0
                for q in range(q1, OW):
                    for m in range(m0, m1):
                        window[m * OW + q] = 0
                out = _on(out, M * OW)
        image = _on(image, H * W)


# ---------------------------------------------------------------------------- the two sums


def convolve(s, jobs, y):
    """Worker s's share of y (N·G, O, OH·OW) from images (N·G, C, H, W) and packed weights.

    weights (G, O/ROWS, taps, ROWS); scratch (workers, room) takes the windows of a band of rows,
    and behind them ones: the window of the tap that is the bias.
    """
    job = carray(jobs, 1)[0]
    O, OW, L, taps, bands = job.O, job.OW, job.OH * job.OW, job.taps, job.bands
    lanes, blocks = job.lanes, (O + ROWS - 1) // ROWS
    wide = (O + ROWS - FLAT_ROWS - 1) // ROWS  # the blocks with more than FLAT_ROWS outputs
    offsets, images = _at(job.offsets, 0), _at(job.images, y)
    windows = _on(_at(job.scratch, y), s * job.room)
    carray(windows, job.room)[job.size :] = 1
    tasks = job.N * job.G * bands
    for t in range(s * tasks // job.workers, (s + 1) * tasks // job.workers):
        i, band = t // bands, t % bands
        row0, row1 = band * job.OH // bands, (band + 1) * job.OH // bands
        _fill(_on(images, i * job.C * job.H * job.W), job, row0, windows)
        pixels, result = (row1 - row0) * OW, _on(y, i * O * L + row0 * OW)
        weights = _on(_at(job.weights, y), i % job.G * blocks * taps * ROWS)
        # The last tile of a band ends with it. It does some pixels twice, to the same bits.
        j = 0
        while j < pixels:
            many = pixels - j > 2 * lanes and pixels >= VECS * lanes
            span = VECS * lanes if many else lanes
            at = min(j, pixels - span)
            for block in range(wide):
                o = block * ROWS
                w, d = _on(weights, o * taps), _on(result, o * L + at)
                if many:
                    _wide(_on(windows, at), offsets, taps, w, d, L, O - o)
                else:
                    _wide_end(_on(windows, at), offsets, taps, w, d, L, O - o)
            j += span
        j = 0
        o = wide * ROWS
        while j < pixels and wide < blocks:
            many = pixels - j > 4 * lanes and pixels >= FLAT_VECS * lanes
            span = FLAT_VECS * lanes if many else lanes
            at = min(j, pixels - span)
            w, d = _on(weights, o * taps), _on(result, o * L + at)
            if many:
                _flat(_on(windows, at), offsets, taps, w, d, L, O - o)
            else:
                _flat_end(_on(windows, at), offsets, taps, w, d, L, O - o)
            j += span


def weight_gradient(s, jobs, partial):
    """Worker s's part of partial (shares, G·parts, O, taps), from g (N, G, O, OH·OW) and images.

    images (N, G·parts, C, H, W). A task is one [share, group and part]: it sums over its share of
    the images, so that the order of a sum does not depend on the number of workers. O and taps are
    rounded up to whole tiles, and partial holds zeros at first.
    """
    job = carray(jobs, 1)[0]
    N, G, O, L, bands, taps = job.N, job.G, job.O, job.OH * job.OW, job.bands, job.taps
    gp, plane = G * job.parts, job.C * job.H * job.W
    rows = (O + DOT_ROWS - 1) // DOT_ROWS * DOT_ROWS
    offsets, images, g = _at(job.offsets, 0), _at(job.images, partial), _at(job.g, partial)
    windows = _on(_at(job.scratch, partial), s * job.room)
    tasks = job.shares * gp
    for t in range(s * tasks // job.workers, (s + 1) * tasks // job.workers):
        share, part = t // gp, t % gp
        n, end = share * N // job.shares, (share + 1) * N // job.shares
        while n < end:
            count = min(job.at_once, end - n)
            g_n = _on(g, (n * G + part // job.parts) * O * L)
            for band in range(bands):
                row0, row1 = band * job.OH // bands, (band + 1) * job.OH // bands
                for i in range(count):
                    image = _on(images, ((n + i) * gp + part) * plane)
                    _fill(image, job, row0, _on(windows, i * job.size))
                for k in range(0, taps, DOT_TAPS):
                    for o in range(0, O, DOT_ROWS):
                        _dot_tile(
                            _on(g_n, o * L + row0 * job.OW), G * O * L, L, O - 1 - o,
                            windows, job.size, _on(offsets, k), count, (row1 - row0) * job.OW,
                            _on(partial, (t * rows + o) * taps + k), taps,
                        )  # fmt: skip
            n += count
