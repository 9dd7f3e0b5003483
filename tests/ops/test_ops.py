"""Every operation of CASES: forward against the reference, gradients against complex steps."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES, SAMPLES, Sample
from sweeps import each

import minigrad
from minigrad import Tensor
from minigrad.autograd import gradcheck
from minigrad.nn import functional as F
from minigrad.ops.methods import Methods

# The numba path differs only where an op asks for kernels; elsewhere it would run the same code.
KERNEL_OPS = ("conv", "pool", "norm", "entropy", "embedding", "getitem", "index", "take", "pad")
PATHS = ("numpy", "numba") if importlib.util.find_spec("numba") else ("numpy",)
RUNS = [
    (sample, kernels)
    for sample in SAMPLES
    for kernels in PATHS
    if kernels == "numpy" or any(part in sample.case.name for part in KERNEL_OPS)
]


def tensors(sample: Sample, dtype: Any = np.float64, requires_grad: bool = False) -> list[Tensor]:
    """Inputs in the sample's memory layout."""
    made = [minigrad.from_numpy(a) for a in sample.arrays(dtype)]
    return [x.requires_grad_(requires_grad) for x in made]


def outputs(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


@each("sample kernels", RUNS, by=lambda sample, kernels: f"{sample.case.name}-{kernels}")
def test_forward(sample: Sample, kernels: str) -> None:
    with minigrad.use_kernels(kernels):
        check_forward(sample)


def check_forward(sample: Sample) -> None:
    expected = outputs(sample.expected(sample.arrays()))
    for dtype in (np.float64, np.float32):
        inputs = tensors(sample, dtype, requires_grad=True)
        got = outputs(sample.run(minigrad, inputs))
        assert len(got) == len(expected)
        for y, want in zip(got, expected, strict=True):
            want = np.asarray(want)
            assert y.shape == want.shape
            if want.dtype.kind != "f":  # comparisons, positions: exactly these
                assert y.dtype == want.dtype
                np.testing.assert_array_equal(y.array, want)
                continue
            assert y.dtype == dtype
            # elements near zero are differences of larger ones: measured against the largest
            scale = np.abs(want[np.isfinite(want)]).max(initial=1.0)
            # float64: a few roundings; float32: the reference has not rounded its inputs, which
            # alone costs 6e-8 times the condition number of the op (powers, products: up to 50)
            tolerance = 1e-13 if dtype == np.float64 else 5e-6
            np.testing.assert_allclose(y.array, want, rtol=tolerance, atol=tolerance * scale)
            if y.requires_grad:
                y.backward(np.ones(y.shape), retain_graph=True)
        for x, before in zip(inputs, sample.arrays(dtype), strict=True):
            np.testing.assert_array_equal(x.array, before)  # neither pass writes to its inputs


DIFFERENTIABLE = [run for run in RUNS if run[0].case.differentiable]


@each("sample kernels", DIFFERENTIABLE, by=lambda sample, kernels: f"{sample.case.name}-{kernels}")
def test_gradcheck(sample: Sample, kernels: str) -> None:
    with minigrad.use_kernels(kernels):
        if kernels == "numpy":
            check_gradients(sample)
        else:
            compare_gradients(sample)


def floats(sample: Sample, xs: list[Tensor]) -> Any:
    return tuple(y for y in outputs(sample.run(minigrad, xs)) if y.dtype.kind in "fc")


def compare_gradients(sample: Sample) -> None:
    """With numpy's, which are compared with complex steps, within what gradcheck allows. (It would
    take its steps on numpy's kernels, all of them once more.)"""
    found = []
    for kernels in (minigrad.kernels.kernels_in_use(), "numpy"):
        with minigrad.use_kernels(kernels):
            minigrad.manual_seed(0)
            inputs = tensors(sample, requires_grad=True)
            ys = [y for y in floats(sample, inputs) if y.requires_grad]
            assert ys, "no output requires grad"
            rng = np.random.default_rng(0)
            cotangents = [Tensor(np.array(rng.standard_normal(y.shape))) for y in ys]
            found.append(minigrad.autograd.grad(ys, inputs, cotangents))
    for ours, theirs in zip(*found, strict=True):
        assert ours is not None and theirs is not None and ours.shape == theirs.shape
        scale = np.abs(theirs.array).max(initial=1.0)
        np.testing.assert_allclose(ours.array, theirs.array, rtol=1e-8, atol=1e-9 * scale)


def check_gradients(sample: Sample) -> None:
    inputs = tensors(sample, requires_grad=True)

    def floating(*xs: Tensor) -> Any:
        return floats(sample, list(xs))

    if not all(x.numel() for x in inputs):  # nothing to vary: gradients must have the shapes
        ys = [y for y in floating(*inputs) if y.requires_grad]
        assert ys, "no output requires grad"
        found = minigrad.autograd.grad(ys, inputs, [minigrad.ones_like(y) for y in ys])
        assert [g.shape for g in found if g is not None] == [x.shape for x in inputs]
        return
    assert gradcheck(floating, inputs)


def test_the_table_covers_the_functional_face() -> None:
    missing = {name for name in F.__all__ if not any(c.name == f"F.{name}" for c in CASES)}
    missing = {name for name in missing if not named_elsewhere(name, getattr(F, name))}
    missing = {name for name in missing if not name.endswith("_")}  # see test_names_in_place
    assert missing == {"one_hot"}  # integers to integers, see test_torch


# Chapters of ops that a test file of their own checks, which names each of them.
CHAPTERS = {
    "arranging": "test_arranging", "trigonometry": "test_more_functions", "linalg": "test_linalg",
    "products": "test_linalg", "histograms": "test_histograms", "types": "test_tensor_types",
    "distances": "test_more_functions", "margins": "test_more_functions",
    "quantiles": "test_more_functions", "scattering": "test_more_functions",
    "cumulative": "test_more_functions", "rounding": "test_more_functions",
    "windows": "test_windows", "order": "test_windows", "special": "test_special",
    "solving": "test_linalg", "class_margins": "test_more_functions",
    "alpha_dropout": "test_random",
}  # fmt: skip


def named_elsewhere(name: str, op: Any) -> bool:
    """Whether the test file of the op's chapter names it, or the one for names from all of them."""
    file = CHAPTERS.get(op.__module__.rpartition(".")[2])
    files = {file, "test_more_names"} - {None}
    return any(
        re.search(rf"\b{name}\b", Path(__file__).with_name(f"{file}.py").read_text())
        for file in files
    )


def test_the_table_covers_the_public_ops() -> None:
    """What the package and Tensor offer is in the table, in a test file of its chapter, or without
    gradient and tested by name."""
    apart = ("create", "random", "inplace", "properties", "operators", "writing", "foreach")
    public = {
        name: op
        for names in (vars(minigrad), vars(Methods))
        for name, op in names.items()
        if getattr(op, "__module__", "").startswith("minigrad.ops.") and not name.endswith("_")
    }
    there = {name for name, op in public.items() if named_elsewhere(name, op)}
    # aliases; no gradient, so in test_torch; conversions; two that are in test_more_functions
    elsewhere = """Tensor clip absolute subtract multiply divide true_divide negative greater less
        allclose equal isclose bitwise_and bitwise_or bitwise_xor bitwise_not bincount nonzero
        unique searchsorted gcd lcm to float double half long int bool type_as cpu
        short char byte bfloat16 cuda view_as reshape_as expand_as fix hardshrink ger"""
    known = {c.name.split()[0].split(".")[-1] for c in CASES} | set(elsewhere.split())
    known |= there
    known |= {name for name, op in public.items() if op.__module__.rpartition(".")[2] in apart}
    assert set(public) <= known, f"not tested: {sorted(set(public) - known)}"


@pytest.mark.parametrize(
    ("f", "at", "slope"),
    [
        (F.relu, 0, 0), (F.leaky_relu, 0, 0.01), (F.elu, 0, 1), (F.hardtanh, 1, 0),
        (F.hardtanh, -1, 0), (F.relu6, 6, 0), (F.relu6, 0, 0), (Tensor.abs, 0, 0),
        (lambda x: x.clamp(-1, 1), 1, 1),
        (lambda x: x.clamp(-1, 1), -1, 1), (lambda x: x.clamp(min=1), 1, 1),
        (Tensor.sqrt, 0, np.inf), (lambda x: minigrad.maximum(x, x), 2, 1),
        (lambda x: minigrad.maximum(x, Tensor([2.0])), 2, 0.5),
        (lambda x: x.expand(2).std(), 3, 0), (lambda x: minigrad.cat([x, x * 0 + 5]).max(), 5, 0.5),
        (lambda x: minigrad.cat([x, x * 0 + 5]).max(0)[0], 5, 1), (lambda x: x.norm(), 0, 0),
        (lambda x: minigrad.cat([x * 0 + 5, x]).max(0)[0], 5, 0), (lambda x: x**0, 0, 0),
        (lambda x: x ** Tensor([2.0]), 0, 0), (lambda x: Tensor([0.0]) ** x, 2, 0),
    ],
)  # fmt: skip
def test_conventions_at_kinks(f: Any, at: float, slope: float) -> None:
    x = Tensor([float(at)], requires_grad=True)
    f(x).sum().backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(slope, rel=1e-7)  # float32 slopes


def test_aliases_of_arguments_and_names() -> None:
    x = Tensor(np.arange(6.0).reshape(2, 3))
    for name in ("sum", "mean", "max", "min", "var", "std", "prod", "amax"):
        kept = getattr(x, name)(dim=1, keepdim=True)
        alias = getattr(x, name)(axis=1, keepdims=True)
        for a, b in zip(outputs(kept), outputs(alias), strict=True):
            np.testing.assert_array_equal(a.array, b.array)
    np.testing.assert_array_equal(minigrad.cat([x, x], axis=1).array, np.tile(x.array, 2))
    np.testing.assert_array_equal(minigrad.subtract(x, 1).array, x.array - 1)
    np.testing.assert_array_equal(x.clip(1, 2).array, np.clip(x.array, 1, 2))


@pytest.mark.parametrize("data", [np.float64(2.0), np.array(2.0), np.arange(3.0)], ids=repr)
def test_numpy_on_either_side_gives_tensors(data: Any) -> None:
    x = Tensor(np.array([1.0, 2.0, 4.0]), requires_grad=True)
    for result, want in [
        (data + x, data + x.array), (x + data, x.array + data), (data - x, data - x.array),
        (data * x, data * x.array), (data / x, data / x.array), (data**x, data**x.array),
        (x**data, x.array**data), (data // x, data // x.array), (data % x, data % x.array),
    ]:  # fmt: skip
        assert type(result) is Tensor and result.requires_grad
        np.testing.assert_allclose(result.array, want, rtol=1e-15)
    for result, want in [(data < x, data < x.array), (data == x, data == x.array)]:
        assert type(result) is Tensor and result.dtype == np.bool_
        np.testing.assert_array_equal(result.array, want)
    matrix = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal((matrix @ x).array, matrix @ x.array)


def test_a_tensor_is_a_view_where_numpy_and_torch_make_views() -> None:
    x = Tensor(np.arange(6.0).reshape(2, 3))
    views = [x.T, x.reshape(6), x[0], x[:, 1:], x.unsqueeze(0), x.flatten(), x.expand(4, 2, 3),
             x[0][1:], x.detach(), x.view(3, 2)[1], x.transpose(0, 1)[0], x.split(1)[1],
             x.diagonal()]  # fmt: skip
    assert all(np.shares_memory(v.array, x.array) for v in views)
    copies = [x[[0, 1]], x.clone(), x.T.flatten(), x + 0, x[x > 1], x.flip(0), x.repeat(1, 1)]
    assert not any(np.shares_memory(c.array, x.array) for c in copies)
