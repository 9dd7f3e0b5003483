"""Weibull's distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minigrad.distributions.constraints import positive
from minigrad.distributions.distribution import Distribution
from minigrad.ops.create import as_tensor
from minigrad.ops.elementary import exp, expm1, log, log1p
from minigrad.ops.special import lgamma
from minigrad.tensor import Tensor


class Weibull(Distribution):
    """scale·z^(1/concentration) for an exponential z.

    Args:
        scale, concentration: above 0, numbers or tensors; broadcast.
    """

    has_rsample = True
    arg_constraints: ClassVar = {"scale": positive, "concentration": positive}
    support = positive
    scale: Tensor
    concentration: Tensor

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self._hold(validate_args, scale=scale, concentration=concentration)

    @property
    def mean(self) -> Tensor:
        """scale·Γ(1 + 1/concentration)."""
        return self.scale * exp(lgamma(1 + 1 / self.concentration))

    @property
    def mode(self) -> Tensor:
        """scale·(1 - 1/concentration)^(1/concentration)."""
        return self.scale * (1 - 1 / self.concentration) ** (1 / self.concentration)

    @property
    def variance(self) -> Tensor:
        """scale²·(Γ(1 + 2/concentration) - Γ(1 + 1/concentration)²)."""
        square = exp(lgamma(1 + 2 / self.concentration))
        return self.scale**2 * (square - exp(2 * lgamma(1 + 1 / self.concentration)))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """scale·z^(1/concentration)."""
        return self.scale * self._exponential(sample_shape) ** (1 / self.concentration)

    def log_prob(self, value: Any) -> Tensor:
        """log(c/scale) + (c - 1)·log z - z^c for z = x/scale and the concentration c."""
        c, logs = self.concentration, log(self._value(value) / self.scale)
        return log(c / self.scale) + (c - 1) * logs - exp(c * logs)

    def cdf(self, value: Any) -> Tensor:
        """1 - e^(-z^concentration)."""
        return -expm1(-((self._value(value) / self.scale) ** self.concentration))

    def icdf(self, value: Any) -> Tensor:
        """scale·(-log(1 - x))^(1/concentration)."""
        return self.scale * (-log1p(-as_tensor(value))) ** (1 / self.concentration)

    def entropy(self) -> Tensor:
        """γ·(1 - 1/concentration) + log(scale/concentration) + 1, γ Euler's constant."""
        c = self.concentration
        return np.euler_gamma * (1 - 1 / c) + log(self.scale / c) + 1
