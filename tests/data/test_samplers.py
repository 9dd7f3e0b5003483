"""Samplers that are asked as the batches are made, and loaders that are left."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import DataLoader

every_number_of_workers = pytest.mark.parametrize("workers", [0, 1, 3])


class Counting:
    """A sampler that knows how often it was asked."""

    def __init__(self, numbers: Any) -> None:
        self.numbers, self.asked = numbers, 0

    def __iter__(self) -> Iterator[Any]:
        for number in self.numbers:
            self.asked += 1
            yield number


@every_number_of_workers
def test_a_sampler_without_end(workers: int) -> None:
    sampler = Counting(itertools.cycle([3, 1, 2]))
    loader = DataLoader(np.arange(4), 2, sampler=sampler, num_workers=workers)
    found = [batch.tolist() for batch in itertools.islice(loader, 4)]
    assert found == [[3, 1], [2, 3], [1, 2], [3, 1]]
    assert sampler.asked <= 2 * (4 + 2 * workers + 1)  # no further ahead than the batches are


@every_number_of_workers
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("count", range(8))
def test_the_batches_of_a_sampler(workers: int, drop_last: bool, count: int) -> None:
    numbers = [(7 * i) % 5 for i in range(count)]
    loader = DataLoader(
        np.arange(5), 3, sampler=iter(numbers), drop_last=drop_last, num_workers=workers
    )
    expected = [numbers[i : i + 3] for i in range(0, count, 3)]
    if drop_last and count % 3:
        expected.pop()
    assert [batch.tolist() for batch in loader] == expected


@every_number_of_workers
def test_an_error_of_the_sampler_comes_at_its_batch(workers: int) -> None:
    def numbers() -> Iterator[int]:
        yield from range(5)
        raise ZeroDivisionError

    batches = iter(DataLoader(np.arange(9), 2, sampler=numbers(), num_workers=workers))
    assert [next(batches).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(ZeroDivisionError):
        next(batches)


@every_number_of_workers
@pytest.mark.parametrize("number", [1.0, 2.7, "1", None, True, [1], np.float32(1)], ids=repr)
def test_what_is_no_number(workers: int, number: Any) -> None:
    loader = DataLoader(np.arange(9), 2, sampler=[0, 1, number, 2], num_workers=workers)
    batches = iter(loader)
    assert next(batches).tolist() == [0, 1]
    with pytest.raises(TypeError, match="DataLoader: a number from the sampler must be an integer"):
        next(batches)


def test_numbers_of_other_kinds() -> None:
    sampler = [np.int8(1), mg.tensor(2), np.array(0), 3]
    assert [b.tolist() for b in DataLoader(np.arange(9), 4, sampler=sampler)] == [[1, 2, 0, 3]]


@every_number_of_workers
def test_random_numbers_are_drawn_as_the_batches_are(workers: int) -> None:
    """As in PyTorch: a sampler shares the generator with what the loop draws in between."""

    def numbers() -> Iterator[int]:
        while True:
            yield int(mg.randint(9, (1,)).item())

    loader = DataLoader(np.arange(9), 1, sampler=numbers(), num_workers=workers)
    mg.manual_seed(0)
    first = [batch.item() for batch in itertools.islice(loader, 5)]
    mg.manual_seed(0)
    assert first == [int(mg.randint(9, (1,)).item()) for _ in range(5)]


def test_an_abandoned_loop_may_be_collected_in_its_own_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unraisable: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", unraisable.append)
    collect, collected = threading.Event(), threading.Event()

    class Rows:
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            if index == 2:
                collect.wait(10)
                gc.collect()
                collected.set()
            return mg.ones(1)

    class Holder:
        pass

    gc.disable()
    try:
        holder = Holder()
        holder.me, holder.batches = holder, iter(DataLoader(Rows(), 1, num_workers=1))  # type: ignore[attr-defined]
        next(holder.batches)  # type: ignore[attr-defined]
        del holder
        collect.set()
        assert collected.wait(10)
    finally:
        gc.enable()
    assert unraisable == []
