"""PyTorch's `torch.distributions.constraints`: which values a parameter or a sample may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.ops.create import as_tensor
from minigrad.tensor import Tensor, wrap


class Constraint:
    """A set of values: numbers, or with `event_dim` arrays of so many axes.

    Args:
        words: what the values are, as errors say it.
        holds: from an array to whether its numbers are such, in a shape that broadcasts to it.
        is_discrete: whether there are gaps between the values.
        event_dim: how many of the last axes make one value.
    """

    def __init__(
        self, words: str, holds: Callable[[Any], Any], is_discrete: bool = False, event_dim: int = 0
    ) -> None:
        self.words, self.holds = words, holds
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def check(self, value: Any) -> Tensor:
        """Where a tensor has such values, without the last `event_dim` axes."""
        a = as_tensor(value).array.real
        good = np.broadcast_to(self.holds(a), a.shape)
        return wrap(np.asarray(good.all(axis=tuple(range(-self.event_dim, 0)))))

    def __repr__(self) -> str:
        return f"Constraint({self.words})"


def _bound(limit: Any) -> tuple[Any, str]:
    """A limit as an array, and as an error names it."""
    if isinstance(limit, Tensor):
        return limit.array.real, str(limit.item()) if limit.numel() == 1 else "the lower bounds"
    return limit, f"{limit:g}"


def greater_than(lower_bound: Any) -> Constraint:
    """Numbers above a bound."""
    low, words = _bound(lower_bound)
    return Constraint(f"above {words}", lambda a: a > low)


def greater_than_eq(lower_bound: Any) -> Constraint:
    """Numbers of at least a bound."""
    low, words = _bound(lower_bound)
    return Constraint(f"at least {words}", lambda a: a >= low)


def interval(lower_bound: Any, upper_bound: Any, words: str = "") -> Constraint:
    """Numbers from a lower to an upper bound, which may be tensors."""
    low, high = _bound(lower_bound)[0], _bound(upper_bound)[0]
    words = words or f"in [{lower_bound:g}, {upper_bound:g}]"
    return Constraint(words, lambda a: (a >= low) & (a <= high))


def integer_interval(lower_bound: Any, upper_bound: Any, words: str) -> Constraint:
    """Whole numbers from a lower to an upper bound, which may be tensors."""
    within = interval(lower_bound, upper_bound, words)
    return Constraint(words, lambda a: within.holds(a) & (a % 1 == 0), True)


def independent(base: Constraint, reinterpreted_batch_ndims: int) -> Constraint:
    """Arrays of more axes, all numbers of which are as `base` says."""
    event_dim = base.event_dim + reinterpreted_batch_ndims
    return Constraint(base.words, base.holds, base.is_discrete, event_dim)


def _is_one_hot(a: Any) -> Any:
    return ((a == 0) | (a == 1)) & (a.sum(axis=-1, keepdims=True) == 1)


def _is_simplex(a: Any) -> Any:
    whole = np.abs(a.sum(axis=-1, keepdims=True, dtype=np.float64) - 1) < 1e-5
    return (a >= 0) & whole


def _is_positive_definite(a: Any) -> Any:
    alike = np.isclose(a, np.swapaxes(a, -1, -2), atol=1e-6).all(axis=(-2, -1), keepdims=True)
    known = np.where(np.isfinite(a), a, 0)
    return alike & (np.linalg.eigvalsh(known)[..., None].min(axis=-2, keepdims=True) > 0)


def _is_lower_cholesky(a: Any) -> Any:
    spot = np.diagonal(a, axis1=-2, axis2=-1).min(axis=-1, initial=np.inf)
    return (np.tril(a) == a) & (spot > 0)[..., None, None]


real = Constraint("a number, not NaN", lambda a: a == a)
real_vector = independent(real, 1)
positive = greater_than(0)
nonnegative = greater_than_eq(0)
unit_interval = interval(0, 1)
chance = Constraint("above 0 and at most 1", lambda a: (a > 0) & (a <= 1))
half_open_chance = Constraint("at least 0 and below 1", lambda a: (a >= 0) & (a < 1))
boolean = Constraint("0 or 1", lambda a: (a == 0) | (a == 1), True)
nonnegative_integer = Constraint(
    "a whole number of at least 0", lambda a: (a % 1 == 0) & (a >= 0), True
)
one_hot = Constraint("one 1 among zeros along the last axis", _is_one_hot, True, 1)
simplex = Constraint("at least 0, of sum 1 along the last axis", _is_simplex, event_dim=1)
positive_definite = Constraint(
    "symmetric and positive definite", _is_positive_definite, event_dim=2
)
lower_cholesky = Constraint(
    "a lower triangle with a positive diagonal", _is_lower_cholesky, event_dim=2
)
