"""Datasets, and the loader that makes shuffled batches of them."""

from __future__ import annotations

import contextvars
import math
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from minigrad.checks import integer
from minigrad.incoming import as_array, is_array
from minigrad.ops.joining import stack
from minigrad.ops.random import generator
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

# Batches of these are one index into the arrays; other datasets are asked sample by sample.
Arrays = Tensor | np.ndarray


class Dataset:
    """Anything with a length and samples by number; subclass it, or use your own class."""

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} needs __getitem__(index)")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} needs __len__()")


class TensorDataset(Dataset):
    """Samples that are rows of tensors or arrays: `dataset[i]` is `(x[i], y[i], …)`.

    Args:
        tensors: tensors or arrays, of any library, of the same length; their memory is shared.
    """

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor")
        for i, t in enumerate(tensors):
            if not is_array(t):
                raise TypeError(
                    f"TensorDataset: argument {i} is a {type(t).__name__}, expected a tensor or "
                    "an array"
                )
        self.tensors = tuple(
            t if isinstance(t, Tensor) else wrap(as_array(t, name="TensorDataset")) for t in tensors
        )
        for i, t in enumerate(self.tensors):
            if not t.ndim:
                raise ValueError(f"TensorDataset: argument {i} has no axis to take samples from")
        lengths = [len(t) for t in self.tensors]
        if len(set(lengths)) > 1:
            raise ValueError(f"TensorDataset: the tensors differ in length, got {lengths}")

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(_rows(t, index) for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class Subset(Dataset):
    """The samples of `dataset` with these numbers, in this order."""

    def __init__(self, dataset: Any, indices: Iterable[int] | Arrays) -> None:
        numbers = as_array(indices if is_array(indices) else list(indices))
        if numbers.size and numbers.dtype.kind not in "iu":
            raise TypeError(f"Subset: expected integer indices, got dtype {numbers.dtype}")
        n = len(dataset)
        if numbers.size and not (-n <= numbers.min() and numbers.max() < n):
            raise IndexError(
                f"Subset: indices from {numbers.min()} to {numbers.max()} for a dataset of {n}"
            )
        self.dataset = dataset
        self.indices = numbers.astype(np.int64)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Any, lengths: Sequence[float], *, seed: int | None = None
) -> list[Subset]:
    """Split a dataset at random into parts without overlap.

    Args:
        dataset: what to split.
        lengths: the sizes of the parts, or fractions that add up to 1 (what rounding leaves over
            goes to the first parts, one sample each).
        seed: makes the split reproducible; without it, the library's generator is used.

    Raises:
        ValueError: the sizes do not add up.
    """
    n = len(dataset)
    if any(part < 0 for part in lengths):
        raise ValueError(f"random_split: lengths must not be negative, got {list(lengths)}")
    if (math.isclose(sum(lengths), 1) and any(part != int(part) for part in lengths)) or (
        list(lengths) == [1.0] and isinstance(lengths[0], float)
    ):
        sizes = [math.floor(n * part) for part in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
    else:
        sizes = [int(part) for part in lengths]
        if sum(sizes) != n or any(part != size for part, size in zip(lengths, sizes, strict=True)):
            raise ValueError(
                f"random_split: expected sizes that add up to {n}, or fractions that add up to 1, "
                f"got {list(lengths)}"
            )
    order = (generator() if seed is None else np.random.default_rng(seed)).permutation(n)
    ends = np.cumsum(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


class DataLoader:
    """Batches of a dataset; every `for` over it is one epoch.

    Args:
        dataset: a Dataset, a tensor, an array, or anything with a length and samples by number.
        batch_size: samples a batch.
        shuffle: a new random order every epoch.
        drop_last: leave out the last batch if it is smaller than the others.
        seed: the orders of all epochs follow from it; without it, from the library's generator
            (`manual_seed`). Epoch number k always has the same order: set `epoch` to continue.
        sampler: numbers of the samples in the order wanted, instead of `shuffle`; may be without
            end, and is asked as the batches are made.
        collate_fn: from a list of samples to a batch, instead of `default_collate`.
        num_workers: threads that make batches ahead, two each, while the caller trains; with 0 the
            caller makes them itself. Worth it where a sample takes long to read or to compute.

    A batch of a TensorDataset is a list of tensors. Warns if the last batch would have one sample,
    which batch normalisation cannot train on.

    The batches and their order are the same with any number of workers. What a dataset itself draws
    at random is not reproducible with workers, unless it follows from the sample's number. An
    exception in a worker is raised by the loop at its batch; leaving the loop ends the threads.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        seed: int | None = None,
        sampler: Iterable[int] | None = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        num_workers: int = 0,
    ) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise TypeError(
                f"DataLoader: dataset is a {type(dataset).__name__}, expected something with "
                "len() and samples by number"
            )
        self.batch_size = integer("DataLoader", "batch_size", batch_size)
        self.num_workers = integer("DataLoader", "num_workers", num_workers, 0)
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: a sampler gives the order itself: leave out shuffle=True")
        self.dataset = dataset
        self.shuffle = bool(shuffle)
        self.drop_last = bool(drop_last)
        self.seed = seed
        self.sampler = sampler
        self.collate_fn = collate_fn
        self.epoch = 0
        self._warn_about_one_sample()

    def _warn_about_one_sample(self) -> None:
        if self.sampler is not None and not hasattr(self.sampler, "__len__"):
            return
        count = self._samples()
        if not self.drop_last and self.batch_size > 1 and count % self.batch_size == 1:
            warnings.warn(
                f"DataLoader: {count} samples in batches of {self.batch_size} leave a last batch "
                "of 1 sample, which batch normalisation refuses in training: pass drop_last=True "
                "or another batch_size",
                UserWarning,
                stacklevel=3,
            )

    def _samples(self) -> int:
        return len(self.dataset if self.sampler is None else self.sampler)  # type: ignore[arg-type]

    def __len__(self) -> int:
        full, rest = divmod(self._samples(), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        numbers = self._ordered() if self.sampler is None else self._sampled(iter(self.sampler))
        self.epoch += 1
        return self._ahead(numbers) if self.num_workers else map(self._batch, numbers)

    def _ordered(self) -> Iterator[Array]:
        """The numbers of each batch's samples; the order is drawn now."""
        n = len(self.dataset)
        if not self.shuffle:
            order = np.arange(n)
        elif self.seed is None:
            order = generator().permutation(n)
        else:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(n)
        size = self.batch_size
        end = n - n % size if self.drop_last else n
        return (order[start : min(start + size, end)] for start in range(0, end, size))

    def _sampled(self, sampler: Iterator[Any]) -> Iterator[Array]:
        """The same of a sampler, which may be without end: it is asked for one batch at a time."""
        size = self.batch_size
        while these := [
            integer("DataLoader", "a number from the sampler", i, None)
            for i in islice(sampler, size)
        ]:
            if len(these) < size and self.drop_last:
                break
            yield np.array(these, np.int64)

    def _ahead(self, numbers: Iterator[Array]) -> Iterator[Any]:
        """The batches in their order, made by threads in the caller's context (no_grad, …)."""
        from concurrent.futures import Future, ThreadPoolExecutor  # 10 ms that few need

        waiting: deque[Future[Any]] = deque()
        workers: set[int] = set()
        pool = ThreadPoolExecutor(
            self.num_workers, "DataLoader", lambda: workers.add(threading.get_ident())
        )
        try:
            more = True
            while more or waiting:
                if more and len(waiting) <= 2 * self.num_workers:
                    try:
                        these = next(numbers)
                        run = contextvars.copy_context().run
                        waiting.append(pool.submit(run, self._batch, these))
                    except StopIteration:
                        more = False
                    except Exception as error:  # of the sampler: raised at its batch
                        more = False
                        waiting.append(Future())
                        waiting[-1].set_exception(error)
                else:
                    yield waiting.popleft().result()
        finally:  # also when the caller leaves its loop, which closes this generator
            # An abandoned one may be collected as garbage in a worker, which cannot await itself.
            wait = threading.get_ident() not in workers
            pool.shutdown(wait, cancel_futures=True)

    def _batch(self, numbers: Array) -> Any:
        if self.collate_fn is None:
            batch = gather(self.dataset, numbers)
            if batch is not None:
                return batch
        samples = [self.dataset[i] for i in numbers.tolist()]
        return (self.collate_fn or default_collate)(samples)


def _rows(t: Tensor, index: Any) -> Tensor:
    return t[index] if t.requires_grad else wrap(t.array[index])


def gather(dataset: Any, numbers: Array) -> Any:
    """These samples as one batch by indexing whole arrays, or None where that is not possible."""
    if type(dataset) is Subset:
        return gather(dataset.dataset, dataset.indices[numbers])
    if type(dataset) is TensorDataset:
        return [_rows(t, numbers) for t in dataset.tensors]
    if isinstance(dataset, Tensor):
        return _rows(dataset, numbers)
    return wrap(as_array(dataset[numbers])) if isinstance(dataset, np.ndarray) else None


def default_collate(samples: list[Any]) -> Any:
    """Stack samples into a batch, inside tuples, lists and dicts too.

    Tensors, arrays (of any library) and numbers become tensors with a first axis of samples (Python
    floats float64, ints int64); tuples and lists become lists; strings and bytes are only listed.

    Raises:
        TypeError, ValueError: samples differ in shape, length or keys, or are of another kind.
    """
    if not samples:
        raise ValueError("default_collate: got no samples")
    first = samples[0]
    if isinstance(first, Tensor):
        return _stack(samples)
    if isinstance(first, str | bytes):
        return samples
    if isinstance(first, bool | int | float | complex) or is_array(first):
        taken = [as_array(s, name="default_collate") if is_array(s) else s for s in samples]
        _check_alike(taken, np.shape)
        return wrap(np.stack([np.asarray(s) for s in taken]))
    if isinstance(first, Mapping):
        _check_alike(samples, lambda s: set(s))
        return {key: default_collate([s[key] for s in samples]) for key in first}
    if isinstance(first, tuple | list):
        _check_alike(samples, len)
        columns = [default_collate(list(column)) for column in zip(*samples, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise TypeError(
        f"default_collate: cannot batch samples of {type(first).__name__}: expected tensors, "
        "arrays, numbers, strings, or tuples, lists and dicts of them; or pass a collate_fn"
    )


def _stack(samples: list[Tensor]) -> Tensor:
    _check_alike(samples, lambda s: s.shape)
    if any(s.requires_grad for s in samples):
        return stack(samples)
    return wrap(np.stack([s.array for s in samples]))


def _check_alike(samples: list[Any], kind: Callable[[Any], Any]) -> None:
    try:
        kinds = [kind(s) for s in samples]
    except TypeError:
        kinds = [type(s).__name__ for s in samples]
    for i, other in enumerate(kinds):
        if other != kinds[0]:
            raise ValueError(
                f"default_collate: sample {i} of the batch differs from the first: {other} and "
                f"{kinds[0]}; pad the samples, or pass a collate_fn"
            )
