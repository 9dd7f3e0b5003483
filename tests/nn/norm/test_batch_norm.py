"""Normalisation layers against PyTorch over several steps, and the contract of the statistics."""

from __future__ import annotations

import copy
import threading
import warnings

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, autograd, data, func, nn
from minigrad.nn.norm import frozen_stats

KINDS = {
    "BatchNorm1d": [(6, 4), (6, 4, 5)],
    "BatchNorm2d": [(3, 4, 5, 2)],
    "BatchNorm3d": [(2, 4, 3, 2, 2)],
    "InstanceNorm1d": [(3, 4, 5), (4, 5)],
    "InstanceNorm2d": [(3, 4, 5, 2), (4, 5, 2)],
}
OPTIONS = [
    {},
    {"momentum": 0.4, "eps": 1e-2},
    {"momentum": 0.0},
    {"affine": False},
    {"affine": True, "bias": False},
    {"track_running_stats": False},
    {"track_running_stats": True, "affine": True},
]
RUNS = [(k, s, o) for k, shapes in KINDS.items() for s in shapes for o in OPTIONS] + [
    (k, s, {"momentum": None}) for k in KINDS if k.startswith("Batch") for s in KINDS[k]
]
SAMPLE_WISE = [
    lambda m: m.LayerNorm((3, 4)),
    lambda m: m.LayerNorm(4, eps=1e-2, bias=False),
    lambda m: m.LayerNorm([4], elementwise_affine=False),
    lambda m: m.GroupNorm(2, 6),
    lambda m: m.GroupNorm(6, 6, affine=False),
    lambda m: m.GroupNorm(1, 6, bias=False),
    lambda m: m.RMSNorm(4),
    lambda m: m.RMSNorm((3, 4), eps=1e-3, elementwise_affine=False),
]


def state_of(layer):
    return {key: value.array.copy() for key, value in layer.state_dict().items()}


def unchanged(layer, before):
    after = state_of(layer)
    return all(np.array_equal(after[key], before[key], equal_nan=True) for key in before)


def randomise(layer, seed=0):
    """Random gamma and beta, the same for a layer of ours and one of PyTorch's."""
    rng = np.random.default_rng(seed)
    for p in layer.parameters():
        values = rng.standard_normal(tuple(p.shape))
        if isinstance(p, Tensor):
            p.array[...] = values
        else:
            p.data.copy_(p.new_tensor(values))


