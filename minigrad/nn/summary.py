"""summary(): what a network is made of, and how large what passes through it is."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minigrad.incoming import is_array, taken
from minigrad.modes import frozen_stats, no_grad
from minigrad.nn.module import Module
from minigrad.nn.parameter import UninitializedParameter
from minigrad.ops.random import get_rng_state, set_rng_state
from minigrad.tables import aligned, size
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap


class Row:
    """What is known of one module."""

    def __init__(self, path: str, module: Module) -> None:
        self.path = path
        self.kind = type(module).__name__
        self.parameters = sum(p.numel() for p in module.parameters(recurse=False))
        self.calls = 0
        self.shapes: list[tuple[int, ...]] = []
        self.bytes = 0
        """Of its outputs, at every call."""
        self.runs = type(module).forward is not Module.forward  # a ModuleList has no forward
        self.inner = False
        """Whether it called modules that it consists of: their outputs are counted then, not its
        own. (MultiheadAttention reads its projection's weights, and calls nothing.)"""

    def see(self, output: Any) -> None:
        """A call has returned."""
        arrays = list(_arrays(output))
        self.calls += 1
        self.shapes = [a.shape for a in arrays]
        self.bytes += sum(a.nbytes for a in arrays)

    @property
    def shown(self) -> tuple[str, str, str, str]:
        """Its line in the table."""
        depth = self.path.count(".") + 1 if self.path else 0
        name = f"{'  ' * depth}{self.path.rpartition('.')[2]} {self.kind}" if depth else self.kind
        unused = "not called" if self.runs and not self.calls else ""
        shapes = ", ".join(map(str, self.shapes)) or unused
        times = f" x {self.calls}" if self.calls > 1 else ""
        memory = "" if self.inner or not self.calls else size(self.bytes)
        return name, shapes + times, f"{self.parameters:,}" if self.parameters else "", memory


class Summary:
    """Layers, output shapes, parameters and memory: `str()` is the table, `rows` its data."""

    def __init__(self, model: Module, rows: Sequence[Row]) -> None:
        self.rows = list(rows)
        tensors = list(model.parameters())
        self.parameters = sum(p.numel() for p in tensors)
        """Each counted once, however often it is used."""
        self.trainable = sum(p.numel() for p in tensors if p.requires_grad)
        self.parameter_bytes = sum(p.array.nbytes for p in tensors)
        self.buffer_bytes = sum(b.array.nbytes for b in model.buffers())
        self.output_bytes = sum(row.bytes for row in self.rows if not row.inner)
        """Of the outputs of all modules that called none of their own."""

    HEAD = ("layer", "output", "parameters", "memory")

    def _totals(self) -> list[str]:
        frozen = self.parameters - self.trainable
        counts = f"{self.parameters:,} parameters"
        counts += f" ({frozen:,} of them frozen)" if frozen else ""
        return [
            f"{counts}, {size(self.parameter_bytes)}; buffers {size(self.buffer_bytes)}",
            f"outputs of layers {size(self.output_bytes)}",
        ]

    def __str__(self) -> str:
        table = aligned(self.HEAD, [row.shown for row in self.rows], "llrr")
        return "\n".join([table, "", *self._totals()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        right = ("left", "left", "right", "right")
        rows = [("th", self.HEAD), *(("td", row.shown) for row in self.rows)]
        lines = [
            "<tr>"
            + "".join(
                f'<{tag} style="text-align:{side};white-space:pre">{html.escape(text)}</{tag}>'
                for text, side in zip(texts, right, strict=True)
            )
            + "</tr>"
            for tag, texts in rows
        ]
        totals = "<br>".join(map(html.escape, self._totals()))
        return f"<table>{''.join(lines)}</table><p>{totals}</p>"


def summary(model: Module, input: Any) -> Summary:
    """Run `model` once and tell its layers, the shapes they return, parameters and memory.

    It runs in evaluation, without gradients. No statistics move and no random numbers are drawn,
    and hooks and modes are as they were afterwards, also after an error. Hooks of your own run.

    Args:
        model: the network.
        input: a tensor or array, a tuple of them for several arguments, or the shape of one of
            zeros, with the size of the batch, such as (64, 1, 28, 28).

    Returns:
        A Summary, which prints as a table: one line a module; a module of modules counts only what
        is its own. Memory is that of the outputs, at every call.

    Raises:
        TypeError: a model that is no Module, or an input of another kind.
        ValueError: lazy layers that have not seen an input yet, and have no shapes.

    >>> found = nn.utils.summary(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), mg.ones(1, 4))
    >>> print(found)  # doctest: +NORMALIZE_WHITESPACE
    layer       output  parameters  memory
    Sequential  (1, 8)
      0 Linear  (1, 8)          40    32 B
      1 ReLU    (1, 8)                32 B
    <BLANKLINE>
    40 parameters, 160 B; buffers 0 B
    outputs of layers 64 B
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: model must be a Module, got {type(model).__name__}")
    lazy = [n for n, p in model.named_parameters() if isinstance(p, UninitializedParameter)]
    if lazy:
        raise ValueError(
            f"summary: {lazy[0]} of a lazy layer has no shape yet: run the model once on an input "
            "first"
        )
    inputs = _inputs(model, input)
    rows = {module: Row(path, module) for path, module in model.named_modules()}
    training = {module: module.training for module in rows}
    state = get_rng_state()
    handles = [module.register_forward_hook(_see(row)) for module, row in rows.items()]
    try:
        for module in rows:
            module.training = False
        with no_grad(), frozen_stats(model):
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode
        set_rng_state(state)
    called = [row.path for row in rows.values() if row.calls]
    for row in rows.values():
        start = f"{row.path}." if row.path else ""
        row.inner = any(path != row.path and path.startswith(start) for path in called)
    return Summary(model, list(rows.values()))


def _see(row: Row) -> Any:
    def hook(module: Module, args: tuple[Any, ...], output: Any) -> None:
        row.see(output)

    return hook


def _inputs(model: Module, given: Any) -> tuple[Any, ...]:
    if is_array(given) and not isinstance(given, np.generic):
        return (_tensor(given),)
    if isinstance(given, tuple | list) and given:
        if all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in given):
            kinds = (p.dtype for p in model.parameters() if p.is_floating_point())
            return (wrap(np.zeros(tuple(given), next(kinds, np.dtype(np.float32)))),)
        if all(map(is_array, given)):
            return tuple(map(_tensor, given))
    raise TypeError(
        "summary: input must be a tensor, a tuple of tensors, or a shape such as (64, 1, 28, 28), "
        f"got {given!r}"
    )


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else wrap(taken("summary", x))


def _arrays(value: Any) -> Iterator[Array]:
    """Those in what a module returned."""
    if isinstance(value, Tensor):
        yield value.array
    elif isinstance(value, Mapping):
        yield from _of_all(value.values())
    elif isinstance(value, tuple | list):
        yield from _of_all(value)


def _of_all(values: Iterable[Any]) -> Iterator[Array]:
    for value in values:
        yield from _arrays(value)
