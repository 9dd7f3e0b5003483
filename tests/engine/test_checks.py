"""Arguments of the wrong kind or out of range are refused in one way, wherever they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, analysis, checks, data, nn, optim
from minigrad.nn import functional as F
from minigrad.optim import lr_scheduler


class TestIntegers:
    @pytest.mark.parametrize(
        "value", [3, np.int64(3), np.uint8(3), np.array(3), minigrad.tensor(3)]
    )
    def test_what_python_takes_as_an_index_is_one(self, value):
        got = checks.integer("op", "n", value)
        assert got == 3 and type(got) is int

    @pytest.mark.parametrize(
        "value",
        [True, np.True_, 3.0, np.float32(3), "3", None, [3], np.array([3, 4]), Tensor([3.0, 4.0])],
    )
    def test_nothing_else_is(self, value):
        with pytest.raises(TypeError, match=r"^op: n must be an integer, got "):
            checks.integer("op", "n", value)

    def test_bounds(self):
        with pytest.raises(ValueError, match=r"^op: n must be at least 1, got 0$"):
            checks.integer("op", "n", 0)
        assert checks.integer("op", "n", 0, 0) == 0
        assert checks.integer("op", "n", -7, None) == -7

    def test_several(self):
        assert checks.integers("op", "size", 2, 3) == checks.integers("op", "size", [2], 3)
        assert checks.integers("op", "size", [np.int8(2)], 3) == (2, 2, 2)
        assert checks.integers("op", "size", (1, 2)) == (1, 2)
        assert checks.integers("op", "size", ()) == ()

    @pytest.mark.parametrize(
        "value", [(1, 2), (1, 2, 3.0), (1, 2, True), "abc", (1, 2, 3, 4), 1.0, ()]
    )
    def test_not_so_many(self, value):
        with pytest.raises(TypeError, match=r"^op: size must be an integer or 3 of them, got "):
            checks.integers("op", "size", value, 3)

    def test_one_too_small(self):
        with pytest.raises(ValueError, match=r"^op: size must be at least 1, got \(2, 0\)$"):
            checks.integers("op", "size", (2, 0), 2)


class TestNumbers:
    @pytest.mark.parametrize(
        "value",
        [0.5, np.float32(0.5), np.array(0.5), np.array([0.5]), minigrad.tensor(0.5), Tensor([0.5])],
    )
    def test_one_number(self, value):
        got = checks.number("op", "p", value)
        assert got == 0.5 and type(got) is float

    @pytest.mark.parametrize(
        "value",
        ["0.5", True, np.True_, None, 1j, np.complex64(1), [0.5], np.ones(2), Tensor([1, 2])],
    )
    def test_nothing_else_is(self, value):
        with pytest.raises(TypeError, match=r"^op: p must be a number, got "):
            checks.number("op", "p", value)

    def test_bounds_are_named_in_the_error(self):
        assert checks.number("op", "p", 1, above=0, at_most=1) == 1
        for value in (0, 1.5, np.nan, -np.inf):
            with pytest.raises(ValueError, match=r"^op: p must be above 0 and at most 1, got "):
                checks.number("op", "p", value, above=0, at_most=1)
        for value in (1, -0.5):
            with pytest.raises(ValueError, match=r"^op: p must be at least 0 and below 1, got "):
                checks.number("op", "p", value, at_least=0, below=1)

    def test_nan_is_none(self):
        with pytest.raises(ValueError, match=r"^op: p must be a number, got nan"):
            checks.number("op", "p", float("nan"))
        with pytest.raises(ValueError, match=r"^op: p must be a number, got nan"):
            checks.probability("op", "p", float("nan"))
        with pytest.raises(ValueError, match=r"^op: p must be in \[0, 1\], got 1\.5"):
            checks.probability("op", "p", 1.5)


def test_words():
    assert checks.one_of("op", "mode", "b", ("a", "b")) == "b"
    assert checks.one_of("op", "mode", None, (None, "b")) is None
    for value in ("c", None, 3, ["a"], Tensor([1.0, 2.0])):
        with pytest.raises(ValueError, match=r"^op: mode must be 'a', 'b' or 'c?d', got "):
            checks.one_of("op", "mode", value, ("a", "b", "cd"))


# Who asks, and for what: each call takes something of another kind in the place of one argument.

x, row, image = minigrad.ones(2, 3), minigrad.ones(1, 2, 4), minigrad.ones(1, 2, 4, 4)
classes, kernel = minigrad.tensor([0, 1]), minigrad.ones(2, 2, 1, 1)


def schedule(kind: Any, *args: Any, **options: Any) -> Any:
    return kind(optim.SGD([nn.Parameter(minigrad.ones(2))], 0.1), *args, **options)


def optimizer(kind: Any, **options: Any) -> Any:
    return kind([nn.Parameter(minigrad.ones(2))], **options)


INTEGERS: list[tuple[Any, str]] = [
    (lambda v: minigrad.zeros(2, v), "zeros: sizes"),
    (lambda v: minigrad.randn(v, 2), "randn: sizes"),
    (lambda v: minigrad.eye(v), "eye: n"),
    (lambda v: minigrad.eye(2, v), "eye: m"),
    (lambda v: minigrad.linspace(0, 1, v), "linspace: steps"),
    (lambda v: minigrad.randperm(v), "randperm: n"),
    (lambda v: minigrad.multinomial(x, v), "multinomial: num_samples"),
    (lambda v: minigrad.manual_seed(v), "manual_seed: seed"),
    (lambda v: x.reshape(v, 2), "reshape: sizes"),
    (lambda v: x.sum(v), "sum: dim"),
    (lambda v: x.transpose(0, v), "transpose: dim"),
    (lambda v: x.softmax(v), "softmax: dim"),
    (lambda v: x.unflatten(0, (v, 1)), "unflatten: sizes"),
    (lambda v: x.narrow(0, 0, v), "narrow: length"),
    (lambda v: x.select(0, v), "select: index"),
    (lambda v: x.diagonal(v), "diagonal: offset"),
    (lambda v: x.diag(v), "diag: diagonal"),
    (lambda v: x.triu(v), "triu: diagonal"),
    (lambda v: x.tril(v), "tril: diagonal"),
    (lambda v: x.split(v), "split: split_size"),
    (lambda v: x.split([v, 1]), "split: sections"),
    (lambda v: x.chunk(v), "chunk: chunks"),
    (lambda v: x.roll(v), "roll: sizes"),
    (lambda v: x.topk(v), "topk: k"),
    (lambda v: x.round(decimals=v), "round: decimals"),
    (lambda v: minigrad.bincount(classes, minlength=v), "bincount: minlength"),
    (lambda v: minigrad.unique(x, dim=v), "unique: dim"),
    (lambda v: F.one_hot(classes, v), "one_hot: num_classes"),
    (lambda v: F.embedding(classes, x, v), "embedding: padding_idx"),
    (lambda v: F.pad(x, (1, v)), "pad: pad"),
    (lambda v: F.conv2d(image, kernel, stride=v), "conv2d: stride"),
    (lambda v: F.conv2d(image, kernel, padding=(v, 0)), "conv2d: padding"),
    (lambda v: F.conv2d(image, kernel, groups=v), "conv2d: groups"),
    (lambda v: F.conv1d(row, kernel[0], dilation=v), "conv1d: dilation"),
    (lambda v: F.conv_transpose2d(image, kernel, groups=v), "conv_transpose2d: groups"),
    (lambda v: F.max_pool2d(image, v), "max_pool2d: kernel_size"),
    (lambda v: F.avg_pool2d(image, 2, divisor_override=v), "avg_pool2d: divisor_override"),
    (lambda v: F.adaptive_avg_pool2d(image, v), "adaptive_avg_pool2d: output_size"),
    (lambda v: F.nll_loss(x, classes, ignore_index=v), "nll_loss: ignore_index"),
    (lambda v: F.cross_entropy(x, classes, ignore_index=v), "cross_entropy: ignore_index"),
    (lambda v: nn.Linear(v, 2), "Linear: in_features"),
    (lambda v: nn.Embedding(v, 2), "Embedding: num_embeddings"),
    (lambda v: nn.Embedding(2, 2, v), "Embedding: padding_idx"),
    (lambda v: nn.Conv2d(1, v, 1), "Conv2d: out_channels"),
    (lambda v: nn.Conv2d(1, 1, (v, 1)), "Conv2d: kernel_size"),
    (lambda v: nn.Conv1d(1, 1, 1, groups=v), "Conv1d: groups"),
    (lambda v: nn.ConvTranspose2d(2, 2, 1)(image, (v, 4)), "ConvTranspose2d: output_size"),
    (lambda v: nn.MaxPool2d(v), "MaxPool2d: kernel_size"),
    (lambda v: nn.AdaptiveMaxPool2d((1, v)), "AdaptiveMaxPool2d: output_size"),
    (lambda v: nn.ZeroPad2d(v), "ZeroPad2d: padding"),
    (lambda v: nn.Flatten(v), "Flatten: start_dim"),
    (lambda v: nn.Unflatten(0, (v, 1)), "Unflatten: unflattened_size"),
    (lambda v: nn.Softmax(v), "Softmax: dim"),
    (lambda v: nn.PReLU(v), "PReLU: num_parameters"),
    (lambda v: schedule(lr_scheduler.StepLR, v), "StepLR: step_size"),
    (lambda v: schedule(lr_scheduler.LinearLR, total_iters=v), "LinearLR: total_iters"),
    (lambda v: schedule(lr_scheduler.ConstantLR, last_epoch=v), "ConstantLR: last_epoch"),
    (lambda v: data.DataLoader([1.0], v), "DataLoader: batch_size"),
    (lambda v: analysis.ActivationRecorder(nn.Sequential(nn.ReLU()), every=v),
     "ActivationRecorder: every"),
]  # fmt: skip
NUMBERS: list[tuple[Any, str]] = [
    (lambda v: minigrad.arange(0, v), "arange: end"),
    (lambda v: minigrad.add(x, x, alpha=v), "add: alpha"),
    (lambda v: minigrad.sub(x, x, alpha=v), "sub: alpha"),
    (lambda v: minigrad.isclose(x, x, rtol=v), "isclose: rtol"),
    (lambda v: minigrad.allclose(x, x, atol=v), "allclose: atol"),
    (lambda v: x.var(correction=v), "var: correction"),
    (lambda v: F.leaky_relu(x, v), "leaky_relu: negative_slope"),
    (lambda v: F.elu(x, v), "elu: alpha"),
    (lambda v: F.celu(x, v), "celu: alpha"),
    (lambda v: F.softplus(x, v), "softplus: beta"),
    (lambda v: F.hardtanh(x, v), "hardtanh: min_val"),
    (lambda v: F.dropout(x, v), "dropout: p"),
    (lambda v: F.huber_loss(x, x, delta=v), "huber_loss: delta"),
    (lambda v: F.smooth_l1_loss(x, x, beta=v), "smooth_l1_loss: beta"),
    (lambda v: F.cross_entropy(x, classes, label_smoothing=v), "cross_entropy: label_smoothing"),
    (lambda v: nn.Dropout(v), "Dropout: p"),
    (lambda v: nn.Hardtanh(v), "Hardtanh: min_val"),
    (lambda v: nn.PReLU(init=v), "PReLU: init"),
    (lambda v: nn.HuberLoss(delta=v), "HuberLoss: delta"),
    (lambda v: nn.SmoothL1Loss(beta=v), "SmoothL1Loss: beta"),
    (lambda v: nn.CrossEntropyLoss(label_smoothing=v), "CrossEntropyLoss: label_smoothing"),
    (lambda v: nn.NoiseInjection(scale=v), "NoiseInjection: scale"),
    (lambda v: nn.init.normal_(x.clone(), std=v), "normal_: std"),
    (lambda v: nn.init.trunc_normal_(x.clone(), std=v), "trunc_normal_: std"),
    (lambda v: nn.init.calculate_gain("leaky_relu", v), "calculate_gain: param"),
    (lambda v: nn.utils.clip_grad_norm_(x, v), "clip_grad_norm_: max_norm"),
    (lambda v: nn.utils.clip_grad_value_(x, v), "clip_grad_value_: clip_value"),
    (lambda v: optimizer(optim.SGD, lr=v), "SGD: lr"),
    (lambda v: optimizer(optim.SGD, dampening=v), "SGD: dampening"),
    (lambda v: optimizer(optim.Adam, betas=(v, 0.9)), r"Adam: betas\[0\]"),
    (lambda v: optimizer(optim.AdamW, eps=v), "AdamW: eps"),
    (lambda v: schedule(lr_scheduler.StepLR, 1, v), "StepLR: gamma"),
    (lambda v: schedule(lr_scheduler.LinearLR, v), "LinearLR: start_factor"),
    (lambda v: schedule(lr_scheduler.CosineAnnealingLR, v), "CosineAnnealingLR: T_max"),
    (lambda v: schedule(lr_scheduler.ReduceLROnPlateau, min_lr=v), "ReduceLROnPlateau: min_lr"),
    (lambda v: data.Whiten(eps=v), "Whiten: eps"),
    (lambda v: data.ClipOutliers(v), "ClipOutliers: k"),
]


@pytest.mark.parametrize(("call", "argument"), INTEGERS, ids=[a for _, a in INTEGERS])
@pytest.mark.parametrize(
    "value", [1.5, "a", {}, object(), True], ids=lambda v: repr(v).split(" at ")[0]
)
def test_integers_are_asked_for(call: Any, argument: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{argument} must be (an integer|integers)"):
        call(value)


@pytest.mark.parametrize(("call", "argument"), NUMBERS, ids=[a for _, a in NUMBERS])
@pytest.mark.parametrize("value", ["a", {}, object(), 1j], ids=lambda v: repr(v).split(" at ")[0])
def test_numbers_are_asked_for(call: Any, argument: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{argument} must be a number"):
        call(value)
