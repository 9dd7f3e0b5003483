"""What people do wrong most often, and what they are told: every op, layer and optimiser names
itself, what came and what to do; no error comes from inside numpy or an attribute's look-up."""

from __future__ import annotations

import inspect
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import SAMPLES, Sample

import minigrad
from minigrad import Tensor, nn, optim
from minigrad.nn import functional as F

REFUSALS = (ValueError, TypeError, IndexError, RuntimeError)
HOUSE = Path(minigrad.__file__).parent


def refusal(call: Callable[[], Any], *names: str) -> str | None:
    """The message of a refusal, if it is one: by a raise of ours, and with one of the names in it
    or in its notes."""
    try:
        call()
    except Exception as error:
        assert type(error) in REFUSALS, repr(error)
        last = traceback.extract_tb(error.__traceback__)[-1]
        assert HOUSE in Path(last.filename).parents and last.line, f"{error!r} in {last.filename}"
        assert last.line.startswith("raise"), f"{error!r} in {last.line}"
        text = " ".join([str(error), *getattr(error, "__notes__", [])])
        assert any(name in text for name in names), f"{text}: expected one of {names}"
        return text
    return None


class Other:
    """Of no kind that anybody knows."""


WRONG = [None, [[1.0, 2.0], [3.0, 4.0]], 3, 2.5, "text", {}, (), Other(), Other, print]
KINDS = [type(v).__name__ for v in WRONG]

# ---------------------------------------------------------------------- what is no tensor

# What an op is made of, and may name instead.
INNER = {
    "swapaxes": "transpose", "swapdims": "transpose", "movedim": "permute", "take": "index",
    "masked_select": "index", "mm": "matmul", "mv": "matmul", "addmm": "matmul", "var_mean": "var",
    "std_mean": "std", "F.normalize": "norm", "F.relu6": "hardtanh", "F.cross_entropy": "nll_loss",
    "meshgrid": "reshape", "outer": "reshape", "tile": "repeat", "chunk": "split",
}  # fmt: skip
CALLS = {(s.case.name, len(s.shapes)): s for s in SAMPLES
         if s.case.call is None and s.layout == "rows" and s.case.name[0] != "."}  # fmt: skip


def function_of(name: str) -> Any:
    where, _, name = name.rpartition(".")
    return getattr({"": minigrad, "F": F}[where], name)


