"""Weight norm and spectral norm in PyTorch's older form: a hook computes the weight before each
forward pass. `parametrizations.py` has the newer one, and the formulas."""

from __future__ import annotations

from typing import Any, TypeVar

from minigrad import modes
from minigrad.checks import integer, number
from minigrad.modes import no_grad
from minigrad.nn.module import Module, Parameter
from minigrad.nn.utils.parametrizations import (
    as_matrix,
    axis_of_outputs,
    largest,
    lengths,
    of_lengths,
    start,
    unit,
    written,
)
from minigrad.tensor import Tensor

M = TypeVar("M", bound=Module)


class _Hook:
    """What computes a weight; `title` is what errors call it."""

    title = ""

    def __init__(self, name: str) -> None:
        self.name = name

    def compute(self, module: Module, moving: bool) -> Tensor:
        """The weight; `moving` allows a power iteration."""
        raise NotImplementedError

    def __call__(self, module: Module, args: Any) -> None:
        setattr(module, self.name, self.compute(module, module.training))


class WeightNorm(_Hook):
    title = "weight_norm"

    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.dim = dim

    def compute(self, module: Module, moving: bool) -> Tensor:
        g, v = (getattr(module, f"{self.name}_{part}") for part in "gv")
        return of_lengths(v, g, self.dim)


class SpectralNorm(_Hook):
    title = "spectral_norm"

    def __init__(self, name: str, steps: int, eps: float, dim: int) -> None:
        super().__init__(name)
        self.steps, self.eps, self.dim = steps, eps, dim

    def compute(self, module: Module, moving: bool) -> Tensor:
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix: Tensor = as_matrix(weight, self.dim)
        if moving and modes.stats_may_move(module):
            w, new_u, new_v = matrix.array.real, u.array, v.array
            for _ in range(self.steps):
                new_v = unit(w.T @ new_u, self.eps)
                new_u = unit(w @ new_v, self.eps)
            written(u, new_u.copy())
            written(v, new_v.copy())
        sigma = largest(matrix, u.array.copy(), v.array.copy())
        return weight / sigma  # type: ignore[no-any-return]


def _parameter(title: str, module: Module, name: str) -> Parameter:
    """The parameter of this name, which has no such hook yet."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, _Hook) and hook.name == name:
            raise RuntimeError(f"{title}: {name!r} has a hook of {hook.title}: remove that first")
    weight = vars(module).get(name)
    if not isinstance(weight, Parameter):
        raise AttributeError(f"{title}: {type(module).__name__} has no parameter {name!r}")
    return weight


def _install(module: Module, hook: _Hook) -> None:
    setattr(module, hook.name, hook.compute(module, False))
    module.register_forward_pre_hook(hook)


def _remove(kind: type[_Hook], module: Module, name: str, parts: tuple[str, ...]) -> None:
    """The hook and its parts go; the weight stays, as a parameter."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, kind) and hook.name == name:
            with no_grad():
                weight = hook.compute(module, False)
            for part in ("", *parts):
                delattr(module, name + part)
            module.register_parameter(name, Parameter(weight.detach()))
            del module._forward_pre_hooks[key]
            return
    raise ValueError(f"{kind.title} of {name!r} not found in {module}")


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Let a parameter be g·v/‖v‖, with the parameters `<name>_g` and `<name>_v` in its place.

    Args:
        module: the owner.
        name: the parameter.
        dim: the axis along which each index has a length of its own; None for one length of all.

    Source: Salimans and Kingma, 2016, equation 2.
    """
    weight = _parameter("weight_norm", module, name)
    with no_grad():
        g = lengths(weight, dim).clone()
    delattr(module, name)
    module.register_parameter(f"{name}_g", Parameter(g))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    _install(module, WeightNorm(name, dim))
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make a parameter an ordinary one again, with the value that it has."""
    _remove(WeightNorm, module, name, ("_g", "_v"))
    return module


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
    dim: int | None = None,
) -> M:  # fmt: skip
    """Let a parameter be divided by its largest singular value: the parameter `<name>_orig` stands
    in its place, and the buffers `<name>_u` and `<name>_v` are the singular vectors.

    Args:
        module: the owner.
        name: the parameter.
        n_power_iterations: steps towards the singular vectors in each pass in training mode.
        eps: lengths are at least this.
        dim: the axis of the outputs; None for 1 in transposed convolutions, else 0.

    Source: Miyato et al., 2018, algorithm 1.
    """
    title = "spectral_norm"
    steps = integer(title, "n_power_iterations", n_power_iterations)
    weight = _parameter(title, module, name)
    axis = axis_of_outputs(module) if dim is None else integer(title, "dim", dim, None)
    hook = SpectralNorm(name, steps, number(title, "eps", eps), axis)
    u, v = start(module, weight, eps, axis)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    _install(module, hook)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make a parameter an ordinary one again, with the value that it has."""
    _remove(SpectralNorm, module, name, ("_u", "_v", "_orig"))
    return module
