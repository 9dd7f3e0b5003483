"""Every operation of CASES: forward against the reference, gradients against complex steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import CASES, SAMPLES, Sample

import minigrad
from minigrad import Tensor
from minigrad.autograd import gradcheck
from minigrad.nn import functional as F

# The numba path differs only where an op asks for kernels; elsewhere it would run the same code.
KERNEL_OPS = ("conv", "pool", "norm", "cross_entropy", "embedding", "getitem", "index", "gather",
              "take", "pad", "sort", "topk")  # fmt: skip
RUNS = [
    pytest.param(sample, kernels, id=f"{sample}-{kernels}")
    for sample in SAMPLES
    for kernels in ("numpy", "numba")
    if kernels == "numpy" or any(part in sample.case.name for part in KERNEL_OPS)
]


@pytest.fixture(autouse=True)
def chosen(request: pytest.FixtureRequest) -> Any:
    names = getattr(request.node, "callspec", None)
    name = names.params.get("kernels", "numpy") if names else "numpy"
    if name == "numba":
        pytest.importorskip("numba")
    with minigrad.use_kernels(name):
        yield


def tensors(sample: Sample, dtype: Any = np.float64, requires_grad: bool = False) -> list[Tensor]:
    """Inputs in the sample's memory layout."""
    made = [minigrad.from_numpy(a) for a in sample.arrays(dtype)]
    return [x.requires_grad_(requires_grad) for x in made]


def outputs(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


@pytest.mark.parametrize(("sample", "kernels"), RUNS)
def test_forward(sample: Sample, kernels: str) -> None:
    arrays = sample.arrays()
    expected = outputs(sample.expected(arrays))
    for dtype in (np.float64, np.float32):
        got = outputs(sample.run(minigrad, tensors(sample, dtype)))
        assert len(got) == len(expected)
        for y, want in zip(got, expected, strict=True):
            want = np.asarray(want)
            assert y.shape == want.shape
            if want.dtype.kind != "f":  # comparisons, positions: exactly these
                assert y.dtype == want.dtype
                np.testing.assert_array_equal(y.data, want)
                continue
            assert y.dtype == dtype
            # elements near zero are differences of larger ones: measured against the largest
            scale = np.abs(want[np.isfinite(want)]).max(initial=1.0)
            # float64: a few roundings; float32: the reference has not rounded its inputs, which
            # alone costs 6e-8 times the condition number of the op (powers, products: up to 50)
            tolerance = 1e-13 if dtype == np.float64 else 5e-6
            np.testing.assert_allclose(y.data, want, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize(
    ("sample", "kernels"), [run for run in RUNS if run.values[0].case.differentiable]
)
def test_gradcheck(sample: Sample, kernels: str) -> None:
    inputs = tensors(sample, requires_grad=True)

    def floating(*xs: Tensor) -> Any:
        return tuple(y for y in outputs(sample.run(minigrad, xs)) if y.dtype.kind in "fc")

    if not all(x.numel() for x in inputs):  # nothing to vary: gradients must have the shapes
        ys = [y for y in floating(*inputs) if y.requires_grad]
        assert ys, "no output requires grad"
        found = minigrad.autograd.grad(ys, inputs, [minigrad.ones_like(y) for y in ys])
        assert [g.shape for g in found if g is not None] == [x.shape for x in inputs]
        return
    assert gradcheck(floating, inputs)


@pytest.mark.parametrize(("sample", "kernels"), RUNS)
def test_inputs_stay_as_they_were(sample: Sample, kernels: str) -> None:
    xs = tensors(sample, requires_grad=True)
    before = [x.data.copy() for x in xs]
    for y in outputs(sample.run(minigrad, xs)):
        if y.requires_grad:
            y.backward(np.ones(y.shape), retain_graph=True)
    for x, old in zip(xs, before, strict=True):
        np.testing.assert_array_equal(x.data, old)


def test_the_table_covers_the_functional_face() -> None:
    missing = {name for name in F.__all__ if not any(c.name == f"F.{name}" for c in CASES)}
    assert missing == {"one_hot"}  # integers to integers, see test_torch


def test_the_table_covers_the_ops() -> None:
    """Every function of the package that takes a tensor is in the table or has its own test."""
    from minigrad.ops import activations, arithmetic, indexing, linear, reductions, shape

    elsewhere = set(
        # without gradient, or aliases and helpers: tested in test_ops, test_torch or by name
        ["as_array", "axis_of", "elementwise", "operand", "operands", "record", "wrap", "result_dtype", "fit", "needs_grad", "allclose", "equal", "isclose", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "sizes_of", "view_as", "reshape_as", "expand_as", "axes_of", "record_pick", "bincount", "matrices", "key_of", "nonzero", "unique", "one_hot", "searchsorted", "argmin", "quiet", "sigmoid_of", "erf_of"]
    )
    known = {c.name.split(".")[-1].split()[0] for c in CASES} | elsewhere
    for chapter in (activations, arithmetic, indexing, linear, reductions, shape):
        own = {
            name for name, value in vars(chapter).items()
            if callable(value) and not name.startswith("_") and not isinstance(value, type)
            and getattr(value, "__module__", "") == chapter.__name__
        }  # fmt: skip
        assert own <= known, f"{chapter.__name__}: {sorted(own - known)} not tested"
