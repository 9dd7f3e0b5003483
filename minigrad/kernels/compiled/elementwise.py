"""Elementwise operations on large float32 arrays: one compiled pass each way, vectorised, threaded.

numpy computes a formula operation by operation, each a pass over memory of its own, on one thread.
Where arrays are large, the ops that are listed here run the formula of their forward, and that of
their backward, one element at a time. In float64, on small arrays and on the numpy path the op's
own numpy formula runs; that is the one to read.

A formula is a line of the tables below, with numbers in float32 and the functions of functions.py:

    x the input, y the result, g the gradient of the result, p and q the op's parameters    PASSES
    x and y the two inputs, of shapes that broadcast; z a third that lies as y does          PAIRS
    x the input, y the target, and the loss's derivative by x; p its parameter              LOSSES

Each becomes a C function (machinery/jobs.py) around a loop over a part of the arrays. They are
written out as text, not made by a factory, because numba keeps no closures on disk.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from numba.np.numpy_support import carray

from minigrad.kernels.compiled import functions
from minigrad.kernels.compiled.functions import f4
from minigrad.kernels.machinery.arrays import Array
from minigrad.kernels.machinery.jobs import address, parallel, serial
from minigrad.kernels.machinery.launch import REORDERED, exact, ready, run
from minigrad.kernels.machinery.memory import empty
from minigrad.kernels.machinery.pointers import doubles, part

CHUNK = 1 << 12  # elements of one task: its arrays fit the first cache
F32 = np.dtype(np.float32)


class Pass(NamedTuple):
    """The formulas of an op, and which of its arguments are p and q."""

    forward: str
    backward: str
    parameters: tuple[str, ...] = ()
    work: int = 1  # how much longer than copying an element one takes


# Constants: 1/√2, 1/√2π, √2π, 2/√π, √π/2, ln 2, ln 10; selu's; gelu's √(2/π) and 3·0.044715.
PASSES = {
    "exp": Pass("exp(x)", "g * y", work=2),
    "expm1": Pass("expm1(x)", "g * (y + 1)", work=2),
    "log": Pass("log(x)", "g / x", work=2),
    "log2": Pass("log2(x)", "g / (x * 0.693147181)", work=2),
    "log10": Pass("log10(x)", "g / (x * 2.30258509)", work=2),
    "log1p": Pass("log1p(x)", "g / (x + 1)", work=2),
    "sqrt": Pass("np.sqrt(x)", "g / (2 * y)"),
    "rsqrt": Pass("1 / np.sqrt(x)", "g * (-0.5 * y * y * y)"),
    "reciprocal": Pass("1 / x", "-g * y * y"),
    "square": Pass("x * x", "g * (2 * x)"),
    "pow": Pass("power(x, P, Q)", "g * (p * power(x, P - 1.0, Q % 2 + 1 if Q else 0))", work=8),
    "neg": Pass("-x", "-g"),
    "abs": Pass("abs(x)", "g if x > 0 else (-g if x < 0 else 0)"),
    "sign": Pass("1 if x > 0 else (-1 if x < 0 else 0)", "0"),
    "clamp": Pass("min(p if x < p else x, q) if x == x else x", "g if p <= x <= q else 0",
                  ("min", "max")),
    "tanh": Pass("tanh(x)", "g * (1 - y * y)", work=2),
    "sigmoid": Pass("sigmoid(x)", "g * (y * (1 - y))", work=2),
    "erf": Pass("erf(x)", "g * (1.12837917 * exp(-x * x))", work=3),
    "erfc": Pass("erfc(x)", "g * (-1.12837917 * exp(-x * x))", work=4),
    "erfinv": Pass("erfinv(x)", "g * (0.886226925 * exp(y * y))", work=6),
    "ndtr": Pass("ndtr(x)", "g * (0.39894228 * exp(-0.5 * x * x))", work=4),
    "ndtri": Pass("ndtri(x)", "g * (2.50662827 * exp(0.5 * y * y))", work=6),
    "leaky_relu": Pass("x if x > 0 else x * p", "g if x > 0 else g * p", ("negative_slope",)),
    "elu": Pass("x if x > 0 else p * expm1(x)", "g if x > 0 else g * (p * exp(x))", ("alpha",), 2),
    "celu": Pass(
        "x if x > 0 else p * expm1(x / p)", "g if x > 0 else g * exp(x / p)", ("alpha",), 2
    ),
    "selu": Pass(
        "1.05070099 * x if x > 0 else 1.75809934 * expm1(x)",
        "1.05070099 * g if x > 0 else g * (1.75809934 * exp(x))",
        work=2,
    ),
    "softplus": Pass(
        "x if x * p > q else softplus(x * p) / p", "g if x * p > q else g * sigmoid(x * p)",
        ("beta", "threshold"), 4,
    ),
    "logsigmoid": Pass("-softplus(-x)", "g * sigmoid(-x)", work=4),
    "silu": Pass("x * sigmoid(x)", "g * (sigmoid(x) * (1 + x * (1 - sigmoid(x))))", work=2),
    "mish": Pass(
        "x * tanh(softplus(x))",
        "g * (tanh(softplus(x)) + x * (1 - tanh(softplus(x)) * tanh(softplus(x))) * sigmoid(x))",
        work=4,
    ),
    "gelu": Pass(
        "x * (0.5 * (1 + erf(x * 0.707106781)))",
        "g * (0.5 * (1 + erf(x * 0.707106781)) + x * (0.39894228 * exp(-0.5 * x * x)))",
        work=3,
    ),
    "gelu_tanh": Pass(
        "0.5 * x * (1 + tanh(0.797884561 * (x + 0.044715 * x * x * x)))",
        "g * slope_of_gelu_tanh(x, tanh(0.797884561 * (x + 0.044715 * x * x * x)))",
        work=3,
    ),
    "hardtanh": Pass(
        "p if x <= p else (q if x >= q else x)", "g if p < x < q else 0", ("low", "high")
    ),
    "hardsigmoid": Pass(
        "0 if x <= -3 else (1 if x >= 3 else (x + 3) / 6)", "g / 6 if -3 < x < 3 else 0"
    ),
    "hardswish": Pass(
        "0 * x if x <= -3 else (x if x >= 3 else x * ((x + 3) / 6))",
        "0 * g if x <= -3 else (g if x >= 3 else g * (x / 3 + 0.5))",
    ),
    "softsign": Pass("x / (1 + abs(x))", "g / ((1 + abs(x)) * (1 + abs(x))) + 0 * x"),
}  # fmt: skip

PAIRS = {
    "add": "x + y",
    "sub": "x - y",
    "mul": "x * y",
    "div": "x / y",
    "affine": "x * y + z",
    "maximum": "x if x > y or x != x else y",
    "minimum": "x if x < y or x != x else y",
    # z is the gradient of the larger of x and y, or of the smaller: what of it x receives
    "of maximum": "z if x > y or x != x or y != y else (0.5 * z if x == y else 0)",
    "of minimum": "z if x < y or x != x or y != y else (0.5 * z if x == y else 0)",
    "signed": "y if x > 0 else (-y if x < 0 else x * y)",  # y with the sign of x
    "glu": "x * sigmoid(y)",
    "of gate": "z * (x * (sigmoid(y) * (1 - sigmoid(y))))",  # z is what the gate y lets through
    "where equal": "z if x == y or (x != x and y != y) else 0",
}

LOSSES = {
    "mse_loss": ("(x - y) * (x - y)", "2 * (x - y)", 1),
    "l1_loss": ("abs(x - y)", "1 if x > y else (-1 if x < y else x - y)", 1),
    "huber": (
        "0.5 * (x - y) * (x - y) if abs(x - y) < p else p * (abs(x - y) - 0.5 * p)",
        "x - y if abs(x - y) < p else (p if x > y else (-p if x < y else x - y))",
        1,
    ),
    "binary_cross_entropy": (
        "(y - 1) * max(log1p(-x), -100) - y * max(log(x), -100)",
        "(x - y) / max(x * (1 - x), 1e-12)",
        4,
    ),
    "binary_cross_entropy_with_logits": (
        "(1 - y) * x + softplus(-x)", "(1 - y) - sigmoid(-x)", 4,
    ),
}  # fmt: skip


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
    p, q, P, Q = f4(job.p), f4(job.q), job.p, int(job.q)
    for i in range(n):
        x, y, g = xs[i], ys[i], gs[i]
        out[i] = {formula}
"""
TOTAL = """
def {name}(t, jobs, first):
    job = carray(jobs, 1)[0]
    start = t * CHUNK
    n = min(CHUNK, job.n - start)
    xs, ys, p = part(job.x, first, start, n), part(job.y, first, start, n), f4(job.p)
    total = 0.0
    for i in range(n):
        x, y = xs[i], ys[i]
        total += {formula}
    carray(doubles(job.out), t + 1)[t] = total
"""
# Rows of n elements, or `parts` parts of long ones. Row (o, m) of an operand lies at o·x_o + m·x_m,
# its elements x_n apart: 1, or 0 where one element serves the whole row.
PAIR = """
def {name}(t, jobs, first):
    job = carray(jobs, 1)[0]
    row0, start = t // job.parts * job.rows, t % job.parts * CHUNK
    n = min(CHUNK, job.n - start)
    for row in range(row0, min(row0 + job.rows, job.o * job.m)):
        o, m = row // job.m, row % job.m
        at_y = o * job.y_o + m * job.y_m + start * job.y_n
        xs = part(job.x, first, o * job.x_o + m * job.x_m + start * job.x_n, n)
        ys, zs = part(job.y, first, at_y, n), part(job.z, first, at_y, n)
        out = part(job.out, first, row * job.n + start, n)
        if job.x_n == 1 and job.y_n == 1:
            for i in range(n):
                x, y, z = xs[i], ys[i], zs[i]
                out[i] = {formula}
        elif job.x_n == 1:
            y, z = ys[0], zs[0]
            for i in range(n):
                x = xs[i]
                out[i] = {formula}
        else:
            x = xs[0]
            for i in range(n):
                y, z = ys[i], zs[i]
                out[i] = {formula}
"""
# What a job is told: sizes, where the arrays lie, strides, and the parameters.
FIELDS = ["n", "o", "m", "rows", "parts", "x", "y", "z", "g", "out"]
FIELDS += ["x_o", "x_m", "x_n", "y_o", "y_m", "y_n"]
JOB = np.dtype([(name, np.int64) for name in FIELDS] + [("p", np.float64), ("q", np.float64)])
# The words that formulas and loops may use.
SCOPE: dict[str, Any] = {
    **vars(functions), "__name__": __name__, "CHUNK": CHUNK, "carray": carray, "doubles": doubles,
    "np": np, "part": part, "slope_of_gelu_tanh": slope_of_gelu_tanh,
}  # fmt: skip
_functions: dict[tuple[str, str], Any] = {}
EXACT, REORDER = frozenset[str](), frozenset(REORDERED)