def as_given(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return minigrad.from_numpy(value.astype("f4") if value.dtype.kind == "f" else value)


@pytest.mark.parametrize("sample", CALLS.values(), ids=lambda s: f"{s.case.name}-{len(s.shapes)}")
def test_an_op_given_something_else(sample: Sample) -> None:
    """In the place of each of its tensors."""
    name = sample.case.name
    op, bare = function_of(name), name.removeprefix("F.")
    args = [*map(as_given, sample.arrays(np.float32)), *map(as_given, sample.case.args)]
    options = {key: as_given(value) for key, value in sample.case.kwargs.items()}
    op(*args, **options)
    refused = 0
    for i in [i for i, value in enumerate(args) if isinstance(value, Tensor)]:
        for wrong in WRONG:
            given = [*args[:i], wrong, *args[i + 1 :]]
            message = refusal(lambda g=given: op(*g, **options), bare, INNER.get(name, bare))
            refused += message is not None
    assert refused or bare in ("where",)
    for key in [key for key, value in options.items() if isinstance(value, Tensor)]:
        for wrong in WRONG:
            refusal(lambda k=key, w=wrong: op(*args, **{**options, k: w}), bare)


@pytest.mark.parametrize("sample", CALLS.values(), ids=lambda s: f"{s.case.name}-{len(s.shapes)}")
def test_an_op_given_numpy_arrays(sample: Sample) -> None:
    """They are taken for tensors, or refused by name."""
    name = sample.case.name
    op, bare = function_of(name), name.removeprefix("F.")
    args = [*sample.arrays(np.float32), *sample.case.args]
    refusal(lambda: op(*args, **sample.case.kwargs), bare, INNER.get(name, bare))


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "AdaptiveAvgPool1d": (2,), "AdaptiveAvgPool2d": (2,), "AdaptiveAvgPool3d": (2,),
    "AdaptiveMaxPool1d": (3,), "AdaptiveMaxPool2d": (3,), "AdaptiveMaxPool3d": (3,),
    "MaxUnpool1d": (2,), "MaxUnpool2d": (2,), "MaxUnpool3d": (2,),
    "AvgPool1d": (2,), "AvgPool2d": (2,), "AvgPool3d": (2,),
    "Bilinear": (3, 3, 2), "ConstantPad1d": (1, 2.0), "ConstantPad2d": (1, 2.0),
    "Conv1d": (3, 2, 2), "Conv2d": (3, 2, 2),
    "Conv3d": (3, 2, 2), "ConvTranspose1d": (3, 2, 2), "ConvTranspose2d": (3, 2, 2),
    "ConvTranspose3d": (3, 2, 2), "Embedding": (4, 2), "Fold": (4, 2),
    "GRU": (4, 2), "GRUCell": (4, 2), "GroupNorm": (1, 3), "LSTM": (4, 2), "LSTMCell": (4, 2),
    "LayerNorm": (4,), "LazyLinear": (2,),
    **{f"LazyBatchNorm{n}d": () for n in (1, 2, 3)},
    **{f"LazyConv{kind}{n}d": (2, 2) for kind in ("", "Transpose") for n in (1, 2, 3)},
    "Linear": (4, 2), "LocalResponseNorm": (2,), "LogSoftmax": (1,), "MaxPool1d": (2,),
    "MaxPool2d": (2,), "MaxPool3d": (2,), "MultiheadAttention": (4, 2), "PixelShuffle": (2,),
    "PixelUnshuffle": (2,), "RMSNorm": (4,), "RNN": (4, 2), "RNNCell": (4, 2), "Softmax": (1,),
    "Transformer": (4, 2, 1, 1, 4), "TransformerDecoder": (nn.TransformerDecoderLayer(4, 2, 4), 1),
    "TransformerDecoderLayer": (4, 2),
    "TransformerEncoder": (nn.TransformerEncoderLayer(4, 2, 4), 1),
    "TransformerEncoderLayer": (4, 2), "Unflatten": (1, (3, 1)), "Unfold": (2,), "Upsample": (2,),
    "Softmin": (1,), "Threshold": (0.1, 1.0), "ChannelShuffle": (1,), "ConstantPad3d": (1, 2.0),
    "EmbeddingBag": (4, 2), "LPPool1d": (2, 2), "LPPool2d": (2, 2), "LPPool3d": (2, 2),
}  # fmt: skip
# How many tensors forward takes, where it is not one.
INPUTS = {"Bilinear": 2, "MultiheadAttention": 3, "Transformer": 2, "TransformerDecoder": 2,
          "TransformerDecoderLayer": 2, "MaxUnpool1d": 2, "MaxUnpool2d": 2,
          "MaxUnpool3d": 2}  # fmt: skip
CONTAINERS = (
    "DataParallel", "Identity", "Module", "ModuleDict", "ModuleList", "Residual", "Sequential",
)  # fmt: skip
LAYERS = [
    name for name in nn.__all__
    if inspect.isclass(kind := getattr(nn, name)) and issubclass(kind, nn.Module)
    and name not in CONTAINERS
]  # fmt: skip


def layer_of(name: str) -> nn.Module:
    default = (3,) if "orm" in name else (1,) if "Pad" in name else ()
    return getattr(nn, name)(*ARGUMENTS.get(name, default))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_given_something_else(name: str) -> None:
    layer = layer_of(name)
    good = minigrad.rand(2, 3)
    several = name.endswith(("Loss", "Distance", "Similarity"))
    n = len(inspect.signature(layer.forward).parameters) if several else INPUTS.get(name, 1)
    for wrong in [*WRONG, np.ones((2, 3, 4, 4), "f4")]:
        for k in range(n if several else 1):
            given = [good] * n if several else [wrong] * n
            given[k] = wrong
            refusal(lambda given=given: layer(*given), name)
    if name not in ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "Flatten", "Unflatten"):
        assert refusal(lambda: layer(*[None] * n), name)


@pytest.mark.parametrize("name", nn.__all__)
def test_a_layer_made_with_wrong_arguments_names_itself(name: str) -> None:
    kind = getattr(nn, name)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        return
    for args, options in (((), {}), ((1,) * 20, {}), ((), {"nonsense": 1})):
        try:
            kind(*args, **options)
        except Exception as error:
            assert type(error) in REFUSALS
            assert name in str(error) or name == "Residual"  # which makes a Sequential
    required = [p for p in inspect.signature(kind).parameters.values()
                if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]  # fmt: skip
    if required:
        with pytest.raises(TypeError, match=rf"^{name}\.__init__\(\) missing {len(required)} "):
            kind()


