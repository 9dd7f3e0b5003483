"""remember(): copies of what was computed, at no change to it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from cases import SAMPLES, Sample
from networks import readme
from sweeps import each

import minigrad as mg
from minigrad import Tensor, closures, optim
from minigrad.autograd import detect_anomaly, grad
from minigrad.visual import vjps
from minigrad.visual.graphs import kept_of


def kept(x: Tensor) -> Any:
    found = kept_of(x.node)
    assert found is not None
    return found


def test_outputs_inputs_and_lines() -> None:
    x, w = mg.randn(3, 2), mg.randn(4, 2).requires_grad_()
    with mg.remember():
        y = mg.nn.functional.linear(x, w)  # here
        z = y * 2.5
    k = kept(y)
    np.testing.assert_array_equal(k.output, y.array)
    np.testing.assert_array_equal(k.inputs[0].value, x.array)
    assert [i.node for i in k.inputs] == [None, w.node, None]
    assert y.node and y.node.origin.source == "y = mg.nn.functional.linear(x, w)  # here"
    assert [i.value for i in kept(z).inputs][1] == 2.5
    assert list(k.held) == ["kept_x"]


def test_nothing_is_kept_without_it_or_under_no_grad() -> None:
    x = mg.ones(2).requires_grad_()
    assert kept_of((x * 2).node) is None
    with mg.remember(), mg.no_grad():
        x * 2
    with mg.remember():
        pass
    assert kept_of((x * 2).node) is None


def test_what_is_kept_stays_as_it_was() -> None:
    x, w = mg.ones(2).requires_grad_(), mg.ones(2).requires_grad_()
    with mg.remember():
        y = x * w
        loss = (y * w).sum()
    before = [a.copy() for a in (kept(y).output, kept(y).inputs[1].value, kept(y).held["b"])]
    loss.backward()
    gradient = kept(y).gradient.copy()
    optim.SGD([x, w], lr=1.0).step()
    assert x.grad is not None and w.grad is not None
    w.grad *= 7
    y.detach().zero_()
    after = [kept(y).output, kept(y).inputs[1].value, kept(y).held["b"]]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(kept(y).gradient, gradient)


def test_memory_that_several_use_is_copied_once_until_it_changes() -> None:
    x, w = mg.ones(1000), mg.ones(1000).requires_grad_()
    with mg.remember():
        a, b = x * w, x * w
        with mg.no_grad():
            w += 1
        c = x * w
    first, second, third = (kept(t).inputs[1].value for t in (a, b, c))
    assert np.shares_memory(first, second) and not np.shares_memory(second, third)
    assert first[0] == 1 and third[0] == 2


@pytest.mark.parametrize("inside", [True, False])
def test_gradients_are_noted_in_the_block_and_after_it(inside: bool) -> None:
    x = mg.randn(3).requires_grad_()
    with mg.remember():
        y = x.exp()
        y.retain_grad()
        loss = (y * y).sum()
        if inside:
            loss.backward()
    if not inside:
        loss.backward()
    assert y.grad is not None and x.grad is not None
    np.testing.assert_array_equal(kept(y).gradient, y.grad.array)
    np.testing.assert_array_equal(kept(y).parts[0], x.grad.array)


def test_a_part_that_is_not_wanted_is_none_and_grad_is_noted_too() -> None:
    x, w = mg.randn(3, 2), mg.randn(4, 2).requires_grad_()
    with mg.remember():
        y = mg.nn.functional.linear(x, w)
    (g,) = grad(y.sum(), w)
    assert g is not None and kept(y).parts[0] is None and kept(y).parts[2] is None
    np.testing.assert_array_equal(kept(y).parts[1], g.array)


@pytest.mark.slow
@each("sample", SAMPLES, by=lambda sample: sample.case.name)
def test_gradients_have_the_same_bits_and_closures_are_all_seen(sample: Sample) -> None:
    """Of every operation: remembering changes no result, and `held` names what a vjp keeps."""
    first = _gradients(sample)
    with mg.remember():
        second = _gradients(sample)
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def _gradients(sample: Sample) -> list[Any]:
    mg.manual_seed(0)
    tensors = [mg.from_numpy(a) for a in sample.arrays()]
    for x in tensors:
        if x.is_floating_point():
            x.requires_grad_()
    result = sample.run(mg, tensors)
    outputs = result if isinstance(result, tuple | list) else (result,)
    outputs = [y for y in outputs if isinstance(y, Tensor) and y.requires_grad and not y.is_leaf]
    for y in outputs:
        assert y.node is not None
        named = {id(a) for a in vjps.held(y.node.vjp).values()}
        assert named == {id(a) for a in closures.arrays_in(y.node.vjp)}
    rng = np.random.default_rng(0)
    grads = [Tensor(rng.standard_normal(y.shape).astype(y.dtype)) for y in outputs]
    if outputs:
        mg.autograd.backward(outputs, grads)  # type: ignore[attr-defined]
    return [y.array for y in outputs] + [x.grad.array for x in tensors if x.grad is not None]


def test_changes_in_place_are_still_found() -> None:
    x = mg.ones(3).requires_grad_()
    with mg.remember():
        y = x * 2
        z = y * y
    y.detach().zero_()
    with pytest.raises(RuntimeError, match="changed in place"):
        z.sum().backward()


def test_together_with_anomaly_detection_and_profile() -> None:
    x = mg.tensor(-1.0, requires_grad=True)
    with mg.remember(), mg.profile(show=False) as p, detect_anomaly():
        (x * x).backward()
        with pytest.raises(RuntimeError, match="forward of 'log' made a NaN"):
            x.log()
    assert p.ops["mul"].calls == 1 and p.ops["mul"].backward > 0


def test_it_goes_when_the_loss_goes_by_counting_references() -> None:
    _, _, forward = readme()
    gc.collect()
    gc.disable()
    try:
        with mg.remember():
            loss = forward()
        watched = weakref.ref(loss.node)
        loss.backward()
        assert watched() is not None
        del loss
        assert watched() is None
    finally:
        gc.enable()


def test_a_vjp_that_overwrites_its_gradient() -> None:
    x = mg.ones(2).requires_grad_()

    def vjp(g: Any) -> Any:
        g = np.asarray(g)
        g *= 5
        return g

    with mg.remember():
        y = mg.autograd.record("mine", x.array * 1, (x,), vjp)
    y.backward(mg.ones(2))
    assert kept(y).gradient.tolist() == [1.0, 1.0] and kept(y).parts[0].tolist() == [5.0, 5.0]


def test_a_malformed_vjp_is_still_named() -> None:
    x = mg.ones(2).requires_grad_()
    with mg.remember():
        y = mg.autograd.record("mine", x.array * 1, (x,), lambda g: (g, g))
        z = mg.autograd.record("none", x.array * 1, (x,), lambda g: None)
    with pytest.raises(RuntimeError, match="vjp of 'mine' returned 2 gradients for 1 inputs"):
        y.sum().backward()
    with pytest.raises(RuntimeError, match="vjp of 'none' returned 0"):
        z.sum().backward()


def test_the_gradient_that_a_function_returns_is_kept_too() -> None:
    model, x = mg.nn.Linear(3, 1), mg.randn(4, 3, requires_grad=True)
    with mg.remember():
        slopes, value = mg.func.grad_and_value(lambda z: model(z).tanh().sum())(x)
        loss = (slopes.norm(2, dim=1) - 1).square().mean() + value
    loss.backward()
    vertices = {v.name: v for v in mg.graph(loss, {"": model, "x": x}).vertices}
    used = {v.name for v in vertices["grad_and_value"].inputs}
    assert used == {"x", "weight", "bias"}
    assert [v.name for v in vertices["input"].inputs] == ["x"]
