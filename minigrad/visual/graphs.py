"""graph(): the tape below a tensor as data, as text for programs that draw, and as a picture."""

from __future__ import annotations

import html
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from minigrad import tape
from minigrad.nn.module import Module
from minigrad.tables import aligned
from minigrad.tape import Node
from minigrad.tensor import Tensor, node_of
from minigrad.visual import svg
from minigrad.visual.layout import layout
from minigrad.visual.memory import Input, Kept
from minigrad.visual.names import Names
from minigrad.visual.vjps import address

LIMIT = 1000  # vertices of a picture


@dataclass(eq=False)
class Vertex:
    """One box of the picture: an operation, a leaf, or data that no gradient goes to."""

    number: int  # every vertex comes after those it uses
    kind: str  # "op", "leaf" or "data"
    name: str  # a parameter's path, a name that was given, or what the operation is called
    shape: tuple[int, ...]
    dtype: str
    node: Node | None = None
    value: Any = None  # the array, where it is known
    inputs: list[Vertex] = field(default_factory=list)
    layers: tuple[str, ...] = ()  # those that ran it, such as "1 · BatchNorm1d", outermost first

    @property
    def kept(self) -> Kept | None:
        """What remember() kept of the operation."""
        return kept_of(self.node)

    @property
    def op(self) -> str:
        """What the operation is called; "" for leaves and data."""
        return self.node.name if self.node and self.kind == "op" else ""

    @property
    def layer(self) -> str:
        """The innermost of `layers`; "" outside of them."""
        return self.layers[-1] if self.layers else ""

    @property
    def description(self) -> str:
        """ "(200, 16) float32"."""
        return f"{self.shape} {self.dtype}"

    def __repr__(self) -> str:
        return f"<{self.kind} {self.number} {self.name!r} {self.description}>"


def kept_of(node: Node | None) -> Kept | None:
    """What remember() kept of a node's operation."""
    return None if node is None or node.origin is None else node.origin.kept


