"""PyTorch's `torch.special`: functions of every element, under the names that they have there."""

from minigrad.ops.activations import erf, log_softmax, softmax
from minigrad.ops.activations import sigmoid as expit
from minigrad.ops.elementary import expm1, log1p
from minigrad.ops.reductions import logsumexp
from minigrad.ops.rounding import round
from minigrad.ops.special import (
    digamma,
    entr,
    erfc,
    erfinv,
    i0,
    log_ndtr,
    ndtr,
    ndtri,
    polygamma,
)
from minigrad.ops.special import lgamma as gammaln
from minigrad.ops.special import mvlgamma as multigammaln
from minigrad.ops.trigonometry import exp2, logit, sinc, xlog1py, xlogy

psi = digamma

__all__ = [
    "digamma", "entr", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammaln", "i0", "log1p",
    "log_ndtr", "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr", "ndtri", "polygamma",
    "psi", "round", "sinc", "softmax", "xlog1py", "xlogy",
]  # fmt: skip
