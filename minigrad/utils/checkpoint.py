"""PyTorch's `torch.utils.checkpoint`, for scripts that save memory with it. Nothing is computed
twice here: a graph keeps what its formulas name, and backward frees it as it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from minigrad.checks import integer

T = TypeVar("T")

__all__ = ["checkpoint", "checkpoint_sequential"]


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


def checkpoint_sequential(
    functions: Iterable[Callable[..., Any]],
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    *,
    preserve_rng_state: bool = True,
) -> Any:
    """`input` through one function after the other, those of a Sequential or a list, with the
    values and gradients that PyTorch has; the memory is that of plain calls. The options are
    accepted.

    Args:
        functions: what is called, the first with `input`, the others with what the one before gave.
        segments: in how many pieces PyTorch would cut them, from 1 to their number.
        input: what the first is given.
        use_reentrant: which way PyTorch takes; nothing depends on it.
        preserve_rng_state: whether PyTorch would draw the same numbers again; nothing is drawn
            twice.
    """
    steps = list(functions)
    segments = integer("checkpoint_sequential", "segments", segments)
    if segments > len(steps):
        raise ValueError(
            f"checkpoint_sequential: {len(steps)} functions cannot be cut into {segments} segments"
        )
    for function in steps:
        input = function(input)
    return input
