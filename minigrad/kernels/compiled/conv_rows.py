"""Rows of pixels, copied and added in vector instructions, for convolution.

They are short and seldom a multiple of a vector: masks leave alone what is beside them.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from minigrad.kernels.compiled.conv_tile import I32, I64, Vectors, constant
from minigrad.kernels.machinery.launch import intrinsic


@intrinsic
def copy(typingctx, target, source, n):
    """n elements from source to target."""

    def codegen(context, builder, signature, args):
        size = context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype))
        cgutils.raw_memcpy(builder, args[0], args[1], args[2], size)
        return context.get_dummy_value()

    return types.void(target, target, types.intp), codegen


class Masked:
    """Loads and stores of those of a vector's lanes that a mask has."""

    def __init__(self, v: Vectors) -> None:
        self.v = v
        get, module = cgutils.get_or_insert_function, v.b.module
        pointer, mask = v.scalar.as_pointer(), ir.VectorType(ir.IntType(1), v.lanes)
        kind = f"v{v.lanes}f{8 * v.bytes}.p0"
        load = ir.FunctionType(v.type, [pointer, I32, mask, v.type])
        store = ir.FunctionType(ir.VoidType(), [v.type, pointer, I32, mask])
        spread = ir.VectorType(pointer, v.lanes)
        gather = ir.FunctionType(v.type, [spread, I32, mask, v.type])
        self._load = get(module, load, f"llvm.masked.load.{kind}")
        self._gather = get(
            module, gather, f"llvm.masked.gather.v{v.lanes}f{8 * v.bytes}.v{v.lanes}p0"
        )
        self._store = get(module, store, f"llvm.masked.store.{kind}")
        self._align = ir.Constant(I32, v.bytes)
        self._lanes = ir.Constant(ir.VectorType(I32, v.lanes), list(range(v.lanes)))

    def lanes(self, first: Any, last: Any) -> Any:
        """Those from first to last - 1; of a negative or large number, as it says."""
        b = self.v.b
        first, last = (self.v.broadcast(b.trunc(n, I32)) for n in (first, last))
        above = b.icmp_signed(">=", self._lanes, first)
        return b.and_(above, b.icmp_signed("<", self._lanes, last))

    def load(self, pointer: Any, mask: Any) -> Any:
        return self.v.b.call(self._load, [pointer, self._align, mask, self.v.zero])

    def gather(self, pointer: Any, step: Any, mask: Any) -> Any:
        """Elements that lie `step` apart."""
        b, v = self.v.b, self.v
        numbers = ir.Constant(ir.VectorType(I64, v.lanes), [i * v.bytes for i in range(v.lanes)])
        places = b.add(v.broadcast(b.ptrtoint(pointer, I64)), b.mul(numbers, v.broadcast(step)))
        spread = b.inttoptr(places, ir.VectorType(pointer.type, v.lanes))
        return b.call(self._gather, [spread, self._align, mask, v.zero])

    def store(self, value: Any, pointer: Any, mask: Any) -> None:
        self.v.b.call(self._store, [value, pointer, self._align, mask])


@intrinsic
def copy_row(typingctx, target, source, step, first, last, n):
    """target[q] = source[q·step] for first <= q < last, else 0, for q < n."""

    def codegen(context, b, signature, args):
        target, source, step, first, last, n = args
        v = Vectors(b, signature.args[0].dtype)
        masked, zero = Masked(v), constant(0)

        def copy(load):
            with cgutils.for_range_slice(b, zero, n, constant(v.lanes)) as (q, _):
                row = load(q, b.sub(first, q), b.sub(last, q))
                masked.store(row, b.gep(target, [q]), masked.lanes(zero, b.sub(n, q)))

        def every_one(q, first, last):
            return masked.load(b.gep(source, [q]), masked.lanes(first, last))

        def every_second(q, first, last):
            parts = []
            for i in (0, v.lanes):
                low, high = (b.sub(b.mul(x, constant(2)), constant(i)) for x in (first, last))
                start = b.gep(source, [b.add(b.mul(q, constant(2)), constant(i))])
                parts.append(masked.load(start, masked.lanes(low, b.sub(high, constant(1)))))
            return v.shuffle(parts[0], parts[1], range(0, 2 * v.lanes, 2))

        def others(q, first, last):
            return masked.gather(b.gep(source, [b.mul(q, step)]), step, masked.lanes(first, last))

        with b.if_else(b.icmp_signed("==", step, constant(1)), likely=True) as (one, more):
            with one:
                copy(every_one)
            with more, b.if_else(b.icmp_signed("==", step, constant(2))) as (two, rest):
                with two:
                    copy(every_second)
                with rest:
                    copy(others)
        return context.get_dummy_value()

    n_ = types.intp
    return types.void(target, target, n_, n_, n_, n_), codegen


@intrinsic
def add_to_row(typingctx, target, source, first, last):
    """target[q] += source[q] for first <= q < last."""

    def codegen(context, b, signature, args):
        target, source, first, last = args
        v = Vectors(b, signature.args[0].dtype)
        masked = Masked(v)
        with cgutils.for_range_slice(b, first, last, constant(v.lanes)) as (q, _):
            some, place = masked.lanes(constant(0), b.sub(last, q)), b.gep(target, [q])
            sums = b.fadd(masked.load(place, some), masked.load(b.gep(source, [q]), some))
            masked.store(sums, place, some)
        return context.get_dummy_value()

    n_ = types.intp
    return types.void(target, target, n_, n_), codegen
