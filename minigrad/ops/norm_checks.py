"""What normalisations refuse, and x as their kernels see it."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from minigrad import modes
from minigrad.recording import needs_grad
from minigrad.tensor import Tensor

NUMBERS = (int, float, np.number)


def check_floating(name: str, x: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: input must be a Tensor, got {type(x).__name__}")
    if x.array.dtype.kind not in "fc":
        raise TypeError(f"{name}: expected a floating input, got dtype {x.dtype}")


def check_shape(name: str, shape: tuple[int, ...], whose: str, **tensors: Any) -> None:
    """Refuse parameters and statistics that are no tensors or not of this shape."""
    for argument, v in tensors.items():
        if v is None:
            continue
        if not isinstance(v, Tensor):
            raise TypeError(f"{name}: {argument} must be a Tensor or None, got {type(v).__name__}")
        if v.array.shape != shape:
            raise RuntimeError(
                f"{name}: {argument} has shape {v.shape}, expected {shape}, one for each {whose}"
            )


def as_features(name: str, x: Any) -> tuple[int, int, int]:
    """x of (N, C, …) seen as (N, C, S)."""
    check_floating(name, x)
    shape = x.array.shape
    if shape == (0,):  # which PyTorch takes: no samples, no channels
        return 0, 0, 1
    if len(shape) < 2:
        raise RuntimeError(f"{name}: expected an input (N, C, …), got shape {shape}")
    return shape[0], shape[1], math.prod(shape[2:])


def check_statistics(
    name: str, x: Any, weight: Any, bias: Any, mean: Any, var: Any, momentum: Any, eps: Any
) -> tuple[int, int, int]:
    """Refuse what batch_norm and instance_norm cannot use; x seen as (N, C, S)."""
    view = as_features(name, x)
    check_shape(
        name, (view[1],), "channel (axis 1) of the input",
        weight=weight, bias=bias, running_mean=mean, running_var=var,
    )  # fmt: skip
    running = (("running_mean", mean), ("running_var", var))
    if (mean is None) != (var is None):
        raise ValueError(
            f"{name}: running_mean and running_var must both be given or both be None, got "
            + " and ".join(f"{k}={'None' if v is None else 'a Tensor'}" for k, v in running)
        )
    dtype = x.array.dtype
    for argument, v in running:
        if v is None:
            continue
        # while a function is probed, x stands for a derivative too and is complex
        if v.array.dtype is not dtype and v.array.dtype != dtype and dtype.kind == "f":
            raise RuntimeError(
                f"{name}: {argument} has dtype {v.dtype}, expected the input's, {dtype}"
            )
        if needs_grad(v) and modes.is_grad_enabled():
            raise RuntimeError(
                f"{name}: {argument} requires grad, but no gradient reaches running statistics: "
                "pass its detach()"
            )
    for argument, number in (("momentum", momentum), ("eps", eps)):
        if isinstance(number, bool) or not isinstance(number, NUMBERS):
            raise TypeError(f"{name}: {argument} must be a number, got {number!r}")
    return view


def some_of(channels: Any) -> str:
    """The first channels of a list that may be long, as text."""
    return ", ".join(map(str, channels[:8])) + (", …" if len(channels) > 8 else "")


def warn_or_undo(message: str, arrays: Any, before: Any, stacklevel: int) -> None:
    """Give a RuntimeWarning; where warnings are errors, put the arrays back first."""
    try:
        warnings.warn(message, RuntimeWarning, stacklevel=stacklevel)
    except RuntimeWarning:
        for array, old in zip(arrays, before, strict=True):
            array[...] = old
        raise


def as_rows(name: str, x: Any, normalized_shape: Any, **params: Any) -> tuple[int, int]:
    """x (…, *normalized_shape) seen as (N, D)."""
    check_floating(name, x)
    given = normalized_shape if isinstance(normalized_shape, tuple | list) else (normalized_shape,)
    for n in given:
        if type(n) is not int and (isinstance(n, bool) or not isinstance(n, np.integer)):
            raise TypeError(f"{name}: normalized_shape must be integers, got {normalized_shape!r}")
    shape, full = tuple(map(int, given)), x.array.shape
    rank = len(full) - len(shape)
    if not shape or rank < 0 or full[rank:] != shape:
        raise RuntimeError(
            f"{name}: normalized_shape={list(shape)}, expected an input of shape [*, "
            f"{', '.join(map(str, shape))}], got {full}"
        )
    check_shape(name, shape, "element of normalized_shape", **params)
    return math.prod(full[:rank]), math.prod(shape)
