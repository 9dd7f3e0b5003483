"""Samplers: in which order a loader takes the samples, and which of them a batch has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

from minigrad.checks import integer
from minigrad.incoming import as_array
from minigrad.ops.random import Generator, stream
from minigrad.tape import Array

K = TypeVar("K", covariant=True)
AT_ONCE = 1 << 16  # draws with replacement: scripts write num_samples=10**10 for a loop without end


def _boolean(name: str, argument: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: {argument} must be True or False, got {value!r}")
    return value


class Sampler(Generic[K]):
    """Numbers of samples, or lists of them, in the order wanted: subclass it with `__iter__`, and
    with `__len__` where the number is known."""

    def __iter__(self) -> Iterator[K]:
        raise NotImplementedError(f"{type(self).__name__} needs __iter__()")


class SequentialSampler(Sampler[int]):
    """0, 1, … up to the length of `data_source`."""

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """The numbers of samples in a random order.

    Args:
        data_source: anything with a length.
        replacement: draw every number from all of them, so that some come again.
        num_samples: how many; without it, as many as there are. More than these, without
            replacement, are several orders one after the other.
        generator: what they are drawn from, instead of the library's generator.
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = _boolean("RandomSampler", "replacement", replacement)
        if num_samples is not None:
            num_samples = integer("RandomSampler", "num_samples", num_samples)
        stream("RandomSampler", generator)
        self._num_samples = num_samples
        self.generator = generator

    @property
    def num_samples(self) -> int:
        """How many numbers there are; by default the length of the source as it is now."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def order(self) -> Array:
        """The numbers of one pass, drawn now."""
        return self._draw(self.num_samples)

    def _draw(self, count: int) -> Array:
        n = len(self.data_source)
        rng = stream("RandomSampler", self.generator)
        if count and not n:
            raise ValueError("RandomSampler: there are no samples to draw from")
        if self.replacement:
            return rng.integers(n, size=count) if count else np.zeros(0, np.int64)
        passes = [rng.permutation(n) for _ in range(-(-count // n) if n else 0)]
        return np.concatenate(passes)[:count] if passes else np.zeros(0, np.int64)

    def __iter__(self) -> Iterator[int]:
        left = self.num_samples
        if not self.replacement or left <= AT_ONCE:
            return iter(self.order().tolist())
        parts = (self._draw(min(AT_ONCE, left - i)) for i in range(0, left, AT_ONCE))
        return (number for part in parts for number in part.tolist())

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """These numbers in a random order, without replacement.

    Args:
        indices: numbers of samples.
        generator: what the order is drawn from, instead of the library's generator.
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        stream("SubsetRandomSampler", generator)
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        order = stream("SubsetRandomSampler", self.generator).permutation(len(self.indices))
        return (self.indices[i] for i in order.tolist())

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Numbers from 0 to len(weights) - 1, drawn with probabilities proportional to the weights.

    Args:
        weights: (C,), at least 0; their sum need not be 1.
        num_samples: how many are drawn.
        replacement: whether a number may come again; without it, no more can be drawn than there
            are positive weights.
        generator: what they are drawn from, instead of the library's generator.
    """

    def __init__(
        self,
        weights: Any,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        name = "WeightedRandomSampler"
        self.num_samples = integer(name, "num_samples", num_samples)
        self.replacement = _boolean(name, "replacement", replacement)
        stream(name, generator)
        given = as_array(weights, name=name).astype(np.float64)
        if given.ndim != 1:
            raise ValueError(f"{name}: weights must have one axis, got shape {given.shape}")
        if not (given >= 0).all() or not 0 < given.sum() < np.inf:
            raise ValueError(f"{name}: weights must be finite, at least 0 and not all 0")
        positive = np.count_nonzero(given)
        if not replacement and positive < self.num_samples:
            raise ValueError(
                f"{name}: {positive} positive weights are too few for {num_samples} samples "
                "without replacement"
            )
        self.weights = given
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        rng = stream("WeightedRandomSampler", self.generator)
        p = self.weights / self.weights.sum()
        return iter(rng.choice(len(p), self.num_samples, self.replacement, p).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """The numbers of another sampler in lists of `batch_size`.

    Args:
        sampler: a sampler, or anything that gives numbers.
        batch_size: how many a list has.
        drop_last: leave out the last list if it is shorter than the others.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        self.sampler = sampler
        self.batch_size = integer("BatchSampler", "batch_size", batch_size)
        self.drop_last = _boolean("BatchSampler", "drop_last", drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        numbers = iter(self.sampler)
        while batch := list(islice(numbers, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                break
            yield batch

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return full + (rest > 0 and not self.drop_last)
