"""Corners of normalisation: statistics that are given, no channels, folds that must be refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, nn
from minigrad.autograd import gradcheck
from minigrad.nn import functional as F
from minigrad.nn.utils import fold_batchnorm

KERNELS = pytest.mark.parametrize("kernels", ["numpy", "numba"])


@KERNELS
@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 3)])
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_given_statistics_pass_the_gradient_whatever_x_is(
    kernels: str, shape: tuple[int, ...], odd: float
) -> None:
    data = np.ones(shape, np.float32)
    data[0, 0] = odd
    x, w = Tensor(data, requires_grad=True), minigrad.ones(2).requires_grad_()
    g = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    with minigrad.use_kernels(kernels):
        F.batch_norm(x, minigrad.zeros(2), minigrad.ones(2), w).backward(g)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.array, g / np.sqrt(1 + 1e-5), rtol=1e-6)  # float32


@KERNELS
def test_no_channels_at_all(kernels: str) -> None:
    with minigrad.use_kernels(kernels):
        assert F.instance_norm(minigrad.zeros(2, 0, 4)).shape == (2, 0, 4)


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Any:
        h = self.linear(x)
        return self.norm(h), {"before": h}


def test_an_output_inside_a_dict_counts_as_a_use() -> None:
    model = Nested()
    model.norm.running_mean.array[:] = 2
    with pytest.raises(ValueError, match="norm: neither a layer before it, used by nothing"):
        fold_batchnorm(model, minigrad.randn(5, 3))


def test_a_fold_that_would_cancel_is_refused() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))
    model[0].running_mean.array[:] = 1e6
    with pytest.raises(RuntimeError, match="another output after folding"):
        fold_batchnorm(model)


@pytest.mark.parametrize(
    "norm",
    [
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        lambda x, w, b: F.batch_norm(x, b.detach(), b.detach().exp(), w, b),
        lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
        lambda x, w, b: F.group_norm(x, 2, w, b),
        lambda x, w, b: F.layer_norm(x, (4,), w, b),
        lambda x, w, b: F.rms_norm(x, (4,), w) + b,
    ],
    ids=["batch", "evaluation", "instance", "group", "layer", "rms"],
)  # fmt: skip
def test_one_of_several_arguments_is_probed(norm: Any, kernels: str) -> None:
    """By complex numbers: the others are real then, and the result is complex all the same."""
    rng = np.random.default_rng(0)
    given = [minigrad.from_numpy(rng.standard_normal(s)) for s in ((2, 4, 4), (4,), (4,))]
    for i, argument in enumerate(given):
        others = [*given[:i], None, *given[i + 1 :]]
        found = gradcheck(
            lambda v, others=others: norm(*(v if o is None else o for o in others)),
            (argument.clone().requires_grad_(),),
        )
        assert found


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.3, "eps": 0.1}], ids=str)
def test_functions_move_statistics_as_in_pytorch(name: str, options: dict[str, float]) -> None:
    torch = pytest.importorskip("torch")
    a = np.random.default_rng(0).standard_normal((3, 2, 5))
    flag = "training" if name == "batch_norm" else "use_input_stats"
    found = []
    for m in (minigrad, torch):
        f = getattr(m.nn.functional, name)
        x, mean, var = m.from_numpy(a), m.zeros(2).double(), m.ones(2).double()
        moving = f(x, mean, var, **{flag: True}, **options)
        alone = f(x, None, None, **{flag: True}, **options)
        fixed = f(x, mean, var, **{flag: False}, **options)
        found.append([v.numpy() for v in (moving, alone, fixed, mean, var)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    f = getattr(F, name)
    x = minigrad.from_numpy(a).requires_grad_()
    assert f(x, None, None, **{flag: True}).node.name == name
    mean, var = minigrad.zeros(2).double(), minigrad.ones(2).double()
    with pytest.raises(ValueError, match="running_mean and running_var"):
        f(x, mean, None, **{flag: True})
    with pytest.raises((ValueError, RuntimeError), match="running_mean"):
        f(x, None, None, **{flag: False})
    for wrong in ({"eps": "a"}, {"momentum": "a"}):
        with pytest.raises(TypeError, match=f"{name}: {next(iter(wrong))} must be a number"):
            f(x, mean, var, **{flag: True}, **wrong)
    with pytest.raises(RuntimeError, match=f"{name}: running_var has shape"):
        f(x, mean, minigrad.ones(3).double(), **{flag: True})
    with pytest.raises(ValueError, match=f"{name}: one value per channel"):
        f(x[:1, :, :1], mean, var, **{flag: True})
    assert mean.tolist() == [0, 0] and var.tolist() == [1, 1]
