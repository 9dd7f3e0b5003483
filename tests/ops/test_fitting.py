"""Numbers that an integer dtype cannot hold are refused, wherever a number comes in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")

INTEGERS = ["uint8", "int8", "int16", "int32", "int64"]
VALUES: list[Any] = [
    0, 1, True, 100, 127, 128, 255, 256, 300, -1, -128, -129, -300, 2**15, 2**31, 2**31 - 1,
    -(2**31), 2**62, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30, -(10**400), 1.7, 254.9, -0.5,
    255.5, 3e9, 1e30, -1e30, 2.0**63, math.inf, -math.inf, math.nan,
]  # fmt: skip

# Each gives a tensor of dtype d into which the number v came; m is minigrad or torch.
Way = Callable[[Any, Any, Any], Any]


def ones(m: Any, d: Any) -> Any:
    return m.ones(2, 3).to(d)


def after(change: Callable[[Any, Any, Any], Any]) -> Way:
    """What a tensor of ones is after `change(m, x, v)`."""

    def way(m: Any, d: Any, v: Any) -> Any:
        x = ones(m, d)
        change(m, x, v)
        return x

    return way


def put(index: Callable[[Any], Any]) -> Way:
    return after(lambda m, x, v: x.__setitem__(index(m), v))


MASK = [True, False, True]
EVERY_NUMBER: dict[str, Way] = {
    "tensor": lambda m, d, v: m.tensor(v, dtype=d),
    "tensor of a list": lambda m, d, v: m.tensor([[1, v]], dtype=d),
    "as_tensor": lambda m, d, v: m.as_tensor(v, dtype=d),
    "asarray": lambda m, d, v: m.asarray([v], dtype=d),
    "full": lambda m, d, v: m.full((2,), v, dtype=d),
    "full_like": lambda m, d, v: m.full_like(ones(m, d), v),
    "full_like in a dtype": lambda m, d, v: m.full_like(m.ones(2), v, dtype=d),
    "new_full": lambda m, d, v: ones(m, d).new_full((2,), v),
    "new_tensor": lambda m, d, v: ones(m, d).new_tensor([v]),
    "fill_": after(lambda m, x, v: x.fill_(v)),
    "masked_fill": lambda m, d, v: ones(m, d).masked_fill(m.tensor(MASK), v),
    "masked_fill_": after(lambda m, x, v: x.masked_fill_(m.tensor(MASK), v)),
    "x[0] =": put(lambda m: 0),
    "x[0, 1] =": put(lambda m: (0, 1)),
    "x[:, 1:] =": put(lambda m: (slice(None), slice(1, None))),
    "x[...] =": put(lambda m: ...),
    "x[[0]] =": put(lambda m: [0]),
    "x[mask] =": put(lambda m: m.tensor([True, False])),
    "x[:, mask] =": put(lambda m: (slice(None), m.tensor(MASK))),
    "scatter": lambda m, d, v: m.scatter(ones(m, d), 0, m.tensor([[0, 1, 0]]), v),
    "scatter_": after(lambda m, x, v: x.scatter_(1, m.tensor([[0], [2]]), v)),
    "pad": lambda m, d, v: m.nn.functional.pad(ones(m, d), (1, 1), value=v),
    "linspace": lambda m, d, v: m.linspace(0, v, 2, dtype=d),
}
WHOLE_NUMBERS: dict[str, Way] = {  # a float would make the result floating, or is another story
    "clamp min": lambda m, d, v: ones(m, d).clamp(min=v),
    "clamp max": lambda m, d, v: ones(m, d).clamp(max=v),
    "clamp both": lambda m, d, v: m.clamp(ones(m, d), v, v),
    "clamp_": after(lambda m, x, v: x.clamp_(v, v)),
    "where": lambda m, d, v: m.where(m.tensor(MASK), ones(m, d), v),
    "where, first": lambda m, d, v: m.where(m.tensor(MASK), v, ones(m, d)),
    "arange": lambda m, d, v: m.arange(v, v + 1, dtype=d),
    "arange, its end": lambda m, d, v: m.arange(0, v + (1 if v > 0 else -1), v or -1, dtype=d),
    "randint": lambda m, d, v: m.randint(int(v), v + 1, (2,), dtype=d),
}
UNKNOWN: dict[str, Way] = {  # to PyTorch, or it lets the bits wrap round
    "copy_": after(lambda m, x, v: x.copy_(v)),
    "x[0] = list": after(lambda m, x, v: x.__setitem__(0, [1, v, 1])),
    "x[0] = array": after(lambda m, x, v: x.__setitem__(0, np.array([1, v, 1]))),
    "x[0] = tensor": after(lambda m, x, v: x.__setitem__(0, m.tensor(v))),
    "tensor of an array": lambda m, d, v: m.tensor(np.array([1, v]), dtype=d),
    "as_tensor of an array": lambda m, d, v: m.as_tensor(np.array(v), dtype=d),
    "fill_ with a tensor": after(lambda m, x, v: x.fill_(m.tensor(v))),
    "masked_fill with a tensor": lambda m, d, v: ones(m, d).masked_fill(
        m.tensor(MASK), m.tensor(v)
    ),
}


def holds(dtype: str, value: Any) -> bool:
    return value in (0, 1) or np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


def refused(dtype: str, action: Callable[[], Any]) -> None:
    with pytest.raises((RuntimeError, ValueError)) as caught:
        action()
    assert re.search(f"does not fit dtype (int64|{dtype})|too large", str(caught.value))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", [*EVERY_NUMBER, *WHOLE_NUMBERS])
def test_a_number_fits_or_is_refused(name: str, dtype: str) -> None:
    way = EVERY_NUMBER.get(name) or WHOLE_NUMBERS[name]
    ours, theirs = getattr(mg, dtype), getattr(torch, dtype)
    for value in VALUES:
        if isinstance(value, float) and name in WHOLE_NUMBERS:
            continue
        if not holds(dtype, value):
            refused(dtype, lambda v=value: way(mg, ours, v))
            continue
        if abs(value) >= 2**62 and name.startswith("arange"):
            continue  # PyTorch counts with numbers that overflow there
        y = way(mg, ours, value)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y.array, way(torch, theirs, value).numpy())


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_else_brings_numbers(name: str, dtype: str) -> None:
    for value in VALUES:
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            continue  # no array holds them
        if not holds(dtype, value):
            refused(dtype, lambda v=value: UNKNOWN[name](mg, getattr(mg, dtype), v))
        else:
            y = UNKNOWN[name](mg, getattr(mg, dtype), value)
            assert y.dtype == dtype and int(value) in y.reshape(-1).tolist()
