"""In-place forms that are functions only: PyTorch's tensors do not have them as methods."""

from __future__ import annotations

from minigrad.ops import activations, alpha_dropout, margins, random
from minigrad.ops.inplace import in_place

elu_ = in_place(activations.elu)
selu_ = in_place(activations.selu)
celu_ = in_place(activations.celu)
leaky_relu_ = in_place(activations.leaky_relu)
hardtanh_ = in_place(activations.hardtanh)
rrelu_ = in_place(margins.rrelu)
threshold_ = in_place(margins.threshold)
dropout_ = in_place(random.dropout)
alpha_dropout_ = in_place(alpha_dropout.alpha_dropout)
feature_alpha_dropout_ = in_place(alpha_dropout.feature_alpha_dropout)
