"""Writing by a mask, and several elements into one place by a rule."""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from minigrad.checks import one_of
from minigrad.incoming import as_array
from minigrad.names import numpy_overloads
from minigrad.ops.indexing import along
from minigrad.recording import check_broadcast, operand, record_each
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
    count: Any = 1
    axis, i = along(name, a, dim, index, True)
    if s.dtype != a.dtype and "c" not in (s.dtype.kind, a.dtype.kind):
        raise RuntimeError(f"{name}: src has dtype {s.dtype}, expected the input's {a.dtype}")
    i = i.reshape(i.shape if a.ndim else ())
    if s.ndim != i.ndim or any(m < n for m, n in zip(s.shape, i.shape, strict=True)):
        raise RuntimeError(f"{name}: index of shape {i.shape} for a src of shape {s.shape}")
    where: Any = np.ogrid[tuple(map(slice, i.shape))] if i.ndim else ()
    at = tuple(i if d == axis else k for d, k in enumerate(where))  # the places, axis by axis
    part, src_shape = tuple(map(slice, i.shape)), s.shape
    s = s[part]
    ufunc, neutral = REDUCE[reduce]
    taken = np.zeros(a.shape, bool)  # where src brings something
    taken[at] = True
    old = a.astype(np.result_type(a, s))
    left_out = np.asarray(taken & (not include_self))
    if a.dtype.kind in "iub" and neutral not in (0, 1):
        bounds = np.iinfo(a.dtype) if a.dtype.kind != "b" else None
        neutral = (bounds.min if neutral < 0 else bounds.max) if bounds else neutral > 0
    old[left_out] = neutral
    out = old.copy()
    ufunc.at(out, at, s)
    if reduce == "mean":
        count = np.asarray(~left_out).astype(a.real.dtype)
        np.add.at(count, at, 1)
        out = out / count if out.dtype.kind in "fc" else out // count
    if out.dtype.kind not in "fc":
        return record_each(name, out, (input, np.zeros_like))
    # the factor of g at each place, for what stood there and for what src brings
    old_factor, factor = np.ones_like(out), np.ones_like(s)
    if reduce == "mean":
        old_factor, factor = 1 / count, 1 / count[at]
    elif reduce == "prod":
        old_factor, factor = _products_of_others(old, s, at)
    elif reduce in ("amax", "amin"):
        same_old, same = a.real == out.real, s.real == out.real[at]
        ties: Any = np.asarray(same_old).astype(a.real.dtype)  # of those left out, too, as PyTorch
        np.add.at(ties, at, same.astype(ties.dtype))
        with np.errstate(invalid="ignore"):  # 0/0 where the result is NaN, which nothing equals
            old_factor, factor = same_old / ties, same / ties[at]

    def dinput(g: Any) -> Any:
        return np.where(left_out, 0, g * old_factor)

    def dsrc(g: Any) -> Any:
        full = np.zeros(src_shape, np.result_type(g, factor))
        full[part] = g[at] * factor
        return full

    return record_each(name, out, (input, dinput), (src, dsrc))


def _products_of_others(old: Any, s: Any, at: Any) -> tuple[Any, Any]:
    """For each element the product of the others in its place, zeros among them or not."""
    zero_old, zero = old.real == 0, s.real == 0
    zeros = np.asarray(zero_old, int)
    np.add.at(zeros, at, zero)
    nonzero_old, nonzero = np.where(zero_old, 1, old), np.where(zero, 1, s)
    product = np.array(nonzero_old, old.dtype)
    np.multiply.at(product, at, nonzero)
    others_old = np.where(zeros - zero_old == 0, product / nonzero_old, 0)
    return others_old, np.where(zeros[at] - zero == 0, product[at] / nonzero, 0)
