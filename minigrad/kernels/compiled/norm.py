"""Compiled batch normalisation: arrays made ready for norm_planes and norm_columns.

Equations are those of ops/norm.py.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import numpy as np

from minigrad.kernels import reference
from minigrad.kernels.compiled import norm_columns as columns
from minigrad.kernels.compiled import norm_planes as planes
from minigrad.kernels.compiled.relu import relu, relu_backward
from minigrad.kernels.machinery.arrays import Array
from minigrad.kernels.machinery.launch import ready, run, vector
from minigrad.kernels.machinery.memory import empty

F64 = np.dtype(np.float64)


def _flat(x: Array) -> Array:
    """x (N, C, S) as the kernels take it: (N, C) if S is 1."""
    N, C, S = x.shape
    a = x.reshape(N, C) if S == 1 else x
    return a if a.flags.carray else ready(a, a.dtype)


def _tasks(N: int, C: int) -> int:
    """The number of tasks where features are contiguous."""
    return -(-N // max(columns.ROWS, -(-N // columns.BLOCKS))) * -(-C // columns.PANEL)


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance (C,) of x (N, C, S) over N and S, in float64."""
    if not x.size:
        return reference.moments(x)
    C, a = x.shape[1], _flat(x)
    mean, var = np.empty(C), np.empty(C)
    if a.ndim == 2:
        run(columns.moments_c, columns.moments_c_p, _tasks(*a.shape), x.size, a, mean, var)
    else:
        run(planes.moments_s, planes.moments_s_p, C, x.size, a, mean, var)
    return mean, var


def batch_norm(
    x: Array, gamma: Array | None, beta: Array | None, eps: float, then_relu: bool = False
) -> tuple[Array, Array, Array, Array]:
    """(BN 1) to (BN 4) for x (N, C, S), then relu: y and, per feature, mean, var, inv_std (C,)."""
    if not x.size:
        return reference.batch_norm(x, gamma, beta, eps)
    C, a = x.shape[1], _flat(x)
    y, mean, var, inv_std = empty(a.shape, x.dtype), np.empty(C), np.empty(C), np.empty(C)
    affine, results = (
        (vector(gamma, x.dtype), vector(beta, x.dtype), float(eps)),
        (y, mean, var, inv_std),
    )
    if a.ndim == 2:
        serial, parallel = columns.batch_norm_c, columns.batch_norm_c_p
        run(serial, parallel, _tasks(*a.shape), x.size, a, *affine, *results)
        y = relu(y) if then_relu else y
    else:
        run(planes.batch_norm_s, planes.batch_norm_s_p, C, x.size, a, *affine, then_relu, *results)
    return y.reshape(x.shape), mean, var, inv_std


def normalize(
    x: Array, mean: Array, inv_std: Array, gamma: Array | None, beta: Array | None
) -> Array:
    """Equations (BN 3) and (BN 4) for x (N, C, S) with statistics (C,) that are given."""
    C, a = x.shape[1], _flat(x)
    y = empty(a.shape, x.dtype)
    args = (ready(mean, F64), ready(inv_std, F64), vector(gamma, x.dtype), vector(beta, x.dtype))
    if a.ndim == 2:
        run(columns.normalize_c, columns.normalize_c_p, _tasks(*a.shape), x.size, a, *args, y)
    else:
        run(planes.normalize_s, planes.normalize_s_p, C, x.size, a, *args, y)
    return y.reshape(x.shape)


def _norm_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None, batch: bool,
    y: Array | None = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    C = x.shape[1]
    dgamma, dbeta = np.zeros(C), np.zeros(C)
    if not x.size:
        return empty(x.shape, x.dtype), dgamma, dbeta
    a = _flat(x)
    dx = empty(a.shape, x.dtype)
    ga = ready(g.reshape(a.shape), x.dtype)
    args = (ready(mean, F64), ready(inv_std, F64), vector(gamma, x.dtype), batch, dx, dgamma, dbeta)
    if a.ndim == 2:
        if y is not None:
            ga = relu_backward(ga, y.reshape(a.shape))
        run(columns.backward_c, columns.backward_c_p, _tasks(*a.shape), x.size, ga, a, *args)
    else:
        kept = ga[:0] if y is None else ready(y, x.dtype)
        run(planes.backward_s, planes.backward_s_p, C, x.size, ga, kept, a, *args)
    return dx.reshape(x.shape), dgamma, dbeta


def batch_norm_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None, y: Array | None = None
) -> tuple[Array, Array, Array]:
    """dx (N, C, S) by (BN 11), dgamma (C,), dbeta (C,). y is the result after relu."""
    return _norm_backward(g, x, mean, inv_std, gamma, True, y)


def normalize_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None
) -> tuple[Array, Array, Array]:
    """dx by (BN 12): constant statistics pass no gradient back to x; dgamma (C,), dbeta (C,)."""
    return _norm_backward(g, x, mean, inv_std, gamma, False)


def group_norm(
    x: Array, gamma: Array | None, beta: Array | None, groups: int, eps: float
) -> tuple[Array, Array, Array, Array]:
    """Normalise groups of C/G channels of each sample of x (N, C, S), gamma and beta (C,): y and
    mean, var, inv_std (N·G,)."""
    if not x.size:
        return reference.group_norm(x, gamma, beta, groups, eps)
    (N, C, S), a, tasks = x.shape, ready(x, x.dtype), len(x) * groups
    y = empty(a.shape, x.dtype)
    mean, var, inv_std = np.empty(tasks), np.empty(tasks), np.empty(tasks)
    inputs = a.reshape(1, N * C, S), a.reshape(1, tasks, C // groups * S), C
    affine = vector(gamma, x.dtype), vector(beta, x.dtype), float(eps)
    results = y.reshape(1, N * C, S), mean, var, inv_std
    run(planes.group_norm_s, planes.group_norm_s_p, tasks, x.size, *inputs, *affine, *results)
    return y, mean, var, inv_std


def group_norm_backward(
    g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array | None, groups: int
) -> tuple[Array, Array, Array]:
    """dx (N, C, S), dgamma (C,), dbeta (C,)."""
    if not x.size:
        return reference.group_norm_backward(g, x, mean, inv_std, gamma, groups)
    (N, C, S), dx = x.shape, empty(x.shape, x.dtype)
    dgamma, dbeta = np.empty(N * C), np.empty(N * C)
    rows = (ready(a, x.dtype).reshape(1, N * C, S) for a in (g, x))
    given = ready(mean, F64), ready(inv_std, F64), vector(gamma, x.dtype)
    results = dx.reshape(1, N * C, S), dgamma, dbeta
    serial, parallel = planes.group_backward_s, planes.group_backward_s_p
    run(serial, parallel, N * groups, x.size, *rows, C, *given, *results)
    return dx, dgamma.reshape(N, C).sum(0), dbeta.reshape(N, C).sum(0)
