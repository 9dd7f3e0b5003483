"""All kinds of distributions on random parameters, against PyTorch's."""

from __future__ import annotations

import inspect
import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import distributions as ours

torch = pytest.importorskip("torch")
stats: Any = pytest.importorskip("scipy.stats")
theirs = torch.distributions
DTYPES = [np.float64, np.float32]
# Formulas differ in the order of their terms; lgamma and digamma of single precision, in PyTorch,
# are off by some 1e-6, and differences of them by more.
TOLERANCE = {np.float64: 1e-9, np.float32: 3e-4}

DRAW: dict[str, Callable[[Any, Any], Any]] = {
    "real": lambda rng, shape: rng.normal(size=shape),
    "positive": lambda rng, shape: rng.uniform(0.4, 4, shape),
    "wide": lambda rng, shape: rng.uniform(2.5, 5, shape),  # all moments up to the second exist
    "unit": lambda rng, shape: rng.uniform(0.1, 0.9, shape),
    "count": lambda rng, shape: np.float64(7),
    "row": lambda rng, shape: rng.uniform(0.4, 3, (*shape, 3)),
    "scores": lambda rng, shape: rng.normal(size=(*shape, 3)),
    "triangle": lambda rng, shape: np.tril(rng.normal(size=(*shape, 3, 3))) + 3 * np.eye(3),
    "definite": lambda rng, shape: _square(rng.normal(size=(*shape, 3, 3))) + np.eye(3),
    "temperature": lambda rng, shape: rng.uniform(0.5, 2),
}


def _square(a: Any) -> Any:
    return a @ np.swapaxes(a, -1, -2)


LOC_SCALE = {"loc": "real", "scale": "positive"}
FAMILIES = {
    "Normal": LOC_SCALE,
    "Laplace": LOC_SCALE,
    "Cauchy": LOC_SCALE,
    "Gumbel": LOC_SCALE,
    "LogNormal": {"loc": "real", "scale": "unit"},
    "HalfNormal": {"scale": "positive"},
    "HalfCauchy": {"scale": "positive"},
    "Exponential": {"rate": "positive"},
    "Gamma": {"concentration": "positive", "rate": "positive"},
    "Chi2": {"df": "positive"},
    "Beta": {"concentration1": "positive", "concentration0": "positive"},
    "Dirichlet": {"concentration": "row"},
    "StudentT": {"df": "wide", "loc": "real", "scale": "positive"},
    "Weibull": {"scale": "positive", "concentration": "wide"},
    "Pareto": {"scale": "positive", "alpha": "wide"},
    "Poisson": {"rate": "positive"},
    "Geometric probs": {"probs": "unit"},
    "Geometric logits": {"logits": "real"},
    "Binomial probs": {"total_count": "count", "probs": "unit"},
    "Binomial logits": {"total_count": "count", "logits": "real"},
    "NegativeBinomial probs": {"total_count": "positive", "probs": "unit"},
    "NegativeBinomial logits": {"total_count": "positive", "logits": "real"},
    "OneHotCategorical probs": {"probs": "row"},
    "OneHotCategorical logits": {"logits": "scores"},
    "OneHotCategoricalStraightThrough": {"probs": "row"},
    "RelaxedBernoulli probs": {"temperature": "temperature", "probs": "unit"},
    "RelaxedBernoulli logits": {"temperature": "temperature", "logits": "real"},
    "RelaxedOneHotCategorical": {"temperature": "temperature", "logits": "scores"},
    "MultivariateNormal scale_tril": {"loc": "scores", "scale_tril": "triangle"},
    "MultivariateNormal covariance_matrix": {"loc": "scores", "covariance_matrix": "definite"},
    "MultivariateNormal precision_matrix": {"loc": "scores", "precision_matrix": "definite"},
}
QUANTITIES: dict[str, Callable[[Any, Any], Any]] = {
    "log_prob": lambda d, x: d.log_prob(x),
    "entropy": lambda d, x: d.entropy(),
    "mean": lambda d, x: d.mean,
    "variance": lambda d, x: d.variance,
    "stddev": lambda d, x: d.stddev,
    "mode": lambda d, x: d.mode,
    "cdf": lambda d, x: d.cdf(x),
    "icdf": lambda d, x: d.icdf(0.1 + 0.8 * x / (1 + abs(x)) * (x > 0)),
    "enumerate_support": lambda d, x: d.enumerate_support(),
    "expanded": lambda d, x: d.expand((4, *d.batch_shape)).log_prob(x),
    "probs": lambda d, x: d.probs,
    "logits": lambda d, x: d.logits,
    "covariance_matrix": lambda d, x: d.covariance_matrix,
    "precision_matrix": lambda d, x: d.precision_matrix,
}
# Of PyTorch's, these have methods that raise.
WITHOUT = {
    "Poisson": ("entropy",),
    "RelaxedBernoulli": ("cdf", "icdf"),
    "RelaxedOneHotCategorical": ("cdf", "icdf"),
}
# One shape for each parameter, in turn.
SHAPES = [((), ()), ((3,), (2, 1)), ((2, 1, 3), (2, 1)), ((2,), (0, 1))]


