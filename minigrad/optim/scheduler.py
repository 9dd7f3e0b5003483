"""What all schedules share: epochs are counted, and the rates of all groups set together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minigrad.checks import integer
from minigrad.interrupts import deferred
from minigrad.optim.optimizer import Optimizer

# What PyTorch's schedules remember besides ours, and nothing here needs.
PYTORCHS = {"_is_initial", "_get_lr_called_within_step", "verbose", "mode_worse"}


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
        """Set the rates of the first epoch: by a step, which may be a subclass's own."""
        self._step_count = 0
        self.step()

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

    def step(self, epoch: int | None = None) -> None:
        """Set the rates of the next epoch; call it after the optimiser's `step`.

        Args:
            epoch: set the rates of this epoch instead (PyTorch advises against it, and warns).
        """
        if self._step_count == 1 and not self.optimizer.has_stepped:
            warnings.warn(
                f"{type(self).__name__}.step was called before optimizer.step(): the first rate of "
                "the schedule is skipped; call optimizer.step() first",
                UserWarning,
                stacklevel=2,
            )
        if epoch is not None:
            warnings.warn(
                f"{type(self).__name__}.step({epoch}): PyTorch has deprecated the argument, and "
                "may drop it; step() goes from one epoch to the next",
                UserWarning,
                stacklevel=2,
            )
        with whole_step(self):
            self._step_count += 1
            if epoch is None:
                self.last_epoch += 1
                self._set(self.first_rates() if self._step_count == 1 else self.get_lr())
            else:
                self.last_epoch = epoch
                self._set(self._get_closed_form_lr())

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
        """Continue from what `state_dict` returned, here or in PyTorch; load the optimiser's state,
        too.

        Raises:
            ValueError: the state of another kind of schedule; nothing has changed then.
        """
        vars(self).update(self._checked_state(state_dict))

    def _checked_state(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        # without what only PyTorch's schedules remember
        expected = set(self.state_dict())
        if not isinstance(state_dict, dict) or set(state_dict) - PYTORCHS != expected - PYTORCHS:
            got = sorted(state_dict) if isinstance(state_dict, dict) else state_dict
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: expected {sorted(expected)}, got {got!r}"
            )
        return {key: value for key, value in state_dict.items() if key not in PYTORCHS}


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
