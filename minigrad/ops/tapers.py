"""Windows of signals: factors that fall off towards the ends."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.checks import integer, number
from minigrad.device import check_device
from minigrad.dtypes import float32
from minigrad.tensor import Tensor, wrap


def _window(
    name: str, given: Any, periodic: bool, formula: Any, dtype: Any, device: Any,
    requires_grad: bool,
) -> Tensor:  # fmt: skip
    """The formula at 0 … 1; a periodic window is the longer one without its last element."""
    check_device(name, device)
    dtype = np.dtype(float32 if dtype is None else dtype)
    n = integer(name, "window_length", given, 0)
    if dtype.kind != "f":
        raise RuntimeError(f"{name}: dtype must be a floating one, got {dtype}")
    last = max(n if periodic else n - 1, 1)
    values = formula(np.arange(n) / last) if n > 1 else np.ones(n)
    return wrap(np.asarray(values).astype(dtype)).requires_grad_(requires_grad)


def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """½ - ½·cos 2πt for t from 0 to 1."""
    formula = lambda t: 0.5 - 0.5 * np.cos(2 * np.pi * t)  # noqa: E731
    return _window("hann_window", window_length, periodic, formula, dtype, device, requires_grad)


def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *,
    dtype: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """alpha - beta·cos 2πt for t from 0 to 1."""
    a, b = number("hamming_window", "alpha", alpha), number("hamming_window", "beta", beta)
    formula = lambda t: a - b * np.cos(2 * np.pi * t)  # noqa: E731
    return _window("hamming_window", window_length, periodic, formula, dtype, device, requires_grad)


def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """0.42 - ½·cos 2πt + 0.08·cos 4πt for t from 0 to 1."""
    formula = lambda t: 0.42 - 0.5 * np.cos(2 * np.pi * t) + 0.08 * np.cos(4 * np.pi * t)  # noqa: E731
    name = "blackman_window"
    return _window(name, window_length, periodic, formula, dtype, device, requires_grad)


def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A triangle: 1 - |2t - 1| for t from 0 to 1."""
    formula = lambda t: 1 - np.abs(2 * t - 1)  # noqa: E731
    name = "bartlett_window"
    return _window(name, window_length, periodic, formula, dtype, device, requires_grad)


def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """I₀(beta·√(1 - (2t - 1)²))/I₀(beta) for t from 0 to 1."""
    b, name = number("kaiser_window", "beta", beta), "kaiser_window"
    formula = lambda t: np.i0(b * np.sqrt(np.maximum(1 - (2 * t - 1) ** 2, 0))) / np.i0(b)  # noqa: E731
    return _window(name, window_length, periodic, formula, dtype, device, requires_grad)
