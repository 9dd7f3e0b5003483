"""Function: ops of one's own over tensors, as PyTorch's scripts write them."""

from __future__ import annotations

import gc
import importlib
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, closures, modes, nn
from minigrad.autograd import Function, gradcheck

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])
W = np.array([0.3, -0.2, 0.9])


def both(make: Any, *arrays: Any, cotangents: int = 1) -> None:
    """A function, made once with each library, has the same outputs and gradients in both."""
    torch = pytest.importorskip("torch")
    results = []
    for lib, tensor in ((minigrad, minigrad.tensor), (torch, torch.tensor)):
        op = make(lib)
        inputs: list[Any] = [tensor(a, requires_grad=True) for a in arrays]
        outputs = op(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        rng = np.random.default_rng(3)  # random cotangents, the same for both
        loss: Any = 0
        for y in outputs[:cotangents]:
            loss = loss + (y * tensor(rng.standard_normal(tuple(y.shape)))).sum()
        loss.backward()
        results.append([y.detach().numpy() for y in outputs] + [x.grad.numpy() for x in inputs])
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)  # float64: rounding alone


def swish(lib: Any) -> Any:
    class Swish(lib.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any, scale: float) -> Any:
            ctx.save_for_backward(x)
            ctx.scale = scale
            return x * lib.sigmoid(x) * scale

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            assert ctx.needs_input_grad == (True, False)
            s = lib.sigmoid(x)
            return g * ctx.scale * (s + x * s * (1 - s)), None

    return lambda x: Swish.apply(x * 1, 2.0)


def product_and_quotient(lib: Any) -> Any:
    class Pair(lib.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(x: Any, w: Any) -> Any:
            return x * w, x.argmax(1), x / w

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)
            ctx.mark_non_differentiable(output[1])

        @staticmethod
        def backward(ctx: Any, g: Any, none: Any, h: Any) -> Any:
            x, w = ctx.saved_tensors
            return g * w + h / w, (g * x - h * x / w**2).sum(0)

    def op(x: Any, w: Any) -> Any:
        product, most, quotient = Pair.apply(x, w)
        assert most.dtype == lib.int64 and not most.requires_grad
        return product, quotient

    return op


def test_one_output_and_an_argument_that_is_no_tensor() -> None:
    both(swish, X)


@pytest.mark.parametrize("cotangents", [1, 2])  # an output that is not used gives zeros
def test_several_outputs(cotangents: int) -> None:
    both(product_and_quotient, X, W, cotangents=cotangents)


@pytest.mark.usefixtures("kernels")
def test_gradcheck() -> None:
    assert gradcheck(swish(minigrad), (minigrad.tensor(X, requires_grad=True),))
    inputs = (minigrad.tensor(X, requires_grad=True), minigrad.tensor(W, requires_grad=True))
    assert gradcheck(product_and_quotient(minigrad), inputs)


class Wrong(Function):
    """The derivative of x² without its 2."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        assert modes.probing.get() or not minigrad.is_grad_enabled()
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.saved_tensors[0]


def test_gradcheck_finds_a_wrong_backward() -> None:
    with pytest.raises(RuntimeError):
        gradcheck(Wrong.apply, (minigrad.tensor(X, requires_grad=True),))


def test_none_instead_of_zeros_on_request() -> None:
    seen = []

    class Two(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(False)
            return x + 1, x + 2

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            seen.append((g is None, h is None))
            return g if h is None else h

    x = minigrad.ones(2, requires_grad=True)
    first, second = Two.apply(x)
    first.sum().backward(retain_graph=True)
    second.sum().backward()
    assert seen == [(False, True), (True, False)]
    assert x.grad is not None and x.grad.tolist() == [2, 2]


def test_backward_may_differentiate() -> None:
    """It records under enable_grad, and reaches parameters that it was given."""
    layer = nn.Linear(3, 2, dtype=minigrad.float64)

    class Adjoint(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, *weights: Any) -> Any:
            ctx.save_for_backward(x, *weights)
            return layer(x).tanh()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, *weights = ctx.saved_tensors
            with minigrad.enable_grad():
                x = x.detach().requires_grad_()
                y = layer(x).tanh()
            return minigrad.autograd.grad(y, (x, *weights), g)

    x = minigrad.tensor(X, requires_grad=True)
    g = minigrad.randn(2, 2, dtype=minigrad.float64)
    expected = minigrad.autograd.grad(layer(x).tanh(), (x, *layer.parameters()), g)
    got = minigrad.autograd.grad(Adjoint.apply(x, *layer.parameters()), (x, *layer.parameters()), g)
    for a, b in zip(got, expected, strict=True):
        assert a is not None and b is not None and minigrad.equal(a, b)


def test_a_saved_tensor_that_was_changed_is_refused() -> None:
    x = minigrad.tensor(X, requires_grad=True) * 1
    y = Wrong.apply(x)
    x.mul_(2)
    with pytest.raises(RuntimeError, match=r"Wrong.*saved"):
        y.sum().backward()


def test_nothing_is_recorded_that_nobody_wants() -> None:
    assert not Wrong.apply(minigrad.tensor(X)).requires_grad
    with minigrad.no_grad():
        assert not Wrong.apply(minigrad.tensor(X, requires_grad=True)).requires_grad
    assert Wrong.apply(minigrad.tensor(X, requires_grad=True)).grad_fn.name() == "Wrong"


def test_a_dropped_graph_is_freed_at_once() -> None:
    gc.disable()
    try:
        for op in (Wrong.apply, swish(minigrad)):
            x = minigrad.tensor(X, requires_grad=True)
            middle = x + 1
            gone = weakref.ref(middle)
            y = op(middle)
            del middle
            y.sum().backward()
            assert gone() is None
    finally:
        gc.enable()


def returning(value: Any) -> Any:
    class Returns(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x + y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return value(g)

    return Returns.apply


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (lambda g: g, RuntimeError, "Returns: backward returned 1 gradients, expected 2"),
        (lambda g: (g, g, g), RuntimeError, "Returns: backward returned 3 gradients"),
        (lambda g: (g.numpy(), None), TypeError, "Returns: backward must return tensors"),
        (lambda g: (g.sum(), None), RuntimeError, r"vjp of 'Returns'.*shape"),
    ],
)
def test_what_backward_may_return(value: Any, error: Any, message: str) -> None:
    x = minigrad.ones(2, requires_grad=True)
    y = returning(value)(x, minigrad.ones(2))
    with pytest.raises(error, match=message):
        y.sum().backward()
    assert x.grad is None


def test_more_nones_than_arguments_are_nothing() -> None:
    x = minigrad.ones(2, requires_grad=True)
    returning(lambda g: (g, None, None))(x, 1.0).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1, 1]


def test_refusals() -> None:
    class Empty(Function):
        pass

    class List(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return [x]

    class Keeps(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(3)

    class Dirty(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x)

    x: Tensor = minigrad.ones(2)
    for op, error, message in (
        (Empty, NotImplementedError, "forward"),
        (List, TypeError, "List: forward must return a tensor or a tuple, got list"),
        (Keeps, TypeError, "save_for_backward: expected tensors, got int"),
        (Dirty, NotImplementedError, "mark_dirty"),
    ):
        with pytest.raises(error, match=message):
            op.apply(x)


def test_once_differentiable() -> None:
    """As in PyTorch, whose backward of a backward fails where this one is asked for it."""

    def cube(lib: Any, mark: bool) -> Any:
        once = importlib.import_module(f"{lib.__name__}.autograd.function").once_differentiable
        if not mark:
            once = lambda fn: fn  # noqa: E731

        class Cube(lib.autograd.Function):  # type: ignore[misc,name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return x**3

            @staticmethod
            @once
            def backward(ctx: Any, g: Any) -> Any:
                (x,) = ctx.saved_tensors
                return g * 3 * x**2

        return Cube.apply

    both(lambda lib: cube(lib, True), X)
    assert gradcheck(cube(minigrad, True), minigrad.tensor(X, requires_grad=True))
    hvp = minigrad.autograd.functional.hvp
    x, v = minigrad.tensor(X), minigrad.tensor(W)
    _, found = hvp(lambda x: cube(minigrad, False)(x).sum(), x, v.expand(2, 3))
    np.testing.assert_allclose(found.numpy(), 6 * X * W, rtol=1e-12)  # float64: rounding alone
    with pytest.raises(RuntimeError, match="Cube: trying to differentiate twice"):
        hvp(lambda x: cube(minigrad, True)(x).sum(), x, v.expand(2, 3))

    class Above(minigrad.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @importlib.import_module("minigrad.autograd.function").once_differentiable
        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    both(lambda lib: lambda x: Above.apply(x) if lib is minigrad else x * 2, X)
    with pytest.raises(RuntimeError, match="Above: trying to differentiate twice"):
        hvp(lambda x: (Above.apply(x) ** 2).sum(), x, v.expand(2, 3))
    torch = pytest.importorskip("torch")
    z = torch.tensor(X, requires_grad=True)
    y = cube(torch, True)(z).square().sum()  # whose cotangent requires grad, by which it is noticed
    (first,) = torch.autograd.grad(y, z, create_graph=True)
    with pytest.raises(RuntimeError, match="trying to differentiate twice"):
        first.sum().backward()


def test_the_first_function_of_a_process_may_have_two_outputs(monkeypatch: Any) -> None:
    """A vjp's code is looked at once, and any other Function before would have hidden a refusal."""
    monkeypatch.setattr(closures, "_seen", {})
    both(product_and_quotient, X, W, cotangents=2)