def shapes_of(family: str) -> Any:
    """Those that PyTorch takes: not a batch of none, for these two."""
    return SHAPES[:3] if family.startswith(("MultivariateNormal", "RelaxedOne")) else SHAPES


def parameters(family: str, shapes: Any) -> dict[str, Any]:
    """Random parameters, the same ones at every call."""
    rng = np.random.default_rng(zlib.crc32(f"{family}{shapes}".encode()))
    return {
        name: DRAW[domain](rng, shapes[i % len(shapes)])
        for i, (name, domain) in enumerate(FAMILIES[family].items())
    }


def made(
    m: Any, family: str, given: dict[str, Any], dtype: Any, grad: bool = True
) -> tuple[Any, dict[str, Any]]:
    """The distribution in a library, and its parameters as leaves."""
    leaves = {
        name: m.tensor(np.asarray(v, dtype)).requires_grad_(grad and name != "total_count")
        for name, v in given.items()
    }
    # PyTorch's checks of arrays do not take batches of none
    checked = False if any(0 in np.shape(v) for v in given.values()) else None
    # above the diagonal, the two libraries' gradients are what the formula happens to leave there
    used = {k: v.tril() if k == "scale_tril" else v for k, v in leaves.items()}
    return getattr(m.distributions, family.split()[0])(**used, validate_args=checked), leaves


def has(family: str, quantity: str) -> bool:
    """Whether PyTorch's class has it."""
    name = family.split()[0]
    kind, base = getattr(theirs, name), theirs.Distribution
    found = getattr(kind, quantity, None)
    if quantity == "expanded":
        return True
    if quantity in WITHOUT.get(name, ()) or found is None:
        return False
    if quantity == "stddev":
        return kind.variance is not base.variance
    return found is not getattr(base, quantity, None)


def compare(a: Any, b: Any, own: Any, other: Any, tolerance: float) -> None:
    """Values and gradients are PyTorch's."""
    assert a.shape == tuple(b.shape) and str(a.dtype) == str(b.dtype).removeprefix("torch.")
    close = {"rtol": tolerance, "atol": tolerance}
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **close)
    if not b.requires_grad:
        assert not a.requires_grad
        return
    g = np.random.default_rng(3).normal(size=a.shape).astype(a.array.dtype)
    a.backward(mg.Tensor(g))
    b.backward(torch.from_numpy(np.asarray(g)))
    for x, y in zip(own, other, strict=True):
        if y.grad is None:
            assert x.grad is None or not x.grad.array.any()
        else:
            np.testing.assert_allclose(
                x.grad.numpy(), y.grad.numpy(), 10 * tolerance, 10 * tolerance
            )


ASKED = [(family, q) for family in FAMILIES for q in QUANTITIES if has(family, q)]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "quantity"), ASKED)
def test_values_and_gradients_are_pytorchs(family: str, quantity: str) -> None:
    f = QUANTITIES[quantity]
    for shapes in shapes_of(family):
        given = parameters(family, shapes)
        for dtype in DTYPES:
            # PyTorch has no derivative of this in the concentration
            held = family in ("Gamma", "Chi2") and quantity == "cdf"
            (own, leaves), (other, those) = (
                made(m, family, given, dtype, not held) for m in (mg, torch)
            )
            # of how many trials, there is no saying
            counted = family.startswith("Binomial") and quantity in ("entropy", "enumerate_support")
            if counted and not math.prod(other.batch_shape):
                continue
            torch.manual_seed(1)
            y = other.sample((4,))
            x = mg.tensor(y.numpy())
            if own.support is not None and not own.support.is_discrete and quantity != "icdf":
                x.requires_grad_()
                y.requires_grad_()
            a, b = f(own, x), f(other, y)
            compare(a, b, [*leaves.values(), x], [*those.values(), y], TOLERANCE[dtype])


