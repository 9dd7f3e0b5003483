"""Where boxes go: in ranks from top to bottom, few crossings, straight lines.

After Sugiyama, Tagawa and Toda, Methods for visual understanding of hierarchical system structures,
1981, in four steps:

1. An operation and the leaves and data that only it uses form a block: the leaves at its left.
2. Every block has a rank, below all that it uses. Edges over several ranks get a point in each
   rank that they pass, one for all that come from one box: it reserves a lane there.
3. In every rank, blocks and points are ordered by the mean place of their neighbours above, then
   below, and again; the order with the fewest crossings is kept.
4. Given the order, a rank takes the places that are closest to its neighbours' in least squares,
   under the distances that it needs: a monotone regression.
"""

from __future__ import annotations

import itertools
import unicodedata
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

GAP = 26.0  # between blocks side by side
LANE = 16.0  # between an edge that passes and its neighbours
RANK = 42.0  # between ranks, at least
BESIDE = 18.0  # between leaves and their operation
BETWEEN = 6.0  # between leaves that stand on one another
PAD = 9.0  # between a layer's frame and what is in it
TITLE = 16.0  # for a frame's title
MARGIN = 12.0
SWEEPS = 10
HEIGHT = 42.0  # of a box: two lines of text
LONGEST = 36  # characters of a name that a box shows

Sides = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(eq=False)
class Box:
    """A rectangle: its centre and size."""

    width: float
    height: float = HEIGHT
    x: float = 0.0
    y: float = 0.0

    @property
    def sides(self) -> Sides:
        """Left, top, right, bottom."""
        w, h = self.width / 2, self.height / 2
        return self.x - w, self.y - h, self.x + w, self.y + h


@dataclass(eq=False)
class Item:
    """What takes a place in a rank: a block of boxes around a main one, or a point of an edge."""

    rank: int
    main: Box | None = None
    layers: tuple[str, ...] = ()
    beside: list[Box] = field(default_factory=list)
    above: list[Item] = field(default_factory=list)
    below: list[Item] = field(default_factory=list)
    place: int = 0  # in its rank
    x: float = 0.0  # of the main box's centre, or of the point

    @property
    def reach(self) -> tuple[float, float]:
        """How far it goes to the left and to the right of x."""
        if self.main is None:
            return 0.0, 0.0
        half = self.main.width / 2 + PAD * len(self.layers)
        return half + max((b.width + BESIDE for b in self.beside), default=0.0), half

    @property
    def height(self) -> float:
        beside = len(self.beside) * (HEIGHT + BETWEEN) - BETWEEN
        return max(HEIGHT, beside) if self.main else 0.0

    def frame(self, depth: int) -> Sides:
        """Around the layers that it is in, from this depth on."""
        assert self.main is not None
        inner, (left, right) = len(self.layers) - depth, self.reach
        half, y = self.height / 2, self.main.y
        return (
            self.x - left + depth * PAD, y - half - inner * (PAD + TITLE),
            self.x + right - depth * PAD, y + half + inner * PAD,
        )  # fmt: skip


@dataclass
class Layout:
    """A box for each vertex, a path for each edge, frames of layers with their titles, the size."""

    boxes: dict[Any, Box]
    paths: dict[tuple[Any, Any], str]
    frames: list[tuple[str, Sides]]
    sides: Sides


