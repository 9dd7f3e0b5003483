"""The process of one contender: `python -m bench.worker NAME THREADS`.

It reads requests from its standard input, one JSON list a line, and answers each with one line.
Between two requests it sleeps in a read; it answers only when its threads have gone to sleep too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from . import by_hand, limits, peers, torchlike
from .cases import CASES, Case
from .torchlike import TABLES
from .work import TOLERANCE, TOLERANCE_TRAINED, Timer, Work, settle, validate

# The contenders, and the package each needs.
PACKAGES = {
    "numba": "numba", "numpy": "numpy", "torch": "torch", "by hand": "numpy", "mygrad": "mygrad",
    "autograd": "autograd", "limit": "numpy",
}  # fmt: skip


TABLE = [*CASES, *(case for own in dict.fromkeys(TABLES.values()) for case in own.CASES)]
BY_NAME = {case.name: case for case in TABLE}


def installed(name: str) -> bool:
    return importlib.util.find_spec(PACKAGES[name]) is not None


def maker(name: str, threads: int) -> Callable[[Case], Work | None]:
    """What makes this contender's work, with its library set to `threads`."""
    if name in ("numba", "numpy"):
        import minigrad

        minigrad.use_kernels(name)
        minigrad.set_num_threads(threads)
        return lambda case: torchlike.make(minigrad, case)
    if name == "torch":
        import torch

        torch.set_num_threads(threads)
        return lambda case: torchlike.make(torch, case)
    if name == "limit":
        return lambda case: limits.make(case, threads)
    return {"by hand": by_hand.make, "mygrad": peers.mygrad, "autograd": peers.hips}[name]


class Bench:
    """Answers the requests of one contender."""

    def __init__(self, make: Callable[[Case], Work | None]) -> None:
        self._make = make
        self._timer: Timer | None = None

    def prepare(self, name: str) -> dict[str, Any]:
        """Build the work, run it once and validate its results; "first" is what that run took.

        The answer has "skipped" where the contender has no such work, "refused" where its results
        are wrong: then it is not timed.
        """
        self._timer = None
        case = BY_NAME[name]
        work = self._make(case)
        if work is None:
            return {"skipped": True}
        start = time.perf_counter()
        results = work.results()
        first = time.perf_counter() - start
        if work.scale == 1:  # not the machine's limit, which computes something else
            tolerance = TOLERANCE_TRAINED if case.kind in ("step", "net") else TOLERANCE
            try:
                table: Any = TABLES.get(case.suite, by_hand)  # the reference of other suites
                validate(results, table.reference(case), tolerance)
            except ValueError as error:
                return {"refused": str(error)}
        digest = hashlib.sha256()
        for array in results:
            digest.update(np.ascontiguousarray(array).tobytes())
        self._timer = Timer(work)
        return {"first": first, "bits": digest.hexdigest()}

    def time(self, seconds: float) -> float:
        if self._timer is None:
            raise RuntimeError("time: nothing is prepared")
        return self._timer.slice(seconds)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    name, threads = sys.argv[1], int(sys.argv[2])
    bench = Bench(maker(name, threads))
    requests: dict[str, Callable[..., Any]] = {
        "prepare": bench.prepare, "time": bench.time, "rates": lambda: limits.rates(threads)
    }  # fmt: skip
    for line in sys.stdin:
        request, *args = json.loads(line)
        answer = requests[request](*args)
        settle()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
