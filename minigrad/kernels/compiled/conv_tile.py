"""What convolution needs in vector instructions: two register tiles and Winograd's transforms.

A tile is a small piece of a result that stays in vector registers while a long sum runs over it.
LLVM's loop vectoriser keeps such sums in memory and reaches a third of the machine's speed, so the
tiles are emitted here as vector instructions. Both read x through a table of offsets; what the
offsets mean (conv derives them) they need not know. conv_windows has the loops around them.

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

The key of numba's cache on disk contains the CPU and its features, hence also the vector width.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target

from minigrad.kernels.machinery.launch import intrinsic

# ---------------------------------------------------------------------------- the machine


def cpu_features() -> set[str]:
    """Features of the CPU that numba compiles for, as LLVM writes them: "+avx2", "-avx512f"."""
    context: Any = cpu_target.target_context
    return set(context.codegen().magic_tuple()[2].split(","))


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

I32, I64 = ir.IntType(32), ir.IntType(64)


def constant(n: int) -> Any:
    return ir.Constant(I64, n)


class Vectors:
    """Emits code for vectors of one element type."""

    def __init__(self, builder: Any, element: types.Float, lanes: int = 0) -> None:
        self.b = builder
        self.scalar = ir.FloatType() if element == types.float32 else ir.DoubleType()
        self.bytes = element.bitwidth // 8
        self.lanes = lanes or VECTOR_BYTES // self.bytes
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
        first = self.b.insert_element(undefined, value, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.b.shuffle_vector(first, undefined, zeros)

    def shuffle(self, a: Any, b: Any, lanes: Any) -> Any:
        """The vector of these lanes of a and b, one after the other."""
        return self.b.shuffle_vector(
            a, b, ir.Constant(ir.VectorType(I32, self.lanes), list(lanes))
        )

    def from_lane(self, n: Any) -> Any:
        """A mask: lanes n and above."""
        lanes = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
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
            v = Vectors(b, signature.args[0].dtype)
            sums = v.sums(rows * vecs)
            with cgutils.for_range(b, taps) as loop:
                start = b.gep(x, [b.load(b.gep(off, [loop.index]))])
                xs = [v.load(start, constant(i * v.lanes)) for i in range(vecs)]
                ws = b.gep(w, [b.mul(loop.index, constant(ROWS))])
                for o in range(rows):
                    w_o = v.broadcast(b.load(b.gep(ws, [constant(o)])))
                    for i in range(vecs):
                        v.add_product(sums[o * vecs + i], w_o, xs[i])
            for o in range(rows):
                with b.if_then(b.icmp_signed("<", constant(o), outs), likely=True):
                    row = b.gep(y, [b.mul(stride, constant(o))])
                    for i in range(vecs):
                        v.store(b.load(sums[o * vecs + i]), row, constant(i * v.lanes))
            return context.get_dummy_value()

        pointers = (x, off, types.intp, x, x, types.intp, types.intp)
        return types.void(*pointers), codegen

    return tile


wide, wide_end = _tile_of(ROWS, VECS), _tile_of(ROWS, 1)
flat, flat_end = _tile_of(FLAT_ROWS, FLAT_VECS), _tile_of(FLAT_ROWS, 1)


@intrinsic
def dot_tile(typingctx, g, g_image, g_row, last, x, x_image, off, images, pixels, d, d_row):
    """d[o·d_row + k] += Σ_n Σ_j g[n·g_image + min(o, last)·g_row + j]·x[n·x_image + off[k] + j]

    for o < DOT_ROWS, k < DOT_TAPS; the sums run over n < images and j < pixels >= LANES.
    """

    def codegen(context, b, signature, args):
        g, g_image, g_row, last, x, x_image, off, images, pixels, d, d_row = args
        v = Vectors(b, signature.args[0].dtype)
        lanes = constant(v.lanes)
        sums = v.sums(DOT_ROWS * DOT_TAPS)
        offsets = [b.load(b.gep(off, [constant(k)])) for k in range(DOT_TAPS)]
        rows = []
        for o in range(DOT_ROWS):
            within = b.icmp_signed("<", constant(o), last)
            rows.append(b.mul(b.select(within, constant(o), last), g_row))

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
            with cgutils.for_range_slice(b, constant(0), whole, lanes) as (j, _):
                step(gs, xs, j, None)
            # The last vector ends with the last pixel; what was already summed is masked out, on
            # both sides, for 0 · inf is not 0.
            with b.if_then(b.icmp_signed(">", rest, constant(0))):
                step(gs, xs, b.sub(pixels, lanes), v.from_lane(b.sub(lanes, rest)))
        for o in range(DOT_ROWS):
            for k in range(DOT_TAPS):
                place = b.gep(d, [b.add(b.mul(d_row, constant(o)), constant(k))])
                b.store(b.fadd(b.load(place), v.total(b.load(sums[o * DOT_TAPS + k]))), place)
        return context.get_dummy_value()

    n = types.intp
    return types.void(g, n, n, n, x, n, off, n, n, x, n), codegen


# ---------------------------------------------------------------------------- Winograd
# Those of conv_windows, for as many neighbouring tiles of the image as a vector has lanes. In two
# dimensions, columns are transformed first and then rows.


def _vectors_at(v: Vectors, start: Any, apart: Any) -> list[Any]:
    """Four vectors, which lie `apart`."""
    return [v.load(start, v.b.mul(apart, constant(k))) for k in range(4)]


def _input_transform(v: Vectors, d: list[Any], target: Any, apart: Any) -> None:
    """Bᵀ d: the factors of m0 to m3 that the inputs give, to `target`, `apart` from each other."""
    b, (d0, d1, d2, d3) = v.b, d
    for k, sum_ in enumerate([b.fsub(d0, d2), b.fadd(d1, d2), b.fsub(d2, d1), b.fsub(d1, d3)]):
        v.store(sum_, target, b.mul(apart, constant(k)))


def _output_transform(v: Vectors, m: list[Any]) -> tuple[Any, Any]:
    """Aᵀ m: y0 and y1."""
    b, (m0, m1, m2, m3) = v.b, m
    return b.fadd(b.fadd(m0, m1), m2), b.fsub(b.fsub(m1, m2), m3)


@intrinsic
def input_transform_columns(typingctx, source, target, apart):
    """Of tiles in one row of an image: d0 to d3 of tile q are source[2q] to source[2q + 3]."""

    def codegen(context, b, signature, args):
        source, target, apart = args
        v = Vectors(b, signature.args[0].dtype)
        d = []
        for start in (0, 2):
            a, c = (v.load(source, constant(start + i * v.lanes)) for i in (0, 1))
            d += [v.shuffle(a, c, range(i, 2 * v.lanes, 2)) for i in (0, 1)]
        _input_transform(v, d, target, apart)
        return context.get_dummy_value()

    return types.void(source, source, types.intp), codegen


@intrinsic
def input_transform_rows(typingctx, even, odd, next_row, target, apart):
    """Of tiles below one another: d0 and d2 are at `even` and next_row on, d1 and d3 at `odd`."""

    def codegen(context, b, signature, args):
        even, odd, next_row, target, apart = args
        v = Vectors(b, signature.args[0].dtype)
        d = [v.load(row, start) for start in (constant(0), next_row) for row in (even, odd)]
        _input_transform(v, d, target, apart)
        return context.get_dummy_value()

    return types.void(even, even, types.intp, even, types.intp), codegen


@intrinsic
def filter_transform(typingctx, source, target, apart):
    """G w Gᵀ of ROWS filters, packed (3, 3, ROWS): 16 vectors, which lie `apart`."""

    def codegen(context, b, signature, args):
        source, target, apart = args
        v = Vectors(b, signature.args[0].dtype, ROWS)
        half = ir.Constant(v.type, [0.5] * ROWS)

        def transform(w0, w1, w2):
            outer, middle = b.fmul(b.fadd(w0, w2), half), b.fmul(w1, half)
            return w0, b.fadd(outer, middle), b.fsub(outer, middle), w2

        w = [v.load(source, constant(i * ROWS)) for i in range(9)]
        rows = [transform(*w[i : i + 3]) for i in (0, 3, 6)]
        for k, column in enumerate(zip(*rows, strict=True)):
            for i, component in enumerate(transform(*column)):
                v.store(component, target, b.mul(apart, constant(4 * i + k)))
        return context.get_dummy_value()

    return types.void(source, source, types.intp), codegen


@intrinsic
def output_transform_rows(typingctx, products, apart, even, odd):
    """Of products below one another: y0 to `even` and y1 to `odd`."""

    def codegen(context, b, signature, args):
        products, apart, even, odd = args
        v = Vectors(b, signature.args[0].dtype)
        y0, y1 = _output_transform(v, _vectors_at(v, products, apart))
        v.store(y0, even, constant(0))
        v.store(y1, odd, constant(0))
        return context.get_dummy_value()

    return types.void(products, types.intp, products, products), codegen


@intrinsic
def output_transform_columns(typingctx, m, apart, bias, target, first, second):
    """y0 and y1 of one tile after the other, with the bias, to `target`. Is any not finite?

    What lies beyond the image does not count: the answer is that of the first `first` of the y0 and
    the first `second` of the y1.
    """

    def codegen(context, b, signature, args):
        m, apart, bias, target, *counts = args
        v = Vectors(b, signature.args[0].dtype)
        bias = v.broadcast(bias)
        y0, y1 = (b.fadd(y, bias) for y in _output_transform(v, _vectors_at(v, m, apart)))
        lanes = [i // 2 + i % 2 * v.lanes for i in range(2 * v.lanes)]
        v.store(v.shuffle(y0, y1, lanes[: v.lanes]), target, constant(0))
        v.store(v.shuffle(y0, y1, lanes[v.lanes :]), target, constant(v.lanes))
        zeros = [
            b.select(v.from_lane(n), v.zero, b.fsub(y, y))
            for y, n in zip((y0, y1), counts, strict=True)
        ]
        bad = b.fcmp_unordered("uno", *zeros)
        bits = b.bitcast(bad, ir.IntType(v.lanes))
        return b.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    n = types.intp
    return types.boolean(m, n, m.dtype, m, n, n), codegen
