"""Handles of hooks, which take them off again."""

from __future__ import annotations

import sys
from typing import Any, Self


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook off again."""

    _ids = iter(range(sys.maxsize))

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self.hooks, self.id = hooks, next(self._ids)
        hooks[self.id] = hook

    def remove(self) -> None:
        """Take the hook off."""
        self.hooks.pop(self.id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
