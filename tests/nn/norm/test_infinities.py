"""Batch normalisation in evaluation: NaN and infinities stay where they are, as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import functional as F

torch: Any = pytest.importorskip("torch")
SHAPES = [(3, 1), (5, 3), (4, 7), (6, 40), (2, 3, 4, 4), (3, 5, 9)]


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_evaluation(shape: tuple[int, ...], dtype: str, offset: float, kernels: str) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(shape) + offset).astype(dtype)
    x.flat[0], x.flat[-1], x.flat[x.size // 2] = np.inf, -np.inf, np.nan
    mean = (rng.standard_normal(shape[1]) + offset).astype(dtype)
    var, gamma, beta = ((rng.random(shape[1]) + 0.1).astype(dtype) for _ in range(3))
    arrays = (x, mean, var, gamma, -beta)
    want = torch.nn.functional.batch_norm(*(torch.from_numpy(a).double() for a in arrays)).numpy()
    got = F.batch_norm(*(mg.from_numpy(a) for a in arrays)).array
    finite, infinite = np.isfinite(want), np.isinf(want)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(got[infinite], want[infinite])
    # In float32 as promised, at any offset; PyTorch's float64 is x·α + β, which cancels.
    tolerance = 2e-6 if dtype == "f4" else 1e-12 + 1e-15 * offset
    np.testing.assert_allclose(got[finite], want[finite], atol=tolerance, rtol=tolerance)
