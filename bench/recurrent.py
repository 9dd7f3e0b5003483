"""Recurrent layers over whole sequences, forward and all gradients: the LSTM of 28 steps that the
project set itself a target for, and layers of all kinds whose sizes nobody chose."""

from __future__ import annotations

from typing import Any

import numpy as np

from .cases import Array, Case
from .nets import fill
from .work import Work, differentiate, in_float64

KINDS = ("RNN", "LSTM", "GRU")
NAMED = [(28, n, 28, units) for n in (16, 64) for units in (64, 128, 256, 512)]
DRAWN = 21


def drawn() -> list[tuple[int, ...]]:
    """Steps, sequences, inputs and units, most of them small, from a seed."""
    rng = np.random.default_rng(0)
    low, high = np.log([3, 1, 3, 8]), np.log([60, 120, 200, 400])
    return [tuple(np.exp(rng.uniform(low, high)).astype(int).tolist()) for _ in range(DRAWN)]


CASES = [
    *(Case("recurrent", "LSTM", (t, n, i), out=h, quick=h == 64) for t, n, i, h in NAMED),
    *(
        Case("recurrent", KINDS[k % 3], (t, n, i), out=h, quick=k < 3)
        for k, (t, n, i, h) in enumerate(drawn())
    ),
]


def work(m: Any, case: Case) -> Work:
    """A layer over (steps, sequences, inputs), and its backward from a random cotangent."""
    rng = np.random.default_rng(0)
    x = m.from_numpy(rng.standard_normal(case.shape).astype(np.float32))
    layer = getattr(m.nn, case.kind)(case.shape[2], case.out)
    if "float64" in str(x.dtype):
        layer.double()
    fill(m, layer, rng)
    return differentiate(m, lambda x: layer(x)[0], [x], [x, *layer.parameters()])


def reference(case: Case) -> list[Array]:
    """In float64, by the numpy kernels, which the tests compare with PyTorch."""
    return in_float64(work, case)
