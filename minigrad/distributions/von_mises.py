"""Von Mises' distribution of angles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from minigrad.distributions.constraints import positive, real
from minigrad.distributions.distribution import Distribution
from minigrad.ops.elementary import cos
from minigrad.ops.random import generator
from minigrad.ops.special import bessel_ratio, log_i0
from minigrad.tensor import Tensor


class VonMises(Distribution):
    """Angles, of density proportional to e^(concentration·cos(x - loc)).

    Args:
        loc: the most probable angle, a number or a tensor.
        concentration: above 0; broadcast with `loc`.
    """

    arg_constraints: ClassVar = {"loc": real, "concentration": positive}
    support = real
    loc: Tensor
    concentration: Tensor

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self._hold(validate_args, loc=loc, concentration=concentration)

    @property
    def mean(self) -> Tensor:
        """loc, the mean direction."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """1 - I₁(c)/I₀(c) for the concentration c: 1 less the length of the mean direction."""
        return 1 - bessel_ratio(self.concentration)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Angles from -π to π."""
        loc, c = self.loc.array.real, self.concentration.array.real
        return self._drawn(generator().vonmises(loc, c, self._shape(sample_shape)))

    def log_prob(self, value: Any) -> Tensor:
        """concentration·cos(x - loc) - log 2π - log I₀(concentration)."""
        c = self.concentration
        return c * cos(self._value(value) - self.loc) - math.log(2 * math.pi) - log_i0(c)
