"""Activations, and softmax.

Kinks as in PyTorch: relu'(0) = 0, leaky_relu'(0) = the slope, elu'(0) = alpha, and hardtanh' is 0
at its bounds. At NaN hardtanh' is 0 and elu' is NaN: so PyTorch's vector instructions have it, from
which the loop over the last few elements of its arrays differs.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Unpack

import numpy as np

from minigrad import kernels
from minigrad.checks import axis_of, number
from minigrad.kernels.machinery.arrays import sigmoid as sigmoid_of
from minigrad.names import Axis, numpy_names
from minigrad.ops.arithmetic import quiet
from minigrad.ops.large import of_two, one_pass, rows
from minigrad.ops.linear import matrices
from minigrad.ops.shape import reshape
from minigrad.recording import floating_operand, operand, record, record_each, require
from minigrad.tensor import Tensor, wrap


def relu(input: Any, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    # dL/dx = g where x > 0, else 0
    a = operand("relu", input)
    if a.dtype.kind == "b":
        raise RuntimeError("relu: bool tensors are not supported: convert with .float()")
    backend = kernels.backend_for(a)
    y = backend.relu(a)
    return record_each("relu", y, (input, lambda g: backend.relu_backward(g, y)))


@one_pass
def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, negative_slope·x elsewhere."""
    # dL/dx = g·(1 or the slope)
    a = floating_operand("leaky_relu", input)
    negative_slope = number("leaky_relu", "negative_slope", negative_slope)
    slope = np.where(a.real > 0, a.dtype.type(1), a.dtype.type(negative_slope))
    return record_each("leaky_relu", a * slope, (input, lambda g: g * slope))


@one_pass
@quiet
def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, alpha·(e^x - 1) elsewhere."""
    # dL/dx = g where x > 0, g·alpha·e^x elsewhere
    a = floating_operand("elu", input)
    return _elu("elu", input, a, number("elu", "alpha", alpha), 1.0)


@one_pass
@quiet
def selu(input: Any, inplace: bool = False) -> Tensor:
    """scale·elu(x, alpha) with the self-normalising constants (Klambauer et al. 2017)."""
    a = floating_operand("selu", input)
    return _elu(
        "selu", input, a, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    )


@one_pass
@quiet
def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, alpha·(e^(x/alpha) - 1) elsewhere."""
    # dL/dx = g where x > 0, g·e^(x/alpha) elsewhere
    a, alpha = floating_operand("celu", input), number("celu", "alpha", alpha)
    positive = a.real > 0
    low = np.where(positive, 0, a) / alpha
    slope = np.where(positive, 1, np.exp(low)).astype(a.dtype, copy=False)
    out = np.where(positive, a, alpha * np.expm1(low)).astype(a.dtype, copy=False)
    return record_each("celu", out, (input, lambda g: g * slope))


def _elu(name: str, x: Any, a: Any, alpha: float, scale: float) -> Tensor:
    positive = a.real > 0
    low = np.where(positive, 0, a)  # keeps the exponential of large x from overflowing
    slope = np.where(positive, scale, (scale * alpha) * np.exp(low)).astype(a.dtype, copy=False)
    out = np.where(positive, scale * a, (scale * alpha) * np.expm1(low)).astype(a.dtype, copy=False)
    return record_each(name, out, (x, lambda g: g * slope))


@one_pass
@quiet
def sigmoid(input: Any) -> Tensor:
    """1/(1 + e^-x)."""
    # dL/dx = g·y·(1 - y)
    y = sigmoid_of(operand("sigmoid", input, floating=True))
    return record_each("sigmoid", y, (input, lambda g: g * (y * (1 - y))))


@one_pass
def tanh(input: Any) -> Tensor:
    """The hyperbolic tangent."""
    # dL/dx = g·(1 - y²)
    y = np.tanh(operand("tanh", input, floating=True))
    return record_each("tanh", y, (input, lambda g: g * (1 - y * y)))


