"""Which op a function of numpy is, where it is no ufunc: with numpy's order of arguments, and where
the two libraries mean something else by a name, with numpy's meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.ops import (
    arithmetic,
    arranging,
    compare,
    create,
    cumulative,
    indexing,
    joining,
    linalg,
    linear,
    products,
    quantiles,
    reductions,
    rounding,
    search,
    shape,
    special,
    trigonometry,
    windows,
)
from minigrad.tensor import Tensor


def _by_ddof(op: Any) -> Callable[..., Any]:
    """numpy's var or std, whose correction is 0 unless it is given."""

    def op_by_ddof(
        a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0,
        keepdims: bool = False, *, correction: float | None = None,
    ) -> Any:  # fmt: skip
        _no_options(op.__name__, dtype=dtype, out=out)
        return op(a, axis, correction=ddof if correction is None else correction, keepdim=keepdims)

    return op_by_ddof


def _no_options(name: str, **options: Any) -> None:
    for option, value in options.items():
        if value is not None:
            raise TypeError(f"{name}: {option}= is not taken with a tensor")


def _flat(op: Any) -> Callable[..., Any]:
    """numpy's cumsum or cumprod, of all elements in a row unless an axis is given."""
    return lambda a, axis=None: op(shape.reshape(a, -1), 0) if axis is None else op(a, axis)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    return arithmetic.clamp(a, min if a_min is None else a_min, max if a_max is None else a_max)


def _transpose(a: Any, axes: Any = None) -> Any:
    return shape.permute(a, tuple(range(a.ndim))[::-1] if axes is None else axes)


def _flip(m: Any, axis: Any = None) -> Any:
    return joining.flip(m, tuple(range(m.ndim)) if axis is None else axis)


def _squeeze(a: Any, axis: Any = None) -> Any:
    return shape.squeeze(a) if axis is None else shape.squeeze(a, axis)


def _where(condition: Any, *values: Any) -> Any:
    if not values:
        return np.where(np.asarray(condition.array))
    return arithmetic.where(condition, *values)


def _dot(a: Any, b: Any) -> Any:
    """The product of the last axis of a and the one but last of b, or its only one."""
    m, n = np.ndim(a), np.ndim(b)
    if not m or not n:
        return arithmetic.mul(a, b)
    return linear.matmul(a, b) if n <= 2 else products.tensordot(a, b, ([m - 1], [n - 2]))


def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    if isinstance(indices_or_sections, int) and np.shape(ary)[axis] % indices_or_sections:
        raise ValueError(
            f"split: an axis of size {np.shape(ary)[axis]} has no {indices_or_sections} equal "
            "parts: use array_split"
        )
    return list(arranging.tensor_split(ary, indices_or_sections, axis))


def _take(a: Any, indices: Any, axis: int | None = None) -> Any:
    if axis is None:
        a, axis = shape.reshape(a, -1), 0
    before = (slice(None),) * (axis % np.ndim(a))
    return indexing.getitem(a, (*before, np.asarray(indices)))


def _quantile(op: Any, scale: float) -> Callable[..., Any]:
    """numpy's quantile or percentile, of all elements unless an axis is given."""

    def found(
        a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False
    ) -> Any:
        q = np.asarray(q, a.dtype) / scale if np.ndim(q) else float(q) / scale
        return op(a, q, axis, keepdims, interpolation=method)

    return found


def _median(op: Any) -> Callable[..., Any]:
    """numpy's median, the mean of the two in the middle; PyTorch's is the lower of them."""
    return lambda a, axis=None, *, keepdims=False: op(a, 0.5, axis, keepdims)


def _pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: float = 0) -> Any:
    if mode != "constant":
        raise TypeError(f"pad: of a tensor only mode='constant' is taken, got {mode!r}: use F.pad")
    widths = np.broadcast_to(pad_width, (np.ndim(array), 2))[::-1]  # the last axis comes first
    return joining.pad(array, widths.reshape(-1).tolist(), value=constant_values)


