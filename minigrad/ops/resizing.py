"""Resizing planes: each output element is a mean of a few input elements, along one axis after the
other."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Any

import numpy as np

from minigrad.checks import integers, number, one_of, users_level
from minigrad.ops.adaptive import adaptive_avg_pool1d, adaptive_avg_pool2d
from minigrad.ops.large import resampled
from minigrad.ops.volumes import adaptive_avg_pool3d
from minigrad.recording import floating_operand, record_each, require
from minigrad.tensor import Tensor

MODES = {"nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "linear": (1,), "bilinear": (2,),
         "bicubic": (2,), "trilinear": (3,), "area": (1, 2, 3)}  # fmt: skip
AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
Taps = list[tuple[Any, Any]]  # for each of the elements that are mixed: its index, and its weight


def interpolate(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:  # fmt: skip
    """x (N, C, L), (N, C, H, W) or (N, C, D, H, W) resized to `size`, or by `scale_factor`.

    Args:
        input: x, floating.
        size: the sizes of the output's spatial axes, or one for all.
        scale_factor: numbers that the input's sizes are multiplied with (and rounded down).
        mode: "nearest", "nearest-exact", or by the spatial axes "linear", "bilinear", "bicubic" or
            "trilinear", and "area", the means of cells.
        align_corners: the outermost elements keep their places; else the outermost edges do.
        recompute_scale_factor: go by the sizes, although scale_factor was given.
        antialias: False; not supported.
    """
    # Along each axis y_i = Σ_k weight_ik·x[index_ik]
    # dL/dx_j = Σ of weight_ik·g_i over the i and k with index_ik = j
    name = "interpolate"
    require(name, input=input)
    one_of(name, "mode", mode, tuple(MODES))
    if antialias:
        raise ValueError(f"{name}: antialias={antialias!r} is not supported: leave it out")
    if input.ndim - 2 not in MODES[mode] or 0 in input.shape[1:]:
        axes = " or ".join(str(n + 2) for n in MODES[mode])
        raise ValueError(
            f"{name}: mode={mode!r} takes {axes} axes (N, C, …), only N may be 0, got shape "
            f"{input.shape}"
        )
    if align_corners is not None and mode.startswith(("nearest", "area")):
        raise ValueError(f"{name}: align_corners is for the other modes, got mode={mode!r}")
    a = floating_operand(name, input)
    out_size, factors = _target(name, a.shape[2:], size, scale_factor)
    if recompute_scale_factor:
        if factors is None:
            raise ValueError(f"{name}: recompute_scale_factor needs scale_factor, not size")
        factors = None
    if mode == "area":
        return AREA[input.ndim - 2](input, out_size)
    dtype = a.real.dtype.type
    same = mode == "bicubic" and out_size == a.shape[2:]  # then g passes as it is, NaN or not
    how: dict[int, tuple[Any, ...]] = {
        i + 2: (mode, n, m, None if factors is None else factors[i], bool(align_corners), dtype)
        for i, (n, m) in enumerate(zip(a.shape[2:], out_size, strict=True))
    }
    large = resampled(a, lambda matrix: {axis: _matrix(matrix, *h) for axis, h in how.items()})
    if large is not None:
        y, back = large
        return record_each(name, y, (input, (lambda g: g) if same else back))
    steps = [(axis, h[1], _taps(*h)) for axis, h in how.items()]
    y = a
    for axis, _, taps in steps:
        y = _mixed(y, axis, taps)

    def vjp(g: Any) -> Any:
        for axis, n, taps in () if same else reversed(steps):
            g = _mixed_backward(g, axis, n, taps)
        return g

    return record_each(name, y, (input, vjp))


def upsample(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """`interpolate`'s name before PyTorch 0.4."""
    _old("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` to the nearest elements, by its name before PyTorch 0.4."""
    _old("upsample_nearest")
    return interpolate(input, size, scale_factor)


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Bilinear `interpolate` with align_corners, by its name before PyTorch 0.4."""
    _old("upsample_bilinear")
    return interpolate(input, size, scale_factor, "bilinear", True)


def _old(name: str) -> None:
    text = f"{name} is deprecated, use interpolate instead"
    warnings.warn(text, UserWarning, stacklevel=users_level())


def _target(
    name: str, shape: tuple[int, ...], size: Any, scale_factor: Any
) -> tuple[tuple[int, ...], list[float] | None]:
    """The output's sizes, and the scale factors if they were given."""
    if (size is None) == (scale_factor is None):
        raise ValueError(f"{name}: one of size and scale_factor must be given, and only one")
    given = size if scale_factor is None else scale_factor
    if isinstance(given, tuple | list) and len(given) != len(shape):
        argument = "size" if scale_factor is None else "scale_factor"
        raise ValueError(
            f"{name}: {argument} must be one number or {len(shape)}, one for each spatial axis of "
            f"{shape}, got {given!r}"
        )
    if scale_factor is None:
        return integers(name, "size", size, len(shape)), None
    each = given if isinstance(given, tuple | list) else [given] * len(shape)
    factors = [float(number(name, "scale_factor", f)) for f in each]
    sizes = tuple(math.floor(n * f) for n, f in zip(shape, factors, strict=True))
    if min(sizes) < 1:
        raise RuntimeError(f"{name}: scale_factor={scale_factor!r} leaves nothing of {shape}")
    return sizes, factors


def _taps(mode: str, n: int, m: int, factor: float | None, align: bool, dtype: Any) -> Taps:
    """Which of n elements each of m output elements is mixed from. Coordinates are computed in
    the input's dtype, as in PyTorch, since rounding decides which element is the nearest."""
    at = np.arange(m)
    if mode.startswith("nearest"):
        dtype = np.float32
    if align:
        scale = dtype(n - 1) / dtype(m - 1) if m > 1 else dtype(0)
    else:
        scale = dtype(1 / factor) if factor else dtype(n) / dtype(m)
    if mode.startswith("nearest"):
        shift = dtype(0.5 if mode == "nearest-exact" else 0)
        source = np.floor((at.astype(dtype) + shift) * scale)
        if mode == "nearest" and n == m:
            source = at.astype(dtype)
        return [(np.minimum(source.astype(np.int64), n - 1), None)]
    half = dtype(0 if align else 0.5)
    source = (at.astype(dtype) + half) * scale - half
    if mode == "bicubic":
        return _cubic(source, n, dtype)
    if n == m:
        source = at.astype(dtype)
    source = np.maximum(source, dtype(0))
    low = np.minimum(source.astype(np.int64), n - 1)
    high = low if n == m else np.minimum(low + 1, n - 1)
    along = np.clip(source - low.astype(dtype), 0, 1).astype(dtype)
    return [(low, dtype(1) - along), (high, along)]


@lru_cache(32)
def _matrix(matrix: Any, mode: str, n: int, *how: Any) -> Any:
    """The taps as a matrix; a network asks for the same ones again and again."""
    return matrix.of_taps(n, _taps(mode, n, *how))


def _cubic(source: Any, n: int, dtype: Any) -> Taps:
    """Keys' kernel (1981) with a = -3/4, on the four nearest elements; beyond the edge, its own."""
    first = np.floor(source)
    t, a = source - first, dtype(-0.75)

    def near(d: Any) -> Any:  # |d| <= 1
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Any) -> Any:  # 1 < |d| < 2
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    weights = (far(t + 1), near(t), near(1 - t), far(2 - t))
    low = first.astype(np.int64)
    return [(np.clip(low + k - 1, 0, n - 1), w.astype(dtype)) for k, w in enumerate(weights)]


def _along(weight: Any, axis: int, ndim: int) -> Any:
    return weight.reshape((-1,) + (1,) * (ndim - axis - 1))


def _mixed(a: Any, axis: int, taps: Taps) -> Any:
    """Σ_k weight_k·a[index_k] along the axis; no weight stands for 1."""
    total = None
    for index, weight in taps:
        part = np.take(a, index, axis)
        if weight is not None:
            part *= _along(weight, axis, a.ndim)
        total = part if total is None else np.add(total, part, out=total)
    return total


def _mixed_backward(g: Any, axis: int, n: int, taps: Taps) -> Any:
    """The adjoint of `_mixed`. An index never falls, so what goes to one element lies together."""
    dx = np.zeros((*g.shape[:axis], n, *g.shape[axis + 1 :]), g.dtype)
    for index, weight in taps:
        part = g if weight is None else g * _along(weight, axis, g.ndim)
        starts = np.flatnonzero(np.diff(index, prepend=-1))
        dx[(slice(None),) * axis + (index[starts],)] += np.add.reduceat(part, starts, axis)
    return dx
