"""Compiled steps of running statistics and optimisers, and scatter."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np

from minigrad.kernels import reference
from minigrad.kernels.machinery.arrays import ABI, Array, address_of
from minigrad.kernels.machinery.launch import (
    PARALLEL_FROM,
    checked,
    exact,
    exact_kernel,
    in_parallel,
    ready,
    run,
    threaded,
)
from minigrad.kernels.machinery.pointers import address, part, start

# ---------------------------------------------------------------------------- running statistics


@exact_kernel
def _move(mean, var, batch_mean, batch_var, factor, correction, count):
    """Whether all came out finite; nothing has changed if not."""
    keep = 1 - factor
    for c in range(mean.size):
        new_mean = mean.dtype.type(keep * mean[c] + factor * batch_mean[c])
        new_var = var.dtype.type(keep * var[c] + factor * (batch_var[c] * correction))
        if not (np.isfinite(new_mean) and np.isfinite(new_var)):
            return False
    for c in range(mean.size):
        mean[c] = keep * mean[c] + factor * batch_mean[c]
        var[c] = keep * var[c] + factor * (batch_var[c] * correction)
    count[()] += 1
    return True


_NONE = np.empty(0, np.int64)


def move_stats_(
    mean: Array, var: Array, batch_mean: Array, batch_var: Array, factor: float, correction: float,
    count: Array, partly: bool = False,
) -> Array:  # fmt: skip
    """As the reference, in one pass if all comes out finite."""
    fits = var.ndim == 1 and mean.flags.carray and var.flags.carray and count.flags.carray
    if fits and _move(mean, var, batch_mean, batch_var, factor, correction, count):
        return _NONE
    return reference.move_stats_(
        mean, var, batch_mean, batch_var, factor, correction, count, partly
    )


# ---------------------------------------------------------------------------- optimisers
# Compiled without any flag, with scalars in the dtype of p: the floats are those of the formula.
# One call moves all parameters of a group. A task is a stretch of one of them: table (k, 5) has
# the ids of p, g and two arrays of state (or 0), and how many elements they have; first (k,) the
# number of each one's first task.

CHUNK = 1 << 15


@exact
def _stretch(t, table, first):
    """The parameter of task t, where its stretch begins and ends."""
    k = len(first) - 1
    while first[k] > t:
        k -= 1
    begin = (t - first[k]) * CHUNK
    return k, begin, min(CHUNK, table[k, 4] - begin)


@exact
def _arrays(ids, like, begin, n):
    """The stretches of three arrays."""
    p, g = part(address(ids[0]), like, begin, n), part(address(ids[1]), like, begin, n)
    return p, g, part(address(ids[2]), like, begin, n)


@exact_kernel
def _sgd(lo, hi, table, first, rest, scalars, nesterov, maximize):
    lr, momentum, weight_decay = scalars
    like = start(rest)
    for t in range(lo, hi):
        k, begin, n = _stretch(t, table, first)
        p, g, buf = _arrays(table[k, :3], like, begin, n)
        with_buffer = table[k, 2] != 0
        for i in range(n):
            d = -g[i] if maximize else g[i]
            if weight_decay != 0:
                d = d + weight_decay * p[i]
            if with_buffer:
                b = buf[i] * momentum + rest[k] * d
                buf[i] = b
                d = d + momentum * b if nesterov else b
            p[i] -= lr * d


@exact_kernel
def _adam(lo, hi, table, first, roots, rates, scalars, maximize):
    shrink, a1, b2, a2, eps, weight_decay = scalars
    like = start(roots)
    for t in range(lo, hi):
        k, begin, n = _stretch(t, table, first)
        p, g, m = _arrays(table[k, :3], like, begin, n)
        v = part(address(table[k, 3]), like, begin, n)
        root, rate = roots[k], rates[k]
        for i in range(n):
            d = -g[i] if maximize else g[i]
            q = p[i] * shrink
            d = d + weight_decay * q
            m[i] += a1 * (d - m[i])
            v[i] = v[i] * b2 + a2 * d * d
            p[i] = q - rate * m[i] / (np.sqrt(v[i]) / root + eps)


@threaded
def _sgd_p(pool, tasks, *args):
    in_parallel(pool, tasks, _sgd, args)


@threaded
def _adam_p(pool, tasks, *args):
    in_parallel(pool, tasks, _adam, args)


def _table(*lists: list[Any]) -> Array | None:
    """The arrays' ids and how long they are, (k, 5), or None if the compiled loops cannot run over
    them as they lie in memory. The first list is of the parameters."""
    if not ABI:
        return None
    columns: list[list[int]] = []
    dtype, shapes = lists[0][0].dtype, [p.shape for p in lists[0]]
    for arrays in lists:
        column = []
        for a, shape in zip(arrays, shapes, strict=True):
            if a is None:
                column.append(0)
            elif a.shape == shape and a.dtype == dtype and a.flags.carray:
                column.append(id(a))
            else:
                return None
        columns.append(column)
    columns += [[0] * len(shapes)] * (4 - len(lists))
    columns.append([p.size for p in lists[0]])
    return np.array(columns, np.int64).T


@lru_cache(256)
def _divided(sizes: tuple[int, ...]) -> tuple[Array, int, int]:
    """The parameters' first tasks, tasks, and elements in all."""
    counts = -(-np.array(sizes, np.int64) // CHUNK)
    return np.cumsum(counts) - counts, int(counts.sum()), sum(sizes)


def _run(serial: Any, parallel: Any, params: list[Array], table: Array, *args: Any) -> None:
    first, tasks, elements = _divided(tuple([p.size for p in params]))
    if elements >= PARALLEL_FROM:  # memory that two of them share would be changed at once
        stretches = sorted((address_of(p), p.nbytes) for p in params)
        if any(at + size > after for (at, size), (after, _) in pairwise(stretches)):
            elements = 0
    run(serial, parallel, tasks, elements, table, first, *args)


def sgd_step_(
    params: list[Array], grads: list[Array], buffers: list[Array | None], lr: float,
    momentum: float, dampening: list[float], weight_decay: float, nesterov: bool, maximize: bool,
) -> None:  # fmt: skip
    """One step of SGD for parameters of one dtype, in place in them and in their buffers:
    buf = momentum·buf + (1 - dampening)·g."""
    dtype = params[0].dtype
    table = _table(params, grads, buffers)
    if table is None:  # or is it only a gradient that lies otherwise?
        grads = [ready(g, dtype) for g in grads]
        table = _table(params, grads, buffers)
    if table is None:
        reference.sgd_step_(
            params, grads, buffers, lr, momentum, dampening, weight_decay, nesterov, maximize
        )
        return
    rest = np.array([1 - damp for damp in dampening], dtype)
    scalars = np.array((lr, momentum, weight_decay), dtype)
    args = (rest, scalars, bool(nesterov), bool(maximize))
    _run(_sgd, _sgd_p, params, table, *args)


def adam_step_(
    params: list[Array], grads: list[Array], means: list[Array], squares: list[Array], lr: float,
    beta1: float, beta2: float, eps: float, weight_decay: float, steps: list[int],
    decoupled: bool, maximize: bool,
) -> None:  # fmt: skip
    """Each one's step number (from 1) of Adam, or AdamW if decoupled, for parameters of one dtype,
    in place in them and in their running means of g and of g²."""
    dtype = params[0].dtype
    table = _table(params, grads, means, squares)
    if table is None:
        grads = [ready(g, dtype) for g in grads]
        table = _table(params, grads, means, squares)
    if table is None:
        reference.adam_step_(
            params, grads, means, squares, lr, beta1, beta2, eps, weight_decay, steps, decoupled,
            maximize,
        )  # fmt: skip
        return
    shrink, decay = (1 - lr * weight_decay, 0) if decoupled else (1, weight_decay)
    roots = np.array([sqrt(1 - beta2**step) for step in steps], dtype)
    rates = np.array([lr / (1 - beta1**step) for step in steps], dtype)
    scalars = np.array((shrink, 1 - beta1, beta2, 1 - beta2, eps, decay), dtype)
    _run(_adam, _adam_p, params, table, roots, rates, scalars, bool(maximize))


# ---------------------------------------------------------------------------- scatter


@exact_kernel
def _add_at(out, index, rows):
    for k in range(index.size):
        target, row = out[index[k]], rows[k]
        for j in range(row.size):
            target[j] += row[j]


def add_at_(out: Array, index: Array, rows: Array) -> None:
    """out[index[k]] += rows[k] in order; out (V, D), index (K,), rows (K, D)."""
    if not out.flags.carray:
        reference.add_at_(out, index, rows)
        return
    _add_at(out, checked(index, len(out), "index"), ready(rows, out.dtype))
