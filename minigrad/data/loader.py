"""The loader, which makes shuffled batches of a dataset."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from minigrad.checks import integer, number
from minigrad.data.collate import default_collate, default_convert
from minigrad.data.datasets import IterableDataset, gather
from minigrad.data.samplers import BatchSampler, RandomSampler, SequentialSampler
from minigrad.data.workers import DONE, WorkerInfo, Workers, get_worker_info
from minigrad.ops.random import Generator, default_generator, initial_seed
from minigrad.tape import Array


@dataclass(eq=False)
class _Pass:
    """One `for` over a loader: where the generator stood when its order was drawn, and how many
    batches it has given."""

    start: dict[str, Any] | None
    given: int


class DataLoader:
    """Batches of a dataset; every `for` over it is one epoch.

    Args:
        dataset: a Dataset, a tensor, an array, anything with a length and samples by number; or an
            IterableDataset, which brings its own order.
        batch_size: samples a batch; None for single samples, not in batches.
        shuffle: a new random order every epoch.
        sampler: numbers of the samples in the order wanted, instead of `shuffle`; may be without
            end, and is asked as the batches are made.
        batch_sampler: lists of such numbers, a batch each, instead of `batch_size`, `shuffle`,
            `sampler` and `drop_last`.
        num_workers: threads that make batches ahead while the caller trains; with 0 the caller
            makes them itself. Worth it where a sample takes long to read or to compute.
        collate_fn: from a list of samples to a batch, instead of `default_collate`.
        pin_memory, pin_memory_device: taken for scripts that pass them; without effect on a CPU.
        drop_last: leave out the last batch if it is smaller than the others.
        timeout: seconds that a worker's batch may take; 0 for as long as it does.
        worker_init_fn: called in each worker with its number before its first batch.
        multiprocessing_context: None: workers are threads.
        generator: what the order is drawn from, instead of the library's generator.
        prefetch_factor: how many batches each worker makes ahead, 2 unless given.
        persistent_workers: taken as well: threads are started anew every epoch, in no time.
        in_order: taken as well: batches always come in their order.
        seed: the orders of all epochs follow from it; without it, from the generator. Epoch number
            k always has the same order: set `epoch` to continue.

    A batch of a TensorDataset is a list of tensors. Warns if the last batch would have one sample,
    which batch normalisation cannot train on.

    The batches and their order are the same with any number of workers. What a dataset itself draws
    at random is not reproducible with workers, unless it follows from the sample's number. An
    exception in a worker is raised by the loop at its batch; leaving the loop ends the threads.
    Each worker goes through an IterableDataset by itself: `get_worker_info` tells which part is its
    own, or every sample comes once from each.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind, out of range, or excludes another.
        RuntimeError: a batch took longer than `timeout`.

    >>> dataset = data.TensorDataset(mg.arange(4), mg.ones(4, 2))
    >>> for numbers, rows in data.DataLoader(dataset, batch_size=2):
    ...     print(numbers, rows.shape)
    tensor([0, 1]) (2, 2)
    tensor([2, 3]) (2, 2)
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        seed: int | None = None,
    ) -> None:
        self.dataset = dataset
        self._stream = isinstance(dataset, IterableDataset)
        self.num_workers = integer("DataLoader", "num_workers", num_workers, 0)
        self._check_order(batch_size, shuffle, sampler, batch_sampler, drop_last, generator, seed)
        self._check_workers(prefetch_factor, persistent_workers, timeout, multiprocessing_context)
        if batch_size is not None:
            batch_size = integer("DataLoader", "batch_size", batch_size)
        self.batch_size = batch_size if batch_sampler is None else None
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        self.seed, self.generator = seed, generator
        self.sampler: Any = sampler
        if sampler is None and not self._stream:
            self.sampler = (
                RandomSampler(dataset, generator=generator) if shuffle
                else SequentialSampler(dataset)
            )  # fmt: skip
        self._orders = sampler is not None  # the order is not ours
        self.batch_sampler: Any = batch_sampler
        self._batched = self.batch_size is not None or batch_sampler is not None
        if self.batch_size is not None and not self._stream:
            self.batch_sampler = BatchSampler(self.sampler, self.batch_size, self.drop_last)
        self._lists = batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if self._batched else default_convert)
        self.pin_memory, self.pin_memory_device = bool(pin_memory), pin_memory_device
        self.timeout, self.worker_init_fn = timeout, worker_init_fn
        self.multiprocessing_context = None
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers, self.in_order = bool(persistent_workers), bool(in_order)
        self.epoch = 0
        self._pass: _Pass | None = None  # the one under way
        self._resumed: _Pass | None = None  # the one to go on with
        self._warn_about_one_sample()

    def _check_order(
        self, batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: Any,
        generator: Any, seed: Any,
    ) -> None:  # fmt: skip
        kind = type(self.dataset).__name__
        order = sampler is not None or batch_sampler is not None
        if self._stream and (shuffle or order or seed is not None):
            raise ValueError(
                f"DataLoader: {kind} is an IterableDataset, which has its own order: leave out "
                "shuffle, sampler, batch_sampler and seed"
            )
        needed = ["__getitem__"] if order else ["__getitem__", "__len__"]
        if not self._stream and not all(hasattr(self.dataset, name) for name in needed):
            raise TypeError(
                f"DataLoader: dataset is a {kind}, expected something with len() and samples by "
                "number, or an IterableDataset"
            )
        if batch_sampler is not None and (
            batch_size != 1 or shuffle or sampler is not None or drop_last
        ):
            raise ValueError(
                "DataLoader: a batch_sampler makes the batches itself: leave out batch_size, "
                "shuffle, sampler and drop_last"
            )
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: a sampler gives the order itself: leave out shuffle=True")
        if batch_size is None and drop_last:
            raise ValueError("DataLoader: batch_size=None makes no batches: leave out drop_last")
        if generator is not None and not isinstance(generator, Generator):
            raise TypeError(
                "DataLoader: generator must be a minigrad.Generator, got "
                f"{type(generator).__name__}"
            )
        if generator is not None and seed is not None:
            raise ValueError("DataLoader: expected a generator or a seed, got both")

    def _check_workers(self, prefetch: Any, persistent: Any, timeout: Any, context: Any) -> None:
        if prefetch is not None:
            integer("DataLoader", "prefetch_factor", prefetch)
        number("DataLoader", "timeout", timeout, at_least=0)
        if context is not None:
            raise ValueError(
                "DataLoader: workers are threads, which need no multiprocessing_context: leave it "
                f"out, got {context!r}"
            )
        if not self.num_workers and (prefetch is not None or persistent or timeout):
            raise ValueError(
                "DataLoader: prefetch_factor, persistent_workers and timeout are for workers: "
                "leave them out, or pass num_workers of at least 1"
            )

    def _warn_about_one_sample(self) -> None:
        if self.batch_size in (1, None) or self.drop_last:
            return
        try:
            count = len(self._source())
        except (TypeError, NotImplementedError):  # without end, or unknown
            return
        if count % self.batch_size == 1:
            warnings.warn(
                f"DataLoader: {count} samples in batches of {self.batch_size} leave a last batch "
                "of 1 sample, which batch normalisation refuses in training: pass drop_last=True "
                "or another batch_size",
                UserWarning,
                stacklevel=3,
            )

    def _source(self) -> Any:
        return self.dataset if self._stream else self.sampler

    def __len__(self) -> int:
        if self._lists:
            return len(self.batch_sampler)
        if self.batch_size is None:
            return len(self._source())
        full, rest = divmod(len(self._source()), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        resumed, self._resumed = self._resumed, None
        source = self._source_of_order()
        now = source.get_state() if source else {}
        this = resumed or _Pass(now or None, 0)
        if source and resumed and resumed.start:
            source.set_state(resumed.start)
        batches = self._pass_after(this.given)
        # The order was drawn again, and what came after it has been drawn already; but a sampler
        # with a generator of its own may go on drawing, and workers ask it ahead of the caller.
        if source and resumed and (self.shuffle or not self._own_generator()):
            source.set_state(now)
        self._pass = this
        return self._counted(this, batches)

    def _pass_after(self, given: int) -> Iterator[Any]:
        """The batches of this epoch without the first ones; by number, those are not even made."""
        if self._stream:
            batches = self._streams() if self.num_workers else self._batches(iter(self.dataset))
            self.epoch += 1
            return _without(batches, given)
        keys = _without(self._keys(), given)
        self.epoch += 1
        if not self.num_workers:
            return map(self._batch, keys)
        return self._workers(False).results((0, partial(self._batch, key)) for key in keys)

    def _counted(self, this: _Pass, batches: Iterator[Any]) -> Iterator[Any]:
        try:
            for batch in batches:
                this.given += 1
                yield batch
        finally:  # also where the loop was left
            if self._pass is this:
                self._pass = None

    # ---------------------------------------------------------------- saving and loading

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands: the epoch, how many of its batches were given, and the generator
        that the order was drawn from. Leaving a loop over it ends the epoch."""
        this = self._resumed or self._pass
        under_way = this is not None and this is self._pass
        return {
            "epoch": self.epoch - under_way,
            "given": this.given if this else None,
            "start": this.start if this else None,
            "generator": own.get_state() if (own := self._own_generator()) else None,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next `for` go on behind the last batch that was given, with all that follows.

        The order is drawn once more. A sampler that draws as it goes must therefore have an
        attribute `generator`, which nothing else draws from.

        Raises:
            TypeError, ValueError: not what `state_dict` returned; nothing has changed then.
        """
        name = "DataLoader.load_state_dict"
        keys = {"epoch", "given", "start", "generator"}
        if not isinstance(state_dict, dict) or set(state_dict) != keys:
            raise ValueError(f"{name}: expected a dict with {', '.join(sorted(keys))}")
        epoch = integer(name, "epoch", state_dict["epoch"], 0)
        start, given = state_dict["start"], state_dict["given"]
        if start is not None:
            Generator().set_state(start)  # refuses what is no state
        resumed = None if given is None else _Pass(start, integer(name, "given", given, 0))
        own, state = self._own_generator(), state_dict["generator"]
        if (own is None) != (state is None):
            missing = "no generator of its own" if own is None else "one"
            raise ValueError(f"{name}: expected the state of a loader with {missing}")
        if own is not None:
            own.set_state(state)
        self.epoch, self._resumed, self._pass = epoch, resumed, None

    def _own_generator(self) -> Generator | None:
        """The generator of the loader, or else of its sampler."""
        inner = getattr(self.batch_sampler, "sampler", None)
        for holder in (self, self.sampler, self.batch_sampler, inner):
            found = getattr(holder, "generator", None)
            if isinstance(found, Generator):
                return found
        return None

    def _source_of_order(self) -> Generator | None:
        """What an order is drawn from, if one is."""
        random = self._stream or self._orders or self._lists or (self.shuffle and self.seed is None)
        return (self._own_generator() or default_generator()) if random else None

    # ---------------------------------------------------------------- samples by number

    def _keys(self) -> Iterator[Any]:
        """The numbers of each batch's samples; or single ones, of whatever kind, unless batched."""
        if self._lists:
            return map(self._numbers, self.batch_sampler)
        if self.batch_size is None:
            return iter(self.sampler) if self._orders else iter(self._order().tolist())
        return self._sampled(iter(self.sampler)) if self._orders else self._ordered()

    def _order(self) -> Array:
        """An order of all samples, drawn now."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        if self.seed is None:
            order: Array = self.sampler.order()
            return order
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.dataset))

    def _ordered(self) -> Iterator[Array]:
        order, size = self._order(), self.batch_size or 1
        end = len(order) - len(order) % size if self.drop_last else len(order)
        return (order[start : min(start + size, end)] for start in range(0, end, size))

    def _sampled(self, sampler: Iterator[Any]) -> Iterator[Array]:
        """The same of a sampler, which may be without end: it is asked for one batch at a time."""
        size = self.batch_size or 1
        while len(these := self._numbers(islice(sampler, size))):
            if len(these) < size and self.drop_last:
                break
            yield these

    def _numbers(self, given: Iterable[Any]) -> Array:
        name = "a number from the sampler"
        return np.array([integer("DataLoader", name, i, None) for i in given], np.int64)

    def _batch(self, key: Any) -> Any:
        if not self._batched:
            return self.collate_fn(self.dataset[key])
        if self.collate_fn is default_collate:
            batch = gather(self.dataset, key)
            if batch is not None:
                return batch
        numbers = key.tolist()
        at_once = getattr(self.dataset, "__getitems__", None)
        samples = [self.dataset[i] for i in numbers] if at_once is None else at_once(numbers)
        return self.collate_fn(samples)

    # ---------------------------------------------------------------- samples one after another

    def _batches(self, samples: Iterator[Any]) -> Iterator[Any]:
        if self.batch_size is None:
            yield from map(self.collate_fn, samples)
            return
        while these := list(islice(samples, self.batch_size)):
            if len(these) < self.batch_size and self.drop_last:
                break
            yield self.collate_fn(these)

    def _streams(self) -> Iterator[Any]:
        """A batch of each worker in turn; every worker goes through a dataset of its own."""
        streams: dict[int, Iterator[Any]] = {}
        done: set[int] = set()

        def following(worker: int) -> Any:
            if worker not in streams:  # its worker_init_fn may have changed its dataset
                info = get_worker_info()
                streams[worker] = self._batches(iter(info.dataset if info else self.dataset))
            batch = next(streams[worker], DONE)
            if batch is DONE:
                done.add(worker)
            return batch

        def jobs() -> Iterator[tuple[int, Callable[[], Any]]]:
            while len(done) < self.num_workers:
                for worker in range(self.num_workers):
                    if worker not in done:
                        yield worker, partial(following, worker)

        return self._workers(True).results(jobs())

    def _workers(self, own: bool) -> Workers:
        first = initial_seed() + self.epoch * self.num_workers
        infos = [
            WorkerInfo(
                i, self.num_workers, first + i, copy.copy(self.dataset) if own else self.dataset
            )
            for i in range(self.num_workers)
        ]
        ahead = self.prefetch_factor or 2
        return Workers(infos, self.worker_init_fn, own, ahead, self.timeout)


def _without(items: Iterator[Any], count: int) -> Iterator[Any]:
    """What follows the first items, which are taken now."""
    for _ in islice(items, count):
        pass
    return items
