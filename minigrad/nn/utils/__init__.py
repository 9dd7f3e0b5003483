"""PyTorch's `torch.nn.utils`: gradients within bounds; sequences of several lengths; batch
statistics held, measured anew, explained and folded away; a summary of a network."""

from minigrad.nn.norm import frozen_stats
from minigrad.nn.norm.fold import fold_batchnorm
from minigrad.nn.norm.recalibrate import explain_batchnorm, recalibrate
from minigrad.nn.summary import summary
from minigrad.nn.utils import rnn
from minigrad.nn.utils.clip_grad import clip_grad_norm_, clip_grad_value_

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "explain_batchnorm",
    "fold_batchnorm",
    "frozen_stats",
    "recalibrate",
    "rnn",
    "summary",
]
