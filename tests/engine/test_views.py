"""Views, and changes in place through them: random programs beside PyTorch, and rules by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.views import Window

Program = list[tuple[Any, ...]]


def views_of(shape: tuple[int, ...], rng: np.random.Generator) -> list[tuple[Any, ...]]:
    """Every kind of view that a tensor of this shape allows, with random arguments."""
    n = len(shape)
    size = int(np.prod(shape))
    found: list[tuple[Any, ...]] = [("unsqueeze", int(rng.integers(-n - 1, n + 1))), ("squeeze",)]
    found += [("reshape", -1), ("view", *shape, 1), ("flatten",), ("expand", 1, *shape)]
    if n:
        axis, other = int(rng.integers(n)), int(rng.integers(n))
        k = shape[axis]
        found += [("transpose", axis, other), ("permute", *map(int, rng.permutation(n)))]
        if k:
            start = int(rng.integers(k))
            found += [
                ("select", axis, start),
                ("narrow", axis, start, int(rng.integers(k - start)) + 1),
            ]
            step = slice(start, None, int(rng.integers(1, 3)))
            found += [("getitem", (slice(None),) * axis + (step,))]
        if shape[0]:
            found += [("getitem", int(rng.integers(shape[0]))), ("getitem", (..., None))]
            found += [("iterate", int(rng.integers(shape[0])))]
        if n > 1 and axis != other:
            found += [("diagonal", 0, axis, other), ("diagonal", 1, axis, other)]
        if n == 2:
            found += [("t",)]
        if size and k % 2 == 0:
            found += [("unflatten", axis, (2, k // 2))]
    return found


CHANGES = ["mul_", "add_", "sub_", "zero_", "fill_", "copy_", "exp_", "setitem", "mul_tensor", "+="]


def random_program(rng: np.random.Generator) -> Program:
    """Steps (what, …) on a list of tensors; tensors 0 and 1 are leaves that require grad."""
    program: Program = []
    for _ in range(int(rng.integers(4, 14))):
        kind = rng.choice(["view", "view", "view", "change", "change", "out", "detach", "new"])
        program.append((str(kind), int(rng.integers(1 << 30))))
    return program


class Run:
    """A program on one library. What PyTorch refuses is left out on both."""

    def __init__(self, lib: Any, leaves: list[np.ndarray]) -> None:
        self.lib = lib
        self.tensors = [self.tensor(a).requires_grad_(True) for a in leaves]
        self.leaves = list(self.tensors)

    def tensor(self, a: np.ndarray) -> Any:
        return self.lib.tensor(a.copy())

    def step(self, kind: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        x = self.tensors[int(rng.integers(len(self.tensors)))]
        shape = tuple(x.shape)
        if kind == "view":
            options = views_of(shape, rng)
            name, *args = options[int(rng.integers(len(options)))]
            if name == "getitem":
                y = x[args[0]]
            elif name == "iterate":
                # PyTorch lets nobody change what iteration gave, if it needs a gradient; we do
                y = x[args[0]] if self.lib is not mg else list(x)[args[0]]
            else:
                y = getattr(x, name)(*args)
            self.tensors.append(y)
        elif kind == "out":
            other = self.tensors[int(rng.integers(len(self.tensors)))]
            fits = tuple(other.shape) == shape
            self.tensors.append(x * other if fits and rng.random() < 0.5 else x * 1.5)
        elif kind == "detach":
            self.tensors.append(x.detach() if rng.random() < 0.5 else x.clone())
        elif kind == "new":
            self.tensors.append(
                self.tensor(rng.standard_normal((3, 4) if rng.random() < 0.5 else 4))
            )
        else:
            self.change(x, shape, str(rng.choice(CHANGES)), rng)

    def change(self, x: Any, shape: tuple[int, ...], name: str, rng: np.random.Generator) -> None:
        values = rng.standard_normal(shape)
        source = next(
            (t * 1 for t in self.tensors[::-1] if tuple(t.shape) == shape), self.tensor(values)
        )
        if name in ("mul_", "add_", "sub_"):
            getattr(x, name)(float(rng.integers(1, 4)))
        elif name == "fill_":
            x.fill_(0.5)
        elif name in ("zero_", "exp_"):
            x.mul_(0.1)
            getattr(x, name)()
        elif name == "copy_":
            x.copy_(source)
        elif name == "mul_tensor":
            x.mul_(source)
        elif name == "+=":
            x += source
        else:
            at = (slice(None, None, 2),) if shape and shape[0] > 1 else (...,)
            x[at] = source[at]


def execute(program: Program, seed: int) -> None:
    torch = pytest.importorskip("torch")
    leaves = [np.random.default_rng(seed).standard_normal(s) for s in ((3, 4), (4,))]
    theirs, ours, steps = Run(torch, leaves), Run(mg, leaves), []
    for kind, n in program:
        before = len(theirs.tensors)
        try:
            theirs.step(kind, n)
        except (RuntimeError, IndexError):
            if kind == "change":
                return  # a change may have been half done
            assert len(theirs.tensors) == before
            continue
        ours.step(kind, n)
        steps.append((kind, n))
    for a, b in zip(theirs.tensors, ours.tensors, strict=True):
        np.testing.assert_allclose(b.array, a.detach().numpy(), rtol=1e-12)
        assert a.requires_grad == b.requires_grad
        assert a.is_leaf == b.is_leaf
    rng = np.random.default_rng(seed + 1)
    cotangents = [rng.standard_normal(tuple(t.shape)) for t in theirs.tensors]

    def loss(run: Run) -> Any:
        return sum((t * run.tensor(c)).sum() for t, c in zip(run.tensors, cotangents, strict=True))

    try:
        loss(theirs).backward()
    except RuntimeError:  # a saved tensor was changed: we refuse as well, or had saved another
        try:
            loss(ours).backward()
        except RuntimeError:
            return
        check_by_differences(steps, leaves, loss, ours.leaves)
        return
    loss(ours).backward()
    for a, b in zip(theirs.leaves, ours.leaves, strict=True):
        np.testing.assert_allclose(b.grad.array, a.grad.numpy(), rtol=1e-9, atol=1e-12)


def check_by_differences(
    steps: Program, leaves: list[np.ndarray], loss: Callable[[Run], Any], found: list[Any]
) -> None:
    """The gradients against central differences along a random direction."""
    if any(kind == "detach" for kind, _ in steps):  # differences see through detach()
        return
    directions = [np.random.default_rng(0).standard_normal(a.shape) for a in leaves]
    values = []
    for h in (1e-6, -1e-6):
        run = Run(mg, [a + h * d for a, d in zip(leaves, directions, strict=True)])
        for kind, n in steps:
            run.step(kind, n)
        values.append(loss(run).item())
    slope = sum(float((t.grad.array * d).sum()) for t, d in zip(found, directions, strict=True))
    assert slope == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("part", range(8))
def test_random_programs_agree_with_pytorch(part: int) -> None:
    for seed in range(150 * part, 150 * (part + 1)):
        program = random_program(np.random.default_rng(seed))
        try:
            execute(program, seed)
        except Exception as error:
            error.add_note(f"program {seed}: {program}")
            raise


@pytest.mark.slow
@pytest.mark.fuzz
def test_twenty_thousand_programs() -> None:
    for seed in range(10_000, 30_000):
        try:
            execute(random_program(np.random.default_rng(seed)), seed)
        except Exception as error:
            error.add_note(f"program {seed}")
            raise


@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (1, 1), (2, 3), (4,)])
def test_what_pytorch_calls_a_view_shares_memory_and_can_be_written(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        for name, *args in views_of(shape, rng):
            x, t = mg.zeros(shape), torch.zeros(shape)
            if name in ("iterate", "getitem"):
                view, theirs = x[args[0]], t[args[0]]
            else:
                view, theirs = getattr(x, name)(*args), getattr(t, name)(*args)
            assert view.shape == tuple(theirs.shape)
            assert (view.base is x) == theirs._is_view() or view is x
            view.fill_(5)
            theirs.fill_(5)
            np.testing.assert_array_equal(x.array, t.numpy())
            seen.add(name)
    assert len(seen) > 5


def test_views_of_one_element() -> None:
    x = mg.ones(3)
    x[0].add_(5)
    x.select(0, 1).zero_()
    x.unbind()[2].mul_(3)
    assert x.tolist() == [6.0, 0.0, 3.0]
    for row in x:
        row.mul_(2)
    assert x.tolist() == [12.0, 0.0, 6.0]
    square = mg.ones(2, 2)
    square.diagonal().fill_(0)
    square[0][1] = 7
    assert square.tolist() == [[0.0, 7.0], [1.0, 0.0]]


def test_a_history_that_comes_after_the_view() -> None:
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    whole = mg.zeros(3)
    view = whole[:2]
    whole[:2] = w * 3
    assert view.requires_grad and not view.is_leaf
    view.mul_(5)
    whole.sum().backward()
    assert w.grad is not None and w.grad.tolist() == [15.0, 15.0]


def test_changes_through_views_inside_a_graph() -> None:
    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    w = mg.tensor([4.0], requires_grad=True)
    z = x * 1
    z[:2] *= 10
    z[0].zero_()
    z[0] += w[0]
    assert z.tolist() == [4.0, 20.0, 3.0]
    (z * mg.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, 20.0, 3.0]
    assert w.grad is not None and w.grad.tolist() == [1.0]


def test_a_view_and_its_base_keep_no_cycle_and_a_base_has_no_base() -> None:
    import gc
    import weakref

    gc.disable()
    try:
        x = mg.zeros(3, 4)
        view = x[1:].t()[0].reshape(2, 1)
        assert view.base is x and x.base is None
        w = mg.ones(3, 4).requires_grad_()
        x += w
        view.mul_(2)
        gone = [weakref.ref(t) for t in (x, view)]
        del x, view
        assert [r() for r in gone] == [None, None]
    finally:
        gc.enable()


def test_a_copy_is_no_view_and_repeated_elements_refuse_to_be_written() -> None:
    x = mg.zeros(2, 3)
    assert x.t().reshape(6).base is None
    for shared in (x[0].expand(4, 3), x[:1, :1].expand(2, 3)[:, 1:]):
        with pytest.raises(RuntimeError, match="repeated by expand"):
            shared.add_(1)
    lent = mg.from_numpy(np.lib.stride_tricks.as_strided(np.zeros(4), (2, 3), (8, 8)))
    with pytest.raises(RuntimeError, match="read-only or repeated"):
        lent.fill_(1)
    assert not x.array.any() and not lent.array.any()


def test_views_of_leaves_and_views_under_no_grad_are_refused_while_recording() -> None:
    w = mg.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="add_: a view of a leaf that requires grad"):
        w[:2].add_(1)
    with mg.no_grad():
        w[:2].add_(1)
        whole = w * 1
        blind = (w * 1)[0]
    whole = w * 1
    with mg.no_grad():
        blind = whole[0]
    with pytest.raises(RuntimeError, match="taken under no_grad"):
        blind.zero_()
    with pytest.raises(RuntimeError, match="use detach"):
        whole[0].detach_()
    assert w.tolist() == [2.0, 2.0, 1.0] and whole.tolist() == [2.0, 2.0, 1.0]


def test_a_detached_tensor_has_a_history_of_its_own() -> None:
    w = mg.ones(2, requires_grad=True)
    x = mg.zeros(2)
    d = x.detach()
    d.copy_(w)
    assert x.tolist() == [1.0, 1.0]
    assert d.requires_grad and not x.requires_grad


def test_changes_through_views_pass_gradcheck() -> None:
    def f(x: Any, y: Any) -> Any:
        whole = mg.zeros(3, 4, dtype=mg.float64)
        whole[1].copy_(y)  # a probe makes the base complex
        column = whole.t()[2]
        column.mul_(x[:, 0]).add_(1)
        whole[:, ::2] *= x[:, ::2]
        whole.diagonal()[1:].zero_()
        return whole.expand(2, 3, 4) * x

    mg.manual_seed(0)
    x, y = (mg.randn(*s, dtype=mg.float64, requires_grad=True) for s in ((3, 4), (4,)))
    assert mg.autograd.gradcheck(f, (x, y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_windows_against_indices(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for _ in range(1500):
        shape = tuple(rng.integers(0 if rng.random() < 0.1 else 1, 5, int(rng.integers(0, 4))))
        base = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
        if shape:
            base = base.transpose(rng.permutation(base.ndim))
            base = (base, base[::-1], base[::2])[int(rng.integers(3))]
        view = base
        for _ in range(int(rng.integers(0, 4))):
            how = int(rng.integers(4))
            if how == 0 and view.ndim:
                view = view.transpose(rng.permutation(view.ndim))
            elif how == 1 and view.ndim:
                view = view[int(rng.integers(0, view.shape[0] + 1)) :: int(rng.integers(1, 3))]
            elif how == 2 and view.ndim and view.shape[0]:
                view = view[int(rng.integers(view.shape[0])), ...]
            else:
                view = np.broadcast_to(view, (2, *view.shape))
        window = Window(base, view)
        place = {v: i for i, v in enumerate(base.reshape(-1))}
        at = np.array([place[v] for v in view.reshape(-1)], int)
        g = rng.integers(-9, 9, view.shape).astype(dtype)  # whose sums are exact
        expected = np.zeros(base.size, dtype)
        np.add.at(expected, at, g.reshape(-1))
        np.testing.assert_array_equal(window.place(g), expected.reshape(base.shape))
        g = rng.standard_normal(base.shape).astype(dtype)
        np.testing.assert_array_equal(window.read(g), g.reshape(-1)[at].reshape(view.shape))
        expected = g.reshape(-1).copy()
        expected[at] = 0
        np.testing.assert_array_equal(window.without(g), expected.reshape(base.shape))
