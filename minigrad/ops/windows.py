"""Windows on a tensor: its axes otherwise, strides of one's own, diagonals and blocks, and parts of
it replaced. What is a view in PyTorch is one here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from minigrad import modes
from minigrad.checks import axis_of, integer, integers
from minigrad.names import numpy_overloads
from minigrad.ops.shape import movedim, reshape, transpose
from minigrad.recording import needs_grad, operand, record, record_each, require
from minigrad.tensor import Tensor, origin, wrap
from minigrad.views import Window, overlaps


def moveaxis(input: Any, source: Any, destination: Any) -> Tensor:
    """Axes moved to other places: `movedim`."""
    require("moveaxis", input=input)
    return movedim(input, source, destination)


def adjoint(input: Any) -> Tensor:
    """The last two axes exchanged: of real matrices, `mT`."""
    a = operand("adjoint", input)
    if a.ndim < 2:
        raise RuntimeError(f"adjoint: expected matrices (…, m, n), got shape {a.shape}")
    return transpose(input, -2, -1)


def real(input: Tensor) -> Tensor:
    """The real part: of a real tensor the tensor itself."""
    require("real", input=input)
    if input.dtype.kind != "c" or modes.probing.get():  # a probe's imaginary part is a derivative
        return input
    return wrap(input.array.real)


def conj(input: Tensor) -> Tensor:
    """The complex conjugate: of a real tensor the tensor itself."""
    require("conj", input=input)
    if input.dtype.kind != "c" or modes.probing.get():
        return input
    return wrap(np.conj(input.array))


def _at_least(name: str, ndim: int, given: tuple[Any, ...]) -> Any:
    """One tensor with at least so many axes, or a tuple of several."""
    if len(given) != 1 or isinstance(given[0], tuple | list):
        several = given[0] if len(given) == 1 else given
        return tuple(_at_least(name, ndim, (x,)) for x in several)
    (x,) = given
    require(name, tensors=x)
    shape = x.shape
    if len(shape) >= ndim:
        return x
    wide = (1, *shape) if len(shape) < 2 and ndim > 1 else shape  # a vector is a row
    return reshape(x, (*(wide or (1,)), *(1,) * (ndim - max(len(wide), 1))))


@overload
def atleast_1d(tensors: Tensor, /) -> Tensor: ...
@overload
def atleast_1d(tensors: Sequence[Tensor], /) -> tuple[Tensor, ...]: ...
@overload
def atleast_1d(first: Tensor, second: Tensor, /, *rest: Tensor) -> tuple[Tensor, ...]: ...
def atleast_1d(*tensors: Any) -> Any:
    """The tensor with an axis if it has none; of several, or a list of them, a tuple."""
    return _at_least("atleast_1d", 1, tensors)


@overload
def atleast_2d(tensors: Tensor, /) -> Tensor: ...
@overload
def atleast_2d(tensors: Sequence[Tensor], /) -> tuple[Tensor, ...]: ...
@overload
def atleast_2d(first: Tensor, second: Tensor, /, *rest: Tensor) -> tuple[Tensor, ...]: ...
def atleast_2d(*tensors: Any) -> Any:
    """The tensor with two axes or more, a vector as a row; of several, or a list, a tuple."""
    return _at_least("atleast_2d", 2, tensors)


@overload
def atleast_3d(tensors: Tensor, /) -> Tensor: ...
@overload
def atleast_3d(tensors: Sequence[Tensor], /) -> tuple[Tensor, ...]: ...
@overload
def atleast_3d(first: Tensor, second: Tensor, /, *rest: Tensor) -> tuple[Tensor, ...]: ...
def atleast_3d(*tensors: Any) -> Any:
    """The tensor with three axes or more: a vector (N,) as (1, N, 1), a matrix (M, N) as
    (M, N, 1); of several, or a list, a tuple."""
    return _at_least("atleast_3d", 3, tensors)


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape to which tensors of these shapes would be broadcast; a number n stands for (n,)."""
    sizes = [integers("broadcast_shapes", "shapes", s, minimum=0) for s in shapes]
    try:
        return np.broadcast_shapes(*sizes)
    except ValueError:
        text = " and ".join(map(str, sizes))
        raise RuntimeError(f"broadcast_shapes: shapes {text} do not broadcast") from None


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """The memory of x in a shape and with strides of one's own, in elements: a view.

    Args:
        input: any tensor.
        size, stride: a size and a stride, at least 0, for each axis.
        storage_offset: the first element, counted in the memory of the tensor that x is a view of;
            None for the first of x.

    Raises:
        RuntimeError: the view would reach beyond that memory.
    """
    # dL/dx = g added up where the view shows the memory, read where x shows it
    name = "as_strided"
    require(name, input=input)
    sizes, strides = (
        integers(name, what, v, minimum=0) for what, v in (("size", size), ("stride", stride))
    )
    if len(sizes) != len(strides):
        raise RuntimeError(f"{name}: {len(sizes)} sizes {sizes} for {len(strides)} strides")
    a, memory = input.array, origin(input).array
    width = a.itemsize
    first, end = np.lib.array_utils.byte_bounds(memory)
    own = (a.__array_interface__["data"][0] - first) // width
    start = own if storage_offset is None else integer(name, "storage_offset", storage_offset, 0)
    reach = sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
    count = (end - first) // width
    if 0 not in sizes and start + reach >= count:
        raise RuntimeError(
            f"{name}: size {sizes}, stride {strides} and storage_offset {start} reach element "
            f"{start + reach} of a memory of {count} elements"
        )
    if needs_grad(input) and overlaps(a):
        raise RuntimeError(
            f"{name}: there is no gradient for an input whose elements lie in the same memory, as "
            "after expand(): use a clone()"
        )
    apart = np.lib.stride_tricks.as_strided
    line = apart(memory, (count,), (width,)) if memory.size else memory.reshape(-1)
    out = apart(line[start:], sizes, [s * width for s in strides], writeable=a.flags.writeable)
    if out.size == 0:
        return record(name, np.empty(sizes, a.dtype), (input,), _zeros_of(a))
    seen, shown = Window(memory, out), Window(memory, a)
    return record(name, out, (input,), lambda g: (shown.read(seen.place(g)),), origin(input))


