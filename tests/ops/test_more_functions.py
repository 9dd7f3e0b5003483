"""Angles, thresholds, losses by distances: values, gradients and second ones against PyTorch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import func
from minigrad import nn as our_nn
from minigrad.autograd import gradcheck
from minigrad.nn import functional as F

torch = pytest.importorskip("torch")

UNIT = ("asin", "acos", "atanh", "arcsin", "arccos", "arctanh", "logit")
ABOVE = ("acosh", "arccosh")
ONE = [
    "tan", "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh", "atanh", "deg2rad", "rad2deg",
    "frac", "exp2", "erfc", "logit", "nan_to_num", "sinc", "arcsin", "arccos", "arctan", "arcsinh",
    "arccosh", "arctanh", "fix",
]  # fmt: skip
TWO = ["atan2", "hypot", "fmod", "copysign", "xlogy", "logaddexp", "logaddexp2", "fmax", "fmin",
       "arctan2", "float_power"]  # fmt: skip
SHAPES = [(3, 4), (), (0, 2)]
PAIRS = [((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2,)), ((0, 2), (2,))]
FUNCTIONAL: dict[str, Any] = {
    "tanhshrink": [{}], "hardshrink": [{}, {"lambd": 0.1}], "softshrink": [{}, {"lambd": 0.1}],
    "threshold": [{"threshold": 0.2, "value": -3.0}], "softmin": [{"dim": 0}, {"dim": -1}],
    "glu": [{}, {"dim": 1}],
}  # fmt: skip


def drawn(name: str, *shapes: Any) -> list[Any]:
    rng = np.random.default_rng(4)
    arrays = [np.asarray(rng.standard_normal(s)) for s in shapes]
    if name in UNIT:
        return [np.asarray(0.05 + 0.9 / (1 + np.exp(-a))) for a in arrays]
    if name in ABOVE or name in ("xlogy", "float_power"):
        return [np.asarray(np.abs(a) + 1.1) for a in arrays]
    return arrays


def check(call: Any, arrays: Any, second: bool = True) -> None:
    """The value, the gradient, gradcheck and the second derivative."""
    ours = [minigrad.from_numpy(a.copy()).requires_grad_() for a in arrays]
    theirs = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        y, t = call(minigrad, *ours), call(torch, *theirs)
    assert y.shape == t.shape
    np.testing.assert_allclose(y.array, t.detach().numpy(), 1e-12, 1e-14)
    w = np.asarray(np.random.default_rng(5).standard_normal(t.shape))

    def value(m: Any, *xs: Any) -> Any:
        y = call(m, *xs)
        return (m.from_numpy(w) * y).sum() + (m.from_numpy(w) * y * y).sum()

    numbers = tuple(range(len(ours)))
    first = func.grad(lambda *xs: value(minigrad, *xs), numbers)(*ours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        expected = torch.autograd.grad(value(torch, *theirs), theirs, create_graph=True)
    for g, e in zip(first, expected, strict=True):
        np.testing.assert_allclose(g.array, e.detach().numpy(), 1e-10, 1e-12)
    if all(a.size for a in arrays):
        assert gradcheck(lambda *xs: call(minigrad, *xs), tuple(ours))
    if not second or not all(e.requires_grad for e in expected):
        return
    sum((g * g).sum() for g in first).backward()
    sum((e * e).sum() for e in expected).backward()
    for x, u in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x.grad.array, u.grad.numpy(), 1e-9, 1e-11)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ONE)
def test_of_one(name: str, shape: Any) -> None:
    check(lambda m, x: getattr(m, name)(x), drawn(name, shape), name != "sinc")
    x = minigrad.from_numpy(drawn(name, shape)[0])
    np.testing.assert_array_equal(getattr(x, name)().array, getattr(minigrad, name)(x).array)


@pytest.mark.parametrize("shapes", PAIRS)
@pytest.mark.parametrize("name", TWO)
def test_of_two(name: str, shapes: Any) -> None:
    check(lambda m, x, y: getattr(m, name)(x, y), drawn(name, *shapes))


@pytest.mark.parametrize("name", [*ONE, *TWO, "heaviside", "signbit"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_special_values(name: str, dtype: str) -> None:
    """Values and gradients where functions break."""
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 100.0, -100.0], dtype)
    arrays = [odd] if name in (*ONE, "signbit") else [a.ravel() for a in np.meshgrid(odd, odd)]
    ours = [minigrad.from_numpy(a.copy()) for a in arrays]
    theirs = [torch.from_numpy(a.copy()) for a in arrays]
    y, t = getattr(minigrad, name)(*ours), getattr(torch, name)(*theirs)
    assert y.dtype == t.numpy().dtype
    rtol = 1e-12 if dtype == "f8" or name == "float_power" else 2e-5
    if name in ("deg2rad", "rad2deg", "exp2", "logaddexp2", "tan"):
        rtol = max(rtol, 1e-5 if dtype == "f4" else 1e-12)
    np.testing.assert_allclose(y.array, t.numpy(), rtol, 1e-6 if dtype == "f4" else 1e-12)


@pytest.mark.parametrize("name", ["atan2", "fmod", "fmax", "xlogy", "deg2rad", "sinh", "heaviside"])
def test_integers(name: str) -> None:
    arrays = [np.array([3, -4, 0]), np.array([2, 3, 5])][: 1 if name in ONE else 2]
    y = getattr(minigrad, name)(*map(minigrad.from_numpy, arrays))
    t = getattr(torch, name)(*map(torch.from_numpy, arrays))
    assert y.dtype == t.numpy().dtype
    np.testing.assert_allclose(y.array, t.numpy(), 1e-6)


def test_arguments() -> None:
    x = np.array([0.0, 0.2, 0.9, 1.0])
    check(lambda m, x: m.logit(x, 0.1), [x + 0.01], second=False)
    odd = np.array([np.nan, np.inf, -np.inf, 2.0])
    for options in ({}, {"nan": 1.0}, {"posinf": 5.0, "neginf": -6.0}):
        y = minigrad.nan_to_num(minigrad.from_numpy(odd), **options)
        np.testing.assert_array_equal(
            y.array, torch.nan_to_num(torch.from_numpy(odd), **options).numpy()
        )
    check(lambda m, x, y, z: m.addcdiv(x, y, z, value=0.5),
          [*drawn("", (3, 4), (4,)), drawn("acosh", (3, 1))[0]])  # fmt: skip
    a, b, c = (minigrad.from_numpy(v) for v in drawn("acosh", (3,), (3,), (3,)))
    expected = a.array + 2 * b.array / c.array
    assert a.addcdiv_(b, c, value=2) is a
    np.testing.assert_allclose(a.array, expected, 1e-14)
    check(lambda m, x: m.clamp_min(x, 0.1) + m.clamp_max(x, 0.3), drawn("", (3, 4)))


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_functional(name: str) -> None:
    for options in FUNCTIONAL[name]:
        with_name = lambda m, x, o=options: getattr(m.nn.functional, name)(x, **o)  # noqa: E731
        check(with_name, drawn("", (3, 4)))
        layer = {"tanhshrink": "Tanhshrink", "glu": "GLU"}.get(name, name.capitalize())
        x = minigrad.from_numpy(drawn("", (3, 4))[0])
        module = getattr(our_nn, layer)(**options)
        np.testing.assert_array_equal(module(x).array, with_name(minigrad, x).array)
        assert repr(module) == repr(getattr(torch.nn, layer)(**options))


def test_gumbel_softmax() -> None:
    minigrad.manual_seed(0)
    x = minigrad.zeros(5000, 3) + minigrad.tensor([0.0, 1.0, 2.0])
    hard = F.gumbel_softmax(x, tau=0.5, hard=True)
    assert set(np.unique(hard.array)) == {0.0, 1.0} and (hard.array.sum(1) == 1).all()
    # frequencies of 5000 draws: within four deviations of the softmax
    expected = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    np.testing.assert_allclose(hard.array.mean(0), expected, atol=4 * np.sqrt(0.25 / 5000))
    w = minigrad.from_numpy(np.random.default_rng(0).standard_normal((4, 3)))
    leaf = minigrad.from_numpy(np.random.default_rng(1).standard_normal((4, 3))).requires_grad_()
    assert gradcheck(lambda x: F.gumbel_softmax(x, tau=0.7, dim=0), (leaf,))
    grads = []
    for hard_ in (False, True):
        minigrad.manual_seed(3)
        (F.gumbel_softmax(leaf, tau=0.7, hard=hard_) * w).sum().backward()
        grads.append(leaf.grad.array.copy())
        leaf.grad = None
    np.testing.assert_array_equal(*grads)


CLASS = minigrad.zeros(5, dtype=minigrad.int64)
SIGNS = np.array([1.0, -1.0, -1.0, 1.0, 1.0])
COUNTS = np.array([[0.0, 1, 3, 2], [1, 7, 0, 4], [2, 2, 5, 1], [0, 0, 1, 3], [6, 1, 2, 0]])
CLASSES, WEIGHTS = np.array([2, 0, 1, 3, 3]), np.array([0.5, 1.0, 2.0, 0.1])
NAMED = np.array([[2, 0, -1, 1], [-1, 1, 2, 3], [3, 3, 1, -1], [0, 1, 2, 3], [1, -1, -1, -1]])
N = (5, 4)
LOSSES: dict[str, Any] = {
    "margin_ranking_loss": ([(5,), (5,)], [SIGNS], [{}, {"margin": 0.5}]),
    "hinge_embedding_loss": ([(5,)], [SIGNS], [{}, {"margin": 0.3}]),
    "soft_margin_loss": ([(5,)], [SIGNS], [{}]),
    "multi_margin_loss": ([N], [CLASSES], [{}, {"margin": 0.3}, {"p": 2, "weight": WEIGHTS}]),
    "multilabel_margin_loss": ([N], [NAMED], [{}]),
    "multilabel_soft_margin_loss": ([N], [COUNTS / 7], [{}, {"weight": WEIGHTS}]),
    "cosine_embedding_loss": ([N, N], [SIGNS], [{}, {"margin": 0.2}]),
    "triplet_margin_loss": ([N, N, N], [], [{}, {"margin": 0.5, "p": 3.0}, {"swap": True},
                            {"p": 1.0}]),
    "triplet_margin_with_distance_loss": ([N, N, N], [], [{}, {"swap": True, "margin": 2.0}]),
    "poisson_nll_loss": ([N], [COUNTS], [{}, {"full": True}, {"log_input": False}]),
    "gaussian_nll_loss": ([N, N, N], [], [{}, {"full": True}, {"eps": 0.5}]),
}  # fmt: skip
LAYERS = {
    "margin_ranking_loss": "MarginRankingLoss", "hinge_embedding_loss": "HingeEmbeddingLoss",
    "multi_margin_loss": "MultiMarginLoss", "multilabel_margin_loss": "MultiLabelMarginLoss",
    "multilabel_soft_margin_loss": "MultiLabelSoftMarginLoss",
    "soft_margin_loss": "SoftMarginLoss", "cosine_embedding_loss": "CosineEmbeddingLoss",
    "triplet_margin_loss": "TripletMarginLoss", "poisson_nll_loss": "PoissonNLLLoss",
    "triplet_margin_with_distance_loss": "TripletMarginWithDistanceLoss",
    "gaussian_nll_loss": "GaussianNLLLoss",
}  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, reduction: str) -> None:
    shapes, targets, several = LOSSES[name]
    inputs = drawn("", *shapes)
    if name in ("gaussian_nll_loss", "poisson_nll_loss"):
        inputs[-1] = np.abs(inputs[-1]) + 0.1  # a variance, or a rate
    for plain in several:

        def of(m: Any, plain: Any = plain) -> Any:
            weighted = {k: m.from_numpy(v) for k, v in plain.items() if k == "weight"}
            return {**plain, **weighted, "reduction": reduction}

        def call(m: Any, *xs: Any, of: Any = of) -> Any:
            given = [*xs, *map(m.from_numpy, targets)]
            return getattr(m.nn.functional, name)(*given, **of(m))

        # PyTorch has no second derivatives of margins between classes
        check(call, inputs, second=not name.startswith(("multi_", "multilabel_m")))
        layer = getattr(our_nn, LAYERS[name])(**of(minigrad))
        expected = getattr(torch.nn, LAYERS[name])(**of(torch))
        assert list(layer.state_dict()) == list(expected.state_dict())
        assert repr(layer) == repr(expected)
        given = [*inputs, *targets]
        np.testing.assert_allclose(
            layer(*map(minigrad.from_numpy, given)).array,
            expected(*map(torch.from_numpy, given)).numpy(), 1e-12,
        )  # fmt: skip


@pytest.mark.parametrize("name", ["multi_margin_loss", "multilabel_margin_loss"])
def test_margins_of_one_row_and_none(name: str) -> None:
    """Without rows the mean is NaN, as of other losses; PyTorch's is what lay in memory."""
    loss, rows = getattr(F, name), int(name.startswith("multil"))
    row, row_t = minigrad.tensor([0.3, 0.1, 0.9]), minigrad.tensor([2, -1, 0] if rows else 2)
    both = [loss(row, row_t), loss(row[None], row_t[None])]
    if not rows:
        both.append(loss(row, row_t[None]))
        assert loss(row, row_t[None], reduction="none").shape == (1,)
    assert len({y.item() for y in both}) == 1 and both[0].shape == ()
    none = minigrad.zeros(0, 3), minigrad.zeros((0, 3)[: 1 + rows], dtype=minigrad.int64)
    assert np.isnan(loss(*none).item()) and loss(*none, reduction="none").shape == (0,)


