"""The Dirichlet distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.distributions.distribution import Distribution, drawn, no_gradient, parameters
from minigrad.ops.random import generator
from minigrad.ops.special import digamma, lgamma
from minigrad.ops.trigonometry import xlogy
from minigrad.tensor import Tensor


class Dirichlet(Distribution):
    """K numbers of sum 1, of density proportional to Π x_k^(c_k - 1).

    Args:
        concentration: (…, K), above 0.
    """

    has_rsample = True
    _names = ("concentration",)
    _expected = "at least 0, of sum 1 along the last axis"

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        (self.concentration,) = parameters("Dirichlet", concentration=concentration)
        c = self.concentration
        if not c.ndim:
            raise ValueError("Dirichlet: concentration must have an axis, got a 0-d tensor")
        super().__init__(c.shape[:-1], c.shape[-1:], validate_args)
        self._check("concentration", c, c.array.real > 0, "above 0")

    @property
    def mean(self) -> Tensor:
        """concentration, normalised to sum 1."""
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def variance(self) -> Tensor:
        """c·(c₀ - c)/(c₀²·(c₀ + 1)), c₀ the sum of the c."""
        c = self.concentration
        total = c.sum(-1, keepdim=True)
        return c * (total - c) / (total**2 * (total + 1))

    def _supports(self, value: Any) -> Any:
        whole = np.abs(value.sum(-1, keepdims=True) - 1) < 1e-6
        return (value >= 0) & whole

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Numbers of the gamma distribution, divided by their sum.

        Raises:
            NotImplementedError: the concentration wants a gradient.
        """
        shape = self._shape(sample_shape)
        no_gradient(self, "concentration", self.concentration)
        kind = self.concentration.array.real
        z = np.maximum(generator().standard_gamma(kind, shape), np.finfo(kind.dtype).tiny)
        return drawn(self.concentration, z / z.sum(-1, keepdims=True))

    def log_prob(self, value: Any) -> Tensor:
        """Σ (c - 1)·log x + log Γ(Σ c) - Σ log Γ(c)."""
        x, c = self._value(value), self.concentration
        return xlogy(c - 1, x).sum(-1) + lgamma(c.sum(-1)) - lgamma(c).sum(-1)

    def entropy(self) -> Tensor:
        """Σ log Γ(c) - log Γ(c₀) - (K - c₀)·ψ(c₀) - Σ (c - 1)·ψ(c), c₀ the sum of the c."""
        c = self.concentration
        total, k = c.sum(-1), c.shape[-1]
        most = lgamma(c).sum(-1) - lgamma(total) - (k - total) * digamma(total)
        return most - ((c - 1) * digamma(c)).sum(-1)
