"""Normalisation. All of it is one pair of kernels, on x seen as (N, C, S).

The equations, which the kernels cite by these numbers. One feature has m = N·S values x_i; sums run
over them; eps is added to the variance, inside the root.

    forward     mean = Σ x_i / m                                                          (BN 1)
                var = Σ (x_i - mean)² / m                 biased, as in Algorithm 1       (BN 2)
                inv_std = 1/√(var + eps),   x_hat_i = (x_i - mean)·inv_std                (BN 3)
                y_i = gamma·x_hat_i + beta                                                (BN 4)

    backward    dbeta = Σ g_i                                                             (BN 5)
                dgamma = Σ g_i·x_hat_i                                                    (BN 6)
                dx_hat_i = g_i·gamma                                                      (BN 7)

`mean` and `var` depend on every x_i, so x_i acts in three ways: by itself, through the variance and
through the mean (Ioffe & Szegedy 2015, section 3):

                dvar = Σ dx_hat_i·(x_i - mean)·(-½)·inv_std³
                     = -½·inv_std²·Σ dx_hat_i·x_hat_i                                     (BN 8)
                dmean = -inv_std·Σ dx_hat_i           (through var: Σ (x_i - mean) = 0)   (BN 9)
                dx_i = dx_hat_i·inv_std + dvar·2·(x_i - mean)/m + dmean/m                (BN 10)

Put (BN 7) to (BN 9) into (BN 10), and use (BN 5) and (BN 6):

                dx_i = gamma·inv_std·(g_i - dbeta/m - x_hat_i·dgamma/m)                  (BN 11)

Three terms: the gradient itself, less its mean, less its part along x_hat. Hence Σ dx = 0 and
Σ dx·x_hat = 0 (for eps = 0): the loss cannot tell a shifted or scaled x from x, and the gradient of
sum(batch_norm(x)) is zero. In eval mode the statistics are constants, and only the first term is
left:           dx_i = gamma·inv_std·g_i                                                 (BN 12)

Instance normalisation is all this on x seen as (1, N·C, S). In layer normalisation a row of D
values shares its statistics, (BN 1) to (BN 3), and gamma and beta differ along it; x_i and g_i are
those of one row, and for dgamma and dbeta there is a sum over rows n:

                y_i = gamma_i·x_hat_i + beta_i,   dx_hat_i = g_i·gamma_i                  (LN 1)
                dx_i = inv_std·(dx_hat_i - Σ dx_hat/D - x_hat_i·Σ dx_hat·x_hat/D)         (LN 2)
                dgamma_i = Σ_n g_ni·x_hat_ni,   dbeta_i = Σ_n g_ni                        (LN 3)

(LN 2) is (BN 11) with gamma inside the sums. Group normalisation is (LN 1) and (LN 2) for a group
of a sample, D = C/G·S, and (BN 5) and (BN 6) for a channel. RMS normalisation subtracts no mean:

                inv_rms = 1/√(Σ x_i²/D + eps),   x_hat_i = x_i·inv_rms                   (RMS 1)
                y_i = gamma_i·x_hat_i,   dx_hat_i = g_i·gamma_i                          (RMS 2)
                dx_i = inv_rms·(dx_hat_i - x_hat_i·Σ dx_hat·x_hat/D)                     (RMS 3)
                dgamma_i = Σ_n g_ni·x_hat_ni                                             (RMS 4)

Digits: sums run over x_i - x_0, in float64 or merged in it. So a float32 output is within 1e-6 of
the float64 one whatever constant up to 1e6 standard deviations is added to x, constant features
come out as exactly beta, 1e30, denormals and 2·10⁷ values a feature are no matter, and NaN and inf
stay in their own feature. (An output is no better than its input: at an offset of 1e6 the spacing
of float32 numbers is 0.06.)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import changes, kernels, modes
from minigrad.ops.norm_checks import (
    as_features,
    as_rows,
    check_floating,
    check_shape,
    check_statistics,
    some_of,
    warn_or_undo,
)
from minigrad.recording import needs_grad, record
from minigrad.tensor import Tensor


def _arrays(name: str, *values: Tensor | None) -> tuple[Any, ...]:
    """The arrays of x and its parameters; one carrying a derivative makes all of them complex."""
    x = values[0]
    check_floating(name, x)
    arrays = [None if v is None else v.array for v in values]
    dtype = arrays[0].dtype  # type: ignore[union-attr]
    if dtype.kind == "f" and all(a is None or a.dtype is dtype for a in arrays):
        return tuple(arrays)
    if any(a is not None and a.dtype.kind == "c" for a in arrays):
        return tuple(None if a is None else a.astype(np.complex128, copy=False) for a in arrays)
    for a in arrays:
        if a is not None and a.dtype != dtype:
            raise RuntimeError(
                f"{name}: expected weight and bias of the input's dtype {dtype}, got {a.dtype}"
            )
    return tuple(arrays)


def _move(
    name: str, running_mean: Tensor | None, running_var: Tensor | None, momentum: float,
    mean: Any, var: Any, correction: float,
) -> None:  # fmt: skip
    """Move both running statistics towards a batch's, at the very end."""
    if running_mean is None or running_var is None or modes.probing.get():
        return
    watched = changes.held_elsewhere(running_mean) or changes.held_elsewhere(running_var)
    a, b = running_mean.array, running_var.array
    for argument, array in (("running_mean", a), ("running_var", b)):
        if not array.flags.writeable:
            raise RuntimeError(
                f"{name}: {argument} cannot be written to (several elements share memory, or it "
                "was given as read-only): pass its clone()"
            )
    before = a.copy(), b.copy()
    stay = kernels.backend_for(a).move_stats_(a, b, mean, var, momentum, correction)
    for array in (a, b) if watched else ():
        changes.note_change(array)
    if len(stay):
        message = (
            f"{name}: the input has NaN, infinite or too large values in channel {some_of(stay)}: "
            "the output shows them, running_mean and running_var keep their last finite values"
        )
        warn_or_undo(message, (a, b), before, 4)


