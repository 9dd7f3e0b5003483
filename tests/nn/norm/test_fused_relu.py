"""Batch normalisation and the ReLU after it as one op."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, nn
from minigrad.autograd import gradcheck
from minigrad.kernels import compiled, reference
from minigrad.nn import functional as F

KERNELS = pytest.mark.parametrize("kernels", ["numpy", "numba"])
RNG = np.random.default_rng
SHAPES = [(8, 3), (300, 5), (6, 4, 7), (4, 3, 5, 6), (2, 2, 3, 2, 2), (1, 3, 4, 4), (0, 3, 2, 2)]
LAYERS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def layer_for(x: Any, dtype: str = "f4") -> Any:
    layer = LAYERS[x.ndim](x.shape[1], dtype=np.dtype(dtype))
    layer.weight.array[...] = RNG(1).standard_normal(x.shape[1])
    layer.bias.array[...] = RNG(2).standard_normal(x.shape[1])
    return layer


def run(layer: Any, call: Any, x: Any, g: Any) -> list[Any]:
    """Output, gradients and statistics of a step."""
    a = Tensor(x, requires_grad=True)
    y = call(a)
    y.backward(Tensor(g))
    grads = [t.grad.array for t in (a, layer.weight, layer.bias)]
    return [y.array, *grads, *(t.array.copy() for t in layer.buffers())]


@KERNELS
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_bits_are_those_of_two_ops(kernels: str, shape: tuple[int, ...], dtype: str) -> None:
    x, g = (RNG(seed).standard_normal(shape).astype(dtype) for seed in (0, 3))
    with minigrad.use_kernels(kernels):
        one, two = layer_for(x, dtype), layer_for(x, dtype)
        net = nn.Sequential(one, nn.ReLU())
        for _ in range(2):
            one.zero_grad(), two.zero_grad()
            together, apart = run(one, net, x, g), run(two, lambda a: F.relu(two(a)), x, g)
            for a, b in zip(together, apart, strict=True):
                np.testing.assert_array_equal(a, b)
        y = net(Tensor(x, requires_grad=True))
        assert y.grad_fn is not None and y.grad_fn.name() == "batch_norm_relu"


@pytest.mark.parametrize("k", [reference, compiled])
@pytest.mark.parametrize("shape", [(40, 4, 1), (3, 4, 9)])
@pytest.mark.parametrize("odd", [1e30, 1e-40, np.nan, np.inf, 3e38])
def test_what_float32_does_not_hold(k: Any, shape: tuple[int, ...], odd: float) -> None:
    """A channel that is computed in float64, or is not finite."""
    x, g = (RNG(seed).standard_normal(shape).astype("f4") for seed in (0, 1))
    with np.errstate(over="ignore"):
        x[:, 1] *= np.float32(odd)
    g[:, 2] *= 1e30
    gamma, beta = (RNG(seed).standard_normal(4).astype("f4") for seed in (2, 3))
    y, *statistics = k.batch_norm(x, gamma, beta, 1e-5)
    z, *others = k.batch_norm(x, gamma, beta, 1e-5, True)
    mean, _, inv_std = statistics
    apart = k.batch_norm_backward(k.relu_backward(g, k.relu(y)), x, mean, inv_std, gamma)
    together = k.batch_norm_backward(g, x, mean, inv_std, gamma, z)
    pairs = zip((z, *others, *together), (k.relu(y), *statistics, *apart), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


@KERNELS
@pytest.mark.parametrize("shape", [(6, 3), (3, 2, 4), (3, 2, 2, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_gradcheck(kernels: str, shape: tuple[int, ...], training: bool) -> None:
    x = RNG(0).standard_normal(shape)
    layer = layer_for(x, "f8")
    net = nn.Sequential(layer, nn.ReLU()).train(training)
    before = [t.array.copy() for t in layer.buffers()]
    with minigrad.use_kernels(kernels):
        inputs = (Tensor(x, requires_grad=True), layer.weight, layer.bias)
        assert gradcheck(lambda a, *_: net(a), inputs)
    for t, old in zip(layer.buffers(), before, strict=True):
        np.testing.assert_array_equal(t.array, old)


@pytest.mark.parametrize("frozen", [True, False])
def test_running_statistics_and_relu(frozen: bool) -> None:
    x = RNG(0).standard_normal((5, 3)).astype("f4")
    layer = layer_for(x)
    layer(Tensor(x))
    net = nn.Sequential(layer, nn.ReLU())
    if frozen:
        layer.freeze()
    else:
        net.eval()
    expected = F.relu(layer(Tensor(x))).array
    np.testing.assert_array_equal(net(Tensor(x)).array, expected)
    assert (expected >= 0).all() and (expected > 0).any()


def test_hooks_see_what_is_between() -> None:
    x = Tensor(RNG(0).standard_normal((5, 3)).astype("f4"))
    for where, how in ((0, "register_forward_hook"), (1, "register_forward_hook"),
                       (1, "register_forward_pre_hook")):  # fmt: skip
        net = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU())
        plain = net(x).array
        seen: list[Any] = []
        handle = getattr(net[where], how)(lambda *args, seen=seen: seen.append(args))
        np.testing.assert_array_equal(net(x).array, plain)
        between = seen[0][2] if where == 0 else seen[0][1][0]
        assert between.array.min() < 0
        handle.remove()


@pytest.mark.parametrize(
    "kind",
    [nn.BatchRenorm1d, nn.LpBatchNorm1d, nn.DecorrelatedBatchNorm1d],
    ids=lambda k: k.__name__,
)
def test_relatives_before_a_relu(kind: Any) -> None:
    x = Tensor(RNG(0).standard_normal((20, 4)).astype("f4"))
    one, two = kind(4), kind(4)
    np.testing.assert_array_equal(nn.Sequential(one, nn.ReLU())(x).array, F.relu(two(x)).array)
    for a, b in zip(one.buffers(), two.buffers(), strict=True):
        np.testing.assert_array_equal(a.array, b.array)


def test_layers_of_the_users() -> None:
    class Mine(nn.BatchNorm1d):
        def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(input) - 1

    x = Tensor(RNG(0).standard_normal((5, 3)).astype("f4"))
    expected = np.maximum(nn.BatchNorm1d(3)(x).array - 1, 0)
    np.testing.assert_array_equal(nn.Sequential(Mine(3), nn.ReLU())(x).array, expected)
    patched = nn.BatchNorm1d(3)
    patched.forward = lambda input: input * 2  # type: ignore[method-assign, assignment]
    y = nn.Sequential(patched, nn.ReLU())(x)
    np.testing.assert_array_equal(y.array, np.maximum(x.array * 2, 0))


class Tracer:
    """What somebody puts in the place of a function: it counts, and calls the function."""

    def __init__(self, function: Any) -> None:
        self.calls, self.function = 0, function

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else partial(self, instance)

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        return self.function(*args, **options)


def replaced(patch: pytest.MonkeyPatch, owner: Any, name: str) -> Tracer:
    tracer = Tracer(getattr(owner, name))
    patch.setattr(owner, name, tracer, raising=False)
    return tracer


class Doubled(nn.ReLU):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * 2


class Shifted(nn.BatchNorm1d):
    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(input) + 1


# Each way takes the network and a monkeypatch, and returns the tracer that must be called, if any.
WAYS: dict[str, Any] = {
    "forward of the relu": lambda net, patch: replaced(patch, net[1], "forward"),
    "forward of ReLU": lambda net, patch: replaced(patch, nn.ReLU, "forward"),
    "call of ReLU": lambda net, patch: replaced(patch, nn.ReLU, "__call__"),
    "call of Module": lambda net, patch: replaced(patch, nn.Module, "__call__"),
    "F.relu": lambda net, patch: replaced(patch, F, "relu"),
    "forward of the norm": lambda net, patch: replaced(patch, net[0], "forward"),
    "forward of BatchNorm1d": lambda net, patch: replaced(patch, nn.BatchNorm1d, "forward"),
    "forward of its base": lambda net, patch: replaced(patch, type(net[0]).__mro__[1], "forward"),
    "call of BatchNorm1d": lambda net, patch: replaced(patch, nn.BatchNorm1d, "__call__"),
    "class of the relu": lambda net, patch: setattr(net[1], "__class__", Doubled),
    "class of the norm": lambda net, patch: setattr(net[0], "__class__", Shifted),
    "subclass of ReLU": lambda net, patch: net.__setitem__(1, Doubled()),
    "subclass of BatchNorm1d": lambda net, patch: net.__setitem__(0, Shifted(3)),
    "another result": lambda net, patch: setattr(net[1], "forward", lambda x: x * 0 + 5),
    "hook of the norm": lambda net, patch: net[0].register_forward_hook(lambda m, a, y: y - 1),
    "hook of the relu": lambda net, patch: net[1].register_forward_hook(lambda m, a, y: y + 1),
    "pre-hook of the relu": lambda net, patch: net[1].register_forward_pre_hook(
        lambda m, a: (a[0] - 1,)
    ),
    "pre-hook of the norm that hooks the relu": lambda net, patch: net[0].register_forward_pre_hook(
        lambda m, a: net[1].register_forward_hook(lambda m, a, y: y + 1) and None
    ),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_nobody_notices(way: str, training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x = RNG(0).standard_normal((5, 3)).astype("f4")
    net, apart = (nn.Sequential(nn.BatchNorm1d(3), nn.ReLU()).train(training) for _ in range(2))
    tracer = WAYS[way](net, monkeypatch)
    if not isinstance(tracer, Tracer):
        WAYS[way](apart, monkeypatch)
    a, b = (Tensor(x, requires_grad=True) for _ in range(2))
    found = net(a)
    if isinstance(tracer, Tracer):
        assert tracer.calls > 0
    expected = apart[1](apart[0](b))
    np.testing.assert_array_equal(found.array, expected.array)
    g = RNG(1).standard_normal((5, 3)).astype("f4")
    found.backward(g), expected.backward(g)
    np.testing.assert_array_equal(a.grad.array, b.grad.array)  # type: ignore[union-attr]
    for one, other in zip(net.buffers(), apart.buffers(), strict=True):
        np.testing.assert_array_equal(one.array, other.array)


@pytest.mark.parametrize("way", ["forward of ReLU", "F.relu", "call of Module"])
def test_what_is_put_back_is_fused_again(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU())
    x = Tensor(RNG(0).standard_normal((5, 3)).astype("f4"), requires_grad=True)
    with monkeypatch.context() as patch:
        WAYS[way](net, patch)
        assert net(x).grad_fn.name() == "relu"
    assert net(x).grad_fn.name() == "batch_norm_relu"


def test_errors_name_the_layer() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(), nn.BatchNorm1d(4), nn.ReLU())
    with pytest.raises(ValueError, match="2"):
        net(Tensor(np.ones((5, 3), "f4")))


def test_the_result_is_watched() -> None:
    x = Tensor(RNG(0).standard_normal((5, 3)).astype("f4"), requires_grad=True)
    y = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU())(x)
    total = y.sum()
    with minigrad.no_grad():
        y += 1
    with pytest.raises(RuntimeError, match=r"batch_norm_relu.*in place"):
        total.backward()
