"""One network trained by several processes, each on its own part of every batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from minigrad import distributed
from minigrad.modes import is_grad_enabled
from minigrad.nn.container import DataParallel
from minigrad.nn.errors import described
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter
from minigrad.tape import Array, Node
from minigrad.tensor import Tensor, node_of, wrap

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]


def data_parallel(
    module: Module, inputs: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:  # fmt: skip
    """What the module returns for the inputs, a tensor or a tuple of them; the other arguments are
    those of `DataParallel`."""
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    return DataParallel(module, device_ids, output_device, dim)(*args, **(module_kwargs or {}))


class Bucket:
    """Parameters of one dtype whose gradients travel as one array."""

    def __init__(self, parameters: list[tuple[int, Parameter]]) -> None:
        self.numbers = [i for i, _ in parameters]
        sizes = [p.numel() for _, p in parameters]
        self.ends = np.cumsum([0, *sizes]).tolist()
        self.dtype = parameters[0][1].dtype

    def __len__(self) -> int:
        return len(self.numbers)


class DistributedDataParallel(Module):
    """The module, with gradients that are the means over all ranks once `backward()` has returned.

    All ranks start with the parameters and buffers of rank 0. Gradients are collected in buckets,
    newest parameters first, and a bucket's sum over the ranks begins as soon as its last gradient
    is there, while backward goes on. With batches of equal size, and a loss that is a mean, a step
    is then that of one process on all batches together.

    Args:
        module: what is trained; its parameters, their dtypes and what requires grad must be the
            same on all ranks.
        device_ids, output_device, dim: accepted, and not used, as in PyTorch without accelerators.
        broadcast_buffers: give all ranks the buffers of rank 0 before each forward in training.
        bucket_cap_mb: the size of a bucket.
        find_unused_parameters: look, after each forward, for parameters that the output does not
            depend on; without this, a backward that leaves some out is refused at the next forward.

    Raises:
        ValueError: `init_process_group` was not called, or nothing requires grad.
        RuntimeError: a rank has another module, or does something else.
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0,
        broadcast_buffers: bool = True, process_group: Any = None, bucket_cap_mb: float = 25,
        find_unused_parameters: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        name = "DistributedDataParallel"
        if not isinstance(module, Module):
            raise TypeError(f"{name}: expected a Module, got {described(module)}")
        if process_group is not None:
            raise ValueError(f"{name}: there is one group, of all ranks")
        self.group = distributed.group_of(name)
        self.module = module
        self.broadcast_buffers = broadcast_buffers
        self.find_unused_parameters = find_unused_parameters
        self.active = True
        named = list(module.named_parameters())
        self._compare(named)
        trained = [(i, p) for i, (_, p) in enumerate(named) if p.requires_grad]
        if not trained:
            raise ValueError(f"{name}: no parameter requires grad: there is nothing to average")
        self.names = [key for key, _ in named]
        self._buckets = list(self._filled(trained, bucket_cap_mb * 2**20))
        self._round: _Round | None = None
        self.spread()
        for i, parameter in trained:
            parameter.register_hook(partial(self._arrived, i))

    def _compare(self, named: list[tuple[str, Parameter]]) -> None:
        """Raise on all ranks if one has another module, naming it."""
        lines = [f"{k} {p.dtype} {tuple(p.shape)} {p.requires_grad}" for k, p in named]
        everybodys = self.group.comm.allgather(lines)
        for rank, theirs in enumerate(everybodys):
            if theirs != everybodys[0]:
                first = next(
                    ((a, b) for a, b in zip(theirs, everybodys[0], strict=False) if a != b),
                    (f"{len(theirs)} parameters", f"{len(everybodys[0])} parameters"),
                )
                raise RuntimeError(
                    f"DistributedDataParallel: rank {rank} has another module than rank 0: "
                    f"{first[0]}, expected {first[1]} (name, dtype, shape, requires_grad)"
                )

    @staticmethod
    def _filled(trained: list[tuple[int, Parameter]], most: float) -> Iterator[Bucket]:
        """Buckets of at most so many bytes, or of one parameter: the last parameters come first,
        as their gradients do."""
        held: list[tuple[int, Parameter]] = []
        size = 0
        for i, p in reversed(trained):
            if held and (size + p.nbytes > most or held[0][1].dtype != p.dtype):
                yield Bucket(held)
                held, size = [], 0
            held.append((i, p))
            size += p.nbytes
        yield Bucket(held)

    def spread(self) -> None:
        """Give all ranks the parameters and buffers of rank 0."""
        for tensor in (*self.module.parameters(), *self.module.buffers()):
            distributed.broadcast(tensor.detach())

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module returns."""
        if self._round is not None:
            missing = ", ".join(self.names[i] for i in self._round.missing())
            self._round = None
            raise RuntimeError(
                f"DistributedDataParallel: the last backward gave no gradient to {missing}: pass "
                "find_unused_parameters=True"
            )
        recorded = self.training and is_grad_enabled()
        if recorded and self.broadcast_buffers:
            for buffer in self.module.buffers():
                distributed.broadcast(buffer)
        out = self.module(*inputs, **kwargs)
        if recorded and self.active and self.find_unused_parameters:
            self._skip_unused(out)
        return out

    def _skip_unused(self, out: Any) -> None:
        """Do not wait for parameters that the output does not depend on."""
        reached = _leaves_below(out)
        unused = {
            i: p for i, p in enumerate(self.module.parameters())
            if p.requires_grad and node_of(p) not in reached
        }  # fmt: skip
        self._round = _Round(self.group, self._buckets, unused)
        for i, p in unused.items():
            self._round.put(i, np.zeros(p.shape, p.dtype))

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Within the block gradients stay the rank's own, to be added up over several batches."""
        before, self.active = self.active, False
        try:
            yield
        finally:
            self.active = before

    def _arrived(self, number: int, grad: Tensor) -> Tensor | None:
        """Put a gradient into its bucket; what stands there when backward ends is the mean."""
        if not self.active or self.group.size == 1:
            return None
        if self._round is None:
            self._round = _Round(self.group, self._buckets)
        place = self._round.put(number, grad.array)
        if self._round.complete():
            self._round.finish()
            self._round = None
        return wrap(place)


