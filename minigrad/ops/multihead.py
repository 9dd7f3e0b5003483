"""Attention by several heads: linear maps, `scaled_dot_product_attention` of each head, a linear
map."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.checks import integer, probability
from minigrad.ops.activations import softmax
from minigrad.ops.arithmetic import where
from minigrad.ops.attention import scaled_dot_product_attention
from minigrad.ops.create import zeros
from minigrad.ops.joining import cat, chunk, pad
from minigrad.ops.linear import linear, matmul
from minigrad.ops.random import dropout
from minigrad.ops.reductions import mean
from minigrad.ops.shape import expand, narrow, permute, reshape, squeeze, transpose, unsqueeze
from minigrad.tensor import Tensor, wrap

NAME = "multi_head_attention_forward"


def multi_head_attention_forward(
    query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int,
    in_proj_weight: Tensor | None, in_proj_bias: Tensor | None, bias_k: Tensor | None,
    bias_v: Tensor | None, add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor,
    out_proj_bias: Tensor | None, training: bool = True, key_padding_mask: Tensor | None = None,
    need_weights: bool = True, attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False, q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None, v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None, static_v: Tensor | None = None,
    average_attn_weights: bool = True, is_causal: bool = False, *, batch_first: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """What `nn.MultiheadAttention` computes, with parameters of the caller's: the output, in the
    query's layout, and the weights.

    Args:
        query: (L, N, E), with batch_first (N, L, E), or (L, E).
        key: (S, N, kdim), (N, S, kdim) or (S, kdim).
        value: as the key, with vdim.
        embed_dim_to_check: E.
        num_heads: how many heads; each has E/num_heads of the features.
        in_proj_weight: (3·E, E), the maps of queries, keys and values above one another.
        in_proj_bias: (3·E,), or None.
        bias_k: one more key (1, 1, E) that is appended to those of every sequence, or None.
        bias_v: its value, or None.
        add_zero_attn: append one more key and value of zeros.
        dropout_p: the probability of dropping a weight in training.
        out_proj_weight: (E, E).
        out_proj_bias: (E,), or None.
        training: drop weights.
        key_padding_mask: (N, S) or (S,), True where a key is padding, or numbers to add.
        need_weights: return the weights; without them less memory is used.
        attn_mask: (L, S) or (N·num_heads, L, S), True where a query must not look, or numbers to
            add.
        use_separate_proj_weight: take the three maps instead of in_proj_weight.
        q_proj_weight: (E, E).
        k_proj_weight: (E, kdim).
        v_proj_weight: (E, vdim).
        static_k: refused, as static_v: keys and values that are mapped already are what
            `scaled_dot_product_attention` takes.
        average_attn_weights: return the mean of the heads' weights, (N, L, S), instead of all,
            (N, num_heads, L, S); of a single sequence without N. Appended keys count in S.
        is_causal: says that attn_mask, which must be given, is the causal one.
        batch_first: the layout; PyTorch's function has none, its layer transposes.

    Source: Vaswani et al., Attention is all you need, 2017, section 3.2.2.
    """
    size = integer(NAME, "embed_dim_to_check", embed_dim_to_check)
    heads = integer(NAME, "num_heads", num_heads)
    if size % heads:
        raise ValueError(f"{NAME}: E={size} does not divide among num_heads={heads}")
    if static_k is not None or static_v is not None:
        raise NotImplementedError(
            f"{NAME}: static_k and static_v are not supported: give keys and values that are "
            "mapped already to scaled_dot_product_attention"
        )
    if is_causal and attn_mask is None:
        raise RuntimeError(
            f"{NAME}: is_causal=True needs attn_mask, of which it says that it is the causal one: "
            "use nn.Transformer.generate_square_subsequent_mask(L)"
        )
    apart = [q_proj_weight, k_proj_weight, v_proj_weight] if use_separate_proj_weight else None
    if apart:
        _check_parameter("q_proj_weight", q_proj_weight, size, size)
        _check_parameter("k_proj_weight", k_proj_weight, size, "kdim")
        _check_parameter("v_proj_weight", v_proj_weight, size, "vdim")
    else:
        _check_parameter("in_proj_weight", in_proj_weight, 3 * size, size)
    _check_parameter("out_proj_weight", out_proj_weight, size, size)
    for name, given, shape in (
        ("in_proj_bias", in_proj_bias, (3 * size,)), ("out_proj_bias", out_proj_bias, (size,)),
        ("bias_k", bias_k, (1, 1, size)), ("bias_v", bias_v, (1, 1, size)),
    ):  # fmt: skip
        if given is not None:
            _check_parameter(name, given, *shape)
    batched = _check_inputs(query, key, value, size, apart, batch_first)
    q, k, v = _projected((query, key, value), size, in_proj_weight, in_proj_bias, apart)
    if not batched:
        q, k, v = (unsqueeze(x, 0) for x in (q, k, v))
    elif not batch_first:
        q, k, v = (transpose(x, 0, 1) for x in (q, k, v))
    (n, length, _), steps = q.shape, k.shape[1]
    mask = _mask(attn_mask, key_padding_mask, batched, (n, heads, length, steps), q.dtype)
    k, v = (_appended(x, row, add_zero_attn) for x, row in ((k, bias_k), (v, bias_v)))
    if mask is not None:  # what is appended is seen by all
        mask = pad(mask, (0, k.shape[1] - steps))
    q, k, v = (_heads(x, heads) for x in (q, k, v))  # (N, heads, L or S, head_dim)
    p = probability(NAME, "dropout_p", dropout_p) if training else 0.0
    weights = None
    if need_weights:
        scores = matmul(q * (1 / math.sqrt(size // heads)), transpose(k, -2, -1))
        weights = softmax(scores if mask is None else scores + mask, -1)
        weights = dropout(weights, p)
        y = matmul(weights, v)
        weights = mean(weights, 1) if average_attn_weights else weights
        weights = weights if batched else squeeze(weights, 0)
    else:
        y = scaled_dot_product_attention(q, k, v, mask, p)
    y = permute(y, (0, 2, 1, 3) if batch_first or not batched else (2, 0, 1, 3))
    y = linear(reshape(y, *y.shape[:2], size), out_proj_weight, out_proj_bias)
    return y if batched else squeeze(y, 0), weights


def _check_parameter(name: str, value: Any, *sizes: int | str) -> None:
    """Refuse what is no tensor of these sizes, of which words stand for any."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{NAME}: {name} must be a Tensor, got {type(value).__name__}")
    if value.ndim != len(sizes) or any(
        isinstance(n, int) and n != m for n, m in zip(sizes, value.shape, strict=True)
    ):
        expected = ", ".join(map(str, sizes)) + ("," if len(sizes) == 1 else "")
        raise RuntimeError(f"{NAME}: {name} has shape {value.shape}, expected ({expected})")