@pytest.mark.slow
@pytest.mark.parametrize("family", [f for f in FAMILIES if "Multivariate" not in f])
def test_second_derivatives_are_pytorchs(family: str) -> None:
    given = parameters(family, ((), ()))
    torch.manual_seed(1)
    value = made(torch, family, given, np.float64)[0].sample().detach().numpy()
    names = [name for name in given if name != "total_count"]

    def hessian(m: Any) -> Any:
        x, constant = m.tensor(value), {k: v for k, v in given.items() if k not in names}

        def f(*leaves: Any) -> Any:
            own = dict(zip(names, leaves, strict=True)) | {
                k: m.tensor(v) for k, v in constant.items()
            }
            d = getattr(m.distributions, family.split()[0])(**own)
            return d.log_prob(x).sum()

        leaves = tuple(m.tensor(np.asarray(given[name], np.float64)) for name in names)
        if m is torch:
            return torch.autograd.functional.hessian(f, leaves)
        return mg.func.hessian(f, tuple(range(len(names))))(*leaves)

    for found, expected in zip(hessian(mg), hessian(torch), strict=True):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), 1e-8, 1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_classes_are_pytorchs(family: str) -> None:
    name = family.split()[0]
    own, other = getattr(ours, name), getattr(theirs, name)
    assert list(inspect.signature(own).parameters) == list(inspect.signature(other).parameters)
    assert set(own.arg_constraints) == set(other.arg_constraints)
    for q in ("entropy", "cdf", "icdf", "enumerate_support", "mode"):
        if not has(family, q) and q not in WITHOUT.get(name, ()):
            d, _ = made(mg, family, parameters(family, SHAPES[0]), np.float64)
            with pytest.raises(NotImplementedError, match=f"{name}: there is no {q}"):
                QUANTITIES[q](d, mg.ones(1))
    for shapes in shapes_of(family):
        given = parameters(family, shapes)
        (a, _), (b, _) = made(mg, family, given, np.float32), made(torch, family, given, np.float32)
        for of in (lambda d: d, lambda d: d.expand((5, *d.batch_shape))):
            mine, its = of(a), of(b)
            assert mine.batch_shape == tuple(its.batch_shape)
            assert mine.event_shape == tuple(its.event_shape)
            assert mine.has_rsample == its.has_rsample
            for shape in ((), (2, 1), (0,)):
                x = mine.sample(shape)
                assert x.shape == (*shape, *its.batch_shape, *its.event_shape)
                assert x.dtype == mg.float32 and not x.requires_grad
                assert mine.support.check(x).all() and mine.log_prob(x).isfinite().all()
        mg.manual_seed(1)
        first = a.sample((3,)).tolist()
        mg.manual_seed(1)
        assert a.sample((3,)).tolist() == first


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_samples_have_the_moments_and_the_cdf_they_claim(family: str) -> None:
    n = 20_000
    mg.manual_seed(5)
    d, _ = made(mg, family, parameters(family, ((2,), (2,))), np.float64, grad=False)
    x = d.sample((n,))
    if has(family, "cdf") or family == "Beta":
        for i in range(2):
            p = (
                d.cdf(x).numpy()[:, i]
                if has(family, "cdf")
                else stats.beta.cdf(
                    x.numpy()[:, i], *(getattr(d, f"concentration{k}")[i].item() for k in (1, 0))
                )
            )
            assert stats.kstest(p, "uniform").pvalue > 1e-3
    if "Relaxed" in family:  # there are no moments: the larger of two places is as probable
        if "Bernoulli" in family:
            chance, hits = d.probs.detach().numpy(), (x.numpy() > 0.5).mean(axis=0)
        else:
            best = x.numpy().argmax(axis=-1)
            chance, hits = (
                d.probs.detach().numpy(),
                np.stack([(best == k).mean(0) for k in range(3)], -1),
            )
        assert (abs(hits - chance) <= 5 * np.sqrt(chance * (1 - chance) / n)).all()
        return
    mean, variance = d.mean.detach().numpy(), d.variance.detach().numpy()
    if not np.isfinite(variance).all():
        return  # Cauchy's: tested by its cdf
    assert (abs(x.numpy().mean(axis=0) - mean) <= 5 * np.sqrt(variance / n)).all()
    square = (x.numpy() - mean) ** 2
    error = 5 * square.std(axis=0) / math.sqrt(n) + 5 * variance / n
    heavy = family in ("Pareto", "StudentT")  # the square's own variance may be infinite
    assert heavy or (abs(square.mean(axis=0) - variance) <= error).all()


SMOOTH = [f for f in FAMILIES if getattr(ours, f.split()[0]).has_rsample and "Straight" not in f]


