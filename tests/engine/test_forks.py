"""A fork while other threads hold the locks of the library, of numpy's generator and of numba."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import minigrad as mg
from minigrad.ops.random import generator

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

# One after the other in one process, which takes longer to start than they do; but a process loads
# the kernels once.
WORKS = ("draw", "seed", "lease", "parallel", "step", "loader", "everything", "compile_")


def check(works: tuple[str, ...], children: int, kernels: str) -> None:
    program = Path(__file__).with_name("forking.py")
    done = subprocess.run(
        [sys.executable, program, str(children), *works],
        env={**os.environ, "MINIGRAD_KERNELS": kernels}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = [" ".join([work, *"0" * children]) for work in works]
    assert done.stdout.splitlines() == expected


@pytest.mark.slow
@pytest.mark.parametrize("children", [2, pytest.param(6, marks=pytest.mark.fuzz)])
@pytest.mark.parametrize("works", [WORKS, ("load",)], ids=" ".join)
def test_children_of_a_busy_process_run(works: tuple[str, ...], children: int) -> None:
    pytest.importorskip("numba")
    check(works, children, "numba")


@pytest.mark.slow
def test_children_of_a_busy_process_run_on_numpy() -> None:
    check(("draw", "step", "loader"), 2, "numpy")


def test_a_child_draws_what_its_parent_would_have_drawn() -> None:
    """As in PyTorch, the state is copied; and the generator that a program holds still works."""
    own = mg.manual_seed(0)
    reader, writer = os.pipe()
    with warnings.catch_warnings():  # newer Pythons warn where there are threads
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.write(writer, repr((mg.rand(3).tolist(), own.numpy is generator())).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 1000).decode() == repr((mg.rand(3).tolist(), True))
    os.close(reader)
    os.close(writer)
