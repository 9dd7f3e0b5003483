"""graph(): what is in it, before and after backward, and the texts it is written as."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from networks import readme, recurrent, residual

import minigrad as mg
from minigrad import nn
from minigrad.autograd import record
from minigrad.visual import Graph

GRAPHVIZ = pytest.mark.skipif(
    shutil.which("dot") is None, reason="Graphviz's program dot is missing"
)


def edges(graph: Graph) -> list[tuple[str, str]]:
    return [(a.name, b.name) for a, b in graph.edges]


def test_the_network_of_the_readme_before_backward() -> None:
    model, _, forward = readme()
    graph = mg.graph(forward(), model)
    assert [v.name for v in graph.vertices] == [
        "0.weight", "0.bias", "linear", "1.weight", "1.bias", "batch_norm_relu",
        "3.weight", "3.bias", "linear", "binary_cross_entropy_with_logits",
    ]  # fmt: skip
    assert [v.kind for v in graph.vertices].count("op") == 4
    assert graph.vertices[2].shape == (200, 16) and graph.vertices[2].dtype == "float32"
    assert [v.layer for v in graph.vertices] == [
        *["0 · Linear"] * 3, *["1 · BatchNorm1d"] * 3, *["3 · Linear"] * 3, "",
    ]  # fmt: skip
    assert edges(graph)[:3] == [
        ("0.weight", "linear"), ("0.bias", "linear"), ("linear", "batch_norm_relu"),
    ]  # fmt: skip


def test_the_same_remembered_has_its_data_and_is_there_after_backward() -> None:
    _, names, forward = readme()
    with mg.remember():
        loss = forward()
    before = mg.graph(loss, names)
    loss.backward()
    after = mg.graph(loss, names)
    assert str(before) == str(after)
    assert [v.name for v in after.vertices if v.kind == "data"] == ["x", "y"]
    assert edges(after)[0] == ("x", "linear")
    assert repr(after) == "<Graph: 4 ops, 6 leaves, 2 data>"


def test_without_names_the_layers_that_ran_give_them() -> None:
    _, _, forward = readme()
    with mg.remember():
        loss = forward()
    assert [v.name for v in mg.graph(loss).vertices][1:3] == ["0.weight", "0.bias"]
    bare = mg.graph(forward())
    assert {v.name for v in bare.vertices if v.kind == "leaf"} == {"leaf"}
    assert set(bare.layers) == {""}


def test_layers_in_layers() -> None:
    model, forward = residual()
    with mg.remember():
        loss = forward()
    graph = mg.graph(loss, model)
    add = next(v for v in graph.vertices if v.name == "add")
    conv = next(v for v in graph.vertices if "1.second" in v.layer and v.kind == "op")
    assert add.layers == ("1 · Block",)
    assert conv.layers == ("1 · Block", "1.second · Conv2d")


def test_a_leaf_that_belongs_to_no_layer_stands_outside() -> None:
    x, layer = mg.randn(4, 3).requires_grad_(), nn.Linear(3, 2)
    with mg.remember():
        y = layer(x)
    graph = mg.graph(y, {"x": x, "l": layer})
    assert [(v.name, v.layer) for v in graph.vertices] == [
        ("x", ""), ("l.weight", "l · Linear"), ("l.bias", "l · Linear"), ("linear", "l · Linear"),
    ]  # fmt: skip


def test_shared_weights_are_one_vertex_with_several_edges() -> None:
    model, forward = recurrent()
    graph = mg.graph(forward(), model)
    weight = [v for v in graph.vertices if v.name == "outer.weight"]
    assert len(weight) == 1
    assert sum(a is weight[0] for a, _ in graph.edges) == 4


def test_names_of_tensors_on_the_way_and_a_tensor_used_twice() -> None:
    a = mg.tensor(3.0, requires_grad=True)
    b = a * a
    graph = mg.graph(b + 1, {"a": a, "b": b})
    assert edges(graph) == [("a", "b"), ("a", "b"), ("b", "add")]
    assert "b = mul" in str(graph)


def test_a_leaf_alone_and_a_view_made_anew() -> None:
    a = mg.ones(3).requires_grad_()
    assert [v.kind for v in mg.graph(a).vertices] == ["leaf"]
    base = a * 1
    view = base[:2]
    base.mul_(2)
    with mg.remember():
        y = view.sum()
    assert [v.name for v in mg.graph(y).vertices if v.kind == "op"][-2:] == ["view", "sum"]
    y.backward()
    with pytest.raises(RuntimeError, match="consumed"):
        mg.graph(y)  # what was before the block is gone


def test_refusals() -> None:
    with pytest.raises(TypeError, match="graph: expected a Tensor, got ndarray"):
        mg.graph(np.ones(3))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="does not require grad"):
        mg.graph(mg.ones(3))
    x = mg.ones(3).requires_grad_()
    with pytest.raises(TypeError, match="names must be a Module"):
        mg.graph(x * 2, [x])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'x' is a float, no Tensor or Module"):
        mg.graph(x * 2, {"x": 2.0})
    y = (x * 2).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"consumed 'sum'.*remember\(\)"):
        mg.graph(y)


@pytest.mark.slow
def test_a_graph_of_100_000_nodes_is_data_and_text_but_no_picture() -> None:
    y = mg.tensor(0.0, requires_grad=True)
    for _ in range(100_000):
        y = y + 1.0
    graph = mg.graph(y)
    assert len(graph.vertices) == 100_001
    assert graph.dot().count("->") == 100_000
    assert "100,001 boxes" in _error(graph.svg) and "too many" in graph._repr_html_()
    assert graph._repr_svg_() is None


def _error(call: Any) -> str:
    with pytest.raises(ValueError) as caught:
        call()
    return str(caught.value)


# ---------------------------------------------------------------------------- texts

NASTY = 'a "b" <i>&#;\\ </script>\n'


def nasty() -> Graph:
    x = mg.ones(2).requires_grad_()
    return mg.graph(record(NASTY, x.array * 1, (x,), lambda g: g), {NASTY: x})


@pytest.mark.parametrize("which", [readme, residual, recurrent])
def test_svg_is_xml_with_a_box_for_each_vertex(which: Any) -> None:
    model, *_, forward = which()
    with mg.remember():
        loss = forward()
    graph = mg.graph(loss, model)
    root = ET.fromstring(graph.svg(graphviz=False))
    ids = {e.get("id") for e in root.iter() if e.get("id")}
    assert {f"v{v.number}" for v in graph.vertices} <= ids
    assert {f"e{a.number}-{b.number}" for a, b in graph.edges} <= ids
    texts = {e.text for e in root.iter() if e.tag.endswith("text")}
    assert {v.name for v in graph.vertices} | set(graph.layers) - {""} <= texts
    assert graph._repr_svg_() == graph.svg(graphviz=False)
    assert "<svg" in graph._repr_html_()


def test_every_text_is_escaped() -> None:
    graph = nasty()
    root = ET.fromstring(graph.svg(graphviz=False))  # well-formed
    assert NASTY.strip() in {(e.text or "").strip() for e in root.iter() if e.tag.endswith("text")}
    line = next(line for line in graph.mermaid().splitlines() if "n0" in line)
    assert line == ('  n0(["a #34;b#34; #60;i#62;#38;#35;;\\ #60;/script#62;<br/>(2,) float32"])')


def test_mermaid_has_layers_as_subgraphs() -> None:
    model, _, forward = readme()
    text = mg.graph(forward(), model).mermaid()
    assert text.startswith("flowchart TD\n")
    assert text.count("subgraph") == text.count("  end\n") == 3
    assert 'subgraph layer1["1 · BatchNorm1d"]' in text and "n2 --> n5" in text


def test_layers_are_nested_in_texts() -> None:
    model, forward = residual()
    with mg.remember():
        graph = mg.graph(forward(), model)
    lines = [line.strip() for line in graph.mermaid().splitlines()]
    block = lines.index('subgraph layer1["1 · Block"]')
    assert lines[block + 1] == 'subgraph layer2["1.first · Conv2d"]'
    assert lines.count("end") == len({title for v in graph.vertices for title in v.layers})


@GRAPHVIZ
@pytest.mark.parametrize("make", [lambda: mg.graph(residual()[1]()), nasty])
def test_dot_draws_it(make: Any) -> None:
    graph = make()
    root = ET.fromstring(graph.svg(graphviz=True))
    nodes = [e for e in root.iter() if e.get("class") == "node"]
    assert len(nodes) == len(graph.vertices)
    run = subprocess.run(["dot", "-Tcanon"], input=graph.dot(), capture_output=True, text=True)
    assert run.returncode == 0 and not run.stderr


def test_without_graphviz_the_layout_here_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    graph = mg.graph(readme()[2]())
    assert graph.svg() == graph.svg(graphviz=False)
    with pytest.raises(RuntimeError, match="not installed"):
        graph.svg(graphviz=True)
