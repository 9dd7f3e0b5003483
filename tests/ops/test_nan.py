"""NaN in the inputs or in the gradient of single operations, where users met it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor
from minigrad.nn import functional as F

# What PyTorch does at NaN depends on whether an element fell to its vector instructions.

AT_NAN: list[tuple[str, Callable[[Tensor], Tensor], float]] = [
    ("elu", F.elu, np.nan), ("selu", F.selu, np.nan), ("celu", F.celu, np.nan),
    ("hardswish", F.hardswish, np.nan), ("hardtanh", F.hardtanh, 0), ("relu6", F.relu6, 0),
    ("hardsigmoid", F.hardsigmoid, 0), ("clamp", lambda x: x.clamp(-1, 1), 0),
    ("clamp by tensors", lambda x: x.clamp(minigrad.zeros_like(x), minigrad.ones_like(x)), 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "f", "expected"), AT_NAN, ids=[name for name, *_ in AT_NAN])
def test_gradient_at_nan(kernels: str, name: str, f: Any, expected: float) -> None:
    for dtype in ("f4", "f8"):
        for size in (*range(1, 20), 33, 1000, 100_000):
            x = Tensor(np.full(size, np.nan, dtype), requires_grad=True)
            y = f(x)
            y.backward(np.ones(size, dtype))
            assert np.isnan(y.array).all() and x.grad is not None
            np.testing.assert_array_equal(x.grad.array, np.full(size, expected, dtype))


# Reported by users.


@pytest.mark.parametrize("name", ["adaptive_avg_pool2d", "adaptive_max_pool2d"])
def test_an_adaptive_pool_keeps_nan_in_its_cells(kernels: str, name: str) -> None:
    a = np.ones((1, 1, 5, 5), np.float32)
    a[0, 0, 0, 0] = np.nan
    x = Tensor(a, requires_grad=True)
    y = getattr(F, name)(x, 3)
    assert np.isnan(y.array).sum() == 1 and np.isnan(y.array[0, 0, 0, 0])
    g = np.ones((1, 1, 3, 3), np.float32)
    g[0, 0, 2, 2] = np.nan
    y.backward(g)
    assert x.grad is not None
    row, column = np.nonzero(np.isnan(x.grad.array[0, 0]))
    assert min(row) >= 3 and min(column) >= 3  # the last cell is rows and columns 3 and 4


def test_label_smoothing_with_every_target_ignored_has_no_gradient(kernels: str) -> None:
    x = minigrad.tensor([[1.0, 2, 3], [0, 1, 0]], requires_grad=True)
    loss = F.cross_entropy(x, minigrad.tensor([-100, -100]), label_smoothing=0.1)
    loss.backward()
    assert np.isnan(loss.item()) and x.grad is not None
    np.testing.assert_array_equal(x.grad.array, 0)


def test_lerp_is_exact_at_both_ends() -> None:
    a, b = minigrad.tensor([1e30, 3.0]), minigrad.tensor([1.0, 0.1])
    assert minigrad.lerp(a, b, 0.0).tolist() == a.tolist()
    assert minigrad.lerp(a, b, 1.0).tolist() == b.tolist()


def test_logsumexp_of_nan_has_gradient_nan() -> None:
    x = minigrad.tensor([np.nan, 1.0, 2.0], requires_grad=True)
    x.logsumexp(0).backward()
    assert x.grad is not None and np.isnan(x.grad.array).all()


def test_unique_and_searchsorted() -> None:
    """Each NaN is an element of its own."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for _ in range(300):
        a = rng.choice([np.nan, np.inf, -np.inf, 0.0, 1.0, 2.0], rng.integers(7))
        ours, theirs = (
            m.unique(m.from_numpy(a), return_inverse=True, return_counts=True)
            for m in (minigrad, torch)
        )
        for y, t in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(y.array, t.numpy())
        edges = np.sort(rng.choice([-np.inf, np.inf, 0.0, 1.0, 2.0], 4))
        for right in (False, True):
            found, expected = (
                m.searchsorted(m.from_numpy(edges), m.from_numpy(a), right=right)
                for m in (minigrad, torch)
            )
            np.testing.assert_array_equal(found.array, expected.numpy())
