"""Addresses in compiled code: arrays come into a C function as integers in a record."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.np.numpy_support import carray

from minigrad.kernels.machinery.arrays import HEAD
from minigrad.kernels.machinery.launch import exact, intrinsic


@intrinsic
def at(typingctx, address, like):
    """An address as a pointer of the kind of `like`; an integer there means a pointer to some."""
    kind = like if isinstance(like, types.CPointer) else types.CPointer(types.intp)

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return kind(types.intp, like), codegen


@intrinsic
def on(typingctx, pointer, i):
    """The pointer to the element that lies i elements on."""

    def codegen(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), codegen


@intrinsic
def start(typingctx, array):
    """The pointer to an array's first element."""
    pointer = types.CPointer(array.dtype)

    def codegen(context, builder, signature, args):
        return context.make_array(array)(context, builder, args[0]).data

    return pointer(array), codegen


@intrinsic
def doubles(typingctx, address):
    """The float64s at an address."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], ir.DoubleType().as_pointer())

    return types.CPointer(types.float64)(types.int64), codegen


@exact
def address(array_id):
    """`arrays.address_of` in compiled code, of an array by its id; 0 for 0."""
    return at(array_id + HEAD, 0)[0] if array_id else 0


@exact
def part(address, like, start, n):
    """n elements from `start` on of the array at an address, of the type that `like` points to."""
    return carray(on(at(address, like), start), n)
