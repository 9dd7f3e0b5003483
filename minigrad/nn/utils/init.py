"""Modules without the work of initialising them."""

from __future__ import annotations

from typing import Any

from minigrad.nn.module import Module

__all__ = ["skip_init"]


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Module:
    """A module whose parameters are still to be filled, by load_state_dict for example.

    What they hold until then is not defined in PyTorch; here it is what the module's own
    initialisation draws, which moves the random state.

    Args:
        module_cls: the class.
        args, kwargs: what it is made with.
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise RuntimeError(f"skip_init: expected a class of modules, got {module_cls!r}")
    return module_cls(*args, **kwargs)
