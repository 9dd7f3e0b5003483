"""What is asked of arguments, in ops, layers, optimisers and loaders alike.

Each check returns the argument as it will be used, or raises an error that names the op or layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.device import check_device
from minigrad.dtypes import float32


def integer(layer: str, name: str, value: Any, minimum: int | None = 1) -> int:
    """`value` as an int, refused if it is not one or is below `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{layer}: {name} must be an integer, got {value!r}")
    if minimum is not None and value < minimum:
        raise ValueError(f"{layer}: {name} must be at least {minimum}, got {value}")
    return int(value)


def probability(layer: str, name: str, value: Any) -> Any:
    """`value`, refused outside [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{layer}: {name} must be a number, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{layer}: {name} must be in [0, 1], got {value!r}")
    return value


def floating(layer: str, dtype: Any, device: Any = None) -> np.dtype[Any]:
    """The dtype of a layer's parameters: float32 for None, refused if it is not floating; `device`
    is refused if it is not the CPU."""
    check_device(layer, device)
    kind = np.dtype(float32 if dtype is None else dtype)
    if kind.kind != "f":
        raise TypeError(f"{layer}: dtype must be a floating one, got {kind}")
    return kind


def axis_of(name: str, dim: int, ndim: int) -> int:
    """A dim counted from the front, checked against the number of axes."""
    if not isinstance(dim, int | np.integer):
        raise TypeError(f"{name}: dim must be an integer, got {dim!r}")
    if not -max(ndim, 1) <= dim < max(ndim, 1):
        raise IndexError(
            f"{name}: dim {dim} is out of range for {ndim} axes, expected "
            f"{-max(ndim, 1)} to {max(ndim, 1) - 1}"
        )
    return dim % max(ndim, 1)
