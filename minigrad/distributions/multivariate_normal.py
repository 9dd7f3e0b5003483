"""The normal distribution of vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from minigrad.distributions.constraints import lower_cholesky, positive_definite, real, real_vector
from minigrad.distributions.distribution import Distribution
from minigrad.ops.create import as_tensor, eye
from minigrad.ops.elementary import log
from minigrad.ops.linalg import cholesky, inv
from minigrad.ops.linear import matmul
from minigrad.ops.random import randn
from minigrad.ops.shape import diagonal, expand
from minigrad.ops.solving import solve_triangular
from minigrad.tensor import Tensor


class MultivariateNormal(Distribution):
    """Vectors (D,) of a mean and a covariance matrix, given in one of three ways.

    Args:
        loc: the means (…, D).
        covariance_matrix: symmetric and positive definite, (…, D, D); or
        precision_matrix: its inverse; or
        scale_tril: L of covariance L·Lᵀ, a lower triangle with a positive diagonal.

    Raises:
        ValueError: none or several of the three are given, shapes do not fit, or the matrix is not
            what it should be.
    """

    has_rsample = True
    arg_constraints: ClassVar = {
        "loc": real_vector, "covariance_matrix": positive_definite,
        "precision_matrix": positive_definite, "scale_tril": lower_cholesky,
    }  # fmt: skip
    support = real_vector

    def __init__(
        self, loc: Any, covariance_matrix: Any = None, precision_matrix: Any = None,
        scale_tril: Any = None, validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        name, matrices = "MultivariateNormal", list(self.arg_constraints)[1:]
        given = zip(matrices, (covariance_matrix, precision_matrix, scale_tril), strict=True)
        known = [(key, as_tensor(value)) for key, value in given if value is not None]
        if len(known) != 1:
            raise ValueError(f"{name}: expected one of {', '.join(matrices)}, got {len(known)}")
        (self._which, matrix), mean = known[0], as_tensor(loc)
        size = mean.shape[-1] if mean.ndim else 0
        if not mean.ndim or matrix.ndim < 2 or matrix.shape[-2:] != (size, size):
            raise ValueError(
                f"{name}: loc of shape {mean.shape} does not fit {self._which} of shape "
                f"{matrix.shape}: expected (…, D) and (…, D, D)"
            )
        batch = np.broadcast_shapes(mean.shape[:-1], matrix.shape[:-2])
        super().__init__(batch, (size,), validate_args)
        self.loc = expand(mean, (*batch, size))
        self._check("loc", self.loc, real.holds(self.loc.array.real), real.words)
        allowed = self.arg_constraints[self._which]
        if self._validate_args:
            self._check(self._which, matrix, allowed.holds(matrix.array.real), allowed.words)
        self.__dict__[self._which] = expand(matrix, (*batch, size, size))

    def _given(self) -> tuple[str, ...]:
        return ("loc", self._which)

    @cached_property
    def scale_tril(self) -> Tensor:
        """L, by Cholesky's method."""
        whole = self._which == "covariance_matrix"
        return cholesky(self.covariance_matrix if whole else inv(self.precision_matrix))

    @cached_property
    def covariance_matrix(self) -> Tensor:
        """L·Lᵀ."""
        return matmul(self.scale_tril, self.scale_tril.mT)

    @cached_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance, L⁻ᵀ·L⁻¹."""
        return matmul(self._whitening.mT, self._whitening)

    @cached_property
    def _whitening(self) -> Tensor:
        """L⁻¹, which one product applies to any number of values."""
        one = eye(self.event_shape[0], dtype=self.scale_tril.dtype)
        return solve_triangular(self.scale_tril, one, upper=False)

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

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """loc + L·z for standard normal z."""
        z = randn(self._shape(sample_shape), dtype=self._dtype)
        return self.loc + matmul(self.scale_tril, z.unsqueeze(-1)).squeeze(-1)

    def log_det(self) -> Tensor:
        """log det L, half of that of the covariance."""
        return log(diagonal(self.scale_tril, 0, -2, -1)).sum(-1)

    def distance(self, value: Tensor) -> Tensor:
        """|L⁻¹·(x - loc)|²."""
        z = matmul(self._whitening, (value - self.loc).unsqueeze(-1)).squeeze(-1)
        return (z * z).sum(-1)

    def log_prob(self, value: Any) -> Tensor:
        """-|L⁻¹·(x - loc)|²/2 - log det L - D·log √(2π)."""
        constant = 0.5 * self.event_shape[0] * math.log(2 * math.pi)
        return -0.5 * self.distance(self._value(value)) - self.log_det() - constant

    def entropy(self) -> Tensor:
        """log det L + D·(1/2 + log √(2π))."""
        return self.log_det() + 0.5 * self.event_shape[0] * (1 + math.log(2 * math.pi))