def function(name: str, text: str, formula: str) -> Any:
    """The C function of a formula, written when it is first asked for."""
    if (name, text) not in _functions:
        kind = {MAP: "map", TOTAL: "total", PAIR: "pair"}[text]
        label = f"{kind}_{name.replace(' ', '_')}"
        formula = re.sub(r"(?<![\w.])(\d[\d.]*(e-\d+)?)", r"f4(\1)", formula)
        exec(compile(text.format(name=label, formula=formula), __file__, "exec"), SCOPE)
        _functions[name, text] = SCOPE[label]
    return _functions[name, text]


def _start(
    name: str, text: str, formula: str, tasks: int, work: int, sizes: tuple[int, ...],
    x: Array | None, y: Array | None, third: Array | None, out: Array,
    p: float = 0.0, q: float = 0.0,
    strides: tuple[int, ...] = (0,) * 6,
) -> None:  # fmt: skip
    """Hand out a job; `sizes` are its first fields, and the third array is z of a pair, else g."""
    places = (*map(_place, (x, y, third, third, out)),)
    job = np.array((*sizes, *places, *strides, 0, 0), np.int64)
    job[-2:] = np.array((p, q), np.float64).view(np.int64)
    code = address(function(name, text, formula), JOB, F32, REORDER if text is TOTAL else EXACT)
    run(serial, parallel, tasks, work, code, job, places[-1])


