"""Joining and splitting, repeating and padding."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Unpack

import numpy as np

from minigrad.checks import axis_of, integer, integers, one_of
from minigrad.dtypes import result_dtype
from minigrad.incoming import as_array, fitting
from minigrad.kernels import empty, placed
from minigrad.names import Axis, numpy_names
from minigrad.ops.indexing import index_select
from minigrad.ops.large import resampled
from minigrad.ops.shape import (
    broadcast_tensors,
    clone,
    narrow,
    reshape,
    sizes_of,
    sliced,
    transpose,
)
from minigrad.recording import fit, operand, record, record_each, require
from minigrad.tensor import Tensor, wrap


@numpy_names
def cat(tensors: Sequence[Any], dim: int = 0, **names: Unpack[Axis]) -> Tensor:
    """Tensors joined along an existing axis.

    >>> mg.cat([mg.zeros(2), mg.ones(1)])
    tensor([0., 0., 1.])
    """
    return joined("cat", tensors, dim)


def joined(name: str, tensors: Sequence[Any], dim: int) -> Tensor:
    """`cat`, under the name of the op that joins."""
    # dL/dx_i = the piece of g that came from x_i
    if isinstance(tensors, Tensor):
        raise TypeError(f"{name}: expected a sequence of tensors, got one tensor")
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError(f"{name}: expected at least one tensor")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor | np.ndarray):
            raise TypeError(f"{name}: expected tensors, got {type(x).__name__} at position {i}")
    arrays = [as_array(x) for x in tensors]
    kept = [i for i, a in enumerate(arrays) if a.shape != (0,)] or [0]  # (0,) fits any shape
    first = arrays[kept[0]]
    if first.ndim == 0:
        raise RuntimeError(f"{name}: 0-d tensors cannot be joined: use stack")
    position = axis_of(name, dim, first.ndim)
    for i in kept:
        a = arrays[i]
        if a.ndim != first.ndim or any(
            m != n
            for d, (m, n) in enumerate(zip(a.shape, first.shape, strict=True))
            if d != position
        ):
            raise RuntimeError(
                f"{name}: tensor {i} has shape {a.shape}, expected {first.shape} except along "
                f"dim {position}"
            )
    dtype = result_dtype(*tensors)
    pieces = [arrays[i].astype(dtype, copy=False) for i in kept]
    ends = list(itertools.accumulate((p.shape[position] for p in pieces), initial=0))
    spots = [(*[slice(None)] * position, slice(*pair)) for pair in itertools.pairwise(ends)]
    out = empty((*first.shape[:position], ends[-1], *first.shape[position + 1 :]), dtype)
    np.concatenate(pieces, position, out)
    skipped = {i: a for i, a in enumerate(arrays) if i not in kept}
    dtypes, count = [a.dtype for a in arrays], len(arrays)

    def vjp(g: Any) -> Any:
        parts = dict(zip(kept, (g[spot] for spot in spots), strict=True))
        return [
            np.zeros(0, dtypes[i]) if i in skipped else fit(parts[i], parts[i].shape, dtypes[i])
            for i in range(count)
        ]

    return record(name, out, tensors, vjp)


concat = concatenate = cat


@numpy_names
def stack(tensors: Sequence[Any], dim: int = 0, **names: Unpack[Axis]) -> Tensor:
    """Tensors of one shape joined along a new axis.

    >>> mg.stack([mg.zeros(2), mg.ones(2)])
    tensor([[0., 0.],
            [1., 1.]])
    """
    # dL/dx_i = g at i along the new axis
    tensors = [x if isinstance(x, Tensor) else wrap(as_array(x)) for x in tensors]
    if not tensors:
        raise RuntimeError("stack: expected at least one tensor")
    for i, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise RuntimeError(
                f"stack: tensor {i} has shape {x.shape}, expected {tensors[0].shape}"
            )
    position = axis_of("stack", dim, tensors[0].ndim + 1)
    dtype, dtypes = result_dtype(*tensors), [x.dtype for x in tensors]
    out = np.stack([x.array.astype(dtype, copy=False) for x in tensors], position)

    def vjp(g: Any) -> Any:
        parts = np.moveaxis(g, position, 0)
        return [fit(part, part.shape, dtype) for part, dtype in zip(parts, dtypes, strict=True)]

    return record("stack", out, tensors, vjp)


@numpy_names
def split(
    tensor: Any,
    split_size_or_sections: Any = None,
    dim: int = 0,
    split_size: Any = None,
    **names: Unpack[Axis],
) -> tuple[Tensor, ...]:
    """Pieces of one size (the last may be smaller) or of the listed sizes along `dim`. The method
    has them as `split_size`."""
    require("split", tensor=tensor)
    if (split_size is None) == (split_size_or_sections is None):
        raise TypeError("split: expected a size, or a list of sizes, for the pieces")
    if split_size is not None:
        split_size_or_sections = split_size
    a = operand("split", tensor)
    axis = axis_of("split", dim, a.ndim)
    if not a.ndim:
        raise RuntimeError("split: a 0-d tensor has no axis to take apart")
    n = a.shape[axis]
    if not isinstance(split_size_or_sections, tuple | list):
        size = integer("split", "split_size", split_size_or_sections, None)
        if size < 0 or (size == 0 and n):
            raise RuntimeError(f"split: the size must be positive, got {size}")
        sections = [min(size, n - i) for i in range(0, n, size or 1)] or [0]
    else:
        sections = list(integers("split", "sections", split_size_or_sections, minimum=None))
        if sum(sections) != n or min(sections, default=0) < 0:
            raise RuntimeError(f"split: sections {sections} do not add up to {n} (dim {axis})")
    starts = np.cumsum([0, *sections]).tolist()
    before = (slice(None),) * axis
    keys = [(*before, slice(i, j)) for i, j in itertools.pairwise(starts)]
    return tuple([sliced("narrow", tensor, a, key) for key in keys])


@numpy_names
def split_with_sizes(
    input: Any, split_sizes: Any, dim: int = 0, **names: Unpack[Axis]
) -> tuple[Tensor, ...]:
    """`split` into pieces of the listed sizes."""
    require("split_with_sizes", input=input)
    return split(input, list(split_sizes), dim)


@numpy_names
def chunk(input: Any, chunks: int, dim: int = 0, **names: Unpack[Axis]) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size (the last may be smaller)."""
    a, chunks = operand("chunk", input), integer("chunk", "chunks", chunks, None)
    if not a.ndim:
        raise RuntimeError("chunk: a 0-d tensor has no axis to take apart")
    if chunks < 1:
        raise RuntimeError(f"chunk: chunks must be positive, got {chunks}")
    n = a.shape[axis_of("chunk", dim, a.ndim)]
    return split(input, max(-(-n // chunks), 1), dim) if n else (narrow(input, dim, 0, 0),) * chunks


@numpy_names
def unbind(input: Any, dim: int = 0, **names: Unpack[Axis]) -> tuple[Tensor, ...]:
    """The slices along `dim`, without that axis."""
    a = operand("unbind", input)
    if not a.ndim:
        raise IndexError("unbind: a 0-d tensor has no axis to take apart")
    axis = axis_of("unbind", dim, a.ndim)
    before = (slice(None),) * axis
    return tuple([sliced("select", input, a, (*before, i, ...)) for i in range(a.shape[axis])])


def flip(input: Any, *axes: Any, dims: Any = ()) -> Tensor:
    """The order reversed along the given axes."""
    a = operand("flip", input)
    axes = tuple(axis_of("flip", d, a.ndim) for d in sizes_of("flip", axes or (dims,)))
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"flip: dims {axes} name an axis twice")
    if not a.ndim:
        return clone(input)
    return record_each("flip", np.flip(a, axes).copy(), (input, lambda g: np.flip(g, axes)))


def roll(input: Any, shifts: Any, dims: Any = None) -> Tensor:
    """Elements shifted along axes, coming in again at the other end."""
    a = operand("roll", input)
    shifts = sizes_of("roll", (shifts,))
    if dims is None or dims == ():
        axes, count = None, 1  # of all elements in one row
    else:
        axes = tuple(axis_of("roll", d, a.ndim) for d in sizes_of("roll", (dims,)))
        count = len(axes)
    if len(shifts) != count:
        raise RuntimeError(f"roll: {len(shifts)} shifts for dims {dims}, expected {count}")
    if axes is not None and not a.ndim:
        raise IndexError("roll: a 0-d tensor has no dims: leave them out")
    back = tuple(-s for s in shifts)
    if axes is None:
        shifts, back = shifts[0], back[0]
    return record_each("roll", np.roll(a, shifts, axes), (input, lambda g: np.roll(g, back, axes)))


def tile(input: Any, *times: Any, dims: Any = ()) -> Tensor:
    """The tensor repeated dims[i] times along each axis; missing axes come in front."""
    a, times = operand("tile", input), sizes_of("tile", times or (dims,))
    return repeat(input, (1,) * (a.ndim - len(times)) + times)


def repeat(input: Any, *sizes: Any) -> Tensor:
    """The tensor repeated sizes[i] times along each axis; sizes beyond its axes come in front."""
    # dL/dx = g summed over the repetitions
    a, times = operand("repeat", input), sizes_of("repeat", sizes)
    if len(times) < a.ndim or min(times, default=0) < 0:
        raise RuntimeError(f"repeat: sizes {times} for a tensor of shape {a.shape}")
    shape = (1,) * (len(times) - a.ndim) + a.shape
    split_shape = [n for pair in zip(times, shape, strict=True) for n in pair]  # (times, size) …
    old, repeats = a.shape, tuple(range(0, 2 * len(times), 2))
    return record_each(
        "repeat",
        np.tile(a, times),
        (input, lambda g: g.reshape(split_shape).sum(axis=repeats).reshape(old)),
    )


@numpy_names
def repeat_interleave(
    input: Any, repeats: Any, dim: int | None = None, *, output_size: int | None = None,
    **names: Unpack[Axis],
) -> Tensor:  # fmt: skip
    """Each element (or slice along `dim`) repeated in place, all equally often or each as often as
    a vector says; `output_size`, a hint, is not needed here."""
    a, times = operand("repeat_interleave", input), as_array(repeats)
    if times.dtype.kind not in "iu" or times.ndim > 1 or (times.size and times.min() < 0):
        raise RuntimeError(
            "repeat_interleave: repeats must be a non-negative integer or a vector of them, got "
            f"{repeats!r}"
        )
    if dim is None:
        return repeat_interleave(reshape(input, -1), repeats, 0)
    if not a.ndim:
        raise IndexError("repeat_interleave: a 0-d tensor has no axis: leave dim out")
    axis = axis_of("repeat_interleave", dim, a.ndim)
    size = a.shape[axis]
    if times.size not in (1, size):
        raise RuntimeError(f"repeat_interleave: {times.size} repeats for {size} slices")
    return index_select(input, axis, np.repeat(np.arange(size), times))


def pad(
    input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Pad the last axes by (left, right, top, bottom, …); negative numbers crop.

    mode: "constant" (with `value`, default 0), "reflect", "replicate" or "circular".
    """
    # dL/dx = g at the places where x went, summed where it went to several
    a = operand("pad", input)
    one_of("pad", "mode", mode, ("constant", "reflect", "replicate", "circular"))
    amounts = integers("pad", "pad", pad, minimum=None)
    if len(amounts) % 2 or len(amounts) > 2 * a.ndim:
        raise RuntimeError(f"pad: {len(amounts)} amounts for a tensor of shape {a.shape}")
    pairs = [(0, 0)] * (a.ndim - len(amounts) // 2)
    pairs += [(amounts[i], amounts[i + 1]) for i in range(len(amounts) - 2, -1, -2)]
    for n, (before, after) in zip(a.shape, pairs, strict=True):
        if n + before + after < 0:
            raise RuntimeError(f"pad: amounts {amounts} crop more than shape {a.shape} has")
    if mode != "constant":
        out = _pad_from_inside(input, pairs, mode)
        return clone(input) if out is input else out
    grown = [(max(b, 0), max(e, 0)) for b, e in pairs]
    crop = tuple(
        slice(max(-b, 0), n - max(-e, 0)) for n, (b, e) in zip(a.shape, pairs, strict=True)
    )
    fill = fitting("pad", 0 if value is None else value, a.dtype)
    shape, kept = a.shape, a[crop]
    size = tuple(n + b + e for n, (b, e) in zip(kept.shape, grown, strict=True))
    inner = tuple(slice(b, n - e) for n, (b, e) in zip(size, grown, strict=True))
    out = placed(size, inner, kept, fill)
    return record_each("pad", out, (input, lambda g: placed(shape, crop, g[inner])))


def _pad_from_inside(x: Any, pairs: list[tuple[int, int]], mode: str) -> Any:
    """Every padded element is a copy of an inner one: an index along each padded axis."""
    a: Any = as_array(x)
    sizes = {
        axis: (n, *pair)
        for axis, (n, pair) in enumerate(zip(a.shape, pairs, strict=True))
        if pair != (0, 0)
    }
    for n, before, after in sizes.values():
        if mode == "circular" and max(before, after) > n:
            raise RuntimeError(f"pad: circular padding {before, after} is larger than size {n}")
        if mode == "reflect" and max(before, after) >= n:
            raise RuntimeError(f"pad: reflect padding {before, after} must be below size {n}")
    if not sizes:
        return x
    large = resampled(a, lambda m: {axis: _padding(m, mode, *s) for axis, s in sizes.items()})
    if large is not None:
        return record_each("pad", large[0], (x, large[1]))
    for axis, size in sizes.items():
        x = index_select(x, axis, _inner(mode, *size))
    return x


def _inner(mode: str, n: int, before: int, after: int) -> Any:
    """Which of n elements each padded one is."""
    i = np.arange(-before, n + after)
    if mode == "replicate":
        return np.clip(i, 0, n - 1)
    if mode == "reflect":
        return n - 1 - np.abs(n - 1 - np.abs(i))
    inner = np.arange(n)[max(-before, 0) : n - max(-after, 0)]  # what is cropped goes first
    return inner[np.arange(-max(before, 0), inner.size + max(after, 0)) % max(inner.size, 1)]


@lru_cache(32)
def _padding(matrix: Any, mode: str, n: int, *around: int) -> Any:
    return matrix.of_taps(n, [(_inner(mode, n, *around), None)])


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of a grid."""
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = tuple(tensors[0])
    one_of("meshgrid", "indexing", indexing, ("ij", "xy"))
    n = len(tensors)
    grids = broadcast_tensors(
        *(reshape(x, [-1 if j == i else 1 for j in range(n)]) for i, x in enumerate(tensors))
    )
    return tuple(transpose(x, 0, 1) for x in grids) if indexing == "xy" and n > 1 else grids
