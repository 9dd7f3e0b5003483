"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

import numpy as np

from minigrad import changes, kernels
from minigrad.checks import number
from minigrad.optim.optimizer import Entry, Group, Optimizer
from minigrad.optim.ways import Ways, check_ways
from minigrad.tensor import wrap


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, weight decay and Nesterov's variant.

        d ← g + weight_decay·p                  (-g if maximize)
        b ← momentum·b + (1 - dampening)·d      (b ← d in the first step)
        p ← p - lr·b                            (p - lr·(d + momentum·b) with Nesterov)

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate.
        momentum: how much of the last direction is kept, 0 to 1.
        dampening: how much of the gradient is left out of the direction.
        weight_decay: the factor of the L2 penalty's gradient.
        nesterov: look ahead along the new direction; needs momentum and no dampening.
        maximize: climb instead.
        ways: foreach, fused: PyTorch's ways to compute the same; they change nothing here.

    Source: Sutskever, Martens, Dahl and Hinton, On the importance of initialization and momentum in
    deep learning, 2013, equations (3) and (4), in the form in which lr scales the buffer's use.

    >>> w = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.8], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **ways: Unpack[Ways],
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            **check_ways("SGD", "foreach differentiable fused", **ways),
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        """Raise if a hyperparameter of `group` is out of range."""
        for key in ("lr", "momentum", "weight_decay"):
            number("SGD", key, group[key], at_least=0)
        number("SGD", "dampening", group["dampening"])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                "SGD: nesterov needs momentum > 0 and dampening = 0, got momentum="
                f"{group['momentum']!r} and dampening={group['dampening']!r}"
            )

    def entries(self, group: Group) -> dict[str, bool]:
        """What is remembered about a parameter, and whether a step needs it."""
        return {"momentum_buffer": False}

    def update(self, group: Group, entries: list[Entry]) -> None:
        """Change the parameters of one group, in place."""
        lr, momentum = float(group["lr"]), float(group["momentum"])
        dampening, weight_decay = float(group["dampening"]), float(group["weight_decay"])
        nesterov, maximize = bool(group["nesterov"]), bool(group["maximize"])
        together: dict[Any, list[Any]] = {}  # by dtype
        buf, damp = None, dampening
        for p, data, grad in entries:
            if momentum:
                state, damp = self.state.setdefault(p, {}), dampening
                buffer = state.get("momentum_buffer")
                if buffer is None:  # b ← d is momentum·0 + (1 - 0)·d
                    buffer = state["momentum_buffer"] = wrap(np.zeros_like(data, order="C"))
                    damp = 0.0
                buf = buffer.array
            together.setdefault(data.dtype, []).append((data, grad, buf, damp))
        for work in together.values():
            params, grads, buffers, damps = map(list, zip(*work, strict=True))
            kernels.backend_for(params[0]).sgd_step_(
                params, grads, buffers, lr, momentum, damps, weight_decay, nesterov, maximize
            )
        for _, data, _ in entries:
            changes.note_change(data)
