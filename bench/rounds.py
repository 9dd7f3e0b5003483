"""A process for every contender, taking turns.

Threads of an idle pool spin for a while and slow everybody else's down, so contenders share neither
a process nor a moment: while one works, the others sleep in a read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, cast

from .cases import Case
from .rows import Row, Target, round_ratios

ROOT = Path(__file__).resolve().parents[1]


class Plan(NamedTuple):
    """How much is measured: sweeps over all cases in new processes, rounds of a sweep, seconds of
    a turn, fresh processes of a kind."""

    sweeps: int
    rounds: int
    seconds: float
    fresh: int


QUICK, FULL = Plan(1, 3, 0.01, 1), Plan(3, 3, 0.05, 3)


def environment(threads: int, **more: str) -> dict[str, str]:
    """The environment of a contender that uses this many threads, whichever library starts them."""
    pools = ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    limits = {f"{pool}_NUM_THREADS": str(threads) for pool in pools}
    compiled = {"PYTHONDONTWRITEBYTECODE": ""}  # modules are compiled once, as on any machine
    return {**os.environ, **limits, "PYTHONPATH": path, **compiled, **more}


class Asked(Protocol):
    def ask(self, request: str, *args: Any) -> Any: ...


class Contender:
    """The parent's end of one worker."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  close() closes it
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", name, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env=environment(threads),
        )  # fmt: skip
        self._requests = cast("IO[str]", self._process.stdin)
        self._answers = cast("IO[str]", self._process.stdout)

    def ask(self, request: str, *args: Any) -> Any:
        """Send a request and wait for the answer; RuntimeError if the process has died."""
        try:
            self._requests.write(json.dumps([request, *args]) + "\n")
            self._requests.flush()
            answer = self._answers.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"the process of {self.name!r} died:\n{said}")
        return json.loads(answer)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):  # a request it did not live to read
            self._requests.close()
        self._answers.close()
        self._errors.close()


@contextmanager
def contenders(names: Mapping[str, tuple[str, int]]) -> Iterator[dict[str, Contender]]:
    """Start {label: (name, threads)}, and end them."""
    with ExitStack() as stack:
        started = {}
        for label, (name, threads) in names.items():
            started[label] = Contender(name, threads)
            stack.callback(started[label].close)
        yield started


def alternate(workers: Mapping[str, Asked], plan: Plan) -> dict[str, list[float]]:
    """Let the workers take turns; {label: seconds in each round}. Another begins each round."""
    labels = list(workers)
    values: dict[str, list[float]] = {label: [] for label in labels}
    for i in range(plan.rounds):
        first = i % len(labels) if labels else 0
        for label in labels[first:] + labels[:first]:
            values[label].append(workers[label].ask("time", plan.seconds))
    return values


def measure(
    case: Case, workers: Mapping[str, Asked], plan: Plan, subject: str, base: str | None
) -> tuple[Row, dict[str, str]]:
    """The row of a case, and a hash of every worker's results."""
    ready: dict[str, Asked] = {}
    row = Row(case.suite, case.name, {}, subject, base)
    bits = {}
    for label, worker in workers.items():
        answer = worker.ask("prepare", case.name)
        if "refused" in answer:
            row.refused[label] = answer["refused"]
        elif "skipped" not in answer:
            ready[label] = worker
            row.first[label] = answer["first"]
            bits[label] = answer["bits"]
    row.values = alternate(ready, plan)
    row.limit = row.values.pop("limit", [])
    row.first.pop("limit", None)
    row.target = None if case.target is None else Target(case.target)
    return row, bits


def timed(
    cases: Sequence[Case], workers: Mapping[str, Asked], plan: Plan, subject: str, base: str | None
) -> Iterator[Row]:
    """A row for every case, and what it reaches of the machine's limit where that is asked."""
    for case in cases:
        row, _ = measure(case, workers, plan, subject, base)
        yield row
        if case.floor is not None and row.limit:
            yield floor_row(row, case.floor)


def floor_row(row: Row, bound: float) -> Row:
    """The part of the machine's limit that everybody reached in `row`, against its target."""
    reached = {name: round_ratios(row.limit, times) for name, times in row.values.items()}
    target = Target(bound, "value", least=True)
    return Row(
        row.suite, "  of the five-pass limit", reached, row.subject, None, target, "fraction"
    )


def thread_counts(cases: Sequence[Case], plan: Plan) -> Iterator[Row]:
    """1, 2 and 4 threads of the numba path: times, and how many of them give other bits."""
    labels = {"1 thread": 1, "2 threads": 2, "4 threads": 4}
    with contenders({label: ("numba", n) for label, n in labels.items()}) as workers:
        for case in cases:
            row, bits = measure(case, workers, plan, "2 threads", "1 thread")
            row.suite, row.target = "threads", None
            yield row
            differ = sum(bits.get(label) != bits.get("1 thread") for label in labels)
            yield Row(
                "threads",
                "  results with other bits",
                {"differing": [float(differ)]},
                "differing",
                target=Target(0, "value"),
                unit="count",
            )
