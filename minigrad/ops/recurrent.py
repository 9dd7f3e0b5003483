"""Recurrent layers: one op goes over a whole sequence, and its vjp back through time.

Step t = 1 … T has an input x_t (N, I), and the state h_t-1 (N, H) that the step before left; h_0 is
given. W is weight_ih, U weight_hh, b and b' are bias_ih and bias_hh. A plain recurrent layer has
one product for the input and one for the state, and f is tanh or relu:

    forward     z_t = x_t·Wᵀ + b + h_t-1·Uᵀ + b'                                         (RNN 1)
                h_t = f(z_t)                                                             (RNN 2)

h_t acts in two ways: it is the output of step t, with the gradient g_t, and the next step's state.
So gradients come from behind, beginning at dz_T+1 = 0:

    backward    dh_t = g_t + dz_t+1·U                                                    (RNN 3)
                dz_t = dh_t·(1 - h_t²)        for relu dh_t where h_t > 0, else 0        (RNN 4)
                dx_t = dz_t·W,   dh_0 = dz_1·U                                           (RNN 5)
                dW = Σ_t dz_tᵀ·x_t,   dU = Σ_t dz_tᵀ·h_t-1,   db = db' = Σ_t dz_t        (RNN 6)

Only the products with U wait for one another. Those with W need no state: one product serves all
steps, before (RNN 1) and after (RNN 5), and so do the sums over t in (RNN 6).

In an LSTM z_t has four blocks of H, and there is a second state c_t, which a step changes by sums
and products alone, so gradients reach far back (Hochreiter & Schmidhuber 1997; Gers et al. 2000):

    forward     i, f, o = σ(z_i), σ(z_f), σ(z_o),   a = tanh(z_a)     at t, by (RNN 1)  (LSTM 1)
                c_t = f·c_t-1 + i·a                                                     (LSTM 2)
                h_t = o·tanh(c_t)                                                       (LSTM 3)

    backward    dc_t = dh_t·o·(1 - tanh²(c_t)) + dc_t+1·f_t+1                           (LSTM 4)
                di = dc_t·a,   df = dc_t·c_t-1,   da = dc_t·i,   do = dh_t·tanh(c_t)    (LSTM 5)
                dz_i = di·i·(1 - i), for f and o alike,   dz_a = da·(1 - a²)            (LSTM 6)

and (RNN 3), (RNN 5) and (RNN 6) as above. PyTorch writes g for a, and orders the blocks i, f, a, o.

A GRU has two gates r and u in one state, and a candidate n. In n the state's product stands apart,
as q, since r scales it (Cho et al. 2014; PyTorch writes z for u; the blocks are r, u, n):

    forward     r, u = σ(z_r), σ(z_u)                                   by (RNN 1)       (GRU 1)
                q = h_t-1·U_nᵀ + b'_n,   n = tanh(x_t·W_nᵀ + b_n + r·q)                  (GRU 2)
                h_t = n + u·(h_t-1 - n)                                                  (GRU 3)

    backward    du = dh_t·(h_t-1 - n),   dn = dh_t·(1 - u),   dz_n = dn·(1 - n²)         (GRU 4)
                dr = dz_n·q,   dq = dz_n·r                                               (GRU 5)
                dz_r = dr·r·(1 - r),   dz_u = du·u·(1 - u)                               (GRU 6)
                dh_t-1 = g_t-1 + dh_t·u + (dz_r, dz_u, dq)·U                             (GRU 7)

W and b have the gradients (RNN 5) and (RNN 6) of (dz_r, dz_u, dz_n), U and b' of (dz_r, dz_u, dq).

Sequences of several lengths stand in a batch with the longest first, so that step t concerns its
first sizes[t] rows. The others keep their states, which gradients then pass unchanged: a sequence
that has ended shows its last state to the end, and, from the last step to the first, one that has
not begun shows what it begins with.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.ops.arithmetic import quiet
from minigrad.ops.linear import matrices
from minigrad.recording import need_grad, record
from minigrad.tensor import Tensor

Sizes = Sequence[int] | None  # how many rows each step concerns; None: all of them
NAMES = ("input", "h_0", "weight_ih", "weight_hh", "bias_ih", "bias_hh")


@quiet
def rnn(
    x: Tensor, h: Tensor, weights: tuple[Tensor, ...], nonlinearity: str, reverse: bool = False,
    sizes: Sizes = None,
) -> Tensor:  # fmt: skip
    """The states (T, N, H) of a plain recurrent layer at all steps; with `reverse` it begins with
    the last one.

    Args:
        x: the inputs (T, N, I).
        h: the state to begin with, (N, H).
        weights: weight_ih (H, I), weight_hh (H, H), and bias_ih (H,) and bias_hh (H,) or neither.
        nonlinearity: "tanh" or "relu".
        reverse: go from the last step to the first.
        sizes: how many rows each step concerns, of sequences with the longest first.
    """
    a, h0, w, u, *biases = matrices("rnn", x, h, *weights, names=NAMES)
    order = slice(None, None, -1 if reverse else 1)
    a = a[order]
    z = _of_inputs(a, w, biases)  # (T, N, H)
    h0_shape = h0.shape
    states = np.empty((len(a) + 1, *h0_shape), np.result_type(z, h0, u))
    states[0] = h0
    relu, rows = nonlinearity == "relu", _rows(sizes, order, a)
    backend = kernels.backend_for(states)
    backend.rnn(z.astype(states.dtype, copy=False), u.T, states, relu, rows)
    needs = need_grad(x, h, *weights)
    inputs = _needed(needs, a, w)

    def vjp(g: Any) -> Any:
        g, dtype = g[order], np.result_type(g, states)
        dz, dh = np.empty(g.shape, dtype), np.zeros(h0_shape, dtype)
        backend.rnn_backward(u, states, relu, g, dz, dh, rows)
        return _parts(needs, order, dh, dz, dz, inputs, states[:-1])

    return record("rnn", states[1:][order], (x, h, *weights), vjp)


@quiet
def lstm(
    x: Tensor, h: Tensor, c: Tensor, weights: tuple[Tensor, ...], reverse: bool = False,
    sizes: Sizes = None,
) -> Tensor:  # fmt: skip
    """The states h of an LSTM at all steps, and after them c at the end: (T + 1, N, H).

    Arguments as for `rnn`, with both states to begin with, and four blocks of H in the weights.
    """
    names = (*NAMES[: len(weights) + 2], "c_0")
    a, h0, w, u, *rest = matrices("lstm", x, h, *weights, c, names=names)
    *biases, c0 = rest
    order = slice(None, None, -1 if reverse else 1)
    a, steps = a[order], len(a)
    z = _of_inputs(a, w, biases)  # (T, N, 4·H)
    dtype = np.result_type(z, h0, c0, u)
    z = z.astype(dtype, copy=False)
    states = np.empty((steps + 2, *h0.shape), dtype)  # h_0 to h_T, c_T
    cells = np.empty((steps + 1, *h0.shape), dtype)
    tanhs = np.empty((steps, *h0.shape), dtype)  # of c_t
    states[0], cells[0] = h0, c0
    rows = _rows(sizes, order, a)
    backend = kernels.backend_for(z)
    backend.lstm(z, u.T, states, cells, tanhs, rows)
    states[-1] = cells[-1]
    out = np.concatenate((states[steps:0:-1], states[-1:])) if reverse else states[1:]
    needs = need_grad(x, h, *weights, c)
    inputs = _needed(needs, a, w)

    def vjp(g: Any) -> Any:
        dtype = np.result_type(g, z)
        dc = g[-1].astype(dtype, order="C")
        g = g[:-1][order]
        dz, dh = np.empty(z.shape, dtype), np.zeros_like(dc)
        backend.lstm_backward(z, u, cells, tanhs, g, dz, dh, dc, rows)
        parts = _parts(needs[:-1], order, dh, dz, dz, inputs, states[:-2])
        return *parts, dc if needs[-1] else None

    return record("lstm", out, (x, h, *weights, c), vjp)


@quiet
def gru(
    x: Tensor, h: Tensor, weights: tuple[Tensor, ...], reverse: bool = False, sizes: Sizes = None
) -> Tensor:
    """The states (T, N, H) of a GRU at all steps.

    Arguments as for `rnn`, with three blocks of H in the weights.
    """
    a, h0, w, u, *biases = matrices("gru", x, h, *weights, names=NAMES)
    order = slice(None, None, -1 if reverse else 1)
    a, steps, size = a[order], len(a), h0.shape[1]
    z = _of_inputs(a, w, biases[:1])  # (T, N, 3·H)
    dtype = np.result_type(z, h0, u)
    z = z.astype(dtype, copy=False)
    states = np.empty((steps + 1, *h0.shape), dtype)
    states[0] = h0
    q = np.zeros((steps, *h0.shape), dtype)
    if biases:  # of b', r and u have theirs in z, and n's stands apart
        z[..., : 2 * size] += biases[1][: 2 * size]
        q += biases[1][2 * size :]
    rows = _rows(sizes, order, a)
    backend = kernels.backend_for(z)
    backend.gru(z, u.T, states, q, rows)
    needs = need_grad(x, h, *weights)
    inputs = _needed(needs, a, w)

    def vjp(g: Any) -> Any:
        g, dtype = g[order], np.result_type(g, z)
        dz, dp = np.empty(z.shape, dtype), np.empty(z.shape, dtype)
        dh = np.zeros(g.shape[1:], dtype)
        backend.gru_backward(z, u, states, q, g, dz, dp, dh, rows)
        return _parts(needs, order, dh, dz, dp, inputs, states[:-1])

    return record("gru", states[1:][order], (x, h, *weights), vjp)


def _rows(sizes: Sizes, order: slice, a: Any) -> list[int]:
    """How many rows each step concerns, in the order of the steps."""
    return [a.shape[1]] * len(a) if sizes is None else list(sizes)[order]


def _of_inputs(a: Any, w: Any, biases: list[Any]) -> Any:
    """x·Wᵀ and the biases, of all steps in one product."""
    bias = reduce(np.add, biases) if biases else None
    product = kernels.backend_for(a, w, bias).product
    return product(a.reshape(-1, a.shape[-1]), w.T, bias).reshape(*a.shape[:-1], len(w))


def _needed(needs: tuple[bool, ...], a: Any, w: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """x, for dW, and W, for dx, where these are wanted; and the shape of x."""
    need_x, _, need_w, *_ = needs
    return a if need_w else None, w if need_x else None, a.shape


def _parts(
    needs: tuple[bool, ...], order: slice, dh: Any, dz: Any, dp: Any, inputs: Any, before: Any
) -> list[Any]:
    """The gradients of the input, the state and the weights, by (RNN 5) and (RNN 6): `dz` is that
    of the products with W, `dp` of those with U, `before` has the states before each step."""
    a, w, shape = inputs
    _, need_h, _, need_u, *need_biases = needs
    rows, state_rows = dz.reshape(-1, dz.shape[-1]), dp.reshape(-1, dp.shape[-1])
    product = kernels.backend_for(rows, a, w, before).product
    dx = None if w is None else product(rows, w).reshape(shape)[order]
    dw = None if a is None else product(rows.T, a.reshape(-1, shape[-1]))
    du = product(state_rows.T, before.reshape(-1, before.shape[-1])) if need_u else None
    acc = np.result_type(dz, np.float64)
    sums: list[Any] = []
    for v, need in zip((rows, state_rows), need_biases, strict=False):
        if need and sums and sums[0] is not None and dp is dz:
            sums.append(sums[0])
        else:
            sums.append(v.sum(0, dtype=acc).astype(v.dtype) if need else None)
    return [dx, dh if need_h else None, dw, du, *sums]
