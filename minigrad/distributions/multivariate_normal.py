"""The normal distribution of vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.distributions.distribution import Distribution
from minigrad.ops.create import as_tensor
from minigrad.ops.elementary import log
from minigrad.ops.linalg import cholesky, inv, solve
from minigrad.ops.linear import matmul
from minigrad.ops.random import randn
from minigrad.ops.shape import diagonal, expand, squeeze, unsqueeze
from minigrad.tensor import Tensor


class MultivariateNormal(Distribution):
    """Vectors (D,) of a mean and a covariance matrix, given in one of three ways.

    Args:
        loc: the means (…, D).
        covariance_matrix: symmetric and positive definite, (…, D, D); or
        precision_matrix: its inverse; or
        scale_tril: L of covariance L·Lᵀ, a lower triangle with a positive diagonal.

    Raises:
        ValueError: none or several of the three are given, shapes do not fit, or the diagonal of
            scale_tril is not positive.
    """

    has_rsample = True
    _expected = "a number, not NaN"

    def __init__(
        self, loc: Any, covariance_matrix: Any = None, precision_matrix: Any = None,
        scale_tril: Any = None, validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        name = "MultivariateNormal"
        given = {
            "covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }  # fmt: skip
        known = {key: as_tensor(value) for key, value in given.items() if value is not None}
        if len(known) != 1:
            raise ValueError(f"{name}: expected one of {', '.join(given)}, got {len(known)}")
        ((which, matrix),) = known.items()
        mean = as_tensor(loc)
        size = mean.shape[-1] if mean.ndim else 0
        if not mean.ndim or matrix.ndim < 2 or matrix.shape[-2:] != (size, size):
            raise ValueError(
                f"{name}: loc of shape {mean.shape} does not fit {which} of shape {matrix.shape}"
            )
        batch = np.broadcast_shapes(mean.shape[:-1], matrix.shape[:-2])
        self.loc = expand(mean, (*batch, size))
        matrix = expand(matrix, (*batch, size, size))
        super().__init__(batch, (size,), validate_args)
        self._check("loc", self.loc, ~np.isnan(self.loc.array), "a number")
        if which == "scale_tril":
            spot = diagonal(matrix, 0, -2, -1)
            self._check("the diagonal of scale_tril", spot, spot.array.real > 0, "above 0")
            self.scale_tril = matrix
        elif which == "covariance_matrix":
            self.covariance_matrix = matrix
            self.scale_tril = cholesky(matrix)
        else:
            self.precision_matrix = matrix
            self.scale_tril = cholesky(inv(matrix))
        self._which = which

    def _given(self) -> tuple[str, ...]:
        return ("loc", self._which)

    @cached_property
    def covariance_matrix(self) -> Tensor:
        """L·Lᵀ."""
        return matmul(self.scale_tril, self.scale_tril.mT)

    @cached_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        return inv(self.covariance_matrix)

    def expand(self, batch_shape: Sequence[int]) -> MultivariateNormal:
        """The same distribution for a larger batch."""
        size = self.event_shape[0]
        return MultivariateNormal(
            expand(self.loc, (*batch_shape, size)),
            scale_tril=expand(self.scale_tril, (*batch_shape, size, size)), validate_args=False,
        )  # fmt: skip

    @property
    def mean(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The diagonal of the covariance."""
        return (self.scale_tril**2).sum(-1)

    def _supports(self, value: Any) -> Any:
        return value == value

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc + L·z for standard normal z."""
        z = randn(self._shape(sample_shape), dtype=self.loc.array.real.dtype)
        return self.loc + squeeze(matmul(self.scale_tril, unsqueeze(z, -1)), -1)

    def _log_det(self) -> Tensor:
        """log det L."""
        return log(diagonal(self.scale_tril, 0, -2, -1)).sum(-1)

    def log_prob(self, value: Any) -> Tensor:
        """-|L⁻¹·(x - loc)|²/2 - log det L - D·log √(2π)."""
        apart = unsqueeze(self._value(value) - self.loc, -1)
        z = squeeze(solve(self.scale_tril, apart), -1)
        constant = 0.5 * self.event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (z * z).sum(-1) - self._log_det() - constant

    def entropy(self) -> Tensor:
        """log det L + D·(1/2 + log √(2π))."""
        return self._log_det() + 0.5 * self.event_shape[0] * (1 + math.log(2 * math.pi))
