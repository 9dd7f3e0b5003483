"""Distributions made of others: transformed, mixed, joined; and what all of them refuse."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import distributions as ours

torch = pytest.importorskip("torch")
theirs = torch.distributions
RNG = np.random.default_rng(11)
LOC, SCALE = RNG.normal(size=(2, 1, 3)), RNG.uniform(0.5, 2, (2, 1))
ROWS, POINTS = RNG.uniform(0.4, 3, (2, 3)), RNG.normal(size=(2, 3, 4))
TRIANGLES = np.tril(RNG.normal(size=(2, 3, 4, 4))) + 3 * np.eye(4)


def normal(m: Any, a: Any, b: Any) -> Any:
    """The base of most of them."""
    return m.distributions.Normal(a, b)


# What is made, of parameters a and b; and the parameters.
MADE: dict[str, tuple[Callable[[Any, Any, Any], Any], Any, Any]] = {
    "Independent": (lambda m, a, b: m.distributions.Independent(normal(m, a, b), 2), LOC, SCALE),
    "Independent of none": (
        lambda m, a, b: m.distributions.Independent(normal(m, a, b), 0), LOC, SCALE,
    ),
    "affine": (
        lambda m, a, b: m.distributions.TransformedDistribution(
            m.distributions.Normal(m.zeros(3, dtype=m.float64), 1.0),
            m.distributions.AffineTransform(a, -b),
        ), LOC, SCALE,
    ),
    "affine, one sample": (
        lambda m, a, b: m.distributions.TransformedDistribution(
            normal(m, a, b), [m.distributions.AffineTransform(0.5, b.expand(2, 3), event_dim=1)]
        ), LOC, SCALE,
    ),
    "exp of tanh": (
        lambda m, a, b: m.distributions.TransformedDistribution(
            normal(m, a, b), [m.distributions.TanhTransform(), m.distributions.ExpTransform()]
        ), LOC, SCALE,
    ),
    "logistic": (
        lambda m, a, b: m.distributions.TransformedDistribution(
            m.distributions.Uniform(m.zeros(3, dtype=m.float64), 1.0),
            [m.distributions.SigmoidTransform().inv, m.distributions.AffineTransform(a, b)],
        ), LOC, SCALE,
    ),
    "softplus, composed": (
        lambda m, a, b: m.distributions.TransformedDistribution(
            m.distributions.Independent(normal(m, a, b), 1),
            m.distributions.ComposeTransform(
                [m.distributions.SoftplusTransform(), m.distributions.AffineTransform(0.1, 2.0)]
            ),
        ), LOC, SCALE,
    ),
    "no transforms": (
        lambda m, a, b: m.distributions.TransformedDistribution(normal(m, a, b), []), LOC, SCALE,
    ),
    "mixture": (
        lambda m, a, b: m.distributions.MixtureSameFamily(
            m.distributions.Categorical(b), normal(m, a, 1.0)
        ), POINTS[..., 0], ROWS,
    ),
    "mixture of vectors": (
        lambda m, a, b: m.distributions.MixtureSameFamily(
            m.distributions.Categorical(logits=b),
            m.distributions.MultivariateNormal(a, scale_tril=m.tensor(TRIANGLES)),
        ), POINTS, ROWS,
    ),
    "multinomial": (
        lambda m, a, b: m.distributions.Multinomial(6, probs=a + 0 * b.sum()), ROWS, SCALE,
    ),
    "multinomial logits": (
        lambda m, a, b: m.distributions.Multinomial(6, logits=a + 0 * b.sum()), ROWS, SCALE,
    ),
}  # fmt: skip
QUANTITIES: dict[str, Callable[[Any, Any], Any]] = {
    "log_prob": lambda d, x: d.log_prob(x),
    "expanded": lambda d, x: d.expand((3, *d.batch_shape)).log_prob(x),
    "entropy": lambda d, x: d.entropy(),
    "mean": lambda d, x: d.mean,
    "variance": lambda d, x: d.variance,
    "cdf": lambda d, x: d.cdf(x),
    "icdf": lambda d, x: d.icdf(d.cdf(x)),
}


def build(m: Any, case: str) -> tuple[Any, list[Any]]:
    """A distribution in a library, and its parameters as leaves."""
    make, *given = MADE[case]
    leaves = [m.tensor(v).requires_grad_() for v in given]
    return make(m, *leaves), leaves


def asked() -> list[tuple[str, str]]:
    """Cases and quantities that PyTorch computes."""
    found = []
    for case in MADE:
        d, _ = build(torch, case)
        for name, f in QUANTITIES.items():
            try:
                f(d, d.sample((3,)))
            except NotImplementedError:
                continue
            found.append((case, name))
    return found


@pytest.mark.parametrize(("case", "quantity"), asked())
def test_values_and_gradients_are_pytorchs(case: str, quantity: str) -> None:
    torch.manual_seed(2)
    (a, own), (b, other) = build(mg, case), build(torch, case)
    assert a.batch_shape == tuple(b.batch_shape) and a.event_shape == tuple(b.event_shape)
    assert a.has_rsample == b.has_rsample
    x = b.sample((3,))
    y, expected = QUANTITIES[quantity](a, mg.tensor(x.numpy())), QUANTITIES[quantity](b, x)
    assert y.shape == tuple(expected.shape)
    # PyTorch takes log n! of the multinomial's entropy in single precision
    close = 3e-7 if quantity == "entropy" and "multinomial" in case else 1e-9
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), close, 1e-9)
    g = np.random.default_rng(3).normal(size=y.shape)
    if expected.requires_grad:
        y.backward(mg.Tensor(g))
        expected.backward(torch.from_numpy(g))
    for v, w in zip(own, other, strict=True):
        if w.grad is None:
            assert v.grad is None or abs(v.grad).max() < 1e-12
        else:
            np.testing.assert_allclose(v.grad.numpy(), w.grad.numpy(), 1e-8, 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("case", MADE)
def test_samples(case: str) -> None:
    mg.manual_seed(3)
    d, leaves = build(mg, case)
    n = 20_000
    x = d.sample((n,))
    assert x.shape == (n, *d.batch_shape, *d.event_shape) and not x.requires_grad
    assert (d.log_prob(x).isfinite().all() and d.support is None) or d.support.check(x).all()
    other, _ = build(torch, case)
    torch.manual_seed(3)
    y = other.sample((n,)).numpy()
    for power in (1, 2):  # of bounded functions, so that the errors of means are known
        u, v = np.tanh(x.numpy() / 3) ** power, np.tanh(y / 3) ** power
        error = np.hypot(u.std(axis=0), v.std(axis=0)) / math.sqrt(n)
        assert (abs(u.mean(axis=0) - v.mean(axis=0)) <= 5 * error).all()
    if d.has_rsample and case != "no transforms":
        d.rsample((2,)).sum().backward()
        assert all(v.grad is not None for v in leaves)


@pytest.mark.parametrize("name", ["Exp", "Sigmoid", "Softplus", "Tanh"])
def test_transforms(name: str) -> None:
    kinds = [getattr(m, f"{name}Transform") for m in (ours, theirs)]
    f, g = (kind() for kind in kinds)
    assert f == kinds[0]() and f.inv == kinds[0]().inv and f != f.inv and f.inv.inv is f
    assert f != ours.AffineTransform(0.0, 1.0) and hash(f) == hash(kinds[0]())
    x = np.linspace(-4, 4, 9)
    (a, b) = f(mg.tensor(x)), g(torch.tensor(x))
    np.testing.assert_allclose(a.numpy(), b.numpy(), 1e-12)
    np.testing.assert_allclose(f.inv(a).numpy(), x, 1e-9)
    assert f.codomain.check(a).all() and f.sign == g.sign and f.inv.domain is f.codomain
    for p, q, y, z in ((f, g, mg.tensor(x), a), (f.inv, g.inv, a, mg.tensor(x))):
        found = p.log_abs_det_jacobian(y, z).numpy()
        expected = q.log_abs_det_jacobian(torch.tensor(y.numpy()), torch.tensor(z.numpy()))
        np.testing.assert_allclose(found, expected.numpy(), 1e-9, 1e-12)


def test_a_transform_remembers_what_it_made() -> None:
    x = mg.tensor([30.0])  # tanh of it is 1
    kept, plain = ours.TanhTransform(cache_size=1), ours.TanhTransform()
    assert kept.inv(kept(x)) is x and plain.inv(plain(x)).isinf().all()
    whole = ours.ComposeTransform([ours.AffineTransform(1.0, 2.0), kept])
    assert whole == ours.ComposeTransform([ours.AffineTransform(1.0, 2.0), plain])
    assert whole != ours.ComposeTransform([ours.AffineTransform(1.0, 3.0), plain])
    assert ours.ComposeTransform([]) == ours.ComposeTransform([])


def test_divergences_of_what_is_made_of_others() -> None:
    for make in (
        lambda m, a, b: m.distributions.Independent(normal(m, a, b), 1),
        lambda m, a, b: m.distributions.LogNormal(a, b),
    ):
        found = [
            m.distributions.kl_divergence(
                *(make(m, m.tensor(LOC) * k, m.tensor(SCALE)) for k in (1, 2))
            ) for m in (mg, torch)
        ]  # fmt: skip
        np.testing.assert_allclose(found[0].numpy(), found[1].numpy(), 1e-10)
    p = ours.Independent(ours.Normal(mg.zeros(2), 1.0), 1)
    with pytest.raises(NotImplementedError, match=r"^kl_divergence: Independents of 1 and 0"):
        ours.kl_divergence(p, ours.Independent(ours.Normal(mg.zeros(2), 1.0), 0))
    q = ours.TransformedDistribution(ours.Normal(mg.zeros(2), 1.0), ours.TanhTransform())
    with pytest.raises(NotImplementedError, match="of different transforms"):
        ours.kl_divergence(q, ours.LogNormal(mg.zeros(2), 1.0))
    with pytest.raises(ValueError, match=r"^kl_divergence: MultivariateNormals of event_shape"):
        ours.kl_divergence(
            *(ours.MultivariateNormal(mg.zeros(k), scale_tril=mg.eye(k)) for k in (2, 3))
        )


def test_distributions_survive_pickling() -> None:
    given = ours.OneHotCategorical(mg.tensor([1.0, 3.0]))
    p = pickle.loads(pickle.dumps(given))
    assert p.probs.tolist() == [0.25, 0.75] and repr(p) == repr(given)
    p = pickle.loads(pickle.dumps(ours.LogNormal(mg.zeros(2), 2.0)))
    assert repr(p) == "LogNormal(loc: (2,), scale: (2,))" and p.support.check(mg.ones(1)).all()


@pytest.mark.parametrize("c", [0.01, 1.0, 19.0, 25.0, 5000.0])
def test_von_mises(c: float) -> None:
    """Beside scipy: PyTorch's polynomials have seven digits."""
    stats, special = pytest.importorskip("scipy.stats"), pytest.importorskip("scipy.special")
    loc, concentration = (mg.tensor(v, dtype=mg.float64) for v in (0.7, c))
    x = np.linspace(-3, 3, 7)
    d = ours.VonMises(loc, concentration)
    np.testing.assert_allclose(
        d.log_prob(mg.tensor(x)).numpy(), stats.vonmises.logpdf(x, c, 0.7), 1e-10
    )
    assert d.variance.item() == pytest.approx(1 - special.i1e(c) / special.i0e(c), rel=1e-8)
    leaves = [v.requires_grad_() for v in (loc, concentration)]
    for f in (lambda a, b: ours.VonMises(a, b).log_prob(mg.tensor(x)).sum(),
              lambda a, b: ours.VonMises(a, b).variance):  # fmt: skip
        assert mg.autograd.gradcheck(f, tuple(leaves))
    mg.manual_seed(2)
    y = d.sample((20_000,)).numpy()
    assert (abs(y) <= math.pi).all()
    z = np.exp(1j * (y - 0.7))
    assert stats.kstest(np.angle(z), stats.vonmises(c).cdf).pvalue > 1e-3
    assert abs(z.mean().real - (1 - d.variance.item())) < 5 / math.sqrt(len(y))  # its direction
    assert abs(z.mean().imag) < 5 / math.sqrt(len(y))


