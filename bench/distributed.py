"""Data parallel training: a step's time on several processes, and what a model expects of more.

`mpiexec -n 2 python -m bench.distributed STEPS` is one measurement; rank 0 prints one JSON object.
Every rank has a processor, one thread and 32 samples of its own (weak scaling). The model has two
numbers, which two ranks measure with messages of 8 bytes and of 8 MB:

    a message of n bytes to p ranks, summed  T = log2 p · 2·latency + 2·(p - 1)/p · n/bandwidth
    the same, from one rank to all           T = log2 p · latency + n/bandwidth
    a step                                   the step of one rank + T of its messages

It counts nothing that MPI does while backward goes on, so it expects too much rather than too
little; and it knows the messages of this machine, not those of a network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from math import log2
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .rounds import Plan
    from .rows import Row

SAMPLES = 32  # of every rank
SMALL, LARGE = 8, 8 << 20  # bytes of the messages that the model is made of
EXPECTED = (8, 64, 1024)  # ranks that the model is asked about
MEGABYTE = 1 << 20


class Model(NamedTuple):
    """What a message takes: seconds to arrive at all, bytes a second."""

    latency: float
    bandwidth: float

    @classmethod
    def of(cls, small: float, large: float) -> Model:
        """From the times in which two ranks sum SMALL and LARGE bytes."""
        return cls(small / 2, LARGE / max(large - small, 1e-9))

    def summed(self, size: int, ranks: int) -> float:
        """Seconds until all ranks have the sum of `size` bytes of each."""
        return log2(ranks) * 2 * self.latency + 2 * (ranks - 1) / ranks * size / self.bandwidth

    def spread(self, size: int, ranks: int) -> float:
        """Seconds until all ranks have `size` bytes of the first."""
        return (log2(ranks) * self.latency + size / self.bandwidth) if ranks > 1 else 0.0

    def step(self, alone: float, found: dict[str, Any], ranks: int) -> float:
        """Seconds of a training step, which takes one rank alone so long."""
        sums = sum(self.summed(size, ranks) for size in found["buckets"])
        return alone + sums + sum(self.spread(size, ranks) for size in found["buffers"])


# ---------------------------------------------------------------------------- a rank


def rank(steps: int) -> dict[str, Any]:
    """The times of training steps and of messages, and which messages a step sends."""
    import minigrad as mg
    from minigrad import distributed, nn, optim
    from minigrad.nn import functional as F
    from minigrad.nn.parallel import DistributedDataParallel

    distributed.init_process_group()
    mg.set_num_threads(1)
    mg.manual_seed(distributed.get_rank())
    layers: list[Any] = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 256), nn.Linear(256, 10))
    model = DistributedDataParallel(net, bucket_cap_mb=1)
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = mg.randn(SAMPLES, 3, 32, 32), mg.randint(0, 10, (SAMPLES,))

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    def timed(work: Any, repeats: int) -> list[float]:
        for _ in range(3):
            work()
        times = []
        for _ in range(repeats):
            distributed.barrier()
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return times

    messages = {}
    for size in (SMALL, LARGE):
        tensor = mg.zeros(size // 4)

        def send(tensor: Any = tensor) -> None:
            distributed.all_reduce(tensor)

        messages[size] = timed(send, 10)
    return {
        "steps": timed(step, steps),
        "small": median(messages[SMALL]),
        "large": median(messages[LARGE]),
        "buckets": [b.ends[-1] * b.dtype.itemsize for b in model._buckets],
        "buffers": [buffer.nbytes for buffer in net.buffers()],
    }


# ---------------------------------------------------------------------------- the parent's side


def rows(plan: Plan) -> Iterator[Row]:
    """Steps on 1, 2, 4, … ranks, as many as there are processors, and of more by the model."""
    from .limits import cores
    from .rows import Row

    steps = 5 * plan.sweeps * plan.rounds
    alone = _run(1, steps)
    yield Row("distributed", "1 rank", {"step": alone["steps"]}, "step")
    ranks, model = 2, None
    while ranks <= cores():
        found = _run(ranks, steps)
        model = model or Model.of(found["small"], found["large"])
        expected = model.step(median(alone["steps"]), alone, ranks)
        values = {"step": found["steps"], "model": [expected] * len(found["steps"])}
        yield Row("distributed", f"{ranks} ranks", values, "step", "model")
        ranks *= 2
    if model is None:
        print("\ndistributed: one processor, which tells nothing of messages")
        return
    for ranks in EXPECTED:
        expected = model.step(median(alone["steps"]), alone, ranks)
        yield Row("distributed", f"{ranks} ranks, expected", {"model": [expected]}, "model")
    yield Row("distributed", "latency", {"model": [model.latency]}, "model")
    rate = {"model": [model.bandwidth / MEGABYTE]}
    yield Row("distributed", "bandwidth", rate, "model", unit="MB/s")
    for name, kind in (("gradients of a step", "buckets"), ("buffers of a step", "buffers")):
        size = {"step": [sum(alone[kind]) / MEGABYTE]}
        yield Row("distributed", f"{name}, {len(alone[kind])} messages", size, "step", unit="MB")


def _path() -> str:
    return os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])


def available() -> bool:
    """Whether there is an MPI to start processes with."""
    from minigrad import distributed

    return distributed.is_available() and shutil.which("mpiexec", path=_path()) is not None


def _run(ranks: int, steps: int) -> dict[str, Any]:
    from .rounds import environment

    done = subprocess.run(
        ["mpiexec", "-n", str(ranks), sys.executable, "-m", "bench.distributed", str(steps)],
        capture_output=True, text=True, env=environment(1, PATH=_path()),
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{ranks} ranks failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    found = rank(int(sys.argv[1]))
    from minigrad import distributed as ranks_here

    if ranks_here.get_rank() == 0:
        print(json.dumps(found))
