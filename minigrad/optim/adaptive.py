"""Optimisers that scale the step of each element by what they remember of its gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Unpack

import numpy as np

from minigrad import changes
from minigrad.checks import number
from minigrad.dtypes import float32
from minigrad.optim.optimizer import Entry, Group, Optimizer
from minigrad.optim.ways import Ways, check_ways
from minigrad.tape import Array
from minigrad.tensor import wrap


class Adaptive(Optimizer):
    """Base of these optimisers, which count steps and remember arrays of the parameter's shape.

    A subclass gives `kept`, whether a step needs each array, and `update_one`.
    """

    state_dtypes: ClassVar[dict[str, Any]] = {"step": float32}
    kept: ClassVar[dict[str, bool]] = {}
    not_negative: ClassVar[tuple[str, ...]] = ("lr", "eps", "weight_decay")
    own_decay: ClassVar[bool] = False  # `update_one` applies it

    def check(self, group: Group) -> None:
        """Raise if a hyperparameter of `group` is out of range."""
        name = type(self).__name__
        for key in self.not_negative:
            number(name, key, group[key], at_least=0)
        if "betas" in group:
            check_betas(name, group["betas"])

    def entries(self, group: Group) -> dict[str, bool]:
        """What is remembered about a parameter, and whether a step needs it."""
        return {**dict.fromkeys(self.state_dtypes, True), **self.kept}

    def start(self, group: Group, state: dict[str, Any], data: Array) -> None:
        """Begin to remember: counters at 0, arrays of zeros."""
        state["step"] = wrap(np.zeros((), float32))
        for key in (key for key, needed in self.kept.items() if needed):
            state[key] = wrap(np.zeros_like(data, order="C"))

    def update(self, group: Group, entries: list[Entry]) -> None:
        """Change the parameters of one group, in place."""
        lr = float(group["lr"])
        decay = 0.0 if self.own_decay else float(group.get("weight_decay", 0))
        for p, data, grad in entries:
            state = self.state[p]
            if not state:
                self.start(group, state, data)
            count = state["step"].array
            count += 1
            d = -grad if group["maximize"] else grad
            if group.get("decoupled_weight_decay"):
                data *= 1 - lr * decay
            elif decay:
                d = d + decay * data
            self.update_one(group, state, int(count), data, d)
            changes.note_change(data)

    def update_one(self, group: Group, state: dict[str, Any], t: int, p: Array, d: Array) -> None:
        """Change the array `p`, in place, in step `t` along the direction `d`."""
        raise NotImplementedError


def check_betas(name: str, betas: Any) -> None:
    """Raise unless these are the two factors of running means."""
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise TypeError(f"{name}: betas must be two numbers, got {betas!r}")
    for i, beta in enumerate(betas):
        number(name, f"betas[{i}]", beta, at_least=0, below=1)


def average(state: dict[str, Any], key: str, beta: float, value: Any) -> Array:
    """The running mean of that name, in place: a ← beta·a + (1 - beta)·value."""
    a: Array = state[key].array
    a *= beta
    a += (1 - beta) * value
    return a


def optional(state: dict[str, Any], key: str, like: Array) -> Array:
    """What is remembered under that name, zeros at first: the option may be switched on later."""
    if key not in state:
        state[key] = wrap(np.zeros_like(like, order="C"))
    array: Array = state[key].array
    return array


class RMSprop(Adaptive):
    """Steps divided by the root of a running mean of the gradient's square.

        v ← α·v + (1 - α)·d²        p ← p - lr · d / (√v + eps)     with d = g + weight_decay·p
        b ← momentum·b + d / (√v + eps)        p ← p - lr·b                   with momentum

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate.
        alpha: α, how much of the mean is kept.
        eps: keeps the division finite.
        weight_decay: the factor of the L2 penalty's gradient, added to g.
        momentum: how much of the last direction is kept.
        centered: divide by an estimate of the standard deviation: v - m² for v, m being the
            running mean of d.
        maximize: climb instead.
        ways: foreach, fused: PyTorch's ways to compute the same; they change nothing here.

    Source: Tieleman and Hinton, Lecture 6.5 of Neural networks for machine learning, 2012;
    centered: Graves, Generating sequences with recurrent neural networks, 2013.
    """

    kept: ClassVar[dict[str, bool]] = {
        "square_avg": True,
        "momentum_buffer": False,
        "grad_avg": False,
    }
    not_negative = ("lr", "alpha", "eps", "weight_decay", "momentum")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **ways: Unpack[Ways],
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
            **check_ways("RMSprop", "capturable foreach differentiable", **ways),
        }
        super().__init__(params, defaults)

    def update_one(self, group: Group, state: dict[str, Any], t: int, p: Array, d: Array) -> None:
        alpha, momentum = float(group["alpha"]), float(group["momentum"])
        v = average(state, "square_avg", alpha, d * d)
        b = optional(state, "momentum_buffer", p) if momentum else None
        if group["centered"]:
            optional(state, "grad_avg", p)
            m = average(state, "grad_avg", alpha, d)
            v = v - m * m
        d = d / (np.sqrt(v) + float(group["eps"]))
        if b is not None:
            b *= momentum
            b += d
            d = b
        p -= float(group["lr"]) * d


class Adagrad(Adaptive):
    """Steps divided by the root of the sum of all squares of the gradient.

        s ← s + d²        p ← p - lr/(1 + (t - 1)·lr_decay) · d / (√s + eps)

    with d = g + weight_decay·p in step t.

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate.
        lr_decay: how fast it falls.
        weight_decay: the factor of the L2 penalty's gradient, added to g.
        initial_accumulator_value: s at the start.
        eps: keeps the division finite.
        maximize: climb instead.
        ways: foreach, fused: PyTorch's ways to compute the same; they change nothing here.

    Source: Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and stochastic
    optimization, 2011, in the form with a diagonal matrix.
    """

    kept: ClassVar[dict[str, bool]] = {"sum": True}
    not_negative = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **ways: Unpack[Ways],
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
            **check_ways("Adagrad", "foreach differentiable fused", **ways),
        }
        super().__init__(params, defaults)
        for group in self.param_groups:  # remembered before the first step, as in PyTorch
            for p in group["params"]:
                self.start(group, self.state[p], p.array)

    def start(self, group: Group, state: dict[str, Any], data: Array) -> None:
        super().start(group, state, data)
        state["sum"].array[...] = group["initial_accumulator_value"]

    def update_one(self, group: Group, state: dict[str, Any], t: int, p: Array, d: Array) -> None:
        s = state["sum"].array
        s += d * d
        rate = float(group["lr"]) / (1 + (t - 1) * float(group["lr_decay"]))
        p -= rate * (d / (np.sqrt(s) + float(group["eps"])))


class Adadelta(Adaptive):
    """Steps as large as the steps before, by the ratio of two running means.

        v ← ρ·v + (1 - ρ)·d²      u = √(w + eps) / √(v + eps) · d      with d = g + weight_decay·p
        w ← ρ·w + (1 - ρ)·u²      p ← p - lr·u

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the factor of the step.
        rho: ρ, how much of the means is kept, 0 to 1.
        eps: keeps the division finite, and makes the first step.
        weight_decay: the factor of the L2 penalty's gradient, added to g.
        maximize: climb instead.
        ways: foreach, fused: PyTorch's ways to compute the same; they change nothing here.

    Source: Zeiler, ADADELTA: an adaptive learning rate method, 2012, Algorithm 1.
    """

    kept: ClassVar[dict[str, bool]] = {"square_avg": True, "acc_delta": True}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **ways: Unpack[Ways],
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            **check_ways("Adadelta", "capturable foreach differentiable", **ways),
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        number("Adadelta", "rho", group["rho"], at_least=0, at_most=1)

    def update_one(self, group: Group, state: dict[str, Any], t: int, p: Array, d: Array) -> None:
        rho, eps = float(group["rho"]), float(group["eps"])
        v = average(state, "square_avg", rho, d * d)
        u = np.sqrt(state["acc_delta"].array + eps) / np.sqrt(v + eps) * d
        average(state, "acc_delta", rho, u * u)
        p -= float(group["lr"]) * u
