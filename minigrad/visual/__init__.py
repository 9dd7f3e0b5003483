"""Looking at a graph: as a picture, step by step in a page, and at what it costs.

None of this is loaded before it is used. `memory` is what remember() keeps; `graphs` makes the data
of a picture, `layout` and `svg` draw it; `source`, `equations` and `derivation` read what the
source says of an op; `story` tells the steps of a page, and `page` writes it; `timing` measures.
"""

from minigrad.visual.graphs import Graph, graph
from minigrad.visual.memory import remember
from minigrad.visual.page import explore
from minigrad.visual.timing import profile

__all__ = ["Graph", "explore", "graph", "profile", "remember"]
