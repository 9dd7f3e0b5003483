"""The networks of bench/scripts.py and the layers of bench/recurrent.py compute the same in
minigrad, in PyTorch and in float64."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad
from bench import recurrent, scripts
from bench.cases import Case
from bench.torchlike import TABLES, make
from bench.work import TOLERANCE, difference


@pytest.mark.slow
@pytest.mark.parametrize("case", [*scripts.CASES, *recurrent.CASES], ids=lambda case: case.name)
def test_the_work_agrees(case: Case) -> None:
    torch = pytest.importorskip("torch")
    reference = TABLES[case.suite].reference(case)
    for kernels in ("numpy", "numba"):
        with minigrad.use_kernels(kernels):
            found = difference(make(minigrad, case).results(), reference)
        assert found < TOLERANCE, kernels
    theirs = [np.asarray(result) for result in make(torch, case).results()]
    assert difference(theirs, reference) < TOLERANCE
