"""Noise whose distribution changes from step to step, to disturb what normalisation has settled."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.checks import number
from minigrad.nn.module import Module
from minigrad.ops.random import generator
from minigrad.recording import operand, require
from minigrad.tensor import Tensor, wrap


class NoiseInjection(Module):
    """In training, y = s·x + m with noise whose mean is not 0 and whose scale is not 1.

    In every forward pass each channel c draws a distribution of its own, from which each of its
    values i then draws

        mu_c    ~ U(-mean, mean)               m_i ~ U(mu_c - mean_spread, mu_c + mean_spread)
        sigma_c ~ U(1, scale)                  s_i ~ N(sigma_c, scale_spread²)

    so the distribution of a channel moves at random from step to step. In eval mode y = x.
    The input is (N, C) or (N, C, …); the numbers come from the library's generator.

    Args:
        mean: the bound of a channel's mean.
        scale: the bound of a channel's mean factor, at least 1.
        mean_spread: how far the mean of one value may lie from its channel's.
        scale_spread: the standard deviation of one value's factor.

    Source: Santurkar, Tsipras, Ilyas and Madry, How does batch normalization help optimization?,
    2018, section 2.1 and appendix A ("noisy" BatchNorm), whose constants are the defaults.
    """

    def __init__(
        self,
        mean: float = 0.5,
        scale: float = 1.25,
        mean_spread: float = 0.1,
        scale_spread: float = 0.1,
    ) -> None:
        super().__init__()
        least = {"mean": 0, "scale": 1, "mean_spread": 0, "scale_spread": 0}
        given = {
            "mean": mean,
            "scale": scale,
            "mean_spread": mean_spread,
            "scale_spread": scale_spread,
        }
        for name, value in given.items():
            number("NoiseInjection", name, value, at_least=least[name], below=np.inf)
        self.mean, self.scale = mean, scale
        self.mean_spread, self.scale_spread = mean_spread, scale_spread

    def forward(self, x: Tensor) -> Tensor:
        """x disturbed; x itself in eval mode."""
        require("NoiseInjection", input=x)
        if x.ndim < 2:
            raise ValueError(
                f"NoiseInjection: expected an input (N, C) or (N, C, ...), got shape {x.shape}"
            )
        if not self.training:
            return x
        rng = generator()
        channels = (1, x.shape[1]) + (1,) * (x.ndim - 2)
        mu = rng.uniform(-self.mean, self.mean, channels)
        sigma = rng.uniform(1, self.scale, channels)
        exact = operand(
            "NoiseInjection", x
        ).real.dtype  # a probe's complex numbers are disturbed by real ones
        kind: Any = np.float32 if exact == np.float32 else np.float64  # what rng can draw
        m = mu + self.mean_spread * (2 * rng.random(x.shape, kind) - 1)
        s = sigma + self.scale_spread * rng.standard_normal(x.shape, kind)
        return x * wrap(s.astype(exact, copy=False)) + wrap(m.astype(exact, copy=False))

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"mean={self.mean}, scale={self.scale}, mean_spread={self.mean_spread}, "
            f"scale_spread={self.scale_spread}"
        )
