"""What normalisation layers with running statistics share.

The statistics move last, in one place (`NormBase.move`), and only after everything else has
succeeded. So an error, an empty batch, a gradient check or a block `with frozen_stats(model):`
leaves them, and the counter, as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import numpy as np

from minigrad import changes, kernels, modes
from minigrad.dtypes import float32, int64
from minigrad.nn.module import Module, Parameter
from minigrad.ops.norm_checks import some_of, warn_or_undo
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

_held: ContextVar[frozenset[int]] = ContextVar("held_statistics", default=frozenset())


@contextmanager
def frozen_stats(model: Module) -> Iterator[None]:
    """Run `model` without moving the running statistics of its layers, or their counters.

    In training mode the layers still normalise by the batch. For this thread or task only. To
    normalise by the running statistics instead, use `BatchNorm1d.freeze`.
    """
    if not isinstance(model, Module):
        raise TypeError(f"frozen_stats: expected a Module, got {type(model).__name__}")
    token = _held.set(_held.get() | {id(module) for module in model.modules()})
    try:
        yield
    finally:
        _held.reset(token)


def stats_move(layer: Module) -> bool:
    """Whether a forward pass in training mode may move this layer's running statistics."""
    return not modes.probing.get() and id(layer) not in _held.get()


def _vector(n: int, value: float, dtype: Any) -> Tensor:
    return wrap(np.full(n, value, float32 if dtype is None else np.dtype(dtype)))


def fill(tensor: Tensor | None, value: float) -> None:
    """Set every element, in place."""
    if tensor is not None:
        tensor.array[...] = value
        changes.note_change(tensor.array)


def check_eps(name: str, eps: float) -> None:
    """Refuse a negative eps, or NaN."""
    if not eps >= 0:
        raise ValueError(f"{name}: eps must not be negative, got {eps}")


def check_floating_dtype(layer: str, dtype: Any) -> None:
    """Refuse a dtype that parameters cannot have."""
    if dtype is not None and np.dtype(dtype).kind != "f":
        raise TypeError(f"{layer}: expected a floating dtype, got {np.dtype(dtype)}")


