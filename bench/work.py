"""One piece of work, checking what it computes, and timing it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

# Of the reference's root mean square. float32 over sums of a million terms stays far below it, a
# wrong formula far above. Training rounds parameters that move by a thousandth of their size.
TOLERANCE = 1e-4
TOLERANCE_TRAINED = 2e-3


class Work(NamedTuple):
    """`step` is timed; `results` runs once before; a step is `per` operations, or stands for
    `scale` times the work that is reported."""

    step: Callable[[], Any]
    results: Callable[[], Sequence[Any]]
    per: int = 1
    scale: float = 1.0


def difference(results: Sequence[Any], reference: Sequence[Any]) -> float:
    """The largest relative root-mean-square difference of a result, inf where one is not finite."""
    if len(results) != len(reference):
        raise ValueError(f"{len(results)} results, expected {len(reference)}")
    worst = 0.0
    for i, (got, expected) in enumerate(zip(results, reference, strict=True)):
        got = np.asarray(got)
        if got.shape != expected.shape:
            raise ValueError(f"result {i} has shape {got.shape}, expected {expected.shape}")
        scale = float(np.linalg.norm(expected)) or 1.0
        relative = float(np.linalg.norm(got.astype(np.float64) - expected)) / scale
        worst = max(worst, relative if np.isfinite(relative) else np.inf)
    return worst


def validate(results: Sequence[Any], reference: Sequence[Any], tolerance: float) -> float:
    """The difference; ValueError if it is above the tolerance."""
    found = difference(results, reference)
    if not found <= tolerance:
        raise ValueError(f"differs from the float64 reference by {found:.1e} (at most {tolerance})")
    return found


class Timer:
    """Times a step in short slices."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._block = 1  # steps, so many that reading the clock does not matter
        while self._run(self._block) < 1e-3:
            self._block *= 2

    def _run(self, steps: int) -> float:
        step = self.work.step
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return time.perf_counter() - start

    def slice(self, seconds: float) -> float:
        """Seconds per operation: the lower quartile of blocks of steps that fill about `seconds`.

        What runs before is not counted: it wakes threads and fills caches. A quartile, because
        other programs disturb some blocks, and make none faster.
        """
        start = time.perf_counter()
        while True:
            self._run(1)
            if time.perf_counter() - start > seconds / 4:
                break
        blocks: list[float] = []
        start = time.perf_counter()
        while not blocks or time.perf_counter() - start < seconds:
            blocks.append(self._run(self._block))
        quartile = sorted(blocks)[len(blocks) // 4]
        return quartile / self._block / self.work.per * self.work.scale


def settle(longest: float = 0.2) -> None:
    """Wait until the threads of this process have stopped spinning and sleep."""
    end = time.perf_counter() + longest
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(0.004)
        if time.process_time() - before < 0.001:
            return