def graph(loss: Tensor, names: Module | Mapping[str, Any] | None = None) -> Graph:
    """The graph that `loss` was computed by: operations, leaves, layers.

    Args:
        loss: the tensor to begin at, of any shape.
        names: a Module, whose parameters and layers are then called by their paths; or a dict of
            tensors and Modules by name.

    In a notebook it shows itself; `.svg()`, `.mermaid()` and `.dot()` return text, `.vertices` are
    its data. Layers, and data without a gradient, are known where the graph was made under
    `remember()`; otherwise layers are guessed from the paths of parameters.

    Raises:
        RuntimeError: nothing was recorded, or a backward has consumed the graph and nobody
            remembered it.
        TypeError: a loss that is no Tensor, or names of another kind.

    >>> a, b = (mg.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    >>> mg.graph(a * b, {"a": a, "b": b}).vertices
    [<leaf 0 'a' () float32>, <leaf 1 'b' () float32>, <op 2 'mul' () float32>]
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f"graph: expected a Tensor, got {type(loss).__name__}")
    root = node_of(loss)
    if root is None:
        raise RuntimeError(
            "graph: this tensor does not require grad, so nothing was recorded: give something it "
            "is computed from requires_grad=True, and do not compute it under no_grad"
        )
    return Graph(_Builder(root, Names(names)).order)


def _operations(root: Node) -> list[Node]:
    """The operations below a node, in their order."""
    found, todo = {root}, [root]
    while todo:
        node = todo.pop()
        kept = kept_of(node)
        if node.vjp is tape.used_up and kept is None:
            raise RuntimeError(
                f"graph: a backward has consumed {node.name!r}, and what was before it is gone: "
                "draw the graph before backward(), pass retain_graph=True to that, or run the "
                "forward under minigrad.remember()"
            )
        for parent in kept.parents if kept else node.parents:
            if parent is not None and parent not in found:
                found.add(parent)
                todo.append(parent)
    return sorted((n for n in found if n.vjp is not None), key=lambda n: n.time)


class _Builder:
    """Makes vertices in the order of the tape; leaves and data just before they are first used."""

    def __init__(self, root: Node, names: Names) -> None:
        self.names, self.order = names, list[Vertex]()
        self._by_key: dict[Any, Vertex] = {}
        operations = _operations(root)
        names.add_roots(n.origin.layers for n in operations if n.origin)
        # The root is the whole picture and has no frame, unless it is a single layer.
        self._titles = {
            path: f"{path} · {type(layer).__name__}" if path else type(layer).__name__
            for layer, path in names.layers.items()
            if path or not layer._module_names
        }
        for node in operations:
            self._operation(node)
        if not operations:
            self._leaf(root, None)
        self._leaves_in_layers()

    def _add(self, key: Any, kind: str, name: str, array: Any, node: Node | None = None) -> Vertex:
        vertex = Vertex(len(self.order), kind, name, array.shape, str(array.dtype), node)
        self._by_key[key] = vertex
        self.order.append(vertex)
        return vertex

    def _operation(self, node: Node) -> None:
        kept = kept_of(node)
        if kept is not None:
            inputs = [v for x in kept.inputs if (v := self._input(x)) is not None]
            # A gradient (func.grad) goes on to parameters that its function found by itself.
            seen = {x.node for x in kept.inputs}
            inputs += [self._leaf(p, None) for p in kept.parents if p is not None and p not in seen]
        else:
            inputs = [self._leaf(parent, None) for parent in node.parents if parent is not None]
        vertex = self._add(node, "op", self.names.nodes.get(node, node.name), node, node)
        vertex.inputs = inputs
        vertex.value = kept.output if kept else None
        vertex.layers = self._layers_of(node, inputs)

    def _input(self, x: Input) -> Vertex | None:
        if x.node is not None:
            return self._leaf(x.node, x.value)
        if not x.address or not x.value.ndim:
            return None  # a number
        key = (address(x.value), x.value.shape)
        if key not in self._by_key:
            name = self.names.arrays.get((x.address, x.value.shape), "data")
            self._add(key, "data", name, x.value).value = x.value
        return self._by_key[key]

    def _leaf(self, node: Node, value: Any) -> Vertex:
        """The vertex of a node that something uses: if it is new, it is a leaf."""
        if node in self._by_key:
            return self._by_key[node]
        vertex = self._add(node, "leaf", self.names.nodes.get(node, "leaf"), node, node)
        tensor = self.names.tensors.get(node)
        vertex.value = tensor.array if value is None and tensor is not None else value
        return vertex

    def _layers_of(self, node: Node, inputs: list[Vertex]) -> tuple[str, ...]:
        """Known if somebody watched, else those in the names of the operation's parameters."""
        if node.origin is not None:
            paths = [self.names.layers.get(layer, "") for layer in node.origin.layers]
        else:
            owners = {v.name.rpartition(".")[0] for v in inputs if v.kind == "leaf"}
            parts = owners.pop().split(".") if len(owners) == 1 else []
            paths = [".".join(parts[: i + 1]) for i in range(len(parts))]
        return tuple(dict.fromkeys(self._titles[path] for path in paths if path in self._titles))

    def _leaves_in_layers(self) -> None:
        """A leaf stands in the layer that it is named after, if all that use it are in there."""
        users: dict[Vertex, list[Vertex]] = {}
        for vertex in self.order:
            for source in vertex.inputs:
                users.setdefault(source, []).append(vertex)
        for leaf, its in users.items():
            own = self._titles.get(leaf.name.rpartition(".")[0])
            if leaf.kind == "leaf" and own and all(own in user.layers for user in its):
                leaf.layers = its[0].layers[: its[0].layers.index(own) + 1]


