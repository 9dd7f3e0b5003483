"""The engine: nodes on a tape, and one walk over it, newest first.

Every recorded operation is a `Node`. Nodes are numbered as they are created, and an operation can
only use what already exists, so the numbers are a topological order for free: a walk that always
takes the newest node has seen all consumers of a node before it reaches the node itself.

    a = 1;  b = a + a;  c = b + b       c's node is taken first and hands two gradients to b;
                                        b's is taken once, with their sum; a receives 4

A node holds no arrays. Its `vjp` (vector-Jacobian product), from the gradient of its output to
those of its inputs, closes over the arrays that its formula names, and over no tensor. So formulas
say what a graph keeps alive, there are no cycles, and a dropped graph is freed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any

import numpy as np

from minigrad import changes, closures, paths
from minigrad.changes import tick
from minigrad.pieces import Pending, Piece, whole

Array = changes.Array
Vjp = Callable[[Any], Any]
Inspect = Callable[["Node", Sequence[Any]], None]  # sees the gradients a node produced
ARRAYS = (np.ndarray, np.generic)  # a sum over all axes is one of numpy's scalars
SEVERAL = (tuple, list)  # what a vjp may return, if not the gradient of an only input


class Node:
    """One operation on the tape.

    `parents` are the inputs' nodes, None where no gradient is needed; `shape` and `dtype` are the
    output's, and so those of the gradient that `vjp` will receive. With `keep_grad`, backward adds
    that gradient to `grad`.
    """

    __slots__ = ("__weakref__", "dtype", "grad", "hooks", "keep_grad", "name", "origin", "parents",
                 "shape", "time", "vjp")  # fmt: skip

    def __init__(
        self, name: str, parents: tuple[Node | None, ...], shape: tuple[int, ...],
        dtype: np.dtype[Any], vjp: Vjp | None,
    ) -> None:  # fmt: skip
        self.time = tick()
        self.name = name
        self.parents = parents
        self.shape = shape
        self.dtype = dtype
        self.vjp = vjp
        self.grad: Array | None = None
        self.hooks: dict[int, Callable[[Array], Array]] | None = None
        self.keep_grad = False
        self.origin: Any = None  # where it was made, if somebody watches: a modes.Origin

    def __repr__(self) -> str:
        return f"<{self.name} #{self.time} {self.shape}>"


class Leaf(Node):
    """A node that no operation made, where gradients are collected unless it is frozen."""

    __slots__ = ("after", "former")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        super().__init__("leaf", (), shape, dtype, None)
        self.keep_grad = True
        self.former = dtype
        self.after: dict[int, Callable[[], None]] | None = None  # called when .grad is complete

    def become(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Take another shape and dtype. Graphs made before still hand in the former dtype."""
        self.former, self.shape, self.dtype = self.dtype, shape, dtype


def walk(
    outputs: Sequence[Node], cotangents: Sequence[Any], retain_graph: bool,
    wanted: Set[Node] | None = None, inspect: Inspect | None = None,
) -> dict[Node, Any]:  # fmt: skip
    """Return {node: gradient} for the nodes below `outputs` that keep it or are `wanted`.

    Unless `retain_graph`, each node is consumed as it is passed: what its vjp held is freed then.
    With `wanted`, only the nodes on a way to one of these are passed (`paths.between`).
    """
    pending = Pending()
    for node, cotangent in zip(outputs, cotangents, strict=True):
        pending.add(node, cotangent)
    found: dict[Node, Any] = {}
    path = None if wanted is None else paths.between(outputs, wanted, used_up)
    with np.errstate(all="ignore"):  # a gradient that is inf or NaN says so by itself
        while pending.nodes:
            node, grad = pending.take_newest()
            for hook in tuple(node.hooks.values()) if node.hooks else ():
                grad = checked(hook(grad), node, "a hook on", node.name)
            if node.keep_grad or (wanted and node in wanted):
                found[node] = grad
            if node.vjp is None or (path is not None and not path.get(node)):
                continue
            parts = gradients_of_inputs(node, grad)
            for parent, part in zip(node.parents, parts, strict=True):
                if parent is None or part is None or not (path is None or parent in path):
                    continue
                if type(part) is Piece:
                    if part.fits(parent):
                        pending.add_piece(parent, part)
                        continue
                    part = part.whole()
                pending.add(parent, checked(part, parent, "vjp of", node.name))
            if inspect is not None:
                inspect(node, [whole(part) for part in parts])
            if not retain_graph:
                node.vjp, node.parents = used_up, ()
            grad = parts = part = None  # the next vjp may use their memory
    return found


def gradients_of_inputs(node: Node, grad: Any) -> Any:
    """Run the node's vjp, unless it would compute from what is gone or was changed."""
    if node.vjp is None or node.vjp is used_up:
        raise RuntimeError(
            f"backward reached {node.name!r} a second time, but the first time freed what it "
            "needs: pass retain_graph=True to the first, or run the forward again"
        )
    if node.time < changes.last and changes.changed_since(node.time, node.vjp):
        raise RuntimeError(
            f"backward of {node.name!r} needs a tensor that was changed in place after "
            f"{node.name!r} had saved it: change a copy (clone()), or change it before"
        )
    try:
        parts = node.vjp(grad)
    except Exception as error:
        closures.explain(error, node.name, node.vjp)
        raise
    if not isinstance(parts, SEVERAL):
        parts = (parts,) if parts is not None else ()  # an only input's may come alone
    if len(parts) != len(node.parents):  # None is what a forgotten return gives
        raise RuntimeError(
            f"vjp of {node.name!r} returned {len(parts)} gradients for {len(node.parents)} inputs"
        )
    return parts


def used_up(_: Any) -> Any:
    """The vjp of a node that a backward has consumed; never called."""


def checked(grad: Any, node: Node, who: str, name: str) -> Any:
    """Return `grad` if its shape and dtype are those of `node`, else say which vjp is wrong."""
    if not isinstance(grad, ARRAYS):
        raise TypeError(f"{who} {name!r} returned {closures.kind(grad)}, expected an array")
    if grad.shape == node.shape and (grad.dtype is node.dtype or grad.dtype == node.dtype):
        return grad
    if grad.dtype.kind == "c" and node.dtype.kind == "f":
        grad = grad.real.astype(node.dtype)  # a constant of a complex probe collects no derivative
    if isinstance(node, Leaf) and grad.dtype == node.former:
        grad = grad.astype(node.dtype)
    for what in ("shape", "dtype"):
        if (got := getattr(grad, what)) != (own := getattr(node, what)):
            raise RuntimeError(f"{who} {name!r} returned {what} {got} for an input of {what} {own}")
    return grad


def backward(
    outputs: Sequence[Node], cotangents: Sequence[Any], retain_graph: bool, inspect: Inspect | None
) -> None:
    """Add to `grad` of every leaf below `outputs`; written only after the whole walk succeeded."""
    found = walk(outputs, cotangents, retain_graph, inspect=inspect)
    with changes.adding:
        for node in found:
            if node.grad is not None:
                np.add(node.grad, found[node], out=node.grad)
                changes.note_change(node.grad)
            else:
                copy = None if changes.unshared(found, node) else True  # None: only if it must
                node.grad = np.array(found[node], order="C", copy=copy)
            found[node] = None
    for node in found:
        if isinstance(node, Leaf) and node.after:
            for hook in tuple(node.after.values()):
                hook()
