"""Recurrent cells, which take one step of a layer in `recurrent.py`."""

from __future__ import annotations

from typing import Any

from minigrad.checks import floating, one_of
from minigrad.nn.recurrent_base import Weights, gru_layer, lstm_layer, rnn_layer
from minigrad.ops.shape import reshape, squeeze, unsqueeze
from minigrad.tensor import Tensor


class RNNCellBase(Weights):
    """What RNNCell, LSTMCell and GRUCell share: a sequence of one step."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, device: Any, dtype: Any
    ) -> None:
        super().__init__(input_size, hidden_size, bias)
        self._add("", self.input_size, floating(type(self).__name__, dtype, device))
        self.reset_parameters()

    def _step(self, x: Tensor, hx: Any) -> list[Tensor]:
        """The states after the step."""
        self._check(x, 2, "(N, I) or (I,)")
        axes = "(N, H)" if x.ndim == 2 else "(H,)"
        states = self._begin(x, hx, x.shape[:-1], axes)
        if x.ndim == 2:
            return self._layer(unsqueeze(x, 0), states, self._weights(""), False, None)[1]
        states = [unsqueeze(state, 0) for state in states]
        ends = self._layer(reshape(x, 1, 1, -1), states, self._weights(""), False, None)[1]
        return [squeeze(end, 0) for end in ends]

    def extra_repr(self) -> str:
        """The arguments, those at their defaults left out."""
        return f"{self.input_size}, {self.hidden_size}{'' if self.bias else ', bias=False'}"


class RNNCell(RNNCellBase):
    """One step of an `RNN` of one layer.

    Args:
        input_size: I, the size of an input vector.
        hidden_size: H, the size of a state.
        bias: learn the two biases.
        nonlinearity: "tanh" or "relu".
        device: the CPU, the only one there is.
        dtype: of the parameters; float32 by default.
    """

    blocks = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = one_of("RNNCell", "nonlinearity", nonlinearity, ("tanh", "relu"))

    def _layer(self, x: Any, states: Any, weights: Any, reverse: bool, sizes: Any) -> Any:
        return rnn_layer(x, states, weights, self.nonlinearity, reverse, sizes)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state (N, H) or (H,), from x (N, I) or (I,) and the state `hx`, 0 if None."""
        return self._step(input, hx)[0]

    def extra_repr(self) -> str:
        """The arguments, those at their defaults left out."""
        text = super().extra_repr()
        return text if self.nonlinearity == "tanh" else f"{text}, nonlinearity={self.nonlinearity}"


class LSTMCell(RNNCellBase):
    """One step of an `LSTM` of one layer.

    Args:
        input_size: I, the size of an input vector.
        hidden_size: H, the size of a state.
        bias: learn the two biases.
        device: the CPU, the only one there is.
        dtype: of the parameters; float32 by default.
    """

    blocks = 4
    states = ("h_0", "c_0")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def _layer(self, x: Any, states: Any, weights: Any, reverse: bool, sizes: Any) -> Any:
        return lstm_layer(x, states, weights, reverse, sizes)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The next states (h, c), each (N, H) or (H,), from x (N, I) or (I,) and the pair `hx`, 0
        if None."""
        h, c = self._step(input, hx)
        return h, c


class GRUCell(RNNCellBase):
    """One step of a `GRU` of one layer.

    Args:
        input_size: I, the size of an input vector.
        hidden_size: H, the size of a state.
        bias: learn the two biases.
        device: the CPU, the only one there is.
        dtype: of the parameters; float32 by default.
    """

    blocks = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def _layer(self, x: Any, states: Any, weights: Any, reverse: bool, sizes: Any) -> Any:
        return gru_layer(x, states, weights, reverse, sizes)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state (N, H) or (H,), from x (N, I) or (I,) and the state `hx`, 0 if None."""
        return self._step(input, hx)[0]
