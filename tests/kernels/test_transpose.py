"""Copies in row-major order of arrays that lie in any other."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import minigrad as mg
from minigrad.kernels.compiled.transpose import row_major, write
from minigrad.kernels.machinery import launch
from minigrad.kernels.machinery import threads as pools


@pytest.mark.parametrize("threads", [1, 3])
def test_random_layouts(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Axes in any order, steps that are negative or leave numbers out, broadcast axes, none."""
    monkeypatch.setattr(pools, "_threads", threads)
    monkeypatch.setattr(launch, "PARALLEL_FROM", 1)
    rng = np.random.default_rng(0)
    for trial in range(1500):
        rank = int(rng.integers(0, 6))
        least, most = 0 if trial % 20 == 0 else 1, 9 if rank > 3 else 40
        shape = rng.integers(least, most, rank)
        a = rng.standard_normal(shape).astype(rng.choice(["f4", "f8"]))
        a = a.transpose(rng.permutation(rank))
        a = a[tuple(slice(None, None, int(rng.choice([1, 1, 1, 2, -1, -2]))) for _ in range(rank))]
        if rank and rng.random() < 0.1:
            a = np.broadcast_to(a[:1], (3, *a.shape[1:]))
        out = row_major(a)
        assert out.flags.c_contiguous and out.dtype == a.dtype, (a.shape, a.strides)
        np.testing.assert_array_equal(out, a, strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_writing_to_random_layouts(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into windows of other arrays, whose rest stays as it is."""
    monkeypatch.setattr(pools, "_threads", threads)
    monkeypatch.setattr(launch, "PARALLEL_FROM", 1)
    rng = np.random.default_rng(threads)

    def memory_and_key(shape: list[int], kind: str) -> tuple[np.ndarray, tuple[slice, ...]]:
        order = rng.permutation(len(shape)) if rng.random() < 0.3 else np.arange(len(shape))
        steps = rng.choice([1, 1, 1, 1, 2, -1, -2], len(shape)).tolist()
        around = rng.integers(0, 3, len(shape)).tolist()
        whole = [n * abs(s) + 2 * e for n, s, e in zip(shape, steps, around, strict=True)]
        memory = rng.standard_normal([whole[k] for k in order]).astype(kind)
        key = []
        for n, step, edge in zip(shape, steps, around, strict=True):
            first = edge if step > 0 else edge + (n - 1) * -step
            end = first + n * step
            key.append(slice(first, end if end >= 0 else None, step) if n else slice(0, 0))
        return memory.transpose(np.argsort(order)), tuple(key)

    for trial in range(1000):
        rank = int(rng.integers(0, 6))
        shape = rng.integers(0 if trial % 20 == 0 else 1, 5 if rank > 3 else 40, rank).tolist()
        if rank and trial % 10 == 0:
            shape[rng.integers(rank)] = int(rng.integers(1, 9000 if rank == 1 else 300))
        kind = str(rng.choice(["f4", "f8"]))
        memory, key = memory_and_key(shape, kind)
        source, there = memory_and_key(shape, kind)
        a, expected = source[there], memory.copy()
        if rank and rng.random() < 0.1:
            a = np.broadcast_to(a[..., :1], shape)
        expected[key] = a
        write(memory[(*key, ...)], a)
        np.testing.assert_array_equal(memory, expected)


def test_bits_of_any_number_are_kept() -> None:
    bits = np.random.default_rng(1).integers(0, 1 << 32, (300, 500), dtype=np.uint32)
    np.testing.assert_array_equal(row_major(bits.view(np.float32).T).view(np.uint32), bits.T)


def test_misaligned_memory() -> None:
    memory = np.zeros(4 * 6000 + 1, np.uint8)
    a = memory[1:].view(np.float32).reshape(60, 100)
    a[:] = np.arange(6000).reshape(60, 100)
    np.testing.assert_array_equal(row_major(a.T), a.T)


def test_ops_that_copy() -> None:
    x = mg.randn(8, 40, 16, 50, requires_grad=True)
    copies = (lambda h: h.reshape(8, 16, -1), mg.clone, mg.Tensor.contiguous, mg.flatten)
    for copied in copies:
        heads = x.permute(0, 2, 1, 3)
        y = copied(heads)
        assert y.is_contiguous()
        np.testing.assert_array_equal(y.detach().numpy().ravel(), heads.detach().numpy().ravel())
        weight = mg.randn(*y.shape)
        x.grad = None
        (y * weight).sum().backward()
        expected = weight.numpy().reshape(heads.shape).transpose(0, 2, 1, 3)
        np.testing.assert_array_equal(x.grad.numpy(), expected)
