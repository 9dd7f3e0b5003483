"""What scripts written for PyTorch name beside layers and ops: they run with another import."""

from __future__ import annotations

import copy
import importlib
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import amp, nn, optim
from minigrad.nn import functional as F


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


# ---------------------------------------------------------------------------- mixed precision


@pytest.mark.parametrize("old", [False, True])
def test_a_step_with_a_scaler_is_a_step(old: bool) -> None:
    scope, device = (minigrad.cuda.amp, ()) if old else (amp, ("cuda",))
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    other.load_state_dict(one.state_dict())
    x = minigrad.randn(4, 3)
    for model, scaled in ((one, False), (other, True)):
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        if not scaled:
            model(x).square().sum().backward()
            optimizer.step()
            continue
        scaler = scope.GradScaler(enabled=False)
        with scope.autocast(*device, enabled=False):
            loss = model(x).square().sum()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        assert scaler.get_scale() == 1 and not scaler.is_enabled()
        scaler.load_state_dict(scaler.state_dict())
    assert minigrad.equal(one.weight, other.weight) and minigrad.equal(one.bias, other.bias)


@pytest.mark.parametrize(
    "make",
    [
        lambda: amp.autocast("cpu"),
        lambda: amp.autocast(device_type="cuda", dtype=minigrad.float16),
        lambda: minigrad.autocast("cuda"),
        lambda: minigrad.cuda.amp.autocast(),
        lambda: amp.GradScaler(),
        lambda: minigrad.cuda.amp.GradScaler(),
    ],
)
def test_who_asks_for_mixed_precision_is_warned_where_he_asks(make: Any) -> None:
    with pytest.warns(UserWarning, match="there is no mixed precision.*enabled=False") as caught:
        make()
    assert caught[0].filename == __file__


def test_autocast_is_a_decorator_too() -> None:
    @amp.autocast("cuda", enabled=False)
    def double(x: Any) -> Any:
        return 2 * x

    assert double(minigrad.ones(1)).item() == 2
    with pytest.raises(ValueError, match="autocast: device_type must be a string"):
        amp.autocast(True)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------- decorators


def test_what_is_compiled_or_scripted_is_what_it_was() -> None:
    model = nn.Linear(2, 1)
    assert minigrad.compile(model, mode="reduce-overhead") is model
    assert minigrad.jit.script(model) is model

    @minigrad.compile
    @minigrad.jit.script
    @minigrad.jit.ignore
    def one() -> int:
        return 1

    @minigrad.compile(dynamic=False)
    @minigrad.jit.ignore(drop=True)
    @minigrad.jit.unused
    @minigrad.jit.export
    def two() -> int:
        return 2

    assert (one(), two()) == (1, 2)
    assert not minigrad.jit.is_scripting() and not minigrad.jit.is_tracing()


def test_a_checkpointed_part_has_the_same_gradients(torch: Any) -> None:
    found = []
    a = np.random.default_rng(0).standard_normal((3, 2))
    for lib in (minigrad, torch):
        checkpoint = importlib.import_module(f"{lib.__name__}.utils.checkpoint").checkpoint
        x = lib.tensor(a, requires_grad=True)
        y = checkpoint(lambda x, power: (x.sin() * x) ** power, x, power=2, use_reentrant=False)
        (y * lib.tensor(a)).sum().backward()
        found.append(x.grad.numpy())
    np.testing.assert_allclose(*found, rtol=1e-12)  # float64


@pytest.mark.parametrize("segments", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["Sequential", "ModuleList", "list"])
def test_checkpointed_layers_are_a_sequence(kind: str, segments: int, torch: Any) -> None:
    found = []
    a = np.random.default_rng(0).standard_normal((3, 2))
    for lib in (minigrad, torch):
        run = importlib.import_module(f"{lib.__name__}.utils.checkpoint").checkpoint_sequential
        layers = [lib.nn.Tanh(), lib.nn.Softmax(-1), lib.nn.Sigmoid()]
        made = {
            "Sequential": lib.nn.Sequential(*layers), "ModuleList": lib.nn.ModuleList(layers),
            "list": layers,
        }[kind]  # fmt: skip
        x = lib.tensor(a, requires_grad=True)
        try:
            y = run(made, segments, x, use_reentrant=False, preserve_rng_state=False)
        except ValueError:
            found.append([])
            continue
        (y * lib.tensor(a)).sum().backward()
        found.append([y.detach().numpy(), x.grad.numpy()])
    assert bool(found[0]) == (segments < 4)
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)  # float64: rounding alone


