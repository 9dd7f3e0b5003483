"""Attention and transformers: agreement with PyTorch, masks, dropout, refusals."""

from __future__ import annotations

import importlib
import itertools
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import nn
from minigrad.autograd import gradcheck
from minigrad.nn import functional as F


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def twins(torch: Any, make: Any, single: bool = False) -> tuple[Any, Any]:
    """The same module from both libraries with the same weights, loaded both ways."""
    theirs, ours = make(torch.nn), make(nn)
    if not single:
        theirs, ours = theirs.double(), ours.double()
    with torch.no_grad():
        for p in theirs.parameters():  # biases start at 0, which would hide much
            p += 0.1 * torch.randn_like(p)
    state = {name: t.numpy() for name, t in theirs.state_dict().items()}
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
        (k, v.shape) for k, v in state.items()
    ]
    ours.load_state_dict(state)
    theirs.load_state_dict(
        {k: torch.from_numpy(t.array.copy()) for k, t in ours.state_dict().items()}
    )
    return theirs, ours


def compare(torch: Any, theirs: Any, ours: Any, arrays: list[Any], **options: Any) -> None:
    """Outputs and gradients of module calls; masks among the options are arrays."""

    def given(wrap: Any) -> dict[str, Any]:
        return {k: wrap(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}

    theirs.zero_grad()
    leaves = {id(a): a for a in arrays}
    single = arrays[0].dtype == np.float32
    rtol, atol = (1e-3, 2e-5) if single else (1e-9, 1e-12)  # a few dozen terms around 1 a sum
    t_leaves = {i: torch.from_numpy(a).requires_grad_() for i, a in leaves.items()}
    m_leaves = {i: minigrad.from_numpy(a).requires_grad_() for i, a in leaves.items()}
    want = theirs(*(t_leaves[id(a)] for a in arrays), **given(torch.from_numpy))
    got = ours(*(m_leaves[id(a)] for a in arrays), **given(minigrad.from_numpy))
    if not isinstance(want, tuple):
        want, got = (want,), (got,)
    assert [x is None for x in want] == [x is None for x in got]
    want, got = ([x for x in out if x is not None] for out in (want, got))
    for t, m in zip(want, got, strict=True):
        assert m.shape == tuple(t.shape) and str(t.dtype) == f"torch.{m.dtype}"
        np.testing.assert_allclose(m.detach().numpy(), t.detach().numpy(), rtol, atol)
    rng = np.random.default_rng(1)
    cotangents = [np.asarray(rng.standard_normal(t.shape), arrays[0].dtype) for t in want]
    torch.autograd.backward(want, [torch.from_numpy(g) for g in cotangents])
    wrt = [*m_leaves.values(), *ours.parameters()]
    found = minigrad.autograd.grad(got, wrt, [minigrad.from_numpy(g) for g in cotangents])
    for t, g in zip([*t_leaves.values(), *theirs.parameters()], found, strict=True):
        np.testing.assert_allclose(g.array, t.grad.numpy(), rtol, 10 * atol)


L, S, N, E, HEADS = 3, 5, 2, 4, 2
RNG = np.random.default_rng(0)
CAUSAL = np.triu(np.ones((L, L), bool), 1)
SEEN = np.array([[0, 0, 0, 1, 1], [0, 1, 0, 0, 1], [1, 0, 0, 0, 0]], bool)
PADDED = np.array([[0, 0, 0, 0, 1], [0, 0, 0, 1, 1]], bool)


def inputs(batch_first: bool, batched: bool, kdim: int, vdim: int, dtype: Any) -> list[Any]:
    def draw(length: int, size: int) -> Any:
        shape = (N, length, size) if batch_first else (length, N, size)
        return RNG.standard_normal(shape if batched else (length, size)).astype(dtype)

    return [draw(L, E), draw(S, kdim), draw(S, vdim)]


@pytest.mark.slow
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("sizes", [(E, E), (3, E), (3, 6)])
def test_heads_agree_with_torch(torch: Any, sizes: Any, batched: bool, single: bool) -> None:
    kdim, vdim = sizes
    dtype = np.float32 if single else np.float64
    float_mask = RNG.standard_normal((L, S)).astype(dtype)
    each = np.repeat(SEEN[None], N * HEADS if batched else HEADS, 0).copy()
    each[1] = False
    masks = [
        {}, {"attn_mask": SEEN}, {"attn_mask": float_mask}, {"attn_mask": each},
        {"key_padding_mask": PADDED if batched else PADDED[0]},
        {"attn_mask": SEEN, "key_padding_mask": PADDED if batched else PADDED[0]},
    ]  # fmt: skip
    for bias, batch_first, weights in itertools.product((True, False), (True, False), (0, 1, 2)):
        theirs, ours = twins(torch, lambda n, b=bias, f=batch_first: n.MultiheadAttention(
            E, HEADS, bias=b, kdim=kdim, vdim=vdim, batch_first=f), single)  # fmt: skip
        for mask in masks:
            arrays = inputs(batch_first, batched, kdim, vdim, dtype)
            compare(torch, theirs, ours, arrays, need_weights=weights > 0,
                    average_attn_weights=weights == 1, **mask)  # fmt: skip
        if kdim == vdim == E:  # one tensor three times, and keys that are values
            x, memory, _ = arrays
            causal = {"attn_mask": CAUSAL, "is_causal": True}
            compare(torch, theirs, ours, [x, x, x], need_weights=weights > 0, **causal)
            compare(torch, theirs, ours, [x, memory, memory], need_weights=weights > 0)


def test_text_and_initial_weights(torch: Any) -> None:
    ours = nn.MultiheadAttention(64, 4)
    assert repr(ours) == repr(torch.nn.MultiheadAttention(64, 4)).replace(
        "NonDynamicallyQuantizable", ""
    )
    bound = (6 / (64 + 192)) ** 0.5  # Xavier's, of the three matrices together
    weight = ours.in_proj_weight.detach().numpy()
    assert np.abs(weight).max() <= bound and weight.std() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert not ours.in_proj_bias.array.any() and not ours.out_proj.bias.array.any()
    apart = nn.MultiheadAttention(64, 4, kdim=3, bias=False)
    assert apart.in_proj_weight is None and apart.in_proj_bias is None
    assert np.abs(apart.k_proj_weight.array).max() <= (6 / 67) ** 0.5


def test_a_query_that_may_look_nowhere_is_zero_and_harms_no_other(torch: Any) -> None:
    q = RNG.standard_normal((L, E))
    mask = np.ones((L, L), bool)
    mask[1] = False
    pair = [torch.from_numpy(q).requires_grad_(), minigrad.tensor(q).requires_grad_()]
    want = torch.nn.functional.scaled_dot_product_attention(*pair[:1] * 3, torch.from_numpy(mask))
    got = F.scaled_dot_product_attention(*pair[1:] * 3, minigrad.tensor(mask))
    assert not got.array[1].any()
    np.testing.assert_allclose(got.array, want.detach().numpy(), rtol=1e-10)
    g = RNG.standard_normal((L, E))
    want.backward(torch.from_numpy(g))
    got.backward(minigrad.tensor(g))
    np.testing.assert_allclose(pair[1].grad.array, pair[0].grad.numpy(), rtol=1e-9, atol=1e-12)
    large = minigrad.randn(1, 1, 400, 8)  # where compiled loops take the softmax
    seen = np.ones((400, 400), bool)
    seen[7] = False
    rows = F.scaled_dot_product_attention(large, large, large, minigrad.tensor(seen)).array[0, 0]
    assert not rows[7].any() and np.isfinite(rows).all()


def test_large_attention_agrees_with_torch(torch: Any, kernels: str) -> None:
    q, k, v = (RNG.standard_normal((2, 2, 200, 16)).astype("f4") for _ in range(3))
    theirs = [torch.from_numpy(a).requires_grad_() for a in (q, k, v)]
    ours = [minigrad.tensor(a).requires_grad_() for a in (q, k, v)]
    want = torch.nn.functional.scaled_dot_product_attention(*theirs, is_causal=True)
    got = F.scaled_dot_product_attention(*ours, is_causal=True)
    np.testing.assert_allclose(got.array, want.detach().numpy(), rtol=1e-4, atol=1e-5)
    g = RNG.standard_normal(got.shape).astype("f4")
    want.backward(torch.from_numpy(g))
    got.backward(minigrad.tensor(g))
    for a, b in zip(ours, theirs, strict=True):  # sums of 200 float32 terms around 1
        np.testing.assert_allclose(a.grad.array, b.grad.numpy(), rtol=1e-3, atol=1e-4)


def test_dropout_of_weights(kernels: str) -> None:
    """Weights are dropped whole and scaled; with values of 1 the output is the sum of weights."""
    q, k = minigrad.zeros(1, 2000, 4), minigrad.zeros(1, 8, 4)
    y = F.scaled_dot_product_attention(q, k, minigrad.ones(1, 8, 1), dropout_p=0.5).array
    assert set(np.unique(np.round(y * 4).astype(int))) == set(range(9))  # kept·(1/8)·2
    assert y.mean() == pytest.approx(1, abs=0.03)
    assert not F.scaled_dot_product_attention(q, k, k[..., :1] + 1, dropout_p=1.0).array.any()
    q, k, v = (minigrad.randn(2, 3, 2).double().requires_grad_() for _ in range(3))
    f = lambda *x: F.scaled_dot_product_attention(*x, dropout_p=0.4)  # noqa: E731
    assert gradcheck(f, (q, k, v))
    layer = nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True)
    x = minigrad.randn(2, 6, 4)
    weights = layer(x, x, x, average_attn_weights=False)[1]
    assert weights is not None and 0.2 < (weights.array == 0).mean() < 0.8
    layer.eval()
    np.testing.assert_array_equal(layer(x, x, x)[0].array, layer(x, x, x)[0].array)


