"""Curvature of the loss: the largest eigenvalue of its Hessian, which is never formed."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.analysis.objective import (
    Arrays,
    LossFunction,
    Objective,
    inner,
    measuring,
    norm,
)
from minigrad.autograd import functional
from minigrad.checks import integer, number
from minigrad.nn.module import Module
from minigrad.tensor import Tensor, wrap


def sharpness(
    model: Module,
    loss_fn: LossFunction,
    x: Any,
    y: Any,
    iterations: int = 100,
    tol: float = 1e-3,
) -> float:
    """Return the largest eigenvalue of the Hessian of the loss in the parameters.

    Power iteration, v ← H·v/‖H·v‖₂ with exact Hessian-vector products, until the estimate vᵀHv
    changes by less than `tol` of itself. It finds the eigenvalue of largest size; if that is
    negative, -μ, a second iteration on H + μ·I finds the largest. vᵀHv is never above the largest
    eigenvalue, so a search that is cut off underestimates it. The start vector is always the same.

    Gradient descent on a quadratic diverges where the sharpness is above 2/lr.

    Args:
        model: the network.
        loss_fn: from (output, y) to the loss, one element.
        x: the network's input, or a tuple of its arguments.
        y: the loss's second argument.
        iterations: the most products H·v that each of the two searches may take.
        tol: the relative change at which it stops.

    Source: Pearlmutter, Fast exact multiplication by the Hessian, 1994; LeCun, Simard and
    Pearlmutter, Automatic learning rate maximization by on-line estimation of the Hessian's
    eigenvectors, 1993.
    """
    iterations = integer("sharpness", "iterations", iterations)
    tol = number("sharpness", "tol", tol, above=0)
    with measuring("sharpness", model, loss_fn, x, y) as objective:
        largest = _power_iteration(objective, 0.0, iterations, tol)
        if largest < 0:
            largest = _power_iteration(objective, -largest, iterations, tol) + largest
    return largest


def _power_iteration(objective: Objective, shift: float, iterations: int, tol: float) -> float:
    """The eigenvalue of H + shift·I that is largest in size."""
    rng = np.random.default_rng(0)
    v: Arrays = {
        path: np.asarray(rng.standard_normal(a.shape)) for path, a in objective.start.items()
    }
    estimate = 0.0
    for _ in range(iterations):
        length = norm(v)
        if not 0 < length < np.inf:  # (H + shift·I)·v vanished, or overflowed
            return 0.0 if length == 0 else np.nan
        v = {path: array / length for path, array in v.items()}
        product = _hessian_times(objective, v)
        product = {path: product[path] + shift * v[path] for path in v}
        before, estimate = estimate, inner(v, product)
        if abs(estimate - before) <= tol * abs(estimate):
            break
        v = product
    return estimate


def _hessian_times(objective: Objective, v: Arrays) -> Arrays:
    def loss(*parameters: Tensor) -> Tensor:
        return objective(dict(zip(v, parameters, strict=True)))

    # as float64, so that the product is not rounded to the parameters' dtype
    at = tuple(wrap(objective.start[path].astype(np.float64)) for path in v)
    _, product = functional.hvp(loss, at, tuple(map(wrap, v.values())))
    return {path: p.array for path, p in zip(v, product, strict=True)}
