"""What the functions that backward calls keep alive: a vjp closes over arrays, and over no tensor.

The arrays are looked at when some array was changed in place (see changes.py). A tensor would keep
the graph alive, and its change in place would not be noticed by the formula that reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import numpy as np


def arrays_in(vjp: Any) -> Iterator[np.ndarray[Any, Any]]:
    """The arrays that a vjp keeps alive, and those of tensors, if it keeps any (see `kept`)."""
    return (v if isinstance(v, np.ndarray) else v.array for _, v in kept(vjp, "", set()))


def tensor_in(vjp: Any) -> str | None:
    """The name of the first tensor that a vjp keeps: it should keep arrays only."""
    return next((k for k, v in kept(vjp, "", set()) if not isinstance(v, np.ndarray)), None)


def kept(value: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """What a vjp keeps, arrays and tensors, with their names (see `everything`)."""
    return ((k, v) for k, v in everything(value, name, seen) if _has_array(v))


def everything(value: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """All that a vjp keeps, with names, and itself: what is in its closure, defaults of its
    arguments, arguments of a partial, attributes that a method names (as arrays: a method keeps its
    object whatever it needs of it), and what is in functions and containers among those."""
    yield name, value
    if _has_array(value):
        return
    if isinstance(value, tuple | list | set | frozenset):
        for i, item in enumerate(value):
            yield from everything(item, f"{name}[{i}]", seen)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from everything(item, f"{name}[{key!r}]", seen)
    elif callable(value) and id(value) not in seen:  # a function may name itself
        seen.add(id(value))
        for inner, item in _kept_by_function(value):
            yield from everything(item, inner, seen)


def _has_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or isinstance(getattr(value, "array", None), np.ndarray)


def _kept_by_function(f: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(f, partial):
        yield "", f.func
        yield from ((f"argument {i}", item) for i, item in enumerate(f.args))
        yield from f.keywords.items()
    elif isinstance(f, FunctionType):
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            with suppress(ValueError):  # a name that was never assigned
                yield name, cell.cell_contents
        names = f.__code__.co_varnames[: f.__code__.co_argcount]
        yield from zip(names[::-1], (f.__defaults__ or ())[::-1], strict=False)
        yield from (f.__kwdefaults__ or {}).items()
    elif isinstance(f, MethodType):
        yield "", f.__func__
        own, code = getattr(f.__self__, "__dict__", {}), getattr(f.__func__, "__code__", None)
        for name in getattr(code, "co_names", ()):
            for _, item in kept(own.get(name), name, set()):
                yield name, item if isinstance(item, np.ndarray) else item.array
    elif isinstance(call := type(f).__call__, FunctionType):
        yield from _kept_by_function(MethodType(call, f))  # an object that can be called


# The code of the vjps that were looked at, by its id, which stays its own as long as it is here.
_seen: dict[int, Any] = {}


def look_at(name: str, vjp: Any) -> None:
    """Refuse what cannot be the vjp of the op `name`, and one that closes over a tensor.

    Each function is looked at once, as it is written, because looking takes longer than recording.
    If a vjp fails, `explain` looks again.
    """
    code = getattr(vjp, "__code__", None)
    if id(code) in _seen:
        return
    if not callable(vjp):
        raise TypeError(
            f"record: the vjp of {name!r} must be a function of g, got {type(vjp).__name__}"
        )
    tensor = tensor_in(vjp)
    if tensor is not None:
        raise TypeError(
            f"vjp of {name!r} closes over the tensor {tensor}: close over {tensor}.array"
        )
    if code is not None:
        _seen[id(code)] = code


def explain(error: Exception, name: str, vjp: Any) -> None:
    """Say in an error that a vjp raised which one it is, and whether it closes over a tensor."""
    tensor = tensor_in(vjp)
    what = "" if tensor is None else f", which closes over the tensor {tensor}: use {tensor}.array"
    error.add_note(f"in the vjp of {name!r}{what}")


def kind(value: Any) -> str:
    """What came instead of an array."""
    tensor = isinstance(getattr(value, "array", None), np.ndarray)
    return type(value).__name__ + (" (its array is .array)" if tensor else "")