class Graph:
    """The operations, leaves and data that a tensor was computed by, in the order of the tape.

    `vertices` are the boxes and `edges` pairs of them, from an input to the operation that uses it.
    """

    def __init__(self, vertices: list[Vertex]) -> None:
        self.vertices = vertices

    @property
    def edges(self) -> list[tuple[Vertex, Vertex]]:
        """From an input to the operation that uses it; twice if it uses it twice."""
        return [(source, vertex) for vertex in self.vertices for source in vertex.inputs]

    @property
    def layers(self) -> dict[str, list[Vertex]]:
        """The vertices of each layer, by its title; "" has those outside of layers."""
        found: dict[str, list[Vertex]] = {}
        for vertex in self.vertices:
            found.setdefault(vertex.layer, []).append(vertex)
        return found

    def __repr__(self) -> str:
        counts = (f"{sum(v.kind == k for v in self.vertices)} {k}s" for k in ("op", "leaf", "data"))
        return f"<Graph: {', '.join(counts).replace('leafs', 'leaves').replace('datas', 'data')}>"

    def __str__(self) -> str:
        """One vertex a line: its number, name, shape and dtype, layer, and what it uses."""
        rows = [
            (
                str(v.number),
                v.name if v.name in (v.op, "") or v.kind != "op" else f"{v.name} = {v.op}",
                v.description,
                v.layer,
                ", ".join(str(s.number) for s in v.inputs),
            )
            for v in self.vertices
        ]
        return aligned(("#", "name", "shape", "layer", "from"), rows, "rllll")

    def mermaid(self) -> str:
        """The graph in Mermaid's language, which many web pages draw."""
        lines = self._nested(
            lambda v: f"n{v.number}{BRACKETS[v.kind].format(_entities(v.name), v.description)}",
            lambda i, layer: f'subgraph layer{i}["{_entities(layer)}"]',
            "end",
        )
        lines += [f"n{a.number} --> n{b.number}" for a, b in self.edges]
        return "\n  ".join(["flowchart TD", *lines]) + "\n"

    def dot(self) -> str:
        """The graph in the language of Graphviz."""
        style = (
            'rankdir=TB; bgcolor=white; node [fontname="sans-serif" fontsize=11]; '
            'edge [color="#666666" arrowsize=0.7]; fontname="sans-serif"; fontsize=10;'
        )
        lines = self._nested(
            lambda v: f'n{v.number} [label="{_quoted(v.name)}\\n{v.description}" {LOOKS[v.kind]}];',
            lambda i, layer: f'subgraph cluster{i} {{ label="{_quoted(layer)}"; style=rounded;',
            "}",
        )
        lines += [f"n{a.number} -> n{b.number};" for a, b in self.edges]
        return "\n  ".join(["digraph {", style, *lines]) + "\n}\n"

    def _nested(
        self, box: Callable[[Vertex], str], opening: Callable[[int, str], str], closing: str
    ) -> list[str]:
        """A line for each vertex, between lines that open and close the layers it is in."""
        numbers = itertools.count()

        def lines(vertices: Iterable[Vertex], depth: int) -> Iterator[str]:
            groups: dict[str, list[Vertex]] = {}
            for v in vertices:
                groups.setdefault(v.layers[depth] if len(v.layers) > depth else "", []).append(v)
            for layer, inside in groups.items():
                if layer:
                    yield opening(next(numbers), layer)
                    yield from lines(inside, depth + 1)
                    yield closing
                else:
                    yield from map(box, inside)

        return list(lines(self.vertices, 0))

    def svg(self, graphviz: bool | None = None) -> str:
        """The picture: by Graphviz's `dot` where it is installed, else laid out here.

        Args:
            graphviz: True asks for Graphviz, False for the layout here, which follows the page's
                dark mode.

        Raises:
            ValueError: more than 1,000 boxes, which nobody could read.
            RuntimeError: Graphviz was asked for and is missing or failed.
        """
        self.check_size("svg")
        program = shutil.which("dot")
        if graphviz is False or (graphviz is None and program is None):
            return svg.draw(self.vertices, layout(self.vertices))
        if program is None:
            raise RuntimeError("svg: Graphviz's program dot is not installed: leave graphviz out")
        run = subprocess.run(
            [program, "-Tsvg"], input=self.dot(), capture_output=True, encoding="utf-8", timeout=60
        )
        if run.returncode:
            raise RuntimeError(f"svg: dot failed: {run.stderr.strip()}")
        return run.stdout[run.stdout.index("<svg") :]

    def check_size(self, who: str) -> None:
        """Refuse more boxes than anybody could read."""
        if len(self.vertices) > LIMIT:
            raise ValueError(
                f"{who}: {len(self.vertices):,} boxes are too many to look at (at most {LIMIT:,}): "
                "take fewer layers or time steps, or read graph(loss).vertices; .dot() and "
                ".mermaid() write graphs of any size"
            )

    def _repr_svg_(self) -> str | None:
        return self.svg(graphviz=False) if len(self.vertices) <= LIMIT else None

    def _repr_html_(self) -> str:
        picture = self._repr_svg_()
        if picture is None:
            return (
                f"<pre>{html.escape(repr(self))}: too many boxes to draw; .dot() writes them</pre>"
            )
        return f'<div style="overflow:auto;max-height:40em">{picture}</div>'


BRACKETS = {"op": '["{}<br/>{}"]', "leaf": '(["{}<br/>{}"])', "data": '[/"{}<br/>{}"/]'}
LOOKS = {
    "op": 'shape=box style="rounded,filled" fillcolor="#e3f0f9" color="#0072b2"',
    "leaf": 'shape=box style="rounded,filled" fillcolor="#fdf1dc" color="#b26a00"',
    "data": 'shape=box style="dashed,filled" fillcolor="#f4f4f4" color="#777777"',
}


def _entities(text: str) -> str:
    """Mermaid's own entities; they are HTML's, too, with # for &."""
    marks = '#"<>&'
    return "".join(f"#{ord(c)};" if c in marks else c for c in " ".join(text.split()))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
