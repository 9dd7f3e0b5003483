"""relu."""

from __future__ import annotations

import numpy as np

from minigrad.kernels.machinery.arrays import Array


def relu(x: Array) -> Array:
    """x where it is positive (or NaN), else 0; any shape."""
    if x.dtype.kind == "c":
        return np.where(x.real <= 0, 0, x)
    return np.maximum(x, 0)


def relu_backward(g: Array, y: Array) -> Array:
    """g where y, the result of relu, is positive (or NaN), else 0."""
    return np.where(y.real <= 0, 0, g)
