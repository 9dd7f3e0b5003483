"""Stacks, splits, mirrors, indices and differences against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad.autograd import gradcheck

torch = pytest.importorskip("torch")

A, B, C = (3, 4), (2, 3, 4), (4,)
ROWS = np.array([2, 0])
# the call, and the shapes of its tensors
CASES: list[Any] = [
    *[(lambda m, x, y, f=f: getattr(m, f)([x, y]), s) for f in ("hstack", "vstack", "dstack")
      for s in ([A, A], [C, C], [B, B], [(), ()])],
    (lambda m, x, y: m.column_stack([x, y]), [(3,), A]),
    *[(lambda m, x, k=k: m.tensor_split(x, k, 1), [A])
      for k in (3, 1, 6, [1, 3], [-1], [3, 1], (0, 9))],
    (lambda m, x: m.tensor_split(x, 2), [(5,)]),
    (lambda m, x: m.hsplit(x, 2), [A]), (lambda m, x: m.hsplit(x, 2), [C]),
    (lambda m, x: m.vsplit(x, [1]), [A]),
    (lambda m, x: m.fliplr(x), [A]), (lambda m, x: m.flipud(x), [C]),
    *[(lambda m, x, k=k: m.rot90(x, k), [A]) for k in (-1, 0, 1, 2, 3, 4)],
    (lambda m, x: m.rot90(x, 1, [2, 0]), [B]),
    (lambda m, x: m.diff(x), [A]), (lambda m, x: m.diff(x, 2, 0), [A]),
    (lambda m, x: m.diff(x, 5), [A]), (lambda m, x: m.diff(x), [(0,)]),
    (lambda m, x, y, z: m.diff(x, prepend=y, append=z), [A, (3, 1), (3, 2)]),
    (lambda m, x: m.gradient(x), [A]),
    (lambda m, x: m.gradient(x, edge_order=2), [(3, 5)]),
    (lambda m, x: m.gradient(x, spacing=0.5, dim=(-1, 0)), [B]),
    (lambda m, x: m.gradient(x, dim=1, edge_order=2, spacing=3), [B]),
    (lambda m, x: m.gradient(x, spacing=[2.0, 3]), [A]), (lambda m, x: m.gradient(x), [(2,)]),
    *[(lambda m, x, y, z, e=e: m.gradient(x, spacing=[y.exp().cumsum(0), z], edge_order=e),
       [A, (3,), (4,)]) for e in (1, 2)],
    (lambda m, x, y: m.gradient(x, spacing=(y,), dim=1), [B, (3,)]),
    (lambda m, x: m.cartesian_prod(x), [C]),
    (lambda m, x, y, z: m.cartesian_prod(x, y, z), [(2,), (3,), (1,)]),
    (lambda m, x: m.combinations(x), [C]), (lambda m, x: m.combinations(x, 3), [C]),
    (lambda m, x: m.combinations(x, 2, True), [C]),
    (lambda m, x: m.ravel(x), [B]),
    (lambda m, x: m.index_fill(x, 0, m.from_numpy(ROWS), 2.5), [A]),
    (lambda m, x, v: m.index_fill(x, 1, m.from_numpy(ROWS), v), [A, ()]),
    (lambda m, x, s: m.index_add(x, 0, m.from_numpy(ROWS), s, alpha=2), [A, (2, 4)]),
    (lambda m, x, s: m.index_add(x, 1, m.from_numpy(np.array([1, 1])), s), [A, (3, 2)]),
    (lambda m, x, s: m.index_copy(x, 1, m.from_numpy(ROWS), s), [A, (3, 2)]),
]  # fmt: skip


def parts(y: Any) -> list[Any]:
    return list(y) if isinstance(y, tuple | list) else [y]


@pytest.mark.parametrize(("call", "shapes"), CASES)
def test_values_and_gradients(call: Any, shapes: Any) -> None:
    rng = np.random.default_rng(0)
    arrays = [np.asarray(rng.standard_normal(s)) for s in shapes]
    ours = [minigrad.from_numpy(a).requires_grad_() for a in arrays]
    theirs = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    ys, ts = parts(call(minigrad, *ours)), parts(call(torch, *theirs))
    assert len(ys) == len(ts)
    value, expected = 0.0, 0.0
    for y, t in zip(ys, ts, strict=True):
        assert y.shape == t.shape
        np.testing.assert_allclose(y.array, t.detach().numpy(), 1e-14)
        w = np.asarray(rng.standard_normal(t.shape))
        value = value + (y * minigrad.from_numpy(w)).sum()
        expected = expected + (t * torch.from_numpy(w)).sum()
    value.backward()
    expected.backward()
    for x, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x.grad.array, t.grad.numpy(), 1e-12, 1e-14)
    if all(a.size for a in arrays) and all(y.numel() for y in ys):
        assert gradcheck(lambda *xs: tuple(parts(call(minigrad, *xs))), tuple(ours))


@pytest.mark.parametrize("size", [(3, 4), (4, 3), (0, 2), (3, 3)])
@pytest.mark.parametrize("offset", [-1, 0, 2])
def test_triangles(size: Any, offset: int) -> None:
    for name in ("tril_indices", "triu_indices"):
        got = getattr(minigrad, name)(*size, offset)
        np.testing.assert_array_equal(got.array, getattr(torch, name)(*size, offset).numpy())
        assert got.dtype == np.int64


def test_searches() -> None:
    x, edges = np.array([[3, 5, 9], [3, 0, 7]]), np.array([1, 3, 5, 7])
    for right in (False, True):
        got = minigrad.bucketize(minigrad.from_numpy(x), minigrad.from_numpy(edges), right=right)
        want = torch.bucketize(torch.from_numpy(x), torch.from_numpy(edges), right=right)
        np.testing.assert_array_equal(got.array, want.numpy())
        found = minigrad.isin(minigrad.from_numpy(x), minigrad.from_numpy(edges), invert=right)
        expected = torch.isin(torch.from_numpy(x), torch.from_numpy(edges), invert=right)
        np.testing.assert_array_equal(found.array, expected.numpy())
    assert (
        minigrad.bucketize(minigrad.tensor([2]), minigrad.tensor([1]), out_int32=True).dtype
        == np.int32
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, of what is not finite
def test_derivatives_of_integers_and_of_what_is_not_finite() -> None:
    inf = np.inf
    assert minigrad.gradient(minigrad.tensor(2.0)) == ()
    for x in ([1, 2, 4, 8], [1.0, inf, 2, 3, -inf, np.nan, 0], [inf, 1, 1, 0, inf, inf]):
        for options in ({}, {"edge_order": 2}, {"spacing": 2}, {"spacing": 0.0}):
            got, want = (m.gradient(m.tensor(x), **options)[0].numpy() for m in (minigrad, torch))
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
        spacing = np.arange(len(x)) ** 2
        got, want = (
            m.gradient(m.tensor(x), spacing=(m.from_numpy(spacing),))[0].numpy()
            for m in (minigrad, torch)
        )
        np.testing.assert_allclose(got, want, 1e-6)


def test_bools_differ() -> None:
    x = np.array([True, True, False])
    np.testing.assert_array_equal(
        minigrad.diff(minigrad.from_numpy(x)).array, torch.diff(torch.from_numpy(x)).numpy()
    )


def test_in_place() -> None:
    x = minigrad.zeros(3, 2)
    assert x.index_add_(0, minigrad.tensor([0, 0]), minigrad.ones(2, 2)) is x
    x.index_fill_(1, minigrad.tensor([1]), 5.0)
    x.index_copy_(0, minigrad.tensor([2]), minigrad.ones(1, 2))
    np.testing.assert_array_equal(x.array, [[2, 5], [0, 5], [1, 1]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: minigrad.rot90(x, 1, (0, 0)), RuntimeError, "rot90: dims"),
        (lambda x: minigrad.fliplr(x[0]), RuntimeError, "fliplr: expected two axes"),
        (lambda x: minigrad.vsplit(x[0], 2), RuntimeError, "vsplit: expected two axes"),
        (lambda x: minigrad.combinations(x), RuntimeError, "combinations: expected a vector"),
        (lambda x: minigrad.cartesian_prod(x), RuntimeError, "cartesian_prod: expected vectors"),
        (lambda x: minigrad.tensor_split(x, 0), ValueError, "indices_or_sections must be at least"),
        (lambda x: x.index_fill(0, minigrad.tensor([7]), 1), IndexError, "index_fill: an index"),
        (lambda x: x.index_add(0, minigrad.tensor([0]), x), RuntimeError, "index_add: source"),
        (lambda x: x.index_copy(0, minigrad.tensor([0.5]), x), RuntimeError, "index_copy: index"),
        (lambda x: minigrad.gradient(x > 0), RuntimeError, "gradient: expected a tensor of num"),
        (lambda x: minigrad.gradient(x[:, :1]), RuntimeError, "gradient: 1 elements along dim 1"),
        (lambda x: minigrad.gradient(x, edge_order=3), RuntimeError, "edge_order must be 1 or 2"),
        (lambda x: minigrad.gradient(x, spacing=[1]), RuntimeError, "gradient: 1 spacings"),
        (lambda x: minigrad.gradient(x, dim=(0, 0)), RuntimeError, "gradient: 2 spacings"),
        (lambda x: minigrad.gradient(x, dim=2), IndexError, "gradient: dim 2"),
        (lambda x: minigrad.gradient(x, spacing=(x[0], x[0])), RuntimeError, "of shape .4,., exp"),
        (lambda x: minigrad.bucketize(x, x), RuntimeError, "bucketize: expected boundaries"),
    ],
)
def test_refusals(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(minigrad.ones(3, 4))


def test_choices_of_nothing() -> None:
    x = minigrad.zeros(3, requires_grad=True)
    assert minigrad.combinations(x, 0).shape == (0,) and minigrad.combinations(x, 4).shape == (0, 4)
