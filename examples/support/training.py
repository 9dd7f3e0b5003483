"""What the loops of several examples have in common."""

import math

import numpy as np

import minigrad as mg
from minigrad import nn


def cosine(peak: float, done: float) -> float:
    """The learning rate when the fraction ``done`` of the training is over: from peak to 0."""
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def test_error(model: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    """The share of the examples that are classified wrongly, in per cent, in evaluation mode."""
    model.eval()
    with mg.no_grad():
        predicted = model(mg.from_numpy(x)).argmax(dim=1).numpy()
    return 100 * float(np.mean(predicted != y))
