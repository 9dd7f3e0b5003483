"""`utils.data` by PyTorch's names: the same batches, the same refusals."""

from __future__ import annotations

import inspect
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.utils.data as ours
from minigrad import data

torch = pytest.importorskip("torch")
theirs = torch.utils.data
LIBRARIES = [(mg, ours), (torch, theirs)]


def plain(value: Any) -> Any:
    """Batches as nested lists, with the dtype of every tensor."""
    if hasattr(value, "tolist"):
        assert value.is_contiguous()
        return str(value.dtype).removeprefix("torch."), value.tolist()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [plain(v) for v in value]
    return value


def test_the_names_are_those_of_data() -> None:
    from minigrad.utils.data import DataLoader, Dataset, TensorDataset

    assert mg.utils.data is ours and "utils" in mg.__all__
    assert (DataLoader, Dataset, TensorDataset) == (
        data.DataLoader, data.Dataset, data.TensorDataset,
    )  # fmt: skip
    for name in ours.__all__:
        assert getattr(ours, name) is getattr(data, name) and hasattr(theirs, name)
    with pytest.raises(AttributeError, match="did you mean 'DataLoader'"):
        _ = ours.DataLoadr  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name", ["DataLoader", "random_split", "RandomSampler", "WeightedRandomSampler",
             "SubsetRandomSampler", "BatchSampler", "SequentialSampler", "ConcatDataset", "Subset"]
)  # fmt: skip
def test_arguments_stand_where_pytorch_has_them(name: str) -> None:
    own = list(inspect.signature(getattr(ours, name)).parameters.values())
    other = list(inspect.signature(getattr(theirs, name)).parameters.values())
    assert [(p.name, p.kind) for p in other] == [(p.name, p.kind) for p in own if p.name != "seed"]
    simple = {p.name: p.default for p in other if isinstance(p.default, int | float | str | None)}
    assert simple.items() <= {p.name: p.default for p in own}.items() | {("generator", None)}


def numbers(d: Any, n: int) -> Any:
    class Numbers(d.IterableDataset):  # type: ignore[misc]
        def __iter__(self) -> Iterator[int]:
            return iter(range(n))

    return Numbers()


def fetched(d: Any) -> Any:
    class Fetched(d.Dataset):  # type: ignore[misc]
        def __getitems__(self, indices: list[int]) -> Any:
            return [10 * i + len(indices) for i in indices]

        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: int) -> Any:
            raise AssertionError("asked one by one")

    return Fetched()


