"""The engine: order, memory, accumulation, strictness, hooks."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from cases import SAMPLES, Sample
from sweeps import each

import minigrad
from minigrad import Tensor, changes, tape
from minigrad.autograd import grad, record
from minigrad.kernels.machinery import memory
from minigrad.pieces import Piece


def leaf(*shape: int, value: float = 2.0, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.full(shape, value, dtype), requires_grad=True)


def gradient(x: Tensor) -> Any:
    assert x.grad is not None
    return x.grad.array


def custom(x: Tensor, vjp: Any, name: str = "custom") -> Tensor:
    """An op with the wrong or raising vjp of a test."""
    return record(name, x.array * 1, (x,), vjp)


@contextmanager
def collector_off() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# Order: each node once, after all that use it.


def test_a_plus_a_twice() -> None:
    a = minigrad.tensor(1.0, requires_grad=True)
    b = a + a
    c = b + b
    c.backward()
    assert c.item() == 4
    assert gradient(a) == 4


def test_no_path_is_counted_twice() -> None:
    """2^60 paths in 60 doublings: only an engine that visits nodes, not paths, comes back."""
    a = minigrad.tensor(1.0, requires_grad=True, dtype=np.float64)
    y = a
    visits = 0

    def count(g: Any) -> None:
        nonlocal visits
        visits += 1

    for _ in range(60):
        y = y + y
        y.register_hook(count)
    y.backward()
    assert gradient(a) == 2.0**60
    assert visits == 60


def test_an_old_tensor_used_late() -> None:
    a = leaf()
    early = a * 3
    y = a
    for _ in range(5):
        y = y * 1.5
    (y * early).backward()  # 3·1.5⁵·a², so the gradient is 6·1.5⁵·a
    np.testing.assert_allclose(gradient(a), 6 * 1.5**5 * 2, rtol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("ops", [200_000, pytest.param(1_000_000, marks=pytest.mark.fuzz)])
def test_a_long_chain_forward_and_backward(ops: int) -> None:
    """Recursion, in Python or in what frees objects, would end at a tenth of the shorter one."""
    a = minigrad.tensor(0.0, requires_grad=True, dtype=np.float64)
    y = a
    for _ in range(ops):
        y = y + 1.0
    assert y.item() == ops
    y.backward()
    assert gradient(a) == 1
    del y
    y = a
    for _ in range(200_000):
        y = y + 1.0
    del y  # a graph that was never walked is dropped without recursion, too


# Memory.


FIRST = {s.case.name + str(s.case.kwargs) + str(s.case.args): s for s in reversed(SAMPLES)}


def reachable(node: Any) -> Iterator[Any]:
    seen, todo = set(), [node]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo.extend(node.parents)
            yield node


def compiled(sample: Sample) -> None:
    """Run forward and backward once: numba, while it compiles, keeps arguments alive in cycles."""
    result = sample.run(
        minigrad, [minigrad.from_numpy(a).requires_grad_() for a in sample.arrays()]
    )
    for y in result if isinstance(result, tuple | list) else [result]:
        if y.requires_grad:
            y.backward(np.ones(y.shape), retain_graph=True)


@each("sample", FIRST.values(), by=lambda sample: sample.case.name)
@pytest.mark.parametrize("run_backward", [False, True], ids=["dropped", "after backward"])
def test_a_graph_is_freed_by_reference_counting(sample: Sample, run_backward: bool) -> None:
    compiled(sample)
    with collector_off():
        xs = [minigrad.from_numpy(a).requires_grad_() for a in sample.arrays()]
        result = sample.run(minigrad, xs)
        ys = list(result) if isinstance(result, tuple | list) else [result]
        refs = [weakref.ref(x.array) for x in xs] + [weakref.ref(y.array) for y in ys]
        refs += [weakref.ref(n) for t in (*xs, *ys) for n in reachable(t.node)]
        if run_backward:
            for y in ys:
                if y.requires_grad:
                    y.backward(np.ones(y.shape), retain_graph=True)
            refs += [weakref.ref(gradient(x)) for x in xs if x.grad is not None]
        del xs, ys, result
        y = None  # the loop's last one
        alive = [r() for r in refs if r() is not None]
        assert not alive, f"kept alive: {[type(a).__name__ for a in alive]}"


def test_adding_keeps_one_array_alive() -> None:
    """y = a + b needs neither a nor b for its gradient: 200 adds of 1 MB keep the last result."""
    a = Tensor(np.zeros(131_072), requires_grad=True)
    b = minigrad.from_numpy(np.ones(131_072))
    y = a + b
    tracemalloc.start()
    try:
        for _ in range(200):
            y = y + b
        alive, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert alive < 1.5 * 2**20  # the result, and 200 nodes of half a kilobyte
    y.sum().backward()
    assert (gradient(a) == 1).all()


def test_backward_frees_what_it_has_passed() -> None:
    a = Tensor(np.ones(131_072), requires_grad=True)
    y = a
    for _ in range(50):
        y = y.sin()
    loss = y.sum()
    y = None  # type: ignore[assignment]
    tracemalloc.start()
    try:
        loss.backward()
        _, peak = tracemalloc.get_traced_memory()
        alive, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert alive < 1.5 * 2**20  # a.grad
    assert peak < 6 * 2**20  # some temporaries of one op, not the 50 saved arrays over again


# Gradients of leaves.


def test_gradients_accumulate_until_they_are_cleared() -> None:
    a = leaf(3)
    for _ in range(3):
        (a * a).sum().backward()
    np.testing.assert_array_equal(gradient(a), 12.0)
    a.grad = None
    (a * a).sum().backward()
    np.testing.assert_array_equal(gradient(a), 4.0)


def test_accumulation_adds_in_place() -> None:
    """As in PyTorch: who kept a reference to the gradient sees the sum."""
    a = leaf(3)
    (a * 2).sum().backward()
    kept = a.grad
    assert kept is not None
    (a * 5).sum().backward()
    np.testing.assert_array_equal(kept.array, 7.0)


@pytest.mark.parametrize(
    "f",
    [
        lambda a: a.sum(),
        lambda a: (a + 0).expand(5, 3, 4).sum(),
        lambda a: a.T.sum(0).sum(),
        lambda a: a.reshape(12).sum(),
        lambda a: a[:, 1:].mean(),
        lambda a: (a + a).sum(),
        lambda a: a.clone().sum(),
        lambda a: (a.T * Tensor(np.ones((4, 3)))).sum(),
        lambda a: a.flip(0).mean(),
    ],
)
def test_leaf_gradients_are_owned_contiguous_and_writable(f: Any) -> None:
    a = leaf(3, 4)
    f(a).backward()
    g = gradient(a)
    assert g.flags.owndata and g.flags.c_contiguous and g.flags.writeable
    assert g.dtype == a.dtype and g.shape == a.shape
    assert not np.shares_memory(g, a.array)


def test_two_leaves_never_share_a_gradient() -> None:
    a, b = leaf(3), leaf(3)
    (a + b).backward(np.ones(3))
    gradient(a)[...] = 7
    np.testing.assert_array_equal(gradient(b), 1.0)


def test_the_gradient_that_was_passed_in_is_not_kept() -> None:
    a, seed = leaf(3), np.ones(3)
    (a + 1).backward(seed)
    gradient(a)[...] = 7
    np.testing.assert_array_equal(seed, 1.0)
    a.backward(seed)  # the leaf itself
    np.testing.assert_array_equal(seed, 1.0)
    np.testing.assert_array_equal(gradient(a), 8.0)


@pytest.mark.parametrize("where", ["hook", "vjp", "leaf hook"])
def test_a_failing_backward_writes_no_gradient(where: str) -> None:
    def fails(g: Any) -> Any:
        raise ZeroDivisionError("on purpose")

    a, b = leaf(3), leaf(3)
    (a * 1).sum().backward()
    middle = b * 2
    if where == "vjp":
        middle = custom(middle, fails)
    elif where == "hook":
        middle.register_hook(fails)
    else:
        b.register_hook(fails)
    y = a * 3  # newer than all of b's nodes, so a's gradient is ready before the failure
    with pytest.raises(ZeroDivisionError):
        (middle * y).sum().backward()
    np.testing.assert_array_equal(gradient(a), 1.0)
    assert b.grad is None


# Using a graph again.


def test_a_second_backward_says_what_to_do() -> None:
    a = leaf(3)
    y = a.exp()
    y.sum().backward()
    with pytest.raises(RuntimeError, match=r"'exp' a second time.*retain_graph=True"):
        y.sum().backward()
    np.testing.assert_array_equal(gradient(a), np.exp(2.0))


def test_retain_graph_keeps_it() -> None:
    a = leaf(3)
    y = a.exp().sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(gradient(a), 3 * np.exp(2.0), rtol=1e-15)
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_a_shared_part_can_be_retained_and_then_used_up() -> None:
    a = leaf()
    shared = a * a
    (shared * 3).backward(retain_graph=True)
    (shared * 5).backward()
    assert gradient(a) == 8 * 2 * 2


def test_backward_of_what_needs_no_gradient_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"does not require grad.*requires_grad=True"):
        minigrad.tensor(1.0).backward()
    with pytest.raises(RuntimeError, match=r"scalar only.*\(3,\)"):
        (leaf(3) * 2).backward()
    with pytest.raises(RuntimeError, match=r"shape \(2,\) for an output of shape \(3,\)"):
        (leaf(3) * 2).backward(np.ones(2))


# retain_grad and hooks.


def test_retain_grad() -> None:
    a = leaf(3)
    y = a * 2
    y.retain_grad()
    z = y * 5
    z.sum().backward()
    np.testing.assert_array_equal(gradient(y), 5.0)
    assert z.grad is None
    np.testing.assert_array_equal(gradient(a), 10.0)


def test_hooks_see_and_replace_the_sum() -> None:
    a = leaf(3)
    seen = []
    y = a * 2
    y.register_hook(lambda g: seen.append(g.array.copy()))
    y.register_hook(lambda g: g * 10)
    (y + y).sum().backward()
    np.testing.assert_array_equal(seen, [np.full(3, 2.0)])  # once, with both paths in it
    np.testing.assert_array_equal(gradient(a), 40.0)


def test_hooks_on_leaves_run_once_and_can_be_removed() -> None:
    a = leaf(3)
    handle = a.register_hook(lambda g: -g)
    (a + a).sum().backward()
    np.testing.assert_array_equal(gradient(a), -2.0)
    handle.remove()
    (a + a).sum().backward()
    np.testing.assert_array_equal(gradient(a), 0.0)
    with a.register_hook(lambda g: g * 100):
        pass
    a.sum().backward()
    np.testing.assert_array_equal(gradient(a), 1.0)


def test_retain_grad_sees_what_hooks_made() -> None:
    y = leaf(3) * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 3)
    y.sum().backward()
    np.testing.assert_array_equal(gradient(y), 3.0)


def test_hooks_are_checked() -> None:
    y = leaf(3) * 2
    y.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match=r"a hook on 'mul' returned shape \(\).*\(3,\)"):
        y.sum().backward()
    y = leaf(3) * 2
    y.register_hook(lambda g: 1)  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match="hook must return a Tensor or None, got int"):
        y.sum().backward()
    x = leaf(3)
    x.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match=r"^a hook on 'leaf' returned shape"):
        (x * 2).sum().backward()


# Strictness.


@pytest.mark.parametrize(
    ("vjp", "message"),
    [
        (lambda g: (np.ones((3, 5)),), r"^vjp of 'custom' returned shape \(3, 5\) for .* \(3, 4\)"),
        (lambda g: (np.float64(1),), r"^vjp of 'custom' returned shape \(\) for .* \(3, 4\)"),
        (lambda g: (g.astype("f4"),), r"^vjp of 'custom' returned dtype float32 for .* float64"),
        (lambda g: (g, g), r"^vjp of 'custom' returned 2 gradients for 1 inputs"),
        (lambda g: (), r"^vjp of 'custom' returned 0 gradients for 1 inputs"),
    ],
)
def test_a_wrong_vjp_is_named(vjp: Any, message: str) -> None:
    a = leaf(3, 4)
    with pytest.raises(RuntimeError, match=message):
        custom(a, vjp).sum().backward()
    assert a.grad is None


def test_a_vjp_must_return_arrays() -> None:
    with pytest.raises(TypeError, match=r"^vjp of 'custom' returned list, expected an array"):
        custom(leaf(2), lambda g: ([1.0, 2.0],)).sum().backward()


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        (lambda g: Piece((5,), (slice(2),), g[:2]), "^vjp of 'custom' returned shape"),
        (lambda g: Piece((3,), (slice(3),), g.astype("f4")), "^vjp of 'custom' returned dtype"),
    ],
)
def test_a_wrong_piece_is_named(piece: Any, message: str) -> None:
    a = leaf(3)
    with pytest.raises(RuntimeError, match=message):
        (custom(a, piece) + a).sum().backward()
    assert a.grad is None


def test_slices_of_one_tensor_share_their_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pass over the tensor's gradient for all of them together."""
    whole, made = Piece.whole, []

    def counted(piece: Piece) -> Any:
        made.append(piece.shape)
        return whole(piece)

    monkeypatch.setattr(Piece, "whole", counted)
    x = leaf(100)
    sum(x[i] * float(i) for i in range(100)).backward()  # type: ignore[union-attr]
    np.testing.assert_array_equal(gradient(x), np.arange(100.0))
    assert made == [(100,)]


