"""The part of CASES with shapes, indexing, products, convolutions, norms and losses."""

from __future__ import annotations

import itertools

import naive
import numpy as np
from sampling import case, like, loops

rng = np.random.default_rng(5)
MASK = np.array([[True, False, True, False], [False] * 4, [True, True, False, True]])
WHERE = np.array([[0, 1], [2, 2], [0, 3]])
ROWS = np.array([0, 2, 2, 1])

# Shapes.
X = [(3, 4)]
case("reshape", [(3, 4), (2, 6), (12,)], lambda x: x.reshape(2, 6), (2, -1))
case("reshape", [(), (1, 1)], lambda x: x.reshape(1), (1,))
case("reshape", [(0, 3)], lambda x: x.reshape(3, 0), (3, 0))
case(".view", [(6,), (2, 3)], lambda x: x.reshape(3, 2), 3, 2)
case("flatten", [(3, 4), (), (2, 0)], np.ravel)
case("flatten", [(2, 3, 2)], lambda x: x.reshape(2, 6), 1)
case(".unflatten", X, lambda x: x.reshape(3, 2, 2), 1, (2, -1))
case("permute", [(2, 3, 4)], lambda x: x.transpose(2, 0, 1), (2, 0, -2))
for name in ("transpose", "swapaxes", "swapdims"):
    case(name, [(2, 3, 4), (0, 3, 2)], lambda x: np.swapaxes(x, 0, -1), 0, -1)
case("movedim", [(2, 3, 4)], lambda x: np.moveaxis(x, 0, -1), 0, -1)
case("movedim", [(2, 3, 4)], lambda x: np.moveaxis(x, (0, 1), (2, 0)), (0, 1), (2, 0))
case("t", [(3, 4), (3,), ()], np.transpose)
case("T", X, np.transpose, call=lambda m, x: x.T)
case("mT", [(2, 3, 4)], lambda x: x.swapaxes(1, 2), call=lambda m, x: x.mT)
case("squeeze", [(1, 3, 1), (3,), (), (1, 0)], np.squeeze)
case("squeeze", [(1, 3, 1), (2, 3, 1)], lambda x: x[..., 0], -1)
case("unsqueeze", [(3, 4), ()], lambda x: x[..., None], -1)
case(".expand", [(3, 1), (1, 4), (1,)], lambda x: np.broadcast_to(x, (2, 3, 4)), 2, 3, 4)
case(".expand", [(3, 1)], lambda x: np.broadcast_to(x, (3, 4)), -1, 4)
case("broadcast_to", [(3, 1), ()], lambda x: np.broadcast_to(x, (3, 4)), (3, 4))
case("broadcast_tensors", [((3, 1), (4,))], lambda x, y: tuple(np.broadcast_arrays(x, y)))
case(".contiguous", [(3, 4)], np.copy)
for name in ("cat", "concat", "concatenate"):
    case(name, [((2, 3), (1, 3)), ((2, 3), (2, 3)), ((0, 3), (2, 3))],
         lambda x, y: np.concatenate((x, y)),
         call=lambda m, x, y, f=name: getattr(m, f)([x, y]))  # fmt: skip
case("cat", [((2, 3), (2, 1))], lambda x, y: np.concatenate((x, y, x), 1),
     call=lambda m, x, y: m.cat((x, y, x), dim=-1))  # fmt: skip
for dim in (0, -1):
    case("stack", [((2, 3), (2, 3)), ((), ())], lambda x, y, d=dim: np.stack((x, y), d),
         call=lambda m, x, y, d=dim: m.stack([x, y], d))  # fmt: skip