# ---------------------------------------------------------------------- mixed dtypes

A, B = minigrad.ones(2, 3), minigrad.ones(3, 4, dtype=minigrad.float64)
IMAGE = minigrad.ones(1, 2, 4, 4, dtype=minigrad.float64)
MIXED: list[tuple[Callable[[], Any], str]] = [
    (lambda: A @ B, "matmul: expected one dtype, got input float32, other float64: convert with "
     "input.to(minigrad.float64)"),
    (lambda: minigrad.mm(A, B), "mm: expected one dtype, got input float32, mat2 float64: convert "
     "with input.to(minigrad.float64)"),
    (lambda: minigrad.bmm(A[None], B[None]), "bmm: expected one dtype, got input float32, mat2 "
     "float64: convert with input.to(minigrad.float64)"),
    (lambda: minigrad.mv(A, B[:, 0]), "mv: expected one dtype, got input float32, vec float64: "
     "convert with input.to(minigrad.float64)"),
    (lambda: minigrad.dot(A[0], B[:, 0]), "dot: expected one dtype, got input float32, tensor "
     "float64: convert with input.to(minigrad.float64)"),
    (lambda: minigrad.addmm(A, A, B), "addmm: expected one dtype, got input float32, mat1 float32, "
     "mat2 float64: convert with mat2.to(minigrad.float32)"),
    (lambda: minigrad.einsum("ij,jk", A, B), "einsum: expected one dtype, got operand 0 float32, "
     "operand 1 float64: convert with operand 0.to(minigrad.float64)"),
    (lambda: A @ minigrad.ones(3, 2).long(), "matmul: expected one dtype, got input float32, other "
     "int64: convert with other.to(minigrad.float32)"),
    (lambda: minigrad.ones(3, 2).int() @ minigrad.ones(2, 3).long(), "matmul: expected one dtype, "
     "got input int32, other int64: convert with input.to(minigrad.int64)"),
    (lambda: nn.Linear(3, 2)(A.double()), "linear: expected one dtype, got input float64, weight "
     "float32, bias float32: convert with input.to(minigrad.float32), or the layer with "
     ".to(minigrad.float64)"),
    (lambda: F.linear(A, B.T[:, :3], minigrad.ones(4)), "linear: expected one dtype, got input "
     "float32, weight float64, bias float32: convert with input.to(minigrad.float64), or the layer "
     "with .to(minigrad.float32)"),
    (lambda: F.linear(A, A, minigrad.ones(2).double()), "linear: expected one dtype, got input "
     "float32, weight float32, bias float64: convert with bias.to(minigrad.float32)"),
    (lambda: nn.Linear(3, 2)(A.long()), "linear: expected one dtype, got input int64, weight "
     "float32, bias float32: convert with input.to(minigrad.float32)"),
    (lambda: nn.Conv2d(2, 3, 2)(IMAGE), "conv2d: expected one dtype, got input float64, weight "
     "float32, bias float32: convert with input.to(minigrad.float32), or the layer with "
     ".to(minigrad.float64)"),
    (lambda: nn.Conv1d(2, 3, 2, bias=False)(IMAGE[0, :, 0]), "conv1d: expected one dtype, got "
     "input float64, weight float32: convert with input.to(minigrad.float32), or the layer with "
     ".to(minigrad.float64)"),
    (lambda: nn.ConvTranspose2d(2, 3, 2)(IMAGE), "conv_transpose2d: expected one dtype, got input "
     "float64, weight float32, bias float32: convert with input.to(minigrad.float32), or the layer "
     "with .to(minigrad.float64)"),
    (lambda: nn.PReLU()(B), "prelu: expected one dtype, got input float64, weight float32: convert "
     "with input.to(minigrad.float32), or the layer with .to(minigrad.float64)"),
    (lambda: nn.BCELoss()(A / 2, (A / 2).double()), "binary_cross_entropy: expected one dtype, got "
     "input float32, target float64: convert with input.to(minigrad.float64)"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), MIXED, ids=[m.partition(":")[0] for _, m in MIXED])
