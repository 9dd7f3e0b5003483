"""Losses of the distance between predictions and targets. `reduction` is "mean", "sum" or "none".

Targets that would broadcast are refused: a prediction (N, 1) against a target (N,) would silently
compare all pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.checks import number
from minigrad.incoming import as_array
from minigrad.ops.arithmetic import mul
from minigrad.ops.large import large_loss
from minigrad.ops.reducing import old_arguments, reduced, same_shape
from minigrad.ops.reductions import sum as total
from minigrad.recording import check_floating, operand_arrays, record_each
from minigrad.tensor import Tensor


@old_arguments
def mse_loss(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Any = None,
) -> Tensor:  # fmt: skip
    """(x - target)²; with a weight for each element the mean is over the weights."""
    # dL/dx = g·2·(x - t)/(n for the mean)
    same_shape("mse_loss", input, target, reduction)
    if weight is not None:
        each = mse_loss(input, target, reduction="none")
        return _weighted_mean("mse_loss", each, weight, reduction)
    a, t = operand_arrays("mse_loss", input, target)
    if (large := large_loss("mse_loss", input, target, a, t, reduction)) is not None:
        return large
    d = a - t
    return _of_difference("mse_loss", input, target, d * d, lambda: 2 * d, reduction)


@old_arguments
def l1_loss(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Any = None,
) -> Tensor:  # fmt: skip
    """|x - target|; with a weight for each element the mean is over the weights."""
    # dL/dx = g·sign(x - t)/(n for the mean)
    same_shape("l1_loss", input, target, reduction)
    if weight is not None:
        each = l1_loss(input, target, reduction="none")
        return _weighted_mean("l1_loss", each, weight, reduction)
    a, t = operand_arrays("l1_loss", input, target)
    if (large := large_loss("l1_loss", input, target, a, t, reduction)) is not None:
        return large
    d = a - t
    sign = np.sign(d.real).astype(a.dtype)
    slope = np.where(np.isnan(sign), 0, sign).astype(a.dtype)  # as that of abs
    return _of_difference("l1_loss", input, target, d * sign, lambda: slope, reduction)


def _weighted_mean(name: str, each: Tensor, weight: Any, reduction: str) -> Tensor:
    _check_weight(name, each, weight)
    if reduction == "mean":
        return total(mul(each, weight)) / total(weight)
    return reduced(mul(each, weight), reduction)


def _check_weight(name: str, each: Tensor, weight: Any) -> None:
    if as_array(weight).shape != each.shape:
        raise ValueError(
            f"{name}: weight of shape {as_array(weight).shape}, expected the input's {each.shape}"
        )


def _of_difference(name: str, x: Any, target: Any, loss: Any, slope: Any, reduction: str) -> Tensor:
    """A loss of x - target with its derivative: reduced and recorded in one node."""
    check_floating(name, loss)
    if reduction == "none":
        s = slope()
        return record_each(name, loss, (x, lambda g: g * s), (target, lambda g: -g * s))
    n = loss.size if reduction == "mean" else 1
    acc = np.result_type(loss.dtype, np.float64)
    with np.errstate(all="ignore"):
        out = np.asarray(loss.sum(dtype=acc) / np.float64(n)).astype(loss.dtype)
        s = slope() / n if n != 1 else slope()
    return record_each(name, out, (x, lambda g: g * s), (target, lambda g: -g * s))


@old_arguments
def smooth_l1_loss(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", beta: float = 1.0,
) -> Tensor:  # fmt: skip
    """½d²/beta where |d| < beta, |d| - ½beta elsewhere (d = x - target)."""
    beta = number("smooth_l1_loss", "beta", beta, at_least=0)
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return _huber("smooth_l1_loss", input, target, reduction, beta, 1 / beta)


def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Tensor:
    """½d² where |d| < delta, delta·(|d| - ½delta) elsewhere (d = x - target); `weight` scales each
    element, and the mean stays over all."""
    delta = number("huber_loss", "delta", delta, above=0)
    if weight is not None:
        each = _huber("huber_loss", input, target, "none", delta, 1.0)
        _check_weight("huber_loss", each, weight)
        return reduced(mul(each, weight), reduction)
    return _huber("huber_loss", input, target, reduction, delta, 1.0)


def _huber(name: str, x: Any, target: Any, reduction: str, delta: float, scale: float) -> Tensor:
    # dL/dx = g·scale·(d where |d| < delta, else delta·sign d)
    same_shape(name, x, target, reduction)
    a, t = operand_arrays(name, x, target)
    if (large := large_loss("huber", x, target, a, t, reduction, delta, scale)) is not None:
        return large
    d = a - t
    sign = np.sign(d.real)
    inside = np.abs(d.real) < delta
    loss = np.where(inside, 0.5 * d * d, delta * (d * sign - 0.5 * delta)) * scale
    slope = (np.where(inside, d, delta * sign) * scale).astype(a.dtype)
    return _of_difference(name, x, target, loss.astype(a.dtype), lambda: slope, reduction)
