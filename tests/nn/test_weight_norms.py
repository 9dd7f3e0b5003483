"""Weights computed from others: beside PyTorch over 20 steps, in both forms; parameters as vectors;
batch normalisation fused into the layer before it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.autograd import gradcheck
from minigrad.nn.utils import parametrizations, parametrize

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")

LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "Linear": (lambda m: m.nn.Linear(4, 3), (5, 4)),
    "Conv2d": (lambda m: m.nn.Conv2d(2, 3, 2), (2, 2, 4, 4)),
    "ConvTranspose1d": (lambda m: m.nn.ConvTranspose1d(2, 3, 2), (2, 2, 4)),
}
NORMS: dict[str, Callable[[Any, Any], Any]] = {
    "weight_norm": lambda m, x: m.nn.utils.weight_norm(x),
    "weight_norm, dim": lambda m, x: m.nn.utils.weight_norm(x, dim=1),
    "weight_norm, one length": lambda m, x: m.nn.utils.weight_norm(x, "weight", None),
    "spectral_norm": lambda m, x: m.nn.utils.spectral_norm(x),
    "spectral_norm, steps": lambda m, x: m.nn.utils.spectral_norm(x, n_power_iterations=3),
    "parametrizations.weight_norm": lambda m, x: m.nn.utils.parametrizations.weight_norm(x),
    "parametrizations.weight_norm, dim": lambda m, x: m.nn.utils.parametrizations.weight_norm(
        x, dim=1
    ),
    "parametrizations.spectral_norm": lambda m, x: m.nn.utils.parametrizations.spectral_norm(x),
    "parametrizations.spectral_norm, dim": lambda m, x: m.nn.utils.parametrizations.spectral_norm(
        x, "weight", 2, 1e-6, 1
    ),
}
CASES = [(layer, norm) for layer in LAYERS for norm in NORMS]


def arrays(layer: Any) -> dict[str, Any]:
    return {k: v.detach().numpy().copy() for k, v in layer.state_dict().items()}


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "norm"), CASES)
def test_twenty_steps_beside_pytorch(layer: str, norm: str, kernels: str) -> None:
    """From PyTorch's state, u and v among it; then ours loads into PyTorch's."""
    torch.manual_seed(0)
    make, shape = LAYERS[layer]
    theirs, ours = (NORMS[norm](m, make(m).double()) for m in (torch, mg))
    start = arrays(theirs)
    assert [(k, v.shape) for k, v in arrays(ours).items()] == [
        (k, v.shape) for k, v in start.items()
    ]
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    ours.load_state_dict(start)
    x = np.random.default_rng(0).normal(size=shape)
    g = np.random.default_rng(1).normal(size=tuple(theirs(torch.from_numpy(x)).shape))
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in start.items()})
    losses: list[list[float]] = [[], []]
    for m, net, found in ((mg, ours, losses[0]), (torch, theirs, losses[1])):
        optimizer = m.optim.SGD(net.parameters(), lr=0.02)
        for step in range(20):
            if step == 10:
                net.eval()  # the vectors stay
            optimizer.zero_grad()
            loss = (net(m.from_numpy(x)) * m.from_numpy(g)).tanh().sum()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
    # sums of a few dozen products, 20 times one after the other
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-10, atol=1e-10)
    assert abs(losses[0][0] - losses[0][-1]) > 1e-3  # far above that: something was learned
    for (name, a), b in zip(arrays(ours).items(), arrays(theirs).values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10, err_msg=name)
    assert any((a != start[name]).any() for name, a in arrays(ours).items())
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in arrays(ours).items()})


@pytest.mark.parametrize("norm", NORMS)
def test_gradcheck(norm: str, kernels: str) -> None:
    layer = NORMS[norm](mg, nn.Linear(4, 3).double())
    g = mg.randn(5, 3, dtype=mg.float64)
    x = mg.randn(5, 4, dtype=mg.float64)
    before = arrays(layer)
    layer.eval()
    names = [n for n, _ in layer.named_parameters()]

    def f(*values: Any) -> Any:
        parameters = dict(zip(names, values, strict=True))
        return (mg.func.functional_call(layer, parameters, (x,)) * g).sum()

    assert gradcheck(f, tuple(p.detach().clone().requires_grad_() for p in layer.parameters()))
    for name, a in arrays(layer).items():
        np.testing.assert_array_equal(a, before[name])


@pytest.mark.parametrize("norm", NORMS)
def test_the_norm_can_be_removed(norm: str) -> None:
    layer = NORMS[norm](mg, nn.Linear(4, 3)).eval()
    x = mg.randn(2, 4)
    expected = layer(x)
    name = norm.partition(",")[0]
    if "parametrizations" in norm:
        parametrize.remove_parametrizations(layer, "weight")
    else:
        getattr(nn.utils, f"remove_{name}")(layer)
    assert type(layer) is nn.Linear and sorted(layer.state_dict()) == ["bias", "weight"]
    assert repr(layer) == "Linear(in_features=4, out_features=3, bias=True)"
    # one product and one quotient were rounded to float32
    np.testing.assert_allclose(layer(x).detach().numpy(), expected.detach().numpy(), rtol=1e-5)
    layer(x).sum().backward()
    assert layer.weight.grad is not None


def test_a_parametrized_layer_reads_as_in_pytorch() -> None:
    for norm in ("weight_norm", "spectral_norm"):
        texts = [repr(getattr(m.nn.utils.parametrizations, norm)(m.nn.Linear(3, 2)))
                 for m in (mg, torch)]  # fmt: skip
        assert texts[0] == texts[1]


def test_spectral_norm_is_one_once_the_vectors_are_found() -> None:
    layer = parametrizations.spectral_norm(nn.Linear(20, 10), n_power_iterations=100)
    layer(mg.ones(1, 20))
    found = np.linalg.svd(layer.weight.detach().numpy(), compute_uv=False)[0]
    assert abs(found - 1) < 1e-5  # float32


def test_frozen_statistics_keep_the_vectors() -> None:
    for make in (parametrizations.spectral_norm, nn.utils.spectral_norm):
        layer: Any = make(nn.Linear(20, 10))
        before = arrays(layer)
        with nn.utils.frozen_stats(layer):
            layer(mg.ones(1, 20))
        assert all((a == before[k]).all() for k, a in arrays(layer).items())
        layer(mg.ones(1, 20))
        assert any((a != before[k]).any() for k, a in arrays(layer).items())


class Symmetric(nn.Module):
    """A triangle makes a symmetric matrix."""

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        """The upper triangle, twice."""
        return x.triu() + x.triu(1).mT

    def right_inverse(self, x: mg.Tensor) -> mg.Tensor:
        """The upper triangle."""
        return x.triu()


def test_a_parametrization_of_ones_own() -> None:
    layer = nn.Linear(3, 3)
    optimizer = mg.optim.SGD(layer.parameters(), lr=0.1)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    assert parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    (layer(mg.randn(2, 3)) ** 2).sum().backward()
    optimizer.step()  # an optimiser made before trains the original
    w = layer.weight
    assert w.tolist() == w.mT.tolist() and w.requires_grad
    layer.weight = mg.eye(3) * 2
    assert layer.weight.tolist() == (mg.eye(3) * 2).tolist()
    twin = copy.deepcopy(layer)
    twin.weight = mg.eye(3)
    assert layer.weight[0, 0].item() == 2 and twin.weight[0, 0].item() == 1
    parametrize.remove_parametrizations(twin, "weight")
    assert type(twin) is nn.Linear and parametrize.is_parametrized(layer)
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert layer.weight.tolist() == (mg.eye(3) * 2).tolist()


class Narrow(nn.Module):
    """It changes the shape."""

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        """The first row."""
        return x[0]


REFUSED: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "no weight": (lambda x: nn.utils.weight_norm(nn.ReLU()), AttributeError, "weight_norm: ReLU"),
    "no parameter": (lambda x: parametrizations.weight_norm(nn.ReLU()), ValueError,
                     "register_parametrization: ReLU has no parameter or buffer named 'weight'"),
    "no spectrum": (lambda x: parametrizations.spectral_norm(nn.ReLU()), ValueError,
                    "spectral_norm: ReLU has no parameter"),
    "no steps": (lambda x: parametrizations.spectral_norm(x, n_power_iterations=0), ValueError,
                 "spectral_norm: n_power_iterations must be at least 1, got 0"),
    "no axis": (lambda x: parametrizations.spectral_norm(x, dim=2), IndexError,
                "spectral_norm: dim 2 is out of range"),
    "twice": (lambda x: nn.utils.weight_norm(nn.utils.weight_norm(nn.Linear(2, 2))), RuntimeError,
              "weight_norm: 'weight' has a hook of weight_norm: remove that first"),
    "not there": (lambda x: nn.utils.remove_weight_norm(x), ValueError,
                  "weight_norm of 'weight' not found in Linear"),
    "nor there": (lambda x: parametrize.remove_parametrizations(x, "weight"), ValueError,
                  "remove_parametrizations: 'weight' of Linear is not parametrized"),
    "shape": (lambda x: parametrize.register_parametrization(x, "weight", Narrow()), ValueError,
              "register_parametrization: 'weight' is float32 of shape (2, 2), but the"),
    "short": (lambda x: nn.utils.vector_to_parameters(mg.ones(5), x.parameters()), RuntimeError,
              "vector_to_parameters: expected a vector of 6 elements, got shape (5,)"),
    "training": (lambda x: nn.utils.fuse_linear_bn_eval(x, nn.BatchNorm1d(2).eval()), RuntimeError,
                 "fuse_linear_bn_eval: both layers must be in evaluation mode"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_change_nothing(name: str) -> None:
    call, kind, text = REFUSED[name]
    layer = nn.Linear(2, 2)
    before = arrays(layer)
    with pytest.raises(kind, match=re.escape(text)):
        call(layer)
    assert type(layer) is nn.Linear and list(arrays(layer)) == list(before)
    assert all((a == before[k]).all() for k, a in arrays(layer).items())


def test_parameters_as_a_vector() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    other = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    other.load_state_dict({k: torch.from_numpy(v) for k, v in arrays(net).items()})
    v, t = (m.nn.utils.parameters_to_vector(n.parameters()) for m, n in ((mg, net), (torch, other)))
    assert v.tolist() == t.tolist() and v.requires_grad
    (v * mg.arange(11.0)).sum().backward()
    assert net[0].weight.grad.tolist() == [[0, 1, 2], [3, 4, 5]]
    new = mg.arange(11.0)
    nn.utils.vector_to_parameters(new, net.parameters())
    torch.nn.utils.vector_to_parameters(torch.arange(11.0), other.parameters())
    assert {k: a.tolist() for k, a in arrays(net).items()} == {
        k: a.tolist() for k, a in arrays(other).items()
    }
    new[0] = 7.0  # the parameters share its memory, as in PyTorch
    assert net[0].weight[0, 0].item() == 7 and net[0].weight.is_leaf


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_fusion(affine: bool, bias: bool) -> None:
    rng = np.random.default_rng(0)
    for transpose, make, norm, shape in (
        (False, lambda m: m.nn.Conv2d(2, 3, 2, bias=bias), "BatchNorm2d", (2, 2, 4, 4)),
        (True, lambda m: m.nn.ConvTranspose2d(2, 3, 2, bias=bias), "BatchNorm2d", (2, 2, 4, 4)),
        (None, lambda m: m.nn.Linear(4, 3, bias=bias), "BatchNorm1d", (5, 4)),
    ):  # fmt: skip
        if transpose is None and not affine:
            continue  # PyTorch's Linear needs the affine parameters
        layer = make(torch).double().eval()
        bn = getattr(torch.nn, norm)(3, affine=affine).double().eval()
        for tensor in [bn.running_mean, *bn.parameters()]:
            tensor.data = torch.from_numpy(rng.normal(size=3))
        bn.running_var.data = torch.from_numpy(rng.uniform(0.5, 2, 3))
        ours, own = make(mg).double().eval(), getattr(nn, norm)(3, affine=affine).double().eval()
        ours.load_state_dict(arrays(layer))
        own.load_state_dict(arrays(bn))
        x = rng.normal(size=shape)
        if transpose is None:
            fused = nn.utils.fuse_linear_bn_eval(ours, own)
            theirs = torch.nn.utils.fusion.fuse_linear_bn_eval(layer, bn)
        else:
            fused = nn.utils.fuse_conv_bn_eval(ours, own, transpose)
            theirs = torch.nn.utils.fusion.fuse_conv_bn_eval(layer, bn, transpose)
        for a, b in zip(arrays(fused).items(), arrays(theirs).items(), strict=True):
            assert a[0] == b[0]
            np.testing.assert_allclose(a[1], b[1], rtol=1e-12, atol=1e-13)
        y, z = fused(mg.from_numpy(x)), own(ours(mg.from_numpy(x)))
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dim", [2, -3, "a", 1.5, True])
@pytest.mark.parametrize("utils", [nn.utils, nn.utils.parametrizations])
@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
def test_a_wrong_axis_changes_nothing(norm: str, utils: Any, dim: Any) -> None:
    layer = nn.Linear(2, 3)
    names, weight = list(layer.state_dict()), layer.weight
    with pytest.raises((IndexError, TypeError), match="dim"):
        getattr(utils, norm)(layer, dim=dim)
    assert list(layer.state_dict()) == names and layer.weight is weight


def test_fusion_refuses_another_number_of_features() -> None:
    conv, bn = nn.Conv2d(1, 1, 3).eval(), nn.BatchNorm2d(3).eval()
    with pytest.raises(ValueError, match="fuse_conv_bn_eval: 1 outputs do not fit a normalis"):
        nn.utils.fuse_conv_bn_eval(conv, bn)
