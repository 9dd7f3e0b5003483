"""Gradients on their way: what the walk has been given so far, node by node, and pieces of some.

A slice of a tensor passes a gradient on that is 0 everywhere else. The walk adds such a piece where
it lies: so all slices of one tensor together cost one pass over it, not one each.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]  # of any dtype; np.dtype[Any] has no `real` for pyright


class Piece:
    """A gradient that is 0 but in the window `key`, a basic index, where it is `grad`."""

    __slots__ = ("grad", "key", "shape")

    def __init__(self, shape: tuple[int, ...], key: tuple[Any, ...], grad: Array) -> None:
        self.shape, self.key, self.grad = shape, key, grad

    def fits(self, node: Any) -> bool:
        """Whether it needs no conversion to be a gradient of this node."""
        return bool(self.shape == node.shape and self.grad.dtype == node.dtype)

    def whole(self) -> Array:
        """The gradient with its zeros."""
        full = np.zeros(self.shape, self.grad.dtype)
        full[self.key] = self.grad
        return full


def whole(part: Any) -> Any:
    """What a vjp returned for an input, a piece with the zeros around it."""
    return part.whole() if type(part) is Piece else part


class Pending:
    """The nodes that the walk has reached but not yet taken, with their gradients so far."""

    def __init__(self) -> None:
        self.nodes: list[tuple[int, Any]] = []  # a heap of (-time, node): the newest first
        self.grads: dict[Any, Any] = {}
        self.owned: set[Any] = set()  # those whose gradient is a sum that the walk itself made

    def add(self, node: Any, grad: Any) -> None:
        """First gradient: borrowed. Second: a sum of our own. From the third on: added in place."""
        if node not in self.grads:
            self.grads[node] = grad
            heappush(self.nodes, (-node.time, node))
        elif node in self.owned:
            self.grads[node] += grad
        else:
            self.grads[node] = np.asarray(self.grads[node] + grad)
            self.owned.add(node)

    def add_piece(self, node: Any, piece: Piece) -> None:
        """`add` of a gradient that is mostly 0, which it always ends in a sum of our own."""
        if node not in self.grads:
            self.grads[node] = piece.whole()
            heappush(self.nodes, (-node.time, node))
        else:
            if node not in self.owned:
                self.grads[node] = np.array(self.grads[node])
            window = self.grads[node][piece.key]
            np.add(window, piece.grad, out=window)
        self.owned.add(node)

    def take_newest(self) -> tuple[Any, Any]:
        """Whatever uses this node is newer and has been taken: its gradient is complete."""
        node = heappop(self.nodes)[1]
        if self.owned:
            self.owned.discard(node)
        return node, self.grads.pop(node)
