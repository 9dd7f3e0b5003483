"""Activation functions as layers.

`inplace` is accepted where PyTorch has it, and shows in the layer's text; the result is a new
tensor either way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.checks import floating, integer, number, one_of
from minigrad.nn import functional as F
from minigrad.nn.module import Module, Parameter
from minigrad.recording import require
from minigrad.tensor import Tensor, wrap


class _Activation(Module):
    """An activation that takes no argument but, perhaps, `inplace`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """`inplace=True`, if it is."""
        return "inplace=True" if self.inplace else ""


class ReLU(_Activation):
    """max(x, 0).

    >>> nn.ReLU()(mg.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.relu`."""
        return F.relu(input)


class SELU(_Activation):
    """A scaled ELU that keeps mean 0 and variance 1 (Klambauer et al. 2017)."""

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.selu`."""
        return F.selu(input)


class SiLU(_Activation):
    """x·sigmoid(x), also called swish (Hendrycks & Gimpel 2016)."""

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.silu`."""
        return F.silu(input)


class Mish(_Activation):
    """x·tanh(softplus(x)) (Misra 2019)."""

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.mish`."""
        return F.mish(input)


class Hardsigmoid(_Activation):
    """relu6(x + 3)/6."""

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.hardsigmoid`."""
        return F.hardsigmoid(input)

    def extra_repr(self) -> str:
        """Nothing, as in PyTorch."""
        return ""


class Hardswish(_Activation):
    """x·relu6(x + 3)/6 (Howard et al. 2019)."""

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.hardswish`."""
        return F.hardswish(input)

    def extra_repr(self) -> str:
        """Nothing, as in PyTorch."""
        return ""


class Sigmoid(Module):
    """1/(1 + e⁻ˣ)."""

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.sigmoid`."""
        return F.sigmoid(input)


class Tanh(Module):
    """tanh(x)."""

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.tanh`."""
        return F.tanh(input)


class LogSigmoid(Module):
    """log sigmoid(x)."""

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.logsigmoid`."""
        return F.logsigmoid(input)


class Softsign(Module):
    """x/(1 + |x|)."""

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.softsign`."""
        return F.softsign(input)


class LeakyReLU(_Activation):
    """x where positive, negative_slope·x elsewhere."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.leaky_relu`."""
        return F.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class ELU(_Activation):
    """x where positive, alpha·(eˣ - 1) elsewhere (Clevert et al. 2016)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.elu`."""
        return F.elu(input, self.alpha)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class CELU(ELU):
    """x where positive, alpha·(exp(x/alpha) - 1) elsewhere (Barron 2017)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(alpha, inplace)
        if alpha == 0:
            raise ValueError("CELU: alpha must not be 0, it divides x")

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.celu`."""
        return F.celu(input, self.alpha)


class GELU(Module):
    """x·Φ(x), with Φ the normal distribution function (Hendrycks & Gimpel 2016).

    Args:
        approximate: "none", or "tanh" for the paper's approximation.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = one_of("GELU", "approximate", approximate, ("none", "tanh"))

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.gelu`."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """The argument."""
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + exp(beta·x))/beta, and x itself where beta·x is above the threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.softplus`."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Hardtanh(_Activation):
    """x limited to [min_val, max_val]."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        low = number(type(self).__name__, "min_val", min_val)
        if not low < number(type(self).__name__, "max_val", max_val):
            raise ValueError(
                f"{type(self).__name__}: expected min_val < max_val, got {min_val} and {max_val}"
            )
        self.min_val, self.max_val = min_val, max_val

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.hardtanh`."""
        return F.hardtanh(input, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        """The arguments."""
        text = f"min_val={self.min_val}, max_val={self.max_val}"
        return text + (", inplace=True" if self.inplace else "")


class ReLU6(Hardtanh):
    """min(max(x, 0), 6)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        """`inplace=True`, if it is."""
        return "inplace=True" if self.inplace else ""


class PReLU(Module):
    """x where positive, weight·x elsewhere, the weight learnt (He et al. 2015).

    Args:
        num_parameters: 1, or the number of channels for a weight of each (axis 1 of the input).
        init: what the weight starts at.
        dtype: of the weight; float32 by default.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = integer("PReLU", "num_parameters", num_parameters)
        self.init = number("PReLU", "init", init)
        weight = np.full(self.num_parameters, self.init, floating("PReLU", dtype, device))
        self.weight = Parameter(wrap(weight))

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.prelu`."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of weights."""
        return f"num_parameters={self.num_parameters}"


class Softmax(Module):
    """eˣ normalised to sum 1 along `dim`, which should be given."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = None if dim is None else integer(type(self).__name__, "dim", dim, None)

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.softmax`."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmax2d(Module):
    """eˣ of (N, C, H, W) or (C, H, W) normalised to sum 1 over the channels, at each place."""

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.softmax`."""
        require("Softmax2d", input=input)
        if input.ndim not in (3, 4):
            raise ValueError(
                f"Softmax2d: expected (N, C, H, W) or (C, H, W), got shape {input.shape}"
            )
        return F.softmax(input, -3)


class LogSoftmax(Softmax):
    """log softmax(x) along `dim`, which should be given."""

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.log_softmax`."""
        return F.log_softmax(input, self.dim)