def test_a_gradient_for_an_input_that_wants_none_is_dropped() -> None:
    a, b = leaf(2), leaf(2).detach()
    record("pair", a.array + b.array, (a, b), lambda g: (g, g)).sum().backward()
    np.testing.assert_array_equal(gradient(a), 1.0)


def test_the_walk_lets_go_of_gradients_before_the_next_vjp() -> None:
    refs: list[Any] = []

    def joined(g: Any) -> Any:
        parts = g * 2.0, g * 3.0
        refs.extend(weakref.ref(p) for p in parts)
        return parts

    def below(g: Any) -> Any:
        assert [r() for r in refs] == [None, None]
        return (g * 1.0,)

    a = leaf(3)
    with collector_off():
        b = custom(a, below)
        record("joined", b.array * 2, (b, b), joined).sum().backward()
    assert len(refs) == 2
    np.testing.assert_array_equal(gradient(a), 5.0)


def test_adding_to_a_gradient_is_a_change_of_it() -> None:
    a, b = leaf(2), leaf(2)
    a.sum().backward()
    assert a.grad is not None
    y = b * a.grad
    a.sum().backward()
    with pytest.raises(RuntimeError, match="backward of 'mul' needs a tensor that was changed"):
        y.sum().backward()


def test_a_leaf_takes_what_nobody_else_has_and_copies_the_rest() -> None:
    made: list[Any] = []

    def fresh(g: Any) -> Any:
        part = np.full(1 << 14, 2.0)
        made.append(part.__array_interface__["data"][0])
        return (part,)

    kept = np.full(1 << 14, 3.0)
    a, b, c = leaf(1 << 14), leaf(1 << 14), leaf()
    custom(a, fresh).sum().backward()
    assert gradient(a).__array_interface__["data"][0] == made[0]
    custom(b, lambda g: (kept,)).sum().backward()
    np.testing.assert_array_equal(gradient(b), 3.0)
    assert not np.shares_memory(gradient(b), kept)
    custom(c, lambda g: (np.float64(5),)).backward()  # a numpy scalar
    assert type(gradient(c)) is np.ndarray and gradient(c) == 5


