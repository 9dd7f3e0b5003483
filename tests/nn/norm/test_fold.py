"""Batch normalisation folded into its neighbours, and the table of its two modes."""

from __future__ import annotations

import numpy as np
import pytest
from test_recalibrate import randomised, same, state, tensor

from minigrad import Tensor, nn
from minigrad.nn.utils import explain_batchnorm, fold_batchnorm, recalibrate


class Net(nn.Module):
    """Layers that follow one another in forward() only."""

    def __init__(self, skip=False, twice=False):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)
        self.linear, self.last = nn.Linear(16, 3), nn.BatchNorm1d(3)
        self.skip, self.twice = skip, twice

    def forward(self, x):
        h = self.conv(x)
        y = self.norm(h).relu()
        y = self.last(self.linear((y + h if self.skip else y).flatten(1)))
        return self.last(y) if self.twice else y


FOLDED = {  # a model, the shape of its input
    "Linear": (lambda: [nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)], (5,)),
    "Linear without bias": (lambda: [nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4)], (5,)),
    "Conv1d": (lambda: [nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU()], (2, 9)),
    "Conv2d": (
        lambda: [
            nn.Conv2d(2, 4, (3, 2), stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 6, 3, padding="same", groups=2), nn.BatchNorm2d(6), nn.MaxPool2d(2),
        ], (2, 12, 9)),
    "no affine": (lambda: [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, affine=False)], (2, 6, 6)),
    "through Dropout": (lambda: [nn.Linear(5, 4), nn.Dropout(), nn.Identity(),
                                 nn.BatchNorm1d(4)], (5,)),
    "nested": (lambda: [nn.Sequential(nn.Linear(5, 4)), nn.Sequential(nn.BatchNorm1d(4)),
                        nn.Residual(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU())], (5,)),
    "two in a row": (lambda: [nn.Linear(5, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4)], (5,)),
    "Linear after": (lambda: [nn.BatchNorm1d(5), nn.Dropout(), nn.Linear(5, 4)], (5,)),
    "Linear after, without bias": (lambda: [nn.BatchNorm1d(5), nn.Linear(5, 4, bias=False)], (5,)),
    "after ReLU": (lambda: [nn.Linear(5, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 3)], (5,)),
    "through Flatten": (lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(),
                                 nn.Linear(4 * 12, 3)], (2, 6, 5)),
    "through Flatten, (N, C, L)": (lambda: [nn.BatchNorm1d(2), nn.Flatten(), nn.Linear(14, 3)],
                                   (2, 7)),
    "renormalised": (lambda: [nn.Linear(5, 4), nn.BatchRenorm1d(4)], (5,)),
    "l1": (lambda: [nn.Linear(5, 4), nn.LpBatchNorm1d(4)], (5,)),
}  # fmt: skip
KEPT = {
    "its own": (lambda: [nn.BatchNorm1d(5)], "neither a layer before"),
    "after ReLU": (lambda: [nn.Linear(5, 4), nn.ReLU(), nn.BatchNorm1d(4)], "1d|neither"),
    "before a padded convolution": (lambda: [nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3, padding=1)],
                                    "neither"),
    "before a Linear of the last axis": (lambda: [nn.BatchNorm2d(4), nn.Linear(4, 3)], "neither"),
    "transposed": (lambda: [nn.ConvTranspose2d(2, 4, 3), nn.BatchNorm2d(4)], "neither"),
    "another size": (lambda: [nn.Linear(5, 6), nn.Unflatten(1, (2, 3)), nn.BatchNorm1d(2)],
                     "neither"),
    "no statistics": (lambda: [nn.Linear(5, 4), nn.BatchNorm1d(4, track_running_stats=False)],
                      "track_running_stats=False"),
    "gated": (lambda: [nn.Conv2d(2, 4, 3), nn.BatchInstanceNorm2d(4)], "no fixed scale"),
    "decorrelated": (lambda: [nn.Linear(5, 4), nn.DecorrelatedBatchNorm1d(4)], "no fixed scale"),
}  # fmt: skip


def normalisations(model):
    return [m for m in model.modules() if hasattr(m, "running_mean")]