@pytest.mark.slow
@pytest.mark.parametrize("family", SMOOTH)
def test_gradients_through_samples_are_pytorchs_in_the_mean(family: str) -> None:
    """d E[f(x)]/dp by samples is what PyTorch's say; f is bounded, so that means converge."""
    n = 1000

    def gradient(m: Any) -> list[Any]:
        m.manual_seed(7)
        found = []
        for _ in range(20):  # twenty means, for the error of theirs
            d, leaves = made(m, family, parameters(family, ((2,), (2,))), np.float64)
            y = (d.rsample((n,)) / 3).tanh().reshape(n, -1)
            (y * m.tensor(np.linspace(1, 2, y.shape[1]))).sum().backward()
            found.append(np.concatenate([v.grad.numpy().ravel() for v in leaves.values()]) / n)
        return [np.mean(found, 0), np.std(found, 0) / math.sqrt(20)]

    (a, da), (b, db) = gradient(mg), gradient(torch)
    assert (abs(a - b) <= 6 * np.hypot(da, db) + 1e-4 * abs(b)).all(), (a, b, da, db)


@pytest.mark.parametrize("a", [0.01, 0.8, 1.0, 7.5, 99.0, 101.0, 5000.0])
def test_gradients_of_gamma_are_those_of_its_quantiles(a: float) -> None:
    special = pytest.importorskip("scipy.special")
    c = mg.tensor(a, dtype=mg.float64, requires_grad=True)
    x = ours.Gamma(c.expand(50), 1.0).rsample()
    p, h = special.gammainc(a, x.detach().numpy()), 1e-5 * a
    kept = (p > 1e-6) & (p < 1 - 1e-6) & (x.detach().numpy() > 1e-250)
    high, low = (special.gammaincinv(a + s * h, p) for s in (1, -1))
    for i in np.flatnonzero(kept)[:20]:
        c.grad = None
        x[int(i)].backward(retain_graph=True)
        assert c.grad.item() == pytest.approx((high - low)[i] / (2 * h), rel=1e-5)


def test_small_concentrations_do_not_underflow() -> None:
    c = mg.full((200, 3), 1e-3, requires_grad=True)
    x = ours.Dirichlet(c).rsample()
    assert x.isfinite().all() and abs(x.sum(-1) - 1).max() < 1e-5
    x[:, 0].sum().backward()
    assert c.grad.isfinite().all()
    assert (ours.Gamma(mg.full((200,), 1e-3), 1.0).sample() > 0).all()


# ---------------------------------------------------------------------- divergence

SAME = [
    f
    for f in FAMILIES
    if not f.startswith(("Relaxed", "Weibull", "StudentT", "HalfC", "NegativeB"))
]
PAIRS = [(f, f) for f in SAME] + [
    (p.__name__, q.__name__) for p, q in theirs.kl._KL_REGISTRY
    if p is not q and {p.__name__, q.__name__} <= {*FAMILIES, "Uniform", "Binomial", "Bernoulli"}
]  # fmt: skip
MORE: dict[str, dict[str, Any]] = {
    "Uniform": {"low": np.array([[0.2], [1.5]]), "high": np.array([2.5, 3.0, 1.8])},
    "Bernoulli": {"probs": np.array([0.2, 0.7, 0.5])},
    "Binomial": {"total_count": 7.0, "probs": np.array([0.2, 0.7, 0.5])},
    "narrow": {"low": np.array([[0.2], [0.3]]), "high": np.array([0.9, 0.5, 0.8])},
}


# Of a uniform distribution within [0, 1] too, whose values Beta's all has.
@pytest.mark.parametrize(
    ("pair", "narrow"),
    [(pair, narrow) for pair in PAIRS for narrow in (False, True)[: 1 + ("Uniform" in pair)]],
    ids=str,
)
def test_divergences_are_pytorchs(pair: tuple[str, str], narrow: bool) -> None:
    # PyTorch refuses batches that its masks do not fit
    for shapes in SHAPES[1:2] if {*pair} & {*MORE} else SHAPES[:3]:
        results, leaves = [], []
        for m in (mg, torch):
            both = []
            for i, family in enumerate(pair):
                if family in MORE:
                    given = MORE["narrow" if narrow else family]
                    kind = "Uniform" if narrow else family
                else:
                    given, kind = parameters(family, shapes if i else shapes[::-1]), family
                both.append(made(m, kind, given, np.float64))
            results.append(m.distributions.kl_divergence(both[0][0], both[1][0]))
            leaves.append([x for _, of in both for x in of.values()])
        a, b = results
        if np.isfinite(b.detach().numpy()).all():
            compare(a, b, *leaves, 1e-9)
        else:
            expected = np.broadcast_to(b.detach().numpy(), a.shape)
            np.testing.assert_allclose(a.detach().numpy(), expected, 1e-9, 1e-9)
