"""Datasets: samples by number or one after another, and datasets made of others."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any, Generic, TypeVar

import numpy as np

from minigrad.incoming import as_array, is_array
from minigrad.ops.random import Generator, stream
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

S = TypeVar("S", covariant=True)

# Batches of these are one index into the arrays; other datasets are asked sample by sample.
Arrays = Tensor | np.ndarray


class Dataset(Generic[S]):
    """Anything with a length and samples by number; subclass it, or use your own class.

    A subclass that has `__getitems__(numbers)`, from a list of numbers to a list of samples, is
    asked for a batch at once.
    """

    def __getitem__(self, index: Any) -> S:
        raise NotImplementedError(f"{type(self).__name__} needs __getitem__(index)")

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[S]):
    """Samples one after another: subclass it with `__iter__`. A length is not needed."""

    def __iter__(self) -> Iterator[S]:
        raise NotImplementedError(f"{type(self).__name__} needs __iter__()")

    def __add__(self, other: Any) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Samples that are rows of tensors or arrays: `dataset[i]` is `(x[i], y[i], …)`.

    Args:
        tensors: tensors or arrays, of any library, of the same length; their memory is shared.

    >>> dataset = data.TensorDataset(mg.arange(3), mg.ones(3, 2))
    >>> len(dataset), dataset[1]
    (3, (tensor(1), tensor([1., 1.])))
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


class Subset(Dataset[Any]):
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

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[self.indices[index].tolist()]
        return self.dataset[int(self.indices[index])]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset[Any]):
    """The samples of several datasets, one dataset after the other.

    Args:
        datasets: datasets with a length; not IterableDatasets.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one dataset")
        for i, dataset in enumerate(self.datasets):
            if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
                raise TypeError(
                    f"ConcatDataset: dataset {i}, a {type(dataset).__name__}, has no samples by "
                    "number: join IterableDatasets by ChainDataset"
                )
        self.cumulative_sizes = list(accumulate(len(dataset) for dataset in self.datasets))

    def __getitem__(self, index: Any) -> Any:
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"ConcatDataset: sample {index} of {n}")
        index = index % n
        part = bisect_right(self.cumulative_sizes, index)
        return self.datasets[part][index - (self.cumulative_sizes[part - 1] if part else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset[Any]):
    """The samples of several IterableDatasets, one dataset after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        for i, dataset in enumerate(self.datasets):
            if not isinstance(dataset, IterableDataset):
                raise TypeError(
                    f"ChainDataset: dataset {i} is a {type(dataset).__name__}, expected an "
                    "IterableDataset"
                )

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)


def random_split(
    dataset: Any,
    lengths: Sequence[float],
    generator: Generator | None = None,
    *,
    seed: int | None = None,
) -> list[Subset]:
    """Split a dataset at random into parts without overlap.

    Args:
        dataset: what to split.
        lengths: the sizes of the parts, or fractions that add up to 1 (what rounding leaves over
            goes to the first parts, one sample each).
        generator: what the order is drawn from, instead of the library's generator.
        seed: makes the split reproducible, instead of a generator.

    Raises:
        ValueError: the sizes do not add up.

    >>> train, test = data.random_split(range(10), [0.8, 0.2], seed=0)
    >>> len(train), len(test)
    (8, 2)
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
    if seed is not None and generator is not None:
        raise ValueError("random_split: expected a generator or a seed, got both")
    rng = stream("random_split", generator) if seed is None else np.random.default_rng(seed)
    order = rng.permutation(n)
    ends = np.cumsum(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def _rows(t: Tensor, index: Any) -> Tensor:
    if t.requires_grad:
        return t[index]
    rows = t.array[index]
    # an index of transposed memory gives transposed memory
    return wrap(np.ascontiguousarray(rows) if isinstance(index, np.ndarray) else rows)


def gather(dataset: Any, numbers: Array) -> Any:
    """These samples as one batch by indexing whole arrays, or None where that is not possible."""
    if type(dataset) is Subset:
        return gather(dataset.dataset, dataset.indices[numbers])
    if type(dataset) is TensorDataset:
        return [_rows(t, numbers) for t in dataset.tensors]
    if isinstance(dataset, Tensor):
        return _rows(dataset, numbers)
    if isinstance(dataset, np.ndarray):
        return wrap(np.ascontiguousarray(as_array(dataset[numbers])))
    return None
