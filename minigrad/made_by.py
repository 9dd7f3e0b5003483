"""What PyTorch's scripts ask of `tensor.grad_fn`: its name, and what it goes back to."""

from __future__ import annotations

from minigrad.tape import Node


class GradFn:
    """The operation that made a tensor. Two of the same operation are equal.

    >>> x = mg.ones(2, requires_grad=True)
    >>> fn = (x * 2).exp().grad_fn
    >>> fn.name(), fn.next_functions
    ('exp', ((<mul>, 0),))
    """

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    def name(self) -> str:
        """The op's name, "leaf" where gradients are collected."""
        return self._node.name

    @property
    def next_functions(self) -> tuple[tuple[GradFn | None, int], ...]:
        """What made the inputs, each beside 0, the number of its output: an op has one here.
        Inputs that need no gradient are None or left out. Empty for a leaf, and after backward,
        which frees them."""
        return tuple((None if p is None else GradFn(p), 0) for p in self._node.parents)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and other._node is self._node

    def __hash__(self) -> int:
        return hash(self._node)

    def __repr__(self) -> str:
        return f"<{self._node.name}>"
