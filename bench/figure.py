"""The picture: ratios to PyTorch with their targets, and how near the memory's speed norms come."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cases import BY_NAME
from .rows import Row, spread

COLORS = {"met": "tab:green", "MISSED": "tab:red", "": "tab:gray", "unknown": "tab:gray"}
ROOFLINE = {"numba": ("o", "tab:blue"), "numpy": ("s", "tab:orange"), "torch": ("D", "tab:red")}
WIDEST = 2.0  # longer bars end at the frame; their ratio stands beside it


def draw(rows: Sequence[Row], path: Path, caption: Sequence[str]) -> None:
    """Write the figure to `path`; its ending tells the format."""
    from matplotlib.figure import Figure

    bars = [
        row
        for row in rows
        if row.suite != "threads" and row.base != row.subject and row.ratios(row.subject, row.base)
    ]
    norms = [row for row in rows if row.limit and row.suite == "norm"]
    figure = Figure(figsize=(13, 2.6 + 0.27 * max(len(bars), len(norms), 8)), layout="constrained")
    panels = [(draw_ratios, bars, 1.5)] + ([(draw_fractions, norms, 1.0)] if norms else [])
    widths = [width for *_, width in panels]
    axes = figure.subplots(1, len(panels), width_ratios=widths, squeeze=False)[0]
    for own, (panel, shown, _) in zip(axes, panels, strict=True):
        panel(own, shown)
    figure.suptitle("\n".join(caption), fontsize=9)
    figure.legend(handles=legend(), fontsize=8, loc="outside lower left", ncols=7, frameon=False)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        figure.savefig(temporary, dpi=110)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def legend() -> list[Any]:
    from matplotlib.lines import Line2D

    bars = {"met": "target met", "MISSED": "target missed", "": "no target"}
    return [
        *[Line2D([], [], color=COLORS[v], linewidth=6, alpha=0.75, label=t)
          for v, t in bars.items()],
        Line2D([], [], color="black", linewidth=2.5, label="the target"),
        *[Line2D([], [], marker=marker, color=color, linewidth=0, label=name)
          for name, (marker, color) in ROOFLINE.items()],
    ]  # fmt: skip


def draw_ratios(axes: Any, rows: Sequence[Row]) -> None:
    """Bars of the subject, whiskers over the middle half of the rounds, a tick at the target."""
    for y, row in enumerate(rows):
        middle = spread(row.ratios(row.subject, row.base) or [])
        text = f" {middle.median:.2f}"
        axes.barh(y, middle.median, color=COLORS.get(row.verdict, "black"), alpha=0.75, height=0.6)
        axes.plot([middle.low, middle.high], [y, y], color="black", linewidth=1)
        other = row.ratios("numpy", row.base) if "numpy" not in (row.subject, row.base) else None
        if other:
            numpy = spread(other).median
            axes.plot(numpy, y, "s", color="tab:orange", markersize=4)
            text += f"   numpy path {numpy:.2g}"
        axes.text(WIDEST, y, text, va="center", fontsize=7)
        if row.target is not None and row.target.of == "ratio":
            axes.plot([row.target.bound] * 2, [y - 0.42, y + 0.42], color="black", linewidth=2.5)
    axes.axvline(1, color="0.4", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), [row.name.strip() for row in rows], fontsize=8)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.set_xlim(0, WIDEST)
    base = " or ".join(dict.fromkeys(str(row.base) for row in rows))
    axes.set_xlabel(f"ratio to {base}; shorter is better")
    axes.grid(axis="x", alpha=0.3)


def draw_fractions(axes: Any, rows: Sequence[Row]) -> None:
    """For each normalisation the part of a five-pass copy's speed that contenders reach."""
    for name, (marker, color) in ROOFLINE.items():
        reached = [row.fraction(name) for row in rows]
        points = [(100 * f, y) for y, f in enumerate(reached) if f is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker, color=color, label=name, markersize=5)
    axes.axvline(100, color="black", linewidth=1)
    for y, row in enumerate(rows):
        axes.axhline(y, color="0.9", linewidth=0.8, zorder=0)
        case = BY_NAME.get(row.name)
        if case is not None and case.floor is not None:
            axes.plot([100 * case.floor] * 2, [y - 0.4, y + 0.4], color="black", linewidth=2.5)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("per cent of five passes at the speed of a copy", fontsize=9)
    axes.set_title("Normalisation against the machine", fontsize=10)
