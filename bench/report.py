"""The rows as a table in the terminal, as Markdown, and as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from .rows import Row, Spread, spread

T = TypeVar("T")

TITLES = {
    "nets": "Whole networks at 32 x 32, one SGD step",
    "scripts": "Networks as people's scripts have them, one SGD step",
    "norm": "Normalisation, forward and backward, float32",
    "conv": "3 x 3 convolutions and 2 x 2 pooling, forward and backward, float32",
    "train": "One SGD step: forward, loss, backward, update",
    "engine": "A chain of 100 elementwise operations, per operation",
    "ops": "Operations at three sizes, forward and backward, float32",
    "convs": "Convolutions as networks have them, forward and backward, float32",
    "products": "Matrix products, forward and backward, float32",
    "recurrent": "Recurrent layers over whole sequences, forward and backward, float32",
    "startup": "A fresh process",
    "memory": "Memory, in fresh processes",
    "threads": "The numba path on 1, 2 and 4 threads",
    "distributed": "Data parallel: a step of a conv net on several processes, 32 samples each",
}
LABELS = {"numba": "numba path", "numpy": "numpy path"}


def value(number: float, unit: str) -> str:
    """A number with its unit, in three digits."""
    if unit == "s":
        for scale, name in ((1, "s"), (1e-3, "ms")):
            if number >= scale:
                return f"{number / scale:.3g} {name}"
        return f"{number / 1e-6:.3g} us"
    if unit == "fraction":
        return f"{100 * number:.0f} %"
    if unit == "count":
        return f"{number:.0f}"
    return f"{number:.3g} {unit}".strip()


def ratio(s: Spread) -> str:
    """The median, and between which values the middle half of the rounds lies."""
    median, low, high = (f"{x:.2f}" if x >= 0.1 else f"{x:.2g}" for x in s)
    return f"{median} [{low}, {high}]"


def three(s: Spread) -> str:
    """The middle of some numbers, which may be of any size."""
    return f"{s.median:.3g} [{s.low:.3g}, {s.high:.3g}]"


def target(row: Row) -> str:
    if row.target is None:
        return ""
    sign = ">=" if row.target.least else "<="
    if row.target.of == "ratio":
        return f"{sign} {row.target.bound:g}"
    return f"{sign} {value(row.target.bound, row.unit)}"


def beside_numpy(row: Row) -> str:
    """How the numba path compares with the numpy path: the factor it is faster by."""
    gains = row.ratios("numpy", "numba")
    if not gains or row.unit != "s" or row.suite == "threads" or "minigrad" in row.values:
        return ""
    gain = spread(gains)
    return f"{gain.median:.2g}x" + (", numpy wins" if gain.high < 1 else "")


def title(rows: Sequence[Row]) -> str:
    n = rows[0].threads
    return TITLES[rows[0].suite] + (f", on {n} thread{'s' * (n > 1)}" if n else "")


def columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in (*row.values, *row.refused)))


def cells(row: Row, names: Sequence[str]) -> list[str]:
    """A row of the table: name, ratio, target, verdict, each contender's value, two remarks."""
    ratios = row.ratios(row.subject, row.base) if row.base != row.subject else None
    shown = [
        "WRONG" if n in row.refused
        else value(median(row.values[n]), row.unit) if n in row.values and row.unit
        else ""
        for n in names
    ]  # fmt: skip
    fraction = row.fraction(row.subject)
    return [
        row.name, ratio(spread(ratios)) if ratios else "", target(row), row.verdict, *shown,
        beside_numpy(row), "" if fraction is None else f"{100 * fraction:.0f} %",
    ]  # fmt: skip


