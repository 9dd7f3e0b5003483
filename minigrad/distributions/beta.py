"""The beta distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.distributions.dirichlet import Dirichlet
from minigrad.distributions.distribution import Distribution, no_gradient, parameters
from minigrad.ops.joining import stack
from minigrad.tensor import Tensor


class Beta(Distribution):
    """Numbers in (0, 1), of density proportional to x^(c1 - 1)·(1 - x)^(c0 - 1).

    Args:
        concentration1, concentration0: c1 and c0, above 0; broadcast.
    """

    has_rsample = True
    _names = ("concentration1", "concentration0")
    _expected = "from 0 to 1"

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = parameters(
            "Beta", concentration1=concentration1, concentration0=concentration0
        )
        super().__init__(self.concentration1.shape, validate_args=validate_args)
        for name in self._names:
            x = getattr(self, name)
            self._check(name, x, x.array.real > 0, "above 0")

    @property
    def _both(self) -> Dirichlet:
        """The Dirichlet distribution of x and 1 - x."""
        return Dirichlet(stack([self.concentration1, self.concentration0], -1), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """c1/(c1 + c0)."""
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self) -> Tensor:
        """c1·c0/((c1 + c0)²·(c1 + c0 + 1))."""
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total**2 * (total + 1))

    def _supports(self, value: Any) -> Any:
        return (value >= 0) & (value <= 1)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw by two numbers of the gamma distribution.

        Raises:
            NotImplementedError: a parameter wants a gradient.
        """
        for name in self._names:
            no_gradient(self, name, getattr(self, name))
        return self._both.rsample(sample_shape)[..., 0].contiguous()

    def log_prob(self, value: Any) -> Tensor:
        """(c1 - 1)·log x + (c0 - 1)·log(1 - x) + log Γ(c1 + c0) - log Γ(c1) - log Γ(c0)."""
        x = self._value(value)
        return self._both.log_prob(stack([x, 1 - x], -1))

    def entropy(self) -> Tensor:
        """That of the Dirichlet distribution."""
        return self._both.entropy()
