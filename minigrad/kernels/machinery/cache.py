"""numba's cache on disk, where a full or unwritable disk costs time and nothing else.

numba raises the errors of its cache from the call that compiled something, which then fails every
time. What was compiled is as good without being kept.
"""
# mypy: allow-subclassing-any, allow-untyped-calls

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numba.core import sigutils
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc

_told = False


def _tell(where: str, error: Exception) -> None:
    global _told
    if not _told:
        _told = True
        warnings.warn(
            f"compiled kernels cannot be kept in {where} ({error}), so every process compiles them "
            "again; the environment variable NUMBA_CACHE_DIR names another folder",
            RuntimeWarning,
            stacklevel=2,
        )


class _Cache(FunctionCache):
    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a damaged file can make pickle raise anything: compile it again
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        for again in (True, False):
            try:
                super().save_overload(sig, data)
                return
            except Exception as error:  # so can the index, which is read first
                # It is damaged, or names a file that could not be written over an old one.
                with suppress(OSError):
                    os.unlink(self._cache_file._index_path)
                if isinstance(error, OSError) or not again:
                    _tell(self._cache_path, error)
                    return


def kept(compiled: Any, function: Any) -> Any:
    """What numba made of the function, with a place on disk."""
    try:
        compiled._cache = _Cache(function)
    except (RuntimeError, OSError) as error:  # there is no folder that could be written
        _tell("a folder of numba's choice", error)
    return compiled


def cfunc(signature: Any, **options: Any) -> Callable[[Any], Any]:
    """numba.cfunc, kept on disk."""

    def compile_(function: Any) -> Any:
        made = CFunc(function, sigutils.normalize_signature(signature), {}, options)
        kept(made, function).compile()
        return made

    return compile_
