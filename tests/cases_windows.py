"""The part of CASES with tensors seen otherwise, order statistics and special functions."""

from __future__ import annotations

import math

import numpy as np
from sampling import case


def embedded(x, offset, i, j):  # type: ignore[no-untyped-def]
    """Element by element."""
    n = x.shape[-1] + abs(offset)
    out = np.zeros((*x.shape[:-1], n, n))
    for *stack, k in np.ndindex(x.shape):
        out[(*stack, k + max(-offset, 0), k + max(offset, 0))] = x[(*stack, k)]
    return np.moveaxis(out, (-2, -1), (i, j))


def blocks(*parts):  # type: ignore[no-untyped-def]
    parts = [np.atleast_2d(p) for p in parts]
    out = np.zeros(np.sum([p.shape for p in parts], axis=0))
    i = j = 0
    for p in parts:
        out[i : i + len(p), j : j + p.shape[1]] = p
        i, j = i + len(p), j + p.shape[1]
    return out


def written(x, key, src):  # type: ignore[no-untyped-def]
    x = x.copy()
    x[key] = src
    return x


for offset, i, j in ((0, -2, -1), (1, 0, 1), (-2, -1, 0), (0, 1, 0)):
    case("diag_embed", [(3,), (2, 3), (0,), (2, 0)],
         lambda x, a=(offset, i, j): embedded(x, *a), offset, i, j)  # fmt: skip
case("diagflat", [(2, 2), ()], lambda x: np.diagflat(x, 1), 1)
case("block_diag", [((2, 3), (3,), (1, 1)), ((), (0, 2)), ((2, 2),)], blocks)
case("moveaxis", [(2, 3, 4)], lambda x: x.transpose(2, 0, 1), -1, 0)
case("adjoint", [(2, 3), (2, 3, 4)], lambda x: x.swapaxes(-1, -2))
case("H", [(2, 3)], lambda x: x.T, call=lambda m, x: x.H * 1)
case("mH", [(2, 3, 4)], lambda x: x.swapaxes(1, 2), call=lambda m, x: x.mH * 1)
case("real", [(2, 3), ()], lambda x: 2 * x, call=lambda m, x: m.real(x) + x.real)
case("conj", [(2, 3)], lambda x: 2 * x, call=lambda m, x: m.conj(x) + x.conj())
case("atleast_1d", [()], lambda x: x[None])
case("atleast_2d", [(3,), (), (2, 3)], np.atleast_2d)
case("atleast_3d", [(3,), (), (2, 3)], np.atleast_3d)
case("as_strided", [(3, 4)], lambda x: x.reshape(-1)[np.add.outer([1, 3, 5], [0, 1])],
     call=lambda m, x: m.as_strided(x.contiguous(), (3, 2), (2, 1), 1))  # fmt: skip
case("as_strided of a view", [(3, 4)], lambda x: x.reshape(-1)[np.add.outer([5, 5, 5], [0, 2])],
     call=lambda m, x: x.contiguous()[1:].as_strided((3, 2), (0, 2), 5))  # fmt: skip
case("as_strided of a transposed one", [(3, 4)], lambda x: x.reshape(-1)[[0, 2, 4]],
     call=lambda m, x: x.contiguous().t().as_strided((3,), (2,)))  # fmt: skip
case("as_strided, overlapping", [(5,)], lambda x: np.stack([x[:3], x[1:4], x[2:]]),
     call=lambda m, x: m.as_strided(x.contiguous(), (3, 3), (1, 1)))  # fmt: skip
case("select_scatter", [((3, 4), (3,))], lambda x, s: written(x, (slice(None), -1), s), 1, -1)
case("slice_scatter", [((3, 4), (3, 2))], lambda x, s: written(x, np.s_[:, 1::2], s),
     1, 1, None, 2)  # fmt: skip
case("diagonal_scatter", [((3, 4), (3,))],
     lambda x, s: written(x, ([0, 1, 2], [1, 2, 3]), s), 1)  # fmt: skip

