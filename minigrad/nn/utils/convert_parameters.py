"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from minigrad.ops.joining import cat
from minigrad.ops.shape import reshape
from minigrad.recording import require
from minigrad.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters in one vector; gradients pass."""
    return cat([reshape(p, -1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Let parameters be parts of a vector, one after the other, and share its memory.

    Raises:
        RuntimeError: the vector is too short; no parameter has changed.
    """
    name = "vector_to_parameters"
    require(name, vec=vec)
    tensors = list(parameters)
    total = sum(p.numel() for p in tensors)
    if vec.ndim != 1 or vec.numel() < total:
        raise RuntimeError(f"{name}: expected a vector of {total} elements, got shape {vec.shape}")
    line, at = vec.detach(), 0
    for p in tensors:
        size = p.numel()
        p.data = reshape(line[at : at + size], p.shape).detach()
        at += size
