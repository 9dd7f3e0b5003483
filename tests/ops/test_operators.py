"""Operators of a tensor and what no op knows: the other side is asked, as Python has it."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor

BINARY = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "//": operator.floordiv, "%": operator.mod, "**": operator.pow, "@": operator.matmul,
    "&": operator.and_, "|": operator.or_, "^": operator.xor, "<<": operator.lshift,
    ">>": operator.rshift, "divmod": divmod,
}  # fmt: skip
IN_PLACE = {
    "+=": operator.iadd, "-=": operator.isub, "*=": operator.imul, "/=": operator.itruediv,
    "//=": operator.ifloordiv, "%=": operator.imod, "**=": operator.ipow, "@=": operator.imatmul,
    "&=": operator.iand, "|=": operator.ior, "^=": operator.ixor, "<<=": operator.ilshift,
    ">>=": operator.irshift,
}  # fmt: skip
ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
NAMES = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor",
         "lshift", "rshift", "divmod"]  # fmt: skip


class Nothing:
    """Of which no operator knows anything."""


class Foreign:
    """Answers every operator, on either side."""

    def __eq__(self, other: object) -> Any:
        return "eq"

    def __ne__(self, other: object) -> Any:
        return "ne"

    __hash__ = None  # type: ignore[assignment]


for name in [*NAMES, *(f"r{name}" for name in NAMES), "lt", "le", "gt", "ge"]:
    setattr(Foreign, f"__{name}__", lambda self, other, name=name: name)

TENSORS = [minigrad.ones(2), minigrad.tensor(3), minigrad.tensor([True]),
           minigrad.ones(2, requires_grad=True)]  # fmt: skip


@pytest.mark.parametrize("x", TENSORS, ids=str)
def test_a_foreign_operand_is_asked(x: Tensor) -> None:
    f: Any = Foreign()
    for name, (_, of) in zip(NAMES, BINARY.items(), strict=True):
        assert of(x, f) == f"r{name}"
        assert of(f, x) == name
    for name, of in zip(NAMES, IN_PLACE.values(), strict=False):
        assert of(x, f) == f"r{name}"
    mirrored = zip(("gt", "ge", "lt", "le"), ORDER.values(), strict=True)
    assert all(of(x, f) == name for name, of in mirrored)
    assert (x == f, x != f) == ("eq", "ne")


@pytest.mark.parametrize("x", TENSORS, ids=str)
@pytest.mark.parametrize(
    "other",
    [None, Nothing(), object(), [], [1.0, 2.0], "text", {}, (), print],
    ids=lambda v: repr(v).split(" at ")[0],
)
def test_what_nobody_knows(x: Tensor, other: Any) -> None:
    """As PyTorch does: unequal to everything, and a TypeError elsewhere."""
    assert (x == other) is False and (x != other) is True
    assert (other == x) is False and (other != x) is True
    before, node = x.array.copy(), x.node
    for sign, of in {**BINARY, **IN_PLACE, **ORDER}.items():
        for left, right in ((x, other), (other, x)):
            if sign in ("+=", "*=", "%", "%=") and isinstance(left, list | tuple | str):
                continue  # a sequence's own: lists are extended, strings formatted
            if sign == "*" and isinstance(other, list | tuple | str) and x.dtype.kind in "ib":
                assert of(left, right) == other * x.item()  # a sequence is repeated x times
            else:
                with pytest.raises(TypeError):
                    of(left, right)
    np.testing.assert_array_equal(x.array, before)
    assert x.node is node


@pytest.mark.parametrize("sign", [*list(BINARY)[:11], *list(IN_PLACE)[:7], *ORDER])
def test_the_error_has_pythons_words_and_ours(sign: str) -> None:
    of = {**BINARY, **IN_PLACE, **ORDER}[sign]
    words = r"^\w+: unsupported operand type\(s\) for {}: '{}' and '{}': expected a tensor"
    if sign in ORDER:
        words = r"^\w+: '{}' not supported between instances of '{}' and '{}': expected a"
    escaped = "".join("\\" + c for c in sign)
    with pytest.raises(TypeError, match=words.format(escaped, "Tensor", "NoneType")):
        of(minigrad.ones(2), None)
    if sign in BINARY:
        with pytest.raises(TypeError, match=words.format(escaped, "Nothing", "Tensor")):
            of(Nothing(), minigrad.ones(2))


def test_a_tensor_among_other_things() -> None:
    x = minigrad.ones(2)
    assert x in [None, "text", x]
    assert [None, x].index(None) == 0
    assert (x == None) is False  # noqa: E711


@pytest.mark.parametrize("number", [True, 2, 2.5, np.float32(2), np.int64(2), np.array(2.0),
                                    np.array([1.0, 2.0])], ids=repr)  # fmt: skip
def test_what_ops_know_is_theirs(number: Any) -> None:
    x = minigrad.tensor([3.0, 4.0])
    a = np.array([3.0, 4.0])
    for sign in ("+", "-", "*", "/", "//", "%", "**"):
        if isinstance(number, bool) and sign == "-":
            continue  # refused, as in PyTorch
        for ours, theirs in (((x, number), (a, number)), ((number, x), (number, a))):
            found = BINARY[sign](*ours)
            assert isinstance(found, Tensor)
            np.testing.assert_allclose(found.array, BINARY[sign](*theirs), rtol=1e-6)
    for of in (*ORDER.values(), operator.eq, operator.ne):
        np.testing.assert_array_equal(of(x, number).array, of(a, number))
        np.testing.assert_array_equal(of(number, x).array, of(number, a))


def test_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    for other in (None, Nothing(), "text", {}, [1, 2]):
        for m in (minigrad, torch):
            x = m.ones(2)
            assert (x == other) is False and (x != other) is True
    for m in (minigrad, torch):
        assert m.tensor(2) * [1] == [1] * m.tensor(2) == [1, 1]
        assert m.tensor(2) + Foreign() == "radd" and Foreign() @ m.ones(2) == "matmul"
