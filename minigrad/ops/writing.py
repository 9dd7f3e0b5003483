"""`out=`: the tensor that a function of the top level, or of linalg, writes its result to.

It stands around the functions rather than in each of them: what is asked of `out` is the same for
all, and the methods and operators, which have no `out=`, stay as quick as they are.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from minigrad.modes import is_grad_enabled, no_grad
from minigrad.ops.inplace import copy_
from minigrad.ops.shape_in_place import resize_
from minigrad.ops.types import can_cast
from minigrad.tensor import Tensor, node_of
from minigrad.views import overlaps


def take_out(namespace: dict[str, Any], names: Iterable[str]) -> None:
    """Let the functions of these names in a module's namespace take `out=`."""
    done: dict[Any, Any] = {}  # two names of one function stay two names of one function
    for name in names:
        op = namespace[name]
        if op not in done:
            done[op] = _taking_out(op)
            # Pickle finds a function by its module and name.
            done[op].__module__, done[op].__qualname__ = namespace["__name__"], name
        namespace[name] = done[op]


def _taking_out(op: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(op)
    def call(*args: Any, out: Any = None, **options: Any) -> Any:
        return op(*args, **options) if out is None else _write(op, args, options, out)

    return call


def _write(op: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any], out: Any) -> Any:
    """The op's result, written to `out`, or each of its results to one of them; `out` is given
    back. A tensor of another shape is resized, with a warning unless it was empty.

    Raises:
        TypeError: `out` is not a tensor, or not as many tensors as there are results.
        RuntimeError: an input or `out` requires grad, `out` cannot hold the result's dtype, or it
            is a view of another shape.
    """
    name, outs = op.__name__, out if isinstance(out, tuple | list) else (out,)
    for one in outs:
        if not isinstance(one, Tensor):
            raise TypeError(f"{name}: out must be a tensor, got {type(one).__name__}")
    if is_grad_enabled() and any(_requires_grad(v) for v in (*args, *options.values(), *outs)):
        raise RuntimeError(
            f"{name}: what is written to out= is not differentiated, but an input or out requires "
            "grad: leave out= away, or use no_grad()"
        )
    signature = inspect.signature(op)
    given = {**signature.bind_partial(*args).arguments, **options}
    if "dtype" in signature.parameters and given.get("dtype") is None:
        options = {**options, "dtype": outs[0].dtype}  # as wide as what it is to be written to
    with no_grad():
        result = op(*args, **options)
        results = result if isinstance(result, tuple | list) else (result,)
        if len(results) != len(outs) or isinstance(out, Tensor) != isinstance(result, Tensor):
            wanted = "a tensor" if isinstance(result, Tensor) else f"{len(results)} tensors"
            came = "a tensor" if isinstance(out, Tensor) else f"a sequence of {len(outs)}"
            raise TypeError(f"{name}: out must be {wanted}, got {came}")
        for one, value in zip(outs, results, strict=True):
            if not can_cast(value.dtype, one.dtype):
                raise RuntimeError(f"{name}: {value.dtype} cannot be written to out of {one.dtype}")
            if not one.array.flags.writeable or overlaps(one.array):
                raise RuntimeError(f"{name}: out is read-only or an expanded view: give a clone()")
            if one.shape != value.shape and one.base is not None:
                raise RuntimeError(
                    f"{name}: out is a view of shape {one.shape}, which cannot be resized to "
                    f"{value.shape}: give a tensor of its own"
                )
        for one, value in zip(outs, results, strict=True):
            if one.shape != value.shape:
                if one.numel():
                    warnings.warn(
                        f"{name}: out of shape {one.shape} is resized to {value.shape}: give one "
                        "of that shape, or an empty one",
                        stacklevel=3,
                    )
                resize_(one, value.shape)
            copy_(one, value)
    return out if isinstance(result, Tensor) else type(result)(*outs)


def _requires_grad(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(_requires_grad(v) for v in value)
    return isinstance(value, Tensor) and node_of(value) is not None
