"""PyTorch's `torch.testing`: whether results are what a test expects of them."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minigrad.checks import number
from minigrad.dtypes import promote_types
from minigrad.incoming import as_array
from minigrad.tensor import Tensor

__all__ = ["assert_close"]

# rtol and atol by dtype, PyTorch's; what is not a float must be equal.
TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex128": (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise an AssertionError unless |actual - expected| <= atol + rtol·|expected| everywhere.

    Args:
        actual: a tensor, an array, a number, a bool, None, or sequences and mappings of them.
        expected: the same; a parameter is a tensor, an array is not.
        allow_subclasses: let a parameter be compared with a tensor.
        rtol: the tolerance in parts of `expected`, given together with `atol`. By default both are
            those of the dtype, the larger of two: float16 1e-3 and 1e-5, float32 1.3e-6 and 1e-5,
            float64 1e-7 and 1e-7, and 0 for integers and bools.
        atol: the tolerance that is added to it.
        equal_nan: let a NaN be equal to a NaN.
        check_device: accepted; there is one device only.
        check_dtype: refuse different dtypes, or numbers of different types.
        check_layout: accepted; there is one layout only.
        check_stride: refuse different strides.
        msg: stands in the place of the message, or makes another of it.

    >>> mg.testing.assert_close(mg.tensor([1.0, 2.0]), mg.tensor([1.0, 2.5]))
    Traceback (most recent call last):
    AssertionError: Tensor-likes are not close!
    <BLANKLINE>
    Mismatched elements: 1 / 2 (50.0%)
    Greatest absolute difference: 0.5 at index (1,) (up to 1e-05 allowed)
    Greatest relative difference: 0.20000000298023224 at index (1,) (up to 1.3e-06 allowed)
    """
    __tracebackhide__ = True  # pytest shows the caller's line
    if (rtol is None) != (atol is None):
        raise ValueError(
            f"assert_close: rtol and atol must be given together, got no "
            f"{'rtol' if rtol is None else 'atol'}"
        )
    tolerances = None
    if rtol is not None and atol is not None:
        tolerances = (
            number("assert_close", "rtol", rtol, at_least=0),
            number("assert_close", "atol", atol, at_least=0),
        )
    for place, a, b in list(_pairs("", actual, expected, allow_subclasses)):
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            found = _arrays(a, b, tolerances, equal_nan, check_dtype, check_stride)
        else:
            found = _values(a, b, tolerances, equal_nan, check_dtype)
        if found:
            found += _at(place)
            raise AssertionError(msg(found) if callable(msg) else msg or found)


def _at(place: str) -> str:
    return f"\n\nThe failure occurred for item {place}" if place else ""


def _pairs(
    place: str, actual: Any, expected: Any, subclasses: bool
) -> Iterator[tuple[str, Any, Any]]:
    """What is compared with what, and its place in the sequences and mappings: two arrays, two
    numbers or bools, or two values one of which is None."""
    kinds = type(actual), type(expected)

    def both(kind: Any) -> bool:
        return isinstance(actual, kind) and isinstance(expected, kind)

    if both(Sequence) and str not in kinds and bytes not in kinds:
        if len(actual) != len(expected):
            raise AssertionError(
                f"The length of the sequences mismatch: {len(actual)} != {len(expected)}"
                f"{_at(place)}"
            )
        for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
            yield from _pairs(f"{place}[{i}]", a, b, subclasses)
    elif both(Mapping):
        missing, more = expected.keys() - actual.keys(), actual.keys() - expected.keys()
        if missing or more:
            raise AssertionError(
                "The keys of the mappings do not match:\nMissing keys in the actual mapping: "
                f"{sorted(missing, key=repr)}\nAdditional keys in the actual mapping: "
                f"{sorted(more, key=repr)}{_at(place)}"
            )
        for key in expected:
            yield from _pairs(f"{place}[{key!r}]", actual[key], expected[key], subclasses)
    elif actual is None or expected is None:
        yield place, actual, expected
    elif both(numbers.Number | np.bool_):
        yield place, *(x.item() if isinstance(x, np.generic) else x for x in (actual, expected))
    elif (both(Tensor) or both(np.ndarray)) and (subclasses or kinds[0] is kinds[1]):
        name = "assert_close"
        yield place, as_array(actual, name=name), as_array(expected, name=name)
    else:
        raise TypeError(
            "assert_close: expected two tensors, two arrays, two numbers, or sequences or mappings "
            f"of them, got {kinds[0].__name__} and {kinds[1].__name__}{_at(place)}"
        )


