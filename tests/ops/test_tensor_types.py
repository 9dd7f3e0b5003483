"""FloatTensor and its like, Tensor.type, and other names that old scripts have for dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor

torch = pytest.importorskip("torch")

NAMES = [
    "FloatTensor", "DoubleTensor", "HalfTensor", "LongTensor", "IntTensor", "ShortTensor",
    "CharTensor", "ByteTensor", "BoolTensor",
]  # fmt: skip
DATA: list[Any] = [(), ([],), ([0, 2],), ([0.25, 1.75],), ([[1, 2], [3, 4]],), ((2, 3),),
                   (np.array([1.0, 2.0]),), (np.array([1, 2]),)]  # fmt: skip


def alike(ours: Tensor, theirs: Any) -> None:
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_array_equal(ours.array, theirs.numpy(), strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_constructors(name: str) -> None:
    ours, theirs = getattr(mg, name), getattr(torch, name)
    for data in DATA:
        alike(ours(*data), theirs(*data))
    assert ours(2, 3).shape == (2, 3) and ours(0).shape == (0,)
    assert ours(2).dtype == ours.dtype
    for other in NAMES:
        x = getattr(mg, other)([1])
        assert isinstance(x, ours) == (name == other)
        assert type(x) is Tensor
    with pytest.raises(TypeError, match=r"expected sizes, a list or an array, got 5\.0"):
        ours(5.0)


@pytest.mark.parametrize("name", NAMES)
def test_type(name: str) -> None:
    x, y = mg.tensor([0.0, 1.75]), torch.tensor([0.0, 1.75])
    for kind in (f"torch.{name}", getattr(torch, name)):
        theirs = y.type(kind)
        for same in (f"minigrad.{name}", f"torch.{name}", getattr(mg, name)):
            alike(x.type(same), theirs)
        alike(x.type(x.type(f"minigrad.{name}").dtype), theirs)
    assert x.type(f"minigrad.{name}").type() == f"minigrad.{name}"
    assert y.type(f"torch.{name}").type() == f"torch.{name}"


def test_type_keeps_gradients_and_the_tensor_itself() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    assert x.type("minigrad.FloatTensor") is x and x.type(Tensor) is x
    x.type(mg.DoubleTensor).backward(mg.tensor([3.0, 5.0], dtype=mg.float64))
    assert x.grad is not None
    alike(x.grad, torch.tensor([3.0, 5.0]))


def test_types_that_are_none() -> None:
    x = mg.ones(2)
    with pytest.raises(ValueError, match=r"^type: .*'minigrad\.FloatTensor', got 'float32'"):
        x.type("float32")
    with pytest.raises(TypeError, match=r"^type: expected a dtype or a type .* got <object"):
        x.type(object())
    for call in (lambda: x.type("torch.cuda.FloatTensor"), x.cuda, mg.nn.ReLU().cuda):
        with pytest.raises(RuntimeError, match="the CPU is the only device there is"):
            call()


def test_methods() -> None:
    for ours, theirs in ((mg.ones(2, 3), torch.ones(2, 3)), (mg.ones(()), torch.ones(()))):
        for name in ("short", "char", "byte", "half", "cpu"):
            alike(getattr(ours, name)(), getattr(theirs, name)())
        for name in ("nelement", "ndimension", "element_size", "is_floating_point"):
            assert getattr(ours, name)() == getattr(theirs, name)()
        for name in ("is_cuda", "is_cpu", "nbytes"):
            assert getattr(ours, name) == getattr(theirs, name)
        assert mg.numel(ours) == torch.numel(theirs)
        assert mg.is_floating_point(ours) and not mg.is_floating_point(ours.long())
        alike(ours.type_as(mg.LongTensor([1])), theirs.type_as(torch.LongTensor([1])))
        alike(ours.new_tensor([1, 2]), theirs.new_tensor([1, 2], dtype=torch.float32))
        for fill in ("zeros", "ones"):
            alike(getattr(ours, f"new_{fill}")(2, 1), getattr(theirs, f"new_{fill}")(2, 1))
        alike(ours.new_full((2,), 3), theirs.new_full((2,), 3))
        for sizes in ((2, 3), ((2, 3),)):
            assert ours.new_empty(*sizes).shape == theirs.new_empty(*sizes).shape == (2, 3)
        assert ours.new_empty(2, dtype=mg.int64).dtype == mg.int64
        assert ours.new_empty(2, requires_grad=True).requires_grad


def test_default_dtype() -> None:
    assert mg.get_default_dtype() == mg.float32
    for same in (mg.float32, mg.FloatTensor, "torch.FloatTensor"):
        mg.set_default_dtype(same)
    with pytest.raises(RuntimeError, match="cannot be changed, got float64"):
        mg.set_default_dtype(mg.float64)
    assert mg.ones(1).dtype == mg.get_default_dtype()


def test_variable() -> None:
    x = mg.ones(2, requires_grad=True)
    v = mg.autograd.Variable(x * 2, requires_grad=True)
    assert v.is_leaf and v.requires_grad and not mg.autograd.Variable(x).requires_grad
    mg.autograd.Variable(x)[0] = 5.0
    assert x[0].item() == 5 and isinstance(x, mg.autograd.Variable)
    with pytest.raises(TypeError, match=r"^Variable: expected a tensor, got list"):
        mg.autograd.Variable([1.0])


def test_inference_mode() -> None:
    def modes(lib: Any) -> list[bool]:
        found = []

        @lib.inference_mode()
        def with_call() -> bool:
            return bool(lib.is_grad_enabled())

        @lib.inference_mode
        def without() -> bool:
            return bool(lib.is_grad_enabled())

        found += [with_call(), without()]
        with lib.inference_mode():
            found.append(lib.is_grad_enabled())
            with lib.inference_mode(False):
                found += [lib.is_grad_enabled(), with_call()]
            found.append(lib.is_grad_enabled())
        with lib.no_grad(), lib.inference_mode(mode=False):
            found.append(lib.is_grad_enabled())
        return [*found, lib.is_grad_enabled()]

    assert modes(mg) == modes(torch)
    assert set(modes(mg)) == {True, False}


def test_gradients_of_what_is_not_used() -> None:
    for m in (mg, torch):
        grad = m.autograd.grad
        x, unused = m.ones(2, requires_grad=True), m.ones(3, requires_grad=True)
        y = (x * x).sum()
        (g,) = grad(y, x, None, True, False, True)
        assert g.tolist() == [2, 2]
        g, zeros = grad(y, [x, unused], retain_graph=True, materialize_grads=True)
        assert g.tolist() == [2, 2] and zeros.tolist() == [0, 0, 0]
        assert grad(y, [x, unused], retain_graph=True, allow_unused=True)[1] is None
        with pytest.raises(RuntimeError):
            grad(y, [x, unused], retain_graph=True)
        with pytest.raises(ValueError):
            grad(y, x, materialize_grads=True, allow_unused=False)
    with pytest.raises(NotImplementedError, match=r"^grad: is_grads_batched is not supported"):
        mg.autograd.grad(y, x, is_grads_batched=True)


def test_only_inputs() -> None:
    x = mg.tensor([1.0, 3.0], requires_grad=True)
    (g,) = mg.autograd.grad((x * x).sum(), x, only_inputs=True)
    with pytest.warns(FutureWarning, match="^grad: only_inputs=False is ignored"):
        (same,) = mg.autograd.grad((x * x).sum(), x, only_inputs=False)
    assert g is not None and same is not None and x.grad is None
    assert g.tolist() == same.tolist() == [2.0, 6.0]
