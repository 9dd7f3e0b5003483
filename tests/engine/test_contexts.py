"""Blocks that a generator keeps open while threads, tasks and contexts take turns with it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import minigrad as mg
from minigrad import kernels, modes, nn
from minigrad.data import DataLoader

LAYER = nn.BatchNorm1d(2)

# name -> a new block, what it changes, and its value inside (outside it is another)
BLOCKS: dict[str, tuple[Callable[[], Any], Callable[[], Any], Any]] = {
    "no_grad": (mg.no_grad, mg.is_grad_enabled, False),
    "enable_grad": (mg.enable_grad, mg.is_grad_enabled, True),
    "set_grad_enabled": (lambda: mg.set_grad_enabled(False), mg.is_grad_enabled, False),
    "detect_anomaly": (mg.autograd.detect_anomaly, lambda: modes.inspector() is not None, True),
    "use_kernels": (lambda: mg.use_kernels("numpy"), kernels.kernels_in_use, "numpy"),
    "frozen_stats": (
        lambda: nn.utils.frozen_stats(LAYER),
        lambda: modes.stats_may_move(LAYER),
        False,
    ),
    "probe": (modes.probe, modes.probing.get, True),
}
every_block = pytest.mark.parametrize("name", BLOCKS)


@pytest.fixture(autouse=True)
def elsewhere(request: pytest.FixtureRequest) -> Iterator[None]:
    """What an unfinished block leaves set stays with its test."""
    before = mg.is_grad_enabled()
    if "enable_grad" in request.node.name:
        mg.set_grad_enabled(False)
    yield
    mg.set_grad_enabled(before)


def opened(name: str, times: int = 3) -> Iterator[Any]:
    for _ in range(times):
        with BLOCKS[name][0]():
            yield BLOCKS[name][1]()


def in_thread(action: Callable[[], Any]) -> Any:
    """What an action returns in a thread of its own; its exception is raised here."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append((action(), None))
        except BaseException as error:
            results.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if results[0][1] is not None:
        raise results[0][1]
    return results[0][0]


def in_context(action: Callable[[], Any]) -> Any:
    return contextvars.copy_context().run(action)


def with_state(name: str, action: Callable[[], Any]) -> Callable[[], Any]:
    """The action in a thread that starts where this test does, and what it finds afterwards."""
    _, state, _ = BLOCKS[name]
    here = mg.is_grad_enabled()

    def act() -> Any:
        mg.set_grad_enabled(here)
        action()
        return state()

    return act


@every_block
def test_closed_in_another_thread(name: str) -> None:
    _, state, inside = BLOCKS[name]
    outside = state()
    assert outside != inside

    def scenario() -> None:
        steps = opened(name)
        assert next(steps) == inside
        assert in_thread(with_state(name, steps.close)) == outside

    in_context(scenario)
    assert state() == outside


@every_block
def test_advanced_by_threads_in_turn(name: str) -> None:
    _, state, inside = BLOCKS[name]
    outside = state()

    def scenario() -> None:
        steps = opened(name, 4)
        for _ in range(2):
            assert next(steps) == inside
            assert in_thread(with_state(name, lambda: next(steps))) == inside
        assert list(steps) == []
        assert state() == outside

    in_context(scenario)


