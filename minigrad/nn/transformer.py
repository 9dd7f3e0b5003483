"""The transformer: encoder and decoder, and the layers they are stacked of."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.checks import floating, integer
from minigrad.dtypes import float32
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.attention import MultiheadAttention
from minigrad.nn.container import ModuleList
from minigrad.nn.linear import Dropout, Linear
from minigrad.nn.module import Module
from minigrad.nn.norm import LayerNorm
from minigrad.tensor import Tensor, wrap

Activation = str | Callable[[Tensor], Tensor]


def _activation(name: str, activation: Activation) -> Callable[[Tensor], Tensor]:
    if callable(activation):
        return activation
    if activation == "relu":
        return F.relu
    if activation == "gelu":
        return F.gelu
    raise RuntimeError(
        f"{name}: activation must be 'relu', 'gelu' or a function, got {activation!r}"
    )


class _Layer(Module):
    """What both layers share: the first attention, the two linear maps, the norms."""

    attentions = 1

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        kind = floating(name, dtype, device)
        integer(name, "d_model", d_model)
        integer(name, "dim_feedforward", dim_feedforward)
        more: dict[str, Any] = {"bias": bias, "dtype": kind}
        attention: dict[str, Any] = {"dropout": dropout, "batch_first": batch_first, **more}
        self.self_attn = MultiheadAttention(d_model, nhead, **attention)
        if self.attentions == 2:
            self.multihead_attn = MultiheadAttention(d_model, nhead, **attention)
        self.linear1 = Linear(d_model, dim_feedforward, **more)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **more)
        self.norm_first = bool(norm_first)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, **more)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, **more)
        if self.attentions == 2:
            self.norm3 = LayerNorm(d_model, layer_norm_eps, **more)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        if self.attentions == 2:
            self.dropout3 = Dropout(dropout)
        self.activation = _activation(name, activation)

    def _around(
        self, x: Tensor, part: Callable[[Tensor], Tensor], norm: LayerNorm, drop: Dropout
    ) -> Tensor:
        """x with what a part adds to it, normalised after the sum, or before the part."""
        y: Tensor = x + drop(part(norm(x))) if self.norm_first else norm(x + drop(part(x)))
        return y

    def _look(
        self, attention: MultiheadAttention, x: Tensor, memory: Tensor, mask: Tensor | None,
        padding: Tensor | None, is_causal: bool,
    ) -> Tensor:  # fmt: skip
        y: Tensor
        y, _ = attention(
            x, memory, memory, attn_mask=mask, key_padding_mask=padding, is_causal=is_causal,
            need_weights=False,
        )  # fmt: skip
        return y

    def _feed_forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return y


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear maps; each is added to its input and normalised.

    Args:
        d_model: E, the size of inputs and outputs.
        nhead: heads of the attention.
        dim_feedforward: features between the two linear maps.
        dropout: the probability, of attention weights, between the maps and before both sums.
        activation: between the maps: "relu", "gelu" or a function.
        layer_norm_eps: eps of the norms.
        batch_first: inputs and outputs are (N, L, E) instead of (L, N, E).
        norm_first: normalise before attention and maps instead of after the sums.
        bias: learn biases.
        device: the CPU, the only one there is.
        dtype: of the parameters; float32 by default.

    Source: Vaswani et al., Attention is all you need, 2017, section 3.1.
    """

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """The output, in the shape of src (L, N, E), (N, L, E) or (L, E); for masks see
        `MultiheadAttention`."""

        def attend(x: Tensor) -> Tensor:
            return self._look(self.self_attn, x, x, src_mask, src_key_padding_mask, is_causal)

        x = self._around(src, attend, self.norm1, self.dropout1)
        return self._around(x, self._feed_forward, self.norm2, self.dropout2)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the encoder's output, then two linear maps; each is added to
    its input and normalised. Arguments as for `TransformerEncoderLayer`."""

    attentions = 2

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The output, in the shape of tgt; `memory` is what the encoder gave. For masks see
        `MultiheadAttention`."""

        def attend(x: Tensor) -> Tensor:
            return self._look(self.self_attn, x, x, tgt_mask, tgt_key_padding_mask, tgt_is_causal)

        def remember(x: Tensor) -> Tensor:
            return self._look(
                self.multihead_attn, x, memory, memory_mask, memory_key_padding_mask,
                memory_is_causal,
            )  # fmt: skip

        x = self._around(tgt, attend, self.norm1, self.dropout1)
        x = self._around(x, remember, self.norm2, self.dropout2)
        return self._around(x, self._feed_forward, self.norm3, self.dropout3)


