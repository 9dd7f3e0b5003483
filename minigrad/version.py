"""The package's own version, and that of the PyTorch whose names and semantics it has."""

from __future__ import annotations

import re
from typing import Any

torch = "2.13.0"
cuda = hip = None  # as in a PyTorch that is built for the CPU


class Version(str):
    """A version that is compared as one, "0.10.0" > "0.9.0", and with minigrad's own alone.

    Scripts ask `torch.__version__ >= "1.5.0"` to choose between PyTorch's old ways and new ones;
    with only their imports changed, they would be sent to the old ones without a word.
    """

    __slots__ = ()

    def __lt__(self, other: Any) -> bool:
        return _parts(self) < self._own(other)

    def __le__(self, other: Any) -> bool:
        return _parts(self) <= self._own(other)

    def __gt__(self, other: Any) -> bool:
        return _parts(self) > self._own(other)

    def __ge__(self, other: Any) -> bool:
        return _parts(self) >= self._own(other)

    def _own(self, other: Any) -> list[int]:
        """The parts of another version of minigrad's, which is at none yet that PyTorch had."""
        if not isinstance(other, str):
            raise TypeError(f"minigrad.__version__: expected a string, got {type(other).__name__}")
        if (parts := _parts(other)) >= [1]:
            raise RuntimeError(
                f"minigrad.__version__ is {str(self)!r}, its own, and {other!r} is PyTorch's: "
                f"compare minigrad.version.torch, which is {torch!r}"
            )
        return parts


def _parts(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version.partition("+")[0])]


__version__ = Version("0.2.0")