# ---------------------------------------------------------------------------- dtypes and shapes


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_finfo(name: str, torch: Any) -> None:
    ours, theirs = minigrad.finfo(getattr(minigrad, name)), torch.finfo(getattr(torch, name))
    for limit in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution", "dtype"):
        assert getattr(ours, limit) == getattr(theirs, limit), limit
        assert type(getattr(ours, limit)) is type(getattr(theirs, limit)), limit
    assert repr(minigrad.finfo()) == repr(torch.finfo(torch.float32))


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
def test_iinfo(name: str, torch: Any) -> None:
    ours, theirs = minigrad.iinfo(getattr(minigrad, name)), torch.iinfo(getattr(torch, name))
    for limit in ("bits", "max", "min", "dtype"):
        assert getattr(ours, limit) == getattr(theirs, limit), limit
    assert repr(ours) == f"iinfo(min={ours.min}, max={ours.max}, dtype={name})"


def test_the_limits_of_the_other_kind_are_refused() -> None:
    with pytest.raises(TypeError, match="finfo: expected a floating dtype, got int64: use iinfo"):
        minigrad.finfo(minigrad.int64)
    with pytest.raises(TypeError, match="iinfo: expected an integer dtype, got float32: use finfo"):
        minigrad.iinfo(minigrad.float32)


def test_shapes_and_dtypes_have_types() -> None:
    x = minigrad.ones(2, 3)
    assert isinstance(x.shape, minigrad.Size) and minigrad.Size([2, 3]) == x.shape
    assert isinstance(x.dtype, minigrad.dtype) and not isinstance("float32", minigrad.dtype)


KINDS = ("bool", "uint8", "int8", "int32", "int64", "float16", "float32", "float64")


@pytest.mark.parametrize("one", KINDS)
def test_promote_types(one: str, torch: Any) -> None:
    for other in KINDS:
        ours = minigrad.promote_types(getattr(minigrad, one), getattr(minigrad, other))
        theirs = torch.promote_types(getattr(torch, one), getattr(torch, other))
        assert str(theirs) == f"torch.{ours}", other


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (4, 1, 2), (0, 2)])
def test_stride(shape: Any, torch: Any) -> None:
    ours, theirs = minigrad.zeros(shape), torch.zeros(shape)
    assert ours.stride() == theirs.stride()
    assert ours.double().stride() == theirs.double().stride()
    if len(shape) > 1 and 0 not in shape:
        assert ours.transpose(0, 1).stride() == theirs.transpose(0, 1).stride()
        assert ours.stride(-1) == theirs.stride(-1)


def test_a_list_of_arrays_becomes_float32(torch: Any) -> None:
    """Tensor's lists do, whatever the numbers in them are; `tensor` keeps the arrays' dtype."""
    rows = [np.arange(3.0), np.arange(3)]
    for lib in (minigrad, torch):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch finds a list of arrays slow
            assert str(lib.Tensor([rows[0], rows[0]]).dtype).endswith("float32")
            assert str(lib.Tensor([rows[1], rows[1]]).dtype).endswith("float32")
            assert str(lib.tensor([rows[0], rows[0]]).dtype).endswith("float64")


# ---------------------------------------------------------------------------- modules


@pytest.mark.parametrize("name", nn.modules.FILES)
def test_files_of_layers_are_found(name: str) -> None:
    part = importlib.import_module(f"minigrad.nn.modules.{name}")
    assert part is getattr(nn.modules, name)


