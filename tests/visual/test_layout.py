"""The layout: nothing overlaps, edges go around boxes, and few of them cross."""

from __future__ import annotations

import itertools
import random
import re
from typing import Any

import numpy as np
import pytest
from networks import readme, recurrent, residual

import minigrad as mg
from minigrad import nn
from minigrad.visual import svg
from minigrad.visual.graphs import Vertex
from minigrad.visual.layout import LONGEST, Layout, label, layout, overlap

Array = Any


def random_graph(seed: int) -> list[Vertex]:
    """Up to sixty vertices: chains, branches, shared leaves, edges that go far, nested layers."""
    rng = random.Random(seed)
    vertices: list[Vertex] = []
    for number in range(rng.randint(2, 60)):
        kind = rng.choice(["op", "op", "op", "leaf", "data"]) if number else "leaf"
        shape = tuple(rng.choices([1, 16, 2000], k=rng.randint(0, 4)))
        name = rng.choice(["x", "relu", "0.weight", "binary_cross_entropy_with_logits"])
        vertex = Vertex(number, kind, name, shape, "float32")
        if kind == "op":
            recent = vertices[-rng.choice([1, 2, 5, 60]) :]
            vertex.inputs = rng.choices(recent, k=rng.randint(1, 3))
        if rng.random() < 0.5:
            outer = f"{number // 10} · Block"
            vertex.layers = rng.choice(
                [(outer,), (outer, f"{number // 10}.{number // 4} · Linear")]
            )
        vertices.append(vertex)
    used = {v for vertex in vertices for v in vertex.inputs}
    return [v for v in vertices if v.kind == "op" or v in used] or vertices[:1]


def points(path: str) -> Array:
    """Points (P, 2) of a path in SVG's language, as far as the layout speaks it: M, V and C."""
    found, at = [], np.zeros(2)
    t = np.linspace(0, 1, 21)[:, None]
    for command, text in re.findall(r"([MVC])([^MVC]+)", path):
        given = np.array(text.split(), float)
        if command == "M":
            at = given
            continue
        if command == "V":
            one, two, end = at, at, np.array([at[0], given[0]])
            found.append(at + (end - at) * t)
        else:
            one, two, end = given.reshape(3, 2)
            curve = at * (1 - t) ** 3 + 3 * one * t * (1 - t) ** 2
            found.append(curve + 3 * two * t * t * (1 - t) + end * t**3)
        at = end
    return np.concatenate(found)


def check(vertices: list[Vertex], found: Layout) -> None:
    """What a picture owes its reader."""
    sides = {v: box.sides for v, box in found.boxes.items()}
    assert set(sides) == set(vertices)
    for a, b in itertools.combinations(vertices, 2):
        assert not overlap(sides[a], sides[b]), (a, b)
    left, top, right, bottom = found.sides
    for box in (*sides.values(), *(frame for _, frame in found.frames)):
        assert left <= box[0] and top <= box[1] and right >= box[2] and bottom >= box[3]
    assert set(found.paths) == {(s, v) for v in vertices for s in v.inputs}
    corners = np.array([sides[v] for v in vertices])
    low, high = corners[:, :2] + 1, corners[:, 2:] - 1
    for (source, user), path in found.paths.items():
        p = points(path)[:, None]
        assert (p >= (left, top)).all() and (p <= (right, bottom)).all()
        hit = ((p > low) & (p < high)).all(axis=2).any(axis=0)
        assert {vertices[i] for i in np.flatnonzero(hit)} <= {source, user}
        box, (x, y) = sides[user], p[-1, 0]
        assert box[0] - 1 <= x <= box[2] + 1 and box[1] - 1 <= y <= box[3] + 1
    for (title, frame), (other_title, other) in itertools.combinations(found.frames, 2):
        nested = _inside(frame, other) or _inside(other, frame)
        assert nested or not overlap(frame, other), (title, other_title)
    for title, frame in found.frames:
        within = [v for v in vertices if overlap(sides[v], frame)]
        assert within and all(_inside(sides[v], frame) for v in within)
        foreign = [v for v in within if title not in v.layers]
        # a leaf that only one operation uses stands beside it, wherever it belongs
        assert all(v.kind != "op" for v in foreign), (title, foreign)


