"""Gradients layer by layer: their norms, and how far earlier layers' updates shift them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.analysis.objective import (
    Arrays,
    LossFunction,
    difference,
    inner,
    measuring,
    moved,
    norm,
)
from minigrad.nn.module import Module


def gradient_norms(model: Module, loss_fn: LossFunction, x: Any, y: Any) -> dict[str, float]:
    """Return ‖∂L/∂W_i‖₂ for every layer i that has parameters of its own, by its path.

    W_i are all the layer's own parameters that require grad, together; the layers come in the order
    in which they were assigned, in a Sequential that of the forward pass.

    Args:
        model: the network.
        loss_fn: from (output, y) to the loss L, one element.
        x: the network's input, or a tuple of its arguments.
        y: the loss's second argument.

    Raises:
        ValueError: the loss is no single element, or depends on no parameter that requires grad.

    Source: Glorot and Bengio, Understanding the difficulty of training deep feedforward neural
    networks, 2010, section 4.2.2, watch gradients this way.
    """
    with measuring("gradient_norms", model, loss_fn, x, y) as objective:
        _, gradient = objective.gradient(objective.start)
    return {layer: norm(own) for layer, own in _by_layer(gradient).items()}


class CovariateShift(NamedTuple):
    """One layer's internal covariate shift."""

    distance: float  # ‖G - G'‖₂; 0 is no shift
    cosine: float  # cos ∠(G, G'); 1 is no shift; NaN where a gradient is zero
    norm: float  # ‖G‖₂, to which the distance compares


def internal_covariate_shift(
    model: Module, loss_fn: LossFunction, x: Any, y: Any, lr: float
) -> dict[str, CovariateShift]:
    """Return how far each layer's gradient shifts when the layers before it take their SGD step.

    For layer i of k, with parameters W_i, at step t,

        G_i  = ∂L/∂W_i (W_1(t), …,               W_k(t))
        G'_i = ∂L/∂W_i (W_1(t+1), …, W_{i-1}(t+1), W_i(t), …, W_k(t))
        W_j(t+1) = W_j(t) - lr·G_j

    and the shift is ‖G_i - G'_i‖₂ and the cosine between the two. The first layer's is zero by
    definition. Layers are those of `gradient_norms`, by path, in the same order; a normalisation
    with gamma and beta is a layer.

    Args:
        model: the network.
        loss_fn: from (output, y) to the loss L, one element.
        x: the network's input, or a tuple of its arguments.
        y: the loss's second argument.
        lr: the learning rate of the step.

    Source: Santurkar, Tsipras, Ilyas and Madry, How does batch normalization help optimization?,
    2018, definition 2.1.
    """
    shifts = {}
    with measuring("internal_covariate_shift", model, loss_fn, x, y) as objective:
        _, gradient = objective.gradient(objective.start)
        layers = _by_layer(gradient)
        now = dict(objective.start)
        for layer, own in layers.items():
            _, shifted = objective.gradient(now)
            after = {path: shifted[path] for path in own}
            length = norm(own)
            scale = length * norm(after)
            cosine = inner(own, after) / scale if scale else np.nan
            shifts[layer] = CovariateShift(norm(difference(own, after)), cosine, length)
            now.update(moved({path: now[path] for path in own}, -lr, own))
    return shifts


def _by_layer(gradient: Arrays) -> dict[str, Arrays]:
    """Split {path of a parameter: array} by the module that owns it; the model's own path is ""."""
    layers: dict[str, Arrays] = {}
    for path, array in gradient.items():
        layers.setdefault(path.rpartition(".")[0], {})[path] = array
    return layers
