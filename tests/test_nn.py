"""Modules and layers: the tree, the state, initialisation, and agreement with PyTorch."""

from __future__ import annotations

import copy
import math
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, nn
from minigrad.func import functional_call


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


# Every layer: how to make it (the same call for both libraries) and an input's shape.
LAYERS = [
    (lambda n: n.Linear(3, 4), (5, 3)),
    (lambda n: n.Linear(3, 4, bias=False), (2, 5, 3)),
    (lambda n: n.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9)),
    (lambda n: n.Conv1d(4, 6, 2, padding="same", dilation=2), (4, 9)),
    (lambda n: n.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), bias=False), (2, 4, 7, 6)),
    (lambda n: n.Conv2d(4, 6, 3, padding="same", dilation=2, groups=2), (2, 4, 7, 6)),
    (lambda n: n.Conv2d(4, 6, 3, padding="valid"), (4, 7, 6)),
    (lambda n: n.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2), (2, 4, 3, 4)),
    (lambda n: n.ConvTranspose2d(4, 6, (2, 3), dilation=(1, 2), bias=False), (4, 3, 4)),
    (lambda n: n.ReLU(), (3, 4)),
    (lambda n: n.ReLU(inplace=True), (3, 4)),
    (lambda n: n.ReLU6(), (3, 4)),
    (lambda n: n.LeakyReLU(0.2), (3, 4)),
    (lambda n: n.ELU(0.5), (3, 4)),
    (lambda n: n.SELU(), (3, 4)),
    (lambda n: n.CELU(0.5), (3, 4)),
    (lambda n: n.GELU(), (3, 4)),
    (lambda n: n.GELU("tanh"), (3, 4)),
    (lambda n: n.SiLU(), (3, 4)),
    (lambda n: n.Mish(), (3, 4)),
    (lambda n: n.Sigmoid(), (3, 4)),
    (lambda n: n.Tanh(), (3, 4)),
    (lambda n: n.Softplus(2.0, 1.0), (3, 4)),
    (lambda n: n.LogSigmoid(), (3, 4)),
    (lambda n: n.Hardtanh(-0.5, 0.7), (3, 4)),
    (lambda n: n.Hardsigmoid(), (3, 4)),
    (lambda n: n.Hardswish(), (3, 4)),
    (lambda n: n.Softsign(), (3, 4)),
    (lambda n: n.PReLU(), (3, 4)),
    (lambda n: n.PReLU(4, 0.1), (3, 4, 2)),
    (lambda n: n.Softmax(dim=1), (3, 4)),
    (lambda n: n.LogSoftmax(dim=-1), (3, 4)),
    (lambda n: n.MaxPool1d(3, 2, 1), (2, 3, 8)),
    (lambda n: n.MaxPool2d(3, 2, 1, ceil_mode=True), (2, 3, 8, 7)),
    (lambda n: n.MaxPool2d((2, 3), dilation=(1, 2)), (2, 3, 8, 7)),
    (lambda n: n.AvgPool1d(3, 2, 1, count_include_pad=False), (2, 3, 8)),
    (lambda n: n.AvgPool2d(3, 2, 1, ceil_mode=True), (2, 3, 8, 7)),
    (lambda n: n.AvgPool2d((2, 3), divisor_override=5), (3, 8, 7)),
    (lambda n: n.AdaptiveAvgPool2d((3, None)), (2, 3, 8, 7)),
    (lambda n: n.AdaptiveMaxPool2d(3), (2, 3, 8, 7)),
    (lambda n: n.Flatten(), (2, 3, 4)),
    (lambda n: n.Flatten(0, 1), (2, 3, 4)),
    (lambda n: n.Unflatten(1, (2, -1)), (3, 6)),
    (lambda n: n.Identity(54, unused=1), (3, 4)),
    (lambda n: n.Dropout(0.3).eval(), (3, 4)),
    (lambda n: n.Dropout1d().eval(), (3, 4, 5)),
    (lambda n: n.Dropout2d(p=0.25, inplace=True).eval(), (3, 4, 5, 6)),
    (
        lambda n: n.Sequential(
            OrderedDict(
                fc=n.Linear(3, 4), body=n.Sequential(n.Tanh(), n.Sequential()), out=n.Linear(4, 2)
            )
        ),
        (5, 3),
    ),
]


