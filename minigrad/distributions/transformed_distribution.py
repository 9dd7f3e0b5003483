"""Distributions of a function of what another distribution draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.distributions.distribution import Distribution, sum_last
from minigrad.distributions.transforms import ComposeTransform, Transform
from minigrad.modes import no_grad
from minigrad.ops.create import as_tensor
from minigrad.tensor import Tensor


class TransformedDistribution(Distribution):
    """The distribution of y = f(x), x of a distribution.

    Args:
        base_distribution: the distribution of x.
        transforms: f, or a list of functions, of which the first is applied first.
    """

    def __init__(
        self, base_distribution: Distribution, transforms: Any, validate_args: bool | None = None
    ) -> None:
        name = "TransformedDistribution"
        self.base_dist = base_distribution
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        for f in self.transforms:
            if not isinstance(f, Transform):
                raise TypeError(f"{name}: expected Transforms, got {type(f).__name__}")
        shape = base_distribution.batch_shape + base_distribution.event_shape
        whole = ComposeTransform(self.transforms)
        with no_grad():  # the shapes that parameters of transforms broadcast to
            probe = whole(as_tensor(np.full(shape, 0.5, np.float32)))
        axes = max(whole.event_dim, len(base_distribution.event_shape))
        at = probe.ndim - axes
        if probe.ndim > len(shape) or probe.shape != shape:
            own = len(base_distribution.event_shape)
            self.base_dist = base_distribution.expand(probe.shape[: probe.ndim - own])
        super().__init__(probe.shape[:at], probe.shape[at:], validate_args)

    def expand(self, batch_shape: Sequence[int]) -> TransformedDistribution:
        """The same distribution for a larger batch."""
        own = len(self.base_dist.event_shape)
        more = self.event_shape[: len(self.event_shape) - own]
        base = self.base_dist.expand((*batch_shape, *more))
        return TransformedDistribution(base, self.transforms, validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """That of the base."""
        return self.base_dist.has_rsample

    def _through(self, x: Tensor) -> Tensor:
        for f in self.transforms:
            x = f(x)
        return x

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """f of what the base draws; no gradient passes."""
        with no_grad():
            return self._through(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """f of what the base draws; gradients pass to the parameters of both."""
        return self._through(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Any) -> Tensor:
        """The base's at x, less log |dy/dx|."""
        y, axes, total = self._value(value), len(self.event_shape), None
        for f in reversed(self.transforms):
            x = f.backwards(y)
            term = sum_last(f.log_abs_det_jacobian(x, y), axes - f.event_dim)
            total = -term if total is None else total - term
            y = x
        own = sum_last(self.base_dist.log_prob(y), axes - len(self.base_dist.event_shape))
        return own if total is None else own + total

    def _falls(self, p: Tensor) -> Tensor:
        """p, or 1 - p where f falls."""
        sign = ComposeTransform(self.transforms).sign
        if isinstance(sign, int):
            return p if sign == 1 else 1 - p
        return sign * (p - 0.5) + 0.5  # type: ignore[no-any-return]

    def cdf(self, value: Any) -> Tensor:
        """The base's at x, or 1 less that where f falls."""
        y = self._value(value)
        for f in reversed(self.transforms):
            y = f.backwards(y)
        return self._falls(self.base_dist.cdf(y))

    def icdf(self, value: Any) -> Tensor:
        """f of the base's."""
        return self._through(self.base_dist.icdf(self._falls(as_tensor(value))))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.transforms})"