LAYER = {"d_model": E, "nhead": HEADS, "dim_feedforward": 6, "dropout": 0.0}


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_transformer_layers_agree_with_torch(
    torch: Any, norm_first: bool, batch_first: bool, activation: str
) -> None:
    options = {**LAYER, "norm_first": norm_first, "batch_first": batch_first,
               "activation": activation}  # fmt: skip
    src, tgt = (
        RNG.standard_normal((N, n, E) if batch_first else (n, N, E)) for n in (S, L)
    )  # fmt: skip
    square = np.triu(np.ones((S, S), bool), 1)
    for bias in (True, False):
        theirs, ours = twins(torch, lambda n, b=bias: n.TransformerEncoderLayer(**options, bias=b))
        assert repr(ours) == repr(theirs).replace("NonDynamicallyQuantizable", "")
        compare(torch, theirs, ours, [src])
        compare(torch, theirs, ours, [src], src_mask=square, is_causal=True)
        compare(torch, theirs, ours, [src], src_key_padding_mask=PADDED)
        compare(torch, theirs, ours, [src[0] if batch_first else src[:, 0].copy()])
        theirs, ours = twins(torch, lambda n, b=bias: n.TransformerDecoderLayer(**options, bias=b))
        assert repr(ours) == repr(theirs).replace("NonDynamicallyQuantizable", "")
        compare(torch, theirs, ours, [tgt, src])
        compare(torch, theirs, ours, [tgt, src], tgt_mask=CAUSAL, memory_mask=SEEN,
                tgt_key_padding_mask=PADDED[:, 2:] & False, memory_key_padding_mask=PADDED,
                tgt_is_causal=True)  # fmt: skip


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")  # PyTorch, of its fast path
def test_stacks_agree_with_torch(torch: Any) -> None:
    src, tgt = RNG.standard_normal((N, S, E)), RNG.standard_normal((N, L, E))
    options = {**LAYER, "batch_first": True}

    def encoder(n: Any) -> Any:
        return n.TransformerEncoder(n.TransformerEncoderLayer(**options), 2, n.LayerNorm(E))

    def decoder(n: Any) -> Any:
        return n.TransformerDecoder(n.TransformerDecoderLayer(**options), 2)

    def whole(n: Any) -> Any:
        return n.Transformer(E, HEADS, 2, 1, 6, 0.0, "gelu", batch_first=True, norm_first=True)

    theirs, ours = twins(torch, encoder)
    assert repr(ours) == repr(theirs).replace("NonDynamicallyQuantizable", "")
    compare(torch, theirs, ours, [src])
    compare(torch, theirs, ours, [src], src_key_padding_mask=PADDED)
    mask = nn.Transformer.generate_square_subsequent_mask(S, dtype=minigrad.float64).array
    compare(torch, theirs, ours, [src], mask=mask, is_causal=True)
    theirs, ours = twins(torch, decoder)
    compare(torch, theirs, ours, [tgt, src], tgt_mask=CAUSAL, memory_key_padding_mask=PADDED)
    theirs, ours = twins(torch, whole)
    compare(torch, theirs, ours, [src, tgt], tgt_mask=CAUSAL, src_key_padding_mask=PADDED,
            memory_key_padding_mask=PADDED)  # fmt: skip


