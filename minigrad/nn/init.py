"""Initialisation: each function fills a tensor in place with numbers of a generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.checks import integer, number, one_of
from minigrad.modes import no_grad
from minigrad.nn.renamed import without_underscore as _old
from minigrad.ops.inplace import copy_, fill_
from minigrad.ops.random import Generator, stream
from minigrad.tensor import Tensor


def _filled(tensor: Tensor, values: Any) -> Tensor:
    with no_grad():
        return copy_(tensor, values)


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill from the uniform distribution on [a, b)."""
    if a > b:
        raise ValueError(f"uniform_: expected a <= b, got a={a} and b={b}")
    return _filled(tensor, stream("uniform_", generator).uniform(a, b, tensor.shape))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill from the normal distribution."""
    std = number("normal_", "std", std, at_least=0)
    return _filled(tensor, stream("normal_", generator).normal(mean, std, tensor.shape))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fill from the normal distribution cut off at a and b (values outside are drawn again)."""
    std = number("trunc_normal_", "std", std, above=0)
    low, high = (a - mean) / std, (b - mean) / std
    if not low < high or max(low, -high) > 4:  # beyond 4 sigma almost every draw is rejected
        raise ValueError(
            f"trunc_normal_: [a, b] = [{a}, {b}] must reach to within 4 std of the mean {mean}, "
            f"got std={std}"
        )
    rng = stream("trunc_normal_", generator)
    values = rng.normal(size=tensor.shape)
    while (outside := (values < low) | (values > high)).any():
        values[outside] = rng.normal(size=int(outside.sum()))
    return _filled(tensor, np.clip(mean + std * values, a, b))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one number."""
    with no_grad():
        return fill_(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: expected a matrix, got shape {tensor.shape}")
    return _filled(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill the weight (out, in, …) of a convolution so that it passes its channels on: 1 in the
    middle of the filter from channel i of a group to channel i of its outputs, else 0."""
    groups = integer("dirac_", "groups", groups)
    if tensor.ndim not in (3, 4, 5) or tensor.shape[0] % groups:
        raise ValueError(
            f"dirac_: expected a weight of 3 to 5 axes whose first size is a multiple of {groups} "
            f"groups, got shape {tensor.shape}"
        )
    out, values = tensor.shape[0] // groups, np.zeros(tensor.shape)
    middle: Any = tuple(n // 2 for n in tensor.shape[2:])
    if values.size:
        for i in range(min(out, tensor.shape[1])):
            values[i::out, i][(slice(None), *middle)] = 1
    return _filled(tensor, values)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights grow to make up for what a nonlinearity takes from the variance.

    Args:
        nonlinearity: "linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu", "conv1d", "conv2d",
            "conv3d" or "conv_transpose1d" to "conv_transpose3d".
        param: the slope of a leaky relu, 0.01 if not given.
    """
    if nonlinearity in _GAINS:
        return _GAINS[nonlinearity]
    if nonlinearity != "leaky_relu":
        raise ValueError(
            f"calculate_gain: nonlinearity {nonlinearity!r} unknown; choose one of "
            f"{', '.join([*_GAINS, 'leaky_relu'])}"
        )
    slope = 0.01 if param is None else param
    return math.sqrt(2 / (1 + number("calculate_gain", "param", slope) ** 2))


_GAINS = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "sigmoid"), 1.0),
    **dict.fromkeys((f"conv_transpose{n}d" for n in (1, 2, 3)), 1.0),
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs an output of this weight's layer has, and how many outputs an input."""
    if tensor.ndim < 2:
        raise ValueError(
            f"fan in and fan out need a weight of at least 2 axes, got shape {tensor.shape}"
        )
    receptive_field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * receptive_field, tensor.shape[0] * receptive_field


def _fan(name: str, tensor: Tensor, mode: str) -> int:
    fans = _calculate_fan_in_and_fan_out(tensor)
    return fans[one_of(name, "mode", mode, ("fan_in", "fan_out")) == "fan_out"]


def _scaled(tensor: Tensor, std: float, fill: Callable[..., Tensor], generator: Any) -> Tensor:
    """Uniform or normal with mean 0 and this standard deviation (uniform on ±b has b/√3)."""
    bound = math.sqrt(3) * std
    if fill is uniform_:
        return uniform_(tensor, -bound, bound, generator)
    return normal_(tensor, 0.0, std, generator)


def _xavier(tensor: Tensor, gain: float, fill: Callable[..., Tensor], generator: Any) -> Tensor:
    # std = gain·sqrt(2/(fan_in + fan_out)), Glorot & Bengio 2010, equation 12
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return _scaled(tensor, gain * math.sqrt(2 / max(fan_in + fan_out, 1)), fill, generator)


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill by Glorot & Bengio (2010), uniform: keeps the variance of signals and gradients."""
    return _xavier(tensor, gain, uniform_, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill by Glorot & Bengio (2010), normal."""
    return _xavier(tensor, gain, normal_, generator)


def _kaiming(
    name: str,
    tensor: Tensor,
    a: float,
    mode: str,
    nonlinearity: str,
    fill: Callable[..., Tensor],
    generator: Any,
) -> Tensor:
    # std = gain/sqrt(fan), He et al. 2015, equations 10 and 14
    fan = _fan(name, tensor, mode)
    return _scaled(
        tensor, calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1)), fill, generator
    )


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill by He et al. (2015), uniform: keeps the variance through rectifiers of slope `a`.

    Args:
        tensor: the weight, (out, in, ...).
        a: the slope of the leaky relu that follows; used with that nonlinearity only.
        mode: "fan_in" keeps the variance of the forward pass, "fan_out" of the backward pass.
        nonlinearity: a name that `calculate_gain` knows.
        generator: what is drawn from, instead of the library's generator.
    """
    return _kaiming("kaiming_uniform_", tensor, a, mode, nonlinearity, uniform_, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill by He et al. (2015), normal; arguments as for `kaiming_uniform_`."""
    return _kaiming("kaiming_normal_", tensor, a, mode, nonlinearity, normal_, generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fill with a random matrix of orthonormal rows or columns (Saxe et al. 2014).

    Axes after the first are flattened.
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: expected at least 2 axes, got shape {tensor.shape}")
    rows = tensor.shape[0]
    columns = math.prod(tensor.shape[1:])
    if not tensor.numel():
        return tensor
    rng = stream("orthogonal_", generator)
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))  # makes the distribution uniform, Mezzadri 2007
    return _filled(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))


def default_(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's default for linear and convolution layers: both uniform on ±1/sqrt(fan_in).

    For the weight it is kaiming_uniform_ with a=sqrt(5): sqrt(3)·sqrt(2/(1 + 5))/sqrt(fan_in).
    """
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(_calculate_fan_in_and_fan_out(weight)[0])
        uniform_(bias, -bound, bound)


uniform, normal, constant = _old(uniform_), _old(normal_), _old(constant_)
eye, dirac, orthogonal = _old(eye_), _old(dirac_), _old(orthogonal_)
xavier_uniform, xavier_normal = _old(xavier_uniform_), _old(xavier_normal_)
kaiming_uniform, kaiming_normal = _old(kaiming_uniform_), _old(kaiming_normal_)