def test_none_from_a_vjp_is_no_gradient() -> None:
    a, b = leaf(2), leaf(2)
    record("pair", a.array + b.array, (a, b), lambda g: (g, None)).sum().backward()
    np.testing.assert_array_equal(gradient(a), 1.0)
    assert b.grad is None


# autograd.grad.


def test_grad_touches_no_leaf_and_takes_interior_inputs() -> None:
    a, b = leaf(), leaf(value=5.0)
    y = a * b
    z = y * y
    found = grad(z, (a, y, b))
    assert [g.item() for g in found if g is not None] == [2 * 10 * 5, 20, 2 * 10 * 2]
    assert a.grad is None and b.grad is None


def test_grad_with_grad_outputs_and_several_outputs() -> None:
    a = leaf(3)
    (g,) = grad((a * 2, a.sum()), a, (Tensor(np.arange(3.0)), None))
    assert g is not None
    np.testing.assert_array_equal(g.array, 2 * np.arange(3.0) + 1)


def test_grad_of_an_unused_input() -> None:
    a, b = leaf(), leaf()
    with pytest.raises(RuntimeError, match=r"do not depend on input 1.*allow_unused"):
        grad(a * 2, (a, b))
    g, none = grad(a * 2, (a, b), allow_unused=True)
    assert none is None and g is not None and g.item() == 2


