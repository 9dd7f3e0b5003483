"""Against PyTorch: value, gradient, shape and dtype of every case, and the conventions."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from cases import CASES, SAMPLES, Sample
from sweeps import each

import minigrad
from minigrad import Tensor

torch = pytest.importorskip("torch")


def outputs(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


def array(x: Any) -> Any:
    return None if x is None else x.detach().numpy()


def run(m: Any, sample: Sample, arrays: list[Any]) -> tuple[list[Any], list[Any]]:
    """Outputs, and gradients of the inputs for random cotangents, of either library."""
    xs = [m.from_numpy(a).requires_grad_() for a in arrays]
    with warnings.catch_warnings():
        if m is torch:  # it has advice for some arguments; a warning of ours is an error
            warnings.simplefilter("ignore", UserWarning)
        ys = outputs(sample.run(m, xs))
    rng = np.random.default_rng(3)
    weights = [m.from_numpy(np.asarray(rng.standard_normal(y.shape)).astype(array(y).dtype))
               for y in ys if y.requires_grad]  # fmt: skip
    wanted = [y for y in ys if y.requires_grad]
    if not wanted:
        return ys, []
    try:
        return ys, list(m.autograd.grad(wanted, xs, weights, allow_unused=True))
    except RuntimeError as error:  # what torch cannot differentiate, only its values can check
        if m is not torch or not any(part in str(error) for part in NO_DERIVATIVE):
            raise
        return ys, []


NO_DERIVATIVE = ("floor_divide is not implemented", "remainder is not implemented",
                 "ScatterBackward0 returned", "ScatterAddBackward0 returned",
                 "PixelShuffleBackward0 returned")  # of an empty batch  # fmt: skip


def compare(ours: Any, theirs: Any, dtype: Any, terms: int, what: str) -> None:
    ours, theirs = array(ours), array(theirs)
    assert ours.shape == theirs.shape, what
    assert ours.dtype == theirs.dtype, what
    if theirs.dtype.kind != "f":
        np.testing.assert_array_equal(ours, theirs, err_msg=what)
        return
    # atol: an element is a sum of up to `terms` terms, each of which was rounded at the size of the
    # largest result, or of the cotangents, which are about 1
    scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=1.0)
    rtol = 1e-10 if dtype == np.float64 else 1e-4
    if "hardsigmoid" in what or "hardswish" in what:
        rtol = 1e-7  # torch's kernels hold the constant 1/6 in float32, in float64 too
    atol = float(np.finfo(dtype).eps) * terms * scale
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol, err_msg=what)


@each("sample", SAMPLES, by=lambda sample: sample.case.name)
def test_cases(sample: Sample) -> None:
    for dtype in (np.float64, np.float32):
        check(sample, dtype)


def check(sample: Sample, dtype: Any) -> None:
    arrays = sample.arrays(dtype)
    terms = 4 + max(a.size for a in arrays)
    ours, our_grads = run(minigrad, sample, arrays)
    theirs, their_grads = run(torch, sample, arrays)
    assert len(ours) == len(theirs)
    for i, (y, t) in enumerate(zip(ours, theirs, strict=True)):
        compare(y, t, dtype, terms, f"{sample} {dtype.__name__} output {i}")
        assert y.requires_grad == t.requires_grad
    if our_grads and not their_grads:
        assert sample.case.name in ("floor_divide", "rmod", "rfloordiv", "scatter", "scatter_add",
                                    "F.pixel_shuffle")  # fmt: skip
        return
    for i, (g, t) in enumerate(zip(our_grads, their_grads, strict=True)):
        assert (g is None) == (t is None), f"gradient {i}: ours {g}, torch {t}"
        if t is not None:
            compare(g, t, dtype, terms, f"{sample} {dtype.__name__} gradient {i}")


# Cases whose numbers are elementwise functions, on values where functions break.
POINTWISE = [
    c for c in CASES
    if c.domain in ("real", "positive", "nonzero", "unit")
    and c.shapes[0] in (((3, 4),), ((3, 4), (3, 4)))
    and c.name not in ("F.binary_cross_entropy",)  # refuses what is not a probability
    and not any(part in c.name for part in ("sort", "topk", "median", "einsum", "norm", "cosine",
                                        "_mean"))  # std_mean: torch's mean of infinities is nan
]  # fmt: skip


@pytest.mark.parametrize("case", POINTWISE, ids=lambda c: str(Sample(c, c.shapes[0], "rows")))
def test_special_values(case: Any) -> None:
    """Where PyTorch gives nan, inf or 0, so do we."""
    sample = Sample(case, case.shapes[0], "rows")
    for value in (np.nan, np.inf, -np.inf, 0.0, 1e-30, 100.0, -100.0, 1e30, -1e30):
        arrays = sample.arrays()
        arrays[0][1, 2] = value
        ours, _ = run(minigrad, sample, [a.copy() for a in arrays])
        theirs, _ = run(torch, sample, arrays)
        for y, t in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(array(y), array(t), rtol=1e-10, atol=1e-10, err_msg=value)


SMOOTH_AT = [
    (name, value)
    for name in [
        "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "sin", "cos", "sigmoid", "tanh", "erf",
        "abs",
        "relu", "square", "F.softplus", "F.silu", "F.gelu", "F.mish", "F.elu", "F.selu", "F.celu",
        "F.logsigmoid", "F.softsign", "F.hardswish", "F.hardsigmoid", "F.leaky_relu", "F.relu6",
    ]
    for value in (0.0, -0.0, 1e-20, 20.0, -20.0, 100.0, -100.0, 800.0, -800.0, np.inf, -np.inf,
                  np.nan)
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), SMOOTH_AT)
def test_functions_at_hard_points(name: str, value: float) -> None:
    """Value and gradient where a formula overflows, underflows or has a kink."""
    found = []
    for m in (minigrad, torch):
        x = m.from_numpy(np.full(64, value)).requires_grad_()  # whole vectors: see test_nonfinite
        f = getattr(m.nn.functional, name[2:]) if name.startswith("F.") else getattr(m, name)
        y = f(x)
        y.sum().backward()
        found.append((array(y), array(x.grad)))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12, atol=1e-300, err_msg="value")
    # atol: torch's own derivative of expm1-like tails keeps 1e-17 where the true one is 1e-20;
    # rtol: its 1/6 in hardsigmoid is a float32 constant
    rtol = 1e-7 if name == "F.hardsigmoid" else 1e-10
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=rtol, atol=1e-16, err_msg="gradient")


# Promotion.

NAMES = ["bool", "uint8", "int32", "int64", "float16", "float32", "float64"]
SCALARS = [True, 2, 2.5]
BINARY = ["add", "mul", "div", "maximum", "pow", "eq", "where", "sub"]


def operand(m: Any, kind: tuple[str, str] | bool | int | float) -> Any:
    if not isinstance(kind, tuple):
        return kind
    name, form = kind
    data = np.ones((2,) if form == "array" else (), name)
    return m.from_numpy(np.array(data))


OPERANDS = [(n, form) for n in NAMES for form in ("array", "0d")]


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("x", OPERANDS, ids="-".join)
def test_promotion(op: str, x: Any) -> None:
    """The result's dtype for every pair of operands, or a refusal where PyTorch refuses."""
    for y in [*OPERANDS, *SCALARS]:
        results = []
        for m in (minigrad, torch):
            a, b = operand(m, x), operand(m, y)
            try:
                if op == "where":
                    out = m.where(m.from_numpy(np.array([True, False])), a, b)
                else:
                    out = getattr(m, op)(a, b)
                results.append(str(out.dtype).removeprefix("torch."))
            except (RuntimeError, TypeError, ValueError) as error:
                results.append(f"refused: {error}")
        ours, theirs = results
        if op == "pow" and x[0] == "bool" and y is True:
            continue  # torch refuses bool to the power of a bool tensor, but not of True
        assert ours == theirs or (ours[:7] == theirs[:7] == "refused"), f"{op} of {x} and {y}"