REFUSED: dict[str, Callable[[Any, Any], Any]] = {
    "Independent: base_distribution must be": lambda m, d: d.Independent(3, 0),
    "Independent: reinterpreted_batch_ndims is 2": lambda m, d: d.Independent(
        d.Normal(m.zeros(2), 1.0), 2
    ),
    "Gamma: concentration must be above 0, got -1.0": lambda m, d: d.Gamma(-1.0, 1.0),
    "Gamma: value must be at least 0": lambda m, d: d.Gamma(1.0, 1.0).log_prob(m.tensor(-1.0)),
    "Chi2: df must be above 0": lambda m, d: d.Chi2(-1.0),
    "LogNormal: scale must be above 0": lambda m, d: d.LogNormal(0.0, -1.0),
    "HalfNormal: scale must be above 0": lambda m, d: d.HalfNormal(-1.0),
    "Beta: value must be in": lambda m, d: d.Beta(1.0, 1.0).log_prob(m.tensor(2.0)),
    "Dirichlet: concentration must have an axis": lambda m, d: d.Dirichlet(m.tensor(1.0)),
    "Dirichlet: value must be at least 0, of sum 1": lambda m, d: d.Dirichlet(m.ones(2)).log_prob(
        m.ones(2)
    ),
    "Geometric: probs must be above 0": lambda m, d: d.Geometric(0.0),
    "Poisson: value must be a whole number": lambda m, d: d.Poisson(1.0).log_prob(m.tensor(0.5)),
    "Binomial: total_count must be a whole": lambda m, d: d.Binomial(m.tensor(1.5), m.tensor(0.5)),
    "Binomial: value must be a whole number from 0": lambda m, d: d.Binomial(
        3, m.tensor(0.5)
    ).log_prob(m.tensor(4.0)),
    "Binomial: entropy and enumerate_support need": lambda m, d: d.Binomial(
        m.tensor([1.0, 2.0]), m.tensor(0.5)
    ).entropy(),
    "NegativeBinomial: probs must be at least 0 and below 1": lambda m, d: d.NegativeBinomial(
        1.0, m.tensor(1.0)
    ),
    "Multinomial: value must be whole numbers": lambda m, d: d.Multinomial(2, m.ones(3)).log_prob(
        m.tensor([1.0, 2.0, 0.0])
    ),
    "Multinomial: total_count must be": lambda m, d: d.Multinomial(1.5, m.ones(3)),
    "OneHotCategorical: probs": lambda m, d: d.OneHotCategorical(m.tensor([1.0, -1.0])),
    "OneHotCategorical: value must be one 1": lambda m, d: d.OneHotCategorical(m.ones(3)).log_prob(
        m.ones(3)
    ),
    "MultivariateNormal: expected one of": lambda m, d: d.MultivariateNormal(m.zeros(2)),
    "MultivariateNormal: loc of shape": lambda m, d: d.MultivariateNormal(
        m.zeros(2, 1), scale_tril=m.ones(1, 2, 3)
    ),
    "MultivariateNormal: scale_tril must be a lower": lambda m, d: d.MultivariateNormal(
        m.zeros(2), scale_tril=m.ones(2, 2)
    ),
    "MultivariateNormal: covariance_matrix must be symmetric": lambda m, d: d.MultivariateNormal(
        m.zeros(2), -m.eye(2)
    ),
    "Pareto: value must be at least scale": lambda m, d: d.Pareto(m.ones(2), 1.0).log_prob(
        m.tensor(0.5)
    ),
    "TransformedDistribution: transforms must be": lambda m, d: d.TransformedDistribution(
        d.Normal(0.0, 1.0), [3]
    ),
    "TransformedDistribution: the transforms need": lambda m, d: d.TransformedDistribution(
        d.Normal(0.0, 1.0), d.AffineTransform(0.0, 1.0, event_dim=1)
    ),
    "MixtureSameFamily: mixture_distribution must be": lambda m, d: d.MixtureSameFamily(
        d.Normal(0.0, 1.0), d.Normal(m.zeros(2), 1.0)
    ),
    "MixtureSameFamily: the mixture": lambda m, d: d.MixtureSameFamily(
        d.Categorical(m.ones(3)), d.Normal(m.zeros(2), 1.0)
    ),
    "TanhTransform: cache_size must be 0 or 1": lambda m, d: d.TanhTransform(cache_size=2),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_pytorch_refuses(message: str) -> None:
    with pytest.raises(Exception):  # noqa: B017
        REFUSED[message](torch, theirs)
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=f"^{message}"):
        REFUSED[message](mg, ours)
