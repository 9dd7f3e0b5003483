"""register_full_backward_hook and its pre hook: what they see and change, beside PyTorch."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

torch = pytest.importorskip("torch")
BOTH = (torch, mg)


def nets(m: Any) -> Any:
    """Modules of many arguments and outputs, some of which no gradient passes through."""

    class Two(m.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any, y: Any = None, n: int = 2) -> Any:
            return x * y * n, x + 1, "text"

    class Kept(m.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any, *, y: Any) -> Any:
            return x * y

    return Two(), Kept()


def seen(m: Any, log: list[Any], give: Any = None) -> Callable[..., Any]:
    """A hook that writes down what it sees, and returns what `give` makes of it."""

    def shown(g: Any) -> Any:
        return None if g is None else g.detach().numpy().tolist()

    def hook(module: Any, *grads: Any) -> Any:
        log.append([type(module).__name__, *([shown(g) for g in row] for row in grads)])
        return give(*grads) if give else None

    return hook


CASES: dict[str, Callable[..., Any]] = {
    "one": lambda m, two, kept, x, y, h: [h(m.nn.Tanh())(x).sum()],
    "used twice": lambda m, two, kept, x, y, h: [(lambda t: t(t(x)).sum())(h(m.nn.Tanh()))],
    "two outputs": lambda m, two, kept, x, y, h: [(a * b).sum() for a, b, _ in [h(two)(x, y)]],
    "the first": lambda m, two, kept, x, y, h: [h(two)(x, y, 3)[0].sum()],
    "the second": lambda m, two, kept, x, y, h: [h(two)(x, y)[1].sum()],
    "one input": lambda m, two, kept, x, y, h: [h(two)(x.detach(), y)[0].sum()],
    "by name": lambda m, two, kept, x, y, h: [h(kept)(x, y=y).sum()],
    "nested": lambda m, two, kept, x, y, h: [
        h(m.nn.Sequential(h(m.nn.Tanh()), h(m.nn.Sigmoid())))(x * y).sum()],
    "inside twice": lambda m, two, kept, x, y, h: [
        (t := h(m.nn.Tanh()))(x).sum(), t(y).sum()],
    "a leaf in between": lambda m, two, kept, x, y, h: [
        h(m.nn.Sequential(m.nn.Tanh(), h(m.nn.Sigmoid())))(x).sum() + y.sum()],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("change", [False, True])
def test_as_in_pytorch(name: str, change: bool) -> None:
    results = []
    for m in BOTH:
        log: list[Any] = []

        def hooked(module: Any, m: Any = m, log: list[Any] = log) -> Any:
            twice = (lambda gs: tuple(None if g is None else 2 * g for g in gs)) if change else None
            back = (lambda i, o: twice(i)) if twice else None
            module.register_full_backward_hook(seen(m, log, back))
            module.register_full_backward_hook(seen(m, log))
            module.register_full_backward_pre_hook(seen(m, log, twice))
            module.register_full_backward_pre_hook(seen(m, log))
            return module

        a = np.array([[0.5, -1.0], [0.25, 2.0]])
        x, y = (m.from_numpy(v.copy()).requires_grad_() for v in (a, a.T + 1))
        for loss in CASES[name](m, *nets(m), x, y, hooked):
            loss.backward()
        results.append((log, [None if v.grad is None else v.grad.tolist() for v in (x, y)]))
    (theirs, their_grads), (ours, our_grads) = results
    flat = lambda v: [np.nan if g is None else g for g in v]  # noqa: E731
    assert [[n, *map(len, rows)] for n, *rows in ours] == [
        [n, *map(len, rows)] for n, *rows in theirs
    ]
    for mine, other in zip(ours, theirs, strict=True):
        for row, their_row in zip(mine[1:], other[1:], strict=True):
            for g, t in zip(flat(row), flat(their_row), strict=True):
                np.testing.assert_allclose(g, t, 1e-12)
    for g, t in zip(flat(our_grads), flat(their_grads), strict=True):
        np.testing.assert_allclose(g, t, 1e-12)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_without_arguments_that_need_gradients() -> None:
    """The hooks see None for them, and cannot give any."""
    for m in BOTH:
        log: list[Any] = []
        layer = m.nn.Linear(2, 1)
        layer.register_full_backward_hook(seen(m, log))
        layer(m.ones(3, 2)).sum().backward()
        assert log == [["Linear", [None], [[[1.0]] * 3]]]
        layer.register_full_backward_hook(lambda module, i, o: o)
        with pytest.raises(RuntimeError, match="hook"):
            layer(m.ones(3, 2)).sum().backward()
        with m.no_grad():
            layer(m.ones(3, 2))
    assert len(log) == 2


def test_handles_and_copies() -> None:
    layer = nn.Tanh()
    assert not layer._hooked()
    log: list[Any] = []
    x = mg.ones(2, requires_grad=True)
    with layer.register_full_backward_hook(seen(mg, log)):
        assert layer._hooked()
        copied = copy.copy(layer)
        layer(x).sum().backward()
    layer(x).sum().backward()
    assert len(log) == 1 and not layer._hooked() and copied._hooked()


def test_wrong_hooks() -> None:
    x = mg.ones(2, requires_grad=True)
    for register in ("register_full_backward_hook", "register_full_backward_pre_hook"):
        layer = nn.Tanh()
        getattr(layer, register)(lambda module, *grads: (grads[0][0], None))
        with pytest.raises(RuntimeError, match="Tanh: a backward hook returned 2 gradients, exp"):
            layer(x).sum().backward()
        assert x.grad is None
    layer = nn.Identity()
    layer.register_full_backward_hook(lambda module, i, o: None)
    with pytest.warns(UserWarning, match="Identity: backward hooks see .* output is a dict") as w:
        layer({})
    assert w[0].filename == __file__


def test_fusion_and_folding_keep_away() -> None:
    """A hook on a part of Sequential is called: the parts do not run as one op then."""
    log: list[Any] = []
    net = nn.Sequential(nn.BatchNorm1d(2), nn.ReLU())
    net[1].register_full_backward_hook(seen(mg, log))
    net(mg.randn(4, 2)).sum().backward()
    assert len(log) == 1


def test_a_dropped_graph_is_freed() -> None:
    layer = nn.Tanh()
    layer.register_full_backward_hook(lambda module, i, o: None)
    gc.disable()
    try:
        x = mg.ones(2, requires_grad=True)
        y = layer(x * 2)
        node = weakref.ref(y.node)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_conversions() -> None:
    layer = nn.BatchNorm1d(2)
    assert {str(v.dtype) for v in layer.half().parameters()} == {"float16"}
    assert layer.running_mean.dtype == mg.float16 and layer.num_batches_tracked.dtype == mg.int64
    assert layer.double().weight.dtype == mg.float64 and layer.float().weight.dtype == mg.float32
    with pytest.raises(TypeError, match="bfloat16: numpy has no such dtype"):
        layer.bfloat16()
    assert layer.weight.dtype == mg.float32


@pytest.mark.parametrize(
    "register",
    ["forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook"],
)
def test_a_hook_is_a_function(register: str) -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="a hook must be a function, got int"):
        getattr(layer, f"register_{register}")(3)
    assert not layer._hooked()
    x = mg.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="a hook must be a function, got int"):
        x.register_hook(3)
    x.sum().backward()
