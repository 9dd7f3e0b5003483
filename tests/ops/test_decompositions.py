"""Matrices with numbers that are not finite come back from every decomposition, as NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import linalg

FUNCTIONS = {
    "svd": lambda a: linalg.svd(a, full_matrices=False), "svdvals": linalg.svdvals,
    "eigh": lambda a: linalg.eigh(a + a.mT), "pinv": linalg.pinv, "cond": linalg.cond,
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite(name: str, odd: float, dtype: Any) -> None:
    for place in range(9):
        a = np.random.default_rng(place).standard_normal((2, 3, 3)).astype(dtype)
        plain = FUNCTIONS[name](mg.tensor(a))
        a[0].flat[place] = odd
        found = FUNCTIONS[name](mg.tensor(a))
        pairs = zip(found, plain, strict=True) if isinstance(found, tuple) else [(found, plain)]
        for got, expected in pairs:
            assert np.isnan(got.numpy()[0]).all() and got.dtype == expected.dtype
            np.testing.assert_array_equal(got.numpy()[1], expected.numpy()[1])


def test_the_rank_of_what_is_not_finite() -> None:
    a = np.eye(3, dtype=np.float32)
    a[0, 0] = np.inf
    assert linalg.matrix_rank(mg.tensor(a)).item() == 0
