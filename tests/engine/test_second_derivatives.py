"""func.grad: every operation's second derivatives against PyTorch's create_graph=True."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from cases import SAMPLES, Sample
from sweeps import each

import minigrad
from minigrad import func

ONCE = {"F.ctc_loss", "F.pdist", "F.embedding_bag", "vander"}  # as PyTorch differentiates them
SMOOTH = [
    s
    for s in SAMPLES
    if s.case.differentiable
    and s.layout in ("rows", "twice")
    and not (s.case.name == "logsumexp" and 0 in s.shapes[0])  # log of an empty sum: -inf
    and s.case.name != "cond"  # which refuses them, by svd
    and s.case.name not in ONCE
]
# What PyTorch cannot differentiate twice there; other samples of these operations it can.
TWICE = ("is not implemented", "not implemented for", "Backward0 returned", "does not require grad")


def outputs(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


def curved(m: Any, sample: Sample, xs: Any) -> Any:
    """A scalar whose second derivatives need the operation's first and second: Σ w·y + w·y²."""
    rng = np.random.default_rng(3)
    value = 0.0
    for y in outputs(sample.run(m, xs)):
        w = m.from_numpy(np.asarray(rng.standard_normal(y.shape)))
        if y.dtype not in (m.int64, m.bool):
            value = value + (w * y + w * y * y).sum()
    return value


def weights(xs: Any, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(x.shape)) for x in xs]


def theirs(sample: Sample, arrays: Any, inputs: int | None = None) -> list[Any] | None:
    """PyTorch's gradients of Σ v·∂f/∂x; None where it has none."""
    torch = pytest.importorskip("torch")
    xs = [torch.from_numpy(a).requires_grad_() for a in arrays]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            value = curved(torch, sample, xs)
            if isinstance(value, float) or not value.requires_grad:
                return None
            first = torch.autograd.grad(value, xs[:inputs], create_graph=True, allow_unused=True)
            loss = sum(
                (torch.from_numpy(v) * g).sum()
                for v, g in zip(weights(xs, 4), first, strict=False)
                if g is not None
            )
            second = torch.autograd.grad(loss, xs, allow_unused=True)
        except (RuntimeError, NotImplementedError) as error:
            if not any(part in str(error) for part in TWICE):
                raise
            return None
    return [np.zeros(x.shape) if g is None else g.numpy() for x, g in zip(xs, second, strict=True)]


LACKING = {
    "floor_divide", "div", "rfloordiv", "rmod", "round", "sign", "floor", "ceil", "trunc",
    "F.hardsigmoid", "pow", ".repeat", "scatter", "scatter_add", "F.pixel_shuffle",
    "F.scaled_dot_product_attention", "F.multi_head_attention_forward", "F.max_unpool2d",
}  # fmt: skip


@pytest.mark.slow
def test_pytorch_has_nearly_all() -> None:
    """What it lacks is constant, empty, or not implemented there for some arguments."""
    lacking = [s for s in SMOOTH if theirs(s, s.arrays()) is None]
    assert {s.case.name for s in lacking} <= LACKING
    assert len(lacking) < len(SMOOTH) / 15


def compare(ours: list[Any], expected: list[Any], what: str) -> None:
    # Sums of products of a few terms; the complex formulas are others than PyTorch's real ones.
    scale = max((float(np.abs(e).max(initial=0)) for e in expected), default=0.0)
    for got, want in zip(ours, expected, strict=True):
        a = np.zeros(want.shape) if got is None else got.array
        np.testing.assert_allclose(a, want, rtol=1e-7, atol=1e-10 * max(scale, 1), err_msg=what)


@each("sample", SMOOTH, by=lambda sample: sample.case.name)
def test_by_all_inputs(sample: Sample) -> None:
    arrays = sample.arrays()
    expected = theirs(sample, arrays)
    if expected is None:
        return
    xs = [minigrad.from_numpy(a).requires_grad_() for a in arrays]
    argnums = tuple(range(len(xs)))
    first = func.grad(lambda *xs: curved(minigrad, sample, xs), argnums)(*xs)
    loss = sum(
        (minigrad.from_numpy(v) * g).sum() for v, g in zip(weights(xs, 4), first, strict=True)
    )
    loss.backward()
    compare([x.grad for x in xs], expected, str(sample))


PAIRS = [s for s in SMOOTH if len(s.shapes) > 1 and s.layout == "rows"]


@each("sample", PAIRS, by=lambda sample: sample.case.name)
def test_of_what_the_function_closes_over(sample: Sample) -> None:
    """By the first input alone; the others are parameters, real in the complex pass."""
    arrays = sample.arrays()
    expected = theirs(sample, arrays, 1)
    if expected is None:
        return
    x, *others = (minigrad.from_numpy(a).requires_grad_() for a in arrays)
    first = func.grad(lambda x: curved(minigrad, sample, (x, *others)))(x)
    (minigrad.from_numpy(weights([x], 4)[0]) * first).sum().backward()
    compare([x.grad, *(o.grad for o in others)], expected, str(sample))


@pytest.mark.slow
@each("sample", SMOOTH, by=lambda sample: sample.case.name)
def test_of_what_leads_to_parameters_alone(sample: Sample) -> None:
    """f(x) = x·F(θ): ∂f/∂x = F(θ), whose gradient an ordinary backward has, too."""
    thetas = [minigrad.from_numpy(a).requires_grad_() for a in sample.arrays()]
    value = curved(minigrad, sample, thetas)
    if isinstance(value, float) or not value.requires_grad:
        return
    want = minigrad.autograd.grad(value, thetas, allow_unused=True)
    x = minigrad.tensor(2.0, dtype=minigrad.float64)
    func.grad(lambda x: x * curved(minigrad, sample, thetas))(x).backward()
    expected = [
        np.zeros(t.shape) if g is None else g.array for t, g in zip(thetas, want, strict=True)
    ]
    compare([t.grad for t in thetas], expected, str(sample))
