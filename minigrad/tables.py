"""Tables as text, and numbers with units."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence


def aligned(head: Sequence[str], rows: Iterable[Sequence[str]], sides: str) -> str:
    """A table as text: columns two blanks apart, left ("l") or right ("r")."""
    rows = [head, *rows]
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]

    def placed(text: str, width: int, side: str) -> str:
        blanks = " " * (width - _width(text))
        return text + blanks if side == "l" else blanks + text

    return "\n".join("  ".join(map(placed, row, widths, sides)).rstrip() for row in rows)


def _width(text: str) -> int:
    """In columns of a terminal, where Korean letters, say, take two."""
    return len(text) + sum(unicodedata.east_asian_width(c) in "WF" for c in text)


def seconds(t: float) -> str:
    """Three digits and a unit: 1.23 ms."""
    for unit in ("s", "ms"):
        if t >= 1:
            return f"{t:.3g} {unit}" if t < 1000 else f"{t:.0f} {unit}"
        t *= 1000
    return f"{t:.0f} µs"


def size(n: float) -> str:
    """Three digits and a unit: 12.8 kB."""
    for unit in ("B", "kB", "MB"):
        if n < 999.5:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"
