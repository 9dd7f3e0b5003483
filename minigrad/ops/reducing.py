"""What losses share: their reduction, the check of their shapes, and PyTorch's old arguments."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

from minigrad.checks import one_of, users_level
from minigrad.incoming import as_array
from minigrad.ops.reductions import mean
from minigrad.ops.reductions import sum as total
from minigrad.tensor import Tensor

Op = TypeVar("Op", bound=Callable[..., Any])


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The loss's mean, its sum, or the loss itself for "none"."""
    if reduction == "none":
        return loss
    return mean(loss) if reduction == "mean" else total(loss)


def check_reduction(name: str, reduction: str) -> None:
    """Raise unless it is one of the three."""
    one_of(name, "reduction", reduction, ("mean", "sum", "none"))


def same_shape(name: str, x: Any, target: Any, reduction: str) -> None:
    """Raise if the target would have to be broadcast, or on an unknown reduction."""
    check_reduction(name, reduction)
    found, expected = as_array(target).shape, as_array(x).shape
    if found != expected:
        hint = ""
        if as_array(target).size == as_array(x).size:
            hint = f": use target.reshape({', '.join(map(str, expected))})"
        raise ValueError(f"{name}: target of shape {found}, expected the input's {expected}{hint}")


def reduction_of(name: str, size_average: Any, reduce: Any, reduction: Any) -> Any:
    """The reduction, for which `size_average` and `reduce` stood before PyTorch 1.0: they win if
    they are given, with the warning that PyTorch gives."""
    if size_average is None and reduce is None:
        return reduction
    for argument, value in (("size_average", size_average), ("reduce", reduce)):
        if isinstance(value, str):  # PyTorch takes every string for True, and means "mean"
            raise ValueError(
                f"{name}: {argument} must be True, False or None, got {value!r}: write "
                f"reduction={value!r}"
            )
    old = "none" if reduce is not None and not reduce else "mean"
    if old == "mean" and size_average is not None and not size_average:
        old = "sum"
    warnings.warn(
        f"{name}: size_average and reduce are deprecated, use reduction={old!r} instead",
        UserWarning,
        stacklevel=users_level(),
    )
    return old


def old_arguments(loss: Op) -> Op:
    """Let a loss be called with `size_average=` and `reduce=`, which it declares at their places
    and never gets: `reduction_of` makes them its reduction."""
    names = list(inspect.signature(loss).parameters)
    place = names.index("size_average")

    @functools.wraps(loss)
    def call(*args: Any, **options: Any) -> Any:
        old = len(args) > place or "size_average" in options or "reduce" in options
        given = dict(zip(names, args, strict=False)) if old else {}
        if not old or len(args) > len(names) or given.keys() & options.keys():
            return loss(*args, **options)  # or Python's error
        given |= options
        size_average, reduce = given.pop("size_average", None), given.pop("reduce", None)
        reduction = given.get("reduction", "mean")
        given["reduction"] = reduction_of(loss.__name__, size_average, reduce, reduction)
        return loss(**given)

    return cast("Op", call)
