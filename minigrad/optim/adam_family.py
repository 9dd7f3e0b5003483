"""Relatives of Adam: NAdam, RAdam and Adamax."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any, ClassVar, Unpack

import numpy as np

from minigrad.dtypes import float32
from minigrad.optim.adaptive import Adaptive, average
from minigrad.optim.optimizer import Group
from minigrad.optim.ways import Ways, check_ways
from minigrad.tape import Array
from minigrad.tensor import wrap


class NAdam(Adaptive):
    """Adam with Nesterov's momentum: it looks ahead along the mean of the gradient.

        m ← β₁·m + (1 - β₁)·d        v ← β₂·v + (1 - β₂)·d²        v̂ = v/(1 - β₂ᵗ)
        μᵗ = β₁·(1 - 0.96^(t·momentum_decay)/2)        M ← M·μᵗ
        p ← p - lr · ((1 - μᵗ)/(1 - M)·d + μᵗ⁺¹/(1 - M·μᵗ⁺¹)·m) / (√v̂ + eps)

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate.
        betas: β₁ and β₂, each in [0, 1).
        eps: keeps the division finite.
        weight_decay: the factor of the L2 penalty's gradient, added to g.
        momentum_decay: how fast μ grows to β₁.
        decoupled_weight_decay: shrink p by lr·weight_decay instead, as AdamW does.
        maximize: climb instead.
        ways: foreach, fused: PyTorch's ways to compute the same; they change nothing here.

    Source: Dozat, Incorporating Nesterov momentum into Adam, 2016.
    """

    state_dtypes: ClassVar[dict[str, Any]] = {"step": float32, "mu_product": float32}
    kept: ClassVar[dict[str, bool]] = {"exp_avg": True, "exp_avg_sq": True}
    not_negative = ("lr", "eps", "weight_decay", "momentum_decay")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **ways: Unpack[Ways],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            **check_ways("NAdam", "foreach capturable differentiable", **ways),
        }
        super().__init__(params, defaults)

    def start(self, group: Group, state: dict[str, Any], data: Array) -> None:
        state.update(step=None, mu_product=wrap(np.ones((), float32)))
        super().start(group, state, data)

    def update_one(self, group: Group, state: dict[str, Any], t: int, p: Array, d: Array) -> None:
        lr, (beta1, beta2) = float(group["lr"]), map(float, group["betas"])
        m = average(state, "exp_avg", beta1, d)
        v = average(state, "exp_avg_sq", beta2, d * d)
        mu, mu_next = (
            beta1 * (1 - 0.5 * 0.96 ** (s * float(group["momentum_decay"]))) for s in (t, t + 1)
        )
        product = state["mu_product"].array
        product *= mu
        so_far = float(product)
        scale = np.sqrt(v / (1 - beta2**t)) + float(group["eps"])
        p -= lr * (1 - mu) / (1 - so_far) * (d / scale)
        p -= lr * mu_next / (1 - so_far * mu_next) * (m / scale)


class RAdam(Adaptive):
    """Adam that rectifies its early steps, in which few squares have been averaged.

        m ← β₁·m + (1 - β₁)·d        v ← β₂·v + (1 - β₂)·d²        m̂ = m/(1 - β₁ᵗ)
        ρ∞ = 2/(1 - β₂) - 1          ρ = ρ∞ - 2t·β₂ᵗ/(1 - β₂ᵗ)
        p ← p - lr · m̂ · r · √(1 - β₂ᵗ) / (√v + eps)     where ρ > 5, else  p ← p - lr·m̂
        r² = (ρ - 4)(ρ - 2)ρ∞ / ((ρ∞ - 4)(ρ∞ - 2)ρ)

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate.
        betas: β₁ and β₂, each in [0, 1).
        eps: keeps the division finite.
        weight_decay: the factor of the L2 penalty's gradient, added to g.
        decoupled_weight_decay: shrink p by lr·weight_decay instead, as AdamW does.
        maximize: climb instead.
        ways: foreach, fused: PyTorch's ways to compute the same; they change nothing here.

    Source: Liu et al., On the variance of the adaptive learning rate and beyond, 2020, Algorithm 2.
    """

    kept: ClassVar[dict[str, bool]] = {"exp_avg": True, "exp_avg_sq": True}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **ways: Unpack[Ways],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            **check_ways("RAdam", "foreach capturable differentiable", **ways),
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def update_one(self, group: Group, state: dict[str, Any], t: int, p: Array, d: Array) -> None:
        lr, (beta1, beta2) = float(group["lr"]), map(float, group["betas"])
        m = average(state, "exp_avg", beta1, d)
        v = average(state, "exp_avg_sq", beta2, d * d)
        unbiased = 1 - beta2**t
        most = 2 / (1 - beta2) - 1
        rho = most - 2 * t * beta2**t / unbiased
        step = lr / (1 - beta1**t) * m
        if rho > 5:
            r = sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
            step *= r * sqrt(unbiased) / (np.sqrt(v) + float(group["eps"]))
        p -= step


class Adamax(Adaptive):
    """Adam by the largest gradient instead of the mean square.

        m ← β₁·m + (1 - β₁)·d        u ← max(β₂·u, |d| + eps)
        p ← p - lr/(1 - β₁ᵗ) · m/u        with d = g + weight_decay·p in step t

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate.
        betas: β₁ and β₂, each in [0, 1).
        eps: keeps the division finite.
        weight_decay: the factor of the L2 penalty's gradient, added to g.
        maximize: climb instead.
        ways: foreach, fused: PyTorch's ways to compute the same; they change nothing here.

    Source: Kingma and Ba, Adam: a method for stochastic optimization, 2015, Algorithm 2.
    """

    kept: ClassVar[dict[str, bool]] = {"exp_avg": True, "exp_inf": True}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **ways: Unpack[Ways],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            **check_ways("Adamax", "foreach differentiable capturable", **ways),
        }
        super().__init__(params, defaults)

    def update_one(self, group: Group, state: dict[str, Any], t: int, p: Array, d: Array) -> None:
        beta1, beta2 = map(float, group["betas"])
        m = average(state, "exp_avg", beta1, d)
        u = state["exp_inf"].array
        u *= beta2
        np.maximum(u, np.abs(d) + float(group["eps"]), out=u)
        p -= float(group["lr"]) / (1 - beta1**t) * (m / u)