def test_rrelu() -> None:
    """In training, slopes that are spread evenly between the two; otherwise their mean."""
    check(lambda m, x: m.nn.functional.rrelu(x, 0.1, 0.4), drawn("", (3, 4)))
    check(lambda m, x: m.nn.functional.rrelu(x, 0.25, 0.25, True), drawn("", (3, 4)))
    x = minigrad.tensor([[-2.0, 3.0, 0.0]] * 4000, requires_grad=True)
    layer = our_nn.RReLU(0.1, 0.3)
    assert repr(layer) == repr(torch.nn.RReLU(0.1, 0.3))
    y = layer(x)
    y.sum().backward()
    slopes = x.grad.array
    np.testing.assert_array_equal(y.array[:, :2], x.array[:, :2] * slopes[:, :2])
    assert (slopes[:, 1] == 1).all() and slopes[:, 0].min() >= 0.1 and slopes[:, 0].max() <= 0.3
    np.testing.assert_allclose(np.quantile(slopes[:, 0], [0.1, 0.5, 0.9]), [0.12, 0.2, 0.28],
                               atol=0.01)  # fmt: skip
    assert layer.eval()(x)[0, 0].item() == pytest.approx(-0.4)


def test_distances() -> None:
    for options in ({}, {"p": 1.0, "keepdim": True}, {"p": 3.0, "eps": 0.1}):
        check(lambda m, x, y, o=options: m.nn.functional.pairwise_distance(x, y, **o),
              drawn("", N, N))  # fmt: skip
    x, y = (minigrad.from_numpy(a) for a in drawn("", N, N))
    np.testing.assert_array_equal(
        our_nn.PairwiseDistance(1.0)(x, y).array, F.pairwise_distance(x, y, 1.0).array
    )
    np.testing.assert_array_equal(
        our_nn.CosineSimilarity(0)(x, y).array, F.cosine_similarity(x, y, 0).array
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.glu(x[:, :3]), RuntimeError, "glu: expected an even size"),
        (lambda x: F.softshrink(x, -1), ValueError, "softshrink: lambd"),
        (lambda x: F.triplet_margin_loss(x, x, x, margin=0), ValueError, "margin must be above 0"),
        (lambda x: F.gaussian_nll_loss(x, x, -1.0), ValueError, "negative elements"),
        (lambda x: F.gaussian_nll_loss(x, x, x[:2]), ValueError, "var of shape"),
        (lambda x: F.cosine_embedding_loss(x, x, x), RuntimeError, "cosine_embedding_loss"),
        (lambda x: F.margin_ranking_loss(x, x, x[0]), RuntimeError, "margin_ranking_loss"),
        (lambda x: F.soft_margin_loss(x, x, reduction="all"), ValueError, "reduction"),
        (lambda x: F.multi_margin_loss(x, x[:, 0]), RuntimeError, "multi_margin_loss: expected sc"),
        (lambda x: F.multi_margin_loss(x, CLASS, p=3), ValueError, "p must be 1 or 2, got 3"),
        (lambda x: F.multi_margin_loss(x, 9 + CLASS), IndexError, "index 9 is out of range 0 to 3"),
        (lambda x: F.multi_margin_loss(x, CLASS, weight=x[0, :2]), ValueError, "weight of shape"),
        (lambda x: F.multi_margin_loss(x, CLASS, reduction="a"), ValueError, "_loss: reduction"),
        (lambda x: F.multilabel_margin_loss(x, x), RuntimeError, "classes of dtype int64"),
        (lambda x: F.multilabel_margin_loss(x, 9 * x.long()), RuntimeError, "from 0 to 3, and -1"),
        (lambda x: F.multilabel_soft_margin_loss(x, x[0]), ValueError, "target of shape"),
        (lambda x: our_nn.MultiMarginLoss(3), ValueError, "MultiMarginLoss: p must be 1 or 2"),
        (lambda x: F.rrelu(x, 0.5, 0.2, True), RuntimeError, "rrelu: expected finite lower <="),
        (lambda x: our_nn.RReLU(0.5, 0.2), ValueError, "RReLU: upper must be at least 0.5"),
        (lambda x: minigrad.fmod(x.long(), 0), RuntimeError, "fmod: integer division by zero"),
    ],
)
def test_refusals(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(minigrad.ones(5, 4))


# ---------------------------------------------------------------------------- rows: running, sorted

ROWS = [(4, 5), (3, 1, 2), (1,), (), (0, 3)]
GAPS = np.array([[1.5, np.nan, -2, 0.5, 7], [np.nan] * 5, [3.3, 3.6, 1.2, np.nan, np.nan],
                 [5, 4, 3, 2, 1]])  # fmt: skip


@pytest.mark.parametrize("shape", ROWS)
@pytest.mark.parametrize("dim", [0, -1])
@pytest.mark.parametrize("name", ["logcumsumexp", "cummax", "cummin"])
def test_running(name: str, dim: int, shape: Any, kernels: str) -> None:
    def call(m: Any, x: Any) -> Any:
        y = getattr(m, name)(x, dim)
        return y if name == "logcumsumexp" else y.values

    check(call, drawn(name, shape))
    if shape and name != "logcumsumexp":  # of those that tie the last, and a NaN stays
        a = np.array([2.0, 2, 1, 2, np.nan, 3, np.nan])
        ours, theirs = (getattr(m, name)(m.tensor(a), 0) for m in (minigrad, torch))
        assert ours.indices.tolist() == theirs.indices.tolist()
        np.testing.assert_array_equal(ours.values.numpy(), theirs.values.numpy())
        ints = np.array([[3, 1, 3], [0, 5, 2]])
        np.testing.assert_array_equal(call(minigrad, minigrad.tensor(ints)).numpy(),
                                      call(torch, torch.tensor(ints)).numpy())  # fmt: skip


def test_logcumsumexp_far_from_zero() -> None:
    """float32 sums of e^x overflow at 89; here nothing does, and infinities are what they are."""
    rng = np.random.default_rng(0)
    for offset in (0, 1e4, -1e4):
        a = (offset + rng.standard_normal((3, 6))).astype("f4")
        x = minigrad.tensor(a, requires_grad=True)
        t = torch.tensor(a.astype("f8"), requires_grad=True)
        w = rng.standard_normal((3, 6))
        (minigrad.logcumsumexp(x, 1) * minigrad.tensor(w.astype("f4"))).sum().backward()
        (torch.logcumsumexp(t, 1) * torch.from_numpy(w)).sum().backward()
        # y in float32 has an error of half an ulp, 5e-4 at 1e4, which the exponent carries
        np.testing.assert_allclose(x.grad.array, t.grad.numpy(), 0, 1e-5 if not offset else 5e-3)
    ends = np.array([-np.inf, -np.inf, 1.0, np.inf, 2.0])
    ours, theirs = (m.logcumsumexp(m.tensor(ends), 0).numpy() for m in (minigrad, torch))
    np.testing.assert_allclose(ours, theirs, 1e-12)


@pytest.mark.parametrize("name", ["nansum", "nanmean", "nanquantile", "quantile"])
@pytest.mark.parametrize(
    "options", [{}, {"dim": 1}, {"dim": 0, "keepdim": True}, {"keepdim": True}]
)
def test_with_gaps(name: str, options: Any, kernels: str) -> None:
    """Values and gradients among NaNs, in both precisions."""
    given = (0.3,) if "quantile" in name else ()
    for dtype, tolerance in (("f8", 1e-12), ("f4", 1e-6)):
        a = GAPS.astype(dtype)
        got = []
        for m in (minigrad, torch):
            x = m.from_numpy(a.copy()).requires_grad_()
            y = getattr(m, name)(x, *given, **options)
            method = getattr(x, name)(*given, **options)
            np.testing.assert_array_equal(method.detach().numpy(), y.detach().numpy())
            w = np.random.default_rng(3).standard_normal(tuple(y.shape)).astype(dtype)
            # where all is NaN, it is chance which of them a gradient would go to
            (m.from_numpy(np.asarray(w)) * y).nansum().backward()
            got.append((y.detach().numpy(), x.grad.numpy()))
        for ours, theirs in zip(*got, strict=True):
            assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, tolerance, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
def test_quantiles(name: str, interpolation: str, kernels: str) -> None:
    for q in (0.0, 0.4, 0.75, 1.0, [0.1, 0.5, 0.93]):
        for dim in (None, 0, -1):

            def call(m: Any, x: Any, q: Any = q, dim: Any = dim) -> Any:
                q = m.tensor(q, dtype=m.float64)
                return getattr(m, name)(x, q, dim, interpolation=interpolation)

            check(call, drawn(name, (4, 5)), second=False)
    # q is differentiated, too
    check(lambda m, x, q: getattr(m, name)(x, q.sigmoid(), 1), drawn(name, (4, 5), (3,)), False)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m: m.quantile(m.ones(3), 1.5), "quantile: q must be from 0 to 1"),
        (lambda m: m.quantile(m.ones(0), 0.5), "quantile: expected at least one element"),
        (lambda m: m.quantile(m.ones(3), m.ones(2, 2)), "quantile: q must be a number or a vector"),
        (lambda m: m.quantile(m.ones(3), m.ones(2).double()), "quantile: q has dtype float64"),
        (lambda m: m.nanquantile(m.arange(3), 0.5), "nanquantile: expected a floating tensor"),
        (lambda m: m.quantile(m.ones(3), 0.5, interpolation="cubic"), "quantile: interpolation"),
        (lambda m: m.nanmean(m.arange(3)), "nanmean: expected a floating tensor"),
        (lambda m: m.logcumsumexp(m.arange(3), 0), "logcumsumexp: expected a floating tensor"),
        (lambda m: m.cummax(m.ones(3), 1), "cummax"),
        (lambda m: m.ones(3).masked_scatter(m.ones(3) > 0, m.ones(2)), "masked_scatter: 3 places"),
        (lambda m: m.ones(3).masked_scatter(m.ones(3), m.ones(3)), "masked_scatter: the mask"),
        (lambda m: m.ones(3).masked_scatter_(m.ones(2, 3) > 0, m.ones(6)), "masked_scatter_: "),
        (lambda m: m.ones(3).scatter_reduce(0, m.tensor([3]), m.ones(1), "sum"), "index 3"),
        (lambda m: m.ones(3).scatter_reduce(0, m.tensor([1]), m.ones(1), "std"), "reduce"),
        (lambda m: m.ones(3).scatter_reduce(0, m.arange(2), m.ones(1), "sum"), "for a src of"),
        (lambda m: m.ones(3).scatter_reduce(0, m.arange(2), m.arange(2), "sum"), "src has dtype"),
        (lambda m: m.ones(3).put(m.tensor([3]), m.ones(1)), "put: index 3"),
        (lambda m: m.ones(3).put(m.tensor([-4]), m.ones(1)), "put: index -1"),
        (lambda m: m.ones(3).put(m.tensor([1.0]), m.ones(1)), "put: the index must be an integer"),
        (lambda m: m.ones(3).put(m.tensor([1]), m.ones(2)), "put: source has 2 elements"),
        (lambda m: m.ones(3).put_(m.tensor([1]), m.arange(1)), "put: got values of dtype int64"),
        (lambda m: m.ones(3).index_put((m.tensor([1]),), m.arange(1)), "index_put: got values"),
        (lambda m: m.ones(3).index_put((m.tensor([3]),), m.ones(1)), "index_put: index"),
        (lambda m: m.ones(3).index_put((m.tensor([1, 2]),), m.ones(3)), "index_put: shapes"),
        (lambda m: m.ones(3).index_put_((m.tensor([1]),), m.ones(3)), "index_put: values of"),
    ],
)  # fmt: skip
def test_refused(call: Any, text: str) -> None:
    with pytest.raises((RuntimeError, IndexError)):
        call(torch)
    with pytest.raises((RuntimeError, IndexError, TypeError, ValueError), match=text):
        call(minigrad)