def labels(cases: Any) -> list[str]:
    return [f"{make(nn)}".replace("\n", "")[:60] for make, *_ in cases]


def twins(torch: Any, make: Any) -> tuple[Any, Any]:
    """The same module from both libraries, float64, with the same random weights."""
    theirs, ours = make(torch.nn).double(), make(nn).double()
    ours.load_state_dict({name: t.numpy() for name, t in theirs.state_dict().items()})
    return theirs, ours


def pair(torch: Any, array: Any) -> tuple[Any, Any]:
    """A leaf of both libraries."""
    needs = array.dtype.kind == "f"
    mine = minigrad.tensor(array)
    return torch.from_numpy(array).requires_grad_(needs), mine.requires_grad_(needs)


def close(theirs: Any, ours: Any) -> None:
    assert tuple(theirs.shape) == ours.shape
    assert str(theirs.dtype) == f"torch.{ours.dtype}"
    np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=labels(LAYERS))
def test_layers_agree_with_torch(torch: Any, make: Any, shape: tuple[int, ...]) -> None:
    fresh_theirs, fresh_ours = make(torch.nn), make(nn)
    assert repr(fresh_ours) == repr(fresh_theirs)
    assert [(k, v.shape, f"torch.{v.dtype}") for k, v in fresh_ours.state_dict().items()] == [
        (k, tuple(v.shape), str(v.dtype)) for k, v in fresh_theirs.state_dict().items()
    ]
    theirs, ours = twins(torch, make)
    rng = np.random.default_rng(1)
    x_theirs, x_ours = pair(torch, 2 * rng.standard_normal(shape))
    inplace = getattr(theirs, "inplace", False)
    y_theirs = theirs(x_theirs.clone() if inplace else x_theirs)
    y_ours = ours(x_ours)
    close(y_theirs, y_ours)
    g = rng.standard_normal(y_ours.shape)
    y_theirs.backward(torch.from_numpy(g))
    y_ours.backward(minigrad.from_numpy(g))
    close(x_theirs.grad, x_ours.grad)
    for (name, p), (other_name, q) in zip(
        theirs.named_parameters(), ours.named_parameters(), strict=True
    ):
        assert name == other_name
        close(p.grad, q.grad)


RNG = np.random.default_rng(2)
X, T = RNG.standard_normal((4, 3)), RNG.standard_normal((4, 3))
P, LABELS = RNG.uniform(0.1, 0.9, (4, 3)), np.array([2, 0, 1, 1])
LOGP = np.log(P / P.sum(axis=1, keepdims=True))
W = np.array([0.5, 1.0, 2.0])
LOSSES = [
    (lambda n, w: n.MSELoss(), X, T),
    (lambda n, w: n.MSELoss(reduction="none"), X, T),
    (lambda n, w: n.L1Loss(reduction="sum"), X, T),
    (lambda n, w: n.SmoothL1Loss(beta=0.5), X, T),
    (lambda n, w: n.HuberLoss(delta=0.5), X, T),
    (lambda n, w: n.BCELoss(w, reduction="sum"), P, (T > 0).astype(float)),
    (lambda n, w: n.BCEWithLogitsLoss(pos_weight=w), X, (T > 0).astype(float)),
    (lambda n, w: n.KLDivLoss(reduction="batchmean"), LOGP, P),
    (lambda n, w: n.KLDivLoss(reduction="sum", log_target=True), LOGP, LOGP[::-1].copy()),
    (lambda n, w: n.NLLLoss(w, ignore_index=0), LOGP, LABELS),
    (lambda n, w: n.CrossEntropyLoss(), X, LABELS),
    (lambda n, w: n.CrossEntropyLoss(w, label_smoothing=0.1), X, LABELS),
    (lambda n, w: n.CrossEntropyLoss(reduction="none", ignore_index=1), X, LABELS),
    (lambda n, w: n.CrossEntropyLoss(), X, np.exp(LOGP)),
]


