"""Convolution and pooling over three axes, D, H and W, by what there is for two.

The depth is taken apart from the planes. Pooling does the planes first, then the depth: a maximum
of maxima is the maximum, and a mean over all is the mean of means (the numbers of elements, that
they are divided by, multiply). A convolution adds up over the taps of its depth just as it does
over channels:

    y[n, o, t] = Σ_c Σ_k w[o, c, k] * x[n, c, s·t + d·k]        * over H and W

so with the planes that output plane t needs as C·KD channels, it is conv2d of N·OD images. In its
transpose, what tap k makes of input plane i is added to output plane s·i + d·k: conv_transpose2d of
N·D images gives O·KD planes for each of them, which are added up there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.checks import integer, integers
from minigrad.ops.adaptive import adaptive_avg_pool2d, adaptive_max
from minigrad.ops.arithmetic import add
from minigrad.ops.conv import check_ranks, conv2d, conv_transpose2d
from minigrad.ops.folding import fold
from minigrad.ops.joining import pad
from minigrad.ops.linear import matrices
from minigrad.ops.pooling import (
    avg_pool2d,
    max_pool2d,
    windows_per_axis,
)
from minigrad.ops.shape import permute, reshape, squeeze, transpose, unfold, unsqueeze
from minigrad.recording import require
from minigrad.tensor import Tensor, wrap


def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """3-d convolution of x (N, C, D, H, W) or (C, D, H, W) with weight (O, C/groups, KD, KH, KW).

    `padding` may be "same" (stride 1) or "valid". Returns (N, O, OD, OH, OW).
    """
    name = "conv3d"
    check_ranks(name, input, weight, bias, 3)
    if input.ndim == 4:
        x = unsqueeze(input, 0)
        return squeeze(conv3d(x, weight, bias, stride, padding, dilation, groups), 0)
    steps, taps = integers(name, "stride", stride, 3), integers(name, "dilation", dilation, 3)
    groups = integer(name, "groups", groups)
    spans = [d * (k - 1) + 1 for d, k in zip(taps, weight.shape[2:], strict=True)]
    around = _padding(name, padding, steps, spans)
    _check_conv(name, input, weight, bias, groups, around, spans)
    # The planes' own padding costs nothing, if it is the same on both sides.
    even = all(before == after for before, after in around[1:])
    within = tuple(before for before, _ in around[1:]) if even else (0, 0)
    beside = [around[0], *([(0, 0)] * 2 if even else around[1:])]
    amounts = [n for pair in reversed(beside) for n in pair]
    x = pad(input, amounts) if any(amounts) else input
    o, in_group, depth, height, width = weight.shape
    planes = unfold(x, 2, spans[0], steps[0])[..., :: taps[0]]  # (N, C, OD, H, W, KD)
    n, c, out_depth, h, w, _ = planes.shape
    images = reshape(permute(planes, 0, 2, 1, 5, 3, 4), n * out_depth, c * depth, h, w)
    kernel = reshape(weight, o, in_group * depth, height, width)
    y = conv2d(images, kernel, bias, steps[1:], within, taps[1:], groups)  # (N·OD, O, OH, OW)
    return permute(reshape(y, n, out_depth, *y.shape[1:]), 0, 2, 1, 3, 4)


def _padding(
    name: str, padding: Any, stride: tuple[int, ...], spans: list[int]
) -> list[tuple[int, int]]:
    """What is added before and after each axis."""
    if not isinstance(padding, str):
        return [(p, p) for p in integers(name, "padding", padding, 3, 0)]
    if padding not in ("same", "valid"):
        raise ValueError(f"{name}: padding must be 'same', 'valid' or integers, got {padding!r}")
    if padding == "valid":
        return [(0, 0)] * 3
    if set(stride) != {1}:
        raise ValueError(f"{name}: padding='same' needs stride 1, got {stride}")
    return [((s - 1) // 2, s - 1 - (s - 1) // 2) for s in spans]


def _check_conv(
    name: str, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, around: Any, spans: Any
) -> None:
    _, w, *rest = matrices(name, *((x, weight) if bias is None else (x, weight, bias)))
    if x.shape[1] != w.shape[1] * groups or w.shape[0] % groups:
        raise RuntimeError(
            f"{name}: groups={groups}, weight of shape {w.shape}: expected an input with "
            f"{w.shape[1] * groups} channels and output channels divisible by groups, got input "
            f"shape {x.shape}"
        )
    if rest and rest[0].shape != w.shape[:1]:
        raise RuntimeError(f"{name}: bias of shape {rest[0].shape}, expected ({w.shape[0]},)")
    padded = tuple(n + sum(p) for n, p in zip(x.shape[2:], around, strict=True))
    if any(n < s for n, s in zip(padded, spans, strict=True)):
        raise RuntimeError(
            f"{name}: the kernel {w.shape[2:]} reaches over {tuple(spans)}, more than the padded "
            f"input {padded}"
        )


def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The gradient of conv3d with respect to its input, as a layer.

    x (N, C, D, H, W) or (C, D, H, W), weight (C, O/groups, KD, KH, KW);
    OD = (D - 1)·stride - 2·padding + dilation·(KD - 1) + output_padding + 1, OH and OW alike.
    """
    name = "conv_transpose3d"
    check_ranks(name, input, weight, bias, 3)
    if input.ndim == 4:
        x = unsqueeze(input, 0)
        options = (stride, padding, output_padding, groups, dilation)
        return squeeze(conv_transpose3d(x, weight, bias, *options), 0)
    step, *steps = integers(name, "stride", stride, 3)
    cut, *cuts = integers(name, "padding", padding, 3, 0)
    more, *extra = integers(name, "output_padding", output_padding, 3, 0)
    gap, *gaps = integers(name, "dilation", dilation, 3)
    groups = integer(name, "groups", groups)
    matrices(name, *((input, weight) if bias is None else (input, weight, bias)))
    n, c, depth, *size = input.shape
    in_channels, out_group, taps, *kernel = weight.shape
    if c != in_channels or c % groups:
        raise RuntimeError(
            f"{name}: input of shape {input.shape}, weight of shape {weight.shape} and "
            f"groups={groups} do not fit: expected weight (in_channels, out_channels/groups, KD, "
            "KH, KW)"
        )
    o = out_group * groups
    if bias is not None and bias.shape != (o,):
        raise RuntimeError(f"{name}: bias of shape {bias.shape}, expected ({o},)")
    whole = (depth - 1) * step + gap * (taps - 1) + 1  # of which padding is cut off
    if more >= max(step, gap):
        raise RuntimeError(
            f"{name}: output_padding {more} must be smaller than stride {step} or dilation {gap}"
        )
    if whole - 2 * cut + more < 1:
        raise RuntimeError(f"{name}: the output of depth {whole - 2 * cut + more} would be empty")
    images = reshape(transpose(input, 1, 2), n * depth, c, *size)
    filters = reshape(weight, c, out_group * taps, *kernel)
    y = conv_transpose2d(images, filters, None, steps, cuts, extra, groups, gaps)
    height, width = y.shape[2:]  # y is (N·D, O·KD, OH, OW)
    y = permute(reshape(y, n, depth, o, taps, height * width), 0, 2, 4, 3, 1)
    columns = reshape(y, n, o * height * width * taps, depth)
    y = fold(columns, (whole, 1), (taps, 1), (gap, 1), 0, (step, 1))  # (N, O·OH·OW, whole, 1)
    y = reshape(y, n, o, height, width, whole)
    y = permute(pad(y, (-cut, more - cut)), 0, 1, 4, 2, 3)
    return y if bias is None else add(y, reshape(bias, o, 1, 1, 1))


