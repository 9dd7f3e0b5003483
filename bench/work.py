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


def differentiate(
    m: Any, f: Callable[..., Any], given: Sequence[Any], leaves: Sequence[Any]
) -> Work:
    """f of what is given and, where it has one, its backward from a random cotangent; the results
    are f's and the leaves' gradients."""
    for leaf in leaves:
        leaf.requires_grad_()
    y = f(*given)
    g = None
    if y.requires_grad:
        drawn = np.random.default_rng(1).standard_normal(tuple(y.shape))
        g = m.from_numpy(drawn.astype(leaves[0].detach().numpy().dtype))

    def step() -> Any:
        for leaf in leaves:
            leaf.grad = None
        y = f(*given)
        if g is not None:
            y.backward(g)
        return y

    def results() -> list[Any]:
        y = step()
        gradients = [leaf.grad.numpy() for leaf in leaves if g is not None]
        return [y.detach().numpy(), *gradients]

    return Work(step, results)


def in_float64(work: Callable[[Any, Any], Work], case: Any) -> list[Any]:
    """The results of a case's work in minigrad's numpy kernels and float64."""
    import minigrad

    class Double:
        """minigrad, whose arrays come in as float64."""

        def __getattr__(self, name: str) -> Any:
            return getattr(minigrad, name)

        def from_numpy(self, a: Any) -> Any:
            return minigrad.from_numpy(a.astype(np.float64) if a.dtype.kind == "f" else a)

        def zeros(self, n: int) -> Any:
            return minigrad.zeros(n, dtype=minigrad.float64)

        def ones(self, n: int) -> Any:
            return minigrad.ones(n, dtype=minigrad.float64)

    with minigrad.use_kernels("numpy"):
        return list(work(Double(), case).results())


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
