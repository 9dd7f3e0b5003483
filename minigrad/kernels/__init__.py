"""The kernels: arrays in, arrays out, and nothing of tensors. Two backends have the same functions.

`reference/` is plain numpy, written to be read; `compiled/` is numba, with the same chapters; both
stand on `machinery/`. An op asks once for the backend of its arrays, and its vjp closes over that
module, so a forward and its backward never disagree. numba is imported when it is first needed.
"""

from __future__ import annotations

import importlib
import logging  # noqa: F401 (see _before_fork)
import os
import sys
import threading
import warnings
import weakref
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

from minigrad.kernels import reference
from minigrad.kernels.copies import placed, triangle
from minigrad.kernels.machinery.blas import blas
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.threads import get_num_threads, set_num_threads

__all__ = [
    "backend_for",
    "blas",
    "empty",
    "for_large",
    "get_num_threads",
    "kernels_in_use",
    "placed",
    "row_major",
    "set_num_threads",
    "triangle",
    "use_kernels",
]

NAMES = ("numba", "numpy")
LARGE = 1 << 14  # elements, from which on a call of compiled code costs less than it saves

_default: str | None = None  # the process's choice; None until the environment has been read
_environment: str | None = None  # what it says
_here: ContextVar[str | None] = ContextVar("minigrad_kernels", default=None)
_compiled: ModuleType | None = None  # compiled/, or reference/ where numba fails to import
_loading = threading.RLock()
_calls: list[tuple[Any, str]] = []  # of use_kernels that may be plain ones: (weak reference, name)
_choosing = threading.RLock()
_held: list[Any] = []  # numba's lock while the process forks


def _checked(name: object, source: str) -> str:
    if name not in NAMES:
        raise ValueError(f"{source}: kernels {name!r} unknown; choose one of {', '.join(NAMES)}")
    return str(name)


def _chosen() -> str:
    global _environment
    name = _here.get() or _default
    if name is None:
        with _choosing:
            variable = os.environ.get("MINIGRAD_KERNELS") or "numba"
            name = _environment = _checked(variable, "MINIGRAD_KERNELS")
            _choose(list(_calls))
    return name


def _choose(calls: list[tuple[Any, str]]) -> None:
    """The last call of use_kernels that is in force decides for the process, or the environment."""
    global _default
    _calls[:] = calls
    _default = calls[-1][1] if calls else _environment


class use_kernels:
    """Choose "numba" or "numpy": called plainly for the process, after `with` for this context.

    >>> use_kernels("numpy")            # from now on, in every thread that did not choose itself
    >>> with use_kernels("numpy"): ...  # in this block of this thread or task
    """

    def __init__(self, name: str) -> None:
        self._name = _checked(name, "use_kernels")
        self._before_here: list[str | None] = []
        with _choosing:
            # A call that was dropped stays plain: what was chosen before it is over.
            plain = [i for i, (call, _) in enumerate(_calls) if call() is None]
            del _calls[: plain[-1] if plain else 0]
            _choose([*_calls, (weakref.ref(self), self._name)])

    def __enter__(self) -> None:
        with _choosing:  # it was not a plain call after all: take that back
            _choose([entry for entry in _calls if entry[0]() is not self])
        self._before_here.append(_here.get())
        _here.set(self._name)

    def __exit__(self, *error: object) -> None:
        # as modes.setting does: a generator may be closed in another context
        _here.set(self._before_here[-1])
        del self._before_here[-1]

    def __repr__(self) -> str:
        return f"use_kernels({self._name!r})"


def _load() -> ModuleType:
    global _compiled
    with _loading:
        if _compiled is None:
            try:
                from numba.core import config

                if vars(config)["DISABLE_JIT"]:
                    raise ImportError("NUMBA_DISABLE_JIT is set")
                _compiled = importlib.import_module(".compiled", __name__)
            except Exception as error:  # usually ImportError, but broken installations raise others
                _compiled = reference
                warnings.warn(
                    f"numba cannot be used ({error}); minigrad uses its numpy kernels",
                    RuntimeWarning,
                    stacklevel=3,
                )
    return _compiled


def _before_fork() -> None:
    """Let a fork wait while another thread imports numba or compiles with it: in the child, nobody
    would release the locks. In this order, as importing may compile.

    Importing numba takes the lock of logging, which logging takes before a fork, too. What was
    registered last is called first: logging is imported above so that this wait precedes its lock.
    """
    _choosing.acquire()
    _loading.acquire()
    compiler = sys.modules.get("numba.core.compiler_lock")
    lock = getattr(compiler, "global_compiler_lock", None)
    if lock is not None:
        lock.acquire()
    _held.append(lock)


def _after_fork() -> None:
    if (lock := _held.pop()) is not None:
        lock.release()
    _loading.release()
    _choosing.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )


def backend_for(*arrays: np.ndarray[Any, Any] | None) -> ModuleType:
    """The backend for these arrays: numpy's unless all are float32 or all are float64."""
    if (_here.get() or _default or _chosen()) == "numpy":
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


def for_large(chapter: str, *arrays: np.ndarray[Any, Any], dtypes: str = "f") -> Any:
    """compiled/`chapter`, which is for large arrays of float32 (f), or float64 (d); None if these
    are others, or are served by numpy's backend."""
    if arrays[0].dtype.char not in dtypes or backend_for(*arrays) is reference:
        return None
    return importlib.import_module(f".compiled.{chapter}", __name__)


def row_major(a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy in row-major order."""
    if a.size >= LARGE and not a.flags.c_contiguous:
        loops = for_large("transpose", a)
        if loops is not None:
            turned: np.ndarray[Any, Any] = loops.row_major(a)
            return turned
    out = empty(a.shape, a.dtype)
    out[...] = a
    return out


def kernels_in_use() -> str:
    """ "numba" or "numpy": what real arrays get here and now; imports numba to be sure."""
    return "numpy" if backend_for() is reference else "numba"
