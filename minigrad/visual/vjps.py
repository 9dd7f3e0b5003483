"""What a vjp tells of its op: the arrays it holds, its backend, and where its formula stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from minigrad import changes, closures, recording
from minigrad.tape import Array

BACKENDS = {"minigrad.kernels.compiled": "numba", "minigrad.kernels.reference": "numpy"}


def _within(vjp: Any) -> Iterator[tuple[str, Any]]:
    return closures.everything(vjp, "", set())


def held(vjp: Any) -> dict[str, Array]:
    """The arrays that a vjp keeps for backward, each once, by the name that its source gives it."""
    found: dict[str, Array] = {}
    for name, value in _within(vjp):
        if isinstance(value, np.ndarray) and not any(value is known for known in found.values()):
            found[name if name not in found else f"{name}, {len(found)}"] = value
    return found


def held_by(vertex: Any) -> dict[str, Array]:
    """What the vjp of a graph's operation holds, or held when it was recorded."""
    found: dict[str, Array] = vertex.kept.held if vertex.kept else held(vertex.node.vjp)
    return found


def codes(vjp: Any) -> list[CodeType]:
    """The op's own functions among those that a vjp is made of."""
    own = [value.__code__ for _, value in _within(vjp) if isinstance(value, FunctionType)]
    return [code for code in own if code.co_filename != recording.__file__]


def backend_of(vjp: Any) -> str:
    """ "numba" if the vjp goes on with compiled kernels, else "numpy"."""
    modules = (value.__name__ for _, value in _within(vjp) if isinstance(value, ModuleType))
    return next((BACKENDS[name] for name in modules if name in BACKENDS), "numpy")


def kept_bytes(arrays: Iterable[Array]) -> int:
    """How much memory these arrays keep alive, what several share counted once."""
    return sum({id(o): o.nbytes for o in map(changes.owner, arrays)}.values())


def address(array: Array) -> int:
    """Where the first element lies."""
    return int(array.__array_interface__["data"][0])
