"""What several tests need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import minigrad


@pytest.fixture(params=["numpy", "numba"])
def kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on both kernel paths."""
    if request.param == "numba":
        pytest.importorskip("numba")
    with minigrad.use_kernels(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same random numbers, in whichever order tests run."""
    minigrad.manual_seed(0)
