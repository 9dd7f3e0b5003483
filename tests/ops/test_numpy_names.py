"""numpy's names: axis= and keepdims= wherever there is dim= and keepdim=."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases_names import HEAD, calls

from minigrad import Tensor

CALLS = [pytest.param(names, call, id=name) for name, names, call in calls()]


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
