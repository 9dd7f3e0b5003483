"""The part of CASES with attention, folding and resizing, three axes, and local normalisation."""

from __future__ import annotations

import math

import numpy as np
from sampling import case

rng = np.random.default_rng(6)


def attention(q, k, v, mask=0.0, scale=None):  # type: ignore[no-untyped-def]
    """Row by row."""
    stack = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (np.broadcast_to(x, stack + x.shape[-2:]) for x in (q, k, v))
    out = np.zeros(q.shape[:-1] + v.shape[-1:])
    mask = np.broadcast_to(mask, (*out.shape[:-1], k.shape[-2]))
    for i in np.ndindex(out.shape[:-1]):
        z = mask[i] + [q[i] @ key * (scale or 1 / math.sqrt(q.shape[-1])) for key in k[i[:-1]]]
        p = [math.exp(a - max(z)) if a > -math.inf else 0.0 for a in z]
        for j, value in enumerate(v[i[:-1]]):
            out[i] += p[j] / (sum(p) or 1.0) * value
    return out


SDPA = "F.scaled_dot_product_attention"
QKV = [((3, 4), (5, 4), (5, 2)), ((2, 2, 3, 4), (2, 2, 3, 4), (2, 2, 3, 4)),
       ((2, 2, 3, 4), (1, 2, 5, 4), (2, 1, 5, 3)), ((1, 1), (1, 1), (1, 1))]  # fmt: skip
SEEN = rng.random((3, 5)) < 0.5
SEEN[1] = False  # a query that may look nowhere
case(SDPA, QKV, attention)
case(SDPA, [((0, 4), (5, 4), (5, 2)), ((0, 3, 4), (0, 5, 4), (0, 5, 2))],
     lambda q, k, v: np.zeros((*q.shape[:-1], 2)))  # fmt: skip
case(SDPA, QKV[:1], lambda q, k, v: attention(q, k, v, scale=0.3), scale=0.3)
case(SDPA, [((2, 3, 4), (2, 5, 4), (2, 5, 2))],
     lambda q, k, v: attention(q, k, v, np.where(SEEN, 0, -np.inf)), SEEN)  # fmt: skip
case(SDPA, QKV[:2], lambda q, k, v: attention(
    q, k, v, np.where(np.tri(len(q.T[0].T) if q.ndim < 3 else 3, k.shape[-2]), 0, -np.inf)),
     is_causal=True)  # fmt: skip
case(SDPA, [((2, 3, 4), (2, 5, 4), (2, 5, 2), (3, 5)), ((2, 3, 4), (2, 5, 4), (2, 5, 2), (1, 5))],
     attention)  # fmt: skip
case(SDPA, [((1, 4, 3, 2), (1, 2, 3, 2), (1, 2, 3, 2))], lambda q, k, v: attention(
    q, k.repeat(2, 1), v.repeat(2, 1)), enable_gqa=True)  # fmt: skip


def heads(q, k, v, w, b, out_w, out_b):  # type: ignore[no-untyped-def]
    """Two heads of two features: (L, N, 4) as (N, 2, L, 2), and back."""
    parts = [x @ w[4 * i : 4 * i + 4].T + b[4 * i : 4 * i + 4] for i, x in enumerate((q, k, v))]
    parts = [np.moveaxis(x.reshape(*x.shape[:2], 2, 2), 0, 2) for x in parts]
    y = np.moveaxis(attention(*parts), 2, 0)
    return y.reshape(*y.shape[:2], 4) @ out_w.T + out_b


MAPS = ((12, 4), (12,), (4, 4), (4,))
for asked in (True, False):
    case("F.multi_head_attention_forward", [((3, 2, 4), (5, 2, 4), (5, 2, 4), *MAPS),
         ((1, 1, 4), (1, 1, 4), (1, 1, 4), *MAPS), ((2, 0, 4), (3, 0, 4), (3, 0, 4), *MAPS)], heads,
         call=lambda m, q, k, v, w, b, out_w, out_b, asked=asked:
         m.nn.functional.multi_head_attention_forward(
             q, k, v, 4, 2, w, b, None, None, False, 0.0, out_w, out_b, need_weights=asked)[0],
    )  # fmt: skip


