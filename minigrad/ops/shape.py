"""Views and rearrangements: the backward of moving elements is moving them back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack, cast, overload

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minigrad.changes import owner
from minigrad.checks import axis_of, integer, integers
from minigrad.device import check_memory_format
from minigrad.dtypes import native
from minigrad.incoming import as_array
from minigrad.kernels import row_major, triangle
from minigrad.names import Axis, numpy_names, numpy_overloads
from minigrad.ops.large import reshaped, turned
from minigrad.pieces import Piece
from minigrad.recording import fit, operand, record, record_each, require
from minigrad.tensor import Tensor, origin, wrap


def _view(name: str, x: Any, out: Any, back: Any) -> Tensor:
    """Record a view of x, or a copy if numpy had to make one."""
    shared = isinstance(x, Tensor) and owner(out) is owner(x.array)
    return record(name, out, (x,), lambda g: (back(g),), origin(x) if shared else None)


def sizes_of(name: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from f(2, 3), f((2, 3)) or f([2, 3])."""
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    return integers(name, "sizes", sizes, minimum=None)


def reshape(input: Any, *sizes: Any, shape: Any = ()) -> Tensor:
    """The same elements in another shape; one size may be -1."""
    return _reshape("reshape", input, sizes_of("reshape", sizes or (shape,)))


def _reshape(name: str, x: Any, sizes: tuple[int, ...]) -> Tensor:
    a = operand(name, x)
    old = a.shape
    unknown = [i for i, n in enumerate(sizes) if n == -1]
    known = math.prod(n for n in sizes if n != -1)
    fits = len(unknown) <= 1 and min(sizes, default=0) >= -1 and (
        a.size == known if not unknown else known > 0 and a.size % known == 0
    )  # fmt: skip
    if not fits:
        raise RuntimeError(f"{name}: shape {sizes} is invalid for {a.size} elements of shape {old}")
    return _view(name, x, reshaped(a, sizes), lambda g: reshaped(g, old))


def view(input: Any, *shape: Any) -> Tensor:
    """`reshape` that refuses to copy; with a dtype, the bytes seen as that dtype."""
    a = operand("view", input)
    if len(shape) == 1 and isinstance(shape[0], np.dtype | type):
        return wrap(a.view(native(shape[0])), base=origin(input))
    return _shared("view", input, sizes_of("view", shape))


def _shared(name: str, x: Any, sizes: tuple[int, ...]) -> Tensor:
    a, out = operand(name, x), _reshape(name, x, sizes)
    if a.size and owner(a) is not owner(out.array):
        raise RuntimeError(
            f"{name}: the memory of shape {a.shape} and strides {a.strides} cannot be seen in "
            f"shape {out.shape} without a copy: use reshape"
        )
    return out


def view_as(input: Any, other: Tensor) -> Tensor:
    """`view` in the shape of another tensor."""
    return _shared("view_as", input, other.shape)


