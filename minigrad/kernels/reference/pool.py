"""Max and average pooling. Output sizes come from the caller, so in ceil mode the last windows may
overhang the end."""

from __future__ import annotations

import numpy as np

from minigrad.kernels.machinery.arrays import Array, Pair, accumulator
from minigrad.kernels.reference.conv import pad, window


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
    padded = pad(x, padding, lowest, end)
    y = np.full((N, C, OH, OW), lowest, x.dtype)
    index = np.full((N, C, OH, OW), -1, np.int64)  # -1: no element yet
    for a in range(kernel[0]):
        h = np.arange(OH)[:, None] * stride[0] - padding[0] + a * dilation[0]
        for b in range(kernel[1]):
            w = np.arange(OW) * stride[1] - padding[1] + b * dilation[1]
            inside = (h >= 0) & (h < H) & (w >= 0) & (w < W)
            v = padded[window(a, b, out_size, stride, dilation)]
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
    counts = (
        axis_counts(n, k, s, p, out, count_include_pad)
        for n, k, s, p, out in zip(size, kernel, stride, padding, out_size, strict=True)
    )
    return np.maximum(np.outer(*counts), 1).astype(np.float64)


def axis_counts(n: int, k: int, s: int, p: int, out: int, count_include_pad: bool) -> Array:
    """`divisors` along one axis."""
    start = np.arange(out) * s - p
    stop = np.minimum(start + k, n + p)
    if not count_include_pad:
        start, stop = np.maximum(start, 0), np.minimum(stop, n)
    return np.maximum(stop - start, 0)


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
    padded = pad(x, padding, 0.0, end)
    total = np.zeros((N, C, OH, OW), accumulator(x))
    for a in range(kernel[0]):
        for b in range(kernel[1]):
            total += padded[window(a, b, out_size, stride, (1, 1))]
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
            dx[window(a, b, out_size, stride, (1, 1))] += share
    return dx[:, :, ph : ph + H, pw : pw + W].astype(g.dtype)