def test_layers_belong_to_the_classes_that_those_files_have() -> None:
    from minigrad.nn.modules.batchnorm import _BatchNorm  # type: ignore[import-not-found]
    from minigrad.nn.modules.conv import _ConvNd  # type: ignore[import-not-found]
    from minigrad.nn.modules.module import Module  # type: ignore[import-not-found]
    from minigrad.nn.modules.utils import _pair, _single  # type: ignore[import-not-found]

    assert isinstance(nn.BatchNorm1d(2), _BatchNorm) and isinstance(nn.SyncBatchNorm(2), _BatchNorm)
    assert not isinstance(nn.LayerNorm(2), _BatchNorm)
    assert isinstance(nn.Conv3d(1, 1, 1), _ConvNd)
    assert isinstance(nn.ConvTranspose2d(1, 1, 1), _ConvNd) and not isinstance(nn.ReLU(), _ConvNd)
    from minigrad.nn.modules.dropout import Dropout  # type: ignore[import-not-found]
    from minigrad.nn.modules.loss import _Loss  # type: ignore[import-not-found]

    assert Module is nn.Module and Dropout is nn.Dropout and nn.modules.LayerNorm is nn.LayerNorm
    assert isinstance(nn.TripletMarginLoss(), _Loss) and not isinstance(nn.ReLU(), _Loss)
    with pytest.raises(AttributeError, match=r"nn\.modules\.conv' .*did you mean 'Conv3d'"):
        print(nn.modules.conv.Conv4d)
    assert (_pair(3), _pair((1, 2)), _single([4])) == ((3, 3), (1, 2), (4,))


def test_registries_are_read_backwards_and_copied() -> None:
    """As invertible networks do: `for module in reversed(self._modules.values())`."""
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    assert [*reversed(model._modules.values())] == [model[1], model[0]]
    assert [*reversed(model._modules)] == [*reversed(model._modules.keys())] == ["1", "0"]
    assert [*reversed(model._modules.items())] == [("1", model[1]), ("0", model[0])]
    assert model._modules.copy() == {"0": model[0], "1": model[1]}
    assert [*model[0]._parameters] == ["weight", "bias"] == [*model[0]._parameters.copy()]


def test_nothing_is_downloaded() -> None:
    from minigrad.hub import load_state_dict_from_url
    from minigrad.utils import model_zoo

    for load in (load_state_dict_from_url, model_zoo.load_url, minigrad.hub.load):
        with pytest.raises(RuntimeError, match=r"hub: nothing is downloaded, so not 'a\.pth'"):
            load("a.pth", progress=True)


def test_registries_are_read_and_written() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.BatchNorm1d(3))
    assert list(model._modules) == ["0", "1", "2"] and model._modules["1"] is model[1]
    model._modules["1"] = nn.Tanh()
    model._modules["last"] = nn.Identity()
    assert isinstance(model[1], nn.Tanh) and len(model) == 4
    del model._modules["last"]
    assert len(model) == 3
    x = minigrad.randn(4, 2)
    assert minigrad.equal(model[:2](x), model[0](x).tanh())
    assert [k for k, _ in model[0]._parameters.items()] == ["weight", "bias"]
    assert list(nn.Linear(2, 1, bias=False)._parameters.values())[1] is None
    assert set(model[2]._buffers) == {"running_mean", "running_var", "num_batches_tracked"}
    with pytest.raises(KeyError):
        model._modules["absent"]
    with pytest.raises(TypeError, match="module"):
        model._modules["1"] = 3
    with pytest.raises(TypeError, match="Parameter"):
        model[0]._parameters["more"] = minigrad.ones(2)
    assert "Tanh" in repr(model._modules)


def test_a_list_of_modules_may_have_free_places(torch: Any) -> None:
    for lib in (minigrad.nn, torch.nn):
        layers = lib.ModuleList([lib.Linear(2, 2), None])
        assert [layer is None for layer in layers] == [False, True]
        assert list(layers.state_dict()) == ["0.weight", "0.bias"]
    with pytest.raises(TypeError, match="Sequential: expected a Module, got NoneType"):
        nn.Sequential(None)


def lists(n: Any, tensor: Any) -> Any:
    class Net(n.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.many = n.ParameterList([n.Parameter(tensor([1.0, 2.0])), tensor([[3.0]])])
            self.named = n.ParameterDict({"a": n.Parameter(tensor([4.0])), "b": tensor([5.0])})

        def forward(self, x: Any) -> Any:
            for p in self.many:
                x = x * p
            return x * self.named["a"] + self.named["b"]

    return Net()


def test_lists_and_dicts_of_parameters(torch: Any) -> None:
    ours, theirs = lists(nn, minigrad.tensor), lists(torch.nn, torch.tensor)
    assert [k for k, _ in ours.named_parameters()] == [k for k, _ in theirs.named_parameters()]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    states = {k: v.numpy() for k, v in theirs.state_dict().items()}
    ours.load_state_dict(states)
    a = np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32)
    for lib, net in ((minigrad, ours), (torch, theirs)):
        (net(lib.tensor(a)) * lib.tensor(a)).sum().backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-5)  # float32
    again = pickle.loads(pickle.dumps(copy.deepcopy(ours.many)))
    assert [p.tolist() for p in again] == [[1, 2], [[3]]]