@pytest.mark.parametrize(("make", "x", "target"), LOSSES)
def test_losses_agree_with_torch(torch: Any, make: Any, x: Any, target: Any) -> None:
    theirs, ours = make(torch.nn, torch.from_numpy(W)), make(nn, minigrad.tensor(W))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x_theirs, x_ours = pair(torch, x)
    y_theirs = theirs(x_theirs, torch.from_numpy(target))
    y_ours = ours(x_ours, minigrad.tensor(target))
    close(y_theirs, y_ours)
    g = np.asarray(RNG.standard_normal(y_ours.shape))
    y_theirs.backward(torch.from_numpy(g))
    y_ours.backward(minigrad.from_numpy(g))
    close(x_theirs.grad, x_ours.grad)


def test_embedding_agrees_with_torch(torch: Any) -> None:
    theirs, ours = twins(torch, lambda n: n.Embedding(5, 3, padding_idx=-1))
    assert repr(ours) == repr(theirs)
    assert not ours.weight.data[4].any()
    index, g = np.array([[0, 4], [2, 0]]), RNG.standard_normal((2, 2, 3))
    y_theirs, y_ours = theirs(torch.from_numpy(index)), ours(minigrad.tensor(index))
    close(y_theirs, y_ours)
    y_theirs.backward(torch.from_numpy(g))
    y_ours.backward(minigrad.from_numpy(g))
    close(theirs.weight.grad, ours.weight.grad)


def test_dropout_layers_drop_in_training_only() -> None:
    x = minigrad.ones(64, 32, 5, 5)
    for layer, axes in ((nn.Dropout(0.25), ()), (nn.Dropout2d(0.25), (2, 3))):
        y = layer(x).data
        assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
        assert abs((y == 0).mean() - 0.25) < 0.05
        assert (y.std(axis=axes) == 0).all() if axes else y[0, 0].std() > 0  # whole channels
        assert layer.eval()(x) is x
    y = nn.Dropout1d(0.5)(minigrad.ones(50, 4, 6)).data
    assert 0 < (y == 0).mean() < 1
    assert (y.std(axis=-1) == 0).all()


class Net(nn.Module):
    """Shared modules, a shared parameter, buffers, a bare parameter, a place left empty."""

    def __init__(self, n: Any = nn, tensor: Any = minigrad.tensor) -> None:
        n.Module.__init__(self)
        self.scale = n.Parameter(tensor([2.0]))
        self.body = n.ModuleList([n.Linear(2, 2), n.Linear(2, 2), n.ReLU()])
        self.again = self.body[0]
        self.heads = n.ModuleDict({"a": n.Linear(2, 3), "b": n.Linear(2, 3)})
        self.heads["b"].weight = self.heads["a"].weight
        self.register_buffer("mean", tensor([1.0, 2.0]))
        self.register_buffer("cache", tensor([0.0]), persistent=False)
        self.register_parameter("absent", None)

    def forward(self, x: Any) -> Any:
        for layer in self.body:
            x = layer(x - self.mean)
        return self.heads["a"](x) * self.scale


def walks(net: Any) -> dict[str, Any]:
    return {
        "parameters": [name for name, _ in net.named_parameters()],
        "duplicates": [name for name, _ in net.named_parameters(remove_duplicate=False)],
        "own": [name for name, _ in net.named_parameters("net", recurse=False)],
        "buffers": [name for name, _ in net.named_buffers()],
        "modules": [(name, type(m).__name__) for name, m in net.named_modules()],
        "all modules": [name for name, _ in net.named_modules(remove_duplicate=False)],
        "children": [name for name, _ in net.named_children()],
        "state": list(net.state_dict()),
        "prefix": list(net.state_dict(prefix="x.")),
        "counts": [
            len(list(w())) for w in (net.parameters, net.buffers, net.modules, net.children)
        ],
        "repr": repr(net),
    }


def test_tree_walks_agree_with_torch(torch: Any) -> None:
    class Theirs(torch.nn.Module):
        __init__ = Net.__init__

    Theirs.__name__ = "Net"
    assert walks(Net()) == walks(Theirs(torch.nn, torch.tensor))


