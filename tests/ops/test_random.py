"""Random numbers: reproducible, in range, and with the distribution they claim."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor
from minigrad.nn import functional as F

DRAWS = [
    lambda: minigrad.rand(50), lambda: minigrad.randn(50), lambda: minigrad.randint(0, 9, (50,)),
    lambda: minigrad.randperm(50), lambda: minigrad.normal(0.0, 1.0, (50,)),
    lambda: minigrad.bernoulli(minigrad.full((50,), 0.5)), lambda: F.dropout(minigrad.ones(50)),
    lambda: minigrad.multinomial(minigrad.ones(50), 50), lambda: minigrad.zeros(50).uniform_(),
    lambda: minigrad.zeros(50).normal_(), lambda: minigrad.rand_like(minigrad.zeros(50)),
]  # fmt: skip


@pytest.mark.parametrize("draw", DRAWS)
def test_the_seed_repeats_and_the_state_continues(draw: Any) -> None:
    minigrad.manual_seed(3)
    first, second = draw().array, draw().array
    minigrad.manual_seed(3)
    np.testing.assert_array_equal(draw().array, first)
    state = minigrad.get_rng_state()
    np.testing.assert_array_equal(draw().array, second)
    minigrad.set_rng_state(state)
    np.testing.assert_array_equal(draw().array, second)
    assert (first != second).any()


def test_ranges_and_moments() -> None:
    n = 40_000  # the tolerances are 5 standard errors
    u = minigrad.rand(n).array
    assert u.dtype == np.float32 and (u >= 0).all() and (u < 1).all()
    assert abs(u.mean() - 0.5) < 5 * np.sqrt(1 / 12 / n)
    z = minigrad.randn(n, dtype=np.float64).array
    assert z.dtype == np.float64
    assert abs(z.mean()) < 5 / np.sqrt(n) and abs(z.var() - 1) < 5 * np.sqrt(2 / n)
    i = minigrad.randint(-2, 3, (n,)).array
    assert set(i.tolist()) == {-2, -1, 0, 1, 2}
    np.testing.assert_array_equal(np.sort(minigrad.randperm(100).array), np.arange(100))
    v = minigrad.zeros(n).uniform_(2.0, 5.0).array
    assert v.min() >= 2 and v.max() <= 5 and abs(v.mean() - 3.5) < 5 * np.sqrt(9 / 12 / n)
    w = minigrad.multinomial(minigrad.tensor([1.0, 0.0, 3.0]), n, replacement=True).array
    assert not (w == 1).any() and abs((w == 2).mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / n)
    assert sorted(minigrad.multinomial(minigrad.ones(5), 5).tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("p", [0.2, 0.8])
def test_dropout_scales_what_it_keeps(p: float) -> None:
    n = 40_000
    x = minigrad.ones(n, dtype=np.float64, requires_grad=True)
    y = F.dropout(x, p)
    kept = y.array != 0
    assert abs(kept.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / n)
    np.testing.assert_allclose(y.array[kept], 1 / (1 - p), rtol=1e-15)
    y.backward(np.full(n, 3.0))
    np.testing.assert_allclose(x.grad.array, 3 * y.array, rtol=1e-15)  # type: ignore[union-attr]


@pytest.mark.parametrize("p", [0.2, 0.8])
@pytest.mark.parametrize("name", ["alpha_dropout", "feature_alpha_dropout"])
def test_alpha_dropout_keeps_mean_and_variance(name: str, p: float) -> None:
    x = minigrad.randn(400, 100, 3, dtype=np.float64).requires_grad_()
    y = getattr(F, name)(x, p, training=True)
    lowest = -1.0507009873554805 * 1.6732632423543772  # of SELU
    a = 1 / np.sqrt((1 - p) * (1 + p * lowest**2))
    dropped = np.isclose(y.array, a * lowest * (1 - p), 1e-12)
    np.testing.assert_allclose(
        y.array[~dropped], a * (x.array[~dropped] - p * lowest), rtol=1e-12, atol=1e-12
    )
    n = y.numel() / (3 if name.startswith("feature") else 1)
    assert abs(dropped.mean() - p) < 5 * np.sqrt(p * (1 - p) / n)
    assert abs(y.array.mean()) < 6 / np.sqrt(n) and abs(y.array.var() - 1) < 12 / np.sqrt(n)
    if name.startswith("feature"):
        assert (dropped == dropped[:, :, :1]).all()
    y.backward(np.full(y.shape, 3.0))
    np.testing.assert_allclose(x.grad.array, 3 * a * ~dropped, rtol=1e-12)  # type: ignore[union-attr]
    assert getattr(F, name)(x, p) is x and not getattr(F, name)(x, 1.0, True).array.any()


@pytest.mark.parametrize(
    ("name", "shape"),
    [("dropout1d", (50, 8, 5)), ("dropout2d", (50, 8, 3, 4)), ("dropout3d", (50, 8, 2, 3, 2))],
)
def test_channel_dropout_takes_whole_channels(name: str, shape: Any) -> None:
    y = getattr(F, name)(Tensor(np.ones(shape)), 0.5).array.reshape(*shape[:2], -1)
    assert set(np.unique(y)) == {0.0, 2.0}
    assert (y == y[:, :, :1]).all()
    assert 0 < (y[:, :, 0] == 0).sum() < y[:, :, 0].size


def test_threads_share_one_generator_from_the_first_call_on() -> None:
    program = (
        "import threading, minigrad as mg; from minigrad.ops.random import generator\n"
        "together, found = threading.Barrier(4), []\n"
        "def ask(): together.wait(); found.append(id(generator()))\n"
        "threads = [threading.Thread(target=ask) for _ in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "assert len(set(found)) == 1 and mg.manual_seed(0).numpy is generator()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_probabilities_are_floating() -> None:
    """As in PyTorch, and nothing is drawn by what is refused."""
    state = minigrad.get_rng_state()
    x = minigrad.zeros(3)
    for p in (minigrad.tensor([1, 0, 1]), minigrad.tensor([True, False, True])):
        for name, draw in (
            ("bernoulli", lambda p: minigrad.bernoulli(p)),
            ("bernoulli_", lambda p: x.bernoulli_(p)),
            ("multinomial", lambda p: minigrad.multinomial(p, 1)),
        ):
            with pytest.raises(RuntimeError, match=rf"{name}: .* must be floating, got {p.dtype}"):
                draw(p)
    assert minigrad.get_rng_state() == state and x.tolist() == [0, 0, 0]
    ones = minigrad.tensor([1, 0]), minigrad.zeros(2, dtype=minigrad.int64)
    assert minigrad.bernoulli(ones[0], 1.0).tolist() == [1, 1]  # where p is given x says the shape
    assert ones[1].bernoulli_(1.0).tolist() == [1, 1]
