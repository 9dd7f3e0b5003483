"""Learning-rate schedules: `scheduler.step()` after every epoch, as in PyTorch.

Here are those that look at something else than the epoch: other schedules, or a measurement.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from minigrad.checks import number, one_of
from minigrad.interrupts import deferred
from minigrad.optim.cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.scheduler import LRScheduler, check_optimizer, whole_step
from minigrad.optim.schedules import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

_LRScheduler = LRScheduler  # the name that it had before PyTorch 2, and that subclasses import


def check_parts(name: str, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
    """Raise unless these schedules can be stepped together."""
    for i, scheduler in enumerate(schedulers):
        if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
            raise TypeError(
                f"{name}: schedule {i} is a {type(scheduler).__name__}; expected a schedule whose "
                "step() takes no argument"
            )
        if scheduler.optimizer is not optimizer:
            raise ValueError(f"{name}: schedule {i} belongs to another optimiser")


class Composed(LRScheduler):
    """Base of the schedules that are made of others."""

    _schedulers: list[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser."""
        state = super().state_dict()
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned; load the optimiser's state, too."""
        if isinstance(state_dict, dict):  # older files have the names without the underscore
            old = {"schedulers": "_schedulers", "milestones": "_milestones"}
            state_dict = {old.get(key, key): value for key, value in state_dict.items()}
        state = self._checked_state(state_dict)
        states = state.pop("_schedulers")
        if len(states) != len(self._schedulers):
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: expected {len(self._schedulers)} "
                f"schedules, got {len(states)}"
            )
        for scheduler, part in zip(self._schedulers, states, strict=True):
            deepcopy(scheduler, {id(self.optimizer): self.optimizer}).load_state_dict(part)
        with deferred():
            for scheduler, part in zip(self._schedulers, states, strict=True):
                scheduler.load_state_dict(part)
            vars(self).update(state)


class ChainedScheduler(Composed):
    """Several schedules at once: each changes the rates that the one before has set.

    Args:
        schedulers: schedules of one optimiser.
        optimizer: theirs, and may be left out.
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise ValueError("ChainedScheduler: expected at least one schedule")
        if optimizer is None and isinstance(schedulers[0], LRScheduler):
            optimizer = schedulers[0].optimizer
        check_parts("ChainedScheduler", schedulers, optimizer)
        self.optimizer = check_optimizer("ChainedScheduler", optimizer)
        self._schedulers = list(schedulers)
        self._last_lr = self.rates()

    def step(self) -> None:  # type: ignore[override]
        """Set the rates of the next epoch."""
        with whole_step(self):
            for scheduler in self._schedulers:
                scheduler.step()
            self._last_lr = self.rates()


class SequentialLR(Composed):
    """One schedule after another: number i starts at epoch milestones[i - 1].

    Args:
        optimizer: whose rates are set.
        schedulers: schedules of this optimiser.
        milestones: the epochs at which the next one takes over.
        last_epoch: the last epoch when resuming, else -1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("SequentialLR", optimizer)
        check_parts("SequentialLR", schedulers, optimizer)
        if not schedulers or len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: expected one schedule more than milestones, got {len(schedulers)} "
                f"and {len(milestones)}"
            )
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        self.optimizer = optimizer
        self.last_epoch = last_epoch + 1
        # Each schedule has set its own first rates already: take that back, start the right one.
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self.rewind()
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first.start()
        self._last_lr = first.get_last_lr()

    def rewind(self) -> None:
        """Take the first step of every schedule back."""
        for scheduler in self._schedulers:
            if isinstance(scheduler, SequentialLR):
                scheduler.rewind()
            else:
                scheduler.last_epoch -= 1

    def start(self) -> None:
        """Set the rates of the first epoch."""
        self.step()

    def restart(self) -> None:
        """Go to epoch 0 of the schedule, whatever the rates are now."""
        self.last_epoch = 0
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first.restart()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Set the rates of the next epoch."""
        with whole_step(self):
            self.last_epoch += 1
            index = bisect_right(self._milestones, self.last_epoch)
            scheduler = self._schedulers[index]
            if index and self._milestones[index - 1] == self.last_epoch:
                scheduler.restart()
            else:
                scheduler.step()
            self._last_lr = scheduler.get_last_lr()


class ReduceLROnPlateau(LRScheduler):
    """lr ← factor·lr when a measurement has not improved for more than `patience` epochs.

    Args:
        optimizer: whose rates are set.
        mode: "min" if smaller is better, "max" if larger.
        factor: below 1.
        patience: epochs without improvement that are put up with.
        threshold: how much better counts as improvement, relative or absolute by threshold_mode.
        threshold_mode: "rel" or "abs".
        cooldown: epochs after a reduction in which none is counted as bad.
        min_lr: a lower bound, for all groups or one for each.
        eps: smaller reductions are not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        self.optimizer = check_optimizer(name, optimizer)
        self.factor = number(name, "factor", factor, below=1)
        self.mode = one_of(name, "mode", mode, ("min", "max"))
        self.threshold_mode = one_of(name, "threshold_mode", threshold_mode, ("rel", "abs"))
        groups = len(optimizer.param_groups)
        # for groups that are added later
        self.default_min_lr = (
            None if isinstance(min_lr, tuple | list) else number(name, "min_lr", min_lr)
        )
        given = min_lr if isinstance(min_lr, tuple | list) else [min_lr] * groups
        self.min_lrs = [number(name, "min_lr", low) for low in given]
        if len(self.min_lrs) != groups:
            raise ValueError(
                f"{name}: expected one min_lr or {groups}, one for each group, got "
                f"{len(self.min_lrs)}"
            )
        self.patience = number(name, "patience", patience)
        self.threshold = number(name, "threshold", threshold)
        self.cooldown = number(name, "cooldown", cooldown)
        self.eps = number(name, "eps", eps)
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter: float = 0
        self.num_bad_epochs = self.last_epoch = 0
        self._last_lr = self.rates()

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Look at this epoch's measurement (a number or a tensor of one element)."""
        current = float(metrics)
        with whole_step(self):
            self.last_epoch += 1
            if self._is_better(current):
                self.best, self.num_bad_epochs = current, 0
            else:
                self.num_bad_epochs += 1
            if self.cooldown_counter > 0:
                self.cooldown_counter -= 1
                self.num_bad_epochs = 0
            if self.num_bad_epochs > self.patience:
                self._reduce()
                self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            self._last_lr = self.rates()

    def _is_better(self, current: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * current < sign * self.best * (1 - sign * self.threshold)
        return sign * current < sign * self.best - self.threshold

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs) and self.default_min_lr is not None:
            self.min_lrs = [self.default_min_lr] * len(groups)
        if len(groups) != len(self.min_lrs):
            raise RuntimeError(
                f"ReduceLROnPlateau: the optimiser has {len(groups)} groups now, min_lrs is for "
                f"{len(self.min_lrs)}: extend scheduler.min_lrs"
            )
        for group, low in zip(groups, self.min_lrs, strict=True):
            rate = max(float(group["lr"]) * self.factor, low)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned; load the optimiser's state, too."""
        if isinstance(state_dict, dict):  # files from before default_min_lr do not have it
            state_dict = {"default_min_lr": self.default_min_lr, **state_dict}
        super().load_state_dict(state_dict)
