"""remember(): a tape that can be looked at after its backward, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from minigrad import modes
from minigrad.pieces import whole
from minigrad.tape import ARRAYS, Array, Node
from minigrad.tensor import Tensor
from minigrad.visual import vjps
from minigrad.visual.vjps import address


class Input(NamedTuple):
    """One input of an operation."""

    node: Node | None  # if gradients go there
    value: Any  # a copy of the array; a number as it is
    address: int  # of the array's memory, by which it may have a name; of a number 0


class Kept:
    """What is kept of one operation. All arrays are copies: as they were, whatever came after."""

    __slots__ = ("backend", "codes", "gradient", "held", "inputs", "output", "parents", "parts")

    output: Array
    inputs: list[Input]
    parents: tuple[Node | None, ...]
    held: dict[str, Array]
    codes: list[CodeType]
    backend: str
    gradient: Array | None  # of the output, once backward has passed
    parts: list[Array | None]  # of the parents


@contextmanager
def remember() -> Iterator[None]:
    """Keep what the operations in the block compute, so that `graph` and `explore` can show it.

    Of each recorded operation: its inputs and output, what it holds for backward, the line of your
    source and the layers that ran it; and once a backward has passed, also outside the block, the
    gradients. All of it are copies, which live as long as the loss does: for looking at a step, not
    for training.
    """
    with modes.watched_by(_Memory()):
        yield


class _Memory(modes.Observer):
    def __init__(self) -> None:
        # (address, bytes, dtype) -> the array that is there, kept alive, and its copy
        self._copies: dict[tuple[int, int, str], tuple[Array, Array]] = {}

    def made(self, node: Node, out: Array, inputs: Sequence[Any]) -> None:
        if node.vjp is None:  # it was not recorded
            return
        kept = Kept()
        kept.output = self._copy(out)
        kept.inputs = [self._input(x) for x in inputs]
        kept.parents = node.parents
        kept.held = {name: self._copy(a) for name, a in vjps.held(node.vjp).items()}
        kept.codes = vjps.codes(node.vjp)
        kept.backend = vjps.backend_of(node.vjp)
        kept.gradient, kept.parts = None, []
        node.origin.kept = kept
        node.vjp = _noting(node.vjp, kept)

    def _input(self, x: Any) -> Input:
        array = x.array if isinstance(x, Tensor) else x
        if not isinstance(array, np.ndarray):
            return Input(None, array, 0)
        return Input(x.node if isinstance(x, Tensor) else None, self._copy(array), address(array))

    def _copy(self, array: Array) -> Array:
        """A copy; the same one for the same memory, for as long as that does not change."""
        if not array.flags.c_contiguous:
            return array.copy()
        key = (address(array), array.nbytes, array.dtype.str)
        if key in self._copies:
            _, copy = self._copies[key]
            if np.array_equal(copy, array.reshape(-1), equal_nan=True):
                return copy.reshape(array.shape)
        copy = array.flatten()
        self._copies[key] = (array, copy)
        return copy.reshape(array.shape)


def _noting(vjp: Callable[[Any], Any], kept: Kept) -> Callable[[Any], Any]:
    """The same vjp; it notes the gradients that pass."""

    def noting(g: Any) -> Any:
        kept.gradient = np.array(g)  # before the vjp, which may overwrite it
        parts = vjp(g)
        several = [whole(p) for p in (parts if isinstance(parts, tuple | list) else (parts,))]
        kept.parts = [np.array(p) if isinstance(p, ARRAYS) else None for p in several]
        return parts

    return noting
