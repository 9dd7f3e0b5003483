"""CASES, the table: every operation, the shapes it is tried on, and what it should give.

This file holds arithmetic, activations and reductions; cases_nn.py adds shapes, products, layers
and losses to the same table, cases_more.py attention, folding and resizing, cases_sampled.py images
read by grids, CTC and bags of rows, cases_windows.py views, order statistics, special functions.
"""

from __future__ import annotations

import math

import cases_more  # noqa: F401  (likewise)
import cases_nn  # noqa: F401  (adds its part of the table)
import cases_sampled  # noqa: F401  (likewise)
import cases_windows  # noqa: F401  (likewise)
import naive
import numpy as np
from sampling import CASES, Case, Sample, case, like, loops, samples

__all__ = ["CASES", "SAMPLES", "Case", "Sample"]

# One input, and two that broadcast.
ONE = [(3, 4), (), (1,), (2, 1, 3), (0, 3)]
TWO = [
    ((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 1, 3), ()), ((), ()),
    ((1,), (5,)), ((0, 3), (3,)), ((1, 3), (0, 1)),
]  # fmt: skip
MASK = np.array([[True, False, True, False], [False] * 4, [True, True, False, True]])
sig = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
erf = np.vectorize(math.erf, otypes=[float])

# Arithmetic.
for name, f, domain in [
    ("neg", np.negative, "real"), ("positive", np.positive, "real"), ("exp", np.exp, "real"),
    ("square", np.square, "real"), ("expm1", np.expm1, "real"), ("sin", np.sin, "real"),
    ("cos", np.cos, "real"), ("abs", np.abs, "real"), ("log", np.log, "positive"),
    ("log2", np.log2, "positive"), ("log10", np.log10, "positive"), ("sqrt", np.sqrt, "positive"),
    ("log1p", np.log1p, "positive"), ("rsqrt", lambda x: 1 / np.sqrt(x), "positive"),
    ("reciprocal", lambda x: 1 / x, "nonzero"), ("sign", np.sign, "real"),
    ("floor", np.floor, "real"), ("ceil", np.ceil, "real"), ("trunc", np.trunc, "real"),
    ("round", np.round, "real"), ("sigmoid", sig, "real"), ("tanh", np.tanh, "real"),
    ("relu", lambda x: np.maximum(x, 0), "real"), ("erf", erf, "real"), ("clone", np.copy, "real"),
]:  # fmt: skip
    case(name, ONE, f, domain=domain)
for name, f, domain in [
    ("add", np.add, "real"), ("sub", np.subtract, "real"), ("mul", np.multiply, "real"),
    ("div", np.divide, "nonzero"), ("maximum", np.maximum, "real"),
    ("minimum", np.minimum, "real"), ("remainder", np.remainder, "nonzero"),
    ("floor_divide", np.floor_divide, "nonzero"), ("pow", np.power, "positive"),
]:  # fmt: skip
    case(name, TWO, f, domain=domain)
for name, f in [("eq", np.equal), ("ne", np.not_equal), ("lt", np.less), ("le", np.less_equal),
                ("gt", np.greater), ("ge", np.greater_equal), ("logical_and", np.logical_and),
                ("logical_or", np.logical_or), ("logical_xor", np.logical_xor)]:  # fmt: skip
    case(name, TWO, f, domain="ties")
case("logical_not", ONE, np.logical_not, domain="ties")
for name in ("isnan", "isinf", "isfinite", "isposinf", "isneginf", "isreal"):
    case(name, ONE, getattr(np, name), domain="ties")
case("add", TWO[:2], lambda x, y: x + 2.5 * y, alpha=2.5)
case("sub", TWO[:2], lambda x, y: x - 2.5 * y, alpha=2.5)
case("div", TWO[:2], np.floor_divide, domain="nonzero", rounding_mode="floor")
case("div", TWO[:2], lambda x, y: np.trunc(x / y), domain="nonzero", rounding_mode="trunc")
case("round", ONE[:1], lambda x: np.round(x, 2), decimals=2)
for power in (2, 3, 0, 1, -1, 0.5, -1.5):
    case("pow", ONE[:2], lambda x, p=power: x ** float(p), power, domain="positive")
