"""Which elements an index names: translated once, for reading, writing and their gradients alike.

PyTorch takes integers, slices and None first, which gives a view, and then picks from that view
with index arrays and masks. numpy counts an integer among the index arrays, and where a slice
stands between the two it puts the axes of the result in another order:

    x of shape (4, 4, 3)        x[0, :, [2]]        PyTorch: (4, 1)        numpy: (1, 4)

So an index becomes two that numpy reads as PyTorch does: here [0, :, :], and of that [:, [2]].
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple, cast

import numpy as np

from minigrad.dtypes import int32, int64
from minigrad.incoming import as_array, is_array, taken
from minigrad.ops.large import picking
from minigrad.tensor import Tensor

ALL = slice(None)
BASIC = (int, slice, type(None))
SEVERAL_FROM = 512  # index entries, below which numpy is as fast with several arrays


class Places(NamedTuple):
    """Places of an array, in two steps."""

    basic: tuple[Any, ...] | None  # gives a view (None: the array as one vector),
    arrays: tuple[Any, ...] | None  # and these pick from that view, unless it is all
    once: bool  # no place can be named twice

    def read(self, a: Any) -> Any:
        """The elements: a view if there are no index arrays, else a copy in row-major order."""
        a = self._view(a)
        if self.arrays is None:
            return a
        *before, last = self.arrays
        one = last.dtype != bool and all(k is ALL for k in before)
        if one and a.size and a.flags.c_contiguous:
            return _slices(a, last, len(before))  # faster than a[...]
        if a.flags.c_contiguous and (rows := self.rows(a)) is not None:
            return _slices(a.reshape(-1, *a.shape[len(self.arrays) :]), rows, 0)
        return np.ascontiguousarray(a[self.arrays])

    def write(self, a: Any, values: Any) -> None:
        """Write the values, which broadcast. Of several for one place the last one stays."""
        a = self._view(a)
        if not self._with_loops("SET", a, values):
            a[... if self.arrays is None else self.arrays] = values

    def add(self, a: Any, values: Any, backend: Any) -> None:
        """Add the values, in their order; to zeros, if no place can be named twice."""
        if self.once or self.arrays is None:
            self.write(a, values)
            return
        a, arrays = self._view(a), self.arrays
        if self._with_loops("ADD", a, values):
            return
        rows = self.rows(a) if a.dtype.kind == "f" and a.flags.c_contiguous else None
        if rows is None:
            np.add.at(a, arrays, values)
            return
        width = math.prod(a.shape[len(arrays) :])
        values = np.broadcast_to(values, rows.shape + a.shape[len(arrays) :]).reshape(-1, width)
        rows = rows.reshape(-1)
        if a.flags.carray and (loops := picking(a, values.size)) is not None:
            loops.write(loops.ADD, a.reshape(-1, width), rows, 0, values)
        elif width == 1:
            np.add.at(a.reshape(-1), rows, values.reshape(-1))
        else:
            backend.add_at_(a.reshape(-1, width), rows, values)

    def _with_loops(self, mode: str, a: Any, values: Any) -> bool:
        """Whether compiled loops wrote or added the values: to slices that one array names."""
        if self.arrays is None or not a.flags.carray:
            return False
        *before, last = self.arrays  # the last is not ALL
        if last.dtype == bool or not all(k is ALL for k in before):
            return False
        shape = (*a.shape[: len(before)], *last.shape, *a.shape[len(self.arrays) :])
        if (loops := picking(a, math.prod(shape))) is None:
            return False
        values = np.asarray(values)
        if values.dtype.kind == "c":
            return False
        if np.may_share_memory(a, values):
            values = values.copy()
        if values.ndim:
            values = np.broadcast_to(values, shape)
        loops.write(getattr(loops, mode), a, last, len(before), values, negative=True)
        return True

    def rows(self, a: Any) -> Any:
        """The indices of all axes up to the last index array as one, for these axes as one: numpy
        takes several times longer for several. None for masks, for slices between index arrays,
        for few elements, and where numpy has an error to raise."""
        arrays: list[Any] = list(self.arrays or ())
        slices = sum(1 for _ in takewhile(lambda k: k is ALL, arrays))
        indices = arrays[slices:]
        if not indices or any(k is ALL or k.dtype == bool for k in indices) or not a.size:
            return None
        if len(arrays) > 1 and max(k.size for k in indices) < SEVERAL_FROM:
            return None
        ndim = max(k.ndim for k in indices)
        for d in range(slices):
            arrays[d] = np.arange(a.shape[d]).reshape(-1, *[1] * (slices - 1 - d + ndim))
        rows: Any = None
        for k, n in zip(arrays, a.shape, strict=False):
            low, high = k.min(initial=0), k.max(initial=0)
            if low < -n or high >= n:
                return None
            k = np.where(k < 0, k + n, k) if low < 0 else k
            rows = k if rows is None else rows * n + k
        return rows

    def stays(self, shape: tuple[int, ...]) -> Any:
        """Which of the values that are written to an array of this shape stay there."""
        numbers = np.empty(shape, np.intp)
        order = np.arange(self.read(numbers).size).reshape(self.read(numbers).shape)
        self.write(numbers, order)
        return self.read(numbers) == order

    def _view(self, a: Any) -> Any:
        if self.basic is None:
            return a.reshape(-1)
        return a[(*self.basic, ...)]  # with the ellipsis, a single element is a view, too


class Along(NamedTuple):
    """The places index[...] along an axis of an array, which stay put along its other axes, where
    the index may be shorter. No number of it is negative. (A tuple: what a vjp keeps in one is
    watched for changes in place.)"""

    index: Any
    axis: int

    @property
    def once(self) -> bool:
        """Whether no place can be named twice."""
        return False

    @property
    def part(self) -> tuple[slice, ...]:
        """What of an array the index may reach."""
        sizes = enumerate(self.index.shape)
        return tuple(slice(None) if d == self.axis else slice(n) for d, n in sizes)

    def read(self, a: Any) -> Any:
        """The elements, in the index's shape."""
        if (loops := self._loops(a)) is not None:
            out = loops.take(a[self.part], self.index, self.axis, each=True)
            if out is not None:
                return out
        return self._flat(a).read(a)

    def write(self, a: Any, values: Any) -> None:
        """Write the values, which broadcast. Of several for one place the last one stays."""
        if not self._with_loops("SET", a, values):
            self._flat(a).write(a, values)

    def add(self, a: Any, values: Any, backend: Any) -> None:
        """Add the values, in their order."""
        if not self._with_loops("ADD", a, values):
            self._flat(a).add(a, values, backend)

    def take_out(self, a: Any) -> Any:
        """The elements, and zeros in their places; an element that several name goes to the last,
        0 to the others."""
        out = np.empty(self.index.shape, a.dtype)
        if self._with_loops("TAKE_OUT", a, out):
            return out
        flat = self._flat(a)
        values = np.where(flat.stays(a.shape), flat.read(a), 0)
        flat.write(a, 0)
        return values

    def _loops(self, a: Any) -> Any:
        return picking(a, max(a.size, self.index.size)) if a.ndim else None

    def _with_loops(self, mode: str, a: Any, values: Any) -> bool:
        loops = self._loops(a)
        if loops is None or not a.flags.carray or values.dtype != a.dtype:
            return False
        if values.ndim and values.shape != self.index.shape:
            values = np.broadcast_to(values, self.index.shape)
        part = a[self.part]
        inside = part if part.flags.carray else part.copy()
        loops.write(getattr(loops, mode), inside, self.index, self.axis, values, each=True)
        if inside is not part:
            part[...] = inside
        return True

    def _flat(self, a: Any) -> Places:
        return Places(None, (self.numbers(a),), False)

    def numbers(self, a: Any) -> Any:
        """Where the places lie in the array as one vector."""
        i, axis, shape = self.index, self.axis, a.shape
        steps = [math.prod(shape[d + 1 :]) for d in range(i.ndim)]  # in row-major order
        grid = np.ogrid[tuple(map(slice, i.shape))]
        rest: Any = sum(grid[d] * steps[d] for d in range(i.ndim) if d != axis)
        numbers = i + rest if not i.ndim or steps[axis] == 1 else i * steps[axis] + rest
        return np.asarray(numbers)