def layout(vertices: Sequence[Any]) -> Layout:
    """Places for vertices, which come in an order in which they can be computed.

    A vertex has `kind`, `name`, `description`, `inputs`, and `layers`, the outermost first.
    """
    users: dict[Any, list[Any]] = {v: [] for v in vertices}
    for v in vertices:
        for source in dict.fromkeys(v.inputs):
            users[source].append(v)
    boxes = {v: Box(max(56.0, *_widths(v)) + 20) for v in vertices}
    owner = _blocks(users, boxes)
    _rank(users, owner)
    lanes = _lanes(users, owner)
    items = list(dict.fromkeys(owner.values()))
    ranks: list[list[Item]] = [[] for _ in range(1 + max(item.rank for item in items))]
    for item in dict.fromkeys((*items, *(point for lane in lanes.values() for point in lane))):
        ranks[item.rank].append(item)
    _order(ranks)
    _place(ranks)
    bands = _stack(ranks)
    paths = {edge: _path(*edge, lane, owner, boxes, bands) for edge, lane in lanes.items()}
    frames = _frames(items)
    sides = [*(frame for _, frame in frames), *(box.sides for box in boxes.values())]
    sides += [(p.x, 0.0, p.x, 0.0) for lane in lanes.values() for p in lane]
    left, top, right, bottom = zip(*sides, strict=True)
    around = (min(left) - MARGIN, min(top) - MARGIN, max(right) + MARGIN, max(bottom) + MARGIN)
    return Layout(boxes, paths, frames, around)


def label(name: str) -> str:
    """What a box shows of a name: of a long one the beginning and, mostly, the end."""
    return name if len(name) <= LONGEST else f"{name[:10]}…{name[11 - LONGEST :]}"


def _widths(v: Any) -> tuple[float, float]:
    """Of the two lines of text in a box: bold letters, of which Korean ones are wider, and small
    ones of one width."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in label(v.name))
    return 8.2 * (len(label(v.name)) + 0.7 * wide), 6.7 * len(v.description)


def _blocks(users: dict[Any, list[Any]], boxes: dict[Any, Box]) -> dict[Any, Item]:
    """The item that each vertex belongs to."""
    owner: dict[Any, Item] = {}
    for v in reversed(users):
        if v.kind != "op" and len(users[v]) == 1 and not _begins_a_path(v, users[v][0]):
            owner[v] = owner[users[v][0]]
            owner[v].beside.insert(0, boxes[v])
        else:
            owner[v] = Item(0, boxes[v], v.layers)
    for item in owner.values():
        width = max((b.width for b in item.beside), default=0.0)
        for box in item.beside:
            box.width = width
        if item.main and item.layers:  # a frame holds its title
            item.main.width += max(0.0, 6.4 * len(item.layers[-1]) + 8 - sum(item.reach))
    return {v: owner[v] for v in users}


def _begins_a_path(source: Any, user: Any) -> bool:
    """Whether this is what an operation mainly works on: its first data, or a leaf without a layer,
    if no other operation feeds it."""
    first = next((v for v in user.inputs if v.kind == "data"), user.inputs[0])
    return source is first and not first.layers and all(v.kind != "op" for v in user.inputs)


def _rank(users: dict[Any, list[Any]], owner: dict[Any, Item]) -> None:
    for v in users:
        above = [owner[s].rank + 1 for s in v.inputs if owner[s] is not owner[v]]
        owner[v].rank = max([owner[v].rank, *above])
    for v in reversed(users):  # what begins a path stands close to its first user
        below = [owner[u].rank for u in users[v] if owner[u] is not owner[v]]
        if below and all(source.kind != "op" for source in v.inputs):
            owner[v].rank = min(below) - 1


def _lanes(
    users: dict[Any, list[Any]], owner: dict[Any, Item]
) -> dict[tuple[Any, Any], list[Item]]:
    """Every edge with the points that it passes. Items learn their neighbours."""
    lanes: dict[tuple[Any, Any], list[Item]] = {}
    shared: dict[tuple[Any, int], Item] = {}
    for source, its_users in users.items():
        for user in its_users:
            a, b = owner[source], owner[user]
            passed = range(a.rank + 1, b.rank)
            lanes[source, user] = [shared.setdefault((source, r), Item(r)) for r in passed]
            chain = [a, *lanes[source, user], b] if a is not b else []
            for upper, lower in itertools.pairwise(chain):
                if lower not in upper.below:
                    upper.below.append(lower)
                    lower.above.append(upper)
    return lanes


# ---------------------------------------------------------------------------- order in the ranks


def _order(ranks: list[list[Item]]) -> None:
    best, fewest = [list(rank) for rank in ranks], -1
    for sweep in range(SWEEPS):
        for rank in ranks:
            for i, item in enumerate(rank):
                item.place = i
        crossings = sum(map(_crossings, ranks))
        if crossings < fewest or fewest < 0:
            best, fewest = [list(rank) for rank in ranks], crossings
        if not fewest:
            break
        down = sweep % 2 == 0
        for rank in ranks if down else reversed(ranks):
            _sort(rank, down)
    ranks[:] = best


def _sort(rank: list[Item], down: bool) -> None:
    """By the mean place of the neighbours; those of a layer together."""
    wish: dict[Item, float] = {}
    layers: dict[str, list[float]] = {}
    for item in rank:
        near = item.above if down else item.below
        wish[item] = sum(n.place for n in near) / len(near) if near else item.place
        layers.setdefault(_group(item), []).append(wish[item])
    means = {layer: sum(places) / len(places) for layer, places in layers.items()}
    key = {item: (means[_group(item)], _group(item), wish[item]) for item in rank}
    rank.sort(key=key.__getitem__)
    for i, item in enumerate(rank):
        item.place = i


def _group(item: Item) -> str:
    return item.layers[0] if item.layers else f"#{item.place}"


def _crossings(rank: list[Item]) -> int:
    """Of the edges to the rank below."""
    seen: list[int] = []
    count = 0
    for item in rank:
        ends = sorted(n.place for n in item.below)
        count += sum(len(seen) - bisect_right(seen, end) for end in ends)
        for end in ends:
            insort(seen, end)
    return count


# ---------------------------------------------------------------------------- places


def _place(ranks: list[list[Item]]) -> None:
    for rank in ranks:
        _settle(rank, [(0.0, 1.0)] * len(rank))
    for sweep in range(2 * SWEEPS):
        down = sweep % 2 == 0
        for rank in ranks if down else reversed(ranks):
            both = sweep >= SWEEPS
            _settle(rank, [_wish(item, down or both, not down or both) for item in rank])


def _wish(item: Item, above: bool, below: bool) -> tuple[float, float]:
    """The weighted mean of the neighbours' x, and its weight: long edges want to be straight."""
    near = [*(item.above if above else ()), *(item.below if below else ())]
    if not near:
        return item.x, 0.05
    weights = [(2.0, 1.0, 8.0)[(n.main is None) + (item.main is None)] for n in near]
    total = sum(weights)
    return sum(w * n.x for w, n in zip(weights, near, strict=True)) / total, total


