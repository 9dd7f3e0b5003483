"""What a hundred repositories' scripts name beside layers and ops, compared with PyTorch."""

from __future__ import annotations

import importlib
from collections import OrderedDict, defaultdict, namedtuple
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import autograd, nn
from minigrad.utils import _pytree

torch = pytest.importorskip("torch")

Pair = namedtuple("Pair", "first second")


# ---------------------------------------------------------------------------- autograd


def test_functional_is_a_module() -> None:
    module = importlib.import_module("minigrad.autograd.functional")
    assert module is autograd.functional
    assert sorted(module.__all__) == ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
    theirs = importlib.import_module("torch.autograd.functional")
    assert all(hasattr(theirs, name) for name in module.__all__)
    assert importlib.import_module("minigrad.autograd.function").Function is autograd.Function


def test_anomalies_are_looked_for_from_a_call_on() -> None:
    x = minigrad.tensor([0.0, 1.0], requires_grad=True)

    def step() -> None:
        (x.sqrt() * minigrad.tensor([0.0, 1.0])).sum().backward()  # 0 · inf

    step()
    autograd.set_detect_anomaly(True)
    try:
        with pytest.raises(RuntimeError, match=r"backward of 'sqrt' made a NaN .*step|'sqrt'"):
            step()
        with autograd.set_detect_anomaly(False):
            step()
        with pytest.raises(RuntimeError, match=r"'sqrt' made a NaN"):
            step()
        with autograd.set_detect_anomaly(True, check_nan=False):
            step()
    finally:
        autograd.set_detect_anomaly(False)
    step()
    with pytest.raises(RuntimeError, match=r"'sqrt' made a NaN"), autograd.set_detect_anomaly(True):
        step()
    step()
    assert minigrad.modes.watchers == 0


# ---------------------------------------------------------------------------- trees

TREES: list[Any] = [
    1, None, [], {}, [1, (2, {"b": 3, "a": [None, "x"]})], Pair(1, [2, Pair(3, 4)]),
    OrderedDict([("z", 1), ("a", (2,))]), defaultdict(list, {"k": [1, 2]}), {1, 2}, [[[]], ()],
]  # fmt: skip


@pytest.mark.parametrize("tree", TREES, ids=repr)
def test_trees(tree: Any) -> None:
    theirs = torch.utils._pytree
    leaves, spec = _pytree.tree_flatten(tree)
    assert leaves == theirs.tree_flatten(tree)[0] == _pytree.tree_leaves(tree)
    assert spec == _pytree.tree_structure(tree) and spec.num_leaves == len(leaves)
    for back in (_pytree.tree_unflatten(leaves, spec), _pytree.tree_map(lambda leaf: leaf, tree)):
        assert back == tree and type(back) is type(tree)
    assert _pytree.tree_map(str, tree) == theirs.tree_map(str, tree)
    for kind in (int, (int, str)):
        ours = _pytree.tree_map_only(kind, repr, tree)
        assert ours == theirs.tree_map_only(kind, repr, tree)
    flat = _pytree.tree_flatten(tree, is_leaf=lambda t: isinstance(t, tuple))[0]
    assert flat == theirs.tree_flatten(tree, is_leaf=lambda t: isinstance(t, tuple))[0]
    for name in ("tree_all", "tree_any"):
        args = (lambda leaf: leaf == 1, tree)
        assert getattr(_pytree, name)(*args) == getattr(theirs, name)(*args)


def test_trees_side_by_side() -> None:
    one, other = {"a": [1, 2], "b": (3,)}, {"a": [10, 20], "b": (30,)}
    assert _pytree.tree_map(lambda a, b: a + b, one, other) == {"a": [11, 22], "b": (33,)}
    with pytest.raises(ValueError, match=r"^tree_map: expected trees of one structure"):
        _pytree.tree_map(lambda a, b: a, one, {"a": [1], "b": (3,)})
    with pytest.raises(ValueError, match=r"^tree_unflatten: 1 leaves for a tree of 3"):
        _pytree.tree_unflatten([1], _pytree.tree_structure(one))


# ---------------------------------------------------------------------------- ops


def both(call: Any) -> tuple[Any, Any]:
    """What each library gives: the values, and the gradient of x."""
    results = []
    for m in (torch, minigrad):
        x = m.tensor([[0.5, -1.0, 2.0], [1.5, 3.0, -0.5]], dtype=m.float64, requires_grad=True)
        y = call(m, x)
        if y.requires_grad:
            (y * m.arange(1, y.numel() + 1).reshape(y.shape)).sum().backward()
        results.append((str(y.dtype).split(".")[-1], y, x.grad))
    (kind, y, grad), (own, ours, dx) = results
    assert kind == own and tuple(y.shape) == tuple(ours.shape) and (grad is None) == (dx is None)
    np.testing.assert_allclose(ours.detach().numpy(), y.detach().numpy(), rtol=1e-12, atol=1e-12)
    if grad is not None:
        np.testing.assert_allclose(dx.numpy(), grad.numpy(), rtol=1e-10, atol=1e-12)
    return results[1][1:]


@pytest.mark.parametrize("kind", ["int64", "float32", "bool"])
@pytest.mark.parametrize(
    ("equation", "shape"),
    [("ij,k->ijk", (4,)), ("ij,ij->ij", (2, 3)), ("ij,j->ij", (3,)), ("i j, -> j i", ()),
     ("ij,kl->ikjl", (2, 2)), ("ij,i->ji", (1,))],
)  # fmt: skip
def test_einsum_without_a_sum_takes_two_dtypes(equation: str, shape: Any, kind: str) -> None:
    def call(m: Any, x: Any) -> Any:
        other = m.arange(int(np.prod(shape))).reshape(shape).to(getattr(m, kind))
        return m.einsum(equation, x, other)

    both(call)


def test_einsum_with_a_sum_does_not() -> None:
    for m in (torch, minigrad):
        with pytest.raises(RuntimeError):
            m.einsum("ij,j->i", m.ones(2, 3), m.arange(3))


@pytest.mark.filterwarnings("ignore")  # PyTorch warns of no degrees of freedom
@pytest.mark.parametrize("correction", [0, 1, 1.5, 2, 3, 4, 7])
@pytest.mark.parametrize("op", ["var", "std"])
@pytest.mark.parametrize("dim", [0, 1, (0, 1)])
def test_the_slope_of_a_variance_with_any_correction(op: str, dim: Any, correction: Any) -> None:
    both(lambda m, x: getattr(m, op)(x, dim=dim, correction=correction))


@pytest.mark.parametrize("op", ["any", "all"])
def test_any_and_all_over_no_axes(op: str) -> None:
    for dim in ((), []):
        both(lambda m, x, dim=dim: getattr(m, op)(x.detach().round(), dim=dim))
        both(lambda m, x, dim=dim: getattr(m, op)(m.tensor([0, 3]).to(m.uint8), dim, True))


def test_detach_is_a_function_too() -> None:
    both(lambda m, x: m.detach(x))
    x = minigrad.ones(2)
    assert minigrad.detach(x).array is x.array
    with pytest.raises(TypeError, match="detach: input must be a tensor, got list"):
        minigrad.detach([1.0])


def test_an_optimiser_of_ones_own_with_the_mark_required() -> None:
    from minigrad.optim.optimizer import Optimizer, required

    class Halving(Optimizer):
        def __init__(self, params: Any, lr: Any = required) -> None:
            if lr is not required and lr < 0:
                raise ValueError(lr)
            super().__init__(params, {"lr": lr})

    layer = nn.Linear(1, 1)
    assert Halving(layer.parameters(), 0.5).param_groups[0]["lr"] == 0.5
