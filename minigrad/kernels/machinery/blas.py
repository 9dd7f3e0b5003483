"""Where the functions of numpy's own BLAS lie, for compiled code to call."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any, NamedTuple

NAMES = (
    "cblas_sgemm",
    "cblas_dgemm",
    "cblas_sgemv",
    "cblas_dgemv",
    "openblas_get_num_threads",
    "openblas_set_num_threads",
)
# numpy's wheels rename OpenBLAS's functions; "64" says that its integers have 64 bits.
SPELLINGS = (("scipy_", "64_"), ("", "64_"), ("", "_64"), ("scipy_", ""), ("", ""))


class Blas(NamedTuple):
    """A library, of how many bits its integers are, and the addresses of its functions."""

    name: str
    bits: int
    sgemm: int
    dgemm: int
    sgemv: int
    dgemv: int
    get_threads: int
    set_threads: int


@lru_cache(1)
def blas() -> Blas | None:
    """numpy's BLAS, if it is an OpenBLAS whose functions are found, which takes milliseconds."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    pools = [p for p in ThreadpoolController().lib_controllers if p.internal_api == "openblas"]
    for pool in sorted(pools, key=lambda p: "numpy" not in p.filepath):  # scipy brings its own
        for prefix, suffix in SPELLINGS:
            found: list[Any] = [
                getattr(pool.dynlib, f"{prefix}{name}{suffix}", None) for name in NAMES
            ]
            if all(found):
                places = [ctypes.cast(f, ctypes.c_void_p).value or 0 for f in found]
                return Blas(f"OpenBLAS {pool.version}", 64 if "64" in suffix else 32, *places)
    return None
