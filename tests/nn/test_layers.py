"""Layers, losses, initialisation and clipping: agreement with PyTorch, and refusals."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import nn


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


# Every layer: how to make it (the same call for both libraries) and an input's shape.
LAYERS = [
    (lambda n: n.Linear(3, 4), (5, 3)),
    (lambda n: n.Linear(3, 4, bias=False), (2, 5, 3)),
    (lambda n: n.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9)),
    (lambda n: n.Conv1d(4, 6, 2, padding="same", dilation=2), (4, 9)),
    (lambda n: n.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), bias=False), (2, 4, 7, 6)),
    (lambda n: n.Conv2d(4, 6, 3, padding="same", dilation=2, groups=2), (2, 4, 7, 6)),
    (lambda n: n.Conv2d(4, 6, 3, padding="valid"), (4, 7, 6)),
    (lambda n: n.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2), (2, 4, 3, 4)),
    (lambda n: n.ConvTranspose2d(4, 6, (2, 3), dilation=(1, 2), bias=False), (4, 3, 4)),
    (lambda n: n.ReLU(), (3, 4)),
    (lambda n: n.ReLU(inplace=True), (3, 4)),
    (lambda n: n.ReLU6(), (3, 4)),
    (lambda n: n.LeakyReLU(0.2), (3, 4)),
    (lambda n: n.ELU(0.5), (3, 4)),
    (lambda n: n.SELU(), (3, 4)),
    (lambda n: n.CELU(0.5), (3, 4)),
    (lambda n: n.GELU(), (3, 4)),
    (lambda n: n.GELU("tanh"), (3, 4)),
    (lambda n: n.SiLU(), (3, 4)),
    (lambda n: n.Mish(), (3, 4)),
    (lambda n: n.Sigmoid(), (3, 4)),
    (lambda n: n.Tanh(), (3, 4)),
    (lambda n: n.Softplus(2.0, 1.0), (3, 4)),
    (lambda n: n.LogSigmoid(), (3, 4)),
    (lambda n: n.Hardtanh(-0.5, 0.7), (3, 4)),
    (lambda n: n.Hardsigmoid(), (3, 4)),
    (lambda n: n.Hardswish(), (3, 4)),
    (lambda n: n.Softsign(), (3, 4)),
    (lambda n: n.PReLU(), (3, 4)),
    (lambda n: n.PReLU(4, 0.1), (3, 4, 2)),
    (lambda n: n.Softmax(dim=1), (3, 4)),
    (lambda n: n.LogSoftmax(dim=-1), (3, 4)),
    (lambda n: n.MaxPool1d(3, 2, 1), (2, 3, 8)),
    (lambda n: n.MaxPool2d(3, 2, 1, ceil_mode=True), (2, 3, 8, 7)),
    (lambda n: n.MaxPool2d((2, 3), dilation=(1, 2)), (2, 3, 8, 7)),
    (lambda n: n.AvgPool1d(3, 2, 1, count_include_pad=False), (2, 3, 8)),
    (lambda n: n.AvgPool2d(3, 2, 1, ceil_mode=True), (2, 3, 8, 7)),
    (lambda n: n.AvgPool2d((2, 3), divisor_override=5), (3, 8, 7)),
    (lambda n: n.AdaptiveAvgPool2d((3, None)), (2, 3, 8, 7)),
    (lambda n: n.AdaptiveMaxPool2d(3), (2, 3, 8, 7)),
    (lambda n: n.Flatten(), (2, 3, 4)),
    (lambda n: n.Flatten(0, 1), (2, 3, 4)),
    (lambda n: n.Unflatten(1, (2, -1)), (3, 6)),
    (lambda n: n.Identity(54, unused=1), (3, 4)),
    (lambda n: n.Dropout(0.3).eval(), (3, 4)),
    (lambda n: n.Dropout1d().eval(), (3, 4, 5)),
    (lambda n: n.Dropout2d(p=0.25, inplace=True).eval(), (3, 4, 5, 6)),
    (lambda n: n.Conv3d(4, 6, (2, 3, 2), (2, 1, 1), 1, groups=2), (2, 4, 5, 4, 3)),
    (lambda n: n.Conv3d(2, 3, 3, padding="same", dilation=2, bias=False), (2, 4, 5, 3)),
    (lambda n: n.Conv3d(2, 3, 2, padding=1, padding_mode="replicate"), (1, 2, 4, 3, 3)),
    (lambda n: n.MaxPool3d(2, 1, 1, ceil_mode=True), (2, 3, 4, 5, 3)),
    (lambda n: n.AvgPool3d((2, 1, 2), 2, (1, 0, 1), count_include_pad=False), (2, 3, 4, 5, 3)),
    (lambda n: n.AdaptiveAvgPool1d(3), (2, 3, 8)),
    (lambda n: n.AdaptiveAvgPool3d((2, None, 1)), (2, 3, 4, 5, 3)),
    (lambda n: n.AdaptiveMaxPool1d(3), (2, 3, 8)),
    (lambda n: n.AdaptiveMaxPool3d((2, None, 1)), (2, 3, 4, 5, 3)),
    (lambda n: n.RReLU(0.2, 0.4, inplace=True).eval(), (3, 4)),
    (lambda n: n.Dropout3d().eval(), (3, 4, 5, 6, 2)),
    (lambda n: n.LocalResponseNorm(3, alpha=0.5), (2, 5, 3, 2)),
    (lambda n: n.Unfold((2, 3), 1, (1, 0), 2), (2, 3, 5, 6)),
    (lambda n: n.Fold((4, 5), 2, stride=(1, 2)), (2, 8, 6)),
    (lambda n: n.PixelShuffle(2), (2, 8, 3, 2)),
    (lambda n: n.PixelUnshuffle(2), (2, 2, 4, 6)),
    (lambda n: n.Upsample((5, 3)), (2, 2, 4, 4)),
    (lambda n: n.Upsample(scale_factor=2), (2, 2, 4)),
    (lambda n: n.Upsample(scale_factor=(1.5, 2), mode="bilinear"), (2, 2, 4, 3)),
    (lambda n: n.Upsample(7, mode="linear", align_corners=True), (2, 2, 4)),
    (
        lambda n: n.Sequential(
            OrderedDict(
                fc=n.Linear(3, 4), body=n.Sequential(n.Tanh(), n.Sequential()), out=n.Linear(4, 2)
            )
        ),
        (5, 3),
    ),
]


def labels(cases: Any) -> list[str]:
    return [f"{make(nn)}".replace("\n", "")[:60] for make, *_ in cases]


def twins(torch: Any, make: Any) -> tuple[Any, Any]:
    """The same module from both libraries, float64, with the same random weights."""
    theirs, ours = make(torch.nn).double(), make(nn).double()
    ours.load_state_dict({name: t.numpy() for name, t in theirs.state_dict().items()})
    return theirs, ours


def pair(torch: Any, array: Any) -> tuple[Any, Any]:
    """A leaf of both libraries."""
    needs = array.dtype.kind == "f"
    mine = minigrad.tensor(array)
    return torch.from_numpy(array).requires_grad_(needs), mine.requires_grad_(needs)


def close(theirs: Any, ours: Any, rtol: float = 1e-10) -> None:
    assert tuple(theirs.shape) == ours.shape
    assert str(theirs.dtype) == f"torch.{ours.dtype}"
    np.testing.assert_allclose(ours.array, theirs.detach().numpy(), rtol=rtol, atol=1e-12)


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=labels(LAYERS))
def test_layers_agree_with_torch(torch: Any, make: Any, shape: tuple[int, ...]) -> None:
    fresh_theirs, fresh_ours = make(torch.nn), make(nn)
    assert repr(fresh_ours) == repr(fresh_theirs)
    assert [(k, v.shape, f"torch.{v.dtype}") for k, v in fresh_ours.state_dict().items()] == [
        (k, tuple(v.shape), str(v.dtype)) for k, v in fresh_theirs.state_dict().items()
    ]
    theirs, ours = twins(torch, make)
    rng = np.random.default_rng(1)
    x_theirs, x_ours = pair(torch, 2 * rng.standard_normal(shape))
    inplace = getattr(theirs, "inplace", False)
    y_theirs = theirs(x_theirs.clone() if inplace else x_theirs)
    y_ours = ours(x_ours)
    close(y_theirs, y_ours)
    g = rng.standard_normal(y_ours.shape)
    y_theirs.backward(torch.from_numpy(g))
    y_ours.backward(minigrad.from_numpy(g))
    # PyTorch's hardsigmoid multiplies by 1/6 in float32 whatever the dtype
    close(x_theirs.grad, x_ours.grad, 1e-7 if "Hardsigmoid" in repr(ours) else 1e-10)
    for (name, p), (other_name, q) in zip(
        theirs.named_parameters(), ours.named_parameters(), strict=True
    ):
        assert name == other_name
        close(p.grad, q.grad)


RNG = np.random.default_rng(2)
X, T = RNG.standard_normal((4, 3)), RNG.standard_normal((4, 3))
P, LABELS = RNG.uniform(0.1, 0.9, (4, 3)), np.array([2, 0, 1, 1])
LOGP = np.log(P / P.sum(axis=1, keepdims=True))
W = np.array([0.5, 1.0, 2.0])
LOSSES = [
    (lambda n, w: n.MSELoss(), X, T),
    (lambda n, w: n.MSELoss(reduction="none"), X, T),
    (lambda n, w: n.L1Loss(reduction="sum"), X, T),
    (lambda n, w: n.SmoothL1Loss(beta=0.5), X, T),
    (lambda n, w: n.HuberLoss(delta=0.5), X, T),
    (lambda n, w: n.BCELoss(w, reduction="sum"), P, (T > 0).astype(float)),
    (lambda n, w: n.BCEWithLogitsLoss(pos_weight=w), X, (T > 0).astype(float)),
    (lambda n, w: n.KLDivLoss(reduction="batchmean"), LOGP, P),
    (lambda n, w: n.KLDivLoss(reduction="sum", log_target=True), LOGP, LOGP[::-1].copy()),
    (lambda n, w: n.NLLLoss(w, ignore_index=0), LOGP, LABELS),
    (lambda n, w: n.CrossEntropyLoss(), X, LABELS),
    (lambda n, w: n.CrossEntropyLoss(w, label_smoothing=0.1), X, LABELS),
    (lambda n, w: n.CrossEntropyLoss(reduction="none", ignore_index=1), X, LABELS),
    (lambda n, w: n.CrossEntropyLoss(), X, np.exp(LOGP)),
]


@pytest.mark.parametrize(("make", "x", "target"), LOSSES)
def test_losses_agree_with_torch(torch: Any, make: Any, x: Any, target: Any) -> None:
    theirs, ours = make(torch.nn, torch.from_numpy(W)), make(nn, minigrad.tensor(W))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x_theirs, x_ours = pair(torch, x)
    y_theirs = theirs(x_theirs, torch.from_numpy(target))
    y_ours = ours(x_ours, minigrad.tensor(target))
    close(y_theirs, y_ours)
    g = np.asarray(RNG.standard_normal(y_ours.shape))
    y_theirs.backward(torch.from_numpy(g))
    y_ours.backward(minigrad.from_numpy(g))
    close(x_theirs.grad, x_ours.grad)


def test_embedding_agrees_with_torch(torch: Any) -> None:
    theirs, ours = twins(torch, lambda n: n.Embedding(5, 3, padding_idx=-1))
    assert repr(ours) == repr(theirs)
    assert not ours.weight.array[4].any()
    index, g = np.array([[0, 4], [2, 0]]), RNG.standard_normal((2, 2, 3))
    y_theirs, y_ours = theirs(torch.from_numpy(index)), ours(minigrad.tensor(index))
    close(y_theirs, y_ours)
    y_theirs.backward(torch.from_numpy(g))
    y_ours.backward(minigrad.from_numpy(g))
    close(theirs.weight.grad, ours.weight.grad)


def test_dropout_layers_drop_in_training_only() -> None:
    x = minigrad.ones(64, 32, 5, 5)
    for layer, whole_channels in ((nn.Dropout(0.25), False), (nn.Dropout2d(0.25), True)):
        y = layer(x).array
        assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
        assert abs((y == 0).mean() - 0.25) < 0.05
        whole = y.max(axis=(2, 3)) == y.min(axis=(2, 3))
        assert whole.all() == whole_channels
        assert layer.eval()(x) is x
    y = nn.Dropout1d(0.5)(minigrad.ones(50, 4, 6)).array
    assert 0 < (y == 0).mean() < 1
    assert (y.max(axis=-1) == y.min(axis=-1)).all()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: nn.Linear(0, 2), "Linear: in_features must be at least 1, got 0"),
        (lambda: nn.Linear(2, 2.0), "Linear: out_features must be an integer, got 2.0"),
        (lambda: nn.Conv2d(3, 4, 0), "Conv2d: kernel_size must be at least 1"),
        (lambda: nn.Conv2d(3, 4, (1, 2, 3)), "Conv2d: kernel_size must be an integer or 2"),
        (lambda: nn.Conv2d(3, 4, 1, groups=2), "in_channels=3 does not divide into groups=2"),
        (lambda: nn.Conv2d(2, 3, 1, groups=2), "out_channels=3 does not divide into groups=2"),
        (lambda: nn.Conv2d(2, 2, 3, 2, "same"), "padding='same' needs stride 1"),
        (lambda: nn.Conv2d(2, 2, 3, padding="full"), "'same', 'valid' or integers, got 'full'"),
        (lambda: nn.ConvTranspose2d(2, 2, 3, padding="same"), "padding must be integers"),
        (lambda: nn.Conv2d(2, 2, 3, padding_mode="mirror"), "'reflect'.*got 'mirror'"),
        (lambda: nn.MaxPool2d(2, padding=2), "at most half the kernel size"),
        (lambda: nn.AdaptiveAvgPool2d(0), "output_size must be at least 1"),
        (lambda: nn.Dropout(1.5), r"Dropout: p must be in \[0, 1\], got 1.5"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), "padding_idx must name one of the 3 rows"),
        (lambda: nn.GELU("fast"), "'none' or 'tanh', got 'fast'"),
        (lambda: nn.Hardtanh(1, 0), "expected min_val < max_val"),
        (lambda: nn.MSELoss(reduction="a"), "reduction must be 'mean', 'sum' or 'none', got 'a'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2), "label_smoothing must be in"),
        (lambda: nn.HuberLoss(delta=0), "delta must be above 0, got 0"),
    ],
)
def test_bad_arguments_are_refused(make: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        make()


# Initialisation.


@pytest.mark.parametrize(
    "make",
    [
        lambda n: n.Linear(400, 300),
        lambda n: n.Conv1d(64, 96, 5, groups=2),
        lambda n: n.Conv2d(32, 64, 5, groups=4),
        lambda n: n.ConvTranspose2d(32, 64, 5),
        lambda n: n.Embedding(300, 200),
    ],
)
def test_default_initialisation_is_distributed_as_torch(torch: Any, make: Any) -> None:
    torch.manual_seed(0)
    for theirs, ours in zip(make(torch.nn).parameters(), make(nn).parameters(), strict=True):
        a, b = theirs.detach().numpy(), ours.array
        bound = 6 * a.std() / math.sqrt(a.size)
        assert abs(a.mean()) < bound
        assert abs(b.mean()) < bound
        assert abs(b.std() / a.std() - 1) < 4 / math.sqrt(a.size)
        if a.ndim == 1 or a.ndim > 2:  # uniform: the same bounds
            assert abs(np.abs(b).max() / np.abs(a).max() - 1) < 0.05


FILLS = [
    ("uniform_", (-2, 3), {}),
    ("normal_", (1, 2), {}),
    ("trunc_normal_", (0.5, 1.5), {"a": -1, "b": 3}),
    ("constant_", (4,), {}),
    ("ones_", (), {}),
    ("zeros_", (), {}),
    ("xavier_uniform_", (2,), {}),
    ("xavier_normal_", (), {}),
    ("kaiming_uniform_", (), {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_uniform_", (0.3,), {}),
    ("kaiming_normal_", (), {"nonlinearity": "tanh"}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), FILLS)
def test_init_is_distributed_as_torch(torch: Any, name: str, args: Any, kwargs: Any) -> None:
    torch.manual_seed(0)
    a = getattr(torch.nn.init, name)(torch.empty(80, 60, 3), *args, **kwargs).numpy()
    p = nn.Parameter(minigrad.zeros(80, 60, 3))
    memory = p.array
    assert getattr(nn.init, name)(p, *args, **kwargs) is p
    assert p.array is memory
    assert p.is_leaf
    bounded = [] if name in ("normal_", "xavier_normal_", "kaiming_normal_") else [0, 1]
    points = [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, *bounded]
    spread = a.std() * 0.07 + 1e-12
    np.testing.assert_allclose(np.quantile(memory, points), np.quantile(a, points), atol=spread)


def test_init_of_matrices(torch: Any) -> None:
    for shape in ((5, 3), (3, 5), (4, 2, 3)):
        w = nn.init.orthogonal_(minigrad.zeros(*shape), gain=2).array.reshape(shape[0], -1)
        gram = w.T @ w if w.shape[0] > w.shape[1] else w @ w.T
        np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)
    np.testing.assert_array_equal(nn.init.eye_(minigrad.ones(2, 3)).array, np.eye(2, 3))
    for shape, groups in (((4, 2, 3, 3), 2), ((3, 5, 4), 1), ((6, 1, 1, 2, 3), 3), ((2, 0, 3), 1)):
        expected = torch.nn.init.dirac_(torch.ones(shape), groups).numpy()
        np.testing.assert_array_equal(nn.init.dirac_(minigrad.ones(shape), groups).array, expected)
    for args in (
        ("linear",),
        ("tanh",),
        ("relu",),
        ("leaky_relu", 0.2),
        ("leaky_relu",),
        ("selu",),
    ):
        assert nn.init.calculate_gain(*args) == torch.nn.init.calculate_gain(*args)


@pytest.mark.parametrize(
    ("fill", "error"),
    [
        (lambda w: nn.init.kaiming_uniform_(w, mode="fan"), "'fan_in' or 'fan_out', got 'fan'"),
        (lambda w: nn.init.kaiming_uniform_(w, nonlinearity="x"), "nonlinearity 'x' unknown"),
        (lambda w: nn.init.xavier_normal_(w[0]), r"at least 2 axes, got shape \(3,\)"),
        (lambda w: nn.init.eye_(w[0]), "expected a matrix"),
        (lambda w: nn.init.dirac_(w), "dirac_: expected a weight of 3 to 5 axes"),
        (lambda w: nn.init.dirac_(w[..., None], 5), "a multiple of 5 groups, got shape"),
        (lambda w: nn.init.dirac_(w[..., None], 0), "dirac_: groups must be at least 1"),
        (lambda w: nn.init.trunc_normal_(w, std=0), "std must be above 0, got 0"),
        (lambda w: nn.init.trunc_normal_(w, a=7, b=8), "within 4 std of the mean"),
        (lambda w: nn.init.uniform_(w, 1, 0), "a <= b"),
    ],
)
def test_init_refuses(fill: Any, error: str) -> None:
    w = minigrad.ones(2, 3)
    with pytest.raises(ValueError, match=error):
        fill(w)
    assert (w.array == 1).all()


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("bound", [0.5, 100.0])
def test_clip_grad_norm_agrees_with_torch(torch: Any, p: float, bound: float) -> None:
    gradients = [RNG.standard_normal(s) for s in ((3, 2), (4,))]
    theirs = [torch.zeros(*g.shape).double().requires_grad_() for g in gradients]
    ours = [minigrad.zeros(*g.shape).double().requires_grad_() for g in gradients]
    for t, o, g in zip(theirs, ours, gradients, strict=True):
        t.grad, o.grad = torch.tensor(g), minigrad.tensor(g)
    close(
        torch.nn.utils.clip_grad_norm_(theirs, bound, p),
        nn.utils.clip_grad_norm_([*ours, minigrad.ones(1)], bound, p),
    )
    for t, o in zip(theirs, ours, strict=True):
        close(t.grad, o.grad)


def test_clipping() -> None:
    p = minigrad.zeros(3, requires_grad=True)
    p.grad = minigrad.tensor([1.0, -5.0, math.nan])
    with pytest.raises(RuntimeError, match="norm of the gradients is nan; nothing was changed"):
        nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert p.grad.tolist()[:2] == [1.0, -5.0]
    p.grad = minigrad.tensor([1.0, -5.0, 9.0])
    nn.utils.clip_grad_value_(p, 2)
    assert p.grad.tolist() == [1.0, -2.0, 2.0]
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0
    for bad in ({"max_norm": -1}, {"max_norm": 1, "norm_type": 0}):
        with pytest.raises(ValueError, match="clip_grad_norm_"):
            nn.utils.clip_grad_norm_(p, **bad)


@pytest.mark.parametrize("name", ["clip_grad_norm_", "clip_grad_value_"])
def test_clipping_an_iterator_that_is_used_up_warns(name: str) -> None:
    net = nn.Linear(2, 2)
    net(minigrad.ones(1, 2)).sum().backward()
    clip = getattr(nn.utils, name)
    for iterator in (net.parameters(), iter(list(net.parameters()))):
        list(iterator)
        words = f"{name}: the iterator of parameters is empty"
        with pytest.warns(UserWarning, match=words) as caught:
            clip(iterator, 1e-3)
        assert caught[0].filename == __file__
    assert net.bias.grad.tolist() == [1, 1]
    clip([], 1e-3)  # a list says what it is
    clip(net.parameters(), 1e-3)
    assert max(net.bias.grad.tolist()) < 0.01
