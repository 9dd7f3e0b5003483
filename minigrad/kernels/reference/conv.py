"""Reference convolution and pooling, a chapter of reference: same conventions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minigrad.kernels.machinery.arrays import Array, Pair, accumulator

# ---------------------------------------------------------------------------- convolution
# With cols (N, C·KH·KW, L) holding every window of x as a column, L = OH·OW:
#   (12) y = w @ cols      (13) dcols = wᵀ @ g, added back window by window
#   (14) dw = Σ_n g @ colsᵀ
# Channels fall into groups that do not mix, an axis G right after N.


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _pad(x: Array, padding: Pair, value: float = 0.0, end: Pair = (0, 0)) -> Array:
    """x (N, C, H, W) with padding on both sides of H and W, and `end` more after them."""
    (ph, pw), (N, C, H, W) = padding, x.shape
    if not (ph or pw or end[0] or end[1]):
        return x
    out = np.full((N, C, H + 2 * ph + end[0], W + 2 * pw + end[1]), value, x.dtype)
    out[:, :, ph : ph + H, pw : pw + W] = x
    return out


def _window(a: int, b: int, size: Pair, stride: Pair, dilation: Pair) -> tuple[Any, ...]:
    """Index of the pixels that tap (a, b) of the kernel meets, one for each output pixel."""
    (OH, OW), (sh, sw), h, w = size, stride, a * dilation[0], b * dilation[1]
    return (..., slice(h, h + (OH - 1) * sh + 1, sh), slice(w, w + (OW - 1) * sw + 1, sw))


def _columns(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """Every window of x (N, C, H, W) as a column: (N, G, C/G·KH·KW, L)."""
    (KH, KW), (dh, dw), (sh, sw) = kernel, dilation, stride
    span = (dh * (KH - 1) + 1, dw * (KW - 1) + 1)
    v = sliding_window_view(_pad(x, padding), span, axis=(2, 3))
    v = v[:, :, ::sh, ::sw, ::dh, ::dw].transpose(0, 1, 4, 5, 2, 3)  # (N, C, KH, KW, OH, OW)
    N, C, _, _, OH, OW = v.shape
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
    """Cross-correlate x (N, C, H, W) with w (O, C/groups, KH, KW): (N, O, OH, OW), (12).

    A bias (O,) is added.
    """
    (N, _, H, W), (O, _, KH, KW) = x.shape, w.shape
    OH = output_size(H, KH, stride[0], padding[0], dilation[0])
    OW = output_size(W, KW, stride[1], padding[1], dilation[1])
    cols = _columns(x, (KH, KW), stride, padding, dilation, groups)
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
    """Equation (13): dx of shape x_shape from g (N, O, OH, OW)."""
    (N, C, H, W), (O, Cg, KH, KW), (OH, OW) = x_shape, w.shape, g.shape[2:]
    wt = w.reshape(groups, O // groups, Cg * KH * KW).swapaxes(1, 2)
    dcols = wt @ g.reshape(N, groups, O // groups, OH * OW)
    dcols = dcols.reshape(N, C, KH, KW, OH, OW)
    (ph, pw) = padding
    dx = np.zeros((N, C, H + 2 * ph, W + 2 * pw), dcols.dtype)
    for a in range(KH):
        for b in range(KW):
            dx[_window(a, b, (OH, OW), stride, dilation)] += dcols[:, :, a, b]
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
    """Equation (14): dw of shape w_shape from g (N, O, OH, OW) and x (N, C, H, W)."""
    N, O, OH, OW = g.shape
    # The forward stride drops rows that no window reaches; cols and g agree on OH, OW.
    cols = _columns(x, (w_shape[2], w_shape[3]), stride, padding, dilation, groups)
    gs = g.reshape(N, groups, O // groups, OH * OW)
    per_image: Array = gs @ cols.swapaxes(2, 3)  # (N, G, O/G, C/G·KH·KW)
    dw: Array = per_image.sum(0)
    return dw.reshape(w_shape)


# ---------------------------------------------------------------------------- pooling
# Output sizes come from the caller, so in ceil mode the last windows may overhang the end.


def _overhang(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return max(0, (out - 1) * stride + dilation * (kernel - 1) + 1 - size - 2 * padding)


def max_pool2d(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, out_size: Pair
) -> tuple[Array, Array]:
    """Maxima (N, C, OH, OW) of x (N, C, H, W) and where each came from, as h·W + w, int64."""
    (N, C, H, W), (OH, OW) = x.shape, out_size
    end = (
        _overhang(H, OH, kernel[0], stride[0], padding[0], dilation[0]),
        _overhang(W, OW, kernel[1], stride[1], padding[1], dilation[1]),
    )
    lowest: float = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -np.inf
    padded = _pad(x, padding, lowest, end)
    y = np.full((N, C, OH, OW), lowest, x.dtype)
    index = np.full((N, C, OH, OW), -1, np.int64)  # -1: no element yet
    for a in range(kernel[0]):
        h = np.arange(OH)[:, None] * stride[0] - padding[0] + a * dilation[0]
        for b in range(kernel[1]):
            w = np.arange(OW) * stride[1] - padding[1] + b * dilation[1]
            inside = (h >= 0) & (h < H) & (w >= 0) & (w < W)
            v = padded[_window(a, b, out_size, stride, dilation)]
            # The first maximum wins (>), any NaN wins, and -inf is taken if there is nothing else.
            take = ((v.real > y.real) | (v.real != v.real) | (index < 0)) & inside
            np.copyto(y, v, where=take)
            np.copyto(index, h * W + w, where=take)
    return y, index


def max_pool2d_backward(g: Array, index: Array, x_shape: tuple[int, ...]) -> Array:
    """Send each element of g (N, C, OH, OW) to the element that was the maximum."""
    N, C, H, W = x_shape
    dx = np.zeros(N * C * H * W, g.dtype)
    plane = np.arange(N * C).reshape(N, C, 1, 1) * (H * W)
    inside = index >= 0  # a wide dilation can leave a window without any element
    np.add.at(dx, (index + plane)[inside], g[inside])
    return dx.reshape(x_shape)


def divisors(
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    out_size: Pair,
    count_include_pad: bool,
    override: int | None,
) -> Array:
    """How many elements each average counts, (OH, OW): windows end at H + padding at most."""
    if override is not None:
        return np.full(out_size, float(override))
    counts = []
    for n, k, s, p, out in zip(size, kernel, stride, padding, out_size, strict=True):
        start = np.arange(out) * s - p
        stop = np.minimum(start + k, n + p)
        if not count_include_pad:
            start, stop = np.maximum(start, 0), np.minimum(stop, n)
        counts.append(np.maximum(stop - start, 0))
    return np.maximum(np.outer(*counts), 1).astype(np.float64)


def avg_pool2d(
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    out_size: Pair,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Averages (N, C, OH, OW) of the windows of x (N, C, H, W)."""
    (N, C, H, W), (OH, OW) = x.shape, out_size
    end = (
        _overhang(H, OH, kernel[0], stride[0], padding[0], 1),
        _overhang(W, OW, kernel[1], stride[1], padding[1], 1),
    )
    padded = _pad(x, padding, 0.0, end)
    total = np.zeros((N, C, OH, OW), accumulator(x))
    for a in range(kernel[0]):
        for b in range(kernel[1]):
            total += padded[_window(a, b, out_size, stride, (1, 1))]
    total /= divisors(
        (H, W), kernel, stride, padding, out_size, count_include_pad, divisor_override
    )
    return total.astype(x.dtype, copy=False)


def avg_pool2d_backward(
    g: Array,
    x_shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    out_size: Pair,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Spread each element of g (N, C, OH, OW) evenly over its window: dx of shape x_shape."""
    N, C, H, W = x_shape
    (ph, pw), (OH, OW) = padding, out_size
    share = g / divisors(
        (H, W), kernel, stride, padding, out_size, count_include_pad, divisor_override
    )
    height = H + 2 * ph + _overhang(H, OH, kernel[0], stride[0], ph, 1)
    width = W + 2 * pw + _overhang(W, OW, kernel[1], stride[1], pw, 1)
    dx = np.zeros((N, C, height, width), share.dtype)
    for a in range(kernel[0]):
        for b in range(kernel[1]):
            dx[_window(a, b, out_size, stride, (1, 1))] += share
    return dx[:, :, ph : ph + H, pw : pw + W].astype(g.dtype)
