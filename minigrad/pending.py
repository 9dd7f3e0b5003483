"""Gradients on their way: what the walk over the tape has of each node that it has yet to take."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

import numpy as np

from minigrad.kernels import empty, row_major


class Pending:
    """The nodes that the walk has reached but not yet taken, with their gradients so far."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []  # a heap, the newest first
        self.grads: dict[Any, Any] = {}
        self.owned: set[Any] = set()  # those whose gradient is a sum that the walk itself made

    def add(self, node: Any, grad: Any) -> None:
        """First gradient: borrowed. Second: a sum of our own. From the third on: added in place."""
        if node not in self.grads:
            self.grads[node] = grad
            heappush(self.nodes, node)
        elif node in self.owned:
            self.grads[node] += grad
        else:
            self.grads[node] = np.asarray(self.grads[node] + grad)
            self.owned.add(node)

    def add_in_window(self, node: Any, window: Any, grad: Any) -> bool:
        """Add a gradient that is zero but for a window: into a sum of our own, since many slices of
        one tensor would otherwise make as many arrays of its size. False if it cannot be."""
        if node is None or node.dtype != grad.dtype:
            return False
        total = self.grads.get(node)
        if total is not None and total.dtype != grad.dtype:
            return False
        if total is None:
            heappush(self.nodes, node)
            total = empty(node.shape, node.dtype)
            total[...] = 0
            total[window] = grad
        else:
            if node not in self.owned:
                total = row_major(total)
            total[window] += grad
        self.grads[node] = total
        self.owned.add(node)
        return True

    def take_newest(self) -> tuple[Any, Any]:
        """Whatever uses this node is newer and has been taken: its gradient is complete."""
        node = heappop(self.nodes)
        self.owned.discard(node)
        return node, self.grads.pop(node)
