"""Distributions of a function of what another distribution draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.distributions import constraints
from minigrad.distributions.distribution import Distribution, sum_last
from minigrad.distributions.independent import Independent
from minigrad.distributions.transforms import ComposeTransform, Transform
from minigrad.modes import no_grad
from minigrad.ops.create import as_tensor
from minigrad.tensor import Tensor


class TransformedDistribution(Distribution):
    """The distribution of y = f(x), x of a distribution.

    Args:
        base_distribution: the distribution of x.
        transforms: f, or a list of functions, of which the first is applied first.

    Raises:
        TypeError: they are no distribution and functions.
    """

    _parts = ("base_dist",)

    def __init__(
        self, base_distribution: Distribution, transforms: Any, validate_args: bool | None = None
    ) -> None:
        name = self._title
        given: Any = base_distribution
        if not isinstance(given, Distribution):
            kind = type(given).__name__
            raise TypeError(f"{name}: base_distribution must be a Distribution, got {kind}")
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        for f in self.transforms:
            if not isinstance(f, Transform):
                raise TypeError(f"{name}: transforms must be Transforms, got {type(f).__name__}")
        whole, own = ComposeTransform(self.transforms), len(base_distribution.event_shape)
        shape = whole.forward_shape(base_distribution.batch_shape + base_distribution.event_shape)
        more = whole.domain.event_dim - own
        if len(shape) < own + max(more, 0):
            raise ValueError(f"{name}: the transforms need {own + more} axes, got shape {shape}")
        at = len(shape) - own
        base = base_distribution
        if shape[:at] != base.batch_shape:
            base = base.expand(shape[:at])
        self.base_dist = Independent(base, more) if more > 0 else base
        self.has_rsample = base.has_rsample
        at -= max(more, 0)
        super().__init__(shape[:at], shape[at:], validate_args)

    @property
    def support(self) -> constraints.Constraint | None:
        """What the last function gives."""
        if not self.transforms:
            return self.base_dist.support  # type: ignore[no-any-return]
        last = self.transforms[-1].codomain
        return constraints.independent(last, max(len(self.event_shape) - last.event_dim, 0))

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
        y, axes, terms = self._value(value), len(self.event_shape), []
        for f in reversed(self.transforms):
            x = f.inv(y)
            terms.append(sum_last(f.log_abs_det_jacobian(x, y), axes - f.domain.event_dim))
            y = x
        own = sum_last(self.base_dist.log_prob(y), axes - len(self.base_dist.event_shape))
        return own - sum(terms[1:], terms[0]) if terms else own

    def _rising(self, p: Tensor) -> Tensor:
        """p, or 1 - p where f falls."""
        sign = ComposeTransform(self.transforms).sign
        return p if isinstance(sign, int) and sign == 1 else sign * (p - 0.5) + 0.5

    def cdf(self, value: Any) -> Tensor:
        """The base's at x, or 1 less that where f falls."""
        y = self._value(value)
        for f in reversed(self.transforms):
            y = f.inv(y)
        return self._rising(self.base_dist.cdf(y))

    def icdf(self, value: Any) -> Tensor:
        """f of the base's."""
        return self._through(self.base_dist.icdf(self._rising(as_tensor(value))))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.transforms})"
