"""Tables as text, and numbers with units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence


def aligned(head: Sequence[str], rows: Iterable[Sequence[str]], sides: str) -> str:
    """A table as text: columns two blanks apart, left ("l") or right ("r")."""
    rows = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    place: dict[str, Callable[[str, int], str]] = {"l": str.ljust, "r": str.rjust}
    return "\n".join(
        "  ".join(place[s](t, w) for t, w, s in zip(row, widths, sides, strict=True)).rstrip()
        for row in rows
    )


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
