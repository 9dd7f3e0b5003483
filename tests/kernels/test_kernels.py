"""The two kernel modules: the same face, the same numbers, and the promises made for them."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cases import batch_norm_shapes
from minigrad import kernels
from minigrad.kernels import reference
from minigrad.kernels.machinery import threads as pools

try:
    from minigrad.kernels import compiled
except ImportError:  # the library works without, on the numpy kernels, and so do their tests
    compiled = None

needs_numba = pytest.mark.skipif(compiled is None, reason="numba cannot be imported")
BOTH = [reference, pytest.param(compiled, marks=needs_numba)]
EPS = 1e-5
Array = np.ndarray
Pair = tuple[int, int]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    default, threads = kernels._default, pools._threads
    yield
    kernels._default = default
    pools._threads = threads


def draw(*shape: int, dtype: object = np.float64, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


NORMS = ["moments", "batch_norm", "normalize", "batch_norm_backward", "normalize_backward"]
NORMS += ["group_norm", "group_norm_backward"]
ROWS = ["layer_norm", "layer_norm_backward", "rms_norm", "rms_norm_backward"]
CONV = ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"]
POOL = ["max_pool2d", "max_pool2d_backward", "avg_pool2d", "avg_pool2d_backward"]
STEPS = ["move_stats_", "sgd_step_", "adam_step_", "add_at_"]
NAMES = [*NORMS, *ROWS, *CONV, *POOL, "cross_entropy", "cross_entropy_backward"]
RECURRENT = ["rnn", "rnn_backward", "lstm", "lstm_backward", "gru", "gru_backward"]
NAMES += [*RECURRENT, "relu", "relu_backward", *STEPS]


@needs_numba
def test_both_modules_have_the_same_functions_in_the_same_order() -> None:
    for module in (reference, compiled):
        functions = [getattr(module, name) for name in NAMES]
        files = {f.__module__ for f in functions}
        for file in files:  # within each file the functions stand in the agreed order
            lines = [f.__code__.co_firstlineno for f in functions if f.__module__ == file]
            assert lines == sorted(lines), file
        public = {
            n
            for n, f in vars(module).items()
            if inspect.isfunction(f) and n[0] != "_" and f.__module__ in files
        }
        assert public == set(NAMES)
    for name in NAMES:
        plain, fast = getattr(reference, name), getattr(compiled, name)
        assert inspect.signature(plain) == inspect.signature(fast), name


# ---------------------------------------------------------------------------- equal numbers


def same(reference: object, result: object, dtype: object) -> None:
    """Equal shapes and dtypes, and numbers up to the rounding of the inputs' dtype."""
    if not isinstance(reference, tuple):
        reference, result = (reference,), (result,)
    assert len(reference) == len(result)
    for a, b in zip(reference, result, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if a.size:
            tolerance = 3e-6 if dtype == np.float32 else 1e-12
            scale = max(1.0, float(np.abs(a[np.isfinite(a)]).max(initial=0.0)))
            np.testing.assert_allclose(b, a, rtol=0, atol=tolerance * scale)


def laid_out(a: Array, how: str) -> Array:
    """The same numbers, differently placed in memory."""
    if how == "contiguous":
        return a
    if how == "strided":
        big = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
        big[..., ::2] = a
        return big[..., ::2]
    if how == "read-only":
        a = a.copy()
        a.flags.writeable = False
        return a
    return np.ascontiguousarray(a.T).T


def agree(name: str, *args: object) -> object:
    """Call both, compare, check that no argument changed; the result of the reference."""
    before = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    expected = getattr(reference, name)(*args)
    result = getattr(compiled, name)(*args)
    dtype = next(a.dtype for a in args if isinstance(a, np.ndarray))
    same(expected, result, dtype)
    for a, b in zip(args, before, strict=True):
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
    return expected


LAYOUTS = ["contiguous", "strided", "transposed", "read-only"]
SHAPES = [(64, 100, 1), (300, 300, 1), (5, 3, 7), (8, 12, 900), (1, 3, 5000), (2, 1, 1),
          (1, 1, 2), (0, 3, 4), (0, 3, 1), (3, 4, 0), (3, 1, 1),
          *batch_norm_shapes(1 << 17)]  # fmt: skip


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_agrees(shape: tuple[int, int, int], dtype: object) -> None:
    C = shape[1]
    for how in LAYOUTS if shape[0] < 64 else LAYOUTS[:1]:
        x = laid_out(3 + draw(*shape, dtype=dtype), how)
        g = laid_out(draw(*shape, dtype=dtype, seed=1), how)
        gamma, beta = draw(C, dtype=dtype, seed=2), draw(C, dtype=dtype, seed=3)
        for a, b in ((gamma, beta), (gamma, None), (None, beta), (None, None)):
            agree("moments", x)
            _, mean, _, inv_std = agree("batch_norm", x, a, b, EPS)
            agree("normalize", x, mean, inv_std, a, b)
            agree("batch_norm_backward", g, x, mean, inv_std, a)
            agree("normalize_backward", g, x, mean, inv_std, a)


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "groups"), [((3, 6, 5), 2), ((2, 4, 1), 2), ((1, 4, 7), 4), ((0, 4, 3), 2),
                          ((2, 4, 0), 2), ((9, 32, 300), 8)]
)  # fmt: skip
def test_group_norm_agrees(shape: tuple[int, int, int], groups: int, dtype: object) -> None:
    for how in LAYOUTS if shape[0] < 9 else LAYOUTS[:1]:
        x = laid_out(2 + draw(*shape, dtype=dtype), how)
        g = laid_out(draw(*shape, dtype=dtype, seed=1), how)
        gamma, beta = draw(shape[1], dtype=dtype, seed=2), draw(shape[1], dtype=dtype, seed=3)
        for a, b in ((gamma, beta), (None, None)):
            _, mean, _, inv_std = agree("group_norm", x, a, b, groups, EPS)
            agree("group_norm_backward", g, x, mean, inv_std, a, groups)


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7, 5), (1, 3), (4, 1), (0, 3), (400, 300), (3, 0)])
def test_row_norms_and_cross_entropy_agree(shape: Pair, dtype: object) -> None:
    N, D = shape
    for how in LAYOUTS if N < 64 else LAYOUTS[:1]:
        x = laid_out(2 + draw(N, D, dtype=dtype), how)
        g = laid_out(draw(N, D, dtype=dtype, seed=1), how)
        gamma, beta = draw(D, dtype=dtype, seed=2), draw(D, dtype=dtype, seed=3)
        for a, b in ((gamma, beta), (None, None)):
            _, mean, inv_std = agree("layer_norm", x, a, b, EPS)
            agree("layer_norm_backward", g, x, mean, inv_std, a)
            _, inv_rms = agree("rms_norm", x, a, EPS)
            agree("rms_norm_backward", g, x, inv_rms, a)
        if D:
            target = np.arange(N) % D
            _, log_sum = agree("cross_entropy", x, target)
            agree("cross_entropy_backward", draw(N, dtype=dtype), x, log_sum, target)


