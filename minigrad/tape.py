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

import itertools
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from types import CellType, FunctionType
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Vjp = Callable[[Any], Any]
Inspect = Callable[["Node", Sequence[Any]], None]  # sees the gradients a node produced
tick = itertools.count(1).__next__  # numbers nodes and in-place changes on one clock


class Node:
    """One operation on the tape, or a leaf (`vjp` is None), which owns the slot `grad`.

    `parents` are the inputs' nodes, None where no gradient is needed; `shape` and `dtype` are the
    output's, and so those of the gradient that `vjp` will receive.
    """

    __slots__ = ("__weakref__", "dtype", "grad", "hooks", "keep_grad", "name", "origin", "parents",
                 "shape", "time", "vjp")  # fmt: skip

    def __init__(
        self, name: str, parents: tuple[Node | None, ...], shape: tuple[int, ...],
        dtype: np.dtype[Any], vjp: Vjp | None,
    ) -> None:  # fmt: skip
        self.time, self.name, self.parents = tick(), name, parents
        self.shape, self.dtype, self.vjp = shape, dtype, vjp
        self.grad: Array | None = None
        self.hooks: dict[int, Callable[[Array], Array]] | None = None
        self.keep_grad = False
        self.origin: str | None = None  # the user's source line, recorded by detect_anomaly()

    def __repr__(self) -> str:
        return f"<{self.name} #{self.time} {self.shape}>"


used_up: Vjp = lambda _: ()  # noqa: E731  the vjp of a node that a backward has consumed


def walk(
    outputs: Sequence[Node], cotangents: Sequence[Any], retain_graph: bool = False,
    wanted: Sequence[Node] | None = None, inspect: Inspect | None = None,
) -> dict[Node, Any]:  # fmt: skip
    """Return {node: gradient} for every leaf below `outputs`, and for the nodes `wanted`.

    Unless `retain_graph`, each node is consumed as it is passed: what its vjp held is freed then.
    """
    grads: dict[Node, Any] = {}  # of nodes that are known but not yet taken
    owned: set[Node] = set()  # whose entry in grads is our own sum, free to be added to in place
    heap: list[tuple[int, Node]] = []
    found: dict[Node, Any] = {}
    oldest = 0 if wanted is None else min(node.time for node in wanted)

    def add(node: Node, grad: Any) -> None:
        # first gradient: borrowed; second: a sum of our own; from the third on: added in place
        if node not in grads:
            grads[node] = grad
            heappush(heap, (-node.time, node))
        elif node in owned:
            grads[node] += grad
        else:
            grads[node] = np.asarray(grads[node] + grad)
            owned.add(node)

    for node, cotangent in zip(outputs, cotangents, strict=True):
        add(node, cotangent)
    with np.errstate(all="ignore"):
        while heap and -heap[0][0] >= oldest:
            node = heappop(heap)[1]
            grad = grads.pop(node)
            owned.discard(node)
            for hook in tuple(node.hooks.values()) if node.hooks else ():
                grad = checked(hook(grad), node, "a hook on", node.name)
            if (vjp := node.vjp) is None or node.keep_grad or (wanted and node in wanted):
                found[node] = grad
            if vjp is None or node.time == oldest:
                continue
            if vjp is used_up:
                raise RuntimeError(
                    f"backward reached {node.name!r} a second time, but the first time freed what "
                    "it needs: pass retain_graph=True to the first, or run the forward again"
                )
            if node.time < last_change and changed_since(node.time, vjp):
                raise RuntimeError(
                    f"backward of {node.name!r} needs a tensor that was changed in place after "
                    f"{node.name!r} had saved it: change a copy (clone()), or change it before"
                )
            parts, parents = vjp(grad), node.parents
            if isinstance(parts, (np.ndarray, np.generic)):
                parts = (parts,)  # the gradient of an only input may come alone
            if (n := len(parts or ())) != (m := len(parents)):  # None: a forgotten return
                raise RuntimeError(f"vjp of {node.name!r} returned {n} gradients for {m} inputs")
            if inspect is not None:
                inspect(node, parts)
            for parent, part in zip(parents, parts, strict=True):
                if parent is not None and part is not None:
                    if getattr(part, "shape", None) != parent.shape or part.dtype != parent.dtype:
                        part = checked(part, parent, "vjp of", node.name)
                    add(parent, part)
            if not retain_graph:
                node.vjp, node.parents = used_up, ()
            del grad, parts, vjp  # so that what the next vjp allocates can reuse their memory
    return found


def checked(grad: Any, node: Node, who: str, name: str) -> Any:
    """Return `grad` if its shape and dtype are those of `node`, else say which vjp is wrong."""
    if not isinstance(grad, np.ndarray | np.generic):
        raise TypeError(f"{who} {name!r} returned {type(grad).__name__}, expected an array")
    if grad.dtype.kind == "c" and node.dtype.kind == "f":
        grad = grad.real.astype(node.dtype)  # a constant of a complex probe collects no derivative
    for what in ("shape", "dtype"):
        if (got := getattr(grad, what)) != (own := getattr(node, what)):
            raise RuntimeError(f"{who} {name!r} returned {what} {got} for an input of {what} {own}")
    return grad


def backward(
    outputs: Sequence[Node], cotangents: Sequence[Any], retain_graph: bool = False,
    inspect: Inspect | None = None,
) -> None:  # fmt: skip
    """Add to `grad` of every leaf below `outputs`; written only after the whole walk succeeded."""
    found = walk(outputs, cotangents, retain_graph, inspect=inspect)
    for node in found:
        if node.grad is not None:
            node.grad += found[node]
            note_change(node.grad)
        else:
            own = unshared(found, node)
            node.grad = np.asarray(found[node]) if own else np.array(found[node], order="C")
        found[node] = None


def unshared(found: dict[Node, Any], node: Node) -> bool:
    """Whether nobody else has this memory (2: the holder's reference and the call's)."""
    small_view = found[node].base is not None and found[node].nbytes < 1 << 16  # better copied
    if small_view or sys.getrefcount(found[node]) > 2 or not found[node].flags.carray:
        return False
    alone = getattr(owner(found[node]).base, "exclusive", owner(found[node]).base is None)
    return found[node].base is None or (alone and sys.getrefcount(found[node].base) == 2)


# In-place changes. A change notes its time; a vjp whose node is older than a change of memory it
# saved would compute from wrong numbers. Nodes younger than any change are not even looked at.
last_change = 0
_changes: dict[int, tuple[weakref.ref[Array], int]] = {}  # id of the owner -> (owner, time)


def owner(array: Array) -> Array:
    """The array whose memory `array` is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def note_change(array: Array) -> None:
    """Remember that the memory of `array` was changed in place just now."""
    global last_change
    array, last_change = owner(array), tick()
    known, key = _changes.get(id(array)), id(array)
    ref = known[0] if known else weakref.ref(array, lambda _: _changes.pop(key, None))
    _changes[key] = (ref, last_change)


def changed_since(time: int, vjp: Vjp) -> bool:
    """Tell whether memory that this vjp closes over was changed in place after `time`."""
    return any(_changes.get(id(owner(a)), (None, 0))[1] > time for a in arrays_in(vjp))


def arrays_in(value: Any) -> Iterator[Array]:
    """Yield the arrays that a vjp keeps alive: those its closure names, however nested."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, FunctionType):
        for cell in (c for c in value.__closure__ or () if c != CellType()):  # not an empty one
            yield from arrays_in(cell.cell_contents)
    elif isinstance(value, tuple | list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from arrays_in(item)
