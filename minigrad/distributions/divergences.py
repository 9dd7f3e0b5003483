"""The divergences that have a closed form.

Between two distributions of one kind each has a formula of its own. Those of two kinds are all
E[-log q(x)] - H(p), and -log q(x) is a sum of powers, a logarithm or an exponential of x, so that
it takes no more than p's mean, variance, E[log x] and E[e^(-t·x)].
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from minigrad.distributions.bernoulli import Bernoulli
from minigrad.distributions.beta import Beta
from minigrad.distributions.binomial import Binomial
from minigrad.distributions.categorical import Categorical
from minigrad.distributions.cauchy import Cauchy
from minigrad.distributions.dirichlet import Dirichlet
from minigrad.distributions.distribution import sum_last
from minigrad.distributions.exponential import Exponential
from minigrad.distributions.gamma import Gamma
from minigrad.distributions.geometric import Geometric
from minigrad.distributions.gumbel import Gumbel
from minigrad.distributions.half_normal import HalfNormal
from minigrad.distributions.independent import Independent
from minigrad.distributions.kl import kl_divergence, register_kl
from minigrad.distributions.laplace import Laplace
from minigrad.distributions.multivariate_normal import MultivariateNormal
from minigrad.distributions.normal import Normal
from minigrad.distributions.one_hot_categorical import OneHotCategorical
from minigrad.distributions.pareto import Pareto
from minigrad.distributions.poisson import Poisson
from minigrad.distributions.transformed_distribution import TransformedDistribution
from minigrad.distributions.uniform import Uniform
from minigrad.ops.activations import erf, softplus
from minigrad.ops.arithmetic import abs as absolute
from minigrad.ops.arithmetic import where
from minigrad.ops.create import full
from minigrad.ops.elementary import exp, log, log1p
from minigrad.ops.linear import matmul
from minigrad.ops.special import digamma, lgamma
from minigrad.ops.trigonometry import xlogy
from minigrad.tensor import Tensor

# Two of one kind.


@register_kl(HalfNormal, HalfNormal)
@register_kl(Normal, Normal)
def _normals(p: Any, q: Any) -> Tensor:
    # ((σp/σq)² + ((μp - μq)/σq)² - 1)/2 - log(σp/σq); halves have μ = 0, and log 2 in both
    ratio: Tensor = (p.scale / q.scale) ** 2
    apart = (p.loc - q.loc) / q.scale if isinstance(p, Normal) else 0
    return 0.5 * (ratio + apart**2 - 1 - log(ratio))


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normals(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    # (|Lq⁻¹·Lp|² + |Lq⁻¹·(μp - μq)|² - D)/2 + log det Lq - log det Lp
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"kl_divergence: MultivariateNormals of event_shape {p.event_shape} and "
            f"{q.event_shape}: expected the same"
        )
    spread = (matmul(q._whitening, p.scale_tril) ** 2).sum((-2, -1))
    return 0.5 * (spread + q.distance(p.loc) - p.event_shape[0]) + q.log_det() - p.log_det()


@register_kl(Uniform, Uniform)
def _uniforms(p: Uniform, q: Uniform) -> Tensor:
    # log of how much wider q is; infinite where p has values that q has not
    outside = (q.low > p.low) | (q.high < p.high)
    return where(outside, math.inf, log((q.high - q.low) / (p.high - p.low)))


@register_kl(Bernoulli, Bernoulli)
def _bernoullis(p: Bernoulli, q: Bernoulli) -> Tensor:
    # Σ p·(log p - log q) over 1 and 0, where log probs = -softplus(-logits); 0·log 0 is 0
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    one = where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, one))
    zero = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    zero = where(p.probs == 1, 0.0, where(q.probs == 1, math.inf, zero))
    return one + zero


@register_kl(Binomial, Binomial)
def _binomials(p: Binomial, q: Binomial) -> Tensor:
    # n trials of one each; infinite where p has more of them
    if (p.total_count.array.real < q.total_count.array.real).any():
        raise NotImplementedError(
            "kl_divergence: there is no formula for Binomials of which the second has more trials"
        )
    one = p.probs * (p.logits - q.logits) + softplus(q.logits) - softplus(p.logits)
    return where(p.total_count > q.total_count, math.inf, p.total_count * one)


@register_kl(Geometric, Geometric)
def _geometrics(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - log1p(-q.probs) / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poissons(p: Poisson, q: Poisson) -> Tensor:
    return xlogy(p.rate, p.rate / q.rate) - p.rate + q.rate


@register_kl(Categorical, Categorical)
def _categoricals(p: Any, q: Any) -> Tensor:
    # Σ p·(log p - log q); 0·log 0 is 0
    terms = p.probs * (p.logits - q.logits)
    return where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, terms)).sum(-1)


register_kl(OneHotCategorical, OneHotCategorical)(_categoricals)


@register_kl(Gamma, Gamma)
def _gammas(p: Gamma, q: Gamma) -> Tensor:
    a, b = p.concentration, q.concentration
    norms = b * log(p.rate / q.rate) + lgamma(b) - lgamma(a)
    return norms + (a - b) * digamma(a) + (q.rate - p.rate) * (a / p.rate)


@register_kl(Dirichlet, Dirichlet)
def _dirichlets(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, b = p.concentration, q.concentration
    total = a.sum(-1, keepdim=True)
    norms = lgamma(a.sum(-1)) - lgamma(b.sum(-1)) - (lgamma(a) - lgamma(b)).sum(-1)
    return norms + ((a - b) * (digamma(a) - digamma(total))).sum(-1)


@register_kl(Beta, Beta)
def _betas(p: Beta, q: Beta) -> Tensor:
    return _dirichlets(p._both, q._both)


@register_kl(Exponential, Exponential)
def _exponentials(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - log(ratio) - 1


@register_kl(Gumbel, Gumbel)
def _gumbels(p: Gumbel, q: Gumbel) -> Tensor:
    ratio, apart = p.scale / q.scale, (p.loc - q.loc) / q.scale
    far = exp(lgamma(1 + ratio) - apart)
    return apart + far - log(ratio) + (ratio - 1) * np.euler_gamma - 1


@register_kl(Laplace, Laplace)
def _laplaces(p: Laplace, q: Laplace) -> Tensor:
    ratio, apart = p.scale / q.scale, absolute(p.loc - q.loc)
    return apart / q.scale + ratio * exp(-apart / p.scale) - log(ratio) - 1


@register_kl(Cauchy, Cauchy)
def _cauchys(p: Cauchy, q: Cauchy) -> Tensor:
    wide = (p.scale + q.scale) ** 2 + (p.loc - q.loc) ** 2
    return log(wide) - log(4 * p.scale * q.scale)


@register_kl(Pareto, Pareto)
def _paretos(p: Pareto, q: Pareto) -> Tensor:
    ratio = q.alpha / p.alpha
    value = q.alpha * log(p.scale / q.scale) - log(ratio) + ratio - 1
    return where(p.scale < q.scale, math.inf, value)


@register_kl(Independent, Independent)
def _independents(p: Independent, q: Independent) -> Tensor:
    count = p.reinterpreted_batch_ndims
    if count != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            f"kl_divergence: Independents of {count} and {q.reinterpreted_batch_ndims} axes"
        )
    return sum_last(kl_divergence(p.base_dist, q.base_dist), count)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(
            "kl_divergence: TransformedDistributions of different transforms or event_shapes"
        )
    return kl_divergence(p.base_dist, q.base_dist)


# Two of different kinds: what of p the formulas need.


def _mean_log(p: Any) -> Tensor:
    """E[log x]."""
    if isinstance(p, Beta):
        return digamma(p.concentration1) - digamma(p.concentration1 + p.concentration0)
    if isinstance(p, Exponential):
        return -np.euler_gamma - log(p.rate)
    if isinstance(p, Gamma):
        return digamma(p.concentration) - log(p.rate)
    if isinstance(p, Pareto):
        return log(p.scale) + 1 / p.alpha
    return _mean_log_between(p.low, p.high)


def _mean_log_between(low: Tensor, high: Tensor) -> Tensor:
    """E[log x] between two bounds, where both are at least 0."""
    return (xlogy(high, high) - xlogy(low, low)) / (high - low) - 1


def _mean_exp(p: Any, t: Tensor) -> Tensor:
    """E[e^(-t·x)]."""
    if isinstance(p, Exponential):
        return p.rate / (p.rate + t)
    if isinstance(p, Gamma):
        return (1 + t / p.rate) ** -p.concentration
    if isinstance(p, Normal):
        return exp(-t * p.loc + 0.5 * (t * p.scale) ** 2)
    part: Tensor = (exp(-t * p.low) - exp(-t * p.high)) / (t * (p.high - p.low))
    return part


def _normal(p: Any, q: Normal) -> Tensor:
    square = (p.variance + (p.mean - q.loc) ** 2) / q.scale**2
    value = 0.5 * square + log(q.scale) + 0.5 * math.log(2 * math.pi) - p.entropy()
    # no square is expected, where nan stands for inf - inf
    return where(p.alpha <= 2, math.inf, value) if isinstance(p, Pareto) else value


def _gamma(p: Any, q: Any) -> Tensor:
    value: Tensor = q.rate * p.mean - log(q.rate) - p.entropy()
    if isinstance(q, Gamma):
        c = q.concentration
        value = value + (1 - c) * (_mean_log(p) + log(q.rate)) + lgamma(c)
    return where(p.low < 0, math.inf, value) if isinstance(p, Uniform) else value


def _gumbel(p: Any, q: Gumbel) -> Tensor:
    far = exp(q.loc / q.scale) * _mean_exp(p, 1 / q.scale)
    value: Tensor = (p.mean - q.loc) / q.scale + far + log(q.scale) - p.entropy()
    return value


for _formula, _firsts, _seconds in (
    (_normal, (Beta, Exponential, Gamma, Gumbel, Laplace, Pareto, Uniform), (Normal,)),
    (_gamma, (Beta, Exponential, Gamma, Pareto, Uniform), (Exponential, Gamma)),
    (_gumbel, (Exponential, Gamma, Normal, Uniform), (Gumbel,)),
):
    for _first, _second in product(_firsts, _seconds):
        if _first is not _second:  # two of one kind have their own
            register_kl(_first, _second)(_formula)


@register_kl(Normal, Laplace)
def _normal_laplace(p: Normal, q: Laplace) -> Tensor:
    # E|x - μq| of the normal distribution
    apart, ratio = p.loc - q.loc, (p.loc - q.loc) / p.scale
    size = math.sqrt(2 / math.pi) * p.scale * exp(-0.5 * ratio**2)
    size = size + apart * erf(math.sqrt(0.5) * ratio)
    return size / q.scale + log(2 * q.scale) - p.entropy()


@register_kl(Uniform, Beta)
def _uniform_beta(p: Uniform, q: Beta) -> Tensor:
    logs = (q.concentration1 - 1) * _mean_log_between(p.low, p.high)
    logs = logs + (q.concentration0 - 1) * _mean_log_between(1 - p.high, 1 - p.low)
    norm = lgamma(q.concentration1) + lgamma(q.concentration0)
    value = norm - lgamma(q.concentration1 + q.concentration0) - logs - p.entropy()
    return where((p.low < 0) | (p.high > 1), math.inf, value)


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Uniform, q: Pareto) -> Tensor:
    norm = log(q.alpha) + q.alpha * log(q.scale)
    value = (q.alpha + 1) * _mean_log_between(p.low, p.high) - norm - p.entropy()
    return where(p.low < q.scale, math.inf, value)


@register_kl(Beta, Uniform)
def _beta_uniform(p: Beta, q: Uniform) -> Tensor:
    value = log(q.high - q.low) - p.entropy()
    return where((q.low > 0) | (q.high < 1), math.inf, value)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Bernoulli, q: Poisson) -> Tensor:
    return q.rate - p.probs * log(q.rate) - p.entropy()


def _endless(p: Any, q: Any) -> Tensor:
    # p has values that q has not
    shape = np.broadcast_shapes(p.batch_shape, q.batch_shape)
    return full(shape, math.inf, dtype=p._dtype)


for _p, _narrower in {
    Beta: (Pareto,),
    Exponential: (Beta, Pareto, Uniform),
    Gamma: (Beta, Pareto, Uniform),
    Gumbel: (Beta, Exponential, Gamma, Pareto, Uniform),
    Laplace: (Beta, Exponential, Gamma, Pareto, Uniform),
    Normal: (Beta, Exponential, Gamma, Pareto, Uniform),
    Pareto: (Beta, Uniform),
    Poisson: (Bernoulli, Binomial),
}.items():
    for _q in _narrower:
        register_kl(_p, _q)(_endless)
