"""Modules: the tree, the state, hooks, errors, containers, functional_call."""

from __future__ import annotations

import copy
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
    with pytest.raises(TypeError, match=r"'scale' is a parameter.*a Parameter or None, got Tensor"):
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
    assert p.array is values.array
    assert repr(p) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    for copied in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(copied) is nn.Parameter
        assert copied.requires_grad
        assert copied.array is not p.array
    assert type(p * 2) is Tensor
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad


def test_copies_are_independent_and_keep_sharing() -> None:
    net = Net()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.heads["b"].weight is other.heads["a"].weight
        assert other.again is other.body[0]
        other.scale.array[:] = 7
        assert net.scale.item() == 2
        assert walks(other) == walks(net)


def test_state_dict_shares_memory() -> None:
    layer = nn.Linear(2, 2)
    state = layer.state_dict()
    assert type(state) is OrderedDict
    assert not state["weight"].requires_grad
    state["weight"].zero_()
    assert not layer.weight.array.any()


def test_load_state_dict_reports_everything_and_changes_nothing() -> None:
    net = Net()
    state = {name: minigrad.ones_like(t) for name, t in net.state_dict().items()}
    del state["scale"], state["heads.a.bias"]
    state["mean"] = minigrad.ones(3)
    state["again.bias"] = minigrad.ones(2).to(minigrad.complex128)
    state["body.0.weight"] = [[1, 1], [1, 1]]
    state["extra"] = minigrad.ones(1)
    before = {name: t.array.copy() for name, t in net.state_dict().items()}
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
        np.testing.assert_array_equal(t.array, before[name])
    with pytest.raises(TypeError, match="expected a dict, got list"):
        net.load_state_dict([])  # type: ignore[arg-type]


def test_load_state_dict_copies_into_place() -> None:
    net = Net()
    weight = net.body[1].weight.array
    result = net.load_state_dict({"body.1.weight": np.eye(2), "other": np.eye(2)}, strict=False)
    assert net.body[1].weight.array is weight
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
    with pytest.raises(RuntimeError, match=r"'cpu'.*got 'cuda'"):
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


def test_deleting_from_a_sequential_renumbers_as_torch(torch: Any) -> None:
    for n in (nn, torch.nn):
        named = n.Sequential(OrderedDict(x=n.ReLU(), y=n.Tanh(), z=n.ELU()))
        del named[1]
        assert [name for name, _ in named.named_children()] == ["0", "1"]
        named[0] = n.SELU()
        assert repr(named) == "Sequential(\n  (0): SELU()\n  (1): ELU(alpha=1.0)\n)"


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


def test_functional_call() -> None:
    assert functional_call is nn.utils.stateless.functional_call  # where it was in PyTorch before
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    before = {name: t.array.copy() for name, t in net.state_dict().items()}
    own = net[0].weight
    w = minigrad.randn(2, 2, requires_grad=True)
    mean = minigrad.zeros(2)
    y = functional_call(net, {"0.weight": w, "1.running_mean": mean}, (minigrad.randn(4, 2),))
    (y * y).sum().backward()
    assert w.grad is not None
    assert own.grad is None
    assert mean.array.any()  # the statistics that moved are the given ones
    assert net[0].weight is own
    with pytest.raises(RuntimeError, match="linear"):
        functional_call(net, {"0.weight": w}, minigrad.ones(4, 5))
    assert net[0].weight is own
    with pytest.raises(RuntimeError, match=r"no parameter or buffer '0.wieght'; it has 0.weight"):
        functional_call(net, {"0.wieght": w}, minigrad.ones(4, 2))
    with pytest.raises(TypeError, match=r"'0.bias' must be a Tensor, got ndarray"):
        functional_call(net, {"0.weight": w, "0.bias": np.ones(2)}, minigrad.ones(4, 2))
    assert (net[1].running_mean.array == before["1.running_mean"]).all()

    layer = nn.Linear(2, 1)
    z = functional_call(
        layer,
        {"weight": minigrad.from_numpy(np.full((1, 2), 1j))},
        kwargs={"input": minigrad.ones(1, 2)},
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