def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise each channel of x (N, C, …) (Ioffe & Szegedy 2015, Algorithm 1).

    In training by the batch's own mean and biased variance; running_mean and running_var, if given,
    then move in place to (1 - momentum)·running + momentum·batch (of the unbiased variance). In
    evaluation by running_mean and running_var. An error, an empty batch or a gradient check moves
    nothing; a channel that is not finite keeps its last finite statistics, with a RuntimeWarning.

    Raises:
        ValueError: one value per channel in training; one of running_mean and running_var alone.
        RuntimeError: a shape or dtype that does not fit; no statistics in evaluation.
        TypeError: an input that is not floating, a parameter that is not a tensor.
    """
    samples, _, size = check_statistics(
        "batch_norm", input, weight, bias, running_mean, running_var, momentum, eps
    )
    if eps < 0:
        raise ValueError(f"batch_norm: eps must not be negative, got {eps}")
    if not training:
        return batch_norm_eval(input, running_mean, running_var, weight, bias, eps)
    m = samples * size
    if m == 1:
        raise ValueError(
            f"batch_norm: one value per channel in training (input shape {input.shape}): its "
            "variance is 0 and the output would be beta whatever comes in"
        )
    y, mean, var = batch_norm_train(input, weight, bias, eps)
    if input.array.size:
        _move("batch_norm", running_mean, running_var, momentum, mean, var, m / (m - 1))
    return y


def batch_norm_train(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, relu: bool = False
) -> tuple[Tensor, Any, Any]:
    """(y, mean, biased variance) by the batch's statistics; equations (BN 1) to (BN 11).

    With `relu`, y is its result: one pass less over the data each way.
    """
    a, gamma, beta = _arrays("batch_norm", x, weight, bias)
    view = as_features("batch_norm", x)
    backend = kernels.backend_for(a, gamma, beta)
    x3 = a.reshape(view)
    y, mean, var, inv_std = backend.batch_norm(x3, gamma, beta, eps, relu)
    shape, kept = a.shape, y if relu else None
    needs = needs_grad(x), needs_grad(weight), needs_grad(bias)

    def vjp(g: Any) -> Any:
        g = g.reshape(view)
        dx, dgamma, dbeta = backend.batch_norm_backward(g, x3, mean, inv_std, gamma, kept)
        return _deliver(needs, dx.reshape(shape), dgamma, dbeta)

    name = "batch_norm_relu" if relu else "batch_norm"
    return record(name, y.reshape(shape), (x, weight, bias), vjp), mean, var


def _deliver(needs: Any, dx: Any, dgamma: Any, dbeta: Any) -> tuple[Any, Any, Any]:
    return (
        dx if needs[0] else None,
        dgamma.astype(dx.dtype) if needs[1] else None,
        dbeta.astype(dx.dtype) if needs[2] else None,
    )


def batch_norm_eval(
    x: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None, bias: Tensor | None, eps: float,
) -> Tensor:  # fmt: skip
    """Normalise by given statistics, which are constants here; (BN 3), (BN 4) and (BN 12)."""
    if running_mean is None or running_var is None:
        raise RuntimeError("batch_norm: evaluation needs running_mean and running_var")
    a, gamma, beta = _arrays("batch_norm", x, weight, bias)
    view = as_features("batch_norm", x)
    acc = np.result_type(a.dtype, np.float64)
    mean = running_mean.array.astype(acc)
    with np.errstate(all="ignore"):
        inv_std = 1 / np.sqrt(running_var.array.astype(acc) + eps)
    backend = kernels.backend_for(a, gamma, beta)
    x3 = a.reshape(view)
    shape = a.shape
    needs = needs_grad(x), needs_grad(weight), needs_grad(bias)
    if not any(needs[1:]):  # (BN 12) needs no x: keep nothing but the scale
        return _eval_of_x(x, backend, x3, mean, inv_std, gamma, beta)

    def vjp(g: Any) -> Any:
        dx, dgamma, dbeta = backend.normalize_backward(g.reshape(view), x3, mean, inv_std, gamma)
        return _deliver(needs, dx.reshape(shape), dgamma, dbeta)

    y = backend.normalize(x3, mean, inv_std, gamma, beta)
    return record("batch_norm", y.reshape(shape), (x, weight, bias), vjp)


def _eval_of_x(
    x: Tensor, backend: Any, x3: Any, mean: Any, inv_std: Any, gamma: Any, beta: Any
) -> Tensor:
    y = backend.normalize(x3, mean, inv_std, gamma, beta)
    scale = (inv_std if gamma is None else inv_std * gamma)[:, None]
    shape, view, dtype = x.shape, x3.shape, x3.dtype

    def vjp(g: Any) -> Any:
        return ((g.reshape(view) * scale).astype(dtype).reshape(shape),)

    return record("batch_norm", y.reshape(shape), (x,), vjp)


def instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
    weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise each channel of each sample of x (N, C, …): batch_norm on (1, N·C, S)
    (Ulyanov et al. 2016). Running statistics, if given, move to the samples' mean as batch_norm's.
    """
    name = "instance_norm"
    size = check_statistics(name, input, weight, bias, running_mean, running_var, momentum, eps)[2]
    if not use_input_stats:
        return batch_norm_eval(input, running_mean, running_var, weight, bias, eps)
    y, means, variances = instance_norm_train(input, weight, bias, eps)
    if input.array.size:
        _move(name, running_mean, running_var, momentum, means, variances, size / (size - 1))
    return y


