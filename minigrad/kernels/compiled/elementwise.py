"""Elementwise operations on large arrays: one compiled pass each way, vectorised, threaded.

numpy computes a formula operation by operation, each a pass over memory of its own, on one thread.
Where arrays are large, the ops that are listed here run the formula of their forward, and that of
their backward, one element at a time. On small arrays and on the numpy path the op's own numpy
formula runs; that is the one to read. So it does in float64 where a formula has more than
arithmetic: functions.py has no float64 functions, and numpy's are as fast.

The formulas are lines of the tables in formulas.py. Each becomes a C function (machinery/jobs.py)
around a loop over a part of the arrays. They are written out as text, not made by a factory,
because numba keeps no closures on disk.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.compiled import functions, functions_of_two, functions_wide
from minigrad.kernels.compiled.formulas import LOSSES, PAIRS, PASSES, TRIPLES
from minigrad.kernels.compiled.functions import f4
from minigrad.kernels.machinery.arrays import Array, addresses_of
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import REORDERED, exact, ready, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import doubles, part

CHUNK = 1 << 12  # elements of one task: its arrays fit the first cache
ARITHMETIC = {"abs", "min", "max", "np.sqrt", "np.trunc"}


@exact
def slope_of_gelu_tanh(x, t):
    rest = f4(0.5) * x * (f4(1) - t * t)
    return f4(0.5) * (f4(1) + t) + rest * (f4(0.797884561) * (f4(1) + f4(0.134145) * x * x))


# ---------------------------------------------------------------------------- loops around formulas
# What a formula does not name is not read, so its address may be 0.

MAP = """
def {name}(t, jobs, first):
    job = carray(jobs, 1)[0]
    start = t * CHUNK
    n = min(CHUNK, job.n - start)
    xs, ys = part(job.x, first, start, n), part(job.y, first, start, n)
    gs, out = part(job.g, first, start, n), part(job.out, first, start, n)
    p, q, P, Q = number(job.p), number(job.q), job.p, int(job.q)
    for i in range(n):
        x, y, g = xs[i], ys[i], gs[i]
        out[i] = {formula}
"""
TOTAL = """
def {name}(t, jobs, first):
    job = carray(jobs, 1)[0]
    start = t * CHUNK
    n = min(CHUNK, job.n - start)
    xs, ys, p = part(job.x, first, start, n), part(job.y, first, start, n), number(job.p)
    total = 0.0
    for i in range(n):
        x, y = xs[i], ys[i]
        total += {formula}
    carray(doubles(job.out), t + 1)[t] = total
"""
# Rows of n elements, or `parts` parts of long ones. Row (o, m) of an operand lies at o·x_o + m·x_m,
# its elements x_n apart: 1, or 0 where one element serves the whole row.
ROWS = """
def {name}(t, jobs, first):
    job = carray(jobs, 1)[0]
    row0, start = t // job.parts * job.rows, t % job.parts * CHUNK
    n = min(CHUNK, job.n - start)
    p = number(job.p)
    for row in range(row0, min(row0 + job.rows, job.o * job.m)):
        o, m = row // job.m, row % job.m
        xs = part(job.x, first, o * job.x_o + m * job.x_m + start * job.x_n, n)
        ys = part(job.y, first, o * job.y_o + m * job.y_m + start * job.y_n, n)
        zs = part(job.z, first, o * job.z_o + m * job.z_m + start * job.z_n, n)
        out = part(job.out, first, row * job.n + start, n)
"""
# One loop for each way in which the operands may lie along a row: LLVM makes vectors of the loop
# if it knows.
ROW = """
        if {condition}:
            {fixed}
            for i in range(n):
                {moving}
                out[i] = {formula}
