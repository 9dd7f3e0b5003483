"""Large float32 arrays: compiled passes against the ops' own numpy formulas, in every respect."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

import minigrad as mg
from minigrad.kernels.compiled import elementwise, rows
from minigrad.nn import functional as F
from minigrad.ops import large

Op = Callable[[Any], Any]
UNARY: dict[str, Op] = {
    **{n: (lambda x, n=n: getattr(x, n)()) for n in
       ["exp", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "square",
        "neg", "abs", "sign", "tanh", "sigmoid", "frac", "lgamma", "digamma", "i0", "logit"]},
    **{n: getattr(F, n) for n in
       ["elu", "selu", "celu", "silu", "mish", "gelu", "softplus", "logsigmoid", "leaky_relu",
        "hardtanh", "relu6", "hardsigmoid", "hardswish", "softsign"]},
    **{n: getattr(mg.special, n) for n in ("erf", "erfc", "erfinv", "ndtr", "ndtri", "entr")},
    "gelu, tanh": lambda x: F.gelu(x, approximate="tanh"),
    "elu, alpha": lambda x: F.elu(x, 0.3),
    "celu, alpha": lambda x: F.celu(x, 1.7),
    "leaky_relu, slope": lambda x: F.leaky_relu(x, negative_slope=-0.5),
    "softplus, beta": lambda x: F.softplus(x, 3.0, 2.0),
    "hardtanh, bounds": lambda x: F.hardtanh(x, -2, 0.5),
    "clamp": lambda x: x.clamp(-1, 0.5),
    "clamp, min": lambda x: x.clamp(min=0.25),
    "clamp, max": lambda x: x.clamp(max=0.25),
    "threshold": lambda x: F.threshold(x, 0.3, -2),
    "hardshrink": lambda x: F.hardshrink(x, 0.7),
    "softshrink": lambda x: F.softshrink(x, 0.7),
    "exp2": mg.exp2,
    "2.5 to the power": lambda x: 2.5**x,
    "0.3 to the power": lambda x: 0.3**x,
    "logit, eps": lambda x: mg.logit(x, 0.1),
    "glu": lambda x: F.glu(x, 0),
    "clamp, crossed": lambda x: x.clamp(1, -1),
    **{f"pow {b}": (lambda x, b=b: x**b) for b in (1.7, -0.3, 0.5, -0.5, 3, -2, -1, 5, 0, 1)},
}  # fmt: skip
REDUCTIONS: dict[str, Op] = {
    "sum": lambda x: x.sum(),
    "sum 0": lambda x: x.sum(0),
    "sum 1, keepdim": lambda x: x.sum(1, keepdim=True),
    "mean": lambda x: x.mean(),
    "mean 1": lambda x: x.mean(1),
    "var": lambda x: x.var(),
    "var 0": lambda x: x.var(0),
    "var 1": lambda x: x.var(1, correction=3),
    "std 1": lambda x: x.std(1),
    "std": lambda x: x.std(),
    "norm": lambda x: x.norm(),
    "norm 1": lambda x: x.norm(p=1),
    "norm 1 of rows": lambda x: x.norm(p=1, dim=1),
    "norm of rows": lambda x: x.norm(dim=1, keepdim=True),
    "norm of columns": lambda x: x.norm(dim=0),
    "logsumexp": lambda x: x.logsumexp(1),
    "softmax": lambda x: x.softmax(1),
    "softmax of columns": lambda x: x.softmax(0),
    "log_softmax": lambda x: x.log_softmax(-1),
    "cumsum": lambda x: x.cumsum(1),
    "cumsum of columns": lambda x: x.cumsum(0),
}
LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "mse": F.mse_loss, "l1": F.l1_loss, "huber": lambda x, t: F.huber_loss(x, t, delta=0.4),
    "smooth l1": lambda x, t: F.smooth_l1_loss(x, t, beta=0.7),
    "mse sum": lambda x, t: F.mse_loss(x, t, reduction="sum"),
    "bce": lambda x, t: F.binary_cross_entropy(x.abs() * 0.05, t),
    "bce with logits": F.binary_cross_entropy_with_logits,
    "cross entropy": lambda x, t: F.cross_entropy(x, (t[:, 1] * 7).long()),
    "margin ranking": lambda x, t: F.margin_ranking_loss(x, 0.3 * t, 2 * t - 1, margin=0.1),
    "hinge embedding": lambda x, t: F.hinge_embedding_loss(x, (2 * t - 1).sign(), margin=0.7),
}  # fmt: skip
SPECIAL = [0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 0.5, -0.5, 1e-8, -1e-8, 1e-42, 200.0, -200.0]
SPECIAL += [1e30, -1e30, np.inf, -np.inf, np.nan]


def draw(shape: tuple[int, ...], special: bool, seed: int = 0) -> np.ndarray:
    x = np.asarray(3 * np.random.default_rng(seed).standard_normal(shape), np.float32)
    if special:
        x.reshape(-1)[:: max(1, x.size // 400)][: len(SPECIAL)] = SPECIAL
    return x


def run(
    op: Op, kernels: str, x: np.ndarray, dtype: Any, special: bool = False
) -> list[np.ndarray]:
    """The result and the gradient for a random one of the result, with NaN in it if `special`. (By
    an infinite one 0 and what rounding leaves of it would differ.)"""
    with mg.use_kernels(kernels):
        t = mg.from_numpy(x.astype(dtype)).requires_grad_()
        y = op(t)
        g = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        if special and g.size > 1:
            g.reshape(-1)[::13] = np.nan
        y.backward(mg.from_numpy(g))
        assert t.grad is not None
        return [y.detach().numpy(), t.grad.numpy()]


def agree(op: Op, x: np.ndarray, units: float = 16.0, special: bool = False) -> None:
    """With the numpy formula in float64, rounded, and in where NaN stands."""
    compiled = run(op, "numba", x, np.float32, special)
    wide, narrow = (run(op, "numpy", x, dtype, special) for dtype in (np.float64, np.float32))
    for got, exact, plain in zip(compiled, wide, narrow, strict=True):
        assert got.dtype == np.float32 and got.shape == exact.shape
        np.testing.assert_array_equal(np.isnan(got), np.isnan(plain))
        with np.errstate(over="ignore"):
            exact = exact.astype(np.float32)
        # a float32 formula may overflow on the way where float64 does not: then both do
        same = (got == exact) | (got == plain) | np.isnan(got)
        error = np.abs(np.where(same, 0, got) - np.where(same, 0, exact))
        # 1: the cotangents' size; results near 0 are differences of such numbers
        bound = units * np.finfo(np.float32).eps * np.maximum(np.abs(exact), 1)
        wrong = ~same & ~(error <= bound)
        at = x[wrong][:4] if wrong.shape == x.shape else ""
        assert not wrong.any(), (at, got[wrong][:4], exact[wrong][:4])


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("special", [False, True], ids=["usual", "special"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_elementwise(name: str, special: bool) -> None:
    x = draw((130, 301), special)
    if "0.5" in name:
        x[x == -np.inf] = 1  # the root of which is NaN here and in PyTorch, inf in numpy
    agree(UNARY[name], x, special=special)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("shape", [(130, 301), (3, 20_011), (20_011, 3), (1, 40_000), (40_000, 1)])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_reductions(name: str, shape: tuple[int, ...]) -> None:
    if (name in ("var 1", "std 1") and shape[1] < 4) or (name == "var 0" and shape[0] < 2):
        pytest.skip("the variance of so few values is not finite, in numpy neither")
    agree(REDUCTIONS[name], draw(shape, False), units=64.0)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", "sum 1, keepdim"])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rows_with_what_is_not_finite(name: str, odd: float) -> None:
    x = draw((40, 500), False)
    x[3, 7], x[5] = odd, odd
    agree(REDUCTIONS[name], x)


@pytest.mark.parametrize("special", [False, True], ids=["usual", "special"])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_losses(name: str, special: bool) -> None:
    if special and name == "bce":
        pytest.skip("refuses what is no probability")
    target = np.random.default_rng(2).random((150, 200)).astype(np.float32)
    if special:
        target[::7, 5::31] = np.nan  # none in the column of which classes are made

    def op(x: Any) -> Any:
        return LOSSES[name](x, mg.from_numpy(target.astype(x.dtype)))

    agree(op, draw((150, 200), special), units=64.0)


def test_losses_pass_gradients_to_their_targets() -> None:
    x, t = draw((150, 200), False), draw((150, 200), False, 3)
    for loss in (F.mse_loss, F.l1_loss, F.huber_loss):
        grads = []
        for kernels in ("numba", "numpy"):
            with mg.use_kernels(kernels):
                target = mg.from_numpy(t).requires_grad_()
                loss(mg.from_numpy(x), target).backward()
                assert target.grad is not None
                grads.append(target.grad.numpy())
        np.testing.assert_allclose(*grads, rtol=1e-5, atol=1e-9)


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "every second": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "expanded": lambda a: np.broadcast_to(a[:1], a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_any_layout(layout: str) -> None:
    x = LAYOUTS[layout](np.abs(draw((130, 301), False)) + 0.1)
    for name in ("exp", "gelu", "log", "elu, alpha", "pow 1.7"):
        agree(UNARY[name], x)
    for name in ("sum", "sum 0", "var 1", "norm", "softmax", "cumsum", "logsumexp"):
        agree(REDUCTIONS[name], x, units=64.0)


SHAPES = [((700, 600), (700, 600)), ((700, 600), (600,)), ((700, 600), (700, 1)), ((420_000,), ()),
          ((), (420_000,)), ((8, 16, 60, 60), (1, 16, 1, 1)), ((16, 1, 1), (8, 16, 60, 60)),
          ((700, 1), (1, 600)), ((200_000, 3), (200_000, 1)), ((3, 5, 7, 11, 400), (5, 1, 11, 1)),
          ((600, 700), (600, 700))]  # fmt: skip


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_pairs_that_broadcast(shapes: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "get_num_threads", lambda: 2)
    a, b = draw(shapes[0], False), draw(shapes[1], False, 3)
    if shapes[0] == (600, 700):
        a = np.ascontiguousarray(a.T).T  # no loop fits it
    for name in ("add", "sub", "mul", "div"):
        found = []
        for kernels in ("numba", "numpy"):
            with mg.use_kernels(kernels):
                x, y = (mg.from_numpy(v).requires_grad_() for v in (a, b))
                z = getattr(x, name)(y)
                z.backward(mg.from_numpy(draw(z.shape, False, 4)))
                found.append([z.detach().numpy(), x.grad.numpy(), y.grad.numpy()])
        for got, expected in zip(*found, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
        np.testing.assert_array_equal(found[0][0], found[1][0])  # one operation, one rounding


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_extrema_with_ties_and_nan(name: str) -> None:
    rng = np.random.default_rng(0)
    values = np.array([-1, -0.0, 0, 2, np.inf, -np.inf, np.nan], np.float32)
    a, b = (rng.choice(values, (200, 300)) for _ in range(2))
    g = draw((200, 300), False, 4)
    found = []
    for kernels in ("numba", "numpy"):
        with mg.use_kernels(kernels):
            x, y = (mg.from_numpy(v).requires_grad_() for v in (a, b))
            z = getattr(mg, name)(x, y)
            z.backward(mg.from_numpy(g))
            found.append([z.detach().numpy(), x.grad.numpy(), y.grad.numpy()])
    for got, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(got, expected)


def bits() -> bytes:
    x, g = draw((600, 700), False), draw((600, 700), False, 1)
    results = []
    for op in ("gelu", "exp", "pow 1.7", "elu, alpha"):
        results += run(UNARY[op], "numba", np.abs(x), np.float32)
    for op in REDUCTIONS.values():
        results += run(op, "numba", x, np.float32)
    results += run(lambda v: F.huber_loss(v, mg.from_numpy(g)), "numba", x, np.float32)
    results += run(lambda v: v * mg.from_numpy(g[0]) + 1.5, "numba", x, np.float32)
    return b"".join(a.tobytes() for a in results)


def test_the_same_bits_for_any_number_of_threads() -> None:
    before = mg.get_num_threads()
    try:
        found = set()
        for n in (1, 2, 4):
            mg.set_num_threads(n)
            found.add(bits())
        assert len(found) == 1
    finally:
        mg.set_num_threads(before)


def test_small_arrays_are_left_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("a pass was started")

    monkeypatch.setattr(elementwise, "_start", never)
    monkeypatch.setattr(rows, "start", never)
    x = mg.ones(large.FROM - 1, requires_grad=True)
    F.silu(x).sum().backward()
    F.gelu(x[: large.SLOW_FROM - 1]).sum().backward()
    wide = mg.ones(2 * large.FROM, dtype=mg.float64, requires_grad=True)
    F.gelu(wide).sum().backward()


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path: Any) -> None:
    code = (
        "import numba, sys; sys.path.insert(0, 'tests/kernels'); import test_large as t\n"
        "x = t.draw((130, 301), False)\n"
        "for op in ('gelu', 'pow 1.7'): t.run(t.UNARY[op], 'numba', x, 'f')\n"
        "for op in ('softmax', 'var 1', 'sum 0'): t.run(t.REDUCTIONS[op], 'numba', x, 'f')\n"
        "t.run(lambda v: t.F.mse_loss(v, v.detach() * 2), 'numba', x, 'f')\n"
        "import minigrad.kernels.machinery.jobs as jobs\n"
        "print(sum(jobs.compiled_here.values()), len(jobs.compiled_here))\n"
    )
    environment = {
        **os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment, capture_output=True, text=True, check=True, timeout=300,
        ).stdout.split()
        for _ in range(2)
    ]  # fmt: skip
    assert printed[0][0] == printed[0][1] == printed[1][1] != "0"
    assert printed[1][0] == "0"


PAIRS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y, "div": lambda x, y: x / y,
    "maximum": mg.maximum, "minimum": mg.minimum, "hypot": mg.hypot, "logaddexp": mg.logaddexp,
    "fmod": mg.fmod, "remainder": mg.remainder,
    "lerp": lambda x, y: mg.lerp(x, y, 0.3), "lerp, far": lambda x, y: mg.lerp(x, y, 0.7),
    "lerp, tensor": lambda x, y: mg.lerp(x, y, y),
    "addcmul": lambda x, y: mg.addcmul(x, y, x, value=0.3),
    "addcdiv": lambda x, y: mg.addcdiv(y, x, y, value=2),
}  # fmt: skip


def shapes_that_broadcast(rng: np.random.Generator) -> list[tuple[int, ...]]:
    full = [int(n) for n in rng.integers(1, 9, rng.integers(1, 5))]
    long = int(rng.integers(0, len(full)))
    full[long] = int(rng.integers(20_000, 40_000)) * full[long] // int(np.prod(full)) + 1
    found = []
    for _ in range(2):
        shape = [1 if rng.random() < 0.2 else n for n in full]
        found.append(tuple(shape[rng.integers(0, len(full)) :] if rng.random() < 0.2 else shape))
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_two_operands_of_any_shapes(name: str, seed: int) -> None:
    """Beside the numpy formula in both dtypes: no number further from float64 than 16 units or
    three times what numpy's is, and NaN where numpy has it."""
    rng = np.random.default_rng(seed)
    arrays = []
    for shape in shapes_that_broadcast(rng):
        a = np.round(3 * rng.standard_normal(shape), int(rng.integers(1, 7))).astype(np.float32)
        if seed % 2:
            places = rng.integers(0, a.size, min(a.size, 300))
            a.reshape(-1)[places] = rng.choice(SPECIAL, len(places)).astype(np.float32)
        arrays.append(np.asfortranarray(a) if rng.random() < 0.2 else a)
    (got, plain, exact) = (
        run_two(PAIRS[name], kernels, [a.astype(dtype) for a in arrays])
        for kernels, dtype in (("numba", "f4"), ("numpy", "f4"), ("numpy", "f8"))
    )
    for c, n, wide in zip(got, plain, exact, strict=True):
        assert c.dtype == np.float32 and c.shape == n.shape
        np.testing.assert_array_equal(np.isnan(c), np.isnan(n))
        with np.errstate(over="ignore"):
            e = wide.astype(np.float32)
        same = (c == n) | (c == e) | np.isnan(c)
        c, n, e = (np.where(same, 0, v) for v in (c, n, e))
        bound = 16 * np.finfo(np.float32).eps * np.maximum(1, np.abs(e))
        assert (np.abs(c - e) <= np.maximum(bound, 3 * np.abs(n - e))).all()