def _check(name: str, x: Any) -> None:
    require(name, input=x)
    if x.dtype.kind == "b":
        raise RuntimeError(f"{name}: bool tensors are not supported: convert with .float()")
    if x.ndim not in (4, 5) or 0 in x.shape[-4:]:
        raise RuntimeError(
            f"{name}: expected (N, C, D, H, W) or (C, D, H, W), only N may be 0, got shape "
            f"{x.shape}"
        )


def _steps(name: str, stride: Any, size: tuple[int, ...]) -> tuple[int, ...]:
    """The stride, which is the kernel size if it is not given."""
    return size if stride in (None, (), []) else integers(name, "stride", stride, 3)


def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest value in each window; with return_indices also its flat position in the
    volume."""
    name = "max_pool3d"
    _check(name, input)
    size = integers(name, "kernel_size", kernel_size, 3)
    steps, dilation = _steps(name, stride, size), integers(name, "dilation", dilation, 3)
    padding = integers(name, "padding", padding, 3, 0)
    windows_per_axis(name, input.shape[-3:], size, steps, padding, dilation, ceil_mode)
    *stack, c, d, h, w = input.shape
    x = reshape(input, *stack, c * d, h, w)
    y, place = max_pool2d(x, size[1:], steps[1:], padding[1:], dilation[1:], ceil_mode, True)
    oh, ow = y.shape[-2:]
    rows = reshape(y, *stack, c, d, oh * ow)
    kernel, step, around, apart = (size[0], 1), (steps[0], 1), (padding[0], 0), (dilation[0], 1)
    y, depth = max_pool2d(rows, kernel, step, around, apart, ceil_mode, True)
    out = reshape(y, *stack, c, y.shape[-2], oh, ow)
    if not return_indices:
        return out
    at = depth.array // (oh * ow)  # which plane each maximum is in; then, where it is in there
    inside = np.take_along_axis(place.array.reshape(*stack, c, d, oh * ow), at, -2)
    return out, wrap((at * (h * w) + inside).reshape(out.shape))


def avg_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window."""
    name = "avg_pool3d"
    _check(name, input)
    size = integers(name, "kernel_size", kernel_size, 3)
    steps, padding = _steps(name, stride, size), integers(name, "padding", padding, 3, 0)
    windows_per_axis(name, input.shape[-3:], size, steps, padding, (1, 1, 1), ceil_mode)
    if divisor_override is not None and not integer(
        name, "divisor_override", divisor_override, None
    ):
        raise ValueError(f"{name}: divisor_override must not be zero")
    first = None if divisor_override is None else 1
    *stack, c, d, h, w = input.shape
    x = reshape(input, *stack, c * d, h, w)
    y = avg_pool2d(x, size[1:], steps[1:], padding[1:], ceil_mode, count_include_pad, first)
    oh, ow = y.shape[-2:]
    rows = reshape(y, *stack, c, d, oh * ow)
    kernel, step, around = (size[0], 1), (steps[0], 1), (padding[0], 0)
    y = avg_pool2d(rows, kernel, step, around, ceil_mode, count_include_pad, divisor_override)
    return reshape(y, *stack, c, y.shape[-2], oh, ow)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Means over a grid of output_size cells; cell i covers floor(i·D/OD) to ceil((i+1)·D/OD)."""
    name = "adaptive_avg_pool3d"
    _check(name, input)
    od, oh, ow = _cells(name, input, output_size, 0)
    *stack, c, d, h, w = input.shape
    y = adaptive_avg_pool2d(reshape(input, *stack, c * d, h, w), (oh, ow))
    if not oh * ow:
        return reshape(y, *stack, c, d, oh, ow)[..., :od, :, :]
    y = adaptive_avg_pool2d(reshape(y, *stack, c, d, oh * ow), (od, oh * ow))
    return reshape(y, *stack, c, od, oh, ow)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over a grid of output_size cells, on request with their flat positions in the volume;
    see adaptive_avg_pool3d."""
    name = "adaptive_max_pool3d"
    _check(name, input)
    out = adaptive_max(name, input, _cells(name, input, output_size, 1))
    return out if return_indices else out[0]


def _cells(name: str, x: Tensor, output_size: Any, least: int) -> tuple[int, ...]:
    """The sizes of the grid; None keeps the input's."""
    given = output_size if isinstance(output_size, tuple | list) else (output_size,) * 3
    if len(given) != 3:
        raise ValueError(f"{name}: output_size must be one size or three, got {output_size!r}")
    wanted = [n if o is None else o for o, n in zip(given, x.shape[-3:], strict=True)]
    return integers(name, "output_size", wanted, 3, least)