case("split", [(5, 2), (4, 2)], lambda x: tuple(np.split(x, (2, 4)[: (len(x) - 1) // 2])), 2)
case("split", [(4, 5)], lambda x: tuple(np.split(x, (2, 2), 1)), [2, 0, 3], 1)
case("chunk", [(5, 2), (3, 2)], lambda x: tuple(np.array_split(x, 2)), 2)
case("unbind", [(3, 4), (2,)], lambda x: tuple(x))
case("unbind", X, lambda x: tuple(x.T), 1)
case("narrow", X, lambda x: x[:, 1:3], 1, 1, 2)
case("select", X, lambda x: x[:, -1], 1, -1)
for k in (0, 1, -2):
    case("diagonal", [(3, 4)], lambda x, k=k: np.diagonal(x, k), k)
    case("diag", [(3, 4), (3,)], lambda x, k=k: np.diag(x, k), k)
    case("triu", [(3, 4), (2, 3, 3)], lambda x, k=k: np.triu(x, k), k)
    case("tril", [(3, 4), (2, 3, 3)], lambda x, k=k: np.tril(x, k), k)
case("diagonal", [(2, 3, 4)], lambda x: np.diagonal(x, 1, 0, 2), 1, 0, 2)
case("flip", [(3, 4)], lambda x: x[::-1, ::-1], (0, -1))
case("flip", [(3, 4), (1,), (0, 2)], np.flipud, (0,))
case("roll", [(3, 4), (), (0, 3)], lambda x: np.roll(x, 2), 2)
case("roll", X, lambda x: np.roll(x, (1, -1), (0, 1)), (1, -1), (0, 1))
case("tile", [(3, 4), (4,), ()], lambda x: np.tile(x, (2, 3)), (2, 3))
case("tile", X, lambda x: np.tile(x, 2), (2,))
case(".repeat", [(3, 4), (4,), ()], lambda x: np.tile(x, (2, 1, 3)), 2, 1, 3)
case(".repeat", X, lambda x: np.tile(x, (0, 2)), 0, 2)
case("repeat_interleave", X, lambda x: np.repeat(x, 2, 1), 2, 1)
case("repeat_interleave", [(3, 4), ()], lambda x: np.repeat(x, 3), 3)
for order in ("ij", "xy"):
    case("meshgrid", [((2,), (3,))], lambda x, y, o=order: tuple(np.meshgrid(x, y, indexing=o)),
         indexing=order)  # fmt: skip
case("F.pad", X, lambda x: np.pad(x, ((0, 0), (1, 2))), (1, 2))
case("F.pad", X, lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=7)[:, 1:],
     (-1, 2, 1, 0), value=7)  # fmt: skip
IMAGE = [(1, 2, 3, 4), (2, 3, 4)]
for mode, by in [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]:
    case("F.pad", IMAGE, lambda x, b=by: np.pad(x, [(0, 0)] * (x.ndim - 2) + [(2, 1), (1, 2)], b),
         (1, 2, 2, 1), mode=mode)  # fmt: skip

# Indexing.
for index in [
    1, -1, slice(1, None), (slice(None), slice(0, 4, 2)), (0, 1), None, (Ellipsis, -1), slice(2, 1),
    (slice(None), None, 2), [0, 0, 2], (slice(None), [1, 1, 0]), ([0, 1, 2], [0, 3, 0]), MASK,
    (MASK[:, 0],), (np.array([[0], [2]]), np.array([1, 3])), (Ellipsis, [0, -1]),
]:  # fmt: skip
    case("getitem", [(3, 4)], lambda x, i=index: x[i], call=lambda m, x, i=index: x[i])
case("getitem", [(3, 4, 2)], lambda x: x[[0, 2], :, [1, 0]], call=lambda m, x: x[[0, 2], :, [1, 0]])
case("getitem", [(3, 4)], lambda x: x[:0], call=lambda m, x: x[[]])
case("getitem", [()], lambda x: x[None], call=lambda m, x: x[None])
case("gather", X, lambda x: np.take_along_axis(x, WHERE, 1), 1, WHERE)
case("gather", [(3, 4)], lambda x: x[WHERE[:, 0] % 3, [0, 1, 2]][None], 0, WHERE[:, 0][None] % 3)
case("index_select", [(3, 4), (3,)], lambda x: x[ROWS], 0, ROWS)
case("index_select", [(2, 4)], lambda x: x[:, ROWS], 1, ROWS)
case("take", [(3, 4)], lambda x: x.ravel()[WHERE], WHERE)
case("take_along_dim", [(3, 4)], lambda x: np.take_along_axis(x, WHERE, 1), WHERE, 1)
case("masked_fill", X, lambda x: np.where(MASK, 2.5, x), MASK, 2.5)
case("masked_fill", [((3, 4), ())], lambda x, v: np.where(MASK, v, x),
     call=lambda m, x, v: m.masked_fill(x, m.from_numpy(MASK), v))  # fmt: skip
case("masked_select", X, lambda x: x[MASK], MASK)


def scattered(x, s, add):  # type: ignore[no-untyped-def]
    out = np.array(x)
    for i, j in np.ndindex(2, 2):
        out[i, (1, 3)[j]] = s[i, j] + (out[i, (1, 3)[j]] if add else 0)
    return out


TO = np.array([[1, 3], [1, 3]])
for name in ("scatter", "scatter_add"):
    case(name, [((3, 4), (2, 2)), ((2, 4), (3, 3))],
         lambda x, s, a=name == "scatter_add": scattered(x, s, a),
         call=lambda m, x, s, f=name: getattr(m, f)(x, 1, m.from_numpy(TO), s))  # fmt: skip
case("F.embedding", [(4, 3), (4, 0)], lambda w: w[WHERE],
     call=lambda m, w: m.nn.functional.embedding(m.from_numpy(WHERE), w))  # fmt: skip
case("setitem", [((3, 4), (4,)), ((3, 4), ())], lambda x, v: np.concatenate((x[:1], x[1:] * 0 + v)),
     call=lambda m, x, v: written(x, slice(1, None), v))  # fmt: skip
case("setitem", [((3, 4), (2,))], lambda x, v: np.stack((x[0], x[1], [x[2, 0], *v, x[2, 3]])),
     call=lambda m, x, v: written(x, (2, [1, 2]), v))  # fmt: skip


def written(x, index, value):  # type: ignore[no-untyped-def]
    y = x * 1
    y[index] = value
    return y


# Products.
matmul = loops(naive.matmul)
case("matmul", [((2, 3), (3, 4)), ((3, 3), (3, 3)), ((5, 2, 3), (3, 4)), ((5, 1, 2, 3), (4, 3, 2)),
                ((2, 3), (5, 3, 2)), ((1, 1), (1, 1))], matmul)  # fmt: skip
case("matmul", [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((3,), (5, 3, 2)), ((5, 2, 3), (3,)),
                ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((0, 2, 3), (3, 2))], np.matmul)  # fmt: skip
case("matmul operator", [((2, 3), (3, 4))], matmul, call=lambda m, x, y: x @ y)
case("mm", [((2, 3), (3, 4)), ((3, 3), (3, 3))], matmul)
case("bmm", [((2, 2, 3), (2, 3, 4)), ((2, 3, 3), (2, 3, 3))], matmul)
case("mv", [((2, 3), (3,))], np.matmul)
case("dot", [((3,), (3,)), ((0,), (0,))], np.dot)
case("vdot", [((3,), (3,)), ((0,), (0,)), ((1,), (1,))], np.vdot)
case("outer", [((3,), (4,)), ((3,), (3,)), ((0,), (2,))], np.outer)
case("addmm", [((2, 4), (2, 3), (3, 4)), ((4,), (2, 3), (3, 4))], lambda c, a, b: c + a @ b)
case("addmm", [((2, 4), (2, 3), (3, 4))], lambda c, a, b: 0.5 * c + 2 * (a @ b), beta=0.5, alpha=2)
for equation, shapes in [
    ("ij,jk->ik", ((2, 3), (3, 4))), ("ii->i", ((3, 3),)), ("ii", ((3, 3),)), ("ij->", ((2, 3),)),
    ("ij->ji", ((2, 3),)), ("...ij,...jk->...ik", ((2, 2, 3), (3, 4))), ("i,j", ((2,), (3,))),
    ("bi,bj,ij->b", ((2, 3), (2, 4), (3, 4))), ("ij,ij", ((2, 3), (2, 3))),
    ("iij->j", ((2, 2, 3),)),
    ("...j->j...", ((2, 3, 4),)), ("b,bij->ij", ((2,), (2, 3, 4))), ("i->", ((4,),)),
    ("ij,kj->ik", ((0, 3), (2, 3))), ("iji->j", ((2, 3, 2),)),
]:  # fmt: skip
    case(f"einsum {equation}", [shapes], lambda *a, e=equation: np.asarray(np.einsum(e, *a)),
         call=lambda m, *a, e=equation: m.einsum(e, *a))  # fmt: skip
affine = lambda x, w, b=0.0: x @ w.T + b  # noqa: E731
case("F.linear", [((5, 3), (4, 3)), ((3,), (4, 3)), ((2, 5, 3), (4, 3)), ((0, 3), (4, 3))], affine)
case("F.linear", [((5, 3), (4, 3), (4,)), ((2, 5, 3), (4, 3), (4,)), ((5, 1), (1, 1), (1,)),
                  ((2, 3), (0, 3), (0,))], affine)  # fmt: skip
length = lambda x, d=1: np.sqrt((x * x).sum(d, keepdims=True))  # noqa: E731
case("F.cosine_similarity", [((3, 4), (3, 4))], lambda x, y: (x * y / length(x) / length(y)).sum(1))
case("F.normalize", [(3, 4), (2, 3, 4)], lambda x: x / length(x))
case("F.normalize", X, lambda x: x / np.abs(x).sum(0, keepdims=True), p=1.0, dim=0)

# Convolution and pooling.
for x, w, (s, p, d, g) in [
    ((2, 2, 5, 6), (3, 2, 3, 3), ((1, 1), (0, 0), (1, 1), 1)),
    ((2, 4, 5, 6), (6, 2, 3, 3), ((2, 1), (1, 2), (1, 1), 2)),
    ((1, 2, 7, 6), (4, 1, 2, 3), ((1, 2), (0, 2), (2, 1), 2)),
    ((1, 1, 1, 1), (1, 1, 1, 1), ((1, 1), (0, 0), (1, 1), 1)),
    ((3, 9, 8, 17), (16, 9, 3, 3), ((1, 1), (1, 1), (1, 1), 1)),
    ((2, 3, 5, 5), (2, 3, 1, 1), ((2, 2), (0, 0), (1, 1), 1)),
]:
    conv = lambda x, w, b=None, s=s, p=p, d=d, g=g: naive.conv2d(x, w, b, s, p, d, g)  # noqa: E731
    options = {"stride": s, "padding": p, "dilation": d, "groups": g}
    case("F.conv2d", [(x, w)], loops(conv), **options)
    case("F.conv2d", [(x, w, w[:1])], loops(conv), **options)


def conv1d(x, w, *rest):  # type: ignore[no-untyped-def]
    """Images of one row."""
    images = [[[line] for line in image] for image in x]
    kernels = [[[line] for line in kernel] for kernel in w]
    return [[plane[0] for plane in image] for image in naive.conv2d(images, kernels, *rest)]


case("F.conv1d", [((2, 3, 7), (4, 3, 3)), ((2, 3, 7), (4, 3, 3), (4,))], loops(conv1d))
case("F.conv1d", [((1, 2, 7), (4, 1, 3), (4,))],
     loops(lambda x, w, b: conv1d(x, w, b, (1, 2), (0, 1), (1, 2), 2)),
     stride=2, padding=1, dilation=2, groups=2)  # fmt: skip
case("F.conv2d", [((2, 5, 6), (3, 2, 3, 3))], loops(lambda x, w: naive.conv2d([x], w)[0]))
case("F.conv2d", [((0, 2, 5, 6), (3, 2, 3, 3))], lambda x, w: np.zeros((0, 3, 3, 4)))
case("F.conv2d", [((1, 2, 4, 5), (3, 2, 3, 5))],
     loops(lambda x, w: naive.conv2d(x, w, None, (1, 1), (1, 2))), padding="same")  # fmt: skip
case("F.conv2d", [((1, 2, 4, 5), (3, 2, 2, 4))], lambda x, w: loops(naive.conv2d)(
    np.pad(x, ((0, 0), (0, 0), (0, 1), (1, 2))), w), padding="same")  # fmt: skip
case("F.conv2d", [((1, 2, 4, 5), (3, 2, 2, 4))], loops(naive.conv2d), padding="valid")
for x, w, (s, p, e, g, d) in [
    ((2, 3, 3, 4), (3, 2, 3, 2), ((1, 1), (0, 0), (0, 0), 1, (1, 1))),
    ((2, 4, 3, 3), (4, 2, 3, 3), ((2, 2), (1, 1), (1, 0), 2, (1, 1))),
    ((1, 2, 3, 3), (2, 2, 2, 3), ((3, 1), (0, 2), (2, 0), 1, (2, 1))),
]:
    back = lambda x, w, b=None, o=(s, p, e, g, d): naive.conv_transpose2d(x, w, b, *o)  # noqa: E731
    options = {"stride": s, "padding": p, "output_padding": e, "groups": g, "dilation": d}
    case("F.conv_transpose2d", [(x, w), (x, w, (w[1] * g,))], loops(back), **options)
for k, s, p, d, c in [
    ((2, 2), (2, 2), (0, 0), (1, 1), False), ((3, 2), (2, 1), (1, 0), (1, 1), False),
    ((2, 3), (2, 3), (1, 1), (1, 1), True), ((2, 2), (1, 2), (0, 1), (2, 1), True),
]:  # fmt: skip
    case("F.max_pool2d", [(2, 3, 6, 7), (1, 1, 5, 5)], loops(
        lambda x, k=k, s=s, p=p, d=d, c=c: naive.max_pool2d(
            x, k, s, padding=p, dilation=d, ceil_mode=c)), k, s, p, d, c)  # fmt: skip
    for include, divisor in itertools.product((True, False), (None, 3)):
        if d == (1, 1):
            case("F.avg_pool2d", [(2, 3, 6, 7), (1, 1, 5, 5)], loops(
                lambda x, k=k, s=s, p=p, c=c, i=include, v=divisor: naive.avg_pool2d(
                    x, k, s, i, v, padding=p, ceil_mode=c)),
                k, s, p, c, include, divisor)  # fmt: skip
case("F.max_pool2d", [(3, 4, 6)], loops(lambda x: naive.max_pool2d([x], (2, 2), (2, 2))[0]), 2)
case("F.max_pool2d", [(1, 2, 6, 6)], loops(
    lambda x: naive.max_pool2d(x, (3, 3), (2, 2), padding=(1, 1))),
     3, 2, 1, domain="ties")  # fmt: skip
case("F.max_pool2d", [(0, 2, 4, 4)], lambda x: np.zeros((0, 2, 2, 2)), 2)
case("F.max_pool1d", [(2, 3, 7)], lambda x: np.maximum(
    np.maximum(x[..., :-2:2], x[..., 1:-1:2]), x[..., 2::2]), 3, 2)  # fmt: skip
case("F.avg_pool1d", [(2, 3, 7)],
     lambda x: (x[..., :-2:2] + x[..., 1:-1:2] + x[..., 2::2]) / 3, 3, 2)  # fmt: skip
for size in ((1, 1), (3, 2), (2, 3), (6, 7), (7, 5)):
    for name, pool in (("avg", naive.mean), ("max", max)):
        case(f"F.adaptive_{name}_pool2d", [(2, 2, 6, 7)],
             loops(lambda x, f=pool, s=size: naive.adaptive_pool2d(f, x, s)), size)  # fmt: skip
case("F.adaptive_max_pool1d", [(2, 3, 5), (3, 5)],
     lambda x: np.stack((x[..., :3].max(-1), x[..., 2:].max(-1)), -1), 2)  # fmt: skip
case("F.adaptive_max_pool3d", [(2, 2, 3, 2, 4)], lambda x: np.stack(
    (x[:, :, :2].max((2, 3)), x[:, :, 1:].max((2, 3))), 2)[:, :, :, None],
     (2, 1, None))  # fmt: skip
case("F.adaptive_max_pool3d", [(1, 4, 3, 2)], lambda x: np.array(
    [[[[x[0, :2].max()]], [[x[0, 1:3].max()]], [[x[0, 2:].max()]]]]), (3, 1, 1))  # fmt: skip
PLACES = np.array([[5, 0, 3], [1, 6, 2]])


def unpooled(x, size):  # type: ignore[no-untyped-def]
    y = np.zeros((2, np.prod(size)))
    for c, k in np.ndindex(2, 3):
        y[c, PLACES[c, k]] = x.reshape(2, 3)[c, k]
    return y.reshape(*x.shape[: -len(size)], *size)


for n, x, k, s, p, given, size in [
    (1, (2, 3), 3, 2, 0, None, (7,)), (1, (1, 2, 3), 2, None, 0, (7,), (7,)),
    (2, (2, 1, 3), (2, 3), (1, 2), (0, 1), None, (2, 5)),
    (2, (1, 2, 3, 1), 2, None, 0, (1, 2, 5, 3), (5, 3)),
    (3, (2, 1, 1, 3), (2, 1, 3), 1, 0, None, (2, 1, 5)),
]:  # fmt: skip
    case(f"F.max_unpool{n}d", [x], lambda x, o=size: unpooled(x, o),
         call=lambda m, x, n=n, k=k, s=s, p=p, o=given: getattr(
             m.nn.functional, f"max_unpool{n}d")(
             x, m.from_numpy(PLACES.reshape(tuple(x.shape))), k, s, p, o))  # fmt: skip
case("F.max_unpool2d", [(0, 2, 3, 1)], lambda x: np.zeros((0, 2, 6, 2)),
     call=lambda m, x: m.nn.functional.max_unpool2d(
         x, m.zeros(0, 2, 3, 1, dtype=m.int64), 2))  # fmt: skip

# Normalisation: the same statistics over other sets of positions.
MEAN, VAR = rng.standard_normal(3), rng.random(3) + 0.5
EACH = [(6, 3), (4, 3, 5), (2, 3, 4, 4), (2, 3, 2, 1, 3)]
affine_shapes = [(x, (3,), (3,)) for x in EACH]
case("F.batch_norm", EACH, loops(naive.batch_norm), None, None, training=True)


def bn(m, x, *affine, **options):  # type: ignore[no-untyped-def]
    return m.nn.functional.batch_norm(x, None, None, *affine, training=True, **options)


case("F.batch_norm", affine_shapes, loops(naive.batch_norm), call=bn)
case("F.batch_norm", affine_shapes[:1], loops(lambda x, w, b: naive.batch_norm(x, w, b, 0.1)),
     call=lambda m, *t: bn(m, *t, eps=0.1))  # fmt: skip
case("F.batch_norm", EACH, loops(lambda x: naive.batch_norm_eval(x, MEAN, VAR)), MEAN, VAR)
case("F.batch_norm", affine_shapes, loops(
    lambda x, w, b: naive.batch_norm_eval(x, MEAN, VAR, w, b)),
    call=lambda m, x, w, b: m.nn.functional.batch_norm(
        x, *(m.from_numpy(s.astype(x.detach().numpy().dtype)) for s in (MEAN, VAR)), w, b),
)  # fmt: skip
instance, group = (lambda i: i[:2]), (lambda i: (i[0], i[1] // 2))
case("F.instance_norm", EACH[1:], loops(lambda x: naive.group_statistics_norm(x, instance)))
case("F.instance_norm", affine_shapes[1:], loops(
    lambda x, w, b: naive.group_statistics_norm(x, instance, w, b)),
    call=lambda m, x, w, b: m.nn.functional.instance_norm(x, None, None, w, b))  # fmt: skip
case("F.group_norm", [(2, 4, 3), (2, 4, 2, 3)], loops(
    lambda x: naive.group_statistics_norm(x, group)), 2)  # fmt: skip
case("F.group_norm", [(3, 12)], loops(
    lambda x: naive.group_statistics_norm(x, lambda i: (i[0], i[1] // 4))), 3)  # fmt: skip
case("F.group_norm", [((2, 4, 3), (4,), (4,)), ((2, 4, 2, 3), (4,), (4,))], loops(
    lambda x, w, b: naive.group_statistics_norm(x, group, w, b)),
    call=lambda m, x, w, b: m.nn.functional.group_norm(x, 2, w, b))  # fmt: skip
for n, last in ((1, (4,)), (2, (3, 4))):
    case("F.layer_norm", [(2, 3, 4), (5, *last)], loops(
        lambda x, n=n: naive.layer_norm(x, n)), last)  # fmt: skip
    case("F.rms_norm", [(2, 3, 4), (5, *last)], loops(
        lambda x, n=n: naive.rms_norm(x, n, eps=1e-5)), last, eps=1e-5)  # fmt: skip
    case("F.layer_norm", [((2, 3, 4), last, last)], loops(
        lambda x, w, b, n=n: naive.layer_norm(x, n, w, b)),
        call=lambda m, x, w, b, s=last: m.nn.functional.layer_norm(x, s, w, b))  # fmt: skip
    case("F.rms_norm", [((2, 3, 4), last)], loops(
        lambda x, w, n=n: naive.rms_norm(x, n, w, 1e-5)),
        call=lambda m, x, w, s=last: m.nn.functional.rms_norm(x, s, w, 1e-5))  # fmt: skip

# Losses.
CLASSES, WEIGHT = np.array([0, 3, 1, 3, 2]), np.array([1.0, 0.5, 2.0, 3.0])
huber = lambda d, c: np.where(abs(d) < c, d * d / 2, c * (abs(d) - c / 2))  # noqa: E731


def nll(x, reduction, weight=None, ignore_index=-100):  # type: ignore[no-untyped-def]
    """The mean divides by the sum of the weights."""
    w = (np.ones(4) if weight is None else weight)[CLASSES] * (ignore_index != CLASSES)
    losses = -w * x[np.arange(5), CLASSES]
    return losses if reduction == "none" else losses.sum() / (w.sum() if reduction == "mean" else 1)


for reduction in ("mean", "sum", "none"):
    how = {"mean": np.mean, "sum": np.sum, "none": lambda v: v}[reduction]
    for name, f, domain, kwargs in [
        ("mse_loss", lambda x, t: (x - t) ** 2, "real", {}),
        ("l1_loss", lambda x, t: np.abs(x - t), "real", {}),
        ("smooth_l1_loss", lambda x, t: huber(x - t, 1), "real", {}),
        ("smooth_l1_loss", lambda x, t: huber(x - t, 0.3) / 0.3, "real", {"beta": 0.3}),
        ("huber_loss", lambda x, t: huber(x - t, 2), "real", {"delta": 2.0}),
        ("binary_cross_entropy", lambda x, t: -t * np.log(x) - (1 - t) * np.log(1 - x), "unit", {}),
        ("binary_cross_entropy_with_logits", lambda x, t: np.log1p(np.exp(x)) - t * x, "real", {}),
        ("kl_div", lambda x, t: t * (np.log(t) - x), "positive", {}),
        ("kl_div", lambda x, t: np.exp(t) * (t - x), "real", {"log_target": True}),
    ]:  # fmt: skip
        case("F." + name, [((3, 4), (3, 4)), ((), ()), ((1,), (1,))],
             lambda x, t, f=f, h=how: h(f(x, t)),
             reduction=reduction, domain=domain, **kwargs)  # fmt: skip
    for kwargs in [{}, {"weight": WEIGHT}, {"ignore_index": 3}, {"label_smoothing": 0.2},
                   {"weight": WEIGHT, "ignore_index": 2, "label_smoothing": 0.1}]:  # fmt: skip
        plain = {k: v.tolist() if k == "weight" else v for k, v in kwargs.items()}
        case("F.cross_entropy", [(5, 4)], loops(lambda x, p=plain, r=reduction: naive.cross_entropy(
            x, CLASSES.tolist(), reduction=r, **p)),
            CLASSES, reduction=reduction, **kwargs)  # fmt: skip
        if "label_smoothing" not in kwargs:
            case("F.nll_loss", [(5, 4)], lambda x, r=reduction, k=kwargs: nll(x, r, **k),
                 CLASSES, reduction=reduction, **kwargs)  # fmt: skip
    case("F.cross_entropy", [((3, 4), (3, 4))], loops(
        lambda x, t, r=reduction: naive.soft_cross_entropy(x, t, r)),
        reduction=reduction)  # fmt: skip
case("F.cross_entropy", [(4,)], lambda x: np.log(np.exp(x).sum()) - x[2], np.array(2))
case("F.cross_entropy", [(2, 4, 3)], lambda x: np.log(np.exp(x).sum(1)) - np.stack(
    [x[i, [0, 3, 1][i : i + 1] * 3, range(3)] for i in range(2)]),
    np.array([[0] * 3, [3] * 3]), reduction="none")  # fmt: skip
case("F.cross_entropy", [(0, 4)], lambda x: np.array(0.0), np.zeros(0, np.int64), reduction="sum")
case("F.binary_cross_entropy_with_logits", [((3, 4), (3, 4))],
     lambda x, t: np.mean(WEIGHT * ((1 - t) * x + (1 + (WEIGHT - 1) * t) * np.log1p(np.exp(-x)))),
     weight=WEIGHT, pos_weight=WEIGHT)  # fmt: skip
case("F.binary_cross_entropy", [((3, 4), (3, 4))], lambda x, t: np.mean(
    -WEIGHT * (t * np.log(x) + (1 - t) * np.log(1 - x))), weight=WEIGHT, domain="unit")  # fmt: skip
case("F.kl_div", [((3, 4), (3, 4))], lambda x, t: (t * (np.log(t) - x)).sum() / 3,
     reduction="batchmean", domain="positive")  # fmt: skip

# Identity at the ends of dropout's range; in between see test_random.
for name, shape in (("dropout", (2, 3, 4)), ("dropout1d", (2, 3, 4)), ("dropout2d", (2, 3, 4, 2)),
                    ("dropout3d", (2, 3, 4, 2))):  # fmt: skip
    case("F." + name, [shape], np.copy, p=0.0)
    case("F." + name, [shape], np.copy, p=0.7, training=False)
    case("F." + name, [shape], like, p=1.0)
