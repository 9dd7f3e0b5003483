"""Schedules that are a formula of the epoch.

Most compute the next rate from the current one (`get_lr`), so several on one optimiser multiply;
`_get_closed_form_lr` computes it from the first, which SequentialLR needs to start one afresh.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType
from typing import Any

from minigrad.checks import integer, number
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.scheduler import LRScheduler, check_optimizer


class Multiplied(LRScheduler):
    """Base of the schedules by functions of the epoch, one for all groups or one for each."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        name = type(self).__name__
        groups = len(check_optimizer(name, optimizer).param_groups)
        lambdas = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        if len(lambdas) != groups:
            raise ValueError(
                f"{name}: expected one function or {groups}, one for each group, got {len(lambdas)}"
            )
        for f in lambdas:
            if not callable(f):
                raise TypeError(f"{name}: lr_lambda must be a function of the epoch, got {f!r}")
        self.lr_lambdas: list[Any] = lambdas
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser and the functions, which the new schedule is given again.
        Of callable objects, their attributes."""
        kept = [None if isinstance(f, FunctionType) else dict(vars(f)) for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned; load the optimiser's state, too."""
        if isinstance(state_dict, dict):  # older files have none
            state_dict = {"lr_lambdas": [None] * len(self.lr_lambdas), **state_dict}
        state = self._checked_state(state_dict)
        for f, kept in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=True):
            vars(f).update(kept or {})
        vars(self).update(state)


class LambdaLR(Multiplied):
    """lr = initial_lr · lr_lambda(epoch).

    Args:
        optimizer: whose rates are set.
        lr_lambda: one function of the epoch, or one for each group.
        last_epoch: the last epoch when resuming, else -1.
    """

    def get_lr(self) -> list[float]:
        epoch = self.last_epoch
        return [lr * f(epoch) for lr, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]


class MultiplicativeLR(Multiplied):
    """lr ← lr_lambda(epoch)·lr every epoch after the first.

    Args:
        optimizer: whose rates are set.
        lr_lambda: one function of the epoch, or one for each group.
        last_epoch: the last epoch when resuming, else -1.
    """

    def first_rates(self) -> list[float]:
        return self.rates()

    def get_lr(self) -> list[float]:
        epoch = self.last_epoch
        return [lr * f(epoch) for lr, f in zip(self.rates(), self.lr_lambdas, strict=True)]


