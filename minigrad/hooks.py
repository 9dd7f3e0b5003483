"""Handles of hooks, which take them off again."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any, Self


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook off again."""

    _ids = iter(range(sys.maxsize))

    def __init__(self, hooks: dict[int, Any], hook: Any, call: Any = None) -> None:
        """`call` is what calls the hook, if it is not called itself."""
        if not callable(hook):
            raise TypeError(f"a hook must be a function, got {type(hook).__name__}")
        self.hooks, self.id = hooks, next(self._ids)
        hooks[self.id] = hook if call is None else call

    def remove(self) -> None:
        """Take the hook off."""
        self.hooks.pop(self.id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register_post_accumulate_grad_hook(self: Any, hook: Callable[[Any], None]) -> RemovableHandle:
    """Call `hook(tensor)` in backward, when the gradients of all leaves have been collected: an
    optimiser's step may stand there."""
    leaf = self.leaf
    if leaf is None or self.node is not leaf:
        raise RuntimeError(
            "register_post_accumulate_grad_hook() is for leaves that require grad: others have no "
            ".grad, use register_hook()"
        )
    if leaf.after is None:
        leaf.after = {}
    known = weakref.ref(self)  # the leaf is the tensor's own, and must not keep it

    def call() -> None:
        if (tensor := known()) is not None:
            hook(tensor)

    return RemovableHandle(leaf.after, hook, call)
