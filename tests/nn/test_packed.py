"""Sequences of several lengths, padded and packed, and what recurrent layers make of them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from recurrent_layers import compare, random

import minigrad
from minigrad import nn
from minigrad.autograd import gradcheck
from minigrad.nn.utils import rnn
from minigrad.ops import recurrent, sequences

KINDS = ("RNN", "RNN relu", "LSTM", "LSTM projected", "GRU")
UNSORTED, SORTED = [2, 5, 1, 3], [5, 3, 3, 1]


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def made(library: Any, kind: str, **options: Any) -> Any:
    name, _, more = kind.partition(" ")
    options |= {"relu": {"nonlinearity": "relu"}, "projected": {"proj_size": 2}}.get(more, {})
    return getattr(library.nn, name)(3, 4, **options)


@pytest.mark.slow
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_take_packed_sequences_as_torch_does(torch: Any, kind: str, single: bool) -> None:
    choices = itertools.product((1, 2), (False, True), (SORTED, UNSORTED), (False, True))
    for layers, bidirectional, lengths, with_states in choices:
        options = {"num_layers": layers, "bidirectional": bidirectional, "batch_first": True}
        theirs, ours = (made(m, kind, **options) for m in (torch, minigrad))
        arrays = [random(4, 6, 3)]  # one step is beyond all lengths
        if with_states:
            shape = (layers * (1 + bidirectional), 4)
            sizes = [2 if "projected" in kind else 4, 4][: 2 if "LSTM" in kind else 1]
            arrays += [random(*shape, size) for size in sizes]

        def run(layer: Any, utils: Any, x: Any, *states: Any, lengths: Any = lengths) -> Any:
            packed = utils.pack_padded_sequence(
                x, lengths, batch_first=True, enforce_sorted=lengths is SORTED
            )
            y, ends = layer(packed, states if len(states) > 1 else states[0] if states else None)
            return y, utils.pad_packed_sequence(y, batch_first=True, padding_value=7.0), ends

        compare(torch, theirs, ours, run, *arrays, single=single)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_projections_agree_with_torch(torch: Any) -> None:
    choices = itertools.product((1, 2), (False, True), (False, True), (False, True), (False, True))
    for layers, bidirectional, batch_first, bias, batched in choices:
        options = {"num_layers": layers, "bidirectional": bidirectional}
        options |= {"batch_first": batch_first, "bias": bias}
        theirs, ours = (made(m, "LSTM projected", **options) for m in (torch, minigrad))
        n, batch = layers * (1 + bidirectional), (2 if batch_first else 5,) if batched else ()
        x = random(2, 5, 3) if batched else random(5, 3)

        def run(layer: Any, _: Any, x: Any, *states: Any) -> Any:
            return layer(x), layer(x, states)

        states = random(n, *batch, 2), random(n, *batch, 4)
        compare(torch, theirs, ours, run, x, *states, single=not bias)


@pytest.mark.parametrize("kind", ["rnn tanh", "rnn relu", "lstm", "gru"])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_by_complex_step(kernels: str, kind: str, reverse: bool) -> None:
    """Of the padded outputs, too, where a state is kept."""
    blocks = {"lstm": 4, "gru": 3}.get(kind, 1)
    shapes = [(4, 3, 3), (3, 2)] + [(3, 2)] * (kind == "lstm")
    shapes += [(blocks * 2, 3), (blocks * 2, 2), (blocks * 2,), (blocks * 2,)]
    inputs = [minigrad.tensor(random(*s), requires_grad=True) for s in shapes]
    name, _, nonlinearity = kind.partition(" ")
    first = 3 if kind == "lstm" else 2

    def f(*values: Any) -> Any:
        given = [*values[:first], values[first:], *([nonlinearity] if nonlinearity else [])]
        return getattr(recurrent, name)(*given, reverse=reverse, sizes=[3, 2, 2, 1])

    assert gradcheck(f, inputs)


def test_padding_and_packing_are_each_others_gradient(kernels: str) -> None:
    x, sizes = minigrad.tensor(random(3, 4, 2), requires_grad=True), [4, 2, 1]
    data = minigrad.tensor(random(7, 2), requires_grad=True)
    assert gradcheck(lambda x: sequences.to_packed(x, sizes), [x])
    assert gradcheck(lambda x: sequences.to_padded(x, [*sizes, 0], 3.0), [data])
    parts = [minigrad.tensor(random(n, 2), requires_grad=True) for n in (3, 1, 0, 2)]
    for first, side in itertools.product((False, True), ("left", "right")):
        assert gradcheck(lambda *p, f=first, s=side: rnn.pad_sequence(p, f, 2.0, s), parts)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_packing_agrees_with_torch(torch: Any, shape: tuple[int, ...], dtype: Any) -> None:
    theirs = torch.nn.utils.rnn
    parts = [(10 * random(n, *shape)).astype(dtype) for n in UNSORTED]
    xs, ys = [torch.tensor(a) for a in parts], [minigrad.tensor(a) for a in parts]

    def same(got: Any, want: Any) -> None:
        if want is None or isinstance(want, int):
            assert got == want
        elif hasattr(want, "numpy"):
            assert got.dtype == want.numpy().dtype
            np.testing.assert_array_equal(got.numpy(), want.numpy())
        else:
            assert len(got) == len(want)
            for g, w in zip(got, want, strict=True):
                same(g, w)

    for first, side in itertools.product((False, True), ("left", "right")):
        same(rnn.pad_sequence(ys, first, 3, side), theirs.pad_sequence(xs, first, 3, side))
        same(rnn.pad_sequence(iter(ys), first), theirs.pad_sequence(iter(xs), first))
    packed, wanted = (
        m.pack_sequence(p, enforce_sorted=False) for m, p in ((rnn, ys), (theirs, xs))
    )
    same(packed, wanted)
    same(packed.sorted_indices, wanted.sorted_indices)
    same(rnn.unpack_sequence(packed), theirs.unpack_sequence(wanted))
    for first, total in itertools.product((False, True), (None, 5, 8)):
        options: dict[str, Any] = {"padding_value": 2, "total_length": total}
        got = rnn.pad_packed_sequence(packed, first, **options)
        want = theirs.pad_packed_sequence(wanted, first, **options)
        same(got, want)
        same(rnn.unpad_sequence(*got, first), theirs.unpad_sequence(*want, first))
    twice = rnn.PackedSequence((packed.data, packed.batch_sizes), sorted_indices=packed[2])
    same(twice, wanted)
    assert packed.double().data.dtype == np.float64 and packed.to(packed.data.dtype) is packed
    assert rnn.invert_permutation(None) is None


def test_padding_takes_no_part() -> None:
    """Neither work nor values: what stands beyond the lengths may be NaN."""
    layer = nn.LSTM(3, 4, bidirectional=True)
    x = minigrad.tensor(random(5, 4, 3).astype(np.float32))
    inside = np.arange(5)[:, None] < SORTED
    clean = minigrad.tensor(np.where(inside[..., None], x.array, 0))
    spoilt = minigrad.tensor(np.where(inside[..., None], x.array, np.nan))
    results = []
    for given in (clean, spoilt):
        layer.zero_grad()
        y, (h, c) = layer(rnn.pack_padded_sequence(given, SORTED))
        (y.data.sum() + h.sum() * 2 + c.sum()).backward()
        grads = [p.grad for p in layer.parameters()]
        results.append([t.detach().numpy() for t in (y.data, h, c, *grads) if t is not None])
    assert len(results[0]) == 3 + 8
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_classifier_of_names_learns() -> None:
    """Embedding, packed LSTM, the last states: of sequences that begin with 1, or do not."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 6, 32)
    words = rng.integers(1, 4, (32, 5))
    target = minigrad.tensor((words[:, 0] == 1).astype(np.float32))
    embed, layer, head = nn.Embedding(4, 4), nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 1)
    parameters = [p for m in (embed, layer, head) for p in m.parameters()]
    optimizer = minigrad.optim.Adam(parameters, 0.05)
    for _ in range(60):
        x = embed(minigrad.tensor(words))
        packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = layer(packed)
        loss = nn.functional.binary_cross_entropy_with_logits(head(h[-1])[:, 0], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05  # 0.6 before


X = minigrad.zeros(5, 4, 3)
PACKED = rnn.pack_padded_sequence(X, SORTED)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: rnn.pack_padded_sequence(X, UNSORTED), ValueError,
         r"pack_padded_sequence: lengths must be sorted, the longest first, got \[2, 5, 1, 3\]: "
         "pass enforce_sorted=False"),
        (lambda: rnn.pack_padded_sequence(X, [5, 4, 3]), ValueError, "must be 4 integers, one for"),
        (lambda: rnn.pack_padded_sequence(X, [5, 4, 3, 0]), ValueError, "must be from 1 to the"),
        (lambda: rnn.pack_padded_sequence(X, [6, 4, 3, 1]), ValueError, "must be from 1 to the"),
        (lambda: rnn.pack_padded_sequence(X, [5.0, 4, 3, 1]), ValueError, "must be 4 integers"),
        (lambda: rnn.pack_padded_sequence(X[0, 0], [3]), ValueError, r"expected an input \(T, N"),
        (lambda: rnn.pack_padded_sequence([1], [1]), TypeError, "input must be a Tensor, got list"),
        (lambda: rnn.pad_packed_sequence(X), TypeError, "sequence must be a PackedSequence, got T"),
        (lambda: rnn.pad_packed_sequence(PACKED, total_length=4), ValueError,
         "pad_packed_sequence: total_length must be at least the longest sequence's 5 steps, got"),
        (lambda: rnn.pad_packed_sequence(rnn.PackedSequence(X, PACKED.batch_sizes)), ValueError,
         r"fall from step to step and add up to its 5 elements, got \[4, 3, 3, 1, 1\]"),
        (lambda: rnn.PackedSequence(X), TypeError, "PackedSequence: batch_sizes is missing"),
        (lambda: rnn.pad_sequence([]), ValueError, "pad_sequence: expected at least one sequence"),
        (lambda: rnn.pad_sequence([X, X[0]]), ValueError,
         r"pad_sequence: sequence 1 has shape \(4, 3\), expected that of the first, \(5, 4, 3\)"),
        (lambda: rnn.pad_sequence([X], padding_side="up"), ValueError, "padding_side must be"),
        (lambda: rnn.unpad_sequence(X, [1]), ValueError, "lengths must be 4 integers"),
        (lambda: nn.GRU(3, 4)(rnn.pack_sequence([X])), ValueError,
         r"GRU: expected packed sequences of vectors, with data \(elements, I\), got shape \(5, 4"),
        (lambda: nn.GRU(2, 4)(PACKED), RuntimeError, "GRU: expected the input's last size to be"),
        (lambda: nn.GRU(3, 4)(PACKED, minigrad.zeros(1, 3, 4)), RuntimeError,
         r"GRU: h_0 has shape \(1, 3, 4\), expected \(layers·directions, N, H\) = \(1, 4, 4\)"),
        (lambda: nn.GRUCell(3, 4)(PACKED), TypeError, "packed sequences are for layers"),
    ],
)  # fmt: skip
def test_refusals(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_random_layers_states_and_lengths(torch: Any) -> None:
    """Deep and wide ones, one direction or two, on any threads, with states or without."""
    threads, torch_threads = minigrad.get_num_threads(), torch.get_num_threads()
    torch.set_num_threads(1)  # two libraries' pools wait for one another
    try:
        for seed in range(40):
            random_layer(torch, np.random.default_rng(seed))
    finally:
        minigrad.set_num_threads(threads)
        torch.set_num_threads(torch_threads)


def random_layer(torch: Any, rng: np.random.Generator) -> None:
    kind, single = str(rng.choice(["RNN", "LSTM", "GRU"])), bool(rng.random() < 0.5)
    size, hidden, samples, steps = (int(rng.integers(1, n)) for n in (20, 30, 40, 12))
    layers, ways, rows_first = int(rng.integers(1, 4)), rng.random() < 0.4, rng.random() < 0.5
    options = {"num_layers": layers, "bidirectional": bool(ways), "batch_first": bool(rows_first)}
    options["bias"] = bool(rng.random() < 0.7)
    if kind == "LSTM" and hidden > 1 and rng.random() < 0.4:
        options["proj_size"] = int(rng.integers(1, hidden))
    elif kind == "RNN":  # float32 may turn a relu where float64 does not
        options["nonlinearity"] = "tanh" if single or rng.random() < 0.5 else "relu"
    theirs, ours = (getattr(m.nn, kind)(size, hidden, **options) for m in (torch, minigrad))
    lengths = rng.integers(1, steps + 1, samples)
    lengths[rng.integers(samples)] = steps
    is_sorted, packed = bool(rng.random() < 0.5), rng.random() < 0.6
    lengths = np.sort(lengths)[::-1] if is_sorted else lengths
    arrays = [rng.standard_normal((samples, steps, size) if rows_first else (steps, samples, size))]
    if rng.random() < 0.7:
        sizes = [options.get("proj_size") or hidden, hidden][: 2 if kind == "LSTM" else 1]
        arrays += [rng.standard_normal((layers * (1 + ways), samples, n)) for n in sizes]

    def run(layer: Any, utils: Any, x: Any, *states: Any) -> Any:
        given = states if len(states) > 1 else states[0] if states else None
        if not packed:
            return layer(x, given)
        x = utils.pack_padded_sequence(x, lengths.tolist(), bool(rows_first), is_sorted)
        y, ends = layer(x, given)
        return utils.pad_packed_sequence(y, bool(rows_first))[0], ends

    minigrad.set_num_threads(int(rng.integers(1, 5)))
    with minigrad.use_kernels(str(rng.choice(["numba", "numpy"]))):
        compare(torch, theirs, ours, run, *arrays, single=single)
