"""Schedules that are a formula of the epoch.

Most compute the next rate from the current one (`get_lr`), so several on one optimiser multiply;
`_get_closed_form_lr` computes it from the first, which SequentialLR needs to start one afresh.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from minigrad.checks import integer, number
from minigrad.interrupts import deferred
from minigrad.optim.optimizer import Optimizer


class LRScheduler:
    """Base of the schedules; a subclass gives `get_lr`, and `_get_closed_form_lr` if it has one.

    Args:
        optimizer: whose groups' `lr` is set; the rates at the start are noted in `initial_lr`.
        last_epoch: the number of the last epoch when a run is resumed, else -1.
    """

    optimizer: Optimizer

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        name = type(self).__name__
        self.optimizer = check_optimizer(name, optimizer)
        self.last_epoch = integer(name, "last_epoch", last_epoch, -1)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{name}: last_epoch={last_epoch} resumes a run, but group {i} of the "
                    "optimiser has no 'initial_lr': load the optimiser's state first"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.start()

    def start(self) -> None:
        """Set the rates of the first epoch."""
        self._step_count = 1
        self.last_epoch += 1
        self._set(self.first_rates())

    def rates(self) -> list[float]:
        """The current rates."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def first_rates(self) -> list[float]:
        """The rates to start with."""
        return self.get_lr()

    def get_lr(self) -> list[float]:
        """The rates of epoch `last_epoch`, from those of the epoch before."""
        raise NotImplementedError

    def _get_closed_form_lr(self) -> list[float]:
        # the rates of epoch `last_epoch` from the initial ones alone
        return self.get_lr()

    def _set(self, rates: list[float]) -> None:
        groups = self.optimizer.param_groups
        if len(rates) != len(groups):
            raise ValueError(
                f"{type(self).__name__}: the schedule was made for {len(rates)} groups, the "
                f"optimiser has {len(groups)} now: make a new schedule after add_param_group"
            )
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self.rates()

    def step(self) -> None:
        """Set the rates of the next epoch; call it after the optimiser's `step`."""
        if self._step_count == 1 and not self.optimizer.has_stepped:
            warnings.warn(
                f"{type(self).__name__}.step was called before optimizer.step(): the first rate of "
                "the schedule is skipped; call optimizer.step() first",
                UserWarning,
                stacklevel=2,
            )
        with whole_step(self):
            self._step_count += 1
            self.last_epoch += 1
            self._set(self.get_lr())

    def restart(self) -> None:
        """Go to epoch 0 of the schedule, whatever the rates are now."""
        with whole_step(self):
            self.last_epoch = 0
            self._set(self._get_closed_form_lr())

    def get_last_lr(self) -> list[float]:
        """The rates that were set last, one for each group."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser."""
        return {key: value for key, value in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned; load the optimiser's state, too.

        Raises:
            ValueError: the state of another kind of schedule; nothing has changed then.
        """
        self._check_state(state_dict)
        vars(self).update(state_dict)

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        expected = set(self.state_dict())
        if not isinstance(state_dict, dict) or set(state_dict) != expected:
            got = sorted(state_dict) if isinstance(state_dict, dict) else state_dict
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: expected {sorted(expected)}, got {got!r}"
            )


@contextmanager
def whole_step(scheduler: LRScheduler) -> Iterator[None]:
    """A step is done as a whole, or after an error not at all.

    An interrupt waits for its end, a second one does not: lr_lambda may take for ever.
    """
    before = dict(vars(scheduler))
    with deferred(insistent=True):
        try:
            yield
        except BaseException:
            vars(scheduler).update(before)
            raise


def check_optimizer(name: str, optimizer: Any) -> Optimizer:
    """Return the optimiser if it is one."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{name}: expected an Optimizer, got {type(optimizer).__name__}")
    return optimizer


class LambdaLR(LRScheduler):
    """lr = initial_lr · lr_lambda(epoch).

    Args:
        optimizer: whose rates are set.
        lr_lambda: one function of the epoch, or one for each group.
        last_epoch: the last epoch when resuming, else -1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        groups = len(check_optimizer("LambdaLR", optimizer).param_groups)
        lambdas = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        if len(lambdas) != groups:
            raise ValueError(
                f"LambdaLR: expected one function or {groups}, one for each group, got "
                f"{len(lambdas)}"
            )
        self.lr_lambdas: list[Any] = lambdas
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        epoch = self.last_epoch
        return [lr * f(epoch) for lr, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser and the functions, which the new schedule is given again."""
        return {key: value for key, value in super().state_dict().items() if key != "lr_lambdas"}


class StepLR(LRScheduler):
    """lr ← gamma·lr every `step_size` epochs.

    Args:
        optimizer: whose rates are set.
        step_size: epochs between two changes.
        gamma: the factor.
        last_epoch: the last epoch when resuming, else -1.
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
