"""Convolutions and matrix products in the shapes that networks have, forward and both gradients."""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from .cases import Array, Case
from .work import Work, differentiate, in_float64


class Conv(NamedTuple):
    """Its geometry; `each` convolves every channel alone, `groups` of four channels."""

    kernel: int
    stride: int = 1
    padding: int = 0
    each: bool = False
    fours: bool = False
    transposed: bool = False


CONVS = {
    "conv 3x3": Conv(3, 1, 1), "conv 3x3 stride 2": Conv(3, 2, 1), "conv 1x1": Conv(1),
    "conv 1x1 stride 2": Conv(1, 2), "conv 5x5": Conv(5, 1, 2), "conv 5x5 valid": Conv(5),
    "conv 7x7 stride 2": Conv(7, 2, 3), "conv 4x4 stride 2": Conv(4, 2, 1),
    "conv 4x4 valid": Conv(4), "conv patches of 4": Conv(4, 4),
    "depthwise 3x3": Conv(3, 1, 1, each=True), "depthwise 3x3 stride 2": Conv(3, 2, 1, each=True),
    "depthwise 5x5": Conv(5, 1, 2, each=True), "depthwise 5x5 stride 2": Conv(5, 2, 2, each=True),
    "depthwise 7x7": Conv(7, 1, 3, each=True), "groups of four 3x3": Conv(3, 1, 1, fours=True),
    "transposed 4x4 stride 2": Conv(4, 2, 1, transposed=True),
    "transposed 4x4": Conv(4, transposed=True),
    "transposed 2x2 stride 2": Conv(2, 2, transposed=True),
    "transposed 3x3 stride 2": Conv(3, 2, 1, transposed=True),
}  # fmt: skip
# (N, C, H) and the channels that come out.
CONV_SHAPES: dict[str, list[tuple[tuple[int, int, int], int]]] = {
    "conv 3x3": [
        ((16, 3, 32), 64), ((8, 64, 16), 128), ((8, 128, 8), 256), ((8, 256, 8), 256),
        ((8, 256, 4), 512), ((8, 512, 4), 512), ((16, 512, 2), 512), ((128, 512, 2), 512),
        ((16, 512, 4), 512), ((16, 256, 8), 256), ((16, 64, 32), 64), ((32, 32, 14), 64),
        ((64, 8, 8), 16), ((4, 16, 64), 16), ((100, 1, 8), 32), ((1, 64, 56), 64),
        ((2, 24, 17), 40), ((16, 128, 7), 128),
    ],
    "conv 3x3 stride 2": [
        ((16, 64, 32), 128), ((16, 128, 16), 256), ((16, 256, 8), 512), ((8, 3, 64), 32),
        ((32, 16, 28), 32), ((16, 512, 4), 512),
    ],
    "conv 1x1": [
        ((16, 960, 4), 160), ((16, 256, 8), 1024), ((16, 64, 32), 256), ((8, 32, 32), 16),
        ((8, 16, 32), 96), ((8, 96, 16), 24), ((16, 512, 2), 2048), ((64, 10, 1), 10),
    ],
    "conv 1x1 stride 2": [((16, 64, 32), 128), ((16, 256, 8), 512), ((16, 128, 16), 256)],
    "conv 5x5": [((64, 1, 28), 6), ((32, 32, 14), 64), ((16, 48, 16), 64)],
    "conv 5x5 valid": [((64, 6, 14), 16), ((64, 1, 28), 10), ((64, 20, 12), 50)],
    "conv 7x7 stride 2": [((4, 3, 64), 64)],
    "conv 4x4 stride 2": [((32, 3, 32), 64), ((32, 64, 16), 128), ((32, 128, 8), 256)],
    "conv 4x4 valid": [((32, 256, 4), 1)],
    "conv patches of 4": [((32, 3, 32), 192), ((16, 1, 28), 64)],
    "depthwise 3x3": [
        ((16, 384, 8), 384), ((8, 96, 16), 96), ((8, 32, 32), 32), ((16, 960, 4), 960),
    ],
    "depthwise 3x3 stride 2": [((8, 96, 32), 96), ((16, 192, 16), 192), ((16, 576, 8), 576)],
    "depthwise 5x5": [((16, 144, 16), 144), ((8, 240, 8), 240)],
    "depthwise 5x5 stride 2": [((16, 144, 16), 144), ((8, 72, 32), 72)],
    "depthwise 7x7": [((8, 96, 16), 96)],
    "groups of four 3x3": [((16, 128, 16), 128), ((16, 64, 32), 64)],
    "transposed 4x4 stride 2": [
        ((16, 128, 8), 64), ((16, 64, 16), 32), ((16, 256, 4), 128), ((32, 32, 16), 1),
    ],
    "transposed 4x4": [((32, 100, 1), 256)],
    "transposed 2x2 stride 2": [((8, 64, 16), 32), ((4, 128, 8), 64)],
    "transposed 3x3 stride 2": [((16, 64, 7), 32)],
}  # fmt: skip

