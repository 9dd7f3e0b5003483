"""Planes and volumes read at points between their elements, and the points of affine maps."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from minigrad import kernels
from minigrad.checks import integers, one_of, users_level
from minigrad.ops.linear import matmul
from minigrad.ops.shape import reshape, transpose
from minigrad.recording import floating_operand, needs_grad, record, require
from minigrad.tensor import Tensor, wrap

MODES, BORDERS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


class Tap(NamedTuple):
    """One element that is mixed along one axis, for every point: its index, whether it exists, its
    weight, and the derivative of that by the coordinate (None: it has none)."""

    index: Any
    inside: Any
    weight: Any
    slope: Any


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """x (N, C, H, W) at the points of a grid (N, H', W', 2): (N, C, H', W').

    Args:
        input: x, or volumes (N, C, D, H, W), for which the grid is (N, D', H', W', 3).
        grid: points (across, down) or (across, down, deep), from -1 to 1 over the input.
        mode: "bilinear", which is trilinear for volumes, "nearest", or "bicubic", for planes.
        padding_mode: what lies beyond the input: "zeros", its "border", or its "reflection".
        align_corners: -1 and 1 are the middles of the outermost elements, not their edges.

    Source: Jaderberg et al., Spatial transformer networks, 2015.
    """
    # y = Σ x[i, j]·u_i·v_j over the taps i down and j across, whose weights follow from the points
    # dL/dx[i, j] = Σ g·u_i·v_j        dL/dpoint = Σ (g·x[i, j])·u_i'·v_j down, ·u_i·v_j' across
    name = "grid_sample"
    require(name, input=input, grid=grid)
    one_of(name, "mode", mode, MODES)
    one_of(name, "padding_mode", padding_mode, BORDERS)
    align = _align(name, align_corners)
    a, points = floating_operand(name, input), floating_operand(name, grid)
    axes = a.ndim - 2
    if axes not in (2, 3) or points.shape != (a.shape[0], *points.shape[1:-1], axes) or (
        points.ndim != a.ndim
    ):  # fmt: skip
        raise RuntimeError(
            f"{name}: expected (N, C, H, W) and a grid (N, H', W', 2), or (N, C, D, H, W) and "
            f"(N, D', H', W', 3), got {a.shape} and {points.shape}"
        )
    if 0 in a.shape[2:]:
        raise RuntimeError(f"{name}: the input has no elements to read, its shape is {a.shape}")
    if axes == 3 and mode == "bicubic":
        raise NotImplementedError(f"{name}: mode='bicubic' is for inputs (N, C, H, W)")
    if a.dtype != points.dtype and "c" not in (a.dtype.kind, points.dtype.kind):
        raise RuntimeError(f"{name}: expected one dtype, got {a.dtype} and {points.dtype}")
    batch, channels, *sizes = a.shape
    taps = [
        _taps(mode, padding_mode, align, points[..., axes - 1 - k].reshape(-1), n)
        for k, n in enumerate(sizes)
    ]
    # Channels last, so that a point is a row; image by image, row-major.
    each, count = math.prod(points.shape[1:-1]), math.prod(sizes)
    rows = np.ascontiguousarray(np.moveaxis(a, 1, -1)).reshape(batch * count, channels)
    first = np.repeat(np.arange(batch) * count, each)
    dtype = np.result_type(a, points)
    out = np.zeros((batch * each, channels), dtype)
    for corner in itertools.product(*taps):
        index, inside = _rows(corner, sizes, first)
        out += rows[index] * np.where(inside, _product(corner), 0)[:, None]
    needs = needs_grad(input), needs_grad(grid)
    grid_shape = points.shape

    def vjp(g: Any) -> Any:
        g = np.ascontiguousarray(np.moveaxis(g, 1, -1)).reshape(batch * each, channels)
        dtype = np.result_type(g, out)
        dx = np.zeros(rows.shape, dtype) if needs[0] else None
        slopes = [np.zeros(len(g), dtype) for _ in sizes] if needs[1] else []
        for corner in itertools.product(*taps):
            index, inside = _rows(corner, sizes, first)
            if dx is not None:
                part = g * np.where(inside, _product(corner), 0)[:, None]
                kernels.backend_for(dx).add_at_(dx, index, part.astype(dtype, copy=False))
            if slopes and corner[0].slope is not None:
                along = np.where(inside, (g * rows[index]).sum(axis=1), 0)
                for k, slope in enumerate(slopes):
                    slope += along * _product(corner, k)
        if dx is not None:
            dx = np.moveaxis(dx.reshape(batch, *sizes, channels), -1, 1)
        dgrid = np.stack(slopes[::-1], axis=-1).reshape(grid_shape) if slopes else None
        return dx, dgrid

    y = np.moveaxis(out.reshape(batch, *points.shape[1:-1], channels), -1, 1)
    return record(name, np.ascontiguousarray(y), (input, grid), vjp)


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The grid by which `grid_sample` applies affine maps to images: (N, H, W, 2).

    Args:
        theta: a matrix (2, 3) for each image, (N, 2, 3); for volumes (N, 3, 4).
        size: the shape (N, C, H, W) of grid_sample's result; for volumes (N, C, D, H, W).
        align_corners: as for `grid_sample`.
    """
    name = "affine_grid"
    require(name, theta=theta)
    a, sizes = floating_operand(name, theta), integers(name, "size", tuple(size))
    align, axes = _align(name, align_corners), len(sizes) - 2
    if axes not in (2, 3) or a.shape != (sizes[0], axes, axes + 1):
        raise ValueError(
            f"{name}: expected theta (N, 2, 3) for a size (N, C, H, W), or (N, 3, 4) for "
            f"(N, C, D, H, W), got shape {a.shape} and size {sizes}"
        )
    dtype = a.real.dtype
    steps = [np.zeros(1) if n == 1 else np.linspace(-1, 1, n) for n in sizes[2:]]
    if not align:
        steps = [s * (n - 1) / n for s, n in zip(steps, sizes[2:], strict=True)]
    around = np.meshgrid(*steps, indexing="ij")[::-1]
    base = np.stack([*around, np.ones(sizes[2:])], axis=-1).reshape(1, -1, axes + 1).astype(dtype)
    moved = matmul(wrap(np.broadcast_to(base, (sizes[0], *base.shape[1:]))), transpose(theta, 1, 2))
    return reshape(moved, (sizes[0], *sizes[2:], axes))


def _align(name: str, align_corners: bool | None) -> bool:
    if align_corners is None:
        warnings.warn(
            f"{name}: align_corners is False by default, as in PyTorch since 1.3: give it, if it "
            "was True that the model was trained with",
            UserWarning,
            stacklevel=users_level(),
        )
    return bool(align_corners)


def _rows(corner: tuple[Tap, ...], sizes: list[int], first: Any) -> tuple[Any, Any]:
    """The row of each point's element, and whether there is one."""
    index: Any = 0
    for tap, n in zip(corner, sizes, strict=True):
        index = index * n + tap.index
    return first + index, np.logical_and.reduce([tap.inside for tap in corner])


def _product(corner: tuple[Tap, ...], by: int | None = None) -> Any:
    """The product of the weights; differentiated by the coordinate along one axis."""
    return math.prod(t.slope if k == by else t.weight for k, t in enumerate(corner))


def _taps(mode: str, border: str, align: bool, coordinate: Any, n: int) -> list[Tap]:
    """What is mixed along an axis of n elements, at coordinates from -1 to 1."""
    scale = (n - 1) / 2 if align else n / 2
    coordinate = (coordinate + 1) * coordinate.real.dtype.type(scale) - (0.0 if align else 0.5)
    if mode == "bicubic" or (mode == "bilinear" and border == "zeros"):
        # Infinity is no number here, as inf - inf is none in PyTorch.
        coordinate = np.where(np.isfinite(coordinate.real), coordinate, np.nan)
    if mode == "bicubic":
        low = np.floor(coordinate.real)
        taps = []
        for k, (weight, slope) in enumerate(_cubic(coordinate - low)):
            at, _ = _bounded(low + (k - 1), border, align, n)
            taps.append(_tap(at, n, weight, slope * scale))
        return taps
    coordinate, way = _bounded(coordinate, border, align, n)
    if mode == "nearest":
        return [_tap(np.rint(coordinate.real), n, 1.0, None)]
    low, slope = np.floor(coordinate.real), way * scale
    along = coordinate - low
    return [_tap(low, n, 1 - along, -slope), _tap(low + 1, n, along, slope)]


def _tap(at: Any, n: int, weight: Any, slope: Any) -> Tap:
    inside = (at.real >= 0) & (at.real <= n - 1)
    if slope is not None:  # NaN is not beyond the border: its weight is NaN
        inside |= np.isnan(at.real)
    return Tap(np.where(inside & (at.real > 0), at.real, 0).astype(np.int64), inside, weight, slope)


def _bounded(coordinate: Any, border: str, align: bool, n: int) -> tuple[Any, Any]:
    """What is read instead of a coordinate beyond the border, and its derivative by that one."""
    real, way = coordinate.real, np.ones_like(coordinate.real)
    if border == "zeros":
        return coordinate, way
    if border == "reflection":
        low, span = (0.0, n - 1.0) if align else (-0.5, float(n))
        if not span:
            return np.zeros_like(coordinate), np.zeros_like(way)
        beyond = real < low
        distance = np.abs(real - low)
        with np.errstate(invalid="ignore"):  # infinitely far away
            rest, back = np.fmod(distance, span), np.floor(distance / span) % 2 == 1
        real = np.where(back, span - rest, rest) + real.dtype.type(low)
        way = np.where(back != beyond, -way, way)
    outside = (real <= 0) | (real >= n - 1)
    way = np.where(outside, 0, way)
    real = np.clip(real, 0, n - 1)
    if coordinate.dtype.kind == "c":
        return real + 1j * (way * coordinate.imag), way
    return real, way


def _cubic(t: Any) -> list[tuple[Any, Any]]:
    """The weights of Keys' kernel (1981) with a = -3/4 on the four elements around a point that is
    t beyond the second, and their derivatives by t."""
    a = -0.75

    def near(d: Any) -> Any:  # |d| <= 1
        return ((a + 2) * d - (a + 3)) * d * d + 1, (3 * (a + 2) * d - 2 * (a + 3)) * d

    def far(d: Any) -> Any:  # 1 < |d| < 2
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a, (3 * a * d - 10 * a) * d + 8 * a

    (w0, s0), (w1, s1), (w2, s2), (w3, s3) = far(t + 1), near(t), near(1 - t), far(2 - t)
    return [(w0, s0), (w1, s1), (w2, -s2), (w3, -s3)]
