"""What the page says of an op is what its source says."""

from __future__ import annotations

import linecache
from types import CodeType
from typing import Any

import numpy as np
import pytest
from cases import SAMPLES

import minigrad as mg
from minigrad import Tensor
from minigrad.autograd import record
from minigrad.visual import vjps
from minigrad.visual.source import Source, source_of


def source(y: Tensor) -> Source:
    assert y.node is not None
    found = source_of(y.node.name, vjps.codes(y.node.vjp))
    assert found is not None
    return found


def text(found: Source, i: int = 0) -> list[str]:
    return ["".join(piece for _, piece in line) for line in found.functions[i].lines]


def mine(x: Tensor) -> Tensor:
    """Twice x.

    More.
    """
    # y = 2·x        dL/dx = 2·g
    return record("mine", x.array * 2, (x,), lambda g: g * 2)


def leaf() -> Tensor:
    return mg.ones(3).requires_grad_()


def test_an_op_of_ones_own() -> None:
    found = source(mine(leaf()))
    assert found.file == "test_source.py"
    assert found.sentence == "Twice x."
    assert found.formula == ("y = 2·x", "dL/dx = 2·g")
    (function,) = found.functions
    assert function.name == "mine"
    lines = text(found)
    assert lines[0] == "def mine(x: Tensor) -> Tensor:"
    first, last = function.backward[0]
    assert "lambda g: g * 2" in lines[first - function.first] and first == last
    with open(__file__, encoding="utf-8") as file:
        assert file.read().splitlines()[function.first - 1 :][: len(lines)] == lines


def test_an_op_with_helpers_shows_all_of_them() -> None:
    found = source(leaf().reshape(3, 1))
    assert [f.name for f in found.functions] == ["reshape", "_view", "_reshape"]
    assert found.sentence.startswith("The same elements in another shape")
    assert found.chapter.startswith("Views and rearrangements")
    found = source(mg.nn.functional.elu(leaf()))
    assert [f.name for f in found.functions] == ["elu", "_elu"]
    assert found.formula == ("dL/dx = g where x > 0, g·alpha·e^x elsewhere",)


def test_comments_keywords_and_strings_are_told_apart() -> None:
    spans = [span for line in source(leaf() * 2).functions[0].lines for span in line]
    assert ("comment", "# y = a·b        dL/da = g·b        dL/db = g·a") in spans
    assert ("word", "return") in spans and ("string", '"""x·y."""') in spans


CODE = '''def op(x):
    """{}"""
    return record("op", x.array, (x,), lambda g: g)
'''


def test_an_op_typed_in_a_console_or_without_a_file() -> None:
    code = (
        'def op(x):\n    """From a cell."""\n    return record("op", x.array, (x,), lambda g: g)\n'
    )
    linecache.cache["<cell 1>"] = (len(code), None, code.splitlines(keepends=True), "<cell 1>")
    try:
        names: dict[str, Any] = {"record": record}
        exec(compile(code, "<cell 1>", "exec"), names)
        assert source(names["op"](leaf())).sentence == "From a cell."
    finally:
        del linecache.cache["<cell 1>"]
    exec(compile(code, "<gone>", "exec"), names)
    y = names["op"](leaf())
    assert source_of("op", vjps.codes(y.node.vjp)) is None


def test_a_file_that_has_changed_is_read_again(tmp_path: Any) -> None:
    file = tmp_path / "ops.py"
    names: dict[str, Any] = {"record": record}
    for sentence in ("One.", "Another one."):
        code = CODE.format(sentence)
        file.write_text(code, "utf-8")
        exec(compile(code, str(file), "exec"), names)
        assert source(names["op"](leaf())).sentence == sentence


def names_and_codes() -> dict[str, list[CodeType]]:
    found: dict[str, list[CodeType]] = {}
    for sample in SAMPLES:
        tensors = [mg.from_numpy(a) for a in sample.arrays()]
        for x in tensors:
            if x.is_floating_point():
                x.requires_grad_()
        result = sample.run(mg, tensors)
        for y in result if isinstance(result, tuple | list) else (result,):
            if isinstance(y, Tensor) and not y.is_leaf:
                found.setdefault(y.node.name, vjps.codes(y.node.vjp))
    return found


def test_every_op_has_a_source_with_a_sentence() -> None:
    known = names_and_codes()
    assert len(known) > 100
    missing = [name for name, codes in known.items() if source_of(name, codes) is None]
    assert not missing
    silent = [n for n, codes in known.items() if not source_of(n, codes).sentence]  # type: ignore[union-attr]
    assert set(silent) <= {"floor", "ceil", "trunc"}  # made by a helper, which says nothing


@pytest.mark.parametrize(
    "call, formula",
    [
        (lambda x: x * x, ("y = a·b", "dL/da = g·b", "dL/db = g·a")),
        (lambda x: x.sigmoid(), ("dL/dx = g·y·(1 - y)",)),
        (lambda x: x.sum(), ("dL/dx = g, spread over the reduced axes",)),
        (lambda x: mg.polygamma(2, x), ("y = ψ⁽ⁿ⁾(x)", "dL/dx = g·ψ⁽ⁿ⁺¹⁾(x)", "dL/dx = g·f'(x)")),
    ],
)
def test_formulas_stand_one_by_one(call: Any, formula: tuple[str, ...]) -> None:
    assert source(call(leaf())).formula == formula


def test_kernels_of_a_vjp(kernels: str) -> None:
    y = mg.relu(leaf())
    assert y.node is not None and vjps.backend_of(y.node.vjp) == kernels
    z = leaf().exp()
    assert z.node is not None and vjps.backend_of(z.node.vjp) == "numpy"


def test_bytes_of_what_several_views_keep_are_counted_once() -> None:
    a = np.ones(1000)
    assert vjps.kept_bytes([a[:10], a[5:], a]) == 8000
