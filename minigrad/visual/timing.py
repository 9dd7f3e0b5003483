"""profile(): what each operation and each layer costs."""

from __future__ import annotations

import html
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from minigrad import modes
from minigrad.tables import aligned, seconds, size
from minigrad.visual import vjps
from minigrad.visual.names import Names

OUTSIDE = "outside of layers"


class Cost:
    """What the calls of one operation, or of one layer, cost together."""

    def __init__(self) -> None:
        self.calls = 0
        """How often it ran; of what runs outside of layers, 0."""
        self.forward = 0.0
        """Seconds."""
        self.backward = 0.0
        """Seconds."""
        self.kept = 0
        """Bytes of the arrays held for backward, of all calls together."""
        self.kernels: set[str] = set()
        """ "numba", "numpy": what computed it."""


class profile(modes.Observer):
    """Measure the operations of a block, and print a table per operation and per layer at its end.

        with minigrad.profile() as p:
            train()

    Forward time runs from the end of the operation before, or from the start of the layer, until
    the operation is recorded: what your own code does in between counts, too. Backward time is that
    of the walk, with its sums; it counts for the layer that the operation ran in. "Kept" is the
    memory of what is held for backward. Times and memory are of all calls together. A layer's row
    has what it does itself, without the layers in it. Kernels compile at their first call:
    `minigrad.warmup()` before. Operations of other threads are not seen.

    `ops` and `layers` have the numbers as `Cost` by name; `str()` gives the table.

    Args:
        show: print the table at the end, also after an error.

    >>> with mg.profile(show=False) as p:
    ...     _ = nn.Linear(3, 2)(mg.ones(5, 3))
    >>> p.ops["linear"].calls, p.ops["linear"].kept  # 5·3 float32 values of the input
    (1, 60)
    """

    replaces = False
    lines = False

    def __init__(self, show: bool = True) -> None:
        self.ops: dict[str, Cost] = {}
        self.layers: dict[str, Cost] = {}
        self.seconds = 0.0
        self._show = show
        self._names: dict[Any, Names] = {}  # of each outermost layer
        self._runs = Counter[str]()  # how often a layer began to run
        self._own = 0.0  # seconds spent in here
        self._blocks: list[tuple[AbstractContextManager[None], float]] = []

    def __enter__(self) -> Self:
        block = modes.watched_by(self)
        block.__enter__()
        self._blocks.append((block, time.perf_counter()))
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        block, begin = self._blocks.pop()
        self.seconds += time.perf_counter() - begin
        block.__exit__(kind, error, tb)
        if self._show:
            print(self)

    # What an observer sees.

    def start(self, layers: tuple[Any, ...] = ()) -> None:
        now = time.perf_counter()
        if layers:
            self._runs[self._title(layers)] += 1
        self._restart(now)

    def made(self, node: Any, out: Any, inputs: Sequence[Any]) -> None:
        now = time.perf_counter()
        kept = vjps.kept_bytes(vjps.held(node.vjp).values())
        backend = vjps.backend_of(node.vjp) if node.vjp is not None else ""
        op, layer = self._costs(node)
        op.calls += 1
        layer.calls = self._runs[self._title(node.origin.layers)]
        for cost in (op, layer):
            cost.forward += now - self._clock
            cost.kept += kept
            cost.kernels |= {backend} - {""}
        self._restart(now)

    def passed(self, node: Any, grads: Sequence[Any]) -> None:
        now = time.perf_counter()
        for cost in self._costs(node):
            cost.backward += now - self._clock
        self._restart(now)

    def _restart(self, now: float) -> None:
        self._clock = time.perf_counter()
        self._own += self._clock - now

    def _costs(self, node: Any) -> tuple[Cost, Cost]:
        layers = node.origin.layers if node.origin is not None else ()
        return (
            self.ops.setdefault(node.name, Cost()),
            self.layers.setdefault(self._title(layers), Cost()),
        )

    def _title(self, layers: tuple[Any, ...]) -> str:
        if not layers:
            return OUTSIDE
        if layers[0] not in self._names:
            self._names[layers[0]] = Names(layers[0])
        names = self._names[layers[0]]
        path, kind = names.layers.get(layers[-1], ""), type(layers[-1]).__name__
        return f"{path} · {kind}" if path else kind

    # Its text.

    def __str__(self) -> str:
        """A table of operations and one of layers, the dearest first."""
        if not self.ops:
            return "profile: no operation ran in this block"
        forward = sum(cost.forward for cost in self.ops.values())
        backward = sum(cost.backward for cost in self.ops.values())
        other = max(0.0, self.seconds - self._own - forward - backward)
        rest = f"elsewhere: {seconds(other)} (optimiser, data, your own code)"
        return "\n".join([_table("op", self.ops), "", _table("layer", self.layers), "", rest])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def _table(what: str, costs: dict[str, Cost]) -> str:
    dearest = sorted(costs.items(), key=lambda item: -item[1].forward - item[1].backward)
    total = sum(cost.forward + cost.backward for cost in costs.values()) or 1.0
    rows = [
        (
            name, "" if name == OUTSIDE else str(c.calls), seconds(c.forward), seconds(c.backward),
            f"{100 * (c.forward + c.backward) / total:.0f} %",
            size(c.kept), ", ".join(sorted(c.kernels)),
        )
        for name, c in dearest
    ]  # fmt: skip
    every = costs.values()
    rows.append((
        "total", "", seconds(sum(c.forward for c in every)),
        seconds(sum(c.backward for c in every)), "", size(sum(c.kept for c in every)), "",
    ))  # fmt: skip
    head = (what, "calls", "forward", "backward", "share", "kept", "kernels")
    return aligned(head, rows, "lrrrrrl")
