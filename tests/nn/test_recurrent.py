"""Recurrent layers and cells: agreement with PyTorch, their derivations, and refusals."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import recurrent_layers

import minigrad
from minigrad import nn
from minigrad.autograd import gradcheck
from minigrad.ops import recurrent

KINDS = ("RNN", "RNN relu", "LSTM", "GRU")


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def made(n: Any, kind: str, *sizes: int, **options: Any) -> Any:
    name, _, nonlinearity = kind.partition(" ")
    if nonlinearity:
        options["nonlinearity"] = nonlinearity
    return getattr(n, name)(*sizes, **options)


def compare(torch: Any, theirs: Any, ours: Any, arrays: list[Any], single: bool = False) -> None:
    """The states are passed in PyTorch's order after the input, if any."""

    def run(layer: Any, _: Any, x: Any, *states: Any) -> Any:
        if not states:
            return layer(x)
        return layer(x, states if len(states) == 2 else states[0])

    recurrent_layers.compare(torch, theirs, ours, run, *arrays, single=single)


@pytest.mark.slow
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_agree_with_torch(torch: Any, kind: str, single: bool) -> None:
    rng = np.random.default_rng(1)
    choices = itertools.product((1, 2), (False, True), (False, True), (False, True))
    for layers, batch_first, bidirectional, bias in choices:
        options = {"num_layers": layers, "batch_first": batch_first, "bias": bias}
        options["bidirectional"] = bidirectional
        x = rng.standard_normal((2, 5, 3))
        n = 2 if batch_first else 5
        states = rng.standard_normal((2, layers * (1 + bidirectional), n, 4))
        arrays = [x, *states[: 2 if kind == "LSTM" else 1]]
        for given in (arrays, arrays[:1], [a[:, 0] if a is not x else x[0] for a in arrays]):
            theirs, ours = (made(m.nn, kind, 3, 4, **options) for m in (torch, minigrad))
            compare(torch, theirs, ours, given, single)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (1, 3), (3, 0)])
def test_edge_shapes(torch: Any, kind: str, steps: int, batch: int) -> None:
    x = np.random.default_rng(1).standard_normal((steps, batch, 2))
    theirs, ours = (made(m.nn, kind, 2, 1, bidirectional=True) for m in (torch, minigrad))
    compare(torch, theirs, ours, [x])


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("kind", ["RNNCell", "RNNCell relu", "LSTMCell", "GRUCell"])
def test_cells_agree_with_torch(torch: Any, kind: str, single: bool) -> None:
    rng = np.random.default_rng(1)
    for bias, shape in itertools.product((True, False), ((3, 2), (0, 2), (2,))):
        x = rng.standard_normal(shape)
        states = rng.standard_normal((2, *shape[:-1], 4))[: 2 if kind == "LSTMCell" else 1]
        for given in ([x, *states], [x]):
            theirs, ours = (made(m.nn, kind, 2, 4, bias=bias) for m in (torch, minigrad))
            compare(torch, theirs, ours, given, single)


