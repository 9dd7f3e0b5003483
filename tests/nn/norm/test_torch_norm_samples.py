"""PyTorch's own samples for normalisation functions and modules, in both of their modes."""

from __future__ import annotations

import sys
import types
import unittest
import warnings
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, nn
from minigrad.nn import functional as F

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

FUNCTIONS = ["batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"]
MODULES = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LayerNorm", "GroupNorm", "InstanceNorm1d",
    "InstanceNorm2d", "RMSNorm",
]  # fmt: skip
TOLERANCE = {"f4": {"rtol": 1e-4, "atol": 1e-4}, "f8": {"rtol": 1e-10, "atol": 1e-10}}


@pytest.fixture(scope="module")
def databases() -> Any:
    """op_db and module_db. They import expecttest, of which they use a base class only."""
    if "expecttest" not in sys.modules:
        stand_in: Any = types.ModuleType("expecttest")
        stand_in.TestCase = unittest.TestCase
        sys.modules["expecttest"] = stand_in
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, about what it imports
        try:
            from torch.testing._internal.common_methods_invocations import op_db
            from torch.testing._internal.common_modules import module_db
        except ImportError as error:  # they are not public, and may need what is not installed
            pytest.skip(f"PyTorch's samples cannot be imported: {error}")
    return op_db, module_db


def ours(value: Any) -> Any:
    """PyTorch's tensors as ours, sharing nothing."""
    if isinstance(value, torch.Tensor):
        return Tensor(value.detach().numpy().copy(), requires_grad=value.requires_grad)
    if isinstance(value, tuple | list):
        return type(value)(ours(v) for v in value)
    return value


def agree(found: Tensor, expected: Any, dtype: str, slack: float = 1.0) -> None:
    assert found.shape == tuple(expected.shape)
    tolerance = {k: v * slack for k, v in TOLERANCE[dtype].items()}
    np.testing.assert_allclose(found.array, expected.detach().numpy(), **tolerance)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_functions(databases: Any, kernels: str, name: str, dtype: str) -> None:
    kind = {"f4": torch.float32, "f8": torch.float64}[dtype]
    op = next(op for op in databases[0] if op.name == f"nn.functional.{name}")
    rng = np.random.default_rng(0)
    seen = 0
    for sample in op.sample_inputs("cpu", kind, requires_grad=True):
        theirs = [sample.input, *sample.args]
        named = sample.kwargs
        for b in [*theirs, *named.values()]:  # which samples share
            if isinstance(b, torch.Tensor):
                b.grad = None
        mine, mine_named = [ours(v) for v in theirs], {k: ours(v) for k, v in named.items()}
        z = getattr(torch.nn.functional, name)(*theirs, **named)
        y = getattr(F, name)(*mine, **mine_named)
        agree(y, z, dtype)
        g = rng.standard_normal(y.shape).astype(dtype)
        z.backward(torch.from_numpy(g))
        y.backward(Tensor(g))
        pairs = [*zip(mine, theirs, strict=True), *((mine_named[k], named[k]) for k in named)]
        for a, b in pairs:
            if isinstance(a, Tensor) and b.requires_grad:
                # a gradient may be None in PyTorch where it is 0
                expected = torch.zeros_like(b) if b.grad is None else b.grad
                agree(a.grad if a.grad is not None else Tensor(np.zeros(a.shape, dtype)),
                      expected, dtype, 10)  # fmt: skip
            elif isinstance(a, Tensor):  # running statistics
                agree(a, b, dtype)
        seen += 1
    assert seen >= 6


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", MODULES)
def test_modules(databases: Any, kernels: str, name: str, dtype: str, training: bool) -> None:
    """Outputs, gradients and running statistics over three training steps and an evaluation."""
    kind = {"f4": torch.float32, "f8": torch.float64}[dtype]
    info = next(m for m in databases[1] if m.module_cls.__name__ == name)
    samples = info.module_inputs_func(
        info, device="cpu", dtype=kind, requires_grad=True, training=training
    )
    rng = np.random.default_rng(0)
    seen = 0
    for sample in samples:
        make = sample.constructor_input
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # momentum=0.8: did you mean decay=?
            layer = getattr(nn, name)(*make.args, **make.kwargs)
        reference = getattr(torch.nn, name)(*make.args, **make.kwargs).to(kind)
        layer.to(np.dtype(dtype))
        for p, q in zip(layer.parameters(), reference.parameters(), strict=True):
            p.array[...] = rng.standard_normal(p.shape)
            q.data.copy_(torch.from_numpy(p.array))
        (given,) = sample.forward_input.args
        for mode in [training] * 3 + [False]:
            layer.train(mode)
            reference.train(mode)
            x = (given.detach().numpy() + rng.standard_normal(given.shape)).astype(dtype)
            g = rng.standard_normal(x.shape).astype(dtype)
            a, b = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
            y, z = layer(a), reference(b)
            agree(y, z, dtype)
            y.backward(Tensor(g))
            z.backward(torch.from_numpy(g))
            agree(a.grad, b.grad, dtype)
            for p, q in zip(layer.parameters(), reference.parameters(), strict=True):
                agree(p.grad, q.grad, dtype, 10)
            if x.size:  # with an empty batch PyTorch counts and divides: see the README
                for key, value in reference.state_dict().items():
                    agree(layer.state_dict()[key], value, dtype)
        seen += 1
    assert seen >= 6


