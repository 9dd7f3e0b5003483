"""The table of work: what is timed, at which sizes, and the ratio to PyTorch's time we aim at.

The kernel tests take their shapes from here, too. A case's arrays are the same in every process.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Layer = tuple[Any, ...]

# Networks, as the layers every contender builds in its own way.
NETS: dict[str, list[Layer]] = {
    "ReLU MLP": [("linear", 2, 16), ("relu",), ("linear", 16, 16), ("relu",), ("linear", 16, 1)],
    "sigmoid BN MLP": [
        *[("linear", 784, 100), ("batch_norm", 100), ("sigmoid",)],
        *[("linear", 100, 100), ("batch_norm", 100), ("sigmoid",)] * 2,
        ("linear", 100, 10),
    ],
    "conv net": [
        *[("conv", 1, 16), ("batch_norm", 16), ("relu",), ("max_pool",)],
        *[("conv", 16, 32), ("batch_norm", 32), ("relu",), ("max_pool",)],
        *[("flatten",), ("linear", 32 * 7 * 7, 10)],
    ],
}
RATE = 0.1  # of the SGD step
EPS = 1e-5  # of every normalisation
GROUPS = 8
CHAIN = 100  # operations


@dataclass(frozen=True)
class Case:
    """`kind` is the key under which a contender finds the work; `shape` is the input's."""

    suite: str
    kind: str
    shape: tuple[int, ...]
    target: float | None = None  # at most this ratio to PyTorch's time
    out: int = 0  # channels a convolution makes
    net: str = ""
    quick: bool = False  # part of --quick
    floor: float | None = None  # at least this fraction of the machine's limit

    @property
    def name(self) -> str:
        sizes = f" ({','.join(map(str, self.shape))})" if self.shape else ""
        arrow = f"->{self.out}" if self.out else ""
        return f"{self.net or self.kind}{sizes}{arrow}"


def _norms() -> list[Case]:
    rows = [((4, 3), None), ((64, 256), 0.5), ((128, 100), 0.5), ((1024, 512), 0.5),
            ((65536, 64), 1.0)]  # fmt: skip
    images = [(2, 3, 4, 4), (32, 16, 28, 28), (64, 64, 32, 32), (32, 128, 16, 16)]
    quick = ((4, 3), (64, 256), (32, 16, 28, 28))
    return [
        *[Case("norm", "batch_norm", s, t, quick=s in quick) for s, t in rows],
        *[
            Case("norm", "batch_norm", s, 0.3 if prod(s) > 1000 else None, quick=s in quick)
            for s in images
        ],
        Case("norm", "batch_norm", (16, 256, 56, 56), 0.3, floor=0.7),
        Case("norm", "batch_norm_relu", (32, 16, 28, 28)),
        Case("norm", "layer_norm", (64, 256), 0.7, quick=True),
        Case("norm", "layer_norm", (4096, 512), 0.7),
        Case("norm", "group_norm", (32, 64, 28, 28), 0.7),
        Case("norm", "instance_norm", (32, 64, 28, 28), 0.7),
    ]


CASES: list[Case] = [
    *_norms(),
    Case("conv", "conv2d", (64, 1, 28, 28), 0.9, out=16, quick=True),
    Case("conv", "conv2d", (64, 16, 14, 14), 0.9, out=32),
    Case("conv", "conv2d", (32, 16, 28, 28), 0.9, out=32),
    Case("conv", "conv2d", (32, 64, 16, 16), 0.9, out=64),
    Case("conv", "max_pool2d", (64, 16, 28, 28), quick=True),
    Case("conv", "avg_pool2d", (64, 16, 28, 28)),
    Case("train", "step", (100, 2), 0.45, net="ReLU MLP", quick=True),
    Case("train", "step", (60, 784), 0.6, net="sigmoid BN MLP", quick=True),
    Case("train", "step", (64, 1, 28, 28), 0.6, net="conv net", quick=True),
    Case("engine", "chain", (16,), 0.8, quick=True),
    Case("engine", "chain_backward", (16,), quick=True),
    Case("engine", "chain_no_grad", (16,), quick=True),
]


class Goal(NamedTuple):
    """What a whole suite is asked: the geometric mean of its ratios to PyTorch, and the worst."""

    mean: float
    worst: float | None = None
    kinds: tuple[str, ...] = ()  # of the cases that count, if not all do


SETS = {
    "nets": Goal(1.0), "scripts": Goal(1.0), "conv": Goal(0.75, None, ("conv2d",)),
    "ops": Goal(1.0, 2.0), "convs": Goal(0.9, 1.3), "products": Goal(1.1),
    "recurrent": Goal(1.0, 1.2),
}  # fmt: skip
BY_NAME = {case.name: case for case in CASES}
BIG = 1 << 20  # elements; the slower peers are left out of larger cases


def batch_norm_shapes(largest: int) -> list[tuple[int, int, int]]:
    """The (N, C, S) of the batch norms of at most `largest` elements."""
    shapes = [case.shape for case in CASES if case.kind == "batch_norm"]
    return [(*s[:2], prod(s[2:])) for s in shapes if prod(s) <= largest]  # type: ignore[misc]


def arrays(case: Case) -> list[Array]:
    """What a case works on, float32: the tensors to differentiate by, then the cotangent last."""
    rng = np.random.default_rng(0)

    def draw(*shape: int, mean: float = 0.0, std: float = 1.0) -> Array:
        return (mean + std * rng.standard_normal(shape)).astype(np.float32)

    shape = case.shape
    if case.kind in ("max_pool2d", "avg_pool2d"):
        return [draw(*shape), draw(*shape[:2], shape[2] // 2, shape[3] // 2)]
    if case.kind == "conv2d":
        fan_in = 9 * shape[1]
        weight = draw(case.out, shape[1], 3, 3, std=1 / sqrt(fan_in))
        bias, cotangent = draw(case.out), draw(shape[0], case.out, *shape[2:])
        return [draw(*shape), weight, bias, cotangent]
    if case.kind.startswith("chain"):
        return [draw(*shape), draw(*shape, mean=1, std=0.1), draw(*shape, std=0.1), draw(*shape)]
    size = shape[-1] if case.kind == "layer_norm" else shape[1]
    x, gamma = draw(*shape, mean=0.5, std=2), draw(size, mean=1, std=0.1)
    return [x, gamma, draw(size, std=0.1), draw(*shape)]


def net_arrays(case: Case) -> tuple[Array, Array, list[Array]]:
    """Input, target and parameters of a network, in the order of its layers."""
    rng = np.random.default_rng(0)

    def uniform(bound: float, *shape: int, middle: float = 0) -> Array:
        return rng.uniform(middle - bound, middle + bound, shape).astype(np.float32)

    x = rng.standard_normal(case.shape).astype(np.float32)
    numbers = case.net == "ReLU MLP"
    target: Array = uniform(1, len(x), 1) if numbers else rng.integers(0, 10, len(x))
    params: list[Array] = []
    for name, *sizes in NETS[case.net]:
        if name in ("linear", "conv"):
            shape = (sizes[1], sizes[0], 3, 3) if name == "conv" else (sizes[1], sizes[0])
            bound = 1 / sqrt(prod(shape[1:]))
            params += [uniform(bound, *shape), uniform(bound, sizes[1])]
        elif name == "batch_norm":
            params += [uniform(0.2, sizes[0], middle=1), uniform(0.2, sizes[0])]
    return x, target, params


def flops(case: Case) -> int:
    """Of a convolution, forward and both gradients."""
    n, c, h, w = case.shape
    return 3 * 2 * n * c * h * w * case.out * 9