def trained(layer, shape, steps=3, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        layer(Tensor((rng.standard_normal(shape) * 3 + 5).astype("f4")))
    return layer


class TestAgainstPyTorch:
    @pytest.mark.slow
    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize(("kind", "shape", "options"), RUNS)
    def test_several_steps(self, kernels, kind, shape, options, dtype):
        torch = pytest.importorskip("torch")
        kwargs = options | {"dtype": np.dtype(dtype)}
        ours = getattr(nn, kind)(4, **kwargs)
        theirs = getattr(torch.nn, kind)(4, **options).to(torch.from_numpy(np.ones(1, dtype)).dtype)
        randomise(ours)
        randomise(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        rng = np.random.default_rng(0)
        rtol, atol = (1e-9, 1e-9) if dtype == "f8" else (1e-4, 1e-4)
        for step in range(6):
            if step == 4:
                ours.eval()
                theirs.eval()
            x = (rng.standard_normal(shape) * 3 + 5).astype(dtype)
            g = rng.standard_normal(shape).astype(dtype)
            a, b = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
            y, z = ours(a), theirs(b)
            assert y.dtype == x.dtype
            np.testing.assert_allclose(y.array, z.detach().numpy(), rtol, atol)
            y.backward(Tensor(g))
            z.backward(torch.tensor(g))
            np.testing.assert_allclose(a.grad.array, b.grad.numpy(), rtol, atol)
            for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
                np.testing.assert_allclose(p.grad.array, q.grad.numpy(), rtol, 10 * atol)
            for key, value in theirs.state_dict().items():
                found = ours.state_dict()[key]
                assert f"torch.{found.dtype}" == str(value.dtype)
                np.testing.assert_allclose(found.array, value.numpy(), rtol, atol)

    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize("make", SAMPLE_WISE)
    def test_layers_without_statistics(self, kernels, make, dtype):
        torch = pytest.importorskip("torch")
        ours, theirs = make(nn), make(torch.nn)
        if dtype == "f8":
            ours, theirs = ours.double(), theirs.double()
        randomise(ours)
        randomise(theirs)
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        rng = np.random.default_rng(0)
        rtol, atol = (1e-9, 1e-9) if dtype == "f8" else (1e-4, 1e-4)
        x = (rng.standard_normal((2, 6, 3, 4)) * 3 + 5).astype(dtype)
        g = rng.standard_normal(x.shape).astype(dtype)
        a, b = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(a), theirs(b)
        np.testing.assert_allclose(y.array, z.detach().numpy(), rtol, atol)
        y.backward(Tensor(g))
        z.backward(torch.tensor(g))
        np.testing.assert_allclose(a.grad.array, b.grad.numpy(), rtol, atol)
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(p.grad.array, q.grad.numpy(), rtol, 10 * atol)

    @pytest.mark.parametrize("options", [*OPTIONS, {"momentum": None}])
    @pytest.mark.parametrize("kind", KINDS)
    def test_repr_starts_as_pytorchs(self, kind, options):
        torch = pytest.importorskip("torch")
        ours, theirs = (getattr(m, kind)(4, **options) for m in (nn, torch.nn))
        assert repr(ours).startswith(repr(theirs)[:-1])

    def test_pytorchs_state_dict_loads_also_without_the_counter(self):
        torch = pytest.importorskip("torch")
        theirs = torch.nn.BatchNorm2d(3)
        theirs(torch.randn(4, 3, 2, 2))
        state = {key: value.numpy() for key, value in theirs.state_dict().items()}
        layer = nn.BatchNorm2d(3)
        layer.load_state_dict(state)
        assert layer.num_batches_tracked.item() == 1
        del state["num_batches_tracked"]
        layer.load_state_dict(state)


class TestStatistics:
    def test_mean_is_stored_as_it_is_and_variance_unbiased(self):
        # two values a channel: the biased variance is half of the unbiased one
        layer = nn.BatchNorm1d(1, decay=0.0)
        y = layer(Tensor([[1.0], [3.0]]))
        assert layer.running_mean.item() == 2
        assert layer.running_var.item() == 2
        np.testing.assert_allclose(y.array, [[-1], [1]], atol=1e-4)

    def test_cumulative_average_is_the_arithmetic_mean(self):
        layer = nn.BatchNorm1d(5, momentum=None).double()
        rng = np.random.default_rng(0)
        batches = [rng.standard_normal((n, 5)) * n + n for n in (2, 3, 5, 8, 4, 2, 9)]
        for batch in batches:
            layer(Tensor(batch))
        mean = np.mean([b.mean(0) for b in batches], axis=0)
        var = np.mean([b.var(0, ddof=1) for b in batches], axis=0)
        np.testing.assert_allclose(layer.running_mean.array, mean, 1e-12)
        np.testing.assert_allclose(layer.running_var.array, var, 1e-12)
        assert layer.num_batches_tracked.item() == len(batches)

    def test_they_move_in_place(self):
        layer = nn.BatchNorm1d(4)
        held = layer.state_dict()["running_mean"]
        trained(layer, (6, 4))
        np.testing.assert_array_equal(held.array, layer.running_mean.array)
        assert held.array.any()

    def test_backward_notices_that_they_moved(self):
        layer = nn.BatchNorm1d(4)
        w = minigrad.ones(4, requires_grad=True)
        loss = (w * layer.running_mean).sum()
        trained(layer, (6, 4))
        with pytest.raises(RuntimeError, match="changed in place"):
            loss.backward()

    def test_an_evaluation_in_between_does_not_disturb_backward(self):
        layer = trained(nn.BatchNorm1d(4).double(), (6, 4), steps=0)
        x = Tensor(np.random.default_rng(0).standard_normal((6, 4)), requires_grad=True)
        y = layer.eval()(x)
        g = Tensor(np.ones((6, 4)))
        scale = layer.weight.array / np.sqrt(layer.running_var.array + layer.eps)
        layer.train()(x.detach())  # moves the statistics that the graph of y was computed with
        y.backward(g)
        np.testing.assert_allclose(x.grad.array, np.broadcast_to(scale, (6, 4)))

    @pytest.mark.parametrize(
        ("kind", "shape", "cause"),
        [
            ("BatchNorm1d", (1, 4), "N=1"),
            ("BatchNorm1d", (1, 4, 1), "N=1.*one position"),
            ("BatchNorm2d", (1, 4, 1, 1), r"N=1.*\(1x1\)"),
            ("BatchNorm3d", (1, 4, 1, 1, 1), r"N=1.*\(1x1x1\)"),
        ],
    )
    @pytest.mark.parametrize("tracked", [True, False])
    def test_one_value_per_channel_is_refused(self, kind, shape, cause, tracked):
        layer = getattr(nn, kind)(4, track_running_stats=tracked)
        before = state_of(layer)
        x = Tensor(np.ones(shape, "f4"))
        with pytest.raises(ValueError, match=cause) as caught:
            layer(x)
        text = str(caught.value)
        assert all(way in text for way in (kind, str(shape), "drop_last=True", "LayerNorm"))
        assert ("eval()" in text) == tracked
        assert unchanged(layer, before)
        layer.eval()
        if tracked:
            layer(x)
        else:
            with pytest.raises(ValueError, match=cause):
                layer(x)

    def test_one_sample_with_a_map_is_fine(self):
        nn.BatchNorm2d(4)(Tensor(np.ones((1, 4, 1, 2), "f4")))
        nn.BatchNorm2d(4)(Tensor(np.ones((2, 4, 1, 1), "f4")))

    @pytest.mark.parametrize("momentum", [0.1, None])
    def test_an_empty_batch_gives_an_empty_output_and_moves_nothing(self, kernels, momentum):
        layer = trained(nn.BatchNorm2d(4, momentum=momentum), (2, 4, 3, 3))
        before = state_of(layer)
        x = minigrad.zeros(0, 4, 3, 3, requires_grad=True)
        y = layer(x)
        assert y.shape == (0, 4, 3, 3)
        y.sum().backward()
        assert x.grad.shape == x.shape
        assert unchanged(layer, before)
        assert layer.eval()(x).shape == (0, 4, 3, 3)

    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda: [[1.0]], TypeError, "expected a Tensor, got list"),
            (lambda: minigrad.ones(4), ValueError, r"\(N, C\) or \(N, C, L\), got shape \(4,\)"),
            (lambda: minigrad.ones(2, 4, 3, 3), ValueError, "reshape or flatten"),
            (lambda: minigrad.ones(2, 3), ValueError, r"expected 4 channels \(axis 1\), got 3"),
            (lambda: minigrad.ones(2, 4).double(), RuntimeError, "dtype float32, got float64"),
            (lambda: minigrad.ones(2, 4).long(), TypeError, "floating input, got dtype int64"),
        ],
    )
    @pytest.mark.parametrize("options", [{}, {"affine": False}])
    def test_a_refused_input_moves_nothing(self, make, error, message, options):
        layer = trained(nn.BatchNorm1d(4, **options), (5, 4))
        before = state_of(layer)
        for mode in (True, False):
            with pytest.raises(error, match=message) as caught:
                layer.train(mode)(make())
            assert "BatchNorm1d(4)" in str(caught.value)
        assert unchanged(layer, before)

    @pytest.mark.parametrize("name", ["weight", "bias", "running_mean", "running_var"])
    def test_a_tensor_of_another_shape_in_its_place_moves_nothing(self, name):
        layer = nn.BatchNorm1d(4)
        before = state_of(layer)
        for mode in (True, False):
            layer.train(mode)
            with pytest.raises(RuntimeError, match=rf"{name} has shape \(3,\), expected \(4,\)"):
                func.functional_call(layer, {name: minigrad.ones(3)}, minigrad.ones(5, 4))
        assert unchanged(layer, before)

    def test_an_error_inside_the_operation_moves_nothing(self, monkeypatch):
        layer = nn.BatchNorm1d(4)
        before = state_of(layer)

        def fail(*_):
            raise MemoryError

        monkeypatch.setattr("minigrad.ops.norm.record", fail)
        with pytest.raises(MemoryError):
            layer(minigrad.ones(5, 4))
        assert unchanged(layer, before)

    @pytest.mark.parametrize("kind", ["BatchNorm1d", "InstanceNorm1d"])
    def test_gradcheck_and_hvp_move_nothing(self, kernels, kind):
        layer = getattr(nn, kind)(3, affine=True, track_running_stats=True).double()
        randomise(layer)
        layer.requires_grad_(False)
        before = state_of(layer)
        rng = np.random.default_rng(0)
        x = Tensor(rng.standard_normal((4, 3, 5)), requires_grad=True)
        g = Tensor(rng.standard_normal((4, 3, 5)))
        for mode in (True, False):
            layer.train(mode)
            assert autograd.gradcheck(layer, (x,))
            autograd.functional.hvp(lambda v: (layer(v) * layer(v) * g).sum(), x, g)
            assert unchanged(layer, before)

    def test_frozen_stats(self):
        model = nn.Sequential(nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm1d(3, momentum=None)))
        other = nn.BatchNorm1d(3)
        x = Tensor(np.random.default_rng(0).standard_normal((5, 3)).astype("f4") + 2)
        expected = copy.deepcopy(model)(x)
        before, theirs = state_of(model), state_of(other)
        with frozen_stats(model):
            np.testing.assert_array_equal(model(x).array, expected.array)  # by the batch, as usual
            with frozen_stats(other):
                other(x)
            model(x)
            seen = []
            thread = threading.Thread(target=lambda: seen.append(other(x)))
            thread.start()
            thread.join()
        assert seen
        assert unchanged(model, before)
        assert not unchanged(other, theirs)  # the thread was not in the block
        model(x)
        assert not unchanged(model, before)
        with pytest.raises(RuntimeError), frozen_stats(model):
            raise RuntimeError
        before = state_of(model)
        model(x)
        assert not unchanged(model, before)
        with pytest.raises(TypeError, match="expected a Module"), frozen_stats("model"):
            pass

    def test_frozen_stats_of_instance_norm(self):
        layer = nn.InstanceNorm1d(3, track_running_stats=True)
        before = state_of(layer)
        with frozen_stats(layer):
            layer(minigrad.randn(2, 3, 5))
        assert unchanged(layer, before)

    def test_freeze_survives_train(self):
        layer = trained(nn.BatchNorm1d(4), (6, 4))
        model = nn.Sequential(layer)
        before = state_of(layer)
        x = minigrad.randn(6, 4)
        in_eval = model.eval()(x)
        assert layer.freeze() is layer
        assert "frozen" in repr(layer)
        model.train()
        y = model(x)
        np.testing.assert_array_equal(y.array, in_eval.array)
        model(minigrad.randn(1, 4))  # one sample needs no variance here
        assert unchanged(layer, before)
        y.sum().backward()
        assert layer.weight.grad is not None  # gamma and beta still learn
        layer.unfreeze()
        assert "frozen" not in repr(layer)
        model(x)
        assert not unchanged(layer, before)
        with pytest.raises(RuntimeError, match="no running statistics"):
            nn.BatchNorm1d(4, track_running_stats=False).freeze()

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
    @pytest.mark.parametrize("momentum", [0.1, None])
    def test_a_channel_that_is_not_finite(self, kernels, bad, momentum):
        layer = trained(nn.BatchNorm1d(4, momentum=momentum), (6, 4))
        twin = copy.deepcopy(layer)
        x = np.random.default_rng(0).standard_normal((6, 4)).astype("f4")
        clean = twin(Tensor(x)).array
        before = state_of(layer)
        x[2, 1] = bad
        with pytest.warns(RuntimeWarning, match=r"BatchNorm1d\(4,.*after 3 batches.*channel 1:"):
            y = layer(Tensor(x)).array
        after, expected = state_of(layer), state_of(twin)
        good = [0, 2, 3]
        np.testing.assert_allclose(y[:, good], clean[:, good], atol=1e-6)
        assert np.isnan(y[:, 1]).all() or bad == 3e38
        for key in ("running_mean", "running_var"):
            np.testing.assert_allclose(after[key][good], expected[key][good], rtol=1e-6)
            assert after[key][1] == before[key][1]
        assert after["num_batches_tracked"] == 4
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            layer(Tensor(x))  # said once

    def test_a_warning_made_an_error_moves_nothing(self):
        layer = nn.BatchNorm1d(2)
        before = state_of(layer)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(RuntimeWarning):
                layer(Tensor(np.full((3, 2), np.nan, "f4")))
        assert unchanged(layer, before)

    def test_large_products_are_no_reason_to_warn(self):
        layer = nn.BatchNorm1d(2)
        layer(Tensor(np.array([[1e18, 1], [3e18, 2], [2e18, 4]], "f4")))
        assert layer.running_var.array[0] > 1e34

    def test_set_to_not_tracking_by_hand_as_in_pytorch(self):
        layer = trained(nn.BatchNorm1d(4), (6, 4))
        before = state_of(layer)
        layer.track_running_stats = False
        layer(minigrad.randn(6, 4))
        assert unchanged(layer, before)

    def test_reset(self):
        layer = trained(nn.BatchNorm1d(4), (6, 4))
        layer.reset_running_stats()
        fresh = state_of(nn.BatchNorm1d(4))
        assert unchanged(layer, fresh)
        randomise(layer)
        layer.reset_parameters()
        assert unchanged(layer, fresh)


