"""What editors show through jedi: every name, its arguments and docstring, where it is defined."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import minigrad
from minigrad import Tensor, data, nn, optim
from minigrad.nn import functional
from minigrad.ops import inplace
from minigrad.ops.methods import Methods
from minigrad.ops.methods_in_place import InPlace
from minigrad.ops.operators import Operators

jedi = pytest.importorskip("jedi", reason="jedi is not installed; it comes with minigrad[dev]")
pytestmark = pytest.mark.slow  # jedi reads all of minigrad first

ROOT = Path(minigrad.__file__).parent.parent
HEAD = """
import minigrad as mg
from minigrad import data, nn, optim
from minigrad.nn import functional as F
x = mg.randn(2, 3)
"""
# jedi takes what in_place makes for a Callable; these it knows by name and by their result.
MADE = {name for name, op in vars(inplace).items() if hasattr(op, "__wrapped__")}
NAMED = {**vars(InPlace), **vars(Methods)}
OPS = [n for n, op in NAMED.items() if inspect.isfunction(op) and n not in MADE]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """jedi's files in a folder of this process: two that write to one read half of a file."""
    before, jedi.settings.cache_directory = (
        jedi.settings.cache_directory, str(tmp_path_factory.mktemp("jedi"))
    )  # fmt: skip
    yield
    jedi.settings.cache_directory = before


def at_the_end(text: str) -> tuple[Any, int, int]:
    """jedi's view of `text` below HEAD, and its last place."""
    script = jedi.Script(HEAD + text, path=ROOT / "editor.py", project=jedi.Project(ROOT))
    return script, HEAD.count("\n") + 1, len(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("x.", [n for n in dir(Tensor) if not n.startswith("_")]),
        ("x.relu().T.", [n for n in dir(Tensor) if not n.startswith("_")]),
        ("(x - 1).add_(2).", [n for n in dir(Tensor) if not n.startswith("_")]),
        ("mg.", minigrad.__all__), ("F.", functional.__all__), ("nn.", nn.__all__),
        ("optim.", optim.__all__), ("data.", data.__all__),
    ],
)  # fmt: skip
def test_every_name_is_offered(text: str, names: list[str]) -> None:
    script, line, column = at_the_end(text)
    offered = {completion.name for completion in script.complete(line, column)}
    assert set(names) - offered == set()


def test_the_walk_finds_the_methods() -> None:
    assert len(OPS) > 150 and {"add_", "cumsum_"} < MADE < set(NAMED)


@functools.lru_cache(1)
def forty_methods(which: int) -> tuple[Any, int]:
    """jedi's view of forty lines with a method each, which it looks through once; and the first of
    them. (Of more lines than some hundred it gives up on the last.)"""
    script, line, _ = at_the_end("\n".join(f"x.{name}" for name in OPS[40 * which :][:40]))
    return script, line


@pytest.mark.parametrize("name", OPS)
def test_a_method_is_the_op(name: str) -> None:
    number = OPS.index(name)
    script, line = forty_methods(number // 40)
    line, column = line + number % 40, len(f"x.{name}")
    (named,) = script.goto(line, column)
    assert named.module_name in ("minigrad.ops.methods", "minigrad.ops.methods_in_place")
    (found,) = script.infer(line, column)
    op = inspect.unwrap(NAMED[name])
    assert (found.module_name, found.name) == (op.__module__, op.__name__)
    assert found.docstring(raw=True) == inspect.getdoc(op)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("x.relu", "inplace"), ("x.sum", "dim keepdim dtype names"), ("x.clamp", "min max"),
        ("x.std", "dim unbiased keepdim correction names"), ("x.cumsum", "dim dtype"),
        ("x.where", "condition other"), ("x.backward", "gradient retain_graph create_graph"),
        ("mg.sum", "input dim keepdim dtype names"), ("F.relu", "input inplace"),
        ("x.new_full", "size fill_value dtype device requires_grad"),
        ("nn.Linear", "in_features out_features bias device dtype"),
    ],
)  # fmt: skip
def test_arguments_are_shown(text: str, arguments: str) -> None:
    script, line, column = at_the_end(text + "(")
    signature = script.get_signatures(line, column)[0]
    assert [p.name for p in signature.params] == arguments.split()
    assert signature.docstring(raw=True)


@pytest.mark.parametrize("name", ["add", "getitem", "eq", "lt", "matmul", "invert", "neg"])
def test_an_operator_is_the_op(name: str) -> None:
    script, line, column = at_the_end(f"x.__{name}__")
    (named,) = script.goto(line, column)
    assert named.module_name == "minigrad.ops.operators"
    assert named.name in vars(Operators)


def test_functions_are_found_where_they_are_written() -> None:
    for text, op in (("mg.sum", minigrad.sum), ("F.conv2d", functional.conv2d)):
        script, line, column = at_the_end(text)
        (found,) = script.goto(line, column, follow_imports=True)
        written = inspect.unwrap(op)
        assert (found.module_name, found.name) == (written.__module__, written.__name__)
