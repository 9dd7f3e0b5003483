"""What distributions have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from minigrad.checks import boolean, integers, number
from minigrad.distributions.constraints import Constraint
from minigrad.modes import no_grad
from minigrad.ops.create import as_tensor, tensor
from minigrad.ops.elementary import exp, sqrt
from minigrad.ops.random import generator
from minigrad.ops.shape import broadcast_tensors, expand
from minigrad.recording import check_broadcast
from minigrad.tensor import Tensor, wrap

Shape = tuple[int, ...]


class Distribution:
    """What distributions have in common; subclass it for one of your own.

    `arg_constraints` says what parameters may be, `support` what samples are: both are of
    `distributions.constraints`.

    Args:
        batch_shape: the shape of the parameters, a distribution for each element.
        event_shape: the shape of one sample of one distribution.
        validate_args: whether parameters and values are checked; None for the default, which is
            True and set by `set_default_validate_args`.
    """

    has_rsample: bool = False
    has_enumerate_support: bool = False
    arg_constraints: ClassVar[Mapping[str, Constraint]] = {}
    support: Any = None  # None: values are not checked
    _parts: ClassVar[tuple[str, ...]] = ()  # attributes that are distributions of the same batch
    _validate_args = True
    _title = "Distribution"  # what errors call it: its class, or what it is part of

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._title = cls.__name__

    @classmethod
    def _as_part_of(cls, whole: str, *args: Any) -> Self:
        """One whose errors name the distribution that the caller asked for."""
        new = cls.__new__(cls)
        new._title = whole
        new.__init__(*args)  # type: ignore[misc]
        return new

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = tuple(batch_shape), tuple(event_shape)
        if validate_args is not None:
            self._validate_args = bool(validate_args)

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions made from now on check their arguments."""
        Distribution._validate_args = boolean("set_default_validate_args", "value", value)

    @property
    def batch_shape(self) -> Shape:
        """The shape of the parameters."""
        return self._batch_shape

    @property
    def event_shape(self) -> Shape:
        """The shape of one sample of one distribution."""
        return self._event_shape

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        raise self._without("mean")

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        raise self._without("mode")

    @property
    def variance(self) -> Tensor:
        """The expected square of the distance from the mean."""
        raise self._without("variance")

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return sqrt(self.variance)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw from the library's generator; no gradient passes."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw so that gradients pass to the parameters."""
        raise self._without("rsample")

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the probability of `value`, or of the density there."""
        raise self._without("log_prob")

    def cdf(self, value: Any) -> Tensor:
        """The probability of at most `value`."""
        raise self._without("cdf")

    def icdf(self, value: Any) -> Tensor:
        """Where `cdf` is `value`."""
        raise self._without("icdf")

    def entropy(self) -> Tensor:
        """The expected -log_prob, in nats, of shape `batch_shape`."""
        raise self._without("entropy")

    def perplexity(self) -> Tensor:
        """e to the entropy."""
        return exp(self.entropy())

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values, along a new first axis; the other axes are batch_shape, or 1 without
        `expand`."""
        raise self._without("enumerate_support")

    def expand(self, batch_shape: Sequence[int]) -> Self:
        """The same distribution with parameters broadcast to `batch_shape`."""
        shape, own = tuple(batch_shape), len(self._batch_shape)
        new = type(self).__new__(type(self))
        # what was computed of the parameters is computed anew
        new.__dict__.update(
            (name, value) for name, value in self.__dict__.items()
            if not isinstance(getattr(type(self), name, None), cached_property)
        )  # fmt: skip
        for name in self._given():
            value = getattr(self, name)
            new.__dict__[name] = expand(value, shape + value.shape[own:])
        for name in self._parts:
            part = getattr(self, name)
            new.__dict__[name] = part.expand(shape + part.batch_shape[own:])
        new._batch_shape = shape
        return new

    def __repr__(self) -> str:
        values = [(name, getattr(self, name)) for name in self._given()]
        shown = [f"{name}: {v.item() if v.numel() == 1 else v.shape}" for name, v in values]
        return f"{self._title}({', '.join(shown)})"

    def _given(self) -> tuple[str, ...]:
        """The parameters that it was made from."""
        return tuple(name for name in self.arg_constraints if name in self.__dict__)

    def _without(self, method: str) -> NotImplementedError:
        return NotImplementedError(f"{self._title}: there is no {method}")

    def _shape(self, sample_shape: Any) -> Shape:
        name = self._title
        if not isinstance(sample_shape, tuple | list):
            raise TypeError(
                f"{name}: sample_shape must be a tuple of sizes, such as (3,), got {sample_shape!r}"
            )
        return integers(name, "sample_shape", sample_shape, None, 0) + (
            self._batch_shape + self._event_shape
        )

    def _check(self, argument: str, value: Tensor, good: Any, expected: str) -> None:
        """Raise unless `good` everywhere."""
        if self._validate_args and not np.all(good):
            values, fine = np.broadcast_arrays(value.array, good)
            wrong = values[~fine]
            raise ValueError(f"{self._title}: {argument} must be {expected}, got {wrong[0]}")

    def _hold(self, validate_args: bool | None, /, **given: Any) -> None:
        """Keep parameters that are numbers, broadcast to the shape of the batch, and check them."""
        made = parameters(self._title, **given)
        Distribution.__init__(self, made[0].shape, validate_args=validate_args)
        for name, x in zip(given, made, strict=True):
            setattr(self, name, x)
            allowed = self.arg_constraints[name]
            self._check(name, x, allowed.holds(x.array.real), allowed.words)

    @property
    def _dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters, and of samples where those are real numbers."""
        return getattr(self, self._given()[0]).array.real.dtype  # type: ignore[no-any-return]

    def _drawn(self, array: Any) -> Tensor:
        """What numpy's generator has drawn, in the dtype of the parameters."""
        return wrap(np.asarray(array, self._dtype))

    def _exponential(self, sample_shape: Any) -> Tensor:
        """Noise of density e^-x, above 0. -log of it is Gumbel's, which many draw from."""
        z = self._drawn(generator().standard_exponential(self._shape(sample_shape)))
        return wrap(np.maximum(z.array, np.finfo(self._dtype).tiny))

    def _value(self, value: Any) -> Tensor:
        """The argument of `log_prob` or `cdf`, checked."""
        name = self._title
        if not self._validate_args:
            return as_tensor(value)
        if not isinstance(value, Tensor | np.ndarray):
            raise TypeError(f"{name}: value must be a tensor, got {type(value).__name__}")
        x, shape = as_tensor(value), self._batch_shape + self._event_shape
        for mine, its in zip(reversed(shape), reversed(x.shape), strict=False):
            if mine != its and 1 not in (mine, its):
                raise ValueError(
                    f"{name}: value of shape {x.shape} does not broadcast with batch_shape + "
                    f"event_shape, {shape}"
                )
        if self.support is not None:
            self._check("value", x, self.support.holds(x.array.real), self.support.words)
        return x

    def _count(self, value: Any) -> Tensor:
        """A checked argument that counts something, in the dtype of the parameters."""
        x = self._value(value)
        return x if x.dtype.kind in "fc" else x.to(self._dtype)


def sum_last(x: Tensor, count: int) -> Tensor:
    """The sum over the last `count` axes."""
    return x.sum(tuple(range(-count, 0))) if count else x


def parameters(name: str, **given: Any) -> list[Tensor]:
    """Parameters as floating tensors of one shape. Plain numbers take the dtype of the tensors."""
    known = [v.dtype for v in given.values() if isinstance(v, Tensor | np.ndarray)]
    dtype = next((d for d in known if d.kind in "fc"), np.dtype(np.float32))
    made = []
    for argument, v in given.items():
        if isinstance(v, Tensor | np.ndarray):
            x = as_tensor(v)
            made.append(x if x.dtype.kind in "fc" else x.to(dtype))
        else:
            made.append(tensor(number(name, argument, v), dtype=dtype))
    check_broadcast(name, [x.array for x in made])
    return list(broadcast_tensors(*made))
