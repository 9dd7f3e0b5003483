"""The formulas of elementwise operations on large arrays: a line each, forward and backward.

Numbers are float32; the functions are those of functions.py. elementwise.py makes loops of them.

    x the input, y the result, g the gradient of the result, p and q the op's parameters    PASSES
    x and y the two inputs, of shapes that broadcast; z a third that lies as y does          PAIRS
    x the input, y the target, and the loss's derivative by x; p its parameter              LOSSES
"""

from __future__ import annotations

from typing import NamedTuple


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
