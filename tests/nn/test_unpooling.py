"""Max pooling with the places of its maxima, and back; the pools beside PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F

torch = pytest.importorskip("torch")


def both(shape: tuple[int, ...], values: Any = None) -> tuple[Any, Any]:
    """A leaf of both libraries."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal(shape) if values is None else rng.choice(values, shape)
    return torch.from_numpy(a).requires_grad_(), mg.tensor(a).requires_grad_()


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"stride": 3}, {"padding": 1}, {"stride": (2,)}])
def test_there_and_back(n: int, options: Any) -> None:
    options = {k: v * n if isinstance(v, tuple) else v for k, v in options.items()}
    xs = both((2, 3, 8, 7, 9)[: n + 2])
    results = []
    for m, x in ((torch, xs[0]), (mg, xs[1])):
        pool = getattr(m.nn, f"MaxPool{n}d")(3, **options, return_indices=True)
        unpool = getattr(m.nn, f"MaxUnpool{n}d")(3, **options)
        y, places = pool(x)
        z = unpool(y, places, output_size=x.shape)
        # where windows overlap, a maximum has several gradients, and one value
        (z * m.arange(z.numel()).reshape(z.shape)).sum().backward()
        results.append([repr(unpool), z.detach().numpy(), x.grad.numpy(), places.numpy()])
    assert results[0][0] == results[1][0]
    for theirs, ours in zip(results[0][1:], results[1][1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("values", [[0.0, 1.0], [0.0, 1.0, np.nan], [-np.inf, np.nan]])
def test_adaptive_ties_and_nan(n: int, values: Any) -> None:
    """Which of several is taken, in cells that overlap."""
    for size in (1, 2, 3, (2, 3, 3)[:n], (5, 4, 2)[:n]):
        results = []
        for m, x in zip((torch, mg), both((3, 2, 5, 4, 3)[: n + 2], values), strict=True):
            layer = getattr(m.nn, f"AdaptiveMaxPool{n}d")(size, return_indices=True)
            y, places = layer(x)
            (y * m.arange(y.numel()).reshape(y.shape)).sum().backward()
            results.append([y.detach().numpy(), places.numpy(), x.grad.numpy()])
        for theirs, ours in zip(*results, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m, x, i: m.nn.functional.max_unpool2d(x, i + 16, 2), "from 16 to 16 do not fit"),
        (lambda m, x, i: m.nn.functional.max_unpool2d(x, i - 1, 2), "from -1 to -1 do not fit"),
        (lambda m, x, i: m.nn.functional.max_unpool2d(x, i.int(), 2), "expected int64 indices"),
        (lambda m, x, i: m.nn.functional.max_unpool2d(x, i[:1], 2), "the input's shape"),
        (lambda m, x, i: m.nn.functional.max_unpool2d(x[0, 0], i[0, 0], 2), "got shape"),
        (lambda m, x, i: m.nn.functional.max_unpool2d(x, i, 2, output_size=(6, 4)), "less than a"),
        (lambda m, x, i: m.nn.functional.max_unpool2d(x, i, 2, output_size=(4,)), "2 sizes"),
        (lambda m, x, i: m.nn.functional.adaptive_max_pool3d(x, (1, 2)), "one size or three"),
        (lambda m, x, i: m.nn.functional.adaptive_max_pool1d(x, 2), "got shape"),
    ],
)
def test_refused(call: Any, text: str) -> None:
    for m in (torch, mg):
        x, i = m.ones(2, 3, 2, 2), m.zeros(2, 3, 2, 2, dtype=m.int64)
        with pytest.raises((RuntimeError, ValueError), match=text if m is mg else "."):
            call(m, x, i)


def test_refused_layers() -> None:
    with pytest.raises(ValueError, match="MaxUnpool2d: kernel_size must be at least 1"):
        nn.MaxUnpool2d(0)
    with pytest.raises((TypeError, ValueError), match="AdaptiveMaxPool3d: output_size must be"):
        nn.AdaptiveMaxPool3d((1, 2))
    with pytest.raises(TypeError, match="max_unpool1d: indices"):
        F.max_unpool1d(mg.ones(1, 2), [0, 1], 2)  # type: ignore[arg-type]
