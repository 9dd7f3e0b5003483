"""L-BFGS, a quasi-Newton method that evaluates the loss several times a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from minigrad import changes, modes
from minigrad.checks import integer, number, one_of
from minigrad.incoming import is_array, taken
from minigrad.interrupts import deferred
from minigrad.optim.optimizer import Group, Optimizer
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap


class Point(NamedTuple):
    """A place x + t·d: there the loss is f, its gradient g, and its slope along d `slope`."""

    t: float
    f: float
    g: Array
    slope: float


class LBFGS(Optimizer):
    """Limited-memory BFGS: steps along -H·g, where H estimates the inverse Hessian matrix.

    H comes from the last changes of the parameters s and of the gradient y: it starts as
    s·y/(y·y) times the identity, and each pair (s, y) updates it so that H·y = s.

    Args:
        params: parameters, or one group of them: this optimiser has no more.
        lr: the length of the steps, or of the first trial of a line search.
        max_iter: iterations a step, at most.
        max_eval: evaluations of the closure a step, at most; 1.25·max_iter by default.
        tolerance_grad: stop where no element of the gradient is larger.
        tolerance_change: stop where the parameters or the loss change less.
        history_size: how many pairs (s, y) are kept.
        line_search_fn: None, or "strong_wolfe" for a search along the line until the loss has
            fallen enough and its slope has flattened.

    Source: Nocedal and Wright, Numerical optimization, 2006, Algorithms 7.4 and 7.5; the line
    search is 3.5 and 3.6, with cubic interpolation (3.59).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        """Raise if a hyperparameter of `group` is out of range."""
        number("LBFGS", "lr", group["lr"], at_least=0)
        for key in ("max_iter", "max_eval", "history_size"):
            integer("LBFGS", key, group[key], 0)
        for key in ("tolerance_grad", "tolerance_change"):
            number("LBFGS", key, group[key])
        one_of("LBFGS", "line_search_fn", group["line_search_fn"], (None, "strong_wolfe"))

    def add_param_group(self, param_group: Group) -> None:
        """Refused after the first: the steps of all parameters belong together."""
        if self.param_groups:
            raise ValueError("LBFGS: expected one group of parameters, got another")
        super().add_param_group(param_group)

    def _fits(self, p: Tensor, shape: tuple[int, ...]) -> bool:
        return True  # what is remembered has the shape of no parameter

    def _loaded_entry(self, where: str, group: Group, p: Tensor, entry: dict[str, Any]) -> Any:
        # Vectors as long as all parameters together, lists of them, and numbers.
        def loaded(value: Any) -> Any:
            if isinstance(value, list | tuple):
                return [loaded(v) for v in value]
            return wrap(np.array(taken(where, value))) if is_array(value) else deepcopy(value)

        return {key: loaded(value) for key, value in entry.items()}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Minimise for up to `max_iter` iterations; return the loss before the first.

        Args:
            closure: clears the gradients, computes the loss, its gradients included, and returns
                it.
        """
        if closure is None:
            raise TypeError("LBFGS.step: expected a closure that computes the loss, got None")
        (group,) = self.param_groups
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        lr, least = float(group["lr"]), float(group["tolerance_change"])

        def evaluate() -> tuple[Any, float, Array]:
            with modes.enable_grad():
                loss = closure()
            state["func_evals"] += 1
            return loss, float(loss), self._gradient()

        first, f, g = evaluate()
        evaluations, iterations, tiny = 1, 0, float(group["tolerance_grad"])
        if _largest(g) <= tiny:
            return first
        with np.errstate(all="ignore"):
            while iterations < group["max_iter"]:
                iterations += 1
                state["n_iter"] += 1
                d = self._direction(state, group, g)
                state["prev_flat_grad"], state["prev_loss"] = wrap(g.copy()), f
                t = min(1.0, 1 / float(np.abs(g).sum())) * lr if state["n_iter"] == 1 else lr
                state["d"], state["t"] = wrap(d), t
                start = Point(0.0, f, g, float(g @ d))
                if start.slope > -least:
                    break
                x = [p.array.copy() for p in group["params"]]
                if group["line_search_fn"] is not None:

                    def along(t: float, d: Array = d, x: list[Array] = x) -> Point:
                        self._move_to(x, t, d)
                        _, f, g = evaluate()
                        self._move_to(x, 0, d)
                        return Point(t, f, g, float(g @ d))

                    found, used = strong_wolfe(
                        along, start, t, _largest(d), trials=group["max_eval"] - evaluations
                    )
                    t, f, g = found.t, found.f, found.g
                    self._move_to(x, t, d)
                    state["t"] = t
                    evaluations += used
                else:
                    self._move_to(x, t, d)
                    if iterations != group["max_iter"]:
                        _, f, g = evaluate()
                        evaluations += 1
                if (
                    evaluations >= group["max_eval"]
                    or _largest(g) <= tiny
                    or _largest(d * t) <= least
                    or abs(f - state["prev_loss"]) < least
                ):
                    break
        return first

    def _gradient(self) -> Array:
        """All gradients in one vector, zeros where there is none, once all have been looked at."""
        self._entries(self.param_groups[0], 0)
        parts = []
        for p in self.param_groups[0]["params"]:
            node = p.node or p.leaf
            grad = None if node is None else node.grad
            parts.append(np.zeros(p.array.size, p.dtype) if grad is None else grad.reshape(-1))
        return np.concatenate(parts)

    def _move_to(self, x: list[Array], t: float, d: Array) -> None:
        """Let the parameters be x + t·d, all of them or after an interrupt none."""
        at = 0
        with deferred():
            for p, start in zip(self.param_groups[0]["params"], x, strict=True):
                part = d[at : at + start.size].reshape(start.shape)
                p.array[...] = start + t * part if t else start
                changes.note_change(p.array)
                at += start.size

    def _direction(self, state: dict[str, Any], group: Group, g: Array) -> Array:
        """-H·g by the two loops over the history, after the last step has joined it."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return -g
        y = g - state["prev_flat_grad"].array
        s = state["d"].array * float(state["t"])
        curvature = y @ s
        if curvature > 1e-10:
            for key, value in (("old_dirs", y), ("old_stps", s), ("ro", 1 / curvature)):
                if len(state[key]) == group["history_size"]:
                    state[key].pop(0)
                state[key].append(wrap(value))
            state["H_diag"] = wrap(curvature / (y @ y))
        pairs = [
            (y.array, s.array, ro.array)
            for y, s, ro in zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True)
        ]
        q, weights = -g, []
        for y, s, ro in reversed(pairs):
            weights.append(s @ q * ro)
            q = q - weights[-1] * y
        scale = state["H_diag"]
        r: Array = q * (scale.array if isinstance(scale, Tensor) else scale)
        for (y, s, ro), weight in zip(pairs, reversed(weights), strict=True):
            r = r + s * (weight - y @ r * ro)
        unused = [None] * (group["history_size"] - len(pairs))
        state["al"] = [*map(wrap, reversed(weights)), *unused]  # as PyTorch keeps it
        return r


