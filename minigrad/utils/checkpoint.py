"""PyTorch's `torch.utils.checkpoint`, for scripts that save memory with it. Nothing is computed
twice here: a graph keeps what its formulas name, and backward frees it as it goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

__all__ = ["checkpoint"]


def checkpoint(
    function: Callable[..., T],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    determinism_check: str = "default",
    debug: bool = False,
    **kwargs: Any,
) -> T:
    """`function(*args, **kwargs)`, with the values and gradients that it has in PyTorch; the memory
    is that of a plain call. The options are accepted."""
    return function(*args, **kwargs)