def _tolerances(*dtypes: Any) -> tuple[float, float]:
    found = [TOLERANCES.get(np.dtype(dtype).name, (0.0, 0.0)) for dtype in dtypes]
    return max(rtol for rtol, _ in found), max(atol for _, atol in found)


def _values(a: Any, b: Any, tolerances: Any, equal_nan: bool, check_type: bool) -> str:
    """What is wrong with numbers, bools or None; nothing if they are close."""
    if a is None or b is None:
        return "" if a is b else f"None mismatch: {a} is not {b}"
    if isinstance(a, bool) and isinstance(b, bool):
        return "" if a is b else f"Booleans mismatch: {a} is not {b}"
    if check_type and type(a) is not type(b):
        return f"The (d)types do not match: {type(a)} != {type(b)}."
    rtol, atol = tolerances or _tolerances(type(a), type(b))
    gap = abs(a - b)
    if a == b or (equal_nan and a != a and b != b):
        return ""
    return "" if gap < np.inf and gap <= atol + rtol * abs(b) else _scalars(a, b, rtol, atol)


def _arrays(
    a: Any, b: Any, tolerances: Any, equal_nan: bool, check_dtype: bool, check_stride: bool
) -> str:
    """What is wrong with arrays, or nothing."""
    steps = [tuple(s // max(x.itemsize, 1) for s in x.strides) for x in (a, b)]
    for name, checked, mine, theirs in (
        ("shape", True, a.shape, b.shape),
        ("dtype", check_dtype, a.dtype, b.dtype),
        ("stride()", check_stride, *steps),
    ):
        if checked and mine != theirs:
            return f"The values for attribute {name!r} do not match: {mine} != {theirs}."
    rtol, atol = tolerances or _tolerances(a.dtype, b.dtype)
    dtype = promote_types(a.dtype, b.dtype)
    dtype = dtype if dtype.kind in "fc" else np.dtype(np.int64)  # in bytes, differences wrap around
    a, b = a.astype(dtype), b.astype(dtype)
    with np.errstate(all="ignore"):
        gap, close = np.abs(a - b), a == b
        if rtol or atol:
            close |= np.isfinite(gap) & (gap <= atol + rtol * np.abs(b))
        if equal_nan:
            close |= np.isnan(a) & np.isnan(b)
        if close.all():
            return ""
        if not close.shape:
            return _scalars(a.item(), b.item(), rtol, atol)
        ratio = np.where(close, 0, gap / np.abs(b))
    gap = np.where(close, 0, gap)
    apart = int((~close).sum())
    lines = [f"Mismatched elements: {apart} / {close.size} ({apart / close.size:.1%})"]
    for what, x, allowed in (("absolute", gap, atol), ("relative", ratio, rtol)):
        worst = tuple(int(i) for i in np.unravel_index(x.argmax(), x.shape))
        difference = f"Greatest {what} difference: {x[worst].item()} at index {worst}"
        lines.append(difference + (f" (up to {allowed} allowed)" if rtol or atol else ""))
    return "\n".join([_head("Tensor-likes", rtol, atol), *lines])


def _scalars(a: Any, b: Any, rtol: float, atol: float) -> str:
    lines = [f"Expected {b} but got {a}."]
    gap = abs(a - b)
    ratio = gap / abs(b) if b else np.inf
    for what, x, allowed in (("Absolute", gap, atol), ("Relative", ratio, rtol)):
        lines.append(
            f"{what} difference: {x}" + (f" (up to {allowed} allowed)" if rtol or atol else "")
        )
    return "\n".join([_head("Scalars", rtol, atol), *lines])


def _head(what: str, rtol: float, atol: float) -> str:
    return f"{what} are not {'close' if rtol or atol else 'equal'}!\n"