@pytest.mark.parametrize("op",
[
    "exp", "sqrt", "sigmoid", "tanh", "sum", "prod", "neg", "abs", "relu", "log", "cumsum",
    "square",
    "sign", "floor", "amax", "reciprocal",
])  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_promotion_of_one_operand(op: str, name: str) -> None:
    results = []
    for m in (minigrad, torch):
        x = m.from_numpy(np.ones((2, 2), name))
        try:
            out = getattr(m, op)(x, 0) if op == "cumsum" else getattr(m, op)(x)
            results.append(str(out.dtype).removeprefix("torch."))
        except (RuntimeError, TypeError) as error:
            results.append(f"refused: {error}")
    ours, theirs = results
    assert ours == theirs or ours[:7] == theirs[:7] == "refused"


def test_gradients_come_in_the_dtype_of_their_tensor() -> None:
    for m in (minigrad, torch):
        x = m.from_numpy(np.ones(3, np.float32)).requires_grad_()
        y = m.from_numpy(np.ones(3)).requires_grad_()
        z = x * y
        assert str(z.dtype).removeprefix("torch.") == "float64"
        z.sum().backward()
        assert array(x.grad).dtype == np.float32
        assert array(y.grad).dtype == np.float64


@pytest.mark.parametrize("data", [1, 1.5, True, [1, 2], [1, 2.5], [[True]], [], [[]], np.float32(1),
                                  np.arange(3), np.ones(2)], ids=repr)  # fmt: skip
