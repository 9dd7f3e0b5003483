"""Activations with a threshold, and losses by distances and margins."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from minigrad.checks import axis_of, number, one_of
from minigrad.incoming import as_array, fitting
from minigrad.names import Axis, Keepdims, numpy_names
from minigrad.ops.activations import leaky_relu, sigmoid, softmax, softplus, tanh
from minigrad.ops.arithmetic import add, clamp, div, minimum, mul, neg, quiet, sub, where
from minigrad.ops.elementary import exp, log, sqrt, square
from minigrad.ops.joining import chunk
from minigrad.ops.large import gated, large_loss, one_pass
from minigrad.ops.random import generator
from minigrad.ops.reductions import mean, norm
from minigrad.ops.reductions import sum as total
from minigrad.recording import (
    check_broadcast,
    floating_operand,
    needs_grad,
    operand,
    record_each,
    require,
)
from minigrad.tensor import Tensor, wrap


@one_pass
def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where it is above the threshold, value elsewhere."""
    # dL/dx = g where x > threshold, else 0
    a = operand("threshold", input)
    above = ~(a.real <= number("threshold", "threshold", threshold))  # NaN stays
    out = np.where(above, a, fitting("threshold", value, a.dtype))
    return record_each("threshold", out, (input, lambda g: np.where(above, g, 0)))


@one_pass
def hardshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, 0 elsewhere."""
    # dL/dx = g where |x| > lambd, else 0
    a, limit = floating_operand("hardshrink", input), number("hardshrink", "lambd", lambd)
    kept = ~((a.real >= -limit) & (a.real <= limit))  # NaN stays, and has the gradient 0
    passed = (a.real > limit) | (a.real < -limit)
    return record_each(
        "hardshrink", np.where(kept, a, 0), (input, lambda g: np.where(passed, g, 0))
    )


def softshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """x nearer to 0 by lambd, and 0 between ±lambd."""
    return _softshrink(input, number("softshrink", "lambd", lambd, at_least=0))


@one_pass
def _softshrink(input: Any, limit: float) -> Tensor:
    # dL/dx = g where |x| > limit, else 0
    a = floating_operand("softshrink", input)
    kept = ~((a.real >= -limit) & (a.real <= limit))
    passed = (a.real > limit) | (a.real < -limit)  # not NaN, which stays
    out = np.where(kept, a - np.sign(a.real) * limit, 0).astype(a.dtype)
    return record_each("softshrink", out, (input, lambda g: np.where(passed, g, 0)))


def tanhshrink(input: Any) -> Tensor:
    """x - tanh x."""
    return sub(input, tanh(input))


@numpy_names
def softmin(
    input: Any, dim: int | None = None, *, dtype: Any = None, **names: Unpack[Axis]
) -> Tensor:
    """softmax of -x along `dim`, which should be given."""
    return softmax(neg(input), dim, dtype=dtype)


def rrelu(
    input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
    inplace: bool = False,
) -> Tensor:  # fmt: skip
    """x where positive, elsewhere a·x: in training a ~ U(lower, upper), drawn for each x, otherwise
    a is the mean of the two.

    Source: Xu, Wang, Chen and Li, Empirical evaluation of rectified activations, 2015, section 2.4.
    """
    # dL/dx = g·(1 or a)
    a, low = floating_operand("rrelu", input), number("rrelu", "lower", lower)
    if not low <= number("rrelu", "upper", upper) < math.inf:
        raise RuntimeError(f"rrelu: expected finite lower <= upper, got {lower} and {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    drawn = generator().uniform(lower, upper, a.shape)
    slope = np.where(a.real <= 0, drawn, 1).astype(a.real.dtype)
    return record_each("rrelu", a * slope, (input, lambda g: g * slope))


@numpy_names
def glu(input: Any, dim: int = -1, **names: Unpack[Axis]) -> Tensor:
    """One half of x along `dim` times the sigmoid of the other (Dauphin et al. 2017)."""
    require("glu", input=input)
    a = floating_operand("glu", input)
    axis = axis_of("glu", dim, a.ndim)
    if not a.ndim or a.shape[axis] % 2:
        raise RuntimeError(f"glu: expected an even size along dim {dim}, got shape {a.shape}")
    if not a.shape[axis]:
        return mul(input, 1)
    if (large := gated(input, a, axis)) is not None:
        return large
    first, second = chunk(input, 2, axis)
    return mul(first, sigmoid(second))


@numpy_names
def gumbel_softmax(
    logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1,
    **names: Unpack[Axis],
) -> Tensor:  # fmt: skip
    """softmax((x + noise)/tau) with Gumbel's noise: a sample of the classes that has a gradient.

    With `hard`, a one in the place of the largest, and the gradient of the soft sample.

    Source: Jang, Gu and Poole, Categorical reparameterization with Gumbel-softmax, 2017.
    """
    a = floating_operand("gumbel_softmax", logits)
    axis = axis_of("gumbel_softmax", dim, a.ndim)
    noise = np.asarray(generator().gumbel(size=a.shape)).astype(a.real.dtype)
    soft = softmax(div(add(logits, wrap(noise)), number("gumbel_softmax", "tau", tau)), axis)
    if not hard:
        return soft
    y = soft.array
    one = (np.arange(y.shape[axis]).reshape([-1 if i == axis else 1 for i in range(y.ndim)])
           == np.expand_dims(y.real.argmax(axis), axis))  # fmt: skip
    return record_each("gumbel_softmax", one + (y - y.real), (soft, lambda g: g))


# ---------------------------------------------------------------------------- losses


def _reduced(name: str, loss: Tensor, reduction: str) -> Tensor:
    one_of(name, "reduction", reduction, ("mean", "sum", "none"))
    if reduction == "none":
        return loss
    return mean(loss) if reduction == "mean" else total(loss)


def _real(x: Any) -> Any:
    array: Any = as_array(x)
    return array.real


def _together(name: str, **inputs: Any) -> None:
    """Raise unless these are tensors whose shapes broadcast."""
    require(name, **inputs)
    check_broadcast(name, [as_array(x) for x in inputs.values()])


def _above(x: Any) -> Tensor:
    """max(x, 0), whose derivative at 0 is 1, as clamp's is."""
    return clamp(x, min=0)