def instance_norm_train(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Any, Any]:
    """(y, mean, biased variance) by each sample's own statistics, which are then averaged."""
    name = "instance_norm"
    samples, channels, size = as_features(name, x)
    if size == 1:
        raise ValueError(
            f"{name}: one value per channel and sample (input shape {x.shape}): its variance is 0 "
            "and the output would be beta whatever comes in"
        )
    y, mean, var = _groups(name, x, max(channels, 1), weight, bias, eps)
    with np.errstate(all="ignore"):
        means, variances = (
            v[: samples * channels].reshape(samples, channels).sum(axis=0) / max(samples, 1)
            for v in (mean, var)
        )
    return y, means, variances


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise groups of C/num_groups channels of each sample (Wu & He 2018): batch_norm on
    (1, N·G, C/G·S), then gamma and beta per channel."""
    name = "group_norm"
    samples, channels, size = as_features(name, input)
    if isinstance(num_groups, bool) or not isinstance(num_groups, int | np.integer):
        raise TypeError(f"{name}: num_groups must be an integer, got {num_groups!r}")
    if num_groups < 1 or channels % num_groups:
        raise ValueError(
            f"{name}: the {channels} channels of shape {input.shape} do not divide into "
            f"{num_groups} groups"
        )
    check_shape(name, (channels,), "channel (axis 1) of the input", weight=weight, bias=bias)
    if samples == 1 and channels // num_groups * size == 1:  # PyTorch's rule; the layer is stricter
        raise ValueError(
            f"{name}: one value per group (input shape {input.shape}, num_groups={num_groups}): "
            "its variance is 0 and the output would be beta whatever comes in"
        )
    return _groups(name, input, num_groups, weight, bias, eps)[0]


def _groups(
    name: str, x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Any, Any]:
    """Statistics per (sample, group), gamma and beta per channel.

    (LN 1) and (LN 2) hold within a group; (BN 5) and (BN 6) are sums over samples and positions.
    """
    a, gamma, beta = _arrays(name, x, weight, bias)
    view, shape = as_features(name, x), a.shape
    backend = kernels.backend_for(a, gamma, beta)
    x3 = a.reshape(view)
    y, mean, var, inv_std = backend.group_norm(x3, gamma, beta, groups, eps)
    needs = needs_grad(x), needs_grad(weight), needs_grad(bias)

    def vjp(g: Any) -> Any:
        g3 = g.reshape(view)
        dx, dgamma, dbeta = backend.group_norm_backward(g3, x3, mean, inv_std, gamma, groups)
        return _deliver(needs, dx.reshape(shape), dgamma, dbeta)

    return record(name, y.reshape(shape), (x, weight, bias), vjp), mean, var


def layer_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise each sample over its last axes (Ba et al. 2016); gamma and beta per element."""
    # (LN 1) to (LN 3) on x seen as (N, D)
    x = input
    view = as_rows("layer_norm", x, normalized_shape, weight=weight, bias=bias)
    a, gamma, beta = _arrays("layer_norm", x, weight, bias)
    shape, affine_shape = a.shape, None if weight is None else weight.shape
    if bias is not None:
        affine_shape = bias.shape
    backend = kernels.backend_for(a, gamma, beta)
    rows = a.reshape(view)
    several = affine_shape is not None and len(affine_shape) > 1  # axes to normalise over
    if several:
        gamma, beta = (None if p is None else p.reshape(-1) for p in (gamma, beta))
    y, mean, inv_std = backend.layer_norm(rows, gamma, beta, eps)
    needs = needs_grad(x), needs_grad(weight), needs_grad(bias)

    def vjp(g: Any) -> Any:
        dx, dgamma, dbeta = backend.layer_norm_backward(g.reshape(view), rows, mean, inv_std, gamma)
        if several:
            dgamma, dbeta = dgamma.reshape(affine_shape), dbeta.reshape(affine_shape)
        return _deliver(needs, dx.reshape(shape), dgamma, dbeta)

    return record("layer_norm", y.reshape(shape), (x, weight, bias), vjp)


def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Divide each sample by the root of its mean square (Zhang & Sennrich 2019); eps defaults to
    the dtype's machine epsilon."""
    # (RMS 1) to (RMS 4) on x seen as (N, D)
    x = input
    view = as_rows("rms_norm", x, normalized_shape, weight=weight)
    a, gamma = _arrays("rms_norm", x, weight)
    if eps is None:
        eps = float(np.finfo(a.dtype).eps)
    shape, gamma_shape = a.shape, () if weight is None else weight.shape
    backend = kernels.backend_for(a, gamma)
    rows = a.reshape(view)
    gamma = None if gamma is None else gamma.reshape(-1)
    y, inv_rms = backend.rms_norm(rows, gamma, eps)
    needs = needs_grad(x), needs_grad(weight)

    def vjp(g: Any) -> Any:
        dx, dgamma = backend.rms_norm_backward(g.reshape(view), rows, inv_rms, gamma)
        dw = dgamma.reshape(gamma_shape).astype(dx.dtype) if needs[1] else None
        return dx.reshape(shape) if needs[0] else None, dw

    return record("rms_norm", y.reshape(shape), (x, weight), vjp)
