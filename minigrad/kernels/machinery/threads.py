"""How many threads compiled kernels run on."""

from __future__ import annotations

import os

import numpy as np

_threads: int | None = None  # None: as many as the machine lets us have


def get_num_threads() -> int:
    """How many threads a parallel kernel may use."""
    if _threads is not None:
        return _threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_num_threads(n: int) -> None:
    """Let parallel kernels, matrix products among them, use n threads. numpy's own stay as they
    are: threadpoolctl limits those."""
    global _threads
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"set_num_threads: n must be an int, got {type(n).__name__}")
    if n < 1:
        raise ValueError(f"set_num_threads: n must be at least 1, got {n}")
    _threads = int(n)
