"""What several tests need."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import hypothesis
import pytest

# Where pytest-xdist runs several processes, other libraries' idle threads would spin in the way.
if "PYTEST_XDIST_WORKER" in os.environ:
    for pool in ("OMP", "MKL", "OPENBLAS"):
        os.environ.setdefault(f"{pool}_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import minigrad

# What hypothesis makes up is the same at every run, and a slow machine is no failure.
hypothesis.settings.register_profile(
    "same_every_time",
    derandomize=True,
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture,
    ],
)  # fmt: skip
hypothesis.settings.load_profile("same_every_time")


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the collector passes over it from now on,
    or every collection, which some tests ask for, would walk over all of PyTorch."""
    gc.freeze()


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
