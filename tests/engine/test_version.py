"""The version, which scripts compare to choose between PyTorch's old ways and new ones."""

from __future__ import annotations

import operator
import pickle
import tomllib
from pathlib import Path

import pytest

import minigrad
from minigrad.version import Version


def test_it_is_that_of_the_project() -> None:
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text("utf-8"))
    assert minigrad.__version__ == project["project"]["version"]
    assert pickle.loads(pickle.dumps(minigrad.__version__)) == minigrad.__version__


def test_its_own_versions_are_compared_as_versions() -> None:
    assert Version("0.10.0") > "0.9.3" and Version("0.2.0") >= "0.2.0" and Version("0.2.0") < "0.3"
    assert Version("0.2.0") <= "0.2.0+cpu" and not Version("0.10") < "0.9"


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
def test_pytorchs_are_refused(compare: object) -> None:
    assert callable(compare)
    for other in ("1.5.0", "2", "1.8.0+cu113", "1.13"):
        with pytest.raises(RuntimeError, match=r"compare minigrad\.version\.torch, which is '2\."):
            compare(minigrad.__version__, other)
        with pytest.raises(RuntimeError, match=r"is PyTorch's"):
            compare(other, minigrad.__version__)
    with pytest.raises(TypeError, match="expected a string, got float"):
        compare(minigrad.__version__, 1.5)


def test_what_it_follows() -> None:
    torch = pytest.importorskip("torch")
    assert minigrad.version.torch <= torch.__version__  # the PyTorch that the tests are run beside
    assert minigrad.version.cuda is None