def test_grad_retains_on_request() -> None:
    a = leaf()
    y = a * a
    assert grad(y, a, retain_graph=True)[0].item() == 4  # type: ignore[union-attr]
    assert grad(y, a)[0].item() == 4  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="second time"):
        grad(y, a)
    with pytest.raises(NotImplementedError, match="hvp"):
        grad(a * a, a, create_graph=True)


def test_grad_with_respect_to_the_output_itself() -> None:
    y = leaf() * 3
    assert grad(y, y)[0].item() == 1  # type: ignore[union-attr]


def test_a_gradient_that_nobody_else_has_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    decided = []
    unshared = changes.unshared
    monkeypatch.setattr(changes, "unshared", lambda *a: decided.append(unshared(*a)) or decided[-1])
    a, b = leaf(200, 300), leaf(200, 300)
    record("view", a.array * 2, (a,), lambda g: ((g * 2)[:],)).backward(np.ones((200, 300)))
    (b * b).backward(np.ones((200, 300)))
    assert decided == [True, True]  # a large view of memory nobody else has, and an array
    a.grad = b.grad = None
    (a + b).backward(np.ones((200, 300)))
    assert decided[2:] in ([False, False], [False, True])  # one array for both
    assert not np.shares_memory(gradient(a), gradient(b))


