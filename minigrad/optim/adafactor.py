"""Adafactor: steps divided by the root of a mean square that is kept as rows and columns only."""

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
from minigrad.tensor import Tensor, wrap


class Adafactor(Adaptive):
    """Steps as large as the parameter is, along the gradient divided by the root of a running mean
    of its square, of which matrices remember the means of rows and columns alone.

        β = t^beta2_decay        R ← R + β·(mean of g² over columns - R)        C likewise, of rows
        V = R·C / mean of R      u = g/√V, shortened to a root mean square of d
        p ← (1 - lr·weight_decay)·p - u · max(eps₂, rms p) · min(lr, 1/√t)      in step t

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the largest rate, relative to the size of the parameter.
        beta2_decay: how fast the mean comes to rest, below 0.
        eps: eps₁, below which no root is taken (None: that of the dtype), and eps₂, the least size.
        d: the largest root mean square of u.
        weight_decay: the decoupled decay.
        maximize: climb instead.
        ways: foreach: PyTorch's way to compute the same; it changes nothing here.

    Source: Shazeer and Stern, Adafactor: adaptive learning rates with sublinear memory cost, 2018.
    """

    kept: ClassVar[dict[str, bool]] = {"row_var": False, "col_var": False, "variance": False}
    own_decay = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **ways: Unpack[Ways],
    ) -> None:
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "maximize": maximize,
            **check_ways("Adafactor", "foreach", **ways),
        }
        super().__init__(params, defaults)

    not_negative = ("lr", "weight_decay")

    def check(self, group: Group) -> None:
        super().check(group)
        number("Adafactor", "beta2_decay", group["beta2_decay"], at_most=0)
        number("Adafactor", "d", group["d"], at_least=1)
        if not isinstance(group["eps"], tuple | list) or len(group["eps"]) != 2:
            raise TypeError(f"Adafactor: eps must be a pair, got {group['eps']!r}")
        for i, eps in enumerate(group["eps"]):
            if i or eps is not None:
                number("Adafactor", f"eps[{i}]", eps, at_least=0)

    def entry_shape(self, key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Rows and columns instead of matrices."""
        if key == "row_var":
            return (*shape[:-1], 1)
        if key == "col_var":
            return (*shape[:-2], 1, *shape[-1:])
        return super().entry_shape(key, shape)

    def _loaded_entry(self, where: str, group: Group, p: Tensor, entry: dict[str, Any]) -> Any:
        loaded = super()._loaded_entry(where, group, p, entry)
        expected = ["step", *_kept(p.ndim)]
        if loaded and loaded.keys() != {*expected}:
            raise ValueError(f"{where} must have the state {expected}; found: {list(loaded)}")
        return loaded

    def start(self, group: Group, state: dict[str, Any], data: Array) -> None:
        state["step"] = wrap(np.zeros((), float32))
        for key in _kept(data.ndim):
            state[key] = wrap(np.zeros(self.entry_shape(key, data.shape), data.dtype))

    def update_one(self, group: Group, state: dict[str, Any], t: int, p: Array, d: Array) -> None:
        if not p.size:  # of which there are no means
            return
        lr, (floor, least) = float(group["lr"]), group["eps"]
        floor = float(np.finfo(p.dtype).eps) if floor is None else float(floor)
        weight = t ** float(group["beta2_decay"])
        rate = max(float(least), _size(p)) * min(lr, t**-0.5)
        p *= 1 - lr * float(group["weight_decay"])
        if d.ndim > 1:
            rows, columns = state["row_var"].array, state["col_var"].array
            squares = d * d
            rows += weight * (squares.mean(-1, keepdims=True) - rows)
            columns += weight * (squares.mean(-2, keepdims=True) - columns)
            square = rows * columns / np.maximum(rows.mean(-2, keepdims=True), floor)
        else:
            square = state["variance"].array
            square += weight * (d * d - square)
        step = d / np.sqrt(np.maximum(square, floor * floor))
        p -= rate / max(1.0, _size(step) / float(group["d"])) * step


def _kept(ndim: int) -> tuple[str, ...]:
    """What is remembered about a parameter of so many axes."""
    return ("row_var", "col_var") if ndim > 1 else ("variance",)


def _size(a: Array) -> float:
    """The root of the mean square."""
    return float(np.linalg.norm(a) / np.sqrt(a.size))
