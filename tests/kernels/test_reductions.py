"""Reductions, scans, losses and distances of large float32 arrays, along any axis, against PyTorch
in float64 at random shapes, with ties, zeros and what is not finite."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("torch")

import torch
from sweeps import each

import minigrad as mg
from minigrad.ops import large

Op = Callable[[Any, Any, int], Any]  # of the library, x, and an axis
ALONG: dict[str, Op] = {
    "softmax": lambda lib, x, axis: x.softmax(axis),
    "log_softmax": lambda lib, x, axis: x.log_softmax(axis),
    "logsumexp": lambda lib, x, axis: x.logsumexp(axis),
    "cumsum": lambda lib, x, axis: x.cumsum(axis),
    "cumprod": lambda lib, x, axis: x.cumprod(axis),
    "logcumsumexp": lambda lib, x, axis: x.logcumsumexp(axis),
    "cummax": lambda lib, x, axis: x.cummax(axis),
    "cummin": lambda lib, x, axis: x.cummin(axis),
    "amax": lambda lib, x, axis: x.amax(axis),
    "amin of two axes": lambda lib, x, axis: x.amin((axis, (axis + 1) % x.ndim)),
    "max": lambda lib, x, axis: x.max(axis),
    "min": lambda lib, x, axis: x.min(axis, keepdim=True),
    "max of all": lambda lib, x, axis: x.max(),
    "amin of all": lambda lib, x, axis: x.amin(()),
    "argmax": lambda lib, x, axis: x.argmax(axis),
    "argmin": lambda lib, x, axis: x.argmin(axis),
    "norm": lambda lib, x, axis: x.norm(dim=axis),
    "norm 1": lambda lib, x, axis: x.norm(p=1, dim=axis),
}
SHAPES = [((40, 12, 50), 1), ((3, 7001), 0), ((7001, 3), 0), ((2, 300, 129), 1), ((30, 700), 1),
          ((5, 6, 7, 131), 2), ((20_000,), 0), ((1, 130, 150), 0), ((130, 150, 1), 1)]  # fmt: skip
# what PyTorch's float32 computes exactly, so that products neither overflow nor lose ties
VALUES = np.array([1, 1, 1, 1, -1, 0.5, 2, 0], np.float32)


def array(shape: tuple[int, ...], kind: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "ties":
        return rng.choice(VALUES, shape)
    x = rng.standard_normal(shape).astype(np.float32)
    if kind == "special":
        at = rng.integers(0, x.size, 7)
        x.reshape(-1)[at] = [np.nan, np.inf, -np.inf, 0, -0.0, 90, -90]
    return x


def results(lib: Any, op: Op, x: np.ndarray, axis: int) -> list[np.ndarray]:
    """The result, its gradient for x and the places, as far as there are such."""
    t = lib.from_numpy(x).requires_grad_()
    y = op(lib, t, axis)
    found = [y] if not isinstance(y, tuple) else list(y)
    if found[0].requires_grad:
        shape = tuple(found[0].shape)
        g = np.random.default_rng(1).standard_normal(shape).astype(x.dtype)
        found[0].backward(lib.from_numpy(np.asarray(g)))
        found.append(t.grad)
    return [np.asarray(v.detach().numpy()) for v in found]


def compare(op: Op, x: np.ndarray, axis: int) -> None:
    got = results(mg, op, x, axis)
    wide = results(torch, op, x.astype(np.float64), axis)
    narrow = results(torch, op, x, axis)
    assert len(got) == len(wide)
    for a, exact, b in zip(got, wide, narrow, strict=True):
        assert a.shape == exact.shape
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        with np.errstate(over="ignore"):
            exact = exact.astype(a.dtype)
        usual = np.isfinite(exact) & np.isfinite(b)
        np.testing.assert_array_equal(a[~usual], b[~usual])
        scale = np.abs(exact[usual]).max(initial=1)
        error = np.abs(a[usual] - exact[usual]).max(initial=0) / scale
        own = np.abs(b[usual] - exact[usual]).max(initial=0) / scale
        assert error <= max(2e-6, 4 * own), (error, own)


@each(
    "name kind case",
    itertools.product(ALONG, ["usual", "ties", "special"], SHAPES),
    by=lambda name, kind, case: name,
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_along_an_axis(name: str, kind: str, case: tuple[tuple[int, ...], int]) -> None:
    shape, axis = case
    if name == "amin of two axes" and len(shape) < 2:
        pytest.skip("there is one axis")
    compare(ALONG[name], array(shape, kind), axis)


@pytest.mark.parametrize("name", ALONG)
def test_arrays_that_lie_otherwise(name: str) -> None:
    x = array((60, 40, 25), "usual")
    for y in (x.transpose(2, 0, 1), x[:, ::2], x[::-1].copy()[::-1]):
        got = results(mg, ALONG[name], y, 1)
        for a, b in zip(got, results(mg, ALONG[name], y.copy(), 1), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(700, 30), (6, 11, 20, 15), (2, 3, 4001), (300, 80, 1)], ids=str)
@pytest.mark.parametrize("kind", ["usual", "special"])
@pytest.mark.parametrize("smoothing", [0, 0.3])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_cross_entropy(reduction: str, shape: tuple[int, ...], kind: str, smoothing: float) -> None:
    rng = np.random.default_rng(3)
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    target[rng.random(target.shape) < 0.1] = -100

    def op(lib: Any, x: Any, axis: int) -> Any:
        F = (mg if lib is mg else torch).nn.functional
        t = lib.from_numpy(target)
        return F.cross_entropy(x, t, reduction=reduction, label_smoothing=smoothing)

    compare(op, array(shape, kind), 1)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", ["margin_ranking_loss", "hinge_embedding_loss"])
@pytest.mark.parametrize("margin", [0, 0.5, 1])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_losses_with_a_margin(name: str, reduction: str, margin: float) -> None:
    rng = np.random.default_rng(3)
    shape = (170, 120)
    target = rng.choice(np.array([1, -1], np.float32), shape)
    other = array(shape, "ties", 5)

    def op(lib: Any, x: Any, axis: int) -> Any:
        t, o = (lib.from_numpy(v.astype(str(x.dtype).split(".")[-1])) for v in (target, other))
        loss = getattr((mg if lib is mg else torch).nn.functional, name)
        given = (x, o, t) if name == "margin_ranking_loss" else (x, t)
        return loss(*given, margin=margin, reduction=reduction)

    for kind in ("usual", "ties"):
        compare(op, array(shape, kind), 0)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_multi_margin_loss(p: int, weighted: bool) -> None:
    rng = np.random.default_rng(3)
    target, weight = rng.integers(0, 31, 90), rng.random(31)

    def op(lib: Any, x: Any, axis: int) -> Any:
        w = lib.from_numpy(weight).to(x.dtype) if weighted else None
        F = (mg if lib is mg else torch).nn.functional
        return F.multi_margin_loss(x, lib.from_numpy(target), p=p, weight=w)

    for kind in ("usual", "ties", "special"):
        compare(op, array((90, 31), kind), 1)


PAIRS = [((70, 20), (61, 20)), ((3, 9, 5), (3, 700, 5)), ((2, 1, 30, 3), (4, 170, 3)),
         ((1, 1300), (40, 1300))]  # fmt: skip


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("shapes", PAIRS, ids=str)
@pytest.mark.parametrize("offset", [0, 1000])
def test_cdist(p: int, shapes: tuple[Any, Any], offset: int) -> None:
    x, y = (array(s, "usual", i) + np.float32(offset) for i, s in enumerate(shapes))
    y[..., 0, :] = x[(0,) * (x.ndim - 1)]  # at no distance at all
    far = "donot_use_mm_for_euclid_dist"

    def of_first(lib: Any, v: Any, axis: int) -> Any:
        return lib.cdist(v, lib.from_numpy(y).to(v.dtype), p=p, compute_mode=far)

    def of_second(lib: Any, v: Any, axis: int) -> Any:
        return lib.cdist(lib.from_numpy(x).to(v.dtype), v, p=p, compute_mode=far)

    compare(of_first, x, 0)
    compare(of_second, y, 0)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("shapes", PAIRS, ids=str)
def test_cdist_in_float64(p: int, shapes: tuple[Any, Any]) -> None:
    """Beside the numpy path, which has an array of all differences."""
    found = []
    arrays = [array(s, "usual", i).astype(np.float64) / 3 for i, s in enumerate(shapes)]
    arrays[1][..., 0, :] = arrays[0][(0,) * (arrays[0].ndim - 1)]  # at no distance at all
    for kernels in ("numba", "numpy"):
        with mg.use_kernels(kernels):
            x, y = (mg.from_numpy(a.copy()).requires_grad_() for a in arrays)
            d = mg.cdist(x, y, p=p, compute_mode="donot_use_mm_for_euclid_dist")
            d.backward(mg.from_numpy(np.random.default_rng(3).standard_normal(d.shape)))
            assert x.grad is not None and y.grad is not None
            found.append([d.detach().numpy(), x.grad.numpy(), y.grad.numpy()])
    for got, want in zip(*found, strict=True):
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)  # sums of up to 1300 terms


@pytest.mark.parametrize("dim", [None, 0, 1, (0, 1), (0, 2)])
def test_counts(dim: Any) -> None:
    b = np.random.default_rng(0).integers(0, 2, (30, 40, 20)).astype(bool)
    axes = tuple(range(3)) if dim is None else dim
    for x in (b, b.transpose(2, 0, 1), b[:, ::2]):
        assert mg.from_numpy(x).sum(dim).dtype == mg.int64
        np.testing.assert_array_equal(mg.from_numpy(x).sum(dim).numpy(), x.sum(axes))
        kept = mg.from_numpy(x).sum(dim, keepdim=True).numpy()
        np.testing.assert_array_equal(kept, x.sum(axes, keepdims=True))
        found = mg.from_numpy(np.where(x, np.nan, -0.0)).count_nonzero(dim)
        np.testing.assert_array_equal(found.numpy(), x.sum(axes))


@pytest.mark.parametrize("rows", [3, 300])
@pytest.mark.parametrize("op", ["cummax", "gather", "scatter"])
def test_places_that_are_changed_before_the_backward_are_refused(rows: int, op: str) -> None:
    x = mg.from_numpy(array((rows, 150), "usual")).requires_grad_()
    places = mg.zeros(rows, 150, dtype=mg.int64)
    if op == "cummax":
        values, places = x.cummax(1)
    else:
        values = x.gather(1, places) if op == "gather" else x.scatter(1, places, x * 2)
    places.fill_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        values.sum().backward()


def bits() -> bytes:
    found: list[np.ndarray] = []
    for shape, axis in (((40, 90, 130), 1), ((700, 800), 0), ((700, 800), 1)):
        x = array(shape, "usual")
        for op in ALONG.values():
            found += results(mg, op, x, axis)
    x = array((900, 40), "usual")
    for p in (1, 2):
        found += results(mg, lambda lib, v, _, p=p: lib.cdist(v, v.detach() + 1, p=p), x, 0)
    return b"".join(a.tobytes() for a in found)


@pytest.mark.slow
def test_the_same_bits_for_any_number_of_threads() -> None:
    before = mg.get_num_threads()
    try:
        found = set()
        for n in (1, 2, 3):
            mg.set_num_threads(n)
            found.add(bits())
        assert len(found) == 1
    finally:
        mg.set_num_threads(before)


def test_these_are_the_compiled_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    for_large = large.kernels.for_large

    def noted(chapter: str, *arrays: Any, **options: Any) -> Any:
        started.append(chapter)
        return for_large(chapter, *arrays, **options)

    monkeypatch.setattr(large.kernels, "for_large", noted)
    x = mg.from_numpy(array((30, 40, 20), "usual"))
    for op in ("softmax", "cumprod", "argmax"):
        getattr(x, op)(1)
    mg.cdist(x[0], x[1])
    assert {"rows", "scans", "columns", "distances"} <= set(started)