# ---------------------------------------------------------------------------- scattering


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
def test_scatter_reduce(reduce: str, include_self: bool, kernels: str) -> None:
    index = np.array([[0, 2, 2], [1, 1, 2]])

    def call(m: Any, x: Any, src: Any) -> Any:
        i = m.from_numpy(index)
        return m.scatter_reduce(x, 1, i, src, reduce, include_self=include_self)

    # second derivatives: PyTorch has none of a maximum's ties
    check(call, drawn("scatter", (3, 4), (2, 3)), second=reduce in ("sum", "mean"))
    ties = [np.array([[1.0, 0, 2, 2], [0, 0, 1, 0]]), np.array([[0.0, 2, 2], [0, 0, 1]])]
    got = []
    for m in (minigrad, torch):  # equal elements share, and of a product one may be 0, or two
        x, src = (m.from_numpy(a.copy()).requires_grad_() for a in ties)
        y = call(m, x, src)
        (y * m.arange(8).reshape(2, 4)).sum().backward()
        changed = m.from_numpy(ties[0].copy())
        changed.scatter_reduce_(1, m.from_numpy(index), m.from_numpy(ties[1]), reduce,
                                include_self=include_self)  # fmt: skip
        got.append([y.detach().numpy(), x.grad.numpy(), src.grad.numpy(), changed.numpy()])
        whole = m.arange(4).scatter_reduce(0, m.tensor([1, 1]), m.tensor([9, -4]), reduce,
                                           include_self=include_self)  # fmt: skip
        got[-1].append(whole.numpy())
    for ours, theirs in zip(*got, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-12)