def _settle(rank: list[Item], wishes: list[tuple[float, float]]) -> None:
    """Take the places closest to the wishes that keep order and distances.

    With offsets from the first item taken off, distances become "not smaller than the one before":
    neighbours that violate it are pooled at their mean, until none do.
    """
    offsets, at = [], 0.0
    for i, item in enumerate(rank):
        if i:
            before = rank[i - 1]
            gap = GAP if item.main and before.main else LANE
            at += before.reach[1] + gap + item.reach[0]
        offsets.append(at)
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for (wish, weight), offset in zip(wishes, offsets, strict=True):
        pool = (wish - offset, weight, 1)
        while pools and pools[-1][0] >= pool[0]:
            mean, other, n = pools.pop()
            both = other + pool[1]
            pool = ((mean * other + pool[0] * pool[1]) / both, both, n + pool[2])
        pools.append(pool)
    places = [mean for mean, _, n in pools for _ in range(n)]
    for item, place, offset in zip(rank, places, offsets, strict=True):
        item.x = place + offset


def _stack(ranks: list[list[Item]]) -> list[tuple[float, float]]:
    """Top and bottom of each rank, with the boxes put between."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for rank in ranks:
        for item in rank:
            for layer in item.layers:
                first.setdefault(layer, item.rank)
                last[layer] = item.rank
    bands: list[tuple[float, float]] = []
    top = closing = 0.0
    for i, rank in enumerate(ranks):
        opening = max(_frames_at(item, first, i) for item in rank) * (PAD + TITLE)
        top += max(RANK, closing + opening + 14) if i else 0.0
        closing = max(_frames_at(item, last, i) for item in rank) * PAD
        height = max(item.height for item in rank)
        bands.append((top, top + height))
        for item in rank:
            if item.main:
                item.main.x, item.main.y = item.x, top + height / 2
                y = item.main.y - (len(item.beside) - 1) * (HEIGHT + BETWEEN) / 2
                for box in item.beside:
                    box.x, box.y = item.main.sides[0] - BESIDE - box.width / 2, y
                    y += HEIGHT + BETWEEN
        top += height
    return bands


def _frames_at(item: Item, ends: dict[str, int], rank: int) -> int:
    """How many of the item's frames may begin (or end) in its rank; at least its own."""
    outer = [depth for depth, layer in enumerate(item.layers) if ends[layer] == rank]
    return len(item.layers) - min(outer, default=len(item.layers) - 1) if item.layers else 0


