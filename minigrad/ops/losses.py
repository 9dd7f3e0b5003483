"""Losses of probabilities and scores. Those of distances stand in distances.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.checks import integer, probability
from minigrad.incoming import as_array
from minigrad.kernels.reference.losses import places
from minigrad.ops.activations import log_softmax
from minigrad.ops.arithmetic import mul, quiet, where
from minigrad.ops.large import large_loss
from minigrad.ops.large import total as summed_up
from minigrad.ops.linear import matrices
from minigrad.ops.reducing import check_reduction, old_arguments, reduced, same_shape
from minigrad.ops.reductions import sum as total
from minigrad.recording import (
    check_broadcast,
    floating_operand,
    needs_grad,
    operand_arrays,
    record,
    record_each,
    require,
)
from minigrad.tensor import Tensor, wrap


@old_arguments
def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """-(t·log x + (1-t)·log(1-x)) for probabilities x; logarithms are limited to -100."""
    # dL/dx = g·(x - t)/(x·(1 - x)), the denominator at least 1e-12
    # dL/dt = g·(log(1-x) - log x)
    name = "binary_cross_entropy"
    same_shape(name, input, target, reduction)
    matrices(name, wrap(floating_operand(name, input)), target, names=("input", "target"))
    p, t = operand_arrays(name, input, target)
    logits = f": use {name}_with_logits for raw scores"
    for what, v, hint in (("input", p, logits), ("target", t, "")):
        if v.size and not (v.real.min() >= 0 and v.real.max() <= 1):
            raise RuntimeError(
                f"{name}: the {what} must be probabilities in [0, 1], got {v.real.min()} to "
                f"{v.real.max()}{hint}"
            )
    large = None
    if weight is None and not needs_grad(target):
        large = large_loss(name, input, target, p, t, reduction)
    if large is not None:
        return large
    with np.errstate(all="ignore"):
        log_p, log_q = np.log(p), np.log1p(-p)
        log_p = np.where(log_p.real < -100, -100, log_p).astype(p.dtype)
        log_q = np.where(log_q.real < -100, -100, log_q).astype(p.dtype)
    loss = (t - 1) * log_q - t * log_p
    variance = p * (1 - p)  # that of an outcome of probability p
    denominator = np.where(variance.real < 1e-12, 1e-12, variance).astype(p.dtype)
    out = record_each(
        name,
        loss,
        (input, lambda g: g * (p - t) / denominator),
        (target, lambda g: g * (log_q - log_p)),
    )
    return reduced(out if weight is None else mul(out, weight), reduction)


@old_arguments
@quiet
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", pos_weight: Any = None,
) -> Tensor:  # fmt: skip
    """binary_cross_entropy of sigmoid(x), computed without leaving the logarithm."""
    # l = (1-t)·x + k·log(1 + e^-x), k = 1 + (pos_weight - 1)·t
    # dL/dx = g·(1 - t - k·σ(-x))        dL/dt = g·(-x + (pos_weight - 1)·log(1 + e^-x))
    name = "binary_cross_entropy_with_logits"
    same_shape(name, input, target, reduction)
    a, t = operand_arrays(name, wrap(floating_operand(name, input)), target)
    floating_operand(f"{name}: target", target)
    large = None
    if weight is None and pos_weight is None and not needs_grad(target):
        large = large_loss(name, input, target, a, t, reduction)
    if large is not None:
        return large
    pos = None if pos_weight is None else as_array(pos_weight).astype(a.dtype, copy=False)
    if pos is not None:
        check_broadcast(name, (pos, a))
    negative = a.real < 0
    e = np.exp(np.where(negative, a, -a))  # e^-|x|, which cannot overflow
    soft = (np.log1p(e) + np.where(negative, -a, 0)).astype(a.dtype, copy=False)
    s_neg = np.where(negative, 1, e) / (1 + e)
    along: Any = None
    if needs_grad(target):
        along = -a if pos is None else -a + (pos - 1) * soft
    if pos is not None:
        k = 1 + (pos - 1) * t
        soft, s_neg = k * soft, k * s_neg
    rest = 1 - t
    loss = rest * a + soft
    slope = rest - s_neg
    if weight is not None or reduction == "none":
        out = record_each(name, loss, (input, lambda g: g * slope), (target, lambda g: g * along))
        return out if weight is None else reduced(mul(out, weight), reduction)
    n = loss.size if reduction == "mean" else 1
    sum_ = loss.sum(dtype=np.complex128 if loss.dtype.kind == "c" else np.float64) / np.float64(n)
    maps = (lambda g: g / n * slope), (lambda g: g / n * along)
    return record_each(
        name, np.asarray(sum_).astype(loss.dtype), (input, maps[0]), (target, maps[1])
    )


@old_arguments
def kl_div(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", log_target: bool = False,
) -> Tensor:  # fmt: skip
    """target·(log target - x), x being log-probabilities; "batchmean" divides by the batch size."""
    # dL/dx = -g·t        dL/dt = g·(log t + 1 - x)
    name = "kl_div"
    if reduction != "batchmean":
        check_reduction(name, reduction)
    same_shape(name, input, target, "mean")
    a, t = operand_arrays(name, input, target)
    floating_operand(name, input)
    floating_operand(f"{name}: target", target)
    with np.errstate(all="ignore"):
        if log_target:
            p = np.exp(t)
            loss = p * (t - a)
            slope = loss + p
            out = record_each(name, loss, (input, lambda g: -g * p), (target, lambda g: g * slope))
        else:
            log_t = np.log(np.where(t.real == 0, 1, t))
            loss = t * log_t - t * a
            slope = np.where(t.real == 0, 0, log_t + t / t) - a  # t/t: 1, but NaN at infinity
            out = record_each(name, loss, (input, lambda g: -g * t), (target, lambda g: g * slope))
    if reduction == "batchmean":
        return total(out) / max(a.shape[0] if a.ndim else 1, 1)
    return reduced(out, reduction)


@old_arguments
def nll_loss(
    input: Tensor, target: Any, weight: Any = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """-weight[t]·x[t] for log-probabilities x (N, C, …) or (C,) and classes t (N, …); the mean is
    over the weights."""
    # dL/dx[t] = -g·weight[t]
    name = "nll_loss"
    check_reduction(name, reduction)
    a, t, w = _classes(name, input, target, weight, ignore_index)
    axis = 1 if a.ndim > 1 else 0
    known = t != ignore_index
    index = np.expand_dims(np.where(known, t, 0), axis)
    weights: Any = w.sum(dtype=np.float64) if reduction == "mean" else None
    picked = np.take_along_axis(a, index, axis).squeeze(axis)
    loss = np.where(known, -picked * w, 0).astype(a.dtype)
    shape, dtype = a.shape, a.dtype

    def scatter(rows: Any) -> Any:
        dx = np.zeros(shape, dtype)
        each = np.where(known, -rows * w, 0).astype(dtype)  # an ignored row has no NaN either
        np.put_along_axis(dx, index, np.expand_dims(each, axis), axis)
        return dx

    if reduction == "none":
        return record_each(name, loss, (input, scatter))
    with np.errstate(all="ignore"):
        out = np.asarray(loss.sum(dtype=np.result_type(dtype, np.float64)))
        out = out / weights if reduction == "mean" else out
        scale = 1 / weights if reduction == "mean" else 1.0
    return record_each(name, np.asarray(out).astype(dtype), (input, lambda g: scatter(g * scale)))


def _classes(
    name: str, x: Any, target: Any, weight: Any, ignore_index: int
) -> tuple[Any, Any, Any]:
    """The scores, the classes and the weight of each target (0 where it is ignored), checked."""
    a, t = floating_operand(name, x), as_array(target)
    if t.dtype.kind not in "iu":
        raise RuntimeError(
            f"{name}: classes must be integers, got dtype {t.dtype}: use target.long()"
        )
    ignore_index = integer(name, "ignore_index", ignore_index, None)
    axis = 1 if a.ndim > 1 else 0
    expected = a.shape[:axis] + a.shape[axis + 1 :]
    if not a.ndim or t.shape != expected:
        raise ValueError(
            f"{name}: target of shape {t.shape}, expected {expected} for input shape {a.shape}"
        )
    classes = a.shape[axis]
    known = t != ignore_index
    outside = (t < 0) | (t >= classes)
    if outside.any() and outside[known].any():
        bad = t[known & outside].flat[0]
        raise IndexError(f"{name}: target {bad} is out of range for {classes} classes")
    if weight is None:
        return a, t, known.astype(a.real.dtype)
    v = as_array(weight)
    if v.shape != (classes,):
        raise RuntimeError(f"{name}: weight has shape {v.shape}, expected ({classes},)")
    if a.dtype.kind == "f" and v.dtype != a.dtype:
        raise RuntimeError(f"{name}: weight has dtype {v.dtype}, expected the input's {a.dtype}")
    return a, t, np.where(known, v[np.where(known, t, 0)], 0).astype(a.real.dtype)


@old_arguments
def cross_entropy(
    input: Tensor, target: Any, weight: Any = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """-log softmax(x)[target] for scores x (N, C, …) or (C,).

    target: classes (N, …), or probabilities in the shape of x. `weight` (C,) scales classes,
    and the mean is over the weights; `label_smoothing` mixes in the uniform distribution.
    """
    name = "cross_entropy"
    check_reduction(name, reduction)
    label_smoothing = probability(name, "label_smoothing", label_smoothing)
    require(name, input=input)
    t = as_array(target)
    if input.shape == t.shape and t.dtype.kind in "fc":
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    if input.ndim > 1 and weight is None:
        return _fused_cross_entropy(input, t, ignore_index, reduction, label_smoothing)
    axis = 1 if input.ndim > 1 else 0
    if not input.ndim:
        raise ValueError(f"{name}: expected scores (N, C, …) or (C,), got a 0-d tensor")
    logp = log_softmax(input, axis)
    hard = nll_loss(logp, target, weight, ignore_index=ignore_index, reduction=reduction)
    if not label_smoothing:
        return hard
    # the uniform part: -Σ_c weight_c·log p_c, for every target that is not ignored
    _, _, w = _classes(name, input, target, weight, ignore_index)
    scores = logp
    if weight is not None:
        scores = logp * wrap(as_array(weight).reshape(-1, *[1] * (input.ndim - axis - 1)))
    uniform: Tensor = where(wrap(t != ignore_index), -total(scores, axis), 0.0)
    if reduction == "mean":
        uniform = total(uniform) / float(w.sum())
    elif reduction == "sum":
        uniform = total(uniform)
    return hard * (1 - label_smoothing) + uniform * (label_smoothing / input.shape[axis])


def _fused_cross_entropy(
    x: Tensor, t: Any, ignore_index: int, reduction: str, smoothing: float
) -> Tensor:
    # one row: loss = -log softmax(x)_t = log Σ_c exp(x_c) - x_t                          (CE 1)
    #          dx = g·(softmax(x) - one-hot(t)), g/(number of targets) for the mean       (CE 2)
    # smoothed: (1 - s)·loss + s·(log Σ_c exp(x_c) - mean x), s/C less in dx, and s more at t
    a, t, w = _classes("cross_entropy", x, t, None, ignore_index)
    backend, kept = kernels.backend_for(a), w != 0
    n = np.count_nonzero(kept)
    whole = n == kept.size
    rows = np.ascontiguousarray(t if whole else np.where(kept, t, 0), np.int64)
    loss, log_sum_exp = backend.cross_entropy(a, rows)
    C, acc = a.shape[1], log_sum_exp.dtype
    if smoothing:
        with np.errstate(all="ignore"):
            sums = summed_up("sum", a, (1,))
            sums = a.sum(1, dtype=acc) if sums is None else sums
            mean = sums.reshape(loss.shape) / np.float64(C)
            loss = (1 - smoothing) * loss + smoothing * (log_sum_exp - mean)
    # an ignored row may hold anything, NaN too
    if reduction == "none":
        out = loss if whole else np.where(kept, loss, 0)
    else:
        out = (loss if whole else loss[kept]).sum()
    if reduction == "mean":
        out, w = (out / n, w / max(n, 1)) if n else (np.nan, w)  # the mean of nothing

    def vjp(g: Any) -> Any:
        each = g * w if whole else np.where(kept, g * w, 0)  # not even NaN·0 of an ignored row
        dx = backend.cross_entropy_backward(each, a, log_sum_exp, rows)
        if smoothing:
            dx -= np.expand_dims(each * (smoothing / C), 1).astype(dx.dtype)
            dx.reshape(-1)[places(rows, C)] += (each * smoothing).reshape(-1).astype(dx.dtype)
        return (dx,)

    return record("cross_entropy", np.asarray(out).astype(a.dtype), (x,), vjp)


def _soft_cross_entropy(
    x: Tensor, target: Any, weight: Any, reduction: str, label_smoothing: float
) -> Tensor:
    axis = 1 if x.ndim > 1 else 0
    classes = x.shape[axis]
    t = target if isinstance(target, Tensor) else wrap(as_array(target))
    if label_smoothing:
        t = t * (1 - label_smoothing) + label_smoothing / classes
    scores = log_softmax(x, axis)
    if weight is not None:
        scores = scores * wrap(as_array(weight).reshape(-1, *[1] * (x.ndim - axis - 1)))
    loss = -total(scores * t, axis)
    if reduction == "mean":
        return total(loss) / max(math.prod(x.shape) // max(classes, 1), 1)
    return reduced(loss, reduction)