def numbered(places: Places, a: Any) -> Places:
    """The same places of a large contiguous array, by their numbers in it if a mask of its shape is
    given, or integers for all of its axes: these are then made out once, not for each use."""
    if places.arrays is None or any(item != ALL for item in places.basic or ()):
        return places
    if not a.flags.c_contiguous or picking(a, a.size) is None:
        return places
    first, several = places.arrays[0], len(places.arrays)
    if several == 1 and first is not ALL and first.dtype == bool and first.shape == a.shape:
        return Places(None, (np.flatnonzero(first),), True)
    if several == a.ndim > 1 and (rows := places.rows(a)) is not None:
        return Places(None, (rows,), False)
    return places


def _slices(a: Any, index: Any, axis: int) -> Any:
    """The slices along an axis of a contiguous array that an index names."""
    loops = picking(a, index.size * (a.size // a.shape[axis]))
    out = None if loops is None else loops.take(a, index, axis, negative=True)
    return a.take(index, axis) if out is None else out


def places_of(index: Any, ndim: int) -> Places:
    """The places that a user's index names in an array of so many axes.

    Raises:
        IndexError: too many indices, or something that is no index.
        TypeError: a slice of something else than integers and None.
        ValueError: a slice whose step is not positive.
    """
    items = index if type(index) is tuple or _is_tuple(index) else (index,)
    parts = [item if type(item) is int else _part(item) for item in items]
    if all(type(part) in BASIC for part in parts):
        return Places(tuple(parts), None, True)
    rest = ndim - sum(_axes(part) for part in parts)
    if rest < 0:
        raise IndexError(f"too many indices for {ndim} axes")
    basic: list[Any] = []
    arrays: list[Any] = []  # for the axes of the view
    once = True
    for part in parts:
        if part is Ellipsis:
            basic += [ALL] * rest
            arrays += [ALL] * rest
        elif isinstance(part, int):
            basic.append(part)
        elif not isinstance(part, np.ndarray):
            basic.append(part)
            arrays.append(ALL)
        elif part.dtype == bool and not part.ndim:  # x[True] is x[None][[0]], x[False] x[None][[]]
            basic.append(None)
            arrays.append(np.zeros(int(part), np.intp))
        else:
            basic += [ALL] * _axes(part)
            arrays.append(part)
            once = once and part.dtype == bool
    for key in (basic, arrays):  # what a second ellipsis adds stands for no axis
        while key and key[-1] is ALL:
            key.pop()
    return Places(tuple(basic), tuple(arrays) or None, once)


def _is_tuple(index: Any) -> bool:
    """Whether PyTorch reads an index as one for several axes: a tuple, and a short list with
    sequences, tensors, slices, None or an ellipsis in it."""
    if isinstance(index, tuple):
        return True
    if isinstance(index, int | slice | Tensor | np.ndarray) or not isinstance(index, Sequence):
        return False
    several = (Tensor, np.ndarray, Sequence, slice)
    return len(index) < 32 and any(
        item is None or item is Ellipsis or isinstance(item, several) for item in index
    )


def _axes(part: Any) -> int:
    """How many axes a part of an index takes."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == bool else 1


def _part(item: Any) -> Any:
    """One item of an index: an int, a slice, None, an ellipsis, a mask or an array of integers."""
    if item is None or item is Ellipsis:
        return item
    if isinstance(item, slice):
        start, stop, step = _whole(item.start), _whole(item.stop), _whole(item.step)
        if step is not None and step <= 0:
            raise ValueError(f"slice steps must be positive, got {step}: use flip")
        return slice(start, stop, step)
    if isinstance(item, bool | Tensor | np.ndarray):
        return _array(as_array(item), isinstance(item, Tensor))
    if isinstance(item, Sequence) and not isinstance(item, str | bytes):
        return _array(as_array(list(item)), False)
    try:
        if not isinstance(item, np.bool_):  # which numpy 2.0 takes for 0 or 1, with a warning
            return operator.index(cast(Any, item))
    except TypeError:
        if is_array(item) and not isinstance(item, np.generic | bytes):  # another library's
            return _array(taken("getitem", item), False)
    raise IndexError(
        "expected integers, slices, ..., None, or tensors or lists of integers or bools"
    )


def _whole(value: Any) -> int | None:
    return value if value is None or type(value) is int else operator.index(value)


def _array(a: Any, tensor: bool) -> Any:
    """An index array as PyTorch reads it: uint8 as a mask, 0-d integers as integers. Tensors must
    be int64 or int32; arrays and lists become that."""
    if a.dtype.kind == "b":
        return a
    if a.dtype == np.uint8:
        return a.astype(bool)
    if a.dtype.kind in "iu" and not a.ndim:
        return int(a)
    if a.dtype in (int64, int32):
        return a
    if not tensor and (a.dtype.kind in "iu" or not a.size):
        return a.astype(int64)
    raise IndexError(
        f"a tensor used as an index must be integer or bool (int64, int32, bool), got {a.dtype}: "
        "convert it with .long()"
    )
