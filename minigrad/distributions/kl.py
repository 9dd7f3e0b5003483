"""The divergence of one distribution from another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from minigrad.distributions.distribution import Distribution
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