"""
WAYS = ((1, 1), (1, 0), (0, 1)), ((1, 1, 1), (1, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 0))


def written_out(operands: str) -> str:
    """The text for PAIRS ("xy") or TRIPLES ("xyz")."""
    text = ROWS
    for way in WAYS[len(operands) - 2]:
        steps = dict(zip(operands, way, strict=True))
        lines = [" and ".join(f"job.{v}_n == {step}" for v, step in steps.items())]
        for wanted, at in ((0, "0"), (1, "i")):
            names = [v for v, step in steps.items() if step == wanted]
            values = ", ".join(f"{v}s[{at}]" for v in names)
            lines.append(f"{', '.join(names)} = {values}" if names else "pass")
        text += ROW.format(condition=lines[0], fixed=lines[1], moving=lines[2], formula="{formula}")
    return text


PAIR, TRIPLE = written_out("xy"), written_out("xyz")
# What a job is told: sizes, where the arrays lie, strides, and the parameters.
FIELDS = ["n", "o", "m", "rows", "parts", "x", "y", "z", "g", "out"]
FIELDS += [f"{v}_{axis}" for v in "xyz" for axis in "omn"]
JOB = np.dtype([(name, np.int64) for name in FIELDS] + [("p", np.float64), ("q", np.float64)])
NUMBERS = Struct(f"{len(FIELDS)}q2d")  # which this lays side by side in a third of numpy's time
# The words that formulas and loops may use.
WORDS: dict[str, Any] = {
    "__name__": __name__, "CHUNK": CHUNK, "carray": carray, "doubles": doubles, "np": np,
    "part": part,
}  # fmt: skip
SCOPES: dict[str, dict[str, Any]] = {
    "f": {
        **vars(functions), **vars(functions_of_two), **vars(functions_wide), **WORDS,
        "number": f4, "slope_of_gelu_tanh": slope_of_gelu_tanh,
    },
    "d": {**WORDS, "number": np.float64},
}  # fmt: skip
_functions: dict[tuple[str, str, str], Any] = {}
EXACT, REORDER = frozenset[str](), frozenset(REORDERED)


def function(name: str, text: str, formula: str, char: str) -> Any:
    """The C function of a formula in this dtype, written when it is first asked for."""
    key, scope = (name, text, char), SCOPES[char]
    if key not in _functions:
        kind = {MAP: "map", TOTAL: "total", PAIR: "pair", TRIPLE: "triple"}[text]
        label = f"{kind}_{name.replace(' ', '_')}"
        formula = re.sub(r"(?<![\w.])(\d[\d.]*(e-\d+)?)", r"number(\1)", formula)
        exec(compile(text.format(name=label, formula=formula), __file__, "exec"), scope)
        _functions[key] = scope[label]
    return _functions[key]


@lru_cache
def serves_float64(name: str) -> bool:
    """Whether all the formulas of an operation are arithmetic, whose numbers no dtype rounds."""
    formulas = [
        *PASSES.get(name, ())[:2], *LOSSES.get(name, ())[:2], PAIRS.get(name, ""),
        *(text for key, text in TRIPLES.items() if key in (name, f"dx of {name}", f"dy of {name}")),
    ]  # fmt: skip
    return set(re.findall(r"([\w.]+)\(", " ".join(formulas))) <= ARITHMETIC


def _start(
    name: str, text: str, formula: str, tasks: int, work: int, sizes: tuple[int, ...],
    x: Array | None, y: Array | None, third: Array | None, out: Array,
    p: float = 0.0, q: float = 0.0,
    strides: tuple[int, ...] = (0,) * 9,
) -> None:  # fmt: skip
    """Hand out a job; `sizes` are its first fields, and the third array is z of a pair, else g."""
    places = addresses_of(x, y, third, third, out)
    job = np.frombuffer(bytearray(NUMBERS.pack(*sizes, *places, *strides, p, q)), np.int64)
    dtype, floats = (out if x is None else x).dtype, REORDER if text is TOTAL else EXACT
    code = address(function(name, text, formula, dtype.char), JOB, dtype, floats)
    run(serial, parallel, tasks, work, code, job, places[-1])


def _flat(n: int) -> tuple[int, ...]:
    return n, 1, 1, 1, 1


def forward(name: str, x: Array, p: float = 0.0, q: float = 0.0) -> Array:
    """The op's result for each element of x."""
    spec, x, y = PASSES[name], ready(x, x.dtype), empty(x.shape, x.dtype)
    n, tasks = x.size, -(-x.size // CHUNK)
    _start(name, MAP, spec.forward, tasks, n * spec.work, _flat(n), x, None, None, y, p, q)
    return y


def needs(name: str) -> tuple[bool, bool]:
    """Whether the backward of an op uses its input, and whether its result."""
    formula = PASSES[name].backward
    return bool(re.search(r"\bx\b", formula)), bool(re.search(r"\by\b", formula))


def backward(
    name: str, g: Array, x: Array | None, y: Array | None, p: float = 0.0, q: float = 0.0
) -> Array:
    """The gradient of each element of x, from that of the result; x or y as `needs` says."""
    spec, g, dx = PASSES[name], ready(g, g.dtype), empty(g.shape, g.dtype)
    x, y = (None if a is None else ready(a, g.dtype) for a in (x, y))
    n, tasks = g.size, -(-g.size // CHUNK)
    _start(
        f"{name}_backward", MAP, spec.backward, tasks, n * spec.work, _flat(n), x, y, g, dx, p, q
    )
    return dx


def loss(name: str, x: Array, target: Array, p: float = 0.0) -> float:
    """The sum of a loss over all elements, in float64, parts of it in order."""
    value, _, work = LOSSES[name]
    tasks, x, y = -(-x.size // CHUNK), ready(x, x.dtype), ready(target, x.dtype)
    parts = np.empty(tasks)
    _start(name, TOTAL, value, tasks, x.size * work, _flat(x.size), x, y, None, parts, p)
    return float(parts.sum())


def loss_slope(name: str, x: Array, target: Array, scale: float, p: float = 0.0) -> Array:
    """scale·dloss/dx of each element."""
    _, slope, work = LOSSES[name]
    n, formula, dtype = x.size, f"q * ({slope})", x.dtype
    tasks, x, y, dx = -(-n // CHUNK), ready(x, dtype), ready(target, dtype), empty(x.shape, dtype)
    _start(name, MAP, formula, tasks, n * work, _flat(n), x, y, None, dx, p, scale)
    return dx


def pair(name: str, x: Array, y: Array, p: float = 0.0) -> Array | None:
    """PAIRS[name] of arrays whose shapes broadcast. None if they lie so that no loop here fits
    them: more than three axes that cannot be merged, or elements apart."""
    return _of_rows(name, PAIR, PAIRS[name], p, x, y)


def triple(name: str, x: Array, y: Array, z: Array, p: float = 0.0) -> Array | None:
    """TRIPLES[name] of three arrays, as `pair`."""
    return _of_rows(name, TRIPLE, TRIPLES[name], p, x, y, z)


def _of_rows(name: str, text: str, formula: str, p: float, *arrays: Array) -> Array | None:
    shape = arrays[0].shape
    if any(a.shape != shape for a in arrays):
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
    axes = merged(shape, arrays)
    if axes is None or tuple(steps[-1] for steps in axes[1:]) not in WAYS[len(arrays) - 2]:
        return None
    (o, m, n), *strides = axes
    out = empty(shape, arrays[0].dtype)
    parts, rows = -(-n // CHUNK), max(1, CHUNK // max(n, 1))
    tasks, rows = (o * m * parts, 1) if parts > 1 else (-(-o * m // rows), rows)
    steps = sum(strides, ()) + (0, 0, 0) * (3 - len(arrays))
    x, y, *z = arrays
    third = z[0] if z else None
    work = 2 * out.size if "sigmoid" in formula else out.size
    _start(
        name, text, formula, tasks, work, (n, o, m, rows, parts), x, y, third, out, p,
        strides=steps,
    )  # fmt: skip
    return out


def merged(shape: tuple[int, ...], arrays: Sequence[Array]) -> list[tuple[int, ...]] | None:
    """A shape as three axes, and the arrays' strides along them, in elements."""
    itemsize = arrays[0].itemsize
    axes: list[tuple[int, ...]] = []  # (size, strides of the arrays), outermost first
    for size, *steps in zip(shape, *(_strides(a, len(shape)) for a in arrays), strict=True):
        if size == 1:
            continue
        if axes and all(a == size * b for a, b in zip(axes[-1][1:], steps, strict=True)):
            axes[-1] = (axes[-1][0] * size, *steps)
        else:
            axes.append((size, *steps))
    if not axes:
        axes = [(1, *[itemsize] * len(arrays))]
    if len(axes) > 3 or any(step not in (0, itemsize) for step in axes[-1][1:]):
        return None
    if not all(a.flags.aligned for a in arrays):
        return None
    axes = [(1, *[0] * len(arrays))] * (3 - len(axes)) + axes
    sizes, *strides = zip(*axes, strict=True)
    return [sizes, *(tuple(step // itemsize for step in steps) for steps in strides)]


def _strides(a: Array, ndim: int) -> list[int]:
    """Bytes between neighbours along each axis; 0 where an axis of one element is stretched."""
    own = [0 if n == 1 else s for n, s in zip(a.shape, a.strides, strict=True)]
    return [0] * (ndim - a.ndim) + own
