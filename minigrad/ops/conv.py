"""Convolution (cross-correlation, as in every neural network) and its transpose.

With cols (N, C·KH·KW, L) holding every window of x as a column, L = OH·OW, it is a matrix product:

    forward     y = w @ cols                                                            (CONV 1)
    backward    dcols = wᵀ @ g,   dx = dcols added back window by window                (CONV 2)
                dw = Σ_n g @ colsᵀ                                                      (CONV 3)

Channels fall into groups that do not mix.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.checks import asked, integer, integers
from minigrad.ops.joining import pad as pad_op
from minigrad.ops.linear import matrices
from minigrad.ops.shape import squeeze, unsqueeze
from minigrad.recording import fit, needs_grad, record, require
from minigrad.tensor import Tensor

Ints = Any  # an int or a sequence of ints


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Ints = 1, padding: Any = 0,
    dilation: Ints = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """2-d convolution of x (N, C, H, W) or (C, H, W) with weight (O, C/groups, KH, KW).

    `padding` may be "same" (stride 1) or "valid". Returns (N, O, OH, OW). In float32 the numba path
    computes kernels two or three times as wide as the stride (3 x 3, or 4 x 4 at stride 2) with
    many channels by Winograd's F(2 x 2, 3 x 3) or F(2 x 2, 2 x 2): rounding errors are of the size
    of the largest pixel under the kernel, even if its weight is zero.
    """
    return _conv("conv2d", input, weight, bias, stride, padding, dilation, groups)


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Ints = 1, padding: Any = 0,
    dilation: Ints = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """1-d convolution of x (N, C, L) or (C, L) with weight (O, C/groups, K): conv2d on one row."""
    check_ranks("conv1d", input, weight, bias, 1)
    if not isinstance(padding, str):
        padding = (0, *integers("conv1d", "padding", padding, 1, 0))
    out = _conv(
        "conv1d", unsqueeze(input, -2), unsqueeze(weight, -2), bias,
        (1, *integers("conv1d", "stride", stride, 1)), padding,
        (1, *integers("conv1d", "dilation", dilation, 1)), groups,
    )  # fmt: skip
    return squeeze(out, -2)


def check_ranks(name: str, x: Tensor, weight: Tensor, bias: Any, spatial: int) -> None:
    """Raise unless these are tensors, and have so many spatial axes; x may lack the first axis."""
    require(name, input=x, weight=weight, **({} if bias is None else {"bias": bias}))
    if weight.ndim != spatial + 2 or x.ndim not in (spatial + 1, spatial + 2):
        raise RuntimeError(
            f"{name}: expected an input of {spatial + 1} or {spatial + 2} axes and a weight of "
            f"{spatial + 2}, got shapes {x.shape} and {weight.shape}"
        )


def _conv(
    name: str, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Ints, padding: Any,
    dilation: Ints, groups: int,
) -> Tensor:  # fmt: skip
    # y = x * W + b        dL/dx = g * Wᵀ        dL/dW = x * g        dL/db = Σ g over N, H, W
    check_ranks(name, x, weight, bias, 2)
    if x.ndim == 3:
        out = _conv(name, unsqueeze(x, 0), weight, bias, stride, padding, dilation, groups)
        return squeeze(out, 0)
    stride = integers(name, "stride", stride, 2)
    dilation = integers(name, "dilation", dilation, 2)
    groups = integer(name, "groups", groups, None)
    x, padding = _padding(name, x, weight, stride, padding, dilation)
    inputs = (x, weight) if bias is None else (x, weight, bias)
    a, w, *rest = matrices(name, *inputs)
    _, channels, *size = a.shape
    out_channels, in_group, *taps = w.shape
    if groups < 1 or channels != in_group * groups or out_channels % groups:
        raise RuntimeError(
            f"{name}: groups={groups}, weight of shape {w.shape}: expected an input with "
            f"{in_group * max(groups, 1)} channels and output channels divisible by groups, got "
            f"input shape {a.shape}"
        )
    if rest and rest[0].shape != (out_channels,):
        raise RuntimeError(f"{name}: bias of shape {rest[0].shape}, expected ({out_channels},)")
    for n, p, k, d in zip(size, padding, taps, dilation, strict=True):
        if n + 2 * p < d * (k - 1) + 1:
            raise RuntimeError(
                f"{name}: the kernel {tuple(taps)} (dilation {dilation}) is larger than the padded "
                f"input {tuple(n + 2 * p for n, p in zip(size, padding, strict=True))}"
            )
    backend = kernels.backend_for(a, w, *rest)
    settings = (stride, padding, dilation, groups)
    y = backend.conv2d(a, w, *settings, *rest)
    x_shape, w_shape = a.shape, w.shape
    b_dtype = rest[0].dtype if rest else a.dtype
    kept_w = w if needs_grad(x) else None
    kept_x = a if needs_grad(weight) else None
    need_b = needs_grad(bias)

    def vjp(g: Any) -> Any:
        dx = dw = db = None
        if kept_w is not None:
            dx = backend.conv2d_input_grad(g, kept_w, x_shape, *settings)
        if kept_x is not None:
            dw = backend.conv2d_weight_grad(g, kept_x, w_shape, *settings)
        if need_b:
            db = fit(_bias_grad(g), (g.shape[1],), b_dtype)
        return dx, dw, db

    return record(name, y, (x, weight, bias), vjp)


def _bias_grad(g: Any) -> Any:
    """Σ g over N, H and W: each plane in the dtype of g (einsum is quick at that), then float64."""
    planes = np.einsum("ncs->nc", g.reshape(*g.shape[:2], g.shape[2] * g.shape[3]))
    return planes.sum(0, dtype=np.result_type(g.dtype, np.float64))


def _padding(
    name: str, x: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any
) -> tuple[Tensor, tuple[int, ...]]:
    """The symmetric padding; what "same" needs beyond it is padded to x here, at the end."""
    if not isinstance(padding, str):
        return x, integers(name, "padding", padding, 2, 0)
    if padding == "valid":
        return x, (0, 0)
    if padding != "same":
        raise ValueError(f"{name}: padding must be 'same', 'valid' or integers, got {padding!r}")
    if stride != (1, 1):
        raise ValueError(f"{name}: padding='same' needs stride 1, got {stride}")
    total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    extra = [t % 2 for t in total]
    if any(extra):
        x = pad_op(x, (0, extra[1], 0, extra[0]))
    return x, tuple(t // 2 for t in total)


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Ints = 1, padding: Ints = 0,
    output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1,
) -> Tensor:  # fmt: skip
    """The gradient of conv2d with respect to its input, as a layer (also called deconvolution).

    x (N, C, H, W) or (C, H, W), weight (C, O/groups, KH, KW);
    OH = (H - 1)·stride - 2·padding + dilation·(KH - 1) + output_padding + 1.
    """
    # y = x * Wᵀ + b, so dL/dx is the convolution itself, and dL/dW has x and g exchanged
    name = "conv_transpose2d"
    check_ranks(name, input, weight, bias, 2)
    if input.ndim == 3:
        out = conv_transpose2d(
            unsqueeze(input, 0), weight, bias, stride, padding, output_padding, groups, dilation
        )
        return squeeze(out, 0)
    stride = integers(name, "stride", stride, 2)
    dilation = integers(name, "dilation", dilation, 2)
    groups = integer(name, "groups", groups, None)
    padding = integers(name, "padding", padding, 2, 0)
    extra = integers(name, "output_padding", output_padding, 2, 0)
    inputs = (input, weight) if bias is None else (input, weight, bias)
    a, w, *rest = matrices(name, *inputs)
    if groups < 1 or a.shape[1] != w.shape[0] or w.shape[0] % groups:
        raise RuntimeError(
            f"{asked(name)}: input of shape {a.shape}, weight of shape {w.shape} and "
            f"groups={groups} do not fit: expected weight (in_channels, out_channels/groups, KH, "
            "KW)"
        )
    out_channels = w.shape[1] * groups
    if rest and rest[0].shape != (out_channels,):
        raise RuntimeError(
            f"{asked(name)}: bias of shape {rest[0].shape}, expected ({out_channels},)"
        )
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise RuntimeError(
            f"{asked(name)}: output_padding {extra} must be smaller than stride {stride} or "
            f"dilation {dilation}"
        )
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(
            a.shape[2:], stride, padding, dilation, w.shape[2:], extra, strict=True
        )
    )
    if min(size) < 1:
        raise RuntimeError(f"{asked(name)}: the output of size {size} would be empty")
    backend = kernels.backend_for(a, w)
    settings = (stride, padding, dilation, groups)
    y = backend.conv2d_input_grad(a, w, (a.shape[0], out_channels, *size), *settings)
    if rest:
        y = y + rest[0].reshape(-1, 1, 1)
    w_shape, b_dtype = w.shape, rest[0].dtype if rest else a.dtype
    height, width = a.shape[2:]
    kept_w = w if needs_grad(input) else None
    kept_x = a if needs_grad(weight) else None
    need_b = needs_grad(bias)

    def vjp(g: Any) -> Any:
        dx = dw = db = None
        if kept_w is not None:
            dx = backend.conv2d(g, kept_w, *settings)
            dx = dx[:, :, :height, :width]  # larger where output_padding reaches the stride
        if kept_x is not None:
            dw = backend.conv2d_weight_grad(kept_x, g, w_shape, *settings)
        if need_b:
            db = fit(_bias_grad(g), (g.shape[1],), b_dtype)
        return dx, dw, db

    return record(name, y, (input, weight, bias), vjp)


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Ints = 1, padding: Ints = 0,
    output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1,
) -> Tensor:  # fmt: skip
    """The gradient of conv1d with respect to its input, as a layer: conv_transpose2d on one row.

    x (N, C, L) or (C, L), weight (C, O/groups, K);
    OL = (L - 1)·stride - 2·padding + dilation·(K - 1) + output_padding + 1.
    """
    name = "conv_transpose1d"
    check_ranks(name, input, weight, bias, 1)
    out = conv_transpose2d(
        unsqueeze(input, -2), unsqueeze(weight, -2), bias,
        (1, *integers(name, "stride", stride, 1)), (0, *integers(name, "padding", padding, 1, 0)),
        (0, *integers(name, "output_padding", output_padding, 1, 0)), groups,
        (1, *integers(name, "dilation", dilation, 1)),
    )  # fmt: skip
    return squeeze(out, -2)