def test_dtype_of_new_tensors(data: Any) -> None:
    ours, theirs = minigrad.tensor(data), torch.tensor(data)
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    assert ours.shape == tuple(theirs.shape)


@pytest.mark.parametrize(
    "make",
    [
        lambda m: m.arange(5), lambda m: m.arange(1, 6, 2), lambda m: m.arange(0.0, 1.0, 0.25),
        lambda m: m.linspace(0, 1, 5), lambda m: m.zeros(2, 3), lambda m: m.ones((2,)),
        lambda m: m.full((2,), 3), lambda m: m.full((2,), 3.5), lambda m: m.eye(2, 3),
        lambda m: m.full((2,), True), lambda m: m.zeros(2, dtype=m.int64), lambda m: m.tensor(3.0),
        lambda m: m.zeros_like(m.arange(3)), lambda m: m.ones_like(m.zeros(2, dtype=m.float64)),
        lambda m: m.full_like(m.arange(3), 2), lambda m: m.arange(3).new_zeros(2),
        lambda m: m.zeros(()), lambda m: m.arange(3).float(), lambda m: m.zeros(2).double(),
        lambda m: m.tensor([1.7, -1.7]).long(), lambda m: m.tensor([1.7, 0.0]).bool(),
        lambda m: m.arange(3) / 2, lambda m: m.arange(4) // 3, lambda m: -m.arange(4) // 3,
        lambda m: m.arange(3) % 2, lambda m: m.arange(-3, 3) % -2, lambda m: m.arange(3) ** 2,
        lambda m: m.arange(3) & 1, lambda m: ~m.arange(3), lambda m: m.arange(3) ^ 1,
        lambda m: m.arange(3) | 4, lambda m: m.arange(6).reshape(2, 3).sum(0),
        lambda m: m.eye(3).bool().sum(), lambda m: m.nn.functional.one_hot(m.tensor([0, 2, 1])),
        lambda m: m.nn.functional.one_hot(m.tensor([[0, 2]]), 4),
        lambda m: m.tensor([3, 1, 3]).unique(), lambda m: m.tensor([0, 2]).nonzero(),
        lambda m: m.bincount(m.tensor([0, 2, 2]), minlength=5), lambda m: m.tensor(3.5).nonzero(),
        lambda m: m.searchsorted(m.tensor([1.0, 2.0, 3.0]), m.tensor([2.0, 9.0])),
        lambda m: m.searchsorted(m.tensor([1.0, 2.0, 3.0]), m.tensor([2.0]), right=True),
        lambda m: m.isclose(m.tensor([1.0, math.nan]), m.tensor([1.0 + 1e-9, math.nan])),
        lambda m: m.tensor([[1, 0], [0, 2]]).nonzero(as_tuple=True),
        lambda m: m.where(m.tensor([[1, 0], [0, 2]]) > 0),
        lambda m: m.tensor([True]) & m.tensor([False]),
        *[lambda m, f=f: getattr(m, f)(m.tensor([[-4, 0, 6, 0]]), m.tensor([[6], [0], [-9]]))
          for f in ("gcd", "lcm")],
        lambda m: m.gcd(m.tensor([-128, 4], dtype=m.int8), m.tensor([0, 6], dtype=m.int8)),
        lambda m: m.lcm(m.tensor([4], dtype=m.int8), m.tensor([6])),
        *[lambda m, f=f: (getattr(m, f)(m.tensor([1, 2])), getattr(m, f)(m.tensor([True])))
          for f in ("isposinf", "isneginf", "isreal")],
        lambda m: m.scalar_tensor(3), lambda m: m.scalar_tensor(True),
        lambda m: m.scalar_tensor(2.5, dtype=m.int64), lambda m: m.scalar_tensor(math.inf),
        lambda m: m.logspace(0, 4, 3), lambda m: m.logspace(-1, 2, 4, 2.0, dtype=m.float64),
        lambda m: m.logspace(0, 2, 5, base=-2), lambda m: m.logspace(0, 4, 8, 3, dtype=m.int64),
        lambda m: m.logspace(5, 2, 1), lambda m: m.logspace(5, 2, 0),
        lambda m: m.logspace(0, 2, 3, 0), lambda m: m.logspace(0, 5, 3, dtype=m.float16),
    ],
)  # fmt: skip
def test_values_without_gradient(make: Any) -> None:
    for y, t in zip(outputs(make(minigrad)), outputs(make(torch)), strict=True):
        assert str(y.dtype) == str(t.dtype).removeprefix("torch.")
        assert y.shape == tuple(t.shape)
        np.testing.assert_array_equal(y.array, t.numpy())


