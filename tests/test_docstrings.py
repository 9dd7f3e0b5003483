"""The examples in the docstrings give what they show, and the API pages can be made of them."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import data, nn, optim
from minigrad.nn import functional as F

# What the examples take for granted, beside what their own file has.
GIVEN = {"mg": minigrad, "np": np, "nn": nn, "F": F, "optim": optim, "data": data}


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(minigrad.__path__, "minigrad."):
        if not found.name.startswith("minigrad.kernels"):  # which have no public names
            yield importlib.import_module(found.name)


def examples() -> dict[str, doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {}
    for module in modules():
        for test in finder.find(module, extraglobs=GIVEN):
            # what is marked +SKIP, or shows nothing that could be compared, is no example
            if any(e.want for e in test.examples):
                found[test.name] = test
    return found


EXAMPLES = examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_what_it_shows(name: str) -> None:
    minigrad.manual_seed(0)
    written: list[str] = []
    doctest.DocTestRunner(verbose=False).run(EXAMPLES[name], out=written.append)
    assert not written, "".join(written)


def test_what_people_open_first_has_an_example() -> None:
    names = {name.rpartition(".")[2] for name in EXAMPLES}
    assert len(EXAMPLES) >= 30
    assert {
        "Tensor", "Linear", "Conv2d", "BatchNormBase", "Sequential", "CrossEntropyLoss", "SGD",
        "Adam", "DataLoader", "no_grad", "grad", "graph", "profile", "summary", "record",
    } <= names  # fmt: skip


@pytest.mark.slow
def test_api_pages(tmp_path: Any) -> None:
    """`pdoc minigrad -o DIR` writes them."""
    pdoc = pytest.importorskip("pdoc")
    pdoc.pdoc("minigrad.nn.linear", output_directory=tmp_path)
    page = (tmp_path / "minigrad/nn/linear.html").read_text("utf-8")
    assert 'id="Linear"' in page and "in_features" in page
