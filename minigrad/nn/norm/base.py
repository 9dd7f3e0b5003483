"""What normalisation layers with running statistics share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minigrad import changes, modes
from minigrad.checks import floating, integer, integers, number, probability
from minigrad.dtypes import int64
from minigrad.nn.module import Module, Parameter
from minigrad.ops.running_stats import Running
from minigrad.tensor import Tensor, wrap


def fill(tensor: Tensor | None, value: float) -> None:
    """Set every element, in place."""
    if tensor is not None:
        tensor.array[...] = value
        changes.note_change(tensor.array)


def sizes_of(name: str, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """normalized_shape as a tuple."""
    sizes = integers(name, "normalized_shape", normalized_shape, minimum=0)
    if not sizes:
        raise TypeError(f"{name}: normalized_shape must be one or more integers, got ()")
    return sizes


def affine_parameters(
    name: str, shape: tuple[int, ...], affine: bool, bias: bool, device: Any, dtype: Any
) -> tuple[Any, Any]:
    """gamma = 1 and beta = 0, or None where there is none."""
    kind = floating(name, dtype, device)
    weight = Parameter(wrap(np.ones(shape, kind))) if affine else None
    return weight, Parameter(wrap(np.zeros(shape, kind))) if affine and bias else None


class NormBase(Module):
    """Parameters and running statistics per channel, shared by batch and instance norm."""

    ranks: ClassVar[dict[int, str]] = {}  # of inputs, and how a user sees them
    variance_name: ClassVar[str] = "running_var"  # the statistic beside running_mean

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
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.num_features = n = integer(name, "num_features", num_features)
        self.eps = number(name, "eps", eps, at_least=0)
        self.momentum = None if momentum is None else probability(name, "momentum", momentum)
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._warned = False
        self.weight, self.bias = affine_parameters(name, (n,), affine, bias, device, dtype)
        mean = variance = count = None
        if track_running_stats:
            kind = floating(name, dtype)
            mean, variance = wrap(np.zeros(n, kind)), wrap(np.ones(n, kind))
            count = wrap(np.zeros((), int64))
        self.register_buffer("running_mean", mean)
        self.register_buffer(self.variance_name, variance)
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self) -> None:
        """Forget the running statistics: mean 0, variance 1, no batches."""
        fill(self.running_mean, 0)
        fill(self.running_variance, 1)
        fill(self.num_batches_tracked, 0)

    def reset_parameters(self) -> None:
        """Start again: weight 1, bias 0, no statistics."""
        self.reset_running_stats()
        fill(self.weight, 1)
        fill(self.bias, 0)

    def check_input(self, x: Tensor, axis: int = 1) -> None:
        """Refuse what is no floating tensor of the layer's rank, channels and dtype, and parameters
        that were replaced by unfit ones."""
        if not isinstance(x, Tensor):
            raise TypeError(f"{self._title()}: expected a Tensor, got {type(x).__name__}")
        shape, dtype = x.array.shape, x.array.dtype
        if len(shape) not in self.ranks:
            expected = " or ".join(self.ranks.values())
            hint = ": reshape or flatten it" if len(shape) > max(self.ranks) else ""
            raise ValueError(
                f"{self._title()}: expected an input {expected}, got shape {shape}{hint}"
            )
        if shape[axis] != self.num_features:
            raise ValueError(
                f"{self._title()}: expected {self.num_features} channels (axis {axis}), got "
                f"{shape[axis]} in an input of shape {shape}"
            )
        if dtype.kind not in "fc":
            raise TypeError(
                f"{self._title()}: expected a floating input, got dtype {dtype}: convert it with "
                ".float()"
            )
        channels = (self.num_features,)
        for own in self.vectors():
            if own is not None and (own.array.shape != channels or own.array.dtype is not dtype):
                self._check_own(own, dtype)

    def vectors(self) -> tuple[Tensor | None, ...]:
        """Parameters and statistics of one number per channel."""
        return self.weight, self.bias, self.running_mean, self.running_var

    def _check_own(self, own: Tensor, dtype: np.dtype[Any]) -> None:
        if own.shape != (self.num_features,):
            which = next(key for key, value in vars(self).items() if value is own)
            raise RuntimeError(
                f"{self._title()}: {which} has shape {own.shape}, expected ({self.num_features},)"
            )
        # while a function is probed, any of the two may stand for a derivative and be complex
        if own.dtype != dtype and not modes.probing.get():
            raise RuntimeError(
                f"{self._title()}: expected an input of the layer's dtype {own.dtype}, got "
                f"{dtype}: convert the layer or the input with .to({dtype}) or .to({own.dtype})"
            )

    def _title(self) -> str:
        return f"{type(self).__name__}({self.num_features})"

    @property
    def running_variance(self) -> Tensor | None:
        """What is kept beside the running mean: the variance; relatives keep something like it."""
        variance: Tensor | None = getattr(self, self.variance_name)
        return variance

    def running_stats(self) -> Running:
        """The running statistics by name, as `update_running_stats` takes them."""
        mean, variance = self.running_mean, getattr(self, self.variance_name)
        if mean is None or variance is None:
            raise RuntimeError(
                f"{self._title()}: the running statistics belong together, but one of them was set "
                "to None"
            )
        return {"running_mean": mean, self.variance_name: variance}

    def _warn_once(self, message: str) -> None:
        """Of a channel that is not finite; a layer that has said so does not say it again."""
        if self._warned:
            return
        batches = 0 if self.num_batches_tracked is None else int(self.num_batches_tracked.array)
        text = f"{self!r}: after {batches} batches, {message}; said once for this layer"
        warnings.warn(text, RuntimeWarning, stacklevel=6)
        self._warned = True

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )
