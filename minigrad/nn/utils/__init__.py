"""PyTorch's `torch.nn.utils`: gradients within bounds; weights computed from others; parameters as
one vector; sequences of several lengths; batch statistics held, measured anew, explained and folded
away; a summary of a network."""

import sys

from minigrad.nn.norm import frozen_stats
from minigrad.nn.norm.fold import fold_batchnorm
from minigrad.nn.norm.recalibrate import explain_batchnorm, recalibrate
from minigrad.nn.summary import summary
from minigrad.nn.utils import (
    fusion,
    init,
    parametrizations,
    parametrize,
    rnn,
    stateless,
    weight_hooks,
)
from minigrad.nn.utils.clip_grad import clip_grad_norm, clip_grad_norm_, clip_grad_value_
from minigrad.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from minigrad.nn.utils.fusion import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)
from minigrad.nn.utils.init import skip_init
from minigrad.nn.utils.weight_hooks import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "explain_batchnorm",
    "fold_batchnorm",
    "frozen_stats",
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
    "fusion",
    "init",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "recalibrate",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "skip_init",
    "spectral_norm",
    "stateless",
    "summary",
    "vector_to_parameters",
    "weight_norm",
]

# PyTorch has the two hooks in files of their own, named like the functions: an import looks here
# first.
for _file in ("spectral_norm", "weight_norm"):
    sys.modules[f"{__name__}.{_file}"] = weight_hooks
