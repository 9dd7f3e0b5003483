"""Compiled convolution against the numpy kernels: geometry, threads, vector widths, NaN."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest

from minigrad import kernels
from minigrad.kernels import reference
from minigrad.kernels.machinery import threads as pools

pytest.importorskip("numba")

from minigrad.kernels import compiled
from minigrad.kernels.compiled import conv, conv_costs, conv_im2col, conv_tile, conv_winograd
from minigrad.kernels.machinery import launch

Array = np.ndarray

# N, C, O, H, W, kernel, stride, padding, dilation, groups
GRID = [
    (2, 3, 9, 8, 8, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (3, 1, 16, 28, 28, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (2, 4, 19, 17, 13, (3, 3), (1, 1), (1, 1), (1, 1), 1),  # 11 outputs in the last block
    (2, 16, 1, 14, 14, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (2, 5, 10, 12, 33, (3, 3), (1, 1), (0, 0), (1, 1), 1),  # two outputs in the last block
    (1, 2, 3, 11, 7, (5, 5), (1, 1), (2, 2), (1, 1), 1),
    (1, 2, 3, 30, 40, (1, 19), (1, 1), (0, 9), (1, 1), 1),  # wider than a vector
    (1, 2, 3, 40, 5, (19, 1), (1, 1), (9, 0), (1, 1), 1),
    (1, 2, 3, 9, 9, (3, 3), (1, 1), (5, 4), (1, 1), 1),  # more padding than kernel
    (2, 3, 4, 10, 9, (2, 4), (1, 1), (1, 2), (1, 1), 1),
    (2, 3, 4, 12, 11, (3, 3), (1, 1), (2, 3), (2, 3), 1),
    (2, 3, 4, 19, 18, (3, 3), (2, 2), (1, 1), (1, 1), 1),
    (2, 3, 4, 29, 23, (3, 5), (3, 2), (1, 2), (2, 1), 1),
    (2, 3, 4, 25, 25, (3, 3), (2, 2), (2, 2), (2, 2), 1),
    (2, 6, 9, 9, 9, (3, 3), (1, 1), (1, 1), (1, 1), 3),
    (2, 6, 6, 9, 9, (3, 3), (1, 1), (1, 1), (1, 1), 6),
    (2, 4, 6, 11, 12, (3, 2), (2, 1), (1, 0), (1, 2), 2),
    (2, 3, 8, 7, 9, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (2, 3, 8, 7, 9, (1, 1), (2, 1), (1, 1), (1, 1), 1),
    (2, 3, 4, 1, 50, (1, 3), (1, 1), (0, 1), (1, 1), 1),  # conv1d
    (1, 1, 1, 1, 1, (1, 1), (1, 1), (0, 0), (1, 1), 1),  # fewer pixels than lanes from here on
    (2, 2, 3, 3, 3, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (2, 2, 3, 4, 4, (4, 4), (1, 1), (0, 0), (1, 1), 1),
    (0, 2, 3, 8, 8, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (33, 2, 3, 6, 6, (3, 3), (1, 1), (1, 1), (1, 1), 1),  # shares of unequal size
    (1, 1, 2, 100, 90, (3, 3), (1, 1), (1, 1), (1, 1), 1),  # bands of rows
    (2, 24, 3, 61, 160, (3, 3), (2, 1), (1, 1), (1, 1), 1),  # windows too large for one band
    (2, 5, 5, 9, 7, (3, 3), (2, 2), (1, 1), (1, 1), 5),  # depthwise, with loops of its own
    (3, 6, 6, 8, 31, (5, 3), (1, 2), (2, 0), (2, 1), 6),
    (2, 40, 40, 4, 4, (3, 3), (1, 1), (1, 1), (1, 1), 40),
    (2, 5, 5, 12, 13, (3, 3), (2, 3), (2, 4), (2, 2), 5),
    (1, 4, 4, 5, 70, (1, 3), (1, 1), (3, 5), (1, 1), 4),  # more padding than kernel
]  # fmt: skip
# By Winograd's tiles of 2 x 2 outputs, if made to: all numbers of rows and columns that are left
# over.
WINOGRAD = [
    (2, 32, 33, 17, 15, (3, 3), (1, 1), (1, 1), (1, 1), 1),  # so without being made to
    (2, 64, 64, 8, 8, (3, 3), (1, 1), (1, 1), (1, 1), 1),  # and this: a vector of tiles
    (1, 40, 24, 70, 71, (3, 3), (1, 1), (1, 1), (1, 1), 1),  # bands of rows
    (3, 2, 9, 16, 33, (3, 3), (1, 1), (0, 0), (1, 1), 1),
    (2, 3, 1, 9, 40, (3, 3), (1, 1), (2, 0), (1, 1), 1),
    (2, 3, 4, 9, 11, (3, 3), (1, 1), (4, 3), (1, 1), 1),  # more padding than kernel
    (2, 6, 12, 10, 12, (3, 3), (1, 1), (1, 1), (1, 1), 3),
    (0, 2, 3, 8, 8, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (1, 3, 2, 2, 70, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (1, 3, 2, 70, 2, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (1, 3, 2, 1, 70, (3, 3), (1, 1), (1, 1), (1, 1), 1),
]

# By Winograd's products of all images, if made to: kernels of two and three taps in each phase.
COMPONENTS = [
    (17, 24, 33, 8, 7, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (32, 16, 24, 16, 16, (4, 4), (2, 2), (1, 1), (1, 1), 1),
    (5, 3, 4, 9, 8, (2, 2), (1, 1), (0, 0), (1, 1), 1),
    (3, 4, 5, 11, 13, (6, 6), (2, 2), (2, 2), (1, 1), 1),
    (3, 2, 3, 19, 14, (6, 9), (3, 3), (2, 1), (1, 1), 1),  # axes that differ
    (2, 3, 2, 9, 12, (2, 6), (1, 2), (1, 0), (1, 1), 1),
    (1, 3, 2, 12, 9, (3, 4), (1, 2), (0, 3), (1, 1), 1),
    (4, 2, 3, 3, 2, (3, 3), (1, 1), (4, 3), (1, 1), 1),  # more padding than kernel
    (2, 3, 4, 12, 10, (4, 4), (2, 2), (0, 0), (1, 1), 1),
    (2, 3, 4, 13, 11, (4, 4), (2, 2), (0, 0), (1, 1), 1),  # pixels that no window meets
    (3, 2, 2, 1, 1, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (16, 1, 1, 3, 3, (3, 3), (1, 1), (0, 0), (1, 1), 1),
]


def draw(*shape: int, dtype: object = np.float64, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def arrays(case: tuple[Any, ...], dtype: object) -> tuple[Array, Array, Array, Array, tuple]:
    """x, w, bias, a cotangent, and what follows w in a call."""
    N, C, O, H, W, kernel, stride, padding, dilation, groups = case
    out = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip((H, W), padding, dilation, kernel, stride, strict=True)
    ]
    return (
        draw(N, C, H, W, dtype=dtype),
        draw(O, C // groups, *kernel, dtype=dtype, seed=1),
        draw(O, dtype=dtype, seed=2),
        draw(N, O, *out, dtype=dtype, seed=3),
        (stride, padding, dilation, groups),
    )


def three(module: Any, x: Array, w: Array, b: Array, g: Array, rest: tuple) -> list[Array]:
    """The output, and the gradients of x and of w."""
    return [
        module.conv2d(x, w, *rest, b),
        module.conv2d_input_grad(g, w, x.shape, *rest),
        module.conv2d_weight_grad(g, x, w.shape, *rest),
    ]


def agree(
    x: Array, w: Array, b: Array, g: Array, rest: tuple, by_tile: bool = False
) -> list[Array]:
    """Both modules in agreement, up to the rounding of sums of absolute values this large; or of
    the largest of a plane, as Winograd's sums round by all pixels of a tile."""
    wide = [a.astype(np.float64) for a in (x, w, b, g)]
    expected = three(reference, *wide, rest)
    scale = three(reference, *[np.abs(a) for a in wide], rest)
    results = three(compiled, x, w, b, g, rest)
    # numpy's own sums round in float64, so even for float64 a few units are due
    unit = 16 * np.finfo(x.dtype).eps
    if by_tile:
        scale = [s.max(axis=(2, 3), keepdims=True, initial=0) for s in scale]
    for a, r, s in zip(results, expected, scale, strict=True):
        assert (a.shape, a.dtype) == (r.shape, x.dtype)
        assert (np.abs(a - r) <= unit * s).all()
    return results


