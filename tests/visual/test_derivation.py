"""The equations of the docstrings, computed as they stand there: they are right, and stay so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.ops import norm
from minigrad.visual.derivation import derivation
from minigrad.visual.equations import cited, equations, evaluate
from minigrad.visual.graphs import graph, kept_of
from minigrad.visual.pool import Pool
from minigrad.visual.source import source_of

DOC = """A chapter.

What leads to it:

    forward     total = Σ x_i·x_i / m        a remark, with words                    (AB 1)
                half_i = x_i·½,   root = √(total + eps)                              (AB 2)

Then comes more.

                long = Σ (x_i - total)²
                     = Σ x_i² - 2·total·Σ x_i + m·total²                             (AB 3)
left:           dx_i = -total                                                        (XY 10)
"""
X = np.arange(6.0).reshape(2, 3, 1)


def test_reading_a_docstring() -> None:
    first, second, third, fourth = equations(DOC)
    assert (first.number, first.before, first.remark) == (
        "AB 1", "What leads to it:", "a remark, with words",
    )  # fmt: skip
    assert first.formulas == [("total", ["Σ x_i·x_i / m"])]
    assert second.formulas == [("half_i", ["x_i·½"]), ("root", ["√(total + eps)"])]
    assert (third.before, len(third.formulas[0][1])) == ("Then comes more.", 2)
    assert fourth.number == "XY 10" and fourth.before == "left:"


def test_evaluating_what_was_read() -> None:
    names: dict[str, Any] = {"x": X, "m": 2, "eps": 0.5}
    for equation in equations(DOC):
        for name, expressions in equation.formulas:
            values = [evaluate(text, names) for text in expressions]
            names[name.removesuffix("_i")] = values[0]
            for other in values[1:]:
                np.testing.assert_allclose(other, values[0], rtol=1e-14)
    np.testing.assert_array_equal(names["total"], (X * X).sum(0, keepdims=True) / 2)
    np.testing.assert_array_equal(names["half"], X / 2)
    np.testing.assert_array_equal(names["root"], np.sqrt(names["total"] + 0.5))


@pytest.mark.parametrize("text", ["x_i +", "unknown·x_i", "the words of a sentence", "x_i.data"])
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot compute"):
        evaluate(text, {"x": None})


def test_citations() -> None:
    assert cited("by (BN 3) and (LN 1) to (LN 3).") == {"BN 3", "LN 1", "LN 2", "LN 3"}


def table(x: Any, layer: Any, backward: bool = True, relu: bool = False) -> dict[str, Any]:
    """The formulas of a batch normalisation in training, by number and name, with their arrays."""
    with mg.remember():
        y = layer(x, relu=relu)
        weights = mg.randn(*y.shape, dtype=y.dtype)
        loss = (y * weights).sum()
    if backward:
        loss.backward()
    vertex = next(v for v in graph(loss, layer).vertices if v.op.startswith("batch_norm"))
    kept, pool = kept_of(vertex.node), Pool()
    assert kept is not None
    source = source_of(vertex.op, kept.codes)
    assert source is not None
    found = {}
    for equation in derivation(vertex, source, pool):
        for formula in equation["formulas"]:
            if "value" in formula:
                formula["array"] = pool[formula["value"]]
            found[equation["number"], formula["name"]] = formula
    return found


BN = {f"BN {i}" for i in range(1, 12)}


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 6), (2, 3, 4, 5), (200, 16)])
def test_the_eleven_equations_give_what_the_kernels_give(
    kernels: str, shape: tuple[int, ...], relu: bool
) -> None:
    rng = np.random.default_rng(len(shape))
    x = mg.from_numpy(3 * rng.standard_normal(shape) + 1).requires_grad_()
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
    layer = kind(shape[1], eps=1e-3, dtype=np.float64)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    found = table(x, layer, relu=relu)
    assert {number for number, _ in found} == BN
    assert all("array" in formula for formula in found.values())
    compared = [key for key, formula in found.items() if "kernel" in formula]
    assert {name for _, name in compared} == {"mean", "inv_std", "y_i", "dbeta", "dgamma", "dx_i"}
    for key in compared:
        assert found[key]["kernel"] < 1e-12, key
    assert found["BN 8", "dvar"]["apart"] < 1e-12
    np.testing.assert_allclose(
        found["BN 10", "dx_i"]["array"], found["BN 11", "dx_i"]["array"], rtol=1e-5, atol=1e-6
    )
    a = x.detach().numpy().reshape(shape[0], shape[1], -1)
    np.testing.assert_allclose(found["BN 2", "var"]["array"], a.var((0, 2)), rtol=1e-12)


def test_before_backward_only_the_forward_half_has_values() -> None:
    found = table(mg.randn(5, 3), nn.BatchNorm1d(3), backward=False)
    with_values = {number for (number, _), formula in found.items() if "array" in formula}
    assert with_values == {"BN 1", "BN 2", "BN 3", "BN 4"}


def test_without_affine_parameters_and_frozen_ones() -> None:
    found = table(mg.randn(5, 3).requires_grad_(), nn.BatchNorm1d(3, affine=False))
    assert found["BN 4", "y_i"]["kernel"] < 1e-6 and found["BN 11", "dx_i"]["kernel"] < 1e-6
    layer = nn.BatchNorm1d(3).requires_grad_(False)
    nn.init.normal_(layer.bias)
    found = table(mg.randn(5, 3).requires_grad_(), layer)
    assert found["BN 4", "y_i"]["kernel"] < 1e-6 and "kernel" not in found["BN 5", "dbeta"]


def test_a_wrong_equation_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above sees: a docstring that says something else than the kernels do."""
    right = "gamma·inv_std·(g_i - dbeta/m - x_hat_i·dgamma/m)"
    assert norm.__doc__ and right in norm.__doc__
    doc = norm.__doc__.replace(right, right.replace("- dbeta", "+ dbeta"))
    original = equations
    monkeypatch.setattr("minigrad.visual.derivation.equations", lambda _: original(doc))
    found = table(mg.randn(5, 3).requires_grad_(), nn.BatchNorm1d(3))
    assert found["BN 11", "dx_i"]["kernel"] > 1e-2


def test_eps_of_a_function_called_without_a_layer() -> None:
    x = (mg.randn(50, 3) * mg.tensor([1.0, 0.01, 100.0])).double().requires_grad_()

    def call(x: Any, relu: bool) -> Any:
        return nn.functional.batch_norm(x, None, None, training=True, eps=0.01)

    with mg.remember():
        y = call(x, False)
    vertex = graph(y).vertices[-1]
    kept = kept_of(vertex.node)
    assert kept is not None
    source = source_of(vertex.op, kept.codes)
    assert source is not None
    entries = derivation(vertex, source, Pool())
    inv_std = next(f for e in entries for f in e["formulas"] if f["name"] == "inv_std")
    assert inv_std["kernel"] < 1e-9


def test_nan_in_the_batch_is_no_error() -> None:
    x = mg.randn(5, 3)
    x[0, 0] = float("nan")
    with pytest.warns(RuntimeWarning, match="keep their last finite values"):
        found = table(x.requires_grad_(), nn.BatchNorm1d(3))
    assert found["BN 1", "mean"]["kernel"] is None
    assert np.isnan(found["BN 1", "mean"]["array"][0])
