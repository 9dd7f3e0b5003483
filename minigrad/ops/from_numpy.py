"""numpy's functions of tensors: `np.exp(x)` and `np.mean(x)` are the ops of this library, recorded
as such. What no op computes, numpy computes of the arrays, if no gradient would be lost by it.

numpy asks the two functions below for every ufunc (numpy's NEP 13) and for every other function
(its NEP 18) of which an argument is a tensor; `array + x`, too, is a ufunc.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.ops import (
    activations,
    arithmetic,
    compare,
    create,
    cumulative,
    elementary,
    indexing,
    joining,
    linear,
    reductions,
    rounding,
    search,
    shape,
)
from minigrad.tensor import Tensor, wrap

# Ops by numpy's ufuncs: those of the same name, and the others.
UFUNCS: dict[Any, Callable[..., Any]] = {
    getattr(np, name): op
    for chapter in (activations, arithmetic, compare, elementary, rounding)
    for name, op in vars(chapter).items()
    if isinstance(getattr(np, name, None), np.ufunc)
}
UFUNCS |= {
    np.subtract: arithmetic.sub, np.multiply: arithmetic.mul, np.divide: arithmetic.div,
    np.negative: arithmetic.neg, np.rint: rounding.round, np.matmul: linear.matmul,
    np.equal: compare.eq, np.not_equal: compare.ne, np.less: compare.lt, np.greater: compare.gt,
    np.less_equal: compare.le, np.greater_equal: compare.ge,
}  # fmt: skip
# An op that compares takes a number on its right only.
EXCHANGED: dict[Any, Any] = {
    np.equal: np.equal, np.not_equal: np.not_equal, np.less: np.greater, np.greater: np.less,
    np.less_equal: np.greater_equal, np.greater_equal: np.less_equal,
}  # fmt: skip


def array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """The op of the ufunc's name. With `out=` and other options, for a ufunc's methods, and where
    there is no such op, what numpy makes of the arrays.

    Raises:
        RuntimeError: numpy would compute it, and an input requires grad.
    """
    op = UFUNCS.get(ufunc)
    if op is not None and method == "__call__" and not options:
        if ufunc in EXCHANGED and isinstance(inputs[0], float | int | np.generic):
            return UFUNCS[EXCHANGED[ufunc]](inputs[1], inputs[0])
        return op(*inputs)
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    out = options.get("out", ())
    name += " with out=" if out else ""
    if any(isinstance(x, Tensor) for x in out):
        raise TypeError(f"{name}: expected an array there: change a tensor by its own methods")
    found = getattr(ufunc, method)(*_arrays(name, inputs), **_arrays(name, options))
    if out or found is None:  # the array that was given, or the result of ufunc.at
        return found
    return tuple(map(_tensor, found)) if isinstance(found, tuple) else _tensor(found)


def _tensor(array: Any) -> Tensor:
    return wrap(np.asarray(array))


def _spread(op: Any) -> Callable[..., Any]:
    """numpy's var or std, whose correction is 0 unless it is given."""

    def by_ddof(
        a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0,
        keepdims: bool = False, *, correction: float | None = None,
    ) -> Any:  # fmt: skip
        _no_options(op.__name__, dtype=dtype, out=out)
        return op(a, axis, correction=ddof if correction is None else correction, keepdim=keepdims)

    return by_ddof


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
    np.var: _spread(reductions.var),
    np.std: _spread(reductions.std),
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
}
# What asks about arrays and makes none: no gradient is lost by it.
QUESTIONS = {
    np.shape, np.ndim, np.size, np.allclose, np.array_equal, np.array_equiv, np.result_type,
    np.can_cast, np.iscomplexobj, np.isrealobj, np.may_share_memory, np.shares_memory,
    np.array_repr, np.array_str, np.array2string,
}  # fmt: skip


def array_function(self: Tensor, function: Any, types: Any, args: Any, options: Any) -> Any:
    """The op that numpy's function is; where there is none, what numpy makes of the arrays.

    Raises:
        RuntimeError: numpy would compute it, and an argument requires grad.
    """
    if (op := FUNCTIONS.get(function)) is not None:
        if options.get("out", 0) is None:
            options = {key: value for key, value in options.items() if key != "out"}
        return op(*args, **options)
    name = None if function in QUESTIONS else function.__name__
    return function(*_arrays(name, args), **_arrays(name, options))


def _arrays(name: str | None, value: Any) -> Any:
    """The arguments with arrays for tensors, which must not require grad if `name` is given."""
    if isinstance(value, Tensor):
        if name is not None and value.requires_grad:
            raise RuntimeError(
                f"{name}: no op computes it, so the gradient would be lost: use .detach(), or the "
                "ops of minigrad"
            )
        return value.array
    if type(value) in (list, tuple):
        return type(value)(_arrays(name, v) for v in value)
    return {k: _arrays(name, v) for k, v in value.items()} if type(value) is dict else value
