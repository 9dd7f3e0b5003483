"""Sums of products: gradients of factors that broadcasting stretched."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import minigrad as mg
from minigrad.kernels.compiled.dots import dots
from minigrad.kernels.machinery import launch
from minigrad.kernels.machinery import threads as pools


def test_random_axes_and_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "PARALLEL_FROM", 1)
    rng, done = np.random.default_rng(0), 0
    for trial in range(600):
        rank = int(rng.integers(1, 5))
        shape = rng.integers(0 if trial % 20 == 0 else 1, 300 if rank < 3 else 20, rank)
        axes = tuple(np.flatnonzero(rng.random(rank) < 0.5).tolist())
        x = rng.standard_normal(shape).astype(np.float32)
        lent = [1 if rng.random() < 0.4 else int(n) for n in shape]
        y = rng.standard_normal(lent).astype(np.float32)[..., :: int(rng.choice([1, -1]))]
        if rng.random() < 0.3:
            x, y = (np.asfortranarray(v) for v in (x, y))
        if rng.random() < 0.3:
            y = y.reshape(y.shape[int(np.argmax(np.append(np.array(lent) != 1, True))) :])
        found = []
        for threads in (1, 2, 3):
            monkeypatch.setattr(pools, "_threads", threads)
            found.append(dots(x, y, axes))
        if found[0] is None:
            assert not x.size or not axes or len(axes) == rank or rank - 1 not in axes
            continue
        done += 1
        expected = (x.astype(np.float64) * y).sum(axes, keepdims=True)
        np.testing.assert_allclose(found[0], expected, 1e-9, 1e-9)
        assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
    assert done > 200


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("shapes", [
    ((300, 1), (400,)), ((20, 16, 30, 10), (16, 1, 1)), ((500, 200), (200,)),
    ((500, 200), (500, 1)), ((9, 8, 50, 20), (9, 1, 1, 20)), ((300, 1), (300, 400)),
    ((100_000,), ()),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("special", [False, True])
def test_products_as_in_pytorch(shapes: tuple[tuple[int, ...], ...], special: bool) -> None:
    torch = pytest.importorskip("torch")
    rng, found = np.random.default_rng(0), []
    arrays = [np.asarray(rng.standard_normal(s), np.float32) for s in shapes]
    if special:
        for a in arrays:
            a.reshape(-1)[::97] = np.resize([np.inf, np.nan, -np.inf, 0], a.reshape(-1)[::97].shape)
    for m, dtype in ((mg, np.float32), (torch, np.float64)):
        x, y = (m.from_numpy(np.asarray(a, dtype)).requires_grad_() for a in arrays)
        z = x * y
        g = np.random.default_rng(1).standard_normal(tuple(z.shape)).astype(np.float32)
        z.backward(m.from_numpy(g.astype(dtype)))
        found.append([x.grad.numpy(), y.grad.numpy()])
    for got, expected in zip(*found, strict=True):
        assert got.dtype == np.float32 and got.shape == expected.shape
        np.testing.assert_allclose(got, expected, 2e-6, 1e-5)
