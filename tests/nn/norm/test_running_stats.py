"""Running statistics have one protocol, for F and for layers: refused before anything moves, finite
or as they were, and counted last."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, nn
from minigrad.nn import functional as F
from minigrad.nn.utils import recalibrate

LAYERS = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), (6, 4)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), (3, 4, 5, 2)),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(4, track_running_stats=True), (3, 4, 5)),
    "BatchInstanceNorm2d": (lambda: nn.BatchInstanceNorm2d(4), (3, 4, 5, 2)),
    "BatchRenorm1d": (lambda: nn.BatchRenorm1d(4), (6, 4)),
    "LpBatchNorm1d": (lambda: nn.LpBatchNorm1d(4), (6, 4)),
    "DecorrelatedBatchNorm1d": (lambda: nn.DecorrelatedBatchNorm1d(4, 2), (6, 4)),
}
FUNCTIONS = {"batch_norm": (F.batch_norm, (6, 4)), "instance_norm": (F.instance_norm, (3, 4, 5))}


def batch(shape, seed=0):
    return Tensor((np.random.default_rng(seed).standard_normal(shape) * 3 + 5).astype("f4"))


def read_only(tensor):
    a = tensor.array.copy()
    a.flags.writeable = False
    return minigrad.from_numpy(a)


def expanded(tensor):
    return tensor[:1].expand(tensor.shape)


def repeated(tensor):
    """Writable, but all elements are one place in memory."""
    a = tensor.array.copy()
    return minigrad.from_numpy(np.lib.stride_tricks.as_strided(a, a.shape, (0,) * a.ndim))


UNFIT = {"read-only": read_only, "expanded": expanded, "repeated": repeated}


def arrays(tensors):
    return [t.array.copy() for t in tensors if t is not None]


def same(before, tensors):
    for old, now in zip(before, arrays(tensors), strict=True):
        np.testing.assert_array_equal(old, now)


def unfit_layers():
    """(layer, statistic, in what way it is unfit)."""
    for name, (make, _) in LAYERS.items():
        statistics = "running_mean", make().variance_name
        yield from ((name, s, unfit) for s in statistics for unfit in UNFIT)
        if name != "InstanceNorm1d":  # it counts no batches; one element shares with none
            yield name, "num_batches_tracked", "read-only"


class TestWhatCannotBeWrittenTo:
    @pytest.mark.parametrize(("name", "statistic", "unfit"), list(unfit_layers()))
    def test_is_refused_by_a_layer_and_nothing_moves(self, kernels, name, statistic, unfit):
        make, shape = LAYERS[name]
        layer = make()
        layer(batch(shape))
        names = ["running_mean", layer.variance_name, "num_batches_tracked"]
        setattr(layer, statistic, UNFIT[unfit](getattr(layer, statistic)))
        tensors = [getattr(layer, n) for n in names]
        before = arrays(tensors)
        with pytest.raises(RuntimeError, match=rf"{name}\(4\): {statistic} cannot.*clone"):
            layer(batch(shape, 1))
        same(before, tensors)
        layer.eval()(batch(shape, 1))  # in evaluation they are only read
        setattr(layer, statistic, getattr(layer, statistic).clone())
        layer.train()(batch(shape, 1))

    @pytest.mark.parametrize("which", [0, 1])
    @pytest.mark.parametrize("unfit", UNFIT)
    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_is_refused_by_a_function_and_nothing_moves(self, kernels, name, unfit, which):
        f, shape = FUNCTIONS[name]
        running = [minigrad.zeros(4), minigrad.ones(4)]
        running[which] = UNFIT[unfit](running[which])
        before = arrays(running)
        words = rf"{name}: running_{('mean', 'var')[which]} cannot.*clone"
        with pytest.raises(RuntimeError, match=words):
            f(batch(shape), *running, None, None, True)
        same(before, running)
        f(batch(shape), *running, None, None, False)

    def test_strides_of_their_own_are_no_reason(self, kernels):
        """Every other element of an array: no memory is shared."""
        layer, other = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
        a = np.zeros(8, "f4")
        layer.running_mean = minigrad.from_numpy(a[::2])
        layer(batch((6, 4)))
        other(batch((6, 4)))
        np.testing.assert_array_equal(a[::2], other.running_mean.array)
        assert not a[1::2].any()


class TestWhatIsNotFinite:
    @pytest.mark.parametrize("name", LAYERS)
    def test_a_layer_warns_once_at_the_line_that_calls_it(self, kernels, name):
        make, shape = LAYERS[name]
        layer, x = make(), batch(shape)
        x.array[1, 2] = np.nan
        with pytest.warns(RuntimeWarning, match=rf"{name}\(4.*said once") as caught:
            layer(x)
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            layer(x)

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_a_function_warns_each_time_at_the_line_that_calls_it(self, kernels, name):
        f, shape = FUNCTIONS[name]
        x = batch(shape)
        x.array[1, 2] = np.inf
        running = [minigrad.zeros(4), minigrad.ones(4)]
        for _ in range(2):
            with pytest.warns(RuntimeWarning, match=f"{name}: the input has NaN") as caught:
                f(x, *running, None, None, True)
            assert caught[0].filename == __file__
        assert all(np.isfinite(a).all() for a in arrays(running))

    @pytest.mark.parametrize("name", ["BatchNorm1d", "DecorrelatedBatchNorm1d"])
    def test_statistics_that_a_file_brought_in_as_nan_can_be_replaced(self, kernels, name):
        make, shape = LAYERS[name]
        layer = make()
        layer.running_mean.array[2] = layer.running_variance.array[...] = np.nan
        recalibrate(layer, [batch(shape)])
        mean, variance = layer.statistics(batch(shape))
        factor = layer.bessel_correction(6)
        np.testing.assert_allclose(layer.running_mean.array, mean, 1e-6)
        np.testing.assert_allclose(layer.running_variance.array, variance * factor, 1e-5, 1e-6)


REFUSALS = [
    (lambda x: F.batch_norm(x, None, None, training=True), (1, 4), "batch_norm: one value per ch"),
    (lambda x: nn.BatchNorm1d(4)(x), (1, 4), r"BatchNorm1d\(4\): one value per channel"),
    (lambda x: F.instance_norm(x), (2, 4, 1), "instance_norm: one value per channel and sample"),
    (lambda x: nn.InstanceNorm1d(4)(x), (2, 4, 1), r"InstanceNorm1d\(4\): one value per channel"),
    (lambda x: F.group_norm(x, 4), (1, 4), "group_norm: one value per group"),
    (lambda x: nn.GroupNorm(4, 4)(x), (2, 4), r"GroupNorm\(4, 4\): one value per group"),
]


@pytest.mark.parametrize(("call", "shape", "words"), REFUSALS)
def test_every_refusal_of_one_value_names_what_came_and_the_ways_out(call, shape, words):
    with pytest.raises(ValueError, match=words) as caught:
        call(batch(shape))
    for part in (str(shape), "the output would be beta", "Ways out: "):
        assert part in str(caught.value)
