"""The largest elements of cells, with ties and NaN, as in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import minigrad as mg
from minigrad.kernels.compiled.cells import largest
from minigrad.kernels.machinery import launch
from minigrad.kernels.machinery import threads as pools
from minigrad.nn import functional as F
from minigrad.ops import adaptive


def test_as_in_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(launch, "PARALLEL_FROM", 1)
    monkeypatch.setattr(adaptive, "FROM", 1)
    values = np.array([-2, -0.0, 0, 1, 3, np.inf, -np.inf], np.float32)
    for trial in range(150):
        rng = np.random.default_rng(trial)
        monkeypatch.setattr(pools, "_threads", trial % 3 + 1)
        shape = (*rng.integers(1, 6, 2).tolist(), *rng.integers(1, 60, 2).tolist())
        size = [int(n) for n in rng.integers(1, [shape[2] + 3, shape[3] + 3])]
        a = rng.standard_normal(shape).astype(np.float32)
        if trial % 3 == 1:
            a = rng.choice(values, shape)
        if trial % 3 == 2:
            a[rng.random(shape) < 0.1] = np.nan
        x = mg.from_numpy(a).requires_grad_()
        t = torch.from_numpy(a).requires_grad_()
        y, index = F.adaptive_max_pool2d(x, size, return_indices=True)
        expected, places = torch.nn.functional.adaptive_max_pool2d(t, size, return_indices=True)
        g = rng.standard_normal(y.shape).astype(np.float32)
        y.backward(mg.from_numpy(g))
        expected.backward(torch.from_numpy(g))
        assert x.grad is not None
        np.testing.assert_array_equal(y.detach().numpy(), expected.detach().numpy())
        np.testing.assert_array_equal(index.numpy(), places.numpy())
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), 1e-6, 1e-6)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [([[0], [5]], [[0], [3]]), ([[-1], [2]], [[0], [3]]), ([[0], [4]], [[2], [2]]),
     ([[0], [4]], [[0], [4]])],
)  # fmt: skip
def test_cells_beyond_the_plane_are_refused(
    rows: list[list[int]], columns: list[list[int]]
) -> None:
    with pytest.raises(IndexError):
        largest(np.zeros((2, 4, 3), np.float32), np.array(rows), np.array(columns))
