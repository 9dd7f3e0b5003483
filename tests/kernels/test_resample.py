"""Axes resampled by sparse matrices, and the ops that large arrays do that way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

import minigrad as mg
from minigrad.kernels.compiled.resample import Matrix, applied
from minigrad.kernels.machinery import launch
from minigrad.kernels.machinery import threads as pools
from minigrad.nn import functional as F


def draw_matrix(rng: np.random.Generator, n: int) -> tuple[Matrix, np.ndarray]:
    """A matrix of n columns with some products named twice, outputs of none and of many."""
    m = int(rng.integers(1, 12 if n < 100 else 6000))
    count = int(rng.integers(0, 3 * max(m, n)))
    to, of = rng.integers(0, m, count), rng.integers(0, n, count)
    if rng.random() < 0.3:
        to[: count // 2] = rng.integers(0, m)
    weights, dense = rng.standard_normal(count), np.zeros((m, n))
    np.add.at(dense, (to, of), weights)
    return Matrix(m, n, to, of, weights), dense


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(4))
def test_random_matrices_on_random_axes(trial: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "PARALLEL_FROM", 1)
    rng = np.random.default_rng(trial)
    for _ in range(100):
        shape = rng.integers(1, 9, rng.integers(1, 5))
        if rng.random() < 0.1:
            shape[rng.integers(len(shape))] = rng.integers(1, 5000)
        x = rng.standard_normal(shape).astype(np.float32)
        matrices, expected = {}, x.astype(np.float64)
        for axis in np.flatnonzero(rng.random(len(shape)) < 0.6).tolist():
            matrix, dense = draw_matrix(rng, x.shape[axis])
            matrices[axis] = matrix.adjoint.adjoint if rng.random() < 0.5 else matrix
            expected = np.moveaxis(np.tensordot(dense, expected, (1, axis)), 0, axis)
        found = []
        for threads in (1, 2, 3):
            monkeypatch.setattr(pools, "_threads", threads)
            found.append(applied(x, matrices))
        np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-4)
        assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


def test_a_matrix_refuses_places_that_are_not_there() -> None:
    for to, of in (([0, 3], [0, 0]), ([0, -1], [0, 0]), ([0, 0], [0, 4]), ([0, 0], [-1, 0])):
        with pytest.raises(IndexError, match="out of range"):
            Matrix(3, 4, np.array(to), np.array(of), np.ones(2))


def drawn_op(rng: np.random.Generator, kind: str, f: Any) -> tuple[tuple[int, ...], Any]:
    """A shape, and an op of it of `kind` in the functions f, minigrad's or PyTorch's."""
    axes = int(rng.integers(1, 4))
    lead = (int(rng.integers(1, 4)), int(rng.integers(1, 9)))
    size = tuple(int(n) for n in rng.integers(3, (4000, 160, 30)[axes - 1], axes))
    if kind in ("reflect", "replicate", "circular"):
        amounts = [int(p) for n in reversed(size) for p in rng.integers(-1, n, 2)]
        return (*lead, *size), lambda x: f.pad(x, amounts, mode=kind)
    out = [int(n) for n in rng.integers(1, [2 * n + 2 for n in size])]
    if kind == "adaptive":
        pool = getattr(f, f"adaptive_avg_pool{axes}d")
        return (*lead, *size), lambda x: pool(x, out)
    mode = ("linear", "bilinear", "trilinear")[axes - 1] if kind == "linear" else kind
    if kind == "bicubic":
        size, out = (40, 70), [int(n) for n in rng.integers(1, 150, 2)]
    corners = None if kind in ("nearest", "nearest-exact", "area") else bool(rng.random() < 0.5)
    given: dict[str, Any] = {"size": out}
    if kind != "area" and rng.random() < 0.5:
        given = {"scale_factor": float(rng.uniform(0.4, 2.6))}
    return (*lead, *size), lambda x: f.interpolate(x, mode=mode, align_corners=corners, **given)


KINDS = ["reflect", "replicate", "circular", "adaptive", "nearest", "nearest-exact", "linear"]
KINDS += ["bicubic", "area"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_ops_as_in_pytorch(kind: str) -> None:
    torch = pytest.importorskip("torch")
    large = 0
    for trial in range(24):
        shape, op = drawn_op(np.random.default_rng(trial), kind, F)
        _, same = drawn_op(np.random.default_rng(trial), kind, torch.nn.functional)
        rng = np.random.default_rng(trial)
        a = rng.standard_normal(shape).astype(np.float32)
        large += a.size >= 1 << 14
        # where an element comes from is computed in float32, and its rounding decides
        kept = kind in ("linear", "bicubic") or kind.startswith("nearest")
        dtype = np.float32 if kept else np.float64
        x = mg.from_numpy(a).requires_grad_()
        t = torch.from_numpy(a.astype(dtype)).requires_grad_()
        y, expected = op(x), same(t)
        g = rng.standard_normal(y.shape).astype(np.float32)
        y.backward(mg.from_numpy(g))
        expected.backward(torch.from_numpy(g.astype(dtype)))
        assert x.grad is not None
        for got, right in ((y.detach().numpy(), expected.detach().numpy()),
                           (x.grad.numpy(), t.grad.numpy())):  # fmt: skip
            assert got.shape == right.shape and got.dtype == np.float32
            scale = max(np.abs(right).max(initial=0), 1) * (
                10 if kind in ("linear", "bicubic") else 1
            )
            np.testing.assert_allclose(got, right, rtol=0, atol=2e-6 * scale)
    assert large > 4


SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 1e-42]


@pytest.mark.parametrize("op", [
    lambda f, x: f.pad(x, (3, 5, 2, 0), mode="reflect"),
    lambda f, x: f.pad(x, (3, 5, 2, 0), mode="replicate"),
    lambda f, x: f.interpolate(x, size=(31, 90)),
    lambda f, x: f.interpolate(x, size=(80, 90), mode="bilinear"),
    lambda f, x: f.adaptive_avg_pool2d(x, (7, 11)),
], ids=["reflect", "replicate", "nearest", "bilinear", "adaptive"])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite_goes_where_its_weight_sends_it(op: Any, dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    a = np.random.default_rng(0).standard_normal((2, 5, 40, 50)).astype(dtype)
    a.reshape(-1)[::777] = np.resize(SPECIAL, len(a.reshape(-1)[::777]))
    a[1, 1, 0, 0], a[1, 2, -1, -1] = np.inf, np.nan
    x, t = mg.from_numpy(a).requires_grad_(), torch.from_numpy(a).requires_grad_()
    y, expected = op(F, x), op(torch.nn.functional, t)
    g = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    g.reshape(-1)[::555] = np.resize(SPECIAL, len(g.reshape(-1)[::555]))
    y.backward(mg.from_numpy(g))
    expected.backward(torch.from_numpy(g))
    assert x.grad is not None
    close = 1e-5 if dtype == np.float32 else 1e-13
    assert y.dtype == dtype
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), close, close)
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), close, close)


def test_average_pooling_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    large = 0
    for trial in range(60):
        rng = np.random.default_rng(trial)
        shape = (*rng.integers(1, 9, 2).tolist(), *rng.integers(3, 100, 2).tolist())
        a = rng.standard_normal(shape).astype(np.float32)
        kernel = [int(rng.integers(1, min(n, 12) + 1)) for n in shape[2:]]
        options: dict[str, Any] = {
            "stride": rng.integers(1, 6, 2).tolist(),
            "padding": [int(rng.integers(0, k // 2 + 1)) for k in kernel],
            "ceil_mode": bool(rng.random() < 0.5), "count_include_pad": bool(rng.random() < 0.5),
        }  # fmt: skip
        if rng.random() < 0.4:
            options["divisor_override"] = int(rng.choice([-3, 1, 7]))
        large += a.size >= 1 << 14
        x = mg.from_numpy(a).requires_grad_()
        t = torch.from_numpy(a.astype(np.float64)).requires_grad_()
        y = F.avg_pool2d(x, kernel, **options)
        expected = torch.nn.functional.avg_pool2d(t, kernel, **options)
        g = rng.standard_normal(y.shape).astype(np.float32)
        y.backward(mg.from_numpy(g))
        expected.backward(torch.from_numpy(g.astype(np.float64)))
        assert x.grad is not None
        np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), 2e-6, 2e-6)
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), 2e-6, 3e-6)
    assert large > 20
