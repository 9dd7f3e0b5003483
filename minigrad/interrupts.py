"""Ctrl-C at a point where nothing is half done.

Python raises KeyboardInterrupt wherever the main thread happens to be, so also between a
parameter that has been updated and one that has not. What is to happen as a whole runs inside
`with deferred():`, which lets the interrupt wait for the block's end.
"""

from __future__ import annotations

# What the module signal calls after turning numbers into enums, which takes ten times as long.
import _signal  # type: ignore[import-not-found]
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

SIGINT: int = _signal.SIGINT


class deferred:
    """Let an interrupt wait until the block has ended, and then do what it would have done.

    In the main thread, the only one that Python interrupts, the handler of SIGINT is exchanged for
    the time of the block: Python's own, or another that Python code has set. Where the signal is
    ignored, or ends the process without asking Python, all stays as it is. Costs a microsecond.

    Args:
        insistent: let a second interrupt through at once, where the block may wait for a disk or a
            pipe and so never end. `check()` then is for points at which the block may be left.
    """

    __slots__ = ("_came", "_handler", "_insistent")

    def __init__(self, insistent: bool = False) -> None:
        self._insistent = insistent
        self._handler: Callable[[int, FrameType | None], Any] | None = None
        self._came: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            handler = _signal.getsignal(SIGINT)
            if callable(handler):
                self._handler = handler
                _signal.signal(SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self._came = self._came is not None, (number, frame)
        if again and self._insistent:
            self.check()

    def check(self) -> None:
        """Do now what an interrupt that has come would do at the end: usually raise."""
        if self._came is not None and self._handler is not None:
            came, self._came = self._came, None
            self._handler(*came)

    def __exit__(self, *error: object) -> None:
        if self._handler is not None:
            if _signal.getsignal(SIGINT) == self._note:  # else the block has set another
                _signal.signal(SIGINT, self._handler)
            self.check()
