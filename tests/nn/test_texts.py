"""Every layer that both libraries have, made by the same arguments, numbers and lists of them as
well as tuples: its text, its state and its attributes are PyTorch's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigrad import nn

torch = pytest.importorskip("torch")
Case = Callable[[Any], Any]  # from a library's nn to a layer


def _cases() -> dict[str, list[Case]]:
    """By the name of the class; what is not here takes no arguments."""
    table: dict[str, list[Case]] = {}

    def case(name: str, *args: Any, **options: Any) -> None:
        table.setdefault(name, []).append(lambda m: getattr(m, name)(*args, **options))

    for n in (1, 2, 3):
        ones, twos, threes = [1] * n, [2] * n, [3] * n
        for name in (f"Conv{n}d", f"ConvTranspose{n}d"):
            case(name, 2, 4, 3)
            case(name, 2, 4, threes, twos, ones, groups=2, bias=False)
            case(name, 2, 4, 3, dilation=twos)
        case(f"Conv{n}d", 2, 4, 3, padding="same", padding_mode="reflect")
        case(f"ConvTranspose{n}d", 2, 4, 3, 2, 1, ones)
        for name in (f"MaxPool{n}d", f"AvgPool{n}d", f"MaxUnpool{n}d"):
            case(name, 2)
            case(name, 3, 2, 1)
            case(name, twos, ones, ones)
            case(name, (2,) * n, stride=ones)
        case(f"LPPool{n}d", 2, 3)
        case(f"LPPool{n}d", 1.5, twos, 1, True)
        case(f"MaxPool{n}d", twos, dilation=twos, return_indices=True, ceil_mode=True)
        for name in (f"AdaptiveAvgPool{n}d", f"AdaptiveMaxPool{n}d"):
            case(name, 2)
            case(name, twos)
            case(name, (2,) * n)
        for name in (f"BatchNorm{n}d", f"InstanceNorm{n}d"):
            case(name, 3)
            case(name, 3, 1e-3, 0.2)
            case(name, 3, affine=True, track_running_stats=True)
            case(name, 3, affine=False, track_running_stats=False)
        for name in (
            f"ReflectionPad{n}d",
            f"ReplicationPad{n}d",
            f"ZeroPad{n}d",
            f"CircularPad{n}d",
        ):
            case(name, 1)
            case(name, [1] * 2 * n)
        case(f"ConstantPad{n}d", 1, 2.0)
        case(f"ConstantPad{n}d", [1] * 2 * n, 0)
        case(f"Dropout{n}d")
        case(f"Dropout{n}d", 0.3, True)
    for name, *several in (
        ("Linear", (2, 3), (2, 3, False)), ("Bilinear", (2, 3, 4), (2, 3, 4, False)),
        ("Embedding", (5, 3), (5, 3, -1), (5, 3, 1, 2.0, 3.0, True)),
        ("EmbeddingBag", (5, 3), (5, 3, 1.0, 1.5, True, "sum"), (5, 3, None, 2, False, "max")),
        ("ChannelShuffle", (2,)), ("UpsamplingNearest2d", (4,), (None, 2)),
        ("UpsamplingBilinear2d", ([4, 5],), (None, (2.0, 3))), ("CTCLoss", (), (1, "sum", True)),
        ("AlphaDropout", (), (0.2, True)), ("FeatureAlphaDropout", (), (0.2, True)),
        ("Flatten", (), (0, -2)),
        ("Unflatten", (1, (2, 3)), (1, [2, 3])), ("Unfold", (2,), ([2, 2], [1, 1], [0, 1], [1, 2])),
        ("Fold", (4, 2), ([4, 5], [2, 2], [1, 1], [0, 1], [1, 2])),
        ("GroupNorm", (2, 4), (2, 4, 1e-3, False)), ("LayerNorm", (3,), ([2, 3], 1e-3, False)),
        ("LayerNorm", ((2, 3), 1e-3, True, False)), ("RMSNorm", (3,), ([2, 3], 1e-3, False)),
        ("LocalResponseNorm", (2,), (2, 1e-3, 0.5, 2)), ("SyncBatchNorm", (3,)),
        ("PixelShuffle", (2,)), ("PixelUnshuffle", (2,)), ("Upsample", (4,), ([4, 5],), (None, 2)),
        ("Upsample", (None, (2.0, 3), "bilinear", True)), ("Threshold", (0.1, 2), (0.1, 2, True)),
        *((name, (), (1,)) for name in ("Softmin", "Softmax", "LogSoftmax", "GLU")),
        *((name, (), (0.2,)) for name in ("Hardshrink", "Softshrink")),
        *((name, (), (0.2, True)) for name in ("LeakyReLU", "ELU", "CELU", "Dropout")),
        *((name, (), (True,)) for name in ("ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardswish")),
        ("RReLU", (), (0.1, 0.2, True)), ("Hardtanh", (), (-2, 2, True)), ("PReLU", (), (3, 0.1)),
        ("GELU", (), ("tanh",)), ("Softplus", (), (2, 10)), ("Identity", (), (3, 4)),
        ("RNNCell", (2, 3), (2, 3, False, "relu")), ("LSTMCell", (2, 3), (2, 3, False)),
        ("GRUCell", (2, 3), (2, 3, False)),
        ("RNN", (2, 3), (2, 3, 2, "relu", False, True, 0.1, True)),
        ("LSTM", (2, 3), (2, 3, 2, False, True, 0.1, True, 2)),
        ("GRU", (2, 3), (2, 3, 2, False, True, 0.1, True)),
        ("MultiheadAttention", (4, 2), (4, 2, 0.1, False, True, True, 3, 5, True)),
        ("TransformerEncoderLayer", (4, 2, 8), (4, 2, 8, 0.2, "gelu", 1e-3, True, True, False)),
        ("TransformerDecoderLayer", (4, 2, 8), (4, 2, 8, 0.2, "gelu", 1e-3, True, True, False)),
        ("Transformer", (4, 2, 1, 1, 8)), ("CrossEntropyLoss", (), (None, None, 1)),
    ):  # fmt: skip
        for args in several:
            case(name, *args)
    for part in ("Encoder", "Decoder"):
        table[f"Transformer{part}"] = [
            lambda m, p=part: getattr(m, f"Transformer{p}")(
                getattr(m, f"Transformer{p}Layer")(4, 2, 8), 2)
        ]  # fmt: skip
    return table


CASES = _cases()
APART = {  # containers, which hold what they are given, and layers without weights as yet
    "DataParallel", "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList",
    "Sequential", *(name for name in nn.__all__ if name.startswith("Lazy")),
}  # fmt: skip
LAYERS = [
    name for name in sorted(nn.__all__)
    if inspect.isclass(kind := getattr(nn, name)) and issubclass(kind, nn.Module)
    and hasattr(torch.nn, name) and name not in APART
]  # fmt: skip
# What only PyTorch's own forward reads, or what there is none of here.
OWN = {
    "process_group", "name", "value",
    "enable_nested_tensor", "use_nested_tensor", "mask_check", "activation_relu_or_gelu",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("name", LAYERS)
def test_as_in_pytorch(name: str) -> None:
    for make in CASES.get(name, [lambda m: getattr(m, name)()]):
        ours, theirs = make(nn), make(torch.nn)
        texts = [
            (repr(layer).replace("NonDynamicallyQuantizable", ""), layer.extra_repr())
            for layer in (ours, theirs)
        ]
        if "BatchNorm" in name:  # it says by which rule the running statistics go, too
            texts[0] = tuple(t.partition(", running =")[0].removesuffix(")") for t in texts[0])
            texts[1] = tuple(t.removesuffix(")") for t in texts[1])
        assert texts[0] == texts[1]
        states = [
            [(k, tuple(v.shape), str(v.dtype).removeprefix("torch.")) for k, v in state.items()]
            for state in (ours.state_dict(), theirs.state_dict())
        ]
        assert states[0] == states[1]
        for walk in ("named_parameters", "named_buffers", "named_modules"):
            found, expected = ([k for k, _ in getattr(m, walk)()] for m in (ours, theirs))
            assert found == expected
        for key, value in vars(theirs).items():
            plain = isinstance(value, int | float | str | tuple | list | type(None))
            if plain and not key.startswith("_") and key not in OWN:
                assert getattr(ours, key) == value, key
                assert type(getattr(ours, key)) is type(value), key


def test_an_implied_axis_is_pytorchs() -> None:
    a = np.arange(6.0).reshape(2, 3)
    with pytest.warns(UserWarning, match="dim"):
        ours = nn.Softmin()(nn.Parameter(a))
    with pytest.warns(UserWarning, match="dim"):
        theirs = torch.nn.Softmin()(torch.from_numpy(a))
    np.testing.assert_allclose(ours.detach().numpy(), theirs.numpy(), 1e-12)
