"""What recurrent layers and cells share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.checks import integer
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter
from minigrad.ops import recurrent
from minigrad.ops.arithmetic import where
from minigrad.ops.create import zeros
from minigrad.ops.joining import cat
from minigrad.ops.linear import matmul
from minigrad.ops.recurrent import Sizes
from minigrad.ops.shape import narrow, select
from minigrad.tensor import Tensor, wrap

Ends = tuple[Tensor, list[Tensor]]


def rnn_layer(
    x: Tensor, states: Any, weights: Any, nonlinearity: str, reverse: bool, sizes: Sizes
) -> Ends:
    y = recurrent.rnn(x, states[0], weights, nonlinearity, reverse, sizes)
    return y, [select(y, 0, 0 if reverse else -1)]


def gru_layer(x: Tensor, states: Any, weights: Any, reverse: bool, sizes: Sizes) -> Ends:
    y = recurrent.gru(x, states[0], weights, reverse, sizes)
    return y, [select(y, 0, 0 if reverse else -1)]


def lstm_layer(x: Tensor, states: Any, weights: Any, reverse: bool, sizes: Sizes) -> Ends:
    h, c = states
    out = recurrent.lstm(x, h, c, weights, reverse, sizes)  # (T + 1, N, H): c is the last
    y = narrow(out, 0, 0, len(x))
    return y, [select(y, 0, 0 if reverse else -1), select(out, 0, -1)]


def projected_lstm_layer(x: Tensor, states: Any, weights: Any, reverse: bool, sizes: Sizes) -> Ends:
    """An LSTM whose outputs are projected: h_t = m_t·Rᵀ, where m_t = o·tanh(c_t), and R is
    weight_hr (P, H), the last of the weights.

    h_t-1·Uᵀ is m_t-1·(U·R)ᵀ, so this is an LSTM of m_t with U·R in the place of U. Only h_0 is the
    projection of nothing: its product with U joins those of the first step's inputs.
    """
    h, c = states
    w, u, *biases, r = weights
    first = np.zeros((len(x), len(c), 1), bool)  # the step with which each sequence begins
    lengths = (np.arange(len(c)) < np.array(sizes)[:, None]).sum(0) if sizes else len(x)
    first[lengths - 1 if reverse else 0, np.arange(len(c))] = True
    x = cat([x, where(first, h, wrap(np.zeros((), h.dtype)))], -1)
    zero = zeros(*c.shape, dtype=c.dtype)
    m, (_, end) = lstm_layer(x, (zero, c), (cat([w, u], 1), matmul(u, r), *biases), reverse, sizes)
    y = F.linear(m, r)
    return y, [select(y, 0, 0 if reverse else -1), end]


class Weights(Module):
    """What layers and cells share: sizes, parameters, and the check of what comes in."""

    blocks: int  # of the weights: 1, 3 or 4 times hidden_size rows
    states: tuple[str, ...] = ("h_0",)
    proj_size = 0  # of an LSTM that projects its outputs

    def __init__(self, input_size: int, hidden_size: int, bias: bool) -> None:
        super().__init__()
        name = type(self).__name__
        self.input_size = integer(name, "input_size", input_size)
        self.hidden_size = integer(name, "hidden_size", hidden_size)
        if not isinstance(bias, bool):  # in RNN another argument once stood here
            raise TypeError(f"{name}: bias must be True or False, got {bias!r}")
        self.bias = bias

    def _add(self, suffix: str, inputs: int, dtype: Any) -> None:
        """The parameters of one layer in one direction, uninitialised."""
        rows, size = self.blocks * self.hidden_size, self.hidden_size
        shapes = {
            "weight_ih": (rows, inputs),
            "weight_hh": (rows, self.proj_size or size),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
            "weight_hr": (self.proj_size, size),
        }
        for name in self._names_of_weights():
            setattr(self, name + suffix, Parameter(wrap(np.empty(shapes[name], dtype))))

    def _names_of_weights(self) -> tuple[str, ...]:
        names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if self.bias else ()))
        return (*names, "weight_hr") if self.proj_size else names

    def _weights(self, suffix: str) -> tuple[Tensor, ...]:
        return tuple(getattr(self, name + suffix) for name in self._names_of_weights())

    def _layer(
        self, x: Tensor, states: list[Tensor], weights: tuple[Tensor, ...], reverse: bool,
        sizes: Sizes,
    ) -> Ends:  # fmt: skip
        """One layer in one direction: the outputs (T, N, H) and the states at the end, from the
        inputs (T, N, I) and the states to begin with. `sizes` are those of packed sequences."""
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _check(self, x: Any, batched: int, axes: str) -> None:
        """Refuse an input that is not (…, input_size) with `batched` axes, or one less."""
        name = type(self).__name__
        if not isinstance(x, Tensor):
            kind = type(x).__name__
            hint = ""
            if "Packed" in kind:
                hint = ": packed sequences are for layers, and come from nn.utils.rnn"
            raise TypeError(f"{name}: input must be a Tensor, got {kind}{hint}")
        if x.ndim not in (batched - 1, batched):
            raise ValueError(f"{name}: expected an input {axes}, got shape {x.shape}")
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{name}: expected the input's last size to be input_size={self.input_size}, got "
                f"shape {x.shape}"
            )
        dtype = self._parameter_dtype()
        if x.dtype != dtype and "c" not in (x.dtype.kind, dtype.kind):
            raise ValueError(
                f"{name}: expected the input in the parameters' dtype {dtype}, got {x.dtype}: use "
                f"x.to(minigrad.{dtype}), or the layer with .to(minigrad.{x.dtype})"
            )

    def _parameter_dtype(self) -> np.dtype[Any]:
        return next(self.parameters()).dtype

    def _begin(self, x: Tensor, hx: Any, before: tuple[int, ...], axes: str) -> list[Tensor]:
        """The states to begin with, (*before, H), checked: zeros if not given."""
        name = type(self).__name__
        shapes = [(*before, self.proj_size or self.hidden_size), (*before, self.hidden_size)]
        if hx is None:
            return [zeros(*s, dtype=x.dtype) for _, s in zip(self.states, shapes, strict=False)]
        given = (hx,) if len(self.states) == 1 else hx
        if isinstance(given, Tensor) or not isinstance(given, tuple | list):
            raise TypeError(f"{name}: hx must be a pair (h_0, c_0), got {type(hx).__name__}")
        if len(given) != len(self.states):
            raise ValueError(f"{name}: hx must be a pair (h_0, c_0), got {len(given)} of them")
        for what, state, shape in zip(self.states, given, shapes, strict=False):
            if not isinstance(state, Tensor):
                raise TypeError(f"{name}: {what} must be a Tensor, got {type(state).__name__}")
            if state.shape != shape:
                raise RuntimeError(
                    f"{name}: {what} has shape {state.shape}, expected {axes} = {shape} for an "
                    f"input of shape {x.shape}"
                )
        return list(given)
