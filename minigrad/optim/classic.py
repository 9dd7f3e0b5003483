"""Optimisers from before Adam: one that goes by signs alone, and one that averages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Unpack

import numpy as np

from minigrad.checks import number
from minigrad.dtypes import float32
from minigrad.optim.adaptive import Adaptive
from minigrad.optim.optimizer import Group
from minigrad.optim.ways import Ways, check_ways
from minigrad.tape import Array
from minigrad.tensor import wrap


class Rprop(Adaptive):
    """Steps of sizes of their own for each element, which grow while the gradient keeps its sign.

        s ← s·η₊ where g·g' > 0, s·η₋ where it is < 0, between the bounds        p ← p - s·sign(g)

    g' being the gradient of the step before; where the sign has changed, p and g' rest for a step.

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the size of the first step.
        etas: η₋ and η₊.
        step_sizes: the least and the largest step.
        maximize: climb instead.
        ways: foreach, capturable, differentiable: they change nothing here, or are refused.

    Source: Riedmiller and Braun, A direct adaptive method for faster backpropagation learning: the
    RPROP algorithm, 1993.
    """

    kept: ClassVar[dict[str, bool]] = {"prev": True, "step_size": True}
    not_negative = ("lr",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
        **ways: Unpack[Ways],
    ) -> None:
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "maximize": maximize,
            **check_ways("Rprop", "foreach capturable differentiable", **ways),
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        for key in ("etas", "step_sizes"):
            if not isinstance(group[key], tuple | list) or len(group[key]) != 2:
                raise TypeError(f"Rprop: {key} must be two numbers, got {group[key]!r}")
        number("Rprop", "etas[0]", group["etas"][0], above=0, below=1)
        number("Rprop", "etas[1]", group["etas"][1], above=1)
        low = number("Rprop", "step_sizes[0]", group["step_sizes"][0], at_least=0)
        number("Rprop", "step_sizes[1]", group["step_sizes"][1], at_least=low)

    def start(self, group: Group, state: dict[str, Any], data: Array) -> None:
        super().start(group, state, data)
        state["step_size"].array[...] = float(group["lr"])

    def update_one(self, group: Group, state: dict[str, Any], t: int, p: Array, d: Array) -> None:
        before, size = state["prev"].array, state["step_size"].array
        agreed = np.sign(d * before)
        size *= np.where(agreed > 0, group["etas"][1], np.where(agreed < 0, group["etas"][0], 1))
        np.clip(size, *group["step_sizes"], out=size)
        before[...] = np.where(agreed < 0, 0, d)
        p -= np.sign(before) * size


class ASGD(Adaptive):
    """Gradient descent whose rate falls, with the average of the parameters beside it, in the state
    as `ax`.

        p ← (1 - λ·η)·p - η·d        ax ← ax + μ·(p - ax)             with d = g + weight_decay·p
        η ← lr/(1 + λ·lr·t)^alpha    μ ← 1/max(1, t - t0)             after step t; at first lr, 1

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate.
        lambd: λ, the decay.
        alpha: the power by which the rate falls.
        t0: the step after which the average begins.
        weight_decay: the factor of the L2 penalty's gradient, added to g.
        foreach: PyTorch's way to compute the same; it changes nothing here.
        maximize: climb instead.
        differentiable, capturable: refused.

    Source: Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992.
    """

    state_dtypes: ClassVar[dict[str, Any]] = {"step": float32, "eta": float32, "mu": float32}
    kept: ClassVar[dict[str, bool]] = {"ax": True}
    not_negative = ("lr", "weight_decay")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        ways: Ways = {
            "foreach": foreach, "differentiable": differentiable, "capturable": capturable
        }  # fmt: skip
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "maximize": maximize,
            **check_ways("ASGD", "foreach differentiable capturable", **ways),
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        for key in ("lambd", "alpha", "t0"):
            number("ASGD", key, group[key])

    def start(self, group: Group, state: dict[str, Any], data: Array) -> None:
        state["step"] = wrap(np.zeros((), float32))
        state["eta"] = wrap(np.array(group["lr"], float32))
        state["mu"] = wrap(np.ones((), float32))
        state["ax"] = wrap(np.zeros_like(data, order="C"))

    def update_one(self, group: Group, state: dict[str, Any], t: int, p: Array, d: Array) -> None:
        lr, decay = float(group["lr"]), float(group["lambd"])
        rate, mean = float(state["eta"].array), state["ax"].array
        p *= 1 - decay * rate
        p -= rate * d
        mean += float(state["mu"].array) * (p - mean)
        state["eta"].array[...] = lr / (1 + decay * lr * t) ** float(group["alpha"])
        state["mu"].array[...] = 1 / max(1.0, t - float(group["t0"]))
