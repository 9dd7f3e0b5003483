"""Tensor's operators, the op behind each sign, and the properties that ops make."""

from __future__ import annotations

from typing import Any

from minigrad.device import device as device_type
from minigrad.ops import (
    arithmetic,
    compare,
    elementary,
    from_numpy,
    indexing,
    inplace,
    linear,
    shape,
    windows,
)
from minigrad.ops.foreign import operator, reflected
from minigrad.tensor import Tensor

_eq = operator(compare.eq, "==", "__eq__")
_ne = operator(compare.ne, "!=", "__ne__")


class Operators:
    """Tensor's operators and properties; see `Methods`."""

    __slots__ = ()

    __getitem__ = indexing.getitem
    __setitem__ = indexing.setitem

    __neg__ = arithmetic.neg
    __pos__ = arithmetic.positive
    __abs__ = arithmetic.abs
    __invert__ = compare.bitwise_not

    __add__ = operator(arithmetic.add, "+", "__radd__")
    __sub__ = operator(arithmetic.sub, "-", "__rsub__")
    __mul__ = operator(arithmetic.mul, "*", "__rmul__")
    __truediv__ = operator(arithmetic.div, "/", "__rtruediv__")
    __floordiv__ = operator(arithmetic.floor_divide, "//", "__rfloordiv__")
    __mod__ = operator(arithmetic.remainder, "%", "__rmod__")
    __pow__ = operator(elementary.pow, "**", "__rpow__")
    __matmul__ = operator(linear.matmul, "@", "__rmatmul__")
    __and__ = operator(compare.bitwise_and, "&", "__rand__")
    __or__ = operator(compare.bitwise_or, "|", "__ror__")
    __xor__ = operator(compare.bitwise_xor, "^", "__rxor__")

    __radd__ = reflected(arithmetic.add, "+", "__add__")
    __rsub__ = reflected(arithmetic.sub, "-", "__sub__")
    __rmul__ = reflected(arithmetic.mul, "*", "__mul__")
    __rtruediv__ = reflected(arithmetic.div, "/", "__truediv__")
    __rfloordiv__ = reflected(arithmetic.floor_divide, "//", "__floordiv__")
    __rmod__ = reflected(arithmetic.remainder, "%", "__mod__")
    __rpow__ = reflected(elementary.pow, "**", "__pow__")
    __rmatmul__ = reflected(linear.matmul, "@", "__matmul__")
    __rand__ = reflected(compare.bitwise_and, "&", "__and__")
    __ror__ = reflected(compare.bitwise_or, "|", "__or__")
    __rxor__ = reflected(compare.bitwise_xor, "^", "__xor__")

    __iadd__ = operator(inplace.add_, "+=", "__radd__")
    __isub__ = operator(inplace.sub_, "-=", "__rsub__")
    __imul__ = operator(inplace.mul_, "*=", "__rmul__")
    __itruediv__ = operator(inplace.div_, "/=", "__rtruediv__")
    __ifloordiv__ = operator(inplace.floor_divide_, "//=", "__rfloordiv__")
    __imod__ = operator(inplace.remainder_, "%=", "__rmod__")
    __ipow__ = operator(inplace.pow_, "**=", "__rpow__")

    __lshift__ = operator(compare.bitwise_left_shift, "<<", "__rlshift__")
    __rshift__ = operator(compare.bitwise_right_shift, ">>", "__rrshift__")

    __iand__ = operator(inplace.bitwise_and_, "&=", "__rand__")
    __ior__ = operator(inplace.bitwise_or_, "|=", "__ror__")
    __ixor__ = operator(inplace.bitwise_xor_, "^=", "__rxor__")
    __ilshift__ = operator(inplace.bitwise_left_shift_, "<<=", "__rlshift__")
    __irshift__ = operator(inplace.bitwise_right_shift_, ">>=", "__rrshift__")

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override] # object's is a bool
        return _eq(self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return _ne(self, other)

    __lt__ = operator(compare.lt, "<", "__gt__")
    __le__ = operator(compare.le, "<=", "__ge__")
    __gt__ = operator(compare.gt, ">", "__lt__")
    __ge__ = operator(compare.ge, ">=", "__le__")
    __hash__ = object.__hash__

    # What numpy asks: `array + x` and `np.exp(x)`, and np.mean(x).
    __array_ufunc__ = from_numpy.array_ufunc
    __array_function__ = from_numpy.array_function

    @property
    def T(self: Any) -> Tensor:
        """The axes in reverse order."""
        return shape.permute(self, *range(self.ndim)[::-1])

    @property
    def mT(self: Any) -> Tensor:
        """The last two axes exchanged."""
        return shape.transpose(self, -1, -2)

    @property
    def H(self: Any) -> Tensor:
        """The two axes of a real matrix exchanged."""
        if self.ndim not in (0, 2):
            raise RuntimeError(f"H: expected a matrix, got shape {self.shape}: use mT")
        return shape.transpose(self, 0, -1)

    @property
    def mH(self: Any) -> Tensor:
        """The last two axes of real matrices exchanged."""
        return windows.adjoint(self)

    @property
    def real(self: Any) -> Tensor:
        """The real part: of a real tensor the tensor itself."""
        return windows.real(self)

    @property
    def device(self) -> device_type:
        """The CPU."""
        return device_type()

    @property
    def is_cuda(self) -> bool:
        """False."""
        return False

    @property
    def is_sparse(self) -> bool:
        """False."""
        return False

    @property
    def is_quantized(self) -> bool:
        """False."""
        return False

    @property
    def is_mps(self) -> bool:
        """False."""
        return False

    @property
    def nbytes(self: Any) -> int:
        """Bytes of all elements."""
        return int(self.array.nbytes)

    @property
    def itemsize(self: Any) -> int:
        """Bytes of one element."""
        return int(self.array.itemsize)

    @property
    def is_cpu(self) -> bool:
        """True."""
        return True
