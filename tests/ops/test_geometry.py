"""Convolution and pooling of random geometries against PyTorch: results and all gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")
Rng = np.random.Generator
Shape = tuple[int, ...]
REFUSALS = (ValueError, TypeError, IndexError, RuntimeError)
Draw = Callable[[Rng], tuple[list[Shape], dict[str, Any]]]


def some(rng: Rng, low: int, high: int, n: int = 2) -> Any:
    """n integers from low to high; now and then one that stands for all."""
    values = tuple(int(v) for v in rng.integers(low, high + 1, n))
    return values[0] if n == 1 or rng.random() < 0.3 else values


def lead(rng: Rng, channels: int, size: Shape, least: int = 0) -> Shape:
    """The shape of the input: a batch, perhaps an empty one, or a single image."""
    batch = int(rng.integers(least, 4))
    return (channels, *size) if rng.random() < 0.2 else (batch, channels, *size)


def convolution(axes: int) -> Draw:
    def draw(rng: Rng) -> tuple[list[Shape], dict[str, Any]]:
        groups = int(rng.choice([1, 1, 2, 3]))
        inner, outer = int(rng.integers(1, 4)), int(rng.integers(1, 4)) * groups
        size = tuple(int(n) for n in rng.integers(1, 11, axes))
        taps = tuple(int(n) for n in rng.integers(1, 5, axes))
        padding: Any = some(rng, 0, 3, axes)
        stride = some(rng, 1, 3, axes)
        if rng.random() < 0.2:
            padding = str(rng.choice(["same", "valid"]))
            stride = 1 if padding == "same" else stride
        shapes = [lead(rng, inner * groups, size), (outer, inner, *taps)]
        options = {"stride": stride, "padding": padding, "dilation": some(rng, 1, 3, axes),
                   "groups": groups}  # fmt: skip
        return shapes + ([(outer,)] if rng.random() < 0.5 else []), options

    return draw


def transposed(axes: int) -> Draw:
    def draw(rng: Rng) -> tuple[list[Shape], dict[str, Any]]:
        groups = int(rng.choice([1, 1, 2, 3]))
        inner, outer = int(rng.integers(1, 4)) * groups, int(rng.integers(1, 4))
        size, taps = rng.integers(1, 7, axes).tolist(), rng.integers(1, 5, axes).tolist()
        # PyTorch checks nothing when the batch is empty
        shapes = [lead(rng, inner, tuple(size), least=1), (inner, outer, *taps)]
        options = {"stride": some(rng, 1, 4, axes), "padding": some(rng, 0, 2, axes),
                   "groups": groups, "output_padding": some(rng, 0, 3, axes),
                   "dilation": some(rng, 1, 4, axes)}  # fmt: skip
        return shapes + ([(outer * groups,)] if rng.random() < 0.5 else []), options

    return draw


def pooling(axes: int, kind: str) -> Draw:
    def draw(rng: Rng) -> tuple[list[Shape], dict[str, Any]]:
        size = tuple(int(n) for n in rng.integers(1, 12, axes))
        kernel = some(rng, 1, 4, axes)
        options: dict[str, Any] = {"kernel_size": kernel, "ceil_mode": bool(rng.random() < 0.5),
                                   "padding": some(rng, 0, 2, axes)}  # fmt: skip
        if rng.random() < 0.7:
            options["stride"] = some(rng, 1, 4, axes)
        if kind == "max":
            options["dilation"] = some(rng, 1, 3, axes)
            options["return_indices"] = bool(rng.random() < 0.5)
        else:
            options["count_include_pad"] = bool(rng.random() < 0.5)
            if axes == 2 and rng.random() < 0.3:
                options["divisor_override"] = int(rng.choice([-3, 1, 5]))
        return [lead(rng, int(rng.integers(1, 4)), size)], options

    return draw


def adaptive(rng: Rng) -> tuple[list[Shape], dict[str, Any]]:
    size = tuple(int(n) for n in rng.integers(1, 12, 2))
    wanted: Any = some(rng, 1, 12)
    if rng.random() < 0.2 and isinstance(wanted, tuple):
        wanted = (None, wanted[1])
    return [lead(rng, int(rng.integers(1, 4)), size)], {"output_size": wanted}


OPS: dict[str, Draw] = {
    "conv1d": convolution(1), "conv2d": convolution(2), "conv_transpose2d": transposed(2),
    "max_pool1d": pooling(1, "max"), "max_pool2d": pooling(2, "max"),
    "avg_pool1d": pooling(1, "avg"), "avg_pool2d": pooling(2, "avg"),
    "adaptive_avg_pool2d": adaptive, "adaptive_max_pool2d": adaptive,
    "conv_transpose1d": transposed(1), "conv_transpose3d": transposed(3),
}  # fmt: skip


def run(m: Any, name: str, arrays: list[Any], options: dict[str, Any], rng: Rng) -> list[Any]:
    """Outputs and gradients as arrays."""
    xs = [m.from_numpy(a.copy()).requires_grad_() for a in arrays]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyTorch has advice about padding="same"
        out = getattr(m.nn.functional, name)(*xs, **options)
    y, *rest = out if isinstance(out, tuple) else (out,)
    if np.isinf(y.detach().numpy()).any():
        return [y.detach().numpy()]  # of a window without elements PyTorch's backward writes astray
    cotangent = np.asarray(rng.standard_normal(tuple(y.shape)), arrays[0].dtype)
    y.backward(m.from_numpy(cotangent))
    return [v.detach().numpy() for v in (y, *rest)] + [x.grad.numpy() for x in xs]


def compare(name: str, seed: int) -> bool:
    """Whether PyTorch takes this geometry; fails where the two differ."""
    rng = np.random.default_rng([seed, list(OPS).index(name)])
    shapes, options = OPS[name](rng)
    dtype = np.dtype(rng.choice(["f4", "f8"]))
    arrays = [rng.standard_normal(s).astype(dtype) for s in shapes]
    what = f"{name}{shapes} {options} {dtype}"
    try:
        expected: Any = run(torch, name, arrays, options, np.random.default_rng(seed))
    except REFUSALS:
        expected = None
    axes = int(name[-2])
    if expected is not None and 0 in expected[0].shape[-axes:]:
        expected = None  # some of PyTorch's float32 kernels let an output without pixels pass
    for kernels in ("numpy", "numba"):
        with minigrad.use_kernels(kernels):
            if expected is None:
                with pytest.raises(REFUSALS, match=name):
                    run(minigrad, name, arrays, options, np.random.default_rng(seed))
                continue
            found = run(minigrad, name, arrays, options, np.random.default_rng(seed))
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert a.shape == b.shape and a.dtype == b.dtype, f"{what} {kernels} {i}"
            # atol: sums of up to some thousand products of numbers near 1
            atol = 1e-4 if dtype.itemsize == 4 else 1e-12
            np.testing.assert_allclose(a, b, 1e-5, atol, err_msg=f"{what} {kernels} {i}")
    return expected is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", OPS)
def test_random_geometries(name: str) -> None:
    taken = sum(compare(name, seed) for seed in range(60))
    assert taken >= 20  # not all of them refused


@pytest.mark.fuzz
@pytest.mark.parametrize("name", OPS)
def test_many_random_geometries(name: str) -> None:
    for seed in range(100, 1100):
        compare(name, seed)


def test_output_padding_of_the_stride(kernels: str) -> None:
    """As reported by users: the weight's gradient."""
    x, w = minigrad.ones(1, 1, 3, 3), minigrad.ones(1, 1, 2, 2, requires_grad=True)
    y = minigrad.nn.functional.conv_transpose2d(x, w, stride=2, dilation=3, output_padding=2)
    y.sum().backward()
    assert w.grad is not None and w.grad.tolist() == [[[[9.0, 9.0], [9.0, 9.0]]]]