def test_a_list_of_parameters_is_a_list() -> None:
    p = nn.ParameterList()
    p += [minigrad.ones(1), minigrad.ones(2)]
    assert p.append(minigrad.ones(3)) is p and len(p) == 3
    assert p[-1].shape == (3,) and [q.shape for q in p[1:]] == [(2,), (3,)]
    p[0] = nn.Parameter(minigrad.zeros(4))
    assert [tuple(q.shape) for q in p.parameters()] == [(4,), (2,), (3,)]
    assert repr(p).splitlines()[1] == "  (0): Parameter containing: [float32 of size 4]"
    for call, error, message in (
        (lambda: p[3], IndexError, "ParameterList: index 3 is out of range for 3 parameters"),
        (
            lambda: p.append(1),
            TypeError,
            "ParameterList: expected a Parameter or a Tensor, got int",
        ),
        (lambda: p.extend(minigrad.ones(2)), TypeError, "ParameterList: expected a list"),
        (lambda: p.extend([minigrad.ones(1), 2]), TypeError, "got int"),
        (lambda: p(1), RuntimeError, "ParameterList: it cannot be called"),
        (lambda: p.append(minigrad.tensor([1])), RuntimeError, "floating"),
    ):
        with pytest.raises(error, match=message):
            call()
    assert len(p) == 3


def test_a_dict_of_parameters_is_a_dict() -> None:
    p = nn.ParameterDict([("one", minigrad.ones(1))])
    p.update({"two": minigrad.ones(2)})
    p["three"] = minigrad.ones(3)
    assert list(p) == list(p.keys()) == ["one", "two", "three"] and "two" in p and len(p) == 3
    assert p.get("four") is None and p.get("one") is p["one"]
    assert p.pop("one").shape == (1,)
    del p["two"]
    assert [(k, v.shape) for k, v in p.items()] == [("three", (3,))]
    with pytest.raises(KeyError, match="this ParameterDict has three"):
        p["one"]
    with pytest.raises(TypeError, match="ParameterDict: expected a Parameter or a Tensor, got int"):
        p.update({"new": minigrad.ones(1), "bad": 1})
    assert list(p) == ["three"]
    p.clear()
    assert len(p) == len(list(p.values())) == 0


def test_optimisers_and_grad_take_lists_and_generators() -> None:
    weights = nn.ParameterList([minigrad.ones(2), minigrad.ones(3)])
    assert len(optim.Adam(weights).param_groups[0]["params"]) == 2
    with pytest.raises(TypeError, match="use its parameters"):
        optim.Adam(nn.Sequential(nn.Linear(1, 1)))  # type: ignore[arg-type]
    model = nn.Linear(2, 1)
    loss = model(minigrad.ones(3, 2)).sum()
    grads = minigrad.autograd.grad(loss, model.parameters())
    assert [g.tolist() for g in grads if g is not None] == [[[3, 3]], [3]]


@pytest.mark.parametrize("freeze", [True, False])
def test_embedding_from_pretrained(freeze: bool, torch: Any) -> None:
    table = np.random.default_rng(0).standard_normal((5, 3))
    for lib in (minigrad, torch):
        given = lib.tensor(table)
        layer = lib.nn.Embedding.from_pretrained(given, freeze=freeze, padding_idx=1)
        assert layer.weight.requires_grad is not freeze
        assert (layer.num_embeddings, layer.embedding_dim, layer.padding_idx) == (5, 3, 1)
        np.testing.assert_array_equal(layer(lib.tensor([4, 1])).detach().numpy(), table[[4, 1]])
        given.zero_()  # the memory is shared
        assert not layer.weight.detach().numpy().any()
    with pytest.raises(ValueError, match=r"Embedding: embeddings must be a tensor.*shape \(3,\)"):
        nn.Embedding.from_pretrained(minigrad.ones(3))