def sizes_of(name: str, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """normalized_shape as a tuple."""
    given = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    if not given or any(isinstance(n, bool) or not isinstance(n, int | np.integer) for n in given):
        raise TypeError(
            f"{name}: normalized_shape must be one or more integers, got {normalized_shape!r}"
        )
    return tuple(int(n) for n in given)


def affine_parameters(
    name: str, shape: tuple[int, ...], affine: bool, bias: bool, dtype: Any
) -> tuple[Any, Any]:
    """gamma = 1 and beta = 0, or None where there is none."""
    check_floating_dtype(name, dtype)
    kind = float32 if dtype is None else np.dtype(dtype)
    weight = Parameter(wrap(np.ones(shape, kind))) if affine else None
    return weight, Parameter(wrap(np.zeros(shape, kind))) if affine and bias else None


class NormBase(Module):
    """Parameters and running statistics per channel, shared by batch and instance norm."""

    # input ranks and how a user sees them
    ranks: ClassVar[dict[int, str]] = {}
    # the running statistic beside running_mean
    spread_name: ClassVar[str] = "running_var"

    weight: Parameter  # None where the layer was made without
    bias: Parameter  # None where the layer was made without
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        dtype: Any,
        bias: bool,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if isinstance(num_features, bool) or not isinstance(num_features, int | np.integer):
            raise TypeError(f"{name}: num_features must be an integer, got {num_features!r}")
        if num_features < 1:
            raise ValueError(f"{name}: num_features must be at least 1, got {num_features}")
        check_eps(name, eps)
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(f"{name}: momentum must be None or in [0, 1], got {momentum}")
        self.num_features = int(num_features)
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._warned = False
        n = self.num_features
        self.weight, self.bias = affine_parameters(name, (n,), affine, bias, dtype)
        track = track_running_stats
        self.register_buffer("running_mean", _vector(n, 0, dtype) if track else None)
        self.register_buffer(self.spread_name, _vector(n, 1, dtype) if track else None)
        self.register_buffer("num_batches_tracked", wrap(np.zeros((), int64)) if track else None)

    def reset_running_stats(self) -> None:
        """Forget the running statistics: mean 0, variance 1, no batches."""
        fill(self.running_mean, 0)
        fill(self.running_spread, 1)
        fill(self.num_batches_tracked, 0)

    def reset_parameters(self) -> None:
        """Start again: weight 1, bias 0, no statistics."""
        self.reset_running_stats()
        fill(self.weight, 1)
        fill(self.bias, 0)

    def check_channels(self, x: Tensor, axis: int) -> None:
        """Refuse another number of channels."""
        if x.shape[axis] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}({self.num_features}): expected {self.num_features} "
                f"channels (axis {axis}), got {x.shape[axis]} in an input of shape {x.shape}"
            )

    def vectors(self) -> tuple[Tensor | None, ...]:
        """Parameters and statistics of one number per channel."""
        return self.weight, self.bias, self.running_mean, self.running_var

    def check_dtype(self, x: Tensor) -> None:
        """Refuse an input of another dtype, and parameters that were replaced by unfit ones."""
        shape, dtype = (self.num_features,), x.array.dtype
        for own in self.vectors():
            if own is not None and (own.array.shape != shape or own.array.dtype is not dtype):
                self._check_own(own, dtype)
        if dtype.kind not in "fc":
            raise TypeError(
                f"{type(self).__name__}({self.num_features}): expected a floating input, got dtype "
                f"{dtype}: convert it with .float()"
            )

    def _check_own(self, own: Tensor, dtype: np.dtype[Any]) -> None:
        name = f"{type(self).__name__}({self.num_features})"
        if own.shape != (self.num_features,):
            which = next(key for key, value in vars(self).items() if value is own)
            raise RuntimeError(
                f"{name}: {which} has shape {own.shape}, expected ({self.num_features},)"
            )
        # while a function is probed, any of the two may stand for a derivative and be complex
        if dtype.kind in "fc" and own.dtype != dtype and not modes.probing.get():
            raise RuntimeError(
                f"{name}: expected an input of the layer's dtype {own.dtype}, got {dtype}: "
                f"convert the layer or the input with .to({dtype}) or .to({own.dtype})"
            )

    def check_rank(self, x: Tensor) -> None:
        """Refuse what is not a tensor, or has another number of axes."""
        if isinstance(x, Tensor) and x.array.ndim in self.ranks:
            return
        name = f"{type(self).__name__}({self.num_features})"
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {type(x).__name__}")
        expected = " or ".join(self.ranks.values())
        hint = ": reshape or flatten it" if x.ndim > max(self.ranks) else ""
        raise ValueError(f"{name}: expected an input {expected}, got shape {x.shape}{hint}")

    @property
    def running_spread(self) -> Tensor | None:
        """What is kept beside the running mean, here the variance."""
        spread: Tensor | None = getattr(self, self.spread_name)
        return spread

    def _running(self) -> tuple[Array, Array]:
        if self.running_mean is None or self.running_spread is None:
            raise RuntimeError(
                f"{type(self).__name__}({self.num_features}): the running statistics belong "
                "together, but one of them was set to None"
            )
        return self.running_mean.array, self.running_spread.array

    def move(self, mean: Array, spread: Array, factor: float, correction: float) -> None:
        """Move the running statistics to (1 - factor)·running + factor·batch, the batch's spread
        times `correction` (all float64).

        Channels where one of the two would not be finite keep what they have, and the first time a
        RuntimeWarning says so.
        """
        held = changes.held_elsewhere
        watched = held(self.running_mean) or held(self.running_spread)
        running = self._running()
        before = running[0].copy(), running[1].copy()
        stay = self._mix(*running, mean, spread, factor, correction)
        self._moved(stay, running, before, watched)

    def _mix(
        self, a: Array, b: Array, mean: Array, spread: Array, factor: float, correction: float
    ) -> Array:
        stay: Array = kernels.backend_for(a).move_stats_(a, b, mean, spread, factor, correction)
        return stay

    def replace(self, mean: Array, spread: Array) -> None:
        """Make these the running statistics, except in channels where they are not finite."""
        running = self._running()
        before = running[0].copy(), running[1].copy()
        with np.errstate(all="ignore"):
            new = mean.astype(before[0].dtype), spread.astype(before[1].dtype)
        kept, stay = self.finite_or_old(before, new)
        running[0][...], running[1][...] = kept
        self._moved(stay, running, before)

    def finite_or_old(
        self, old: tuple[Array, Array], new: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array], Array]:
        """The new statistics, the old ones in channels where the new are not finite; and which."""
        finite = np.isfinite(new[0]) & np.isfinite(new[1])
        kept = np.where(finite, new[0], old[0]), np.where(finite, new[1], old[1])
        return kept, np.flatnonzero(~finite)

    def _moved(self, stay: Array, running: Any, before: Any, watched: bool = True) -> None:
        for array in running if watched else ():
            changes.note_change(array)
        if not len(stay) or self._warned:
            return
        batches = 0 if self.num_batches_tracked is None else int(self.num_batches_tracked.array)
        message = (
            f"{self!r}: after {batches} batches, the input has NaN, infinite or too large values "
            f"in channel {some_of(stay)}: its output shows them, its running statistics keep "
            "their last finite values; said once for this layer"
        )
        warn_or_undo(message, running, before, 7)
        self._warned = True

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )
