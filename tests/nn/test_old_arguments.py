"""size_average= and reduce= of the losses, which became reduction= in PyTorch 1.0."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F

torch = pytest.importorskip("torch")

FUNCTIONS = {
    "MSELoss": "mse_loss", "L1Loss": "l1_loss", "SmoothL1Loss": "smooth_l1_loss",
    "BCELoss": "binary_cross_entropy", "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "KLDivLoss": "kl_div", "NLLLoss": "nll_loss", "CrossEntropyLoss": "cross_entropy",
}  # fmt: skip
OLD: list[dict[str, Any]] = [
    {name: value for name, value in (("size_average", a), ("reduce", r)) if value != "out"}
    for a in (None, True, False, "out")
    for r in (None, True, False, "out")
]


def inputs(name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 0.9, (4, 3))
    if name in ("NLLLoss", "CrossEntropyLoss"):
        return x, rng.integers(0, 3, 4)
    return x, rng.uniform(0.1, 0.9, (4, 3))


def quietly(call: Any) -> tuple[Any, list[Any]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        return call(), said


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("old", OLD, ids=str)
def test_as_in_pytorch(name: str, old: dict[str, Any]) -> None:
    x, t = inputs(name)
    theirs_of = getattr(torch.nn.functional, FUNCTIONS[name])
    args = torch.from_numpy(x), torch.from_numpy(t)
    theirs, _ = quietly(lambda: theirs_of(*args, **old, reduction="sum"))
    ours_of = getattr(F, FUNCTIONS[name])
    mine = mg.from_numpy(x), mg.from_numpy(t)
    ours, said = quietly(lambda: ours_of(*mine, **old, reduction="sum"))
    layer, said_by_layer = quietly(lambda: getattr(nn, name)(**old, reduction="sum"))
    for y in (ours, layer(*mine)):
        # float64, a few roundings of logarithms apart
        np.testing.assert_allclose(y.array, theirs.numpy(), rtol=1e-12)
    expected = bool({"size_average", "reduce"} & {k for k, v in old.items() if v is not None})
    for found in (said, said_by_layer):
        assert len(found) == expected
        for warning in found:
            assert warning.category is UserWarning
            assert f"use reduction={layer.reduction!r}" in str(warning.message)
            assert warning.filename == __file__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_same_signature(name: str) -> None:
    """The order and the defaults, too: scripts give these arguments by their place."""
    pairs = [
        (getattr(nn, name), getattr(torch.nn, name)),
        (getattr(F, FUNCTIONS[name]), getattr(torch.nn.functional, FUNCTIONS[name])),
    ]
    for ours, theirs in pairs:
        found, expected = (
            [(p.name, p.default) for p in inspect.signature(f).parameters.values()]
            for f in (ours, theirs)
        )
        assert found == expected


def test_by_place() -> None:
    x, t = inputs("CrossEntropyLoss")
    a, b = mg.from_numpy(x), mg.from_numpy(t)
    with pytest.warns(UserWarning, match="cross_entropy: size_average and reduce are deprecated"):
        y = F.cross_entropy(a, b, None, False)
    assert y.item() == F.cross_entropy(a, b, reduction="sum").item()
    assert F.cross_entropy(a, b, None, None, 0, None, "sum").item() < y.item()


def test_what_is_refused() -> None:
    x = mg.ones(2)
    with pytest.raises(ValueError, match=r"^mse_loss: size_average .* write reduction='sum'"):
        F.mse_loss(x, x, "sum")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^MSELoss: size_average .* write reduction='sum'"):
        nn.MSELoss("sum")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="multiple values for argument 'size_average'"):
        F.mse_loss(x, x, True, size_average=True)  # type: ignore[misc]
    with pytest.raises(TypeError, match="takes from 2 to 6 positional arguments but 7 were"):
        F.mse_loss(x, x, None, None, "sum", None, None)  # type: ignore[call-arg]


OLD_ORDER: dict[str, tuple[int, tuple[float, ...]]] = {
    "add_": (1, (0.5,)), "sub_": (1, (0.5,)), "addcmul_": (2, (0.5,)), "addcdiv_": (2, (0.5,)),
    "addmm_": (2, (0.5, -2.0)), "addmv_": (2, (0.5, 2.0)), "addr_": (2, (0.5, 2.0)),
    "baddbmm_": (2, (3.0, 2.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", OLD_ORDER)
def test_numbers_before_tensors(name: str) -> None:
    """As the optimisers of PyTorch's first years are written."""
    tensors, numbers = OLD_ORDER[name]
    ranks = {"addmv_": (1, 2, 1), "addr_": (2, 1, 1), "baddbmm_": (3, 3, 3)}.get(name, (2, 2, 2))
    for given in (numbers, numbers[:1]):
        found = []
        for lib in (mg, torch):
            rng = np.random.default_rng(0)
            x, *others = (lib.tensor(rng.random((2,) * r) + 1) for r in ranks[: tensors + 1])
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                assert getattr(x, name)(*given, *others) is x
            if lib is mg:
                assert "old order" in str(seen[0].message) and seen[0].filename == __file__
            found.append(x.numpy())
        np.testing.assert_allclose(found[0], found[1], 1e-12)
    x = mg.ones(2, 2)
    with pytest.raises(TypeError, match=f"{name}: expected {tensors} tensors, got 5 arguments"):
        getattr(x, name)(1, 2, 3, x, x)