@pytest.mark.parametrize(
    "make, alone",
    [
        (lambda: memory.empty((300, 300), np.dtype("f8")), True),
        (lambda: memory.empty((90000,), np.dtype("f8")).reshape(300, 300), True),
        (lambda: POOLED[0], False),
    ],
)
def test_a_gradient_in_pooled_memory_is_not_copied(
    monkeypatch: pytest.MonkeyPatch, make: Any, alone: bool
) -> None:
    decided = []
    unshared = changes.unshared
    monkeypatch.setattr(changes, "unshared", lambda *a: decided.append(unshared(*a)) or decided[-1])
    a = leaf(300, 300)
    record("pool", a.array * 2, (a,), lambda g: (make(),)).backward(np.ones((300, 300)))
    assert decided == [alone]


POOLED = memory.empty((2, 300, 300), np.dtype("f8"))


def test_memory_that_others_can_reach_is_copied() -> None:
    lent = bytearray(8 * 20000)
    x = leaf(20000)
    record("lent", x.array * 2, (x,), lambda g: (np.frombuffer(lent),)).backward(np.ones(20000))
    lent[:8] = b"\x01" * 8
    assert gradient(x)[0] == 0


def test_a_gradient_that_cannot_be_added_to_is_replaced() -> None:
    x = leaf(2)
    x.grad = minigrad.zeros(1, dtype=minigrad.float64).expand(2)
    (x * 2).sum().backward()
    assert gradient(x).tolist() == [2.0, 2.0]


