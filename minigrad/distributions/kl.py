"""The divergence of one distribution from another."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from minigrad.distributions.bernoulli import Bernoulli
from minigrad.distributions.categorical import Categorical
from minigrad.distributions.distribution import Distribution
from minigrad.distributions.normal import Normal
from minigrad.distributions.uniform import Uniform
from minigrad.ops.activations import softplus
from minigrad.ops.arithmetic import where
from minigrad.ops.create import full
from minigrad.ops.elementary import log
from minigrad.tensor import Tensor

KL = TypeVar("KL", bound=Callable[[Any, Any], Tensor])


_DIVERGENCES: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[KL], KL]:
    """A decorator that lets `kl_divergence` use a function for distributions of these types."""
    for kind in (type_p, type_q):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"register_kl: expected subclasses of Distribution, got {kind!r}")

    def add(function: KL) -> KL:
        _DIVERGENCES[type_p, type_q] = function
        return function

    return add


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The Kullback-Leibler divergence E[log p(x) - log q(x)] for x drawn from p, in nats.

    Raises:
        NotImplementedError: there is no formula for these two types; `register_kl` adds one.
    """
    for a in type(p).__mro__:
        for b in type(q).__mro__:
            if (a, b) in _DIVERGENCES:
                return _DIVERGENCES[a, b](p, q)
    raise NotImplementedError(
        f"kl_divergence: there is no formula for {type(p).__name__} and {type(q).__name__}: add "
        "one by register_kl"
    )


@register_kl(Normal, Normal)
def _normals(p: Normal, q: Normal) -> Tensor:
    # ((σp/σq)² + ((μp - μq)/σq)² - 1)/2 - log(σp/σq)
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - log(ratio))


@register_kl(Uniform, Uniform)
def _uniforms(p: Uniform, q: Uniform) -> Tensor:
    # log of how much wider q is; infinite where p has values that q has not
    outside = (q.low > p.low) | (q.high < p.high)
    return where(outside, math.inf, log((q.high - q.low) / (p.high - p.low)))


@register_kl(Uniform, Normal)
def _uniform_normal(p: Uniform, q: Normal) -> Tensor:
    # E(x - μ)²/(2σ²) + log(σ·√(2π)) - log(high - low), the first by variance and mean of p
    square = p.variance + (p.mean - q.loc) ** 2
    width = p.high - p.low
    return log(math.sqrt(2 * math.pi) * q.scale / width) + 0.5 * square / q.scale**2


@register_kl(Normal, Uniform)
def _normal_uniform(p: Normal, q: Uniform) -> Tensor:
    return full(np.broadcast_shapes(p.batch_shape, q.batch_shape), math.inf, dtype=p.loc.dtype)


@register_kl(Bernoulli, Bernoulli)
def _bernoullis(p: Bernoulli, q: Bernoulli) -> Tensor:
    # Σ p·(log p - log q) over 1 and 0, where log probs = -softplus(-logits); 0·log 0 is 0
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    one = where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, one))
    zero = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    zero = where(p.probs == 1, 0.0, where(q.probs == 1, math.inf, zero))
    return one + zero


@register_kl(Categorical, Categorical)
def _categoricals(p: Categorical, q: Categorical) -> Tensor:
    # Σ p·(log p - log q); 0·log 0 is 0
    terms = p.probs * (p.logits - q.logits)
    return where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, terms)).sum(-1)
