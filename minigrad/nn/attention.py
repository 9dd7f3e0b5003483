"""Attention with several heads, and PyTorch's choice among its kernels, which changes nothing."""

from __future__ import annotations

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
        return F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight,
            self.in_proj_bias, self.bias_k, self.bias_v, self.add_zero_attn, self.dropout,
            self.out_proj.weight, self.out_proj.bias, self.training, key_padding_mask,
            need_weights, attn_mask, self.in_proj_weight is None, self.q_proj_weight,
            self.k_proj_weight, self.v_proj_weight, None, None, average_attn_weights, is_causal,
            batch_first=self.batch_first,
        )  # fmt: skip


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
