"""numpy by hand: a contender in float32, and in float64 the reference every result must agree with.

Each function returns its output and `back`, from the output's gradient to those of its arguments.
It shares no line with minigrad, so that a mistake there cannot hide here.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from .cases import CHAIN, EPS, GROUPS, NETS, RATE, Array, Case, arrays, net_arrays
from .work import Work

Back = Callable[[Any], tuple[Any, ...]]


def _normalised(x: Array, axes: tuple[int, ...]) -> tuple[Array, Callable[[Array], Array]]:
    """x_hat, and the map from its gradient to that of x (mean and variance over `axes`)."""
    d = x - x.mean(axis=axes, keepdims=True)
    inv_std = 1 / np.sqrt(np.mean(d * d, axis=axes, keepdims=True) + EPS)
    x_hat = d * inv_std

    def back(g: Array) -> Array:
        along = (g * x_hat).mean(axis=axes, keepdims=True)
        out: Array = inv_std * (g - g.mean(axis=axes, keepdims=True) - x_hat * along)
        return out

    return x_hat, back


def _norm(x: Array, gamma: Array, beta: Array, grouped: tuple[int, ...], axes: Any) -> Any:
    """Statistics over `axes` of x seen in the shape `grouped`; gamma and beta along axis 1 of x,
    or along the last axis where they have its size and x has rows."""
    x_hat, back_x = _normalised(x.reshape(grouped), axes)
    x_hat = x_hat.reshape(x.shape)
    by_row = axes == (-1,)
    affine = (-1,) if by_row else (1, -1, *[1] * (x.ndim - 2))
    over = tuple(i for i in range(x.ndim) if i != (x.ndim - 1 if by_row else 1))

    def back(g: Any) -> tuple[Any, ...]:
        dx = back_x((g * gamma.reshape(affine)).reshape(grouped)).reshape(x.shape)
        return dx, (g * x_hat).sum(axis=over), g.sum(axis=over)

    return gamma.reshape(affine) * x_hat + beta.reshape(affine), back


def batch_norm(x: Array, gamma: Array, beta: Array) -> tuple[Array, Back]:
    out: tuple[Array, Back] = _norm(x, gamma, beta, x.shape, (0, *range(2, x.ndim)))
    return out


def layer_norm(x: Array, gamma: Array, beta: Array) -> tuple[Array, Back]:
    out: tuple[Array, Back] = _norm(x, gamma, beta, x.shape, (-1,))
    return out


def group_norm(x: Array, gamma: Array, beta: Array, groups: int = GROUPS) -> tuple[Array, Back]:
    grouped = (len(x), groups, prod(x.shape[1:]) // groups)
    out: tuple[Array, Back] = _norm(x, gamma, beta, grouped, (2,))
    return out


def instance_norm(x: Array, gamma: Array, beta: Array) -> tuple[Array, Back]:
    return group_norm(x, gamma, beta, x.shape[1])


def batch_norm_relu(x: Array, gamma: Array, beta: Array) -> tuple[Array, Back]:
    y, back = batch_norm(x, gamma, beta)
    return np.maximum(y, 0), lambda g: back(g * (y > 0))


def conv2d(x: Array, w: Array, b: Array) -> tuple[Array, Back]:
    """3 x 3, padding 1, as one product with the columns of all windows."""
    N, C, H, W = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    columns = windows.transpose(1, 4, 5, 0, 2, 3).reshape(C * 9, N * H * W)
    rows = w.reshape(len(w), C * 9)
    y = (rows @ columns).reshape(len(w), N, H, W).swapaxes(0, 1) + b[:, None, None]

    def back(g: Array) -> tuple[Any, ...]:
        flat = g.swapaxes(0, 1).reshape(len(w), N * H * W)
        d = (rows.T @ flat).reshape(C, 3, 3, N, H, W)
        dx = np.zeros((C, N, H + 2, W + 2), x.dtype)
        for i in range(3):
            for j in range(3):
                dx[:, :, i : i + H, j : j + W] += d[:, i, j]
        dx = dx[:, :, 1:-1, 1:-1].swapaxes(0, 1)
        return dx, (flat @ columns.T).reshape(w.shape), flat.sum(axis=1)

    return y, back


def _windows(x: Array) -> Array:
    N, C, H, W = x.shape
    four = x.reshape(N, C, H // 2, 2, W // 2, 2).swapaxes(3, 4)
    out: Array = four.reshape(N, C, H // 2, W // 2, 4)
    return out


def _unwindowed(d: Array, shape: tuple[int, ...]) -> Array:
    N, C, H, W = shape
    out: Array = d.reshape(N, C, H // 2, W // 2, 2, 2).swapaxes(3, 4).reshape(shape)
    return out


def max_pool2d(x: Array) -> tuple[Array, Back]:
    four = _windows(x)
    chosen = four.argmax(axis=-1)[..., None] == np.arange(4)
    return four.max(axis=-1), lambda g: (_unwindowed(g[..., None] * chosen, x.shape),)


def avg_pool2d(x: Array) -> tuple[Array, Back]:
    quarters = np.full(4, 0.25, x.dtype)
    y = _windows(x).mean(axis=-1)
    return y, lambda g: (_unwindowed(g[..., None] * quarters, x.shape),)


def chain(x: Array, a: Array, b: Array) -> tuple[Array, Back]:
    """mul, add, tanh, sub, again and again; differentiated by x alone."""
    y, tanhs = x, []
    for _ in range(CHAIN // 4):
        y = np.tanh(y * a + b)
        tanhs.append(y)
        y = y - a

    def back(g: Array) -> tuple[Any, ...]:
        for t in reversed(tanhs):
            g = g * (1 - t * t) * a
        return (g,)

    return y, back


# ---------------------------------------------------------------------------- training


def linear(x: Array, w: Array, b: Array) -> tuple[Array, Back]:
    return x @ w.T + b, lambda g: (g @ w, g.T @ x, g.sum(axis=0))


def relu(x: Array) -> tuple[Array, Back]:
    return np.maximum(x, 0), lambda g: (g * (x > 0),)


def sigmoid(x: Array) -> tuple[Array, Back]:
    y = 1 / (1 + np.exp(-x))
    return y, lambda g: (g * y * (1 - y),)


def flatten(x: Array) -> tuple[Array, Back]:
    return x.reshape(len(x), -1), lambda g: (g.reshape(x.shape),)


def mse(x: Array, target: Array) -> tuple[Any, Array]:
    d = x - target
    return (d * d).mean(), d * (2 / d.size)


def cross_entropy(x: Array, target: Array) -> tuple[Any, Array]:
    rows = np.arange(len(x))
    shifted = x - x.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    loss = (np.log(total[:, 0]) - shifted[rows, target]).mean()
    g = e / total
    g[rows, target] -= 1
    return loss, g / len(x)


LAYERS: dict[str, tuple[Callable[..., tuple[Array, Back]], int]] = {  # and how many parameters
    "linear": (linear, 2), "conv": (conv2d, 2), "batch_norm": (batch_norm, 2), "relu": (relu, 0),
    "sigmoid": (sigmoid, 0), "max_pool": (max_pool2d, 0), "flatten": (flatten, 0),
}  # fmt: skip


def net_step(case: Case, dtype: Any = np.float32) -> Work:
    x, target, initial = net_arrays(case)
    x = x.astype(dtype)
    if target.dtype.kind == "f":
        target = target.astype(dtype)
    params = [p.astype(dtype) for p in initial]
    loss_of = mse if case.net == "ReLU MLP" else cross_entropy
    layers, first = [], 0
    for name, *_ in NETS[case.net]:
        function, count = LAYERS[name]
        layers.append((function, params[first : first + count]))
        first += count

    def step() -> Any:
        h, backs = x, []
        for function, own in layers:
            h, back = function(h, *own)
            backs.append((back, own))
        loss, g = loss_of(h, target)
        for back, own in reversed(backs):
            g, *grads = back(g)
            for p, d in zip(own, grads, strict=True):
                p -= RATE * d
        return loss

    return Work(step, lambda: trained(step, float, lambda: params, initial))


def trained(
    step: Callable[[], Any], number: Callable[[Any], float], params: Callable[[], list[Array]],
    initial: list[Array],
) -> list[Array]:  # fmt: skip
    """The losses of two steps, and what they changed in all parameters together.

    Together, because some change alone is rounding: a bias before a batch norm has no gradient.
    """
    losses = np.array([number(step()) for _ in range(2)])
    moved = [(p - q).ravel() for p, q in zip(params(), initial, strict=True)]
    return [losses, np.concatenate(moved)]


# ---------------------------------------------------------------------------- the work of a case


def differentiated(
    f: Callable[..., tuple[Array, Back]], case: Case, dtype: Any = np.float32, per: int = 1
) -> Work:
    *inputs, g = [a.astype(dtype) for a in arrays(case)]

    def results() -> list[Array]:
        y, back = f(*inputs)
        return [y, *back(g)]

    return Work(results, results, per)


def chain_backward(case: Case, dtype: Any = np.float32) -> Work:
    *inputs, g = [a.astype(dtype) for a in arrays(case)]
    back = chain(*inputs)[1]
    return Work(lambda: back(g), lambda: list(back(g)), CHAIN)


def chain_no_grad(case: Case, dtype: Any = np.float32) -> Work:
    x, a, b, _ = [v.astype(dtype) for v in arrays(case)]

    def step() -> Array:
        y = x
        for _ in range(CHAIN // 4):
            y = np.tanh(y * a + b) - a
        return y

    return Work(step, lambda: [step()], CHAIN)


FUNCTIONS: dict[str, Callable[..., tuple[Array, Back]]] = {
    "batch_norm": batch_norm, "batch_norm_relu": batch_norm_relu, "layer_norm": layer_norm,
    "group_norm": group_norm, "instance_norm": instance_norm, "conv2d": conv2d,
    "max_pool2d": max_pool2d, "avg_pool2d": avg_pool2d,
}  # fmt: skip


def make(case: Case, dtype: Any = np.float32) -> Work | None:
    """The work of any case."""
    if case.kind == "step":
        return net_step(case, dtype)
    if case.kind == "chain":
        return differentiated(chain, case, dtype, CHAIN)
    if case.kind == "chain_backward":
        return chain_backward(case, dtype)
    if case.kind == "chain_no_grad":
        return chain_no_grad(case, dtype)
    if case.kind not in FUNCTIONS:
        return None
    return differentiated(FUNCTIONS[case.kind], case, dtype)


def reference(case: Case) -> list[Array]:
    """What every contender must agree with: the results in float64."""
    work = make(case, np.float64)
    assert work is not None
    return list(work.results())