@every_block
def test_collected_as_garbage_in_another_thread(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unraisable: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", unraisable.append)

    class Holder:
        pass

    def scenario() -> None:
        holder = Holder()
        holder.me, holder.steps = holder, opened(name)  # type: ignore[attr-defined]
        next(holder.steps)  # type: ignore[attr-defined]
        del holder
        in_thread(gc.collect)

    gc.disable()
    try:
        in_context(scenario)
    finally:
        gc.enable()
    assert unraisable == []


@every_block
def test_closed_in_another_context(name: str) -> None:
    """A copied context starts inside the block, and leaves it with the generator."""
    _, state, inside = BLOCKS[name]
    outside = state()

    def scenario() -> None:
        steps = opened(name)
        next(steps)

        def close() -> Any:
            assert state() == inside
            steps.close()
            return state()

        assert in_context(close) == outside
        if name != "detect_anomaly":  # whose last block anywhere has ended
            assert state() == inside  # nobody has ended it here

    in_context(scenario)
    assert state() == outside


@every_block
def test_tasks_take_turns(name: str) -> None:
    _, state, inside = BLOCKS[name]
    outside = state()
    steps = opened(name)

    async def advance() -> Any:
        found = next(steps)
        await asyncio.sleep(0)
        return found, state()

    async def close() -> Any:
        steps.close()
        return state()

    async def together() -> None:
        assert await asyncio.create_task(advance()) == (inside, inside)
        assert await asyncio.create_task(advance()) == (inside, inside)
        assert await asyncio.create_task(close()) == outside
        assert state() == outside

    asyncio.run(together())


@every_block
def test_an_abandoned_async_generator(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop closes it at the end, in a task of its own."""
    unraisable: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", unraisable.append)
    _, state, inside = BLOCKS[name]

    async def numbers() -> AsyncIterator[Any]:
        while True:
            with BLOCKS[name][0]():
                yield state()

    async def look() -> None:
        async def first() -> None:
            async for found in numbers():
                assert found == inside
                break

        await asyncio.create_task(first())
        gc.collect()
        await asyncio.sleep(0)

    problems: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: problems.append(what))
        await look()

    asyncio.run(main())
    assert problems == unraisable == []


@every_block
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_stream_read_by_a_loader(name: str, workers: int) -> None:
    class Stream:
        def __init__(self) -> None:
            self.items, self.lock = opened(name, 100), threading.Lock()

        def __len__(self) -> int:
            return 12

        def __getitem__(self, index: int) -> Any:
            with self.lock:
                next(self.items)
            return mg.ones(2)

    def scenario() -> None:
        stream = Stream()
        assert len(list(DataLoader(stream, 2, num_workers=workers))) == 6
        for _ in DataLoader(stream, 2, num_workers=workers):
            break  # the loader ends its threads, the stream stays open
        stream.items.close()  # type: ignore[attr-defined]

    in_context(scenario)


def test_crossed_blocks_end_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    kinds = ["no_grad", "enable_grad", "on", "off"]

    def block(library: Any, kind: str) -> Any:
        if kind in ("on", "off"):
            return library.set_grad_enabled(kind == "on")
        return getattr(library, kind)()

    rng = random.Random(0)
    try:
        for _ in range(300):
            open_: list[Any] = []
            for _ in range(rng.randrange(2, 12)):
                if open_ and rng.random() < 0.45:  # any of them, not only the innermost
                    for one in open_.pop(rng.randrange(len(open_))):
                        one.__exit__(None, None, None)
                else:
                    kind = rng.choice(kinds)
                    pair = block(mg, kind), block(torch, kind)
                    for one in pair:
                        one.__enter__()
                    open_.append(pair)
                assert mg.is_grad_enabled() == torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
        mg.set_grad_enabled(True)


def test_generators_that_take_turns_end_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")

    def alternating(library: Any, seed: int) -> list[bool]:
        def one(kind: str) -> Iterator[bool]:
            for _ in range(3):
                with getattr(library, kind)():
                    yield library.is_grad_enabled()

        rng = random.Random(seed)
        running = [one(rng.choice(["no_grad", "enable_grad"])) for _ in range(3)]
        found = []
        while running:
            steps = rng.choice(running)
            if next(steps, None) is None:
                running.remove(steps)
            found.append(library.is_grad_enabled())
        library.set_grad_enabled(True)
        return found

    for seed in range(50):
        assert alternating(mg, seed) == alternating(torch, seed)


def test_blocks_of_many_threads_leave_the_process_s_choice() -> None:
    """Between its call and its `with` a block cannot be told from a plain call."""
    before = mg.kernels.kernels_in_use()

    def work() -> None:
        for i in range(300):
            with mg.use_kernels("numpy" if i % 2 else "numba"):
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mg.kernels.kernels_in_use() == before
    try:
        mg.use_kernels("numpy")
        with mg.use_kernels("numba"):
            pass
        assert mg.kernels.kernels_in_use() == "numpy"
        kept = [mg.use_kernels("numba") for _ in range(3)]
        with kept[1]:
            assert mg.kernels.kernels_in_use() == "numba"
        assert mg.kernels.kernels_in_use() == "numba" and len(mg.kernels._calls) == 3
    finally:
        mg.use_kernels(before)
    del kept
    mg.use_kernels(before)
    assert len(mg.kernels._calls) <= 2
