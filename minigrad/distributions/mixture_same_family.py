"""Mixtures of distributions of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.distributions.categorical import Categorical
from minigrad.distributions.constraints import Constraint
from minigrad.distributions.distribution import Distribution
from minigrad.modes import no_grad
from minigrad.ops.indexing import gather
from minigrad.ops.reductions import logsumexp
from minigrad.ops.shape import expand
from minigrad.tensor import Tensor


class MixtureSameFamily(Distribution):
    """A component chosen at random, and a draw from that.

    Args:
        mixture_distribution: which of K components, a `Categorical` of the batch's shape.
        component_distribution: the components, along the last axis of its batch_shape (…, K).

    Raises:
        TypeError, ValueError: they are no such distributions, or shapes do not fit.
    """

    _parts = ("mixture_distribution", "component_distribution")

    def __init__(
        self, mixture_distribution: Categorical, component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        name = "MixtureSameFamily"
        for argument, value, kind in (
            ("mixture_distribution", mixture_distribution, Categorical),
            ("component_distribution", component_distribution, Distribution),
        ):
            if not isinstance(value, kind):
                raise TypeError(
                    f"{name}: {argument} must be a {kind.__name__}, got {type(value).__name__}"
                )
        mixed, parts = mixture_distribution.param_shape, component_distribution.batch_shape
        fits = len(mixed) <= len(parts) and mixed[-1:] == parts[-1:]
        if not fits or any(m not in (1, p) for m, p in zip(mixed[::-1], parts[::-1], strict=False)):
            raise ValueError(
                f"{name}: the mixture's probs of shape {mixed} do not fit components of "
                f"batch_shape {parts}"
            )
        self.component_distribution = component_distribution
        self.mixture_distribution = mixture_distribution.expand(parts[:-1])
        super().__init__(parts[:-1], component_distribution.event_shape, validate_args)

    @property
    def support(self) -> Constraint | None:
        """That of the components, where all of them have one."""
        # a property has bounds that differ from one component to the next
        common = type(self.component_distribution).support
        return common if isinstance(common, Constraint) else None

    def _weighed(self, x: Tensor) -> Tensor:
        """The mean over the components, whose axis stands before those of one sample."""
        axes = len(self.event_shape)
        p = self.mixture_distribution.probs
        return (p.reshape(*p.shape, *(1,) * axes) * x).sum(-1 - axes)

    def _apart(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-1 - len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        """The mean of the components' means."""
        return self._weighed(self.component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        """The mean of the components' variances, and the variance of their means."""
        parts = self.component_distribution
        return self._weighed(parts.variance + (parts.mean - self._apart(self.mean)) ** 2)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw from all components, and choose."""
        with no_grad():
            which, own = self.mixture_distribution.sample(sample_shape), self.event_shape
            drawn = self.component_distribution.sample(sample_shape)
            places = which.reshape(*which.shape, *(1,) * (1 + len(own)))
            places = expand(places, (*which.shape, 1, *own))
            return gather(drawn, which.ndim, places).squeeze(which.ndim)

    def log_prob(self, x: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """log Σ p_k·e^(log_prob of the component)."""
        logs = self.component_distribution.log_prob(self._apart(self._value(x)))
        return logsumexp(logs + self.mixture_distribution.logits, -1)

    def cdf(self, x: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The mean of the components'."""
        return self._weighed(self.component_distribution.cdf(self._apart(self._value(x))))

    def __repr__(self) -> str:
        return f"MixtureSameFamily({self.mixture_distribution}, {self.component_distribution})"
