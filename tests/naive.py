"""An oracle in plain loops: what the operations are, with Python's floats and nothing else.

Arrays are nested lists. Nothing here is clever, fast or shared with the library, so that a mistake
would have to be made twice, in two different ways, to go unnoticed.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

Nested = Any  # a number or a list of Nested


def shape(x: Nested) -> tuple[int, ...]:
    """The sizes of a nested list without empty axes."""
    return (len(x), *shape(x[0])) if isinstance(x, list) else ()


def at(x: Nested, index: tuple[int, ...]) -> float:
    """x[i][j]…"""
    for i in index:
        x = x[i]
    return x  # type: ignore[no-any-return]


def build(sizes: tuple[int, ...], f: Any, index: tuple[int, ...] = ()) -> Nested:
    """The nested list whose entry at (i, j, …) is f((i, j, …))."""
    if len(index) == len(sizes):
        return f(index)
    return [build(sizes, f, (*index, i)) for i in range(sizes[len(index)])]


def indices(sizes: tuple[int, ...]) -> Any:
    """All (i, j, …) in row-major order."""
    return product(*(range(n) for n in sizes))


# Reductions.


def reduce(f: Any, x: Nested, axes: tuple[int, ...], keepdim: bool = False) -> Nested:
    """f of the list of values along `axes`, for each position on the other axes."""
    sizes = shape(x)
    axes = tuple(a % len(sizes) for a in axes)
    kept = tuple(1 if i in axes else n for i, n in enumerate(sizes))

    def line(where: tuple[int, ...]) -> float:
        spans = [range(n) if i in axes else (where[i],) for i, n in enumerate(sizes)]
        return f([at(x, index) for index in product(*spans)])  # type: ignore[no-any-return]

    out = {where: line(where) for where in indices(kept)}
    if keepdim:
        return build(kept, out.__getitem__)
    rest = [i for i in range(len(sizes)) if i not in axes]

    def entry(short: tuple[int, ...]) -> float:
        where = [0] * len(sizes)
        for i, v in zip(rest, short, strict=True):
            where[i] = v
        return out[tuple(where)]

    return build(tuple(sizes[i] for i in rest), entry)


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def var(values: list[float], correction: float = 1) -> float:
    centre = mean(values)
    return math.fsum((v - centre) ** 2 for v in values) / (len(values) - correction)


def logsumexp(values: list[float]) -> float:
    peak = max(values)
    return peak + math.log(math.fsum(math.exp(v - peak) for v in values))


def log_softmax(x: Nested, axis: int) -> Nested:
    total = reduce(logsumexp, x, (axis,), keepdim=True)
    axis %= len(shape(x))

    def entry(i: tuple[int, ...]) -> float:
        return at(x, i) - at(total, (*i[:axis], 0, *i[axis + 1 :]))

    return build(shape(x), entry)


def softmax(x: Nested, axis: int) -> Nested:
    logs = log_softmax(x, axis)
    return build(shape(x), lambda i: math.exp(at(logs, i)))


# Products and convolutions.


def matmul(a: Nested, b: Nested) -> Nested:
    """Two matrices, or stacks of matrices of equal or broadcasting sizes."""
    sa, sb = shape(a), shape(b)
    if len(sa) == len(sb) == 2:
        return build(
            (sa[0], sb[1]), lambda i: math.fsum(a[i[0]][k] * b[k][i[1]] for k in range(sa[1]))
        )
    if len(sa) < len(sb):
        return [matmul(a, each) for each in b]
    if len(sa) > len(sb):
        return [matmul(each, b) for each in a]
    n = max(sa[0], sb[0])
    return [matmul(a[i % sa[0]], b[i % sb[0]]) for i in range(n)]


def conv2d(
    x: Nested, w: Nested, b: Nested = None, stride: Any = (1, 1), padding: Any = (0, 0),
    dilation: Any = (1, 1), groups: int = 1,
) -> Nested:  # fmt: skip
    """y[n][o][i][j] = b[o] + Σ x[n][c][i·s + k·d - p]… · w[o][c]…"""
    n, _, height, width = shape(x)
    out, per_group, kh, kw = shape(w)
    oh = (height + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (width + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1

    def entry(index: tuple[int, ...]) -> float:
        s, o, i, j = index
        first = o // (out // groups) * per_group
        terms = [b[o] if b is not None else 0.0]
        for c, u, v in indices((per_group, kh, kw)):
            row = i * stride[0] + u * dilation[0] - padding[0]
            column = j * stride[1] + v * dilation[1] - padding[1]
            if 0 <= row < height and 0 <= column < width:
                terms.append(x[s][first + c][row][column] * w[o][c][u][v])
        return math.fsum(terms)

    return build((n, out, oh, ow), entry)


def conv_transpose2d(
    x: Nested, w: Nested, b: Nested = None, stride: Any = (1, 1), padding: Any = (0, 0),
    output_padding: Any = (0, 0), groups: int = 1, dilation: Any = (1, 1),
) -> Nested:  # fmt: skip
    """Every input element paints the kernel, times its value, onto the output."""
    n, channels, height, width = shape(x)
    _, per_group, kh, kw = shape(w)
    oh = (height - 1) * stride[0] - 2 * padding[0] + dilation[0] * (kh - 1) + output_padding[0] + 1
    ow = (width - 1) * stride[1] - 2 * padding[1] + dilation[1] * (kw - 1) + output_padding[1] + 1
    out = build((n, per_group * groups, oh, ow), lambda i: 0.0 if b is None else b[i[1]])
    for s, c, i, j in indices((n, channels, height, width)):
        first = c // (channels // groups) * per_group
        for o, u, v in indices((per_group, kh, kw)):
            row = i * stride[0] + u * dilation[0] - padding[0]
            column = j * stride[1] + v * dilation[1] - padding[1]
            if 0 <= row < oh and 0 <= column < ow:
                out[s][first + o][row][column] += x[s][c][i][j] * w[c][o][u][v]
    return out


# Pooling. f sees the values of a window that lie in the input, and how many places it has in the
# padded input.


def pool2d(
    f: Any, x: Nested, size: Any, stride: Any, padding: Any = (0, 0), dilation: Any = (1, 1),
    ceil_mode: bool = False,
) -> Nested:  # fmt: skip
    n, channels, *plane = shape(x)
    counts = []
    for d in range(2):
        room = plane[d] + 2 * padding[d] - dilation[d] * (size[d] - 1) - 1
        count = (math.ceil(room / stride[d]) if ceil_mode else room // stride[d]) + 1
        if ceil_mode and (count - 1) * stride[d] >= plane[d] + padding[d]:
            count -= 1  # a window must start in the input or its left padding
        counts.append(count)

    def entry(index: tuple[int, ...]) -> float:
        s, c, i, j = index
        values, places = [], 0
        for u, v in indices(tuple(size)):
            row = i * stride[0] + u * dilation[0] - padding[0]
            column = j * stride[1] + v * dilation[1] - padding[1]
            places += row < plane[0] + padding[0] and column < plane[1] + padding[1]
            if 0 <= row < plane[0] and 0 <= column < plane[1]:
                values.append(x[s][c][row][column])
        return f(values, places)  # type: ignore[no-any-return]

    return build((n, channels, *counts), entry)


def max_pool2d(x: Nested, size: Any, stride: Any, **options: Any) -> Nested:
    return pool2d(lambda values, _: max(values), x, size, stride, **options)


def avg_pool2d(
    x: Nested, size: Any, stride: Any, count_include_pad: bool = True, divisor: int | None = None,
    **options: Any,
) -> Nested:  # fmt: skip
    def mean_of(values: list[float], places: int) -> float:
        return math.fsum(values) / (divisor or (places if count_include_pad else len(values)))

    return pool2d(mean_of, x, size, stride, **options)


def adaptive_pool2d(f: Any, x: Nested, output: tuple[int, int]) -> Nested:
    """Cell i of an axis covers floor(i·n/cells) up to, not including, ceil((i+1)·n/cells)."""
    n, channels, *plane = shape(x)

    def entry(index: tuple[int, ...]) -> float:
        s, c, *cell = index
        spans = [
            range(cell[d] * plane[d] // output[d], math.ceil((cell[d] + 1) * plane[d] / output[d]))
            for d in range(2)
        ]
        return f([x[s][c][i][j] for i, j in product(*spans)])  # type: ignore[no-any-return]

    return build((n, channels, *output), entry)


# Normalisation.


def normalized(values: list[float], eps: float) -> list[float]:
    """(x - mean)/√(biased variance + eps)."""
    centre, spread = mean(values), math.sqrt(var(values, 0) + eps)
    return [(v - centre) / spread for v in values]


def over_groups(group_of: Any, x: Nested, f: Any) -> Nested:
    """f of the values of each group of positions, put back where they came from."""
    groups: dict[Any, list[tuple[int, ...]]] = {}
    for index in indices(shape(x)):
        groups.setdefault(group_of(index), []).append(index)
    out: dict[tuple[int, ...], float] = {}
    for members in groups.values():
        out |= zip(members, f([at(x, i) for i in members]), strict=True)
    return build(shape(x), out.__getitem__)


def group_statistics_norm(
    x: Nested, group_of: Any, gamma: Nested = None, beta: Nested = None, eps: float = 1e-5
) -> Nested:
    """Batch, instance and group norm: only the positions that share statistics differ."""
    x_hat = over_groups(group_of, x, lambda values: normalized(values, eps))
    return build(
        shape(x),
        lambda i: at(x_hat, i) * (gamma[i[1]] if gamma else 1.0) + (beta[i[1]] if beta else 0.0),
    )


def batch_norm(x: Nested, gamma: Nested = None, beta: Nested = None, eps: float = 1e-5) -> Nested:
    return group_statistics_norm(x, lambda i: i[1], gamma, beta, eps)


def batch_norm_eval(
    x: Nested, mean: Nested, variance: Nested, gamma: Nested = None, beta: Nested = None,
    eps: float = 1e-5,
) -> Nested:  # fmt: skip
    def entry(i: tuple[int, ...]) -> float:
        c = i[1]
        x_hat = (at(x, i) - mean[c]) / math.sqrt(variance[c] + eps)
        return x_hat * (gamma[c] if gamma else 1.0) + (beta[c] if beta else 0.0)

    return build(shape(x), entry)


def layer_norm(
    x: Nested, axes: int, gamma: Nested = None, beta: Nested = None, eps: float = 1e-5
) -> Nested:
    """Over the last `axes` axes, gamma and beta of their shape."""
    lead = len(shape(x)) - axes
    x_hat = over_groups(lambda i: i[:lead], x, lambda values: normalized(values, eps))

    def entry(i: tuple[int, ...]) -> float:
        scale = at(gamma, i[lead:]) if gamma else 1.0
        return at(x_hat, i) * scale + (at(beta, i[lead:]) if beta else 0.0)

    return build(shape(x), entry)


def rms_norm(x: Nested, axes: int, gamma: Nested = None, eps: float = 2.0**-52) -> Nested:
    lead = len(shape(x)) - axes

    def scaled(values: list[float]) -> list[float]:
        root = math.sqrt(mean([v * v for v in values]) + eps)
        return [v / root for v in values]

    x_hat = over_groups(lambda i: i[:lead], x, scaled)
    return build(shape(x), lambda i: at(x_hat, i) * (at(gamma, i[lead:]) if gamma else 1.0))


# Losses.


def reduced(values: list[float], reduction: str) -> Any:
    if reduction == "none":
        return values
    total = math.fsum(values)
    return total / len(values) if reduction == "mean" else total


def cross_entropy(
    x: Nested, targets: list[int], weight: Nested = None, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """x is (N, C). The mean divides by the sum of the targets' weights."""
    losses, weights = [], []
    classes = shape(x)[1]
    for scores, t in zip(log_softmax(x, 1), targets, strict=True):
        if t == ignore_index:
            losses.append(0.0)
            continue
        w = weight or [1.0] * classes
        uniform = -math.fsum(w[c] * scores[c] for c in range(classes)) / classes
        losses.append((1 - label_smoothing) * -w[t] * scores[t] + label_smoothing * uniform)
        weights.append(w[t])
    if reduction == "mean":
        return math.fsum(losses) / math.fsum(weights)
    return reduced(losses, reduction)


def soft_cross_entropy(x: Nested, targets: Nested, reduction: str = "mean") -> Any:
    """x and targets are (N, C), the targets probabilities."""
    rows = zip(log_softmax(x, 1), targets, strict=True)
    return reduced(
        [-math.fsum(p * q for p, q in zip(a, b, strict=True)) for a, b in rows], reduction
    )
