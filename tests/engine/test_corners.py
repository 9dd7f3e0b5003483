"""Lines of the engine that no other test walks over, each for what it is there for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided, sliding_window_view

import minigrad as mg
from minigrad.autograd import gradcheck, record
from minigrad.changes import held_elsewhere
from minigrad.dtypes import result_dtype


def test_a_node_tells_what_it_is() -> None:
    y = mg.ones(2, 3, requires_grad=True) * 2
    assert y.node is not None
    assert repr(y.node) == f"<mul #{y.node.time} (2, 3)>"


def test_a_real_leaf_collects_the_real_part() -> None:
    """Of a complex probe only the real part is the gradient; the rest is another derivative."""
    x = mg.tensor([1.0, 2.0], requires_grad=True, dtype=mg.float64)
    record("op", x.array * 1, (x,), lambda g: g * (3 + 4j)).sum().backward()
    assert x.grad is not None and x.grad.dtype == mg.float64
    assert x.grad.tolist() == [3, 3]


def test_integers_of_an_op_carry_no_gradient() -> None:
    x = mg.ones(3, requires_grad=True)
    out = record("count", np.arange(3), (x,), lambda g: g)
    assert not out.requires_grad and out.dtype == mg.int64


@pytest.mark.parametrize("number", [10**400, -(10**400)])
def test_numbers_beyond_all_floats(number: int) -> None:
    for f in (lambda x: x + number, lambda x: mg.maximum(x, mg.tensor(1.0)) * number):
        with pytest.raises(ValueError, match=r"number of 40[12] digits is too large for float32"):
            f(mg.ones(2))


def test_no_values_have_no_dtype() -> None:
    with pytest.raises(TypeError, match="expected at least one tensor or number"):
        result_dtype()


class TestWhereAGradientIsKept:
    """`retain_grad` is about the tensor, which stays when its values and history change."""

    def test_the_base_of_a_view_that_is_written_to(self) -> None:
        x = mg.ones(4, requires_grad=True)
        base = x * 1
        base.retain_grad()
        base[1:].mul_(3)
        base.sum().backward()
        assert base.grad is not None and x.grad is not None
        assert base.grad.tolist() == [1, 1, 1, 1]
        assert x.grad.tolist() == [1, 3, 3, 3]

    def test_a_view_whose_base_is_written_to(self) -> None:
        x = mg.ones(4, requires_grad=True)
        base = x * 1
        view = base[1:]
        view.retain_grad()
        base.mul_(3)
        (view * mg.tensor([1.0, 2.0, 4.0])).sum().backward()
        assert view.grad is not None and x.grad is not None
        assert view.grad.tolist() == [1, 2, 4]
        assert x.grad.tolist() == [0, 3, 6, 12]


def test_a_view_that_shows_elements_twice() -> None:
    """Windows of three elements that overlap: what each element receives is summed."""
    x = mg.ones(5, requires_grad=True, dtype=mg.float64)
    base = x * 1
    windows = base.unfold(0, 3, 1)
    base.mul_(2)  # the windows are taken anew from what the base has become
    weights = mg.arange(9.0, dtype=mg.float64).reshape(3, 3)
    (windows * weights).sum().backward()
    assert x.grad is not None
    expected = np.zeros(5)
    for i in range(3):
        expected[i : i + 3] += 2 * weights.numpy()[i]
    assert x.grad.tolist() == expected.tolist()


WINDOWS: dict[str, Any] = {
    "a slice": lambda a: a[1:],
    "reshaped": lambda a: a.reshape(2, 2).T,
    "another dtype": lambda a: a.view(np.int32).view(np.float32),
    "diagonal": lambda a: np.diagonal(a.reshape(2, 2)),
    "broadcast_to": lambda a: np.broadcast_to(a, (2, 4)),
    "as_strided": lambda a: as_strided(a, (2, 2), (4, 4)),
    "sliding_window_view": lambda a: sliding_window_view(a, 2)[::2],
    "ndarray of a buffer": lambda a: np.ndarray((4,), a.dtype, a),
    "frombuffer": lambda a: np.frombuffer(a, np.float32),
    "memoryview": lambda a: np.asarray(memoryview(a)[1:]),
    "a subclass": lambda a: np.asarray(a.view(np.matrix)),
}


@pytest.mark.parametrize("way", WINDOWS)
def test_a_change_is_seen_through_windows(way: str) -> None:
    """A vjp may keep any of numpy's views of an array, also those that are not marked as such."""
    x = mg.ones(4, requires_grad=True)
    base = x * 1
    window = WINDOWS[way](base.array)
    assert np.shares_memory(window, base.array)
    y = record("sum", window.sum(), (base,), lambda g: np.full(4, g * window.flat[0], np.float32))
    base.mul_(2)
    with pytest.raises(RuntimeError, match="needs a tensor that was changed in place"):
        y.backward()


def test_memory_at_odd_places_is_not_recorded() -> None:
    packed = np.zeros(4, [("flag", "u1"), ("value", "f4")])["value"]  # 5 bytes apart
    base = mg.from_numpy(packed)
    with pytest.raises(RuntimeError, match="do not lie at multiples of their size"):
        base[1:].mul_(mg.ones(3, requires_grad=True))


def test_derivatives_stop_under_no_grad() -> None:
    """A gradient check sees the same stop: what is computed under no_grad is a constant."""

    def f(x: mg.Tensor) -> mg.Tensor:
        with mg.no_grad():
            factor = x * 2
        return x * factor

    x = mg.tensor([1.0, 3.0], requires_grad=True, dtype=mg.float64)
    assert gradcheck(f, (x,))
    f(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2, 6]


@pytest.mark.parametrize("spec", ["", ".2f"])
def test_format(spec: str) -> None:
    x = mg.tensor([1.0, 2.0])
    assert format(x, spec) == repr(x)
    assert format(mg.tensor([2.0]), ".2f") == "2.00"


def test_who_else_holds_an_array() -> None:
    """Running statistics ask, so that a change nobody can have saved need not be noted."""
    x = mg.zeros(3)
    assert not held_elsewhere(x)
    other = x.array
    assert held_elsewhere(x)
    del other
    assert not held_elsewhere(x)
    assert held_elsewhere(mg.zeros(3)[1:])
    buffer = np.zeros(3)
    x = mg.from_numpy(buffer[:2])
    assert held_elsewhere(x)