LOADERS = {
    "two positional": lambda m, d: d.DataLoader(range(5), 2),
    "batch_sampler": lambda m, d: d.DataLoader(
        range(9), batch_sampler=d.BatchSampler(d.SequentialSampler(range(7)), 3, False)
    ),
    "lists as batch_sampler": lambda m, d: d.DataLoader(
        d.TensorDataset(m.arange(6)), batch_sampler=[[3, 1], [0], [5, 5, 5]]
    ),
    "no batches": lambda m, d: d.DataLoader([1, 2.5, np.ones((2, 1)), "a"], batch_size=None),
    "no batches, tuples": lambda m, d: d.DataLoader(
        d.TensorDataset(m.arange(3), m.arange(6).reshape(3, 2)), batch_size=None
    ),
    "lists as keys": lambda m, d: d.DataLoader(
        d.TensorDataset(m.arange(6)), batch_size=None,
        sampler=d.BatchSampler(d.SequentialSampler(range(6)), 4, False),
    ),
    "dictionaries": lambda m, d: d.DataLoader([{"x": i, "y": [float(i)]} for i in range(4)], 2),
    "concatenated": lambda m, d: d.DataLoader(d.ConcatDataset([range(3), [7, 8]]), 5),
    "a sum": lambda m, d: d.DataLoader(
        d.TensorDataset(m.arange(3)) + d.TensorDataset(m.arange(2)), 5
    ),
    "a subset": lambda m, d: d.DataLoader(d.Subset(range(10), [7, 1, 3, 3]), 2),
    "iterable": lambda m, d: d.DataLoader(numbers(d, 5), 2),
    "iterable, drop_last": lambda m, d: d.DataLoader(numbers(d, 5), 2, drop_last=True),
    "iterable, no batches": lambda m, d: d.DataLoader(numbers(d, 3), batch_size=None),
    "iterable, none": lambda m, d: d.DataLoader(numbers(d, 0), 2),
    "chained": lambda m, d: d.DataLoader(numbers(d, 3) + numbers(d, 2), 4),
    "__getitems__": lambda m, d: d.DataLoader(fetched(d), 3),
    "a sampler, no length": lambda m, d: d.DataLoader(
        type("F", (), {"__getitem__": lambda self, i: i * i})(), 2, sampler=[4, 1, 2, 0]
    ),
    "what a CPU needs not": lambda m, d: d.DataLoader(
        range(4), 2, False, None, None, 0, None, False, True, 0, print, None, None,
        prefetch_factor=None, persistent_workers=False, pin_memory_device="", in_order=True,
    ),
    "transposed samples": lambda m, d: d.DataLoader(
        [m.arange(6).reshape(2, 3).t() for _ in range(2)], 2
    ),
    "transposed arrays": lambda m, d: d.DataLoader([np.arange(6).reshape(2, 3).T] * 2, 2),
    "rows of a transposed tensor": lambda m, d: d.DataLoader(
        d.TensorDataset(m.arange(12).reshape(3, 4).t()), 2
    ),
    "one 0-d tensor": lambda m, d: d.DataLoader([m.tensor(1.0)]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:DataLoader. 5 samples in batches of 2:UserWarning")
@pytest.mark.parametrize("name", LOADERS)
def test_the_batches_are_pytorchs(name: str) -> None:
    loaders = [LOADERS[name](*library) for library in LIBRARIES]
    found, expected = ([plain(batch) for batch in loader] for loader in loaders)
    assert found == expected and (expected or "none" in name)
    lengths = []
    for loader in loaders:
        try:
            lengths.append(len(loader))
        except TypeError:
            lengths.append(-1)
        assert loader.batch_size == loaders[1].batch_size
    assert lengths[0] == lengths[1]


ABOUT = "leave out|at least|must be|expected"
REFUSED = {
    "timeout": lambda d: list(d.DataLoader(range(3), timeout=3)),
    "a negative timeout": lambda d: d.DataLoader(range(3), num_workers=1, timeout=-1),
    "prefetch_factor": lambda d: d.DataLoader(range(3), prefetch_factor=3),
    "persistent_workers": lambda d: d.DataLoader(range(3), persistent_workers=True),
    "multiprocessing_context": lambda d: d.DataLoader(range(3), multiprocessing_context="fork"),
    "drop_last": lambda d: d.DataLoader(range(3), batch_size=None, drop_last=True),
    "batch_sampler and batch_size": lambda d: d.DataLoader(range(3), 2, batch_sampler=[[0]]),
    "batch_sampler and shuffle": lambda d: d.DataLoader(range(3), 1, True, batch_sampler=[[0]]),
    "batch_sampler and sampler": lambda d: d.DataLoader(range(3), 1, None, [1], [[0]]),
    "sampler and shuffle": lambda d: d.DataLoader(range(3), 1, True, [1]),
    "iterable and shuffle": lambda d: d.DataLoader(numbers(d, 3), shuffle=True),
    "iterable and sampler": lambda d: d.DataLoader(numbers(d, 3), sampler=[1]),
    "iterable and batch_sampler": lambda d: d.DataLoader(numbers(d, 3), batch_sampler=[[1]]),
    "ConcatDataset of none": lambda d: d.ConcatDataset([]),
    "ConcatDataset of iterables": lambda d: d.ConcatDataset([numbers(d, 2)]),
    "ChainDataset": lambda d: list(d.ChainDataset([[1, 2]])),
    "num_samples": lambda d: d.RandomSampler(range(2), num_samples=0),
    "replacement": lambda d: d.RandomSampler(range(2), replacement=1),
    "none to draw": lambda d: list(d.RandomSampler([], num_samples=3)),
    "weights": lambda d: d.WeightedRandomSampler([[1.0, 2.0]], 2),
    "no weight": lambda d: list(d.WeightedRandomSampler([0.0, 0.0], 2)),
    "a negative weight": lambda d: list(d.WeightedRandomSampler([1.0, -1.0], 2)),
    "too many": lambda d: list(d.WeightedRandomSampler([1.0, 1.0], 3, False)),
    "batch_size": lambda d: d.BatchSampler([1], 0, False),
    "a wrong drop_last": lambda d: d.BatchSampler([1], 2, 1),
    "iter of a Sampler": lambda d: iter(d.Sampler()),
    "a sample of an IterableDataset": lambda d: numbers(d, 3)[0],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_pytorch_refuses(name: str) -> None:
    with pytest.raises(Exception):  # noqa: B017
        REFUSED[name](theirs)
    with pytest.raises((ValueError, TypeError, NotImplementedError)) as caught:
        REFUSED[name](ours)
    assert any(part in str(caught.value) for part in ("Loader", "Dataset", "Sampler", "Numbers"))


def test_what_is_refused_besides() -> None:
    for options, message in (
        ({"generator": 3}, "minigrad.Generator, got int"),
        ({"generator": mg.Generator(), "seed": 1}, "got both"),
        ({"num_workers": 1, "multiprocessing_context": "fork"}, "threads"),
        ({"num_workers": 1, "prefetch_factor": 0}, "at least 1"),
    ):
        kind = TypeError if options.get("generator") == 3 else ValueError
        with pytest.raises(kind, match=message):
            ours.DataLoader(range(3), **options)  # type: ignore[arg-type]
    for make in (
        lambda g: ours.random_split(range(3), [1, 2], g),
        lambda g: ours.RandomSampler(range(3), generator=g),
        lambda g: ours.SubsetRandomSampler([1], g),
        lambda g: ours.WeightedRandomSampler([1.0], 1, True, g),
    ):
        with pytest.raises(TypeError, match=r"generator must be a minigrad\.Generator, got int"):
            make(3)
    with pytest.raises(IndexError, match="sample 3 of 3"):
        _ = ours.ConcatDataset([[1, 2], [3]])[3]


def test_a_concatenation_counts_from_both_ends() -> None:
    both = [d.ConcatDataset([[], [1, 2], [3]]) for d in (ours, theirs)]
    for i in (-3, -2, -1, 0, 1, 2):
        assert both[0][i] == both[1][i]
    assert both[0].cumulative_sizes == both[1].cumulative_sizes == [0, 2, 3]


# ---------------------------------------------------------------------- chance


def test_a_random_order_has_every_number_once() -> None:
    mg.manual_seed(0)
    sampler = ours.RandomSampler(range(20))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(20)) and first != second
    assert len(sampler) == 20 and all(type(i) is int for i in first)
    more = list(ours.RandomSampler(range(3), num_samples=8))
    assert sorted(more[:3]) == sorted(more[3:6]) == [0, 1, 2] and len(more) == 8
    assert len(list(ours.RandomSampler(range(9), num_samples=4))) == 4
    drawn = list(ours.RandomSampler(range(3), replacement=True, num_samples=300))
    assert set(drawn) == {0, 1, 2} and len(drawn) == 300
    subset = ours.SubsetRandomSampler([5, 7, 9])
    assert sorted(subset) == [5, 7, 9] and len(subset) == 3
    assert len({tuple(subset) for _ in range(100)}) == 6  # each is missing once in 10^8 runs


def test_weights_are_probabilities() -> None:
    n = 20_000
    counts = Counter(ours.WeightedRandomSampler([1, 0, 3], n))
    assert set(counts) == {0, 2}
    assert abs(counts[2] / n - 0.75) < 5 * np.sqrt(0.75 * 0.25 / n)  # 5 standard errors
    assert sorted(ours.WeightedRandomSampler([1, 0, 3], 2, replacement=False)) == [0, 2]


def made(generator: Any) -> list[Any]:
    """Everything that takes a generator."""
    loader = ours.DataLoader(range(30), 10, shuffle=True, generator=generator)
    return [
        [[batch.tolist() for batch in loader] for _ in range(2)],
        [part.indices.tolist() for part in ours.random_split(range(30), [10, 20], generator)],
        list(ours.RandomSampler(range(30), generator=generator)),
        list(ours.SubsetRandomSampler(range(30), generator)),
        list(ours.WeightedRandomSampler([1.0] * 30, 30, generator=generator)),
    ]


def test_a_generator_decides_and_leaves_the_librarys_alone() -> None:
    before = mg.get_rng_state()
    first, again = (made(mg.Generator().manual_seed(3)) for _ in range(2))
    assert first == again and mg.get_rng_state() == before
    other = made(mg.Generator().manual_seed(4))
    assert all(a != b for a, b in zip(first, other, strict=True))
    mg.manual_seed(5)
    default = made(None)
    mg.manual_seed(5)
    assert made(None) == default


# ---------------------------------------------------------------------- workers


class Shard(ours.IterableDataset[int]):
    """Numbers up to n, of which each worker takes its part."""

    def __init__(self, n: int) -> None:
        self.n, self.start = n, 0

    def __iter__(self) -> Iterator[int]:
        info = ours.get_worker_info()
        assert info is not None and info.dataset is self and info.num_workers == 2
        return iter(range(self.start + info.id, self.n, info.num_workers))


def test_workers_take_turns_at_an_iterable_dataset() -> None:
    loader = ours.DataLoader(Shard(9), 2, num_workers=2)
    expected = [[0, 2], [1, 3], [4, 6], [5, 7], [8]]
    for _ in range(2):
        assert [batch.tolist() for batch in loader] == expected
    every = ours.DataLoader(numbers(ours, 3), 2, num_workers=2)  # as in PyTorch, from each
    assert [batch.tolist() for batch in every] == [[0, 1], [0, 1], [2], [2]]
    assert ours.get_worker_info() is None


def test_worker_init_fn_comes_first_and_may_change_the_workers_dataset() -> None:
    def start(worker: int) -> None:
        info = ours.get_worker_info()
        assert info is not None and info.id == worker
        info.dataset.start = 10
        seen.append((worker, info.seed))

    seen: list[Any] = []
    dataset = Shard(14)
    loader = ours.DataLoader(dataset, 2, num_workers=2, worker_init_fn=start)
    assert [batch.tolist() for batch in loader] == [[10, 12], [11, 13]]
    assert dataset.start == 0
    assert sorted(worker for worker, _ in seen) == [0, 1]
    assert len({seed for _, seed in seen}) == 2
    list(ours.DataLoader(range(3), worker_init_fn=start))  # not called without workers
    assert len(seen) == 2


def test_workers_of_a_dataset_by_number_know_themselves() -> None:
    started: list[int] = []

    class Who(ours.Dataset[Any]):
        def __getitem__(self, index: int) -> Any:
            info = ours.get_worker_info()
            assert info is not None and info.dataset is self and info.num_workers == 3
            time.sleep(0.001)
            return index, info.id

        def __len__(self) -> int:
            return 60

    loader = ours.DataLoader(
        Who(), num_workers=3, worker_init_fn=started.append, prefetch_factor=4,
        persistent_workers=True, timeout=60, pin_memory=True,
    )  # fmt: skip
    found = [[v.item() for v in batch] for batch in loader]
    assert [i for i, _ in found] == list(range(60))
    assert sorted(started) == sorted({worker for _, worker in found}) and len(started) > 1


def test_an_error_of_worker_init_fn_is_raised() -> None:
    def start(worker: int) -> None:
        raise ZeroDivisionError(worker)

    for dataset in (range(3), Shard(3)):
        with pytest.raises(ZeroDivisionError):
            list(ours.DataLoader(dataset, num_workers=2, worker_init_fn=start))


def test_an_error_of_an_iterable_dataset_comes_at_its_batch() -> None:
    class Spoilt(ours.IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            yield from range(3)
            raise TimeoutError("its own")

    for workers in (0, 1):
        batches = iter(ours.DataLoader(Spoilt(), 2, num_workers=workers, timeout=60 * workers))
        assert next(batches).tolist() == [0, 1]
        with pytest.raises(TimeoutError, match="its own"):
            next(batches)


def test_a_batch_that_takes_too_long() -> None:
    release = threading.Event()

    class Slow(ours.Dataset[int]):
        def __getitem__(self, index: int) -> int:
            release.wait(30)
            return index

        def __len__(self) -> int:
            return 2

    try:
        with pytest.raises(RuntimeError, match=r"within timeout=0\.05 seconds"):
            next(iter(ours.DataLoader(Slow(), num_workers=1, timeout=0.05)))
    finally:
        release.set()


def test_prefetch_factor_bounds_what_is_made_ahead() -> None:
    asked: list[int] = []

    class Counted(ours.Dataset[int]):
        def __getitem__(self, index: int) -> int:
            asked.append(index)
            return index

        def __len__(self) -> int:
            return 100

    for factor in (1, 5):
        asked.clear()
        batches = iter(ours.DataLoader(Counted(), num_workers=2, prefetch_factor=factor))
        next(batches)
        deadline = time.monotonic() + 10
        while len(asked) < 2 * factor and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert 2 * factor <= len(asked) <= 2 * factor + 2
        batches.close()  # type: ignore[attr-defined]


def test_an_endless_stream_is_left_without_a_thread() -> None:
    class Endless(ours.IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            return itertools.count()

    before = threading.active_count()
    batches = iter(ours.DataLoader(Endless(), 3, num_workers=2))
    assert [next(batches).tolist() for _ in range(3)] == [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_sampler_without_end() -> None:
    """Draws with replacement come in parts; they are those of one call."""
    mg.manual_seed(3)
    sampler = ours.RandomSampler(range(7), replacement=True, num_samples=10**10)
    assert len(sampler) == 10**10
    loader = ours.DataLoader(range(7), sampler=sampler, batch_size=4)
    numbers = [i for batch in itertools.islice(loader, 22_500) for i in batch.tolist()]
    mg.manual_seed(3)
    few = ours.RandomSampler(range(7), replacement=True, num_samples=90_000)
    assert numbers == few.order().tolist() and set(numbers) == set(range(7))
    mg.manual_seed(3)
    assert list(few) == numbers
