"""Reading and writing by index, and what is built on it."""

from __future__ import annotations

from typing import Any, Literal, Unpack, overload

import numpy as np

from minigrad import kernels, modes
from minigrad.checks import axis_of, integer, one_of
from minigrad.dtypes import int64
from minigrad.incoming import as_array, fitting
from minigrad.names import Axis, numpy_names, numpy_overloads
from minigrad.ops.places import Along, Places, numbered, places_of
from minigrad.ops.shape import broadcast_to, reshape, sliced
from minigrad.recording import (
    carry,
    check_broadcast,
    fit,
    needs_grad,
    operand,
    overwrite,
    record,
    record_each,
)
from minigrad.tensor import Tensor, wrap


def carrying(a: Any, v: Any) -> Any:
    """The dtype of a, or complex if v carries a derivative into it."""
    return v.dtype if v.dtype.kind == "c" and modes.probing.get() else a.dtype


def writable(name: str, value: Any, a: Any) -> Any:
    """`value` as an array to be written to `a`: a number must fit its dtype, a list or an array as
    well; the elements of a tensor are converted, as `to` does."""
    if type(value) in (float, int, bool):
        return fitting(name, value, a.dtype)
    v = as_array(value, name=name)
    if not v.ndim:
        return fitting(name, value, carrying(a, v))
    return v if isinstance(value, Tensor) else as_array(value, carrying(a, v), name)


def find_places(name: str, a: Any, index: Any) -> tuple[Places, Any]:
    """The places of `a` that an index names, and what stands there."""
    try:
        places = numbered(places_of(index, a.ndim), a)
        return places, places.read(a)
    except (IndexError, TypeError, ValueError, OverflowError) as error:
        kind = IndexError if isinstance(error, OverflowError) else type(error)
        shown = f"a tensor of shape {index.shape}" if isinstance(index, Tensor) else repr(index)
        raise kind(f"{name}: index {shown} does not fit shape {a.shape}: {error}") from None


def getitem(input: Any, index: Any) -> Tensor:
    """x[index]: a view for integers, slices, None and ..., a copy for tensors, lists and masks."""
    # dL/dx = g added up at the places it was read from
    a = operand("getitem", input)
    places, out = find_places("getitem", a, index)
    if places.arrays is None:
        return sliced("getitem", input, a, (*(places.basic or ()), ...))
    return recorded("getitem", input, a, places, out)


def recorded(name: str, x: Any, a: Any, places: Places | Along, out: Any) -> Tensor:
    """The elements `out` at some places of x, whose array is a."""
    shape, backend = a.shape, None if places.once else kernels.backend_for(a)

    def vjp(g: Any) -> Any:
        dx = np.zeros(shape, g.dtype)
        places.add(dx, g, backend)
        return (dx,)

    return record(name, out, (x,), vjp)


def setitem(input: Tensor, index: Any, value: Any) -> None:
    """x[index] = value, in place; recorded if x or the value needs a gradient."""
    # dL/dx = g with zeros at the written places
    # dL/dvalue = g at the written places, 0 for what was written over in the same breath
    a = input.array
    places, old = find_places("setitem", a, index)
    v = writable("setitem", value, a)
    one = places.once and v.size == 1  # a mask takes one value of any dtype
    other = (
        isinstance(value, Tensor) and v.dtype != a.dtype and "c" not in (v.dtype.kind, a.dtype.kind)
    )
    if other and places.arrays is not None and not one:
        raise RuntimeError(
            f"setitem: values of dtype {v.dtype} at places that tensors name in a tensor of "
            f"dtype {a.dtype}: convert them"
        )
    given = v.shape
    if set(given[: max(v.ndim - old.ndim, 0)]) == {1}:  # leading axes of size 1 may be too many
        v = v.reshape(given[v.ndim - old.ndim :])
    try:
        np.broadcast_to(v, old.shape)
    except ValueError:
        raise RuntimeError(
            f"setitem: a value of shape {given} does not fit the place of shape {old.shape}"
        ) from None
    carry(input, v)
    fitted = v.shape
    overwrite(
        "setitem",
        input,
        lambda out: places.write(out, v),
        (input, lambda g: without(g, places)),
        (value, lambda g: fit(staying(g, places), fitted, g.dtype).reshape(given)),
    )


