"""Windows as columns, and blocks of pixels moved between channels and planes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.checks import integer, integers
from minigrad.kernels.reference.conv import output_size, pad, window
from minigrad.ops.shape import permute, reshape, squeeze, transpose, unsqueeze
from minigrad.recording import floating_operand, record_each, require
from minigrad.tensor import Tensor

Sizes = tuple[tuple[int, ...], ...]  # kernel, dilation, padding, stride


def _settings(name: str, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Sizes:
    return (
        integers(name, "kernel_size", kernel, 2), integers(name, "dilation", dilation, 2),
        integers(name, "padding", padding, 2, 0), integers(name, "stride", stride, 2),
    )  # fmt: skip


def _counts(name: str, size: Sequence[int], settings: Sizes) -> tuple[int, int]:
    """How many windows fit down and across."""
    kernel, dilation, padding, stride = settings
    rows, columns = (
        output_size(n, k, s, p, d)
        for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True)
    )
    if min(rows, columns) < 1:
        raise RuntimeError(
            f"{name}: the kernel {kernel} (dilation {dilation}) is larger than the plane "
            f"{tuple(size)} with padding {padding}"
        )
    return rows, columns


def _columns(a: Any, counts: tuple[int, int], settings: Sizes) -> Any:
    """Each window of a (N, C, H, W) as a column: (N, C·KH·KW, L)."""
    (height, width), dilation, (ph, pw), stride = settings
    padded = pad(a, (ph, pw))
    cols = np.empty((*a.shape[:2], height, width, *counts), a.dtype)
    for i, j in np.ndindex(height, width):
        cols[:, :, i, j] = padded[window(i, j, counts, _two(stride), _two(dilation))]
    return cols.reshape(a.shape[0], a.shape[1] * height * width, math.prod(counts))


def _added(cols: Any, size: tuple[int, ...], counts: tuple[int, int], settings: Sizes) -> Any:
    """The adjoint of `_columns`: columns added back where their windows lie."""
    (height, width), dilation, (ph, pw), stride = settings
    channels = cols.shape[1] // (height * width)
    pieces = cols.reshape(cols.shape[0], channels, height, width, *counts)
    out = np.zeros((*pieces.shape[:2], size[0] + 2 * ph, size[1] + 2 * pw), cols.dtype)
    for i, j in np.ndindex(height, width):
        out[window(i, j, counts, _two(stride), _two(dilation))] += pieces[:, :, i, j]
    return out[:, :, ph : ph + size[0], pw : pw + size[1]]


def _two(sizes: tuple[int, ...]) -> tuple[int, int]:
    return sizes[0], sizes[1]


def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Each window of x (N, C, H, W) or (C, H, W) as a column: (N, C·KH·KW, L) or (C·KH·KW, L)."""
    # dL/dx = the columns of g added back, window by window: fold
    name = "unfold"
    require(name, input=input)
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError(
            f"{name}: expected (N, C, H, W) or (C, H, W), only N may be 0, got shape {input.shape}"
        )
    if input.ndim == 3:
        return squeeze(unfold(unsqueeze(input, 0), kernel_size, dilation, padding, stride), 0)
    a, settings = (
        floating_operand(name, input),
        _settings(name, kernel_size, dilation, padding, stride),
    )
    size = a.shape[2:]
    counts = _counts(name, size, settings)
    return record_each(
        name, _columns(a, counts, settings), (input, lambda g: _added(g, size, counts, settings))
    )


def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
    stride: Any = 1,
) -> Tensor:  # fmt: skip
    """Columns (N, C·KH·KW, L) or (C·KH·KW, L) added where their windows lie in planes of
    `output_size`: (N, C, H, W) or (C, H, W). Where windows overlap, their sum."""
    # dL/dx = the windows of g as columns: unfold
    name = "fold"
    require(name, input=input)
    size = integers(name, "output_size", output_size, 2)
    settings = _settings(name, kernel_size, dilation, padding, stride)
    counts = _counts(name, size, settings)
    taps, blocks = math.prod(settings[0]), math.prod(counts)
    shape = input.shape
    if len(shape) not in (2, 3) or shape[-1] != blocks or not shape[-2] or shape[-2] % taps:
        raise RuntimeError(
            f"{name}: expected (N, C·{taps}, {blocks}) or (C·{taps}, {blocks}) for windows "
            f"{settings[0]} of planes {size}, got shape {shape}"
        )
    if len(shape) == 2:
        columns = unsqueeze(input, 0)
        return squeeze(fold(columns, size, kernel_size, dilation, padding, stride), 0)
    a = floating_operand(name, input)
    out = _added(a, size, counts, settings)
    return record_each(name, out, (input, lambda g: _columns(g, counts, settings)))


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """x (…, C·r², H, W) as (…, C, H·r, W·r): each pixel's r² channels become a block of pixels."""
    r = _factor("pixel_shuffle", input, "upscale_factor", upscale_factor)
    *stack, channels, height, width = input.shape
    if channels % r**2:
        raise RuntimeError(
            f"pixel_shuffle: {channels} channels do not divide into blocks of {r}·{r}, input shape "
            f"{input.shape}"
        )
    n, c = len(stack), channels // r**2
    blocks = reshape(input, *stack, c, r, r, height, width)
    moved = permute(blocks, *range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return reshape(moved, *stack, c, height * r, width * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """x (…, C, H·r, W·r) as (…, C·r², H, W), the inverse of pixel_shuffle."""
    r = _factor("pixel_unshuffle", input, "downscale_factor", downscale_factor)
    *stack, channels, height, width = input.shape
    if height % r or width % r:
        raise RuntimeError(
            f"pixel_unshuffle: planes of {height} x {width} do not divide into blocks of {r} x "
            f"{r}, input shape {input.shape}"
        )
    n = len(stack)
    blocks = reshape(input, *stack, channels, height // r, r, width // r, r)
    moved = permute(blocks, *range(n + 1), n + 2, n + 4, n + 1, n + 3)
    return reshape(moved, *stack, channels * r**2, height // r, width // r)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """x (N, C, …) with the channels of its groups dealt out: the first of each group, the second of
    each, and so on (Zhang et al., ShuffleNet, 2018)."""
    require("channel_shuffle", input=input)
    count, shape = integer("channel_shuffle", "groups", groups, None), input.shape
    if len(shape) < 3 or count < 1 or shape[1] % count:
        raise RuntimeError(
            f"channel_shuffle: expected (N, C, …) of at least 3 axes and groups that divide C, got "
            f"shape {shape} and groups={groups!r}"
        )
    dealt = transpose(reshape(input, shape[0], count, shape[1] // count, *shape[2:]), 1, 2)
    return reshape(dealt, shape)


def _factor(name: str, x: Any, argument: str, factor: Any) -> int:
    require(name, input=x)
    r = integer(name, argument, factor, None)
    if x.ndim < 3:
        raise RuntimeError(f"{name}: expected an input (…, C, H, W), got shape {x.shape}")
    if r < 1:
        raise RuntimeError(f"{name}: {argument} must be at least 1, got {r}")
    return r
