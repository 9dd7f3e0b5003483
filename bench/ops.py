"""The table of operations: nearly every public one, at three sizes, forward and backward.

What stands here is not what was made fast: it is there to show what was not.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from typing import Any

import numpy as np

from .cases import Array, Case
from .work import Work, differentiate, in_float64

SIZES = (1_000, 32_768, 262_144)
# What an operation is given for n elements: x, y any numbers, p, q positive ones, u in (0, 1), f
# 0 or 1, s -1 or 1, b true or false, o no number twice (all of one vector's shape); A, B, Z
# matrices; R a row and C a column that broadcast against A; S, T square matrices, V, W vectors as
# long as their sides; D, E lists of points; I images, w a number and G one of each image for each
# of their channels; Q, K, L what attention takes; i indices into A's rows, j as many as A has
# elements; k into its columns, a each row's columns in some order; t classes of A's rows, c of
# the images' pixels.
Make = Callable[..., Any]
OPS: dict[str, tuple[str, Make]] = {
    # arithmetic
    "add": ("x y", lambda m, x, y: x + y),
    "sub": ("x y", lambda m, x, y: x - y),
    "mul": ("x y", lambda m, x, y: x * y),
    "div": ("x p", lambda m, x, y: x / y),
    "add a number": ("x", lambda m, x: x + 1.5),
    "mul by a number": ("x", lambda m, x: x * 1.5),
    "add a row": ("A R", lambda m, x, y: x + y),
    "mul by a row": ("A R", lambda m, x, y: x * y),
    "mul by a column": ("A C", lambda m, x, y: x * y),
    "remainder": ("x p", lambda m, x, y: x.remainder(y)),
    "pow": ("p", lambda m, x: x**1.7),
    "pow 2": ("x", lambda m, x: x**2),
    "pow 3": ("x", lambda m, x: x**3),
    "pow of tensors": ("p u", lambda m, x, y: x**y),
    "neg": ("x", lambda m, x: -x),
    "abs": ("x", lambda m, x: x.abs()),
    "square": ("x", lambda m, x: x.square()),
    "sqrt": ("p", lambda m, x: x.sqrt()),
    "rsqrt": ("p", lambda m, x: x.rsqrt()),
    "reciprocal": ("p", lambda m, x: x.reciprocal()),
    "exp": ("x", lambda m, x: x.exp()),
    "expm1": ("x", lambda m, x: x.expm1()),
    "log": ("p", lambda m, x: x.log()),
    "log2": ("p", lambda m, x: x.log2()),
    "log10": ("p", lambda m, x: x.log10()),
    "log1p": ("p", lambda m, x: x.log1p()),
    "sin": ("x", lambda m, x: x.sin()),
    "cos": ("x", lambda m, x: x.cos()),
    "floor": ("x", lambda m, x: x.floor()),
    "round": ("x", lambda m, x: x.round()),
    "sign": ("x", lambda m, x: x.sign()),
    "maximum": ("x y", lambda m, x, y: m.maximum(x, y)),
    "minimum": ("x y", lambda m, x, y: m.minimum(x, y)),
    "clamp": ("x", lambda m, x: x.clamp(-1, 1)),
    "lerp": ("x y", lambda m, x, y: x.lerp(y, 0.3)),
    "addcmul": ("x y p", lambda m, x, y, z: x.addcmul(y, z, value=0.5)),
    "where": ("x y", lambda m, x, y: m.where(x > 0, x, y)),
    "masked_fill": ("x", lambda m, x: x.masked_fill(x > 1, 0.0)),
    # activations
    "relu": ("x", lambda m, x: m.nn.functional.relu(x)),
    "relu6": ("x", lambda m, x: m.nn.functional.relu6(x)),
    "leaky_relu": ("x", lambda m, x: m.nn.functional.leaky_relu(x)),
    "elu": ("x", lambda m, x: m.nn.functional.elu(x)),
    "celu": ("x", lambda m, x: m.nn.functional.celu(x, 1.3)),
    "selu": ("x", lambda m, x: m.nn.functional.selu(x)),
    "gelu": ("x", lambda m, x: m.nn.functional.gelu(x)),
    "gelu tanh": ("x", lambda m, x: m.nn.functional.gelu(x, approximate="tanh")),
    "silu": ("x", lambda m, x: m.nn.functional.silu(x)),
    "mish": ("x", lambda m, x: m.nn.functional.mish(x)),
    "softplus": ("x", lambda m, x: m.nn.functional.softplus(x)),
    "logsigmoid": ("x", lambda m, x: m.nn.functional.logsigmoid(x)),
    "sigmoid": ("x", lambda m, x: x.sigmoid()),
    "tanh": ("x", lambda m, x: x.tanh()),
    "erf": ("x", lambda m, x: m.erf(x)),
    "hardtanh": ("x", lambda m, x: m.nn.functional.hardtanh(x)),
    "hardswish": ("x", lambda m, x: m.nn.functional.hardswish(x)),
    "hardsigmoid": ("x", lambda m, x: m.nn.functional.hardsigmoid(x)),
    "softsign": ("x", lambda m, x: m.nn.functional.softsign(x)),
    "softmax": ("A", lambda m, x: x.softmax(1)),
    "softmax of columns": ("A", lambda m, x: x.softmax(0)),
    "log_softmax": ("A", lambda m, x: x.log_softmax(1)),
    # reductions
    "sum": ("x", lambda m, x: x.sum()),
    "sum of rows": ("A", lambda m, x: x.sum(1)),
    "sum of columns": ("A", lambda m, x: x.sum(0)),
    "sum of images": ("I", lambda m, x: x.sum((0, 2, 3))),
    "mean": ("x", lambda m, x: x.mean()),
    "mean of rows": ("A", lambda m, x: x.mean(1)),
    "var": ("A", lambda m, x: x.var(1)),
    "std": ("x", lambda m, x: x.std()),
    "amax": ("A", lambda m, x: x.amax(1)),
    "max": ("A", lambda m, x: x.max(1)[0]),
    "max of all": ("x", lambda m, x: x.max()),
    "argmax": ("A", lambda m, x: x.argmax(1)),
    "prod": ("A", lambda m, x: (x * 0.1 + 1).prod(1)),
    "norm": ("x", lambda m, x: x.norm()),
    "norm 1": ("x", lambda m, x: x.norm(p=1)),
    "norm of rows": ("A", lambda m, x: x.norm(dim=1)),
    "logsumexp": ("A", lambda m, x: x.logsumexp(1)),
    "cumsum": ("A", lambda m, x: x.cumsum(1)),
    "cumprod": ("A", lambda m, x: (x * 0.1 + 1).cumprod(1)),
    # search and indices
    "sort": ("A", lambda m, x: x.sort(1)[0]),
    "topk": ("A", lambda m, x: x.topk(5, 1)[0]),
    "median": ("A", lambda m, x: x.median(1)[0]),
    "gather": ("A k", lambda m, x, i: x.gather(1, i)),
    "index rows": ("A i", lambda m, x, i: x[i]),
    "index_select": ("A i", lambda m, x, i: x.index_select(0, i)),
    "scatter_add": ("A k B", lambda m, x, i, y: x.scatter_add(1, i, y)),
    "embedding": ("A i", lambda m, x, i: m.nn.functional.embedding(i, x)),
    "slice": ("A", lambda m, x: x[:, 1:-1]),
    "flip": ("A", lambda m, x: x.flip(1)),
    "roll": ("A", lambda m, x: x.roll(1, 1)),
    "cat": ("A B", lambda m, x, y: m.cat([x, y], 1)),
    "stack": ("x y", lambda m, x, y: m.stack([x, y])),
    "pad": ("A", lambda m, x: m.nn.functional.pad(x, (1, 1))),
    "transpose": ("A", lambda m, x: x.t() * 1.5),
    "clone of a transpose": ("A", lambda m, x: x.t().contiguous()),
    "expand": ("R", lambda m, x: x.expand(64, -1) * 1.5),
    "repeat": ("R", lambda m, x: x.repeat(64, 1)),
    "tril": ("S", lambda m, x: x.tril()),
    # products
    "matmul": ("S T", lambda m, x, y: x @ y),
    "matmul of a transpose": ("S T", lambda m, x, y: x @ y.t()),
    "linear": ("S T V", lambda m, x, w, b: m.nn.functional.linear(x, w, b)),
    "outer": ("V W", lambda m, x, y: m.outer(x, y)),
    # losses
    "mse_loss": ("x y", lambda m, x, y: m.nn.functional.mse_loss(x, y)),
    "l1_loss": ("x y", lambda m, x, y: m.nn.functional.l1_loss(x, y)),
    "smooth_l1_loss": ("x y", lambda m, x, y: m.nn.functional.smooth_l1_loss(x, y)),
    "huber_loss": ("x y", lambda m, x, y: m.nn.functional.huber_loss(x, y)),
    "bce": ("u f", lambda m, x, y: m.nn.functional.binary_cross_entropy(x, y)),
    "bce_with_logits": (
        "x f", lambda m, x, y: m.nn.functional.binary_cross_entropy_with_logits(x, y)
    ),
    "cross_entropy": ("A t", lambda m, x, y: m.nn.functional.cross_entropy(x, y)),
    "nll_loss": ("A t", lambda m, x, y: m.nn.functional.nll_loss(x, y)),
    "kl_div": ("x u", lambda m, x, y: m.nn.functional.kl_div(x, y, reduction="batchmean")),
    # layers
    "batch_norm eval": ("I", lambda m, x: m.nn.functional.batch_norm(x, m.zeros(16), m.ones(16))),
    "dropout": ("x", lambda m, x: m.nn.functional.dropout(x, 0.5)),
    "max_pool2d": ("I", lambda m, x: m.nn.functional.max_pool2d(x, 3, 2, 1)),
    "avg_pool2d": ("I", lambda m, x: m.nn.functional.avg_pool2d(x, 3, 2, 1)),
    "adaptive_avg_pool2d": ("I", lambda m, x: m.nn.functional.adaptive_avg_pool2d(x, 1)),
    "randn": ("N", lambda m, n: m.randn(n)),
    "rand": ("N", lambda m, n: m.rand(n)),
    # two operands, and comparisons
    "equal": ("x y", lambda m, x, y: x == y),
    "less": ("x y", lambda m, x, y: x < y),
    "logical_and": ("b b", lambda m, x, y: m.logical_and(x, y)),
    "floor_divide": ("x p", lambda m, x, y: m.floor_divide(x.detach(), y.detach())),
    "fmod": ("x p", lambda m, x, y: m.fmod(x, y)),
    "atan2": ("x y", lambda m, x, y: m.atan2(x, y)),
    "hypot": ("x y", lambda m, x, y: m.hypot(x, y)),
    "logaddexp": ("x y", lambda m, x, y: m.logaddexp(x, y)),
    "xlogy": ("x p", lambda m, x, y: m.xlogy(x, y)),
    "addcdiv": ("x y p", lambda m, x, y, z: m.addcdiv(x, y, z)),
    "lerp by a tensor": ("x y u", lambda m, x, y, w: m.lerp(x, y, w)),
    "clamp by tensors": ("x y", lambda m, x, y: m.clamp(x, y - 1, y + 1)),
    "where, a number": ("b x", lambda m, c, x: m.where(c, x, 0.0)),
    "a number minus": ("x", lambda m, x: 1 - x),
    "a number by": ("p", lambda m, x: 1 / x),
    "a number to the power": ("x", lambda m, x: 2**x),
    "pow -1": ("p", lambda m, x: x**-1),
    "mul by a gate": ("I G", lambda m, x, g: x * g),
    "add a transpose": ("S T", lambda m, x, y: x.t() + y),
    "add in place": ("x", lambda m, x: x.detach().clone().add_(1.0)),
    # functions of a number
    **{
        name: (letter, lambda m, x, name=name: getattr(m, name)(x))
        for letter, names in {
            "x": "sinh cosh tan atan asinh ceil trunc frac sinc exp2 i0 nan_to_num isnan isfinite",
            "u": "asin acos atanh logit",
            "p": "lgamma digamma",
        }.items()
        for name in names.split()
    },
    "acosh": ("p", lambda m, x: (x + 1).acosh()),
    "entr": ("p", lambda m, x: m.special.entr(x)),
    "threshold": ("x", lambda m, x: m.nn.functional.threshold(x, 0.1, 0.0)),
    "softshrink": ("x", lambda m, x: m.nn.functional.softshrink(x)),
    "hardshrink": ("x", lambda m, x: m.nn.functional.hardshrink(x)),
    "tanhshrink": ("x", lambda m, x: m.nn.functional.tanhshrink(x)),
    "glu": ("A", lambda m, x: m.nn.functional.glu(x, 1)),
    "prelu": ("I w", lambda m, x, w: m.nn.functional.prelu(x, w)),
    "swiglu": ("A B", lambda m, x, y: m.nn.functional.silu(x) * y),
    "gelu by hand": (
        "x", lambda m, x: 0.5 * x * (1 + m.tanh(0.79788456 * (x + 0.044715 * x**3))),
    ),
    # along other axes, and reductions that are rarer
    "softmax of channels": ("I", lambda m, x: x.softmax(1)),
    "log_softmax of channels": ("I", lambda m, x: x.log_softmax(1)),
    "mean of channels": ("I", lambda m, x: x.mean(1)),
    "mean of pixels": ("I", lambda m, x: x.mean((2, 3))),
    "var of columns": ("A", lambda m, x: x.var(0)),
    "logsumexp of columns": ("A", lambda m, x: x.logsumexp(0)),
    "amax of columns": ("A", lambda m, x: x.amax(0)),
    "argmin of columns": ("A", lambda m, x: x.argmin(0)),
    "min of columns": ("A", lambda m, x: x.min(0)[0]),
    "cumsum of columns": ("A", lambda m, x: x.cumsum(0)),
    "sort of columns": ("A", lambda m, x: x.sort(0)[0]),
    "cummax": ("A", lambda m, x: x.cummax(1)[0]),
    "logcumsumexp": ("A", lambda m, x: x.logcumsumexp(1)),
    "std_mean": ("A", lambda m, x: m.std_mean(x, 1)[0]),
    "any": ("b", lambda m, x: x.any()),
    "count_nonzero": ("b", lambda m, x: x.count_nonzero()),
    "sum of integers": ("k", lambda m, x: x.sum()),
    "norm inf": ("x", lambda m, x: x.norm(p=float("inf"))),
    "norm 3": ("x", lambda m, x: x.norm(p=3)),
    "quantile": ("A", lambda m, x: x.quantile(0.3, 1)),
    "kthvalue": ("A", lambda m, x: x.kthvalue(3, 1)[0]),
    "median of all": ("x", lambda m, x: x.median()),
    "diff": ("A", lambda m, x: x.diff(dim=1)),
    "standardise": ("A", lambda m, x: (x - x.mean(0)) / x.std(0)),
    # orders, places, copies
    "argsort": ("A", lambda m, x: x.argsort(1)),
    "sort of all": ("o", lambda m, x: x.sort()[0]),
    "unique": ("k", lambda m, x: m.unique(x)),
    "bincount": ("i", lambda m, x: m.bincount(x)),
    "searchsorted": ("R x", lambda m, r, x: m.searchsorted(r.detach().sort()[0], x.detach())),
    "one_hot": ("t", lambda m, x: m.nn.functional.one_hot(x, 512)),
    "nonzero": ("b", lambda m, x: x.nonzero()),
    "masked_select": ("x b", lambda m, x, c: x.masked_select(c)),
    "take_along_dim": ("A k", lambda m, x, i: m.take_along_dim(x, i, 1)),
    "gather of columns": ("A j", lambda m, x, i: x.gather(0, i)),
    "index of pairs": ("A i t", lambda m, x, i, j: x[i, j]),
    "index of columns": ("A t", lambda m, x, j: x[:, j]),
    "index_add": ("A i B", lambda m, x, i, y: m.index_add(x, 0, i, y)),
    "index_fill": ("A i", lambda m, x, i: x.index_fill(0, i, 0.0)),
    "scatter": ("A a B", lambda m, x, i, y: x.scatter(1, i, y)),
    "diag": ("S", lambda m, x: x.diag()),
    "triu": ("S", lambda m, x: x.triu()),
    "kron": ("V W", lambda m, x, y: m.kron(x, y)),
    "channels last": ("I", lambda m, x: x.permute(0, 2, 3, 1).contiguous()),
    "add to channels last": ("I", lambda m, x: x.permute(0, 2, 3, 1) + 1.0),
    "chunk and cat": ("A", lambda m, x: m.cat(x.chunk(2, 1))),
    "unbind and stack": ("A", lambda m, x: m.stack(x.unbind(0))),
    "cat of rows": ("A B", lambda m, x, y: m.cat([x, y])),
    "repeat_interleave": ("A", lambda m, x: x.repeat_interleave(2, 0)),
    "meshgrid": ("R V", lambda m, x, y: m.mul(*m.meshgrid(x, y, indexing="ij"))),
    "to float64": ("x", lambda m, x: x.double()),
    "to integers": ("x", lambda m, x: x.detach().long()),
    # products that are rarer
    "dot": ("x y", lambda m, x, y: m.dot(x, y)),
    "matrix by vector": ("S V", lambda m, x, y: x @ y),
    "einsum ij,ij->i": ("A B", lambda m, x, y: m.einsum("ij,ij->i", x, y)),
    "cdist": ("D E", lambda m, x, y: m.cdist(x, y)),
    "cosine_similarity": ("A B", lambda m, x, y: m.nn.functional.cosine_similarity(x, y)),
    "pairwise_distance": ("A B", lambda m, x, y: m.nn.functional.pairwise_distance(x, y)),
    "normalize": ("A", lambda m, x: m.nn.functional.normalize(x)),
    "attention": (
        "Q K L", lambda m, q, k, v: m.nn.functional.scaled_dot_product_attention(q, k, v),
    ),
    "causal attention": (
        "Q K L",
        lambda m, q, k, v: m.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True),
    ),
    # losses that are rarer
    "poisson_nll_loss": ("x p", lambda m, x, y: m.nn.functional.poisson_nll_loss(x, y)),
    "gaussian_nll_loss": ("x y p", lambda m, x, y, v: m.nn.functional.gaussian_nll_loss(x, y, v)),
    "hinge_embedding_loss": ("x s", lambda m, x, y: m.nn.functional.hinge_embedding_loss(x, y)),
    "margin_ranking_loss": (
        "x y s", lambda m, x, y, s: m.nn.functional.margin_ranking_loss(x, y, s),
    ),
    "soft_margin_loss": ("x s", lambda m, x, y: m.nn.functional.soft_margin_loss(x, y)),
    "triplet_margin_loss": (
        "A B Z", lambda m, x, y, z: m.nn.functional.triplet_margin_loss(x, y, z),
    ),
    "multi_margin_loss": ("A t", lambda m, x, y: m.nn.functional.multi_margin_loss(x, y)),
    "cross_entropy, smoothed": (
        "A t", lambda m, x, y: m.nn.functional.cross_entropy(x, y, label_smoothing=0.1),
    ),
    "cross_entropy of each": (
        "A t", lambda m, x, y: m.nn.functional.cross_entropy(x, y, reduction="none"),
    ),
    "cross_entropy of images": ("I c", lambda m, x, y: m.nn.functional.cross_entropy(x, y)),
    # images
    "layer_norm": ("A", lambda m, x: m.nn.functional.layer_norm(x, x.shape[1:])),
    "rms_norm": ("A", lambda m, x: m.nn.functional.rms_norm(x, x.shape[1:])),
    "group_norm": ("I", lambda m, x: m.nn.functional.group_norm(x, 4)),
    "instance_norm": ("I", lambda m, x: m.nn.functional.instance_norm(x)),
    "batch_norm": ("I", lambda m, x: m.nn.functional.batch_norm(x, None, None, training=True)),
    "local_response_norm": ("I", lambda m, x: m.nn.functional.local_response_norm(x, 5)),
    "max_pool2d of 2": ("I", lambda m, x: m.nn.functional.max_pool2d(x, 2)),
    "avg_pool2d of 2": ("I", lambda m, x: m.nn.functional.avg_pool2d(x, 2)),
    "adaptive_max_pool2d": ("I", lambda m, x: m.nn.functional.adaptive_max_pool2d(x, 2)),
    "pad of images": ("I", lambda m, x: m.nn.functional.pad(x, (1, 1, 1, 1))),
    "reflection": ("I", lambda m, x: m.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")),
    "nearest": ("I", lambda m, x: m.nn.functional.interpolate(x, scale_factor=2)),
    "bilinear": (
        "I", lambda m, x: m.nn.functional.interpolate(x, scale_factor=2, mode="bilinear"),
    ),
    "bicubic": (
        "I", lambda m, x: m.nn.functional.interpolate(x, scale_factor=2, mode="bicubic"),
    ),
    "pixel_shuffle": ("I", lambda m, x: m.nn.functional.pixel_shuffle(x, 2)),
    "unfold": ("I", lambda m, x: m.nn.functional.unfold(x, 3, padding=1)),
    "randperm": ("N", lambda m, n: m.randperm(n)),
    "randint": ("N", lambda m, n: m.randint(0, 9, (n,))),
    "arange": ("N", lambda m, n: m.arange(n)),
    "linspace": ("N", lambda m, n: m.linspace(0, 1, n)),
}  # fmt: skip
RANDOM = {"dropout", "randn", "rand", "randperm", "randint"}  # results that no reference can have
# whose targets want no gradient
FIXED = {"kl_div", "poisson_nll_loss", "gaussian_nll_loss"}


def shapes(n: int) -> dict[str, tuple[int, ...]]:
    """Of what a letter in the table stands for, at n elements."""
    columns = 512 if n > 10_000 else 50
    side = isqrt(n)
    rows = n // columns
    images = (max(1, n // 4096), 16, 16, 16) if n > 10_000 else (4, 16, 4, 4)
    return {
        **dict.fromkeys("xypqufsbo", (n,)), **dict.fromkeys("ABZkaj", (rows, columns)),
        "R": (columns,), "C": (rows, 1), **dict.fromkeys("ST", (side, side)),
        **dict.fromkeys("VW", (side,)), **dict.fromkeys("DE", (side, 32)),
        "I": images, "w": images[1:2], "G": (*images[:2], 1, 1), "c": (images[0], *images[2:]),
        **dict.fromkeys("QKL", (4, 4, max(1, n // 512), 32)), **dict.fromkeys("it", (rows,)),
    }  # fmt: skip


def inputs(case: Case) -> list[Array | int]:
    """What a case's operation is given."""
    letters, _ = OPS[case.kind]
    rng, (n,) = np.random.default_rng(0), case.shape
    sizes = shapes(n)
    rows, columns = sizes["A"]
    limits = {"i": rows, "j": rows, "k": columns, "t": columns, "c": 16}
    drawn: list[Array | int] = []
    for letter in letters.split():
        if letter == "N":
            drawn.append(n)
            continue
        shape = sizes[letter]
        if letter in limits:
            drawn.append(rng.integers(0, limits[letter], shape))
        elif letter == "a":
            drawn.append(rng.permuted(np.tile(np.arange(columns), (rows, 1)), axis=1))
        elif letter == "o":
            drawn.append(rng.permutation(n).astype(np.float32))
        elif letter in "ufsb":
            u = rng.uniform(0.01, 0.99, shape)
            kinds = {"u": u, "f": u > 0.5, "s": np.sign(u - 0.5)}
            drawn.append(u > 0.5 if letter == "b" else kinds[letter].astype(np.float32))
        else:
            x = rng.standard_normal(shape)
            drawn.append((np.abs(x) + 0.1 if letter in "pq" else x).astype(np.float32))
    return drawn


QUICK = ("mul", "gelu", "sum", "softmax")
CASES = [
    Case("ops", kind, (n,), quick=kind in QUICK and n != SIZES[1]) for n in SIZES for kind in OPS
]


def work(m: Any, case: Case) -> Work:
    """The operation and, where it has one, its backward from a random cotangent."""
    make = OPS[case.kind][1]
    given = [a if isinstance(a, int) else m.from_numpy(a) for a in inputs(case)]
    letters = OPS[case.kind][0].split()
    leaves = [t for t, v in zip(given, letters, strict=True)
              if not isinstance(t, int) and t.is_floating_point() and v not in "fs"]  # fmt: skip
    if case.kind in FIXED:
        leaves = leaves[:1]
    done = differentiate(m, lambda *inputs: make(m, *inputs), given, leaves)
    return done._replace(results=list) if case.kind in RANDOM else done


def reference(case: Case) -> list[Array]:
    """In float64, by the numpy kernels, which the tests compare with PyTorch."""
    return in_float64(work, case)
