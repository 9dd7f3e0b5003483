"""Losses as layers: of predictions and targets, reduced to their mean, their sum, or not at all."""

from __future__ import annotations

from typing import Any

from minigrad.checks import number, one_of, probability
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.ops.reducing import reduction_of
from minigrad.tensor import Tensor


class _Loss(Module):
    """Base of the losses, with their `reduction`."""

    reductions: tuple[str, ...] = ("mean", "sum", "none")

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        reduction = reduction_of(name, size_average, reduce, reduction)
        self.reduction = one_of(name, "reduction", reduction, self.reductions)


class _WeightedLoss(_Loss):
    """A loss whose weight is a buffer, so that `to(dtype)` and the state dict include it."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.weight: Tensor | None
        self.register_buffer("weight", weight)


class CrossEntropyLoss(_WeightedLoss):
    """-log softmax(x)[target] for scores x (N, C, …) or (C,).

    Args:
        weight: (C,), scales each class; the mean is then over the weights.
        ignore_index: targets of this class count nothing.
        reduction: "mean", "sum" or "none".
        label_smoothing: how much of the uniform distribution to mix into the targets, in [0, 1].

    Targets are classes (N, …) or (), or probabilities in the shape of x.

    >>> logits, labels = mg.zeros(3, 10), mg.tensor([0, 4, 9])
    >>> round(nn.CrossEntropyLoss()(logits, labels).item(), 4)  # log(10), for a guess among ten
    2.3026
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = probability("CrossEntropyLoss", "label_smoothing", label_smoothing)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See `functional.cross_entropy`."""
        return F.cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )  # fmt: skip


class NLLLoss(_WeightedLoss):
    """-x[target] for log-probabilities x (N, C, …) or (C,) and classes (N, …) or ().

    Args:
        weight: (C,), scales each class; the mean is then over the weights.
        ignore_index: targets of this class count nothing.
        reduction: "mean", "sum" or "none".
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See `functional.nll_loss`."""
        return F.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class MSELoss(_Loss):
    """(x - target)², of equal shapes.

    >>> nn.MSELoss()(mg.tensor([1.0, 2.0]), mg.tensor([1.0, 4.0]))
    tensor(2.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See `functional.mse_loss`."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """|x - target|, of equal shapes."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See `functional.l1_loss`."""
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """½d²/beta where |d| < beta, |d| - ½beta elsewhere, with d = x - target (Girshick 2015)."""

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = number("SmoothL1Loss", "beta", beta, at_least=0)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See `functional.smooth_l1_loss`."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """½d² where |d| < delta, delta·(|d| - ½delta) elsewhere, with d = x - target (Huber 1964)."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = number("HuberLoss", "delta", delta, above=0)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See `functional.huber_loss`."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class BCELoss(_WeightedLoss):
    """-(t·log x + (1 - t)·log(1 - x)) for probabilities x and targets t in [0, 1].

    Args:
        weight: scales each element's loss; broadcast to the shape of x.
        reduction: "mean", "sum" or "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See `functional.binary_cross_entropy`."""
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """`BCELoss` of sigmoid(x), computed without leaving the logarithm.

    Args:
        weight: scales each element's loss; broadcast to the shape of x.
        reduction: "mean", "sum" or "none".
        pos_weight: scales the loss of positive targets; broadcast to the shape of x.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.pos_weight: Tensor | None
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See `functional.binary_cross_entropy_with_logits`."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(_Loss):
    """target·(log target - x), x being log-probabilities.

    Args:
        reduction: "mean" over all elements, "batchmean" over the batch (which makes it the
            divergence), "sum" or "none".
        log_target: the target is given as log-probabilities, too.
    """

    reductions = ("mean", "batchmean", "sum", "none")

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See `functional.kl_div`."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class CTCLoss(_Loss):
    """-log p(target | x) for log-probabilities x (T, N, C) or (T, C) at T times, summed over all
    ways to say the target's labels in their order; see `functional.ctc_loss`.

    Args:
        blank: the label that says nothing.
        reduction: "mean" over the samples of loss/length of its target, "sum" or "none".
        zero_infinity: a target too long for its input counts nothing, instead of infinity.

    Source: Graves et al., Connectionist temporal classification, 2006.
    """

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any
    ) -> Tensor:
        """See `functional.ctc_loss`."""
        return F.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction,
            self.zero_infinity,
        )  # fmt: skip