@pytest.mark.parametrize("accumulate", [False, True])
def test_put(accumulate: bool, kernels: str) -> None:
    once, twice = np.array([[0, -1, 4]]), np.array([1, 1, -11])
    for shape in ((3, 4), (12,)):
        for index, source in ((once, (3,)), (once, (1, 3)), (np.zeros((0, 2), int), (0,)),
                              (twice, (3,))):  # fmt: skip
            if index is twice and not accumulate:
                continue  # there PyTorch gives those that were written over a gradient
            check(lambda m, x, s, i=index: m.put(x, m.from_numpy(i), s, accumulate),
                  drawn("put", shape, source), second=False)  # fmt: skip
    mask, i, j = np.array([[True, False, True]] * 2), np.array([[1], [0]]), np.array([2, 0, 1])
    for indices, values in (((mask,), (4,)), ((mask,), ()), ((i, j), (2, 3)), ((i, j), (3,)),
                            ((np.array([1]),), (1, 3)), ((np.array([1, 1, -1]), j), (3,)),
                            ((np.array([True, False]),), (3,))):  # fmt: skip
        check(lambda m, x, v, k=indices: m.index_put(x, tuple(map(m.from_numpy, k)), v, accumulate),
              drawn("index_put", (2, 3), values), second=False)  # fmt: skip
    for m in (minigrad, torch):
        x, i, v = m.zeros(2, 2), m.tensor([0, 3, 0]), m.tensor([1.0, 2.0, 3.0])
        assert x.put_(i, v, accumulate) is x
        assert x.tolist() == [[4 if accumulate else 3, 0], [0, 2]]
        assert x.index_put_((i[1:2] - 2, i[:2] // 3), v[0], accumulate=accumulate) is x
        assert x.tolist() == [[4, 0], [1, 3]] if accumulate else [[3, 0], [1, 1]]
        assert (
            m.tensor(2.0).put(m.tensor(0), m.tensor(5.0), accumulate).item() == 5 + 2 * accumulate
        )
        bools = m.tensor([True, False]).put(m.tensor([0, 1]), m.tensor([True, False]), accumulate)
        assert bools.tolist() == [True, False]
    y = minigrad.zeros(3, requires_grad=True)
    s = minigrad.ones(2, requires_grad=True)
    y.put(minigrad.tensor([1, 1]), s).sum().backward()
    assert y.grad.tolist() == [1, 0, 1] and s.grad.tolist() == [0, 1]


def test_masked_scatter(kernels: str) -> None:
    mask = np.array([[True, False, True, True], [False, True, False, False]])

    def call(m: Any, x: Any, source: Any) -> Any:
        return m.masked_scatter(x, m.from_numpy(mask), source)

    check(call, drawn("masked_scatter", (2, 4), (3, 2)))
    check(call, drawn("masked_scatter", (4,), (5,)))
    for m in (minigrad, torch):
        x = m.zeros(2, 4).masked_scatter_(m.from_numpy(mask), m.arange(1.0, 7.0))
        assert x.tolist() == [[1, 0, 2, 3], [0, 4, 0, 0]]


def test_sgn() -> None:
    x = minigrad.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    assert x.sgn().tolist() == [-1, 0, 1] == minigrad.sgn(x).tolist()
    x.sgn().sum().backward()
    assert x.grad.tolist() == [0, 0, 0] and x.detach().sgn_().tolist() == [-1, 0, 1]


@pytest.mark.parametrize("p", [0, 1, 2, 3, np.inf, "fro"])
def test_a_norm_in_another_dtype(p: Any) -> None:
    values = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    x, r = minigrad.from_numpy(values).requires_grad_(), torch.from_numpy(values).requires_grad_()
    y, e = minigrad.norm(x, p, 1, dtype=minigrad.float64), torch.norm(r, p, 1, dtype=torch.float64)
    np.testing.assert_allclose(y.detach().numpy(), e.detach().numpy(), rtol=1e-14)
    assert y.dtype == np.float64
    assert minigrad.tensor([3, 4]).norm(p, dtype=minigrad.float32).dtype == np.float32
    if p:
        y.sum().backward(), e.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), r.grad.numpy(), rtol=1e-6)


def test_arange_refuses_a_step_that_an_integer_dtype_makes_0() -> None:
    with pytest.raises(ValueError, match="step must be nonzero"):
        torch.arange(0, 3, 0.5, dtype=torch.int64)
    with pytest.raises(RuntimeError, match=r"arange: a step of 0\.5 is 0 in int64"):
        minigrad.arange(0, 3, 0.5, dtype=minigrad.int64)
    with pytest.raises(RuntimeError, match="arange: steps of 1 do not lead from 0 to inf"):
        minigrad.arange(0, np.inf, dtype=minigrad.int64)