def run_two(op: Callable[[Any, Any], Any], kernels: str, arrays: list[Any]) -> list[np.ndarray]:
    with mg.use_kernels(kernels):
        x, y = (mg.from_numpy(a).requires_grad_() for a in arrays)
        out = op(x, y)
        g = np.random.default_rng(1).standard_normal(out.shape).astype(arrays[0].dtype)
        out.backward(mg.from_numpy(g))
        assert x.grad is not None and y.grad is not None
        return [v.detach().numpy() for v in (out, x.grad, y.grad)]


def test_a_quotient_beyond_the_formula_of_fmod_is_left_to_numpy() -> None:
    x = np.geomspace(1, 1e38, 40_000, dtype=np.float32)
    y = np.full_like(x, 3.7)
    with mg.use_kernels("numba"):
        for op, numpys in ((mg.fmod, np.fmod), (mg.remainder, np.remainder)):
            np.testing.assert_array_equal(op(mg.tensor(x), mg.tensor(y)).numpy(), numpys(x, y))


@pytest.mark.parametrize("channels", [1, 5])
def test_prelu_of_large_arrays(channels: int) -> None:
    x = draw((4, 5, 1500), True)
    w = np.linspace(-0.3, 0.7, channels).astype(np.float32)
    results = [
        run_two(lambda x, w: F.prelu(x, w), kernels, [x.astype(dtype), w.astype(dtype)])
        for kernels, dtype in (("numba", "f4"), ("numpy", "f8"))
    ]
    for got, exact in zip(*results, strict=True):
        np.testing.assert_allclose(got, exact.astype(np.float32), rtol=2e-6, atol=1e-6)
