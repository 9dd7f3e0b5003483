"""Writing by a mask or at places, and several elements into one place by a rule."""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from minigrad import kernels
from minigrad.checks import one_of
from minigrad.incoming import as_array
from minigrad.names import numpy_overloads
from minigrad.ops.indexing import along, carrying, check_index, find_places, staying, without
from minigrad.ops.places import Along, Places
from minigrad.recording import check_broadcast, fit, operand, record_each
from minigrad.tensor import Tensor


def masked_scatter(input: Any, mask: Any, source: Any) -> Tensor:
    """x with the elements of `source`, in their order, where the mask is true. Both are broadcast
    against one another; source has at least as many elements as there are places."""
    # dL/dx = g where the mask is false        dL/dsource = g where it is true, in its order
    name = "masked_scatter"
    a, m, s = operand(name, input), as_array(mask), as_array(source, name=name)
    if m.dtype != bool:
        raise RuntimeError(f"{name}: the mask must be bool, got dtype {m.dtype}")
    if s.dtype != a.dtype and "c" not in (s.dtype.kind, a.dtype.kind):
        raise RuntimeError(f"{name}: source has dtype {s.dtype}, expected the input's {a.dtype}")
    check_broadcast(name, [m, a])
    shape = np.broadcast_shapes(a.shape, m.shape)
    m, source_shape = np.broadcast_to(m, shape), s.shape
    count = np.count_nonzero(m)
    if count > s.size:
        raise RuntimeError(f"{name}: {count} places for a source of {s.size} elements")
    out = np.array(np.broadcast_to(a, shape), np.result_type(a, s))
    out[m] = s.reshape(-1)[:count]

    def dsource(g: Any) -> Any:
        ds = np.zeros(s.size, g.dtype)
        ds[:count] = g[m]
        return ds.reshape(source_shape)

    return record_each(name, out, (input, lambda g: np.where(m, 0, g)), (source, dsource))


def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Tensor:
    """x with the elements of `source` at the given positions of the flattened x, which may count
    from the end; or added there. `source` has as many elements as the index, and x's dtype."""
    name, a, i, s = "put", operand("put", input), as_array(index), as_array(source, name="put")
    if i.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: the index must be an integer tensor, got dtype {i.dtype}")
    if i.size != s.size:
        raise IndexError(f"{name}: source has {s.size} elements, expected the index's {i.size}")
    i = i.astype(np.int64)
    i = np.where(i < 0, i + a.size, i)
    check_index(name, i, a.size)
    return _put(name, input, a, Places(None, (i,), False), source, s.reshape(i.shape), accumulate)


def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """x with `values` at x[indices], or added there; they broadcast to that shape, and have x's
    dtype. `indices` is a tuple of tensors, of integers or masks."""
    name, a, v = "index_put", operand("index_put", input), as_array(values, name="index_put")
    if not isinstance(indices, tuple | list):
        raise TypeError(f"{name}: indices must be a tuple, got {type(indices).__name__}")
    places, old = find_places(name, a, tuple(indices))
    check_broadcast(name, [v, old])
    if np.broadcast_shapes(v.shape, old.shape) != old.shape:
        raise RuntimeError(
            f"{name}: values of shape {v.shape} do not fit the places of shape {old.shape}"
        )
    return _put(name, input, a, places, values, v, accumulate)


def _put(
    name: str, x: Any, a: Any, places: Places, source: Any, s: Any, accumulate: bool
) -> Tensor:
    # written:  dL/dx = g with zeros at the places, dL/dsource = g at the places
    # added:    dL/dx = g,                          dL/dsource = g at the places
    # Where several are written to one place, those that do not stay there receive 0.
    if s.dtype != a.dtype and "c" not in (s.dtype.kind, a.dtype.kind):
        raise RuntimeError(f"{name}: got values of dtype {s.dtype}, expected the input's {a.dtype}")
    given, shape, out = as_array(source).shape, s.shape, a.astype(carrying(a, s), order="C")
    if accumulate:
        added = np.zeros_like(out)
        places.add(added, s, kernels.backend_for(out))
        out = out + added
    else:
        places.write(out, s)

    def dsource(g: Any) -> Any:
        g = places.read(g) if accumulate else staying(g, places)
        return fit(g, shape, g.dtype).reshape(given)

    return record_each(
        name, out, (x, lambda g: g if accumulate else without(g, places)), (source, dsource)
    )


REDUCE = {
    "sum": (np.add, 0), "prod": (np.multiply, 1), "mean": (np.add, 0),
    "amax": (np.maximum, -np.inf), "amin": (np.minimum, np.inf),
}  # fmt: skip