case("pow", ONE[:1], lambda x: x**3, 3)
case("rpow", ONE[:2], lambda x: 2.0**x, call=lambda m, x: 2.0**x)
case("radd", ONE[:2], lambda x: 2 + x, call=lambda m, x: 2 + x)
case("rsub", ONE[:2], lambda x: 2 - x, call=lambda m, x: 2 - x)
case("rmul", ONE[:2], lambda x: 2 * x, call=lambda m, x: 2 * x)
case("rtruediv", ONE[:2], lambda x: 2 / x, call=lambda m, x: 2 / x, domain="nonzero")
case("rmod", ONE[:2], lambda x: 2 % x, call=lambda m, x: 2 % x, domain="nonzero")
case("rfloordiv", ONE[:2], lambda x: 2 // x, call=lambda m, x: 2 // x, domain="nonzero")
case("clamp", ONE, lambda x: np.clip(x, -0.5, 0.7), -0.5, 0.7)
case("clamp", ONE[:1], lambda x: np.maximum(x, 0.1), min=0.1)
case("clamp", ONE[:1], lambda x: np.minimum(x, 0.1), max=0.1)
case("clamp", ONE[:1], lambda x: np.full(x.shape, 0.1), 0.5, 0.1)
case("clamp", [((3, 4), (4,), (3, 1)), ((), (), ())],
     lambda x, a, b: np.minimum(np.maximum(x, a), b))  # fmt: skip
case("where", [((3, 4), (3, 4)), ((4,), ()), ((3, 1), (3, 4))], lambda x, y: np.where(MASK, x, y),
     call=lambda m, x, y: m.where(m.from_numpy(MASK), x, y))  # fmt: skip
case("lerp", [((3, 4), (3, 4), (3, 4)), ((), (), ())], lambda x, y, w: x + w * (y - x))
case("lerp", TWO[:2], lambda x, y: x + 0.3 * (y - x), 0.3)
case("addcmul", [((3, 4), (4,), (3, 1))], lambda x, y, z: x + 2 * y * z, value=2)
for name, f in [("maximum", np.maximum), ("minimum", np.minimum)]:
    case(name, TWO[:2], f, domain="ties")
for name, f in [("abs", np.abs), ("relu", lambda x: np.maximum(x, 0)), ("sign", np.sign)]:
    case(name, [(30,)], f, domain="kinks")
case("clamp", [(30,)], lambda x: np.clip(x, -0.5, 3), -0.5, 3, domain="kinks")

# Activations.
LAMBDA, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
elu = lambda x, a=1.0: np.where(x > 0, x, a * np.expm1(x))  # noqa: E731
cubic = lambda x: math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)  # noqa: E731
tanh_gelu = lambda x: 0.5 * x * (1 + np.tanh(cubic(x)))  # noqa: E731
for name, f, kwargs in [
    ("relu", lambda x: np.maximum(x, 0), {}), ("relu6", lambda x: np.clip(x, 0, 6), {}),
    ("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x), {}),
    ("leaky_relu", lambda x: np.where(x > 0, x, 0.3 * x), {"negative_slope": 0.3}),
    ("elu", elu, {}), ("elu", lambda x: elu(x, 0.3), {"alpha": 0.3}),
    ("selu", lambda x: LAMBDA * elu(x, ALPHA), {}),
    ("celu", elu, {}), ("celu", lambda x: np.where(x > 0, x, 2 * np.expm1(x / 2)), {"alpha": 2.0}),
    ("gelu", lambda x: x * (1 + erf(x / math.sqrt(2))) / 2, {}),
    ("gelu", tanh_gelu, {"approximate": "tanh"}),
    ("silu", lambda x: x * sig(x), {}), ("mish", lambda x: x * np.tanh(softplus(x)), {}),
    ("softplus", softplus, {}),
    ("softplus", lambda x: np.where(3 * x > 1, x, softplus(3 * x) / 3),
     {"beta": 3, "threshold": 1}),
    ("logsigmoid", lambda x: -softplus(-x), {}), ("softsign", lambda x: x / (1 + np.abs(x)), {}),
    ("hardtanh", lambda x: np.clip(x, -1, 1), {}), ("sigmoid", sig, {}), ("tanh", np.tanh, {}),
    ("hardtanh", lambda x: np.clip(x, -0.5, 3), {"min_val": -0.5, "max_val": 3.0}),
    ("hardsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6, {}),
    ("hardswish", lambda x: x * np.clip(x + 3, 0, 6) / 6, {}),
]:  # fmt: skip
    case("F." + name, ONE, f, **kwargs)
    case("F." + name, [(30,)], f, domain="kinks", **kwargs)
prelu = lambda x, w: np.where(x > 0, x, x * w.reshape(-1, *[1] * max(x.ndim - 2, 0)))  # noqa: E731
case("F.bilinear", [((5, 3), (5, 4), (2, 3, 4), (2,)), ((3,), (4,), (2, 3, 4), (2,)),
                   ((2, 5, 1), (2, 5, 3), (1, 1, 3), (1,)), ((0, 3), (0, 4), (2, 3, 4), (2,))],
     lambda x, y, w, b: np.stack([((x @ m) * y).sum(-1) for m in w], -1) + b)  # fmt: skip
case("F.prelu", [((2, 3, 4), (3,)), ((5, 3), (3,)), ((4,), (1,)), ((), (1,))],
     lambda x, w: prelu(x, w).reshape(x.shape))  # fmt: skip
for name, f in [("softmax", naive.softmax), ("log_softmax", naive.log_softmax)]:
    for dim in (0, 1, -1):
        case(name, [(3, 4), (2, 3, 4), (1, 1)], loops(lambda x, f=f, d=dim: f(x, d)), dim)
    case(name, [(0, 3)], like, 1)
    case(name, [(3, 0)], like, -1)
    case("F." + name, [(3, 4)], loops(lambda x, f=f: f(x, 1)), 1)
case("F.softmax", [()], lambda x: np.array(1.0), 0)

# Reductions.
REDUCED = [(3, 4), (2, 3, 4), (1, 1)]
for name, f in [
    ("sum", math.fsum), ("mean", naive.mean), ("var", naive.var), ("amax", max), ("amin", min),
    ("std", lambda v: math.sqrt(naive.var(v))), ("logsumexp", naive.logsumexp),
    ("norm", lambda v: math.sqrt(math.fsum(a * a for a in v))),
]:  # fmt: skip
    shapes = REDUCED if name not in ("var", "std") else REDUCED[:2]
    for axes in ((0,), (-1,), (0, 1)):
        plain = loops(lambda x, f=f, a=axes: naive.reduce(f, x, a))
        kept = loops(lambda x, f=f, a=axes: naive.reduce(f, x, a, keepdim=True))
        where = axes[0] if len(axes) == 1 else axes
        case(name, shapes, plain, dim=where)
        case(name, shapes[:1], kept, dim=where, keepdim=True)
    if name != "logsumexp":
        case(name, [(3, 4), (2, 3, 2), (5,)], loops(lambda x, f=f: f(np.ravel(x).tolist())))
for name in ("sum", "mean", "amax", "amin", "norm", "prod", "logsumexp"):
    zero_d = np.abs if name == "norm" else np.copy
    case(name, [()], zero_d, *((0,) if name == "logsumexp" else ()))
for name in ("var", "std"):
    square = (lambda v: v) if name == "var" else np.sqrt
    for c in (0, 2, 0.5):
        case(name, [(3, 4)], lambda x, c=c, s=square: s(x.var(1, ddof=c)), 1, correction=c)
    case(name, [(3, 4)], lambda x, s=square: s(x.var(0)), 0, unbiased=False)
case("var_mean", [(3, 4)], lambda x: (x.var(1, ddof=1), x.mean(1)), dim=1)
case("std_mean", [(3, 4)], lambda x: (x.std(1, ddof=1), x.mean(1)), dim=1)
case("sum", [(0, 3), (2, 0)], lambda x: x.sum(0), 0)
case("sum", [(0,), (2, 0)], np.sum)
case("mean", [(2, 0)], lambda x: np.zeros(0), 0)
case("logsumexp", [(2, 0)], lambda x: np.full(2, -np.inf), 1)
case("prod", [(3, 4), (2, 3, 2), (0, 3)], np.prod)
case("prod", [(3, 4), (2, 3, 2), (1, 1), (0, 3)], lambda x: x.prod(1), 1)
case("prod", [(3, 4)], lambda x: x.prod(0, keepdims=True), 0, keepdim=True)
case("prod", [(3, 4)], lambda x: x.prod(0), 0, domain="zeros")
for p, f in [(1, lambda x: np.abs(x).sum(1)), (3, lambda x: (np.abs(x) ** 3).sum(1) ** (1 / 3)),
             (math.inf, lambda x: np.abs(x).max(1)),
             (-math.inf, lambda x: np.abs(x).min(1))]:  # fmt: skip
    case("norm", [(3, 4)], f, p, 1)
case("norm", [(3, 4)], lambda x: np.sqrt((x * x).sum(0)), 2, 0, domain="ties")
for name, f in [("max", np.max), ("min", np.min)]:
    arg = getattr(np, "arg" + name)
    case(name, [(3, 4), (), (1,)], f)
    for dim in (0, 1, -1):
        case(name, REDUCED, lambda x, f=f, a=arg, d=dim: (f(x, d), a(x, d)), dim)
    case(name, [(3, 4)], lambda x, f=f, a=arg: (f(x, 1)[:, None], a(x, 1)[:, None]), 1, True)
    case(name, [(3, 9)], lambda x, f=f, a=arg: (f(x, 1), a(x, 1)), 1, domain="ties")
    case("a" + name, [(3, 9)], lambda x, f=f: f(x, 1), 1, domain="ties")
    case(name, [(3, 9)], f, domain="ties")
    case("arg" + name, [(3, 4), (), (2, 3, 2)], arg)
    case("arg" + name, [(3, 9)], lambda x, a=arg: a(x, 1, keepdims=True), 1, True, domain="ties")
sorted_by = lambda x, i, d: (np.take_along_axis(x, i, d), i)  # noqa: E731
case("sort", [(3, 4), (5,), (1, 1), (0,)], lambda x: sorted_by(x, np.argsort(x, -1), -1))
case("sort", [(3, 4)], lambda x: sorted_by(x, np.argsort(-x, 0), 0), 0, True)
case("sort", [(3, 9)], lambda x: sorted_by(x, np.argsort(-x, 1, stable=True), 1), dim=1,
     descending=True, stable=True, domain="ties")  # fmt: skip
case("argsort", [(3, 4), (5,)], lambda x: np.argsort(x, -1))
case("topk", [(3, 4), (2, 3, 4)], lambda x: sorted_by(x, np.argsort(-x, -1)[..., :2], -1), 2)
case("topk", [(3, 4)], lambda x: sorted_by(x, np.argsort(x, 0)[:2], 0), 2, 0, False)
case("median", [(7,), (3, 4), (), (1,)], lambda x: np.sort(x.ravel())[(x.size - 1) // 2])
for dim in (0, -1):
    case("cumsum", [(3, 4), (2, 3, 2), (1, 1), (0, 3)], lambda x, d=dim: np.cumsum(x, d), dim)
    case("cumprod", [(3, 4), (2, 3, 2), (1, 1), (0, 3)], lambda x, d=dim: np.cumprod(x, d), dim)
case("cumprod", [(3, 4)], lambda x: np.cumprod(x, 1), 1, domain="zeros")
for name, f in [("any", np.any), ("all", np.all), ("count_nonzero", np.count_nonzero)]:
    case(name, [(3, 4), (), (0, 3)], f, domain="ties")
    case(name, [(3, 4), (2, 0)], lambda x, f=f: f(x, 1), 1, domain="ties")

SAMPLES = list(samples())