# N, C, H, W, O, kernel, stride, padding, dilation, groups
CONVOLUTIONS = [
    (4, 3, 9, 8, 6, (3, 2), (1, 1), (1, 0), (1, 1), 1),
    (2, 4, 10, 11, 6, (3, 3), (2, 3), (2, 1), (2, 1), 2),
    (3, 4, 5, 5, 4, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (3, 4, 5, 5, 4, (1, 1), (2, 2), (0, 0), (1, 1), 1),
    (0, 4, 5, 5, 4, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (2, 4, 6, 6, 8, (3, 3), (1, 1), (1, 1), (1, 1), 4),
    (1, 1, 3, 3, 1, (3, 3), (2, 2), (3, 3), (1, 1), 1),
    (20, 8, 20, 20, 8, (3, 3), (1, 1), (1, 1), (1, 1), 1),
]


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolution_agrees(case: tuple, dtype: object) -> None:
    N, C, H, W, O, kernel, *rest = case
    for how in LAYOUTS if N < 20 else LAYOUTS[:1]:
        x = laid_out(draw(N, C, H, W, dtype=dtype), how)
        w = laid_out(draw(O, C // rest[3], *kernel, dtype=dtype, seed=1), how)
        y = agree("conv2d", x, w, *rest)
        g = laid_out(draw(*y.shape, dtype=dtype, seed=2), how)
        agree("conv2d_input_grad", g, w, x.shape, *rest)
        agree("conv2d_weight_grad", g, x, w.shape, *rest)


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolution_is_its_definition_and_its_gradients_are_adjoint(case: tuple) -> None:
    N, C, H, W, O, (KH, KW), stride, padding, dilation, groups = case
    x, w = draw(N, C, H, W), draw(O, C // groups, KH, KW, seed=1)
    y = reference.conv2d(x, w, stride, padding, dilation, groups)
    for n, o, p, q in np.argwhere(np.ones(y.shape, bool))[::17]:
        total = 0.0
        for c in range(C // groups):
            for a in range(KH):
                for b in range(KW):
                    h = p * stride[0] - padding[0] + a * dilation[0]
                    v = q * stride[1] - padding[1] + b * dilation[1]
                    if 0 <= h < H and 0 <= v < W:
                        channel = o // (O // groups) * (C // groups) + c
                        total += x[n, channel, h, v] * w[o, c, a, b]
        assert y[n, o, p, q] == pytest.approx(total, abs=1e-12)
    g = draw(*y.shape, seed=2)  # <g, conv(x, w)> = <dx, x> = <dw, w>
    dx = reference.conv2d_input_grad(g, w, x.shape, stride, padding, dilation, groups)
    dw = reference.conv2d_weight_grad(g, x, w.shape, stride, padding, dilation, groups)
    assert (dx * x).sum() == pytest.approx((g * y).sum(), abs=1e-9)
    assert (dw * w).sum() == pytest.approx((g * y).sum(), abs=1e-9)


# kernel, stride, padding, dilation, output size; x is 9 x 8
POOLS = [
    ((2, 2), (2, 2), (0, 0), (1, 1), (4, 4)),
    ((2, 2), (2, 2), (0, 0), (1, 1), (5, 4)),  # ceil mode: the last row of windows overhangs
    ((3, 3), (2, 2), (1, 1), (1, 1), (5, 5)),
    ((3, 2), (2, 1), (1, 0), (2, 3), (4, 5)),
]


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_pooling_agrees(case: tuple, dtype: object) -> None:
    kernel, stride, padding, dilation, size = case
    for how in LAYOUTS:
        x = draw(3, 4, 9, 8, dtype=dtype)
        x[0, 1] = 1  # ties
        x[1, 1] = -np.inf
        x[0, 0, 3, 3] = np.nan
        x = laid_out(x, how)
        y, index = reference.max_pool2d(x, kernel, stride, padding, dilation, size)
        y2, index2 = compiled.max_pool2d(x, kernel, stride, padding, dilation, size)
        np.testing.assert_array_equal(y, y2)
        np.testing.assert_array_equal(index, index2)
        g = laid_out(draw(*y.shape, dtype=dtype, seed=1), how)
        agree("max_pool2d_backward", g, index, x.shape)
        x = laid_out(draw(3, 4, 9, 8, dtype=dtype), how)
        for include in (True, False):
            for divisor in (None, 5):
                rest = (kernel, stride, padding, size, include, divisor)
                agree("avg_pool2d", x, *rest)
                agree("avg_pool2d_backward", g, x.shape, *rest)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [*range(2, 12), 28, 33])
def test_maxima_of_two_by_two(width: int, dtype: object) -> None:
    """In vectors where a row has enough windows: any width, ties, and what is not finite."""
    size = (3, width // 2)
    for odd in (0.0, np.nan, np.inf, -np.inf):
        x = np.round(draw(2, 3, 7, width, dtype=dtype))
        x[draw(*x.shape, dtype=dtype, seed=1) > 0.8] = odd
        args = (x, (2, 2), (2, 2), (0, 0), (1, 1), size)
        for a, b in zip(reference.max_pool2d(*args), compiled.max_pool2d(*args), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("k", BOTH)
def test_pooling_by_hand(k: object) -> None:
    x = np.array([[1.0, 3.0, 3.0], [np.nan, 0.0, 2.0], [5.0, 4.0, 1.0]])[None, None]
    y, index = k.max_pool2d(x, (2, 2), (2, 2), (0, 0), (1, 1), (2, 2))
    np.testing.assert_array_equal(y[0, 0], [[np.nan, 3], [5, 1]])
    np.testing.assert_array_equal(index[0, 0], [[3, 2], [6, 8]])
    _, index = k.max_pool2d(x[:, :, :1], (1, 3), (1, 1), (0, 0), (1, 1), (1, 1))
    assert index.item() == 1  # the first of two equal maxima
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    whole = k.avg_pool2d(x, (2, 2), (2, 2), (1, 1), (2, 2), True, None)
    np.testing.assert_allclose(whole[0, 0], [[1 / 4, 5 / 4], [11 / 4, 28 / 4]])
    inner = k.avg_pool2d(x, (2, 2), (2, 2), (1, 1), (2, 2), False, None)
    np.testing.assert_allclose(inner[0, 0], [[1, 2.5], [5.5, 7]])


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("how", LAYOUTS[:3])
def test_in_place_kernels_give_the_same_floats(dtype: object, how: str) -> None:
    def arrays() -> list[Array]:
        return [laid_out(draw(5, 4, dtype=dtype, seed=s), how) for s in range(2)] + [
            laid_out(draw(5, 4, dtype=dtype, seed=s) ** 2, how) for s in range(2)
        ]

    for options in ((0.1, 0.9, [0], 0.01, True, False), (0.1, 0.9, [0.1], 0, False, True)):
        (p, g, m, _), (p2, g2, m2, _) = arrays(), arrays()
        reference.sgd_step_([p], [g], [m], *options)
        compiled.sgd_step_([p2], [g2], [m2], *options)
        np.testing.assert_array_equal(p, p2)
        np.testing.assert_array_equal(m, m2)
        assert not np.array_equal(p, arrays()[0])
    reference.sgd_step_([p], [g], [None], 0.1, 0, [0], 0, False, False)
    compiled.sgd_step_([p2], [g2], [None], 0.1, 0, [0], 0, False, False)
    np.testing.assert_array_equal(p, p2)
    for decoupled in (False, True):
        rest = (0.1, 0.9, 0.99, 1e-8, 0.01, [3], decoupled, not decoupled)
        (p, g, m, v), (p2, g2, m2, v2) = arrays(), arrays()
        reference.adam_step_([p], [g], [m], [v], *rest)
        compiled.adam_step_([p2], [g2], [m2], [v2], *rest)
        for a, b in ((p, p2), (m, m2), (v, v2)):
            np.testing.assert_allclose(a, b, rtol=1e-6 if dtype == np.float32 else 1e-14)
    index = np.array([3, 0, 3, 4, 3])
    (out, rows, *_), (out2, rows2, *_) = arrays(), arrays()
    reference.add_at_(out, index, rows)
    compiled.add_at_(out2, index, rows2)
    np.testing.assert_array_equal(out, out2)


@needs_numba
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_a_group_of_parameters_moves_as_each_alone(
    kind: str, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On any number of threads, and where two parameters share memory: one after the other."""
    from minigrad.kernels.compiled import steps
    from minigrad.kernels.machinery import launch

    for module in (steps, launch):
        monkeypatch.setattr(module, "PARALLEL_FROM", 1)
    sizes = [0, 1, steps.CHUNK, 3, steps.CHUNK + 1, 3 * steps.CHUNK - 1]

    def arrays() -> list[list[Array]]:
        lists = [[draw(n, seed=i) ** (1 + i // 3) for n in sizes] for i in range(4)]
        if shared:
            lists[0].append(lists[0][-1][5:])  # the last one's memory
            for others in lists[1:]:
                others.append(others[-1][5:].copy())
        return lists

    def step(backend: Any, lists: list[list[Array]]) -> None:
        count = len(lists[0])
        if kind == "sgd":
            backend.sgd_step_(*lists[:3], 0.1, 0.9, [0.1] * count, 0.01, True, False)
        else:
            backend.adam_step_(*lists, 0.1, 0.9, 0.99, 1e-8, 0.01, [2] * count, True, False)

    expected = arrays()
    for single in zip(*expected, strict=True):
        step(reference, [[a] for a in single])
    for threads in (1, 2, 4):
        kernels.set_num_threads(threads)
        found = arrays()
        step(compiled, found)
        for ours, theirs in zip(found, expected, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3), (5,), (7, 9, 300)])
def test_relu_agrees(shape: tuple[int, ...], dtype: object) -> None:
    x = draw(*shape, dtype=dtype)
    x.reshape(-1)[:4] = [0.0, -0.0, np.nan, np.inf][: x.size]
    for how in LAYOUTS if x.ndim > 1 else LAYOUTS[:1]:
        y = agree("relu", laid_out(x, how))
        agree("relu_backward", laid_out(draw(*shape, dtype=dtype, seed=1), how), y)


@needs_numba
@pytest.mark.parametrize("how", ["contiguous", "strided"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spoilt", [[], [2, 4]])
def test_moving_statistics(dtype: object, how: str, spoilt: list[int]) -> None:
    start = draw(5, dtype=dtype), draw(5, dtype=dtype, seed=1) ** 2
    batch_mean, batch_var = draw(5, seed=2), draw(5, seed=3) ** 2
    batch_mean[spoilt] = np.nan
    for module in (reference, compiled):
        mean, var = (laid_out(a.copy(), how) for a in start)
        count = np.array(7)
        moves = (mean, var, batch_mean, batch_var, 0.25, 1.5, count)
        assert module.move_stats_(*moves).tolist() == spoilt
        if spoilt:  # nothing has moved
            for a, was in ((mean, start[0]), (var, start[1]), (count, 7)):
                np.testing.assert_array_equal(a, was)
            assert module.move_stats_(*moves, partly=True).tolist() == spoilt
        want_mean = 0.75 * start[0] + 0.25 * batch_mean
        want_var = 0.75 * start[1] + 0.25 * 1.5 * batch_var
        want_mean[spoilt], want_var[spoilt] = start[0][spoilt], start[1][spoilt]
        rtol = 1e-6 if dtype == np.float32 else 1e-14  # what is stored has been rounded
        np.testing.assert_allclose(mean, want_mean, rtol)
        np.testing.assert_allclose(var, want_var, rtol)
        assert count == 8


@needs_numba
def test_compiled_kernels_refuse_indices_outside_the_array() -> None:
    x = draw(3, 4)
    for wrong in (-1, 4):
        index = np.array([0, 1, wrong])
        with pytest.raises(IndexError, match="out of range"):
            compiled.cross_entropy(x, index)
        with pytest.raises(IndexError, match="out of range"):
            compiled.add_at_(np.zeros((4, 4)), index, x)


# ---------------------------------------------------------------------------- accuracy


LAYOUT_SHAPES = [(512, 24, 1), (16, 24, 100)]


def by_definition(x: Array) -> Array:
    wide = x.astype(np.longdouble)
    d = wide - wide.mean((0, 2), keepdims=True)
    return d / np.sqrt((d * d).mean((0, 2), keepdims=True) + np.longdouble(EPS))


@pytest.mark.parametrize("k", BOTH)
@pytest.mark.parametrize("shape", LAYOUT_SHAPES)
@pytest.mark.parametrize("offset", [0, 1, 1e2, 1e3, 1e4, 1e5, 1e6])
def test_float32_is_within_1e_6_at_any_offset(k: object, shape: tuple, offset: float) -> None:
    x = draw(*shape) * np.linspace(0.1, 10, shape[1])[:, None]
    x = (x + offset).astype(np.float32)
    x[0, :3] = 1e4  # a first value that is far from the others must not matter
    y, mean, var, _ = k.batch_norm(x, None, None, EPS)
    inside = np.abs(by_definition(x)) < 8  # above 8 half a unit in the last place is 5e-7 already
    assert np.abs(y - by_definition(x))[inside].max() < 1e-6
    wide = x.astype(np.longdouble)
    error = (mean - wide.mean((0, 2))) / np.sqrt(wide.var((0, 2)))
    assert np.abs(error).max() < 2e-7
    np.testing.assert_allclose(var, wide.var((0, 2)).astype(float), rtol=1e-6)


@pytest.mark.parametrize("k", BOTH)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", LAYOUT_SHAPES)
def test_constant_features_are_exactly_beta(k: object, dtype: object, shape: tuple) -> None:
    C = shape[1]
    values = np.array([0.1, 1e10, -3.7e6, 1e30, 1e-30, 0] * (C // 6), dtype)
    x = np.broadcast_to(values[:, None], shape)
    beta = draw(C, dtype=dtype)
    y, mean, var, _ = k.batch_norm(x, draw(C, dtype=dtype, seed=1), beta, EPS)
    np.testing.assert_array_equal(y, np.broadcast_to(beta[:, None], shape))
    np.testing.assert_array_equal(mean, values.astype(np.float64))
    np.testing.assert_array_equal(var, 0)


@pytest.mark.parametrize("k", BOTH)
@pytest.mark.parametrize("scale", [1e-30, 1e15, 1e30, 1e38])
@pytest.mark.parametrize("shape", LAYOUT_SHAPES)
def test_huge_and_tiny_values(k: object, scale: float, shape: tuple) -> None:
    x = (draw(*shape) * scale).clip(-3e38, 3e38).astype(np.float32)
    g = draw(*shape, seed=1).astype(np.float32)
    eps = EPS if scale > 1 else 0.0
    y, mean, _, inv_std = k.batch_norm(x, None, None, eps)
    wide = x.astype(np.float64)
    y_ref, mean_ref, _, r_ref = reference.batch_norm(wide, None, None, eps)
    np.testing.assert_allclose(y, y_ref, atol=1e-6)
    dx, dgamma, _ = k.batch_norm_backward(g, x, mean, inv_std, None)
    dx_ref, dgamma_ref, _ = reference.batch_norm_backward(
        g.astype(np.float64), wide, mean_ref, r_ref, None
    )
    np.testing.assert_allclose(dgamma, dgamma_ref, atol=1e-4)
    np.testing.assert_allclose(dx, dx_ref, atol=2e-6 * r_ref.max() + 1e-44)


@pytest.mark.parametrize("k", BOTH)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("shape", LAYOUT_SHAPES)
def test_nan_and_inf_stay_in_their_feature(k: object, bad: float, shape: tuple) -> None:
    x, g = draw(*shape, dtype=np.float32), draw(*shape, dtype=np.float32, seed=1)
    y0, mean0, _, inv0 = k.batch_norm(x, None, None, EPS)
    back0 = k.batch_norm_backward(g, x, mean0, inv0, None)
    others = np.arange(shape[1]) != 5
    for place in (0, 3):
        z = x.copy()
        z[place, 5, 0] = bad
        y, mean, _, inv_std = k.batch_norm(z, None, None, EPS)
        assert np.isnan(y[:, 5]).all()
        np.testing.assert_array_equal(y[:, others], y0[:, others])
        dx, dgamma, dbeta = k.batch_norm_backward(g, z, mean, inv_std, None)
        assert np.isnan(dx[:, 5]).all()
        for a, b in zip((dx[:, others], dgamma[others], dbeta[others]), back0, strict=True):
            np.testing.assert_array_equal(a, b[:, others] if b.ndim == 3 else b[others])


def test_reference_carry_derivatives_in_complex128() -> None:
    """Complex step through the forward against the backward: every formula, to 1e-12."""
    h = 1e-30
    x, t, g = draw(6, 5, 4), draw(6, 5, 4, seed=1), draw(6, 5, 4, seed=2)
    gamma, tg, tb = draw(5, seed=3), draw(5, seed=4), draw(5, seed=5)
    y = reference.batch_norm(x + 1j * h * t, gamma + 1j * h * tg, 1j * h * tb, EPS)[0]
    _, mean, _, inv_std = reference.batch_norm(x, gamma, None, EPS)
    dx, dgamma, dbeta = reference.batch_norm_backward(g, x, mean, inv_std, gamma)
    vjp = (dx * t).sum() + (dgamma * tg).sum() + (dbeta * tb).sum()
    assert (g * y.imag).sum() / h == pytest.approx(vjp, rel=1e-12)

    x, t, g = x[:, :, 0], t[:, :, 0], g[:, :, 0]
    y = reference.layer_norm(x + 1j * h * t, gamma + 1j * h * tg, 1j * h * tb, EPS)[0]
    _, mean, inv_std = reference.layer_norm(x, gamma, None, EPS)
    dx, dgamma, dbeta = reference.layer_norm_backward(g, x, mean, inv_std, gamma)
    vjp = (dx * t).sum() + (dgamma * tg).sum() + (dbeta * tb).sum()
    assert (g * y.imag).sum() / h == pytest.approx(vjp, rel=1e-12)

    y = reference.rms_norm(x + 1j * h * t, gamma + 1j * h * tg, EPS)[0]
    _, inv_rms = reference.rms_norm(x, gamma, EPS)
    dx, dgamma = reference.rms_norm_backward(g, x, inv_rms, gamma)
    assert (g * y.imag).sum() / h == pytest.approx((dx * t).sum() + (dgamma * tg).sum(), rel=1e-12)

    target, row = np.array([0, 4, 2, 2, 1, 3]), draw(6, seed=6)
    loss = reference.cross_entropy(x + 1j * h * t, target)[0]
    _, log_sum = reference.cross_entropy(x, target)
    dx = reference.cross_entropy_backward(row, x, log_sum, target)
    assert (row * loss.imag).sum() / h == pytest.approx((dx * t).sum(), rel=1e-12)

    x, t = draw(2, 3, 9, 8), draw(2, 3, 9, 8, seed=1)
    for kernel, stride, padding, dilation, size in POOLS:
        y, index = reference.max_pool2d(x + 1j * h * t, kernel, stride, padding, dilation, size)
        g = draw(*y.shape, seed=2)
        dx = reference.max_pool2d_backward(g, index, x.shape)
        assert (g * y.imag).sum() / h == pytest.approx((dx * t).sum(), rel=1e-12)
        rest = (kernel, stride, padding, size, False, None)
        y = reference.avg_pool2d(x + 1j * h * t, *rest)
        dx = reference.avg_pool2d_backward(g, x.shape, *rest)
        assert (g * y.imag).sum() / h == pytest.approx((dx * t).sum(), rel=1e-12)


def test_cross_entropy_is_stable() -> None:
    x = np.array([[1e4, 0.0, -1e4], [-1e4, -1e4, -1e4]], np.float32)
    for k in filter(None, (reference, compiled)):
        loss, _ = k.cross_entropy(x, np.array([0, 1]))
        np.testing.assert_allclose(loss, [0, np.log(3)], atol=1e-15)
        loss, _ = k.cross_entropy(x, np.array([2, 1]))
        np.testing.assert_allclose(loss, [2e4, np.log(3)], rtol=1e-12)


# ---------------------------------------------------------------------------- threads


def everything() -> bytes:
    """All bits that the parallel kernels give for arrays large enough to be shared out."""
    out: list[Array] = []
    for shape in ((1200, 300, 1), (8, 40, 1000)):
        x, g = draw(*shape, dtype=np.float32), draw(*shape, dtype=np.float32, seed=1)
        y, mean, var, inv_std = compiled.batch_norm(x, None, None, EPS)
        out += [y, mean, var, *compiled.batch_norm_backward(g, x, mean, inv_std, None)]
        y, mean, var, inv_std = compiled.group_norm(x, None, None, 10, EPS)
        out += [y, *compiled.group_norm_backward(g, x, mean, inv_std, None, 10)]
        out += [y := compiled.relu(x), compiled.relu_backward(g, y)]
        rows, g = x.reshape(shape[0], -1), g.reshape(shape[0], -1)
        y, mean, inv_std = compiled.layer_norm(rows, None, None, EPS)
        out += [y, *compiled.layer_norm_backward(g, rows, mean, inv_std, None)]
    return b"".join(a.tobytes() for a in out)


@needs_numba
def test_no_kernel_is_compiled_without_nan_and_inf() -> None:
    """With LLVM's flags nnan and ninf, as in fastmath=True, checks for NaN and inf are deleted."""
    from numba.core.dispatcher import Dispatcher

    found = 0
    for name, module in list(sys.modules.items()):
        if name.startswith("minigrad.kernels."):
            for function in vars(module).values():
                if isinstance(function, Dispatcher):
                    flags = function.targetoptions.get("fastmath") or set()
                    assert flags <= {"reassoc", "contract", "nsz", "arcp"}, (name, function)
                    found += 1
    assert found > 50


@needs_numba
def test_same_bits_for_any_number_of_threads() -> None:
    from minigrad.kernels.machinery import launch

    kernels.set_num_threads(1)
    one = everything()
    kernels.set_num_threads(2)
    calls = []
    asked = launch.get_num_threads

    def counting() -> int:
        calls.append(1)
        return asked()

    launch.get_num_threads = counting
    try:
        two = everything()
    finally:
        launch.get_num_threads = asked
    if launch._MOST > 1:
        assert calls  # or the comparison says nothing
    assert one == two


@needs_numba
def test_user_threads_may_call_at_once() -> None:
    expected, found = everything(), []
    users = [threading.Thread(target=lambda: found.append(everything())) for _ in range(4)]
    for t in users:
        t.start()
    for t in users:
        t.join()
    assert found == [expected] * 4


@pytest.mark.slow
@needs_numba
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
def test_forked_child_computes_the_same() -> None:
    program = (
        "import os, sys, hashlib, warnings; from test_kernels import everything\n"
        "warnings.simplefilter('ignore'); a = everything(); pid = os.fork()\n"
        "if pid == 0: os._exit(0 if everything() == a else 3)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) or everything() != a)"
    )
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=paths, timeout=120)
    assert done.returncode == 0


def test_numbers_of_threads_are_checked() -> None:
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            kernels.set_num_threads(wrong)
    for odd in (1.0, "2", True, None):
        with pytest.raises(TypeError, match="must be an int"):
            kernels.set_num_threads(odd)
    kernels.set_num_threads(3)
    assert kernels.get_num_threads() == 3


# ---------------------------------------------------------------------------- the choice


def elsewhere() -> str:
    """What a thread with a context of its own gets."""
    found: list[str] = []
    t = threading.Thread(target=lambda: found.append(kernels.kernels_in_use()))
    t.start()
    t.join()
    return found[0]


@needs_numba
def test_a_plain_call_chooses_for_the_process_and_with_for_this_context() -> None:
    kernels.use_kernels("numba")
    assert kernels.kernels_in_use() == elsewhere() == "numba"
    with kernels.use_kernels("numpy"):
        assert kernels.kernels_in_use() == "numpy"
        assert elsewhere() == "numba"
        with kernels.use_kernels("numba"):
            assert kernels.kernels_in_use() == "numba"
        assert kernels.kernels_in_use() == "numpy"
    assert kernels.kernels_in_use() == elsewhere() == "numba"
    with pytest.raises(KeyError), kernels.use_kernels("numpy"):
        raise KeyError
    assert kernels.kernels_in_use() == "numba"
    kernels.use_kernels("numpy")
    assert kernels.kernels_in_use() == elsewhere() == "numpy"


def test_unknown_kernels_are_refused_and_change_nothing() -> None:
    kernels.use_kernels("numpy")
    with pytest.raises(ValueError, match="numba, numpy"):
        kernels.use_kernels("fortran")
    assert kernels.kernels_in_use() == "numpy"


@needs_numba
def test_only_float32_and_float64_are_compiled_for() -> None:
    kernels.use_kernels("numba")
    f, d = np.zeros(1, np.float32), np.zeros(1)
    assert kernels.backend_for(f, None, f) is kernels.backend_for(d, d) is compiled
    for others in (
        (f, d),
        (d + 0j,),
        (f.astype(np.float16),),
        (f.astype(int),),
        (f, f.astype(">f4")),
    ):
        assert kernels.backend_for(*others) is reference


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_environment_sets_the_start() -> None:
    ask = "from minigrad.kernels import kernels_in_use as k; print(k())"
    assert python(ask, MINIGRAD_KERNELS="numpy").stdout.strip() == "numpy"
    wrong = python(ask, MINIGRAD_KERNELS="fortran").stderr
    assert re.search(r"ValueError: MINIGRAD_KERNELS.*'fortran'.*numba, numpy", wrong)


def test_importing_loads_no_numba_and_its_absence_is_said_once() -> None:
    code = (
        "import sys, warnings; import minigrad.kernels as k\n"
        "assert 'numba' not in sys.modules\n"
        "sys.modules['numba'] = None\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always'); used = k.kernels_in_use(), k.kernels_in_use()\n"
        "print(used, len(seen), seen[0].category.__name__)"
    )
    done = python(code, MINIGRAD_KERNELS="numba")
    assert done.stdout.strip() == "('numpy', 'numpy') 1 RuntimeWarning", done.stderr


@needs_numba
@pytest.mark.parametrize("shape", [(6, 4, 1), (3, 4, 10), (3, 4, 40)])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("which", range(4))
def test_parameters_that_are_not_finite_have_the_same_outputs(
    shape: tuple[int, ...], value: float, which: int
) -> None:
    x = draw(*shape, dtype=np.float32)
    given = [np.zeros(4), np.ones(4), np.ones(4, np.float32), np.zeros(4, np.float32)]
    given[which][1] = value
    gamma, beta = given[2:]
    rows = x.reshape(-1, 4)
    with np.errstate(invalid="ignore"):
        fast, plain = (
            [
                k.normalize(x, *given),
                k.batch_norm(x, gamma, beta, EPS)[0],
                k.group_norm(x, gamma, beta, 2, EPS)[0],
                k.layer_norm(rows, gamma, beta, EPS)[0],
            ]
            for k in (compiled, reference)
        )
    for a, b in zip(fast, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
