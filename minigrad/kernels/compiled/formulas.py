"""The formulas of elementwise operations on large arrays: a line each, forward and backward.

Numbers are float32, or float64 where no function is called but abs, min, max, a root or trunc; the
functions are those of functions.py. elementwise.py makes loops of them.

    x the input, y the result, g the gradient of the result, p and q the op's parameters    PASSES
    x and y the two inputs, of shapes that broadcast, and p                                  PAIRS
    z a third of them; of a gradient, that of the result                                   TRIPLES
    x the input, y the target, and the loss's derivative by x; p its parameter              LOSSES
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

INF = float("inf")


class Pass(NamedTuple):
    """The formulas of an op, and which of its arguments are p and q."""

    forward: str
    backward: str
    parameters: tuple[str, ...] = ()
    work: int = 1  # how much longer than copying an element one takes
    without: tuple[float, ...] = ()  # what stands for a parameter that is None

    def values(self, arguments: Mapping[str, Any]) -> list[Any]:
        """What the parameters are, of an op's arguments by name."""
        found = [arguments[name] for name in self.parameters]
        for i, default in enumerate(self.without):
            found[i] = default if found[i] is None else found[i]
        return found


# Constants: 1/√2, 1/√2π, √2π, 2/√π, √π/2, ln 2, ln 10; selu's; gelu's √(2/π) and 3·0.044715.
PASSES = {
    "exp": Pass("exp(x)", "g * y", work=2),
    "exp2": Pass("exp2(x)", "g * (y * 0.693147181)", work=2),
    "rpow": Pass("exp2_wide(P * x, x)", "g * (y * q)", work=4),  # bˣ; p is log₂ b, q is log b
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
    "frac": Pass("x - np.trunc(x)", "g"),
    "abs": Pass("abs(x)", "g * (1 if x > 0 else (-1 if x < 0 else 0))"),
    "sign": Pass("1 if x > 0 else (-1 if x < 0 else 0)", "0"),
    "clamp": Pass("min(p if x < p else x, q) if x == x else x", "g if p <= x <= q else 0",
                  ("min", "max"), without=(-INF, INF)),
    "tanh": Pass("tanh(x)", "g * (1 - y * y)", work=2),
    "sigmoid": Pass("sigmoid(x)", "g * (y * (1 - y))", work=2),
    "erf": Pass("erf(x)", "g * (1.12837917 * exp(-x * x))", work=3),
    "erfc": Pass("erfc(x)", "g * (-1.12837917 * exp(-x * x))", work=4),
    "lgamma": Pass("lgamma(x)", "g * digamma(x)", work=16),
    "digamma": Pass("digamma(x)", "g * trigamma(x)", work=16),
    "i0": Pass("i0(x)", "g * i1(x)", work=8),
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
    "logit": Pass(
        "logit(p if x < p else (1 - p if x > 1 - p else x))",
        "(g / (x * (1 - x)) if 0 <= x <= 1 else np.nan) if p <= x <= 1 - p else 0",
        ("eps",), 4, (-INF,),
    ),
    "threshold": Pass("q if x <= p else x", "0 if x <= p else g", ("threshold", "value")),
    "hardshrink": Pass("0 if -p <= x <= p else x", "g if x > p or x < -p else 0", ("lambd",)),
    "softshrink": Pass(
        "x - p if x > p else (x + p if x < -p else (x if x != x else 0))",
        "g if x > p or x < -p else 0",
        ("limit",),
    ),
    "entr": Pass("entr(x)", "g * (-log(x) - 1)", work=4),
    "hardtanh": Pass(
        "p if x <= p else (q if x >= q else x)", "g if p < x < q else 0", ("low", "high")
    ),
    "hardsigmoid": Pass(
        "0 if x <= -3 else (1 if x >= 3 else (x + 3) / 6)", "g / 6 if -3 < x < 3 else 0"
    ),
    "hardswish": Pass(
        "0 * x if x <= -3 else (x if x >= 3 else x * ((x + 3) / 6))",
        "0 if x <= -3 else (g if x >= 3 else g * (x / 3 + 0.5))",
    ),
    "softsign": Pass("x / (1 + abs(x))", "g / ((1 + abs(x)) * (1 + abs(x))) + 0 * x"),
}  # fmt: skip

PAIRS = {
    "add": "x + y",
    "sub": "x - y",
    "mul": "x * y",
    "div": "x / y",
    "maximum": "x if x > y or x != x else y",
    "minimum": "x if x < y or x != x else y",
    "lerp": "x + p * (y - x) if abs(p) < 0.5 else y - (y - x) * (1 - p)",
    "fmod": "fmod(x, y)",
    "remainder": "remainder(x, y)",
    "hypot": "hypot(x, y)",
    "logaddexp": "logaddexp(x, y)",
    "prelu": "x if x > 0 else y * x",
    "glu": "x * sigmoid(y)",
}

# Of the gradients, z is that of the result; x and y are the op's operands.
TRIPLES = {
    "addcmul": "x + p * (y * z)",
    "addcdiv": "x + p * (y / z)",
    "lerp": "x + z * (y - x) if abs(z) < 0.5 else y - (y - x) * (1 - z)",
    "dx of maximum": "z if x > y or x != x or y != y else (0.5 * z if x == y else 0)",
    "dy of maximum": "z if y > x or x != x or y != y else (0.5 * z if x == y else 0)",
    "dx of minimum": "z if x < y or x != x or y != y else (0.5 * z if x == y else 0)",
    "dy of minimum": "z if y < x or x != x or y != y else (0.5 * z if x == y else 0)",
    "dx of lerp": "z * (1 - p)",
    "dy of lerp": "z * p",
    "dy of fmod": "-z * np.trunc(x / y)",
    "dy of remainder": "-z * floor_of_quotient(x, y)",
    "dx of hypot": "z * (x / hypot(x, y))",
    "dy of hypot": "z * (y / hypot(x, y))",
    "dx of logaddexp": "z * sigmoid(x - y)",
    "dy of logaddexp": "z * sigmoid(y - x)",
    "dy of glu": "z * (x * (sigmoid(y) * (1 - sigmoid(y))))",
    "dx of prelu": "z if x > 0 else z * y",
    "dy of prelu": "0 if x > 0 else z * x",
}

LOSSES = {
    "mse_loss": ("(x - y) * (x - y)", "2 * (x - y)", 1),
    "l1_loss": ("abs(x - y)", "1 if x > y else (-1 if x < y else 0)", 1),
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
    "margin_ranking_loss": (
        "0 if p - x * y < 0 else p - x * y", "-y * (1 if p - x * y >= 0 else 0)", 1,
    ),
    "hinge_embedding_loss": (
        "(0 if y == -1 else x) + (0 if y == 1 or p - x < 0 else p - x)",
        "(0 if y == -1 else 1) - (1 if y != 1 and p - x >= 0 else 0)",
        1,
    ),
}  # fmt: skip
