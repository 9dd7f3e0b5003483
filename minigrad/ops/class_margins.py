"""Losses by margins between the scores of classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.checks import number
from minigrad.incoming import as_array
from minigrad.ops.activations import logsigmoid
from minigrad.ops.arithmetic import add, mul, neg, sub
from minigrad.ops.indexing import check_index
from minigrad.ops.reducing import check_reduction, reduced, same_shape
from minigrad.ops.reductions import mean
from minigrad.recording import floating_operand, record_each, require
from minigrad.tensor import Tensor


def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean"
) -> Tensor:
    """-w·(t·log σ(x) + (1 - t)·log σ(-x)), its mean over the classes; x and t (N, C) or (C,)."""
    name = "multilabel_soft_margin_loss"
    require(name, input=input, target=target)
    same_shape(name, input, target, reduction)
    if not input.ndim:
        raise ValueError(f"{name}: expected (N, C) or (C,), got a shape of ()")
    loss = neg(add(mul(target, logsigmoid(input)), mul(sub(1, target), logsigmoid(neg(input)))))
    return reduced(mean(loss if weight is None else mul(loss, weight), -1), reduction)


def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, *,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Σ_j≠t w[t]·max(0, margin - x[t] + x[j])^p / C for x (N, C) or (C,), classes t (N,) or (), and
    p = 1 or 2."""
    # z = margin - x[t] + x[j]
    # dL/dx[j] = g·w[t]·p·z^(p - 1)/C where z > 0, else 0        dL/dx[t] = -Σ_j dL/dx[j]
    name = "multi_margin_loss"
    require(name, input=input, target=target)
    check_reduction(name, reduction)
    x, t = np.atleast_1d(floating_operand(name, input)), as_array(target)
    classes, rows = x.shape[-1], x.shape[:-1]
    if p not in (1, 2):
        raise ValueError(f"{name}: p must be 1 or 2, got {p!r}")
    fits = t.shape == rows or (x.ndim, t.shape) == (1, (1,))
    if x.ndim > 2 or not classes or not fits or t.dtype.kind not in "iu":
        raise RuntimeError(
            f"{name}: expected scores (N, C) with classes (N,) of dtype int64, or (C,) with (), "
            f"got {x.shape} with {t.shape} of dtype {t.dtype}"
        )
    check_index(name, t, classes)
    at = t.astype(np.int64).reshape(*rows, 1)
    given: Any = np.ones(classes, x.dtype) if weight is None else as_array(weight)
    w = given.real
    if w.shape != (classes,):
        raise ValueError(f"{name}: weight of shape {w.shape}, expected ({classes},)")
    z = x - np.take_along_axis(x, at, -1) + number(name, "margin", margin)
    above = z.real > 0  # NaN is not, as in PyTorch
    np.put_along_axis(above, at, False, -1)
    acc: Any = np.result_type(x.dtype, np.float64)
    if weight is None:
        power = np.where(above, z if p == 1 else z * z, x.dtype.type(0))
        slope = x.dtype.type(1) if p == 1 else 2 * z
    else:
        power, slope = np.where(above, w[at] * z**p, 0), w[at] * p * z ** (p - 1)
    loss = power.sum(-1, dtype=acc) / classes
    slope = np.where(above, slope / x.dtype.type(classes), x.dtype.type(0))
    np.put_along_axis(slope, at, -slope.sum(-1, keepdims=True), -1)
    return _margins(name, input, x, loss.reshape(t.shape), slope, reduction)


def multilabel_margin_loss(input: Any, target: Any, *, reduction: str = "mean") -> Tensor:
    """Σ_t Σ_j max(0, 1 - x[t] + x[j]) / C for x (N, C) or (C,): over the classes t that a row of
    the target (the input's shape) names before its first -1, and all j that are none of them."""
    # dL/dx[j] = g·(the number of t with 1 - x[t] + x[j] > 0)/C
    # dL/dx[t] = -g·(the number of such j)/C
    name = "multilabel_margin_loss"
    require(name, input=input, target=target)
    same_shape(name, input, target, reduction)
    x, t = np.atleast_1d(floating_operand(name, input), as_array(target))
    classes = x.shape[-1]
    if x.ndim > 2 or not classes or t.dtype.kind not in "iu":
        raise RuntimeError(
            f"{name}: expected scores (N, C) or (C,) and classes of dtype int64, got {x.shape} and "
            f"dtype {t.dtype}"
        )
    if t.size and not -1 <= t.min() <= t.max() < classes:
        raise RuntimeError(f"{name}: expected classes from 0 to {classes - 1}, and -1 behind them")
    named = np.logical_and.accumulate(t >= 0, -1)[..., None]
    hit = (t[..., None] == np.arange(classes)) & named  # (N, T, C), as z: t, and j
    z: Any = 1 - np.take_along_axis(x, np.where(t < 0, 0, t), -1)[..., None] + x[..., None, :]
    above = named & ~hit.any(-2, keepdims=True) & (z.real > 0)
    acc: Any = np.result_type(x.dtype, np.float64)
    loss = np.where(above, z, 0).sum((-2, -1), dtype=acc) / classes
    slope = (above.sum(-2) - (above.sum(-1, keepdims=True) * hit).sum(-2)) / classes
    return _margins(name, input, x, loss, slope, reduction)


def _margins(name: str, x: Any, a: Any, loss: Any, slope: Any, reduction: str) -> Tensor:
    """The losses of rows of x, whose gradients are g·slope."""
    slope, shape, column = slope.astype(a.dtype), as_array(x).shape, (*slope.shape[:-1], 1)
    loss = np.asarray(loss).astype(a.dtype)
    each = record_each(name, loss, (x, lambda g: (g.reshape(column) * slope).reshape(shape)))
    return reduced(each, reduction)