@pytest.mark.parametrize("kind", ["rnn tanh", "rnn relu", "lstm", "gru"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_gradients_by_complex_step(kernels: str, kind: str, reverse: bool, biased: bool) -> None:
    rng = np.random.default_rng(2)
    blocks = {"lstm": 4, "gru": 3}.get(kind, 1)
    shapes = [(4, 2, 3), (2, 2)] + [(2, 2)] * (kind == "lstm")
    shapes += [(blocks * 2, 3), (blocks * 2, 2)] + [(blocks * 2,)] * (2 * biased)
    inputs = [minigrad.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes]
    name, _, nonlinearity = kind.partition(" ")
    first = 3 if kind == "lstm" else 2

    def f(*values: Any) -> Any:
        given = [*values[:first], values[first:], *([nonlinearity] if nonlinearity else [])]
        return getattr(recurrent, name)(*given, reverse=reverse)

    assert gradcheck(f, inputs)
    for i in range(len(inputs)):  # each alone: the others are not computed, and not needed
        alone = [x if k == i else x.detach() for k, x in enumerate(inputs)]
        assert gradcheck(f, alone)


def test_second_derivatives(torch: Any) -> None:
    """A Hessian-vector product through a layer, one with respect to what comes after it too."""
    rng = np.random.default_rng(4)
    x, v = rng.standard_normal((3, 2, 2)), rng.standard_normal((3, 2, 2))
    for kind in KINDS:
        theirs, ours = (made(m.nn, kind, 2, 3).double() for m in (torch, minigrad))
        ours.load_state_dict({name: t.numpy() for name, t in theirs.state_dict().items()})
        _, want = torch.autograd.functional.hvp(
            lambda x, f=theirs: (f(x)[0] ** 3).sum(), torch.from_numpy(x), torch.from_numpy(v)
        )
        _, got = minigrad.autograd.functional.hvp(
            lambda x, f=ours: (f(x)[0] ** 3).sum(), minigrad.tensor(x), minigrad.tensor(v)
        )
        np.testing.assert_allclose(got.array, want.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_no_value_is_too_large_and_nan_stays_in_its_row(torch: Any, kind: str) -> None:
    x = np.random.default_rng(5).standard_normal((4, 3, 2)).astype("f4")
    x[1, 0], x[2, 1] = 1e30, np.nan
    theirs, ours = (made(m.nn, kind, 2, 3) for m in (torch, minigrad))
    ours.load_state_dict({name: t.numpy() for name, t in theirs.state_dict().items()})
    want = theirs(torch.from_numpy(x))[0].detach().numpy()
    got = ours(minigrad.tensor(x))[0].detach().numpy()
    assert np.isnan(want[2:, 1]).all() and not np.isnan(got[:, 2]).any()
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_initial_weights_are_uniform_and_the_state_is_reproducible() -> None:
    layer = nn.LSTM(30, 25, 2)
    values = np.concatenate([p.detach().numpy().ravel() for p in layer.parameters()])
    bound = 1 / 5
    assert np.abs(values).max() <= bound and values.std() == pytest.approx(bound / 3**0.5, rel=0.02)
    minigrad.manual_seed(7)
    first = nn.GRU(3, 4).weight_hh_l0.array.copy()
    minigrad.manual_seed(7)
    np.testing.assert_array_equal(nn.GRU(3, 4).weight_hh_l0.array, first)


def test_dropout_acts_between_layers_in_training_only() -> None:
    layer = nn.GRU(3, 16, 2, dropout=0.5)
    x = minigrad.randn(5, 8, 3)
    one, two = layer(x)[0].array, layer(x)[0].array
    assert (one != two).any()
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].array, layer(x)[0].array)
    full = nn.GRU(3, 16, 2, dropout=1.0)  # the second layer sees zeros
    zeros = minigrad.zeros(5, 8, 16)
    upper = nn.GRU(16, 16)
    upper.load_state_dict(
        {k.replace("l1", "l0"): v for k, v in full.state_dict().items() if "l1" in k}
    )
    np.testing.assert_array_equal(full(x)[0].array, upper(zeros)[0].array)
    with pytest.warns(UserWarning, match="GRU: dropout=0.5 acts between layers, and there is one"):
        nn.GRU(3, 4, dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.GRU(3, 4, num_layers=2, dropout=0.5)


def test_a_layer_learns() -> None:
    """The sign of the first input, which the last output is to remember."""
    for kind in ("LSTM", "GRU"):
        minigrad.manual_seed(1)
        layer, head = made(nn, kind, 1, 8, batch_first=True), nn.Linear(8, 1)
        optimizer = minigrad.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.05)
        for _ in range(150):
            x = minigrad.randn(32, 4, 1)
            target = (x[:, 0] > 0).float()
            loss = nn.functional.binary_cross_entropy_with_logits(head(layer(x)[0][:, -1]), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss.item() < 0.2, kind


LAYER, CELL = nn.LSTM(3, 4), nn.GRUCell(3, 4)
X = minigrad.zeros(5, 2, 3)


class PackedSequence:
    """Stands for PyTorch's."""


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.LSTM(3, 4, proj_size=4), ValueError,
         "LSTM: proj_size must be below hidden_size=4, got 4"),
        (lambda: nn.LSTM(0, 4), ValueError, "LSTM: input_size must be at least 1, got 0"),
        (lambda: nn.GRU(3, 4, 2, 1), TypeError, "GRU: bias must be True or False, got 1"),
        (lambda: nn.GRU(3, 4, 2, dropout=2.0), ValueError, r"dropout must be in \[0, 1\]"),
        (lambda: nn.RNN(3, 4, nonlinearity="elu"), ValueError,
         "RNN: nonlinearity must be 'tanh' or 'relu', got 'elu'"),
        (lambda: nn.RNNCell(3, 4, nonlinearity="elu"), ValueError, "RNNCell: nonlinearity must be"),
        (lambda: LAYER(PackedSequence()), TypeError,
         "LSTM: input must be a Tensor, got PackedSequence: packed sequences are for layers, and "
         "come from nn.utils.rnn"),
        (lambda: LAYER(X[0, 0]), ValueError,
         r"LSTM: expected an input \(T, N, I\) or \(T, I\), got shape \(3,\)"),
        (lambda: LAYER(X[:0]), RuntimeError, "LSTM: expected a sequence of at least one step"),
        (lambda: LAYER(minigrad.zeros(5, 2, 4)), RuntimeError, "last size to be input_size=3"),
        (lambda: LAYER(X.double()), ValueError,
         r"dtype float32, got float64: use x.to\(minigrad.float32\)"),
        (lambda: LAYER(X, X), TypeError, r"LSTM: hx must be a pair \(h_0, c_0\), got Tensor"),
        (lambda: LAYER(X, (X,)), ValueError, r"LSTM: hx must be a pair \(h_0, c_0\), got 1 of"),
        (lambda: LAYER(X, (minigrad.zeros(1, 2, 4), minigrad.zeros(1, 2, 3))), RuntimeError,
         r"LSTM: c_0 has shape \(1, 2, 3\), expected \(layers·directions, N, H\) = \(1, 2, 4\)"),
        (lambda: nn.GRU(3, 4)(X, minigrad.zeros(1, 2, 4).double()), RuntimeError,
         "gru: expected one dtype, got input float32, h_0 float64"),
        (lambda: CELL(X), ValueError, r"GRUCell: expected an input \(N, I\) or \(I,\), got shape"),
        (lambda: CELL(X[0], minigrad.zeros(3, 4)), RuntimeError,
         r"GRUCell: h_0 has shape \(3, 4\), expected \(N, H\) = \(2, 4\)"),
        (lambda: CELL(X[0], 1), TypeError, "GRUCell: h_0 must be a Tensor, got int"),
    ],
)  # fmt: skip
def test_refusals(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
