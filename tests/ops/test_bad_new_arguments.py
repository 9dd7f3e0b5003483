"""Arguments of the wrong kind that were taken without a word, or died of Python's own error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import minigrad as mg
from minigrad import distributions

CALLS: dict[str, Callable[[], Any]] = {
    "zero_": lambda: mg.zero_("bad"),  # type: ignore[arg-type]
    "resize_as_": lambda: mg.ones(2).resize_as_("bad"),  # type: ignore[arg-type]
    "vmap": lambda: mg.vmap("bad"),  # type: ignore[arg-type]
    "nan_to_num": lambda: mg.ones(2).nan_to_num("bad"),  # type: ignore[arg-type]
    "AffineTransform": lambda: distributions.AffineTransform("bad", 1.0),
}


@pytest.mark.parametrize("name", CALLS)
def test_are_refused_by_name(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        CALLS[name]()
