"""`testing.assert_close` beside PyTorch's: what passes, what fails, and with which message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")
NAN, INF = float("nan"), float("inf")


def outcome(m: Any, make: Any, options: dict[str, Any]) -> tuple[str, str]:
    try:
        m.testing.assert_close(*make(m), **options)
    except Exception as error:
        text = str(error)
        for theirs, ours in (("torch.Size([2])", "(2,)"), ("torch.Size([3])", "(3,)"),
                             ("torch.float", "float"), ("torch.int", "int")):  # fmt: skip
            text = text.replace(theirs, ours)
        return type(error).__name__, text
    return "", ""


PAIRS: list[tuple[Any, dict[str, Any]]] = [
    (lambda m: (m.tensor([1.0, 2.0]), m.tensor([1.0, 2.00001])), {}),
    (lambda m: (m.tensor([1.0, 2.0]), m.tensor([1.0, 2.00002])), {}),
    (lambda m: (m.tensor([1.0, 2.0]), m.tensor([1.0, 3.0])), {"rtol": 0.4, "atol": 0}),
    (lambda m: (m.tensor([1.0, 2.0]), m.tensor([1.0, 3.0])), {"rtol": 0, "atol": 0.75}),
    (lambda m: (m.tensor([1.0, 2.0]), m.tensor([1.0, 3.0])), {"rtol": 0, "atol": 0}),
    (lambda m: (m.tensor([1.0]).double(), m.tensor([1.0]).double() + 3e-7), {}),
    (lambda m: (m.tensor([1.0]).double(), m.tensor([1.0]).double() + 1.5e-7), {}),
    (lambda m: (m.tensor([1.0]).half(), m.tensor([1.0]).half() + 1e-3), {}),
    (lambda m: (m.tensor([1.0]).half(), m.tensor([1.0]).half() + 2e-3), {}),
    (lambda m: (m.tensor([[0.0, 1.0], [2.0, 8.0]]), m.tensor([[0.5, 1.0], [4.0, 4.0]])), {}),
    (lambda m: (m.tensor([0.0, 1.0]), m.tensor([1.0, 0.0])), {}),
    (lambda m: (m.tensor([NAN, 1.0]), m.tensor([NAN, 1.0])), {}),
    (lambda m: (m.tensor([NAN, 1.0]), m.tensor([NAN, 1.0])), {"equal_nan": True}),
    (lambda m: (m.tensor([NAN, 1.0]), m.tensor([NAN, 2.0])), {"equal_nan": True}),
    (lambda m: (m.tensor([INF, -INF, 1.0]), m.tensor([INF, -INF, 1.0])), {}),
    (lambda m: (m.tensor([INF, INF, 1.0]), m.tensor([INF, -INF, 1.0])), {}),
    (lambda m: (m.tensor([INF]), m.tensor([1.0])), {"rtol": 0, "atol": INF}),
    (lambda m: (m.tensor([True, False]), m.tensor([True, True])), {}),
    (lambda m: (m.tensor([2**60]), m.tensor([2**60 + 1])), {}),
    (lambda m: (m.tensor([1, 2]), m.tensor([1, 4])), {}),
    (lambda m: (m.tensor([1, 2]), m.tensor([1, 4])), {"rtol": 0.5, "atol": 0}),
    (lambda m: (m.tensor(2.0), m.tensor(1.0)), {}),
    (lambda m: (m.tensor(NAN), m.tensor(NAN)), {}),
    (lambda m: (m.tensor(2), m.tensor(0)), {}),
    (lambda m: (m.ones(0), m.ones(0)), {}),
    (lambda m: (m.ones(2), m.ones(3)), {}),
    (lambda m: (m.ones(2), m.ones(2).double()), {}),
    (lambda m: (m.ones(2), m.ones(2).double() + 1e-6), {"check_dtype": False}),
    (lambda m: (m.ones(2), m.tensor([1, 2])), {"check_dtype": False}),
    (lambda m: (m.ones(2, 3), m.ones(3, 2).T), {}),
    (lambda m: (m.ones(2, 3), m.ones(3, 2).T), {"check_stride": True}),
    (lambda m: (m.nn.Parameter(m.ones(2)), m.ones(2)), {}),
    (lambda m: (m.ones(2).requires_grad_(), m.ones(2)), {"check_device": True}),
    (lambda m: (1.0, 1.5), {}),
    (lambda m: (1.0, 1.0 + 1e-8), {}),
    (lambda m: (1, 1.0), {}),
    (lambda m: (1, 1.0), {"check_dtype": False}),
    (lambda m: (1, 10**30), {}),
    (lambda m: (NAN, NAN), {"equal_nan": True}),
    (lambda m: (np.float32(1), np.float64(1)), {}),
    (lambda m: (True, False), {}),
    (lambda m: (True, np.bool_(True)), {}),
    (lambda m: (None, None), {}),
    (lambda m: (None, m.ones(1)), {}),
    (lambda m: (np.ones(2), None), {}),
    (lambda m: (np.ones(2), np.zeros(2)), {}),
    (lambda m: ([m.ones(2), m.ones(2)], (m.ones(2), m.zeros(2))), {}),
    (lambda m: ({"a": [1, 2]}, {"a": [1, 3]}), {}),
    (lambda m: ({"a": 1, "c": 1}, {"b": 1, "c": 1}), {}),
    (lambda m: ([1], [1, 2]), {}),
    (lambda m: ([1, [1]], [1, [1, 2]]), {}),
    (lambda m: (m.ones(1), m.zeros(1)), {"msg": "far apart"}),
    (lambda m: ([1], [2]), {"msg": lambda text: f"{text}, and so on"}),
    (lambda m: (m.nn.Linear(2, 2).state_dict(), m.nn.Linear(3, 2).state_dict()), {"msg": "other"}),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_it_passes_and_fails_as_in_pytorch(number: int) -> None:
    make, options = PAIRS[number]
    assert outcome(minigrad, make, options) == outcome(torch, make, options)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda m: (m.ones(1), [1.0]), {}),
        (lambda m: (m.ones(1), 1.0), {}),
        (lambda m: (np.ones(1), m.ones(1).double()), {}),
        (lambda m: ("a", "a"), {}),
        (lambda m: ([m.ones(1)], [{1}]), {}),
        (lambda m: (m.nn.Parameter(m.ones(2)), m.ones(2)), {"allow_subclasses": False}),
        (lambda m: (m.ones(1), m.ones(1)), {"rtol": 1.0}),
        (lambda m: (m.ones(1), m.ones(1)), {"atol": 1.0}),
    ],
)
def test_what_cannot_be_compared_is_refused(make: Any, options: dict[str, Any]) -> None:
    kind, text = outcome(minigrad, make, options)
    assert kind == outcome(torch, make, options)[0] and text.startswith("assert_close: ")


def test_tolerances_are_numbers_and_bools_are_not() -> None:
    with pytest.raises(ValueError, match="assert_close: rtol must be at least 0"):
        minigrad.testing.assert_close(1.0, 1.0, rtol=-1, atol=0)
    with pytest.raises(AssertionError, match=r"The \(d\)types do not match"):
        minigrad.testing.assert_close(True, 1.0)  # an internal error in PyTorch
