"""PyTorch's `torch.multiprocessing`, for scripts that import it and then do without: how many
processors there are, and settings of processes. What would start or feed a process says what to
write instead."""

from __future__ import annotations

from multiprocessing import cpu_count, get_start_method, set_start_method
from typing import NoReturn

from minigrad.names import NoAttribute

__all__ = [
    "cpu_count", "get_all_sharing_strategies", "get_sharing_strategy", "get_start_method",
    "set_sharing_strategy", "set_start_method",
]  # fmt: skip


def get_all_sharing_strategies() -> set[str]:
    """The strategies that `set_sharing_strategy` takes."""
    return {"file_descriptor", "file_system"}


def get_sharing_strategy() -> str:
    """PyTorch's default; nothing depends on it, as no tensor is shared between processes."""
    return "file_descriptor"


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepted: no tensor is shared between processes."""
    if new_strategy not in get_all_sharing_strategies():
        raise ValueError(
            "set_sharing_strategy: expected 'file_descriptor' or 'file_system', got "
            f"{new_strategy!r}"
        )


def __getattr__(name: str) -> NoReturn:
    instead = (
        ": tensors are not shared between processes: use threads, which share memory, or "
        "minigrad.distributed under mpiexec"
    )
    raise NoAttribute("module 'minigrad.multiprocessing'", name, tuple, instead)
