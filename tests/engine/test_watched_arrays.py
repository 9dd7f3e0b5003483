"""Every array of the user's that a vjp keeps is one that the watch for changes in place finds.

Searched are the operations of the case table, and, on arrays that are large enough for compiled
loops, those of the bench.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import pytest
from cases import SAMPLES

import minigrad as mg
from bench import ops
from minigrad.closures import arrays_in

PLAIN = (ModuleType, type, str, int, float, np.dtype, np.generic)


def reached(value: Any, seen: dict[int, Any]) -> Iterator[np.ndarray]:
    """All arrays that a value leads to, through attributes of any object, too."""
    if id(value) in seen or isinstance(value, PLAIN):
        return
    seen[id(value)] = value
    if isinstance(value, np.ndarray):
        yield value
        return
    if isinstance(value, FunctionType):
        inner = [c.cell_contents for c in value.__closure__ or ()] + list(value.__defaults__ or ())
    elif isinstance(value, MethodType):
        inner = [value.__self__, value.__func__]
    elif isinstance(value, functools.partial):
        inner = [value.func, *value.args, *value.keywords.values()]
    elif isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        inner = list(value)
    else:
        slots = [s for kind in type(value).__mro__ for s in getattr(kind, "__slots__", ())]
        inner = [*getattr(value, "__dict__", {}).values()]
        inner += [getattr(value, s) for s in slots if s[0] != "_" and hasattr(value, s)]
    for item in inner:
        yield from reached(item, seen)


def unwatched(given: list[Any], outs: Any) -> list[str]:
    """The operations of a graph whose vjps keep an array of these tensors out of sight."""
    outs = [o for o in (outs if isinstance(outs, list | tuple) else [outs])
            if isinstance(o, mg.Tensor)]  # fmt: skip
    users = [t.array for t in (*given, *outs)]
    todo, done, found = [o.node for o in outs if o.node is not None], {0}, []
    while todo:
        node: Any = todo.pop()
        if id(node) in done:
            continue
        done.add(id(node))
        todo += [p for p in node.parents if p is not None]
        for f in node.vjp if isinstance(node.vjp, tuple) else (node.vjp,):
            known = {id(a) for a in arrays_in(f)}
            hidden = [a for a in reached(f, {}) if id(a) not in known and a.size]
            if any(np.may_share_memory(a, u) for a in hidden for u in users):
                found.append(node.name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["numba", "numpy"])
def test_of_the_case_table(kernels: str) -> None:
    seen = 0
    with mg.use_kernels(kernels):
        for sample in SAMPLES:
            if sample.case.differentiable:
                xs = [mg.from_numpy(a).requires_grad_() for a in sample.arrays()]
                assert unwatched(xs, sample.run(mg, xs)) == [], sample
                seen += 1
    assert seen > 1000


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [c for c in ops.CASES if c.shape == (32_768,)], ids=lambda c: c.kind
)
def test_of_large_arrays(case: Any) -> None:
    given = [a if isinstance(a, int) else mg.from_numpy(a) for a in ops.inputs(case)]
    tensors = [t for t in given if isinstance(t, mg.Tensor)]
    for t in tensors:
        if t.is_floating_point():
            t.requires_grad_()
    assert unwatched(tensors, ops.OPS[case.kind][1](mg, *given)) == []


def test_an_array_in_an_object_is_found() -> None:
    class Box:
        def __init__(self, a: Any) -> None:
            self.a = a

    x = mg.ones(3, requires_grad=True)
    box = Box(x.array)
    from minigrad.recording import record

    y = record("boxed", x.array * 2, (x,), lambda g: (g * box.a,))
    assert unwatched([x], y) == ["boxed"]