def test_the_causal_mask(torch: Any) -> None:
    for size in (0, 1, 4):
        want = torch.nn.Transformer.generate_square_subsequent_mask(size).numpy()
        got = nn.Transformer.generate_square_subsequent_mask(size)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got.array, want)


def test_copies_of_a_layer_are_its_own_and_start_alike() -> None:
    layer = nn.TransformerEncoderLayer(**LAYER)
    stack = nn.TransformerEncoder(layer, 2)
    first, second = stack.layers[0].linear1.weight, stack.layers[1].linear1.weight
    assert first is not second and first is not layer.linear1.weight
    np.testing.assert_array_equal(first.array, second.array)
    whole = nn.Transformer(E, HEADS, 1, 1, 6)
    bound = (6 / (E + 6)) ** 0.5  # Xavier's
    assert np.abs(whole.encoder.layers[0].linear1.weight.array).max() <= bound
    assert np.abs(whole.encoder.layers[0].linear1.weight.array).max() > 0.7 * bound
    custom = nn.Transformer(E, HEADS, 1, 1, 6, custom_encoder=stack)
    assert custom.encoder is stack


X = minigrad.zeros(L, N, E)
HEAD = nn.MultiheadAttention(E, HEADS)
SDPA = F.scaled_dot_product_attention


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.MultiheadAttention(5, 2), ValueError,
         "MultiheadAttention: embed_dim=5 does not divide among num_heads=2"),
        (lambda: HEAD(X, X, X[0]), ValueError, "query, key and value must all have 3 axes"),
        (lambda: HEAD(X, X[..., :3], X), RuntimeError,
         r"expected the last size of key to be 4, got shape \(3, 2, 3\)"),
        (lambda: HEAD(X, X, X[:2]), RuntimeError, "there must be as many values as keys"),
        (lambda: HEAD(X, X[:, :1], X[:, :1]), RuntimeError, r"expected one batch size \(axis 1\)"),
        (lambda: HEAD(X, X, X, is_causal=True), RuntimeError, "is_causal=True needs attn_mask"),
        (lambda: HEAD(X, X, X, attn_mask=X[0]), RuntimeError,
         r"attn_mask has shape \(2, 4\), expected \(3, 3\) or \(4, 3, 3\)"),
        (lambda: HEAD(X, X, X, key_padding_mask=X[:, 0, :1]), RuntimeError,
         r"key_padding_mask has shape \(3, 1\), expected \(2, 3\)"),
        (lambda: HEAD(X, X, X, key_padding_mask=minigrad.zeros(2, 3).long()), RuntimeError,
         "key_padding_mask must be bool or floating, got int64"),
        (lambda: SDPA(X, X[..., :3], X), RuntimeError, "queries and keys must have one size E"),
        (lambda: SDPA(X, X, X[:, :1]), RuntimeError, "there must be as many values as keys"),
        (lambda: SDPA(X, X[:2], X[:2]), RuntimeError, "the stacks do not broadcast"),
        (lambda: SDPA(X[0, 0], X, X), RuntimeError, r"expected \(…, L, E\), \(…, S, E\)"),
        (lambda: SDPA(X, X, X.double()), RuntimeError,
         "scaled_dot_product_attention: expected one dtype, got query float32, key float32, value"),
        (lambda: SDPA(X.long(), X.long(), X.long()), RuntimeError, "expected floating tensors"),
        (lambda: SDPA(X, X, X, X[0]), RuntimeError, "attn_mask of shape .* does not broadcast"),
        (lambda: SDPA(X, X, X, X[0].long()), RuntimeError, "attn_mask must be bool or of the"),
        (lambda: SDPA(X, X, X, dropout_p=2.0), ValueError, "dropout_p must be in"),
        (lambda: SDPA(X[:, None], X[:2, None], X[:2, None], enable_gqa=True), RuntimeError,
         "the stacks do not broadcast"),
        (lambda: nn.TransformerEncoderLayer(4, 2, activation="elu"), RuntimeError,
         "TransformerEncoderLayer: activation must be 'relu', 'gelu' or a function, got 'elu'"),
        (lambda: nn.TransformerEncoder(3, 2), TypeError, "expected a layer to copy, got int"),
        (lambda: nn.Transformer(E, HEADS, 1, 1, 4)(X, X[:, :1]), RuntimeError,
         r"Transformer: expected one batch size \(axis 1\)"),
        (lambda: nn.Transformer(E, HEADS, 1, 1, 4)(X[..., :2], X), RuntimeError,
         "expected the last size of src to be d_model=4"),
    ],
)  # fmt: skip
def test_refusals(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_the_choice_of_a_kernel_changes_nothing() -> None:
    attention = importlib.import_module("minigrad.nn.attention")
    theirs = pytest.importorskip("torch.nn.attention")
    kinds = attention.SDPBackend
    assert {k: int(v) for k, v in kinds.__members__.items()} == {
        k: int(v) for k, v in theirs.SDPBackend.__members__.items()
    }
    x = minigrad.randn(2, 3, 4)
    plain = F.scaled_dot_product_attention(x, x, x)
    for backends in (kinds.MATH, [kinds.FLASH_ATTENTION, kinds.MATH], []):
        with attention.sdpa_kernel(backends, set_priority=True) as given:
            assert given == {}
            assert minigrad.equal(F.scaled_dot_product_attention(x, x, x), plain)

    @attention.sdpa_kernel(kinds.MATH)
    def one() -> int:
        return 1

    assert one() == 1
    for wrong in ("math", 0, None, [0], (kinds.MATH,)):
        with pytest.raises(TypeError, match="expected an SDPB"), attention.sdpa_kernel(wrong):
            pass
