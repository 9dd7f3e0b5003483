"""In-place changes: recorded, watched, and refused where they would corrupt a gradient."""

from __future__ import annotations

import importlib.util
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, changes


def leaf(*shape: int, value: float = 2.0, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.full(shape, value, dtype), requires_grad=True)


def gradient(x: Tensor) -> Any:
    assert x.grad is not None
    return x.grad.array


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.add_(1), lambda y: y.mul_(2), lambda y: y.zero_(), lambda y: y.fill_(3),
        lambda y: y.copy_(np.ones(3)), lambda y: y.__setitem__(0, 5.0), lambda y: y.__iadd__(1),
        lambda y: y.detach().add_(1), lambda y: y[1:].detach().zero_(), lambda y: y.clamp_(0, 1),
        lambda y: y.uniform_(), lambda y: y.detach().view(3, 1).mul_(2), lambda y: y.exp_(),
    ],
)  # fmt: skip
def test_backward_refuses_what_was_changed_after_it_was_saved(change: Any) -> None:
    y = leaf(3) + 0
    z = y * y
    with minigrad.no_grad():
        change(y)
    with pytest.raises(RuntimeError, match=r"'mul' needs a tensor that was changed in.*clone"):
        z.sum().backward()


def test_the_saved_result_is_watched_too() -> None:
    a = leaf(3)
    y = a.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match="'exp' needs a tensor that was changed"):
        y.sum().backward()
    assert a.grad is None


def test_a_parameter_changed_between_forward_and_backward_is_refused() -> None:
    w = leaf(3)
    loss = (w * w).sum()
    with minigrad.no_grad():
        w -= 0.1 * w
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_harmless_changes_pass() -> None:
    a = leaf(3)
    with minigrad.no_grad():
        a.add_(1)  # before it is used
    y = a + 0
    z = y + 1  # add saves nothing
    y.detach().zero_()
    z.sum().backward()
    np.testing.assert_array_equal(gradient(a), 1.0)


def test_in_place_ops_are_recorded() -> None:
    a = leaf(3)
    y = a * 1
    y += 1
    y *= a
    y.sum().backward()  # (a + 1)·a
    np.testing.assert_array_equal(y.array, 6.0)
    np.testing.assert_array_equal(gradient(a), 5.0)


def test_assignment_by_index_is_recorded() -> None:
    a, v = leaf(3), leaf()
    y = a * 1
    y[1] = v * 5
    (y * y).sum().backward()
    np.testing.assert_array_equal(gradient(a), [4.0, 0.0, 4.0])
    assert gradient(v) == 2 * 10 * 5


def test_a_leaf_cannot_be_changed_while_it_is_recorded() -> None:
    a = leaf(3)
    for change in (lambda: a.add_(1), lambda: a.zero_(), lambda: a.__setitem__(0, 1.0)):
        with pytest.raises(RuntimeError, match=r"leaf that requires grad.*no_grad"):
            change()
    np.testing.assert_array_equal(a.array, 2.0)
    view = a.detach()
    with minigrad.no_grad():
        view.add_(1)
    np.testing.assert_array_equal(a.array, 3.0)


def test_in_place_keywords_fills_and_kept_gradients() -> None:
    w = Tensor([1.0, 1.0], requires_grad=True)
    y = Tensor([3.0, 3.0])
    y.mul_(other=w)
    y.sum().backward()
    assert w.grad is not None and w.grad.tolist() == [3.0, 3.0]
    y = w * 2
    y.fill_(w.sum())
    w.grad = None
    y.sum().backward()
    assert w.grad is not None and w.grad.tolist() == [2.0, 2.0]
    y = w * 2
    y.retain_grad()
    y.mul_(3)
    y.sum().backward()
    assert y.grad is not None and y.grad.tolist() == [1.0, 1.0]


def test_who_owns_the_memory_of_an_array() -> None:
    """Whatever stands between: views, a buffer, what as_strided makes."""
    a = np.arange(6.0)
    strided = np.lib.stride_tricks.as_strided(a, (2,), (8,))
    read = np.frombuffer(memoryview(a))
    for view in (a, a[1:][::2], a.reshape(2, 3).T, strided, strided[1:], read, read[2:]):
        assert changes.owner(view) is a
    foreign = np.frombuffer(b"01234567")
    assert changes.owner(foreign) is foreign and changes.owner(foreign[:1]) is foreign


def test_a_change_is_noted_once_an_array_and_forgotten_with_it() -> None:
    """Another array may come to have its id."""
    a = np.ones(3)
    before = len(changes._changed_at)
    changes.note_change(a)
    first = changes.last
    changes.note_change(a[1:])
    assert changes._changed_at[id(a)] == changes.last > first
    assert len(changes._changed_at) == before + 1 and weakref.getweakrefcount(a) == 1
    del a
    assert len(changes._changed_at) == before


def test_whether_an_array_may_be_kept_without_a_copy() -> None:
    large, small = np.ones(1 << 14), np.ones(8)
    held: dict[str, Any] = {
        "own": np.ones(8),
        "shared": large,
        "transposed": np.ones((4, 2)).T,
        "view of its own": np.ones((1 << 13, 2)).reshape(-1),
        "small view": np.ones((4, 2)).reshape(-1),
        "view of another's": large[:],
        "small one of another's": small[:],
        "read only": np.broadcast_to(np.ones(1), (1,)),
        "of a buffer": np.frombuffer(bytearray(1 << 17)),
    }
    alone = {key for key in held if changes.unshared(held, key)}
    assert alone == {"own", "view of its own"}


def test_whether_others_hold_the_array_of_a_tensor() -> None:
    x = minigrad.from_numpy(np.ones(3))
    assert not changes.held_elsewhere(x)
    other = x.array
    assert changes.held_elsewhere(x) and changes.held_elsewhere(minigrad.from_numpy(other[1:]))
    del other
    assert not changes.held_elsewhere(x)


def test_a_quotient_may_be_masked_in_place() -> None:
    """As scripts do that divide by a norm which may be 0."""
    x = minigrad.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=minigrad.float64, requires_grad=True)
    y = x / x.detach().norm(dim=1, keepdim=True)
    z = y / (x.sum(1, keepdim=True) + 1)
    z[z != z] = 0
    z[0, 1].backward()
    # d(4/5 / 8)/dx = -(4/5)/64 by the sum, and 1/40 by x itself
    assert x.grad is not None and abs(x.grad[0, 0].item() + 0.8 / 64) < 1e-15
    assert abs(x.grad[0, 1].item() - 1 / 40 + 0.8 / 64) < 1e-15


@pytest.mark.parametrize("times", [1, 2])
def test_a_change_is_forgotten_with_its_array(times: int) -> None:
    """Its id will be another's, which was not changed."""
    a = np.zeros(3)
    key = id(a)
    for _ in range(times):
        changes.note_change(a[1:])
    assert changes._changed_at[key] == changes.last
    assert weakref.getweakrefcount(a) == 1  # one is enough
    del a
    assert key not in changes._changed_at


def test_the_clock_of_a_new_process() -> None:
    """Nothing was changed, and the first node is younger than that."""
    spec = importlib.util.find_spec("minigrad.changes")
    assert spec is not None and spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    assert fresh.last == 0 and fresh.tick() == 1
