"""Functions of probability and statistics, beside PyTorch and beside what they are inverses of."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import special
from minigrad.autograd import functional, gradcheck

torch = pytest.importorskip("torch")

rng = np.random.default_rng(0)
REAL = np.concatenate(
    [4 * rng.standard_normal(300), np.linspace(-12.3, 25, 300), [0.0, -0.0, 1, 2, -1, math.nan]]
)
UNIT = np.concatenate([1 / (1 + np.exp(-REAL[:-6])), [0, 1, 1e-300, 0.5, 1 - 1e-15, -1, 2]])
# Where each function is asked, and how far a result may be off: some roundings of its own size, and
# of 1 where it crosses 0 (lgamma at 1 and 2, digamma at 1.46, erfc, ndtr near -inf).
FUNCTIONS: dict[str, tuple[Any, float, float]] = {
    "erfc": (REAL, 1e-14, 0), "erfinv": (np.concatenate([2 * UNIT - 1, [1e-300]]), 1e-14, 0),
    "digamma": (REAL, 1e-12, 1e-13), "gammaln": (REAL, 1e-12, 2e-14), "ndtr": (REAL, 1e-14, 1e-16),
    "ndtri": (UNIT, 1e-14, 0), "log_ndtr": (REAL, 1e-12, 0), "entr": (REAL, 1e-15, 0),
    "i0": (REAL, 1e-14, 0), "expit": (REAL, 1e-15, 0), "psi": (REAL, 1e-12, 1e-13),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_pytorchs(name: str, kernels: str) -> None:
    x, rtol, atol = FUNCTIONS[name]
    ours, theirs = mg.from_numpy(x.copy()).requires_grad_(), torch.from_numpy(x).requires_grad_()
    a, b = getattr(special, name)(ours), getattr(torch.special, name)(theirs)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol, atol)
    g = rng.normal(size=x.shape)
    a.backward(mg.from_numpy(g))
    b.backward(torch.from_numpy(g))
    # PyTorch's derivative of digamma has nine digits (test_derivatives has all of ours), and that
    # at a pole is whatever a formula gives
    known = (x > 0) | (x != np.round(x)) if name in ("digamma", "psi", "gammaln") else x == x
    rtol = 1e-8 if name in ("digamma", "psi") else 1e-11
    np.testing.assert_allclose(ours.grad.numpy()[known], theirs.grad.numpy()[known], rtol, 1e-13)
    single = getattr(special, name)(mg.from_numpy(x.astype(np.float32)))
    expected = getattr(torch.special, name)(torch.from_numpy(x.astype(np.float32)))
    assert single.dtype == mg.float32
    inside = np.abs(expected.numpy()) < 1e30 if name != "erfinv" else x == x
    np.testing.assert_allclose(single.numpy()[inside], expected.numpy()[inside], 2e-5, 1e-6)


POINTS = {
    "erfc": [-1.5, 0.3, 2.0], "erfinv": [-0.9, 0.0, 0.4, 0.999], "digamma": [-2.3, 0.7, 30.0],
    "gammaln": [-0.4, 2.5, 12.0], "ndtr": [-3.0, 0.2, 1.0], "ndtri": [0.01, 0.4, 0.9],
    "log_ndtr": [-20.0, -0.5, 2.0], "entr": [0.2, 3.0], "i0": [-3.0, 0.5, 25.0, 0.0],
}  # fmt: skip


@pytest.mark.parametrize("name", POINTS)
def test_derivatives(name: str, kernels: str) -> None:
    f, x = getattr(special, name), mg.tensor(POINTS[name], dtype=mg.float64, requires_grad=True)
    g = mg.randn(*x.shape, dtype=mg.float64)
    assert gradcheck(lambda x: (f(x) * g).sum(), (x,))
    _, second = functional.hvp(lambda x: (f(x) * g).sum(), x, mg.ones_like(x))
    h = 1e-5
    slopes = []
    for step in (h, -h):
        v = (x.detach() + step).requires_grad_()
        (f(v) * g).sum().backward()
        slopes.append(v.grad.numpy())
    numeric = (slopes[0] - slopes[1]) / (2 * h)  # its error: h² and 1e-16/h
    np.testing.assert_allclose(second.numpy(), numeric, rtol=1e-4, atol=1e-7)


def test_inverses() -> None:
    x = np.linspace(-5, 5, 101)
    with np.errstate(all="ignore"):
        back = special.erfinv(special.erf(mg.from_numpy(x[35:66]))).numpy()
    np.testing.assert_allclose(back, x[35:66], rtol=1e-14, atol=1e-16)
    there = special.ndtri(special.ndtr(mg.from_numpy(x[:51]))).numpy()
    np.testing.assert_allclose(there, x[:51], rtol=1e-13, atol=1e-15)


def test_erfinv_in_place_and_mvlgamma() -> None:
    x = mg.tensor([0.5, -0.25])
    assert x.erfinv_() is x
    np.testing.assert_allclose(x.numpy(), torch.tensor([0.5, -0.25]).erfinv().numpy(), rtol=1e-6)
    for p in (1, 3):
        a, b = (m.tensor([2.5, 7.0], dtype=m.float64).mvlgamma(p) for m in (mg, torch))
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-13)
    assert mg.tensor([3]).lgamma().dtype == mg.float32  # as of all functions of integers


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_xlog1py(kind: Any, kernels: str) -> None:
    a = np.array([0, 0, 0, 2, 3, -1], kind)
    b = np.array([-1, np.nan, -5, 1e-20, 4, 0.5], kind)
    found = []
    for m in (mg, torch):
        x, y = m.from_numpy(a.copy()).requires_grad_(), m.from_numpy(b.copy()).requires_grad_()
        out = m.special.xlog1py(x, y)
        out.backward(m.from_numpy(np.arange(6).astype(kind)))
        found.append([v.detach().numpy() for v in (out, x.grad, y.grad)])
    for v, w in zip(*found, strict=True):
        np.testing.assert_allclose(v, w, rtol=1e-6 if kind is np.float32 else 1e-14)


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "p": (lambda: mg.mvlgamma(mg.ones(2), 0), ValueError, "mvlgamma: p must be at least 1, got 0"),
    "text": (lambda: mg.erfinv("x"), TypeError, "erfinv"),
    "numbers": (lambda: special.xlog1py(1, 2), TypeError, "xlog1py: expected a tensor"),
    "shapes": (lambda: special.xlog1py(mg.ones(2), mg.ones(3)), ValueError, "xlog1py: shapes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    call, kind, text = REFUSED[name]
    with pytest.raises(kind, match=re.escape(text)):
        call()
