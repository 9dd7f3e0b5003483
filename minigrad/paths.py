"""Which part of a graph lies between some of its outputs and some of its inputs."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any


def between(outputs: Sequence[Any], wanted: Set[Any], used_up: Any) -> dict[Any, bool]:
    """The nodes below `outputs` that lead to a `wanted` one, those included: {node: whether its vjp
    must run}.

    What lies behind a wanted node, or beside the way to it, is left alone and stays for a later
    walk: so a graph can be differentiated with respect to its middle, and from there on again. A
    node that is `used_up` has lost its parents, so a wanted one may be behind it: if it is younger
    than one of them it counts as leading there, and running it says what is wrong.
    """
    oldest = min((node.time for node in wanted), default=0)
    below, stack = set(outputs), list(outputs)
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent not in below and parent.time >= oldest:
                below.add(parent)
                stack.append(parent)
    path = dict.fromkeys(wanted, False)
    for node in sorted(below, key=lambda node: node.time):  # after all that it is made of
        if node.vjp is used_up or any(parent in path for parent in node.parents):
            path[node] = True
    return path