@one_pass
@quiet
def logsigmoid(input: Any) -> Tensor:
    """log(1/(1 + e^-x)) = -softplus(-x)."""
    # dL/dx = g·σ(-x)
    a = floating_operand("logsigmoid", input)
    out = np.where(a.real < 0, a, 0) - np.log1p(np.exp(np.where(a.real < 0, a, -a)))
    return record_each("logsigmoid", out.astype(a.dtype), (input, lambda g: g * sigmoid_of(-a)))


@one_pass
@quiet
def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta·x))/beta; the identity where beta·x > threshold."""
    # dL/dx = g·σ(beta·x)
    a, beta = floating_operand("softplus", input), number("softplus", "beta", beta)
    threshold = number("softplus", "threshold", threshold)
    z = a * beta
    linear = z.real > threshold
    soft = np.where(z.real > 0, z, 0) + np.log1p(np.exp(np.where(z.real > 0, -z, z)))
    out = np.where(linear, a, soft / beta).astype(a.dtype, copy=False)
    slope = np.where(linear, 1, sigmoid_of(z)).astype(a.dtype, copy=False)
    return record_each("softplus", out, (input, lambda g: g * slope))


@one_pass
@quiet
def silu(input: Any, inplace: bool = False) -> Tensor:
    """x·σ(x), also called swish."""
    # dL/dx = g·(s + x·s·(1 - s))
    a = floating_operand("silu", input)
    s = sigmoid_of(a)
    return record_each("silu", a * s, (input, lambda g: g * (s * (1 + a * (1 - s)))))


@one_pass
@quiet
def mish(input: Any, inplace: bool = False) -> Tensor:
    """x·tanh(softplus(x))."""
    # dL/dx = g·(t + x·(1 - t²)·σ(x))
    a = floating_operand("mish", input)
    soft = np.where(a.real > 0, a, 0) + np.log1p(np.exp(np.where(a.real > 0, -a, a)))
    t = np.tanh(soft)
    return record_each("mish", a * t, (input, lambda g: g * (t + a * (1 - t * t) * sigmoid_of(a))))


def gelu(input: Any, approximate: str = "none") -> Tensor:
    """x·Φ(x), Φ the normal distribution function; "tanh": the paper's approximation (2016)."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return _gelu(input) if approximate == "none" else _gelu_tanh(input)


@one_pass
@quiet
def _gelu(input: Any) -> Tensor:
    # dL/dx = g·(Φ(x) + x·φ(x))
    a = floating_operand("gelu", input)
    cdf = (0.5 * (1 + erf_of(a * math.sqrt(0.5)))).astype(a.dtype, copy=False)
    pdf = np.exp(-0.5 * a * a) * (1 / math.sqrt(2 * math.pi))
    return record_each("gelu", a * cdf, (input, lambda g: g * (cdf + a * pdf)))


@one_pass
@quiet
def _gelu_tanh(input: Any) -> Tensor:
    # t = tanh(k·(x + c·x³))        dL/dx = g·((1 + t)/2 + x·(1 - t²)·k·(1 + 3c·x²)/2)
    a = floating_operand("gelu", input)
    k, c = math.sqrt(2 / math.pi), 0.044715
    t = np.tanh(k * (a + c * a * a * a))
    slope = 0.5 * (1 + t) + 0.5 * a * (1 - t * t) * (k * (1 + 3 * c * a * a))
    return record_each("gelu", 0.5 * a * (1 + t), (input, lambda g: g * slope))


@one_pass
@quiet
def erf(input: Any) -> Tensor:
    """The error function."""
    # dL/dx = g·2/√π·e^(-x²)
    a = operand("erf", input, floating=True)
    out = erf_of(a).astype(a.dtype, copy=False)
    return record_each("erf", out, (input, lambda g: g * (2 / math.sqrt(math.pi) * np.exp(-a * a))))


# erf by W. J. Cody's rational minimax approximations (Math. Comp. 23, 1969, p. 631), each good to
# about 1e-16 on its interval: erf on |x| <= 0.46875, erfc on 0.46875..4 and beyond 4.
_ERF_P = (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2,
          3.77485237685302021e2, 3.20937758913846947e3)  # fmt: skip
_ERF_Q = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3,
          2.84423683343917062e3)  # fmt: skip
ERFC_P = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0,
          6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2,
          1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3)  # fmt: skip