# Ops by numpy's other functions. The ops take numpy's axis= and keepdims=.
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sum: lambda a, axis=None, **names: reductions.sum(a, axis, **names),
    np.mean: lambda a, axis=None, **names: reductions.mean(a, axis, **names),
    np.prod: lambda a, axis=None, **names: reductions.prod(a, axis, **names),
    np.max: lambda a, axis=None, **names: reductions.amax(a, axis, **names),
    np.min: lambda a, axis=None, **names: reductions.amin(a, axis, **names),
    np.amax: lambda a, axis=None, **names: reductions.amax(a, axis, **names),
    np.amin: lambda a, axis=None, **names: reductions.amin(a, axis, **names),
    np.any: lambda a, axis=None, **names: reductions.any(a, axis, **names),
    np.all: lambda a, axis=None, **names: reductions.all(a, axis, **names),
    np.var: _by_ddof(reductions.var),
    np.std: _by_ddof(reductions.std),
    np.count_nonzero: lambda a, axis=None: reductions.count_nonzero(a, axis),
    np.cumsum: _flat(cumulative.cumsum),
    np.cumprod: _flat(cumulative.cumprod),
    np.argmax: lambda a, axis=None, **names: search.argmax(a, axis, **names),
    np.argmin: lambda a, axis=None, **names: search.argmin(a, axis, **names),
    np.sort: lambda a, axis=-1: search.sort(a, axis)[0],
    np.argsort: lambda a, axis=-1: search.argsort(a, axis),
    np.clip: _clip,
    np.round: lambda a, decimals=0: rounding.round(a, decimals=decimals),
    np.where: _where,
    np.isclose: compare.isclose,
    np.reshape: lambda a, shape_: shape.reshape(a, shape_),
    np.ravel: lambda a: shape.reshape(a, -1),
    np.transpose: _transpose,
    np.swapaxes: lambda a, axis1, axis2: shape.swapaxes(a, axis1, axis2),
    np.moveaxis: lambda a, source, destination: shape.movedim(a, source, destination),
    np.squeeze: _squeeze,
    np.expand_dims: lambda a, axis: shape.unsqueeze(a, axis),
    np.broadcast_to: lambda array, shape_: shape.broadcast_to(array, shape_),
    np.copy: lambda a: shape.clone(a),
    np.diag: lambda v, k=0: shape.diag(v, k),
    np.tril: lambda m, k=0: shape.tril(m, k),
    np.triu: lambda m, k=0: shape.triu(m, k),
    np.concatenate: lambda arrays, axis=0: joining.cat(arrays, axis),
    np.stack: lambda arrays, axis=0: joining.stack(arrays, axis),
    np.flip: _flip,
    np.roll: lambda a, shift, axis=None: joining.roll(a, shift, axis),
    np.tile: lambda A, reps: joining.tile(A, reps if isinstance(reps, tuple | list) else (reps,)),
    np.repeat: lambda a, repeats, axis=None: joining.repeat_interleave(a, repeats, axis),
    np.take_along_axis: lambda arr, indices, axis: indexing.take_along_dim(arr, indices, axis),
    np.outer: lambda a, b: linear.outer(shape.reshape(a, -1), shape.reshape(b, -1)),
    np.einsum: linear.einsum,
    np.zeros_like: lambda a, dtype=None: create.zeros_like(a, dtype=dtype),
    np.ones_like: lambda a, dtype=None: create.ones_like(a, dtype=dtype),
    np.empty_like: lambda prototype, dtype=None: create.empty_like(prototype, dtype=dtype),
    np.full_like: lambda a, fill, dtype=None: create.full_like(a, fill, dtype=dtype),
    np.nonzero: lambda a: indexing.nonzero(a, as_tuple=True),
    np.argwhere: indexing.argwhere,
    np.isin: lambda element, test_elements: arranging.isin(element, test_elements),
    np.isposinf: lambda x: compare.isposinf(x),
    np.isneginf: lambda x: compare.isneginf(x),
    np.nan_to_num: lambda x, copy=True, **values: trigonometry.nan_to_num(x, **values),
    np.sinc: trigonometry.sinc,
    np.i0: special.i0,
    np.fix: lambda x: rounding.trunc(x),
    np.nansum: lambda a, axis=None, **names: quantiles.nansum(a, axis, **names),
    np.nanmean: lambda a, axis=None, **names: quantiles.nanmean(a, axis, **names),
    np.quantile: _quantile(quantiles.quantile, 1),
    np.percentile: _quantile(quantiles.quantile, 100),
    np.nanquantile: _quantile(quantiles.nanquantile, 1),
    np.nanpercentile: _quantile(quantiles.nanquantile, 100),
    np.median: _median(quantiles.quantile),
    np.nanmedian: _median(quantiles.nanquantile),
    np.vstack: lambda tup: arranging.vstack(tup),
    np.hstack: lambda tup: arranging.hstack(tup),
    np.dstack: lambda tup: arranging.dstack(tup),
    np.column_stack: lambda tup: arranging.column_stack(tup),
    np.atleast_1d: windows.atleast_1d,
    np.atleast_2d: lambda *arys: windows.atleast_2d(*arys),
    np.array_split: lambda ary, parts, axis=0: list(arranging.tensor_split(ary, parts, axis)),
    np.split: _split,
    np.fliplr: lambda m: arranging.fliplr(m),
    np.flipud: lambda m: arranging.flipud(m),
    np.rot90: lambda m, k=1, axes=(0, 1): arranging.rot90(m, k, axes),
    np.take: _take,
    np.pad: _pad,
    np.diff: lambda a, n=1, axis=-1: arranging.diff(a, n, axis),
    np.meshgrid: lambda *xi, indexing="xy": list(joining.meshgrid(*xi, indexing=indexing)),
    np.diagonal: lambda a, offset=0, axis1=0, axis2=1: shape.diagonal(a, offset, axis1, axis2),
    np.trace: lambda a: products.trace(a),
    np.dot: _dot,
    np.inner: lambda a, b: linear.inner(a, b),
    np.vdot: lambda a, b: linear.dot(shape.reshape(a, -1), shape.reshape(b, -1)),
    np.kron: lambda a, b: products.kron(a, b),
    np.tensordot: lambda a, b, axes=2: products.tensordot(a, b, axes),
    np.cross: lambda a, b, axis=-1: products.cross(a, b, axis),
    np.cov: lambda m, *, ddof=1: products.cov(m, correction=ddof),
    np.corrcoef: lambda x: products.corrcoef(x),
    np.vander: products.vander,
    np.linalg.inv: linalg.inv,
    np.linalg.pinv: lambda a: linalg.pinv(a),
    np.linalg.det: linalg.det,
    np.linalg.slogdet: linalg.slogdet,
    np.linalg.solve: lambda a, b: linalg.solve(a, b),
    np.linalg.cholesky: lambda a: linalg.cholesky(a),
    np.linalg.qr: lambda a, mode="reduced": linalg.qr(a, mode),
    np.linalg.svd: lambda a, full_matrices=True: linalg.svd(a, full_matrices),
    np.linalg.svdvals: linalg.svdvals,
    np.linalg.eigh: linalg.eigh,
    np.linalg.eigvalsh: linalg.eigvalsh,
    np.linalg.matrix_power: lambda a, n: linalg.matrix_power(a, n),
    np.linalg.multi_dot: lambda arrays: products.multi_dot(arrays),
    np.linalg.norm: lambda x, ord=None, axis=None, keepdims=False: products.norm(
        x, ord, axis, keepdims
    ),
}
