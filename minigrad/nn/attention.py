"""Attention with several heads, and PyTorch's choice among its kernels, which changes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import numpy as np

from minigrad.checks import floating, integer, probability
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.linear import Linear
from minigrad.nn.module import Module, Parameter
from minigrad.ops.arithmetic import where
from minigrad.ops.create import zeros
from minigrad.ops.joining import cat, chunk
from minigrad.ops.linear import matmul
from minigrad.ops.reductions import mean
from minigrad.ops.shape import expand, narrow, permute, reshape, squeeze, transpose, unsqueeze
from minigrad.tensor import Tensor, wrap


class MultiheadAttention(Module):
    """Attention by several heads, each with its own linear maps of queries, keys and values.

    Args:
        embed_dim: E, the size of queries and of the output.
        num_heads: how many heads; each has E/num_heads of the features.
        dropout: the probability of dropping a weight in training.
        bias: learn biases.
        add_bias_kv: learn one more key and value, `bias_k` and `bias_v` (1, 1, E), that are
            appended to those of every sequence.
        add_zero_attn: append one more key and value of zeros.
        kdim: the size of keys; E if not given.
        vdim: the size of values; E if not given.
        batch_first: inputs and outputs are (N, L, E) instead of (L, N, E).
        device: the CPU, the only one there is.
        dtype: of the parameters; float32 by default.

    `in_proj_weight` (3·E, E), or `q_proj_weight`, `k_proj_weight` and `v_proj_weight` if keys or
    values have other sizes, start Xavier uniform, `bias_k` and `bias_v` Xavier normal,
    `in_proj_bias` (3·E,) and the bias of `out_proj` at 0. Source: Vaswani et al., Attention is all
    you need, 2017, section 3.2.2.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = "MultiheadAttention"
        self.embed_dim = size = integer(name, "embed_dim", embed_dim)
        self.num_heads = integer(name, "num_heads", num_heads)
        if size % self.num_heads:
            raise ValueError(
                f"{name}: embed_dim={size} does not divide among num_heads={self.num_heads}"
            )
        self.head_dim = size // self.num_heads
        self.dropout = probability(name, "dropout", dropout)
        self.kdim = size if kdim is None else integer(name, "kdim", kdim)
        self.vdim = size if vdim is None else integer(name, "vdim", vdim)
        self.batch_first = bool(batch_first)
        self.add_zero_attn = bool(add_zero_attn)
        kind = floating(name, dtype, device)
        one = self.kdim == self.vdim == size
        sizes = {"in_proj_weight": 0, "q_proj_weight": size, "k_proj_weight": self.kdim,
                 "v_proj_weight": self.vdim}  # fmt: skip
        self.in_proj_weight: Parameter  # None where the three stand apart, and they are else
        self.q_proj_weight: Parameter
        self.k_proj_weight: Parameter
        self.v_proj_weight: Parameter
        for key, columns in sizes.items():
            shape = (size, columns) if columns else (3 * size, size)
            made = bool(columns) != one
            self.register_parameter(key, Parameter(wrap(np.empty(shape, kind))) if made else None)
        self.in_proj_bias: Parameter  # None where the layer was made without
        self.register_parameter(
            "in_proj_bias", Parameter(wrap(np.empty(3 * size, kind))) if bias else None
        )
        self.out_proj = Linear(size, size, bias, dtype=kind)
        self.bias_k: Parameter  # None without add_bias_kv
        self.bias_v: Parameter
        for key in ("bias_k", "bias_v"):
            one_more = Parameter(wrap(np.empty((1, 1, size), kind))) if add_bias_kv else None
            self.register_parameter(key, one_more)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw the maps of the inputs anew, and set the biases to 0."""
        for name, parameter in self.named_parameters(recurse=False):
            if name.endswith("weight"):
                init.xavier_uniform_(parameter)
            elif name in ("bias_k", "bias_v"):
                init.xavier_normal_(parameter)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The output, in the query's layout, and the weights.

        Args:
            query: (L, N, E), with batch_first (N, L, E), or (L, E).
            key: (S, N, kdim), (N, S, kdim) or (S, kdim).
            value: as the key, with vdim.
            key_padding_mask: (N, S) or (S,), True where a key is padding, or numbers to add.
            need_weights: return the weights; without them less memory is used.
            attn_mask: (L, S) or (N·num_heads, L, S), True where a query must not look, or numbers
                to add.
            average_attn_weights: return the mean of the heads' weights, (N, L, S), instead of all,
                (N, num_heads, L, S); of a single sequence without N. Appended keys count in S.
            is_causal: says that attn_mask, which must be given, is the causal one.
        """
        batched = self._check(query, key, value)
        if is_causal and attn_mask is None:
            raise RuntimeError(
                "MultiheadAttention: is_causal=True needs attn_mask, of which it says that it is "
                "the causal one: use nn.Transformer.generate_square_subsequent_mask(L)"
            )
        q, k, v = self._projected(query, key, value)
        if not batched:
            q, k, v = (unsqueeze(x, 0) for x in (q, k, v))
        elif not self.batch_first:
            q, k, v = (transpose(x, 0, 1) for x in (q, k, v))
        (n, length, _), steps = q.shape, k.shape[1]
        mask = self._mask(attn_mask, key_padding_mask, batched, (n, length, steps), q.dtype)
        k, v = self._appended(k, self.bias_k), self._appended(v, self.bias_v)
        if mask is not None:  # what is appended is seen by all
            mask = F.pad(mask, (0, k.shape[1] - steps))
        q, k, v = (self._heads(x) for x in (q, k, v))  # (N, heads, L or S, head_dim)
        p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = matmul(q * (1 / math.sqrt(self.head_dim)), transpose(k, -2, -1))
            weights = F.softmax(scores if mask is None else scores + mask, -1)
            weights = F.dropout(weights, p)
            y = matmul(weights, v)
            weights = mean(weights, 1) if average_attn_weights else weights
            weights = weights if batched else squeeze(weights, 0)
        else:
            y = F.scaled_dot_product_attention(q, k, v, mask, p)
        layout = (0, 2, 1, 3) if self.batch_first or not batched else (2, 0, 1, 3)
        y = permute(y, layout)
        y = self.out_proj(reshape(y, *y.shape[:2], self.embed_dim))
        return y if batched else squeeze(y, 0), weights

    def _check(self, query: Any, key: Any, value: Any) -> bool:
        """Refuse inputs that do not fit; whether they have a batch axis."""
        name = "MultiheadAttention"
        given = {"query": (query, self.embed_dim), "key": (key, self.kdim),
                 "value": (value, self.vdim)}  # fmt: skip
        for argument, (x, size) in given.items():
            if not isinstance(x, Tensor):
                raise TypeError(f"{name}: {argument} must be a Tensor, got {type(x).__name__}")
            if x.ndim not in (2, 3) or x.ndim != query.ndim:
                raise ValueError(
                    f"{name}: query, key and value must all have 3 axes, or all 2, got {argument} "
                    f"of shape {x.shape}"
                )
            if x.shape[-1] != size:
                raise RuntimeError(
                    f"{name}: expected the last size of {argument} to be {size}, got shape "
                    f"{x.shape}"
                )
        if key.shape[:-1] != value.shape[:-1]:
            raise RuntimeError(
                f"{name}: there must be as many values as keys, got key {key.shape}, value "
                f"{value.shape}"
            )
        axis = 0 if self.batch_first else 1
        if query.ndim == 3 and query.shape[axis] != key.shape[axis]:
            raise RuntimeError(
                f"{name}: expected one batch size (axis {axis}), got query {query.shape}, key "
                f"{key.shape}"
            )
        return bool(query.ndim == 3)

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Queries, keys and values by their linear maps: in one product if they are one tensor."""
        size = self.embed_dim
        if self.in_proj_weight is not None and query is key and key is value:
            return list(chunk(F.linear(query, self.in_proj_weight, self.in_proj_bias), 3, -1))
        weights: list[Tensor] = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        if self.in_proj_weight is not None:
            weights = [narrow(self.in_proj_weight, 0, k * size, size) for k in range(3)]
        biases: list[Tensor | None] = [None] * 3
        if self.in_proj_bias is not None:
            biases = [narrow(self.in_proj_bias, 0, k * size, size) for k in range(3)]
        inputs = (query, key, value)
        return [F.linear(*each) for each in zip(inputs, weights, biases, strict=True)]

    def _appended(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Keys or values (N, S, E), and behind them what add_bias_kv and add_zero_attn append."""
        n, _, size = x.shape
        more = [] if bias is None else [expand(bias, n, 1, size)]
        more += [zeros(n, 1, size, dtype=x.dtype)] if self.add_zero_attn else []
        return cat([x, *more], 1) if more else x

    def _heads(self, x: Tensor) -> Tensor:
        """(N, L, E) as (N, heads, L, head_dim)."""
        n, length, _ = x.shape
        return transpose(reshape(x, n, length, self.num_heads, self.head_dim), 1, 2)

    def _mask(
        self, attn_mask: Any, padding: Any, batched: bool, sizes: tuple[int, int, int], dtype: Any
    ) -> Tensor | None:
        """What both masks add to the scores (N, heads, L, S)."""
        n, length, steps = sizes
        total = None
        if attn_mask is not None:
            shapes: list[tuple[int, ...]]
            shapes = [(length, steps), (n * self.num_heads, length, steps)]
            total = _added("attn_mask", attn_mask, shapes, dtype)
            if total.ndim == 3:
                total = reshape(total, n, self.num_heads, length, steps)
        if padding is not None:
            shape = (n, steps) if batched else (steps,)
            mask = reshape(_added("key_padding_mask", padding, [shape], dtype), n, 1, 1, steps)
            total = mask if total is None else total + mask
        return total


