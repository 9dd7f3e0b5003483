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
# What an operation is given for n elements: x, y any numbers, p, q positive ones, u in (0, 1), f 0
# or 1 (all of one vector's shape); A, B matrices; R a row and C a column that broadcast against A;
# S, T square matrices; I images; i indices into A's rows, k into its columns, t classes of A's
# rows.
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
}  # fmt: skip
RANDOM = {"dropout", "randn", "rand"}  # results that no reference can have
FIXED = {"bce", "bce_with_logits", "kl_div"}  # whose targets want no gradient


def shapes(n: int) -> dict[str, tuple[int, ...]]:
    """Of what a letter in the table stands for, at n elements."""
    columns = 512 if n > 10_000 else 50
    side = isqrt(n)
    one = dict.fromkeys("xypquf", (n,))
    rows = n // columns
    return one | {
        "A": (rows, columns), "B": (rows, columns), "R": (columns,), "C": (rows, 1),
        "S": (side, side), "T": (side, side), "V": (side,), "W": (side,),
        "I": (max(1, n // 4096), 16, 16, 16) if n > 10_000 else (4, 16, 4, 4),
        "i": (rows,), "k": (rows, columns), "t": (rows,),
    }  # fmt: skip


def inputs(case: Case) -> list[Array | int]:
    """What a case's operation is given."""
    letters, _ = OPS[case.kind]
    rng, (n,) = np.random.default_rng(0), case.shape
    sizes = shapes(n)
    drawn: list[Array | int] = []
    for letter in letters.split():
        if letter == "N":
            drawn.append(n)
            continue
        shape = sizes[letter]
        if letter in "ikt":
            limit = sizes["A"][0 if letter == "i" else 1]
            drawn.append(rng.integers(0, limit, shape))
        elif letter in "uf":
            u = rng.uniform(0.01, 0.99, shape)
            drawn.append((u if letter == "u" else u > 0.5).astype(np.float32))
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
    leaves = [t for t in given if not isinstance(t, int) and t.is_floating_point()]
    if case.kind in FIXED:
        leaves = leaves[:1]
    done = differentiate(m, lambda *inputs: make(m, *inputs), given, leaves)
    return done._replace(results=list) if case.kind in RANDOM else done


def reference(case: Case) -> list[Array]:
    """In float64, by the numpy kernels, which the tests compare with PyTorch."""
    return in_float64(work, case)
