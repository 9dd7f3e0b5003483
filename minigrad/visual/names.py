"""What things in a graph are called: parameters by their paths, layers by theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from minigrad.nn.errors import joined
from minigrad.nn.module import Module
from minigrad.tape import Node
from minigrad.tensor import Tensor, node_of
from minigrad.visual.vjps import address


class Names:
    """Names of nodes, of tensors and of layers.

    Args:
        given: a Module, or tensors and Modules by name.
    """

    def __init__(self, given: Module | Mapping[str, Any] | None) -> None:
        self.nodes: dict[Node, str] = {}
        self.tensors: dict[Node, Tensor] = {}
        self.arrays: dict[tuple[int, Any], str] = {}  # by the place and shape
        self.layers: dict[Module, str] = {}
        if isinstance(given, Module):
            self.add("", given)
        elif isinstance(given, Mapping):
            for name, value in given.items():
                self.add(str(name), value)
        elif given is not None:
            raise TypeError(
                f"names must be a Module, or a dict of tensors and Modules by name, got "
                f"{type(given).__name__}"
            )

    def add(self, name: str, value: Any) -> None:
        """A tensor with its name, or a module with the prefix of its paths."""
        if isinstance(value, Module):
            for path, layer in value.named_modules():
                self.layers.setdefault(layer, joined(name, path))
            for path, tensor in (*value.named_parameters(), *value.named_buffers()):
                self._tensor(joined(name, path), tensor)
        elif isinstance(value, Tensor):
            self._tensor(name, value)
        else:
            raise TypeError(f"names: {name!r} is a {type(value).__name__}, no Tensor or Module")

    def _tensor(self, name: str, tensor: Tensor) -> None:
        for node in (node_of(tensor), tensor.leaf):
            if node is not None:
                self.nodes.setdefault(node, name)
                self.tensors.setdefault(node, tensor)
        self.arrays.setdefault((address(tensor.array), tensor.shape), name)

    def add_roots(self, stacks: Iterable[tuple[Any, ...]]) -> None:
        """Name what belongs to the outermost of layers that were running, if nothing has a name."""
        roots = list(dict.fromkeys(stack[0] for stack in stacks if stack))
        for root in roots if not self.layers else ():
            if isinstance(root, Module):
                self.add("" if len(roots) == 1 else type(root).__name__, root)
