"""Who watches operations: one mechanism, in the order of events, for its own thread or task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, modes, nn
from minigrad.autograd import detect_anomaly, grad


class Diary(modes.Observer):
    """Writes down what it is shown."""

    def __init__(self) -> None:
        self.entries: list[Any] = []

    def start(self, layers: tuple[Any, ...] = ()) -> None:
        self.entries.append("start")

    def made(self, node: Any, out: Any, inputs: Sequence[Any]) -> None:
        self.entries.append(f"+{node.name}")

    def passed(self, node: Any, grads: Sequence[Any]) -> None:
        self.entries.append(f"-{node.name}")


def leaf(value: float = 2.0) -> Tensor:
    return minigrad.tensor(value, dtype=minigrad.float64, requires_grad=True)


def test_an_observer_sees_forward_and_backward_in_order() -> None:
    x = leaf()
    with modes.watched_by(diary := Diary()):
        y = (x * 3).exp()
        y.backward()
    assert diary.entries == ["+mul", "+exp", "start", "-exp", "-mul"]
    x * 2
    assert len(diary.entries) == 5 and not modes.watchers


def test_it_sees_grad_and_what_is_not_recorded_and_renewed_views() -> None:
    x = leaf()
    with modes.watched_by(diary := Diary()):
        grad(x * 3, x)
        with minigrad.no_grad():
            x * 2
        base = Tensor(np.ones(3), requires_grad=True) * 1
        view = base[:2]
        base.mul_(2)
        view.sum()
    assert diary.entries[:4] == ["+mul", "start", "-mul", "+mul"]
    assert diary.entries[-2:] == ["+view", "+sum"]  # the view took its base's new history


def test_the_node_knows_its_line_and_its_layers() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Tanh()))
    with modes.watched_by(Diary()):
        y = model(minigrad.ones(1, 2))  # this line
        z = y * 2
    assert y.node and z.node and isinstance(y.node.origin, modes.Origin)
    assert y.node.origin.layers == (model, model[1], model[1][0])
    assert z.node.origin.layers == ()
    assert str(y.node.origin).endswith(": y = model(minigrad.ones(1, 2))  # this line")
    assert z.node.origin.line == y.node.origin.line + 1


def test_layers_are_left_after_an_error() -> None:
    with modes.watched_by(Diary()):
        with pytest.raises(RuntimeError, match="does not fit"):
            nn.Linear(2, 3)(minigrad.ones(1, 5))
        z = leaf() * 2
    assert z.node and z.node.origin.layers == ()


def test_of_one_kind_the_inner_one_sees_unless_it_says_otherwise() -> None:
    class Both(Diary):
        replaces = False

    for kind, expected in ((Diary, ["+mul"]), (Both, ["+mul", "+exp"])):
        outer, inner = kind(), kind()
        with modes.watched_by(outer):
            y = leaf() * 2
            with modes.watched_by(inner):
                y.exp()
        assert outer.entries == expected and inner.entries == ["+exp"]


def test_nested_anomaly_detection_goes_by_the_inner_block() -> None:
    with detect_anomaly():
        with detect_anomaly(check_nan=False):
            assert np.isnan(leaf(-1.0).log().item())
        with pytest.raises(RuntimeError, match="'log' made a NaN"):
            leaf(-1.0).log()


def test_observers_and_layers_belong_to_their_thread() -> None:
    with modes.watched_by(diary := Diary()):
        thread = threading.Thread(target=lambda: nn.Linear(1, 1)(minigrad.ones(1, 1)))
        thread.start()
        thread.join(10)
    assert diary.entries == []


def test_layers_belong_to_their_task() -> None:
    async def slow(started: asyncio.Event, done: asyncio.Event) -> Any:
        with modes.inside("a layer"):
            started.set()
            await done.wait()
            return leaf() * 2

    async def other(started: asyncio.Event, done: asyncio.Event) -> Any:
        await started.wait()
        y = leaf() * 3
        done.set()
        return y

    async def both() -> Any:
        events = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(slow(*events), other(*events))

    with modes.watched_by(Diary()):
        inner, outer = asyncio.run(both())
    assert inner.node.origin.layers == ("a layer",) and outer.node.origin.layers == ()
