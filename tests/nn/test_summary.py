"""nn.utils.summary: what it counts, and that everything stays as it was."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.nn.utils import summary


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(), nn.Sequential(nn.Linear(72, 10)),
    )  # fmt: skip


TABLE = """\
layer            output        parameters   memory
Sequential       (4, 10)
  0 Conv2d       (4, 8, 6, 6)          80  4.61 kB
  1 BatchNorm2d  (4, 8, 6, 6)          16  4.61 kB
  2 ReLU         (4, 8, 6, 6)              4.61 kB
  3 MaxPool2d    (4, 8, 3, 3)              1.15 kB
  4 Flatten      (4, 72)                   1.15 kB
  5 Dropout      (4, 72)                   1.15 kB
  6 Sequential   (4, 10)
    0 Linear     (4, 10)              730    160 B

826 parameters, 3.3 kB; buffers 72 B
outputs of layers 17.4 kB"""


@pytest.mark.parametrize("given", [(4, 1, 8, 8), mg.zeros(4, 1, 8, 8), (mg.zeros(4, 1, 8, 8),)])
def test_the_table(given: Any) -> None:
    assert str(summary(network(), given)) == TABLE


def test_numbers_as_data_and_html() -> None:
    model = network()
    model.get_parameter("0.weight").requires_grad_(False)
    found = summary(model, (4, 1, 8, 8))
    assert found.parameters == sum(p.numel() for p in model.parameters()) == 826
    assert found.trainable == 826 - 72 and "826 parameters (72 of them frozen)" in str(found)
    assert [row.shapes for row in found.rows][:2] == [[(4, 10)], [(4, 8, 6, 6)]]
    root = ET.fromstring(f"<div>{found._repr_html_()}</div>".replace("<br>", "<br/>"))
    assert len(root.findall("table/tr")) == 10 and repr(found) == str(found)


def test_nothing_moves() -> None:
    model = network()
    calls: list[str] = []
    model[1].freeze()
    model[2].eval()
    model[0].register_forward_hook(lambda *_: calls.append("mine"))
    modes = [m.training for m in model.modules()]
    hooks = [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model.modules()]
    state = {k: v.array.copy() for k, v in model.state_dict().items()}
    before = mg.get_rng_state()
    expected = mg.rand(5).array
    mg.set_rng_state(before)
    summary(model, (4, 1, 8, 8))
    np.testing.assert_array_equal(mg.rand(5).array, expected)
    assert calls == ["mine"]
    assert [m.training for m in model.modules()] == modes
    assert [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model.modules()] == hooks
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.array, state[key])
    assert model[1].frozen and all(p.grad is None for p in model.parameters())


class Careless(nn.Module):
    """Draws and moves its own statistics whatever the mode, and then fails."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)

    def forward(self, x: Tensor) -> Tensor:
        """An error, after a while."""
        self.norm.train()
        self.norm(x + mg.randn(*x.shape))
        raise ValueError("on the way")


def test_nothing_moves_after_an_error_or_in_a_layer_that_trains_by_itself() -> None:
    model = nn.Sequential(nn.Dropout(), Careless())
    modes, before = [m.training for m in model.modules()], mg.get_rng_state()
    expected = mg.rand(5).array
    mg.set_rng_state(before)
    with pytest.raises(ValueError, match="on the way"):
        summary(model, mg.ones(3, 2))
    np.testing.assert_array_equal(mg.rand(5).array, expected)
    assert [m.training for m in model.modules()] == modes
    assert not any(m._forward_hooks for m in model.modules())
    assert model[1].norm.num_batches_tracked.item() == 0
    assert model[1].norm.running_mean.array.tolist() == [0.0, 0.0]


class Branches(nn.Module):
    """One layer twice, one never, tied weights, and several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(3, 3), nn.Linear(3, 3)
        self.tied = nn.Linear(3, 3)
        self.tied.weight = self.used.weight

    def forward(self, x: Tensor, y: Tensor) -> Any:
        """A dict of a tensor and a tuple."""
        return {"a": self.used(self.used(x)), "b": (self.tied(y), y)}


def test_shared_layers_tied_weights_and_several_outputs() -> None:
    found = summary(Branches(), (mg.ones(2, 3), mg.ones(5, 3)))
    top, used, unused, _ = found.rows
    assert top.shapes == [(2, 3), (5, 3), (5, 3)]
    assert used.calls == 2 and used.bytes == 2 * 24 and unused.calls == 0
    assert found.parameters == 3 * 3 * 2 + 3 * 3  # the tied weight counts once
    text = str(found)
    assert "(2, 3) x 2" in text and "not called" in text


def test_float64_and_integers() -> None:
    model = nn.Sequential(nn.Linear(2, 2, dtype=np.float64))
    assert summary(model, (3, 2)).output_bytes == 3 * 2 * 8
    embedding = nn.Embedding(10, 4)
    assert summary(embedding, mg.zeros(3).long()).rows[0].shapes == [(3, 4)]


def test_refusals() -> None:
    with pytest.raises(TypeError, match="summary: model must be a Module, got function"):
        summary(mg.relu, (3,))  # type: ignore[arg-type]
    for bad in (3, "x", (), [mg.ones(2), 3], (True, 2), None):
        with pytest.raises(TypeError, match="summary: input must be a tensor"):
            summary(network(), bad)
    with pytest.raises(RuntimeError, match="expected an input of"):
        summary(network(), (4, 1))


def test_a_list_of_modules_is_never_called_itself() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.ModuleList([nn.Linear(2, 2)])
            self.spare = nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            return self.used[0](x)

    shapes = {row.path: row.shown[1] for row in summary(Net(), (3, 2)).rows}
    assert shapes == {"": "(3, 2)", "used": "", "used.0": "(3, 2)", "spare": "not called"}


def test_a_layer_that_calls_none_of_its_own_counts_itself() -> None:
    """Attention reads the weights of its projection, and never calls it."""
    found = summary(nn.MultiheadAttention(8, 2), (mg.randn(3, 2, 8),) * 3)
    assert found.output_bytes == 4 * (3 * 2 * 8 + 2 * 3 * 3)
    assert [row.inner for row in found.rows] == [False, False]
    assert "not called" in str(found)


def test_arrays_are_taken_and_lazy_layers_named() -> None:
    assert str(summary(nn.Linear(3, 2), np.ones((4, 3), np.float32))) == str(
        summary(nn.Linear(3, 2), (4, 3))
    )
    with pytest.raises(ValueError, match=r"summary: 1\.weight of a lazy layer has no shape yet"):
        summary(nn.Sequential(nn.ReLU(), nn.LazyLinear(2)), mg.ones(2, 3))


def test_names_of_two_columns_a_letter_stay_aligned() -> None:
    model = nn.Sequential()
    model.add_module("층", nn.Linear(3, 2))
    model.add_module("ab", nn.ReLU())
    lines = str(summary(model, (4, 3))).splitlines()
    assert lines[2].index("(4, 2)") + 1 == lines[3].index("(4, 2)")  # one letter, two columns