def check_grid() -> None:
    for dtype in (np.float32, np.float64):
        for case in GRID:
            *four, rest = arrays(case, dtype)
            agree(*four, rest)
    kept, conv_costs.TRANSFORM = conv_costs.TRANSFORM, SEEM_FREE
    for case in WINOGRAD:
        *four, rest = arrays(case, np.float32)
        agree(*four, rest)
    conv_costs.TRANSFORM = kept


SEEM_FREE = -(10**9)  # what the transforms cost: they pay wherever they can be had


@pytest.fixture
def winograd(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Convolutions take Winograd's form; the list says of each since whether it fell back."""
    monkeypatch.setattr(conv_costs, "TRANSFORM", SEEM_FREE)
    fell: list[bool] = []
    convolve = conv._convolve

    def seen(*args: Any, exact: bool = False) -> Array | None:
        fell.append(exact)
        return convolve(*args, exact=exact)

    monkeypatch.setattr(conv, "_convolve", seen)
    return fell


@pytest.fixture
def components(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Convolutions are products of components wherever they can be; the list names each since,
    and each that fell back."""
    cost, seen = conv_costs.components_cost, []
    monkeypatch.setattr(
        conv_costs, "components_cost", lambda *sizes: min(0.0, cost(*sizes) - 1e300)
    )

    def listed(module: Any, name: str, as_: str) -> None:
        function = getattr(module, name)

        def listing(*args: Any) -> Array:
            seen.append(as_)
            return function(*args)

        monkeypatch.setattr(module, name, listing)

    for name in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad"):
        listed(conv_winograd, name, name)
        listed(conv_im2col, name, f"again: {name}")
    return seen


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    threads = pools._threads
    yield
    pools._threads = threads


@pytest.mark.parametrize("product", [0.0, 1.0, np.inf], ids=["product", "cheapest", "tiles"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", GRID, ids=str)
def test_it_agrees_with_numpy(
    case: tuple, dtype: object, product: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each of the forms, and in the one that is thought the cheapest."""
    cost = conv_costs.product_cost
    monkeypatch.setattr(conv_costs, "product_cost", lambda *sizes: product * (cost(*sizes) + 1))
    *four, rest = arrays(case, dtype)
    before = [a.copy() for a in four]
    agree(*four, rest)
    for a, b in zip(four, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed", range(30))
def test_depthwise_of_random_geometry(seed: int) -> None:
    """Channels that fill no vector, kernels that reach beyond the image, strides that leave pixels
    out; the same bits on one thread and on three."""
    rng = np.random.default_rng(seed)
    draw_pair = lambda low, high: tuple(int(n) for n in rng.integers(low, high, 2))  # noqa: E731
    G, kernel, dilation = int(rng.integers(4, 40)), draw_pair(1, 6), draw_pair(1, 4)
    padding = draw_pair(0, 6)
    H, W = (
        max(1, d * (k - 1) + 1 - 2 * p) + int(rng.integers(0, 12))
        for d, k, p in zip(dilation, kernel, padding, strict=True)
    )
    stride, N = draw_pair(1, 5), int(rng.integers(1, 5))
    case = (N, G, G, H, W, kernel, stride, padding, dilation, G)
    for dtype in (np.float32, np.float64):
        *four, rest = arrays(case, dtype)
        pools._threads = 1
        one = agree(*four, rest)
        pools._threads = 3
        for a, b in zip(one, three(compiled, *four, rest), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", WINOGRAD, ids=str)
def test_winograd_agrees_with_numpy(case: tuple, winograd: list[bool]) -> None:
    *four, rest = arrays(case, np.float32)
    agree(*four, rest)
    assert winograd == [False, False]


@pytest.mark.parametrize("case", COMPONENTS, ids=str)
def test_components_agree_with_numpy(
    case: tuple, components: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    *four, rest = arrays(case, np.float32)
    before = [a.copy() for a in four]
    results = agree(*four, rest, by_tile=True)
    ones = [np.ones_like(a) for a in four]
    for r, e in zip(results, three(reference, *ones, rest), strict=True):
        np.testing.assert_array_equal(r[e == 0], 0)  # what meets nothing has no rounding errors
    for a, b in zip(four, before, strict=True):
        np.testing.assert_array_equal(a, b)
    monkeypatch.setattr(launch, "PARALLEL_FROM", 0)
    for threads in (2, 4):
        kernels.set_num_threads(threads)
        for a, b in zip(results, three(compiled, *four, rest), strict=True):
            np.testing.assert_array_equal(a, b)
    assert components == ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"] * 3


@pytest.mark.parametrize("seed", range(20))
def test_components_of_random_geometry(seed: int, components: list[str]) -> None:
    rng = np.random.default_rng(seed)
    stride = tuple(int(n) for n in rng.integers(1, 4, 2))
    kernel = tuple(int(rng.integers(2, 4)) * s for s in stride)
    padding = tuple(int(n) for n in rng.integers(0, 5, 2))
    H, W = (
        max(1, k - 2 * p) + int(rng.integers(0, 9)) for k, p in zip(kernel, padding, strict=True)
    )
    N, C, O = (int(n) for n in rng.integers(1, 20, 3))
    *four, rest = arrays((N, C, O, H, W, kernel, stride, padding, (1, 1), 1), np.float32)
    agree(*four, rest, by_tile=True)
    assert components == ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"]


def test_components_of_some_images_at_a_time(
    components: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    *four, rest = arrays(COMPONENTS[1], np.float32)
    monkeypatch.setattr(conv_winograd, "ROOM", 1 << 18)
    conv_winograd.form_of.cache_clear()
    try:
        assert conv_winograd.form_of(32, 16, 24, (4, 4), (2, 2), (1, 1), (8, 8)).some < 8
        agree(*four, rest, by_tile=True)
    finally:
        conv_winograd.form_of.cache_clear()
    assert components == ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"]


def test_components_round_as_products_of_all_taps_do(components: list[str]) -> None:
    """In the mean 1 to 2.4 times as far from float64, as BLAS has it: the sums of pixels and of
    filters that are multiplied are larger than either."""
    for kernel, stride in (((3, 3), (1, 1)), ((4, 4), (2, 2))):
        case = (16, 64, 64, 8, 8, kernel, stride, (1, 1), (1, 1), 1)
        x, w, b, g, rest = arrays(case, np.float32)
        wide = three(reference, *[a.astype(np.float64) for a in (x, w, b, g)], rest)
        errors = []
        for module in (compiled, conv_im2col):
            results = three(module, x, w, b, g, rest)
            errors.append([np.abs(a - r).mean() for a, r in zip(results, wide, strict=True)])
        assert (np.array(errors[0]) <= 4 * np.array(errors[1])).all(), errors


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_by_components(value: float, components: list[str]) -> None:
    for case in COMPONENTS:
        check_nan_and_inf(case, value)
    assert {name.removeprefix("again: ") for name in components if "again" in name} == {
        "conv2d", "conv2d_input_grad", "conv2d_weight_grad",
    }  # fmt: skip


def test_components_leave_the_bits_of_other_images_alone(components: list[str]) -> None:
    x, w, b, g, rest = arrays(COMPONENTS[1], np.float32)
    before = three(compiled, x, w, b, g, rest)
    x[5, 0, 3, 3], g[7, 2, 0, 0] = np.inf, np.nan
    after = three(compiled, x, w, b, g, rest)
    for image, a, r in zip((5, 7), after, before, strict=False):
        others = np.arange(len(a)) != image
        np.testing.assert_array_equal(a[others], r[others])
        assert not np.isfinite(a[image]).all()
    assert "again: conv2d" in components and "again: conv2d_input_grad" in components


def test_components_are_taken_where_they_pay() -> None:
    def ratio(N: int, C: int, O: int, side: int, kernel: int, stride: int, **other: Any) -> float:
        settings = {"dilation": (1, 1), "G": 1, "itemsize": 4, **other}
        pair, apart, out = (kernel, kernel), (stride, stride), (side, side)
        cost = conv_costs.components_cost(
            N, settings["G"], C, O, pair, apart, settings["dilation"], out, settings["itemsize"]
        )
        return cost / conv_costs.weights_cost(N, 1, C, O, pair, apart, out, 4)

    assert ratio(32, 128, 256, 4, 4, 2) < 1 and ratio(16, 256, 256, 8, 3, 1) < 1
    assert ratio(64, 3, 16, 28, 3, 1) > 1 and ratio(1, 64, 64, 8, 3, 1) > 1
    for other in ({"dilation": (2, 2)}, {"G": 2}, {"itemsize": 8}):
        assert ratio(32, 128, 256, 4, 4, 2, **other) == np.inf
    assert ratio(32, 128, 256, 4, 1, 1) == ratio(32, 128, 256, 4, 7, 2) == np.inf
    assert conv_costs.components_cost(0, 1, 8, 8, (3, 3), (1, 1), (1, 1), (4, 4), 4) == np.inf


def test_winograd_is_taken_where_it_pays() -> None:
    square, single = (3, 3), np.dtype(np.float32)
    usual = (square, (1, 1), (1, 1))

    def pays(channels: int, side: int, settings: Any = usual, dtype: Any = single) -> bool:
        return conv_costs.winograd_pays(channels, channels, (side, side), settings, dtype)

    assert pays(64, 16) and pays(64, 28)
    assert not pays(1, 28) and not pays(64, 3)
    assert not pays(64, 28, dtype=np.dtype(np.float64))
    for other in (((5, 5), (1, 1), (1, 1)), (square, (2, 2), (1, 1)), (square, (1, 1), (1, 2))):
        assert not pays(64, 28, other)


def test_winograd_rounds_no_worse_than_sums_over_all_taps(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w, b, g, rest = arrays((4, 64, 64, 16, 16, (3, 3), (1, 1), (1, 1), (1, 1), 1), np.float32)
    wide = three(reference, *[a.astype(np.float64) for a in (x, w, b, g)], rest)
    errors = []
    for cost in (SEEM_FREE, -SEEM_FREE):
        monkeypatch.setattr(conv_costs, "TRANSFORM", cost)
        results = three(compiled, x, w, b, g, rest)
        errors.append([np.abs(a - r).max() for a, r in zip(results[:2], wide[:2], strict=True)])
    assert (np.array(errors[0]) <= errors[1]).all()  # sums of 64 terms, not of 576


def test_what_overflows_in_the_transforms_is_summed_directly(winograd: list[bool]) -> None:
    x, w, b, _, rest = arrays(WINOGRAD[3], np.float32)
    x[...] = np.where(x > 0, 2e38, -2e38)  # two of them make an infinity
    w /= 1e3
    y = compiled.conv2d(x, w, *rest, b)
    assert np.isfinite(y).all() and winograd == [False, True]
    np.testing.assert_allclose(y, reference.conv2d(x, w, *rest, b), rtol=1e-4, atol=1e32)


def test_an_image_with_nan_leaves_the_bits_of_others_alone(winograd: list[bool]) -> None:
    x, w, b, _, rest = arrays(WINOGRAD[1], np.float32)
    before = compiled.conv2d(x, w, *rest, b)
    x[1, 0, 0, 0] = np.nan
    after = compiled.conv2d(x, w, *rest, b)
    np.testing.assert_array_equal(after[0], before[0])
    assert np.isnan(after[1, :, :2, :2]).all() and np.isfinite(after[1, :, 2:]).all()
    assert winograd == [False, False, True]


@pytest.mark.parametrize("side", [15, 16, 17])
def test_what_is_cropped_away_is_no_result(side: int, winograd: list[bool]) -> None:
    rest = ((1, 1), (3, 3), (1, 1), 1)  # so much padding that the outer rows of g meet no pixel
    g = draw(2, 9, side + 4, side + 4, dtype=np.float32)
    w = draw(9, 8, 3, 3, dtype=np.float32, seed=1)
    expected = compiled.conv2d_input_grad(g, w, (2, 8, side, side), *rest)
    g[:, :, [0, -1]] = np.nan
    g[:, :, :, [0, -1]] = np.inf
    dx = compiled.conv2d_input_grad(g, w, (2, 8, side, side), *rest)
    np.testing.assert_array_equal(dx, expected)
    assert winograd == [False, False]


def test_it_agrees_with_plain_loops() -> None:
    x, w, b, _, rest = arrays((2, 4, 6, 7, 9, (3, 2), (1, 1), (1, 1), (1, 2), 2), np.float64)
    y = naive.conv2d(x.tolist(), w.tolist(), b.tolist(), *rest)
    np.testing.assert_allclose(compiled.conv2d(x, w, *rest, b), y, rtol=1e-13, atol=1e-13)
    without = naive.conv2d(x.tolist(), w.tolist(), None, *rest)
    np.testing.assert_allclose(compiled.conv2d(x, w, *rest), without, rtol=1e-13, atol=1e-13)


def test_inputs_of_components_may_lie_anyhow_in_memory(components: list[str]) -> None:
    check_layouts(COMPONENTS[1])
    assert len(components) == 3 * 4 + 2


def test_inputs_may_lie_anyhow_in_memory() -> None:
    check_layouts(GRID[0])


def check_layouts(case: tuple) -> None:
    x, w, b, g, rest = arrays(case, np.float32)
    expected = three(compiled, x, w, b, g, rest)
    turned = [np.ascontiguousarray(a.T).T for a in (x, w, b, g)]
    strided = [np.repeat(a, 2, -1)[..., ::2] for a in (x, w, b, g)]
    frozen = [a.copy() for a in (x, w, b, g)]
    for a in frozen:
        a.flags.writeable = False
    for inputs in (turned, strided, frozen):
        for a, r in zip(three(compiled, *inputs, rest), expected, strict=True):
            np.testing.assert_array_equal(a, r)
    one = np.broadcast_to(np.float32(1), g.shape)  # the cotangent of a sum
    a = compiled.conv2d_weight_grad(one, x, w.shape, *rest)
    np.testing.assert_array_equal(
        a, compiled.conv2d_weight_grad(np.ones_like(g), x, w.shape, *rest)
    )


# ---------------------------------------------------------------------------- promises


@pytest.mark.parametrize(
    "case", [GRID[0], GRID[4], GRID[14], GRID[24], GRID[25], GRID[26], *WINOGRAD[:3]], ids=str
)
def test_the_same_bits_for_every_number_of_threads(
    case: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "PARALLEL_FROM", 0)
    for dtype in (np.float32, np.float64):
        *four, rest = arrays(case, dtype)
        results = []
        for n in (1, 2, 4):
            kernels.set_num_threads(n)
            results.append([a.tobytes() for a in three(compiled, *four, rest)])
        assert results[0] == results[1] == results[2]


def test_large_weights_are_split_by_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    for case in (GRID[0], GRID[14], (3, 12, 6, 9, 9, (3, 3), (1, 1), (1, 1), (1, 1), 2)):
        *four, rest = arrays(case, np.float64)
        monkeypatch.setattr(conv_costs, "PARTIAL", 1)
        agree(*four, rest)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("case", GRID, ids=str)
def test_nan_and_inf_touch_what_they_meet_and_nothing_else(case: tuple, value: float) -> None:
    check_nan_and_inf(case, value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_by_winograd(value: float, winograd: list[bool]) -> None:
    for case in WINOGRAD[1], WINOGRAD[3]:
        check_nan_and_inf(case, value)
    assert any(winograd)


def check_nan_and_inf(case: tuple, value: float) -> None:
    x, w, b, g, rest = arrays(case, np.float32)
    if not x.size:
        return
    for a, at in ((x, (-1, 0, 0, 0)), (g, (0, -1, 0, -1)), (w, (0, 0, 0, 0)), (b, (-1,))):
        kept, a[at] = a[at], value
        with np.errstate(invalid="ignore"):
            expected = three(reference, x, w, b, g, rest)
            results = three(compiled, x, w, b, g, rest)
        for i, (r, e) in enumerate(zip(results, expected, strict=True)):
            if a is w and i == 1:  # the padding of g is multiplied like that of x: 0 · inf is NaN
                assert not np.isfinite(r[~np.isfinite(e)]).any()
                r, e = r[:, 1:], e[:, 1:]
            np.testing.assert_array_equal(np.isnan(r), np.isnan(e))
            np.testing.assert_array_equal(np.isinf(r), np.isinf(e))
        a[at] = kept


def test_no_pixel_of_the_last_vector_is_summed_twice() -> None:
    x, w, _, g, rest = arrays((1, 1, 2, 17, 13, (3, 3), (1, 1), (1, 1), (1, 1), 1), np.float32)
    for j in range(17 * 13 - 40, 17 * 13):  # summed twice, if by 0, inf would become NaN
        at = (0, 0, j // 13, j % 13)
        kept, x[at] = x[at], np.inf
        dw = compiled.conv2d_weight_grad(g, x, w.shape, *rest)
        assert (
            np.isinf(dw).sum() == np.isinf(reference.conv2d_weight_grad(g, x, w.shape, *rest)).sum()
            and not np.isnan(dw).any()
        )
        x[at] = kept


def test_nothing_is_read_that_was_not_written(
    monkeypatch: pytest.MonkeyPatch, winograd: list[bool]
) -> None:
    def full(shape: tuple[int, ...], dtype: Any) -> Array:
        return np.full(shape, np.nan, dtype)

    monkeypatch.setattr(conv, "empty", full)
    check_grid()
    assert True not in winograd  # for results that look like NaN


NARROW = [""]  # what every CPU of the family has
if platform.machine() in ("x86_64", "AMD64"):
    NARROW.append("+sse4.2,+avx,+avx2,+fma")


@pytest.mark.slow
@pytest.mark.parametrize(
    "features",
    [pytest.param(NARROW[0], marks=pytest.mark.fuzz), *NARROW[1:]],
    ids=["least", "avx2"][: len(NARROW)],
)
def test_narrower_vectors_give_the_same_numbers(
    features: str, pytestconfig: pytest.Config
) -> None:
    # compiled code of its own, kept from one run of the tests to the next
    folder = pytestconfig.cache.mkdir("narrower_vectors")
    width = 32 if "avx2" in features else 16
    if features and f"+{features.rsplit('+', 1)[1]}" not in conv_tile.cpu_features():
        pytest.skip("the code made for these vectors would not run on this CPU")
    code = (
        "import test_conv_kernels as t\n"
        f"assert t.conv_tile.VECTOR_BYTES == {width}, t.conv_tile.VECTOR_BYTES\n"
        "t.check_grid()\n"
    )
    environment = os.environ | {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(folder),
        "PYTHONPATH": os.pathsep.join(
            [*map(str, Path(__file__).parents[:2]), str(Path(kernels.__file__).parents[2])]
        ),
    }
    run = [sys.executable, "-W", "error", "-c", code]
    subprocess.run(run, check=True, env=environment, timeout=300)
