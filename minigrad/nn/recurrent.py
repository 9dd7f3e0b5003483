"""Recurrent layers, over whole sequences; `cells.py` has those of one step."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from minigrad.checks import floating, integer, one_of, probability
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter
from minigrad.ops import recurrent
from minigrad.ops.create import zeros
from minigrad.ops.joining import cat, stack
from minigrad.ops.shape import narrow, select, squeeze, transpose, unsqueeze
from minigrad.tensor import Tensor, wrap

Ends = tuple[Tensor, list[Tensor]]


def rnn_layer(x: Tensor, states: Any, weights: Any, nonlinearity: str, reverse: bool) -> Ends:
    y = recurrent.rnn(x, states[0], weights, nonlinearity, reverse)
    return y, [select(y, 0, 0 if reverse else -1)]


def gru_layer(x: Tensor, states: Any, weights: Any, reverse: bool) -> Ends:
    y = recurrent.gru(x, states[0], weights, reverse)
    return y, [select(y, 0, 0 if reverse else -1)]


def lstm_layer(x: Tensor, states: Any, weights: Any, reverse: bool) -> Ends:
    out = recurrent.lstm(x, states[0], states[1], weights, reverse)  # (T + 1, N, H): c is the last
    y = narrow(out, 0, 0, len(x))
    return y, [select(y, 0, 0 if reverse else -1), select(out, 0, -1)]


class Weights(Module):  # the base of layers here and of cells
    """What layers and cells share: sizes, parameters, and the check of what comes in."""

    blocks: int  # of the weights: 1, 3 or 4 times hidden_size rows
    states: tuple[str, ...] = ("h_0",)

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
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, inputs),
            "weight_hh": (rows, size),
        }
        for name in ("bias_ih", "bias_hh"):
            if self.bias:
                shapes[name] = (rows,)
        for name, shape in shapes.items():
            setattr(self, name + suffix, Parameter(wrap(np.empty(shape, dtype))))

    def _weights(self, suffix: str) -> tuple[Tensor, ...]:
        names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if self.bias else ()))
        return tuple(getattr(self, name + suffix) for name in names)

    def _layer(
        self, x: Tensor, states: list[Tensor], weights: tuple[Tensor, ...], reverse: bool
    ) -> Ends:
        """One layer in one direction: the outputs (T, N, H) and the states at the end, from the
        inputs (T, N, I) and the states to begin with."""
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
                hint = ": packed sequences are not supported, pad them and mask the loss"
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

    def _begin(self, x: Tensor, hx: Any, shape: tuple[int, ...], axes: str) -> list[Tensor]:
        """The states to begin with, checked: zeros if not given."""
        name = type(self).__name__
        if hx is None:
            return [zeros(*shape, dtype=x.dtype) for _ in self.states]
        given = (hx,) if len(self.states) == 1 else hx
        if isinstance(given, Tensor) or not isinstance(given, tuple | list):
            raise TypeError(f"{name}: hx must be a pair (h_0, c_0), got {type(hx).__name__}")
        if len(given) != len(self.states):
            raise ValueError(f"{name}: hx must be a pair (h_0, c_0), got {len(given)} of them")
        for what, state in zip(self.states, given, strict=True):
            if not isinstance(state, Tensor):
                raise TypeError(f"{name}: {what} must be a Tensor, got {type(state).__name__}")
            if state.shape != shape:
                raise RuntimeError(
                    f"{name}: {what} has shape {state.shape}, expected {axes} = {shape} for an "
                    f"input of shape {x.shape}"
                )
        return list(given)


class _Recurrent(Weights):
    """What RNN, LSTM and GRU share."""

    mode: str  # PyTorch's word

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool,
        dropout: float, bidirectional: bool, proj_size: int, device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias)
        name = type(self).__name__
        self.num_layers = integer(name, "num_layers", num_layers)
        if not isinstance(batch_first, bool):
            raise TypeError(f"{name}: batch_first must be True or False, got {batch_first!r}")
        if proj_size:
            raise ValueError(
                f"{name}: proj_size={proj_size} is not supported: put a Linear after the layer"
            )
        self.batch_first = batch_first
        self.dropout = float(probability(name, "dropout", dropout))
        self.bidirectional = bool(bidirectional)
        self.proj_size = 0
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                f"{name}: dropout={dropout} acts between layers, and there is one: use "
                "num_layers=2 or more, or a Dropout after it",
                UserWarning,
                stacklevel=3,
            )
        kind = floating(name, dtype, device)
        for k in range(self.num_layers):
            for way in self._ways():
                wide = self.hidden_size * len(self._ways())
                self._add(f"_l{k}{way}", wide if k else self.input_size, kind)
        self.reset_parameters()

    def _ways(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def flatten_parameters(self) -> None:
        """Nothing: in PyTorch it concerns CUDA alone."""

    def _run(self, x: Tensor, hx: Any) -> tuple[Tensor, list[Tensor]]:
        """The outputs of the last layer, and each state at the end, of all layers."""
        name = type(self).__name__
        order = "(N, T, I)" if self.batch_first else "(T, N, I)"
        self._check(x, 3, f"{order} or (T, I)")
        batched, layers = x.ndim == 3, self.num_layers * len(self._ways())
        batch = (x.shape[0 if self.batch_first else 1],) if batched else ()
        axes = "(layers·directions, N, H)" if batched else "(layers·directions, H)"
        states = self._begin(x, hx, (layers, *batch, self.hidden_size), axes)
        if not batched:
            x, states = unsqueeze(x, 1), [unsqueeze(state, 1) for state in states]
        elif self.batch_first:
            x = transpose(x, 0, 1)
        if not len(x):
            raise RuntimeError(f"{name}: expected a sequence of at least one step, got none")
        ends: list[list[Tensor]] = []
        for k in range(self.num_layers):
            if k and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            outputs = []
            for way in self._ways():
                begin = [select(state, 0, len(ends)) for state in states]
                y, end = self._layer(x, begin, self._weights(f"_l{k}{way}"), bool(way))
                outputs.append(y)
                ends.append(end)
            x = cat(outputs, -1) if len(outputs) > 1 else outputs[0]
        finals = [stack(state) for state in zip(*ends, strict=True)]
        if not batched:
            return squeeze(x, 1), [squeeze(state, 1) for state in finals]
        return transpose(x, 0, 1) if self.batch_first else x, finals

    def extra_repr(self) -> str:
        """The arguments, those at their defaults left out."""
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0,
                    "bidirectional": False}  # fmt: skip
        for name, default in defaults.items():
            if (value := getattr(self, name)) != default:
                text += f", {name}={value}"
        return text


class RNN(_Recurrent):
    """A plain recurrent network, h_t = tanh(x_t·W_ihᵀ + b_ih + h_t-1·W_hhᵀ + b_hh).

    Args:
        input_size: I, the size of an input vector.
        hidden_size: H, the size of a state.
        num_layers: the outputs of one layer are the inputs of the next.
        nonlinearity: "tanh" or "relu".
        bias: learn b_ih and b_hh.
        batch_first: inputs and outputs are (N, T, …) instead of (T, N, …); states are not.
        dropout: the probability of dropping an output between layers, in training.
        bidirectional: a second network goes from the last step to the first; its outputs follow
            those of the first, and its parameters end in "_reverse".
        device: the CPU, the only one there is.
        dtype: of the parameters; float32 by default.

    `weight_ih_l0` (H, I), `weight_hh_l0` (H, H), `bias_ih_l0` and `bias_hh_l0` (H,), and so on for
    l1, …, start uniform on ±1/√H.
    """

    blocks = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0,
            device, dtype,
        )  # fmt: skip
        self.nonlinearity = one_of("RNN", "nonlinearity", nonlinearity, ("tanh", "relu"))
        self.mode = f"RNN_{self.nonlinearity.upper()}"

    def _layer(self, x: Any, states: Any, weights: Any, reverse: bool) -> Any:
        return rnn_layer(x, states, weights, self.nonlinearity, reverse)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The outputs (T, N, D·H) with D directions, or (N, T, D·H) or (T, D·H) as the input is;
        and the last states h_n (layers·D, N, H). `hx` has the first states, 0 if not given."""
        y, (h,) = self._run(input, hx)
        return y, h