ERFC_Q = (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
          1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3,
          3.43936767414372164e3, 1.23033935480374942e3)  # fmt: skip
TAIL_P = (-1.63153871373020978e-2, -3.05326634961232344e-1, -3.60344899949804439e-1,
          -1.25781726111229246e-1, -1.60837851487422766e-2, -6.58749161529837803e-4)  # fmt: skip
TAIL_Q = (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1,
          6.05183413124413191e-2, 2.33520497626869185e-3)  # fmt: skip


def rational(p: tuple[float, ...], q: tuple[float, ...], t: Any) -> Any:
    """p(t)/q(t), coefficients of the highest power first."""
    return np.polyval(p, t) / np.polyval(q, t)


def erf_of(a: Any) -> Any:
    """erf in float64; of complex numbers erf(a) + ib·erf'(a), which carries a derivative."""
    x = a.real.astype(np.float64)
    y = np.abs(x)
    small = np.minimum(y, 0.46875)
    middle = np.clip(y, 0.46875, 4.0)
    large = np.maximum(np.where(np.isnan(y), 4.0, y), 4.0)
    inner = small * rational(_ERF_P, _ERF_Q, small * small)
    outer = 1 - np.exp(-middle * middle) * rational(ERFC_P, ERFC_Q, middle)
    t = 1 / (large * large)
    tail = 1 - np.exp(-np.minimum(large * large, 700.0)) / large * (
        1 / math.sqrt(math.pi) + t * rational(TAIL_P, TAIL_Q, t)
    )
    out = np.copysign(np.where(y <= 0.46875, inner, np.where(y <= 4.0, outer, tail)), x)
    out = np.where(np.isnan(x), x, out)
    if a.dtype.kind == "c":
        return out + 1j * a.imag * (2 / math.sqrt(math.pi) * np.exp(-x * x))
    return out


