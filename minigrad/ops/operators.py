"""Tensor's operators: the op behind each sign."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad.ops import arithmetic, compare, indexing, inplace, linear
from minigrad.tensor import Tensor


def reflected(op: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    """`other op x` as `op(other, x)`."""
    return lambda x, other: op(other, x)


class Operators:
    """Tensor's operators; see `Methods`."""

    __slots__ = ()

    __getitem__ = indexing.getitem
    __setitem__ = indexing.setitem

    __neg__ = arithmetic.neg
    __pos__ = arithmetic.positive
    __abs__ = arithmetic.abs
    __invert__ = compare.bitwise_not

    __add__ = arithmetic.add
    __sub__ = arithmetic.sub
    __mul__ = arithmetic.mul
    __truediv__ = arithmetic.div
    __floordiv__ = arithmetic.floor_divide
    __mod__ = arithmetic.remainder
    __pow__ = arithmetic.pow
    __matmul__ = linear.matmul
    __and__ = compare.bitwise_and
    __or__ = compare.bitwise_or
    __xor__ = compare.bitwise_xor

    __radd__ = reflected(arithmetic.add)
    __rsub__ = reflected(arithmetic.sub)
    __rmul__ = reflected(arithmetic.mul)
    __rtruediv__ = reflected(arithmetic.div)
    __rfloordiv__ = reflected(arithmetic.floor_divide)
    __rmod__ = reflected(arithmetic.remainder)
    __rpow__ = reflected(arithmetic.pow)
    __rmatmul__ = reflected(linear.matmul)
    __rand__ = reflected(compare.bitwise_and)
    __ror__ = reflected(compare.bitwise_or)
    __rxor__ = reflected(compare.bitwise_xor)

    __iadd__ = inplace.add_
    __isub__ = inplace.sub_
    __imul__ = inplace.mul_
    __itruediv__ = inplace.div_
    __ifloordiv__ = inplace.floor_divide_
    __imod__ = inplace.remainder_
    __ipow__ = inplace.pow_

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override] # object's is a bool
        return compare.eq(self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return compare.ne(self, other)

    __lt__ = compare.lt
    __le__ = compare.le
    __gt__ = compare.gt
    __ge__ = compare.ge
    __hash__ = object.__hash__
