"""PyTorch's `torch.jit` and `torch.compile`, for scripts that decorate with them: kernels are
compiled as they are, so functions and models come back as they went in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

__all__ = [
    "Final", "annotate", "export", "ignore", "is_scripting", "is_tracing", "script",
    "script_method", "unused",
]  # fmt: skip


def compile(model: Any = None, **options: Any) -> Any:
    """The model, or function, itself, so that its state dict keeps its names. The options are
    accepted; with options alone it is a decorator."""
    return (lambda function: function) if model is None else model


def script(obj: T, *args: Any, **options: Any) -> T:
    """The function, class or module itself."""
    return obj


def script_method(fn: T) -> T:
    """The method itself."""
    return fn


def export(fn: T) -> T:
    """The method itself."""
    return fn


def unused(fn: T) -> T:
    """The method itself."""
    return fn


def ignore(drop: bool | Callable[..., Any] = False, **options: Any) -> Any:
    """The function itself; with options it is a decorator."""
    return drop if callable(drop) else (lambda function: function)


def annotate(the_type: Any, the_value: T) -> T:
    """The value; nothing is compiled that would need its type."""
    return the_value


def is_scripting() -> bool:
    """False."""
    return False


def is_tracing() -> bool:
    """False."""
    return False
