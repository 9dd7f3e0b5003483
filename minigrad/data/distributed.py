"""Each process's part of the samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad import distributed
from minigrad.checks import integer
from minigrad.data.samplers import Sampler


class DistributedSampler(Sampler[int]):
    """The rank's samples: every `num_replicas`-th of an order that all ranks share.

    All ranks have equally many: the order is padded with samples from its beginning, or with
    `drop_last` cut. Call `set_epoch` before each epoch, or every epoch has the same order.

    Args:
        dataset: anything with a length.
        num_replicas, rank: without them those of `minigrad.distributed`.
        shuffle: draw an order from seed and epoch; otherwise the samples as they stand.
        seed: the same on all ranks.
        drop_last: leave the last ones out rather than give some twice.
    """

    def __init__(
        self, dataset: Any, num_replicas: int | None = None, rank: int | None = None,
        shuffle: bool = True, seed: int = 0, drop_last: bool = False,
    ) -> None:  # fmt: skip
        name = "DistributedSampler"
        if num_replicas is None:
            num_replicas = distributed.group_of(name).size
        self.num_replicas = integer(name, "num_replicas", num_replicas)
        own = distributed.group_of(name).rank if rank is None else rank
        self.rank = integer(name, "rank", own, 0)
        if self.rank >= self.num_replicas:
            raise ValueError(f"{name}: rank must be 0 to {self.num_replicas - 1}, got {rank}")
        self.dataset, self.shuffle, self.drop_last = dataset, shuffle, drop_last
        self.seed, self.epoch = integer(name, "seed", seed, 0), 0

    @property
    def num_samples(self) -> int:
        """Of one rank."""
        n = len(self.dataset)
        return n // self.num_replicas if self.drop_last else -(-n // self.num_replicas)

    def set_epoch(self, epoch: int) -> None:
        """Which order to draw."""
        self.epoch = integer("DistributedSampler", "epoch", epoch, 0)

    def __iter__(self) -> Iterator[int]:
        n = len(self.dataset)
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(n) if self.shuffle else np.arange(n)
        order = np.resize(order, self.num_samples * self.num_replicas) if n else order
        return iter(order[self.rank :: self.num_replicas].tolist())

    def __len__(self) -> int:
        return self.num_samples
