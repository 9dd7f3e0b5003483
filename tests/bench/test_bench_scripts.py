"""The networks of bench/scripts.py compute the same in minigrad, in PyTorch and in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad
from bench import scripts
from bench.work import TOLERANCE, difference


@pytest.mark.slow
@pytest.mark.parametrize("case", scripts.CASES, ids=lambda case: case.net)
def test_a_step_of_training_agrees(case: Any) -> None:
    torch = pytest.importorskip("torch")
    reference = scripts.reference(case)
    for kernels in ("numpy", "numba"):
        with minigrad.use_kernels(kernels):
            found = difference(scripts.work(minigrad, case).results(), reference)
        assert found < TOLERANCE, kernels
    theirs = [np.asarray(result) for result in scripts.work(torch, case).results()]
    assert difference(theirs, reference) < TOLERANCE