REFUSED = {  # what PyTorch refuses, and which of its arguments we name
    "one running statistic": ("running_mean", lambda F, t: F.batch_norm(
        t(4, 3), t(3), None, training=True)),
    "the other": ("running_mean", lambda F, t: F.instance_norm(t(4, 3, 2), None, t(3))),
    "dtype of statistics": ("running_mean", lambda F, t: F.batch_norm(
        t(4, 3), t(3).double(), t(3).double())),
    "dtype of one": ("running_var", lambda F, t: F.batch_norm(t(4, 3), t(3), t(3).double())),
    "dtype of weight": ("weight", lambda F, t: F.batch_norm(
        t(4, 3), None, None, t(3).double(), training=True)),
    "integer input": ("floating", lambda F, t: F.batch_norm(
        t(4, 3).long(), None, None, training=True)),
    "shape of weight": ("weight", lambda F, t: F.batch_norm(
        t(4, 3), None, None, t(1), training=True)),
    "shape of bias": ("bias", lambda F, t: F.batch_norm(
        t(4, 3), None, None, t(3), t(4), training=True)),
    "shape of statistics": ("running_mean", lambda F, t: F.batch_norm(t(4, 3), t(1, 3), t(1, 3))),
    "gradient of statistics": ("running_mean", lambda F, t: F.batch_norm(
        t(4, 3), t(3).requires_grad_(), t(3))),
    "negative eps": ("eps", lambda F, t: F.batch_norm(t(4, 3), t(3), t(3), eps=-1.0)),
    "eps None": ("eps", lambda F, t: F.batch_norm(t(4, 3), t(3), t(3), eps=None)),
    "momentum None": ("momentum", lambda F, t: F.batch_norm(
        t(4, 3), t(3), t(3), training=True, momentum=None)),
    "a list": ("input", lambda F, t: F.batch_norm([[1.0], [2.0]], t(1), t(1))),
    "a list for weight": ("weight", lambda F, t: F.batch_norm(
        t(4, 3), t(3), t(3), [1.0, 1.0, 1.0])),
    "one axis": (r"\(N, C", lambda F, t: F.batch_norm(t(3), t(3), t(3))),
    "one value": ("one value", lambda F, t: F.batch_norm(t(1, 3, 1), None, None, training=True)),
    "one value per sample": ("one value", lambda F, t: F.instance_norm(t(4, 3, 1))),
    "two axes": ("one value", lambda F, t: F.instance_norm(t(4, 3))),
    "no statistics": ("running_mean", lambda F, t: F.instance_norm(
        t(4, 3, 2), use_input_stats=False)),
    "groups": ("groups", lambda F, t: F.group_norm(t(4, 3), 2)),
    "no groups": ("groups", lambda F, t: F.group_norm(t(4, 3), 0)),
    "negative groups": ("groups", lambda F, t: F.group_norm(t(4, 3), -1)),
    "one value per group": ("one value", lambda F, t: F.group_norm(t(1, 3), 3)),
    "group weight": ("weight", lambda F, t: F.group_norm(t(4, 3), 1, t(2))),
    "group of a vector": (r"\(N, C", lambda F, t: F.group_norm(t(3), 1)),
    "shape to normalise": ("normalized_shape", lambda F, t: F.layer_norm(t(4, 3), (4,))),
    "no shape": ("normalized_shape", lambda F, t: F.layer_norm(t(4, 3), ())),
    "a fraction": ("normalized_shape", lambda F, t: F.layer_norm(t(4, 3), (3.0,))),
    "layer weight": ("weight", lambda F, t: F.layer_norm(t(4, 3), (3,), t(4))),
    "layer dtype": ("weight", lambda F, t: F.layer_norm(t(4, 3), (3,), t(3).double())),
    "layer integers": ("floating", lambda F, t: F.layer_norm(t(4, 3).long(), (3,))),
    "layer list": ("input", lambda F, t: F.layer_norm([1.0, 2.0], (2,))),
    "rms shape": ("normalized_shape", lambda F, t: F.rms_norm(t(4, 3), (2,))),
    "rms integers": ("floating", lambda F, t: F.rms_norm(t(4, 3).long(), (3,))),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_pytorch_refuses_is_refused_by_name(case: str) -> None:
    words, call = REFUSED[case]
    with pytest.raises(Exception):  # noqa: B017  any error of PyTorch's
        call(torch.nn.functional, torch.ones)
    with pytest.raises((ValueError, TypeError, RuntimeError), match=words) as caught:
        call(F, minigrad.ones)
    assert "_norm" in str(caught.value)


TAKEN = {  # odd, but PyTorch takes it
    "no samples": lambda F, t: F.batch_norm(t(0, 3), t(3), t(3), training=True),
    "no channels": lambda F, t: F.batch_norm(t(4, 0), t(0), t(0), training=True),
    "nothing": lambda F, t: F.batch_norm(t(0), t(0), t(0), training=True),
    "momentum 2": lambda F, t: F.batch_norm(t(4, 3), t(3), t(3), training=True, momentum=2.0),
    "groups of one value": lambda F, t: F.group_norm(t(2, 3), 3),
    "no groups at all": lambda F, t: F.group_norm(t(2, 0, 2), 2),
    "empty maps": lambda F, t: F.group_norm(t(2, 4, 0), 2),
    "instances without": lambda F, t: F.instance_norm(t(0, 3, 4)),
    "instance statistics": lambda F, t: F.instance_norm(
        t(2, 3, 1), t(3), t(3), use_input_stats=False),
    "rows of one": lambda F, t: F.layer_norm(t(4, 1), (1,)),
    "rows of none": lambda F, t: F.layer_norm(t(4, 0), (0,)),
    "no rows": lambda F, t: F.layer_norm(t(0, 4), (4,)),
    "bias alone": lambda F, t: F.layer_norm(t(4, 3), (3,), None, t(3)),
    "rms of none": lambda F, t: F.rms_norm(t(4, 0), (0,)),
}  # fmt: skip


@pytest.mark.parametrize("case", TAKEN)
def test_what_pytorch_takes(kernels: str, case: str) -> None:
    expected = TAKEN[case](torch.nn.functional, torch.ones)
    found = TAKEN[case](F, minigrad.ones)
    assert found.shape == tuple(expected.shape)
    np.testing.assert_allclose(found.array, expected.numpy(), atol=1e-6)
