"""Histograms, as PyTorch counts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")


def same(ours: Any, theirs: Any) -> None:
    assert isinstance(ours, mg.Tensor)
    assert f"torch.{ours.dtype}" == str(theirs.dtype) and ours.shape == tuple(theirs.shape)
    np.testing.assert_array_equal(ours.array, theirs.numpy())


VALUES = np.random.default_rng(0).integers(-9, 9, (7, 9)) / 4  # many lie on edges, exactly


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("args", [
    (), (4,), (4, -1, 1), (10, 0, 0), (3, -5, 5), (1,), (4, 0.5, 0.5), (16, -2.0, 2.0)
], ids=str)  # fmt: skip
def test_histc(args: Any, dtype: str) -> None:
    for values in (VALUES, VALUES.T, VALUES[:0], VALUES[:1, :1], np.array(0.3), np.ones(3)):
        a = values.astype(dtype)
        same(mg.histc(mg.from_numpy(a), *args), torch.histc(torch.tensor(a), *args))
        same(mg.from_numpy(a).histc(*args), torch.histc(torch.tensor(a), *args))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [
    {"bins": 4}, {"bins": 7, "range": (-1.0, 2.0)}, {"bins": 5, "density": True}, {"bins": 1},
    {"bins": [-1.0, 0.0, 0.5, 2.0]}, {"bins": [-1.0, 0.5, 2.0], "density": True},
    {"bins": 8, "range": (0.0, 0.0)}, {"bins": 16, "range": (-1.0, 1.0)},
], ids=str)  # fmt: skip
def test_histogram(options: dict[str, Any], dtype: str) -> None:
    for values in (VALUES, VALUES.T, VALUES[:0], VALUES[:1, :1], np.array(0.3), np.ones(3)):
        a = values.astype(dtype)
        for weighted in (False, True):
            found = []
            for m, tensor in ((mg, mg.from_numpy), (torch, torch.from_numpy)):
                given = dict(options)
                if isinstance(given["bins"], list):
                    given["bins"] = tensor(np.array(given["bins"], dtype))
                if weighted:
                    given["weight"] = tensor(np.asarray(a * a / 7))
                x = tensor(a.copy())
                found.append(m.histogram(x, given.pop("bins"), **given))
            ours, theirs = found
            # counts are exact; edges and weighted sums may differ by a rounding or two
            tolerance = 4e-7 if dtype == "float32" else 1e-15
            for one, other in zip(ours, theirs, strict=True):
                assert str(one.dtype) == dtype
                np.testing.assert_allclose(
                    one.array, other.numpy(), rtol=tolerance * 4, atol=tolerance, equal_nan=True
                )
    assert ours.hist is ours[0] and ours.bin_edges is ours[1]


REFUSED: list[Callable[[Any], Any]] = [
    lambda m: m.histc(m.ones(3).long()), lambda m: m.histc(m.ones(3), 0),
    lambda m: m.histc(m.ones(3), 4, 3, 2), lambda m: m.histc(m.tensor([1.0, float("nan")])),
    lambda m: m.histc(m.tensor([1.0, float("inf")])), lambda m: m.histogram(m.ones(3).long(), 3),
    lambda m: m.histogram(m.ones(3), 0), lambda m: m.histogram(m.tensor([1.0, float("nan")]), 3),
    lambda m: m.histogram(m.ones(3), 3, range=(2.0, 1.0)),
    lambda m: m.histogram(m.ones(3), 3, weight=m.ones(2)),
    lambda m: m.histogram(m.ones(3), 3, range=(1.0,)),
]  # fmt: skip


@pytest.mark.parametrize("call", REFUSED)
def test_what_pytorch_refuses_is_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        call(torch)
    with pytest.raises((RuntimeError, ValueError, TypeError), match=r"^histc: |^histogram: "):
        call(mg)
