"""The distribution of the size of Cauchy's number."""

from __future__ import annotations

import math

from minigrad.distributions.cauchy import Cauchy
from minigrad.distributions.half_normal import Folded
from minigrad.ops.create import full_like
from minigrad.tensor import Tensor


class HalfCauchy(Folded):
    """|x| for an x of Cauchy's distribution around 0.

    Args:
        scale: that of x, above 0, a number or a tensor.
    """

    _whole = Cauchy

    @property
    def mean(self) -> Tensor:
        """inf."""
        return full_like(self.scale, math.inf)

    @property
    def variance(self) -> Tensor:
        """inf."""
        return full_like(self.scale, math.inf)
