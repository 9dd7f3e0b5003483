"""A laid out graph as SVG: text, with its own style, for light and dark pages."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

from minigrad.visual.layout import Layout, label

# Okabe and Ito's colours, which people with any colour vision can tell apart; kinds also differ in
# the form of their boxes and in their border.
STYLE = """
.mg-graph{--ink:#1c2024;--soft:#5c6670;--line:#8a949e;--frame:#c3cad1;--paper:#fff;
 --op:#e3f0f9;--op-line:#0072b2;--leaf:#fdf1dc;--leaf-line:#b26a00;--data:#f3f4f6;
 --data-line:#737d87;background:var(--paper);
 font-family:system-ui,-apple-system,"Segoe UI",sans-serif}
@media(prefers-color-scheme:dark){.mg-graph{--ink:#e8ecf0;--soft:#a3adb7;--line:#7c8792;
 --frame:#48515b;--paper:#15181c;--op:#10304a;--op-line:#56b4e9;--leaf:#3d2c0d;--leaf-line:#e69f00;
 --data:#23282e;--data-line:#8a949e}}
.mg-graph rect{stroke-width:1.5}.mg-graph text{fill:var(--ink);text-anchor:middle}
.mg-graph .name{font-size:13px;font-weight:600}
.mg-graph .shape{font-size:11px;fill:var(--soft);font-family:ui-monospace,Menlo,Consolas,monospace}
.mg-graph .op rect{fill:var(--op);stroke:var(--op-line)}
.mg-graph .leaf rect{fill:var(--leaf);stroke:var(--leaf-line)}
.mg-graph .data rect{fill:var(--data);stroke:var(--data-line);stroke-dasharray:4 3}
.mg-graph .edge{fill:none;stroke:var(--line);stroke-width:1.5}
.mg-graph .head{fill:var(--line)}
.mg-graph .frame rect{fill:none;stroke:var(--frame)}
.mg-graph .frame text{font-size:11px;fill:var(--soft);text-anchor:start;
 paint-order:stroke;stroke:var(--paper);stroke-width:4px}
"""
ROUND = {"op": 5, "leaf": 20, "data": 2}


def draw(vertices: Sequence[Any], placed: Layout, style: bool = True) -> str:
    """The picture. Vertices are <g id="v3">, edges <path id="e2-3">, for a page's script and style.

    Args:
        vertices: with `number`, `kind`, `name`, `description` and `layer`.
        placed: where they are.
        style: put the style in.
    """
    left, top, right, bottom = placed.sides
    size = f'width="{right - left:.0f}" height="{bottom - top:.0f}"'
    view = f'viewBox="{left:.1f} {top:.1f} {right - left:.1f} {bottom - top:.1f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="mg-graph" role="img" {size} {view}>',
        f"<title>A graph of {len(vertices)} boxes</title>",
    ]
    if style:
        parts.append(f"<style>{STYLE}</style>")
    for _, (x, y, right, bottom) in placed.frames:
        size = f'width="{right - x:.1f}" height="{bottom - y:.1f}"'
        parts.append(f'<g class="frame"><rect x="{x:.1f}" y="{y:.1f}" {size} rx="8"/></g>')
    for (source, user), path in placed.paths.items():
        name = f"{source.number}-{user.number}"
        parts.append(f'<path class="edge" id="e{name}" d="{path}"/>{_head(name, path)}')
    for title, (x, y, _, _) in placed.frames:  # over the edges
        text = f'<text x="{x + 8:.1f}" y="{y + 15:.1f}">{html.escape(title)}</text>'
        parts.append(f'<g class="frame">{text}</g>')
    parts += [_box(v, *placed.boxes[v].sides) for v in vertices]
    return "\n".join([*parts, "</svg>"])


def _head(name: str, path: str) -> str:
    """An arrow's head at the end of a path, which comes from above or, ending in C, from the left.

    (A <marker> would need an id that is the only one of its page.)
    """
    if path.rpartition("V")[2].count(" "):  # its last command is no V
        x, y = map(float, path.split()[-2:])
        points = f"{x:.1f},{y:.1f} {x - 7:.1f},{y - 3.5:.1f} {x - 7:.1f},{y + 3.5:.1f}"
    else:
        before, _, end = path.rpartition("V")
        x, y = float(re.findall(r"-?[\d.]+", before)[-2]), float(end)
        points = f"{x:.1f},{y:.1f} {x - 3.5:.1f},{y - 7:.1f} {x + 3.5:.1f},{y - 7:.1f}"
    return f'<polygon class="head" id="h{name}" points="{points}"/>'


def _box(v: Any, left: float, top: float, right: float, bottom: float) -> str:
    middle, tip = (left + right) / 2, f"{v.name} {v.description}"
    if v.layer:
        tip += f" in {v.layer}"
    return (
        f'<g class="{v.kind}" id="v{v.number}"><title>{html.escape(tip)}</title>'
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}" rx="{ROUND[v.kind]}"/>'
        f'<text class="name" x="{middle:.1f}" y="{top + 18:.1f}">'
        f"{html.escape(label(v.name))}</text>"
        f'<text class="shape" x="{middle:.1f}" y="{top + 34:.1f}">'
        f"{html.escape(v.description)}</text></g>"
    )
