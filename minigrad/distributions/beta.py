"""The beta distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minigrad.distributions.constraints import positive, unit_interval
from minigrad.distributions.dirichlet import Dirichlet
from minigrad.distributions.distribution import Distribution
from minigrad.ops.arithmetic import clamp
from minigrad.ops.joining import stack
from minigrad.tensor import Tensor


class Beta(Distribution):
    """Numbers in (0, 1), of density proportional to x^(c1 - 1)·(1 - x)^(c0 - 1).

    Args:
        concentration1, concentration0: c1 and c0, above 0; broadcast.
    """

    has_rsample = True
    arg_constraints: ClassVar = {"concentration1": positive, "concentration0": positive}
    support = unit_interval
    concentration1: Tensor
    concentration0: Tensor

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self._hold(validate_args, concentration1=concentration1, concentration0=concentration0)

    @property
    def _both(self) -> Dirichlet:
        """The Dirichlet distribution of x and 1 - x."""
        return Dirichlet(stack([self.concentration1, self.concentration0], -1), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """c1/(c1 + c0)."""
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        """(c1 - 1)/(c1 + c0 - 2) where both are above 1."""
        return self._both.mode[..., 0]

    @property
    def variance(self) -> Tensor:
        """c1·c0/((c1 + c0)²·(c1 + c0 + 1))."""
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total**2 * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw by two numbers of the gamma distribution; gradients pass to both parameters."""
        limits = np.finfo(self._dtype)
        x = self._both.rsample(sample_shape)[..., 0].contiguous()
        return clamp(x, float(limits.tiny), float(1 - limits.epsneg))

    def log_prob(self, value: Any) -> Tensor:
        """(c1 - 1)·log x + (c0 - 1)·log(1 - x) + log Γ(c1 + c0) - log Γ(c1) - log Γ(c0)."""
        x = self._value(value)
        return self._both.log_prob(stack([x, 1 - x], -1))

    def entropy(self) -> Tensor:
        """That of the Dirichlet distribution of x and 1 - x."""
        return self._both.entropy()