def head(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    subject, base = next(((r.subject, r.base) for r in rows if r.base), (rows[0].subject, None))
    over = f"{subject} / {base}" if base else ""
    compared = "numba vs numpy" if any(map(beside_numpy, rows)) else ""
    limit = f"{subject} of limit" if any(row.limit for row in rows) else ""
    return ["", over, "target", "", *names, compared, limit]


def grid(rows: Sequence[Row]) -> list[list[str]]:
    """Head and cells, without the columns that say nothing."""
    names = columns(rows)
    lines = [head(rows, names), *(cells(row, names) for row in rows)]
    kept = [i for i in range(len(lines[0])) if any(line[i] for line in lines)]
    return [[line[i] for i in kept] for line in lines]


def table(rows: Sequence[Row]) -> str:
    """One suite, for the terminal."""
    lines = grid(rows)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [title(rows), ""]
    for line in lines:
        padded = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  " + "  ".join(padded).rstrip())
    for row in rows:
        text += [f"  WRONG {row.name.strip()}, {n}: {why}" for n, why in row.refused.items()]
    first = {row.name: row.first["numba"] for row in rows if "numba" in row.first}
    if first:
        slowest = max(first, key=lambda name: first[name])
        text.append(
            f"  first calls of the numba path, not counted above (they compile, or load from the "
            f"cache): {sum(first.values()):.2f} s, of which {slowest} {first[slowest]:.2f} s"
        )
    return "\n".join(text)


def groups(rows: Iterable[Row], key: Callable[[Row], T]) -> dict[T, list[Row]]:
    found: dict[T, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def markdown(rows: Sequence[Row], description: Sequence[str], notes: Sequence[str]) -> str:
    """The tables of README.md."""
    text = [" ".join([*description, *(f"Note: {note}." for note in notes)])]
    for own in groups(rows, lambda row: (row.suite, row.threads)).values():
        first, *lines = grid(own)
        text += ["", f"**{title(own)}**", ""]
        text.append("| " + " | ".join(LABELS.get(cell, cell) for cell in first) + " |")
        text.append("|" + "---|" * len(first))
        for line in lines:
            bold = ["**MISSED**" if cell == "MISSED" else cell.strip() for cell in line]
            text.append("| " + " | ".join(bold) + " |")
    return "\n".join([*text, "", summary(rows)])


def described(machine: dict[str, Any], limits: dict[str, float]) -> list[str]:
    """The machine and its measured limits, a sentence each."""
    n = machine["threads"]
    threads = f"{n} threads" if n > 1 else "1 thread"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    text = [
        f"{machine['cpu']}, {machine['cores']} cores, {threads}, {machine['date'][:10]}.",
        f"Python {machine['python']}, {versions}.",
    ]
    if limits:
        counts = sorted({1, n})
        copy = " and ".join(f"{limits[f'copy_GB_per_s_{k}']:.1f}" for k in counts)
        gemm = " and ".join(f"{limits[f'gemm_GFLOP_per_s_{k}']:.0f}" for k in counts)
        on = " and ".join(map(str, counts)) + (" threads" if n > 1 else " thread")
        text.append(f"On {on} the machine copies {copy} GB/s and multiplies {gemm} GFLOP/s.")
    text.append(f"BLAS: {'; '.join(machine['blas']) or 'unknown'}.")
    return text


def compared(rows: Sequence[Row], earlier: Mapping[tuple[str, str, int], Any]) -> str:
    """Line by line this run and an earlier one: do they agree?

    They do where the middle halves overlap. In how many rows the median of one lies among the
    rounds of the other, between the least and the greatest, is counted, too.
    """
    lines = [["", "this run", "earlier", ""]]
    agreeing = among = 0
    for row in rows:
        now, before = row.measured(), earlier.get((row.suite, row.name, row.threads))
        if not now or not before:
            continue
        a, b = spread(now), spread(before)
        agree = a.low <= b.high and b.low <= a.high
        agreeing += agree
        among += min(now) <= b.median <= max(now) or min(before) <= a.median <= max(before)
        lines.append([row.name, three(a), three(b), "" if agree else "DIFFERS"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["Median and middle half of what was measured: a ratio where there is one", ""]
    for line in lines:
        padded = [cell.ljust(w) for cell, w in zip(line, widths, strict=True)]
        text.append("  " + "  ".join(padded).rstrip())
    return "\n".join([
        *text, "",
        f"{agreeing} of {len(lines) - 1} rows agree within their spread: middle halves overlap. "
        f"In {among} the median of one lies among the other's rounds.",
    ])  # fmt: skip


def summary(rows: Sequence[Row]) -> str:
    counts = {v: sum(row.verdict == v for row in rows) for v in ("met", "MISSED", "WRONG")}
    text = f"Targets: {counts['met']} met, {counts['MISSED']} missed"
    if unknown := sum(row.verdict == "unknown" for row in rows):
        text += f", {unknown} not judged (they are ratios to torch)"
    if busy := sum(row.verdict == "busy" for row in rows):
        text += f", {busy} not judged (other processes took too much of the machine)"
    if wrong := sum(bool(row.refused) for row in rows):
        text += f"; {wrong} rows have WRONG results, which were not timed"
    return text + "."


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Beside its place first, then moved there: nobody reads half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