def _large(name: str, x: Any, target: Any, margin: Any, reduction: str) -> Tensor | None:
    """The loss of large float32 tensors of one shape, and a target that needs no gradient, by one
    pass each way; None if they are others."""
    if reduction not in ("mean", "sum") or type(margin) not in (int, float) or needs_grad(target):
        return None
    a, t = as_array(x), as_array(target)
    if a.shape != t.shape:
        return None
    return large_loss(name, x, target, a, t, reduction, margin)


@numpy_names
def pairwise_distance(
    x1: Any,
    x2: Any,
    p: float = 2.0,
    eps: float = 1e-6,
    keepdim: bool = False,
    **names: Unpack[Keepdims],
) -> Tensor:
    """The p-norm of x1 - x2 + eps over the last axis."""
    require("pairwise_distance", x1=x1, x2=x2)
    return norm(add(sub(x1, x2), eps), p, -1, keepdim)


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, *, margin: float = 0, reduction: str = "mean"
) -> Tensor:
    """max(0, -t·(x1 - x2) + margin): t = 1 asks for x1 above x2, -1 for x2 above x1."""
    require("margin_ranking_loss", input1=input1, input2=input2, target=target)
    if not (input1.ndim == input2.ndim == target.ndim):
        raise RuntimeError(
            f"margin_ranking_loss: expected inputs and a target of as many axes, got shapes "
            f"{input1.shape}, {input2.shape} and {target.shape}"
        )
    difference = sub(input1, input2)
    large = _large("margin_ranking_loss", difference, target, margin, reduction)
    if large is not None:
        return large
    loss = _above(add(mul(neg(target), difference), margin))
    return _reduced("margin_ranking_loss", loss, reduction)