def _inside(a: Any, b: Any) -> bool:
    return bool(a[0] >= b[0] and a[1] >= b[1] and a[2] <= b[2] and a[3] <= b[3])


def test_random_graphs() -> None:
    for seed in range(60):
        vertices = random_graph(seed)
        check(vertices, layout(vertices))


@pytest.mark.fuzz
def test_many_random_graphs() -> None:
    for seed in range(60, 1500):
        vertices = random_graph(seed)
        check(vertices, layout(vertices))


@pytest.mark.parametrize("which", [readme, residual, recurrent])
def test_networks(which: Any) -> None:
    model, *_, forward = which()
    with mg.remember():
        loss = forward()
    vertices = mg.graph(loss, model).vertices
    check(vertices, layout(vertices))


def test_a_chain_is_a_straight_line() -> None:
    vertices = mg.graph(readme()[2]()).vertices
    found = layout(vertices)
    xs = {round(found.boxes[v].x, 3) for v in vertices if v.kind == "op"}
    assert len(xs) == 1


def test_branches_that_need_not_cross_do_not() -> None:
    """Three chains from one leaf, whose operations are recorded in ever another order."""
    vertices = [Vertex(0, "leaf", "x", (1,), "float32")]
    ends = dict.fromkeys("abc", vertices[0])
    for order in ("abc", "cba", "bca", "acb", "bac"):
        for name in order:
            number, inputs = len(vertices), [ends[name]]
            ends[name] = Vertex(number, "op", name, (1,), "float32", inputs=inputs)
            vertices.append(ends[name])
    found = layout(vertices)
    orders = []
    for rank in range(5):
        row = sorted(vertices[3 * rank + 1 : 3 * rank + 4], key=lambda v: found.boxes[v].x)
        orders.append([v.name for v in row])
    assert orders == orders[:1] * 5


def test_every_layer_of_the_residual_network_has_one_frame() -> None:
    model, forward = residual()
    with mg.remember():
        loss = forward()
    graph = mg.graph(loss, model)
    titles = [title for title, _ in layout(graph.vertices).frames]
    every = {title for v in graph.vertices for title in v.layers}
    assert sorted(titles) == sorted(every)


def test_a_layer_with_something_beside_it_has_few_frames() -> None:
    """The sum over the weights stands beside the projection: one frame a block would be 19."""
    attention, x = nn.MultiheadAttention(8, 2, batch_first=True), mg.randn(2, 3, 8)
    with mg.remember():
        output, weights = attention(x, x, x)
        loss = output.sum() + weights.sum()
    vertices = mg.graph(loss, {"attention": attention, "x": x}).vertices
    found = layout(vertices)
    check(vertices, found)
    assert 1 <= len(found.frames) <= 3


def test_a_long_name_is_cut_where_it_says_least() -> None:
    name = "encoder.layers.11.attention.projection.in_proj_weight"
    assert label(name) == "encoder.la…projection.in_proj_weight"
    assert len(label(name)) == LONGEST and label("0.weight") == "0.weight"
    vertex = Vertex(0, "leaf", name, (2,), "float32")
    picture = svg.draw([vertex], layout([vertex]))
    assert f"<title>{name} " in picture and f">{label(name)}<" in picture
    wide = layout([Vertex(0, "leaf", "가중치" * 8, (2,), "float32")]).sides
    narrow = layout([Vertex(0, "leaf", "abc" * 8, (2,), "float32")]).sides
    assert wide[2] - wide[0] > 1.5 * (narrow[2] - narrow[0])
