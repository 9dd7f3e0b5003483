"""The threads that compiled kernels and BLAS run on.

One pool at a time. Threads of an idle pool spin for a while before they sleep. A product on two
BLAS threads beside a parallel numba loop slows both by a factor of 10 and more, and products as
small as a toy network's are faster on one thread anyway. So loading the numba kernels sets BLAS to
one thread, for the whole process. threads() shows that it happened, one_pool(False) undoes and
forbids it, for programs whose time goes into large products.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

_threads: int | None = None  # None: as many as the machine lets us have
_one_pool: bool | None = None  # None: not decided yet; loading numba's kernels decides for True
_blas: list[Any] | None = None  # threadpoolctl's handles; looking them up takes milliseconds
_blas_before: list[int] = []  # their threads before one_pool(True)


def _blas_handles() -> list[Any]:
    global _blas
    if _blas is None:
        try:
            from threadpoolctl import ThreadpoolController
        except ImportError:
            _blas = []
        else:
            pools = ThreadpoolController().lib_controllers
            _blas = [p for p in pools if p.user_api == "blas"]
    return _blas


def get_num_threads() -> int:
    """How many threads a parallel kernel may use."""
    if _threads is not None:
        return _threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_num_threads(n: int) -> None:
    """Let parallel kernels, and BLAS unless it is held at one thread, use n threads."""
    global _threads, _blas_before
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"set_num_threads: n must be an int, got {type(n).__name__}")
    if n < 1:
        raise ValueError(f"set_num_threads: n must be at least 1, got {n}")
    _threads = int(n)
    if _one_pool:
        _blas_before = [_threads] * len(_blas_handles())
    else:
        for pool in _blas_handles():
            pool.set_num_threads(_threads)


def one_pool(enable: bool = True) -> None:
    """Hold BLAS at one thread in this process, or give it its threads back and leave it alone."""
    global _one_pool, _blas_before
    if enable and not _one_pool:
        _blas_before = [pool.get_num_threads() for pool in _blas_handles()]
        for pool in _blas_handles():
            pool.set_num_threads(1)
    elif not enable and _one_pool:
        for pool, n in zip(_blas_handles(), _blas_before, strict=True):
            pool.set_num_threads(n)
    _one_pool = enable


def hold_blas() -> None:
    """What the compiled kernels call as they are loaded."""
    if _one_pool is None:
        one_pool()


def threads() -> dict[str, Any]:
    """Threads of our kernels and of BLAS (None: unknown), and whether BLAS is held at one."""
    pools = [pool.get_num_threads() for pool in _blas_handles()]
    return {
        "kernels": get_num_threads(),
        "blas": max(pools) if pools else None,
        "one_pool": bool(_one_pool),
    }
