"""What normalisation promises: statistics that move last, digits that are kept, and identities."""

from __future__ import annotations

import copy
import threading
import warnings

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, autograd, nn
from minigrad.nn import functional as F
from minigrad.nn.utils import frozen_stats

RNG = np.random.default_rng
LAYOUTS = [(600, 12), (6, 12, 100)]
MOVING = {  # every layer with running statistics, and a batch
    "BatchNorm1d": (lambda **k: nn.BatchNorm1d(4, **k), (6, 4)),
    "BatchNorm2d": (lambda **k: nn.BatchNorm2d(4, **k), (3, 4, 5, 2)),
    "BatchNorm3d": (lambda **k: nn.BatchNorm3d(4, **k), (2, 4, 3, 2, 2)),
    "InstanceNorm1d": (
        lambda **k: nn.InstanceNorm1d(4, affine=True, track_running_stats=True, **k), (3, 4, 5)),
    "BatchInstanceNorm2d": (lambda **k: nn.BatchInstanceNorm2d(4, **k), (3, 4, 5, 2)),
    "BatchRenorm1d": (lambda **k: nn.BatchRenorm1d(4, rmax=2.0, dmax=1.0, **k), (6, 4)),
    "BatchRenorm2d": (lambda **k: nn.BatchRenorm2d(4, rmax=2.0, dmax=1.0, **k), (3, 4, 5, 2)),
    "LpBatchNorm1d": (lambda **k: nn.LpBatchNorm1d(4, **k), (6, 4)),
    "LpBatchNorm2d": (lambda **k: nn.LpBatchNorm2d(4, p=np.inf, **k), (3, 4, 5, 2)),
    "DecorrelatedBatchNorm1d": (lambda **k: nn.DecorrelatedBatchNorm1d(4, 2, **k), (6, 4)),
    "DecorrelatedBatchNorm2d": (lambda **k: nn.DecorrelatedBatchNorm2d(4, 4, **k), (3, 4, 5, 2)),
}  # fmt: skip
BATCHED = [name for name in MOVING if not name.startswith("Instance")]


def state(layer):
    return {key: value.array.copy() for key, value in layer.state_dict().items()}


def unchanged(layer, before):
    after = state(layer)
    return all(np.array_equal(after[key], before[key], equal_nan=True) for key in before)


def batch(shape, seed=0, dtype="f4"):
    return Tensor((RNG(seed).standard_normal(shape) * 3 + 5).astype(dtype))


def made(name, steps=2, **options):
    make, shape = MOVING[name]
    layer = make(**options)
    for seed in range(steps):
        layer(batch(shape, seed, layer.running_mean.dtype))
    return layer, shape