def without(g: Any, places: Places) -> Any:
    """g with zeros at the places."""
    g = np.array(g, order="C")
    places.write(g, 0)
    return g


def staying(g: Any, places: Places) -> Any:
    """g at the places, with zeros for values that a later one for the same place replaced."""
    values = places.read(g)
    return values if places.once else np.where(places.stays(g.shape), values, 0)


def along(name: str, a: Any, dim: int, index: Any, same_rank: bool) -> tuple[int, Any]:
    """The axis, counted from the front, and the index along it, checked."""
    axis = axis_of(name, dim, a.ndim)
    i = as_array(index)
    if i.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: the index must be an integer tensor, got dtype {i.dtype}")
    if same_rank and max(i.ndim, 1) != max(a.ndim, 1) and i.size:
        raise RuntimeError(f"{name}: index of shape {i.shape} for an input of shape {a.shape}")
    check_index(name, i, a.shape[axis] if a.ndim else 1)
    return axis, i.astype(int64, copy=False)


def check_index(name: str, i: Any, n: int) -> None:
    """Raise if an index is not one of 0 … n-1."""
    if i.size and (i.min() < 0 or i.max() >= n):
        worst = i.max() if i.max() >= n else i.min()
        raise IndexError(f"{name}: index {worst} is out of range 0 to {n - 1}")


@overload
def gather(input: Any, dim: int, index: Any) -> Tensor: ...
@overload
def gather(input: Any, *, axis: int, index: Any) -> Tensor: ...
@numpy_overloads
def gather(input: Any, dim: int, index: Any) -> Tensor:
    """out[i][j] = x[index[i][j]][j] (dim 0): one element for each entry of the index."""
    a = operand("gather", input)
    axis, i = along("gather", a, dim, index, True)
    for d, (n, m) in enumerate(zip(i.shape, a.shape, strict=False)):
        if d != axis and n > m:
            raise RuntimeError(f"gather: index of shape {i.shape} for an input of shape {a.shape}")
    if not a.ndim or not i.ndim:  # a number is a vector of one element
        return reshape(getitem(reshape(input, -1), i.reshape(-1)), i.shape)
    if not i.size:
        return getitem(reshape(input, -1), np.zeros(i.shape, np.int64))
    places = Along(i, axis)
    return recorded("gather", input, a, places, places.read(a))


