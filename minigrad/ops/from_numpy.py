"""numpy's functions of tensors: `np.exp(x)` and `np.mean(x)` are the ops of this library, recorded
as such. What no op computes, numpy computes of the arrays, if no gradient would be lost by it.

numpy asks the two functions below for every ufunc (numpy's NEP 13) and for every other function
(its NEP 18) of which an argument is a tensor; `array + x`, too, is a ufunc.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.incoming import as_array
from minigrad.ops import (
    activations,
    arithmetic,
    compare,
    elementary,
    linear,
    rounding,
    trigonometry,
    windows,
)
from minigrad.ops.numpy_functions import FUNCTIONS
from minigrad.tensor import Tensor, wrap

# Ops by numpy's ufuncs: those of the same name, and the others.
UFUNCS: dict[Any, Callable[..., Any]] = {
    getattr(np, name): op
    for chapter in (activations, arithmetic, compare, elementary, rounding, trigonometry)
    for name, op in vars(chapter).items()
    if isinstance(getattr(np, name, None), np.ufunc)
}
UFUNCS |= {
    np.subtract: arithmetic.sub, np.multiply: arithmetic.mul, np.divide: arithmetic.div,
    np.negative: arithmetic.neg, np.rint: rounding.round, np.matmul: linear.matmul,
    np.equal: compare.eq, np.not_equal: compare.ne, np.less: compare.lt, np.greater: compare.gt,
    np.less_equal: compare.le, np.greater_equal: compare.ge, np.fabs: arithmetic.abs,
    np.radians: trigonometry.deg2rad, np.degrees: trigonometry.rad2deg,
    np.conjugate: windows.conj, np.vecdot: linear.vecdot,
}  # fmt: skip
# An op that compares takes a number on its right only.
EXCHANGED: dict[Any, Any] = {
    np.equal: np.equal, np.not_equal: np.not_equal, np.less: np.greater, np.greater: np.less,
    np.less_equal: np.greater_equal, np.greater_equal: np.less_equal,
}  # fmt: skip
ARRAYS = (Tensor, np.ndarray)
# These ops take numbers; of all others of two inputs PyTorch asks that both are tensors.
SIGNS = {
    np.add, np.subtract, np.multiply, np.divide, np.floor_divide, np.remainder, np.power, np.matmul,
    np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.left_shift, np.right_shift, *EXCHANGED,
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
        if ufunc not in SIGNS:  # np.maximum(x, 0)
            inputs = tuple([x if isinstance(x, ARRAYS) else wrap(as_array(x)) for x in inputs])
        return op(*inputs)
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    out = options.get("out", ())
    name += f" with {'=, '.join(options)}=" if options else ""
    if any(isinstance(x, Tensor) for x in out):
        raise TypeError(f"{name}: expected an array there: change a tensor by its own methods")
    found = getattr(ufunc, method)(*_arrays(name, inputs), **_arrays(name, options))
    if out or found is None:  # the array that was given, or the result of ufunc.at
        return found
    return tuple(map(_tensor, found)) if isinstance(found, tuple) else _tensor(found)


def _tensor(array: Any) -> Tensor:
    return wrap(np.asarray(array))


# What asks about arrays and makes none: no gradient is lost by it.
QUESTIONS = {
    np.shape, np.ndim, np.size, np.allclose, np.array_equal, np.array_equiv, np.result_type,
    np.can_cast, np.iscomplexobj, np.isrealobj, np.may_share_memory, np.shares_memory,
    np.array_repr, np.array_str, np.array2string,
}  # fmt: skip


def array_function(self: Tensor, function: Any, types: Any, args: Any, options: Any) -> Any:
    """The op that numpy's function is; where there is none, or none with these arguments, what
    numpy makes of the arrays.

    Raises:
        RuntimeError: numpy would compute it, and an argument requires grad.
    """
    name = None if function in QUESTIONS else function.__name__
    if (op := FUNCTIONS.get(function)) is not None:
        if options.get("out", 0) is None:
            options = {key: value for key, value in options.items() if key != "out"}
        if _takes(op, args, options):
            return op(*args, **options)
        name = f"{name} with these arguments"
    return function(*_arrays(name, args), **_arrays(name, options))


def _takes(op: Any, args: Any, options: Any) -> bool:
    """Whether the op has these arguments; numpy's functions have more."""
    try:
        _signature(op).bind(*args, **options)
    except TypeError:
        return False
    return True


_signature = functools.cache(inspect.signature)


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