def _place(a: Array | None) -> int:
    return 0 if a is None else a.__array_interface__["data"][0]


def _flat(n: int) -> tuple[int, ...]:
    return n, 1, 1, 1, 1


def forward(name: str, x: Array, p: float = 0.0, q: float = 0.0) -> Array:
    """The op's result for each element of x."""
    spec, x, y = PASSES[name], ready(x, F32), empty(x.shape, F32)
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
    spec, g, dx = PASSES[name], ready(g, F32), empty(g.shape, F32)
    x, y = (None if a is None else ready(a, F32) for a in (x, y))
    n, tasks = g.size, -(-g.size // CHUNK)
    _start(
        f"{name}_backward", MAP, spec.backward, tasks, n * spec.work, _flat(n), x, y, g, dx, p, q
    )
    return dx


def loss(name: str, x: Array, target: Array, p: float = 0.0) -> float:
    """The sum of a loss over all elements, in float64, parts of it in order."""
    value, _, work = LOSSES[name]
    tasks, x, y = -(-x.size // CHUNK), ready(x, F32), ready(target, F32)
    parts = np.empty(tasks)
    _start(name, TOTAL, value, tasks, x.size * work, _flat(x.size), x, y, None, parts, p)
    return float(parts.sum())


def loss_slope(name: str, x: Array, target: Array, scale: float, p: float = 0.0) -> Array:
    """scale·dloss/dx of each element."""
    _, slope, work = LOSSES[name]
    tasks, x, y, dx = -(-x.size // CHUNK), ready(x, F32), ready(target, F32), empty(x.shape, F32)
    n, formula = x.size, f"q * ({slope})"
    _start(name, MAP, formula, tasks, n * work, _flat(n), x, y, None, dx, p, scale)
    return dx


def pair(name: str, x: Array, y: Array, z: Array | None = None) -> Array | None:
    """PAIRS[name] of arrays whose shapes broadcast; z lies as y does. None if they lie so that no
    loop here fits them: more than three axes that cannot be merged, or elements apart."""
    shape = x.shape if x.shape == y.shape else np.broadcast_shapes(x.shape, y.shape)
    axes = merged(shape, x, y)
    if axes is None or (z is not None and (z.shape, z.strides) != (y.shape, y.strides)):
        return None
    (o, m, n), *strides = axes
    out = empty(shape, F32)
    parts, rows = -(-n // CHUNK), max(1, CHUNK // max(n, 1))
    tasks, rows = (o * m * parts, 1) if parts > 1 else (-(-o * m // rows), rows)
    sizes = n, o, m, rows, parts
    steps = (*strides[0], *strides[1])
    work = 2 * out.size if "sigmoid" in PAIRS[name] else out.size
    _start(name, PAIR, PAIRS[name], tasks, work, sizes, x, y, z, out, strides=steps)
    return out


Three = tuple[int, ...]


def merged(shape: tuple[int, ...], x: Array, y: Array) -> tuple[Three, Three, Three] | None:
    """A shape as three axes, and two arrays' strides along them, in elements."""
    axes: list[tuple[int, int, int]] = []  # (size, stride of x, stride of y), outermost first
    of_x, of_y = _broadcast_strides(x, len(shape)), _broadcast_strides(y, len(shape))
    for size, a, b in zip(shape, of_x, of_y, strict=True):
        if size == 1:
            continue
        if axes and axes[-1][1] == size * a and axes[-1][2] == size * b:
            axes[-1] = (axes[-1][0] * size, a, b)
        else:
            axes.append((size, a, b))
    if not axes:
        axes = [(1, 4, 4)]
    if len(axes) > 3 or axes[-1][1:] not in ((4, 4), (4, 0), (0, 4)):
        return None
    if not (x.flags.aligned and y.flags.aligned):
        return None
    axes = [(1, 0, 0)] * (3 - len(axes)) + axes
    sizes, a3, b3 = zip(*axes, strict=True)
    return sizes, tuple(s // 4 for s in a3), tuple(s // 4 for s in b3)


def _broadcast_strides(a: Array, ndim: int) -> list[int]:
    """Bytes between neighbours along each axis; 0 where an axis of one element is stretched."""
    own = [0 if n == 1 else s for n, s in zip(a.shape, a.strides, strict=True)]
    return [0] * (ndim - a.ndim) + own