@overload
def scatter(
    input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Tensor: ...
@overload
def scatter(
    input: Any, *, axis: int, index: Any, src: Any = None, value: Any = None, reduce: Any = None
) -> Tensor: ...
@numpy_overloads
def scatter(
    input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Tensor:
    """A copy of x with `src`, a tensor, or `value`, a number, written at the places gather would
    read; reduce="add" adds there."""
    if (src is None) == (value is None):
        raise TypeError("scatter: give one of src, a tensor, and value, a number")
    one_of("scatter", "reduce", reduce, (None, "add"))
    return _scatter("scatter", input, dim, index, value if src is None else src, reduce == "add")


@overload
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Tensor: ...
@overload
def scatter_add(input: Any, *, axis: int, index: Any, src: Any) -> Tensor: ...
@numpy_overloads
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Tensor:
    """A copy of x with src added at the places gather would read."""
    return _scatter("scatter_add", input, dim, index, src, True)


def _scatter(name: str, x: Any, dim: int, index: Any, src: Any, add: bool) -> Tensor:
    # written:  dL/dx = g with zeros at the places, dL/dsrc = g at the places
    # added:    dL/dx = g,                          dL/dsrc = g at the places
    # Where several are written to one place, those that do not stay there receive 0.
    a = operand(name, x)
    axis, i = along(name, a, dim, index, True)
    places = Along(i.reshape(i.shape if a.ndim else ()), axis)
    s = as_array(src, name=name)
    if isinstance(src, Tensor) and s.dtype != a.dtype and "c" not in (s.dtype.kind, a.dtype.kind):
        raise RuntimeError(f"{name}: src has dtype {s.dtype}, expected the input's {a.dtype}")
    shape, dtype, s = s.shape, s.dtype, writable(name, src, a).astype(carrying(a, s))
    part = tuple(slice(n) for n in i.shape)
    if not i.size:  # nothing is read of src, whatever its shape
        s = np.empty(i.shape, s.dtype)
    elif s.ndim:
        if s.ndim != i.ndim or any(m < n for m, n in zip(s.shape, i.shape, strict=True)):
            raise RuntimeError(f"{name}: index of shape {i.shape} for a src of shape {s.shape}")
        s = s[part]
    out = a.astype(s.dtype, order="C")
    if add:
        places.add(out, s, kernels.backend_for(out))
    else:
        places.write(out, s)

    wanted = needs_grad(src)

    def vjp(g: Any) -> Any:
        dx = g if add else np.array(g, order="C")
        if not wanted:
            if not add:
                places.write(dx, np.zeros((), g.dtype))
            return dx, None
        ds = places.read(g) if add else places.take_out(dx)
        if shape and shape != ds.shape:
            ds, short = np.zeros(shape, g.dtype), ds
            if short.size:
                ds[part] = short
        return dx, fit(ds, shape, dtype)

    return record(name, out, (x, src), vjp)


@overload
def index_select(input: Any, dim: int, index: Any) -> Tensor: ...
@overload
def index_select(input: Any, *, axis: int, index: Any) -> Tensor: ...
@numpy_overloads
def index_select(input: Any, dim: int, index: Any) -> Tensor:
    """The slices of x along `dim` that a vector of positions names."""
    a = operand("index_select", input)
    axis, i = along("index_select", a, dim, index, False)
    if i.ndim > 1 or (not a.ndim and i.size != 1):
        raise RuntimeError(f"index_select: expected a vector (of one if x is 0-d), got {i.shape}")
    if not a.ndim:
        return getitem(reshape(input, 1), i.reshape(-1)).reshape(())
    return getitem(input, (slice(None),) * axis + (i.reshape(-1),))


def take(input: Any, index: Any) -> Tensor:
    """Elements of the flattened tensor at the given positions."""
    i = as_array(index)
    if i.dtype.kind not in "iu":
        raise RuntimeError(f"take: the index must be an integer tensor, got dtype {i.dtype}")
    return getitem(reshape(input, -1), i.reshape(-1).astype(int64)).reshape(i.shape)


@numpy_names
def take_along_dim(
    input: Any, indices: Any, dim: int | None = None, **names: Unpack[Axis]
) -> Tensor:
    """`gather` with an index that broadcasts over the other axes; of all elements in one row
    without `dim`. Negative positions count from the end."""
    name, a, i = "take_along_dim", operand("take_along_dim", input), as_array(indices)
    if dim is None:
        return take_along_dim(reshape(input, -1), i.reshape(-1), 0)
    axis = axis_of(name, dim, a.ndim)
    if i.ndim != a.ndim or i.dtype != int64:
        raise RuntimeError(
            f"{name}: expected int64 indices of {a.ndim} axes, got {i.dtype} of shape {i.shape}"
        )
    rest = list(zip(a.shape, i.shape, strict=True))
    if any(d != axis and m != n and 1 not in (m, n) for d, (m, n) in enumerate(rest)):
        raise RuntimeError(f"{name}: shapes {a.shape} and {i.shape} do not broadcast")
    grown = [n if d == axis else (m if n == 1 else n) for d, (m, n) in enumerate(rest)]
    sizes = [m if d == axis else k for d, (m, k) in enumerate(zip(a.shape, grown, strict=True))]
    n = a.shape[axis]
    if i.min(initial=0) < 0:
        i = np.where(i < 0, i + n, i)
    if sizes != list(a.shape):
        input = broadcast_to(input, sizes)
    return gather(input, axis, np.broadcast_to(i, grown))


def masked_fill(input: Any, mask: Any, value: Any) -> Tensor:
    """x with `value` (a number or 0-d tensor) where the mask is true."""
    # dL/dx = g where the mask is false        dL/dvalue = Σ g where it is true
    a, m, v = operand("masked_fill", input), as_array(mask), as_array(value, name="masked_fill")
    if m.dtype != bool:
        raise RuntimeError(f"masked_fill: the mask must be bool, got dtype {m.dtype}")
    check_broadcast("masked_fill", [m, a])
    if v.ndim:
        raise RuntimeError(
            f"masked_fill: value must be a number or 0-d tensor, got shape {v.shape}"
        )
    out = np.where(m, fitting("masked_fill", value, carrying(a, v)), a)
    return record_each(
        "masked_fill",
        out,
        (input, lambda g: np.where(m, 0, g)),
        (value, lambda g: np.where(m, g, 0)),
    )


def masked_select(input: Any, mask: Any) -> Tensor:
    """The elements of x where the mask is true, as a vector."""
    a, m = operand("masked_select", input), as_array(mask)
    if m.dtype != bool:
        raise RuntimeError(f"masked_select: the mask must be bool, got dtype {m.dtype}")
    check_broadcast("masked_select", [m, a])
    shape = np.broadcast_shapes(a.shape, m.shape)
    return getitem(broadcast_to(input, shape), wrap(np.broadcast_to(m, shape)))


@overload
def nonzero(input: Any, as_tuple: Literal[False] = False) -> Tensor: ...
@overload
def nonzero(input: Any, as_tuple: Literal[True]) -> tuple[Tensor, ...]: ...
def nonzero(input: Any, as_tuple: bool = False) -> Any:
    """The positions of the nonzero elements: a matrix with one row each, or one vector per axis."""
    found = np.nonzero(np.atleast_1d(as_array(input)))
    if as_tuple:
        return tuple(wrap(i) for i in found)
    return wrap(np.stack(found, axis=1)[:, : as_array(input).ndim])


def argwhere(input: Any) -> Tensor:
    """`nonzero`, as a matrix."""
    return nonzero(input)


@numpy_names
def unique(
    input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    dim: int | None = None, **names: Unpack[Axis],
) -> Any:  # fmt: skip
    """The distinct elements (or slices along `dim`), always in ascending order; on request also
    which of them each element is, and how often each occurs."""
    wanted: Any = {"return_inverse": return_inverse, "return_counts": return_counts}
    wanted["equal_nan"] = False  # each NaN is an element of its own
    a = as_array(input)
    found = np.unique(a, axis=None if dim is None else axis_of("unique", dim, a.ndim), **wanted)
    return tuple(map(wrap, found)) if isinstance(found, tuple) else wrap(found)


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """Integers as rows with a single 1, in int64."""
    i = as_array(tensor)
    if i.dtype.kind not in "iu":
        raise RuntimeError(f"one_hot: expected an integer tensor, got dtype {i.dtype}")
    num_classes = integer("one_hot", "num_classes", num_classes, None)
    if num_classes == -1:
        if not i.size:
            raise RuntimeError("one_hot: give num_classes for an empty tensor")
        num_classes = int(i.max()) + 1
    if i.size and (i.min() < 0 or i.max() >= num_classes):
        raise RuntimeError(
            f"one_hot: classes {i.min()} to {i.max()} are not in 0 to {num_classes - 1}"
        )
    out = np.zeros((i.size, num_classes), int64)
    out[np.arange(i.size), i.reshape(-1)] = 1
    return wrap(out.reshape(*i.shape, num_classes))