@overload
def scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Tensor: ...
@overload
def scatter_reduce(
    input: Any, *, axis: int, index: Any, src: Any, reduce: str, include_self: bool = True
) -> Tensor: ...
@numpy_overloads
def scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Tensor:
    """x, where each place that gather would read has become the sum, product, mean, maximum or
    minimum of what src brings there, and of what stood there if `include_self`.

    Args:
        input: x.
        dim: the axis that the index counts along.
        index: integers of x's number of axes; along the others it is no longer than x.
        src: of x's dtype, at least as large as the index.
        reduce: "sum", "prod", "mean", "amax" or "amin".
        include_self: whether x's own elements count where src brings some; elsewhere they stay.
    """
    # For one place with the elements e_1 … e_n and the result y:
    # sum     dL/de_k = g                       prod    dL/de_k = g·Π_{j≠k} e_j
    # mean    dL/de_k = g/n                     amax    dL/de_k = g/m where e_k is y, one of m such
    name = "scatter_reduce"
    one_of(name, "reduce", reduce, tuple(REDUCE))
    a: Any = operand(name, input)
    s: Any = as_array(src, name=name)
    axis, i = along(name, a, dim, index, True)
    if s.dtype != a.dtype and "c" not in (s.dtype.kind, a.dtype.kind):
        raise RuntimeError(f"{name}: src has dtype {s.dtype}, expected the input's {a.dtype}")
    i = i.reshape(i.shape if a.ndim else ())
    if s.ndim != i.ndim or any(m < n for m, n in zip(s.shape, i.shape, strict=True)):
        raise RuntimeError(f"{name}: index of shape {i.shape} for a src of shape {s.shape}")
    at = Along(i, axis).numbers(a).reshape(-1)  # the places in all elements as one vector,
    a_shape, a = a.shape, a.reshape(-1)  # which they are from here on
    part, part_shape, src_shape = tuple(map(slice, i.shape)), i.shape, s.shape
    s = s[part].reshape(-1)
    ufunc, _ = REDUCE[reduce]
    taken = np.zeros(a.shape, bool)  # where src brings something
    taken[at] = True
    old = a.astype(np.result_type(a, s))
    left_out = np.asarray(taken & (not include_self))
    old[left_out] = _neutral(reduce, a.dtype)
    out, count = old.copy(), None
    ufunc.at(out, at, s)
    if reduce == "mean":
        count = np.asarray(~left_out).astype(a.real.dtype)
        np.add.at(count, at, 1)
        out = out / count if out.dtype.kind in "fc" else out // count
    if out.dtype.kind not in "fc":
        return record_each(name, out.reshape(a_shape), (input, np.zeros_like))
    # the factor of g at each place, for what stood there and for what src brings
    if count is not None:
        old_factor, factor = 1 / count, 1 / count[at]
    elif reduce == "sum":
        old_factor, factor = np.ones_like(out), np.ones_like(s)
    elif reduce == "prod":
        old_factor, factor = _products_of_others(old, s, at)
    else:
        old_factor, factor = _shares_of_ties(a, s, at, out)

    def dinput(g: Any) -> Any:
        return np.where(left_out, 0, g.reshape(-1) * old_factor).reshape(a_shape)

    def dsrc(g: Any) -> Any:
        full = np.zeros(src_shape, np.result_type(g, factor))
        full[part] = (g.reshape(-1)[at] * factor).reshape(part_shape)
        return full

    return record_each(name, out.reshape(a_shape), (input, dinput), (src, dsrc))


def _neutral(reduce: str, dtype: np.dtype[Any]) -> Any:
    """What changes no result in this dtype, in the place of an element that is left out."""
    neutral = REDUCE[reduce][1]
    if neutral in (0, 1) or dtype.kind in "fc":
        return neutral
    if dtype.kind == "b":
        return neutral > 0
    return np.iinfo(dtype).min if neutral < 0 else np.iinfo(dtype).max


def _shares_of_ties(old: Any, s: Any, at: Any, out: Any) -> tuple[Any, Any]:
    """For each element 1/m if it is the extreme of its place, one of m such, else 0."""
    same_old, same = old.real == out.real, s.real == out.real[at]
    ties: Any = np.asarray(same_old).astype(old.real.dtype)  # of those left out, too, as PyTorch
    np.add.at(ties, at, same.astype(ties.dtype))
    with np.errstate(invalid="ignore"):  # 0/0 where the result is NaN, which nothing equals
        return same_old / ties, same / ties[at]


def _products_of_others(old: Any, s: Any, at: Any) -> tuple[Any, Any]:
    """For each element the product of the others in its place, zeros among them or not."""
    zero_old, zero = old.real == 0, s.real == 0
    zeros = np.asarray(zero_old, int)
    np.add.at(zeros, at, zero)
    nonzero_old, nonzero = np.where(zero_old, 1, old), np.where(zero, 1, s)
    product = np.array(nonzero_old, old.dtype)
    np.multiply.at(product, at, nonzero)
    # times 0, and not 0, where another is 0: a third one may be NaN or infinite
    others_old = product / nonzero_old * (zeros == zero_old)
    return others_old, product[at] / nonzero * (zeros[at] == zero)