class LSTM(_Recurrent):
    """Long short-term memory: a second state c_t, which gates change by sums and products alone.

    Args:
        input_size: I, the size of an input vector.
        hidden_size: H, the size of a state.
        num_layers: the outputs of one layer are the inputs of the next.
        bias: learn b_ih and b_hh.
        batch_first: inputs and outputs are (N, T, …) instead of (T, N, …); states are not.
        dropout: the probability of dropping an output between layers, in training.
        bidirectional: a second network goes from the last step to the first; its outputs follow
            those of the first, and its parameters end in "_reverse".
        proj_size: 0; projections are not supported.
        device: the CPU, the only one there is.
        dtype: of the parameters; float32 by default.

    `weight_ih_l0` (4·H, I), `weight_hh_l0` (4·H, H), `bias_ih_l0` and `bias_hh_l0` (4·H,), and so
    on for l1, …, start uniform on ±1/√H. Source: Hochreiter & Schmidhuber, Long short-term memory,
    1997; the equations stand in `ops/recurrent.py`.
    """

    blocks = 4
    states = ("h_0", "c_0")
    mode = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size, device, dtype,
        )  # fmt: skip

    def _layer(self, x: Any, states: Any, weights: Any, reverse: bool) -> Any:
        return lstm_layer(x, states, weights, reverse)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The outputs (T, N, D·H) with D directions, or (N, T, D·H) or (T, D·H) as the input is;
        and the last states (h_n, c_n), both (layers·D, N, H). `hx` has the first states (h_0, c_0),
        0 if not given."""
        y, (h, c) = self._run(input, hx)
        return y, (h, c)


class GRU(_Recurrent):
    """Gated recurrent units: one state, of which a gate keeps a part and replaces the rest.

    Args:
        input_size: I, the size of an input vector.
        hidden_size: H, the size of a state.
        num_layers: the outputs of one layer are the inputs of the next.
        bias: learn b_ih and b_hh.
        batch_first: inputs and outputs are (N, T, …) instead of (T, N, …); states are not.
        dropout: the probability of dropping an output between layers, in training.
        bidirectional: a second network goes from the last step to the first; its outputs follow
            those of the first, and its parameters end in "_reverse".
        device: the CPU, the only one there is.
        dtype: of the parameters; float32 by default.

    `weight_ih_l0` (3·H, I), `weight_hh_l0` (3·H, H), `bias_ih_l0` and `bias_hh_l0` (3·H,), and so
    on for l1, …, start uniform on ±1/√H. Source: Cho et al., Learning phrase representations using
    RNN encoder-decoder for statistical machine translation, 2014; the equations stand in
    `ops/recurrent.py`.
    """

    blocks = 3
    mode = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0,
            device, dtype,
        )  # fmt: skip

    def _layer(self, x: Any, states: Any, weights: Any, reverse: bool) -> Any:
        return gru_layer(x, states, weights, reverse)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The outputs (T, N, D·H) with D directions, or (N, T, D·H) or (T, D·H) as the input is;
        and the last states h_n (layers·D, N, H). `hx` has the first states, 0 if not given."""
        y, (h,) = self._run(input, hx)
        return y, h
