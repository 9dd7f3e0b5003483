"""The arrays of a page: each once, exact, and cut to what the page has room for."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

from minigrad.tape import Array

ROOM = 400_000  # bytes of all arrays together; base64 makes a third more of them
LIMITS = (1 << 16, 1 << 14, 1 << 12, 1 << 10, 1 << 8, 1 << 6)  # elements of one array


class Pool:
    """Collects arrays; `dump` gives them as data for JSON, in the order of their numbers."""

    def __init__(self) -> None:
        self._arrays: list[Array] = []
        self._numbers: dict[int, int] = {}  # by id: the arrays are kept, so ids stay theirs

    def add(self, array: Any) -> int | None:
        """The number of an array; None for None."""
        if array is None:
            return None
        if id(array) not in self._numbers:
            self._numbers[id(array)] = len(self._arrays)
            self._arrays.append(array)
        return self._numbers[id(array)]

    def __getitem__(self, number: int) -> Array:
        return self._arrays[number]

    def dump(self) -> list[dict[str, Any]]:
        """Shape, dtype, statistics of all elements, and the elements that there is room for."""

        def room(limit: int) -> int:
            return sum(min(a.size, limit) * a.itemsize for a in self._arrays)

        limit = next((n for n in LIMITS if room(n) <= ROOM), LIMITS[-1])
        return [_entry(np.asarray(a), limit) for a in self._arrays]


def _entry(array: Array, limit: int) -> dict[str, Any]:
    plain = array.real if array.dtype.kind == "c" else array
    shown = plain[tuple(slice(n) for n in cut(array.shape, limit))]
    finite = plain[np.isfinite(plain)] if plain.dtype.kind == "f" else plain
    entry: dict[str, Any] = {"shape": array.shape, "dtype": str(array.dtype), "shown": shown.shape}
    entry["kind"], entry["data"] = _encoded(shown)
    if plain.dtype.kind == "f":
        entry["nan"] = int(np.isnan(plain).sum())
        entry["inf"] = int(np.isinf(plain).sum())
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        scale = max(abs(low), abs(high)) or 1.0  # so that no sum overflows
        mean = float((finite / scale).mean(dtype=np.float64) * scale)
        entry |= {"low": low, "high": high, "mean": mean}
    return entry


def cut(shape: tuple[int, ...], limit: int) -> tuple[int, ...]:
    """How much of each axis is shown: the first axes are cut first, images stay whole."""
    shown = list(shape)
    for i in range(len(shape)):
        rest = math.prod(shown[i + 1 :])
        if math.prod(shown) > limit:
            shown[i] = max(1, limit // max(rest, 1))
    return tuple(shown)


def _encoded(array: Array) -> tuple[str, str]:
    """A typed array's name in JavaScript, and the bytes in base64."""
    kind, dtype = "Float64", "<f8"
    if array.dtype.kind == "f" and array.itemsize <= 4:
        kind, dtype = "Float32", "<f4"
    elif array.dtype.kind == "b":
        kind, dtype = "Uint8", "u1"
    elif array.dtype.kind in "iu" and (
        not array.size or (array.min() >= -(1 << 31) and array.max() < 1 << 31)
    ):
        kind, dtype = "Int32", "<i4"
    return kind, base64.b64encode(np.ascontiguousarray(array).astype(dtype).tobytes()).decode()
