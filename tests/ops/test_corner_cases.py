"""Lines that no table of cases reaches: arguments that are refused, and rare ways through an op,
beside PyTorch where it has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from sweeps import each

import minigrad as mg
from minigrad import Tensor
from minigrad.autograd.functional import hvp
from minigrad.nn import functional as F
from minigrad.ops.special import bessel_ratio

X, V, INTEGERS = mg.ones(3, 4), mg.ones(3), mg.tensor([0, 1, 2])
BOOLS, DOUBLE, ONE = mg.tensor([True, False]), mg.ones(3, 4).double(), mg.tensor(1.0)
IMAGE, VOLUME = mg.ones(1, 2, 4, 4), mg.ones(1, 2, 4, 4, 4)
ROWS = mg.ones(5, 3)


def ctc(targets: Any, sizes: Any, blank: int = 0) -> Any:
    return F.ctc_loss(mg.zeros(4, 2, 3), targets, mg.tensor([4, 4]), mg.tensor(sizes), blank)


def bag(indices: Any, offsets: Any = None, **options: Any) -> Any:
    return F.embedding_bag(indices, ROWS, offsets, **options)


def heads(mask: Any) -> Any:
    return mg.nn.MultiheadAttention(4, 2)(*[mg.ones(3, 1, 4)] * 3, attn_mask=mask)


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: F.hardtanh(BOOLS), RuntimeError, "hardtanh: bool tensors"),
    (lambda: F.adaptive_avg_pool2d(mg.ones(1, 2, 0, 4), 2), RuntimeError, "only N may be 0"),
    (lambda: F.adaptive_max_pool2d(mg.ones(1, 2, 0, 4), 2), RuntimeError, "only N may be 0"),
    (lambda: F.scaled_dot_product_attention(
        mg.ones(1, 3, 2, 4), mg.ones(1, 2, 2, 4), mg.ones(1, 2, 2, 4), enable_gqa=True),
     RuntimeError, "3 query heads do not divide among 2"),
    (lambda: F.multilabel_soft_margin_loss(ONE, ONE), ValueError, r"expected \(N, C\) or"),
    (lambda: mg.gcd(X, X), TypeError, "gcd: expected integer tensors"),
    (lambda: mg.isposinf(mg.from_numpy(np.ones(2, "c16"))), TypeError, "expected a real tensor"),
    (lambda: mg.nextafter(INTEGERS, INTEGERS), TypeError, "nextafter: expected floating"),
    (lambda: mg.allclose(X, DOUBLE), RuntimeError, "expected one dtype, got float32 and float64"),
    (lambda: F.conv_transpose2d(IMAGE, mg.ones(2, 3, 2, 2), V[:2]), RuntimeError, "bias"),
    (lambda: X.to(3.5), TypeError, "expected a dtype, a tensor or 'cpu'"),
    (lambda: mg.range(0, 3, -1), RuntimeError, "range: steps of -1.* do not lead from 0"),
    (lambda: mg.scalar_tensor(np.ones(2)), TypeError, "scalar_tensor: expected a number"),
    (lambda: ctc(mg.tensor([[1], [2]]), [1, 1], blank=3), RuntimeError, "blank must be one of 3"),
    (lambda: ctc(mg.ones(2, 1), [1, 1]), RuntimeError, "ctc_loss: targets"),
    (lambda: ctc(mg.tensor([[1], [2]]), [2, 1]), RuntimeError, "ctc_loss: targets"),
    (lambda: ctc(mg.tensor([[1], [3]]), [1, 1]), RuntimeError, "labels 0 to 2"),
    (lambda: F.mse_loss(X, X, weight=V), ValueError, "mse_loss: weight"),
    (lambda: bag(INTEGERS, mg.tensor([0]), mode="mean", per_sample_weights=V),
     NotImplementedError, "per_sample_weights"),
    (lambda: bag(INTEGERS, mg.tensor([0]), mode="sum", per_sample_weights=V[:2]),
     ValueError, "per_sample_weights"),
    (lambda: bag(INTEGERS, mg.tensor([0]), mode="max", scale_grad_by_freq=True),
     ValueError, "scale_grad_by_freq is for the other modes"),
    (lambda: bag(INTEGERS, mg.tensor([0]), sparse=True), NotImplementedError, "no sparse"),
    (lambda: bag(INTEGERS[None], mg.tensor([0])), ValueError, r"offsets are for integers \(N,\)"),
    (lambda: bag(INTEGERS, mg.tensor([1])), ValueError, "offsets"),
    (lambda: bag(INTEGERS, mg.tensor([0, 2, 1])), ValueError, "offsets must not fall"),
    (lambda: F.unfold(IMAGE, 5), RuntimeError, "unfold"),
    (lambda: F.unfold(mg.ones(2, 0, 4), 1), RuntimeError, "unfold"),
    (lambda: F.pixel_unshuffle(IMAGE, 3), RuntimeError, "pixel_unshuffle"),
    (lambda: F.channel_shuffle(IMAGE, 3), RuntimeError, "channel_shuffle"),
    (lambda: F.pixel_shuffle(X, 2), RuntimeError, r"expected an input \(…, C, H, W\)"),
    (lambda: F.pixel_shuffle(IMAGE, 0), RuntimeError, "must be at least 1, got 0"),
    (lambda: F.grid_sample(IMAGE, mg.zeros(2, 3, 3, 2)), RuntimeError, "grid_sample"),
    (lambda: F.grid_sample(mg.ones(1, 2, 0, 4), mg.zeros(1, 3, 3, 2)), RuntimeError, "no elements"),
    (lambda: F.grid_sample(VOLUME, mg.zeros(1, 2, 2, 2, 3), "bicubic"),
     NotImplementedError, "mode='bicubic' is for inputs"),
    (lambda: F.grid_sample(IMAGE, mg.zeros(1, 3, 3, 2).double()), RuntimeError, "one dtype"),
    (lambda: F.affine_grid(mg.zeros(1, 2, 2), (1, 1, 3, 3)), ValueError, "affine_grid"),
    (lambda: mg.histogram(V, mg.tensor([1.0, 0.0])), RuntimeError, "histogram"),
    (lambda: mg.gather(X, 1, mg.zeros(4, 1).long()), RuntimeError, "gather: index of shape"),
    (lambda: X.scatter(0, mg.zeros(1, 1).long()), TypeError, "give one of src"),
    (lambda: mg.take_along_dim(X, mg.zeros(2, 1).long(), 1), RuntimeError, "do not broadcast"),
    (lambda: F.one_hot(mg.zeros(0).long()), RuntimeError, "one_hot: give num_classes"),
    (lambda: mg.cat(X), TypeError, "cat: expected a sequence of tensors"),
    (lambda: V.repeat_interleave(mg.tensor([1, 2])), RuntimeError, "2 repeats for 3 slices"),
    (lambda: F.pad(X, (5, 0), mode="circular"), RuntimeError, "larger than size 4"),
    (lambda: mg.linalg.solve(X[:, :3], V, left=False), RuntimeError, "solve: vectors B"),
    (lambda: mg.linalg.svd(mg.randn(3, 2).requires_grad_())[0].sum().backward(),
     RuntimeError, "full_matrices=False"),
    (lambda: BOOLS @ BOOLS, RuntimeError, "bool tensors are not supported"),
    (lambda: mg.inner(V, mg.ones(2)), RuntimeError, "inner: the last sizes"),
    (lambda: F.cross_entropy(X, INTEGERS, weight=mg.ones(4).double()), RuntimeError, "weight has"),
    (lambda: F.cross_entropy(ONE, mg.tensor(0)), ValueError, "0-d tensor"),
    (lambda: heads(np.zeros((3, 3))), TypeError, "attn_mask must be a Tensor, got ndarray"),
    (lambda: np.std(X, out=np.ones(())), TypeError, "out= is not taken with a tensor"),
    (lambda: np.split(X, 3, axis=1), ValueError, "split"),
    (lambda: np.pad(X, 1, mode="edge"), TypeError, "mode='constant' is taken, got 'edge'"),
    (lambda: F.max_pool2d(IMAGE > 0, 2), RuntimeError, "bool tensors are not supported"),
    (lambda: F.max_pool3d(VOLUME > 0, 2), RuntimeError, "bool tensors are not supported"),
    (lambda: F.local_response_norm(X, 2), ValueError, "local_response_norm"),
    (lambda: mg.linalg.matrix_norm(X, dim=(0, 0)), RuntimeError, "names an axis twice"),
    (lambda: mg.vander(X), RuntimeError, "vander: expected a vector"),
    (lambda: mg.tensordot(X, X, [[0], [0], [0]]), RuntimeError, "a number or two lists"),
    (lambda: mg.cdist(mg.ones(2, 3, 2), mg.ones(4, 3, 2)), ValueError, "broadcast"),
    (lambda: mg.randint(5), TypeError, "randint: size must be given"),
    (lambda: mg.linalg.cond(mg.ones(0, 0)), RuntimeError, "cond: expected matrices"),
    (lambda: F.interpolate(IMAGE, 8, antialias=True), ValueError, "antialias=True"),
    (lambda: F.interpolate(X, 8), ValueError, "interpolate"),
    (lambda: F.interpolate(IMAGE, 8, align_corners=True), ValueError, "for the other modes"),
    (lambda: F.interpolate(IMAGE, 8, recompute_scale_factor=True), ValueError, "needs scale"),
    (lambda: F.interpolate(IMAGE, (8, 8, 8)), ValueError, "size"),
    (lambda: F.interpolate(IMAGE, scale_factor=0.1), RuntimeError, "leaves nothing of"),
    (lambda: mg.round(BOOLS), RuntimeError, "round: bool tensors"),
    (lambda: mg.index_put(X, 0, ONE), TypeError, "indices must be a tuple, got int"),
    (lambda: mg.ones(0).median(0), IndexError, "median: axis 0 of shape"),
    (lambda: mg.searchsorted(V, V, side="up"), RuntimeError, "'left' or 'right', got 'up'"),
    (lambda: mg.searchsorted(V, V, sorter=INTEGERS[:2]), RuntimeError, "sorter"),
    (lambda: mg.searchsorted(X, V), RuntimeError, "do not match"),
    (lambda: X.unflatten(1, (3, -1)), RuntimeError, "do not divide axis 1"),
    (lambda: X.unfold(1, 5, 1), RuntimeError, "size must be from 0 to 4"),
    (lambda: X.unfold(1, 2, 0), RuntimeError, "step must be at least 1"),
    (lambda: X.clone().fill_diagonal_(1) is mg.ones(2, 3, 3).fill_diagonal_(1),
     RuntimeError, "fill_diagonal_"),
    (lambda: mg.lu_unpack(X, mg.zeros(3)), RuntimeError, "lu_unpack"),
    (lambda: mg.lerp(X, DOUBLE, 0.5), RuntimeError, "expected one floating dtype, got"),
    (lambda: F.conv3d(VOLUME, mg.ones(1, 2, 2, 2, 2), padding="full"), ValueError, "padding must"),
    (lambda: F.conv3d(VOLUME, mg.ones(1, 2, 2, 2, 2), V), RuntimeError, "bias of shape"),
    (lambda: F.conv3d(VOLUME, mg.ones(1, 2, 5, 2, 2)), RuntimeError, "conv3d"),
    (lambda: F.conv_transpose3d(VOLUME, mg.ones(2, 1, 2, 2, 2), V), RuntimeError, "bias of shape"),
    (lambda: X.diagonal(0, 1, 1), RuntimeError, "both axis 1"),
    (lambda: mg.diagonal_scatter(X, V, 0, 1, 1), RuntimeError, "both axis 1"),
    (lambda: F.adaptive_avg_pool1d(mg.ones(1, 0, 4), 2), RuntimeError, "only N may be 0"),
    (lambda: F.adaptive_max_pool1d(mg.ones(1, 0, 4), 2), RuntimeError, "only N may be 0"),
    (lambda: mg.linalg.cond(mg.zeros(2, 2, 2), 1), RuntimeError, "inv"),
    (lambda: mg.func.jvp(mg.sin, [V], (V,)), TypeError, "jvp: expected a tuple"),
    (lambda: mg.autograd.Function.backward(None), NotImplementedError, "static backward"),
]  # fmt: skip


@each("row", range(len(REFUSED)), by=lambda row: "all", always=True)
@pytest.mark.filterwarnings("ignore")
def test_refused(row: int) -> None:
    call, kind, words = REFUSED[row]
    with pytest.raises(kind, match=words):
        call()


# The same function of either library, of numbers that are the same.
BOTH: list[Callable[[Any, Callable[..., Any]], Any]] = [
    lambda m, t: m.nn.functional.adaptive_avg_pool2d(t(1, 2, 4, 4).detach(), (0, 3)),
    lambda m, t: m.nn.functional.adaptive_avg_pool3d(t(1, 2, 4, 4, 4).detach(), (2, 0, 3)),
    lambda m, t: m.div(t(3, 4) * 9, t(3, 4) + 3, rounding_mode="trunc"),
    lambda m, t: m.div(m.tensor([7, -7, 6]), m.tensor([2, 2, -4]), rounding_mode="trunc"),
    lambda m, t: m.real(m.from_numpy(np.array([1 + 2j, 3.0]))),
    lambda m, t: m.linalg.cond(t(2, 2).detach() * 0, 1),
    lambda m, t: m.nn.functional.mse_loss(t(3, 4), t(4, 3).T, weight=t(3, 4) ** 2),
    lambda m, t: m.nn.functional.mse_loss(t(3, 4), t(4, 3).T, weight=t(3, 4) ** 2,
                                          reduction="sum"),
    lambda m, t: m.nn.functional.l1_loss(t(3, 4), t(4, 3).T, weight=t(3, 4) ** 2),
    lambda m, t: m.nn.functional.huber_loss(t(3, 4), t(4, 3).T, weight=t(3, 4) ** 2),
    lambda m, t: m.nn.functional.linear(t(2, 4), t(4)),
    lambda m, t: m.addmm(t(3, 3).detach(), t(3, 4), t(4, 3), beta=0),
    lambda m, t: m.einsum("ij,jk->ik", [t(3, 4), t(4, 3)]),
    lambda m, t: m.nn.functional.lp_pool1d(t(1, 2, 6), 2.0, 2),
    lambda m, t: m.tensordot(t(3, 1), t(4, 2), [[1], [0]]),
    lambda m, t: m.tensordot(t(3, 4), t(1, 2), [[1], [0]]),
    lambda m, t: m.linalg.cond(t(3, 1) @ t(1, 3) * 0, -2),
    lambda m, t: m.cov(t(2, 1), correction=3).isinf(),
    lambda m, t: t(3, 0).unfold(1, 0, 1),
    lambda m, t: t(0, 3).as_strided((0, 2), (1, 1)),
    lambda m, t: m.nan_to_num(m.tensor([1, 2])),
    lambda m, t: m.nn.functional.grid_sample(
        t(1, 2, 1, 4), t(1, 2, 2, 2), padding_mode="reflection", align_corners=True),
    lambda m, t: m.nn.functional.cross_entropy(
        t(3, 4), m.softmax(t(3, 4) ** 2, 1), weight=m.tensor([0.5, 1.0, 2.0, 3.0]).double(),
        label_smoothing=0.2),
    lambda m, t: t(3, 4).scatter(0, m.zeros(0, 4, dtype=m.int64), t(2, 2).detach()),
    lambda m, t: m.nn.functional.embedding_bag(
        m.zeros(0, dtype=m.int64), t(5, 3), m.tensor([0, 0]), mode="max"),
]  # fmt: skip


@each("row", range(len(BOTH)), by=lambda row: "all", always=True)
@pytest.mark.filterwarnings("ignore")
def test_as_in_pytorch(row: int) -> None:
    torch = pytest.importorskip("torch")
    results = []
    for m in (mg, torch):
        rng, leaves = np.random.default_rng(row), []

        def drawn(*shape: int, m: Any = m, rng: Any = rng, leaves: Any = leaves) -> Any:
            leaves.append(m.from_numpy(rng.standard_normal(shape)).requires_grad_())
            return leaves[-1]

        y = BOTH[row](m, drawn)
        found = [y.detach().numpy()]
        if y.requires_grad:
            g = m.from_numpy(np.random.default_rng(1).standard_normal(tuple(y.shape)))
            y.backward(g)
            found += [x.grad.numpy() for x in leaves if x.grad is not None]
        results.append(found)
    assert len(results[0]) == len(results[1])
    for a, b in zip(*results, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


class Place(NamedTuple):
    row: int
    column: int


def test_small_things() -> None:
    x = mg.arange(12.0).reshape(3, 4)
    assert x[Place(1, 2)].item() == 6  # a tuple as any other
    assert mg.is_tensor(X) and not mg.is_tensor(X.array)
    assert int(mg.tensor(3.7)) == 3
    assert repr(mg.use_kernels("numpy")) == "use_kernels('numpy')"
    assert mg.jit.script_method(abs) is abs
    assert isinstance(np.sum(X, out=None), Tensor)


def test_the_smallest_of_each_window() -> None:
    x = mg.tensor([[[3.0, -1.0, 0.5, 2.0]]], requires_grad=True)
    y = F.lp_pool1d(x, -np.inf, 2)
    y.sum().backward()
    assert y.tolist() == [[[1.0, 0.5]]]
    assert x.grad is not None and x.grad.tolist() == [[[0.0, -1.0, 1.0, 0.0]]]


def test_bools_left_out_of_a_scatter() -> None:
    places, values = mg.tensor([0, 0, 2]), mg.tensor([True, False, False])
    for reduce, expected in (("amax", [True, True, False]), ("amin", [False, True, False])):
        full = mg.ones(3).bool()
        assert full.scatter_reduce(0, places, values, reduce, include_self=False).tolist() == (
            expected
        )


def test_shapes_in_place_of_what_was_recorded() -> None:
    w = mg.ones(2, 3, requires_grad=True)
    y = w * 2
    with mg.no_grad(), pytest.raises(RuntimeError, match="the result of 'mul' keeps its shape"):
        y.t_()
    y.retain_grad()
    y.t_()
    (y * mg.arange(6.0).reshape(3, 2)).sum().backward()
    assert y.grad is not None and y.grad.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert w.grad is not None and w.grad.tolist() == [[0.0, 4.0, 8.0], [2.0, 6.0, 10.0]]


def test_the_second_derivative_of_a_ratio_of_bessel_functions() -> None:
    x, h = np.array([0.3, 2.0, 9.0]), 1e-4

    def slopes(at: Any) -> Any:
        leaf = mg.from_numpy(at).requires_grad_()
        return mg.autograd.grad(bessel_ratio(leaf).sum(), leaf)[0].numpy()

    direction = mg.ones(3).double()
    found = hvp(lambda v: bessel_ratio(v).sum(), mg.from_numpy(x), direction)[1]
    np.testing.assert_allclose(found.numpy(), (slopes(x + h) - slopes(x - h)) / (2 * h), 1e-6)


@pytest.mark.parametrize("name", ["remainder", "fmod"])
def test_remainders_of_large_finite_numbers(name: str, kernels: str) -> None:
    """With an infinity among them numpy's loop serves, and not the compiled one."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((130, 301)) * 9, rng.standard_normal((130, 301))
    b += np.copysign(0.5, b)
    g = rng.standard_normal(a.shape).astype("f4")
    x, y = (mg.from_numpy(v.astype("f4")).requires_grad_() for v in (a, b))
    found = getattr(mg, name)(x, y)
    found.backward(g)
    reference = {"remainder": np.remainder, "fmod": np.fmod}[name]
    whole = {"remainder": np.floor, "fmod": np.trunc}[name]
    p, q = (v.array.astype("f8") for v in (x, y))
    np.testing.assert_allclose(found.array, reference(p, q), 1e-5, 1e-5)
    assert x.grad is not None and y.grad is not None
    np.testing.assert_array_equal(x.grad.array, g)
    np.testing.assert_allclose(y.grad.array, -g * whole(p / q), 1e-5, 1e-5)


