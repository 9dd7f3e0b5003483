"""Recurrent layers' compiled steps beside the reference's: batches of one task and of many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import kernels
from minigrad.kernels import reference

compiled: Any = pytest.importorskip("minigrad.kernels.compiled")
Array = np.ndarray
Arrays = dict[str, Array]


def given(kind: str, steps: int, batch: int, size: int, dtype: str) -> Arrays:
    """Random arrays under the reference's names; what a kernel writes has NaN in it at first."""
    rng, gates = np.random.default_rng(steps + batch), {"rnn": 1, "lstm": 4, "gru": 3}[kind]
    shapes = {
        "z": (steps, batch, gates * size), "u": (gates * size, size), "g": (steps, batch, size),
        "h": (batch, size), "c": (batch, size), "dc": (batch, size), "q": (steps, batch, size),
    }  # fmt: skip
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def taken(module: Any, kind: str, relu: bool, rows: list[int], a: Arrays) -> Arrays:
    """All that the steps write, forward and backward."""
    steps, batch, size = a["q"].shape
    dtype = a["z"].dtype
    z, ut = a["z"].copy(), a["u"].T
    made: Arrays = {name: np.full((steps + 1, batch, size), np.nan, dtype) for name in ("h", "c")}
    made["h"][0], made["c"][0] = a["h"], a["c"]
    made["dz"], dh = np.full(z.shape, np.nan, dtype), np.zeros((batch, size), dtype)
    if kind == "rnn":
        module.rnn(z, ut, made["h"], relu, rows)
        module.rnn_backward(a["u"], made["h"], relu, a["g"], made["dz"], dh, rows)
        del made["c"]
    elif kind == "lstm":
        tanhs = np.zeros((steps, batch, size), dtype)
        module.lstm(z, ut, made["h"], made["c"], tanhs, rows)
        dc = made["dc"] = a["dc"].copy()
        back = (made["c"], tanhs, a["g"], made["dz"], dh, dc, rows)
        module.lstm_backward(z, a["u"], *back)
    else:
        del made["c"]
        q = made["q"] = a["q"].copy()
        module.gru(z, ut, made["h"], q, rows)
        made["dp"] = np.full(z.shape, np.nan, dtype)
        module.gru_backward(
            z, a["u"], made["h"], q, a["g"], made["dz"], made["dp"], dh, rows
        )  # fmt: skip
    return {**made, "dh": dh}


@pytest.mark.parametrize("kind", ["rnn", "rnn relu", "lstm", "gru"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("steps", "batch", "size"),
    [(1, 1, 1), (5, 31, 7), (4, 32, 16), (3, 70, 33), (2, 300, 5), (0, 2, 3), (2, 0, 3),
     (40, 33, 1)],
)  # fmt: skip
def test_like_the_reference_on_any_number_of_threads(
    kind: str, dtype: str, steps: int, batch: int, size: int
) -> None:
    kind, _, relu = kind.partition(" ")
    a = given(kind, steps, batch, size, dtype)
    every = [batch] * steps
    falling = sorted((batch * (t + 1) // (steps + 1) for t in range(steps)), reverse=True)
    for rows in (every, falling, falling[::-1]):
        want = taken(reference, kind, bool(relu), rows, a)
        before = kernels.get_num_threads()
        try:
            found = []
            for threads in (1, 2, 4):
                minigrad.set_num_threads(threads)
                found.append(taken(compiled, kind, bool(relu), rows, a))
        finally:
            minigrad.set_num_threads(before)
        for name, values in want.items():
            # sums of up to 4·33 products near 1, in another order, from step to step
            rtol, atol = (2e-4, 2e-4) if dtype == "float32" else (1e-9, 1e-12)
            np.testing.assert_allclose(found[0][name], values, rtol, atol, err_msg=name)
            for other in found[1:]:
                np.testing.assert_array_equal(found[0][name], other[name], err_msg=name)


def test_large_batches_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sequences above are too short for more than one thread, but for what `run` is told."""
    from minigrad.kernels.machinery import launch

    monkeypatch.setattr(launch, "PARALLEL_FROM", 1)
    test_like_the_reference_on_any_number_of_threads("lstm", "float32", 3, 70, 33)
    test_like_the_reference_on_any_number_of_threads("gru", "float32", 3, 70, 33)
    test_like_the_reference_on_any_number_of_threads("rnn", "float32", 3, 70, 33)
