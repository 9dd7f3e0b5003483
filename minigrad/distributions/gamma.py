"""The gamma distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.distributions.distribution import Distribution, drawn, no_gradient, parameters
from minigrad.ops.arithmetic import clamp
from minigrad.ops.elementary import log
from minigrad.ops.random import generator
from minigrad.ops.special import digamma, lgamma
from minigrad.ops.trigonometry import xlogy
from minigrad.tensor import Tensor


class Gamma(Distribution):
    """The gamma distribution, of density rate^c·x^(c-1)·e^(-rate·x)/Γ(c), c the concentration.

    Args:
        concentration: above 0, a number or a tensor.
        rate: above 0; broadcast with it.
    """

    has_rsample = True
    _names = ("concentration", "rate")
    _expected = "at least 0"

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = parameters("Gamma", concentration=concentration, rate=rate)
        super().__init__(self.rate.shape, validate_args=validate_args)
        for name, x in (("concentration", self.concentration), ("rate", self.rate)):
            self._check(name, x, x.array.real > 0, "above 0")

    @property
    def mean(self) -> Tensor:
        """concentration/rate."""
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        """(concentration - 1)/rate, at least 0."""
        return clamp((self.concentration - 1) / self.rate, min=0)

    @property
    def variance(self) -> Tensor:
        """concentration/rate²."""
        return self.concentration / self.rate**2

    def _supports(self, value: Any) -> Any:
        return value >= 0

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """z/rate for a z of rate 1; gradients pass to the rate only.

        Raises:
            NotImplementedError: the concentration wants one.
        """
        shape = self._shape(sample_shape)
        no_gradient(self, "concentration", self.concentration)
        z = generator().standard_gamma(self.concentration.array.real, shape)
        least = np.finfo(self.rate.array.real.dtype).tiny  # above 0, for logarithms of it
        return drawn(self.rate, np.maximum(z, least)) / self.rate

    def log_prob(self, value: Any) -> Tensor:
        """c·log rate + (c - 1)·log x - rate·x - log Γ(c)."""
        x, c = self._value(value), self.concentration
        return xlogy(c, self.rate) + xlogy(c - 1, x) - self.rate * x - lgamma(c)

    def entropy(self) -> Tensor:
        """c - log rate + log Γ(c) + (1 - c)·ψ(c)."""
        c = self.concentration
        return c - log(self.rate) + lgamma(c) + (1 - c) * digamma(c)
