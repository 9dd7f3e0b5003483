"""Memory layout: what is contiguous in PyTorch is so here, so that a `view` of it works; and what
is a tensor of its own there shares no memory here."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sweeps import each

import minigrad as mg

torch = pytest.importorskip("torch")

# Beside the cases, which have two axes mostly: x of shape (2, 3, 4), y alike, q (2, 4, 6, 6).
MORE: dict[str, Callable[..., Any]] = {
    **{
        f"{name}({dim}, {keep})": lambda m, x, y, q, n=name, d=dim, k=keep: (
            getattr(m, n)(x, d, keepdim=k)
        )
        for name in ("sum", "mean", "prod", "amax", "amin", "max", "min", "argmax", "argmin", "any",
                     "all", "median", "logsumexp", "norm", "var", "std", "var_mean", "std_mean")
        for dim in (0, 1, -1)
        for keep in (False, True)
        if name != "norm"
    },
    **{
        f"{name}({dim})": lambda m, x, y, q, n=name, d=dim: getattr(m, n)(x, dim=d)
        for name in ("norm", "cumsum", "cumprod", "softmax", "log_softmax", "sort", "argsort",
                     "count_nonzero", "unbind")
        for dim in (0, 1, -1)
    },
    **{
        f"{name}({dim}, 2)": lambda m, x, y, q, n=name, d=dim: getattr(m, n)(x, 2, d)
        for name in ("topk", "repeat_interleave", "chunk", "split")
        for dim in (0, 1, -1)
    },
    **{
        f"{name}({dim}) of two": lambda m, x, y, q, n=name, d=dim: getattr(m, n)([x, y, x], d)
        for name in ("cat", "stack")
        for dim in (0, 1, -1)
    },
    "sums of two axes": lambda m, x, y, q: (x.sum((0, 2)), x.mean((1, 2)), x.amax((0, 1))),
    "sums to another dtype": lambda m, x, y, q: x.sum(0, dtype=m.float32),
    "tile, repeat": lambda m, x, y, q: (
        m.tile(x, (2, 1, 1)), x.repeat(1, 2, 1), x.repeat(2, 1, 1, 1),
    ),
    "roll, flip": lambda m, x, y, q: (x.roll(1), x.roll(1, 1), x.flip(0), x.flip(1, 2)),
    "triangles": lambda m, x, y, q: (x.triu(), x.tril(1)),
    "pads": lambda m, x, y, q: [
        m.nn.functional.pad(x, p, mode) for p in ((1, 1), (0, 0), (-1, 0))
        for mode in ("constant", "replicate", "reflect", "circular")
    ],
    "indices": lambda m, x, y, q: (
        x[[1, 0]], x[:, [1, 0]], x[..., [1, 0]], x[x > 0],
        x[:, [0, 1], [1, 0]], x[[0, 1], :, [1, 0]],
        x.index_select(1, m.tensor([0, 2])), x.take(m.tensor([[0, 1]])), x.masked_select(x > 0),
    ),
    "gathered": lambda m, x, y, q: [x.gather(d, m.zeros(2, 2, 2).long()) for d in range(3)],
    "scattered": lambda m, x, y, q: [x.scatter(d, m.zeros(2, 2, 2).long(), y) for d in range(3)],
    "filled": lambda m, x, y, q: (
        x.masked_fill(y > 0, 0), m.where(y > 0, x, y), x.clamp(0), x.clamp(y),
    ),
    "numbers before": lambda m, x, y, q: (2**x, 2 * x, 2 - x, 2 / x, 2 + x),
    "einsum": lambda m, x, y, q: (m.einsum("ijk,ijl->ikl", x, y), m.einsum("ijk->kij", x).sum(0)),
    "products": lambda m, x, y, q: (x @ y.transpose(1, 2), m.matmul(q, q), x @ y[0, 0]),
    "linear": lambda m, x, y, q: m.nn.functional.linear(x, y[0]),
    "conv": lambda m, x, y, q: m.nn.functional.conv2d(q, q[:, :, :3, :3]),
    "depthwise conv": lambda m, x, y, q: m.nn.functional.conv2d(q, q[0, :, None, :3, :3], groups=4),
    "transposed conv": lambda m, x, y, q: m.nn.functional.conv_transpose2d(
        q, q[[0, 1, 0, 1], :, :3, :3]
    ),
    "transposed conv, cropped": lambda m, x, y, q: m.nn.functional.conv_transpose2d(
        q, q[[0, 1, 0, 1], :, :3, :3], padding=1, stride=2
    ),
    "pools": lambda m, x, y, q: (
        m.nn.functional.max_pool2d(q, 2), m.nn.functional.avg_pool2d(q, 2),
        m.nn.functional.adaptive_avg_pool2d(q, 4), m.nn.functional.adaptive_avg_pool2d(q, 1),
        m.nn.functional.max_pool2d(q, 3, 1, 1),
    ),
    "norms": lambda m, x, y, q: (
        m.nn.functional.layer_norm(x, (4,)), m.nn.functional.layer_norm(x, (3, 4)),
        m.nn.functional.rms_norm(x, (4,)), m.nn.functional.group_norm(q, 2),
        m.nn.functional.instance_norm(q), m.nn.functional.normalize(x, dim=1),
    ),
    "batch norm": lambda m, x, y, q: m.nn.functional.batch_norm(
        q, q[0, :, 0, 0], q[0, :, 0, 1].abs() + 1
    ),
    "activations": lambda m, x, y, q: [
        getattr(m.nn.functional, n)(x)
        for n in ("gelu", "silu", "softplus", "logsigmoid", "elu", "selu", "leaky_relu",
                  "hardswish", "mish", "softsign", "tanhshrink") if hasattr(mg.nn.functional, n)
    ],
    "losses": lambda m, x, y, q: [
        getattr(m.nn.functional, n)(x, y.sigmoid(), reduction="none") for n in
        ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits")
    ],
    "cross entropy": lambda m, x, y, q: m.nn.functional.cross_entropy(
        x, m.zeros(2, 4).long(), reduction="none"
    ),
    "embedding": lambda m, x, y, q: m.nn.functional.embedding(m.tensor([[0, 1], [1, 0]]), x[0]),
    "outer": lambda m, x, y, q: (
        m.outer(x[0, 0], y[0, 0]), m.diag(x[0, 0]), m.addmm(x[0], x[0], q[0, 0, :4, :4]),
    ),
    "where it is": lambda m, x, y, q: (m.nonzero(x), m.isnan(x), x > y, m.logical_not(x)),
    "integers": lambda m, x, y, q: (
        x.long().sum(0), (x > 0).sum(0), (x > 0).any(0), x.long().cumsum(1),
    ),
}  # fmt: skip

# How x and y (2, 3, 4) and q (2, 4, 8, 8) may lie in memory.
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it comes": lambda a: a,
    "transposed": lambda a: np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2),
    "reversed axes": lambda a: np.ascontiguousarray(a.T).T,
    "every second": lambda a: np.repeat(a, 2, -1)[..., ::2],
    "sliced": lambda a: np.concatenate([a, a], 1)[:, : a.shape[1]],
    "expanded": lambda a: np.broadcast_to(a[:1], a.shape),
}


def results(value: Any) -> list[Any]:
    """All tensors of a result, however nested."""
    if isinstance(value, tuple | list):
        return [t for item in value for t in results(item)]
    return [value] if hasattr(value, "is_contiguous") else []


@each("name layout", itertools.product(MORE, LAYOUTS), by=lambda name, layout: name)
def test_what_is_contiguous_in_pytorch_is_so_here(name: str, layout: str) -> None:
    rng = np.random.default_rng(0)
    arrays = [
        LAYOUTS[layout](rng.standard_normal(shape))
        for shape in ((2, 3, 4), (2, 3, 4), (2, 4, 8, 8))
    ]
    theirs = results(MORE[name](torch, *(as_torch(torch, a) for a in arrays)))
    ours = results(MORE[name](mg, *(mg.from_numpy(a) for a in arrays)))
    assert len(ours) == len(theirs) > 0
    given = [a.__array_interface__["data"][0] for a in arrays]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape == tuple(other.shape)
        if other.is_contiguous():
            assert mine.is_contiguous(), (mine.shape, mine.array.strides, other.stride())
            mine.view(-1)
        if other.data_ptr() not in given and mine.numel():
            shared = any(np.shares_memory(mine.array, a) for a in arrays)
            assert not shared or other._is_view()


def as_torch(torch: Any, a: np.ndarray) -> Any:
    """The same memory with the same strides (torch.from_numpy refuses read-only arrays)."""
    if a.flags.writeable:
        return torch.from_numpy(a)
    return torch.from_numpy(a[:1].copy()).expand(*a.shape)
