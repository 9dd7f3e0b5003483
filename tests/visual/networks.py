"""Small networks that the tests of graphs and pages look at."""

from __future__ import annotations

from typing import Any

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.nn import functional as F


def readme() -> tuple[nn.Module, dict[str, Any], Any]:
    """The README's network, what things are called, and a function that runs it forward."""
    x = mg.randn(200, 2)
    y = (x[:, :1] * x[:, 1:] > 0).float()
    model = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
    names = {"x": x, "y": y, "": model}
    return model, names, lambda: F.binary_cross_entropy_with_logits(model(x), y)


class Block(nn.Module):
    """A residual block: layers in a layer, and an edge that goes past them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """relu(x + f(x))."""
        return F.relu(x + self.second(F.relu(self.norm(self.first(x)))))


def residual() -> tuple[nn.Module, Any]:
    """Convolutions with two blocks, 20 operations."""
    images = mg.randn(2, 1, 8, 8)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), Block(4), Block(4), nn.Flatten(), nn.Linear(256, 10)
    )
    return model, lambda: F.cross_entropy(model(images), mg.tensor([1, 2]))


class Recurrent(nn.Module):
    """Weights that every time step uses: their gradients arrive four times."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(3, 5), nn.Linear(5, 5)
        self.out = nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The last output for x (N, T, 3)."""
        h = mg.zeros(x.shape[0], 5)
        for t in range(x.shape[1]):
            h = F.tanh(self.inner(x[:, t]) + self.outer(h))
        return self.out(h)


def recurrent() -> tuple[nn.Module, Any]:
    """Four time steps."""
    x, model = mg.randn(2, 4, 3), Recurrent()
    return model, lambda: (model(x) ** 2).mean()
