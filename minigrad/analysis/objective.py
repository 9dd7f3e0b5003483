"""The loss as a function of the parameters: what every measurement evaluates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad import modes
from minigrad.autograd import grad
from minigrad.changes import note_change
from minigrad.func import functional_call
from minigrad.nn.module import Module
from minigrad.ops.random import get_rng_state, set_rng_state
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

LossFunction = Callable[[Any, Any], Tensor]
Arrays = dict[str, Array]  # one for each parameter, by path


class Objective:
    """L(θ) = loss_fn(model(x), y), θ the parameters that require grad, by path.

    Args:
        name: the measurement, for errors.
        model: the network.
        loss_fn: from (output, y) to a tensor with one element.
        x: the network's input, or a tuple of its arguments.
        y: the loss's second argument.
    """

    def __init__(self, name: str, model: Module, loss_fn: LossFunction, x: Any, y: Any) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"{name}: model must be a Module, got {type(model).__name__}")
        self.name, self.model, self.loss_fn, self.x, self.y = name, model, loss_fn, x, y
        self.start: Arrays = {p: t.array for p, t in model.named_parameters() if t.requires_grad}
        if not self.start:
            raise ValueError(f"{name}: no parameter of {type(model).__name__} requires grad")
        self._random_state = get_rng_state()

    def __call__(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The loss at other parameters, drawing the same random numbers every time."""
        set_rng_state(self._random_state)
        given = self.x if isinstance(self.x, tuple) else (self.x,)
        args = tuple(a.detach() if isinstance(a, Tensor) else a for a in given)
        loss = self.loss_fn(functional_call(self.model, parameters, args), self.y)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            got = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(
                f"{self.name}: loss_fn must return a Tensor with one element, got {got}: use "
                "reduction='mean' or 'sum'"
            )
        return loss

    def value(self, at: Arrays) -> float:
        """L(θ)."""
        with modes.no_grad():
            return float(self({path: wrap(array) for path, array in at.items()}).item())

    def gradient(self, at: Arrays) -> tuple[float, Arrays]:
        """L(θ) and ∇L(θ); zeros for parameters that the loss does not depend on."""
        leaves = {path: wrap(array).requires_grad_() for path, array in at.items()}
        loss = self(leaves)
        if not loss.requires_grad:
            raise ValueError(f"{self.name}: the loss does not depend on the model's parameters")
        found = grad(loss.sum(), tuple(leaves.values()), allow_unused=True)
        gradient = {
            path: np.zeros_like(at[path]) if g is None else g.array
            for path, g in zip(leaves, found, strict=True)
        }
        return float(loss.item()), gradient


@contextmanager
def measuring(
    name: str, model: Module, loss_fn: LossFunction, x: Any, y: Any
) -> Iterator[Objective]:
    """Give the Objective, and restore the model's buffers and modes and the random state after.

    Inside, the model is probed: the library's own layers do not move their statistics at all. The
    restoring is for layers that a user has written.
    """
    objective = Objective(name, model, loss_fn, x, y)
    random_state = get_rng_state()
    buffers = [(b, b.array, b.array.copy()) for b in model.buffers()]
    training = [(module, module.training) for module in model.modules()]
    try:
        with modes.probe(), modes.enable_grad(), np.errstate(all="ignore"):
            yield objective
    finally:
        set_rng_state(random_state)
        for module, mode in training:
            module.training = mode
        for buffer, array, before in buffers:
            buffer.array = array
            if array.tobytes() != before.tobytes():  # by bytes, since a NaN is not equal to itself
                array[...] = before
                note_change(array)


def inner(a: Arrays, b: Arrays) -> float:
    """⟨a, b⟩ over all parameters together, in float64."""
    return float(sum(np.vdot(a[p].astype(np.float64), b[p].astype(np.float64)) for p in a))


def norm(a: Arrays) -> float:
    """‖a‖₂ over all parameters together."""
    return float(np.sqrt(inner(a, a)))


def moved(start: Arrays, step: float, direction: Arrays) -> Arrays:
    """start + step·direction, in the parameters' dtypes."""
    return {
        path: (array + step * direction[path]).astype(array.dtype, copy=False)
        for path, array in start.items()
    }


def difference(a: Arrays, b: Arrays) -> Arrays:
    """a - b."""
    return {path: a[path] - b[path] for path in a}
