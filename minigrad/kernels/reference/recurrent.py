"""The steps of recurrent layers, forward and back through time; equations of ops/recurrent.py.

Step t concerns the first rows[t] rows of the batch; the others keep their states. All arrays are of
one dtype and row-major, the results are written into those that are given:

    z       (T, N, blocks·H)    what the inputs make of the gates, W·x_t and the biases
    ut      (H, blocks·H)       Uᵀ, and u (blocks·H, H) in the way back; these in any order
    states  (T + 1, N, H)       h_0 to h_T, cells c_0 to c_T; only the first is there at the start
    dz      (T, N, blocks·H)    the gradient of z
    g       (T, N, H)           that of the outputs
    dh, dc  (N, H)              what comes from behind; at the end the gradients of h_0 and c_0
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.kernels.machinery.arrays import Array, sigmoid

Rows = Sequence[int]


def _keep(states: Array, t: int, n: int) -> None:
    """Rows that step t does not concern keep their state."""
    states[t + 1, n:] = states[t, n:]


def rnn(z: Array, ut: Array, states: Array, relu: bool, rows: Rows) -> None:
    """(RNN 1) and (RNN 2); z is written over."""
    for t, n in enumerate(rows):
        y = np.add(z[t, :n], states[t, :n] @ ut, out=states[t + 1, :n])
        if relu:
            y[np.real(y) <= 0] = 0
        else:
            np.tanh(y, out=y)
        _keep(states, t, n)


def rnn_backward(
    u: Array, states: Array, relu: bool, g: Array, dz: Array, dh: Array, rows: Rows
) -> None:
    """(RNN 3) and (RNN 4)."""
    for t in reversed(range(len(g))):
        n = rows[t]
        dh += g[t]
        y, d = states[t + 1, :n], dz[t, :n]
        if relu:
            d[...] = np.where(np.real(y) <= 0, 0, dh[:n])
        else:
            np.multiply(y, y, out=d)
            np.subtract(1, d, out=d)
            d *= dh[:n]
        dz[t, n:] = 0
        dh[:n] = d @ u


def lstm(z: Array, ut: Array, states: Array, cells: Array, tanhs: Array, rows: Rows) -> None:
    """(RNN 1) and (LSTM 1) to (LSTM 3). In z the gates are left, in tanhs (T, N, H) those of c_t;
    the blocks are i, f, a, o."""
    size = tanhs.shape[2]
    i, f, a, o = (slice(k * size, (k + 1) * size) for k in range(4))
    for t, n in enumerate(rows):
        gates, cell, tanh_c = z[t, :n], cells[t + 1, :n], tanhs[t, :n]
        gates += states[t, :n] @ ut
        for sigmas in (gates[:, : 2 * size], gates[:, o]):
            sigmas[...] = sigmoid(sigmas)
        np.tanh(gates[:, a], out=gates[:, a])
        np.multiply(gates[:, f], cells[t, :n], out=cell)
        cell += gates[:, i] * gates[:, a]
        np.tanh(cell, out=tanh_c)
        np.multiply(gates[:, o], tanh_c, out=states[t + 1, :n])
        _keep(states, t, n)
        _keep(cells, t, n)


def lstm_backward(
    z: Array, u: Array, cells: Array, tanhs: Array, g: Array, dz: Array, dh: Array, dc: Array,
    rows: Rows,
) -> None:  # fmt: skip
    """(RNN 3) and (LSTM 4) to (LSTM 6), from the gates in z."""
    size = tanhs.shape[2]
    i, f, a, o = (slice(k * size, (k + 1) * size) for k in range(4))
    for t in reversed(range(len(g))):
        n = rows[t]
        dh += g[t]
        dh_n, dc_n, gates, tanh_c, d = dh[:n], dc[:n], z[t, :n], tanhs[t, :n], dz[t, :n]
        dc_n += dh_n * gates[:, o] * (1 - tanh_c * tanh_c)
        np.multiply(dc_n, gates[:, a], out=d[:, i])
        np.multiply(dc_n, cells[t, :n], out=d[:, f])
        np.multiply(dc_n, gates[:, i], out=d[:, a])
        np.multiply(dh_n, tanh_c, out=d[:, o])
        d *= 1 - gates  # of σ, y·(1 - y); of tanh, (1 + y)·(1 - y)
        d[:, a] *= 1 + gates[:, a]
        for sigmas in (slice(2 * size), o):
            d[:, sigmas] *= gates[:, sigmas]
        dc_n *= gates[:, f]
        dz[t, n:] = 0
        dh_n[...] = d @ u


def gru(z: Array, ut: Array, states: Array, q: Array, rows: Rows) -> None:
    """(GRU 1) to (GRU 3); the blocks are r, u, n. In z the gates are left and n, in q (T, N, H),
    which holds b'_n at the start, that of (GRU 2)."""
    size = q.shape[2]
    r, update = slice(size), slice(size, 2 * size)
    for t, k in enumerate(rows):
        gates, n, part = z[t, :k, : 2 * size], z[t, :k, 2 * size :], states[t, :k] @ ut
        gates += part[:, : 2 * size]
        gates[...] = sigmoid(gates)
        q[t, :k] += part[:, 2 * size :]
        n += gates[:, r] * q[t, :k]
        np.tanh(n, out=n)
        y = np.subtract(states[t, :k], n, out=states[t + 1, :k])
        y *= gates[:, update]
        y += n
        _keep(states, t, k)


def gru_backward(
    z: Array, u: Array, states: Array, q: Array, g: Array, dz: Array, dp: Array, dh: Array,
    rows: Rows,
) -> None:  # fmt: skip
    """(GRU 4) to (GRU 7), from the gates in z. dz (T, N, 3·H) is that of the products with W, dp of
    those with U: dz_r, dz_u and dq."""
    size = q.shape[2]
    r, update, last = slice(size), slice(size, 2 * size), slice(2 * size, None)
    for t in reversed(range(len(g))):
        k = rows[t]
        dh += g[t]
        dh_k, d = dh[:k], dz[t, :k]
        r_t, u_t, n = z[t, :k, r], z[t, :k, update], z[t, :k, last]
        d[:, update] = dh_k * (states[t, :k] - n) * (u_t * (1 - u_t))
        d[:, last] = dh_k * (1 - u_t) * (1 - n * n)
        d[:, r] = d[:, last] * q[t, :k] * (r_t * (1 - r_t))
        dp[t, :k, : 2 * size] = d[:, : 2 * size]
        np.multiply(d[:, last], r_t, out=dp[t, :k, last])
        dz[t, k:] = dp[t, k:] = 0
        dh_k *= u_t
        dh_k += dp[t, :k] @ u
