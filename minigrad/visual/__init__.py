"""Looking at a graph: as a picture, step by step in a page, and at what it costs.

None of this is loaded before it is used. `memory` is what remember() keeps; `graphs` makes the data
of a picture, `layout` and `svg` draw it; `source` and `equations` read what the source says.
"""

from minigrad.visual.graphs import Graph, graph
from minigrad.visual.memory import remember
from minigrad.visual.page import explore

__all__ = ["Graph", "explore", "graph", "remember"]