class TestStatisticsOfEveryLayer:
    @pytest.mark.parametrize("name", MOVING)
    def test_they_move_in_training_and_only_there(self, kernels, name):
        layer, shape = made(name)
        before = state(layer)
        layer(batch(shape, 9))
        assert not np.array_equal(layer.running_mean.array, before["running_mean"])
        assert not np.array_equal(layer.running_variance.array, before[layer.variance_name])
        before = state(layer)
        layer.eval()(batch(shape, 10))
        assert unchanged(layer, before)

    @pytest.mark.parametrize("name", MOVING)
    def test_an_error_an_empty_batch_a_probe_and_frozen_stats_leave_them(self, kernels, name):
        layer, shape = made(name, dtype=np.float64)
        before = state(layer)
        x = batch(shape, 9, "f8")
        with pytest.raises(ValueError, match="channels"):
            layer(batch((shape[0], 5, *shape[2:]), 9, "f8"))
        with pytest.raises(RuntimeError, match="dtype"):
            layer(batch(shape))
        with pytest.raises(TypeError):
            layer(x.long())
        assert layer(Tensor(x.array[:0])).shape == (0, *shape[1:])
        with frozen_stats(layer):
            layer(x)
        variable = Tensor(x.array, requires_grad=True)
        assert autograd.gradcheck(layer, (variable,))
        autograd.functional.hvp(lambda v: (layer(v) ** 3).sum(), x, x)
        assert unchanged(layer, before)
        layer(x)
        assert not unchanged(layer, before)

    @pytest.mark.parametrize("name", MOVING)
    def test_a_failure_after_the_arithmetic_leaves_them(self, monkeypatch, name):
        layer, shape = made(name)
        before = state(layer)

        def fail(*_):
            raise MemoryError

        for module in ("norm", "whitening"):
            monkeypatch.setattr(f"minigrad.ops.{module}.record", fail)
        monkeypatch.setattr("minigrad.ops.arithmetic.record_each", fail)
        with pytest.raises(MemoryError):
            layer(batch(shape, 9))
        assert unchanged(layer, before)

    @pytest.mark.parametrize("name", BATCHED)
    def test_one_value_per_channel_is_refused(self, name):
        layer, shape = made(name)
        before = state(layer)
        x = Tensor(np.ones((1, 4, *[1] * (len(shape) - 2)), "f4"))
        with pytest.raises(ValueError, match=r"one value per channel.*N=1") as caught:
            layer(x)
        text = str(caught.value)
        assert name in text
        assert ("(1x1)" in text) == (len(shape) == 4)
        for way in ("drop_last=True", "eval() or freeze()", "LayerNorm or GroupNorm"):
            assert way in text
        assert unchanged(layer, before)

    @pytest.mark.parametrize("name", BATCHED)
    def test_freeze_survives_train(self, kernels, name):
        layer, shape = made(name)
        x = batch(shape, 9)
        expected = layer.eval()(x).array
        before = state(layer)
        nn.Sequential(layer.freeze()).train()
        np.testing.assert_array_equal(layer(x).array, expected)
        assert unchanged(layer, before)
        assert "frozen" in repr(layer)
        assert not np.allclose(layer.unfreeze()(x).array, expected)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    @pytest.mark.parametrize("name", BATCHED)
    def test_a_channel_that_is_not_finite_keeps_its_statistics(self, kernels, name, bad):
        layer, shape = made(name)
        twin = copy.deepcopy(layer)
        x = batch(shape, 9)
        clean = twin(x).array
        x.array[1, 2] = bad
        before = state(layer)
        group = [2, 3] if name == "DecorrelatedBatchNorm1d" else [2]  # of two channels
        fine = [c for c in range(4) if c not in group]
        with pytest.warns(RuntimeWarning, match=rf"{name}\(4.*channel {group[0]}"):
            y = layer(x).array
        assert np.isnan(y[:, 2]).any()
        assert np.isfinite(y[:, fine]).all()
        np.testing.assert_array_equal(y[:, fine], clean[:, fine])
        new, theirs = layer.running_mean.array, twin.running_mean.array
        np.testing.assert_array_equal(new[fine], theirs[fine])
        np.testing.assert_array_equal(new[group], before["running_mean"][group])
        assert np.isfinite(layer.running_variance.array).all()
        layer(x)  # said once

    @pytest.mark.parametrize("name", BATCHED)
    def test_a_warning_made_an_error_leaves_all_channels(self, kernels, name):
        layer, shape = made(name)
        x = batch(shape, 9)
        x.array[1, 2] = np.nan
        before = state(layer)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(2):  # and is given again
                with pytest.raises(RuntimeWarning, match="finite"):
                    layer(x)
        assert unchanged(layer, before)

    @pytest.mark.parametrize("name", BATCHED)
    def test_without_momentum_they_are_the_mean_of_all_batches(self, kernels, name):
        make, shape = MOVING[name]
        layer = make(momentum=None, dtype=np.float64)
        means, spreads = [], []
        for seed in range(5):
            x = batch((shape[0] + seed, *shape[1:]), seed, "f8")
            mean, spread = layer.statistics(x)
            means.append(mean)
            spreads.append(spread * layer.bessel_correction(x.numel() // 4))
            layer(x)
        np.testing.assert_allclose(layer.running_mean.array, np.mean(means, 0), 1e-12)
        np.testing.assert_allclose(layer.running_variance.array, np.mean(spreads, 0), 1e-12, 1e-14)
        assert layer.num_batches_tracked.item() == 5

    @pytest.mark.parametrize("name", BATCHED)
    def test_decay_and_the_rule_in_repr(self, name):
        make, _ = MOVING[name]
        assert "running = 0.8·old + 0.2·batch" in repr(make(decay=0.8))
        assert "running = mean of all batches" in repr(make(momentum=None))
        with pytest.raises(ValueError, match=r"decay=0.8 means momentum=0.2"):
            make(decay=0.8, momentum=0.1)


class TestFunctions:
    """The same for F.batch_norm and F.instance_norm, which know of no layer."""

    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    def test_batch_norm_moves_as_the_layer(self, kernels, dtype):
        layer = nn.BatchNorm1d(4, momentum=0.3, dtype=np.dtype(dtype))
        mean, var = Tensor(np.zeros(4, dtype)), Tensor(np.ones(4, dtype))
        for seed in range(3):
            x = batch((6, 4), seed, dtype)
            y = F.batch_norm(x, mean, var, layer.weight, layer.bias, True, 0.3)
            np.testing.assert_array_equal(y.array, layer(x).array)
        np.testing.assert_array_equal(mean.array, layer.running_mean.array)
        np.testing.assert_array_equal(var.array, layer.running_var.array)

    @pytest.mark.parametrize("f", [F.batch_norm, F.instance_norm])
    def test_nothing_moves_where_it_must_not(self, kernels, f):
        options = {"training": True} if f is F.batch_norm else {}
        mean, var = Tensor(np.full(4, 0.5)), Tensor(np.full(4, 2.0))
        x = batch((6, 4, 3), 0, "f8")

        def call(x=x, mean=mean, var=var, **more):
            return f(x, mean, var, **options, **more)

        bad = Tensor(x.array.copy())
        bad.array[1, 2] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for attempt in (
                lambda: call(weight=minigrad.ones(3).double()),
                lambda: call(weight=minigrad.ones(4)),
                lambda: call(momentum="0.1"),
                lambda: call(x=minigrad.ones(1, 4, 1).double()),
                lambda: call(var=None),
                lambda: call(var=minigrad.ones(4)),
                lambda: call(x=bad),
            ):
                with pytest.raises((ValueError, RuntimeError, TypeError, RuntimeWarning)):
                    attempt()
        call(x=Tensor(x.array[:0]))
        assert autograd.gradcheck(call, (Tensor(x.array, requires_grad=True),))
        np.testing.assert_array_equal(mean.array, 0.5)
        np.testing.assert_array_equal(var.array, 2.0)
        with pytest.warns(RuntimeWarning, match=rf"{f.__name__}.*channel 2:"):
            call(x=bad)
        np.testing.assert_array_equal(mean.array == 0.5, [False, False, True, False])
        call()
        assert (mean.array != 0.5).all()
        assert (var.array != 2.0).all()

    def test_a_graph_that_saved_the_statistics_notices(self):
        mean, var = minigrad.zeros(4), minigrad.ones(4)
        w = minigrad.ones(4, requires_grad=True)
        product = w * var
        F.batch_norm(batch((6, 4)), mean, var, training=True)
        with pytest.raises(RuntimeError, match="changed in place"):
            product.sum().backward()

    def test_stored_is_the_unbiased_variance_even_of_two_values(self, kernels):
        mean, var = minigrad.zeros(1), minigrad.ones(1)
        x = Tensor(np.array([[1.0], [4.0]], "f4"))
        y = F.batch_norm(x, mean, var, training=True, momentum=1.0, eps=0.0)
        np.testing.assert_allclose(y.array, [[-1], [1]], rtol=1e-6)  # by the biased variance, 2.25
        np.testing.assert_allclose([mean.item(), var.item()], [2.5, 4.5])

    def test_groups_of_one_value_are_refused_by_the_layer_for_every_batch(self):
        for n in (1, 2):
            with pytest.raises(ValueError, match=r"GroupNorm.*one value per group"):
                nn.GroupNorm(3, 3)(minigrad.ones(n, 3))
        nn.GroupNorm(3, 3)(minigrad.ones(1, 3, 2))


def normalise64(x, eps=1e-5):
    axes = (0, *range(2, x.ndim))
    d = x.astype(np.longdouble)
    d = d - d.mean(axes, keepdims=True)
    return (d / np.sqrt((d * d).mean(axes, keepdims=True) + eps)).astype(np.float64)


class TestNumerics:
    @pytest.mark.parametrize("offset", [0, 1, 1e2, 1e3, 1e4, 1e5, 1e6])
    @pytest.mark.parametrize("shape", LAYOUTS)
    def test_float32_is_within_1e_6_at_any_offset(self, kernels, shape, offset):
        x = (RNG(0).standard_normal(shape) + offset).astype("f4")
        y = F.batch_norm(Tensor(x), None, None, training=True).array
        assert np.abs(y - normalise64(x)).max() < 1e-6

    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize("value", [0.1, -3.7e6, 1e10, 1e30, 1e-40, 0.0])
    @pytest.mark.parametrize("shape", LAYOUTS)
    def test_constant_channels_are_exactly_beta(self, kernels, shape, value, dtype):
        beta = RNG(0).standard_normal(12).astype(dtype)
        gamma = RNG(1).standard_normal(12).astype(dtype)
        x = Tensor(np.full(shape, value, dtype))
        y = F.batch_norm(x, None, None, Tensor(gamma), Tensor(beta), training=True).array
        expected = np.broadcast_to(beta.reshape(-1, *[1] * (len(shape) - 2)), shape)
        np.testing.assert_array_equal(y, expected)

    @pytest.mark.parametrize("scale", [1e30, 1e-38, 1e-42])
    @pytest.mark.parametrize("shape", LAYOUTS)
    def test_huge_values_and_denormals(self, kernels, shape, scale):
        x = (RNG(0).standard_normal(shape) * scale).astype("f4")
        eps = 1e-5 if scale > 1 else 0.0
        y = F.batch_norm(Tensor(x), None, None, training=True, eps=eps).array
        np.testing.assert_allclose(y, normalise64(x, eps), atol=1e-6)

    @pytest.mark.parametrize("scale", [1e-20, 1e-23, 1e-30])
    @pytest.mark.parametrize("shape", [(2, 4), (16, 12), (40, 12), (4, 12, 6), (2, 12, 5, 2)])
    def test_values_whose_sum_and_squares_vanish(self, kernels, shape, scale):
        signs = np.ones(shape, "f4")
        signs[: shape[0] // 2] = -1
        x = Tensor(signs * np.float32(scale))
        y = F.batch_norm(x, None, None, training=True, eps=0.0)
        np.testing.assert_allclose(y.array, signs, rtol=1e-6)
        if len(shape) == 2:  # the same, along rows
            y = F.layer_norm(Tensor(x.array.T), shape[:1], eps=0.0)
            np.testing.assert_allclose(y.array, signs.T, rtol=1e-6)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
    @pytest.mark.parametrize("shape", [*LAYOUTS, (6, 4), (5, 3, 7)])
    def test_what_happens_in_a_channel_stays_there(self, kernels, shape, bad):
        x, g = (RNG(seed).standard_normal(shape).astype("f4") for seed in (0, 1))

        def run(a):
            a, w = Tensor(a, requires_grad=True), minigrad.ones(shape[1], requires_grad=True)
            y = F.batch_norm(a, None, None, w, training=True)
            y.backward(Tensor(g))
            return y.array, a.grad.array, w.grad.array

        clean = run(x)
        x[2, 1] = bad
        others = np.arange(shape[1]) != 1
        y, dx, dw = run(x)
        np.testing.assert_array_equal(y[:, others], clean[0][:, others])
        np.testing.assert_array_equal(dx[:, others], clean[1][:, others])
        np.testing.assert_array_equal(dw[others], clean[2][others])
        if not np.isfinite(bad):
            assert np.isnan(y[:, 1]).all()
            assert np.isnan(dx[:, 1]).all()

    @pytest.mark.slow
    @pytest.mark.parametrize("shape", [(20_000_000, 1), (2, 1, 10_000_000)])
    def test_twenty_million_values_of_a_channel(self, kernels, shape):
        """A float32 sum would stop growing at 2^24 ones."""
        x = np.ones(shape, "f4")
        x[: shape[0] // 2] = 3
        mean, var = minigrad.zeros(1), minigrad.ones(1)
        y = F.batch_norm(Tensor(x), mean, var, training=True, momentum=1.0, eps=0.0).array
        np.testing.assert_allclose([mean.item(), var.item()], [2, 1], rtol=1e-6)
        np.testing.assert_allclose([y.min(), y.max()], [-1, 1], rtol=1e-6)

    @pytest.mark.parametrize("offset", [1e3, 1e6])
    @pytest.mark.parametrize(
        "f",
        [
            lambda x: F.instance_norm(x),
            lambda x: F.group_norm(x, 3),
            lambda x: F.layer_norm(x, x.shape[1:]),
        ],
    )
    def test_the_family_keeps_its_digits_too(self, kernels, f, offset):
        x = (RNG(0).standard_normal((5, 6, 40)) + offset).astype("f4")
        np.testing.assert_allclose(f(Tensor(x)).array, f(Tensor(x.astype("f8"))).array, atol=2e-6)


class TestIdentities:
    """Facts that hold of the formulas, whatever the numbers; eps is 0 unless it matters."""

    def x(self, *shape, seed=0):
        return Tensor(RNG(seed).standard_normal(shape) * 3 + 7, requires_grad=True)

    def test_theorem_4_1_of_santurkar(self, kernels):
        """‖∂L/∂x‖² = gamma²/var·(‖g‖² - (Σg)²/m - <g, x̂>²/m): batch norm makes L smoother."""
        x, m = self.x(50, 3), 50
        gamma, g = RNG(1).standard_normal(3), RNG(2).standard_normal((50, 3))
        y = F.batch_norm(x, None, None, Tensor(gamma), training=True, eps=0.0)
        y.backward(Tensor(g))
        x_hat = y.array / gamma
        var = x.array.var(axis=0)
        right = (g**2).sum(0) - g.sum(0) ** 2 / m - (g * x_hat).sum(0) ** 2 / m
        np.testing.assert_allclose((x.grad.array**2).sum(0), gamma**2 / var * right, rtol=1e-11)

    def test_the_scale_of_the_weights_cancels_unless_eps_is_in_its_way(self, kernels):
        u, w = self.x(60, 5), self.x(5, 4, seed=1)

        def normalised(a, eps):
            return F.batch_norm(u @ (a * w), None, None, training=True, eps=eps).array

        for a in (0.01, 100.0):
            np.testing.assert_allclose(normalised(a, 0.0), normalised(1.0, 0.0), atol=1e-12)
        # var ~ a²·‖w‖²: where a²·var is not large against eps, the claim is wrong
        assert np.abs(normalised(1e-4, 1e-5) - normalised(1.0, 1e-5)).max() > 0.01

    def test_the_gradient_shrinks_as_the_weights_grow(self, kernels):
        u, g = self.x(60, 5), Tensor(RNG(2).standard_normal((60, 4)))
        gradients = []
        for a in (1.0, 8.0):
            w = Tensor(a * self.x(5, 4, seed=1).array, requires_grad=True)
            F.batch_norm(u @ w, None, None, training=True, eps=0.0).backward(g)
            gradients.append(w.grad.array)
        np.testing.assert_allclose(gradients[1], gradients[0] / 8, rtol=1e-9)

    def test_the_bias_before_it_has_no_gradient(self, kernels):
        u, w, b = self.x(60, 5), self.x(5, 4, seed=1), self.x(4, seed=2)
        y = F.batch_norm(u @ w + b, None, None, training=True)
        y.backward(Tensor(RNG(3).standard_normal((60, 4))))
        assert np.abs(b.grad.array).max() < 1e-13
        assert np.abs(w.grad.array).max() > 1e-3

    def test_gamma_and_beta_can_undo_it(self, kernels):
        x = self.x(60, 4)
        gamma, beta = np.sqrt(x.array.var(0) + 1e-5), x.array.mean(0)
        y = F.batch_norm(x, None, None, Tensor(gamma), Tensor(beta), training=True)
        np.testing.assert_allclose(y.array, x.array, rtol=1e-13)

    def test_group_norm_is_layer_norm_or_instance_norm(self, kernels):
        x, g = self.x(5, 6, 4), Tensor(RNG(1).standard_normal((5, 6, 4)))
        for groups, other in ((1, lambda x: F.layer_norm(x, (6, 4))), (6, F.instance_norm)):
            gradients = []
            for f in (lambda x, n=groups: F.group_norm(x, n), other):
                z = Tensor(x.array, requires_grad=True)
                y = f(z)
                y.backward(g)
                gradients += [y.array, z.grad.array]
            np.testing.assert_allclose(gradients[0], gradients[2], atol=1e-12)
            np.testing.assert_allclose(gradients[1], gradients[3], atol=1e-12)

    def test_of_images_is_of_their_pixels(self, kernels):
        x = self.x(5, 6, 3, 2)
        rows = x.permute(0, 2, 3, 1).reshape(-1, 6)
        two, one = nn.BatchNorm2d(6, dtype=x.dtype), nn.BatchNorm1d(6, dtype=x.dtype)
        y = one(rows).reshape(5, 3, 2, 6).permute(0, 3, 1, 2)
        np.testing.assert_allclose(two(x).array, y.array, atol=1e-12)
        np.testing.assert_allclose(two.running_var.array, one.running_var.array, 1e-12)

    def test_instance_norm_ignores_contrast(self, kernels):
        x = self.x(3, 2, 5, 4)
        contrast = Tensor(RNG(1).uniform(0.1, 10, (3, 2, 1, 1)))
        brightness = Tensor(RNG(2).standard_normal((3, 2, 1, 1)))
        y = F.instance_norm(x * contrast + brightness, eps=0.0)
        np.testing.assert_allclose(y.array, F.instance_norm(x, eps=0.0).array, atol=1e-11)
        assert (
            np.abs(F.batch_norm(x * contrast, None, None, training=True).array - y.array).max() > 1
        )

    def test_the_gradient_of_its_sum_is_zero(self, kernels):
        x = self.x(60, 4)
        F.batch_norm(x, None, None, training=True).sum().backward()
        assert np.abs(x.grad.array).max() < 1e-13


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "f",
    [
        lambda x, w, b: F.layer_norm(x, (12,), w, b),
        lambda x, w, b: F.layer_norm(x, (12,)),
        lambda x, w, b: F.rms_norm(x, (12,), w),
        lambda x, w, b: F.group_norm(x, 3, w, b),
    ],
)
def test_a_sample_has_the_same_bits_whatever_its_batch_mates(kernels, f, dtype):
    rng = RNG(0)
    x = (rng.standard_normal((131, 12)) * 3 + 5).astype(dtype)
    w, b = (Tensor(rng.standard_normal(12).astype(dtype)) for _ in range(2))
    whole = f(Tensor(x), w, b).array
    for i in (0, 1, 63, 64, 130):
        np.testing.assert_array_equal(f(Tensor(x[i : i + 1]), w, b).array[0], whole[i])
    mixed = x.copy()
    mixed[::2] = 1e6
    np.testing.assert_array_equal(f(Tensor(mixed), w, b).array[1::2], whole[1::2])
    np.testing.assert_array_equal(f(Tensor(x[::-1].copy()), w, b).array[::-1], whole)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_the_family(kernels, training):
    """With random gamma, beta and cotangent (gradcheck draws it), in both modes."""
    rng = RNG(0)
    x, w, b = (
        Tensor(rng.standard_normal(s) * 2 + 1, requires_grad=True) for s in ((3, 4, 5), (4,), (4,))
    )
    mean, var = Tensor(rng.standard_normal(4)), Tensor(rng.uniform(0.5, 2, 4))
    v, c = (Tensor(rng.standard_normal((4, 5)), requires_grad=True) for _ in range(2))
    rows = Tensor(rng.standard_normal((7, 4)), requires_grad=True)
    family = {
        "bn": (lambda x, w, b: F.batch_norm(x, mean, var, w, b, training), (x, w, b)),
        "bn rows": (lambda x, w, b: F.batch_norm(x, mean, var, w, b, training), (rows, w, b)),
        "in": (lambda x, w, b: F.instance_norm(x, mean, var, w, b, training), (x, w, b)),
        "gn": (lambda x, w, b: F.group_norm(x, 2, w, b), (x, w, b)),
        "ln": (lambda x, w, b: F.layer_norm(x, (4, 5), w, b), (x, v, c)),
        "rms": (lambda x, w: F.rms_norm(x, (4, 5), w), (x, v)),
    }
    for f, inputs in family.values():
        assert autograd.gradcheck(f, inputs)


def test_frozen_stats_is_of_this_thread_only():
    layer, other = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    x = batch((6, 4))
    with frozen_stats(nn.Sequential(layer, other)):
        thread = threading.Thread(target=layer, args=(x,))
        thread.start()
        thread.join()
        other(x)
    assert layer.num_batches_tracked.item() == 1
    assert other.num_batches_tracked.item() == 0
