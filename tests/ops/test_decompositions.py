"""Decompositions come back from matrices that are not finite, whichever number is not, and as in
PyTorch: a NaN is refused, an infinity makes NaN, and of a stack of matrices of one alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import linalg

NAN, ZERO = np.nan, 0.0
FUNCTIONS = {
    "svd": (lambda a: linalg.svd(a)[1], NAN), "svdvals": (linalg.svdvals, NAN),
    "eigh": (lambda a: linalg.eigh(a + a.mT)[0], NAN), "cond": (linalg.cond, NAN),
    "pinv": (linalg.pinv, ZERO), "matrix_rank": (linalg.matrix_rank, ZERO),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite(name: str, dtype: Any) -> None:
    f, of_infinite = FUNCTIONS[name]
    for place in range(9):
        a = np.random.default_rng(place).standard_normal((2, 3, 3)).astype(dtype)
        plain = f(mg.tensor(a)).numpy()
        for odd in (np.inf, -np.inf):
            a[0].flat[place] = odd
            found = f(mg.tensor(a)).numpy()
            np.testing.assert_array_equal(found[0], np.full_like(found[0], of_infinite))
            np.testing.assert_array_equal(found[1], plain[1])
        a[0].flat[place] = np.nan
        with pytest.raises(RuntimeError, match=r"^\w+: a matrix has nan among its elements"):
            f(mg.tensor(a))
