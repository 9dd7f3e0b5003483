"""What several tests need."""

from __future__ import annotations

import gc
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

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


QUICK = "not slow"
OF_A_FILE = re.compile(r"^pytestmark = (\[[^]]*\]|.*)", re.M)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file that is slow as a whole is not even imported: its tables take seconds to build."""
    if config.option.markexpr == QUICK and collection_path.suffix == ".py":
        marks = OF_A_FILE.search(collection_path.read_text("utf-8"))
        if marks and "pytest.mark.slow" in marks[0]:
            return True
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long searches are slow, too: -m "not slow" takes the place of pyproject.toml's "not fuzz"."""
    for item in items:
        if item.get_closest_marker("fuzz"):
            item.add_marker("slow")


took: Counter[str] = Counter()  # by all calls of a test function together, in seconds


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    took[report.nodeid.partition("[")[0]] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With -m "not slow": which test functions, of all their parameters together, are slow."""
    if terminalreporter.config.option.markexpr == QUICK:
        for name, seconds in took.most_common():
            if seconds > 3:
                terminalreporter.write_line(f"to be marked slow? {seconds:.1f} s: {name}")


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
