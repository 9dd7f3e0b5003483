"""explore(): one page, in one file, that steps through a graph forward and backward."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigrad import tape
from minigrad.files import replacing
from minigrad.nn.module import Module
from minigrad.tape import Array
from minigrad.tensor import Tensor, seed
from minigrad.visual import svg
from minigrad.visual.graphs import Graph, graph
from minigrad.visual.layout import layout
from minigrad.visual.story import story

HERE = Path(__file__).parent


def explore(
    loss: Tensor, path: str | os.PathLike[str], names: Module | Mapping[str, Any] | None = None,
    *, gradient: Any = None,
) -> Path:  # fmt: skip
    """Write a page that shows how `loss` was computed and how its gradient flows, step by step.

    It is one file that needs no network: open it in a browser. Where the graph was made under
    `with minigrad.remember():`, it has every array, gradient and line of your source; otherwise the
    structure, the formulas as they stand in the source, and what is held for backward.

    Before backward it runs one of its own, which consumes nothing and writes no `.grad` (hooks on
    tensors run); after one it shows the gradients of that.

    Args:
        loss: a scalar, or with `gradient` any tensor that requires grad.
        path: the file to write, such as "graph.html"; it is replaced only when all is written.
        names: a Module, or a dict of tensors and Modules by name: what things are called.
        gradient: the gradient with respect to `loss`, as in `backward`.

    Returns:
        The absolute path of the file.

    Raises:
        RuntimeError: nothing was recorded or computed; no scalar and no gradient; the graph was
            consumed and nobody remembered it.
        ValueError: a graph of more than 1,000 boxes.
        TypeError: a loss that is no Tensor, or names of another kind.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f"explore: expected a Tensor, got {type(loss).__name__}")
    root, cotangent = seed(loss, gradient, "explore")
    found = graph(loss, names)
    found.check_size("explore")
    if root.vjp is None:
        raise RuntimeError("explore: the tensor is a leaf: nothing was computed to look at")
    remembered = any(v.kept for v in found.vertices)
    if remembered:
        cotangent = _gradients(found, root, cotangent)
    data = story(found, cotangent)
    value = float(loss.array.reshape(-1)[0]) if loss.array.size == 1 else None
    data |= {"remembered": remembered, "loss": None if value is None else f"{value:.6g}"}
    data["problem"] = _problem(data)
    path = Path(os.path.abspath(path))
    with replacing(os.fspath(path), "explore") as file:
        file.write(_page(found, data).encode())
    return path


def _gradients(found: Graph, root: tape.Node, cotangent: Array) -> Array:
    """Let a walk pass by what is remembered, unless a backward has; return what it began with."""
    if all(v.node is None or v.node.vjp is not tape.used_up for v in found.vertices):
        for v in found.vertices:
            if v.kept:
                v.kept.gradient, v.kept.parts = None, []
        tape.walk((root,), (cotangent,), retain_graph=True)
        return cotangent
    last = found.vertices[-1].kept
    if root.vjp is not tape.used_up or last is None or last.gradient is None:
        raise RuntimeError(
            "explore: the backward of another loss has consumed a part of this graph: pass "
            "retain_graph=True to that, or explore that loss"
        )
    return last.gradient


def _problem(data: dict[str, Any]) -> dict[str, Any] | None:
    """The step that the first NaN comes in with or is made in, forward or backward; if there is
    none, the first infinity, which may be meant (a mask)."""
    for count, what in (("nan", "a NaN"), ("inf", "an infinity")):
        for at, step in enumerate(data["steps"]):
            for number, array in _comes(step, data["vertices"]):
                if array is not None and data["arrays"][array].get(count):
                    return {"step": at, "vertex": number, "what": what}
    return None


def _comes(step: dict[str, Any], vertices: list[dict[str, Any]]) -> list[tuple[int, int | None]]:
    """The arrays that are new in a step, with the vertices that they belong to or come from."""
    if step["phase"] == "begin":
        return [(i, v["value"]) for i, v in enumerate(vertices) if v["kind"] != "op"]
    if step["phase"] == "forward":
        return [(step["vertex"], vertices[step["vertex"]]["value"])]
    return [(step.get("vertex", g["vertex"]), g["array"]) for g in step.get("gives", ())]


def _page(found: Graph, data: dict[str, Any]) -> str:
    """The page's text. Everything of the user's is escaped, or data for the script."""
    heading = "A graph" if data["loss"] is None else f"loss = {data['loss']}"
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":  # "</script>" in a source line must not end the script
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    parts = {
        "TITLE": f"{html.escape(heading)} · minigrad",
        "HEADING": html.escape(heading),
        "STYLE": svg.STYLE + (HERE / "page.css").read_text("utf-8"),
        "PICTURE": svg.draw(found.vertices, layout(found.vertices), style=False),
        "DATA": text,
        "SCRIPT": (HERE / "page.js").read_text("utf-8"),
    }
    page = (HERE / "page.html").read_text("utf-8")
    first, *rest = page.split("{{")
    for piece in rest:
        name, _, after = piece.partition("}}")
        first += parts[name] + after
    return first