def _path(
    source: Any, user: Any, lane: list[Item], owner: dict[Any, Item], boxes: dict[Any, Box],
    bands: list[tuple[float, float]],
) -> str:  # fmt: skip
    """An edge in the language of SVG's paths."""
    a, b = boxes[source], boxes[user]
    if owner[source] is owner[user]:  # from its side
        x, end = a.sides[2], b.sides[0]
        middle, y = (x + end) / 2, b.y + (a.y - b.y) * 0.25
        return f"M{x:.1f} {a.y:.1f}C{middle:.1f} {a.y:.1f} {middle:.1f} {y:.1f} {end:.1f} {y:.1f}"
    x, y, text = a.x, bands[owner[source].rank][1], f"M{a.x:.1f} {a.sides[3]:.1f}"
    stops = [(p.x, *bands[p.rank]) for p in lane] + [(b.x, bands[owner[user].rank][0], b.sides[1])]
    for to, top, bottom in stops:
        if abs(to - x) > 0.5:
            middle = (y + top) / 2
            text += f"V{y:.1f}C{x:.1f} {middle:.1f} {to:.1f} {middle:.1f} {to:.1f} {top:.1f}"
            x = to
        y = bottom
    return f"{text}V{y:.1f}"


def _frames(items: list[Item]) -> list[tuple[str, Sides]]:
    """One around each layer, if nothing else stands in it; else around runs of its own blocks."""
    frames = []
    for layer in dict.fromkeys(layer for item in items for layer in item.layers):
        inside = [item for item in items if layer in item.layers]
        around = [item.frame(item.layers.index(layer)) for item in inside]
        left, top, right, bottom = zip(*around, strict=True)
        whole = min(left), min(top), max(right), max(bottom)
        others = [item.frame(0) for item in items if layer not in item.layers]
        if not any(overlap(whole, other) for other in others):
            frames.append((layer, whole))
        else:
            own = [item for item in inside if item.layers[-1] == layer]
            others += [item.frame(0) for item in inside if item.layers[-1] != layer]
            frames += [(layer, run) for run in _runs(own, others)]
    return frames


def _runs(own: list[Item], others: list[Sides]) -> list[Sides]:
    """Frames around blocks that follow one another with nothing else between them."""
    runs: list[Sides] = []
    for item in sorted(own, key=lambda item: item.rank):
        frame = item.frame(len(item.layers) - 1)
        if runs:
            a, b, c, d = zip(runs[-1], frame, strict=True)
            both = min(a), min(b), max(c), max(d)
            if not any(overlap(both, other) for other in (*others, *runs[:-1])):
                runs[-1] = both
                continue
        runs.append(frame)
    return runs


def overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two rectangles, given by left, top, right and bottom, have an area in common."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
