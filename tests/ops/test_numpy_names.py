"""numpy's names: axis= and keepdims= wherever there is dim= and keepdim=."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from cases_names import HEAD, calls

import minigrad
from minigrad import Tensor

CALLS = [pytest.param(names, call, id=name) for name, names, call in calls()]


def names_of(op: Any) -> Any:
    """The arguments of a function; of anything else, none."""
    return inspect.signature(op).parameters if inspect.isfunction(op) else ()


def run(call: str) -> Any:
    """What the call returns, as arrays; every one has tensors of its own."""
    namespace: dict[str, Any] = {}
    exec(f"{HEAD}\nresult = {call}", namespace)
    result = namespace["result"]
    parts = result if isinstance(result, tuple) else (result,)
    return [x.numpy() if isinstance(x, Tensor) else x for x in parts]


def test_the_walk_finds_the_functions() -> None:
    assert len(CALLS) > 80


@pytest.mark.parametrize(("names", "call"), CALLS)
def test_axis_is_dim(names: tuple[str, ...], call: str) -> None:
    expected, found = run(call.format("dim=1")), run(call.format("axis=1"))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(TypeError, match=r"got both dim= and axis="):
        run(call.format("dim=1, axis=1"))
    with pytest.raises(TypeError, match=r"there is no argument 'axs': did you mean 'axis'\?"):
        run(call.format("axs=1"))


@pytest.mark.parametrize(("names", "call"), CALLS)
def test_keepdims_is_keepdim(names: tuple[str, ...], call: str) -> None:
    if "keepdim" not in names:  # nor is numpy's name for it
        with pytest.raises(TypeError, match="there is no argument 'keepdims'"):
            run(call.format("dim=1, keepdims=True"))
        return
    for dim in ("dim=1", "axis=1"):
        expected, found = (
            run(call.format(f"{dim}, {keep}=True")) for keep in ("keepdim", "keepdims")
        )
        assert expected[0].ndim == 2
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b)


def test_by_position_and_by_name() -> None:
    x = Tensor([[1.0, 2.0]])
    with pytest.raises(TypeError, match="multiple values for argument 'dim'"):
        x.sum(0, axis=1)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'dim'"):
        x.cumsum()  # type: ignore[call-overload]


KEEPING = [
    getattr(owner, name)
    for owner in (minigrad, Tensor, minigrad.linalg)
    for name in dir(owner)
    if not name.startswith("_") and "keepdim" in names_of(getattr(owner, name))
]


def test_keepdim_is_true_or_false() -> None:
    """x.sum(0, 1), meant to be over two axes, would be over the first."""
    assert len(KEEPING) > 40
    for op in KEEPING:
        with pytest.raises(TypeError, match=f"{op.__name__}: keepdim must be True or False, got 1"):
            op(minigrad.ones(2, 3), keepdim=1)
    for call in (lambda x: x.sum(0, 1), lambda x: minigrad.amax(x, 0, keepdims=1)):
        with pytest.raises(TypeError, match="keepdim must be True or False, got 1"):
            call(minigrad.ones(2, 3))
    with pytest.raises(TypeError, match="sort: descending must be True or False, got 'no'"):
        minigrad.ones(3).sort(0, "no")
