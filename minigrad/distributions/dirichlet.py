"""The Dirichlet distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minigrad.distributions.constraints import Constraint, independent, positive, simplex
from minigrad.distributions.distribution import Distribution, parameters
from minigrad.distributions.gamma import standard_gamma
from minigrad.ops.activations import softmax
from minigrad.ops.arithmetic import clamp, where
from minigrad.ops.special import digamma, lgamma
from minigrad.ops.trigonometry import xlogy
from minigrad.tensor import Tensor


class Dirichlet(Distribution):
    """K numbers of sum 1, of density proportional to Π x_k^(c_k - 1).

    Args:
        concentration: the c, (…, K), above 0.
    """

    has_rsample = True
    arg_constraints: ClassVar = {"concentration": independent(positive, 1)}
    support: Constraint = simplex

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        (c,) = parameters("Dirichlet", concentration=concentration)
        if not c.ndim:
            raise ValueError("Dirichlet: concentration must have an axis, got a 0-d tensor")
        super().__init__(c.shape[:-1], c.shape[-1:], validate_args)
        self.concentration = c
        self._check("concentration", c, c.array.real > 0, positive.words)

    @property
    def mean(self) -> Tensor:
        """concentration, normalised to sum 1."""
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def mode(self) -> Tensor:
        """c - 1, at least 0, normalised to sum 1; where all c are below 1, 1 at the largest."""
        c = self.concentration
        above = clamp(c - 1, min=0.0)
        inner = above / above.sum(-1, keepdim=True)
        largest = np.arange(c.shape[-1]) == c.array.real.argmax(axis=-1)[..., None]
        corner = Tensor(largest.astype(self._dtype))
        return where(Tensor((c.array.real < 1).all(axis=-1, keepdims=True)), corner, inner)

    @property
    def variance(self) -> Tensor:
        """c·(c₀ - c)/(c₀²·(c₀ + 1)), c₀ the sum of the c."""
        c = self.concentration
        total = c.sum(-1, keepdim=True)
        return c * (total - c) / (total**2 * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Numbers of the gamma distribution divided by their sum, by logarithms."""
        logs = standard_gamma(self.concentration, self._shape(sample_shape), logarithm=True)
        return softmax(logs, -1)

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
