"""What is asked of arguments, in ops, layers, optimisers and loaders alike.

Each check returns the argument as it will be used, or raises an error that names the op or layer,
the argument, what came and what was expected. A value of the wrong kind is a TypeError, one that is
out of range a ValueError.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import numpy as np

from minigrad.device import check_device
from minigrad.dtypes import float32, native

BOUNDS = {
    "at_least": operator.ge,
    "above": operator.gt,
    "at_most": operator.le,
    "below": operator.lt,
}


def integer(name: str, argument: str, value: Any, minimum: int | None = 1) -> int:
    """`value` as an int of at least `minimum`. An integer tensor of one element is one, too."""
    plain = _as_int(value)
    if plain is None:
        raise TypeError(f"{name}: {argument} must be an integer, got {value!r}")
    if minimum is not None and plain < minimum:
        raise ValueError(f"{name}: {argument} must be at least {minimum}, got {value!r}")
    return plain


def integers(
    name: str, argument: str, value: Any, n: int | None = None, minimum: int | None = 1
) -> tuple[int, ...]:
    """A tuple or list of integers, or one. With `n`: n of them, and one stands for n alike."""
    given = [_as_int(v) for v in (value if isinstance(value, tuple | list) else (value,))]
    numbers = tuple(i for i in given if i is not None)
    if len(numbers) < len(given) or (n is not None and len(given) not in (1, n)):
        expected = "integers" if n is None else "an integer"
        expected += f" or {n} of them" if n is not None and n > 1 else ""
        raise TypeError(f"{name}: {argument} must be {expected}, got {value!r}")
    if minimum is not None and min(numbers, default=minimum) < minimum:
        raise ValueError(f"{name}: {argument} must be at least {minimum}, got {value!r}")
    return numbers * n if n is not None and len(numbers) == 1 else numbers


def _as_int(value: Any) -> int | None:
    """An int for what Python takes as an index; None for the rest and for bools."""
    if type(value) is int:
        return value
    if isinstance(value, bool | np.bool_):  # numpy 2.0 still takes its own for an index
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def boolean(name: str, argument: str, value: Any) -> bool:
    """`value` as a bool: True or False, also numpy's. Others have a truth too, but "no" is true."""
    if type(value) is not bool and not isinstance(value, np.bool_):
        raise TypeError(f"{name}: {argument} must be True or False, got {value!r}")
    return bool(value)


LARGEST = sys.float_info.max


def number(name: str, argument: str, value: Any, **bounds: float) -> float:
    """`value` as a Python number within `bounds`, which are named as the error will name them:
    `number("SGD", "lr", lr, at_least=0)`. NaN is no number, nor is an int beyond all floats."""
    plain = value if type(value) is float else _as_number(value)
    if plain is None:
        raise TypeError(f"{name}: {argument} must be a number, got {value!r}")
    if type(plain) is int and not -LARGEST <= plain <= LARGEST:
        digits = len(str(abs(plain)))
        raise ValueError(f"{name}: {argument}: the number of {digits} digits is too large")
    within = plain == plain
    for word, limit in bounds.items():
        within = within and BOUNDS[word](plain, limit)
    if not within:
        limits = [f"{word.replace('_', ' ')} {limit}" for word, limit in bounds.items()]
        raise ValueError(
            f"{name}: {argument} must be {' and '.join(limits) or 'a number'}, got {value!r}"
        )
    return plain


def _as_number(value: Any) -> float | None:
    """A Python number for a real one, and for an array or tensor of one; None for the rest."""
    if type(value) is float or type(value) is int:
        return value
    if hasattr(value, "dtype"):
        real = value.dtype.kind in "iuf" and all(n == 1 for n in value.shape)
        return value.item() if real else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def probability(name: str, argument: str, value: Any) -> float:
    """`value` as a Python number, refused outside [0, 1]."""
    plain = number(name, argument, value)
    if not 0 <= plain <= 1:
        raise ValueError(f"{name}: {argument} must be in [0, 1], got {value!r}")
    return plain


def one_of(name: str, argument: str, value: Any, known: Sequence[str | None]) -> Any:
    """`value`, refused if it is not one of the words that are known."""
    if not isinstance(value, str | None) or value not in known:
        *others, last = map(repr, known)
        words = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name}: {argument} must be {words}, got {value!r}")
    return value


def floating(name: str, dtype: Any, device: Any = None) -> np.dtype[Any]:
    """The dtype of a layer's parameters: float32 for None, refused if it is not floating; `device`
    is refused if it is not the CPU."""
    check_device(name, device)
    kind = native(float32 if dtype is None else dtype)
    if kind.kind != "f":
        raise TypeError(f"{name}: dtype must be a floating one, got {kind}")
    return kind


def axis_of(name: str, dim: Any, ndim: int) -> int:
    """A dim counted from the front, checked against the number of axes."""
    axis = integer(name, "dim", dim, None)
    if not -max(ndim, 1) <= axis < max(ndim, 1):
        raise IndexError(
            f"{name}: dim {axis} is out of range for {ndim} axes, expected "
            f"{-max(ndim, 1)} to {max(ndim, 1) - 1}"
        )
    return axis % max(ndim, 1)


def asked(name: str) -> str:
    """The op that was called from outside, as errors should call it: `name` is what an op that it
    is made of was told. Only looked for once something is wrong, on the stack."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        function, known = frame.f_code.co_name, frame.f_globals
        room = known.get("__name__", "").startswith("minigrad.ops.")
        if room and function in known and not function.startswith("_"):
            name = function
        frame = frame.f_back
    return name


def users_level() -> int:
    """A warning's `stacklevel`: how many calls up from our caller the first line is that is not the
    library's."""
    level, frame = 0, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("minigrad."):
        level, frame = level + 1, frame.f_back
    return level + 1


CREATE_GRAPH = """{}: create_graph is not supported, as a backward is not recorded. Write instead

    from minigrad.func import grad
    gradient = grad(lambda x: discriminator(x).sum())(x)    # of what had the gradient taken
    penalty = ((gradient.norm(2, dim=1) - 1) ** 2).mean()

The gradient is on the tape: penalty.backward() reaches x, and the parameters that the function
uses. For Hessian-vector products there is autograd.functional.hvp."""


def refuse_create_graph(name: str, create_graph: bool) -> None:
    """Say what to write instead."""
    if create_graph:
        raise NotImplementedError(CREATE_GRAPH.format(name))
