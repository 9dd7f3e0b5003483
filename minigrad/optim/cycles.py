"""Schedules that rise and fall within a run, step by step; some move the momentum the other way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from minigrad.checks import integer, number, one_of, probability
from minigrad.optim.optimizer import Group, Optimizer
from minigrad.optim.scheduler import LRScheduler, check_optimizer, whole_step

Numbers = float | Sequence[float]


def for_groups(name: str, argument: str, value: Numbers, optimizer: Optimizer) -> list[float]:
    """One number for each group, from one for all or a list."""
    groups = len(optimizer.param_groups)
    given = list(value) if isinstance(value, list | tuple) else [value] * groups
    if len(given) != groups:
        raise ValueError(
            f"{name}: expected one {argument} or {groups}, one for each group, got {len(given)}"
        )
    return [number(name, argument, one) for one in given]


class Cycled(LRScheduler):
    """Base of the schedules that move the momentum, too: β₁ for optimisers that have betas."""

    cycle_momentum: bool

    def start_momentum(self, base: Numbers, most: Numbers, last_epoch: int) -> None:
        """Note the groups' limits, and begin at the highest."""
        name, optimizer = type(self).__name__, self.optimizer
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                f"{name}: {type(optimizer).__name__} has neither momentum nor betas: pass "
                "cycle_momentum=False"
            )
        self.use_beta1 = "betas" in optimizer.defaults
        self.base_momentums = for_groups(name, "base_momentum", base, optimizer)
        self.max_momentums = for_groups(name, "max_momentum", most, optimizer)
        if last_epoch == -1:
            limits = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(optimizer.param_groups, limits, strict=True):
                self.set_momentum(group, high)
                group.update(max_momentum=high, base_momentum=low)

    def set_momentum(self, group: Group, value: float) -> None:
        """Let the group have this momentum."""
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


