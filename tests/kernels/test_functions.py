"""The vectorised float32 functions: units in the last place from the float64 result, everywhere."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

numba = pytest.importorskip("numba")
special = pytest.importorskip("scipy.special")
functions: Any = importlib.import_module("minigrad.kernels.compiled.functions")
functions_wide: Any = importlib.import_module("minigrad.kernels.compiled.functions_wide")

# function: the float64 one, where it is tried, and the units it may be off. sigmoid and softplus
# are made of two that may be off by one each; erfc, ndtr and their inverses of an exponential or a
# logarithm, a division or a root, and a polynomial.
CASES: dict[str, tuple[Callable[[Any], Any], float, float, float]] = {
    "exp": (np.exp, -103.9, 88.7228, 1.0),
    "expm1": (np.expm1, -104.0, 88.7228, 1.5),
    "log": (np.log, 1e-45, 3e38, 1.0),
    "log2": (np.log2, 1e-45, 3e38, 1.5),
    "log10": (np.log10, 1e-45, 3e38, 2.0),
    "log1p": (np.log1p, -0.9999999, 1e10, 2.0),
    "tanh": (np.tanh, -20.0, 20.0, 1.5),
    "erf": (special.erf, -10.0, 10.0, 1.5),
    "erfc": (special.erfc, -10.0, 10.0, 6.0),
    "ndtr": (special.ndtr, -14.1, 14.1, 6.0),
    "erfinv": (lambda x: np.copysign(special.erfinv(x), x), -0.99999994, 0.99999994, 6.0),
    "ndtri": (special.ndtri, 1e-44, 0.99999994, 6.0),
    "sigmoid": (special.expit, -104.0, 104.0, 2.5),
    "softplus": (lambda x: np.logaddexp(0, x), -104.0, 104.0, 2.5),
}


def loop(f: Any) -> Any:
    @numba.njit
    def each(x: Any, out: Any) -> None:
        for i in range(x.size):
            out[i] = f(x[i])

    return each


def units(y: np.ndarray, exact: np.ndarray) -> np.ndarray:
    near = exact.astype(np.float32)
    off = np.abs(y - exact) / np.spacing(np.abs(near)).astype(np.float64)
    return np.where(y == near, np.minimum(off, 0.5), off)


def arguments(low: float, high: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    size = np.exp(rng.uniform(-103, np.log(max(abs(low), abs(high))), 200_000))
    x = np.concatenate(
        [np.linspace(low, high, 400_001), *(s * rng.standard_normal(200_000) for s in (1, 5)),
         size, -size]
    ).astype(np.float32)  # fmt: skip
    return x[(x >= low) & (x <= high)]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_units_in_the_last_place(name: str) -> None:
    exact, low, high, allowed = CASES[name]
    each, x = loop(getattr(functions, name)), arguments(low, high)
    y = np.empty_like(x)
    each(x, y)
    off = units(y.astype(np.float64), exact(x.astype(np.float64)))
    worst = int(off.argmax())
    assert off[worst] <= allowed, f"{name}({x[worst]}) = {y[worst]}: {off[worst]:.2f} units"
    specials = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-42, -1e-42, 1e-8, -1e-8], "f")
    y = np.empty_like(specials)
    each(specials, y)
    expected = exact(specials.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(y, expected, rtol=3e-7, atol=0)
    zeros = expected == 0
    np.testing.assert_array_equal(np.signbit(y[zeros]), np.signbit(expected[zeros]))


@pytest.mark.slow
@pytest.mark.parametrize("b", [1.7, -0.3, 0.5, -0.5, 3.0, -2.0, -1.0, 7.0, 1.0, 30.5, 100.0])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_powers(b: float) -> None:
    parity = 0 if b % 1 else 2 - int(b % 2)
    power = functions_wide.power
    each = loop(numba.njit(lambda x: power(x, b, parity)))
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal(100_000), np.exp(rng.uniform(-80, 80, 100_000))])
    x = np.concatenate([x, [0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 2, 1e-40]]).astype("f")
    y = np.empty_like(x)
    each(x, y)
    expected = np.power(x.astype(np.float64), np.full(x.shape, b))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    usual = np.isfinite(expected) & (np.abs(expected) < 3.4e38)
    assert units(y[usual].astype(np.float64), expected[usual]).max() <= 1
    np.testing.assert_array_equal(
        y[~usual & ~np.isnan(expected)], expected[~usual & ~np.isnan(expected)].astype("f")
    )


@pytest.mark.slow
def test_the_coefficients_are_those_that_were_fitted() -> None:
    pytest.importorskip("mpmath")
    sys.path.insert(0, str(Path(__file__).parent))
    import fit_functions

    source = "".join(Path(m.__file__).read_text("utf-8") for m in (functions, functions_wide))
    written = {float(n) for n in re.findall(r"(?<!\w)-?\d[\d.]*(?:e[+-]?\d+)?", source)}
    for name, fit in fit_functions.FITS.items():
        coefficients, error = fit_functions.fit(*fit)
        assert error < 0.5, name
        for c in coefficients:
            near = 1e-9 if "I" in name else 1e-6  # as many digits as are written
            assert any(abs(c - w) <= near * abs(c) for w in written), (name, c)
