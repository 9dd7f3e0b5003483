"""What a standard number becomes that is stretched by a scale and moved by a location."""

from __future__ import annotations

from typing import Any, ClassVar

from minigrad.distributions.constraints import positive, real
from minigrad.distributions.distribution import Distribution
from minigrad.tensor import Tensor


class LocationScale(Distribution):
    """Distributions of loc + scale·z, whose highest density is at loc.

    Args:
        loc: the mode, a number or a tensor.
        scale: above 0; broadcast with `loc`.

    Raises:
        ValueError: scale is not above 0, or a parameter is NaN.
    """

    has_rsample = True
    arg_constraints: ClassVar = {"loc": real, "scale": positive}
    support = real
    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self._hold(validate_args, loc=loc, scale=scale)

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc
