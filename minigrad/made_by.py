"""What PyTorch's scripts ask of `tensor.grad_fn`: its name, and what it goes back to."""

from __future__ import annotations

from weakref import WeakValueDictionary

from minigrad.tape import Node


class GradFn:
    """The operation that made a tensor. As long as one is held, it is the only one of its node:
    who draws a graph tells nodes apart by id().

    >>> x = mg.ones(2, requires_grad=True)
    >>> fn = (x * 2).exp().grad_fn
    >>> fn.name(), fn.next_functions
    ('exp', ((<mul>, 0),))
    """

    __slots__ = ("__weakref__", "_node")

    _node: Node

    def __new__(cls, node: Node) -> GradFn:
        fn = _held.get(node)
        if fn is None:
            fn = super().__new__(cls)
            fn._node = node
            fn = _held.setdefault(node, fn)
        return fn

    def name(self) -> str:
        """The op's name, "leaf" where gradients are collected."""
        return self._node.name

    @property
    def next_functions(self) -> tuple[tuple[GradFn | None, int], ...]:
        """What made the inputs, each beside 0, the number of its output: an op has one here.
        Inputs that need no gradient are None or left out. Empty for a leaf, and after backward,
        which frees them."""
        return tuple((None if p is None else GradFn(p), 0) for p in self._node.parents)

    def __repr__(self) -> str:
        return f"<{self._node.name}>"


_held: WeakValueDictionary[Node, GradFn] = WeakValueDictionary()