# What PyTorch does with a graph.


def both(f: Any) -> None:
    """The same program in both libraries gives the same numbers."""
    ours, theirs = (f(m, lambda a, m=m: m.from_numpy(np.array(a, np.float64)).requires_grad_())
                    for m in (minigrad, torch))  # fmt: skip
    for y, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(array(y), array(t), rtol=1e-12)


def test_in_place_programs() -> None:
    def program(m: Any, new: Any) -> list[Any]:
        a, b = new([1.0, 2.0, 3.0]), new([4.0, 5.0])
        y = a * 1
        y += 2
        y[1:] = b * a[:2]
        y.mul_(3)
        y *= a
        z = y.clone()
        z.zero_()
        z.add_(y)
        z.masked_fill_(m.tensor([True, False, False]), 2.0)
        (z * y.detach()).sum().backward()
        return [z, a.grad, b.grad]

    both(program)


def test_hooks_and_accumulation() -> None:
    def program(m: Any, new: Any) -> list[Any]:
        a = new([1.0, 2.0])
        a.register_hook(lambda g: g * 2)
        y = a * a
        y.retain_grad()
        y.register_hook(lambda g: g + 1)
        y.sum().backward(retain_graph=True)
        y.sum().backward()
        return [a.grad, y.grad]

    both(program)


def test_float16_is_computed() -> None:
    for m in (minigrad, torch):
        x = m.from_numpy(np.array([1.0, 2.0], np.float16)).requires_grad_()
        (x * x).sum().backward()
        assert array(x.grad).dtype == np.float16
        np.testing.assert_array_equal(array(x.grad), [2, 4])


def test_float32_sums_are_accurate() -> None:
    """Accumulated in float64: better than torch, so measured against the truth."""
    a = np.full(1_000_000, 0.1, np.float32)
    exact = math.fsum(a.tolist())
    assert Tensor(a).sum().item() == np.float32(exact)
    assert Tensor(a).mean().item() == np.float32(exact / a.size)
