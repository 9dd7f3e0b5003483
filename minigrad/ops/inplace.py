"""In-place changes. All go through `overwrite` (recording.py), which records and notes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import modes
from minigrad.dtypes import CATEGORY
from minigrad.ops import activations, arithmetic, indexing, linear, reductions, rounding, shape
from minigrad.ops.random import generator
from minigrad.recording import carry, needs_grad, overwrite
from minigrad.tensor import Tensor, as_array, node_of, wrap


def _assign(name: str, x: Tensor, result: Tensor) -> Tensor:
    """x takes the values and the history of `result`, computed from it out of place."""
    if result.shape != x.shape:
        raise RuntimeError(f"{name}: a result of shape {result.shape} does not fit shape {x.shape}")
    carry(x, result.array)
    if CATEGORY[result.dtype.kind] > CATEGORY[x.dtype.kind]:
        raise RuntimeError(f"{name}: a {result.dtype} result does not fit a {x.dtype} tensor")
    values = result.array
    return overwrite(
        name, x, lambda out: np.copyto(out, values, casting="unsafe"), (result, lambda g: g)
    )


def _inplace(op: Callable[..., Tensor]) -> Callable[..., Tensor]:
    name = op.__name__ + "_"

    def method(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        old = x
        if modes.grad_enabled.get() and any(needs_grad(v) for v in (x, *args, *kwargs.values())):
            old = wrap(x.array.copy(), node_of(x))  # what a vjp saves must outlive the change
        return _assign(name, x, op(old, *args, **kwargs))

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{op.__name__}` in place."
    return method


OPS = {
    arithmetic: "add sub mul div floor_divide remainder neg pow square exp expm1 log log2 log10 "
    "log1p sqrt rsqrt reciprocal sin cos abs clamp lerp addcmul",
    rounding: "sign floor ceil trunc round",
    activations: "relu sigmoid tanh erf",
    reductions: "cumsum cumprod",
    shape: "triu tril",
    linear: "addmm",
    indexing: "masked_fill scatter scatter_add",
}
METHODS = {
    f"{name}_": _inplace(getattr(m, name)) for m, names in OPS.items() for name in names.split()
}


def fill_(x: Tensor, value: Any) -> Tensor:
    """Every element becomes `value`."""
    v = as_array(value)
    if v.ndim:
        raise RuntimeError(f"fill_: expected a number or 0-d tensor, got shape {v.shape}")
    if needs_grad(value):
        return copy_(x, value)
    return overwrite("fill_", x, lambda out: out.fill(v.item()), (x, np.zeros_like))


def zero_(x: Tensor) -> Tensor:
    """Every element becomes 0."""
    return overwrite("zero_", x, lambda out: out.fill(0), (x, np.zeros_like))


def copy_(x: Tensor, src: Any) -> Tensor:
    """The values of `src`, broadcast and converted."""
    v = as_array(src)
    try:
        values = np.broadcast_to(v, x.shape)
    except ValueError:
        raise RuntimeError(f"copy_: shape {v.shape} does not broadcast to {x.shape}") from None
    carry(x, values)
    write: Callable[[Any], None] = lambda out: np.copyto(out, values, casting="unsafe")  # noqa: E731
    return overwrite("copy_", x, write, (x, np.zeros_like), (src, lambda g: g))


def uniform_(x: Tensor, from_: float = 0.0, to: float = 1.0) -> Tensor:
    """Random numbers uniform in [from_, to)."""
    return copy_(x, generator().uniform(from_, to, x.shape))


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Random numbers from a normal distribution."""
    return copy_(x, generator().normal(mean, std, x.shape))


def bernoulli_(x: Tensor, p: float = 0.5) -> Tensor:
    """1 with probability p, else 0."""
    return copy_(x, generator().random(x.shape) < p)
