"""A Bernoulli distribution made continuous."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.distributions.constraints import real, unit_interval
from minigrad.distributions.discrete import OfChance
from minigrad.distributions.transforms import SigmoidTransform
from minigrad.ops.activations import softplus
from minigrad.ops.create import as_tensor
from minigrad.ops.elementary import log
from minigrad.tensor import Tensor


class LogitRelaxedBernoulli(OfChance):
    """The log-odds of what `RelaxedBernoulli` draws: (logits + z)/temperature for a logistic z.

    Args:
        temperature: above 0, a number or a tensor; the lower, the nearer to 0 and 1.
        probs: the probability of 1, a number or a tensor; or
        logits: its log-odds.
    """

    has_rsample = True
    support = real

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        self._hold_chance(validate_args, probs, logits)
        self.temperature = as_tensor(temperature)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """(logits + z)/temperature, z the difference of two of Gumbel's numbers."""
        z = log(self._exponential(sample_shape)) - log(self._exponential(sample_shape))
        return (self.logits + z) / self.temperature

    def log_prob(self, value: Any) -> Tensor:
        """log temperature + d - 2·log(1 + e^d) for d = logits - temperature·x."""
        return self._log_density(self._value(value))

    def _log_density(self, x: Tensor) -> Tensor:
        apart = self.logits - x * self.temperature
        return log(self.temperature) + apart - 2 * softplus(apart)


class RelaxedBernoulli(LogitRelaxedBernoulli):
    """Numbers in (0, 1) near 0 or 1, through which gradients pass.

    Args:
        temperature: above 0, a number or a tensor; the lower, the nearer to 0 and 1.
        probs: the probability of 1, a number or a tensor; or
        logits: its log-odds.
    """

    support = unit_interval

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The sigmoid of what `LogitRelaxedBernoulli` draws."""
        return SigmoidTransform()(super().rsample(sample_shape))

    def log_prob(self, value: Any) -> Tensor:
        """That of the log-odds, less the logarithm of the sigmoid's slope."""
        f, y = SigmoidTransform(), self._value(value)
        x = f.inv(y)
        return self._log_density(x) - f.log_abs_det_jacobian(x, y)
