"""What a vjp may keep: arrays, which are watched for changes, and no tensors, which are named."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from cases import SAMPLES

import minigrad
from minigrad import Tensor, closures, nn
from minigrad.autograd import record
from minigrad.closures import tensor_in


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


class Formula:
    """An object that keeps what its backward needs."""

    def __init__(self, x: Any) -> None:
        self.x, self.other = x, np.ones(2)

    def backward(self, g: Any) -> Any:
        return (2 * g * self.x,)

    def __call__(self, g: Any) -> Any:
        return (2 * g * self.x,)


def twice(g: Any, x: Any, *, more: Any = ()) -> Any:
    return (2 * g * x,)


def nested(x: Any) -> Callable[[Any], Any]:
    def inner(g: Any) -> Any:
        return 2 * g * x

    return lambda g: (inner(g),)


def in_a_list(x: Any) -> Callable[[Any], Any]:
    saved = [np.ones(2), (1, x)]
    return lambda g: (2 * g * saved[1][1],)  # type: ignore[index]


def in_a_dict(x: Any) -> Callable[[Any], Any]:
    saved = {"x": x}
    return lambda g: (2 * g * saved["x"],)


def itself(x: Any) -> Callable[[Any], Any]:
    def vjp(g: Any, depth: int = 1) -> Any:
        return vjp(g, depth - 1) if depth else (2 * g * x,)

    return vjp


# How a vjp may keep x, and what the error calls it.
WAYS: dict[str, tuple[Callable[[Any], Callable[[Any], Any]], str]] = {
    "closure": (lambda x: lambda g: (2 * g * x,), "x"),
    "function in a closure": (nested, "x"),
    "list": (in_a_list, "saved[1][1]"),
    "dict": (in_a_dict, "saved['x']"),
    "default": (lambda x: lambda g, x=x: (2 * g * x,), "x"),
    "second default": (lambda x: lambda g, n=2, y=x: (n * g * y,), "y"),
    "keyword default": (lambda x: lambda g, *, y=x: (2 * g * y,), "y"),
    "partial": (lambda x: partial(twice, x=x), "x"),
    "partial by place": (lambda x: partial(lambda y, g: (2 * g * y,), x), "argument 0"),
    "container in a partial": (lambda x: partial(twice, x=1, more=[x]), "more[0]"),
    "recursion": (itself, "x"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_tensor_is_named_at_once(way: str) -> None:
    make, name = WAYS[way]
    x = leaf(1.0, 2.0)
    with pytest.raises(TypeError) as caught:
        record("sq", x.array**2, (x,), make(x))
    assert (
        str(caught.value) == f"vjp of 'sq' closes over the tensor {name}: close over {name}.array"
    )


@pytest.mark.parametrize("way", WAYS)
def test_an_array_is_kept_and_watched(way: str) -> None:
    make, _ = WAYS[way]
    if way == "container in a partial":
        return  # whose formula does not use it
    x = leaf(1.0, 2.0)
    record("sq", x.array**2, (x,), make(x.array)).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2.0, 4.0]
    y = record("sq", x.array**2, (x,), make(x.array))
    with minigrad.no_grad():
        x += 1
    with pytest.raises(RuntimeError, match="'sq' needs a tensor that was changed in place"):
        y.sum().backward()


@pytest.mark.parametrize("make", [lambda f: f.backward, lambda f: f], ids=["method", "object"])
def test_what_a_method_names_is_watched(make: Any) -> None:
    x = leaf(1.0, 2.0)
    formula = Formula(x.array)
    y = record("sq", x.array**2, (x,), make(formula))
    minigrad.from_numpy(formula.other).add_(1)  # which the formula does not name
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2.0, 4.0]
    y = record("sq", x.array**2, (x,), make(formula))
    with minigrad.no_grad():
        x += 1
    with pytest.raises(RuntimeError, match="'sq' needs a tensor that was changed in place"):
        y.sum().backward()


def test_a_layer_may_keep_its_vjp_as_a_method() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(np.array([2.0, 3.0]))

        def forward(self, x: Tensor) -> Tensor:
            return record("scale", x.array * self.weight.array, (x,), self.backward)

        def backward(self, g: Any) -> Any:
            return (g * self.weight.array,)

    layer, x = Scale(), leaf(1.0, 1.0)
    layer(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2.0, 3.0]
    y = layer(x)
    with minigrad.no_grad():
        layer.weight += 1
    with pytest.raises(RuntimeError, match="'scale' needs a tensor that was changed in place"):
        y.sum().backward()


def test_each_function_is_looked_at_once_and_when_it_fails(monkeypatch: Any) -> None:
    asked = []
    monkeypatch.setattr(closures, "tensor_in", lambda f: asked.append(f) or tensor_in(f))

    def op(x: Tensor, kept: Any) -> Tensor:
        return record("op", x.array * 2, (x,), lambda g: (g + np.frombuffer(kept),))

    x = leaf(1.0, 2.0)
    for _ in range(10):
        op(x, 0.0)
    assert len(asked) == 1
    with pytest.raises(TypeError) as caught:
        op(x, x).sum().backward()  # a tensor has no buffer
    assert caught.value.__notes__ == [
        "in the vjp of 'op', which closes over the tensor kept: use kept.array"
    ]


def test_an_error_of_a_vjp_says_whose_it_is() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(ZeroDivisionError) as caught:
        record("op", x.array * 2, (x,), lambda g: (g, 1 // 0)).sum().backward()
    assert caught.value.__notes__ == ["in the vjp of 'op'"]


W = leaf(3.0, 4.0)


@pytest.mark.parametrize(
    ("vjp", "message"),
    [
        (
            lambda g: (g * W,),
            r"vjp of 'op' returned Tensor \(its array is .array\), expected an arr",
        ),
        (
            lambda g: g * W,
            r"vjp of 'op' returned Tensor \(its array is .array\), expected an array",
        ),
        (lambda g: 2.0, "vjp of 'op' returned float, expected an array"),
        (lambda g: (2.0,), "vjp of 'op' returned float, expected an array"),
        (lambda g: [[1.0, 2.0]], "vjp of 'op' returned list, expected an array"),
        (lambda g: [1.0, 2.0], "vjp of 'op' returned 2 gradients for 1 inputs"),
        (lambda g: "ab", "vjp of 'op' returned str, expected an array"),
        (lambda g: {"x": g}, "vjp of 'op' returned dict, expected an array"),
        (lambda g: (h for h in (g,)), "vjp of 'op' returned generator, expected an array"),
        (lambda g: None, "vjp of 'op' returned 0 gradients for 1 inputs"),
    ],
)
def test_a_result_of_a_wrong_kind(vjp: Any, message: str) -> None:
    x = leaf(1.0, 2.0)
    y = record("op", x.array * 2, (x,), vjp)
    with pytest.raises((TypeError, RuntimeError), match=f"^{message}"):
        y.backward(np.ones(2))
    assert x.grad is None


def test_what_record_is_given() -> None:
    x = leaf(1.0, 2.0)
    vjp = lambda g: (2 * g,)  # noqa: E731
    for inputs in (x, x.array, vjp, None):
        with pytest.raises(
            TypeError, match=r"record: the inputs of 'op' must be a tuple .* \(x,\)"
        ):
            record("op", x.array * 2, inputs, vjp)  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match="record: the result of 'op' must be an array, got a Tensor"
    ):
        record("op", x * 2, (x,), vjp)
    with pytest.raises(
        TypeError, match="record: the vjp of 'op' must be a function of g, got tuple"
    ):
        record("op", x.array * 2, (x,), (x.array,))  # type: ignore[arg-type]
    with minigrad.no_grad(), pytest.raises(TypeError, match="must be an array, got a Tensor"):
        record("op", x * 2, (x,), vjp)


@pytest.mark.slow
def test_no_op_of_ours_keeps_a_tensor() -> None:
    for sample in {s.case.name: s for s in SAMPLES if s.case.differentiable}.values():
        out = sample.run(minigrad, [Tensor(a, requires_grad=True) for a in sample.arrays()])
        stack = [y.node for y in (out if isinstance(out, tuple | list) else (out,))]
        while stack:
            node = stack.pop()
            if node is not None and node.vjp is not None:
                assert tensor_in(node.vjp) is None, f"{sample}: {node.name}"
                stack.extend(node.parents)
