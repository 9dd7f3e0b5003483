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
from functools import lru_cache
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba.core import sigutils
from numba.core.caching import FunctionCache, IndexDataCacheFile
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


@lru_cache(1)
def _source() -> str:
    """What all files of kernels/ contain. Functions of one are compiled into those of another, and
    numba, which looks at the one file alone, would go on with the code of before."""
    digest = sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


class _Files(IndexDataCacheFile):
    """numba numbers the files of a function as they come, and writes which is which before it
    writes them: two processes that compile it at once, for float32 and for float64, take the same
    number, and from then on each is served the other's code. Here the name of a file follows from
    what is in it, and it is there before it is named."""

    def name_of(self, key: Any) -> str:
        what = repr((key, self._source_stamp)).encode()
        return str(self._data_name(int(sha256(what).hexdigest()[:16], 16)))

    def save(self, key: Any, data: Any) -> None:
        name = self.name_of(key)
        self._save_data(name, data)
        overloads = self._load_index()
        overloads[key] = name
        self._save_index(overloads)
        base = escape(self._index_name.removesuffix(".nbi"))
        for path in Path(self._cache_path).glob(f"{base}.*.nbc"):
            if path.name not in overloads.values():  # of older source
                path.unlink(missing_ok=True)


class _Cache(FunctionCache):
    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, _source())

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
