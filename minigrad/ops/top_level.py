"""What PyTorch has at its top level, with other arguments, under names of `nn.functional`; and of
a method that is none of the ops."""

from __future__ import annotations

from typing import Any

from minigrad.checks import integer
from minigrad.ops import embeddings, losses, norm
from minigrad.recording import require
from minigrad.tensor import Tensor


def batch_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None,
    running_var: Tensor | None, training: bool, momentum: float, eps: float, cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    """`F.batch_norm`; cudnn_enabled changes nothing."""
    return norm.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None,
    running_var: Tensor | None, use_input_stats: bool, momentum: float, eps: float,
    cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    """`F.instance_norm`; cudnn_enabled changes nothing."""
    return norm.instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )


def embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:  # fmt: skip
    """`F.embedding`, the table first; a padding_idx of -1 is none."""
    index = integer("embedding", "padding_idx", padding_idx, -1)
    return embeddings.embedding(
        indices, weight, None if index == -1 else index, None, 2.0, scale_grad_by_freq, sparse
    )


def kl_div(input: Tensor, target: Tensor, reduction: int = 1, *, log_target: bool = False) -> Any:
    """`F.kl_div` with a number for the reduction: 0 none, 1 the mean, 2 the sum."""
    which = integer("kl_div", "reduction", reduction, 0)
    if which > 2:
        raise ValueError(f"kl_div: reduction must be 0, 1 or 2, got {reduction}")
    return losses.kl_div(
        input, target, reduction=("none", "mean", "sum")[which], log_target=log_target
    )


def detach(input: Tensor) -> Tensor:
    """`input.detach()`: the same memory, cut off from the graph."""
    require("detach", input=input)
    return input.detach()
