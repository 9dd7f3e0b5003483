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

Those statistics are running averages over batches (`running_stats.py`), of the unbiased variance:

                running ← (1 - momentum)·running + momentum·(mean, var·m/(m - 1))        (BN 13)

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

import math
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.checks import integer, integers, number
from minigrad.ops.running_stats import check_running_stats, update_running_stats
from minigrad.recording import need_grad, record
from minigrad.tensor import Tensor

# ---------------------------------------------------------------------------- what is refused
# The functions of F check their arguments with these; layers know theirs, and look at the input.


def _check_floating(name: str, x: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: input must be a Tensor, got {type(x).__name__}")
    if x.array.dtype.kind not in "fc":
        raise TypeError(f"{name}: expected a floating input, got dtype {x.dtype}: use .float()")


def _check_fit(name: str, x: Tensor, shape: tuple[int, ...], whose: str, **tensors: Any) -> None:
    """Refuse parameters and statistics that are no tensors, or not of this shape and x's dtype."""
    for argument, v in tensors.items():
        if v is None:
            continue
        if not isinstance(v, Tensor):
            raise TypeError(f"{name}: {argument} must be a Tensor or None, got {type(v).__name__}")
        if v.array.shape != shape:
            raise RuntimeError(
                f"{name}: {argument} has shape {v.shape}, expected {shape}, one for each {whose}"
            )
        # while a function is probed, one of the two may be complex
        if v.dtype != x.dtype and "c" not in (v.dtype.kind, x.dtype.kind):
            raise RuntimeError(
                f"{name}: {argument} has dtype {v.dtype}, expected the input's, {x.dtype}"
            )


def _check_features(name: str, x: Any, **tensors: Any) -> tuple[int, int, int]:
    """Refuse what is no floating x of (N, C, …), and tensors that are not (C,): N, C and S."""
    _check_floating(name, x)
    shape = x.array.shape
    if len(shape) < 2 and shape != (0,):  # which PyTorch takes: no samples, no channels
        raise RuntimeError(f"{name}: expected an input (N, C, …), got shape {shape}")
    view = _features(shape)
    _check_fit(name, x, (view[1],), "channel (axis 1) of the input", **tensors)
    return view


def _check_rows(name: str, x: Any, normalized_shape: Any, **params: Any) -> tuple[int, int]:
    """Refuse what is no floating x of (…, *normalized_shape): x seen as (N, D)."""
    _check_floating(name, x)
    shape, full = integers(name, "normalized_shape", normalized_shape, None, None), x.array.shape
    rank = len(full) - len(shape)
    if not shape or full[rank:] != shape:  # (longer than full, it is unequal, too)
        raise RuntimeError(
            f"{name}: normalized_shape={list(shape)}, expected an input of shape [*, "
            f"{', '.join(map(str, shape))}], got {full}"
        )
    _check_fit(name, x, shape, "element of normalized_shape", **params)
    return math.prod(full[:rank]), math.prod(shape)


def one_value(
    name: str, each: str, shape: tuple[int, ...], ways_out: str, cause: str = ""
) -> ValueError:
    """The error for statistics of one value."""
    return ValueError(
        f"{name}: one value per {each}, input shape {shape}{cause}. Its variance is 0 and the "
        f"output would be beta, whatever comes in. Ways out: {ways_out}"
    )


# ---------------------------------------------------------------------------- what ops share


def _features(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """N, C and S of x (N, C, …)."""
    return (0, 0, 1) if len(shape) < 2 else (shape[0], shape[1], math.prod(shape[2:]))


def _arrays(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Any, Any, Any]:
    """Their arrays. While a function is probed some may be complex, which numpy's kernels take."""
    gamma = None if weight is None else weight.array
    return x.array, gamma, None if bias is None else bias.array


def _deliver(needs: Any, dx: Any, dgamma: Any, dbeta: Any) -> tuple[Any, Any, Any]:
    return (
        dx if needs[0] else None,
        dgamma.astype(dx.dtype) if needs[1] else None,
        dbeta.astype(dx.dtype) if needs[2] else None,
    )


# ---------------------------------------------------------------------------- by channel


def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise each channel of x (N, C, …) (Ioffe & Szegedy 2015, Algorithm 1).

    In training by the batch's own mean and biased variance; running_mean and running_var, if given,
    then move in place to (1 - momentum)·running + momentum·batch (of the unbiased variance). In
    evaluation by running_mean and running_var. An error, an empty batch or a gradient check moves
    nothing; a channel that is not finite keeps its last finite statistics, with a RuntimeWarning
    each time (a layer gives it once).

    Raises:
        ValueError: one value per channel in training; one of running_mean and running_var alone.
        RuntimeError: a shape or dtype that does not fit; no statistics in evaluation; statistics
            that cannot be written to in training.
        TypeError: an input that is not floating, a parameter that is not a tensor.
    """
    name = "batch_norm"
    samples, _, size = _check_features(
        name, input, weight=weight, bias=bias, running_mean=running_mean, running_var=running_var
    )
    check_running_stats(name, running_mean, running_var)
    number(name, "momentum", momentum)
    number(name, "eps", eps, at_least=0)
    if not training:
        return batch_norm_eval(input, running_mean, running_var, weight, bias, eps)
    m = samples * size
    if m == 1:
        ways = "more samples or larger maps, or training=False to use given statistics"
        raise one_value(name, "channel in training", input.shape, ways)
    y, mean, var = batch_norm_train(input, weight, bias, eps)
    if input.array.size and running_mean is not None and running_var is not None:
        running = {"running_mean": running_mean, "running_var": running_var}
        update_running_stats(name, running, mean, var, momentum, m / (m - 1))
    return y


def batch_norm_train(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, relu: bool = False
) -> tuple[Tensor, Any, Any]:
    """(y, mean, biased variance) by the batch's statistics; equations (BN 1) to (BN 11).

    With `relu`, y is its result: one pass less over the data each way.
    """
    a, gamma, beta = _arrays(x, weight, bias)
    backend = kernels.backend_for(a, gamma, beta)
    shape, view = a.shape, _features(a.shape)
    x3 = a.reshape(view)
    y, mean, var, inv_std = backend.batch_norm(x3, gamma, beta, eps, relu)
    kept = y if relu else None
    needs = need_grad(x, weight, bias)

    def vjp(g: Any) -> Any:
        g = g.reshape(view)
        dx, dgamma, dbeta = backend.batch_norm_backward(g, x3, mean, inv_std, gamma, kept)
        return _deliver(needs, dx.reshape(shape), dgamma, dbeta)

    name = "batch_norm_relu" if relu else "batch_norm"
    return record(name, y.reshape(shape), (x, weight, bias), vjp), mean, var


def batch_norm_eval(
    x: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None, bias: Tensor | None, eps: float,
) -> Tensor:  # fmt: skip
    """Normalise by given statistics, which are constants here; (BN 3), (BN 4) and (BN 12)."""
    if running_mean is None or running_var is None:
        raise RuntimeError("batch_norm: evaluation needs running_mean and running_var")
    a, gamma, beta = _arrays(x, weight, bias)
    acc = np.result_type(a.dtype, np.float64)
    mean = running_mean.array.astype(acc)
    with np.errstate(all="ignore"):
        inv_std = 1 / np.sqrt(running_var.array.astype(acc) + eps)
        scale = (inv_std if gamma is None else inv_std * gamma)[:, None]
    backend = kernels.backend_for(a, gamma, beta)
    shape, view, dtype = a.shape, _features(a.shape), a.dtype
    x3 = a.reshape(view)
    y = backend.normalize(x3, mean, inv_std, gamma, beta)
    needs = need_grad(x, weight, bias)

    def vjp(g: Any) -> Any:
        dx, dgamma, dbeta = backend.normalize_backward(g.reshape(view), x3, mean, inv_std, gamma)
        return _deliver(needs, dx.reshape(shape), dgamma, dbeta)

    def vjp_of_x(g: Any) -> Any:  # (BN 12) needs no x: keep nothing but the scale
        return (g.reshape(view) * scale).astype(dtype).reshape(shape), None, None

    y = y.reshape(shape)
    return record("batch_norm", y, (x, weight, bias), vjp if needs[1] or needs[2] else vjp_of_x)


def instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
    weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise each channel of each sample of x (N, C, …): batch_norm on (1, N·C, S)
    (Ulyanov et al. 2016). Running statistics, if given, move to the samples' mean as batch_norm's.
    """
    name = "instance_norm"
    *_, size = _check_features(
        name, input, weight=weight, bias=bias, running_mean=running_mean, running_var=running_var
    )
    check_running_stats(name, running_mean, running_var)
    number(name, "momentum", momentum)
    number(name, "eps", eps)
    if not use_input_stats:
        return batch_norm_eval(input, running_mean, running_var, weight, bias, eps)
    y, mean, var = instance_norm_train(name, input, weight, bias, eps)
    if input.array.size and running_mean is not None and running_var is not None:
        running = {"running_mean": running_mean, "running_var": running_var}
        update_running_stats(name, running, mean, var, momentum, size / (size - 1))
    return y


def instance_norm_train(
    name: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Any, Any]:
    """(y, mean, biased variance) by each sample's own statistics, which are then averaged."""
    samples, channels, size = _features(x.shape)
    if size == 1:
        ways = "larger maps, or BatchNorm, which takes its statistics from the batch"
        raise one_value(name, "channel and sample", x.shape, ways)
    y, mean, var = _groups("instance_norm", x, max(channels, 1), weight, bias, eps)
    with np.errstate(all="ignore"):
        means, variances = (
            v[: samples * channels].reshape(samples, channels).sum(axis=0) / samples
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
    samples, channels, size = _check_features(name, input, weight=weight, bias=bias)
    groups = integer(name, "num_groups", num_groups)
    number(name, "eps", eps)
    if channels % groups:
        raise ValueError(
            f"{name}: the {channels} channels of shape {input.shape} do not divide into {groups} "
            "groups"
        )
    if samples == 1 and channels // groups * size == 1:  # PyTorch's rule; the layer is stricter
        raise one_value(name, f"group, num_groups={groups}", input.shape, GROUP_WAYS_OUT)
    return _groups(name, input, groups, weight, bias, eps)[0]


GROUP_WAYS_OUT = (
    "fewer groups or larger maps, or BatchNorm, which takes its statistics from the batch"
)


def _groups(
    name: str, x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Any, Any]:
    """Statistics per (sample, group), gamma and beta per channel.

    (LN 1) and (LN 2) hold within a group; (BN 5) and (BN 6) are sums over samples and positions.
    """
    a, gamma, beta = _arrays(x, weight, bias)
    backend = kernels.backend_for(a, gamma, beta)
    shape, view = a.shape, _features(a.shape)
    x3 = a.reshape(view)
    y, mean, var, inv_std = backend.group_norm(x3, gamma, beta, groups, eps)
    needs = need_grad(x, weight, bias)

    def vjp(g: Any) -> Any:
        g3 = g.reshape(view)
        dx, dgamma, dbeta = backend.group_norm_backward(g3, x3, mean, inv_std, gamma, groups)
        return _deliver(needs, dx.reshape(shape), dgamma, dbeta)

    return record(name, y.reshape(shape), (x, weight, bias), vjp), mean, var


# ---------------------------------------------------------------------------- by sample


def layer_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise each sample over its last axes (Ba et al. 2016); gamma and beta per element."""
    # (LN 1) to (LN 3) on x seen as (N, D)
    name, x = "layer_norm", input
    view = _check_rows(name, x, normalized_shape, weight=weight, bias=bias)
    number(name, "eps", eps)
    a, gamma, beta = _arrays(x, weight, bias)
    backend = kernels.backend_for(a, gamma, beta)
    shape, rows = a.shape, a.reshape(view)
    affine = weight if bias is None else bias
    affine_shape = view[1:] if affine is None else affine.array.shape
    gamma, beta = (None if p is None else p.reshape(-1) for p in (gamma, beta))
    y, mean, inv_std = backend.layer_norm(rows, gamma, beta, eps)
    needs = need_grad(x, weight, bias)

    def vjp(g: Any) -> Any:
        dx, dgamma, dbeta = backend.layer_norm_backward(g.reshape(view), rows, mean, inv_std, gamma)
        dgamma, dbeta = dgamma.reshape(affine_shape), dbeta.reshape(affine_shape)
        return _deliver(needs, dx.reshape(shape), dgamma, dbeta)

    return record(name, y.reshape(shape), (x, weight, bias), vjp)


def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Divide each sample by the root of its mean square (Zhang & Sennrich 2019); eps defaults to
    the dtype's machine epsilon."""
    # (RMS 1) to (RMS 4) on x seen as (N, D)
    name, x = "rms_norm", input
    view = _check_rows(name, x, normalized_shape, weight=weight)
    eps = float(np.finfo(x.dtype).eps) if eps is None else number(name, "eps", eps)
    a, gamma, _ = _arrays(x, weight, None)
    backend = kernels.backend_for(a, gamma)
    shape, rows = a.shape, a.reshape(view)
    gamma_shape = () if weight is None else weight.shape
    gamma = None if gamma is None else gamma.reshape(-1)
    y, inv_rms = backend.rms_norm(rows, gamma, eps)
    needs = need_grad(x, weight)

    def vjp(g: Any) -> Any:
        dx, dgamma = backend.rms_norm_backward(g.reshape(view), rows, inv_rms, gamma)
        dw = dgamma.reshape(gamma_shape).astype(dx.dtype) if needs[1] else None
        return dx.reshape(shape) if needs[0] else None, dw

    return record(name, y.reshape(shape), (x, weight), vjp)
