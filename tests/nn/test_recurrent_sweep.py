"""Recurrent layers of sizes, depths and scales that stand in no table, beside PyTorch: no further
from float64 than PyTorch's own float32, on both kernel paths, with equal bits on any threads."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import nn

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _threads_as_they_were() -> Iterator[None]:
    threads = minigrad.get_num_threads()
    yield
    minigrad.set_num_threads(threads)


def results(m: Any, layer: Any, x: Any, g: Any) -> list[np.ndarray]:
    """The output and all gradients."""
    x = x.requires_grad_()
    y, _ = layer(x)
    (y * g).sum().backward()
    return [y.detach().numpy(), *(t.grad.numpy() for t in (x, *layer.parameters()))]


def errors(found: list[np.ndarray], exact: list[np.ndarray], dtype: str) -> np.ndarray:
    """Of each array, relative to its largest element, in units of the dtype."""
    off = [
        np.abs(a - b).max() / max(np.abs(b).max(), 1e-30) for a, b in zip(found, exact, strict=True)
    ]
    return np.array(off) / np.finfo(dtype).eps


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_beside_pytorch(seed: int) -> None:
    rng = random.Random(seed)
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    kind = rng.choice(["LSTM", "LSTM", "GRU", "RNN"])
    size, hidden = rng.choice([1, 2, 7, 33, 64]), rng.choice([1, 2, 5, 17, 31, 100])
    steps, samples = rng.choice([1, 2, 3, 9]), rng.choice([1, 2, 3, 37, 70])
    dtype = rng.choice(["float32", "float32", "float64"])
    scale = rng.choice([1, 6]) if dtype == "float32" else 1  # 6 saturates the gates
    options: dict[str, Any] = {
        "num_layers": rng.choice([1, 2]), "bidirectional": rng.random() < 0.3,
        "bias": rng.random() < 0.8, "batch_first": rng.random() < 0.4,
    }  # fmt: skip
    if kind == "LSTM" and hidden > 2 and rng.random() < 0.3:
        options["proj_size"] = hidden // 2
    theirs = getattr(torch.nn, kind)(size, hidden, dtype=getattr(torch, dtype), **options)
    exact = getattr(torch.nn, kind)(size, hidden, dtype=torch.float64, **options)
    exact.load_state_dict(theirs.state_dict())
    shape = (samples, steps, size) if options["batch_first"] else (steps, samples, size)
    x = (scale * draw.standard_normal(shape)).astype(dtype)
    g = draw.standard_normal(tuple(exact(torch.tensor(x).double())[0].shape)).astype(dtype)
    wide = results(torch, exact, torch.tensor(x).double(), torch.tensor(g).double())
    own = errors(results(torch, theirs, torch.tensor(x), torch.tensor(g)), wide, dtype)
    bits = []
    for kernels, threads in (("numba", 1), ("numba", 2), ("numpy", 1)):
        minigrad.set_num_threads(threads)
        with minigrad.use_kernels(kernels):
            ours = getattr(nn, kind)(size, hidden, dtype=dtype, **options)
            ours.load_state_dict(
                {k: minigrad.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()}
            )
            found = results(minigrad, ours, minigrad.from_numpy(x), minigrad.from_numpy(g))
        # a sum in another order may be off by some units; then as far again as PyTorch is
        allowed = 8 * np.maximum(own, 4) if dtype == "float32" else 64
        assert (errors(found, wide, dtype) <= allowed).all(), (kernels, kind, options)
        bits.append(found)
    for one, two in zip(bits[0], bits[1], strict=True):
        np.testing.assert_array_equal(one, two)
