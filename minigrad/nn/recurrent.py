"""Recurrent layers, over whole sequences; `cells.py` has those of one step."""

from __future__ import annotations

import warnings
from typing import Any, overload

from minigrad.checks import floating, integer, one_of, probability
from minigrad.nn import functional as F
from minigrad.nn.recurrent_base import (
    Weights,
    gru_layer,
    lstm_layer,
    projected_lstm_layer,
    rnn_layer,
)
from minigrad.nn.utils.rnn import PackedSequence, step_sizes
from minigrad.ops.indexing import index_select
from minigrad.ops.joining import cat, stack
from minigrad.ops.recurrent import Sizes
from minigrad.ops.sequences import to_packed, to_padded
from minigrad.ops.shape import select, squeeze, transpose, unsqueeze
from minigrad.tensor import Tensor


class RNNBase(Weights):
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
        self.proj_size = integer(name, "proj_size", proj_size, 0)
        if self.proj_size >= self.hidden_size:
            raise ValueError(
                f"{name}: proj_size must be below hidden_size={self.hidden_size}, got {proj_size}"
            )
        self.batch_first = batch_first
        self.dropout = float(probability(name, "dropout", dropout))
        self.bidirectional = bool(bidirectional)
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
                wide = (self.proj_size or self.hidden_size) * len(self._ways())
                self._add(f"_l{k}{way}", wide if k else self.input_size, kind)
        self.reset_parameters()

    def _ways(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def flatten_parameters(self) -> None:
        """Nothing: in PyTorch it concerns CUDA alone."""

    def _run(self, x: Any, hx: Any) -> tuple[Any, list[Tensor]]:
        """The outputs of the last layer, and each state at the end, of all layers."""
        if isinstance(x, PackedSequence):
            return self._run_packed(x, hx)
        name = type(self).__name__
        order = "(N, T, I)" if self.batch_first else "(T, N, I)"
        self._check(x, 3, f"{order} or (T, I)")
        batched, layers = x.ndim == 3, self.num_layers * len(self._ways())
        batch = (x.shape[0 if self.batch_first else 1],) if batched else ()
        axes = "(layers·directions, N, H)" if batched else "(layers·directions, H)"
        states = self._begin(x, hx, (layers, *batch), axes)
        if not batched:
            x, states = unsqueeze(x, 1), [unsqueeze(state, 1) for state in states]
        elif self.batch_first:
            x = transpose(x, 0, 1)
        if not len(x):
            raise RuntimeError(f"{name}: expected a sequence of at least one step, got none")
        x, finals = self._all_layers(x, states, None)
        if not batched:
            return squeeze(x, 1), [squeeze(state, 1) for state in finals]
        return transpose(x, 0, 1) if self.batch_first else x, finals

    def _run_packed(self, packed: PackedSequence, hx: Any) -> tuple[Any, list[Tensor]]:
        """`_run` for packed sequences; states are in the sequences' original order."""
        name = type(self).__name__
        sizes, data = step_sizes(name, packed), packed.data
        if data.ndim != 2:
            raise ValueError(
                f"{name}: expected packed sequences of vectors, with data (elements, I), got shape "
                f"{data.shape}"
            )
        self._check(data, 2, "(elements, I)")
        layers = self.num_layers * len(self._ways())
        states = self._begin(data, hx, (layers, sizes[0]), "(layers·directions, N, H)")
        order, back = packed.sorted_indices, packed.unsorted_indices
        if order is not None:
            states = [index_select(state, 1, order) for state in states]
        y, finals = self._all_layers(to_padded(data, sizes), states, sizes)
        if back is not None:
            finals = [index_select(state, 1, back) for state in finals]
        return PackedSequence(to_packed(y, sizes), packed.batch_sizes, order, back), finals

    def _all_layers(
        self, x: Tensor, states: list[Tensor], sizes: Sizes
    ) -> tuple[Tensor, list[Tensor]]:
        ends: list[list[Tensor]] = []
        for k in range(self.num_layers):
            if k and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            outputs = []
            for way in self._ways():
                begin = [select(state, 0, len(ends)) for state in states]
                y, end = self._layer(x, begin, self._weights(f"_l{k}{way}"), bool(way), sizes)
                outputs.append(y)
                ends.append(end)
            x = cat(outputs, -1) if len(outputs) > 1 else outputs[0]
        return x, [stack(state) for state in zip(*ends, strict=True)]

    def extra_repr(self) -> str:
        """The arguments, those at their defaults left out."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size:
            text += f", proj_size={self.proj_size}"
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0,
                    "bidirectional": False}  # fmt: skip
        for name, default in defaults.items():
            if (value := getattr(self, name)) != default:
                text += f", {name}={value}"
        return text


class _OfOneState(RNNBase):
    @overload
    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]: ...
    @overload
    def forward(
        self, input: PackedSequence, hx: Tensor | None = None
    ) -> tuple[PackedSequence, Tensor]: ...
    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """The outputs (T, N, D·H) with D directions, or (N, T, D·H) or (T, D·H) as the input is,
        or packed sequences for packed sequences; and the last states h_n (layers·D, N, H). `hx` has
        the first states, 0 if not given."""
        y, (h,) = self._run(input, hx)
        return y, h


class RNN(_OfOneState):
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

    def _layer(self, x: Any, states: Any, weights: Any, reverse: bool, sizes: Sizes) -> Any:
        return rnn_layer(x, states, weights, self.nonlinearity, reverse, sizes)


class LSTM(RNNBase):
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
        proj_size: P below H, to which a matrix projects each output h_t, also as the next step's
            state; 0 for none. c_t keeps its size.
        device: the CPU, the only one there is.
        dtype: of the parameters; float32 by default.

    `weight_ih_l0` (4·H, I), `weight_hh_l0` (4·H, H), `bias_ih_l0` and `bias_hh_l0` (4·H,), with
    `proj_size` also `weight_hr_l0` (P, H), and so on for l1, …, start uniform on ±1/√H. Sources:
    Hochreiter & Schmidhuber, Long short-term memory, 1997; for projections Sak et al., Long
    short-term memory recurrent neural network architectures for large scale acoustic modeling,
    2014; the equations stand in `ops/recurrent.py`.
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

    def _layer(self, x: Any, states: Any, weights: Any, reverse: bool, sizes: Sizes) -> Any:
        layer = projected_lstm_layer if self.proj_size else lstm_layer
        return layer(x, states, weights, reverse, sizes)

    @overload
    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...
    @overload
    def forward(
        self, input: PackedSequence, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[PackedSequence, tuple[Tensor, Tensor]]: ...
    def forward(
        self, input: Any, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        """The outputs (T, N, D·H) with D directions, or (N, T, D·H) or (T, D·H) as the input is,
        or packed sequences for packed sequences; and the last states (h_n, c_n), both
        (layers·D, N, H). `hx` has the first states (h_0, c_0), 0 if not given. With `proj_size` the
        outputs and h are of that size in the place of H."""
        y, (h, c) = self._run(input, hx)
        return y, (h, c)


class GRU(_OfOneState):
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

    def _layer(self, x: Any, states: Any, weights: Any, reverse: bool, sizes: Sizes) -> Any:
        return gru_layer(x, states, weights, reverse, sizes)