def _zeros_of(a: Any) -> Any:
    shape = a.shape
    return lambda g: (np.zeros(shape, g.dtype),)


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices in two new axes, whose diagonals are the vectors along x's last axis."""
    # dL/dx = the diagonals of g
    name = "diag_embed"
    a, offset = operand(name, input), integer(name, "offset", offset, None)
    if not a.ndim:
        raise RuntimeError(f"{name}: expected at least one axis, got a 0-d tensor")
    i, j = axis_of(name, dim1, a.ndim + 1), axis_of(name, dim2, a.ndim + 1)
    if i == j:
        raise RuntimeError(f"{name}: dim1 and dim2 are both axis {i}")
    n = a.shape[-1] + abs(offset)
    out = np.zeros((*a.shape[:-1], n, n), a.dtype)
    spot = np.diagonal(out, offset, -2, -1)
    spot.flags.writeable = True
    spot[...] = a
    out = np.moveaxis(out, (-2, -1), (i, j))
    return record_each(name, out, (input, lambda g: np.diagonal(g, offset, i, j)))


def diagflat(input: Any, offset: int = 0) -> Tensor:
    """All elements as the diagonal of a matrix."""
    return diag_embed(reshape(input, -1), offset)


def block_diag(*tensors: Any) -> Tensor:
    """A matrix with these matrices along its diagonal and 0 elsewhere; vectors are rows."""
    # dL/dx = the block of g
    name = "block_diag"
    blocks = [np.atleast_2d(operand(name, x)) for x in tensors] or [np.empty((1, 0), np.float32)]
    if any(b.ndim > 2 for b in blocks):
        raise RuntimeError(f"{name}: expected at most 2 axes, got {[b.shape for b in blocks]}")
    corners = np.cumsum([(0, 0)] + [b.shape for b in blocks], axis=0).tolist()
    out = np.zeros(corners[-1], np.result_type(*blocks))
    spots = [
        (slice(i, i + b.shape[0]), slice(j, j + b.shape[1]))
        for (i, j), b in zip(corners, blocks, strict=False)
    ]
    for spot, b in zip(spots, blocks, strict=True):
        out[spot] = b
    shapes = [x.shape if hasattr(x, "shape") else () for x in tensors]
    return record_each(name, out, *(
        (x, lambda g, spot=spot, shape=shape: g[spot].reshape(shape))
        for x, spot, shape in zip(tensors, spots, shapes, strict=False)
    ))  # fmt: skip


