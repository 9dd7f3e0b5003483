"""Corners of normalisation: statistics that are given, no channels, folds that must be refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, nn
from minigrad.autograd import gradcheck
from minigrad.closures import arrays_in
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


PARAMETERS = ["weight", "bias"]
OF_CHANNELS = ["running_mean", "running_var", *PARAMETERS]
NO_STATISTICS = dict.fromkeys(["running_mean", "running_var"])
CALLS: dict[str, tuple[Any, list[str]]] = {
    "batch_norm": (
        lambda x, **options: F.batch_norm(x, **NO_STATISTICS | options, training=True), OF_CHANNELS,
    ),
    "instance_norm": (F.instance_norm, OF_CHANNELS),
    "group_norm": (lambda x, **options: F.group_norm(x, 2, **options), PARAMETERS),
    "layer_norm": (lambda x, **options: F.layer_norm(x, (4,), **options), PARAMETERS),
    "rms_norm": (lambda x, **options: F.rms_norm(x, (4,), **options), ["weight"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_argument_is_looked_at(name: str) -> None:
    call, arguments = CALLS[name]
    x = minigrad.randn(3, 4, 4)
    assert call(x.requires_grad_()).node.name == name
    with pytest.raises(TypeError, match=f"^{name}: eps must be a number"):
        call(x, eps="a")
    if name == "batch_norm":
        with pytest.raises(ValueError, match=f"^{name}: eps must be"):
            call(x, eps=-1e-9)
    fit = {argument: minigrad.ones(4) for argument in arguments}
    call(x, **fit)
    for argument in arguments:
        with pytest.raises(RuntimeError, match=f"^{name}: {argument} has shape"):
            call(x, **fit | {argument: minigrad.ones(3)})


@pytest.mark.parametrize("shape", [(1, 3, 5), (4, 1, 5), (1, 1, 2)])
def test_one_sample_or_one_channel(kernels: str, shape: tuple[int, ...]) -> None:
    a = np.random.default_rng(0).standard_normal(shape)
    running = [minigrad.zeros(shape[1]).double(), minigrad.ones(shape[1]).double()]
    y = F.instance_norm(minigrad.from_numpy(a), *running)
    spread = np.sqrt(a.var(2, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y.array, (a - a.mean(2, keepdims=True)) / spread, rtol=1e-10)
    np.testing.assert_allclose(running[0].array, 0.1 * a.mean((0, 2)), rtol=1e-12)
    var = 0.9 + 0.1 * a.var(2, ddof=1).mean(0)
    np.testing.assert_allclose(running[1].array, var, rtol=1e-12)


def test_no_sample_and_samples_that_are_not_finite_move_nothing(kernels: str) -> None:
    running = [minigrad.full((2,), 3.0), minigrad.full((2,), 4.0)]
    assert F.instance_norm(minigrad.zeros(0, 2, 5), *running).shape == (0, 2, 5)
    x = minigrad.randn(2, 2, 5)
    x.array[0, :, 1], x.array[1, :, 1] = np.inf, -np.inf  # whose sum numpy warns of
    with pytest.warns(RuntimeWarning, match="instance_norm: the input has NaN"):
        F.instance_norm(x, *running)
    assert running[0].tolist() == [3, 3] and running[1].tolist() == [4, 4]


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 1), (1, 8, 2), (1, 4, 2)])
def test_groups_of_one_value_are_refused_of_one_sample_only(
    kernels: str, shape: tuple[int, ...]
) -> None:
    torch = pytest.importorskip("torch")
    a = np.random.default_rng(0).standard_normal(shape)
    found = F.group_norm(minigrad.from_numpy(a), 4)
    expected = torch.nn.functional.group_norm(torch.from_numpy(a), 4)
    np.testing.assert_allclose(found.array, expected.numpy(), rtol=1e-10)
    with pytest.raises(ValueError, match="group_norm: one value per group"):
        F.group_norm(minigrad.ones(1, *shape[1:2]), shape[1])


@pytest.mark.parametrize("given", [["weight"], ["bias"], PARAMETERS])
def test_parameters_of_several_axes(kernels: str, given: list[str]) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal((2, 3)) for name in given}
    x, g = rng.standard_normal((4, 2, 3)), rng.standard_normal((4, 2, 3))
    for name in ("layer_norm", "rms_norm"):
        if name == "rms_norm" and "bias" in given:
            continue
        found = []
        for m in (minigrad, torch):
            options = {key: m.from_numpy(a.copy()).requires_grad_() for key, a in arrays.items()}
            y = getattr(m.nn.functional, name)(m.from_numpy(x), (2, 3), **options)
            y.backward(m.from_numpy(g))
            found.append([y.detach().numpy(), *(p.grad.numpy() for p in options.values())])
        for ours, theirs in zip(*found, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rms_norms_own_eps_is_the_dtypes(kernels: str, dtype: str) -> None:
    eps = np.finfo(dtype).eps
    x = np.full((1, 2), np.sqrt(eps), dtype)  # the mean square is eps, too
    y = F.rms_norm(minigrad.from_numpy(x), (2,))
    np.testing.assert_allclose(y.array, np.sqrt(0.5), rtol=1e-6)  # float32


def test_no_samples_and_no_channels_in_one(kernels: str) -> None:
    """A shape of one axis which PyTorch takes; a longer one has no channels, and is refused."""
    none, x = minigrad.zeros(0), minigrad.zeros(0, requires_grad=True)
    for y in (F.batch_norm(x, none, none, none, none, training=True), F.batch_norm(x, none, none)):
        assert y.shape == (0,)
        y.backward(np.ones(0, np.float32))
    assert x.grad is not None and x.grad.shape == (0,)
    with pytest.raises(ValueError, match="one value per channel and sample"):
        F.instance_norm(none)
    for shape in ((), (1,), (3,)):
        with pytest.raises(RuntimeError, match=r"batch_norm: expected an input \(N, C, …\)"):
            F.batch_norm(minigrad.zeros(shape), None, None, training=True)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
@pytest.mark.parametrize("shape", [(), (5, 3, 4), (4, 3), (3,)])
def test_shapes_that_are_not_at_the_end_of_the_input_s(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError, match=rf"^{name}: normalized_shape="):
        getattr(F, name)(minigrad.zeros(3, 4), shape)


def test_a_given_variance_below_zero_is_nan_without_a_word(kernels: str) -> None:
    x = minigrad.randn(3, 2, requires_grad=True)
    y = F.batch_norm(x, minigrad.zeros(2), minigrad.tensor([-1.0, 1.0]))
    y.sum().backward()
    assert np.isnan(y.array).tolist() == [[True, False]] * 3
    assert x.grad is not None and np.isnan(x.grad.array).tolist() == [[True, False]] * 3


def test_given_statistics_keep_no_input_without_parameters_that_learn(kernels: str) -> None:
    x, constants = minigrad.randn(3, 2).requires_grad_(), [minigrad.ones(2) for _ in range(4)]
    y = F.batch_norm(x, *constants)
    assert y.node is not None and y.node.vjp is not None
    assert not any(np.may_share_memory(a, x.array) for a in arrays_in(y.node.vjp))
    constants[2].requires_grad_()
    y = F.batch_norm(x, *constants)  # (BN 6) needs x_hat
    assert any(np.may_share_memory(a, x.array) for a in arrays_in(y.node.vjp))


def test_statistics_that_are_part_of_what_was_saved_count_as_changed(kernels: str) -> None:
    both, w = minigrad.zeros(4), minigrad.ones(4, requires_grad=True)
    product = (w * both).sum()
    F.batch_norm(minigrad.randn(3, 2), both[:2], minigrad.ones(2), training=True)
    with pytest.raises(RuntimeError, match="changed in place"):
        product.backward()