def test_bilinear(torch: Any, kernels: str) -> None:
    ours, theirs = nn.Bilinear(3, 4, 2).double(), torch.nn.Bilinear(3, 4, 2).double()
    assert repr(ours) == repr(theirs)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    rng = np.random.default_rng(1)
    for front in ((), (5,), (2, 5)):
        a, b, g = (rng.standard_normal((*front, n)) for n in (3, 4, 2))
        found = []
        for lib, layer in ((minigrad, ours), (torch, theirs)):
            x, y = (lib.tensor(v, requires_grad=True) for v in (a, b))
            layer.zero_grad()
            out = layer(x, y)
            (out * lib.tensor(g)).sum().backward()
            leaves: list[Any] = [x, y, *layer.parameters()]
            grads = [t.grad.numpy() for t in leaves]
            found.append([out.detach().numpy(), *grads])
        for p, q in zip(*found, strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-10, atol=1e-12)  # float64
    inputs = [minigrad.randn(*s, dtype=minigrad.float64) for s in ((5, 3), (5, 4), (2, 3, 4), (2,))]
    assert minigrad.autograd.gradcheck(F.bilinear, [x.requires_grad_() for x in inputs])
    bound = 1 / np.sqrt(3)
    assert all(abs(p.numpy()).max() <= bound for p in nn.Bilinear(3, 40, 20).state_dict().values())
    for shapes, message in (
        (((5, 3), (6, 4), (2, 3, 4)), "equal sizes in front"),
        (((5, 4), (5, 4), (2, 3, 4)), "last sizes 4 and 4 do not fit"),
    ):
        with pytest.raises(RuntimeError, match=f"bilinear: .*{message}"):
            F.bilinear(*(minigrad.ones(s) for s in shapes))


# ---------------------------------------------------------------------------- the rest


