"""Operands of any shapes that broadcast, made up by hypothesis, beside PyTorch: the results, and
the gradients, which are summed over the axes that were stretched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import minigrad

Call = Callable[..., Any]

OF_TWO: dict[str, Call] = {
    "add": lambda m, x, y: m.add(x, y, alpha=3),
    "mul": lambda m, x, y: m.mul(x, y),
    "div": lambda m, x, y: m.div(x, y),
    "maximum": lambda m, x, y: m.maximum(x, y),
    "atan2": lambda m, x, y: m.atan2(x, y),
    "huber_loss": lambda m, x, y: m.nn.functional.huber_loss(*m.broadcast_tensors(x, y)),
}
OF_THREE: dict[str, Call] = {
    "where": lambda m, x, y, z: m.where(x > 0, y, z),
    "lerp": lambda m, x, y, z: m.lerp(x, y, z),
    "addcmul": lambda m, x, y, z: m.addcmul(x, y, z, value=2),
    "stack": lambda m, x, y, z: m.stack(m.broadcast_tensors(x, y, z)),
}


def beside_pytorch(call: Call, shapes: Any, seed: int = 0) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.standard_normal(shape)) for shape in shapes]
    theirs = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    ours = [minigrad.from_numpy(a.copy()).requires_grad_() for a in arrays]
    expected, found = call(torch, *theirs), call(minigrad, *ours)
    assert found.shape == tuple(expected.shape)
    np.testing.assert_allclose(found.array, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    cotangent = rng.standard_normal(found.shape)
    expected.backward(torch.from_numpy(np.asarray(cotangent)))
    found.backward(minigrad.from_numpy(np.asarray(cotangent)))
    for x, t in zip(ours, theirs, strict=True):
        grads = [np.zeros(x.shape) if g is None else g.numpy() for g in (x.grad, t.grad)]
        np.testing.assert_allclose(*grads, rtol=1e-10, atol=1e-12)


def shapes_of(count: int) -> st.SearchStrategy[Any]:
    return npst.mutually_broadcastable_shapes(
        num_shapes=count, min_side=0, max_side=4, max_dims=4
    ).map(lambda found: found.input_shapes)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_TWO)
@given(shapes=shapes_of(2))
def test_two(name: str, shapes: Any) -> None:
    beside_pytorch(OF_TWO[name], shapes)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_THREE)
@given(shapes=shapes_of(3))
def test_three(name: str, shapes: Any) -> None:
    beside_pytorch(OF_THREE[name], shapes)


@given(
    found=npst.mutually_broadcastable_shapes(
        signature="(m?,n),(n,p?)->(m?,p?)", min_side=0, max_side=4, max_dims=3
    )
)
def test_matmul(kernels: str, found: Any) -> None:
    """Vectors, matrices and stacks of them."""
    beside_pytorch(lambda m, x, y: m.matmul(x, y), found.input_shapes)
