"""The steps of a page: what happens forward and backward, in order, with the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad import changes
from minigrad.tape import Array
from minigrad.visual import vjps
from minigrad.visual.derivation import derivation
from minigrad.visual.graphs import Graph, Vertex
from minigrad.visual.pool import Pool
from minigrad.visual.source import Source, source_of
from minigrad.visual.vjps import address, held_by

Data = dict[str, Any]


def story(graph: Graph, seed: Array) -> Data:
    """What a page shows of a graph, as data for JSON: vertices, steps, sources and arrays."""
    pool = Pool()
    sources: dict[Source, int] = {}
    ops = [v for v in graph.vertices if v.kind == "op"]
    steps = [
        {"phase": "begin"},
        *_forward(graph, ops, pool),
        *_backward(graph, ops, seed, pool),
    ]
    _count_memory(graph, steps)
    return {
        "vertices": [_described(v, sources, pool) for v in graph.vertices],
        "steps": steps,
        "sources": [_plain(source) for source in sources],
        "arrays": pool.dump(),
    }


# ---------------------------------------------------------------------------- vertices


def _described(v: Vertex, sources: dict[Source, int], pool: Pool) -> Data:
    described: Data = {
        "kind": v.kind, "name": v.name, "op": v.op, "text": v.description, "layer": v.layer,
        "inputs": [s.number for s in v.inputs], "value": pool.add(v.value),
    }  # fmt: skip
    if v.kind != "op" or v.node is None:
        return described
    origin = v.node.origin
    if origin is not None and origin.file:
        name = origin.file.replace("\\", "/").rpartition("/")[2]
        described["line"] = {"file": name, "number": origin.line, "text": origin.source}
    described["kernels"] = v.kept.backend if v.kept else vjps.backend_of(v.node.vjp)
    source = source_of(v.op, v.kept.codes if v.kept else vjps.codes(v.node.vjp))
    if source is not None:
        described["source"] = sources.setdefault(source, len(sources))
        described["equations"] = derivation(v, source, pool)
    return described


def _plain(source: Source) -> Data:
    return {
        "file": source.file, "sentence": source.sentence, "formula": source.formula,
        "chapter": " ".join(source.chapter.partition("\n\n")[0].split()),
        "functions": [f._asdict() for f in source.functions],
    }  # fmt: skip


# ---------------------------------------------------------------------------- steps


def _forward(graph: Graph, ops: Sequence[Vertex], pool: Pool) -> list[Data]:
    """One step for each operation: what it uses besides vertices, and what its vjp holds."""
    values = {(address(v.value), v.value.size): v for v in graph.vertices if v.value is not None}
    steps = []
    for v in ops:
        held = []
        for name, array in held_by(v).items():
            same = values.get((address(array), array.size))
            entry: Data = {
                "name": name,
                "bytes": array.nbytes,
                "text": f"{array.shape} {array.dtype}",
            }
            if same is not None:  # the value of a vertex, or a view of it
                entry["same"] = same.number
            else:
                entry["array"] = pool.add(array)
            held.append(entry)
        inputs = v.kept.inputs if v.kept else ()
        numbers = [repr(x.value) for x in inputs if not x.address and x.value is not None]
        steps.append({"phase": "forward", "vertex": v.number, "held": held, "numbers": numbers})
    return steps


def _backward(graph: Graph, ops: Sequence[Vertex], seed: Array, pool: Pool) -> list[Data]:
    """The walk, newest first, as pieces.Pending adds gradients up."""
    arrivals: dict[Vertex, list[Data]] = {v: [] for v in graph.vertices}

    def arrive(source: int | None, v: Vertex, part: Any) -> Data:
        how = _how(len(arrivals[v]))
        arrivals[v].append({"from": source, "array": pool.add(part), "how": how})
        return {"vertex": v.number, "array": pool.add(part), "how": how}

    steps: list[Data] = [{"phase": "seed", "gives": [arrive(None, ops[-1], seed)]}]
    for v in reversed(ops):
        if not arrivals[v]:
            continue
        step: Data = {"phase": "backward", "vertex": v.number, "arrivals": list(arrivals[v])}
        step |= _gradient(v.kept and v.kept.gradient, arrivals[v], pool)
        step["gives"] = [arrive(v.number, parent, part) for parent, part in _parts(v)]
        steps.append(step)
    leaves = [
        {"vertex": v.number, "arrivals": arrivals[v], **_gradient(None, arrivals[v], pool)}
        for v in graph.vertices
        if v.kind == "leaf" and arrivals[v]
    ]
    return [*steps, {"phase": "end", "leaves": leaves}]


def _how(before: int) -> str:
    """What the walk does with a gradient that comes after so many others."""
    which = ("first: borrowed", "second: summed", "third: added in place")
    return which[before] if before < 3 else f"{before + 1}th: added in place"


def _parts(v: Vertex) -> list[tuple[Vertex, Any]]:
    """The parents that gradients go to, and these gradients, if they are known."""
    of_node = {s.node: s for s in v.inputs if s.node is not None}
    assert v.node is not None
    if v.kept is None:
        return [(of_node[p], None) for p in v.node.parents if p is not None]
    pairs = zip(v.kept.parents, v.kept.parts, strict=bool(v.kept.parts))
    return [(of_node[p], part) for p, part in pairs if p is not None and part is not None]


def _gradient(noted: Any, arrivals: Sequence[Data], pool: Pool) -> Data:
    """The gradient that arrived. The sum of its parts should be what the vjp was given: a hook, or
    a later backward of another loss, can make it differ."""
    parts = [pool[a["array"]] for a in arrivals if a["array"] is not None]
    if len(parts) < len(arrivals):
        return {"gradient": pool.add(noted)}
    total = parts[0] if len(parts) == 1 else np.sum(parts, axis=0, dtype=parts[0].dtype)
    if noted is None or np.allclose(noted, total, rtol=1e-4, atol=1e-30, equal_nan=True):
        return {"gradient": pool.add(total)}
    return {"gradient": pool.add(noted), "changed": True}


def _count_memory(graph: Graph, steps: list[Data]) -> None:
    """What all vjps together keep alive after each step, and what a step of backward frees."""
    users: dict[int, int] = {}
    kept = 0
    for step in steps:
        sign = {"forward": 1, "backward": -1}.get(step["phase"], 0)
        held = held_by(graph.vertices[step["vertex"]]) if sign else {}
        owners = {id(o): o for o in map(changes.owner, held.values())}
        for key, owner in owners.items():
            users[key] = users.get(key, 0) + sign
            if users[key] == (sign > 0):  # the first to hold it, or the last
                kept += sign * owner.nbytes
        if sign < 0:
            step["frees"] = [
                {"name": n, "bytes": a.nbytes, "still": users[id(changes.owner(a))] > 0}
                for n, a in held.items()
            ]
        step["kept"] = kept
