"""Functions by their names before PyTorch 0.4, which had no _ at their ends."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

from minigrad.checks import users_level

F = TypeVar("F", bound=Callable[..., Any])


def without_underscore(function: F) -> F:
    """The function by its older name, which warns that it is deprecated."""
    module, new = function.__module__.removeprefix("minigrad."), function.__name__
    old = new.removesuffix("_")

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        warnings.warn(
            f"{module}.{old} is deprecated, use {module}.{new} instead",
            FutureWarning,
            stacklevel=users_level(),
        )
        return function(*args, **options)

    call.__name__ = call.__qualname__ = old
    call.__doc__ = f"`{new}`, by its name before PyTorch 0.4."
    return cast("F", call)
