"""Convolution as a matrix product."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minigrad.kernels.machinery.arrays import Array, Pair

# Equations are those of ops/conv.py. Groups of channels are an axis G right after N.


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def pad(x: Array, padding: Pair, value: float = 0.0, end: Pair = (0, 0)) -> Array:
    """x (N, C, H, W) with padding on both sides of H and W, and `end` more after them."""
    (ph, pw), (N, C, H, W) = padding, x.shape
    if not (ph or pw or end[0] or end[1]):
        return x
    out = np.full((N, C, H + 2 * ph + end[0], W + 2 * pw + end[1]), value, x.dtype)
    out[:, :, ph : ph + H, pw : pw + W] = x
    return out


def window(a: int, b: int, size: Pair, stride: Pair, dilation: Pair) -> tuple[Any, ...]:
    """Index of the pixels that tap (a, b) of the kernel meets, one for each output pixel."""
    (OH, OW), (sh, sw), h, w = size, stride, a * dilation[0], b * dilation[1]
    return (..., slice(h, h + (OH - 1) * sh + 1, sh), slice(w, w + (OW - 1) * sw + 1, sw))


def _columns(
    x: Array, kernel: Pair, out: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """The windows of `out` output pixels of x (N, C, H, W) as columns: (N, G, C/G·KH·KW, L)."""
    (KH, KW), (OH, OW), (dh, dw), (sh, sw) = kernel, out, dilation, stride
    span = (dh * (KH - 1) + 1, dw * (KW - 1) + 1)
    v = sliding_window_view(pad(x, padding), span, axis=(2, 3))
    v = v[:, :, ::sh, ::sw, ::dh, ::dw][:, :, :OH, :OW].transpose(0, 1, 4, 5, 2, 3)
    N, C = v.shape[:2]  # of (N, C, KH, KW, OH, OW)
    return v.reshape(N, groups, C // groups * KH * KW, OH * OW)


def conv2d(
    x: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    bias: Array | None = None,
) -> Array:
    """Cross-correlate x (N, C, H, W) with w (O, C/groups, KH, KW): (N, O, OH, OW), (CONV 1).

    A bias (O,) is added.
    """
    (N, _, H, W), (O, _, KH, KW) = x.shape, w.shape
    OH = output_size(H, KH, stride[0], padding[0], dilation[0])
    OW = output_size(W, KW, stride[1], padding[1], dilation[1])
    cols = _columns(x, (KH, KW), (OH, OW), stride, padding, dilation, groups)
    y: Array = (w.reshape(groups, O // groups, -1) @ cols).reshape(N, O, OH, OW)
    if bias is None:
        return y
    b = bias.reshape(-1, 1, 1)
    return np.add(y, b, out=y) if y.dtype == b.dtype else y + b


def conv2d_input_grad(
    g: Array,
    w: Array,
    x_shape: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """Equation (CONV 2): dx of shape x_shape from g (N, O, OH, OW)."""
    (N, C, H, W), (O, Cg, KH, KW), (OH, OW) = x_shape, w.shape, g.shape[2:]
    wt = w.reshape(groups, O // groups, Cg * KH * KW).swapaxes(1, 2)
    dcols = wt @ g.reshape(N, groups, O // groups, OH * OW)
    dcols = dcols.reshape(N, C, KH, KW, OH, OW)
    (ph, pw) = padding
    dx = np.zeros((N, C, H + 2 * ph, W + 2 * pw), dcols.dtype)
    for a in range(KH):
        for b in range(KW):
            dx[window(a, b, (OH, OW), stride, dilation)] += dcols[:, :, a, b]
    return dx[:, :, ph : ph + H, pw : pw + W]


def conv2d_weight_grad(
    g: Array,
    x: Array,
    w_shape: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """Equation (CONV 3): dw of shape w_shape from g (N, O, OH, OW) and x (N, C, H, W)."""
    N, O, OH, OW = g.shape
    # x may have rows that no window reaches (the stride passes over them), or that windows beyond
    # those of g would (the output padding of a transposed convolution).
    kernel = w_shape[2], w_shape[3]
    cols = _columns(x, kernel, (OH, OW), stride, padding, dilation, groups)
    gs = g.reshape(N, groups, O // groups, OH * OW)
    per_image: Array = gs @ cols.swapaxes(2, 3)  # (N, G, O/G, C/G·KH·KW)
    dw: Array = per_image.sum(0)
    return dw.reshape(w_shape)