def _largest(a: Array) -> float:
    return float(np.abs(a).max(initial=0))


FALL, FLAT = 1e-4, 0.9  # c₁ and c₂ of the Wolfe conditions


def strong_wolfe(
    along: Callable[[float], Point], start: Point, t: float, length: float, least: float = 1e-9,
    trials: int = 25,
) -> tuple[Point, int]:  # fmt: skip
    """A point of the line at which the strong Wolfe conditions hold, and how many were evaluated.

    f ≤ f₀ + c₁·t·f₀' and |f'| ≤ -c₂·f₀'. `t` is the first trial, `length` the largest element of d.
    """

    def rises(p: Point) -> bool:
        return p.f > start.f + FALL * p.t * start.slope

    def flat(p: Point) -> bool:
        return abs(p.slope) <= -FLAT * start.slope

    # First walk on, until a point is good or a minimum lies between two of them.
    last, new, used, tried = start, along(t), 1, 0
    ends: list[Point] = []
    while not ends and tried < trials:
        if rises(new) or (tried > 1 and new.f >= last.f):
            ends = [last, new]
        elif flat(new):
            return new, used
        elif new.slope >= 0:
            ends = [last, new]
        else:
            t = _cubic(last, new, new.t + 0.01 * (new.t - last.t), 10 * new.t)
            last, new = new, along(t)
            used, tried = used + 1, tried + 1
    ends = ends or [start, new]

    # Then narrow the interval. It has a low end, whose loss is the smaller, and a high end.
    low, high = ends if ends[0].f <= ends[1].f else reversed(ends)
    slow = False  # whether the last trial lay near an end already
    while tried < trials and abs(high.t - low.t) * length >= least:
        left, right = sorted((low.t, high.t))
        t = _cubic(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        near = min(right - t, t - left) < margin
        if near and (slow or not left < t < right):
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            near = False
        slow = near
        new = along(t)
        used, tried = used + 1, tried + 1
        at = 0 if ends[0] is low else 1
        if rises(new) or new.f >= low.f:
            ends[1 - at] = new
            low, high = ends if ends[0].f <= ends[1].f else reversed(ends)
            continue
        if flat(new):
            return new, used
        if new.slope * (high.t - low.t) >= 0:
            ends[1 - at] = high = low
        ends[at] = low = new
    return low, used


def _cubic(a: Point, b: Point, lowest: float, highest: float) -> float:
    """Where the cubic through both points, with their slopes, is smallest; the middle without."""
    u = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = u * u - a.slope * b.slope
    if not square >= 0:
        return (lowest + highest) / 2
    root = sqrt(square)
    if a.t > b.t:
        a, b = b, a
    at = b.t - (b.t - a.t) * ((b.slope + root - u) / (b.slope - a.slope + 2 * root))
    return min(max(at, lowest), highest)