def test_load_takes_the_arguments_that_scripts_pass(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    minigrad.save({"weight": minigrad.ones(2)}, path)
    options: dict[str, Any]
    for options in (
        {"map_location": "cpu"}, {"map_location": minigrad.device("cpu"), "weights_only": False},
        {"map_location": lambda storage, place: storage, "mmap": True},
        {"map_location": {"cuda:0": "cpu"}},
    ):  # fmt: skip
        assert minigrad.load(path, **options)["weight"].tolist() == [1, 1]
    with pytest.raises(RuntimeError, match=r"load: device must be 'cpu'.*got 'cuda'"):
        minigrad.load(path, map_location="cuda")


def test_files_of_data_are_found() -> None:
    for file, name in (
        ("sampler", "SubsetRandomSampler"), ("dataset", "Dataset"), ("dataloader", "DataLoader"),
        ("dataloader", "default_collate"), ("distributed", "DistributedSampler"),
    ):  # fmt: skip
        part = importlib.import_module(f"minigrad.utils.data.{file}")
        assert getattr(part, name) is getattr(minigrad.data, name)
    assert minigrad.utils.data.DistributedSampler is minigrad.data.DistributedSampler


def test_the_method_split_calls_its_size_otherwise(torch: Any) -> None:
    for lib in (minigrad, torch):
        x = lib.arange(6)
        assert [p.tolist() for p in x.split(split_size=[4, 2])] == [[0, 1, 2, 3], [4, 5]]
        assert [p.tolist() for p in lib.split(x, split_size_or_sections=4)] == [
            [0, 1, 2, 3],
            [4, 5],
        ]
    for sizes in ({}, {"split_size_or_sections": 2, "split_size": 2}):
        with pytest.raises(TypeError, match="split: expected a size"):
            minigrad.ones(4).split(**sizes)


def test_other_names_for_the_same(torch: Any) -> None:
    x, y = minigrad.arange(3.0), minigrad.arange(2.0)
    assert minigrad.equal(minigrad.ger(x, y), minigrad.outer(x, y))
    assert minigrad.equal(minigrad.concatenate([x, y]), minigrad.cat([x, y]))
    assert minigrad.zeros(2).copy_(y, non_blocking=True).tolist() == [0, 1]
    assert not minigrad.is_complex(x) and not torch.is_complex(torch.ones(1))


def test_functional_vjp(torch: Any) -> None:
    a, v = np.random.default_rng(0).standard_normal((2, 3))
    for two in (False, True):
        found = []
        for lib in (minigrad, torch):
            vjp = importlib.import_module(f"{lib.__name__}.autograd.functional").vjp
            x, g = lib.tensor(a), lib.tensor(v)
            inputs = (x, x * 2) if two else x
            value, grads = vjp(lambda x, *more: x.sin() * x, inputs, g)
            assert not value.requires_grad and isinstance(grads, tuple) is two
            found.append([value.numpy(), *(d.numpy() for d in (grads if two else (grads,)))])
        for p, q in zip(*found, strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-12)  # float64
    x = minigrad.ones(2)
    with pytest.raises(RuntimeError, match="do not depend on input 1"):
        minigrad.autograd.functional.vjp(lambda x, y: x.sum(), (x, x), strict=True)
    with pytest.raises(NotImplementedError, match="vjp: create_graph"):
        minigrad.autograd.functional.vjp(lambda x: x.sum(), x, create_graph=True)


@pytest.mark.parametrize("name", ["numel", "is_complex", "is_floating_point"])
@pytest.mark.parametrize("value", [3, 2.5, [1.0], "x", None])
def test_what_is_no_tensor_has_no_properties(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name}: expected a tensor, got {type(value).__name__}"):
        getattr(minigrad, name)(value)


def test_dtypes_of_no_tensor_are_not_promoted() -> None:
    with pytest.raises(TypeError, match="promote_types: there are no tensors of dtype 'S3'"):
        minigrad.promote_types(minigrad.float32, "S3")


def test_files_that_scripts_import_by_name() -> None:
    for name in ("weight_norm", "spectral_norm"):
        hooks = importlib.import_module(f"minigrad.nn.utils.{name}")
        function = getattr(nn.utils, name)
        assert callable(function) and getattr(hooks, name) is function
        layer = function(nn.Linear(2, 2))
        kind = hooks.WeightNorm if name == "weight_norm" else hooks.SpectralNorm
        assert [type(hook) for hook in layer._forward_pre_hooks.values()] == [kind]
    functional = importlib.import_module("minigrad.functional")
    assert functional.einsum is minigrad.einsum and minigrad.functional is functional
    with pytest.raises(AttributeError, match="einsum"):
        functional.einsun  # noqa: B018


def test_the_bases_of_recurrent_layers() -> None:
    layers: list[Any] = [nn.RNN(2, 3), nn.LSTM(2, 3), nn.GRU(2, 3)]
    cells: list[Any] = [nn.RNNCell(2, 3), nn.LSTMCell(2, 3), nn.GRUCell(2, 3)]
    assert all(isinstance(x, nn.RNNBase) for x in layers)
    assert not any(isinstance(x, nn.RNNBase) for x in [*cells, nn.Linear(2, 3)])
    assert all(isinstance(x, nn.RNNCellBase) for x in cells)
    assert not any(isinstance(x, nn.RNNCellBase) for x in [*layers, nn.Linear(2, 3)])


@pytest.mark.parametrize("registry", ["_parameters", "_buffers", "_modules"])
def test_a_registry_is_replaced_as_a_whole(registry: str, torch: Any) -> None:
    def names(lib: Any) -> list[Any]:
        layer = lib.nn.Module()
        kinds = {
            "_parameters": lambda: lib.nn.Parameter(lib.ones(1)),
            "_buffers": lambda: lib.ones(1),
            "_modules": lambda: lib.nn.Identity(),
        }
        for kind, make in kinds.items():
            for name in "ab":
                getattr(layer, kind)[f"{kind[1]}{name}"] = make()
        own = getattr(layer, registry)
        letter, kept = registry[1], dict(own)
        new = {f"{letter}c": kinds[registry](), f"{letter}a": kept[f"{letter}a"]}
        setattr(layer, registry, new)
        assert getattr(layer, f"{letter}c") is new[f"{letter}c"]
        assert not hasattr(layer, f"{letter}b")
        setattr(layer, registry, getattr(layer, registry))  # itself: nothing changes
        return [
            list(layer._parameters), list(layer._buffers), list(layer._modules),
            list(layer.state_dict()),
        ]  # fmt: skip

    assert names(minigrad) == names(torch)