def _copies(name: str, layer: Module, count: int) -> ModuleList:
    if not isinstance(layer, Module):
        raise TypeError(f"{name}: expected a layer to copy, got {type(layer).__name__}")
    return ModuleList([copy.deepcopy(layer) for _ in range(integer(name, "num_layers", count))])


class TransformerEncoder(Module):
    """Copies of an encoder layer, one after the other.

    Args:
        encoder_layer: what is copied; the copies start with the same weights.
        num_layers: how many.
        norm: a module for the output, or None.
        enable_nested_tensor: accepted as in PyTorch; there are no nested tensors here.
        mask_check: likewise.
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies("TransformerEncoder", encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """The output, in the shape of src; every layer gets the masks."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """Copies of a decoder layer, one after the other.

    Args:
        decoder_layer: what is copied; the copies start with the same weights.
        num_layers: how many.
        norm: a module for the output, or None.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies("TransformerDecoder", decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The output, in the shape of tgt; every layer gets memory and masks."""
        for layer in self.layers:
            tgt = layer(
                tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
                bool(tgt_is_causal), memory_is_causal,
            )  # fmt: skip
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder, and a decoder that looks at its output.

    Args:
        d_model: E, the size of inputs and outputs.
        nhead: heads of the attentions.
        num_encoder_layers: layers of the encoder.
        num_decoder_layers: layers of the decoder.
        dim_feedforward: features between a layer's two linear maps.
        dropout: the probability.
        activation: "relu", "gelu" or a function.
        custom_encoder: a module to take the encoder's place.
        custom_decoder: a module to take the decoder's place.
        layer_norm_eps: eps of the norms.
        batch_first: inputs and outputs are (N, L, E) instead of (L, N, E).
        norm_first: normalise before attention and maps instead of after the sums.
        bias: learn biases.
        device: the CPU, the only one there is.
        dtype: of the parameters; float32 by default.

    All matrices start Xavier uniform. Source: Vaswani et al., Attention is all you need, 2017.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        arguments = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
            norm_first, bias, device, dtype,
        )  # fmt: skip

        def norm() -> LayerNorm:
            return LayerNorm(
                d_model, layer_norm_eps, bias=bias, dtype=floating("Transformer", dtype)
            )

        self.encoder = custom_encoder
        if custom_encoder is None:
            layer: Module = TransformerEncoderLayer(*arguments)
            self.encoder = TransformerEncoder(layer, num_encoder_layers, norm())
        self.decoder = custom_decoder
        if custom_decoder is None:
            layer = TransformerDecoderLayer(*arguments)
            self.decoder = TransformerDecoder(layer, num_decoder_layers, norm())
        self.d_model, self.nhead, self.batch_first = d_model, nhead, bool(batch_first)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw all matrices anew."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoder's output, in the shape of tgt; for masks see `MultiheadAttention`."""
        for argument, x in (("src", src), ("tgt", tgt)):
            if not isinstance(x, Tensor):
                raise TypeError(f"Transformer: {argument} must be a Tensor, got {type(x).__name__}")
            if not x.ndim or x.shape[-1] != self.d_model:
                raise RuntimeError(
                    f"Transformer: expected the last size of {argument} to be d_model="
                    f"{self.d_model}, got shape {x.shape}"
                )
        axis = 0 if self.batch_first else 1
        if src.ndim == 3 == tgt.ndim and src.shape[axis] != tgt.shape[axis]:
            raise RuntimeError(
                f"Transformer: expected one batch size (axis {axis}), got src {src.shape}, tgt "
                f"{tgt.shape}"
            )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        y: Tensor = self.decoder(
            tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )  # fmt: skip
        return y

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """The causal mask (sz, sz): 0 up to the diagonal, -∞ above."""
        name = "generate_square_subsequent_mask"
        size = integer(name, "sz", sz, 0)
        kind = floating(name, float32 if dtype is None else dtype, device)
        return wrap(np.triu(np.full((size, size), -np.inf, kind), 1))