def reshape_as(input: Any, other: Tensor) -> Tensor:
    """`reshape` to the shape of another tensor."""
    return _reshape("reshape_as", input, other.shape)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the axes from start_dim to end_dim into one."""
    a = operand("flatten", input)
    first, last = axis_of("flatten", start_dim, a.ndim), axis_of("flatten", end_dim, a.ndim)
    if first > last:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    if first == last and a.ndim:
        return cast(Tensor, input)
    merged = math.prod(a.shape[first : last + 1])
    return reshape(input, a.shape[:first] + (merged,) + a.shape[last + 1 :])


@overload
def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Tensor: ...
@overload
def unflatten(input: Any, *, axis: int, sizes: Sequence[int]) -> Tensor: ...
@numpy_overloads
def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split one axis into several."""
    a = operand("unflatten", input)
    axis = axis_of("unflatten", dim, a.ndim)
    sizes = integers("unflatten", "sizes", sizes, minimum=None)
    if -1 not in sizes and math.prod(sizes) != a.shape[axis]:
        raise RuntimeError(f"unflatten: sizes {sizes} do not multiply to axis {axis} of {a.shape}")
    if -1 in sizes:
        rest = -math.prod(sizes)
        if sizes.count(-1) > 1 or rest == 0 or a.shape[axis] % rest:
            raise RuntimeError(f"unflatten: sizes {sizes} do not divide axis {axis} of {a.shape}")
        sizes = tuple(a.shape[axis] // rest if n == -1 else n for n in sizes)
    return reshape(input, a.shape[:axis] + sizes + a.shape[axis + 1 :])


def permute(input: Any, *axes: Any, dims: Any = ()) -> Tensor:
    """The axes in another order."""
    a, order = operand("permute", input), sizes_of("permute", axes or (dims,))
    order = tuple(axis_of("permute", d, a.ndim) for d in order)
    if sorted(order) != list(range(a.ndim)):
        raise RuntimeError(f"permute: dims {order} are not an order of the {a.ndim} axes")
    back = tuple(np.argsort(order)) if order else ()
    return _view("permute", input, a.transpose(order), lambda g: turned(g.transpose(back)))


def transpose(input: Any, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    a = operand("transpose", input)
    i, j = axis_of("transpose", dim0, a.ndim), axis_of("transpose", dim1, a.ndim)
    if not a.ndim:
        return _view("transpose", input, a[...], lambda g: g)
    return _view("transpose", input, a.swapaxes(i, j), lambda g: turned(g.swapaxes(i, j)))


swapdims = transpose


def swapaxes(input: Any, axis0: int, axis1: int) -> Tensor:
    """Two axes exchanged: `transpose`."""
    return transpose(input, axis0, axis1)


def movedim(input: Any, source: Any, destination: Any) -> Tensor:
    """Axes moved to other places."""
    require("movedim", input=input)
    a = operand("movedim", input)
    source, destination = np.atleast_1d(source).tolist(), np.atleast_1d(destination).tolist()
    source = [axis_of("movedim", d, a.ndim) for d in source]
    destination = [axis_of("movedim", d, a.ndim) for d in destination]
    if not len(source) == len(destination) == len(set(source)) == len(set(destination)):
        raise RuntimeError(f"movedim: source {source} and destination {destination} do not match")
    if not a.ndim:
        return permute(input, [])  # 0 and -1 name the place of an axis that is not there
    order = [d for d in range(a.ndim) if d not in source]
    for to, which in sorted(zip(destination, source, strict=True)):
        order.insert(to, which)
    return permute(input, order)


def t(input: Any) -> Tensor:
    """The transpose of a matrix; vectors and scalars as they are."""
    a = operand("t", input)
    if a.ndim > 2:
        raise RuntimeError(f"t: expected at most 2 axes, got shape {a.shape}: use permute")
    return transpose(input, 0, 1) if a.ndim == 2 else cast(Tensor, input)


@numpy_names
def squeeze(input: Any, dim: Any = None, **names: Unpack[Axis]) -> Tensor:
    """Without the axes of size 1, or without the given ones if their size is 1."""
    a = operand("squeeze", input)
    old = a.shape
    if dim is None:
        dims = tuple(range(a.ndim))
    else:
        given = dim if isinstance(dim, tuple | list) else (dim,)
        dims = tuple(axis_of("squeeze", d, a.ndim) for d in given)
    shape = tuple(n for i, n in enumerate(old) if i not in dims or n != 1)
    return _view("squeeze", input, a.reshape(shape), lambda g: g.reshape(old))


@overload
def unsqueeze(input: Any, dim: int) -> Tensor: ...
@overload
def unsqueeze(input: Any, *, axis: int) -> Tensor: ...
@numpy_overloads
def unsqueeze(input: Any, dim: int) -> Tensor:
    """With an axis of size 1 inserted at `dim`."""
    a = operand("unsqueeze", input)
    old = a.shape
    axis = axis_of("unsqueeze", dim, a.ndim + 1)
    return _view("unsqueeze", input, np.expand_dims(a, axis), lambda g: g.reshape(old))


def expand(input: Any, *sizes: Any) -> Tensor:
    """Axes of size 1 repeated without copying; -1 keeps a size, new axes come in front."""
    a, shape = operand("expand", input), sizes_of("expand", sizes)
    lead = len(shape) - a.ndim
    shape = tuple(a.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(shape))
    return _broadcast("expand", input, shape)


def expand_as(input: Any, other: Tensor) -> Tensor:
    """`expand` to the shape of another tensor."""
    return expand(input, other.shape)


def broadcast_to(input: Any, shape: Sequence[int]) -> Tensor:
    """The tensor as broadcasting would see it in this shape."""
    return _broadcast("broadcast_to", input, sizes_of("broadcast_to", (shape,)))


def _broadcast(name: str, x: Any, shape: tuple[int, ...]) -> Tensor:
    # dL/dx = g summed over the repeated axes
    a = operand(name, x)
    try:
        out = np.broadcast_to(a, shape)
    except ValueError:
        raise RuntimeError(f"{name}: shape {a.shape} does not broadcast to {shape}") from None
    if out.size == a.size:  # nothing is repeated, so unlike numpy's it may be written to
        out = a.reshape(shape)
    old, dtype = a.shape, a.dtype
    return _view(name, x, out, lambda g: fit(g, old, dtype))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All tensors broadcast to their common shape."""
    require("broadcast_tensors", **{f"tensor {i}": x for i, x in enumerate(tensors)})
    try:
        shape = np.broadcast_shapes(*(x.shape for x in tensors))
    except ValueError:
        shapes = ", ".join(str(x.shape) for x in tensors)
        raise RuntimeError(f"broadcast_tensors: shapes {shapes} do not broadcast") from None
    return tuple(broadcast_to(x, shape) for x in tensors)


def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself if it lies in row-major order, else such a copy."""
    check_memory_format("contiguous", memory_format)
    return input if input.array.flags.c_contiguous else clone(input)


def clone(input: Any, *, memory_format: Any = None) -> Tensor:
    """A copy."""
    if memory_format is not None:
        check_memory_format("clone", memory_format)
    return record_each("clone", row_major(operand("clone", input)), (input, lambda g: g))


def sliced(name: str, x: Any, a: Any, key: tuple[Any, ...]) -> Tensor:
    """The view of x, whose array is a, that a basic index gives."""
    # dL/dx = g in the window, 0 elsewhere
    shape, base = a.shape, origin(x) if isinstance(x, Tensor) else None
    return record(name, a[key], (x,), lambda g: Piece(shape, key, g), base)


@overload
def narrow(input: Any, dim: int, start: Any, length: int) -> Tensor: ...
@overload
def narrow(input: Any, *, axis: int, start: Any, length: int) -> Tensor: ...
@numpy_overloads
def narrow(input: Any, dim: int, start: Any, length: int) -> Tensor:
    """`length` elements from `start` along `dim`."""
    a = operand("narrow", input)
    position = as_array(start)
    if position.ndim or position.dtype.kind not in "iu":
        raise RuntimeError(f"narrow: start must be an integer or a 0-d tensor of one, got {start}")
    start, length = int(position), integer("narrow", "length", length, None)
    if not a.ndim:
        raise RuntimeError("narrow: a 0-d tensor cannot be narrowed")
    axis = axis_of("narrow", dim, a.ndim)
    start += a.shape[axis] if start < 0 else 0
    if not (start >= 0 and length >= 0 and start + length <= a.shape[axis]):
        raise RuntimeError(f"narrow: {start}:{start + length} is outside axis {axis} of {a.shape}")
    return sliced("narrow", input, a, (slice(None),) * axis + (slice(start, start + length),))


@overload
def select(input: Any, dim: int, index: int) -> Tensor: ...
@overload
def select(input: Any, *, axis: int, index: int) -> Tensor: ...
@numpy_overloads
def select(input: Any, dim: int, index: int) -> Tensor:
    """One slice along `dim`, without that axis."""
    a = operand("select", input)
    if not a.ndim:
        raise IndexError("select: a 0-d tensor has no axis to select from")
    axis, index = axis_of("select", dim, a.ndim), integer("select", "index", index, None)
    if not -a.shape[axis] <= index < a.shape[axis]:
        raise IndexError(f"select: index {index} is outside axis {axis} of shape {a.shape}")
    return sliced("select", input, a, (slice(None),) * axis + (index, ...))


def unfold(input: Any, dimension: int, size: int, step: int) -> Tensor:
    """Every `step`-th window of `size` elements along `dimension`, as a new last axis: a view, in
    which an element is repeated where windows overlap."""
    # dL/dx = g summed over the windows that an element is in
    name = "unfold"
    a = operand(name, input)
    axis = axis_of(name, dimension, a.ndim)
    size, step = integer(name, "size", size, None), integer(name, "step", step, None)
    n = a.shape[axis] if a.ndim else 1
    if not 0 <= size <= n:
        raise RuntimeError(f"{name}: size must be from 0 to {n}, those of dim {axis}, got {size}")
    if step < 1:
        raise RuntimeError(f"{name}: step must be at least 1, got {step}")
    shape = a.shape
    line = a if a.ndim else a.reshape(1)
    count = (n - size) // step + 1
    if size:
        every = (slice(None),) * axis + (slice(None, None, step),)
        out = sliding_window_view(line, size, axis, writeable=a.flags.writeable)[every]
    else:
        out = np.empty((*line.shape[:axis], count, *line.shape[axis + 1 :], 0), a.dtype)
    if not a.ndim:
        out = out[0]

    def back(g: Any) -> Any:
        dx = np.zeros(shape or (1,), g.dtype)
        if not shape:
            g = g[None]
        for k in range(size):
            taken = (slice(None),) * axis + (slice(k, k + (count - 1) * step + 1, step),)
            dx[taken] += g[..., k]
        return dx.reshape(shape)

    return _view(name, input, out, back)


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes, as the last axis."""
    a, offset = operand("diagonal", input), integer("diagonal", "offset", offset, None)
    i, j = axis_of("diagonal", dim1, a.ndim), axis_of("diagonal", dim2, a.ndim)
    if i == j:
        raise RuntimeError(f"diagonal: dim1 and dim2 are both axis {i}")
    shape = a.shape

    def back(g: Any) -> Any:
        dx = np.zeros(shape, g.dtype)
        spot = np.diagonal(dx, offset, i, j)
        spot.flags.writeable = True
        spot[...] = g
        return dx

    out = np.diagonal(a, offset, i, j)
    out.flags.writeable = a.flags.writeable  # numpy's own is read-only
    return _view("diagonal", input, out, back)


def diag(input: Any, diagonal: int = 0) -> Tensor:
    """A vector as a diagonal matrix, or the diagonal of a matrix."""
    a, diagonal = operand("diag", input), integer("diag", "diagonal", diagonal, None)
    if a.ndim == 2:
        return clone(_diagonal_of(input, diagonal))
    if a.ndim != 1:
        raise RuntimeError(f"diag: expected 1 or 2 axes, got shape {a.shape}")
    return record_each("diag", np.diag(a, diagonal), (input, lambda g: np.diagonal(g, diagonal)))


_diagonal_of = diagonal


def triu(input: Any, diagonal: int = 0) -> Tensor:
    """The upper triangle of the last two axes; zero below."""
    return _triangle("triu", True, input, diagonal)


def tril(input: Any, diagonal: int = 0) -> Tensor:
    """The lower triangle of the last two axes; zero above."""
    return _triangle("tril", False, input, diagonal)


def _triangle(name: str, upper: bool, x: Any, diagonal: int) -> Tensor:
    a, diagonal = operand(name, x), integer(name, "diagonal", diagonal, None)
    if a.ndim < 2:
        raise RuntimeError(f"{name}: expected at least 2 axes, got shape {a.shape}")
    return record_each(
        name, triangle(a, diagonal, upper), (x, lambda g: triangle(g, diagonal, upper))
    )
