"""Power-average pooling: the p-norm of each window."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minigrad.checks import integers, number
from minigrad.ops.arithmetic import abs, mul, neg, where
from minigrad.ops.compare import eq
from minigrad.ops.elementary import pow
from minigrad.ops.pooling import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from minigrad.ops.volumes import avg_pool3d, max_pool3d
from minigrad.recording import require
from minigrad.tensor import Tensor


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """(Σ x^p)^(1/p) over each window of (N, C, L) or (C, L), p being norm_type; see `lp_pool2d`."""
    name = "lp_pool1d"
    size = integers(name, "kernel_size", kernel_size, 1)
    return _lp_pool(name, input, norm_type, size, stride, ceil_mode, avg_pool1d, max_pool1d)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """(Σ x^p)^(1/p) over each window of (N, C, H, W) or (C, H, W), p being norm_type.

    As in PyTorch these are powers of x, not of |x|: with an odd p only where x >= 0 is it the
    p-norm. For inf it is the largest |x|, for -inf the smallest. The gradient at a sum of 0 is 0. A
    window that ceil_mode lets overhang counts as one with so many elements of its own mean.
    """
    name = "lp_pool2d"
    size = integers(name, "kernel_size", kernel_size, 2)
    return _lp_pool(name, input, norm_type, size, stride, ceil_mode, avg_pool2d, max_pool2d)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """(Σ x^p)^(1/p) over each window of (N, C, D, H, W) or (C, D, H, W); see `lp_pool2d`."""
    name = "lp_pool3d"
    size = integers(name, "kernel_size", kernel_size, 3)
    return _lp_pool(name, input, norm_type, size, stride, ceil_mode, avg_pool3d, max_pool3d)


def _lp_pool(
    name: str, x: Tensor, norm_type: float, size: tuple[int, ...], stride: Any, ceil_mode: bool,
    means: Callable[..., Tensor], peaks: Callable[..., Tensor],
) -> Tensor:  # fmt: skip
    require(name, input=x)
    p = number(name, "norm_type", norm_type)
    if p == 0:
        raise ValueError(f"{name}: norm_type must not be 0")
    if p == math.inf:
        return peaks(abs(x), size, stride, ceil_mode=ceil_mode)
    if p == -math.inf:
        return neg(peaks(neg(abs(x)), size, stride, ceil_mode=ceil_mode))
    total = mul(means(pow(x, p), size, stride, ceil_mode=ceil_mode), math.prod(size))
    zero = eq(total, 0)
    return where(zero, 0, pow(where(zero, 1, total), 1 / p))