class TestFold:
    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize("given", [False, True])
    @pytest.mark.parametrize("name", FOLDED)
    def test_folded_is_evaluation(self, kernels, name, given, dtype):
        make, shape = FOLDED[name]
        model = nn.Sequential(*make()).to(np.dtype(dtype))
        randomised(model, tensor(8, *shape, dtype=dtype))
        x = tensor(6, *shape, seed=9, dtype=dtype)
        before = state(model)
        folded = fold_batchnorm(model, x[:2]) if given else fold_batchnorm(model)
        assert same(model, before)
        assert model.training
        assert normalisations(model)
        assert not normalisations(folded)
        y, z = model.eval()(x).array, folded(x).array
        assert z.dtype == dtype
        np.testing.assert_allclose(z, y, atol=1e-5 if dtype == "f4" else 1e-12)
        assert np.abs(y - y.mean()).max() > 0.1
        assert "FoldedBatchNorm" in repr(folded)
        folded.eval()[0].parameters()
        for p in folded.parameters():
            assert p.requires_grad
            p.array[...] = 0
        assert same(model, before)

    @pytest.mark.parametrize("name", KEPT)
    def test_what_cannot_be_folded_is_named_or_kept(self, name):
        make, reason = KEPT[name]
        model = nn.Sequential(*make())
        before = state(model)
        with pytest.raises(ValueError, match=rf"(?s)cannot fold.*\n  \d: .*({reason})"):
            fold_batchnorm(model)
        kept = fold_batchnorm(model, strict=False)
        assert len(normalisations(kept)) == 1
        assert same(kept, before)
        with pytest.raises(ValueError, match="the model: "):
            fold_batchnorm(nn.BatchNorm1d(3))

    def test_a_linear_layer_along_another_axis_is_noticed_when_it_is_used(self):
        """(N, L, F) after Linear: the normalisation's channels are axis 1, the outputs axis 2."""
        model = randomised(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), tensor(8, 5))
        folded = fold_batchnorm(model)
        x = tensor(3, 4, 5)
        model.eval()(x)
        with pytest.raises(ValueError, match=r"BatchNorm1d\(4\) was folded for inputs of 2 axes"):
            folded(x)
        with pytest.raises(ValueError, match="was folded for inputs of 2 axes"):
            fold_batchnorm(model, x)

    def test_an_input_shows_how_layers_of_a_module_connect(self, kernels):
        model = randomised(Net(), tensor(5, 2, 4, 4))
        with pytest.raises(ValueError, match="an input x= shows how layers connect"):
            fold_batchnorm(model)
        x = tensor(3, 2, 4, 4, seed=5)
        folded = fold_batchnorm(model, x)
        assert not normalisations(folded)
        other = tensor(7, 2, 4, 4, seed=6)
        np.testing.assert_allclose(folded(other).array, model.eval()(other).array, atol=1e-5)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        assert not normalisations(fold_batchnorm(model, x))

    def test_a_layer_whose_output_is_used_elsewhere_is_not_folded(self):
        model = randomised(Net(skip=True), tensor(5, 2, 4, 4))
        x = tensor(3, 2, 4, 4, seed=5)
        with pytest.raises(ValueError, match="norm: neither a layer"):
            fold_batchnorm(model, x)
        folded = fold_batchnorm(model, x, strict=False)
        assert len(normalisations(folded)) == 1  # the other one is
        np.testing.assert_allclose(folded(x).array, model.eval()(x).array, atol=1e-5)

    def test_a_layer_that_is_called_twice_is_not_folded(self):
        model = randomised(Net(twice=True), tensor(5, 2, 4, 4))
        x = tensor(3, 2, 4, 4, seed=5)
        with pytest.raises(ValueError, match="last: it was not called once"):
            fold_batchnorm(model, x)
        shared = nn.Sequential(nn.BatchNorm1d(4))
        model = nn.Sequential(
            nn.Sequential(nn.Linear(5, 4), shared), nn.Linear(4, 4), nn.ReLU(), shared)  # fmt: skip
        randomised(model, tensor(8, 5))
        with pytest.raises(ValueError, match="in several"):
            fold_batchnorm(model)

    def test_a_shared_linear_keeps_its_weights_elsewhere(self):
        linear = nn.Linear(4, 4)
        model = nn.Sequential(linear, nn.BatchNorm1d(4), nn.ReLU(), linear)
        randomised(model, tensor(8, 4))
        folded = fold_batchnorm(model)
        x = tensor(6, 4, seed=5)
        np.testing.assert_allclose(folded(x).array, model.eval()(x).array, atol=1e-5)

    def test_hooks_stand_in_the_way(self):
        for i in (0, 1):
            model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
            model[i].register_forward_hook(lambda m, args, y: None)
            with pytest.raises(ValueError, match="cannot fold"):
                fold_batchnorm(model)

    def test_it_verifies_before_it_returns(self):
        """A subclass whose forward is its own is not the Linear it pretends to be."""

        class Doubled(nn.Linear):
            def forward(self, input):
                return super().forward(input) * 2

        model = randomised(nn.Sequential(Doubled(5, 4), nn.BatchNorm1d(4)), tensor(8, 5))
        with pytest.raises(RuntimeError, match="gives another output after folding"):
            fold_batchnorm(model)
        with pytest.raises(TypeError, match="must be a Module"):
            fold_batchnorm(lambda x: x)


