"""The machine: what it is, how fast it copies, how fast it multiplies matrices."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import metadata
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .cases import Array, Case, flops
from .work import Work

PASSES = 5  # a normalisation must read x, write y; read g and x, write dx
NORMS = ("batch_norm", "layer_norm", "group_norm", "instance_norm")
GEMM = 1024  # rows and columns of the square product
COPY = 1 << 24  # elements of the copy: 64 MiB in float32
ALONE = 1 << 16  # elements up to which a second thread does not pay


def make(case: Case, threads: int) -> Work | None:
    """The least time of a case: a normalisation's five passes at the speed of a copy, or a
    convolution's operations at the rate of a matrix product."""
    if case.kind in NORMS:
        # A copy makes two passes, one reading and one writing; two copies, x to y and g to dx,
        # touch as much memory as the work itself.
        return Work(copying(prod(case.shape), threads, 2), list, scale=PASSES / 4)
    if case.kind == "conv2d":
        return Work(multiplying(512), list, scale=flops(case) / (2 * 512**3))
    return None


def copying(elements: int, threads: int, copies: int = 1) -> Callable[[], Any]:
    """Copy so many pairs of float32 arrays, into memory that is already there."""
    sources = [np.ones(elements, np.float32) for _ in range(copies)]
    targets = [np.zeros(elements, np.float32) for _ in range(copies)]
    parts = threads if elements > ALONE else 1
    pairs = [
        pair
        for target, source in zip(targets, sources, strict=True)
        for pair in zip(np.array_split(target, parts), np.array_split(source, parts), strict=True)
    ]

    def copy(pair: tuple[Array, Array]) -> None:
        np.copyto(*pair)

    pool = ThreadPoolExecutor(parts) if parts > 1 else None
    return lambda: list(map(copy, pairs) if pool is None else pool.map(copy, pairs))


def multiplying(size: int) -> Callable[[], Array]:
    a, b = np.ones((size, size), np.float32), np.ones((size, size), np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def best(step: Callable[[], Any], runs: int = 12) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times)


def rates(threads: int) -> dict[str, float]:
    """GB/s of a large copy (reads and writes counted) and GFLOP/s of a product, best of several."""
    from threadpoolctl import threadpool_limits

    found = {}
    for n in sorted({1, threads}):
        found[f"copy_GB_per_s_{n}"] = 2 * 4 * COPY / best(copying(COPY, n)) / 1e9
        with threadpool_limits(n):
            found[f"gemm_GFLOP_per_s_{n}"] = 2 * GEMM**3 / best(multiplying(GEMM)) / 1e9
    return found


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """The processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Others:
    """How much of the machine other processes take from now on (Linux; None elsewhere)."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._all, self._own = _processor_seconds()

    def share(self) -> float | None:
        """The part of all processors' time; ask after the children have ended."""
        everybody, own = _processor_seconds()
        if everybody is None or self._all is None:
            return None
        others = everybody - self._all - (own - self._own)
        available = (time.perf_counter() - self._start) * (os.cpu_count() or 1)
        return max(0.0, others / available)


def _processor_seconds() -> tuple[float | None, float]:
    """Used by everybody, and by this process and its ended children."""
    own = sum(os.times()[:4])
    try:
        fields = Path("/proc/stat").read_text().split(maxsplit=4)[1:4]  # user, nice, system
    except OSError:
        return None, own
    return sum(map(int, fields)) / os.sysconf("SC_CLK_TCK"), own


def machine(threads: int) -> dict[str, Any]:
    """What the numbers were taken on."""
    from threadpoolctl import threadpool_info

    blas = [p for p in threadpool_info() if p["user_api"] == "blas"]
    versions = {}
    for package in ("minigrad", "numpy", "numba", "torch", "mygrad", "autograd"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": processor(),
        "cores": cores(),
        "threads": threads,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": versions,
        "blas": [
            f"{p['internal_api']} {p['version']}, {p.get('architecture', 'unknown')} kernels"
            for p in blas
        ],
    }
