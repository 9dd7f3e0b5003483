"""How the figures of the examples look."""

from typing import Any

from cycler import cycler

# Okabe and Ito's colours, which people with any colour vision can tell apart.
COLOURS = {
    "blue": "#0072B2", "orange": "#D55E00", "green": "#009E73", "pink": "#CC79A7",
    "yellow": "#E69F00", "sky": "#56B4E9", "black": "#222222", "grey": "#999999",
}  # fmt: skip
STYLE: dict[Any, Any] = {
    "axes.prop_cycle": cycler(color=list(COLOURS.values())),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titlelocation": "left",
    "axes.titlesize": "large",
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "font.size": 11,
    "figure.titlesize": "x-large",
    "figure.titleweight": "bold",
}
