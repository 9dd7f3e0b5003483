"""Pareto's distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from minigrad.distributions.constraints import Constraint, positive
from minigrad.distributions.distribution import Distribution
from minigrad.ops.arithmetic import clamp
from minigrad.ops.create import as_tensor
from minigrad.ops.elementary import exp, expm1, log, log1p
from minigrad.tensor import Tensor


class Pareto(Distribution):
    """scale·e^(z/alpha) for an exponential z: of density proportional to x^(-alpha - 1).

    Args:
        scale: the least value, above 0, a number or a tensor.
        alpha: above 0; broadcast with `scale`.
    """

    has_rsample = True
    arg_constraints: ClassVar = {"scale": positive, "alpha": positive}
    scale: Tensor
    alpha: Tensor

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self._hold(validate_args, scale=scale, alpha=alpha)

    @property
    def support(self) -> Constraint:
        """From scale on."""
        return Constraint("at least scale", lambda a: a >= self.scale.array.real)

    @property
    def mean(self) -> Tensor:
        """alpha·scale/(alpha - 1), inf for alpha of at most 1."""
        a = clamp(self.alpha, min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Tensor:
        """scale."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """scale²·alpha/((alpha - 1)²·(alpha - 2)), inf for alpha of at most 2."""
        a = clamp(self.alpha, min=2)
        return self.scale**2 * a / ((a - 1) ** 2 * (a - 2))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """scale·e^(z/alpha)."""
        return self.scale * exp(self._exponential(sample_shape) / self.alpha)

    def log_prob(self, value: Any) -> Tensor:
        """log alpha + alpha·log scale - (alpha + 1)·log x."""
        x = self._value(value)
        return log(self.alpha) + self.alpha * log(self.scale) - (self.alpha + 1) * log(x)

    def cdf(self, value: Any) -> Tensor:
        """1 - (scale/x)^alpha."""
        return -expm1(self.alpha * log(self.scale / self._value(value)))

    def icdf(self, value: Any) -> Tensor:
        """scale·(1 - x)^(-1/alpha)."""
        return self.scale * exp(-log1p(-as_tensor(value)) / self.alpha)

    def entropy(self) -> Tensor:
        """log(scale/alpha) + 1 + 1/alpha."""
        return log(self.scale / self.alpha) + 1 + 1 / self.alpha
