"""set_printoptions, and numpy's print options, which hold where it says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg


@pytest.fixture(autouse=True)
def default() -> Iterator[None]:
    """Every test begins and ends with the default options."""
    mg.set_printoptions(profile="default")
    yield
    mg.set_printoptions(profile="default")


X = [1.23456789, 12.3456789]


def test_precision() -> None:
    assert repr(mg.tensor(X)) == "tensor([ 1.2346, 12.3457])"
    mg.set_printoptions(precision=2)
    assert repr(mg.tensor(X)) == "tensor([ 1.23, 12.35])"
    mg.set_printoptions(edgeitems=1)  # the one before stays
    assert repr(mg.tensor(X)) == "tensor([ 1.23, 12.35])"
    mg.set_printoptions(profile="default")
    assert repr(mg.tensor(X)) == "tensor([ 1.2346, 12.3457])"


def test_length() -> None:
    x = mg.arange(2000)
    assert repr(x) == "tensor([   0,    1,    2, ..., 1997, 1998, 1999])"
    mg.set_printoptions(edgeitems=1)
    assert repr(x) == "tensor([   0, ..., 1999])"
    mg.set_printoptions(profile="full")
    assert "1000" in repr(x) and "..." not in repr(x)
    mg.set_printoptions(profile="short")
    assert repr(x) == "tensor([   0,    1, ..., 1998, 1999])"
    mg.set_printoptions(threshold=5, edgeitems=1)
    assert repr(mg.arange(6)) == "tensor([0, ..., 5])" and "..." not in repr(mg.arange(5))
    mg.set_printoptions(profile="default", linewidth=20)
    assert max(map(len, repr(mg.arange(50)).splitlines())) <= 20


def test_sci_mode_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    try:
        for library in (mg, torch):
            library.set_printoptions(precision=3, sci_mode=True)
        assert repr(mg.tensor(X)) == repr(torch.tensor(X)) == "tensor([1.235e+00, 1.235e+01])"
        assert repr(mg.tensor([1, 2])) == "tensor([1, 2])"
        for library in (mg, torch):
            library.set_printoptions(precision=3, sci_mode=False)
        x = [123456.789, 1.5e-9]
        assert "e" not in repr(mg.tensor(x))[6:] and "e" not in repr(torch.tensor(x))[6:]
        mg.set_printoptions(precision=3)  # leaves it to the numbers again, as PyTorch does
        assert "e" in repr(mg.tensor(x))[6:]
    finally:
        torch.set_printoptions(profile="default")


def test_numpys_options_hold() -> None:
    with np.printoptions(precision=1, threshold=3, edgeitems=1):
        assert repr(mg.tensor(X)) == "tensor([ 1.2, 12.3])"
        assert repr(mg.arange(6)) == "tensor([0, ..., 5])"
        mg.set_printoptions(precision=3)
        assert repr(mg.tensor(X)) == "tensor([ 1.235, 12.346])"
    assert repr(mg.arange(6)) == "tensor([0, 1, 2, 3, 4, 5])"
    mg.set_printoptions(profile="default")
    with np.printoptions(suppress=True):
        assert repr(mg.tensor([1.0, 1e-9])) == "tensor([1., 0.])"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"profile": "long"}, "profile must be 'default', 'short' or 'full', got 'long'"),
        ({"precision": -1}, "precision must be at least 0, got -1"),
        ({"precision": 3, "edgeitems": 1.5}, "edgeitems must be an integer, got 1.5"),
        ({"linewidth": "wide"}, "linewidth must be an integer, got 'wide'"),
    ],
)
def test_what_is_refused(options: dict[str, Any], words: str) -> None:
    mg.set_printoptions(precision=2)
    with pytest.raises((ValueError, TypeError), match=f"^set_printoptions: {words}"):
        mg.set_printoptions(**options)
    assert repr(mg.tensor(X)) == "tensor([ 1.23, 12.35])"
