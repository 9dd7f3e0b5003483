"""The gates of recurrent layers, (LSTM 1) to (LSTM 6) of ops/recurrent.py."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigrad.kernels.machinery.arrays import Array, sigmoid

Step = Callable[[int, int], None]  # step(t, n): at step t, in the first n rows


def lstm_gates(z: Array, product: Array, states: Array, cells: Array, tanhs: Array) -> Step:
    """step(t, n), by which z[t] and the product with the state, (N, 4·H), become the gates, in z[t]
    (the blocks are i, f, a, o), cells[t] becomes cells[t + 1], tanhs[t] is tanh of it, and
    states[t + 1] the new state. All are of one dtype and row-major: z (T, N, 4·H), tanhs (T, N, H),
    cells (T + 1, N, H) and states, which may be longer."""
    size = tanhs.shape[2]
    i, f, a, o = (slice(k * size, (k + 1) * size) for k in range(4))
    part = np.empty(tanhs.shape[1:], z.dtype)

    def step(t: int, n: int) -> None:
        gates, cell, tanh_c = z[t, :n], cells[t + 1, :n], tanhs[t, :n]
        gates += product[:n]
        for sigmas in (gates[:, : 2 * size], gates[:, o]):
            sigmas[...] = sigmoid(sigmas)
        np.tanh(gates[:, a], out=gates[:, a])
        np.multiply(gates[:, f], cells[t, :n], out=cell)
        cell += np.multiply(gates[:, i], gates[:, a], out=part[:n])
        np.tanh(cell, out=tanh_c)
        np.multiply(gates[:, o], tanh_c, out=states[t + 1, :n])

    return step


def lstm_gates_backward(
    z: Array, cells: Array, tanhs: Array, dz: Array, whole_dh: Array, whole_dc: Array
) -> Step:
    """step(t, n), which computes dz[t] from the gates z[t] and dh (N, H), that of the state after
    step t; and turns dc (N, H), what came from behind, into what goes on. Shapes and dtypes as
    above, but that the gradients may have another dtype."""
    size = tanhs.shape[2]
    i, f, a, o = (slice(k * size, (k + 1) * size) for k in range(4))
    part, slopes = np.empty_like(whole_dc), np.empty_like(dz[0]) if len(dz) else dz

    def step(t: int, n: int) -> None:
        dh, dc, through, slope = whole_dh[:n], whole_dc[:n], part[:n], slopes[:n]
        gates, tanh_c, d = z[t, :n], tanhs[t, :n], dz[t, :n]
        np.multiply(tanh_c, tanh_c, out=through)
        np.subtract(1, through, out=through)
        through *= gates[:, o]
        through *= dh
        dc += through
        np.multiply(dc, gates[:, a], out=d[:, i])
        np.multiply(dc, cells[t, :n], out=d[:, f])
        np.multiply(dc, gates[:, i], out=d[:, a])
        np.multiply(dh, tanh_c, out=d[:, o])
        np.subtract(1, gates, out=slope)  # of σ, y·(1 - y); of tanh, (1 + y)·(1 - y)
        d *= slope
        np.add(1, gates[:, a], out=through)
        d[:, a] *= through
        for sigmas in (slice(2 * size), o):
            d[:, sigmas] *= gates[:, sigmas]
        dc *= gates[:, f]

    return step