def test_what_no_loop_for_large_arrays_serves(kernels: str) -> None:
    x = mg.linspace(-3, 3, 40_000).requires_grad_()
    y = (-2.0) ** x
    assert np.isnan(y.array).any() and y[0].item() == -0.125 and y[-1].item() == -8
    target = mg.ones(2, 1)
    loss = F.hinge_embedding_loss(x.reshape(2, -1), target)
    assert loss.item() == pytest.approx(x.array.mean(), abs=1e-6)


def test_many_elements_named_by_several_axes(kernels: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    a = rng.standard_normal((3, 40, 50, 6)).astype("f4")
    i, j = rng.integers(-40, 40, 20_000), rng.integers(-50, 50, 20_000)
    for front in ((), (slice(None),)):
        source = a[0] if not front else a
        found = []
        for m in (mg, torch):
            x = m.from_numpy(source.copy()).requires_grad_()
            y = x[(*front, m.from_numpy(i), m.from_numpy(j))]
            y.backward(m.from_numpy(np.cos(np.arange(y.numel())).reshape(y.shape).astype("f4")))
            found.append((y.detach().numpy(), x.grad.numpy()))
        (ours, slope), (theirs, expected) = found
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_allclose(slope, expected, 1e-4, 1e-4)
        with pytest.raises(IndexError):
            mg.from_numpy(source)[(*front, mg.from_numpy(i + 1), mg.from_numpy(j))]


def test_dropout_of_channels_of_three_axes_warns() -> None:
    x = mg.ones(50, 8, 5)
    with pytest.warns(UserWarning, match="taken for \\(N, C, L\\)"):
        y = F.dropout2d(x, 0.5)
    kept = y.array[..., 0]
    assert (y.array == kept[..., None]).all() and set(np.unique(kept)) == {0.0, 2.0}
