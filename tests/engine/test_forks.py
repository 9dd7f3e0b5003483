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

WORKS = ("draw", "seed", "lease", "parallel", "step", "loader", "load", "everything", "compile_")


def run(work: str, children: int, kernels: str) -> str:
    program = Path(__file__).with_name("forking.py")
    done = subprocess.run(
        [sys.executable, program, work, str(children)],
        env={**os.environ, "MINIGRAD_KERNELS": kernels}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("children", [2, pytest.param(6, marks=pytest.mark.fuzz)])
@pytest.mark.parametrize("work", WORKS)
def test_children_of_a_busy_process_run(work: str, children: int) -> None:
    pytest.importorskip("numba")
    assert run(work, children, "numba") == " ".join(["0"] * children)


@pytest.mark.slow
@pytest.mark.parametrize("work", ["draw", "step", "loader"])
def test_children_of_a_busy_process_run_on_numpy(work: str) -> None:
    assert run(work, 2, "numpy") == "0 0"


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