class StepLR(LRScheduler):
    """lr ← gamma·lr every `step_size` epochs.

    Args:
        optimizer: whose rates are set.
        step_size: epochs between two changes.
        gamma: the factor.
        last_epoch: the last epoch when resuming, else -1.

    >>> optimizer = optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    >>> scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [1.0, 1.0, 0.5, 0.5]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = integer("StepLR", "step_size", step_size)
        self.gamma = number("StepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return self.rates()
        return [lr * self.gamma for lr in self.rates()]

    def _get_closed_form_lr(self) -> list[float]:
        return [lr * self.gamma ** (self.last_epoch // self.step_size) for lr in self.base_lrs]


class MultiStepLR(LRScheduler):
    """lr ← gamma·lr at each of the epochs `milestones`.

    Args:
        optimizer: whose rates are set.
        milestones: the epochs; one that is named twice counts twice.
        gamma: the factor.
        last_epoch: the last epoch when resuming, else -1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = sorted(milestones)
        self.gamma = number("MultiStepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned; load the optimiser's state, too."""
        state = self._checked_state(state_dict)
        if isinstance(state["milestones"], Counter):  # as PyTorch has them
            state["milestones"] = sorted(state["milestones"].elements())
        vars(self).update(state)

    def get_lr(self) -> list[float]:
        times = self.milestones.count(self.last_epoch)
        return [lr * self.gamma**times for lr in self.rates()] if times else self.rates()

    def _get_closed_form_lr(self) -> list[float]:
        times = bisect_right(self.milestones, self.last_epoch)
        return [lr * self.gamma**times for lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """lr ← gamma·lr every epoch.

    Args:
        optimizer: whose rates are set.
        gamma: the factor.
        last_epoch: the last epoch when resuming, else -1.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = number("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def first_rates(self) -> list[float]:
        return self.rates()

    def get_lr(self) -> list[float]:
        return [lr * self.gamma for lr in self.rates()]

    def _get_closed_form_lr(self) -> list[float]:
        return [lr * self.gamma**self.last_epoch for lr in self.base_lrs]


class ConstantLR(LRScheduler):
    """lr = factor · initial_lr for `total_iters` epochs, then initial_lr.

    Args:
        optimizer: whose rates are set.
        factor: above 0 and at most 1.
        total_iters: how many epochs.
        last_epoch: the last epoch when resuming, else -1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.factor = number("ConstantLR", "factor", factor, above=0, at_most=1)
        self.total_iters = integer("ConstantLR", "total_iters", total_iters, 0)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [lr * self.factor for lr in self.rates()]
        if self.last_epoch == self.total_iters:
            return [lr * (1 / self.factor) for lr in self.rates()]
        return self.rates()

    def _get_closed_form_lr(self) -> list[float]:
        done = self.last_epoch >= self.total_iters
        return [lr * (self.factor + done * (1 - self.factor)) for lr in self.base_lrs]


class LinearLR(LRScheduler):
    """lr / initial_lr goes from start_factor to end_factor in `total_iters` equal steps.

    Args:
        optimizer: whose rates are set.
        start_factor: above 0 and at most 1.
        end_factor: from 0 to 1.
        total_iters: how many epochs.
        last_epoch: the last epoch when resuming, else -1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = number("LinearLR", "start_factor", start_factor, above=0, at_most=1)
        self.end_factor = number("LinearLR", "end_factor", end_factor, at_least=0, at_most=1)
        self.total_iters = integer("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def first_rates(self) -> list[float]:
        return self.get_lr() if self.last_epoch == 0 else self.rates()

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self.rates()]
        if self.last_epoch > self.total_iters:
            return self.rates()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        factor = max(0.0, 1 + rise / before)  # on the way to 0, rounding may fall below it
        return [lr * factor for lr in self.rates()]

    def _get_closed_form_lr(self) -> list[float]:
        rise = self.end_factor - self.start_factor
        done = min(self.total_iters, self.last_epoch) / self.total_iters
        return [lr * (self.start_factor + rise * done) for lr in self.base_lrs]


class PolynomialLR(LRScheduler):
    """lr = initial_lr · (1 - epoch/total_iters)^power, then 0.

    Args:
        optimizer: whose rates are set.
        total_iters: epochs until the rate is 0.
        power: 1 falls along a line, 2 along a parabola.
        last_epoch: the last epoch when resuming, else -1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters = integer("PolynomialLR", "total_iters", total_iters)
        self.power = number("PolynomialLR", "power", power)
        super().__init__(optimizer, last_epoch)

    def first_rates(self) -> list[float]:
        return self.rates()

    def get_lr(self) -> list[float]:
        epoch, total = self.last_epoch, self.total_iters
        if epoch > total:
            return self.rates()
        factor: float = ((1 - epoch / total) / (1 - (epoch - 1) / total)) ** self.power
        return [lr * factor for lr in self.rates()]

    def _get_closed_form_lr(self) -> list[float]:
        left: float = 1 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [lr * left**self.power for lr in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial_lr - eta_min)·(1 + cos(π·epoch/T_max))/2.

    Args:
        optimizer: whose rates are set.
        T_max: epochs from the highest rate to the lowest.
        eta_min: the lowest rate.
        last_epoch: the last epoch when resuming, else -1.

    Source: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017,
    equation (5), without the restarts.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = number("CosineAnnealingLR", "T_max", T_max, above=0)
        self.eta_min = number("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def first_rates(self) -> list[float]:
        return self.rates()

    def get_lr(self) -> list[float]:
        epoch, period, low = self.last_epoch, self.T_max, self.eta_min
        if (epoch - 1 - period) % (2 * period) == 0:  # rising again from the lowest rate
            rise = (1 - math.cos(math.pi / period)) / 2
            return [
                lr + (base - low) * rise
                for lr, base in zip(self.rates(), self.base_lrs, strict=False)  # _set counts them
            ]
        ratio = (1 + math.cos(math.pi * epoch / period)) / (
            1 + math.cos(math.pi * (epoch - 1) / period)
        )
        return [ratio * (lr - low) + low for lr in self.rates()]

    def _get_closed_form_lr(self) -> list[float]:
        low, height = self.eta_min, (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [low + (base - low) * height for base in self.base_lrs]
