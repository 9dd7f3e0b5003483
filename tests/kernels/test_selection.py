"""Order in large arrays: the compiled loops against the ops' numpy formulas, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

import minigrad as mg
from minigrad.kernels.compiled import selection
from minigrad.ops.large import FROM

# What stands here is decided by a rule, of ties too: the same places as in numpy.
OPS: dict[str, Callable[[Any, int, int], Any]] = {
    "sort": lambda x, d, k: x.sort(d),
    "sort, descending": lambda x, d, k: x.sort(d, descending=True),
    "argsort": lambda x, d, k: (x, x.argsort(d)),
    "argsort, descending": lambda x, d, k: (x, x.argsort(d, descending=True)),
    "kthvalue": lambda x, d, k: x.kthvalue(k, d),
    "mode": lambda x, d, k: x.mode(d),
    "nanmedian": lambda x, d, k: x.nanmedian(d),
    "cummax": lambda x, d, k: x.cummax(d),
    "cummin": lambda x, d, k: x.cummin(d),
}
SEEDS = range(10)


def drawn(seed: int) -> tuple[np.ndarray, int, int]:
    """An array of more elements than FROM, an axis, and a k for it: with many ties, zeros of both
    signs, infinities and NaN; by turns in order already, or all of one value."""
    rng = np.random.default_rng(seed)
    shape = [int(rng.choice([1, 2, 5, 33])) for _ in range(rng.integers(1, 4))]
    axis = int(rng.integers(len(shape)))
    grown = int(rng.integers(len(shape)))
    shape[grown] *= -(-2 * FROM // int(np.prod(shape)))
    x = rng.standard_normal(shape).astype(np.float32)
    if seed % 2:
        x = np.round(x * 3) / 3
        x[x == 0] = rng.choice(np.array([0.0, -0.0], np.float32), int((x == 0).sum()))
    if seed % 3 == 1:
        odd = rng.choice(
            np.array([np.nan, -np.nan, np.inf, -np.inf, 1e-45], np.float32), x.size // 50
        )
        x.reshape(-1)[rng.integers(0, x.size, odd.size)] = odd
    if seed % 5 == 2:
        x = np.ascontiguousarray(np.sort(x, axis)[(slice(None),) * axis + (slice(None, None, -1),)])
    if seed % 5 == 3:
        x[...] = 1
    if seed % 4 == 0:
        x = np.ascontiguousarray(x.T).T
    return x, axis, int(rng.integers(1, x.shape[axis] + 1))


def results(op: Any, kernels: str, x: np.ndarray, axis: int, k: int) -> list[np.ndarray]:
    with mg.use_kernels(kernels):
        t = mg.from_numpy(x).requires_grad_()
        values, indices = op(t, axis, k)
        g = np.random.default_rng(1).standard_normal(values.shape).astype(np.float32)
        values.backward(mg.from_numpy(g))
        assert t.grad is not None
        return [values.detach().numpy(), indices.numpy(), t.grad.numpy()]


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_places(name: str, seed: int) -> None:
    x, axis, k = drawn(seed)
    compiled, plain = (results(OPS[name], b, x, axis, k) for b in ("numba", "numpy"))
    for ours, theirs in zip(compiled, plain, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        if name in ("mode", "cummax", "cummin", "argsort") and ours is compiled[2]:
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        else:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_k_are_those_of_a_stable_order(seed: int, largest: bool) -> None:
    x, axis, k = drawn(seed)
    for count in {1, min(5, x.shape[axis]), k, x.shape[axis]}:
        found = results(lambda x, d, k: x.topk(k, d, largest), "numba", x, axis, count)
        order = results(lambda x, d, k: (x, x.argsort(d, descending=largest)), "numpy", x, axis, 0)
        expected = np.take(order[1], range(count), axis)
        np.testing.assert_array_equal(found[1], expected)
        np.testing.assert_array_equal(found[0], np.take_along_axis(x, expected, axis))
        assert np.count_nonzero(found[2]) == found[0].size


@pytest.mark.parametrize("seed", SEEDS)
def test_medians(seed: int) -> None:
    """The same value; where it stands of those that tie, numpy's search does not say."""
    x, axis, _ = drawn(seed)
    a, b = (results(lambda x, d, k: x.median(d), m, x, axis, 0) for m in ("numba", "numpy"))
    np.testing.assert_array_equal(a[0], b[0])
    rows, at = np.moveaxis(x, axis, -1), a[1][..., None]
    np.testing.assert_array_equal(np.take_along_axis(rows, at, -1)[..., 0], a[0])
    first_nan = np.isnan(rows).argmax(-1)
    np.testing.assert_array_equal(a[1][np.isnan(a[0])], first_nan[np.isnan(a[0])])
    whole = [m.median() for m in map(mg.from_numpy, (x, x.astype(np.float64)))]
    np.testing.assert_array_equal(whole[0].numpy(), whole[1].numpy().astype(np.float32))


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_searching(seed: int, right: bool) -> None:
    rng = np.random.default_rng(seed)
    n, k = int(rng.choice([1, 2, 3, 7, 64, 1000])), int(rng.choice([1, 5, 63, 300]))
    rows = -(-FROM // k)
    x, v = (rng.integers(-9, 9, (rows, m)).astype(np.float32) / 4 for m in (n, k))
    for a in (x, v):
        a[rng.random(a.shape) < 0.1] = rng.choice([-0.0, np.nan, np.inf, -np.inf])
    x = np.sort(x, -1)
    for a in (x, x[0]):
        found = [
            mg.searchsorted(mg.from_numpy(a.astype(t)), mg.from_numpy(v.astype(t)), right=right)
            for t in (np.float32, np.float64)
        ]
        np.testing.assert_array_equal(found[0].numpy(), found[1].numpy())
        assert found[0].dtype == found[1].dtype
    buckets = mg.bucketize(mg.from_numpy(v), mg.from_numpy(x[0]), right=right, out_int32=True)
    assert buckets.dtype == np.int32
    np.testing.assert_array_equal(buckets.numpy(), found[1].numpy())


def test_the_bits_do_not_depend_on_the_threads() -> None:
    x, before = np.random.default_rng(0).standard_normal((70, 30, 300)).astype(np.float32), None
    x[3, 4, 5:90], before = np.nan, mg.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            mg.set_num_threads(threads)
            each = [selection.first(x, k, down) for k in (1, 9, 200) for down in (False, True)]
            each += [selection.first(x, 50, True, last=True), selection.order(x, True)]
            each += [a for axis in range(3) for a in selection.running(x, axis, axis == 1)]
            each.append(selection.search(np.sort(x[0, 0]), x, True))
            found.append(each)
    finally:
        mg.set_num_threads(before)
    for each in found[1:]:
        for one, other in zip(found[0], each, strict=True):
            assert one.tobytes() == other.tobytes()


def test_no_order_of_the_data_is_a_bad_one() -> None:
    """Orders that make a careless choice of pivots take time that grows with the square."""
    n = 1 << 20
    line = np.arange(n, dtype=np.float32)
    pipe = np.minimum(line, line[::-1])
    for x in (line, line[::-1], pipe, -pipe, np.zeros(n, np.float32), np.tile(line[:2], n // 2)):
        row = np.ascontiguousarray(x)
        for k in (1, n // 3, n):
            place = selection.first(row, k, False, last=True)[0]
            assert place == np.argsort(row, kind="stable")[k - 1]


def test_draws_without_replacement() -> None:
    """Positions that differ, none of weight 0, the first of them as often as its weight says."""
    weights = np.zeros((20_000, 6))
    weights[:] = [0.1, 0, 0.5, 0.2, 0.2, 5e-324]
    mg.manual_seed(0)
    found = mg.multinomial(mg.from_numpy(weights), 4).numpy()
    assert (np.sort(found, 1) == [0, 2, 3, 4]).all()
    first = np.bincount(found[:, 0], minlength=6) / len(found)
    np.testing.assert_allclose(first, [0.1, 0, 0.5, 0.2, 0.2, 0], atol=0.015)
    after = found[found[:, 0] == 2][:, 1]
    shares = np.bincount(after, minlength=6) / len(after)
    np.testing.assert_allclose(shares, [0.2, 0, 0, 0.4, 0.4, 0], atol=0.02)
