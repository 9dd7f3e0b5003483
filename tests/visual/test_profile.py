"""profile(): what it counts, that it adds up, and that it costs nothing when off."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from networks import Block, readme

import minigrad as mg
from minigrad import modes, nn
from minigrad.autograd import record
from minigrad.tables import size
from minigrad.visual import vjps
from minigrad.visual.timing import OUTSIDE


def test_calls_layers_kernels_and_bytes(kernels: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, forward = readme()
    with mg.profile() as p:
        for _ in range(3):
            loss = forward()
            loss.backward()
    assert {name: cost.calls for name, cost in p.ops.items()} == {
        "linear": 6, "batch_norm_relu": 3, "binary_cross_entropy_with_logits": 3,
    }  # fmt: skip
    assert {name: cost.calls for name, cost in p.layers.items()} == {
        "0 · Linear": 3, "1 · BatchNorm1d": 3, "3 · Linear": 3, OUTSIDE: 0,
    }  # fmt: skip
    assert p.ops["batch_norm_relu"].kernels == {kernels} and p.ops["linear"].kernels == {"numpy"}
    again = forward()
    assert again.node is not None
    held = vjps.held(again.node.vjp)
    assert p.layers[OUTSIDE].kept == 3 * vjps.kept_bytes(held.values())
    assert capsys.readouterr().out == f"{p}\n"


def slow(x: Any, forward: float, backward: float, name: str = "slow") -> Any:
    """An op that takes its time."""
    time.sleep(forward)

    def vjp(g: Any) -> Any:
        time.sleep(backward)
        return g

    return record(name, x.array * 1, (x,), vjp)


class Slow(nn.Module):
    def forward(self, x: Any) -> Any:
        """30 ms; 60 ms back."""
        return slow(x, 0.03, 0.06)


def test_times_are_those_of_the_operations() -> None:
    x, model = mg.ones(2).requires_grad_(), nn.Sequential(Slow(), nn.Tanh(), Slow())
    with mg.profile(show=False) as p:
        y = model(x)
        time.sleep(0.05)  # my own code, before a layer starts: elsewhere
        model(x)
        (y * 1).sum().backward()
    cost = p.ops["slow"]
    assert cost.calls == 4
    assert 0.12 <= cost.forward < 0.12 + 0.04 and 0.12 <= cost.backward < 0.12 + 0.04
    assert p.ops["tanh"].forward < 0.02 and p.ops["mul"].backward < 0.02
    assert p.layers["0 · Slow"].forward >= 0.06 and p.layers["2 · Slow"].backward >= 0.06
    whole = sum(c.forward + c.backward for c in p.ops.values())
    assert whole == pytest.approx(sum(c.forward + c.backward for c in p.layers.values()))
    assert whole + 0.05 <= p.seconds < whole + 0.15
    assert "elsewhere: 5" in str(p) or "elsewhere: 6" in str(p)


def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    x = mg.ones(1000).requires_grad_()
    with mg.profile(show=False) as p:
        x.exp().sum().backward()
    p.ops["exp"].forward, p.ops["exp"].backward = 0.00123456, 2.0
    p.ops["sum"].forward, p.ops["sum"].backward = 0.0000004, 0.000002
    lines = str(p).splitlines()
    assert lines[0].split() == ["op", "calls", "forward", "backward", "share", "kept", "kernels"]
    assert lines[1].split() == ["exp", "1", "1.23", "ms", "2", "s", "100", "%", "4", "kB", "numpy"]
    assert lines[2].split() == ["sum", "1", "0", "µs", "2", "µs", "0", "%", "0", "B", "numpy"]
    assert lines[3].startswith("total") and lines[5].startswith("layer")
    assert repr(p) == str(p) and "<pre>op " in p._repr_html_()
    with mg.profile(show=False) as p:
        pass
    assert str(p) == "profile: no operation ran in this block"


def test_inference_is_seen_and_backward_of_what_ran_before() -> None:
    model = nn.Linear(3, 2)
    y = model(mg.ones(4, 3)).sum()
    with mg.profile(show=False) as p:
        with mg.no_grad():
            model(mg.ones(4, 3))
        y.backward()
    assert p.ops["linear"].calls == 1 and p.ops["linear"].kept == 0
    assert p.ops["sum"].calls == 0 and p.ops["sum"].backward > 0


def test_layers_in_layers_count_what_is_their_own() -> None:
    model = nn.Sequential(Block(2))
    with mg.profile(show=False) as p:
        model(mg.ones(1, 2, 4, 4))
    assert p.layers["0 · Block"].calls == 1  # of three operations: relu, add, relu
    assert p.layers["0.first · Conv2d"].calls == 1


def test_a_layer_counts_its_runs_and_all_that_it_keeps() -> None:
    model, x = nn.LSTM(3, 4, num_layers=2), mg.randn(5, 2, 3)
    with mg.profile(show=False) as p:
        for _ in range(3):
            model(x)[0].sum()
    assert set(p.layers) == {"LSTM", OUTSIDE} and p.layers["LSTM"].calls == 3
    kept = sum(cost.kept for cost in p.ops.values())
    assert p.layers["LSTM"].kept + p.layers[OUTSIDE].kept == kept > 0
    rows = {line.partition("  ")[0]: line.split() for line in str(p).splitlines()}
    assert rows["lstm"][1] == "6" and " ".join(rows["total"][-2:]) == size(kept)
    assert rows["outside of layers"][4] in ("s", "ms", "µs")  # a time: it has no number of calls


def test_it_ends_and_prints_after_an_error_and_can_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    x, p = mg.ones(2).requires_grad_(), mg.profile()
    with pytest.raises(ZeroDivisionError), p:
        x * 2
        raise ZeroDivisionError
    assert capsys.readouterr().out.startswith("op ") and not modes.watchers
    x * 2
    with p:
        x * 2
    assert p.ops["mul"].calls == 2


def test_nested_profiles_both_count() -> None:
    x = mg.ones(2).requires_grad_()
    with mg.profile(show=False) as outer:
        x * 2
        with mg.profile(show=False) as inner:
            x * 2
    assert outer.ops["mul"].calls == 2 and inner.ops["mul"].calls == 1


def test_results_have_the_same_bits() -> None:
    model, _, forward = readme()
    forward().backward()
    first = [p.grad.array.copy() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    with mg.profile(show=False):
        forward().backward()
    for a, p in zip(first, model.parameters(), strict=True):
        assert p.grad is not None
        np.testing.assert_array_equal(a, p.grad.array)
