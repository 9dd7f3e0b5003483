"""Checks of constructor arguments that several layers share."""

from __future__ import annotations

from typing import Any

import numpy as np


def integer(layer: str, name: str, value: Any, minimum: int = 1) -> int:
    """`value` as an int, refused if it is not one or below `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{layer}: {name} must be an integer, got {value!r}")
    if value < minimum:
        raise ValueError(f"{layer}: {name} must be at least {minimum}, got {value}")
    return int(value)


def integers(layer: str, name: str, value: Any, count: int, minimum: int = 1) -> tuple[int, ...]:
    """One int for each of `count` axes: `value` repeated, or a sequence of that length."""
    if not isinstance(value, tuple | list):
        return (integer(layer, name, value, minimum),) * count
    if len(value) == 1:
        value = value * count
    if len(value) != count:
        raise ValueError(f"{layer}: {name} must have {count} entries, got {value!r}")
    return tuple(integer(layer, name, item, minimum) for item in value)


def probability(layer: str, name: str, value: Any) -> float:
    """`value`, refused outside [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{layer}: {name} must be a number, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{layer}: {name} must be in [0, 1], got {value!r}")
    return value  # type: ignore[return-value]