class _Round:
    """The gradients of one backward on their way."""

    def __init__(
        self, group: distributed.Group, buckets: list[Bucket],
        unused: dict[int, Parameter] | None = None,
    ) -> None:  # fmt: skip
        self.group, self.buckets, self.unused = group, buckets, unused
        self.arrays = [np.zeros(b.ends[-1], b.dtype) for b in buckets]
        self.where = {i: (k, j) for k, b in enumerate(buckets) for j, i in enumerate(b.numbers)}
        self.waiting = [len(b) for b in buckets]
        self.absent = set(self.where)
        self.requests: list[Any] = []  # of the buckets that are under way, which go in order

    def put(self, number: int, grad: Array) -> Array:
        """Copy a gradient into its place, and start the buckets that are full now."""
        k, j = self.where[number]
        ends = self.buckets[k].ends
        place = self.arrays[k][ends[j] : ends[j + 1]].reshape(grad.shape)
        place[...] = grad
        self.waiting[k] -= 1
        self.absent.discard(number)
        while len(self.requests) < len(self.buckets) and not self.waiting[len(self.requests)]:
            n = len(self.requests)
            if n == 0:
                total = sum(a.size for a in self.arrays)
                self.group.announce(f"backward of {total} gradients")
            self.requests.append(self.group.sum_later(self.arrays[n]))
        return place

    def missing(self) -> list[int]:
        """The parameters whose gradients have not come."""
        return sorted(self.absent)

    def complete(self) -> bool:
        """Whether all have come."""
        return not self.absent

    def finish(self) -> None:
        """Wait for the sums, and make them means."""
        for request, a in zip(self.requests, self.arrays, strict=True):
            self.group.wait(request.Wait)
            a /= self.group.size
        if self.unused is None:
            return
        users = np.array([i not in self.unused for i in sorted(self.where)], np.int32)
        self.group.announce("which parameters were used")
        self.group.sum_(users)
        for i, count in zip(sorted(self.where), users, strict=True):
            if i in self.unused and count:  # by other ranks, whose mean is everybody's
                k, j = self.where[i]
                ends, p = self.buckets[k].ends, self.unused[i]
                mean = wrap(self.arrays[k][ends[j] : ends[j + 1]].reshape(p.shape).copy())
                p.grad = mean if p.grad is None else p.grad + mean


def _leaves_below(value: Any) -> set[Node]:
    """The leaves that tensors, in containers too, were computed from."""
    found: set[Node] = set()
    todo: list[Any] = [value]
    seen: set[int] = set()
    while todo:
        item = todo.pop()
        if isinstance(item, Tensor):
            item = node_of(item)
        if isinstance(item, dict):
            todo += item.values()
        elif isinstance(item, list | tuple):
            todo += item
        elif isinstance(item, Node) and id(item) not in seen:
            seen.add(id(item))
            found.add(item)
            todo += [p for p in item.parents if p is not None]
    return found