def test_the_gradient_of_an_only_input_may_come_alone() -> None:
    a = leaf(2, 3)
    record("double", a.array * 2, (a,), lambda g: g * 2).backward(np.ones((2, 3)))
    assert a.grad is not None and (a.grad.array == 2).all()
    with pytest.raises(
        RuntimeError, match=r"'wrong' returned shape \(2, 2\) for an input of shape"
    ):
        record("wrong", a.array, (a,), lambda g: g[:, :2]).backward(np.ones((2, 3)))
    with pytest.raises(RuntimeError, match="returned 2 gradients for 1 inputs"):
        record("two", a.array, (a,), lambda g: (g, g)).backward(np.ones((2, 3)))
    with pytest.raises(RuntimeError, match="'forgot to return' returned 0 gradients for 1 inputs"):
        record("forgot to return", a.array, (a,), lambda g: None).backward(np.ones((2, 3)))
    with pytest.raises(RuntimeError, match="returned 1 gradients for 2 inputs"):
        record("alone", leaf(3, 3).array, (a, leaf()), lambda g: g).backward(np.ones((3, 3)))


def test_a_node_says_what_and_when_it_was() -> None:
    x = leaf(2, 3)
    assert x.node is not None
    assert repr(x.node) == f"<leaf #{x.node.time} (2, 3)>"


def test_a_gradient_that_overflows_warns_nobody() -> None:
    x = leaf(3)
    custom(x, lambda g: (g / 0 - g / 0,)).sum().backward()  # a warning would be an error here
    assert np.isnan(gradient(x)).all()


def test_a_walk_keeps_what_is_wanted_and_nothing_else() -> None:
    x = leaf(3)
    middle = x * 2
    out = (middle * 3).sin()
    assert middle.node is not None and out.node is not None
    wanted = {middle.node}
    assert tape.walk((out.node,), (np.ones(3),), True, wanted).keys() == wanted
    with pytest.raises(ValueError, match="shorter"):
        tape.walk((out.node,), (), True)


def test_a_node_has_room_for_what_it_names_and_nothing_else() -> None:
    x = leaf(2)
    for node in (x.node, (x * 2).node):
        assert not hasattr(node, "__dict__")  # which would double its size


def test_of_two_complex_dtypes_none_is_taken_for_the_other() -> None:
    node = tape.Node("probed", (), (2,), np.dtype("c16"), None)
    with pytest.raises(RuntimeError, match="vjp of 'op' returned dtype complex64"):
        tape.checked(np.ones(2, "c8"), node, "vjp of", "op")


def test_a_gradient_that_cannot_be_written_to_is_copied() -> None:
    def constant(g: Any) -> Any:
        made = np.full(3, 2.0)
        made.flags.writeable = False
        return made

    x = leaf(3)
    for times in (1, 2):
        custom(x, constant).sum().backward()
        assert gradient(x).tolist() == [2.0 * times] * 3 and gradient(x).flags.writeable


def test_a_gradient_that_a_hook_takes_away_is_freed_at_once() -> None:
    alive: list[Any] = []

    def take(p: Tensor) -> None:
        alive.append(weakref.ref(p.grad.array))  # type: ignore[union-attr]
        p.grad = None
        alive[-1] = alive[-1]()

    x = leaf(1 << 14)
    x.register_post_accumulate_grad_hook(take)
    with collector_off():
        (x * 2).sum().backward()
    assert alive == [None]