# Order statistics.
case("kthvalue", [(3, 4), (4,), (2, 3, 4)],
     lambda x: (np.sort(x)[..., 1], np.argsort(x)[..., 1]), 2)  # fmt: skip
case("nanmedian", [(5,), (2, 3)], lambda x: np.sort(x.reshape(-1))[(x.size - 1) // 2])
case("mode", [(6,)], lambda x: (x.min(), x.argmin()))
case("aminmax", [(3, 4), (5,), ()], lambda x: (x.min(), x.max()))
case("aminmax", [(3, 4)], lambda x: (x.min(1), x.max(1)), dim=1)
case("dsplit", [(2, 1, 3)], lambda x: (x[..., :2], x[..., 2:]), [2])

# Names at the front that scripts type.
def vander(m, x, n, increasing):  # type: ignore[no-untyped-def]
    """PyTorch's refuses its own backward: there it is made of powers."""
    if m.__name__ == "minigrad":
        return m.vander(x, n, increasing)
    powers = m.stack([x**k for k in range(n)], 1)
    return powers if increasing else powers.flip(1)


case("inner", [((3, 4), (4,)), ((2, 3, 4), (5, 4)), ((4,), (4,)), ((0, 4), (2, 4))], np.inner)
case("inner", [((), (3,)), ((2, 2), ())], np.multiply)
case("ldexp", [((3, 4), (4,)), ((), ())], lambda x, y: x * 2.0**y)
case("msort", [(3, 4), (2, 3, 2)], lambda x: np.sort(x, 0))
for n, increasing in ((3, False), (5, True), (2, False), (1, True)):
    case("vander", [(3,), (5,)], lambda x, n=n, i=increasing: np.vander(x, n, i),
         call=lambda m, x, n=n, i=increasing: vander(m, x, n, i))  # fmt: skip
case("chain_matmul", [((2, 3), (3, 4), (4, 2))], lambda x, y, z: x @ y @ z)
case("row_stack", [((2, 3), (3,))], lambda x, y: np.vstack((x, y)),
     call=lambda m, x, y: m.row_stack((x, y)))  # fmt: skip
case("split_with_sizes", [(4, 2)], lambda x: tuple(np.split(x, (1,))), [1, 3])
case("qr", [(3, 3), (4, 2), (2, 3, 3)], lambda x: tuple(np.linalg.qr(x)))
case(".fill_diagonal_", [(3, 3), (4, 2)],
     lambda x: written(x, np.diag_indices(min(x.shape)), 3.0),
     call=lambda m, x: (x * 1).fill_diagonal_(3.0))  # fmt: skip
for name, f in (("vecdot", lambda x, y: (x * y).sum(-1)), ("cond", lambda x: np.linalg.cond(x))):
    case(name, [(3, 3), (2, 4, 2)] if name == "cond" else [((2, 3), (3,)), ((3,), (3,))], f,
         call=lambda m, *x, name=name: getattr(m.linalg, name)(*x))  # fmt: skip

# Sums of a kind, and parts of bounded norm.
def trapezoids(x, dx, axis):  # type: ignore[no-untyped-def]
    x = np.moveaxis(x, axis, -1)
    return np.moveaxis(dx * (x[..., 1:] + x[..., :-1]) / 2, -1, axis)


case("trapezoid", [(3, 4), (4,), (0, 3)], lambda x: trapezoids(x, 1, -1).sum(-1))
case("trapezoid", [(3, 4)], lambda x: trapezoids(x, 2.0, 0).sum(0), dx=2.0, dim=0)
case("trapz", [((3, 4), (4,)), ((3, 4), (3, 4)), ((2, 3, 4), (3, 4)), ((2, 1), (1,))],
     lambda y, x: (np.diff(x) * trapezoids(y, 1, -1)).sum(-1))  # fmt: skip
case("cumulative_trapezoid", [(3, 4), (2, 1), (2, 0)],
     lambda x: trapezoids(x, 1, -1).cumsum(-1))  # fmt: skip
case("cumulative_trapezoid", [((3, 4), (3,)), ((3, 4), (3, 4))],
     lambda y, x: (trapezoids(y, 1, 0) * np.diff(x.reshape(3, -1), axis=0)).cumsum(0),
     dim=0)  # fmt: skip
for size, axes in (((4,), (0, 1)), ((3, 1), (0, 2)), ((2, 1, 1), (1, 2)), ((), (0, 1, 2))):
    case(".sum_to_size", [(2, 3, 4)],
         lambda x, a=axes, s=size: x.sum(a).reshape(s), size)  # fmt: skip
case(".sum_to_size", [(2, 0)], lambda x: np.zeros((1, 1)), 1, 1)


def bounded(x, p, axis, most):  # type: ignore[no-untyped-def]
    others = tuple(i for i in range(x.ndim) if i != axis)
    size = (np.abs(x) ** p).sum(others, keepdims=True) ** (1 / p)
    return np.where(size > most, x * most / (size + 1e-7), x)


for p, axis, most in ((2.0, 0, 1.0), (1.5, 1, 2.5), (1.0, 0, 100.0)):
    case("renorm", [(3, 4), (2, 3, 2), (0, 3)], lambda x, a=(p, axis, most): bounded(x, *a),
         p, axis, most)  # fmt: skip


def hurwitz(s, x):  # type: ignore[no-untyped-def]
    """By its first 20000 terms, and half of the next and the integral of the rest."""
    z = x + 20000
    return sum((x + k) ** -s for k in range(20000)) + z ** (1 - s) / (s - 1) + z**-s / 2


for n in (2, 5):  # PyTorch's first derivative of digamma is good to 1e-9 only
    case("polygamma", [(2, 3), ()],
         lambda x, n=n: (-1) ** (n + 1) * math.factorial(n) * hurwitz(n + 1.0, x),
         call=lambda m, x, n=n: m.polygamma(n, x), domain="positive")  # fmt: skip
case("special.polygamma", [(2, 3)], lambda x: -2 * hurwitz(3.0, x),
     call=lambda m, x: m.special.polygamma(2, x), domain="positive")  # fmt: skip


def power_pooled(x, p, kernel, step):  # type: ignore[no-untyped-def]
    axes = tuple(range(-len(kernel), 0))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axes)
    every = (..., *[slice(None, None, s) for s in step], *[slice(None)] * len(kernel))
    return (windows[every] ** p).sum(axes) ** (1 / p)


case("F.lp_pool1d", [(2, 3, 5), (3, 4), (0, 2, 4)],
     lambda x: power_pooled(x, 2, (2,), (2,)), 2, 2)  # fmt: skip
case("F.lp_pool2d", [(2, 3, 4, 5), (2, 4, 4), (0, 2, 4, 4)],
     lambda x: power_pooled(x, 1.5, (2, 3), (1, 1)), 1.5, (2, 3), 1,
     domain="positive")  # fmt: skip
case("F.lp_pool3d", [(1, 2, 4, 4, 2)], lambda x: power_pooled(x, 3, (2, 2, 2), (2, 2, 2)), 3, 2,
     domain="positive")  # fmt: skip
case("F.lp_pool2d", [(1, 2, 4, 4)], lambda x: np.abs(x).reshape(1, 2, 2, 2, 2, 2).max((3, 5)),
     np.inf, 2)  # fmt: skip


def permuted(m, x):  # type: ignore[no-untyped-def]
    """P·L·U and L, of matrices whose pivots are known: the largest of a column stands first."""
    P, L, U = m.linalg.lu(x)
    again = m.lu_unpack(*m.linalg.lu_factor(x))
    return P @ L @ U, again[1] * 2, U.sum(-1)


case("linalg.lu", [(1, 1), (2, 1, 1)], lambda x: (x, 2 + 0 * x, x.sum(-1)), call=permuted)


def unpacked(m, x):  # type: ignore[no-untyped-def]
    P, L, U = m.lu_unpack(*m.linalg.lu_factor(x))
    return P @ L @ U


case("lu_unpack", [(1, 1), (2, 1, 1), (3, 1), (2, 1, 4)], lambda x: x, call=unpacked)
