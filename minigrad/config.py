"""What a bug report needs, and compiling ahead."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad import kernels, nn, optim
from minigrad.nn import functional as F
from minigrad.ops.create import zeros
from minigrad.ops.random import get_rng_state, randn, set_rng_state


def show_config() -> str:
    """Return a description of the installation and the machine, one fact a line.

    Versions, which kernels are chosen, threads, and the BLAS library with the core type it picked.
    """
    lines = [
        f"minigrad  {_version('minigrad')}",
        f"python    {platform.python_version()} on {platform.system()} {platform.machine()}",
        f"numpy     {np.__version__}",
        f"numba     {_version('numba')}",
        f"kernels   {kernels.kernels_in_use()}",
        f"threads   {kernels.get_num_threads()} of {os.cpu_count()} processors",
    ]
    try:
        import threadpoolctl
    except ImportError:
        lines.append("blas      unknown (install threadpoolctl)")
        return "\n".join(lines)
    for pool in threadpoolctl.threadpool_info():
        if pool["user_api"] == "blas":
            core = pool.get("architecture", "unknown core")
            lines.append(
                f"blas      {pool['internal_api']} {pool['version']}, {core} kernels, "
                f"{pool['num_threads']} threads of its own"
            )
            if pool["internal_api"] == "openblas" and core in ("Zen", "Haswell") and _has_avx512():
                lines.append(
                    "          this processor has AVX-512, but BLAS uses AVX2: starting Python "
                    "with OPENBLAS_CORETYPE=SkylakeX may nearly double the rate of matrix products"
                )
    if kernels.kernels_in_use() == "numpy":
        lines.append("products  np.matmul, on BLAS's threads")
    elif (library := kernels.blas()) is None:
        lines.append("products  np.matmul, as this BLAS cannot be called by address")
    else:
        lines.append(f"products  {library.name}, called for blocks on the kernels' threads")
    return "\n".join(lines)


def _version(package: str) -> str:
    from importlib import metadata  # as slow to import as all the rest of this package

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _has_avx512() -> bool:
    try:
        from numpy._core._multiarray_umath import __cpu_features__  # type: ignore[import-not-found]
    except ImportError:
        return False
    return bool(__cpu_features__.get("AVX512F"))


def warmup(verbose: bool = False) -> float:
    """Compile (or load from the cache) the numba kernels that networks use; return the seconds.

    Without it each kernel compiles when it is first called.

    Args:
        verbose: say on the standard error how many are compiled, as it goes on, and how long it
            took; nothing where all were compiled before.
    """
    start = time.perf_counter()
    state = get_rng_state()
    with compiling(verbose):
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64, 600), nn.BatchNorm1d(600), nn.ReLU(), nn.Linear(600, 150),
        )  # fmt: skip
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        F.cross_entropy(model(randn(4, 1, 8, 8)), zeros(4).long()).backward()
        optimizer.step()
        model.eval()(randn(4, 1, 8, 8))
    set_rng_state(state)
    return time.perf_counter() - start


@contextmanager
def compiling(verbose: bool = True) -> Iterator[None]:
    """Say on the standard error what is compiled in this block: a count that grows on a terminal,
    and a line at the end. Nothing if nothing is."""
    if not verbose or kernels.kernels_in_use() == "numpy":
        yield
        return
    from numba.core import event as events

    counted, start = 0, time.perf_counter()

    class Count(events.Listener):
        def on_start(self, event: Any) -> None:
            nonlocal counted
            counted += 1
            if sys.stderr.isatty():
                print(f"\rcompiling kernels, once: {counted}", end="", file=sys.stderr, flush=True)

        def on_end(self, event: Any) -> None:
            pass

    with events.install_listener("numba:compile", Count()):
        yield
    if counted:
        seconds = time.perf_counter() - start
        kept = os.environ.get("NUMBA_CACHE_DIR") or "__pycache__"
        line = f"compiled {counted} kernels in {seconds:.1f} s; they are kept in {kept}"
        print(("\r" if sys.stderr.isatty() else "") + line, file=sys.stderr)
