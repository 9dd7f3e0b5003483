"""Slices, pieces, triangles, padding and operands that lie across, against PyTorch: random shapes,
from none to large, values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import functional as F
from minigrad.pieces import Pending

Case = Callable[[Any, Any, Any, np.random.Generator], Any]  # of a library, its F, x, and numbers


def shape_of(rng: np.random.Generator, rank: int) -> tuple[int, ...]:
    """None, few or many elements."""
    largest = int(rng.choice([4, 30, 400])) if rank == 2 else int(rng.choice([3, 8, 40]))
    return tuple(int(n) for n in rng.integers(1 if rng.random() < 0.9 else 0, largest + 1, rank))


def agree(case: Case, trial: int, rank: int, tolerance: float = 0.0, special: bool = True) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(trial)
    dtype = np.float32 if rng.random() < 0.7 else np.float64
    a = np.asarray(rng.standard_normal(shape_of(rng, rank)), dtype)
    if special and a.size:
        a.reshape(-1)[::53] = np.resize([np.nan, np.inf, -0.0], len(a.reshape(-1)[::53]))
    found = []
    for m, functions in ((mg, F), (torch, torch.nn.functional)):
        x = m.from_numpy(a.copy()).requires_grad_()
        y = case(m, functions, x, np.random.default_rng(trial))
        g = np.random.default_rng(trial).standard_normal(tuple(y.shape)).astype(dtype)
        y.backward(m.from_numpy(g))
        found.append([y.detach().numpy(), x.grad.numpy()])
    for got, expected in zip(*found, strict=True):
        assert got.dtype == expected.dtype and got.shape == expected.shape
        scale = np.abs(np.nan_to_num(expected, posinf=0, neginf=0)).max(initial=1)
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)


def triangle(m: Any, f: Any, x: Any, rng: np.random.Generator) -> Any:
    k = int(rng.integers(-x.shape[-2] - 2, x.shape[-1] + 3))
    return x.triu(k) if rng.random() < 0.5 else x.tril(k)


def padded(m: Any, f: Any, x: Any, rng: np.random.Generator) -> Any:
    # in PyTorch, what is cropped must be there before something is added at the other end
    amounts = []
    for n in reversed(x.shape):
        before = int(rng.integers(-n, 6))
        amounts += [before, int(rng.integers(-(n + min(before, 0)), 6))]
    return f.pad(x, amounts[: 2 * int(rng.integers(1, x.ndim + 1))], value=float(rng.integers(3)))


@pytest.mark.parametrize("case", [triangle, padded], ids=lambda case: case.__name__)
@pytest.mark.parametrize("rank", [2, 3])
def test_what_is_copied_or_constant(case: Case, rank: int) -> None:
    for trial in range(150):
        agree(case, trial, rank)


def pieces(m: Any, f: Any, x: Any, rng: np.random.Generator) -> Any:
    """A sum of pieces of x that overlap, some of them taken of others, and perhaps of all of x."""
    total = (x * x).sum() if rng.random() < 0.5 else x.new_zeros(())
    for _ in range(int(rng.integers(1, 6))):
        d, kind = int(rng.integers(x.ndim)), rng.random()
        n, of = x.shape[d], x.transpose(0, 1) if rng.random() < 0.2 else x
        n = of.shape[d]
        start = int(rng.integers(n + 1))
        if kind < 0.25:
            part = of.narrow(d, start, int(rng.integers(n - start + 1)))
        elif kind < 0.5 and n:
            part = of.select(d, int(rng.integers(n)))
        elif kind < 0.75:
            part = of[..., start :: int(rng.integers(1, 4)), None]
        else:
            part = m.cat(of.split(int(rng.integers(1, 5)), d)[::-1], d)
        total = total + (part * part * float(rng.standard_normal())).sum()
    return total


def test_gradients_of_pieces() -> None:
    for trial in range(200):
        agree(pieces, trial, 2 + trial % 2, 3e-5, special=False)


def test_pieces_share_one_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is that of one gradient; hooks and a second backward see what they would."""
    calls, add = [], Pending.add_piece
    monkeypatch.setattr(Pending, "add_piece", lambda *given: calls.append(add(*given)))
    x = mg.ones(50, 40, requires_grad=True)
    seen: list[Any] = []
    rows = x.unbind(0)
    rows[3].register_hook(lambda g: g * 10)
    x.register_hook(lambda g: seen.append(g.clone()))
    y = mg.stack(rows).sum()
    y.backward(retain_graph=True)
    y.backward()
    expected = np.ones((50, 40), np.float32)
    expected[3] = 10
    assert x.grad is not None and len(calls) == 100
    np.testing.assert_array_equal(x.grad.numpy(), 2 * expected)
    np.testing.assert_array_equal(seen[1].numpy(), expected)
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()


def glu(m: Any, f: Any, x: Any, rng: np.random.Generator) -> Any:
    """Of x, perhaps turned, and beside itself so that its size is even; the gradient repeats."""
    d = int(rng.integers(x.ndim))
    x = x.transpose(0, 1) if rng.random() < 0.3 else x
    y = f.glu(m.cat([x, x * 0.5 + 1], d) if rng.random() < 0.5 else m.cat([x, x], d), d)
    return y.sum(0, keepdim=True).expand(*y.shape) if rng.random() < 0.3 else y


def test_gates() -> None:
    for trial in range(80):
        agree(glu, trial, 2 + trial % 2, 2e-6, special=False)


def across(m: Any, f: Any, x: Any, rng: np.random.Generator) -> Any:
    """Operands of one shape, of which some lie as rows and some as columns."""
    y = m.from_numpy(
        np.asarray(rng.standard_normal(tuple(x.shape)[::-1]), x.detach().numpy().dtype)
    )
    kind = rng.integers(6)
    if kind == 0:
        return x.t() + y
    if kind == 1:
        return y - x.t()
    if kind == 2:
        return x.t() * y * 1.5
    if kind == 3:
        return x.t() / (y * y + 1)
    if kind == 4:
        return (x * 0.1).t().exp()
    return x.t() * x.t() + y


def test_operands_that_lie_across() -> None:
    for trial in range(60):
        agree(across, trial, 2, 1e-6, special=False)
