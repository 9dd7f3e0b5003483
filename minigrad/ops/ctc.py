"""Connectionist temporal classification: the loss of a sequence whose place in time is unknown."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.checks import integer
from minigrad.incoming import as_array
from minigrad.ops.arithmetic import div
from minigrad.ops.reducing import check_reduction, reduced
from minigrad.ops.shape import reshape
from minigrad.recording import floating_operand, record_each, require
from minigrad.tensor import Tensor, wrap


def ctc_loss(
    log_probs: Tensor, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    """-log p(target | x) for log-probabilities x (T, N, C) or (T, C) of C labels at T times, summed
    over all ways to say each label at least once, with the blank between two that are equal.

    Args:
        log_probs: x, the result of log_softmax.
        targets: labels (N, S), of which row n's first `target_lengths[n]` count, or one after the
            other, (the sum of target_lengths,); (S,) for x (T, C).
        input_lengths: how many times of each sample count, (N,) or ().
        target_lengths: how many labels of each sample count, (N,) or ().
        blank: the label that says nothing.
        reduction: "mean" over the samples of loss/length of its target, "sum" or "none".
        zero_infinity: a target too long for its input counts nothing, instead of infinity.

    Source: Graves et al., Connectionist temporal classification, 2006.
    """
    # The states s of a target l_1 … l_S are blank l_1 blank l_2 … l_S blank. A path may stay, go
    # one state on, or two where the state between is a blank and the labels around it differ.
    #     α_t(s) = x_t(s)·Σ α_t-1 of the states before        β_t(s) = Σ x_t+1·β_t+1 of those behind
    #     p = Σ α_T of the last two        dL/dx_t(c) = -g·Σ α_t(s)·β_t(s)/p over the s of label c
    # all of them as logarithms.
    name = "ctc_loss"
    check_reduction(name, reduction)
    require(name, log_probs=log_probs)
    a = floating_operand(name, log_probs)
    if a.ndim == 2:
        batched = reshape(log_probs, (a.shape[0], 1, a.shape[1]))
        one = (as_array(v).reshape(-1) for v in (targets, input_lengths, target_lengths))
        labels, end, size = one
        return reshape(ctc_loss(batched, labels, end, size, blank, reduction, zero_infinity), ())
    if a.ndim != 3:
        raise RuntimeError(f"{name}: expected log_probs (T, N, C) or (T, C), got shape {a.shape}")
    times, batch, classes = a.shape
    blank = integer(name, "blank", blank, None)
    if not 0 <= blank < classes:
        raise RuntimeError(f"{name}: blank must be one of {classes} labels, got {blank}")
    ends = _lengths(name, "input_lengths", input_lengths, batch, times)
    sizes = _lengths(name, "target_lengths", target_lengths, batch, None)
    states, skips = _states(name, targets, sizes, classes, blank)
    count = states.shape[1]
    wide: Any = np.result_type(a, np.float64)
    # x of every state, (T, N, states); what is behind a target's last state is never counted
    each = np.take_along_axis(a.astype(wide), states[None].repeat(times, 0), axis=2)
    alpha = np.full((times, batch, count), -np.inf, wide)
    if times:
        alpha[0, :, :2] = each[0, :, :2]
    for t in range(1, times):
        alpha[t] = each[t] + _sum_of(alpha[t - 1], skips, 1)
    samples, last = np.arange(batch), 2 * sizes
    final = np.full((2, batch), -np.inf, wide)
    final[0, ends == 0] = np.where(sizes[ends == 0] == 0, 0, -np.inf)
    some = np.flatnonzero(ends > 0)
    final[0, some] = alpha[ends[some] - 1, some, last[some]]
    both = some[sizes[some] > 0]
    final[1, both] = alpha[ends[both] - 1, both, last[both] - 1]
    total = _log_sum(final)
    lost = total.real == -np.inf
    out = np.where(lost & zero_infinity, 0, -total).astype(a.dtype)

    def vjp(g: Any) -> Any:
        dtype = np.result_type(wide, g)
        beta = np.full((times + 1, batch, count), -np.inf, wide)
        for t in range(times - 1, -1, -1):
            following = each[t + 1] + beta[t + 1] if t + 1 < times else beta[times]
            beta[t] = _sum_of(following, skips, -1)
            here = samples[ends == t + 1]
            beta[t, here] = -np.inf
            beta[t, here, last[here]] = 0
            inner = here[sizes[here] > 0]
            beta[t, inner, last[inner] - 1] = 0
        with np.errstate(invalid="ignore"):  # NaN where there is no path at all, as in PyTorch
            share = np.exp(alpha + beta[:-1] - total[:, None])
            share = np.where(np.arange(times)[:, None, None] < ends[:, None], share, 0)
            share = -share * g[:, None]
        share = np.where((lost & zero_infinity)[:, None], 0, share).astype(dtype)
        dx = np.zeros((batch * classes, times), dtype)
        rows = (samples[:, None] * classes + states).reshape(-1)
        values = np.ascontiguousarray(share.transpose(1, 2, 0)).reshape(-1, times)
        kernels.backend_for(dx).add_at_(dx, rows, values)
        return dx.reshape(batch, classes, times).transpose(2, 0, 1)

    loss = record_each(name, out, (log_probs, lambda g: vjp(g).astype(np.result_type(a, g))))
    if reduction == "mean":
        loss = div(loss, wrap(np.maximum(sizes, 1).astype(a.real.dtype)))
    return reduced(loss, reduction)


def _lengths(name: str, argument: str, given: Any, batch: int, most: int | None) -> Any:
    found = as_array(given)
    if found.dtype.kind not in "iu" or found.shape != (batch,):
        raise RuntimeError(
            f"{name}: {argument} must be {batch} integers, got {found.dtype} of shape {found.shape}"
        )
    if found.size and (found.min() < 0 or (most is not None and found.max() > most)):
        bounds = "at least 0" if most is None else f"0 to {most}"
        raise RuntimeError(f"{name}: {argument} must be {bounds}, got {found.tolist()}")
    return found.astype(np.int64)


def _states(name: str, targets: Any, sizes: Any, classes: int, blank: int) -> tuple[Any, Any]:
    """The labels of every sample's states (N, 2S + 1), and which may be reached from two before."""
    t, longest = as_array(targets), int(sizes.max(initial=0))
    if t.dtype.kind not in "iu" or t.ndim not in (1, 2):
        raise RuntimeError(
            f"{name}: targets must be integers (N, S) or (the sum of target_lengths,), got "
            f"{t.dtype} of shape {t.shape}"
        )
    there = np.arange(longest) < sizes[:, None]
    labels = np.full(there.shape, blank, np.int64)
    if t.ndim == 1:
        fits = t.size == sizes.sum()
    else:
        fits = len(t) == len(sizes) and t.shape[1] >= longest
    if not fits:
        raise RuntimeError(
            f"{name}: targets of shape {t.shape} do not fit target_lengths {sizes.tolist()}"
        )
    labels[there] = t if t.ndim == 1 else t[:, :longest][there]
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise RuntimeError(f"{name}: targets must be labels 0 to {classes - 1}")
    states = np.full((len(sizes), 2 * longest + 1), blank, np.int64)
    states[:, 1::2] = labels
    skips = np.zeros(states.shape, bool)
    skips[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    return states, skips


def _sum_of(logs: Any, skips: Any, step: int) -> Any:
    """The logarithm of the sum over the states from which each is reached, or that it reaches."""
    terms = np.full((3, *logs.shape), -np.inf, logs.dtype)
    terms[0] = logs
    if step > 0:
        terms[1, :, 1:] = logs[:, :-1]
        terms[2, :, 2:] = np.where(skips[:, 2:], logs[:, :-2], -np.inf)
    else:
        terms[1, :, :-1] = logs[:, 1:]
        terms[2, :, :-2] = np.where(skips[:, 2:], logs[:, 2:], -np.inf)
    return _log_sum(terms)


def _log_sum(terms: Any) -> Any:
    peak = terms.real.max(axis=0)
    peak = np.where(np.isfinite(peak), peak, 0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(terms - peak).sum(axis=0)) + peak