def test_mixed_dtypes_say_which_argument_has_which(call: Any, message: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        call()
    assert str(caught.value) == message


# ---------------------------------------------------------------------- modules


class Forgetful(nn.Module):
    """Its __init__ does not call super().__init__()."""

    def __init__(self) -> None:
        self.n = 3

    def forward(self, x: Any) -> Any:
        return x


USES: list[Callable[[Any], Any]] = [
    lambda m: m(minigrad.ones(1)), lambda m: list(m.parameters()), lambda m: list(m.buffers()),
    lambda m: list(m.named_parameters()), lambda m: list(m.children()), lambda m: m.state_dict(),
    lambda m: list(m.modules()), lambda m: m.load_state_dict({}), lambda m: m.train(),
    lambda m: m.eval(), lambda m: m.apply(print), lambda m: m.requires_grad_(), lambda m: repr(m),
    lambda m: m.zero_grad(), lambda m: m.double(), lambda m: m.register_forward_hook(print),
    lambda m: m.register_forward_pre_hook(print), lambda m: m.register_buffer("b", None),
    lambda m: m.register_parameter("p", None), lambda m: m.register_module("m", None),
    lambda m: setattr(m, "w", nn.Parameter(1.0)), lambda m: setattr(m, "relu", nn.ReLU()),
    lambda m: delattr(m, "n"), lambda m: m.get_submodule("a"), lambda m: m.get_parameter("a"),
    lambda m: m.missing, lambda m: nn.Sequential(m)(minigrad.ones(1)),
    lambda m: nn.Sequential(m).state_dict(), lambda m: repr(nn.Sequential(m)),
    lambda m: optim.SGD(m.parameters()), lambda m: optim.SGD(nn.Sequential(m).parameters()),
]  # fmt: skip


@pytest.mark.parametrize("i", range(len(USES)))
def test_a_module_whose_init_does_not_call_its_base(i: int) -> None:
    message = r"^Forgetful.*: its __init__ must call super\(\).__init__\(\) first"
    with pytest.raises(AttributeError, match=message):
        USES[i](Forgetful())


# ---------------------------------------------------------------------- optimisers

OPTIMISERS = [optim.SGD, optim.Adam, optim.AdamW]


class InAList(nn.Module):
    """Its layers are in plain containers, and so not its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(2, 2)]
        self.more = {"a": nn.Linear(2, 2)}


NET = nn.Linear(2, 2)
GIVEN: list[tuple[Any, str]] = [
    (lambda: InAList().parameters(), "empty parameter list.*plain list or dict: use nn.ModuleList"),
    (lambda: NET.parameters, r"got a method parameters: call it, with \(\)"),
    (lambda: NET.named_parameters, r"got a method named_parameters: call it, with \(\)"),
    (lambda: lambda: NET.parameters(), r"got a function <lambda>: call it"),
    (lambda: NET, r"got a Linear: use its parameters\(\)"),
    (lambda: nn.ModuleList([NET]), r"got a ModuleList: use its parameters\(\)"),
    (lambda: nn.ModuleDict({"a": NET}), r"got a ModuleDict: use its parameters\(\)"),
    (lambda: nn.Linear, "got a class Linear"),
    (lambda: [NET], r"parameter 0 is a Linear, expected a Tensor: use its parameters\(\)"),
    (lambda: None, "got a NoneType"),
    (lambda: 3, "got a int"),
    (lambda: "weights", "got a str"),
    (lambda: {"params": [NET.weight]}, r"got a dict: a group is put in a list, \[group\]"),
    (lambda: NET.state_dict(), r"got a OrderedDict"),
    (lambda: NET.weight, r"got one Tensor: use \[p\]"),
    (lambda: ["w"], "parameter 0 is a str, expected a Tensor"),
    (lambda: [list(NET.parameters())], "parameter 0 is a list, expected a Tensor"),
    (lambda: [NET.weight.array], "parameter 0 is a ndarray, expected a Tensor"),
    (lambda: [{"params": NET.parameters}], r"got a method parameters: call it, with \(\)"),
    (lambda: [{"params": NET}], r"got a Linear: use its parameters\(\)"),
    (lambda: [{"params": None}], "got a NoneType"),
    (lambda: [{"params": []}], "no parameters"),
]  # fmt: skip


@pytest.mark.parametrize("kind", OPTIMISERS)
@pytest.mark.parametrize(("given", "words"), GIVEN, ids=[words[:30] for _, words in GIVEN])
def test_what_an_optimiser_is_given(kind: Any, given: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{kind.__name__}: .*{words}"):
        kind(given())


NUMBERS = {
    optim.SGD: ("lr", "momentum", "dampening", "weight_decay"),
    optim.Adam: ("lr", "betas", "eps", "weight_decay"),
    optim.AdamW: ("lr", "betas", "eps", "weight_decay"),
}


@pytest.mark.parametrize("kind", OPTIMISERS)
@pytest.mark.parametrize("wrong", ["0.1", b"1", None, [0.1], (), {}, Other(), 1j, np.nan, True,
                                   np.ones(2), minigrad.ones(2), print],
                         ids=lambda v: repr(v).split(" at ")[0])  # fmt: skip
def test_an_optimisers_numbers(kind: Any, wrong: Any) -> None:
    """When it is made, when a group is added, and when a state is loaded: nothing is changed."""
    for key in NUMBERS[kind]:
        with pytest.raises((TypeError, ValueError), match=rf"^{kind.__name__}: {key}"):
            kind(NET.parameters(), **{key: wrong})
        optimizer = kind([NET.weight])
        with pytest.raises((TypeError, ValueError), match=rf"^{kind.__name__}: {key}"):
            optimizer.add_param_group({"params": [NET.bias], key: wrong})
        assert len(optimizer.param_groups) == 1
        state = optimizer.state_dict()
        before = dict(optimizer.param_groups[0])
        state["param_groups"][0][key] = wrong
        with pytest.raises((TypeError, ValueError), match=rf"{kind.__name__}.*{key}"):
            optimizer.load_state_dict(state)
        assert optimizer.param_groups[0] == before


# ---------------------------------------------------------------------- einsum

PIECES = ["i", "j", "k", "A", "...", "...", "..", ".", ",", ",", ",", "->", "->", " ", "1", "-",
          ">", "ij", "jk", "ii", ""]  # fmt: skip


@pytest.mark.slow
def test_equations_of_random_pieces() -> None:
    """They mean what PyTorch says, or are refused by both."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    taken = 0
    for _ in range(4000):
        equation = "".join(rng.choice(PIECES, rng.integers(1, 8)))
        shapes = [rng.choice([2, 2, 2, 1, 3], rng.integers(4)) for _ in range(rng.integers(1, 4))]
        arrays = [np.asarray(rng.standard_normal(tuple(s))) for s in shapes]
        try:
            expected = torch.einsum(equation, *map(torch.from_numpy, arrays)).numpy()
        except RuntimeError:
            expected = None
        ours = lambda e=equation, a=arrays: minigrad.einsum(e, *map(minigrad.from_numpy, a))  # noqa: E731
        if expected is None:
            assert refusal(ours, "einsum") is not None, equation
        else:
            taken += 1
            np.testing.assert_allclose(ours().array, expected, err_msg=equation)
    assert taken > 50


@pytest.mark.parametrize(
    ("equation", "words"),
    [
        ("i......j", r"'i\.\.\.\.\.\.j' .* at most one '\.\.\.'"), ("i..j", "at most one"),
        ("i1", "must be letters"), ("i->j->k", "'j->k' .* must be letters"),
        ("ii", "letter 'i' has sizes 2 and 3"), (3, "expected an equation such as"),
    ],
)  # fmt: skip
def test_an_equation_that_is_none(equation: Any, words: str) -> None:
    with pytest.raises((RuntimeError, TypeError), match=f"^einsum: .*{words}"):
        minigrad.einsum(equation, minigrad.ones(2, 3))


def test_asking_for_an_attribute_looks_for_no_near_name(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr("minigrad.names.near", lambda name, known: looked.append(name) or "")
    layer, x = nn.Linear(2, 2), minigrad.ones(2)
    assert not hasattr(layer, "gamma") and not hasattr(x, "colour")
    assert getattr(layer, "gamma", 3) == 3 and not looked
    layer.register_buffer("gamma", x)  # nor does taking a new name
    assert not looked
    name = "delta"
    with pytest.raises(AttributeError) as caught:
        getattr(layer, name)
    assert "Linear has no attribute 'delta'; it has" in str(caught.value) and looked == ["delta"]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
