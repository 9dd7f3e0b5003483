"""Changes of a tensor's shape in place: the memory stays, the tensor sees it otherwise."""

from __future__ import annotations

import math
from typing import Any, TypeVar, Unpack, overload

import numpy as np

from minigrad import modes
from minigrad.incoming import fitting
from minigrad.names import Axis, numpy_names, numpy_overloads
from minigrad.ops import shape
from minigrad.recording import check_recordable, overwrite, require
from minigrad.tensor import Tensor, node_of, wrap

T = TypeVar("T", bound=Tensor)


def _become(name: str, x: T, op: Any, *args: Any, **kwargs: Any) -> T:
    """x takes the shape that the view `op` of it has, and its history."""
    node = node_of(x)
    recorded = node is not None and modes.grad_enabled.get()
    if recorded:
        check_recordable(name, x)
    elif node is not None and node.vjp is not None:
        raise RuntimeError(f"{name}: under no_grad, the result of {node.name!r} keeps its shape")
    view = op(wrap(x.array, node), *args, **kwargs)
    if recorded:
        if node is not None and node.keep_grad:  # .grad is that of the tensor as it is
            node.keep_grad, view.node.keep_grad = False, True
        x.node = view.node
    elif x.leaf is not None:
        x.leaf.become(view.array.shape, view.array.dtype)
    x.array = view.array
    return x


@numpy_names
def squeeze_(x: T, dim: Any = None, **names: Unpack[Axis]) -> T:
    """`squeeze` in place."""
    return _become("squeeze_", x, shape.squeeze, dim)


@overload
def unsqueeze_(x: T, dim: int) -> T: ...
@overload
def unsqueeze_(x: T, *, axis: int) -> T: ...
@numpy_overloads
def unsqueeze_(x: T, dim: int) -> T:
    """`unsqueeze` in place."""
    return _become("unsqueeze_", x, shape.unsqueeze, dim)


def t_(x: T) -> T:
    """`t` in place."""
    return _become("t_", x, shape.t)


def transpose_(x: T, dim0: int, dim1: int) -> T:
    """`transpose` in place."""
    return _become("transpose_", x, shape.transpose, dim0, dim1)


def resize_(x: T, *sizes: Any) -> T:
    """As many of the elements in row-major order as the sizes hold, in new memory if there are too
    few; what is new is memory as it comes. Not for tensors that require grad."""
    to = shape.sizes_of("resize_", sizes)
    if node_of(x) is not None:
        raise RuntimeError("resize_: a tensor that requires grad cannot be resized: use detach()")
    if not x.array.flags.c_contiguous or x.base is not None:
        raise RuntimeError("resize_: a view keeps its size: use reshape, or a clone()")
    n, flat = math.prod(to), x.array.reshape(-1)
    if n > flat.size:
        larger = np.empty(n, flat.dtype)
        larger[: flat.size] = flat
        flat = larger
    x.data = wrap(flat[:n].reshape(to))
    return x


def resize_as_(x: T, the_template: Tensor) -> T:
    """`resize_` to another tensor's shape."""
    require("resize_as_", the_template=the_template)
    return resize_(x, *the_template.shape)


def fill_diagonal_(x: T, fill_value: float, wrap: bool = False) -> T:
    """The main diagonal of a matrix, or of a tensor of equal sizes, becomes a number; with `wrap`,
    of a tall matrix it begins anew below each square."""
    a = x.array
    if a.ndim < 2 or (a.ndim > 2 and len(set(a.shape)) > 1):
        raise RuntimeError(
            f"fill_diagonal_: expected a matrix, or equal sizes, got shape {a.shape}"
        )
    value = fitting("fill_diagonal_", fill_value, a.dtype)

    def emptied(g: Any) -> Any:
        g = np.array(g, order="C")
        np.fill_diagonal(g, 0, wrap)
        return g

    return overwrite(
        "fill_diagonal_", x, lambda out: np.fill_diagonal(out, value, wrap), (x, emptied)
    )


swapaxes_ = swapdims_ = transpose_