# Windows as columns, and back.
def columns(x, kernel, dilation, padding, stride):  # type: ignore[no-untyped-def]
    """Window by window, tap by tap."""
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    starts = [range(0, x.shape[i + 2] - dilation[i] * (kernel[i] - 1), stride[i]) for i in (0, 1)]
    taps = [(c, i, j) for c in range(x.shape[1]) for i in range(kernel[0])
            for j in range(kernel[1])]  # fmt: skip
    places = [(a, b) for a in starts[0] for b in starts[1]]
    out = np.zeros((len(x), len(taps), len(places)))
    for t, (c, i, j) in enumerate(taps):
        for p, (a, b) in enumerate(places):
            out[:, t, p] = x[:, c, a + i * dilation[0], b + j * dilation[1]]
    return out


def folded(y, size, *settings):  # type: ignore[no-untyped-def]
    """The columns' adjoint: that of a matrix, whose columns are those of unit planes."""
    c = y.shape[1] // math.prod(settings[0])
    units = np.eye(c * math.prod(size)).reshape(-1, c, *size)
    matrix = columns(units, *settings).reshape(len(units), -1)
    return (y.reshape(len(y), -1) @ matrix.T).reshape(len(y), c, *size)


def shuffled(x, r):  # type: ignore[no-untyped-def]
    *stack, c, h, w = x.shape
    out = np.zeros((*stack, c // r**2, h * r, w * r))
    for k, i, j in np.ndindex(c // r**2, h * r, w * r):
        out[..., k, i, j] = x[..., k * r**2 + i % r * r + j % r, i // r, j // r]
    return out


def unshuffled(x, r):  # type: ignore[no-untyped-def]
    *stack, c, h, w = x.shape
    out = np.zeros((*stack, c * r**2, h // r, w // r))
    for k, i, j in np.ndindex(c, h, w):
        out[..., k * r**2 + i % r * r + j % r, i // r, j // r] = x[..., k, i, j]
    return out


for settings in [((2, 3), (1, 1), (0, 0), (1, 1)), ((2, 2), (2, 1), (1, 2), (2, 1)),
                 ((1, 1), (1, 1), (0, 0), (3, 2)), ((3, 2), (1, 2), (2, 1), (1, 3))]:  # fmt: skip
    case("F.unfold", [(2, 3, 5, 6), (1, 1, 4, 5)],
         lambda x, s=settings: columns(x, *s), *settings)  # fmt: skip
    shape = columns(np.zeros((2, 3, 5, 6)), *settings).shape
    case("F.fold", [shape, (1, shape[1] // 3, shape[2])],
         lambda y, s=settings: folded(y, (5, 6), *s), (5, 6), *settings)  # fmt: skip
plain = (2, 2), (1, 1), (0, 0), (1, 1)
case("F.unfold", [(3, 4, 4)], lambda x: columns(x[None], *plain)[0], 2)
case("F.unfold", [(0, 3, 4, 4)], lambda x: np.zeros((0, 12, 9)), 2)
case("F.fold", [(12, 9)], lambda y: folded(y[None], (4, 4), *plain)[0], 4, 2)
case("F.fold", [(0, 12, 9)], lambda y: np.zeros((0, 3, 4, 4)), (4, 4), (2, 2))
case("F.pixel_shuffle", [(2, 8, 3, 2), (4, 1, 1), (2, 1, 4, 2, 3), (0, 4, 2, 2)],
     lambda x: shuffled(x, 2), 2)  # fmt: skip
case("F.pixel_shuffle", [(1, 3, 2, 2)], lambda x: x, 1)
case("F.pixel_unshuffle", [(2, 2, 6, 4)], lambda x: unshuffled(x, 2), 2)
case("F.pixel_unshuffle", [(1, 3, 6), (1, 2, 1, 3, 3)], lambda x: unshuffled(x, 3), 3)
for size, step in ((2, 1), (2, 3), (1, 2), (4, 1), (0, 1)):
    case(".unfold", [(4, 5), (5, 4, 2)], lambda x, n=size, s=step: np.stack(
        [x[i : i + n] for i in range(0, len(x) - n + 1, s)]).transpose(
            0, *range(2, x.ndim + 1), 1), 0, size, step)  # fmt: skip
case(".unfold", [(3, 7)], lambda x: np.stack([x[:, i : i + 3] for i in (0, 2, 4)], 1), -1, 3, 2)
case(".unfold", [()], lambda x: x[None], 0, 1, 1)


# Resizing: sums over the input's elements, of weights that their distances give.
def resized(x, size, kernel, align=False, factors=None):  # type: ignore[no-untyped-def]
    for axis, m in enumerate(size, 2):
        n, out = x.shape[axis], []
        scale = 1 / factors[axis - 2] if factors else n / m
        for i in range(m):
            place = (n - 1) / max(m - 1, 1) * i if align else (i + 0.5) * scale - 0.5
            out.append(sum(np.take(x, min(max(j, 0), n - 1), axis) * kernel(place - j)
                           for j in range(-3, n + 3)))  # fmt: skip
        x = np.stack(out, axis)
    return x


def tent(d):  # type: ignore[no-untyped-def]
    return max(0.0, 1 - abs(d))


def cubic(d, a=-0.75):  # type: ignore[no-untyped-def]
    d = abs(d)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def nearest(x, size):  # type: ignore[no-untyped-def]
    for axis, m in enumerate(size, 2):
        x = np.take(x, [i * x.shape[axis] // m for i in range(m)], axis)
    return x


SIZES = [(2, 2, 3, 4), (1, 1, 5, 2), (1, 2, 1, 1)]
for size in ((3, 4), (6, 8), (2, 3), (7, 3), (1, 1)):
    case("F.interpolate", SIZES, lambda x, s=size: nearest(x, s), size)
    for mode, kernel in (("bilinear", tent), ("bicubic", cubic)):
        for align in (False, True):
            case("F.interpolate", SIZES, lambda x, s=size, k=kernel, a=align: resized(x, s, k, a),
                 size, mode=mode, align_corners=align)  # fmt: skip
case("F.interpolate", [(2, 2, 5)], lambda x: nearest(x, (8,)), 8)
case("F.interpolate", [(2, 2, 5)], lambda x: nearest(x, (10,)), scale_factor=2)
case("F.interpolate", [(2, 2, 5)], lambda x: resized(x, (8,), tent), 8, mode="linear")
case("F.interpolate", [(2, 2, 5)], lambda x: resized(x, (7,), tent, factors=[1.5]),
     scale_factor=1.5, mode="linear")  # fmt: skip
case("F.interpolate", [(2, 2, 5)], lambda x: resized(x, (7,), tent), scale_factor=1.5,
     mode="linear", recompute_scale_factor=True)  # fmt: skip
case("F.interpolate", [(1, 2, 2, 3, 2)], lambda x: nearest(x, (3, 2, 4)), (3, 2, 4))
case("F.interpolate", [(1, 2, 2, 3, 2)], lambda x: resized(x, (3, 4, 2), tent), (3, 4, 2),
     mode="trilinear")  # fmt: skip
case("F.interpolate", [(1, 1, 4, 5)], lambda x: x[:, :, [0, 2, 3]][..., [0, 2, 4]], 3,
     mode="nearest-exact")  # fmt: skip
case("F.interpolate", [(0, 2, 3, 3)], lambda x: np.zeros((0, 2, 2, 2)), 2)


def by_neighbours(x, size, alpha=1e-4, beta=0.75, k=1.0):  # type: ignore[no-untyped-def]
    out = np.zeros_like(x)
    for c in range(x.shape[1]):
        low, high = max(0, c - size // 2), c + (size - 1) // 2 + 1
        out[:, c] = x[:, c] / (k + alpha * (x[:, low:high] ** 2).sum(1) / size) ** beta
    return out


for size in (1, 2, 5):
    case("F.local_response_norm", [(2, 4, 3), (1, 3, 2, 2), (0, 2, 2)],
         lambda x, n=size: by_neighbours(x, n, 2.0), size, 2.0)  # fmt: skip
case("F.local_response_norm", [(2, 4, 3)], lambda x: by_neighbours(x, 3, 0.5, 0.6, 2.0),
     3, alpha=0.5, beta=0.6, k=2.0)  # fmt: skip


# Three spatial axes.
def conv3d(x, w, b=None, s=(1, 1, 1), p=(0, 0, 0), d=(1, 1, 1), g=1):  # type: ignore[no-untyped-def]
    x = np.pad(x, [(0, 0), (0, 0), *((n, n) for n in p)])
    size = [(n - d * (k - 1) - 1) // s + 1
            for n, k, s, d in zip(x.shape[2:], w.shape[2:], s, d, strict=True)]  # fmt: skip
    out = np.zeros((len(x), len(w), *size))
    for o, c in np.ndindex(w.shape[:2]):
        for tap in np.ndindex(w.shape[2:]):
            at = [slice(t * d, t * d + (n - 1) * s + 1, s)
                  for t, n, s, d in zip(tap, size, s, d, strict=True)]  # fmt: skip
            channel = o // (len(w) // g) * w.shape[1] + c
            out[:, o] += w[(o, c, *tap)] * x[(slice(None), channel, *at)]
    return out if b is None else out + b.reshape(-1, 1, 1, 1)


for settings in [((1, 1, 1), (0, 0, 0), (1, 1, 1), 1), ((2, 1, 2), (1, 0, 2), (1, 2, 1), 2),
                 ((1, 2, 1), (1, 1, 0), (2, 1, 1), 1)]:  # fmt: skip
    options = dict(zip(("stride", "padding", "dilation", "groups"), settings, strict=True))
    weight = (4, 2 // settings[3], 2, 3, 2)
    case("F.conv3d", [((2, 2, 4, 5, 3), weight), ((2, 2, 4, 5, 3), weight, (4,))],
         lambda x, w, b=None, s=settings: conv3d(x, w, b, *s), **options)  # fmt: skip
case("F.conv3d", [((2, 3, 4, 3), (1, 2, 2, 2, 2))], lambda x, w: conv3d(x[None], w)[0])
case("F.conv3d", [((0, 2, 3, 3, 3), (3, 2, 2, 2, 2))], lambda x, w: np.zeros((0, 3, 2, 2, 2)))
case("F.conv3d", [((1, 1, 3, 3, 4), (2, 1, 3, 1, 3))],
     lambda x, w: conv3d(x, w, p=(1, 0, 1)), padding="same")  # fmt: skip
case("F.conv3d", [((1, 1, 3, 3, 4), (2, 1, 2, 1, 3))], lambda x, w: conv3d(
    np.pad(x, [(0, 0), (0, 0), (0, 1), (0, 0), (1, 1)]), w), padding="same")  # fmt: skip
case("F.conv3d", [((1, 1, 3, 3, 4), (2, 1, 2, 1, 3))], conv3d, padding="valid")


def conv_transpose(x, w, b=None, s=1, p=0, e=0, g=1, d=1):  # type: ignore[no-untyped-def]
    """Every input element paints the kernel, times its value, onto the output."""
    spatial, per_group = x.shape[2:], w.shape[1]
    whole = [(n - 1) * s + d * (k - 1) + e + p + 1
             for n, k in zip(spatial, w.shape[2:], strict=True)]  # fmt: skip
    y = np.zeros((len(x), per_group * g, *whole), np.result_type(x, w))
    for c, *place in np.ndindex(x.shape[1:]):
        first = c // (x.shape[1] // g) * per_group
        for tap in np.ndindex(w.shape[2:]):
            at = tuple(i * s + k * d for i, k in zip(place, tap, strict=True))
            value = x[(slice(None), c, *place)][:, None] * w[(c, slice(None), *tap)]
            y[(slice(None), slice(first, first + per_group), *at)] += value
    y = y[(..., *(slice(p, n - 2 * p) for n in whole))]
    return y if b is None else y + b.reshape(-1, *(1,) * len(spatial))


for s, p, e, g, d in [(1, 0, 0, 1, 1), (2, 1, 1, 2, 1), (3, 1, 2, 1, 2)]:
    options = {"stride": s, "padding": p, "output_padding": e, "groups": g, "dilation": d}
    for axes in (1, 3):
        size, weight = (3, 2, 3)[:axes], (2 * g, 2, *(3, 2, 1)[:axes])
        case(f"F.conv_transpose{axes}d",
             [((2, 2 * g, *size), weight), ((2, 2 * g, *size), weight, (2 * g,))],
             lambda x, w, b=None, o=(s, p, e, g, d): conv_transpose(x, w, b, *o),
             **options)  # fmt: skip
case("F.conv_transpose3d", [((2, 3, 2, 2), (2, 1, 2, 1, 2))],
     lambda x, w: conv_transpose(x[None], w)[0])  # fmt: skip
case("F.conv_transpose3d", [((0, 2, 3, 3, 3), (2, 3, 2, 2, 2))],
     lambda x, w: np.zeros((0, 3, 4, 4, 4)))  # fmt: skip


def pool3d(x, f, k, s=None, p=(0, 0, 0), d=(1, 1, 1), ceil=False):  # type: ignore[no-untyped-def]
    """f of the elements of each window, and of how many it has with its padding."""
    s = s or k
    starts = []
    for n, k_, s_, p_, d_ in zip(x.shape[-3:], k, s, p, d, strict=True):
        room = n + 2 * p_ - d_ * (k_ - 1) - 1
        count = (-(-room // s_) if ceil else room // s_) + 1
        starts.append([i * s_ - p_ for i in range(count) if not ceil or i * s_ - p_ < n])
    out = np.zeros((*x.shape[:-3], *map(len, starts)))
    for i in np.ndindex(out.shape):
        taps, whole = [], 1
        for axis in range(3):
            first, n = starts[axis][i[axis - 3]], x.shape[axis - 3]
            taps.append([t for t in range(first, first + k[axis] * d[axis], d[axis]) if 0 <= t < n])
            whole *= min(first + k[axis], n + p[axis]) - first
        out[i] = f(x[(*i[:-3], *np.ix_(*taps))], whole)
    return out


VOLUMES = [(2, 2, 5, 4, 6), (2, 3, 4, 3)]
for k, s, p, d, ceil in [
    ((2, 2, 2), None, (0, 0, 0), (1, 1, 1), False),
    ((2, 3, 2), (1, 2, 2), (1, 1, 0), (1, 1, 1), True),
    ((3, 2, 2), (2, 1, 3), (1, 0, 1), (1, 2, 1), False),
]:  # fmt: skip
    case("F.max_pool3d", VOLUMES, lambda x, k=k, s=s, p=p, d=d, c=ceil: pool3d(
        x, lambda v, n: v.max(), k, s, p, d, c), k, s, p, d, ceil)  # fmt: skip
    if d == (1, 1, 1):
        case("F.avg_pool3d", VOLUMES, lambda x, k=k, s=s, p=p, c=ceil: pool3d(
            x, lambda v, n: v.sum() / n, k, s, p, (1, 1, 1), c), k, s, p, ceil)  # fmt: skip
        case("F.avg_pool3d", VOLUMES, lambda x, k=k, s=s, p=p, c=ceil: pool3d(
            x, lambda v, n: v.mean(), k, s, p, (1, 1, 1), c), k, s, p, ceil, False)  # fmt: skip
        case("F.avg_pool3d", VOLUMES[:1], lambda x, k=k, s=s, p=p, c=ceil: pool3d(
            x, lambda v, n: v.sum() / 3, k, s, p, (1, 1, 1), c),
             k, s, p, ceil, True, 3)  # fmt: skip
case("F.max_pool3d", [(1, 2, 4, 4, 4)], lambda x: pool3d(x, lambda v, n: v.max(), (2, 2, 2)), 2,
     domain="ties")  # fmt: skip
case("F.max_pool3d", [(0, 2, 4, 4, 4)], lambda x: np.zeros((0, 2, 2, 2, 2)), 2)
case("F.avg_pool3d", [(0, 2, 4, 4, 4)], lambda x: np.zeros((0, 2, 2, 2, 2)), 2)


def cells(x, sizes):  # type: ignore[no-untyped-def]
    for axis, m in zip(range(x.ndim - len(sizes), x.ndim), sizes, strict=True):
        n = x.shape[axis]
        x = np.stack([np.take(x, range(i * n // m, -(-(i + 1) * n // m)), axis).mean(axis)
                      for i in range(m)], axis)  # fmt: skip
    return x


for size in ((1, 1, 1), (2, 3, 4), (5, 4, 6), (3, 2, 7)):
    case("F.adaptive_avg_pool3d", VOLUMES, lambda x, s=size: cells(x, s), size)
case("F.adaptive_avg_pool3d", VOLUMES[:1], lambda x: cells(x, (2, 4, 3)), (2, None, 3))
case("F.interpolate", [(2, 2, 5, 4, 6)], lambda x: cells(x, (2, 3, 4)), (2, 3, 4), mode="area")
for size in (1, 3, 5, 7):
    case("F.adaptive_avg_pool1d", [(2, 2, 5), (3, 5)], lambda x, s=size: cells(x, (s,)), size)
    case("F.interpolate", [(2, 2, 5)], lambda x, s=size: cells(x, (s,)), size, mode="area")
case("F.interpolate", [(2, 2, 5, 4)], lambda x: cells(x, (2, 3)), (2, 3), mode="area")