class TestArguments:
    def test_decay_is_one_minus_momentum(self):
        layer = nn.BatchNorm1d(4, decay=0.9)
        assert layer.momentum == 0.1
        assert "running = 0.9·old + 0.1·batch" in repr(layer)
        assert "mean of all batches" in repr(nn.BatchNorm1d(4, momentum=None))

    @pytest.mark.parametrize("momentum", [0.1, 0.2, None])
    def test_both_are_refused(self, momentum):
        with pytest.raises(ValueError, match=r"decay=0.9 means momentum=0.1"):
            nn.BatchNorm1d(4, momentum=momentum, decay=0.9)

    def test_warns_of_a_momentum_that_may_be_a_decay(self):
        with pytest.warns(UserWarning, match=r"did you mean decay=0.9 \(momentum=0.1\)"):
            nn.BatchNorm2d(4, momentum=0.9)
        nn.BatchNorm2d(4, decay=0.1)
        nn.BatchNorm2d(4, momentum=0.5)

    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda: nn.BatchNorm1d(0), ValueError, "at least 1, got 0"),
            (lambda: nn.BatchNorm1d(4.0), TypeError, "integer"),
            (lambda: nn.BatchNorm1d(4, eps=-1), ValueError, "eps"),
            (lambda: nn.BatchNorm1d(4, momentum=1.5), ValueError, "momentum"),
            (lambda: nn.BatchNorm1d(4, decay=1.5), ValueError, "decay"),
            (lambda: nn.BatchNorm1d(4, dtype=int), TypeError, "dtype must be a floating one"),
            (
                lambda: nn.BatchNorm1d(4, track_running_stats=False, decay=0.9),
                ValueError,
                "needs track_running_stats",
            ),
            (lambda: nn.GroupNorm(3, 4), ValueError, "does not divide"),
            (lambda: nn.GroupNorm(2, 4)(minigrad.ones(2, 6)), ValueError, r"\(N, 4, …\)"),
            (lambda: nn.LayerNorm(()), TypeError, "one or more integers"),
            (lambda: nn.LayerNorm(4)(minigrad.ones(2, 3)), RuntimeError, "normalized_shape"),
            (lambda: nn.LayerNorm(4)(minigrad.ones(4).double()), RuntimeError, "dtype"),
            (lambda: nn.RMSNorm(4, eps=-1), ValueError, "eps"),
            (lambda: nn.InstanceNorm1d(4)(minigrad.ones(2, 3, 5)), ValueError, "4 channels"),
            (lambda: nn.InstanceNorm1d(4)(minigrad.ones(2, 4, 1)), ValueError, "one value"),
            (lambda: nn.InstanceNorm2d(4)(minigrad.ones(2, 4)), ValueError, r"\(N, C, H, W\)"),
        ],
    )
    def test_refuses(self, make, error, message):
        with pytest.raises(error, match=message):
            make()

    def test_a_copy_is_independent(self):
        layer = trained(nn.BatchNorm1d(4, decay=0.8), (6, 4)).freeze()
        twin = copy.deepcopy(layer)
        assert repr(twin) == repr(layer)
        before = state_of(layer)
        trained(twin.unfreeze(), (6, 4))
        assert unchanged(layer, before)
        assert layer.frozen

    def test_the_loader_drops_the_batch_that_the_layer_refuses(self):
        with pytest.warns(UserWarning, match="drop_last=True"):
            loader = data.DataLoader(data.TensorDataset(minigrad.randn(7, 4)), 3)
        layer = nn.BatchNorm1d(4)
        with pytest.raises(ValueError, match="drop_last=True"):
            for (x,) in loader:
                layer(x)
        loader.drop_last = True
        for (x,) in loader:
            layer(x)


