"""PyTorch's `torch.distributions.constraints`: which values a distribution or a transform takes."""

from __future__ import annotations

from typing import Any

from minigrad.ops.create import full_like
from minigrad.tensor import Tensor


class Constraint:
    """A set of values: numbers, or with `event_dim` arrays of so many axes."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """Where a tensor has such values."""
        raise NotImplementedError(f"{type(self).__name__}: there is no check")


class _Real(Constraint):
    def check(self, value: Tensor) -> Tensor:
        """Not NaN."""
        return value == value


class interval(Constraint):  # PyTorch's name
    """Numbers from a lower to an upper bound."""

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Tensor) -> Tensor:
        """Within the bounds."""
        return (value >= self.lower_bound) & (value <= self.upper_bound)


class greater_than(Constraint):  # PyTorch's name
    """Numbers above a bound."""

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Tensor) -> Tensor:
        """Above the bound."""
        return value > full_like(value, self.lower_bound)


real, positive, unit_interval = _Real(), greater_than(0.0), interval(0.0, 1.0)
