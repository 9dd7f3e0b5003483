"""Trees: dicts, lists and tuples of what is no such container, their leaves. PyTorch's name has the
underscore, and scripts import it all the same."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

__all__ = [
    "PyTree", "TreeSpec", "tree_all", "tree_any", "tree_flatten", "tree_leaves", "tree_map",
    "tree_map_only", "tree_structure", "tree_unflatten",
]  # fmt: skip

PyTree = Any


class TreeSpec(NamedTuple):
    """A tree without its leaves: how a container is made of its children, and what those are like.

    `type` is None for a leaf.
    """

    type: type | None
    context: Any  # a dict's keys, else None
    children: tuple[TreeSpec, ...]

    @property
    def num_leaves(self) -> int:
        """How many leaves the tree has."""
        return 1 if self.type is None else sum(c.num_leaves for c in self.children)


def _parts(tree: Any) -> tuple[Any, Sequence[Any]] | None:
    """What is kept of a container, and what is in it; None for a leaf."""
    if type(tree) in (dict, OrderedDict):
        return list(tree), list(tree.values())
    if type(tree) is defaultdict:
        return (tree.default_factory, list(tree)), list(tree.values())
    named = isinstance(tree, tuple) and hasattr(tree, "_fields")
    return (None, tree) if type(tree) in (list, tuple) or named else None


def tree_flatten(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[Any], TreeSpec]:
    """The leaves, in order, and the tree without them; what `is_leaf` is true of is a leaf too."""
    parts = None if is_leaf is not None and is_leaf(tree) else _parts(tree)
    if parts is None:
        return [tree], TreeSpec(None, None, ())
    context, children = parts
    flat = [tree_flatten(child, is_leaf) for child in children]
    leaves = [leaf for found, _ in flat for leaf in found]
    return leaves, TreeSpec(type(tree), context, tuple(spec for _, spec in flat))


def tree_unflatten(leaves: Any, treespec: TreeSpec) -> Any:
    """The tree of these leaves; the inverse of `tree_flatten`."""
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(
            f"tree_unflatten: {len(leaves)} leaves for a tree of {treespec.num_leaves}"
        )
    return _grown(treespec, iter(leaves))


def _grown(spec: TreeSpec, leaves: Any) -> Any:
    if spec.type is None:
        return next(leaves)
    children = [_grown(child, leaves) for child in spec.children]
    if spec.type is defaultdict:
        factory, keys = spec.context
        return defaultdict(factory, zip(keys, children, strict=True))
    if spec.context is not None:
        return spec.type(zip(spec.context, children, strict=True))
    return spec.type(*children) if hasattr(spec.type, "_fields") else spec.type(children)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves, in order."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    """The tree without its leaves."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(
    func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """The tree of func(leaf, and the leaves at its place in the other trees, which are alike)."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [tree_flatten(rest, is_leaf) for rest in rests]
    for _, other in others:
        if other != spec:
            raise ValueError(f"tree_map: expected trees of one structure, got {spec} and {other}")
    rows = zip(leaves, *(found for found, _ in others), strict=True)
    return _grown(spec, iter([func(*row) for row in rows]))


def tree_map_only(
    type_or_types_or_pred: Any, func: Callable[[Any], Any], tree: Any,
    is_leaf: Callable[[Any], bool] | None = None,
) -> Any:  # fmt: skip
    """The tree with func(leaf) for leaves of a type, or of several, or that a function picks."""
    chosen = type_or_types_or_pred
    if isinstance(chosen, type | tuple):
        kinds = chosen
        chosen = lambda leaf: isinstance(leaf, kinds)  # noqa: E731
    return tree_map(lambda leaf: func(leaf) if chosen(leaf) else leaf, tree, is_leaf=is_leaf)


def tree_all(
    pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> bool:
    """Whether it is true of all leaves."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(
    pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> bool:
    """Whether it is true of a leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))