class TestSampleWise:
    def test_a_sample_has_the_same_bits_whatever_its_batch_mates(self, kernels):
        x = minigrad.randn(9, 6, 3, 4)
        for make in SAMPLE_WISE:
            layer = make(nn)
            whole = layer(x).array
            for i in (0, 4, 8):
                np.testing.assert_array_equal(layer(x[i : i + 1]).array[0], whole[i])

    def test_identities(self, kernels):
        x = Tensor(np.random.default_rng(0).standard_normal((5, 6, 4)) * 3 + 7)
        one_group = nn.GroupNorm(1, 6, affine=False)(x)
        layer = nn.LayerNorm((6, 4), elementwise_affine=False)(x)
        np.testing.assert_allclose(one_group.array, layer.array, atol=1e-12)
        six_groups = nn.GroupNorm(6, 6, affine=False)(x)
        instance = nn.InstanceNorm1d(6)(x)
        np.testing.assert_allclose(six_groups.array, instance.array, atol=1e-12)
        images = x.reshape(5, 6, 2, 2)
        rows = x.permute(0, 2, 1).reshape(-1, 6)
        by_image = nn.BatchNorm2d(6, dtype=x.dtype)(images)
        by_row = nn.BatchNorm1d(6, dtype=x.dtype)(rows)
        np.testing.assert_allclose(
            by_image.reshape(5, 6, 4).permute(0, 2, 1).reshape(-1, 6).array,
            by_row.array,
            atol=1e-12,
        )
