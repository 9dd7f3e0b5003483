"""Compiled convolution: how it becomes long sums over windows, for conv_tile to compute.

im2col copies each pixel once per tap, KH·KW times, so that a convolution becomes a matrix product.
Copying it KW times is enough. Window b of a channel is its plane as tap column b sees it: padding
included, as wide as the output, only the columns that the stride visits. The rows of a window lie
end to end, just as those of the output do, so stepping to the next tap row is stepping OW further,
and for output pixel j = p·OW + q (here 3x3, padding 1, stride 1, OW = W = 4):

    x = a b c d      window 0 = 0 0 0 0     window 1 = 0 0 0 0     window 2 = 0 0 0 0
        e f g h                 0 a b c                a b c d                b c d 0
        i j k l                 0 e f g                e f g h                f g h 0
                                0 i j k                i j k l                j k l 0
                                0 0 0 0                0 0 0 0                0 0 0 0

    y[j] = Σ_(c,a,b) w[c, a, b] · windows[off(c, a, b) + j],   off(c, a, b) = (b·C + c)·M·OW + a·OW

with M = OH + KH - 1 rows in a window. The 16 outputs of tap (a, b) are 16 neighbours in memory:
a, b, c, d, e … for the middle tap, starting in the second row of window 1. No output is computed in
vain, none needs a mask, and vectors do not care where rows end, so planes may be narrow.

In general tap row a meets row p·sh + a·dh of the padded image. With a·dh = m·sh + r that is row
p + m of the rows r, r + sh, r + 2·sh, …, so each residue r that occurs (one, if the stride is 1)
gets windows of its own, R in number, M = OH + max m, and

    off(c, a, b) = ((r·KW + b)·C + c)·M·OW + m·OW        bias: one more tap, whose window is ones

This is the direct form. In float32, kernels of 3 x 3 at stride 1 take Winograd's where that pays,
which conv_windows explains: 16 convolutions with one tap, over images of a quarter of the size, one
pixel for each tile.

The gradients. dx is the convolution of g with the kernel turned by 180°, its input and output
channels exchanged, and padding dh·(KH - 1) - ph; negative padding cuts rows off. At stride s, the
pixels r, r + s, … of dx are such a convolution of their own, with every s-th tap of the kernel.
dw[o, k] = Σ_(n,j) g[n, o, j] · windows[n, off(k) + j] is the other tile.

Where pixels are few and channels are many, products are cheaper, as they read the weights once for
all images: conv_im2col's of all taps, or conv_winograd's of components, for strides too. What each
form costs conv_costs counts, and the cheapest is taken.

Padding is multiplied like pixels, in dx as in y: a weight of inf makes NaN where it meets zeros.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product as pairs
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.compiled import conv_costs, conv_depthwise, conv_im2col, conv_winograd
from minigrad.kernels.compiled.conv_costs import SCRATCH, TASKS
from minigrad.kernels.compiled.conv_pack import packed
from minigrad.kernels.compiled.conv_tile import (
    DOT_ROWS,
    DOT_TAPS,
    VECS,
    VECTOR_BYTES,
)
from minigrad.kernels.compiled.conv_windows import (
    CALL,
    JOB,
    convolve,
    convolve_winograd,
    transform_filters,
    weight_gradient,
)
from minigrad.kernels.machinery.arrays import Array, Pair, address_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import ready, run
from minigrad.kernels.machinery.memory import FROM, empty
from minigrad.kernels.machinery.threads import get_num_threads
from minigrad.kernels.reference.conv import output_size

CHANNELS = 4  # from which on depthwise convolutions have loops of their own
WORK = 8  # multiply-adds that take as long as an element of other kernels, which launch.run counts


class Plan(NamedTuple):
    """A geometry, worked out once."""

    geometry: tuple[int, ...]  # GEOMETRY's numbers
    taps: int  # of a sum: C·KH·KW, or C for Winograd's components
    bands: int  # into which the output's rows are divided; windows are made for one at a time
    size: int  # of the windows of a band
    behind: int  # elements of scratch that a convolution needs behind them
    offsets: Array  # of the taps; in the direct form, of the ones behind the windows too
    tiled: Array  # offsets of the taps, and zeros to fill the weight gradient's last register tile
    rows: Array  # (bands, R, 3): where the windows' rows meet the image, for _fill
    columns: Array  # (KW, 3): and their columns


def _met(first: int, step: int, count: int, size: int) -> tuple[int, int, int]:
    """first + k0·step, k0 and k1, where first + k·step lies in 0..size-1 for those k of 0..count-1
    that are in k0..k1-1."""
    k0 = min(count, max(0, -(first // step)))
    k1 = max(k0, min(count, (size - 1 - first) // step + 1))
    return first + k0 * step, k0, k1


def _bands(rows: int, pixels: int, images: int, lanes: int, fit: int) -> int:
    """Into how many bands to divide `rows` of so many pixels. At most `fit` rows have room in the
    scratch; a band should not be smaller than a wide register tile."""
    bands = max(-(-rows // max(1, fit)), -(-TASKS // max(1, images)))
    return min(bands, max(1, rows // -(-VECS * lanes // pixels)))


@lru_cache(256)
def _direct(
    images: int, C: int, size: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Pair,
    dilation: Pair, itemsize: int,
) -> Plan | None:  # fmt: skip
    (OH, OW), (KH, KW) = out, kernel
    lanes = VECTOR_BYTES // itemsize
    if lanes > OH * OW or not C * KH * KW:
        return None
    rows = [divmod(a * dilation[0], stride[0]) for a in range(KH)]  # m and r of each tap row
    rs = sorted({r for _, r in rows})
    reach = max(m for m, _ in rows)
    row = C * len(rs) * KW * OW  # elements in one row of all windows
    bands = _bands(OH, OW, images, lanes, SCRATCH // itemsize // row - reach)
    most = -(-OH // bands)
    M = most + reach
    offsets = [
        (((rs.index(r) * KW + b) * C + c) * M + m) * OW
        for c in range(C) for m, r in rows for b in range(KW)
    ]  # fmt: skip
    taps = len(offsets)
    tops = [[i * OH // bands * stride[0] + r - padding[0] for r in rs] for i in range(bands)]
    lefts = [b * dilation[1] - padding[1] for b in range(KW)]
    tables = (
        np.array([[_met(top, stride[0], M, size[0]) for top in band] for band in tops], np.int64),
        np.array([_met(left, stride[1], OW, size[1]) for left in lefts], np.int64),
    )
    tiled = np.array([*offsets, *[0] * (-taps % DOT_TAPS)], np.int64)
    windows = row * M + lanes  # and a vector more, which _fill may write
    geometry = (
        C, *size, OH, OW, KW, M, OW, OW, len(rs), *stride, lanes, OH, bands, windows,
        *(table.ctypes.data for table in tables),
    )  # fmt: skip
    both = np.array([*offsets, windows], np.int64)
    return Plan(geometry, taps, bands, windows, most * OW, both, tiled, *tables)


@lru_cache(256)
def _winograd(images: int, C: int, O: int, size: Pair, out: Pair, padding: Pair) -> Plan:
    """For 3 x 3 at stride 1 in float32: output tiles of 2 x 2, Q in a row; see conv_windows."""
    lanes, tile_rows, Q = VECTOR_BYTES // 4, -(-out[0] // 2), -(-out[1] // 2)
    S = 2 * Q + 2
    row = 2 * C * S + 16 * (C + O) * Q  # elements of scratch for a row of tiles
    bands = _bands(tile_rows, Q, images, lanes, SCRATCH // 4 // row)
    most = -(-tile_rows // bands)
    M, windows = 2 * most + 2, C * (2 * most + 2) * S + 3 * lanes
    behind = 8 * (M // 2 * Q + lanes) + 16 * ((C + O) * most * Q + lanes) + 2 * Q + 4 * lanes
    offsets = np.arange(C, dtype=np.int64) * (most * Q)
    tops = [2 * (i * tile_rows // bands) - padding[0] for i in range(bands)]
    rows = np.array([[_met(top, 1, M, size[0])] for top in tops], np.int64)
    columns = np.array([_met(-padding[1], 1, S, size[1])], np.int64)
    geometry = (
        C, *size, *out, 1, M, S, Q, 1, 1, 1, lanes, tile_rows, bands, windows, rows.ctypes.data,
        columns.ctypes.data,
    )  # fmt: skip
    return Plan(geometry, C, bands, windows, behind, offsets, offsets, rows, columns)


def _start(
    function: Any, plan: Plan, result: Array, work: int, arrays: dict[str, Array], **sizes: int
) -> None:
    """Hand out a job; `arrays` are what it uses, under the names of their places in CALL."""
    dtype, workers = result.dtype, sizes["workers"]
    # The scratch is at least as large as what memory.empty hands out again. Less would be fresh
    # pages in every call.
    if "room" in sizes:
        sizes["room"] = max(sizes["room"], -(-FROM // (dtype.itemsize * workers)))
        arrays["scratch"] = empty((workers, sizes["room"]), dtype)
    for name, array in arrays.items():
        sizes[name] = address_of(array)
    job = np.array((*plan.geometry, *(sizes.get(name, 0) for name in CALL)), np.int64)
    addresses = address(function, JOB, dtype), job, address_of(result)
    run(serial, parallel, workers, work, *addresses)


def _convolve(
    x: Array, w: Array, bias: Array | None, out: Pair, stride: Pair, padding: Pair, dilation: Pair,
    exact: bool = False,
) -> Array | None:  # fmt: skip
    """x (N, G·C, H, W) and w (G, O, C, KH, KW) to (N, G·O, *out); None if that is too small."""
    (N, _, H, W), (G, O, C, KH, KW), dtype = x.shape, w.shape, x.dtype
    plan: Plan | None
    geometry = ((KH, KW), stride, dilation)
    if winograd := not exact and conv_costs.winograd_pays(C, O, out, geometry, dtype):
        plan = _winograd(N * G, C, O, (H, W), out, padding)
    else:
        settings = ((H, W), out, (KH, KW), stride, padding, dilation, dtype.itemsize)
        plan = _direct(N * G, C, *settings)
    if plan is None:
        return None
    workers = max(1, min(get_num_threads(), N * G * plan.bands))
    y, bad = empty((N, G * O, *out), dtype), np.zeros((N, G), np.int64)
    arrays = {"images": ready(x, dtype), "offsets": plan.offsets, "bad": bad}
    if winograd:
        nines = packed(w)
        filters, taps, most = empty((16, nines.size // 9), dtype), C, get_num_threads()
        first = {"weights": nines}
        _start(transform_filters, plan, filters, filters.size, first, G=G, O=O, workers=most)
        arrays["weights"] = filters
        arrays["bias"] = np.zeros(G * O, dtype) if bias is None else ready(bias, dtype)
    else:
        arrays["weights"], taps = packed(w, bias), plan.taps + (bias is not None)
    _start(
        convolve_winograd if winograd else convolve, plan, y, y.size * C * KH * KW // WORK, arrays,
        N=N, G=G, O=O, taps=taps, room=plan.size + plan.behind, workers=workers,
    )  # fmt: skip
    if bad.any():  # The transforms may have made inf - inf where the direct form has a number.
        odd = bad.any(1)
        y[odd] = _convolve(x[odd], w, bias, out, stride, padding, dilation, exact=True)
    return y


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
    (_, _, H, W), (O, Cg, KH, KW) = x.shape, w.shape
    OH = output_size(H, KH, stride[0], padding[0], dilation[0])
    OW = output_size(W, KW, stride[1], padding[1], dilation[1])
    if _depthwise(w, groups):
        some = w.reshape(groups, KH, KW)
        return conv_depthwise.conv2d(x, some, (OH, OW), stride, padding, dilation, bias)
    N, G, sizes = len(x), groups, (Cg, O // groups, (KH, KW), stride, (OH, OW))
    winograd = conv_costs.winograd_pays(*sizes[:2], (OH, OW), ((KH, KW), stride, dilation), x.dtype)
    cost = conv_costs.direct_cost(N * G, *sizes, winograd, x.itemsize)
    whole = ((H, W), (KH, KW), stride, padding, (OH, OW))
    product = conv_costs.product_cost(N, G, *sizes[:2], whole, x.itemsize)
    settings = ((KH, KW), stride, dilation, (OH, OW), x.itemsize)
    if conv_costs.components_cost(N, G, Cg, O // G, *settings) < min(cost, product):
        return conv_winograd.conv2d(x, w, (OH, OW), stride, padding, bias)
    if cost < product:
        grouped = w.reshape(groups, O // groups, Cg, KH, KW)
        y = _convolve(x, grouped, bias, (OH, OW), stride, padding, dilation)
        if y is not None:
            return y
    return conv_im2col.conv2d(x, w, stride, padding, dilation, groups, bias)


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
    (N, _, H, W), (O, Cg, KH, KW), G = x_shape, w.shape, groups
    OH, OW = g.shape[2:]
    if _depthwise(w, groups):
        some = w.reshape(groups, KH, KW)
        return conv_depthwise.conv2d_input_grad(g, some, (H, W), stride, padding, dilation)
    # What the largest residue costs, and how many have taps: tap a meets residue a·dilation.
    size = (-(-H // stride[0]), -(-W // stride[1]))
    every = [s // gcd(s, d) for s, d in zip(stride, dilation, strict=True)]
    taps = (-(-KH // every[0]), -(-KW // every[1]))
    winograd = conv_costs.winograd_pays(O // G, Cg, size, (taps, (1, 1), dilation), g.dtype)
    cost = conv_costs.direct_cost(N * G, O // G, Cg, taps, (1, 1), size, winograd, g.itemsize)
    residues = min(KH, every[0]) * min(KW, every[1])
    cost = conv_costs.of_residues(cost, residues, N * Cg * G * H * W, w.size)
    whole = ((H, W), (KH, KW), stride, padding, (OH, OW))
    product = conv_costs.product_cost(N, G, Cg, O // G, whole, g.itemsize)
    settings = ((KH, KW), stride, dilation, (OH, OW), g.itemsize)
    if conv_costs.components_cost(N, G, Cg, O // G, *settings) < min(cost, product):
        return conv_winograd.conv2d_input_grad(g, w, x_shape, stride, padding)
    if cost >= product:
        return conv_im2col.conv2d_input_grad(g, w, x_shape, stride, padding, dilation, groups)
    turned = w.reshape(G, O // G, Cg, KH, KW).swapaxes(1, 2)
    parts = {}
    for rh, rw in pairs(range(min(H, stride[0])), range(min(W, stride[1]))):
        rows = _residue(rh, H, KH, stride[0], padding[0], dilation[0])
        columns = _residue(rw, W, KW, stride[1], padding[1], dilation[1])
        if not rows.size or not columns.size:
            continue
        some = turned[..., rows.taps, columns.taps]
        around, apart = (rows.padding, columns.padding), (rows.dilation, columns.dilation)
        size = (rows.size, columns.size)
        part = _convolve(g, some, None, size, (1, 1), around, apart)
        if part is None:
            return conv_im2col.conv2d_input_grad(g, w, x_shape, stride, padding, dilation, groups)
        parts[rh, rw] = part
    if stride == (1, 1) and parts:
        return parts[0, 0]
    dx = empty(x_shape, g.dtype)
    if len(parts) < min(H, stride[0]) * min(W, stride[1]):
        dx[...] = 0
    for (rh, rw), part in parts.items():
        conv_im2col.place(part, dx, (rh, rw), stride)
    return dx


def _depthwise(w: Array, groups: int) -> bool:
    """Whether every channel is convolved alone, with one filter, and there are enough of them."""
    return len(w) == groups and w.shape[1] == 1 and groups >= CHANNELS


class _Residue(NamedTuple):
    """The pixels r, r + stride, … of dx along an axis, as a convolution of g at stride 1."""

    taps: slice  # of the kernel, in its order
    size: int  # 0 if no tap meets them
    padding: int
    dilation: int


@lru_cache(1024)
def _residue(r: int, n: int, k: int, stride: int, padding: int, dilation: int) -> _Residue:
    """Pixel r + i·stride of x meets tap a in output pixel p where r + i·stride + padding
    - a·dilation = p·stride. So a is a tap of these pixels if the stride divides r + padding -
    a·dilation, and then p = i + that quotient, which falls by `dilation` from tap to tap."""
    met = [a for a in reversed(range(k)) if (r + padding - a * dilation) % stride == 0]
    steps = [(r + padding - a * dilation) // stride for a in met]
    apart = steps[1] - steps[0] if len(steps) > 1 else 1
    if not met:
        return _Residue(slice(0), 0, 0, apart)
    taps = slice(met[0], None, met[1] - met[0] if len(met) > 1 else -k)
    return _Residue(taps, -(-(n - r) // stride), -steps[0], apart)


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
    (N, _, OH, OW), (_, _, H, W), dtype, G = g.shape, x.shape, g.dtype, groups
    O, C, KH, KW = w_shape[0] // G, *w_shape[1:]
    if C == 1 and O == 1 and G >= CHANNELS:
        dw = conv_depthwise.conv2d_weight_grad(g, x, (KH, KW), stride, padding, dilation)
        return dw.reshape(w_shape)
    sizes = (C, O, (KH, KW), stride, (OH, OW), g.itemsize)
    product = conv_costs.product_cost(
        N, G, C, O, ((H, W), (KH, KW), stride, padding, (OH, OW)), g.itemsize
    )
    cost = conv_costs.weights_cost(N, G, *sizes)
    of_form = ((KH, KW), stride, dilation, (OH, OW), g.itemsize)
    if conv_costs.components_cost(N, G, C, O, *of_form) < min(cost, product):
        return conv_winograd.conv2d_weight_grad(g, x, w_shape, stride, padding)
    if cost >= product:
        return conv_im2col.conv2d_weight_grad(g, x, w_shape, stride, padding, dilation, groups)
    # So that there are tasks enough, the channels are split into parts where the shares are few.
    shares = conv_costs.shares_of(N, G * O * C * KH * KW)
    parts = conv_costs.parts_of(C, G, shares)
    C //= parts
    settings = (stride, padding, dilation, dtype.itemsize)
    plan = _direct(TASKS, C, (H, W), (OH, OW), (KH, KW), *settings)
    if plan is None:
        return conv_im2col.conv2d_weight_grad(g, x, w_shape, stride, padding, dilation, groups)
    # How many images a register tile runs over before its sums are stored: of small images as many
    # as have room in the scratch.
    at_once = 1
    if plan.bands == 1:
        at_once = max(1, min(SCRATCH // (plan.size * dtype.itemsize), -(-N // shares)))
    partial = empty((shares, G, parts, -(-O // DOT_ROWS) * DOT_ROWS, plan.tiled.size), dtype)
    partial[...] = 0
    arrays = {"images": ready(x, dtype), "g": ready(g, dtype), "offsets": plan.tiled}
    _start(
        weight_gradient, plan, partial, g.size * C * parts * KH * KW // WORK, arrays,
        N=N, G=G, O=O, taps=plan.tiled.size, parts=parts, shares=shares, at_once=at_once,
        room=plan.size * at_once, workers=min(get_num_threads(), shares * G * parts),
    )  # fmt: skip
    summed: Array = partial.sum(0)[:, :, :O, : plan.taps]  # (G, parts, O, taps)
    return summed.swapaxes(1, 2).reshape(w_shape)