def hinge_embedding_loss(
    input: Any, target: Any, *, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """x where the target is 1, max(0, margin - x) where it is -1."""
    _together("hinge_embedding_loss", input=input, target=target)
    large = _large("hinge_embedding_loss", input, target, margin, reduction)
    if large is not None:
        return large
    t = _real(target)
    loss = where(wrap(t == 1), input, _above(sub(margin, input)))
    loss = where(wrap((t == 1) | (t == -1)), loss, add(input, _above(sub(margin, input))))
    return _reduced("hinge_embedding_loss", loss, reduction)


def soft_margin_loss(input: Any, target: Any, *, reduction: str = "mean") -> Tensor:
    """log(1 + e^(-t·x)) for targets 1 and -1."""
    _together("soft_margin_loss", input=input, target=target)
    loss = softplus(mul(neg(target), input), threshold=math.inf)  # exact at any distance
    return _reduced("soft_margin_loss", loss, reduction)


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, *, margin: float = 0, reduction: str = "mean"
) -> Tensor:
    """1 - cos of the angle where the target is 1, max(0, cos - margin) where it is -1.

    Inputs (N, D) and a target (N,), or (D,) and a target of no axes.
    """
    require("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    if input1.ndim not in (1, 2) or target.ndim != input1.ndim - 1 or input2.ndim != input1.ndim:
        raise RuntimeError(
            "cosine_embedding_loss: expected inputs (N, D) with a target (N,), or (D,) with one of "
            f"no axes, got shapes {input1.shape}, {input2.shape} and {target.shape}"
        )
    # the square of each length has 1e-12 added, as PyTorch has it
    dot = total(mul(input1, input2), -1)
    lengths = mul(*(add(total(square(x), -1), 1e-12) for x in (input1, input2)))
    cosine, t = div(dot, sqrt(lengths)), _real(target)
    loss = where(
        wrap(t == 1), sub(1, cosine), where(wrap(t == -1), _above(sub(cosine, margin)), 0.0)
    )
    return _reduced("cosine_embedding_loss", loss, reduction)


def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, *, margin: float = 1.0, p: float = 2,
    eps: float = 1e-6, swap: bool = False, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d the pairwise p-distance.

    With `swap`, d(positive, negative) counts where it is smaller (Balntas et al. 2016).
    """
    return _triplet(
        "triplet_margin_loss", anchor, positive, negative,
        lambda x, y: pairwise_distance(x, y, p, eps), margin, swap, reduction,
    )  # fmt: skip


def triplet_margin_with_distance_loss(
    anchor: Any, positive: Any, negative: Any, *,
    distance_function: Callable[[Any, Any], Tensor] | None = None, margin: float = 1.0,
    swap: bool = False, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """`triplet_margin_loss` by a distance of one's own."""
    distance = distance_function or pairwise_distance
    return _triplet(
        "triplet_margin_with_distance_loss", anchor, positive, negative, distance, margin, swap,
        reduction,
    )  # fmt: skip


def _triplet(
    name: str, anchor: Any, positive: Any, negative: Any, distance: Callable[[Any, Any], Tensor],
    margin: float, swap: bool, reduction: str,
) -> Tensor:  # fmt: skip
    _together(name, anchor=anchor, positive=positive, negative=negative)
    number(name, "margin", margin, above=0)
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return _reduced(name, _above(add(sub(near, far), margin)), reduction)


def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8, *,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """-log of Poisson's probability of the target: e^x - t·x, or x - t·log(x + eps) if x is not a
    logarithm.

    With `full`, Stirling's approximation of log t! is added for targets above 1.
    """
    _together("poisson_nll_loss", input=input, target=target)
    if log_input:
        loss = sub(exp(input), mul(target, input))
    else:
        loss = sub(input, mul(target, log(add(input, eps))))
    if full:
        safe = clamp(target, min=1e-30)
        stirling = add(sub(mul(target, log(safe)), target), mul(log(mul(safe, 2 * math.pi)), 0.5))
        loss = add(loss, where(wrap(~(_real(target) <= 1)), stirling, 0.0))
    return _reduced("poisson_nll_loss", loss, reduction)


@quiet
def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """½(log v + (x - t)²/v), v = var, at least eps; `full` adds ½·log 2π.

    `var` has the shape of x, or a size of 1 in place of one of x's, or lacks the last, or is a
    number. The bound has no gradient, as in PyTorch.
    """
    _together("gaussian_nll_loss", input=input, target=target)
    number("gaussian_nll_loss", "eps", eps, above=0)
    if not isinstance(var, int | float):
        require("gaussian_nll_loss", var=var)
    else:
        var = wrap(np.full(input.shape, var, input.dtype))
    if var.shape == input.shape[:-1]:
        var = var.reshape((*var.shape, 1))
    sizes = zip(var.shape, input.shape, strict=False)
    if var.ndim != input.ndim or [v for v, n in sizes if v != n] not in ([], [1]):
        raise ValueError(
            f"gaussian_nll_loss: var of shape {var.shape}, expected the input's {input.shape}, 1 "
            "in place of one of its sizes, or all but the last"
        )
    real = _real(var)
    if (real < 0).any():
        raise ValueError("gaussian_nll_loss: var has negative elements")
    low = wrap(np.where(real < eps, eps - real, 0).astype(real.dtype))
    v = add(var, low)
    loss = mul(add(log(v), div(square(sub(input, target)), v)), 0.5)
    if full:
        loss = add(loss, 0.5 * math.log(2 * math.pi))
    return _reduced("gaussian_nll_loss", loss, reduction)
