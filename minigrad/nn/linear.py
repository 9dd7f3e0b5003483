"""Layers that multiply by a matrix, and dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.checks import floating, integer, probability
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter
from minigrad.tensor import Tensor, wrap


class Linear(Module):
    """y = x·Wᵀ + b for x (…, in_features); y is (…, out_features).

    Args:
        in_features: the last size of the input.
        out_features: the last size of the output.
        bias: learn b.
        dtype: of the parameters; float32 by default.

    `weight` (out_features, in_features) and `bias` start uniform on ±1/√in_features.

    >>> layer = nn.Linear(3, 2)
    >>> layer(mg.ones(5, 3)).shape, layer.weight.shape
    ((5, 2), (2, 3))
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = integer("Linear", "in_features", in_features)
        self.out_features = integer("Linear", "out_features", out_features)
        kind = floating("Linear", dtype, device)
        self.weight = Parameter(wrap(np.empty((self.out_features, self.in_features), kind)))
        self.bias: Parameter  # None where the layer was made without
        self.register_parameter(
            "bias", Parameter(wrap(np.empty(self.out_features, kind))) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.default_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """x·Wᵀ + b."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    """yₖ = x₁ᵀ·Wₖ·x₂ + bₖ for x₁ (…, in1_features) and x₂ (…, in2_features); y is (…,
    out_features).

    Args:
        in1_features, in2_features: the last sizes of the inputs.
        out_features: the last size of the output.
        bias: learn b.
        dtype: of the parameters; float32 by default.

    `weight` (out_features, in1_features, in2_features) and `bias` start uniform on
    ±1/√in1_features.

    >>> nn.Bilinear(3, 4, 2)(mg.ones(5, 3), mg.ones(5, 4)).shape
    (5, 2)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in1_features = integer("Bilinear", "in1_features", in1_features)
        self.in2_features = integer("Bilinear", "in2_features", in2_features)
        self.out_features = integer("Bilinear", "out_features", out_features)
        kind = floating("Bilinear", dtype, device)
        shape = (self.out_features, self.in1_features, self.in2_features)
        self.weight = Parameter(wrap(np.empty(shape, kind)))
        self.bias: Parameter  # None where the layer was made without
        self.register_parameter(
            "bias", Parameter(wrap(np.empty(self.out_features, kind))) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.in1_features)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """x₁ᵀ·W·x₂ + b."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Dropout(Module):
    """In training, zero each element with probability p and scale the rest by 1/(1 - p).

    Args:
        p: the probability, in [0, 1].
        inplace: accepted as in PyTorch; the result is a new tensor either way.

    Source: Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting,
    2014.

    >>> nn.Dropout(0.5).eval()(mg.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = probability(type(self).__name__, "p", p)
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """x with some elements dropped; x itself in eval mode."""
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout1d(Dropout):
    """Dropout of whole channels of (N, C, L) or (C, L)."""

    def forward(self, input: Tensor) -> Tensor:
        """x with some channels dropped; x itself in eval mode."""
        return F.dropout1d(input, self.p, self.training)


class Dropout2d(Dropout):
    """Dropout of whole channels of (N, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """x with some channels dropped; x itself in eval mode."""
        return F.dropout2d(input, self.p, self.training)


class Dropout3d(Dropout):
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """x with some channels dropped; x itself in eval mode."""
        return F.dropout3d(input, self.p, self.training)


class AlphaDropout(Dropout):
    """Dropout for self-normalising networks, those of SELU: in training, each element becomes
    SELU's lowest value with probability p, and all are scaled and shifted so that the mean and the
    variance of a standard normal input stay.

    Source: Klambauer et al., Self-normalizing neural networks, 2017.
    """

    def forward(self, input: Tensor) -> Tensor:
        """x with some elements dropped; x itself in eval mode."""
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(Dropout):
    """`AlphaDropout` of whole channels of (N, C, …)."""

    def forward(self, input: Tensor) -> Tensor:
        """x with some channels dropped; x itself in eval mode."""
        return F.feature_alpha_dropout(input, self.p, self.training)
