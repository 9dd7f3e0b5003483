"""In-place forms of operations and of shapes, as methods and as functions, beside PyTorch's."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor
from minigrad.nn import functional as F
from minigrad.ops.methods_in_place import InPlace

torch = pytest.importorskip("torch")

# What comes after the tensor, made by the library m for the shape (3, 4); one number if it is not
# here, where the function must have one.
SECOND = lambda m, y: (y,)  # noqa: E731
BETWEEN = lambda m, y: (-0.5, 0.5)  # noqa: E731
OF_TWO = """
    add_ sub_ mul_ div_ remainder_ pow_ atan2_ hypot_ fmod_ copysign_ xlogy_ eq_ ne_ lt_ le_ gt_
    ge_ logical_and_ logical_or_ logical_xor_ nextafter_ ldexp_ arctan2_ subtract_ multiply_
    divide_ true_divide_ greater_ greater_equal_ less_ less_equal_ not_equal_ copy_
"""
ARGUMENTS: dict[str, Any] = {
    **dict.fromkeys(OF_TWO.split(), SECOND),
    **dict.fromkeys(["clamp_", "clip_", "threshold_"], BETWEEN),
    **dict.fromkeys(["addcmul_", "addcdiv_"], lambda m, y: (y, y + 1)),
    "lerp_": lambda m, y: (y, 0.3), "clamp_min_": lambda m, y: (0.1,),
    "clamp_max_": lambda m, y: (0.1,), "cumsum_": lambda m, y: (1,), "cumprod_": lambda m, y: (1,),
    "addmm_": lambda m, y: (y, y[:1].T @ y[:1]), "addmv_": lambda m, y: (y, y[0]),
    "addr_": lambda m, y: (y[:, 0], y[0]), "mvlgamma_": lambda m, y: (1,),
    "renorm_": lambda m, y: (2, 0, 1.0),
    "squeeze_": lambda m, y: (), "unsqueeze_": lambda m, y: (1,),
    "transpose_": lambda m, y: (0, 1), "swapaxes_": lambda m, y: (0, 1),
    "swapdims_": lambda m, y: (0, -1), "fill_diagonal_": lambda m, y: (7.0,),
    "fill_": lambda m, y: (2.0,), "requires_grad_": lambda m, y: (),
}  # fmt: skip
SHAPES = {"addmv_": (3,)}
# Of integers or of masks, random, of three axes, or with index arguments: tested where their ops
# are. floor_divide_, heaviside_ and float_power_ have no gradient in PyTorch, resize_ has none.
APART = (
    "bitwise", "index", "scatter", "masked", "put_", "uniform_", "normal_", "bernoulli_", "cauchy_",
    "geometric_", "exponential_", "random_", "dropout_", "rrelu_", "gcd_", "lcm_", "baddbmm_",
    "resize", "share_memory_", "log_normal_", "floor_divide_", "float_power_",
    "heaviside_",
)  # fmt: skip


def theirs_of(owner: Any, name: str) -> Any:
    """PyTorch's function; made of two, where PyTorch has no gradient of it."""
    if name.endswith(("sinh_", "cosh_", "tanh_")) and name.startswith("a"):
        f = getattr(torch, name[:-1])
        return lambda x: x.copy_(f(x.clone()))
    return getattr(owner, name)


def names() -> Iterator[tuple[str, Any, Any]]:
    for place, ours, theirs, known in (
        ("method", Tensor, torch.Tensor, vars(InPlace)),
        ("front", minigrad, torch, minigrad.__all__),
        ("F", F, torch.nn.functional, F.__all__),
    ):
        for name in known:
            if name.endswith("_") and name[0] != "_" and not any(a in name for a in APART):
                yield f"{place}-{name}", getattr(ours, name), theirs_of(theirs, name)


@pytest.mark.parametrize(("name", "ours", "theirs"), [pytest.param(*n, id=n[0]) for n in names()])
def test_as_in_pytorch(name: str, ours: Any, theirs: Any) -> None:
    """The values, the same tensor as the result, and the gradient through what it was before."""
    name, rng = name.partition("-")[2], np.random.default_rng(3)
    a = rng.uniform(0.2, 0.9, SHAPES.get(name, (3, 4)))
    a = a + 1.5 if name in ("acosh_", "arccosh_", "mvlgamma_") else a
    b = rng.uniform(0.2, 0.9, (3, 4)) if "pow" in name else rng.choice([0.3, 0.6, 1.2], (3, 4))
    a.flat[0] = b.flat[0]  # for comparisons
    results = []
    for m, change in ((minigrad, ours), (torch, theirs)):
        leaf = m.tensor(a, dtype=m.float64, requires_grad=True)
        x = leaf * 1
        y = change(x, *ARGUMENTS.get(name, lambda m, y: ())(m, m.tensor(b, dtype=m.float64)))
        assert y is x
        results.append([np.array(x.detach().numpy())])
        weights = m.arange(1, x.numel() + 1, dtype=m.float64).reshape(x.shape)
        (x * weights).sum().backward()
        results[-1].append(np.array(leaf.grad.numpy(force=True)))
    if name.startswith(("logical_", "nextafter_")):  # PyTorch gives the old values the gradient
        results[1][1][...] = 0
    for found, expected in zip(*results, strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, 1e-9, 1e-12)


@pytest.mark.parametrize("name", ["squeeze_", "unsqueeze_", "t_", "transpose_", "resize_"])
def test_shapes_change_without_gradients(name: str) -> None:
    args = {"unsqueeze_": (0,), "transpose_": (0, 1), "resize_": (2, 1)}.get(name, ())
    for m in (minigrad, torch):
        x = m.arange(3.0).reshape(1, 3).clone()
        assert getattr(x, name)(*args) is x
        if m is minigrad:
            ours = x
    assert ours.shape == tuple(x.shape) and ours.tolist() == x.tolist()
    leaf = minigrad.ones(1, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match=name):
        getattr(leaf, name)(*args)
    if name != "resize_":
        with minigrad.no_grad():
            getattr(leaf, name)(*args)
        (leaf * 2).sum().backward()
        assert leaf.grad is not None and leaf.grad.shape == leaf.shape


def test_a_view_that_changes_its_shape_stays_a_view() -> None:
    for m in (minigrad, torch):
        x = m.arange(6.0).reshape(2, 3).clone().requires_grad_()
        base = x * 1
        row = base[1]
        row.unsqueeze_(0)
        row.mul_(3.0)
        (base * base).sum().backward()
        assert row.shape == (1, 3) and base.tolist() == [[0, 1, 2], [9, 12, 15]]
        assert x.grad.tolist() == [[0, 2, 4], [54, 72, 90]]
        base.unsqueeze_(0)
        assert base.shape == (1, 2, 3)


def test_resize_keeps_the_elements() -> None:
    x = minigrad.arange(6)
    assert x.resize_(2, 2).tolist() == [[0, 1], [2, 3]]
    assert x.resize_(3, 3).flatten()[:4].tolist() == [0, 1, 2, 3]
    assert x.resize_as_(minigrad.zeros(2)).tolist() == [0, 1]
    with pytest.raises(RuntimeError, match="resize_: a view"):
        minigrad.arange(6)[1:].resize_(2)


def test_every_method_of_the_table_is_a_function() -> None:
    made = [n for n in vars(InPlace) if inspect.isfunction(getattr(InPlace, n))]
    assert len(made) > 100 and len(list(names())) > 150
