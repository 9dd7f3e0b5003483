"""The relatives of batch normalisation against their formulas, written out in numpy."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, autograd, func, nn, optim
from minigrad.nn.utils import frozen_stats
from minigrad.ops.whitening import inverse_root

RNG = np.random.default_rng
F8 = np.float64
SAMPLES = [
    ("BatchInstanceNorm2d", {}, (3, 4, 5, 2)),
    ("BatchInstanceNorm2d", {"affine": False}, (3, 4, 5, 2)),
    ("BatchRenorm1d", {"rmax": 1.1, "dmax": 0.2}, (6, 4)),
    ("BatchRenorm1d", {"rmax": 9.0, "dmax": 9.0}, (6, 4, 3)),
    ("BatchRenorm2d", {}, (3, 4, 5, 2)),
    ("LpBatchNorm1d", {}, (6, 4)),
    ("LpBatchNorm1d", {"p": np.inf}, (6, 4, 3)),
    ("LpBatchNorm2d", {"bias": False}, (3, 4, 2, 3)),
    ("DecorrelatedBatchNorm1d", {}, (9, 4)),
    ("DecorrelatedBatchNorm1d", {"num_groups": 2}, (3, 4, 5)),
    ("DecorrelatedBatchNorm2d", {"num_groups": 2, "affine": False}, (3, 4, 5, 2)),
]


def batch(shape, seed=0, dtype="f8"):
    return Tensor((RNG(seed).standard_normal(shape) * 2 + 1).astype(dtype))


def made(name, options, shape):
    """With random parameters, and statistics of a few batches."""
    layer = getattr(nn, name)(4, dtype=F8, **options)
    for i, p in enumerate(layer.parameters()):
        p.array[...] = RNG(i).uniform(0.1, 0.9, 4)
    for seed in range(3):
        layer(batch(shape, seed))
    return layer


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "options", "shape"), SAMPLES)
def test_gradients(kernels, name, options, shape, training):
    layer = made(name, options, shape).train(training)
    x = Tensor(batch(shape, 7).array, requires_grad=True)
    assert autograd.gradcheck(lambda x, *_: layer(x), (x, *layer.parameters()))


@pytest.mark.parametrize(("name", "options", "shape"), SAMPLES)
def test_float32_follows_float64_and_a_large_offset_costs_no_digits(kernels, name, options, shape):
    wide = made(name, options, shape)
    narrow = copy.deepcopy(wide).float()
    x = batch(shape, 7, "f4")
    np.testing.assert_allclose(narrow(x).array, wide(x.double()).array, atol=2e-5)
    far = Tensor(x.array + np.float32(1e5))
    wide, narrow = (getattr(nn, name)(4, dtype=d, **options) for d in (F8, np.float32))
    np.testing.assert_allclose(narrow(far).array, wide(far.double()).array, atol=1e-4)


@pytest.mark.parametrize(("name", "options", "shape"), SAMPLES)
def test_state_dicts_copies_and_reset(name, options, shape):
    layer = made(name, options, shape)
    fresh = getattr(nn, name)(4, dtype=F8, **options)
    assert list(fresh.state_dict()) == list(layer.state_dict())
    start = {key: value.array.copy() for key, value in fresh.state_dict().items()}
    fresh.load_state_dict(layer.state_dict())
    x = batch(shape, 8)
    np.testing.assert_array_equal(fresh.eval()(x).array, layer.eval()(x).array)
    twin = copy.deepcopy(layer)
    twin.reset_parameters()
    for key, value in twin.state_dict().items():
        np.testing.assert_array_equal(value.array, start[key])
    np.testing.assert_array_equal(fresh(x).array, layer(x).array)


@pytest.mark.parametrize(
    "name", ["BatchInstanceNorm2d", "LpBatchNorm2d", "DecorrelatedBatchNorm2d"]
)
def test_without_statistics_evaluation_uses_the_batch(name):
    layer = getattr(nn, name)(4, track_running_stats=False)
    x = batch((3, 4, 5, 2), 0, "f4")
    np.testing.assert_array_equal(layer(x).array, layer.eval()(x).array)
    with pytest.raises(RuntimeError, match="no running statistics"):
        layer.freeze()


class TestBatchInstanceNorm:
    def test_the_gate_mixes_two_normalisations(self, kernels):
        x = batch((3, 4, 5, 2))
        layer = nn.BatchInstanceNorm2d(4, dtype=F8)
        plain = nn.BatchNorm2d(4, dtype=F8)
        np.testing.assert_allclose(layer(x).array, plain(x).array, atol=1e-14)  # rho starts at 1
        np.testing.assert_array_equal(layer.running_var.array, plain.running_var.array)
        rho = np.array([0, 0.25, 0.5, 1]).reshape(1, 4, 1, 1)
        layer.gate.array[...] = rho.reshape(-1)
        layer.weight.array[...] = 2
        layer.bias.array[...] = 3
        for mode in (True, False):
            by_batch = plain.train(mode)(x).array
            by_instance = nn.InstanceNorm2d(4, dtype=F8)(x).array
            expected = 2 * (rho * by_batch + (1 - rho) * by_instance) + 3
            np.testing.assert_allclose(layer.train(mode)(x).array, expected, atol=1e-12)

    @pytest.mark.parametrize("momentum", [0.0, 0.9])
    def test_rho_stays_in_its_interval_and_comes_back(self, kernels, momentum):
        """Train gates that are pushed out of [0, 1], then push the other way."""
        layer = nn.BatchInstanceNorm2d(2, dtype=F8)
        optimizer = optim.SGD([layer.gate], lr=0.1, momentum=momentum)
        x = batch((4, 2, 3, 3))
        instance = nn.InstanceNorm2d(2, dtype=F8)(x)
        by_batch = nn.BatchNorm2d(2, dtype=F8)(x)
        seen = []
        for target in [by_batch + 3 * (by_batch - instance)] * 20 + [instance] * 300:
            loss = ((layer(x) - target.detach()) ** 2).mean()
            assert 0 <= layer.gate.array.min() <= layer.gate.array.max() <= 1  # after each forward
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rho = layer.rho.array.copy()
            assert ((rho >= 0) & (rho <= 1)).all()
            seen.append(rho)
        np.testing.assert_array_equal(seen[19], 1)  # held at the bound
        if not momentum:  # the optimiser's own memory fades first
            assert (seen[20] < 1).all()  # at once, though it was pushed beyond for long
        assert (seen[-1] < 0.1).all()

    def test_only_training_moves_the_gate(self, kernels):
        layer = nn.BatchInstanceNorm2d(2, dtype=F8)
        x = batch((4, 2, 3, 3))
        layer.gate.array[...] = [1.5, -0.5]
        with frozen_stats(layer):
            y = layer(x).array
        layer.eval()(x)
        layer.train()
        autograd.gradcheck(lambda x: layer(x), (Tensor(x.array, requires_grad=True),))
        given = Tensor(np.array([1.5, -0.5]))
        z = func.functional_call(layer, {"gate": given}, x).array
        np.testing.assert_array_equal(given.array, [1.5, -0.5])
        with pytest.raises(ValueError, match="one value"):
            layer(minigrad.ones(3, 2, 1, 1).double())
        np.testing.assert_array_equal(layer.gate.array, [1.5, -0.5])
        np.testing.assert_array_equal(layer.rho.array, [1, 0])
        np.testing.assert_array_equal(layer(x).array, y)  # moving it changes no output
        np.testing.assert_array_equal(z, y)
        np.testing.assert_array_equal(layer.gate.array, [1, 0])

    def test_a_gate_of_another_shape_is_refused(self):
        layer = nn.BatchInstanceNorm2d(2)
        with pytest.raises(RuntimeError, match=r"gate has shape \(3,\), expected \(2,\)"):
            func.functional_call(layer, {"gate": minigrad.ones(3)}, minigrad.ones(2, 2, 3, 3))


class TestBatchRenorm:
    def test_without_room_it_is_batch_norm(self, kernels):
        layer, plain = nn.BatchRenorm1d(4, rmax=1.0, dmax=0.0), nn.BatchNorm1d(4)
        for seed in range(3):
            x = batch((6, 4), seed, "f4")
            np.testing.assert_allclose(layer(x).array, plain(x).array, atol=1e-6)
        for key, value in plain.state_dict().items():
            np.testing.assert_array_equal(layer.state_dict()[key].array, value.array)
        plain.load_state_dict(layer.state_dict())

    def test_without_limits_training_gives_what_evaluation_gives(self, kernels):
        layer = made("BatchRenorm1d", {"rmax": 1e9, "dmax": 1e9}, (6, 4))
        x = batch((6, 4), 9)
        expected = layer.eval()(x).array
        np.testing.assert_allclose(layer.train()(x).array, expected, atol=1e-12)

    def test_algorithm_1(self, kernels):
        layer = made("BatchRenorm1d", {"rmax": 1.2, "dmax": 0.3}, (6, 4))
        x = batch((6, 4), 9)
        sigma = np.sqrt(layer.running_var.array + layer.eps)
        sigma_batch = np.sqrt(x.array.var(0) + layer.eps)
        r = np.clip(sigma_batch / sigma, 1 / 1.2, 1.2)
        d = np.clip((x.array.mean(0) - layer.running_mean.array) / sigma, -0.3, 0.3)
        assert len({*r} & {1 / 1.2, 1.2}) and len({*d} & {-0.3, 0.3})  # some are limited
        y = (
            layer.weight.array * ((x.array - x.array.mean(0)) / sigma_batch * r + d)
            + layer.bias.array
        )
        np.testing.assert_allclose(layer(x).array, y, atol=1e-12)

    def test_the_schedule_of_the_paper(self):
        layer = nn.BatchRenorm1d(4)
        expected = {0: (1, 0), 5000: (1, 0), 15000: (1 + 4 / 7, 2.5), 25000: (1 + 8 / 7, 5),
                    40000: (3, 5), 99999: (3, 5)}  # fmt: skip
        for count, limits in expected.items():
            layer.num_batches_tracked.array[...] = count
            np.testing.assert_allclose(layer.limits(), limits)
        layer.rmax = 2.0
        assert layer.limits() == (2.0, 5)

    @pytest.mark.parametrize("options", [{"rmax": 0.5}, {"dmax": -1.0}])
    def test_refuses(self, options):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be None or at least"):
            nn.BatchRenorm1d(4, **options)


class TestLpBatchNorm:
    @pytest.mark.parametrize("p", [1, np.inf])
    def test_the_formula(self, kernels, p):
        layer = made("LpBatchNorm1d", {"p": p, "momentum": 0.25}, (6, 4, 3))
        x = batch((6, 4, 3), 9)
        rows = x.array.transpose(0, 2, 1).reshape(-1, 4)
        d = np.abs(rows - rows.mean(0))
        scale = d.mean(0) if p == 1 else d.max(0)
        old = layer.running_scale.array.copy()

        def expected(mean, scale):
            y = layer.weight.array * (rows - mean) / (scale + 1e-5) + layer.bias.array
            return y.reshape(6, 3, 4).transpose(0, 2, 1)

        np.testing.assert_allclose(layer(x).array, expected(rows.mean(0), scale), atol=1e-12)
        np.testing.assert_allclose(layer.running_scale.array, 0.75 * old + 0.25 * scale)
        y = layer.eval()(x).array
        np.testing.assert_allclose(
            y, expected(layer.running_mean.array, layer.running_scale.array), atol=1e-12
        )

    @pytest.mark.parametrize("p", [1, np.inf])
    def test_constants_are_beta_and_huge_values_are_fine(self, kernels, p):
        layer = nn.LpBatchNorm1d(2, p=p)
        layer.bias.array[...] = [0.3, -0.7]
        y = layer(Tensor(np.full((6, 2), 0.1, "f4"))).array
        np.testing.assert_array_equal(y, np.broadcast_to(layer.bias.array, (6, 2)))
        x = RNG(0).standard_normal((6, 2)).astype("f4")
        np.testing.assert_allclose(
            layer(Tensor(x * np.float32(1e30))).array, layer(Tensor(x)).array, atol=1e-4
        )  # fmt: skip  eps is nothing beside 1e30

    def test_refuses_2(self):
        with pytest.raises(ValueError, match="2 is BatchNorm"):
            nn.LpBatchNorm1d(4, p=2)


class TestDecorrelatedBatchNorm:
    def correlated(self, shape=(200, 4), seed=0):
        mix = RNG(5).standard_normal((4, 4))
        x = RNG(seed).standard_normal((shape[0], *shape[2:], 4)) @ mix + 5
        return Tensor(np.moveaxis(x, -1, 1).copy())

    @pytest.mark.parametrize("shape", [(200, 4), (20, 4, 5, 6)])
    def test_the_covariance_of_a_group_becomes_the_identity(self, kernels, shape):
        x = self.correlated(shape)
        kind = "DecorrelatedBatchNorm1d" if len(shape) == 2 else "DecorrelatedBatchNorm2d"
        for groups in (1, 2, 4):
            layer = getattr(nn, kind)(4, groups, eps=0.0, dtype=F8)
            y = np.moveaxis(layer(x).array, 1, 0).reshape(4, -1)
            np.testing.assert_allclose(y.mean(1), 0, atol=1e-12)
            covariance = np.cov(y, bias=True).reshape(groups, 4 // groups, groups, 4 // groups)
            for k in range(groups):
                np.testing.assert_allclose(covariance[k, :, k], np.eye(4 // groups), atol=1e-12)

    def test_groups_of_one_are_batch_norm(self, kernels):
        x = self.correlated()
        layer, plain = nn.DecorrelatedBatchNorm1d(4, 4, dtype=F8), nn.BatchNorm1d(4, dtype=F8)
        np.testing.assert_allclose(layer(x).array, plain(x).array, atol=1e-12)
        np.testing.assert_allclose(layer.running_cov.array.reshape(-1), plain.running_var.array)
        np.testing.assert_allclose(layer.eval()(x).array, plain.eval()(x).array, atol=1e-12)

    def test_stored_is_the_unbiased_covariance(self):
        x = self.correlated((50, 4))
        layer = nn.DecorrelatedBatchNorm1d(4, 2, momentum=None, dtype=F8)
        layer(x)
        expected = np.cov(x.array.T)
        for k in (0, 1):
            part = slice(2 * k, 2 * k + 2)
            np.testing.assert_allclose(layer.running_cov.array[k], expected[part, part])

    def test_zca_is_stable_from_batch_to_batch_where_pca_swaps_axes(self):
        """Nearly equal variances: eigenvectors are arbitrary, the symmetric root is not."""
        zca, pca = [], []
        for seed in (0, 1):
            x = RNG(seed).standard_normal((400, 4))
            w, roots, d = inverse_root(np.cov(x.T)[None], 0.0)
            zca.append(w[0])
            pca.append(d[0].T / roots[0][:, None])
        assert np.abs(zca[0] - zca[1]).max() < 0.25
        assert np.abs(pca[0] - pca[1]).max() > 1

    def test_equal_eigenvalues_have_a_gradient(self):
        x = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])  # covariance I exactly
        layer = nn.DecorrelatedBatchNorm1d(2, dtype=F8)
        assert autograd.gradcheck(layer, (Tensor(x, requires_grad=True),))

    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    def test_constants_are_exactly_beta(self, dtype):
        layer = nn.DecorrelatedBatchNorm1d(4, 2, dtype=np.dtype(dtype))
        layer.bias.array[...] = [0.3, -0.7, 1e3, 0.1]
        x = np.broadcast_to(np.array([0.1, 1e10, -3.7, 1e-5], dtype), (7, 4))
        np.testing.assert_array_equal(
            layer(Tensor(x)).array, np.broadcast_to(layer.bias.array, (7, 4))
        )

    def test_more_channels_than_values_stay_finite(self):
        layer = nn.DecorrelatedBatchNorm1d(4, dtype=F8)
        x = Tensor(RNG(0).standard_normal((3, 4)), requires_grad=True)
        y = layer(x)
        y.backward(Tensor(RNG(1).standard_normal((3, 4))))
        assert np.isfinite(y.array).all() and np.isfinite(x.grad.array).all()
        assert np.abs(y.array).max() < 3

    def test_refuses(self):
        with pytest.raises(ValueError, match="num_groups=3"):
            nn.DecorrelatedBatchNorm1d(4, 3)
        with pytest.raises(RuntimeError, match="running_cov has shape"):
            func.functional_call(
                nn.DecorrelatedBatchNorm1d(4),
                {"running_cov": minigrad.ones(4)},
                minigrad.ones(5, 4),
            )


@pytest.mark.parametrize(("name", "options", "shape"), SAMPLES)
def test_they_train(kernels, name, options, shape):
    """A few steps of gradient descent through the layer lower a loss."""
    minigrad.manual_seed(0)
    layer = getattr(nn, name)(4, **options)
    x = batch(shape, 3, "f4")
    size = int(np.prod(shape[1:]))
    target = minigrad.randn(shape[0], 2)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(size, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.5)
    losses = []
    for _ in range(30):
        loss = ((model(x) - target) ** 2).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
