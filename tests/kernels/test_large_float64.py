"""Large float64 arrays: what is arithmetic alone runs in compiled passes there, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from test_large import LOSSES, PAIRS, SPECIAL, UNARY, run

import minigrad as mg
from minigrad.kernels.compiled import elementwise
from minigrad.nn import functional as F

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
# Those whose formulas call none of functions.py's functions, which have float32's digits.
ARITHMETIC = {
    "sqrt", "rsqrt", "reciprocal", "square", "neg", "abs", "sign", "frac", "leaky_relu", "hardtanh",
    "relu6", "hardsigmoid", "hardswish", "softsign", "leaky_relu, slope", "hardtanh, bounds",
    "clamp", "clamp, min", "clamp, max", "clamp, crossed", "threshold", "hardshrink", "softshrink",
    "mse", "l1", "huber", "smooth l1", "mse sum", "margin ranking", "hinge embedding",
    "maximum", "minimum", "lerp", "lerp, far", "lerp, tensor", "addcmul", "addcdiv", "pow -1",
}  # fmt: skip
DISTANCES = {n: LOSSES[n] for n in LOSSES if "bce" not in n and "entropy" not in n}
OPS: dict[str, Any] = {**UNARY, **DISTANCES, **PAIRS}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    names: list[str] = []
    start = elementwise._start

    def noted(name: str, *rest: Any, **options: Any) -> None:
        names.append(name)
        start(name, *rest, **options)

    monkeypatch.setattr(elementwise, "_start", noted)
    yield names


@pytest.mark.parametrize("name", OPS)
def test_like_numpy(name: str, started: list[str]) -> None:
    rng = np.random.default_rng(0)
    x, y = (3 * rng.standard_normal((130, 301)) for _ in range(2))
    x.reshape(-1)[::97][: len(SPECIAL)] = SPECIAL
    op = OPS[name]
    if name in PAIRS or name in LOSSES:
        op = lambda t: OPS[name](t, mg.from_numpy(y))  # noqa: E731
    found, expected = (run(op, kernels, x, np.float64, True) for kernels in ("numba", "numpy"))
    # add and its like have passes for more elements only, for several threads
    assert bool(started) == (name in ARITHMETIC)
    for got, want in zip(found, expected, strict=True):
        assert got.dtype == np.float64
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-15)


def test_any_number_of_threads() -> None:
    x, y = np.random.default_rng(1).standard_normal((2, 600, 700))
    before = mg.get_num_threads()
    found = set()
    try:
        for n in (1, 2, 4):
            mg.set_num_threads(n)
            results = []
            for op in (
                F.softshrink, F.hardswish, lambda t: F.huber_loss(t, mg.from_numpy(y)),
                lambda t: t / mg.from_numpy(y[:, :1]) + 1.5,
            ):  # fmt: skip
                results += run(op, "numba", x, np.float64)
            found.add(b"".join(a.tobytes() for a in results))
    finally:
        mg.set_num_threads(before)
    assert len(found) == 1


def test_while_a_function_is_probed_numpy_serves(started: list[str]) -> None:
    """Its constants are real, and receive complex gradients."""
    x, c = np.random.default_rng(2).standard_normal((2, 20_000))
    weights = mg.from_numpy(c).requires_grad_()

    def f(t: Any) -> Any:
        return (F.hardswish(weights) * t * t).sum()

    point = mg.from_numpy(x)
    product = mg.autograd.functional.hvp(f, point, mg.ones_like(point))[1]
    started.clear()
    np.testing.assert_allclose(product.numpy(), 2 * F.hardswish(weights).detach().numpy(), 1e-12)
    assert started  # here the pass is taken, and agrees
