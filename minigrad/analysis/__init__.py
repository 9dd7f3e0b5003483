"""Measurements of a network and its loss, which leave both as they were.

Each function takes (model, loss_fn, x, y), and the loss that it measures is loss_fn(model(x), y) in
the model's present mode: in training mode batch normalisation uses the batch. None of them changes
parameters, gradients, running statistics, modes or the random state, also if the loss raises. All
evaluations that one measurement compares draw the same random numbers.
"""

from minigrad.analysis.activations import ActivationRecorder
from minigrad.analysis.curvature import sharpness
from minigrad.analysis.gradients import CovariateShift, gradient_norms, internal_covariate_shift
from minigrad.analysis.landscape import (
    GradientLine,
    along_gradient,
    effective_smoothness,
    gradient_predictiveness,
    loss_landscape,
)

__all__ = [
    "ActivationRecorder",
    "CovariateShift",
    "GradientLine",
    "along_gradient",
    "effective_smoothness",
    "gradient_norms",
    "gradient_predictiveness",
    "internal_covariate_shift",
    "loss_landscape",
    "sharpness",
]