def _added(argument: str, mask: Any, shapes: list[tuple[int, ...]], dtype: Any) -> Tensor:
    """A mask as numbers that are added to scores: -∞ where bools are True."""
    name = "MultiheadAttention"
    if not isinstance(mask, Tensor):
        raise TypeError(f"{name}: {argument} must be a Tensor, got {type(mask).__name__}")
    if mask.shape not in shapes:
        raise RuntimeError(
            f"{name}: {argument} has shape {mask.shape}, expected "
            f"{' or '.join(str(shape) for shape in shapes)}"
        )
    if mask.dtype.kind not in "bfc":
        raise RuntimeError(
            f"{name}: {argument} must be bool or floating, got {mask.dtype}: use .bool()"
        )
    if mask.dtype.kind != "b":
        return mask
    zero = dtype.type(0).real.dtype.type
    return where(mask, wrap(np.asarray(-np.inf, zero)), wrap(np.asarray(0, zero)))


class SDPBackend(IntEnum):
    """PyTorch's kernels for attention, for scripts that choose among them."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(
    backends: list[SDPBackend] | SDPBackend, set_priority: bool = False
) -> Iterator[dict[Any, Any]]:
    """A context, or decorator, in which PyTorch would take one of these kernels for attention; here
    there is one, and nothing changes."""
    for backend in backends if isinstance(backends, list) else [backends]:
        if not isinstance(backend, SDPBackend):
            raise TypeError(
                "sdpa_kernel: expected an SDPBackend or a list of them, such as "
                f"SDPBackend.MATH, got {backends!r}"
            )
    yield {}
