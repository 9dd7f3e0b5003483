"""Dtypes and promotion: which dtype an operation computes in. PyTorch's rules, in one function."""

from __future__ import annotations

from typing import Any

import numpy as np

float16, float32, float64 = np.dtype("f2"), np.dtype("f4"), np.dtype("f8")
uint8, int8, int16, int32, int64 = (np.dtype(k) for k in ("u1", "i1", "i2", "i4", "i8"))
bool_, complex128 = np.dtype("?"), np.dtype("c16")


class NoDtype:
    """A dtype of PyTorch's that no tensor has here. Scripts may name it and compare dtypes with it;
    where a tensor of it is asked for, numpy looks for `dtype`, and finds what to write instead."""

    __slots__ = ("name", "why")

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why

    @property
    def dtype(self) -> Any:
        """Refused."""
        raise TypeError(f"{self.name}: {self.why}")

    def __repr__(self) -> str:
        return f"minigrad.{self.name}"


bfloat16: Any = NoDtype(
    "bfloat16", "numpy has no such dtype: use float32, or float16 to save memory"
)
complex64: Any = NoDtype(
    "complex64",
    "there are no complex tensors: use one for the real part, one for the imaginary",
)

# A dtype's category. Promotion goes to the highest category among the operands.
CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}
# The dtype of plain numbers: by their Python type, and by their category where they are numpy's.
PYTHON_DTYPE = {bool: bool_, int: int64, float: float32, complex: complex128}
WEAK_DTYPE = {"b": bool_, "u": int64, "i": int64, "f": float32, "c": complex128}


def result_dtype(*values: Any) -> np.dtype[Any]:
    """The dtype that an operation on these values computes in: PyTorch's promotion.

    Tensors and arrays with axes decide; 0-d ones and then plain numbers (Python's and numpy's) only
    matter if they bring a higher category (bool < int < float < complex).
    """
    best: list[np.dtype[Any] | None] = [None, None, None]  # with axes, 0-d, plain numbers
    for value in values:
        dtype = getattr(value, "dtype", None)
        if not isinstance(dtype, np.dtype):
            rank, dtype = 2, PYTHON_DTYPE.get(type(value))
            if dtype is None and isinstance(value, int | float):  # an IntEnum's member, say
                dtype = PYTHON_DTYPE[int if isinstance(value, int) else float]
        elif isinstance(value, np.generic):
            rank, dtype = 2, WEAK_DTYPE.get(dtype.kind)
        else:
            rank = 0 if value.ndim else 1
        if dtype is None or dtype.kind not in CATEGORY:
            kind = type(value).__name__
            if kind == "Tensor":  # that of another library
                kind = f"{type(value).__module__}.Tensor: take it by minigrad.as_tensor"
            raise TypeError(f"expected tensors or numbers, got {kind}")
        known = best[rank]
        best[rank] = dtype if known is None else promote(known, dtype)
    result: np.dtype[Any] | None = None
    for candidate in best:
        if candidate is None:
            continue
        if result is None or CATEGORY[candidate.kind] > CATEGORY[result.kind]:
            if result is not None and candidate.kind == "c" and result.kind == "f":
                candidate = promote(candidate, result)
            result = candidate
    if result is None:
        raise TypeError("expected at least one tensor or number")
    return result if result.isnative else native(result)


def native(dtype: Any) -> np.dtype[Any]:
    """A dtype in this machine's byte order, the same object every time."""
    try:
        kind: np.dtype[Any] = np.dtype(dtype)
    except TypeError as error:
        if isinstance(dtype, NoDtype):
            raise
        raise TypeError(
            f"expected a dtype such as minigrad.float32 or its name, got {dtype!r}"
        ) from error
    return kind if kind.isnative else np.dtype(kind.type)


def promote(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """Promote within a category by numpy's rule; across categories the higher one stays."""
    if CATEGORY[a.kind] == CATEGORY[b.kind] or "c" in (a.kind, b.kind):
        return np.promote_types(a, b)
    return a if CATEGORY[a.kind] > CATEGORY[b.kind] else b


def promote_types(type1: Any, type2: Any) -> np.dtype[Any]:
    """The dtype of an operation on tensors of these two.

    >>> mg.promote_types(mg.int64, mg.float32)
    dtype('float32')
    """
    a, b = native(type1), native(type2)
    for given, dtype in ((type1, a), (type2, b)):
        if dtype.kind not in CATEGORY:
            raise TypeError(f"promote_types: there are no tensors of dtype {given!r}")
    return native(promote(a, b))


class finfo:
    """The limits of a floating dtype, as Python's numbers.

    >>> mg.finfo(mg.float32).eps
    1.1920928955078125e-07
    """

    def __init__(self, type: Any = float32) -> None:
        dtype = native(type)
        if dtype.kind != "f":
            raise TypeError(f"finfo: expected a floating dtype, got {dtype}: use iinfo")
        limits: Any = np.finfo(dtype)
        self.dtype = str(dtype)
        self.bits = int(limits.bits)
        self.eps = float(limits.eps)
        self.max = float(limits.max)
        self.min = float(limits.min)
        self.tiny = self.smallest_normal = float(limits.tiny)
        self.resolution = float(f"1e-{limits.precision}")

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.tiny:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:
    """The limits of an integer dtype.

    >>> mg.iinfo(mg.int8).max
    127
    """

    def __init__(self, type: Any) -> None:
        dtype = native(type)
        if dtype.kind not in "iu":
            raise TypeError(f"iinfo: expected an integer dtype, got {dtype}: use finfo")
        limits: Any = np.iinfo(dtype)
        self.dtype = str(dtype)
        self.bits = int(limits.bits)
        self.max = int(limits.max)
        self.min = int(limits.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
