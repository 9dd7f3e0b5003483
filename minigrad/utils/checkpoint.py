"""PyTorch's `torch.utils.checkpoint`, for scripts that save memory with it. Nothing is computed
twice here: a graph keeps what its formulas name, and backward frees it as it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from minigrad.checks import integer

T = TypeVar("T")

__all__ = ["checkpoint", "checkpoint_sequential", "get_device_states", "set_device_states"]


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


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """The generators' states of the devices that the tensors are on, besides the CPU: none, for
    reversible layers that keep them."""
    return [], []


def set_device_states(devices: Iterable[int], states: Iterable[Any]) -> None:
    """Set what `get_device_states` gave: nothing."""
    if list(devices) or list(states):
        raise ValueError("set_device_states: the CPU is the only device there is")


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
