"""What the forms of a convolution cost, in vector multiply-adds, so that the cheapest is taken.

Rough, and the same on every processor, as all of it is vectors: it only has to tell apart forms
that differ much.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf, prod
from typing import Any

import numpy as np

from minigrad.kernels.compiled.conv_im2col import ROOM, at_once, images_in, same_pixels
from minigrad.kernels.compiled.conv_tile import DOT_ROWS, DOT_TAPS, FLAT_ROWS, ROWS, VECTOR_BYTES
from minigrad.kernels.compiled.conv_winograd import form_of
from minigrad.kernels.machinery.arrays import Pair

SCRATCH = 1 << 20  # bytes that are kept from image to image: about what a worker's own cache holds
TRANSFORM = 48  # what Winograd's transforms cost, a row and channel
COMPONENT = 40  # a vector of conv_winograd's components, written and read; of filters, three
TO_SAVE = 1_500_000  # at least, by components: small networks do without, and compile for less
STREAMED = 2  # reading a vector of weights that no worker's cache keeps from image to image
STORED = 4  # a vector of outputs
ROW = 10  # a row of pixels that is copied, to windows or to columns
COPIED = 6  # a vector of pixels that is copied to windows, beyond that
WRITTEN = 12  # and to columns, which no first cache holds
APART = 1.6  # a pixel of a strided row, where its neighbours are left
TURNED = 30  # a vector of pixels that is transposed
GEMM = 1.3  # a vector multiply-add of BLAS, which packs its matrices first
DOT = 1.1  # a vector multiply-add of the weights' gradient, which reads both factors
SUM_LANES = 6  # adding up the lanes of one sum of it
SETUP = 120_000  # of the tiles, from Python
CALL = 20_000  # of another compiled loop or product
CLEARLY = 1.1  # how much dearer the tiles have to be, as the counts err,
LEAST = 150_000  # and by how much at least: a small network that does without compiles for less
PACKED = 4  # a weight that is packed
GATHERED = 8  # and one that is packed apart from its neighbours, for one residue of several
PLACED = 1  # a pixel that is written between others
TASKS = 8  # a shape that allows it is divided into so many tasks at least, or threads would idle
PARTIAL = 1 << 22  # elements that all partial weight gradients may have together

Geometry = tuple[Pair, Pair, Pair, Pair, Pair]  # size, kernel, stride, padding, out


def winograd_pays(C: int, O: int, out: Pair, settings: tuple[Pair, ...], dtype: Any) -> bool:
    """Whether Winograd's form saves more multiply-adds than its transforms cost.

    A component's tiles are computed in whole vectors. Never in float64, which is asked for by those
    to whom rounding matters more than time.
    """
    if settings != ((3, 3), (1, 1), (1, 1)) or dtype != np.float32:
        return False
    lanes = VECTOR_BYTES // 4
    tiles = -(-out[0] // 2) * -(-out[1] // 2)
    saved = 9 * out[0] * out[1] - 16 * -(-tiles // lanes) * lanes
    return tiles >= lanes and C * O * saved > TRANSFORM * lanes * (C + O) * out[0]


@lru_cache(1024)
def direct_cost(
    tasks: int, C: int, O: int, kernel: Pair, stride: Pair, out: Pair, winograd: bool, itemsize: int
) -> float:
    """Of `tasks` images (of a group each) of C channels, as vector multiply-adds."""
    lanes, taps, (OH, OW) = VECTOR_BYTES // itemsize, C * kernel[0] * kernel[1], out
    if lanes > OH * OW or not taps:
        return inf
    outputs = max(-(-O // ROWS) * ROWS, 1) if O > FLAT_ROWS else FLAT_ROWS
    packed = SETUP + PACKED * O * taps
    if winograd:
        tiles = -(-(-(-OH // 2) * -(-OW // 2)) // lanes)
        tiles += STREAMED if 16 * O * C * itemsize > SCRATCH else 0
        transforms = TRANSFORM * (C + O) * OH
        return packed + tasks * (16 * outputs * C * tiles + transforms)
    vectors = -(-OH * OW // lanes) + (STREAMED if O * taps * itemsize > SCRATCH else 0)
    windows = _windows_cost(C, kernel, stride, out, lanes)
    return packed + tasks * (outputs * (taps + STORED) * vectors + windows)


def of_residues(cost: float, residues: int, pixels: int, weights: int) -> float:
    """Of an input's gradient of so many pixels, each of whose residues modulo the stride costs
    `cost`: several are calls of their own, and put in their places one by one."""
    return cost if residues == 1 else residues * cost + PLACED * pixels + GATHERED * weights


def _windows_cost(C: int, kernel: Pair, stride: Pair, out: Pair, lanes: int) -> float:
    pixel = COPIED / lanes if stride[1] == 1 else APART
    return C * kernel[1] * (out[0] + kernel[0] - 1) * (ROW + pixel * out[1])


def shares_of(N: int, weights: int) -> int:
    """Into how many shares, each with a partial dw, the images are divided for a gradient of so
    many weights: large ones get few."""
    return max(1, min(N, TASKS, PARTIAL // max(1, weights)))


def parts_of(C: int, G: int, shares: int) -> int:
    """Into how many equal parts the channels are divided for it, where the shares are few."""
    return next((p for p in range(1, C + 1) if C % p == 0 and shares * G * p >= TASKS), max(1, C))


@lru_cache(1024)
def weights_cost(
    N: int, G: int, C: int, O: int, kernel: Pair, stride: Pair, out: Pair, itemsize: int
) -> float:
    """The same of the weights' gradient, whose tile reads both factors from memory, and whose sums
    over the lanes are taken once for the images that lie in the scratch together."""
    lanes, taps = VECTOR_BYTES // itemsize, C * kernel[0] * kernel[1]
    if out[0] * out[1] < lanes or not taps:
        return inf
    outputs, shares = -(-O // DOT_ROWS) * DOT_ROWS, shares_of(N, G * O * taps)
    parts = parts_of(C, G, shares)
    tiled = parts * -(-taps // parts // DOT_TAPS) * DOT_TAPS
    windows = C * kernel[1] * (out[0] + kernel[0] - 1) * out[1] * itemsize
    together = max(1, min(SCRATCH // windows, -(-N // shares)))
    products = DOT * -(-out[0] * out[1] // lanes) * N + SUM_LANES * -(-N // together)
    made = N * _windows_cost(C, kernel, stride, out, lanes)
    return SETUP + G * (outputs * tiled * products + made)


@lru_cache(1024)
def product_cost(N: int, G: int, C: int, O: int, geometry: Geometry, itemsize: int) -> float:
    """The same of conv_im2col's product, its columns made of the C channels of a group, if it is to
    be clearly less."""
    size, kernel, stride, padding, out = geometry
    lanes, taps, pixels = VECTOR_BYTES // itemsize, C * kernel[0] * kernel[1], out[0] * out[1]
    some = images_in(ROOM, N, G * taps * pixels * itemsize)
    together = at_once(some, pixels, taps)
    calls = -(-N // max(1, some))
    cost, loops = N * G * O * pixels / lanes * (GEMM * taps + STORED), 1
    if together:
        loops += 2
        cost += N * G * TURNED / lanes * (C * size[0] * size[1] + O * pixels)
    if not same_pixels(kernel, stride, padding, size, out):
        runs = out[1] if stride[1] > 1 else 1  # that a row of all images is copied in
        pixel = WRITTEN / lanes if stride[1] == 1 or together else APART
        rows = ROW * (runs * calls if together else N) + pixel * out[1] * N
        cost += G * taps * out[0] * rows
        loops += 1
    return CLEARLY * (cost + CALL * loops * calls) + LEAST


@lru_cache(1024)
def components_cost(
    N: int, G: int, C: int, O: int, kernel: Pair, stride: Pair, dilation: Pair, out: Pair,
    itemsize: int,
) -> float:  # fmt: skip
    """The same of conv_winograd's products, which are float32; the kernel is twice or three times
    as wide as the stride. U, V and M are written and read."""
    served = all(k in (2 * s, 3 * s) for k, s in zip(kernel, stride, strict=True))
    served = served and dilation == (1, 1) and G == 1 and itemsize == 4
    if not served or not N * C * O * prod(out):
        return inf
    form = form_of(N, C, O, kernel, stride, (0, 0), out)
    lanes, tiles, phases = VECTOR_BYTES // 4, prod(form.tiles), prod(stride)
    calls = -(-N // form.some)
    columns = tiles * calls * -(-form.some // lanes)
    vectors = phases * C * columns + O * columns + 3 * phases * C * -(-O // lanes)
    products = phases * C * O * tiles * N / lanes * GEMM
    return prod(form.components) * (products + COMPONENT * vectors) + 6 * CALL * calls + TO_SAVE
