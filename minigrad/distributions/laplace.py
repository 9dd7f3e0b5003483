"""The Laplace distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.distributions.distribution import Distribution, drawn, parameters
from minigrad.ops.arithmetic import abs as absolute
from minigrad.ops.create import as_tensor
from minigrad.ops.elementary import expm1, log, log1p
from minigrad.ops.random import generator
from minigrad.ops.rounding import sign
from minigrad.tensor import Tensor


class Laplace(Distribution):
    """The Laplace distribution, of density e^(-|x - loc|/scale)/(2·scale).

    Args:
        loc: a number or a tensor.
        scale: above 0; broadcast with `loc`.
    """

    has_rsample = True
    _names = ("loc", "scale")
    _expected = "a number, not NaN"

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = parameters("Laplace", loc=loc, scale=scale)
        super().__init__(self.loc.shape, validate_args=validate_args)
        self._check("loc", self.loc, ~np.isnan(self.loc.array), "a number")
        self._check("scale", self.scale, self.scale.array.real > 0, "above 0")

    @property
    def mean(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """2·scale²."""
        return 2 * self.scale**2

    @property
    def stddev(self) -> Tensor:
        """√2·scale."""
        return math.sqrt(2) * self.scale

    def _supports(self, value: Any) -> Any:
        return value == value

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc + scale·z for a z of the standard distribution."""
        z = generator().laplace(size=self._shape(sample_shape))
        return self.loc + drawn(self.loc, z) * self.scale

    def log_prob(self, value: Any) -> Tensor:
        """-log(2·scale) - |x - loc|/scale."""
        return -log(2 * self.scale) - absolute(self._value(value) - self.loc) / self.scale

    def cdf(self, value: Any) -> Tensor:
        """1/2 - sign(x - loc)·(e^(-|x - loc|/scale) - 1)/2."""
        x = self._value(value) - self.loc
        return 0.5 - 0.5 * sign(x) * expm1(-absolute(x) / self.scale)

    def icdf(self, value: Any) -> Tensor:
        """loc - scale·sign(x - 1/2)·log(1 - 2·|x - 1/2|)."""
        x = as_tensor(value) - 0.5
        return self.loc - self.scale * sign(x) * log1p(-2 * absolute(x))

    def entropy(self) -> Tensor:
        """1 + log(2·scale)."""
        return 1 + log(2 * self.scale)
