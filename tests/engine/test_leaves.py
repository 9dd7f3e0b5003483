"""A leaf's identity: whatever it went through, .grad, hooks and earlier graphs stay its own."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim


def freeze(w: Any) -> None:
    w.requires_grad_(False)
    w.requires_grad_(True)


def convert(w: Any) -> None:
    kept = w.detach().double()
    w.data = kept.float()
    w.data = kept


def replace(w: Any) -> None:
    w.data = w.detach().clone()


def detach(w: Any) -> None:
    w.detach_()
    w.requires_grad_(True)


WAYS = [freeze, replace, detach]


@pytest.mark.parametrize("way", [*WAYS, convert])
def test_earlier_graphs_lead_to_the_leaf_as_in_pytorch(way: Any) -> None:
    torch = pytest.importorskip("torch")
    grads = []
    for lib in (mg, torch):
        w = lib.tensor([1.0, 2.0], requires_grad=True)
        loss = (w * 3).sum()
        way(w)
        loss.backward()
        grads.append(w.grad.tolist())
    assert grads[0] == grads[1] == [3.0, 3.0]


@pytest.mark.parametrize("way", WAYS)
def test_gradients_and_hooks_stay(way: Any) -> None:
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    calls: list[int] = []
    w.register_hook(lambda g: calls.append(1))
    (w * 3).sum().backward()
    way(w)
    assert w.grad is not None and w.grad.tolist() == [3.0, 3.0]
    (w * 2).sum().backward()
    assert w.grad.tolist() == [5.0, 5.0] and len(calls) == 2


def test_a_gan_loop_freezes_its_critic() -> None:
    critic = nn.Linear(2, 1)
    loss = critic(mg.ones(1, 2)).sum()
    critic.requires_grad_(False)
    critic(mg.ones(1, 2))
    critic.requires_grad_(True)
    loss.backward()
    assert critic.weight.grad is not None and critic.weight.grad.tolist() == [[1.0, 1.0]]


def test_what_is_frozen_when_backward_runs_collects_nothing() -> None:
    w = mg.ones(2, requires_grad=True)
    v = mg.ones(2, requires_grad=True)
    loss = (w * v).sum()
    w.requires_grad_(False)
    loss.backward()
    assert w.grad is None and v.grad is not None


def test_a_frozen_tensor_may_have_a_gradient() -> None:
    w = mg.ones(2, requires_grad=True)
    w.sum().backward()
    w.requires_grad_(False)
    assert not w.requires_grad and w.grad is not None and w.grad.tolist() == [1.0, 1.0]
    for t in (w, mg.ones(2), mg.zeros(2, dtype=mg.int64)):
        t.grad = mg.full((2,), 2, dtype=t.dtype)
        assert t.grad is not None and t.grad.tolist() == [2, 2] and not t.requires_grad
        assert t.is_leaf and t.grad_fn is None
        twin = copy.deepcopy(t)
        assert twin.grad is not None and twin.grad.tolist() == [2, 2] and not twin.requires_grad
        assert not pickle.loads(pickle.dumps(t)).requires_grad
    optim.SGD([w], lr=0.5).step()  # as in PyTorch
    assert w.tolist() == [0.0, 0.0]
    optimizer = optim.SGD([w], lr=0.5)
    optimizer.zero_grad()
    assert w.grad is None


@pytest.mark.parametrize("change", [lambda m: m.double(), lambda m: m.double().float().double()])
def test_converting_a_module_keeps_hooks_gradients_and_graphs(change: Any) -> None:
    layer = nn.Linear(2, 1)
    seen: list[Any] = []
    layer.weight.register_hook(lambda g: seen.append(g.dtype))
    layer(mg.ones(1, 2)).sum().backward()
    earlier = layer(mg.ones(1, 2)).sum()
    change(layer)
    assert layer.weight.grad is not None and layer.weight.grad.dtype == mg.float64
    earlier.backward()
    assert layer.weight.grad.tolist() == [[2.0, 2.0]]
    layer(mg.ones(1, 2, dtype=mg.float64)).sum().backward()
    assert layer.weight.grad.tolist() == [[3.0, 3.0]] and seen[-1] == mg.float64
    assert len(seen) == 3


def test_detach_in_place_of_a_result_keeps_its_gradient() -> None:
    w = mg.ones(2, requires_grad=True)
    y = w * 2
    y.retain_grad()
    y.sum().backward()
    y.detach_()
    assert y.is_leaf and not y.requires_grad
    assert y.grad is not None and y.grad.tolist() == [1.0, 1.0]


class TestData:
    def test_it_shares_memory_and_its_changes_are_noted(self) -> None:
        w = mg.tensor([3.0, 4.0], requires_grad=True)
        assert w.data.array is w.array and not w.data.requires_grad
        w.data -= 1
        w.data.mul_(2)
        w.data.normal_()
        assert float(w.data.norm(2)) == pytest.approx(float(np.linalg.norm(w.array)))
        y = (w * w).sum()
        w.data.zero_()
        with pytest.raises(RuntimeError, match="changed in place"):
            y.backward()

    def test_a_step_by_hand(self) -> None:
        w = mg.tensor([3.0, 4.0], requires_grad=True)
        (w * w).sum().backward()
        assert w.grad is not None
        w.data -= 0.5 * w.grad.data
        assert w.tolist() == [0.0, 0.0] and w.requires_grad
        w.data.add_(1)
        w.grad.data.zero_()
        assert w.grad.tolist() == [0.0, 0.0]

    def test_another_tensor_takes_its_place(self) -> None:
        w = mg.tensor([3.0, 4.0], requires_grad=True)
        other = mg.zeros(3, dtype=mg.float64)
        w.data = other
        assert w.array is other.array and w.shape == (3,) and w.dtype == mg.float64
        (w + 1).sum().backward()
        assert w.grad is not None and w.grad.tolist() == [1.0, 1.0, 1.0]
        with pytest.raises(TypeError, match="as_tensor"):
            w.data = np.zeros(3)
        with pytest.raises(RuntimeError, match="must be floating"):
            w.data = mg.zeros(3, dtype=mg.int64)
        y = w * 2
        y.data = mg.ones(3, dtype=mg.float64)
        with pytest.raises(RuntimeError, match="result of 'mul'"):
            y.data = mg.ones(2)
        assert y.tolist() == [1.0, 1.0, 1.0] and w.array is other.array
