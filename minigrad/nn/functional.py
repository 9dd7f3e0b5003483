"""PyTorch's `torch.nn.functional`: the ops that take a network's layers as functions."""

from minigrad.ops.activations import (
    celu,
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    tanh,
)
from minigrad.ops.adaptive import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
)
from minigrad.ops.alpha_dropout import alpha_dropout, feature_alpha_dropout
from minigrad.ops.attention import scaled_dot_product_attention
from minigrad.ops.class_margins import (
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
)
from minigrad.ops.conv import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from minigrad.ops.ctc import ctc_loss
from minigrad.ops.distances import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from minigrad.ops.embeddings import embedding, embedding_bag
from minigrad.ops.folding import channel_shuffle, fold, pixel_shuffle, pixel_unshuffle, unfold
from minigrad.ops.functions_in_place import (
    celu_,
    elu_,
    hardtanh_,
    leaky_relu_,
    rrelu_,
    selu_,
    threshold_,
)
from minigrad.ops.grids import affine_grid, grid_sample
from minigrad.ops.indexing import one_hot
from minigrad.ops.inplace import relu_
from minigrad.ops.joining import pad
from minigrad.ops.linear import cosine_similarity, linear, normalize
from minigrad.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    kl_div,
    nll_loss,
)
from minigrad.ops.margins import (
    cosine_embedding_loss,
    gaussian_nll_loss,
    glu,
    gumbel_softmax,
    hardshrink,
    hinge_embedding_loss,
    margin_ranking_loss,
    pairwise_distance,
    poisson_nll_loss,
    rrelu,
    soft_margin_loss,
    softmin,
    softshrink,
    tanhshrink,
    threshold,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from minigrad.ops.multihead import multi_head_attention_forward
from minigrad.ops.norm import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from minigrad.ops.pooling import (
    avg_pool1d,
    avg_pool2d,
    local_response_norm,
    max_pool1d,
    max_pool2d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from minigrad.ops.power_pooling import lp_pool1d, lp_pool2d, lp_pool3d
from minigrad.ops.products import bilinear, pdist
from minigrad.ops.random import dropout, dropout1d, dropout2d, dropout3d
from minigrad.ops.resizing import interpolate, upsample, upsample_bilinear, upsample_nearest
from minigrad.ops.volumes import (
    adaptive_avg_pool3d,
    adaptive_max_pool3d,
    avg_pool3d,
    conv3d,
    conv_transpose3d,
    max_pool3d,
)

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "affine_grid", "alpha_dropout", "avg_pool1d",
    "avg_pool2d", "avg_pool3d", "batch_norm", "bilinear", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "celu", "celu_", "channel_shuffle", "conv1d", "conv2d",
    "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cosine_embedding_loss",
    "cosine_similarity", "cross_entropy", "ctc_loss", "dropout", "dropout1d", "dropout2d",
    "dropout3d", "elu", "elu_", "embedding", "embedding_bag", "feature_alpha_dropout", "fold",
    "gaussian_nll_loss", "gelu", "glu", "grid_sample", "group_norm", "gumbel_softmax", "hardshrink",
    "hardsigmoid", "hardswish", "hardtanh", "hardtanh_", "hinge_embedding_loss", "huber_loss",
    "instance_norm", "interpolate", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "leaky_relu_",
    "linear", "local_response_norm", "log_softmax", "logsigmoid", "lp_pool1d", "lp_pool2d",
    "lp_pool3d", "margin_ranking_loss", "max_pool1d", "max_pool2d", "max_pool3d", "max_unpool1d",
    "max_unpool2d", "max_unpool3d", "mish", "mse_loss", "multi_head_attention_forward",
    "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss",
    "normalize", "one_hot", "pad", "pairwise_distance", "pdist", "pixel_shuffle", "pixel_unshuffle",
    "poisson_nll_loss", "prelu", "relu", "relu6", "relu_", "rms_norm", "rrelu", "rrelu_",
    "scaled_dot_product_attention", "selu", "selu_", "sigmoid", "silu", "smooth_l1_loss",
    "soft_margin_loss", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh",
    "tanhshrink", "threshold", "threshold_", "triplet_margin_loss",
    "triplet_margin_with_distance_loss", "unfold", "upsample", "upsample_bilinear",
    "upsample_nearest",
]  # fmt: skip