class TestExplain:
    def test_the_table(self, kernels):
        model = nn.Sequential(
            nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3),
            nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False),
        )  # fmt: skip
        x = tensor(64, 5)
        recalibrate(model, [x])
        before = state(model)
        model.train()
        text = explain_batchnorm(model, x)
        assert same(model, before)
        assert model.training and model[1].training and not model[1].frozen
        head, first, second, last = text.splitlines()
        assert head.split() == ["layer", "input", "mean", "std", "gap"]
        assert first.split()[:3] == ["1", "BatchNorm1d(4)", "64x4"]
        assert second.split()[:3] == ["4", "BatchNorm1d(3)", "64x3"]
        # on its own population the two modes agree, but for the m/(m - 1) of 64
        assert float(first.split()[3]) < 1e-5
        assert first.split()[4:7] == ["1", "to", "1"]
        assert float(first.split()[-1]) < 0.02
        assert last.startswith("the model's output: gap ")

    def test_its_numbers(self):
        layer = nn.BatchNorm1d(2, eps=0.0, dtype=np.float64)
        layer.running_mean.array[...] = [1, 2]
        layer.running_var.array[...] = [4, 4]
        x = tensor(50, 2, dtype="f8").array
        x = (x - x.mean(0)) / x.std(0, ddof=1) * [3, 1] + [7, 2]
        first = explain_batchnorm(layer, Tensor(x)).splitlines()[1].split()
        assert first[4:8] == ["3", "0.5", "to", "1.5"]  # |7 - 1|/2, 1/2 and 3/2
        y, z = (x - x.mean(0)) / x.std(0), (x - [1, 2]) / 2
        expected = np.sqrt(((y - z) ** 2).sum() / (z**2).sum())
        np.testing.assert_allclose(float(first[-1]), expected, rtol=5e-3)

    def test_frozen_layers_and_errors(self):
        model = nn.Sequential(nn.BatchNorm1d(3).freeze()).eval()
        explain_batchnorm(model, tensor(5, 3))
        assert model[0].frozen and not model.training
        before = state(model)
        with pytest.raises(ValueError, match="one value per channel"):
            explain_batchnorm(model, tensor(1, 3))
        assert model[0].frozen and not model.training and same(model, before)
        assert "no batch normalisation" in explain_batchnorm(nn.Linear(2, 3), tensor(1, 2))
        with pytest.raises(TypeError, match="must be a Module"):
            explain_batchnorm("model", tensor(1, 2))

    @pytest.mark.parametrize(
        "make",
        [
            lambda: nn.BatchInstanceNorm2d(4),
            lambda: nn.BatchRenorm2d(4),
            lambda: nn.LpBatchNorm2d(4),
            lambda: nn.DecorrelatedBatchNorm2d(4, 2),
        ],
    )
    def test_the_relatives(self, make):
        layer = make()
        before = state(layer)
        line = explain_batchnorm(layer, tensor(5, 4, 3, 3)).splitlines()[1]
        assert f"the model {type(layer).__name__}(4)" in line
        assert same(layer, before)
