"""Running statistics: how they move, in one place for functions and layers.

They move last, after everything that may fail has succeeded. So an error, an empty batch, a
gradient check or a block `with frozen_stats(model):` leaves them, and their counter, as they were.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import kernels, modes
from minigrad.changes import held_elsewhere, note_change
from minigrad.interrupts import deferred
from minigrad.recording import needs_grad
from minigrad.tape import Array
from minigrad.tensor import Tensor
from minigrad.views import overlaps

_UNCOUNTED = np.zeros((), np.int64)  # stands for a counter where there is none
Running = dict[str, Tensor]  # by name: the mean, what stands for the variance, maybe the counter


def check_running_stats(name: str, mean: Any, var: Any) -> None:
    """Refuse running statistics that are not a pair of constants."""
    running = (("running_mean", mean), ("running_var", var))
    if (mean is None) != (var is None):
        raise ValueError(
            f"{name}: running_mean and running_var must both be given or both be None, got "
            + " and ".join(f"{k}={'None' if v is None else 'a Tensor'}" for k, v in running)
        )
    for argument, v in running:
        if needs_grad(v) and modes.is_grad_enabled():
            raise RuntimeError(
                f"{name}: {argument} requires grad, but no gradient reaches running statistics: "
                "pass its detach()"
            )


def update_running_stats(
    name: str, running: Running, mean: Array, variance: Array, factor: float, correction: float,
    warn: Callable[[str], None] | None = None,
) -> None:  # fmt: skip
    """Move running statistics to (1 - factor)·running + factor·batch, (BN 13), and count the batch.

    A channel in which one of the two would not be finite keeps what it has; `warn` is told so.

    Args:
        name: of the op or layer, for errors.
        running: the running mean (C,), the variance (C,) or covariances (G, d, d) of groups of
            channels, and a counter if there is one.
        mean, variance: the batch's, float64.
        factor: the weight of the batch; with 1 it replaces the running statistics.
        correction: from the batch's variance to the unbiased one.
        warn: what to do with the warning; None for a RuntimeWarning. What it raises moves nothing.

    Raises:
        RuntimeError: one of them cannot be written to. None has moved then.
    """
    if modes.probing.get():
        return
    for argument, tensor in running.items():
        if not tensor.array.flags.carray:  # which almost all are
            _check_writable(name, argument, tensor)
    first, second, *counter = running.values()
    for tensor in (first, second):  # not the counter, an integer: no graph can have saved it
        if held_elsewhere(tensor):
            note_change(tensor.array)
    move_stats_ = kernels.backend_for(first.array).move_stats_
    count = counter[0].array if counter else _UNCOUNTED
    moves = (first.array, second.array, mean, variance, factor, correction, count)
    with deferred():
        stay = move_stats_(*moves)
    if not len(stay):
        return
    channels = ", ".join(map(str, stay[:8])) + (", …" if len(stay) > 8 else "")
    message = (
        f"the input has NaN, infinite or too large values in channel {channels}: the output "
        "shows them, the running statistics keep their last finite values"
    )
    if warn is None:
        warnings.warn(f"{name}: {message}", RuntimeWarning, stacklevel=3)
    else:
        warn(message)
    with deferred():
        move_stats_(*moves, partly=True)


def _check_writable(name: str, argument: str, tensor: Tensor) -> None:
    if not tensor.array.flags.writeable or overlaps(tensor.array):
        raise RuntimeError(
            f"{name}: {argument} cannot be written to (several elements share memory, or it was "
            "given as read-only): use its clone()"
        )