def _with(name: str, x: Any, src: Any, window: Any) -> Tensor:
    """A copy of x with src in its place where `window` of an array looks."""
    # dL/dsrc = g in the window        dL/dx = g, 0 in the window
    require(name, input=x, src=src)
    a, s = operand(name, x), operand(name, src)
    out = np.array(a, np.result_type(a, s) if s.dtype.kind == "c" else a.dtype, order="C")
    spot = window(out)
    if spot.shape != s.shape:
        raise RuntimeError(f"{name}: src has shape {s.shape}, expected {spot.shape}")
    spot[...] = s

    def outside(g: Any) -> Any:
        dx = np.array(g, order="C")
        window(dx)[...] = 0
        return dx

    return record_each(name, out, (x, outside), (src, window))


@overload
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Tensor: ...
@overload
def select_scatter(input: Any, src: Any, *, axis: int, index: int) -> Tensor: ...
@numpy_overloads
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Tensor:
    """A copy of x, with src in place of `select(dim, index)`."""
    name = "select_scatter"
    a = operand(name, input)
    axis, index = axis_of(name, dim, a.ndim), integer(name, "index", index, None)
    if not a.ndim or not -a.shape[axis] <= index < a.shape[axis]:
        raise IndexError(f"{name}: index {index} is outside axis {axis} of shape {a.shape}")
    key = (slice(None),) * axis + (index, ...)
    return _with(name, input, src, lambda v: v[key])


@numpy_overloads
def slice_scatter(
    input: Any, src: Any, dim: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> Tensor:  # fmt: skip
    """A copy of x, with src in place of the slice start:end:step along `dim`."""
    name = "slice_scatter"
    axis = axis_of(name, dim, operand(name, input).ndim)
    key = (slice(None),) * axis + (slice(start, end, integer(name, "step", step)), ...)
    return _with(name, input, src, lambda v: v[key])


def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of x, with src in place of `diagonal(offset, dim1, dim2)`."""
    name = "diagonal_scatter"
    a, offset = operand(name, input), integer(name, "offset", offset, None)
    i, j = axis_of(name, dim1, a.ndim), axis_of(name, dim2, a.ndim)
    if i == j:
        raise RuntimeError(f"{name}: dim1 and dim2 are both axis {i}")

    def window(v: Any) -> Any:
        spot = np.diagonal(v, offset, i, j)
        spot.flags.writeable = True
        return spot

    return _with(name, input, src, window)


def unravel_index(indices: Any, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates, one tensor an axis, of positions counted through a tensor of this shape;
    what lies outside is counted around."""
    name = "unravel_index"
    require(name, indices=indices)
    i, sizes = operand(name, indices), integers(name, "shape", shape, minimum=0)
    if i.dtype.kind not in "iu":
        raise ValueError(f"{name}: indices must be integers, got dtype {i.dtype}: use .long()")
    coordinates, step = [], 1
    for n in reversed(sizes):
        coordinates.append(wrap(np.asarray(i // step % max(n, 1), i.dtype)))
        step *= n
    return tuple(reversed(coordinates))
