"""Extra state, foreign values in a state dict, and shallow copies."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def counting(n: Any) -> Any:
    """A module with extra state, for torch.nn or for ours."""

    class Counting(n.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = n.Linear(2, 2)
            self.calls = 0

        def get_extra_state(self) -> Any:
            return {"calls": self.calls}

        def set_extra_state(self, state: Any) -> None:
            self.calls = state["calls"]

    return Counting()


def tree(n: Any) -> Any:
    return n.Sequential(counting(n), n.ModuleDict({"a": counting(n), "b": n.Linear(2, 1)}))


class TestExtraState:
    def test_its_place_is_pytorchs(self) -> None:
        torch = pytest.importorskip("torch")
        ours, theirs = tree(nn), tree(torch.nn)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert ours.state_dict(prefix="x.")["x.0._extra_state"] == {"calls": 0}

    def test_it_is_saved_and_loaded(self) -> None:
        net, other = tree(nn), tree(nn)
        net[0].calls, net[1]["a"].calls = 3, 7
        file = io.BytesIO()
        mg.save(net.state_dict(), file)
        file.seek(0)
        assert not any(other.load_state_dict(mg.load(file)))
        assert (other[0].calls, other[1]["a"].calls) == (3, 7)
        assert (other[0].inner.weight.array == net[0].inner.weight.array).all()

    @pytest.mark.parametrize("strict", [True, False])
    def test_missing_and_unexpected_as_in_pytorch(self, strict: bool) -> None:
        torch = pytest.importorskip("torch")
        for library in (nn, torch.nn):
            net = tree(library)
            state = net.state_dict()
            del state["0._extra_state"]
            state["1.b._extra_state"] = {"calls": 1}
            if strict:
                with pytest.raises(RuntimeError, match=r"(?s)0\._extra_state.*1\.b\._extra_state"):
                    net.load_state_dict(state)
            else:
                missing, unexpected = net.load_state_dict(state, strict=False)
                assert (missing, unexpected) == (["0._extra_state"], ["1.b._extra_state"])

    def test_it_is_set_after_the_tensors(self) -> None:
        class Norm(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(mg.ones(2))

            def get_extra_state(self) -> Any:
                return None

            def set_extra_state(self, state: Any) -> None:
                self.norm = float(self.weight.array.sum())

        net = Norm()
        net.load_state_dict({"weight": mg.full((2,), 4.0), "_extra_state": None})
        assert net.norm == 8

    def test_a_setter_that_raises_changes_nothing(self) -> None:
        net = tree(nn)
        net[0].calls = 5
        before = copy.deepcopy(net.state_dict())
        state = tree(nn).state_dict()
        state["0._extra_state"], state["1.a._extra_state"] = {"calls": 9}, {}
        with pytest.raises(KeyError, match="calls"):
            net.load_state_dict(state)
        for key, value in net.state_dict().items():
            if isinstance(value, mg.Tensor):
                assert (value.array == before[key].array).all()
            else:
                assert value == before[key]


@pytest.mark.parametrize(
    "value", ["1", None, 2.0, [[1.0]], {"a": 1}, object()], ids=lambda v: repr(v).split(" at ")[0]
)
def test_a_foreign_value_is_named_and_changes_nothing(value: Any) -> None:
    net = nn.Linear(1, 1)
    before = net.bias.array.copy()
    with pytest.raises(RuntimeError, match=f"wrong type for weight.*{type(value).__name__}"):
        net.load_state_dict({"bias": mg.full((1,), 9.0), "weight": value})
    assert (net.bias.array == before).all()


def test_a_state_dict_of_pytorchs_is_taken() -> None:
    torch = pytest.importorskip("torch")
    net, theirs = nn.Linear(3, 2), torch.nn.Linear(3, 2)
    net.load_state_dict(theirs.state_dict())
    assert (net.weight.array == theirs.weight.detach().numpy()).all()
    assert (net.bias.array == theirs.bias.detach().numpy()).all()
    with torch.no_grad():
        theirs.weight.zero_()
    assert net.weight.array.any()  # what is loaded is a copy


def modules() -> dict[str, nn.Module]:
    return {
        "Linear": nn.Linear(2, 2),
        "BatchNorm1d": nn.BatchNorm1d(2),
        "Sequential": nn.Sequential(nn.Linear(2, 2), nn.ReLU()),
        "ModuleList": nn.ModuleList([nn.Linear(2, 2)]),
        "ModuleDict": nn.ModuleDict({"a": nn.Linear(2, 2)}),
        "tree": tree(nn),
    }


def seen(net: nn.Module) -> Any:
    return (
        [(name, id(p)) for name, p in net.named_parameters()],
        [(name, id(b)) for name, b in net.named_buffers()],
        [(name, id(m)) for name, m in net.named_modules() if name],
        list(net.state_dict()),
    )


@pytest.mark.parametrize("name", modules())
class TestShallowCopy:
    def test_what_happens_to_the_copy_stays_there(self, name: str) -> None:
        net = modules()[name]
        before, text = seen(net), repr(net)
        other = copy.copy(net)
        assert type(other) is type(net) and seen(other) == before and repr(other) == text
        other.extra = nn.Parameter(mg.zeros(1))
        other.child = nn.Linear(1, 1)
        other.register_buffer("late", mg.zeros(1))
        other.register_forward_hook(lambda *_: None)
        for attribute in list(before[3]):
            if "." not in attribute and attribute != "_extra_state":
                delattr(other, attribute)
        assert seen(net) == before and repr(net) == text and not net._forward_hooks
        assert {"extra", "late"} <= set(other.state_dict())

    def test_what_happens_to_the_original_stays_there(self, name: str) -> None:
        net = modules()[name]
        other = copy.copy(net)
        before = seen(other)
        net.extra, net.child = nn.Parameter(mg.zeros(1)), nn.Linear(1, 1)
        assert seen(other) == before

    def test_deep_and_pickled_copies(self, name: str) -> None:
        net = modules()[name]
        if name != "tree":  # whose class is local to a function
            assert list(pickle.loads(pickle.dumps(net)).state_dict()) == list(net.state_dict())
        other = copy.deepcopy(copy.copy(net))
        for key, value in other.state_dict().items():
            ours = net.state_dict()[key]
            if isinstance(value, mg.Tensor):
                assert not np.shares_memory(value.array, ours.array)
                assert (value.array == ours.array).all()
