"""What a vjp closes over: its arrays by their names, its kernels, and where its formula stands."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from minigrad import changes, recording
from minigrad.tape import Array

KERNELS = {"minigrad.kernels.compiled": "numba", "minigrad.kernels.reference": "numpy"}


def cells(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values that a vjp closes over, however nested."""
    items: Iterator[tuple[str, Any]]
    if isinstance(value, FunctionType):
        items = _cells_of(value)
    elif isinstance(value, tuple | list):
        items = ((f"{name}[{i}]", item) for i, item in enumerate(value))
    elif isinstance(value, dict):
        items = ((f"{name}[{key!r}]", item) for key, item in value.items())
    else:
        return
    for inner, item in items:
        yield inner, item
        yield from cells(item, inner)


def _cells_of(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a name that was never assigned
            continue


def held_by(vertex: Any) -> dict[str, Array]:
    """What the vjp of a graph's operation holds, or held when it was recorded."""
    found: dict[str, Array] = vertex.kept.held if vertex.kept else held(vertex.node.vjp)
    return found


def held(vjp: Any) -> dict[str, Array]:
    """The arrays that a vjp keeps for backward, each once, by the name that its source gives it."""
    found: dict[str, Array] = {}
    seen = set()
    for name, value in cells(vjp):
        if isinstance(value, np.ndarray) and id(value) not in seen:
            seen.add(id(value))
            found[name if name not in found else f"{name}, {len(found)}"] = value
    return found


def codes(vjp: Any) -> list[CodeType]:
    """The op's own functions among those that a vjp is made of."""
    functions = [vjp, *(value for _, value in cells(vjp))]
    own = [f.__code__ for f in functions if isinstance(f, FunctionType)]
    return [code for code in own if code.co_filename != recording.__file__]


def kernels_of(vjp: Any) -> str:
    """ "numba" if the vjp goes on with compiled kernels, else "numpy"."""
    modules = (value.__name__ for _, value in cells(vjp) if isinstance(value, ModuleType))
    return next((KERNELS[name] for name in modules if name in KERNELS), "numpy")


def kept_bytes(arrays: Any) -> int:
    """How much memory these arrays keep alive, what several share counted once."""
    return sum({id(o): o.nbytes for o in map(changes.owner, arrays)}.values())


def address(array: Array) -> int:
    """Where the first element lies."""
    return int(array.__array_interface__["data"][0])
