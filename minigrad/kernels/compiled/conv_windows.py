"""The loops of convolution: windows of a band of rows, and register tiles that sum over them.

They run in one of two forms. The direct one sums over all taps of the kernel (conv derives it). The
other is Winograd's F(2 x 2, 3 x 3): an output tile of 2 x 2 takes 16 products in place of 36 (Lavin
and Gray, Fast algorithms for convolutional neural networks, 2015). In one dimension, with an input
tile d of four and a filter w of three,

    y0 = m0 + m1 + m2      m0 = w0·(d0 - d2)                  m1 = (w0 + w1 + w2)/2·(d1 + d2)
    y1 = m1 - m2 - m3      m3 = w2·(d1 - d3)                  m2 = (w0 - w1 + w2)/2·(d2 - d1)

are w0·d0 + w1·d1 + w2·d2 and w0·d1 + w1·d2 + w2·d3. The sums of w are the filter transform G w,
those of d the input transform Bᵀ d, those of m the output transform Aᵀ m. In two dimensions each is
taken of columns and then of rows, so that a tile has 16 components:

    Y = Aᵀ [Σ_c (G w_c Gᵀ) ⊙ (Bᵀ d_c B)] A

The sum over channels c is, for each of the components, a convolution with one tap; the transforms,
made once per tile and channel, are little work beside it. Rounding errors are of the size of the
largest pixel under the kernel, even if its weight is zero; an image with results that are not
finite takes the direct form.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.compiled.conv_rows import copy, copy_row
from minigrad.kernels.compiled.conv_tile import (
    DOT_ROWS,
    DOT_TAPS,
    FLAT_ROWS,
    FLAT_VECS,
    ROWS,
    VECS,
    dot_tile,
    filter_transform,
    flat,
    flat_end,
    input_transform_columns,
    input_transform_rows,
    output_transform_columns,
    output_transform_rows,
    wide,
    wide_end,
)
from minigrad.kernels.machinery.launch import cold, exact
from minigrad.kernels.machinery.pointers import at, on

# What a worker is told: sizes, and where the arrays lie.
GEOMETRY = ["C", "H", "W", "OH", "OW", "KW", "M", "S", "Q", "R", "sh", "sw", "lanes", "tile_rows"]
GEOMETRY += ["bands", "size", "rows", "columns"]
CALL = ["N", "G", "O", "taps", "parts", "shares", "at_once", "workers", "room"]
CALL += ["images", "g", "weights", "bias", "offsets", "scratch", "bad"]
JOB = np.dtype([(name, np.int64) for name in GEOMETRY + CALL])

# ---------------------------------------------------------------------------- windows


@cold
def _fill(image, band, job, out):
    """The windows (R, KW, C, M, S) of image (C, H, W) for a band; conv says what they are.

    Rows m0..m1-1 of a window meet the image, m0 its row `top`; columns q0..q1-1 likewise.
    """
    H, W, M, S, R, KW, sh, sw = job.H, job.W, job.M, job.S, job.R, job.KW, job.sh, job.sw
    rows, columns = carray(at(job.rows, 0), (job.bands, R, 3)), carray(at(job.columns, 0), (KW, 3))
    for r in range(R):
        top, m0, m1 = rows[band, r, 0], rows[band, r, 1], rows[band, r, 2]
        for b in range(KW):
            left, q0, q1 = columns[b, 0], columns[b, 1], columns[b, 2]
            for c in range(job.C):
                source = on(image, (c * H + top - m0 * sh) * W + left - q0 * sw)
                for m in range(M):
                    if m0 <= m < m1:
                        copy_row(on(out, m * S), on(source, m * sh * W), sw, q0, q1, S)
                    else:
                        copy_row(on(out, m * S), image, 1, 0, 0, S)
                out = on(out, M * S)


# ---------------------------------------------------------------------------- Winograd


@exact
def _input_transform(windows, job, columns, out):
    """The components (16, C, tiles) of windows (C, M, S), which begin with an input tile.

    columns takes the transforms of columns: four of the even rows, four of the odd ones. Whatever
    is written here has a vector of room behind it.
    """
    C, M, S, Q, lanes = job.C, job.M, job.S, job.Q, job.lanes
    tiles, size = (M // 2 - 1) * Q, M // 2 * Q + lanes
    component = C * tiles + lanes
    for _ in range(C):
        for m in range(M):
            row, target = on(windows, m * S), on(columns, m % 2 * 4 * size + m // 2 * Q)
            for q in range(0, Q, lanes):
                input_transform_columns(on(row, 2 * q), on(target, q), size)
        for k in range(4):
            even, odd = on(columns, k * size), on(columns, (4 + k) * size)
            target = on(out, k * component)
            for j in range(0, tiles, lanes):
                input_transform_rows(on(even, j), on(odd, j), Q, on(target, j), 4 * component)
        windows, out = on(windows, M * S), on(out, tiles)


@exact
def _output_transform(products, bias, job, row0, rows, columns, spare, y):
    """Rows row0..row0+rows-1 of y (O, OH·OW) from products (16, O, tiles). Is any not finite?

    columns takes the transforms of rows, four for the even rows of y and four for the odd ones.
    """
    O, OH, OW, Q, lanes = job.O, job.OH, job.OW, job.Q, job.lanes
    tiles, size = (rows + 1) // 2 * Q, job.M // 2 * Q + lanes
    n = O * tiles
    bad = False
    for o in range(O):
        for k in range(4):
            even, odd = on(columns, k * size), on(columns, (4 + k) * size)
            for j in range(0, tiles, lanes):
                output_transform_rows(on(products, k * n + j), 4 * n, on(even, j), on(odd, j))
        for r in range(rows):
            sums, target = on(columns, r % 2 * 4 * size + r // 2 * Q), on(y, (row0 + r) * OW)
            # The last vector of a row may reach into the rows below, but not into another band,
            # which another worker writes.
            within = OW + 2 * lanes <= (rows - r) * OW
            row = target if within else spare
            for q in range(0, Q, lanes):
                count, target_q = (OW + 1) // 2 - q, on(row, 2 * q)
                bad |= output_transform_columns(
                    on(sums, q), size, bias[o], target_q, count, OW // 2 - q
                )
            if not within:
                copy(target, spare, OW)
        products, y = on(products, tiles), on(y, OH * OW)
    return bad


# ---------------------------------------------------------------------------- the two sums


@exact
def _blocks(O):
    """O rounded up to whole blocks of weights."""
    return (O + ROWS - 1) // ROWS * ROWS


@cold
def _tiles(windows, offsets, taps, weights, pixels, O, lanes, y, row):
    """y[o·row + j] = Σ_k weights[o, k]·windows[offsets[k] + j] for o < O and j < pixels."""
    blocks = _blocks(O) // ROWS
    wides = (O + ROWS - FLAT_ROWS - 1) // ROWS  # the blocks with more than FLAT_ROWS outputs
    # The last tile ends with the last pixel. It does some pixels twice, to the same bits.
    j = 0
    while j < pixels:
        many = pixels - j > 2 * lanes and pixels >= VECS * lanes
        span = VECS * lanes if many else lanes
        first = min(j, pixels - span)
        for block in range(wides):
            o = block * ROWS
            w, d = on(weights, o * taps), on(y, o * row + first)
            if many:
                wide(on(windows, first), offsets, taps, w, d, row, O - o)
            else:
                wide_end(on(windows, first), offsets, taps, w, d, row, O - o)
        j += span
    j = 0
    o = wides * ROWS
    while j < pixels and wides < blocks:
        many = pixels - j > 4 * lanes and pixels >= FLAT_VECS * lanes
        span = FLAT_VECS * lanes if many else lanes
        first = min(j, pixels - span)
        w, d = on(weights, o * taps), on(y, o * row + first)
        if many:
            flat(on(windows, first), offsets, taps, w, d, row, O - o)
        else:
            flat_end(on(windows, first), offsets, taps, w, d, row, O - o)
        j += span


def transform_filters(s, jobs, out):
    """Worker s's share of the filters' components (16, blocks, C, ROWS).

    weights (blocks, C, 3, 3, ROWS) are packed filters.
    """
    job = carray(jobs, 1)[0]
    n = job.G * _blocks(job.O) // ROWS * job.C
    weights = at(job.weights, out)
    for i in range(s * n // job.workers, (s + 1) * n // job.workers):
        filter_transform(on(weights, i * 9 * ROWS), on(out, i * ROWS), n * ROWS)


def convolve(s, jobs, y):
    """Worker s's share of y (N·G, O, OH·OW) from images (N·G, C, H, W) and packed weights.

    weights (G, O/ROWS, taps, ROWS); scratch (workers, room) takes the windows of a band of rows,
    and behind them ones: the window of the tap that is the bias.
    """
    job = carray(jobs, 1)[0]
    O, OW, L, taps, bands = job.O, job.OW, job.OH * job.OW, job.taps, job.bands
    offsets, images = at(job.offsets, 0), at(job.images, y)
    windows = on(at(job.scratch, y), s * job.room)
    carray(windows, job.room)[job.size :] = 1
    tasks = job.N * job.G * bands
    for t in range(s * tasks // job.workers, (s + 1) * tasks // job.workers):
        i, band = t // bands, t % bands
        row0, row1 = band * job.OH // bands, (band + 1) * job.OH // bands
        skip = i * job.C * job.H * job.W
        _fill(on(images, skip), band, job, windows)
        weights = on(at(job.weights, y), i % job.G * _blocks(O) * taps)
        result = on(y, i * O * L + row0 * OW)
        _tiles(windows, offsets, taps, weights, (row1 - row0) * OW, O, job.lanes, result, L)


def convolve_winograd(s, jobs, y):
    """As convolve, with the filters' components (16, G, O/ROWS, C, ROWS); a band is rows of tiles.

    Behind the windows lie the transforms of columns, the input's components, the products and a
    row. bad (N·G) says in which images y is not all finite.
    """
    job = carray(jobs, 1)[0]
    C, O, Q, bands, lanes = job.C, job.O, job.Q, job.bands, job.lanes
    offsets, images = at(job.offsets, 0), at(job.images, y)
    windows, most = on(at(job.scratch, y), s * job.room), (job.M // 2 - 1) * Q
    columns = on(windows, job.size)
    components = on(columns, 8 * (job.M // 2 * Q + lanes))
    products = on(components, 16 * (C * most + lanes))
    spare = on(products, 16 * O * most + lanes)
    bad = carray(at(job.bad, 0), job.N * job.G)
    tasks = job.N * job.G * bands
    for t in range(s * tasks // job.workers, (s + 1) * tasks // job.workers):
        i, band = t // bands, t % bands
        row0, row1 = band * job.tile_rows // bands, (band + 1) * job.tile_rows // bands
        tiles, skip, g = (row1 - row0) * Q, i * C * job.H * job.W, i % job.G
        _fill(on(images, skip), band, job, windows)
        _input_transform(windows, job, columns, components)
        for k in range(16):
            x, d = on(components, k * (C * most + lanes)), on(products, k * O * tiles)
            weights = on(at(job.weights, y), (k * job.G + g) * _blocks(O) * C)
            _tiles(x, offsets, C, weights, tiles, O, lanes, d, tiles)
        bias = carray(on(at(job.bias, y), g * O), O)
        rows, result = min(2 * row1, job.OH) - 2 * row0, on(y, i * O * job.OH * job.OW)
        if _output_transform(products, bias, job, 2 * row0, rows, columns, spare, result):
            bad[i] = 1


def weight_gradient(s, jobs, partial):
    """Worker s's part of partial (shares, G·parts, O, taps), from g (N, G, O, OH·OW) and images.

    images (N, G·parts, C, H, W). A task is one [share, group and part]: it sums over its share of
    the images, so that the order of a sum does not depend on the number of workers. O and taps are
    rounded up to whole tiles, and partial holds zeros at first.
    """
    job = carray(jobs, 1)[0]
    N, G, O, L, bands, taps = job.N, job.G, job.O, job.OH * job.OW, job.bands, job.taps
    gp, plane = G * job.parts, job.C * job.H * job.W
    rows = (O + DOT_ROWS - 1) // DOT_ROWS * DOT_ROWS
    offsets, images, g = at(job.offsets, 0), at(job.images, partial), at(job.g, partial)
    windows = on(at(job.scratch, partial), s * job.room)
    tasks = job.shares * gp
    for t in range(s * tasks // job.workers, (s + 1) * tasks // job.workers):
        share, part = t // gp, t % gp
        n, end = share * N // job.shares, (share + 1) * N // job.shares
        while n < end:
            count = min(job.at_once, end - n)
            g_n = on(g, (n * G + part // job.parts) * O * L)
            for band in range(bands):
                row0, row1 = band * job.OH // bands, (band + 1) * job.OH // bands
                for i in range(count):
                    skip = ((n + i) * gp + part) * plane
                    out = on(windows, i * job.size)
                    _fill(on(images, skip), band, job, out)
                for k in range(0, taps, DOT_TAPS):
                    for o in range(0, O, DOT_ROWS):
                        dot_tile(
                            on(g_n, o * L + row0 * job.OW), G * O * L, L, O - 1 - o,
                            windows, job.size, on(offsets, k), count, (row1 - row0) * job.OW,
                            on(partial, (t * rows + o) * taps + k), taps,
                        )  # fmt: skip
            n += count
