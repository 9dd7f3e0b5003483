"""What only a fresh process can tell: how long a start takes, how much memory a step needs.

`python -m bench.fresh digits` and `python -m bench.fresh memory NAME THREADS` are such processes;
they print one JSON object. Nothing is imported here that a start is not to be charged with.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .rounds import Plan
    from .rows import Row

IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
COLD, WARM, IMPORTED = 8.0, 0.5, 0.12  # seconds at most
MEGABYTE = 1 << 20
HUGE_PAGE = 1 << 21


def digits() -> dict[str, float]:
    """The first training step and evaluation of examples/digits.py's network, and the second."""
    start = time.perf_counter()
    import minigrad as mg

    imported = time.perf_counter()
    nn = mg.nn
    layers: list[Any] = []
    for inputs, outputs in ((1, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if inputs > 1 else []
    model = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), nn.Linear(256, 10))
    optimizer = mg.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    criterion = nn.CrossEntropyLoss()

    def work() -> None:
        model.train()
        loss = criterion(model(mg.randn(64, 1, 8, 8)), mg.randint(0, 10, (64,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.eval()
        with mg.no_grad():
            logits = mg.cat([model(part) for part in mg.randn(360, 1, 8, 8).split(64)])
            criterion(logits, logits.argmax(dim=1)).item()

    work()
    first = time.perf_counter()
    work()
    second = time.perf_counter()
    return {"import": imported - start, "first": first - imported, "second": second - first}


def _status(key: str) -> int:
    """Bytes, from Linux's account of this process."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(key))


def _release() -> None:
    """Hand back what no array uses: then the code of the library is all that is left."""
    import ctypes
    import gc

    gc.collect()
    if "minigrad" in sys.modules:
        from minigrad.kernels.machinery import memory as reused

        limit = reused.limit()
        reused.set_limit(0)
        reused.set_limit(limit)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def memory(name: str, threads: int) -> dict[str, float]:
    """Peak memory of the conv net's training steps, and page faults of a large batch norm."""
    import resource

    from .cases import CASES
    from .worker import maker

    make = maker(name, threads)
    net = next(case for case in CASES if case.net == "conv net")
    large = next(case for case in CASES if case.floor is not None)

    def run(case: Any, steps: int) -> Callable[[], Any]:
        work = make(case)
        if work is None:
            raise ValueError(f"{name} has no {case.name}")
        for _ in range(steps):
            work.step()
        return work.step

    run(net, 2)  # compiles and loads all the code
    _release()
    with open("/proc/self/clear_refs", "w") as references:
        references.write("5")  # the peak starts again from here
    before = _status("VmRSS")
    run(net, 10)
    peak = _status("VmHWM")
    _release()
    step = run(large, 3)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        step()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return {"step": (peak - before) / MEGABYTE, "process": peak / MEGABYTE, "faults": faults / 5}


# ---------------------------------------------------------------------------- the parent's side


def _run(arguments: Sequence[str], threads: int, **env: str) -> Any:
    from .rounds import environment

    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True,
        env=environment(threads, **env),
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def startup(plan: Plan, threads: int, names: Sequence[str]) -> Iterator[Row]:
    """Import times, and what the first step of a training costs."""
    yield imports(plan, threads, names)
    if "numba" in names:
        yield from first_steps(plan, threads)


def imports(plan: Plan, threads: int, names: Sequence[str]) -> Row:
    """minigrad's import beside those of the packages it needs, and PyTorch's."""
    from .rows import Row, Target

    modules = ["minigrad", "numpy", *(name for name in ("numba", "torch") if name in names)]
    times: dict[str, list[float]] = {module: [] for module in modules}
    for i in range(plan.fresh + 2):
        for module in modules:
            seconds = _run(["-c", IMPORT.format(module)], threads)
            if i:  # the first round only fills the disk's cache
                times[module].append(seconds)
    return Row("startup", "import", times, "minigrad", "numpy", Target(IMPORTED, "value"))


def first_steps(plan: Plan, threads: int) -> Iterator[Row]:
    """The first steps of the digits network (after `import minigrad`): what they take longer than
    the second ones into an empty cache, and all they take from a full one. Both import numba."""
    from .rows import Row, Target

    script = ["-m", "bench.fresh", "digits"]
    cold: list[float] = []
    warm: dict[str, list[float]] = {"numba": [], "numpy": []}
    for _ in range(max(1, plan.fresh - 1)):
        with tempfile.TemporaryDirectory() as cache:
            env = {"MINIGRAD_KERNELS": "numba", "NUMBA_CACHE_DIR": cache}
            found = _run(script, threads, **env)
            cold.append(found["first"] - found["second"])
            for _ in range(3):
                for kernels, times in warm.items():
                    found = _run(script, threads, **(env | {"MINIGRAD_KERNELS": kernels}))
                    times.append(found["first"])
    target = Target(COLD, "value")
    yield Row("startup", "digits: compile, empty cache", {"numba": cold}, "numba", target=target)
    name, target = "digits: first step, warm cache", Target(WARM, "value")
    yield Row("startup", name, warm, "numba", target=target)


def memory_rows(
    plan: Plan, threads: int, names: Sequence[str], subject: str, base: str | None
) -> Iterator[Row]:
    """Fresh processes in turns; Linux only, since nobody else tells."""
    from .cases import CASES
    from .rows import Row, Target

    case = next(case for case in CASES if case.floor is not None)
    wanted = ("numba", "numpy", "torch", "by hand") if plan.fresh > 1 else (subject, base)
    measured = [name for name in names if name in wanted]
    runs = [
        {name: _run(["-m", "bench.fresh", "memory", name, str(threads)], threads)
         for name in measured}
        for _ in range(plan.fresh)
    ]  # fmt: skip

    def values(key: str) -> dict[str, list[float]]:
        return {name: [run[name][key] for run in runs] for name in measured}

    yield Row("memory", "conv net, peak of its steps", values("step"), subject, base,
              Target(1.0), unit="MB")  # fmt: skip
    yield Row("memory", "conv net, whole process", values("process"), subject, base, unit="MB")
    # One result in fresh memory costs this many at least, in the largest pages a system hands out.
    pages = 4 * prod(case.shape) // HUGE_PAGE
    yield Row("memory", f"page faults of {case.name}", values("faults"), subject, base,
              Target(pages, "value"), unit="count")  # fmt: skip


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    print(json.dumps(digits() if what == "digits" else memory(given[0], int(given[1]))))
