"""The part of CASES with images read by grids, sequences without places in time, and tables."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
from cases_more import cubic, nearest, resized, tent
from sampling import case

rng = np.random.default_rng(8)


# Images read between their elements: of the image grown by its border on all sides, each element
# counts by the kernel at its distance from the place.
def sampled(x, grid, kernel, border, align):  # type: ignore[no-untyped-def]
    margin, axes = 20, x.ndim - 2
    mode = {"zeros": "constant", "border": "edge",
            "reflection": "reflect" if align else "symmetric"}  # fmt: skip
    sizes = x.shape[2:]
    x = np.pad(x, [(0, 0), (0, 0), *[(margin, margin)] * axes], mode[border])
    out = np.zeros((*x.shape[:2], *grid.shape[1:-1]))
    for n, *where in np.ndindex(grid.shape[:-1]):
        picked = x[n]
        for size, to in zip(sizes, grid[(n, *where)][::-1], strict=True):
            place = (to + 1) / 2 * (size - 1) if align else ((to + 1) * size - 1) / 2
            ways = place - (np.arange(picked.shape[1]) - margin)
            weights = np.array([kernel(way) for way in ways])
            picked = np.tensordot(picked, weights, (1, 0))
        out[(n, slice(None), *where)] = picked
    return out


box = lambda d: float(abs(d) < 0.5)  # noqa: E731
PLANES = [((2, 3, 3, 4), (2, 2, 5, 2)), ((1, 1, 2, 5), (1, 3, 1, 2))]
VOLUMES = [((2, 1, 2, 3, 4), (2, 2, 1, 3, 3))]
for border, align in itertools.product(("zeros", "border", "reflection"), (False, True)):
    options = {"padding_mode": border, "align_corners": align}
    for mode, kernel in (("bilinear", tent), ("nearest", box), ("bicubic", cubic)):
        case("F.grid_sample", PLANES + (VOLUMES if mode != "bicubic" else []),
             lambda x, g, k=kernel, b=border, a=align: sampled(x, g, k, b, a),
             mode=mode, **options)  # fmt: skip
case("F.grid_sample", [((0, 2, 3, 4), (0, 2, 5, 2)), ((2, 0, 3, 4), (2, 2, 5, 2))],
     lambda x, g: np.zeros((*x.shape[:2], 2, 5)), align_corners=False)  # fmt: skip


def moved(theta, size, align):  # type: ignore[no-untyped-def]
    out = np.zeros((size[0], *size[2:], len(theta[0])))
    for n, *where in np.ndindex(out.shape[:-1]):
        at = [2 * i / max(m - 1, 1) - 1 if align else (2 * i + 1) / m - 1
              for i, m in zip(where, size[2:], strict=True)]  # fmt: skip
        out[(n, *where)] = theta[n] @ [*at[::-1], 1]
    return out


for align in (False, True):
    for size in ((2, 3, 4, 2), (2, 1, 3, 2, 5)):
        case("F.affine_grid", [(2, len(size) - 2, len(size) - 1)],
             lambda t, s=size, a=align: moved(t, s, a), size, align)  # fmt: skip


# Every path through the labels, said one by one.
def said(x, targets, times, blank):  # type: ignore[no-untyped-def]
    losses = []
    for n, (target, t) in enumerate(zip(targets, times, strict=True)):
        total = 0.0
        for path in itertools.product(range(x.shape[2]), repeat=t):
            if [k for k, _ in itertools.groupby(path) if k != blank] == target:
                total += math.exp(sum(x[i, n, k] for i, k in enumerate(path)))
        losses.append(-math.log(total) if total else math.inf)
    return np.array(losses)


log_softmax = lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True))  # noqa: E731
TARGETS, SIZES, TIMES = [[1, 1], [2], [], [0, 2]], [2, 1, 0, 2], [5, 3, 4, 2]
for blank, targets in ((3, TARGETS), (0, [[1, 1], [2], [], [3, 2]])):
    for flat in (False, True):
        joined = [label for target in targets for label in target]
        labels = joined if flat else [(t + [1, 1])[:2] for t in targets]
        for reduction, f in (("none", np.copy), ("sum", np.sum),
                             ("mean", lambda v: np.mean(v / np.maximum(SIZES, 1)))):  # fmt: skip
            case("F.ctc_loss", [(5, 4, 4)],
                 lambda x, t=targets, b=blank, f=f: f(said(log_softmax(x), t, TIMES, b)),
                 call=lambda m, x, v=labels, b=blank, r=reduction: m.nn.functional.ctc_loss(
                     m.nn.functional.log_softmax(x, -1), m.tensor(v), m.tensor(TIMES),
                     m.tensor(SIZES), b, r))  # fmt: skip
case("F.ctc_loss", [(4, 3)], lambda x: said(log_softmax(x)[:, None], [[1, 2]], [4], 0)[0] / 2,
     call=lambda m, x: m.nn.functional.ctc_loss(
         m.nn.functional.log_softmax(x, -1), m.tensor([1, 2]), m.tensor(4),
         m.tensor(2)))  # fmt: skip
case("F.ctc_loss", [(2, 2, 3)], lambda x: np.array([0.0, -log_softmax(x)[0, 1, 2]]),
     call=lambda m, x: m.nn.functional.ctc_loss(
         m.nn.functional.log_softmax(x, -1), m.tensor([[1, 1], [2, 1]]), m.tensor([2, 1]),
         m.tensor([2, 1]), reduction="none", zero_infinity=True))  # fmt: skip


# Bags of rows.
NAMED = [0, 2, 2, 4, 1, 2, 0]


def bags(w, named, starts, how, padding=None, factors=None):  # type: ignore[no-untyped-def]
    out = np.zeros((len(starts), w.shape[1]))
    for b, (first, end) in enumerate(itertools.pairwise([*starts, len(named)])):
        kept = [k for k in range(first, end) if named[k] != padding]
        rows = [w[named[k]] * (1 if factors is None else factors[k]) for k in kept]
        if rows:
            out[b] = getattr(np, how)(rows, axis=0)
    return out


def call_bags(m, w, named, starts, **options):  # type: ignore[no-untyped-def]
    starts = None if starts is None else m.tensor(starts)
    return m.nn.functional.embedding_bag(m.tensor(named), w, starts, **options)


for how in ("sum", "mean", "max"):
    for padding in (None, 2):
        case("F.embedding_bag", [(5, 3), (6, 1)],
             lambda w, h=how, p=padding: bags(w, NAMED, [0, 3, 3], h, p),
             call=lambda m, w, h=how, p=padding: call_bags(
                 m, w, NAMED, [0, 3, 3], mode=h, padding_idx=p))  # fmt: skip
    case("F.embedding_bag", [(5, 3)], lambda w, h=how: bags(w, NAMED[:6], [0, 3], h),
         call=lambda m, w, h=how: call_bags(
             m, w, [NAMED[:3], NAMED[3:6]], None, mode=h))  # fmt: skip
    case("F.embedding_bag", [(5, 3)], lambda w, h=how: bags(w, NAMED, [0, 2], h),
         call=lambda m, w, h=how: call_bags(
             m, w, NAMED, [0, 2, 7], mode=h, include_last_offset=True))  # fmt: skip
case("F.embedding_bag", [((5, 3), (7,))],
     lambda w, p: bags(w, NAMED, [0, 3, 3], "sum", 2, p),
     call=lambda m, w, p: call_bags(
         m, w, NAMED, [0, 3, 3], mode="sum", per_sample_weights=p, padding_idx=2))  # fmt: skip

for p in (2, 1, 3, math.inf):
    case("F.pdist", [(4, 3), (2, 1), (1, 3)],
         lambda x, p=p: np.array([np.linalg.norm(x[i] - x[j], p) for i in range(len(x))
                                  for j in range(i + 1, len(x))]), p)  # fmt: skip
case("F.channel_shuffle", [(2, 6, 3), (1, 6, 2, 2), (0, 6, 2)], lambda x: np.concatenate(
    [x[:, i::3] for i in range(3)], 1), 2)  # fmt: skip


def old(name, *args):  # type: ignore[no-untyped-def]
    """A call by a name that both libraries warn of."""

    def call(m, x):  # type: ignore[no-untyped-def]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(m.nn.functional, name)(x, *args)

    return call


PLANE = [(2, 1, 3, 4)]
for name, args, f in (
    ("upsample", (6,), lambda x: nearest(x, (6, 6))),
    ("upsample_nearest", ((2, 3),), lambda x: nearest(x, (2, 3))),
    ("upsample_bilinear", (None, 2), lambda x: resized(x, (6, 8), tent, True)),
):
    case(f"F.{name}", PLANE, f, call=old(name, *args))
