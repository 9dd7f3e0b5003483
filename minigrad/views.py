"""Where a view lies in its base: the way of gradients between the two.

A view is a tensor that shows elements of another, its base, in the same memory. Values need no way
from one to the other, gradients do: with W the map that picks the view's elements out of the base,

    v = W x        dx = Wᵀ dv, which is dv at the places that the view shows and 0 elsewhere

However a view came about, by whatever chain of slices, transpositions and reshapes, W is known from
where the two arrays lie in memory. So no operation has to say what its W is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]  # of any dtype; np.dtype[Any] has no `real` for pyright
Layout = tuple[int, tuple[int, ...], tuple[int, ...]]  # first element, shape, strides; in elements


class Window:
    """W of a view and its base, both arrays over the same memory. It keeps neither of them."""

    def __init__(self, base: Array, view: Array) -> None:
        first, end = np.lib.array_utils.byte_bounds(base)
        self.size = (end - first) // base.itemsize  # elements from the base's first to its last
        self.base = _layout(base, first)
        self.view = _layout(view, first)

    def read(self, g: Array) -> Array:
        """W g: what the view shows of g, an array of the base's shape."""
        return _show(self._laid_out(g), self.view)

    def without(self, g: Array) -> Array:
        """(1 - WᵀW) g: g with 0 where the view shows it."""
        memory = self._laid_out(g, own=True)
        _show(memory, self.view)[...] = 0
        return _show(memory, self.base)

    def place(self, g: Array) -> Array:
        """Wᵀ g: g, an array of the view's shape, at its places among zeros of the base's shape."""
        memory = np.zeros(self.size, g.dtype)
        first, shape, strides = self.view
        repeated = tuple(i for i, s in enumerate(strides) if s == 0 and shape[i] != 1)
        if repeated:  # as expand() does: the shares of one element are summed
            g = g.sum(repeated, keepdims=True)
        view = _show(memory, (first, g.shape, strides))
        if overlaps(view):
            np.add.at(memory, _show(np.arange(self.size), (first, g.shape, strides)), g)
        else:
            view[...] = g
        return _show(memory, self.base)

    def converted(self, base: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """The base in another dtype, and the view of it."""
        memory = self._laid_out(base, own=True).astype(dtype)
        return _show(memory, self.base), _show(memory, self.view)

    def _laid_out(self, g: Array, own: bool = False) -> Array:
        """Memory in which g lies as the base does: g's own, or with `own` a copy, if possible."""
        first, shape, strides = self.base
        if not own and g.flags.c_contiguous and first == 0 and strides == _row_major(shape):
            return g.reshape(-1)
        memory = np.zeros(self.size, g.dtype)
        _show(memory, self.base)[...] = g
        return memory


def _layout(array: Array, first: int) -> Layout:
    size = array.itemsize
    offset = array.__array_interface__["data"][0] - first
    if offset % size or any(s % size for s in array.strides):
        raise RuntimeError(
            "a view of memory whose elements do not lie at multiples of their size cannot be "
            "recorded: change a clone()"
        )
    return offset // size, array.shape, tuple(s // size for s in array.strides)


def _show(memory: Array, layout: Layout) -> Array:
    (first, shape, strides), size = layout, memory.itemsize
    if 0 in shape:
        return np.empty(shape, memory.dtype)
    return np.ndarray(shape, memory.dtype, memory, first * size, tuple(s * size for s in strides))


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def overlaps(array: Array) -> bool:
    """Whether two elements may lie in the same memory, as after expand() or unfold()."""
    if array.flags.forc:  # all but few
        return False
    reach = 0
    for step, n in sorted((abs(s), n) for s, n in zip(array.strides, array.shape, strict=True)):
        if n > 1 and step < reach + array.itemsize:
            return True
        reach += step * (n - 1)
    return False