def hardtanh(
    input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x limited to [min_val, max_val]; derivative 0 at the bounds."""
    # dL/dx = g strictly inside, else 0
    low, high = number("hardtanh", "min_val", min_val), number("hardtanh", "max_val", max_val)
    if low > high:
        raise ValueError(f"hardtanh: min_val {min_val} is larger than max_val {max_val}")
    return _hardtanh(input, low, high)


@one_pass
def _hardtanh(input: Any, low: float, high: float) -> Tensor:
    a = operand("hardtanh", input)
    if a.dtype.kind == "b":
        raise RuntimeError("hardtanh: bool tensors are not supported: convert with .float()")
    inside = (a.real > low) & (a.real < high)
    out = np.where(inside, a, np.clip(a.real, low, high)).astype(a.dtype)
    return record_each("hardtanh", out, (input, lambda g: np.where(inside, g, 0)))


def relu6(input: Any, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(input, 0.0, 6.0)


@one_pass
def hardsigmoid(input: Any, inplace: bool = False) -> Tensor:
    """relu6(x + 3)/6."""
    # dL/dx = g/6 strictly between -3 and 3, else 0
    a = floating_operand("hardsigmoid", input)
    inside = (a.real > -3) & (a.real < 3)
    out = np.where(inside, (a + 3) / 6, np.where(np.isnan(a.real), a, a.real >= 3)).astype(a.dtype)
    return record_each("hardsigmoid", out, (input, lambda g: np.where(inside, g / 6, 0)))


@one_pass
@quiet
def hardswish(input: Any, inplace: bool = False) -> Tensor:
    """x·relu6(x + 3)/6."""
    # dL/dx = g·(0 up to -3, x/3 + 1/2 up to 3, then 1)
    a = floating_operand("hardswish", input)
    off = a.real <= -3
    gate = np.where(off, 0, np.where(a.real >= 3, 1, (a + 3) / 6)).astype(a.dtype)
    slope = np.where(a.real >= 3, 1, a / 3 + 0.5).astype(a.dtype)
    return record_each("hardswish", a * gate, (input, lambda g: np.where(off, 0, g * slope)))


@one_pass
@quiet
def softsign(input: Any) -> Tensor:
    """x/(1 + |x|)."""
    # dL/dx = g/(1 + |x|)²        (NaN where y is, so at ±inf)
    a = operand("softsign", input, floating=True)
    d = 1 + a * np.sign(a.real)
    y = a / d
    slope = np.where(np.isnan(y.real), y, 1 / (d * d))
    return record_each("softsign", y, (input, lambda g: g * slope))


def prelu(input: Any, weight: Tensor) -> Tensor:
    """x where positive, weight·x elsewhere; weight has one element or one per channel (axis 1)."""
    # dL/dx = g·(1 or w)        dL/dw = Σ g·x over x <= 0
    require("prelu", input=input, weight=weight)
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or math.prod(weight.shape) not in (1, channels):
        raise ValueError(
            f"prelu: expected one weight or one for each of the {channels} channels of an input of "
            f"shape {input.shape}, got weight of shape {weight.shape}"
        )
    per_channel = weight.ndim and input.ndim > 1
    weight = reshape(weight, (-1, *[1] * (input.ndim - 2)) if per_channel else ())
    a, w = matrices("prelu", wrap(floating_operand("prelu", input)), weight)
    if (large := of_two("prelu", input, weight, a, w)) is not None:
        return large
    positive = a.real > 0
    out = np.where(positive, a, w * a)
    return record_each(
        "prelu", out,
        (input, lambda g: np.where(positive, g, g * w)),
        (weight, lambda g: np.where(positive, 0, g * a)),
    )  # fmt: skip


@numpy_names
@quiet
def softmax(
    input: Any, dim: int | None = None, *, dtype: Any = None, **names: Unpack[Axis]
) -> Tensor:
    """e^x normalised to sum 1 along `dim`, which should be given."""
    # dL/dx = y·(g - Σ g·y)
    a, axis = _softmax_input("softmax", input, dim, dtype)
    x_dtype = input.dtype
    if (loops := rows(a)) is not None:
        y, back = loops.softmax(a, axis), loops.softmax_backward
        return record(
            "softmax", y, (input,), lambda g: back(g, y, axis).astype(x_dtype, copy=False)
        )
    e = np.exp(a - _peak(a, axis))
    y = e / e.sum(axis=axis, keepdims=True)

    def vjp(g: Any) -> Any:
        dx = y * (g - (g * y).sum(axis=axis, keepdims=True))
        return (dx.astype(x_dtype, copy=False),)

    return record("softmax", y, (input,), vjp)


@numpy_names
@quiet
def log_softmax(
    input: Any, dim: int | None = None, *, dtype: Any = None, **names: Unpack[Axis]
) -> Tensor:
    """log softmax(x), computed without leaving the logarithm."""
    # dL/dx = g - softmax(x)·Σ g
    a, axis = _softmax_input("log_softmax", input, dim, dtype)
    x_dtype = input.dtype
    if (loops := rows(a)) is not None:
        y, back = loops.log_softmax(a, axis), loops.log_softmax_backward
        return record(
            "log_softmax", y, (input,), lambda g: back(g, y, axis).astype(x_dtype, copy=False)
        )
    shifted = a - _peak(a, axis)
    y = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))

    def vjp(g: Any) -> Any:
        dx = g - np.exp(y) * g.sum(axis=axis, keepdims=True)
        return (dx.astype(x_dtype, copy=False),)

    return record("log_softmax", y, (input,), vjp)


def _softmax_input(name: str, x: Any, dim: int | None, dtype: Any) -> tuple[Any, int]:
    require(name, input=x)
    a = floating_operand(name, x if dtype is None else wrap(operand(name, x).astype(dtype)))
    if dim is None:
        dim = 0 if a.ndim in (0, 1, 3) else 1
        warnings.warn(
            f"{name}: dim was not given, PyTorch's old rule chooses {dim} for {a.ndim} axes: say "
            f"dim={dim}",
            UserWarning,
            stacklevel=2,
        )
    return a, axis_of(name, dim, a.ndim)


def _peak(a: Any, axis: int) -> Any:
    """The largest value along the axis: subtracting it keeps exp from overflow."""
    if a.ndim and not a.shape[axis]:
        return a.dtype.type(0)
    return a.real.max(axis=axis, keepdims=True)
