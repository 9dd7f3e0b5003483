"""Views, and changes in place through them: random programs beside PyTorch, and rules by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import minigrad as mg
from minigrad.views import Window

SEEDS = st.integers(0, 9)
AXES = [st.integers(0, max(n - 1, 0)) for n in range(40)]  # AXES[n]: one of n
CHANGES = ["mul_(2)", "add_(3)", "sub_(1)", "fill_(0.5)", "zero_()", "exp_()"]
CHANGES += ["copy_", "mul_", "+=", "[::2] ="]  # by another tensor


def view_of(draw: Callable[[Any], Any], shape: tuple[int, ...]) -> str:
    """A view that a tensor x of this shape allows, of any kind, as code."""
    n, sizes = len(shape), ", ".join(map(str, shape))
    kinds = ["squeeze", "reshape", "view", "flatten", "expand", "unsqueeze", "None"]
    if n:
        kinds += ["transpose", "permute", "narrow", "select", "slice", "row", "index", "unflatten"]
    kinds += ["diagonal"] if n > 1 else []
    kinds += ["t"] if n == 2 else []
    kind = draw(st.sampled_from(kinds))
    axis = draw(AXES[n]) if n else 0
    k = shape[axis] if n else 1
    match kind:
        case "unsqueeze":
            return f"x.unsqueeze({draw(st.integers(-n - 1, n))})"
        case "reshape":
            return "x.reshape(-1)"
        case "view":
            return f"x.view({sizes or 1}, 1)"
        case "expand":
            return f"x.expand(1, {sizes})"
        case "unflatten" if k % 2 == 0:
            return f"x.unflatten({axis}, (2, {k // 2}))"
        case "transpose":
            return f"x.transpose({axis}, {draw(AXES[n])})"
        case "diagonal":
            other = (axis + 1 + draw(AXES[n - 1])) % n
            return f"x.diagonal({draw(AXES[2])}, {axis}, {other})"
        case "permute":
            return f"x.permute({draw(st.permutations(range(n)))})"
        case "select" if k:
            return f"x.select({axis}, {draw(AXES[k])})"
        case "slice" if k:
            return f"x[{':, ' * axis}{draw(AXES[k])}::{draw(AXES[2]) + 1}]"
        case "narrow" if k:
            start = draw(AXES[k])
            return f"x.narrow({axis}, {start}, {draw(AXES[k - start]) + 1})"
        case "row" | "index" if shape[0]:
            row = draw(AXES[shape[0]])
            return f"x[{row}]" if kind == "index" else f"row(x, {row})"
        case "squeeze" | "flatten" | "t":
            return f"x.{kind}()"
    return "x[..., None]"


def change_of(draw: Callable[[Any], Any], x: str, shape: tuple[int, ...], source: str) -> str:
    """A change of x in place, as code."""
    change = draw(st.sampled_from(CHANGES))
    if change in ("zero_()", "exp_()"):
        return f"{x}.mul_(0.1).{change}"
    if change in ("copy_", "mul_"):
        return f"{x}.{change}({source})"
    if change == "+=":
        return f"{x} += {source}"
    if change == "[::2] =":
        at = "[::2]" if shape and shape[0] > 1 else "[...]"
        return f"{x}{at} = ({source}){at}"
    return f"{x}.{change}"


@functools.cache
def normal(seed: int, *shape: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))


@functools.cache
def compiled(line: str) -> CodeType:
    return compile(line, line, "exec")


class Run:
    """Lines of code about a list t of tensors, which begins with the leaves, in one library."""

    def __init__(self, m: Any, leaves: Sequence[np.ndarray], lines: Sequence[str] = ()) -> None:
        self.t = [m.tensor(a).requires_grad_() for a in leaves]
        self.leaves = list(self.t)

        # PyTorch lets nobody change what iteration gave, if it needs a gradient; we do
        row = (lambda x, i: list(x)[i]) if m is mg else (lambda x, i: x[i])
        self.names = {"t": self.t, "normal": lambda *of: m.tensor(normal(*of)), "row": row}
        for line in lines:
            self.do(line)

    def do(self, line: str) -> None:
        exec(compiled(line), self.names)

    def loss(self) -> Any:
        """A sum over all tensors, so that no gradient is lost sight of."""
        number = self.names["normal"]
        return sum((t * number(i, *t.shape)).sum() for i, t in enumerate(self.t))


LEAVES = [normal(0, 3, 4), normal(1, 4)]


@st.composite
def programs(draw: Callable[[Any], Any]) -> list[str]:
    """Lines of code that PyTorch does not refuse."""
    torch = pytest.importorskip("torch")
    run, lines = Run(torch, LEAVES), list[str]()
    for _ in range(14):
        if draw(st.integers(0, 13)) == 0:
            break
        at = draw(AXES[len(run.t)])
        x, shape = f"t[{at}]", tuple(run.t[at].shape)
        kind = draw(st.sampled_from(["view", "view", "change", "other"]))
        if kind == "change":
            alike = [i for i, t in enumerate(run.t) if tuple(t.shape) == shape and i != at]
            sources = [*(f"t[{i}] * 1" for i in alike), f"normal{(draw(SEEDS), *shape)}"]
            line = change_of(draw, x, shape, draw(st.sampled_from(sources)))
        elif kind == "view":
            line = f"t += [{view_of(draw, shape)}]".replace("x", x, 1)
        else:
            alike = [f"t[{i}]" for i, t in enumerate(run.t) if tuple(t.shape) == shape]
            new = [f"{x} * 1.5", *(f"{x} * {other}" for other in alike)]
            # our results lie in row-major order, whatever the operands' is
            others = [f"({computed}).contiguous()" for computed in new]
            others += [f"{x}.detach()", f"{x}.clone().contiguous()", "normal(0, 3, 4)"]
            line = f"t += [{draw(st.sampled_from(others))}]"
        try:
            run.do(line)
        except (RuntimeError, IndexError):
            if kind == "change":  # it may have been half done
                run = Run(torch, LEAVES, lines)
        else:
            lines.append(line)
    return lines


def check_program(lines: list[str]) -> None:
    theirs, ours = (Run(m, LEAVES, lines) for m in (pytest.importorskip("torch"), mg))
    for a, b in zip(theirs.t, ours.t, strict=True):
        np.testing.assert_allclose(b.array, a.detach().numpy(), rtol=1e-12)
        assert a.requires_grad == b.requires_grad
        assert a.is_leaf == b.is_leaf
    try:
        theirs.loss().backward()
    except RuntimeError:  # a saved tensor was changed: we refuse as well, or had saved another
        try:
            ours.loss().backward()
        except RuntimeError:
            return
        check_by_differences(lines, ours.leaves)
        return
    ours.loss().backward()
    for a, b in zip(theirs.leaves, ours.leaves, strict=True):
        np.testing.assert_allclose(b.grad.array, a.grad.numpy(), rtol=1e-9, atol=1e-12)


def check_by_differences(lines: list[str], found: list[Any]) -> None:
    """The gradients against central differences along a random direction."""
    if any("detach" in line for line in lines):  # differences see through detach()
        return
    directions = [np.random.default_rng(0).standard_normal(a.shape) for a in LEAVES]
    up, down = (
        Run(mg, [a + h * d for a, d in zip(LEAVES, directions, strict=True)], lines).loss().item()
        for h in (1e-6, -1e-6)
    )
    slope = sum(float((t.grad.array * d).sum()) for t, d in zip(found, directions, strict=True))
    assert slope == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-6)


@pytest.mark.slow
@settings(max_examples=500)
@given(programs())
def test_random_programs_agree_with_pytorch(lines: list[str]) -> None:
    check_program(lines)


@pytest.mark.fuzz
@settings(max_examples=20_000)
@given(programs())
def test_twenty_thousand_programs(lines: list[str]) -> None:
    check_program(lines)


@settings(max_examples=300)
@given(st.data(), npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
def test_what_pytorch_calls_a_view_shares_memory_and_can_be_written(
    data: st.DataObject, shape: tuple[int, ...]
) -> None:
    torch = pytest.importorskip("torch")
    code = view_of(data.draw, shape)
    x, t = mg.zeros(shape), torch.zeros(shape)
    view, theirs = (eval(code, {"x": v, "row": lambda x, i: x[i]}) for v in (x, t))
    assert view.shape == tuple(theirs.shape)
    assert (view.base is x) == theirs._is_view() or view is x
    view.fill_(5)
    theirs.fill_(5)
    np.testing.assert_array_equal(x.array, t.numpy())


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