def _check_inputs(
    query: Any, key: Any, value: Any, size: int, apart: Any, batch_first: bool
) -> bool:
    """Refuse inputs that do not fit; whether they have a batch axis."""
    widths = [size, apart[1].shape[-1], apart[2].shape[-1]] if apart else [size] * 3
    given = (("query", query), ("key", key), ("value", value))
    for (argument, x), width in zip(given, widths, strict=True):
        if not isinstance(x, Tensor):
            raise TypeError(f"{NAME}: {argument} must be a Tensor, got {type(x).__name__}")
        if x.ndim not in (2, 3) or x.ndim != query.ndim:
            raise ValueError(
                f"{NAME}: query, key and value must all have 3 axes, or all 2, got {argument} "
                f"of shape {x.shape}"
            )
        if x.shape[-1] != width:
            raise RuntimeError(
                f"{NAME}: expected the last size of {argument} to be {width}, got shape {x.shape}"
            )
    if key.shape[:-1] != value.shape[:-1]:
        raise RuntimeError(
            f"{NAME}: there must be as many values as keys, got key {key.shape}, value "
            f"{value.shape}"
        )
    axis = 0 if batch_first else 1
    if query.ndim == 3 and query.shape[axis] != key.shape[axis]:
        raise RuntimeError(
            f"{NAME}: expected one batch size (axis {axis}), got query {query.shape}, key "
            f"{key.shape}"
        )
    return bool(query.ndim == 3)


def _projected(
    inputs: tuple[Tensor, Tensor, Tensor], size: int, joint: Any, bias: Tensor | None, apart: Any
) -> list[Tensor]:
    """Queries, keys and values by their linear maps: in one product if they are one tensor."""
    query, key, value = inputs
    if not apart and query is key and key is value:
        return list(chunk(linear(query, joint, bias), 3, -1))
    weights = apart or [narrow(joint, 0, k * size, size) for k in range(3)]
    biases: list[Tensor | None] = [None] * 3
    if bias is not None:
        biases = [narrow(bias, 0, k * size, size) for k in range(3)]
    return [linear(*each) for each in zip(inputs, weights, biases, strict=True)]


def _appended(x: Tensor, row: Tensor | None, add_zero: bool) -> Tensor:
    """Keys or values (N, S, E), and behind them the one that is learned and the one of zeros."""
    n, _, size = x.shape
    more = [] if row is None else [expand(row, n, 1, size)]
    more += [zeros(n, 1, size, dtype=x.dtype)] if add_zero else []
    return cat([x, *more], 1) if more else x


def _heads(x: Tensor, heads: int) -> Tensor:
    """(N, L, E) as (N, heads, L, head_dim)."""
    n, length, size = x.shape
    return transpose(reshape(x, n, length, heads, size // heads), 1, 2)


def _mask(
    attn_mask: Any, padding: Any, batched: bool, sizes: tuple[int, int, int, int], dtype: Any
) -> Tensor | None:
    """What both masks add to the scores (N, heads, L, S)."""
    n, heads, length, steps = sizes
    total = None
    if attn_mask is not None:
        shapes: list[tuple[int, ...]] = [(length, steps), (n * heads, length, steps)]
        total = _added("attn_mask", attn_mask, shapes, dtype)
        if total.ndim == 3:
            total = reshape(total, n, heads, length, steps)
    if padding is not None:
        shape = (n, steps) if batched else (steps,)
        mask = reshape(_added("key_padding_mask", padding, [shape], dtype), n, 1, 1, steps)
        total = mask if total is None else total + mask
    return total


def _added(argument: str, mask: Any, shapes: list[tuple[int, ...]], dtype: Any) -> Tensor:
    """A mask as numbers that are added to scores: -∞ where bools are True."""
    if not isinstance(mask, Tensor):
        raise TypeError(f"{NAME}: {argument} must be a Tensor, got {type(mask).__name__}")
    if mask.shape not in shapes:
        raise RuntimeError(
            f"{NAME}: {argument} has shape {mask.shape}, expected "
            f"{' or '.join(str(shape) for shape in shapes)}"
        )
    if mask.dtype.kind not in "bfc":
        raise RuntimeError(
            f"{NAME}: {argument} must be bool or floating, got {mask.dtype}: use .bool()"
        )
    if mask.dtype.kind != "b":
        return mask
    zero = dtype.type(0).real.dtype.type
    return where(mask, wrap(np.asarray(-np.inf, zero)), wrap(np.asarray(0, zero)))
