"""PyTorch's `torch.nn.utils.parametrizations`: weights of a given length, or of spectral norm 1.

weight norm     W = g·v/‖v‖, the lengths g and the directions v being trained apart
spectral norm   W = V/σ, σ = uᵀ·V·v the largest singular value of V as a matrix, whose singular
                vectors u and v follow V by a step of the power iteration in each pass
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from minigrad import modes
from minigrad.changes import note_change
from minigrad.checks import axis_of, integer, number
from minigrad.nn.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from minigrad.nn.module import Module
from minigrad.nn.utils.parametrize import register_parametrization
from minigrad.ops.linear import dot, mv, normalize
from minigrad.ops.random import randn
from minigrad.ops.reductions import norm
from minigrad.ops.shape import movedim, reshape
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

M = TypeVar("M", bound=Module)
OUTPUTS_SECOND = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)


def lengths(v: Tensor, dim: int | None) -> Tensor:
    """‖v‖ over all axes but `dim`, which are kept; over all of them for None and -1."""
    if dim is None or dim == -1:
        return norm(v, 2)
    axis = axis_of("weight_norm", dim, v.ndim)
    others = tuple(i for i in range(v.ndim) if i != axis)
    return norm(v, 2, others, keepdim=True) if others else v.abs()


def of_lengths(v: Tensor, g: Tensor, dim: int | None) -> Tensor:
    """g·v/‖v‖."""
    return v * (g / lengths(v, dim))


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else integer("weight_norm", "dim", dim, None)

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        """The weight of these lengths and directions."""
        return of_lengths(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The lengths, and the weight itself for the directions."""
        return lengths(weight, self.dim), weight


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Let a parameter be g·v/‖v‖, one length g for each index along `dim` (None: one for all).

    The state dict has g and v as `parametrizations.<name>.original0` and `original1`.

    Source: Salimans and Kingma, 2016, equation 2.
    """
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The axis `dim` as rows, all others as columns."""
    if dim:
        weight = movedim(weight, dim, 0)
    return reshape(weight, (weight.shape[0], -1))


def unit(x: Array, eps: float) -> Array:
    """x/‖x‖, or x/eps where x is shorter."""
    length = np.maximum(np.sqrt((x * x).sum()), x.dtype.type(eps))
    return x / length  # type: ignore[no-any-return]


def written(vector: Tensor, values: Array) -> None:
    """Move a singular vector, a buffer."""
    np.copyto(vector.array, values)
    note_change(vector.array)


def largest(matrix: Tensor, u: Array, v: Array) -> Tensor:
    """uᵀ·V·v."""
    # dL/dV = g·u·vᵀ, u and v being constants
    return dot(wrap(u), mv(matrix, wrap(v)))


def start(module: Module, weight: Tensor, eps: float, dim: int) -> tuple[Tensor, Tensor]:
    """Random u and v of length 1 for a weight."""
    rows, columns = as_matrix(weight.detach(), dim).shape
    kind = weight.dtype
    return (wrap(unit(randn(rows, dtype=kind).array, eps)),
            wrap(unit(randn(columns, dtype=kind).array, eps)))  # fmt: skip


def axis_of_outputs(module: Module) -> int:
    """Which axis of a layer's weight has its outputs."""
    return 1 if isinstance(module, OUTPUTS_SECOND) else 0


class _SpectralNorm(Module):
    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        name = "spectral_norm"
        self.n_power_iterations = integer(name, "n_power_iterations", n_power_iterations)
        self.eps = number(name, "eps", eps)
        axis = integer(name, "dim", dim, None)
        if not -weight.ndim <= axis < weight.ndim:
            raise IndexError(f"{name}: dim {dim} is out of range for shape {weight.shape}")
        self.dim = axis % weight.ndim
        if weight.ndim > 1:
            u, v = start(self, weight, self.eps, self.dim)
            self._u: Tensor
            self._v: Tensor
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)
            self._iterate(as_matrix(weight.detach(), self.dim).array, 15)

    def _iterate(self, w: Array, steps: int) -> None:
        """u = V·v/‖V·v‖, then v = Vᵀ·u/‖Vᵀ·u‖, so many times."""
        u, v = self._u.array, self._v.array
        for _ in range(steps):
            u = unit(w @ v, self.eps)
            v = unit(w.T @ u, self.eps)
        written(self._u, u)
        written(self._v, v)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight divided by its largest singular value; a vector by its length."""
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training and modes.stats_may_move(self):
            self._iterate(matrix.array.real, self.n_power_iterations)
        return weight / largest(matrix, self._u.array.copy(), self._v.array.copy())

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself, though its norm need not be 1."""
        return value


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
    dim: int | None = None,
) -> M:  # fmt: skip
    """Let a parameter be divided by its largest singular value.

    Args:
        module: the owner, such as a Linear or Conv2d.
        name: the parameter.
        n_power_iterations: steps towards the singular vectors in each pass in training mode.
        eps: lengths are at least this.
        dim: the axis of the outputs; None for 1 in transposed convolutions, else 0.

    The state dict has `parametrizations.<name>.original`, and the vectors as `0._u` and `0._v`.

    Source: Miyato et al., 2018, algorithm 1.
    """
    weight: Any = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(
            f"spectral_norm: {type(module).__name__} has no parameter or buffer named {name!r}"
        )
    axis = axis_of_outputs(module) if dim is None else dim
    made = _SpectralNorm(weight, n_power_iterations, axis, eps)
    return register_parametrization(module, name, made)
