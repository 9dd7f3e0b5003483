"""Lazy layers: they become ordinary ones with the first input, and say what to do before that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import nn

MADE = [
    (lambda n: n.LazyLinear(3), (2, 5, 4), nn.Linear),
    (lambda n: n.LazyLinear(3, bias=False), (4,), nn.Linear),
    (lambda n: n.LazyConv2d(4, 3, 2, 1, groups=2), (2, 6, 5, 5), nn.Conv2d),
    (lambda n: n.LazyConv2d(4, (3, 2), bias=False), (3, 5, 5), nn.Conv2d),
    (lambda n: n.LazyConv1d(4, 3, padding="same"), (2, 3, 5), nn.Conv1d),
    (lambda n: n.LazyConv1d(6, 3, 2, 1, 2, 3), (6, 7), nn.Conv1d),
    (lambda n: n.LazyConv3d(2, 2, bias=False), (1, 3, 4, 3, 3), nn.Conv3d),
    (lambda n: n.LazyConvTranspose1d(4, 3, 2), (2, 3, 5), nn.ConvTranspose1d),
    (lambda n: n.LazyConvTranspose2d(4, 3, 2, 1, 1, 2), (2, 6, 4, 5), nn.ConvTranspose2d),
    (lambda n: n.LazyConvTranspose2d(4, 3, 1, 0, 0, 1, False, 2), (3, 4, 5), nn.ConvTranspose2d),
    (lambda n: n.LazyConvTranspose3d(2, 2), (1, 3, 2, 2, 2), nn.ConvTranspose3d),
    (lambda n: n.LazyBatchNorm1d(), (4, 3), nn.BatchNorm1d),
    (lambda n: n.LazyBatchNorm1d(track_running_stats=False), (3, 2, 4), nn.BatchNorm1d),
    (lambda n: n.LazyBatchNorm3d(1e-3), (3, 2, 2, 2, 2), nn.BatchNorm3d),
    (lambda n: n.LazyBatchNorm2d(), (3, 2, 4, 4), nn.BatchNorm2d),
    (lambda n: n.LazyBatchNorm2d(affine=False, momentum=None), (3, 2, 4, 4), nn.BatchNorm2d),
]


@pytest.mark.parametrize(("make", "shape", "kind"), MADE)
def test_a_lazy_layer_becomes_what_pytorch_s_does(make: Any, shape: Any, kind: Any) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal(shape).astype("f4")
    theirs, ours = make(torch.nn), make(nn)
    parameters = list(ours.parameters())
    theirs(torch.from_numpy(x))
    ours(minigrad.tensor(x))
    assert type(ours) is kind and type(theirs).__name__ == kind.__name__
    assert [a is b for a, b in zip(ours.parameters(), parameters, strict=True)] == [True] * len(
        parameters
    )  # so what holds them has them still
    assert all(type(p) is nn.Parameter and p.requires_grad for p in parameters)
    state = {k: t.numpy() for k, t in theirs.state_dict().items()}
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
        (k, v.shape) for k, v in state.items()
    ]
    if issubclass(
        kind, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
    ):  # the first forward is the only one that moved statistics
        for key, value in ours.state_dict().items():
            np.testing.assert_allclose(value.array, state[key], rtol=1e-5, atol=1e-7)
    ours.load_state_dict(state)
    y, t = ours(minigrad.tensor(x)), theirs(torch.from_numpy(x))
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=1e-4, atol=1e-5)
    if y.requires_grad:
        y.sum().backward()
        assert all(p.grad is not None for p in parameters)


def test_use_before_the_first_input_is_refused() -> None:
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(),
                        nn.LazyLinear(2))  # fmt: skip
    for use in (
        lambda: net[0].weight + 1, lambda: net[4].weight.shape, lambda: net.state_dict(),
        lambda: net[1].weight.numel(), lambda: net[0].weight.double(),
        lambda: net.load_state_dict({"0.weight": minigrad.ones(4, 3, 3, 3)}, strict=False),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="an uninitialized parameter of a lazy layer was used"):
            use()
    assert "LazyLinear(in_features=0, out_features=2, bias=True)" in repr(net)
    assert repr(net[0].weight) == "<UninitializedParameter>"
    optimizer = minigrad.optim.SGD(net.parameters(), lr=0.1)  # which holds them, as in PyTorch
    loss = net(minigrad.randn(2, 3, 6, 6)).square().sum()
    before = net[4].weight.clone()
    loss.backward()
    optimizer.step()
    assert (net[4].weight != before).any()
    assert [type(m).__name__ for m in net] == [
        "Conv2d", "BatchNorm2d", "ReLU", "Flatten", "Linear"
    ]  # fmt: skip
    assert net[4].in_features == 4 * 4 * 4


def test_a_refused_input_leaves_the_layer_lazy() -> None:
    linear, conv, norm = nn.LazyLinear(2), nn.LazyConv2d(4, 3, groups=2), nn.LazyBatchNorm2d()
    for layer, x, text in (
        (linear, minigrad.tensor(1.0), "LazyLinear: expected an input of at least 1 axes"),
        (linear, [1.0], "LazyLinear: input must be a Tensor, got list"),
        (linear, minigrad.ones(3).double(), "linear: expected one dtype"),
        (conv, minigrad.ones(1, 3, 4, 4), "Conv2d: in_channels=3 does not divide into groups=2"),
        (conv, minigrad.ones(1, 2, 2, 4), "conv2d: the kernel"),
        (norm, minigrad.ones(1, 3, 1, 1), r"BatchNorm2d\(3\): one value per channel"),
    ):
        kind = type(layer)
        with pytest.raises((RuntimeError, TypeError, ValueError), match=text):
            layer(x)
        assert type(layer) is kind and "Uninitialized" in repr(list(layer.parameters()))


def test_what_is_said_before_the_first_input_holds_after_it() -> None:
    """A dtype, and which parameters are frozen; the statistics of batches go with the dtype."""
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6))
    nets = []
    for n, m in ((nn, minigrad), (torch.nn, torch)):
        net = n.Sequential(n.LazyConv2d(4, 3), n.LazyBatchNorm2d(), n.Flatten(), n.LazyLinear(2))
        net.to(m.float64)
        for p in net[0].parameters():  # PyTorch takes no net[0].requires_grad_(False) yet
            p.requires_grad = False
        net[3].bias.requires_grad = False
        assert [p.requires_grad for p in net.parameters()] == [False] * 2 + [True] * 3 + [False]
        net(m.from_numpy(x)).sum().backward()
        nets.append(net)
    ours, theirs = nets
    assert {str(t.dtype) for t in ours.buffers() if t.ndim} == {"float64"}
    for (name, p), (same, t) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert name == same and f"torch.{p.dtype}" == str(t.dtype)
        assert p.requires_grad == t.requires_grad and (p.grad is None) == (t.grad is None)
    lazy = nn.LazyLinear(2).requires_grad_(False)
    lazy.double().float()(minigrad.ones(1, 3))  # the last word counts
    assert lazy.weight.dtype == minigrad.float32 and not lazy.weight.requires_grad


def test_the_first_call_takes_what_the_others_take() -> None:
    layer = nn.LazyConvTranspose2d(2, 3, stride=2)
    with pytest.raises(ValueError, match="output_size must be from"):
        layer(minigrad.ones(1, 3, 2, 2), [9, 9])
    assert type(layer) is nn.LazyConvTranspose2d
    assert layer(minigrad.ones(1, 3, 2, 2), [6, 5]).shape == (1, 2, 6, 5)