class OneCycleLR(Cycled):
    """One rise from max_lr/div_factor to max_lr and one fall to far below, a step after each batch.

    Args:
        optimizer: whose rates are set.
        max_lr: the highest rate, for all groups or one for each.
        total_steps: the length of the cycle; or give epochs and steps_per_epoch.
        epochs, steps_per_epoch: their product is the length.
        pct_start: the part of the cycle that rises, 0 to 1.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: let the momentum fall to base_momentum while the rate rises, and rise again.
        base_momentum, max_momentum: its limits, for all groups or one for each.
        div_factor: the first rate is max_lr/div_factor,
        final_div_factor: the last one that divided by this.
        three_phase: fall as long as the rise, then to the last rate.
        last_epoch: the number of the last step when resuming, else -1.

    Source: Smith and Topin, Super-convergence: very fast training of neural networks using large
    learning rates, 2018.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Numbers,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Numbers = 0.85,
        max_momentum: Numbers = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        name = "OneCycleLR"
        self.optimizer = check_optimizer(name, optimizer)
        if total_steps is not None:
            total = integer(name, "total_steps", total_steps)
        elif epochs is not None and steps_per_epoch is not None:
            total = integer(name, "epochs", epochs)
            total *= integer(name, "steps_per_epoch", steps_per_epoch)
        else:
            raise ValueError(f"{name}: expected total_steps, or epochs and steps_per_epoch")
        self.total_steps = total
        rise = probability(name, "pct_start", pct_start) * total
        self._anneal_func_type = one_of(name, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        first = _phase(rise - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        if three_phase:
            self._schedule_phases = [
                first,
                _phase(2 * rise - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
                _phase(total - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
            ]
        else:
            self._schedule_phases = [
                first,
                _phase(total - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"),
            ]
        highest = for_groups(name, "max_lr", max_lr, optimizer)
        number(name, "div_factor", div_factor, above=0)
        number(name, "final_div_factor", final_div_factor, above=0)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.start_momentum(base_momentum, max_momentum, last_epoch)
            del self.base_momentums, self.max_momentums  # the groups know them
        for group, rate in zip(optimizer.param_groups, highest, strict=True):
            if last_epoch == -1:
                low = rate / div_factor
                group.update(initial_lr=low, max_lr=rate, min_lr=low / final_div_factor)
            elif "max_lr" not in group:
                raise KeyError(
                    f"{name}: last_epoch={last_epoch} resumes a run, but the optimiser's groups "
                    "have no 'max_lr': load the optimiser's state first"
                )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step, start = self.last_epoch, 0.0
        if step > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {step} of a cycle of {self.total_steps}: make total_steps the "
                "number of batches in all epochs"
            )
        for phase in self._schedule_phases[:-1]:
            if step <= phase["end_step"]:
                break
            start = phase["end_step"]
        else:
            phase = self._schedule_phases[-1]
        if phase["end_step"] == start:
            raise ValueError(
                f"OneCycleLR: a phase of the cycle of {self.total_steps} steps has no length: "
                "change pct_start"
            )
        done = (step - start) / (phase["end_step"] - start)
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[phase["start_lr"]], group[phase["end_lr"]], done))
            if self.cycle_momentum:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self.set_momentum(group, self._between(*ends, done))
        return rates

    def _between(self, start: float, end: float, done: float) -> float:
        if self._anneal_func_type == "linear":
            return (end - start) * done + start
        return end + (start - end) / 2 * (math.cos(math.pi * done) + 1)


def _phase(end: float, from_lr: str, to_lr: str, from_momentum: str, to_momentum: str) -> Any:
    """A stretch of OneCycleLR, in the words of its state dict."""
    return {
        "end_step": end,
        "start_lr": from_lr,
        "end_lr": to_lr,
        "start_momentum": from_momentum,
        "end_momentum": to_momentum,
    }


class CyclicLR(Cycled):
    """From base_lr to max_lr and back along straight lines, over and over, a step a batch.

    Args:
        optimizer: whose rates are set.
        base_lr, max_lr: the limits, for all groups or one for each.
        step_size_up: steps from base_lr to max_lr.
        step_size_down: steps back; as many by default.
        mode: "triangular", "triangular2" (each cycle half as high as the one before) or
            "exp_range" (heights fall as gamma^step).
        gamma: of "exp_range".
        scale_fn: the height by a function of one's own, instead of `mode`.
        scale_mode: what scale_fn is given, the number of the "cycle" or of the step, "iterations".
        cycle_momentum: move the momentum the other way.
        base_momentum, max_momentum: its limits, for all groups or one for each.
        last_epoch: the number of the last step when resuming, else -1.

    Source: Smith, Cyclical learning rates for training neural networks, 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: Numbers,
        max_lr: Numbers,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: Numbers = 0.8,
        max_momentum: Numbers = 0.9,
        last_epoch: int = -1,
    ) -> None:
        name = "CyclicLR"
        self.optimizer = check_optimizer(name, optimizer)
        lowest = for_groups(name, "base_lr", base_lr, optimizer)
        self.max_lrs = for_groups(name, "max_lr", max_lr, optimizer)
        up = float(number(name, "step_size_up", step_size_up, above=0))
        down = (
            up
            if step_size_down is None
            else float(number(name, "step_size_down", step_size_down, above=0))
        )
        self.total_size = up + down
        self.step_ratio = up / self.total_size
        if scale_fn is None:
            one_of(name, "mode", mode, ("triangular", "triangular2", "exp_range"))
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.mode = mode
        self.gamma = number(name, "gamma", gamma)
        self._scale_fn_custom = scale_fn
        self.scale_mode = one_of(name, "scale_mode", scale_mode, ("cycle", "iterations"))
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.start_momentum(base_momentum, max_momentum, last_epoch)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, lowest, strict=True):
                group["lr"] = rate
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lowest  # PyTorch, too, starts at the initial rates, if there were others

    def scale_fn(self, x: float) -> float:
        """The height of a cycle, for its number or that of the step."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        scale: float = 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else self.gamma**x
        return scale

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1 + self.last_epoch / self.total_size - cycle
        rising = x <= self.step_ratio
        height = x / self.step_ratio if rising else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            limits = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, limits, strict=False):
                self.set_momentum(group, high - (high - low) * height * scale)
        limits = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * height * scale for low, high in limits]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser and a function given as scale_fn; of a callable object, its
        attributes."""
        own = self._scale_fn_custom
        kept = None if own is None or isinstance(own, FunctionType) else dict(vars(own))
        return {**super().state_dict(), "_scale_fn_custom": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned; load the optimiser's state, too."""
        state = self._checked_state(state_dict)
        kept = state.pop("_scale_fn_custom")
        if kept is not None:
            vars(self._scale_fn_custom).update(kept)
        vars(self).update(state)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Falls along a cosine from initial_lr to eta_min in T_0 epochs, starts again, and so on.

    Args:
        optimizer: whose rates are set.
        T_0: epochs until the first restart.
        T_mult: each period is so many times as long as the one before.
        eta_min: the lowest rate.
        last_epoch: the last epoch when resuming, else -1.

    Source: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017,
    equation (5).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        name = "CosineAnnealingWarmRestarts"
        self.T_0 = self.T_i = integer(name, "T_0", T_0)
        self.T_mult = integer(name, "T_mult", T_mult)
        self.eta_min = number(name, "eta_min", eta_min)
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def restart(self) -> None:
        self.step(0)

    def get_lr(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (lr - self.eta_min) * height for lr in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Set the rates of the next epoch, or of `epoch`, which may lie between two: after batch i
        of n in an epoch, `epoch + i/n`."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is not None:
            number("CosineAnnealingWarmRestarts.step", "epoch", epoch, at_least=0)
        with whole_step(self):
            if epoch is None:
                epoch = self.last_epoch + 1
                self.T_cur += 1
                if self.T_cur >= self.T_i:
                    self.T_cur -= self.T_i
                    self.T_i *= self.T_mult
            else:
                self.T_i, self.T_cur = self._period(epoch)
            self.last_epoch = math.floor(epoch)
            self._set(self.get_lr())

    def _period(self, epoch: float) -> tuple[int, float]:
        """The length of the period that the epoch is in, and how much of it has passed."""
        first, times = self.T_0, self.T_mult
        if epoch < first or times == 1:
            return first, epoch % first
        n = int(math.log(epoch / first * (times - 1) + 1, times))
        return first * times**n, epoch - first * (times**n - 1) / (times - 1)
