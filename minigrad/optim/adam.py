"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any, ClassVar, Unpack

import numpy as np

from minigrad import changes, kernels
from minigrad.checks import number
from minigrad.dtypes import float32
from minigrad.optim.adaptive import check_betas
from minigrad.optim.optimizer import Entry, Group, Optimizer
from minigrad.optim.ways import Ways, check_ways
from minigrad.tape import Array
from minigrad.tensor import wrap


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

        m ← β₁·m + (1 - β₁)·g        v ← β₂·v + (1 - β₂)·g²
        p ← p - lr · m̂ / (√v̂ + eps)  with m̂ = m/(1 - β₁ᵗ), v̂ = v/(1 - β₂ᵗ) in step t

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate.
        betas: β₁ and β₂, each in [0, 1).
        eps: keeps the division finite.
        weight_decay: the factor of the L2 penalty's gradient, added to g.
        amsgrad: divide by the largest v̂ so far.
        maximize: climb instead.
        ways: foreach, fused: PyTorch's ways to compute the same; they change nothing here.
        decoupled_weight_decay: shrink p by lr·weight_decay instead, as AdamW does.

    Source: Kingma and Ba, Adam: a method for stochastic optimization, 2015, Algorithm 1; amsgrad:
    Reddi, Kale and Kumar, On the convergence of Adam and beyond, 2018, Algorithm 2.

    >>> w = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w  # the first step is lr, whatever the gradient's size
    tensor([0.9], requires_grad=True)
    """

    state_dtypes: ClassVar[dict[str, Any]] = {"step": float32}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        **ways: Unpack[Ways],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            **check_ways(type(self).__name__, "foreach capturable differentiable fused", **ways),
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        """Raise if a hyperparameter of `group` is out of range."""
        name = type(self).__name__
        for key in ("lr", "eps", "weight_decay"):
            number(name, key, group[key], at_least=0)
        check_betas(name, group["betas"])

    def entries(self, group: Group) -> dict[str, bool]:
        """What is remembered about a parameter, and whether a step needs it."""
        return {"step": True, "exp_avg": True, "exp_avg_sq": True, "max_exp_avg_sq": False}

    def update(self, group: Group, entries: list[Entry]) -> None:
        """Change the parameters of one group, in place."""
        lr, eps, decay = float(group["lr"]), float(group["eps"]), float(group["weight_decay"])
        beta1, beta2 = map(float, group["betas"])
        decoupled, maximize = bool(group["decoupled_weight_decay"]), bool(group["maximize"])
        amsgrad = bool(group["amsgrad"])
        together: dict[Any, list[Any]] = {}  # by dtype
        for p, data, grad in entries:
            state = self.state.setdefault(p, {})
            if not state:
                state["step"] = wrap(np.zeros((), float32))
                for key in ("exp_avg", "exp_avg_sq"):
                    state[key] = wrap(np.zeros_like(data, order="C"))
            if amsgrad and "max_exp_avg_sq" not in state:  # it may be switched on later
                state["max_exp_avg_sq"] = wrap(np.zeros_like(data, order="C"))
            count = state["step"].array
            count += 1
            t, m, v = int(count), state["exp_avg"].array, state["exp_avg_sq"].array
            if amsgrad:
                d = -grad if maximize else grad
                if decoupled:
                    data *= 1 - lr * decay
                elif decay:
                    d = d + decay * data
                largest = state["max_exp_avg_sq"].array
                _amsgrad_step_(data, d, m, v, largest, lr, beta1, beta2, eps, t)
            else:
                together.setdefault(data.dtype, []).append((data, grad, m, v, t))
        for work in together.values():
            params, grads, means, squares, steps = map(list, zip(*work, strict=True))
            kernels.backend_for(params[0]).adam_step_(
                params, grads, means, squares, lr, beta1, beta2, eps, decay, steps, decoupled,
                maximize,
            )  # fmt: skip
        for _, data, _ in entries:
            changes.note_change(data)


def _amsgrad_step_(
    p: Array, d: Array, m: Array, v: Array, largest: Array, lr: float, beta1: float, beta2: float,
    eps: float, t: int,
) -> None:  # fmt: skip
    m += (1 - beta1) * (d - m)
    v *= beta2
    v += (1 - beta2) * d * d
    np.maximum(largest, v, out=largest)
    p -= lr / (1 - beta1**t) * m / (np.sqrt(largest) / sqrt(1 - beta2**t) + eps)


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters instead of joining the gradient.

    p ← (1 - lr·weight_decay)·p, then Adam's step; arguments as for Adam.

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, 2019, Algorithm 2.

    >>> model = nn.Linear(3, 1)
    >>> optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    >>> optimizer.param_groups[0]["weight_decay"]
    0.01
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **ways: Unpack[Ways],
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad,
            maximize=maximize, decoupled_weight_decay=True, **ways,
        )  # fmt: skip
