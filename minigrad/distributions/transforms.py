"""PyTorch's `torch.distributions.transforms`: functions with an inverse and a known derivative."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.checks import integer
from minigrad.distributions import constraints
from minigrad.distributions.distribution import sum_last
from minigrad.ops.activations import sigmoid, softplus, tanh
from minigrad.ops.arithmetic import abs as absolute
from minigrad.ops.arithmetic import clamp
from minigrad.ops.create import as_tensor, zeros_like
from minigrad.ops.elementary import exp, log, log1p
from minigrad.ops.shape import expand
from minigrad.ops.trigonometry import atanh
from minigrad.tensor import Tensor


class Transform:
    """A function y = f(x) with an inverse; subclass it for one of your own.

    A subclass has `_call(x)`, `_inverse(y)` and `log_abs_det_jacobian(x, y)`, the logarithm of the
    derivative's size, and says by `sign` whether it grows (1) or falls (-1).

    Args:
        cache_size: with 1 the last pair of x and y is kept, so that the inverse of a y that it has
            just made is x itself, even where rounding has lost it.
    """

    bijective = True
    event_dim = 0
    domain: Any = constraints.real
    codomain: Any = constraints.real
    sign: Any = 1

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError(f"Transform: cache_size must be 0 or 1, got {cache_size!r}")
        self._cache_size = cache_size
        self._kept: tuple[Any, Any] = (None, None)

    def __call__(self, x: Tensor) -> Tensor:
        """f(x)."""
        if self._cache_size and x is self._kept[0]:
            return self._kept[1]  # type: ignore[no-any-return]
        y = self._call(x)
        self._keep(x, y)
        return y

    def backwards(self, y: Tensor) -> Tensor:
        """The x with f(x) = y."""
        if self._cache_size and y is self._kept[1]:
            return self._kept[0]  # type: ignore[no-any-return]
        x = self._inverse(y)
        self._keep(x, y)
        return x

    def _keep(self, x: Tensor, y: Tensor) -> None:
        if self._cache_size:
            self._kept = x, y

    @property
    def inv(self) -> Transform:
        """The inverse."""
        return _Inverse(self)

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no _call(): define it")

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no _inverse(): define it")

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |dy/dx|."""
        raise NotImplementedError(f"{type(self).__name__}: there is no log_abs_det_jacobian")

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Inverse(Transform):
    def __init__(self, of: Transform) -> None:
        super().__init__()
        self.of = of
        self.event_dim, self.sign = of.event_dim, of.sign
        self.domain, self.codomain = of.codomain, of.domain

    @property
    def inv(self) -> Transform:
        """The function itself."""
        return self.of

    def _call(self, x: Tensor) -> Tensor:
        return self.of.backwards(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.of(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """-log |dx/dy| of the function."""
        return -self.of.log_abs_det_jacobian(y, x)


class ComposeTransform(Transform):
    """Functions one after the other."""

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = list(parts)
        self.event_dim = max((part.event_dim for part in self.parts), default=0)
        if self.parts:
            self.domain, self.codomain = self.parts[0].domain, self.parts[-1].codomain

    @property
    def sign(self) -> Any:  # type: ignore[override]
        """The product of their signs."""
        return math.prod(part.sign for part in self.parts)

    def _call(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part.backwards(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum of theirs."""
        total = None
        for i, part in enumerate(self.parts):
            after = y if i == len(self.parts) - 1 else part(x)
            term = part.log_abs_det_jacobian(x, after)
            term = sum_last(term, self.event_dim - part.event_dim)
            total = term if total is None else total + term
            x = after
        return zeros_like(x) if total is None else total

    def __repr__(self) -> str:
        return f"ComposeTransform({self.parts})"


class ExpTransform(Transform):
    """y = e^x."""

    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return exp(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return log(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """x."""
        return x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExpTransform)

    __hash__ = object.__hash__


class SigmoidTransform(Transform):
    """y = 1/(1 + e^-x)."""

    codomain = constraints.unit_interval

    def _call(self, x: Tensor) -> Tensor:
        kind = np.finfo(x.array.real.dtype)
        return clamp(sigmoid(x), float(kind.tiny), float(1 - kind.eps))

    def _inverse(self, y: Tensor) -> Tensor:
        kind = np.finfo(y.array.real.dtype)
        y = clamp(y, float(kind.tiny), float(1 - kind.eps))
        return log(y) - log1p(-y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """-log(1 + e^-x) - log(1 + e^x)."""
        return -softplus(-x) - softplus(x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SigmoidTransform)

    __hash__ = object.__hash__


class TanhTransform(Transform):
    """y = tanh x. With cache_size=1 the inverse of what it has made does not suffer from rounding
    near ±1."""

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x: Tensor) -> Tensor:
        return tanh(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return atanh(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log(1 - y²) = 2·(log 2 - x - log(1 + e^(-2x))), which does not vanish for large x."""
        return 2.0 * (math.log(2.0) - x - softplus(-2.0 * x))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TanhTransform)

    __hash__ = object.__hash__


class AffineTransform(Transform):
    """y = loc + scale·x.

    Args:
        loc, scale: numbers or tensors.
        event_dim: how many of the last axes are those of one sample.
        cache_size: see `Transform`.
    """

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale = loc, scale
        self.event_dim = integer("AffineTransform", "event_dim", event_dim, 0)

    @property
    def sign(self) -> Any:  # type: ignore[override]
        """That of the scale."""
        if isinstance(self.scale, Tensor):
            return self.scale.sign()
        return 1 if self.scale > 0 else -1 if self.scale < 0 else 0

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x  # type: ignore[no-any-return]

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |scale|, summed over the axes of one sample."""
        if not isinstance(self.scale, Tensor):
            size = zeros_like(x) + math.log(abs(self.scale))
        else:
            size = expand(log(absolute(as_tensor(self.scale))), x.shape)
        return sum_last(size, self.event_dim)
