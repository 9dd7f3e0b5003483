"""One training script, run with PyTorch and with minigrad from the same weights and draws."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")

STEPS = 20

# In float64 the libraries differ by the order of their sums alone, and twenty steps of these
# networks enlarge that little. In float32 one rounding is 6e-8, and Adam divides a gradient by its
# own size: one that is all rounding, as that of the biases of a softmax's keys, moves a parameter
# by up to the learning rate. So parameters are compared relative to a model's largest.
TOLERANCES = {"float64": (1e-9, 1e-8), "float32": (2e-4, 2e-2)}
DTYPES = pytest.mark.parametrize(
    "dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)]
)


class Run:
    """What a script is given: the precision, numbers from a fixed seed, and the common start."""

    def __init__(self, m: Any, dtype: str, weights: list[dict[str, Any]]) -> None:
        self.m, self.name, self.dtype = m, dtype, getattr(m, dtype)
        self.rng = np.random.default_rng(0)
        self.weights = weights  # of PyTorch's models, in the order of `start`
        self.models: list[Any] = []

    def start(self, *models: Any) -> None:
        """Take PyTorch's weights; in PyTorch's own run, keep them."""
        for model in models:
            model.to(self.dtype)
            if self.m is torch:
                state = model.state_dict()
                self.weights.append({name: x.numpy().copy() for name, x in state.items()})
            else:
                state = self.weights[len(self.models)]
                model.load_state_dict({name: self.m.tensor(x) for name, x in state.items()})
            self.models.append(model)

    def normal(self, *shape: int) -> Any:
        """Normal numbers, the same in both runs."""
        return self.m.from_numpy(self.rng.standard_normal(shape).astype(self.name))

    def tensor(self, values: Any) -> Any:
        """The numbers in the script's precision."""
        return self.m.from_numpy(np.ascontiguousarray(values, self.name))


def run(script: Callable[[Any, Run], Any], m: Any, dtype: str, weights: Any) -> Any:
    """The script's losses, and all numbers of its models' state dicts at the end."""
    random.seed(0)
    torch.manual_seed(0)
    it = Run(m, dtype, weights)
    losses = np.array([np.ravel(step) for step in script(m, it)])
    states = [
        {name: np.asarray(x.numpy()).copy() for name, x in model.state_dict().items()}
        for model in it.models
    ]
    return losses, states


def compare(script: Callable[[Any, Run], Any], dtype: str) -> None:
    """Run the script with both: losses, names, shapes and the final parameters agree."""
    weights: list[dict[str, Any]] = []
    theirs, expected = run(script, torch, dtype, weights)
    ours, states = run(script, minigrad, dtype, weights)
    assert len(theirs) == STEPS and np.isfinite(theirs).all()
    assert len(np.unique(theirs[:, 0])) > STEPS // 2, "a script that learns nothing"
    rtol, wide = TOLERANCES[dtype]
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol, rtol * scale)
    moved = False
    for state, others, start in zip(states, expected, weights, strict=True):
        assert list(state) == list(others)
        largest = max(np.abs(t).max(initial=0) for t in others.values())
        for name, x in state.items():
            t = others[name]
            assert x.dtype == t.dtype and x.shape == t.shape, name
            np.testing.assert_allclose(x, t, wide, wide * largest, err_msg=name)
            moved |= not np.array_equal(t, start[name])
    assert moved, "nothing was trained"