# Rows, inputs and outputs of a linear layer; or of a stack's products.
PRODUCTS: dict[str, list[tuple[int, ...]]] = {
    "linear": [
        (100, 16, 16), (60, 784, 100), (128, 784, 256), (128, 256, 256), (128, 256, 10),
        (1, 784, 100), (32, 2048, 512), (512, 512, 512), (1024, 1024, 1024), (4096, 64, 64),
        (64, 1568, 10), (256, 4096, 128), (2048, 128, 512),
    ],
    "linear on the middle axis": [(8, 64, 128, 64), (8, 196, 256, 384), (32, 16, 64, 32)],
    "linear on sequences": [(8, 64, 128, 256), (16, 28, 28, 128), (4, 196, 192, 768)],
    "matmul": [(64, 64, 64), (200, 300, 400), (1000, 10, 1000), (33, 65, 129)],
    "matmul of transposes": [(256, 256, 256), (64, 500, 300)],
    "matrix and vector": [(512, 512, 1), (2000, 300, 1), (100, 5000, 1)],
    "bmm": [(16, 64, 32, 64), (128, 64, 32, 64), (64, 10, 10, 10), (8, 256, 64, 256)],
    "attention scores": [(8, 8, 64, 32), (4, 6, 128, 64), (16, 4, 28, 16)],
    "einsum bhqd,bhkd->bhqk": [(8, 8, 64, 32), (4, 6, 128, 64)],
    "einsum bij,jk->bik": [(16, 64, 64, 32)],
    "einsum bi,bj->ij": [(256, 128, 64)],
}  # fmt: skip

QUICK = {((16, 512, 2), 512), ((16, 384, 8), 384), ((16, 128, 8), 64), ((16, 64, 32), 128)}
CASES = [
    *(
        Case("convs", kind, (n, c, h, h), out=out, quick=((n, c, h), out) in QUICK)
        for kind, shapes in CONV_SHAPES.items()
        for (n, c, h), out in shapes
    ),
    *(
        Case("products", kind, shape, quick=i == 0)
        for kind, shapes in PRODUCTS.items()
        for i, shape in enumerate(shapes)
    ),
]


def _conv(case: Case) -> tuple[Any, list[Array]]:
    conv, (_, channels, *_), out = CONVS[case.kind], case.shape, case.out
    groups = channels if conv.each else channels // 4 if conv.fours else 1
    first, second = (channels, out // groups) if conv.transposed else (out, channels // groups)
    rng, size = np.random.default_rng(0), (first, second, conv.kernel, conv.kernel)
    scale = 1 / sqrt(second * conv.kernel**2)
    given = [rng.standard_normal(case.shape), scale * rng.standard_normal(size),
             rng.standard_normal(out)]  # fmt: skip
    name = "conv_transpose2d" if conv.transposed else "conv2d"

    def make(m: Any, x: Any, w: Any, b: Any) -> Any:
        function = getattr(m.nn.functional, name)
        return function(x, w, b, stride=conv.stride, padding=conv.padding, groups=groups)

    return make, given


def _product(case: Case) -> tuple[Any, list[Array]]:
    kind, sizes = case.kind, case.shape
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Array:
        return rng.standard_normal(shape)

    if kind.startswith("linear"):
        *rows, inputs, outputs = sizes
        layer = [draw(outputs, inputs) / sqrt(inputs), draw(outputs)]
        if kind == "linear on the middle axis":  # of images as tokens by channels, as in a mixer
            images, tokens, channels = *rows, inputs
            layer = [draw(outputs, tokens) / sqrt(tokens), draw(outputs)]
            return lambda m, x, w, b: m.nn.functional.linear(x.transpose(1, 2), w, b), [
                draw(images, tokens, channels), *layer,
            ]  # fmt: skip
        return lambda m, x, w, b: m.nn.functional.linear(x, w, b), [draw(*rows, inputs), *layer]
    if kind == "attention scores":
        b, h, t, d = sizes
        return lambda m, q, k: q.transpose(1, 2) @ k.transpose(1, 2).transpose(-1, -2), [
            draw(b, t, h, d), draw(b, t, h, d),
        ]  # fmt: skip
    if kind == "einsum bhqd,bhkd->bhqk":
        return lambda m, q, k: m.einsum(kind.split()[1], q, k), [draw(*sizes), draw(*sizes)]
    if kind == "einsum bij,jk->bik":
        b, i, j, k = sizes
        return lambda m, x, y: m.einsum(kind.split()[1], x, y), [draw(b, i, j), draw(j, k)]
    if kind == "einsum bi,bj->ij":
        b, i, j = sizes
        return lambda m, x, y: m.einsum(kind.split()[1], x, y), [draw(b, i), draw(b, j)]
    *stack, rows_, inner, columns = sizes
    if kind == "matmul of transposes":
        return lambda m, x, y: x.t() @ y.t(), [draw(inner, rows_), draw(columns, inner)]
    if kind == "matrix and vector":
        return lambda m, x, y: x @ y, [draw(rows_, inner), draw(inner)]
    return lambda m, x, y: m.matmul(x, y), [
        draw(*stack, rows_, inner),
        draw(*stack, inner, columns),
    ]


def work(m: Any, case: Case) -> Work:
    """A convolution or a product, and its backward from a random cotangent."""
    make, given = _conv(case) if case.suite == "convs" else _product(case)
    leaves = [m.from_numpy(a.astype(np.float32)) for a in given]
    return differentiate(m, lambda *inputs: make(m, *inputs), leaves, leaves)


def reference(case: Case) -> list[Array]:
    """In float64, by the numpy kernels, which the tests compare with PyTorch."""
    return in_float64(work, case)
