"""Large arrays by index: the compiled loops against PyTorch, and against loops written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("torch")

import torch

import minigrad as mg
from minigrad.kernels.compiled import picking
from minigrad.ops.large import FROM

SPECIAL = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-42, 1e30], np.float32)
SEEDS = range(12)
# x, an index of x's number of axes and no longer than x beside the axis, values of its shape
Op = Callable[[Any, Any, int, Any, Any], Any]
EACH: dict[str, Op] = {
    "gather": lambda m, x, d, i, v: x.gather(d, i),
    "take_along_dim": lambda m, x, d, i, v: m.take_along_dim(x, i, d),
    "scatter": lambda m, x, d, i, v: x.scatter(d, i, v),
    "scatter, a number": lambda m, x, d, i, v: x.scatter(d, i, 1.5),
    "scatter_add": lambda m, x, d, i, v: x.scatter_add(d, i, v),
}
# x, a vector of places along the axis, values of the shape that index_select gives
SLICES: dict[str, Op] = {
    "index_select": lambda m, x, d, i, v: x.index_select(d, i),
    "x[..., i]": lambda m, x, d, i, v: x[(slice(None),) * d + (i,)],
    "x[..., -i]": lambda m, x, d, i, v: x[(slice(None),) * d + (i - x.shape[d],)],
    "index_add": lambda m, x, d, i, v: m.index_add(x, d, i, v),
    "index_add, alpha": lambda m, x, d, i, v: m.index_add(x, d, i, v, alpha=-0.5),
    "index_put": lambda m, x, d, i, v: x.movedim(d, 0).index_put((i,), v.movedim(d, 0), True),
}


def dtype_of(seed: int) -> Any:
    return np.float64 if seed % 3 == 2 else np.float32


def drawn(rng: Any, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    x = rng.standard_normal(shape).astype(dtype)
    if x.size:
        x.reshape(-1)[rng.integers(0, x.size, 20)] = rng.choice(SPECIAL, 20)
    return x


def shape_of(rng: Any) -> tuple[int, ...]:
    """Of more elements than FROM, with axes of size 1 among them."""
    ndim = int(rng.integers(1, 5))
    shape = [int(rng.choice([1, 2, 3, 17, 40])) for _ in range(ndim)]
    k = int(rng.integers(ndim))
    shape[k] *= -(-3 * FROM // int(np.prod(shape)))
    return tuple(shape)


def strided(rng: Any, x: np.ndarray) -> np.ndarray:
    """The same array, of elements that lie otherwise."""
    way = rng.integers(3)
    if way == 0:
        return np.ascontiguousarray(x.T).T
    if way == 1:
        wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    return x


def both(op: Op, x: np.ndarray, dim: int, i: np.ndarray, v: np.ndarray) -> None:
    """The result and both gradients, here and in PyTorch."""
    results = []
    for m in (mg, torch):
        a, b = (m.from_numpy(z).requires_grad_() for z in (x, v))
        y = op(m, a, dim, m.from_numpy(i), b)
        g = drawn(np.random.default_rng(9), tuple(y.shape), x.dtype)
        y.backward(m.from_numpy(g))
        grads = [z.grad for z in (a, b)]
        results.append([y.detach().numpy(), *(None if z is None else z.numpy() for z in grads)])
    for ours, theirs in zip(*results, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            # sums of several for one place may be taken in another order there
            close = 1e-5 if x.dtype == np.float32 else 1e-12
            assert ours.dtype == x.dtype
            np.testing.assert_allclose(ours, theirs, rtol=close, atol=close)


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_index_for_each_element(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = shape_of(rng)
    dim = int(rng.integers(len(shape)))
    other = [n if name == "take_along_dim" or seed % 2 else max(1, n - 1) for n in shape]
    other[dim] = int(rng.integers(1, 2 * shape[dim] + 1))
    i = rng.integers(0, shape[dim], other)
    if name == "scatter":  # which of several stays is anybody's in PyTorch: no two name a place
        other[dim] = min(other[dim], shape[dim])
        i = np.argsort(rng.random([shape[d] if d == dim else n for d, n in enumerate(other)]), dim)
        i = np.ascontiguousarray(i.take(range(other[dim]), dim))
    v, x = (drawn(rng, size, dtype_of(seed)) for size in (i.shape, shape))
    both(EACH[name], strided(rng, x), dim, strided(rng, i), strided(rng, v))


@pytest.mark.parametrize("name", SLICES)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_index_for_each_slice(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = shape_of(rng)
    dim = int(rng.integers(len(shape)))
    i = rng.integers(0, shape[dim], int(rng.integers(1, 2 * shape[dim] + 1)))
    v = drawn(rng, (*shape[:dim], i.size, *shape[dim + 1 :]), dtype_of(seed))
    both(SLICES[name], strided(rng, drawn(rng, shape, dtype_of(seed))), dim, i, strided(rng, v))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_masks_and_several_index_arrays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(150, 300)), int(rng.integers(150, 300)))
    x, mask = drawn(rng, shape, dtype_of(seed)), rng.random(shape) < rng.choice([0, 0.1, 0.9])
    i, j = (rng.integers(-n, n, (3, FROM)) for n in shape)
    for op in (lambda m, x, d, i, v: x[i], lambda m, x, d, i, v: x.masked_select(i)):
        both(op, x, 0, mask, x)
    both(lambda m, x, d, i, v: x[i, m.from_numpy(j)], x, 0, i, x)
    values = drawn(rng, (mask.sum(),), x.dtype)
    a, b = mg.from_numpy(x.copy()), torch.from_numpy(x.copy())
    for m, t in ((mg, a), (torch, b)):
        t[m.from_numpy(mask)] = m.from_numpy(values)
        t[m.from_numpy(np.arange(shape[0]))] = t.flip(0)
        back = t[1:] if m is mg else t[1:].clone()  # PyTorch refuses the memory it writes to
        t[m.from_numpy(np.arange(shape[0] - 1))] = back
    np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_place_that_several_name_keeps_the_last(seed: int) -> None:
    """And the last alone receives a gradient; so does no value for which there is no place."""
    rng = np.random.default_rng(seed)
    shape = shape_of(rng)
    dim = int(rng.integers(len(shape)))
    i = rng.integers(0, max(1, shape[dim] // 3), shape)
    sizes = (shape, tuple(n + 1 for n in shape), shape)
    x, v, g = (drawn(rng, size, dtype_of(seed)) for size in sizes)
    a, b = mg.from_numpy(x).requires_grad_(), mg.from_numpy(v).requires_grad_()
    y = a.scatter(dim, mg.from_numpy(i), b)
    y.backward(mg.from_numpy(g))
    out, dx, dv = x.copy(), g.copy(), np.zeros_like(v)
    for k in range(shape[dim]):
        at = np.take(i, [k], dim)
        np.put_along_axis(out, at, np.take(v[tuple(map(slice, shape))], [k], dim), dim)
    for k in reversed(range(shape[dim])):
        here = tuple(slice(k, k + 1) if d == dim else slice(n) for d, n in enumerate(shape))
        at = i[here]
        dv[here] = np.take_along_axis(dx, at, dim)
        np.put_along_axis(dx, at, 0, dim)
    assert a.grad is not None and b.grad is not None
    for found, expected in ((y.detach(), out), (a.grad, dx), (b.grad, dv)):
        np.testing.assert_array_equal(found.numpy(), expected)


def test_what_does_not_fit_changes_nothing() -> None:
    x = mg.zeros(100, 300)
    for bad in (300, -1, 2**62, 300 - 2**62):
        i = np.zeros((100, 300), np.int64)
        i[70, 7] = bad
        index = mg.from_numpy(i)
        ones = mg.ones(100, 300)
        with pytest.raises(IndexError, match="out of range 0 to 299"):
            x.gather(1, index)
        with pytest.raises(IndexError, match="out of range 0 to 299"):
            x.scatter_(1, index, ones)
        with pytest.raises(IndexError, match="out of range 0 to 299"):
            x.scatter_add_(1, index, ones)
        for far in (bad, bad - 300, bad + 300):
            if not -300 <= far < 300:
                i[70, 7] = far
                with pytest.raises(IndexError):
                    x[:, mg.from_numpy(i[70])]
        assert not x.numpy().any()
        i[70, 7] = bad
        assert picking.take(x.numpy(), i, 1, each=True) is None
    assert picking.take(x.numpy(), np.array([-300]), 1, negative=True) is not None
    assert picking.take(x.numpy(), np.array([-301]), 1, negative=True) is None


def test_the_bits_do_not_depend_on_the_threads() -> None:
    rng = np.random.default_rng(0)
    shape, before = (30, 70, 200), mg.get_num_threads()
    x, v = drawn(rng, shape), drawn(rng, shape)
    found = []
    try:
        for threads in (1, 2, 3):
            mg.set_num_threads(threads)
            each = []
            for dim in range(3):
                i = np.random.default_rng(1).integers(0, shape[dim], shape)
                each.append(picking.take(x, i, dim, each=True))
                for mode in (picking.SET, picking.ADD, picking.TAKE_OUT):
                    a, b = x.copy(), v.copy()
                    picking.write(mode, a, i, dim, b, each=True)
                    each += [a, b]
                a = x.copy()
                picking.write(picking.ADD, a, i.reshape(-1)[: shape[dim]], dim, v)
                each.append(a)
            found.append(each)
    finally:
        mg.set_num_threads(before)
    for each in found[1:]:
        for one, other in zip(found[0], each, strict=True):
            assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("take_apart", ["unbind", "split", "chunk", "slices", "one twice"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_slices_of_one_tensor_add_up(take_apart: str, dim: int) -> None:
    """Each gradient is added where its slice lies, first or later, before or after others."""
    rng = np.random.default_rng(3)
    x, g = drawn(rng, (12, 9, 30)), drawn(rng, (12, 9, 30))
    grads = []
    for m in (mg, torch):
        t = m.from_numpy(x).requires_grad_()
        u = t * 1.0  # a gradient that is no leaf's
        if take_apart == "unbind":
            out = m.stack(u.unbind(dim), dim)
        elif take_apart == "split":
            out = m.cat(u.split(4, dim), dim)
        elif take_apart == "chunk":
            out = m.cat(u.chunk(2, dim), dim) + u
        elif take_apart == "slices":
            out = u + m.cat([u[:5], u[5:]]) * u.narrow(dim, 1, 1) + u[3]
        else:
            out = u.narrow(dim, 2, 5) + u.narrow(dim, 0, 5).sum() + u.select(dim, 3).mean()
        out.backward(m.from_numpy(g[: out.shape[0], : out.shape[1], : out.shape[2]].copy()))
        grads.append(t.grad.numpy())
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-5, atol=1e-5)
