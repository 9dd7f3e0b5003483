"""Probability distributions: samples, log-probabilities and entropies, with gradients.

Samples have the shape `sample_shape + batch_shape + event_shape`: how many are drawn, how many
distributions there are, and what one sample of one of them has. `rsample` draws from noise that
does not depend on the parameters, x = f(noise, parameters), so gradients pass to them.
"""

from minigrad.distributions.bernoulli import Bernoulli
from minigrad.distributions.categorical import Categorical
from minigrad.distributions.distribution import Distribution
from minigrad.distributions.kl import kl_divergence, register_kl
from minigrad.distributions.normal import Normal
from minigrad.distributions.uniform import Uniform

__all__ = [
    "Bernoulli",
    "Categorical",
    "Distribution",
    "Normal",
    "Uniform",
    "kl_divergence",
    "register_kl",
]
