"""PyTorch's `torch.distributions.transforms`: functions with an inverse and a known derivative."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from minigrad.checks import integer, number
from minigrad.distributions import constraints
from minigrad.distributions.distribution import Shape, sum_last
from minigrad.ops.activations import sigmoid, softplus, tanh
from minigrad.ops.arithmetic import abs as absolute
from minigrad.ops.arithmetic import clamp
from minigrad.ops.create import as_tensor, zeros_like
from minigrad.ops.elementary import exp, expm1, log, log1p
from minigrad.ops.shape import expand
from minigrad.ops.trigonometry import atanh
from minigrad.tensor import Tensor


class Transform:
    """A function y = f(x) with an inverse; subclass it for one of your own.

    A subclass has `_call(x)`, `_inverse(y)` and `log_abs_det_jacobian(x, y)`, the logarithm of the
    derivative's size, says by `sign` whether it grows (1) or falls (-1), and by `domain` and
    `codomain`, of `distributions.constraints`, what it takes and gives.

    Args:
        cache_size: with 1 the last pair of x and y is kept, so that the inverse of a y that it has
            just made is x itself, even where rounding has lost it.
    """

    bijective = True
    domain: Any = constraints.real
    codomain: Any = constraints.real
    sign: Any = 1

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            name = type(self).__name__
            raise ValueError(f"{name}: cache_size must be 0 or 1, got {cache_size!r}")
        self._cache_size = cache_size
        self._kept: tuple[Any, Any] = (None, None)

    def __call__(self, x: Any) -> Tensor:
        """f(x)."""
        if not self._cache_size:
            return self._call(x)
        if x is not self._kept[0]:
            self._kept = x, self._call(x)
        return self._kept[1]  # type: ignore[no-any-return]

    def _back(self, y: Any) -> Tensor:
        """The x with f(x) = y."""
        if not self._cache_size:
            return self._inverse(y)
        if y is not self._kept[1]:
            self._kept = self._inverse(y), y
        return self._kept[0]  # type: ignore[no-any-return]

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

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        """The shape of f(x) for x of a shape."""
        return tuple(shape)

    def _parameters(self) -> tuple[Any, ...] | None:
        """What makes two of one type equal; None where each is equal to itself alone."""
        return None

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, type(self)):
            return self is other
        mine, its = self._parameters(), other._parameters()
        if mine is None or its is None or len(mine) != len(its):
            return False
        return all(map(_alike, mine, its))

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, Transform):
        return bool(a == b)
    return np.array_equal(as_tensor(a).array, as_tensor(b).array)


class _Inverse(Transform):
    def __init__(self, of: Transform) -> None:
        super().__init__()
        self.of = of
        self.domain, self.codomain, self.sign = of.codomain, of.domain, of.sign

    @property
    def inv(self) -> Transform:
        """The function itself."""
        return self.of

    def _parameters(self) -> tuple[Any, ...]:
        return (self.of,)

    def _call(self, x: Tensor) -> Tensor:
        return self.of._back(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.of(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """-log |dx/dy| of the function."""
        return -self.of.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        """That of the function: shapes broadcast alike in both directions."""
        return self.of.forward_shape(shape)


class ComposeTransform(Transform):
    """Functions one after the other.

    Args:
        parts: the functions, the first of which is applied first.
        cache_size: see `Transform`.
    """

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        for part in cast("Sequence[Any]", parts):
            if not isinstance(part, Transform):
                kind = type(part).__name__
                raise TypeError(f"{type(self).__name__}: parts must be Transforms, got {kind}")
        self.parts = list(parts)
        if self.parts:
            self._event_dim = max(part.domain.event_dim for part in self.parts)
            self.domain, self.codomain = (
                constraints.independent(c, self._event_dim - c.event_dim)
                for c in (self.parts[0].domain, self.parts[-1].codomain)
            )

    @property
    def sign(self) -> Any:
        """The product of their signs."""
        return math.prod(part.sign for part in self.parts)

    def _parameters(self) -> tuple[Any, ...]:
        return tuple(self.parts)

    def _call(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part.inv(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum of theirs."""
        if not self.parts:
            return zeros_like(x)
        between = [x]
        for part in self.parts[:-1]:
            between.append(part(between[-1]))
        terms = [
            sum_last(part.log_abs_det_jacobian(a, b), self._event_dim - part.domain.event_dim)
            for part, a, b in zip(self.parts, between, [*between[1:], y], strict=True)
        ]
        return sum(terms[1:], terms[0])

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        """The shape after all of them."""
        for part in self.parts:
            shape = part.forward_shape(shape)
        return tuple(shape)

    def __repr__(self) -> str:
        return f"ComposeTransform({self.parts})"


class _Fixed(Transform):
    """A function without parameters: all of one type are equal."""

    def _parameters(self) -> tuple[Any, ...]:
        return ()


class ExpTransform(_Fixed):
    """y = e^x."""

    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return exp(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return log(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """x."""
        return x


class SigmoidTransform(_Fixed):
    """y = 1/(1 + e^-x), kept off 0 and 1."""

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


class SoftplusTransform(_Fixed):
    """y = log(1 + e^x)."""

    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return log(-expm1(-y)) + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """-log(1 + e^-x)."""
        return -softplus(-x)


class TanhTransform(_Fixed):
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


class AffineTransform(Transform):
    """y = loc + scale·x.

    Args:
        loc, scale: numbers or tensors.
        event_dim: how many of the last axes are those of one sample.
        cache_size: see `Transform`.
    """

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        for name, value in (("loc", loc), ("scale", scale)):
            if not isinstance(value, Tensor):
                number("AffineTransform", name, value)
        self.loc, self.scale = loc, scale
        self._event_dim = integer("AffineTransform", "event_dim", event_dim, 0)
        self.domain = self.codomain = constraints.independent(constraints.real, self._event_dim)

    @property
    def event_dim(self) -> int:
        """How many of the last axes are those of one sample."""
        return self._event_dim

    @property
    def sign(self) -> Any:
        """That of the scale."""
        if isinstance(self.scale, Tensor):
            return self.scale.sign()
        return (self.scale > 0) - (self.scale < 0)

    def _parameters(self) -> tuple[Any, ...]:
        return self.loc, self.scale, self._event_dim

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x  # type: ignore[no-any-return]

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale  # type: ignore[no-any-return]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |scale|, summed over the axes of one sample."""
        size = log(absolute(as_tensor(self.scale, dtype=x.dtype)))
        size = expand(size, np.broadcast_shapes(x.shape, size.shape))
        return sum_last(size, self._event_dim)

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        """That which x, loc and scale broadcast to."""
        return np.broadcast_shapes(shape, *(np.shape(v) for v in (self.loc, self.scale)))
