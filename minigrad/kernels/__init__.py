"""The choice between the numba and the numpy kernels, and the threads they run on.

An op reads the choice once, kernels = current(x), and its vjp closes over the module it got, so a
forward and its backward never disagree. numba is imported with the first kernel that needs it.

One pool at a time. Threads of an idle pool spin for a while before they sleep. A product on two
BLAS threads beside a parallel numba loop slows both by a factor of 10 and more, and products as
small as a toy network's are faster on one thread anyway. So loading the numba kernels sets BLAS to
one thread, for the whole process. threads() shows that it happened, one_pool(False) undoes and
forbids it, for programs whose time goes into large products.
"""

from __future__ import annotations

import importlib
import os
import warnings
from contextvars import ContextVar, Token
from types import ModuleType
from typing import Any

import numpy as np

from minigrad.kernels import reference

__all__ = [
    "current",
    "get_num_threads",
    "kernels_in_use",
    "one_pool",
    "set_num_threads",
    "threads",
    "use_kernels",
]

NAMES = ("numba", "numpy")

_default: str | None = None  # the process's choice; None until the environment has been read
_here: ContextVar[str | None] = ContextVar("minigrad_kernels", default=None)
_compiled: ModuleType | None = None  # compiled, or reference where numba fails to import


def _checked(name: object, source: str) -> str:
    if name not in NAMES:
        raise ValueError(f"{source}: kernels {name!r} unknown; choose one of {', '.join(NAMES)}")
    return str(name)


def _chosen() -> str:
    global _default
    name = _here.get() or _default
    if name is None:
        name = _checked(os.environ.get("MINIGRAD_KERNELS") or "numba", "MINIGRAD_KERNELS")
        _default = name
    return name


class use_kernels:
    """Choose "numba" or "numpy": called plainly for the process, after `with` for this context.

    >>> use_kernels("numpy")            # from now on, in every thread that did not choose itself
    >>> with use_kernels("numpy"): ...  # in this block of this thread or task
    """

    def __init__(self, name: str) -> None:
        global _default
        self._name = _checked(name, "use_kernels")
        self._before: tuple[str | None] | None = (_default,)
        self._tokens: list[Token[str | None]] = []
        _default = self._name

    def __enter__(self) -> None:
        global _default
        if self._before is not None:  # it was not a plain call after all: take that back
            (_default,), self._before = self._before, None
        self._tokens.append(_here.set(self._name))

    def __exit__(self, *error: object) -> None:
        _here.reset(self._tokens.pop())

    def __repr__(self) -> str:
        return f"use_kernels({self._name!r})"


def _load() -> ModuleType:
    global _compiled
    if _compiled is None:
        try:
            _compiled = importlib.import_module(".compiled", __name__)
        except Exception as error:  # ImportError is usual, but broken installations raise others
            _compiled = reference
            warnings.warn(
                f"numba cannot be imported ({error}); minigrad uses its numpy kernels",
                RuntimeWarning,
                stacklevel=3,
            )
    return _compiled


def current(*arrays: np.ndarray[Any, Any] | None) -> ModuleType:
    """The kernel module for these arrays; numpy's unless all are float32 or all are float64."""
    if _chosen() == "numpy":
        return reference
    dtype = None
    for a in arrays:
        if a is not None:
            if dtype is None:
                dtype = a.dtype
                if dtype.char not in "fd" or not dtype.isnative:
                    return reference
            elif a.dtype != dtype:
                return reference
    return _compiled or _load()


def kernels_in_use() -> str:
    """ "numba" or "numpy": what real arrays get here and now; imports numba to be sure."""
    return "numpy" if current() is reference else "numba"


# ---------------------------------------------------------------------------- threads

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
