"""The loss and its gradient along the direction in which training is about to step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.analysis.objective import (
    LossFunction,
    difference,
    measuring,
    moved,
    norm,
)
from minigrad.nn.module import Module
from minigrad.tape import Array


class GradientLine(NamedTuple):
    """What `along_gradient` finds at each step s, float64 arrays of the steps' shape."""

    loss: Array  # L(θ - s·g)
    gradient_change: Array  # ‖g - ∇L(θ - s·g)‖₂
    distance: Array  # ‖s·g‖₂, how far that is from θ

    @property
    def smoothness(self) -> float:
        """See `effective_smoothness`."""
        far = self.distance > 0
        return float(np.max(self.gradient_change[far] / self.distance[far], initial=0.0))


def along_gradient(
    model: Module, loss_fn: LossFunction, x: Any, y: Any, steps: Sequence[float]
) -> GradientLine:
    """Measure the loss and the change of its gradient along θ - s·g, with g = ∇L(θ).

    The three functions below each give one part of it; together they cost one pass. Where the
    network overflows at a large step, the values there are infinite or NaN.

    Args:
        model: the network, with the parameters θ that require grad.
        loss_fn: from (output, y) to the loss L, one element.
        x: the network's input, or a tuple of its arguments.
        y: the loss's second argument.
        steps: the step sizes s, in the unit of a learning rate; 0 is θ itself.

    Source: Santurkar, Tsipras, Ilyas and Madry, How does batch normalization help optimization?,
    2018, section 3.2 and figure 4.
    """
    loss, change, distance = [], [], []
    with measuring("along_gradient", model, loss_fn, x, y) as objective:
        _, g = objective.gradient(objective.start)
        length = norm(g)
        for s in _checked("along_gradient", steps):
            value, there = objective.gradient(moved(objective.start, -s, g))
            loss.append(value)
            change.append(norm(difference(g, there)))
            distance.append(abs(s) * length)
    return GradientLine(np.array(loss), np.array(change), np.array(distance))


def loss_landscape(
    model: Module, loss_fn: LossFunction, x: Any, y: Any, steps: Sequence[float]
) -> Array:
    """Return L(θ - s·∇L(θ)) for each step s: the loss along the gradient, float64 (steps,).

    Its range, max - min, is the variation that figure 4a of the source shows. Arguments, errors and
    source as for `along_gradient`; it needs the gradient at θ only, so it is the cheapest.
    """
    with measuring("loss_landscape", model, loss_fn, x, y) as objective:
        _, g = objective.gradient(objective.start)
        values = [
            objective.value(moved(objective.start, -s, g))
            for s in _checked("loss_landscape", steps)
        ]
    return np.array(values)


def gradient_predictiveness(
    model: Module, loss_fn: LossFunction, x: Any, y: Any, steps: Sequence[float]
) -> Array:
    """Return ‖∇L(θ) - ∇L(θ - s·∇L(θ))‖₂ for each step s, float64 (steps,).

    The smaller, the longer the gradient stays right along the step that it proposes (figure 4b of
    the source). Arguments, errors and source as for `along_gradient`.
    """
    return along_gradient(model, loss_fn, x, y, steps).gradient_change


def effective_smoothness(
    model: Module, loss_fn: LossFunction, x: Any, y: Any, steps: Sequence[float]
) -> float:
    """Return the largest ‖∇L(θ) - ∇L(θ - s·g)‖₂ / ‖s·g‖₂ over the steps, with g = ∇L(θ).

    It is the "effective" beta of figure 4c of the source: a lower bound on the Lipschitz constant
    of the gradient, taken along the gradient only. Steps of 0 do not count. Arguments, errors and
    source as for `along_gradient`.
    """
    return along_gradient(model, loss_fn, x, y, steps).smoothness


def _checked(name: str, steps: Sequence[float]) -> list[float]:
    values = np.asarray(steps, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"{name}: steps must be one or more finite numbers, got {steps!r}")
    return [float(s) for s in values]