def test_lookups() -> None:
    net = Net()
    assert net.get_submodule("heads.a") is net.heads["a"]
    assert net.get_submodule("") is net
    assert net.get_parameter("body.1.weight") is net.body[1].weight
    assert net.get_buffer("mean") is net.mean
    with pytest.raises(AttributeError, match="ModuleDict has no attribute 'c'; it has a, b"):
        net.get_submodule("heads.c")
    with pytest.raises(AttributeError, match="'mean' is not a parameter"):
        net.get_parameter("mean")


def test_attributes() -> None:
    net = Net()
    with pytest.raises(AttributeError, match="Net has no attribute 'bdy'; it has scale, body"):
        _ = net.bdy
    with pytest.raises(TypeError, match="'scale' is a parameter.*a Parameter or None, got Tensor"):
        net.scale = minigrad.ones(1)
    with pytest.raises(TypeError, match="'mean' is a buffer"):
        net.mean = 3
    with pytest.raises(TypeError, match="'body' is a module"):
        net.body = [1]
    net.mean = minigrad.zeros(2)
    assert "mean" in net.state_dict()
    net.scale = None
    assert "scale" not in net.state_dict()
    net.scale = nn.Parameter(minigrad.ones(1))
    del net.again
    assert "again.weight" not in net.state_dict()
    net.mean = nn.Parameter(minigrad.ones(2))  # from buffer to parameter
    assert dict(net.named_buffers()).keys() == {"cache"}

    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"Forgetful.*super\(\).__init__\(\)"):
        Forgetful()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        (1, None, "must be a string"),
        ("a.b", None, "a dot"),
        ("", None, "empty"),
        ("forward", None, "already exists"),
        ("w", minigrad.ones(1), "'w' must be a Parameter or None, got Tensor"),
    ],
)
def test_bad_registrations(name: Any, value: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        nn.Module().register_parameter(name, value)


def test_parameter() -> None:
    values = minigrad.ones(2)
    p = nn.Parameter(values)
    assert p.requires_grad
    assert p.data is values.data
    assert repr(p) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    for copied in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(copied) is nn.Parameter
        assert copied.requires_grad
        assert copied.data is not p.data
    assert type(p * 2) is Tensor
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad


def test_copies_are_independent_and_keep_sharing() -> None:
    net = Net()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.heads["b"].weight is other.heads["a"].weight
        assert other.again is other.body[0]
        other.scale.data[:] = 7
        assert net.scale.item() == 2
        assert walks(other) == walks(net)


def test_state_dict_shares_memory() -> None:
    layer = nn.Linear(2, 2)
    state = layer.state_dict()
    assert type(state) is OrderedDict
    assert not state["weight"].requires_grad
    state["weight"].zero_()
    assert not layer.weight.data.any()


def test_load_state_dict_reports_everything_and_changes_nothing() -> None:
    net = Net()
    state = {name: minigrad.ones_like(t) for name, t in net.state_dict().items()}
    del state["scale"], state["heads.a.bias"]
    state["mean"] = minigrad.ones(3)
    state["again.bias"] = minigrad.ones(2).to(minigrad.complex128)
    state["body.0.weight"] = [[1, 1], [1, 1]]
    state["extra"] = minigrad.ones(1)
    before = {name: t.data.copy() for name, t in net.state_dict().items()}
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    for part in (
        "loading state_dict for Net",
        'Missing key(s) in state_dict: "scale", "heads.a.bias".',
        'Unexpected key(s) in state_dict: "extra".',
        "size mismatch for mean: copying a param with shape (3,) from checkpoint, the shape in "
        "current model is (2,)",
        "dtype mismatch for again.bias: complex128",
        "wrong type for body.0.weight: expected a tensor or array, got list",
    ):
        assert part in str(caught.value)
    for name, t in net.state_dict().items():
        np.testing.assert_array_equal(t.data, before[name])
    with pytest.raises(TypeError, match="expected a dict, got list"):
        net.load_state_dict([])  # type: ignore[arg-type]


def test_load_state_dict_copies_into_place() -> None:
    net = Net()
    weight = net.body[1].weight.data
    result = net.load_state_dict({"body.1.weight": np.eye(2), "other": np.eye(2)}, strict=False)
    assert net.body[1].weight.data is weight
    np.testing.assert_array_equal(weight, np.eye(2))
    assert weight.dtype == np.float32  # the model's dtype stays
    assert result.unexpected_keys == ["other"]
    assert "scale" in result.missing_keys
    assert repr(net.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
    norm = nn.BatchNorm1d(2)
    state = norm.state_dict()
    del state["num_batches_tracked"]  # as in checkpoints from before there was a counter
    norm.load_state_dict(state)


def test_loading_between_forward_and_backward_is_refused() -> None:
    layer = nn.Linear(2, 2)
    y = layer(minigrad.ones(1, 2).requires_grad_())
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_train_eval_apply_requires_grad_zero_grad() -> None:
    net = Net()
    assert not any(m.training for m in net.eval().modules())
    assert all(m.training for m in net.train().modules())
    with pytest.raises(ValueError, match="True or False, got 'no'"):
        net.train("no")  # type: ignore[arg-type]
    order: list[nn.Module] = []
    assert net.apply(order.append) is net
    assert order[-1] is net
    assert order[0] is net.body[0]
    net(minigrad.ones(1, 2)).sum().backward()
    assert net.scale.grad is not None
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.item() == 0
    net.zero_grad()
    assert net.scale.grad is None
    assert not any(p.requires_grad for p in net.requires_grad_(False).parameters())


def test_dtype_conversion() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weight = net[0].weight
    net(minigrad.randn(3, 2)).sum().backward()
    assert net.double() is net
    assert net[0].weight is weight
    assert weight.dtype == weight.grad.dtype == np.float64
    assert net[1].running_mean.dtype == np.float64
    assert net[1].num_batches_tracked.dtype == np.int64
    net(minigrad.randn(3, 2).double()).sum().backward()
    assert net.to("cpu", minigrad.float32)[0].weight.dtype == np.float32
    with pytest.raises(TypeError, match="floating dtype, got int64"):
        net.to(minigrad.int64)
    with pytest.raises(TypeError, match="'cpu', got 'cuda'"):
        net.to("cuda")
    assert nn.Linear(2, 2, dtype=minigrad.float64).bias.dtype == np.float64
    with pytest.raises(TypeError, match="Linear: dtype must be a floating one, got int64"):
        nn.Linear(2, 2, dtype=minigrad.int64)


def test_hooks() -> None:
    layer, seen = nn.Identity(), []
    before = layer.register_forward_pre_hook(lambda m, args: seen.append(args) or args[0] + 1)
    after = layer.register_forward_hook(lambda m, args, out: seen.append(out.item()) or out * 10)
    assert layer(minigrad.tensor(1.0)).item() == 20
    assert seen[1] == 2.0
    before.remove()
    assert layer(minigrad.tensor(1.0)).item() == 10
    with after:
        pass
    assert layer(minigrad.tensor(1.0)).item() == 1


def test_errors_say_where_they_arose() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.ReLU(), nn.Linear(3, 2))

        def forward(self, x: Any) -> Any:
            return self.body(x)

    with pytest.raises(RuntimeError) as caught:
        Outer()(minigrad.ones(1, 4))
    assert caught.value.__notes__ == [
        "in Outer.body.1 (Linear(in_features=3, out_features=2, bias=True))"
    ]
    with pytest.raises(NotImplementedError, match=r"Module has no forward\(\)"):
        nn.Module()(1)


def test_sequential_is_a_list() -> None:
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Identity()
    model = nn.Sequential(a, b)
    assert model.append(c) is model
    assert [len(model), *model] == [3, a, b, c]
    assert model[-1] is c
    assert list(model[1:]) == [b, c]
    assert list(model[1:].state_dict()) == []
    model.insert(0, c)
    assert list(model) == [c, a, b, c]
    del model[0]
    model.extend([a])
    assert list(model) == [a, b, c, a]
    assert [name for name, _ in model.named_modules(remove_duplicate=False)][1:] == list("0123")
    assert model.pop(1) is b
    model[0] = b
    assert list(model) == [b, c, a]
    named = nn.Sequential(OrderedDict(x=a, y=b))
    assert named.x is a
    assert list(dict(named[1:].named_children())) == ["y"]
    assert nn.Sequential()(5) == 5
    with pytest.raises(IndexError, match="index 3 is out of range for 3 modules"):
        model[3]
    with pytest.raises(TypeError, match=r"the class ReLU: add parentheses, ReLU\(...\)"):
        nn.Sequential(nn.ReLU)
    with pytest.raises(TypeError, match="the function relu: use its module"):
        nn.Sequential(nn.functional.relu)


def test_module_list_and_dict() -> None:
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    assert repr(layers).splitlines()[1].startswith("  (0-2): 3 x Linear(")
    assert len(layers + [nn.ReLU()]) == 4
    layers += [nn.ReLU()]
    assert len(layers) == 4
    assert list(layers[2:].state_dict()) == ["0.weight", "0.bias"]
    d = nn.ModuleDict({"a": nn.ReLU()})
    d.update([("b", nn.Tanh())])
    assert list(d) == list(d.keys()) == ["a", "b"]
    assert "a" in d
    assert dict(d.items())["b"] is d["b"] is list(d.values())[1]
    assert type(d.pop("a")) is nn.ReLU
    with pytest.raises(KeyError, match="this ModuleDict has b"):
        d["a"]
    with pytest.raises(ValueError, match="'keys' already exists"):
        d["keys"] = nn.ReLU()
    d.clear()
    assert len(d) == 0


def test_residual() -> None:
    x = minigrad.tensor([[-1.0, 2.0]])
    assert nn.Residual(nn.ReLU())(x).tolist() == [[-1.0, 4.0]]
    assert nn.Residual(nn.ReLU(), nn.Tanh(), shortcut=nn.ReLU())(x).shape == (1, 2)
    with pytest.raises(
        ValueError, match=r"f\(x\) has shape \(1, 1\) but the shortcut has \(1, 2\)"
    ):
        nn.Residual(nn.Linear(2, 1))(x)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: nn.Linear(0, 2), "Linear: in_features must be at least 1, got 0"),
        (lambda: nn.Linear(2, 2.0), "Linear: out_features must be an integer, got 2.0"),
        (lambda: nn.Conv2d(3, 4, 0), "Conv2d: kernel_size must be at least 1"),
        (lambda: nn.Conv2d(3, 4, (1, 2, 3)), "Conv2d: kernel_size must be an integer or 2"),
        (lambda: nn.Conv2d(3, 4, 1, groups=2), "in_channels=3 does not divide into groups=2"),
        (lambda: nn.Conv2d(2, 3, 1, groups=2), "out_channels=3 does not divide into groups=2"),
        (lambda: nn.Conv2d(2, 2, 3, 2, "same"), "padding='same' needs stride 1"),
        (lambda: nn.Conv2d(2, 2, 3, padding="full"), "'same', 'valid' or integers, got 'full'"),
        (lambda: nn.ConvTranspose2d(2, 2, 3, padding="same"), "padding must be integers"),
        (lambda: nn.Conv2d(2, 2, 3, padding_mode="reflect"), "pad the input with F.pad"),
        (lambda: nn.MaxPool2d(2, padding=2), "at most half the kernel size"),
        (lambda: nn.AdaptiveAvgPool2d(0), "output_size must be at least 1"),
        (lambda: nn.Dropout(1.5), r"Dropout: p must be in \[0, 1\], got 1.5"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), "padding_idx must name one of the 3 rows"),
        (lambda: nn.GELU("fast"), "'none' or 'tanh', got 'fast'"),
        (lambda: nn.Hardtanh(1, 0), "expected min_val < max_val"),
        (lambda: nn.MSELoss("avg"), "reduction must be one of 'mean', 'sum', 'none', got 'avg'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2), "label_smoothing must be in"),
        (lambda: nn.HuberLoss(delta=0), "delta must be positive"),
    ],
)
def test_bad_arguments_are_refused(make: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        make()


# Initialisation.


@pytest.mark.parametrize(
    "make",
    [
        lambda n: n.Linear(400, 300),
        lambda n: n.Conv1d(64, 96, 5, groups=2),
        lambda n: n.Conv2d(32, 64, 5, groups=4),
        lambda n: n.ConvTranspose2d(32, 64, 5),
        lambda n: n.Embedding(300, 200),
    ],
)
def test_default_initialisation_is_distributed_as_torch(torch: Any, make: Any) -> None:
    torch.manual_seed(0)
    for theirs, ours in zip(make(torch.nn).parameters(), make(nn).parameters(), strict=True):
        a, b = theirs.detach().numpy(), ours.data
        bound = 6 * a.std() / math.sqrt(a.size)
        assert abs(a.mean()) < bound
        assert abs(b.mean()) < bound
        assert abs(b.std() / a.std() - 1) < 4 / math.sqrt(a.size)
        if a.ndim == 1 or a.ndim > 2:  # uniform: the same bounds
            assert abs(np.abs(b).max() / np.abs(a).max() - 1) < 0.05


FILLS = [
    ("uniform_", (-2, 3), {}),
    ("normal_", (1, 2), {}),
    ("trunc_normal_", (0.5, 1.5), {"a": -1, "b": 3}),
    ("constant_", (4,), {}),
    ("ones_", (), {}),
    ("zeros_", (), {}),
    ("xavier_uniform_", (2,), {}),
    ("xavier_normal_", (), {}),
    ("kaiming_uniform_", (), {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_uniform_", (0.3,), {}),
    ("kaiming_normal_", (), {"nonlinearity": "tanh"}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), FILLS)
def test_init_is_distributed_as_torch(torch: Any, name: str, args: Any, kwargs: Any) -> None:
    torch.manual_seed(0)
    a = getattr(torch.nn.init, name)(torch.empty(80, 60, 3), *args, **kwargs).numpy()
    p = nn.Parameter(minigrad.zeros(80, 60, 3))
    memory = p.data
    assert getattr(nn.init, name)(p, *args, **kwargs) is p
    assert p.data is memory
    assert p.is_leaf
    quantiles = [0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1][:: 1 if "normal" not in name else 4]
    inner = [q for q in quantiles if 0 < q < 1 or name != "normal_"]
    spread = a.std() * 0.05 + 1e-12
    if "normal" in name and name != "trunc_normal_":
        inner = [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98]  # no bounds
    np.testing.assert_allclose(np.quantile(memory, inner), np.quantile(a, inner), atol=spread)


def test_init_of_matrices(torch: Any) -> None:
    for shape in ((5, 3), (3, 5), (4, 2, 3)):
        w = nn.init.orthogonal_(minigrad.zeros(*shape), gain=2).data.reshape(shape[0], -1)
        gram = w.T @ w if w.shape[0] > w.shape[1] else w @ w.T
        np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)
    np.testing.assert_array_equal(nn.init.eye_(minigrad.ones(2, 3)).data, np.eye(2, 3))
    for args in (
        ("linear",),
        ("tanh",),
        ("relu",),
        ("leaky_relu", 0.2),
        ("leaky_relu",),
        ("selu",),
    ):
        assert nn.init.calculate_gain(*args) == torch.nn.init.calculate_gain(*args)


@pytest.mark.parametrize(
    ("fill", "error"),
    [
        (lambda w: nn.init.kaiming_uniform_(w, mode="fan"), "'fan_in' or 'fan_out', got 'fan'"),
        (lambda w: nn.init.kaiming_uniform_(w, nonlinearity="x"), "nonlinearity 'x' unknown"),
        (lambda w: nn.init.xavier_normal_(w[0]), r"at least 2 axes, got shape \(3,\)"),
        (lambda w: nn.init.eye_(w[0]), "expected a matrix"),
        (lambda w: nn.init.trunc_normal_(w, std=0), "std must be positive"),
        (lambda w: nn.init.trunc_normal_(w, a=7, b=8), "within 4 std of the mean"),
        (lambda w: nn.init.uniform_(w, 1, 0), "a <= b"),
    ],
)
def test_init_refuses(fill: Any, error: str) -> None:
    w = minigrad.ones(2, 3)
    with pytest.raises(ValueError, match=error):
        fill(w)
    assert (w.data == 1).all()


# functional_call and gradient clipping.


def test_functional_call() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    before = {name: t.data.copy() for name, t in net.state_dict().items()}
    own = net[0].weight
    w = minigrad.randn(2, 2, requires_grad=True)
    mean = minigrad.zeros(2)
    y = functional_call(net, {"0.weight": w, "1.running_mean": mean}, (minigrad.randn(4, 2),))
    (y * y).sum().backward()
    assert w.grad is not None
    assert own.grad is None
    assert mean.data.any()  # the statistics that moved are the given ones
    assert net[0].weight is own
    with pytest.raises(RuntimeError, match="linear"):
        functional_call(net, {"0.weight": w}, minigrad.ones(4, 5))
    assert net[0].weight is own
    with pytest.raises(RuntimeError, match="no parameter or buffer '0.wieght'; it has 0.weight"):
        functional_call(net, {"0.wieght": w}, minigrad.ones(4, 2))
    with pytest.raises(TypeError, match="'0.bias' must be a Tensor, got ndarray"):
        functional_call(net, {"0.weight": w, "0.bias": np.ones(2)}, minigrad.ones(4, 2))
    assert (net[1].running_mean.data == before["1.running_mean"]).all()

    layer = nn.Linear(2, 1)
    z = functional_call(
        layer,
        {"weight": minigrad.from_numpy(np.full((1, 2), 1j))},
        kwargs={"x": minigrad.ones(1, 2)},
    )
    assert z.dtype == np.complex128


def test_functional_call_replaces_shared_tensors_everywhere() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    x, zero = minigrad.ones(1, 2), minigrad.zeros(2, 2)
    eye = minigrad.eye(2) * 3
    assert functional_call(model, {"1.weight": eye}, x).tolist() == [[9.0, 9.0]]
    assert functional_call(model, {"1.weight": eye, "0.weight": zero}, x).tolist() == [[0.0, 0.0]]
    alone = functional_call(model, {"1.weight": zero}, x, tie_weights=False)
    assert alone.tolist() == [[0.0, 0.0]]
    assert model[1].weight is model[0].weight


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("bound", [0.5, 100.0])
def test_clip_grad_norm_agrees_with_torch(torch: Any, p: float, bound: float) -> None:
    gradients = [RNG.standard_normal(s) for s in ((3, 2), (4,))]
    theirs = [torch.zeros(*g.shape).double().requires_grad_() for g in gradients]
    ours = [minigrad.zeros(*g.shape).double().requires_grad_() for g in gradients]
    for t, o, g in zip(theirs, ours, gradients, strict=True):
        t.grad, o.grad = torch.tensor(g), minigrad.tensor(g)
    close(
        torch.nn.utils.clip_grad_norm_(theirs, bound, p),
        nn.utils.clip_grad_norm_([*ours, minigrad.ones(1)], bound, p),
    )
    for t, o in zip(theirs, ours, strict=True):
        close(t.grad, o.grad)


def test_clipping() -> None:
    p = minigrad.zeros(3, requires_grad=True)
    p.grad = minigrad.tensor([1.0, -5.0, math.nan])
    with pytest.raises(RuntimeError, match="norm of the gradients is nan; nothing was changed"):
        nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert p.grad.tolist()[:2] == [1.0, -5.0]
    p.grad = minigrad.tensor([1.0, -5.0, 9.0])
    nn.utils.clip_grad_value_(p, 2)
    assert p.grad.tolist() == [1.0, -2.0, 2.0]
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0
    for bad in ({"max_norm": -1}, {"max_norm": 1, "norm_type": 0}):
        with pytest.raises(ValueError, match="clip_grad_norm_"):
            nn.utils.clip_grad_norm_(p, **bad)
