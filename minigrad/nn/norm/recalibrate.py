"""Population statistics: how a network trained with batch normalisation becomes one to use
(Ioffe & Szegedy 2015, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad import modes
from minigrad.changes import note_change
from minigrad.nn.module import Module
from minigrad.nn.norm.batch import BatchNormBase
from minigrad.ops.running_stats import update_running_stats
from minigrad.tape import Array
from minigrad.tensor import Tensor

METHODS = ("sequential", "pooled", "cumulative")


def recalibrate(model: Module, batches: Iterable[Any], method: str = "sequential") -> None:
    """Replace the running statistics of batch normalisation by statistics of given data.

    Args:
        model: any module; other layers, parameters, modes, momentum and `freeze()` stay as they
            are. Frozen layers are measured, too; a layer that is never called keeps what it has.
        batches: an iterable of inputs, or of tuples that begin with one, such as a DataLoader. The
            statistics do not depend on the batches' order, but for "pooled" and "cumulative" on
            how samples are batched: shuffle.
        method: what a layer's population is:

            "sequential": its inputs in the network as used, in evaluation: the first layer is
            measured and replaced before the second is measured, and so on; one pass over the data
            for each layer (an iterator is kept in a list). Exact, however small the batches.
            "pooled": its inputs in one pass in training mode, where the layers before it normalise
            by batches. Means and variances of batches are merged by the law of total variance.
            "cumulative": the same pass, but the plain means of the batches' means and unbiased
            variances, Algorithm 2's estimate: PyTorch's `update_bn`. Too small a variance if
            batches differ systematically.

    Raises:
        ValueError: no batches, only empty ones, or one value per channel; an unknown method.
        TypeError: a lone tensor for `batches`.

    An error, also one of the model or of the iterable, leaves everything as it was.
    """
    if not isinstance(model, Module):
        raise TypeError(f"recalibrate: model must be a Module, got {type(model).__name__}")
    if method not in METHODS:
        raise ValueError(
            f"recalibrate: method must be {', '.join(map(repr, METHODS))}, got {method!r}"
        )
    if isinstance(batches, Tensor | np.ndarray) or not isinstance(batches, Iterable):
        raise TypeError(
            "recalibrate: batches must be an iterable of inputs, got "
            f"{type(batches).__name__}: put a single batch into a list"
        )
    if method == "sequential" and isinstance(batches, Iterator):
        batches = list(batches)
    with _put_back(model), modes.no_grad():
        layers = tracked(model)
        if method == "sequential":
            _sequential(model.eval(), layers, batches)
        else:
            for layer in layers:
                layer.unfreeze()
            pools = _measure(model.train(), layers, batches, method == "pooled")
            for layer, pool in pools.items():
                pool.store(layer)


def tracked(model: Module) -> dict[BatchNormBase, str]:
    """The batch normalisations with running statistics, and their paths."""
    return {
        module: path
        for path, module in model.named_modules()
        if isinstance(module, BatchNormBase) and module.running_mean is not None
    }


@contextmanager
def _put_back(model: Module) -> Iterator[None]:
    """Restore modes and frozen flags in the end, and after an error the statistics."""
    training = {module: module.training for module in model.modules()}
    layers = tracked(model)
    frozen = {layer: (layer.frozen, layer._warned) for layer in layers}
    statistics = [
        (tensor, tensor.array.copy())
        for layer in layers
        for tensor in (layer.running_mean, layer.running_variance, layer.num_batches_tracked)
        if tensor is not None
    ]
    try:
        yield
    except BaseException:
        for tensor, before in statistics:
            if not np.array_equal(tensor.array, before, equal_nan=True):
                tensor.array[...] = before
                note_change(tensor.array)
        for layer, (_, warned) in frozen.items():
            layer._warned = warned
        raise
    finally:
        for module, mode in training.items():
            module.training = mode
        for layer, (flag, _) in frozen.items():
            layer.frozen = flag


class _Pool:
    """A layer's statistics over batches: merged as one population, or plain means."""

    def __init__(self, merge: bool) -> None:
        self.merge = merge
        self.values = self.batches = 0
        self.mean: Array = np.zeros(())
        self.var: Array = np.zeros(())

    def add(self, layer: BatchNormBase, x: Tensor) -> None:
        """Take in what the layer is about to normalise."""
        layer.check_input(x)
        m = x.array.size // layer.num_features
        if m == 0 or (m == 1 and not self.merge):  # which the layer refuses
            return
        mean, var = layer.statistics(x)
        with np.errstate(all="ignore"):
            if not self.merge:
                var = var * layer.bessel_correction(m)
            # the part of this batch in the whole: by its values, or one of so many batches
            part = m / (self.values + m) if self.merge else 1 / (self.batches + 1)
            shift = mean - self.mean
            if self.batches == 0:
                self.mean, self.var = mean, var
            else:
                self.mean = self.mean + part * shift
                self.var = (1 - part) * self.var + part * var
                if self.merge:  # total variance: the mean of variances and the variance of means
                    self.var = self.var + part * (1 - part) * layer.between_batch_variance(shift)
        self.values += m
        self.batches += 1

    def store(self, layer: BatchNormBase) -> None:
        """Make these the layer's running statistics."""
        if self.values < 2:
            what = "one value per channel" if self.values else "only empty batches"
            raise ValueError(f"recalibrate: {layer!r} received {what}; nothing was changed")
        name, running = repr(layer), layer.running_stats()
        correction = layer.bessel_correction(self.values) if self.merge else 1.0
        warn = layer._warn_once
        update_running_stats(name, running, self.mean, self.var, 1.0, correction, warn)
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked.array[...] = self.batches


def _measure(
    model: Module, layers: Iterable[BatchNormBase], batches: Iterable[Any], merge: bool
) -> dict[BatchNormBase, _Pool]:
    """One pass over the data: a pool for each of the layers that was called."""
    pools: dict[BatchNormBase, _Pool] = {}

    def look(layer: Any, args: tuple[Any, ...]) -> None:
        pools.setdefault(layer, _Pool(merge)).add(layer, _input_of(layer, args))

    with _hooked(layers, look), modes.frozen_stats(model):
        count = 0
        for count, batch in enumerate(batches, 1):  # noqa: B007
            model(batch[0] if isinstance(batch, tuple | list) else batch)
    if not count:
        raise ValueError("recalibrate: there are no batches; nothing was changed")
    return pools


def _sequential(model: Module, layers: Iterable[BatchNormBase], batches: Iterable[Any]) -> None:
    """Measure and replace one layer after another, in the order in which they are first called."""
    order = list(_measure(model, layers, batches, True).items())
    for k, (layer, pool) in enumerate(order):
        if k:  # the first was measured along with the order
            pool = _measure(model, [layer], batches, True)[layer]
        pool.store(layer)


def _input_of(layer: Any, args: tuple[Any, ...]) -> Tensor:
    if not args:
        raise TypeError(f"{layer!r} was called with input=…: hooks see positional arguments only")
    x: Tensor = args[0]
    return x


@contextmanager
def _hooked(layers: Iterable[Module], hook: Callable[..., Any]) -> Iterator[None]:
    handles = [layer.register_forward_pre_hook(hook) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def explain_batchnorm(model: Module, x: Any) -> str:
    """Where a model's outputs in training and evaluation part: a table, a line for each layer.

    `x` goes through the model twice, in evaluation mode but for batch normalisation, which uses the
    batch's statistics the first time and the running ones the second. The columns:

        mean     the largest |mean - running mean| of a channel, in running standard deviations
        std      the smallest and the largest ratio of a channel's (unbiased) standard deviation to
                 the running one; small batches and a moving network scatter around 1
        gap      root mean square of the difference of the layer's two outputs, over that of its
                 output in evaluation; what earlier layers contribute included

    Nothing in the model changes.

    Raises:
        ValueError: one value per channel, which no variance can be taken of.
    """
    if not isinstance(model, Module):
        raise TypeError(f"explain_batchnorm: model must be a Module, got {type(model).__name__}")
    layers = tracked(model)
    if not layers:
        return "no batch normalisation with running statistics"
    with _put_back(model), modes.no_grad(), modes.frozen_stats(model):
        model.eval()
        for layer in layers:
            layer.unfreeze().train()
        by_batch, out_batch = _calls(model, layers, x)
        model.eval()
        by_running, out_running = _calls(model, layers, x)
        rows = [("layer", "input", "mean", "std", "gap")]
        for (layer, seen, y), (_, _, z) in zip(by_batch, by_running, strict=True):
            name = f"{layers[layer] or 'the model'} {type(layer).__name__}({layer.num_features})"
            shape = "x".join(map(str, seen.shape))
            rows.append((name, shape, *_compared(layer, seen), f"{_gap(y, z):.3g}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    if isinstance(out_batch, Tensor) and isinstance(out_running, Tensor):
        lines.append(f"the model's output: gap {_gap(out_batch, out_running):.3g}")
    return "\n".join(line.rstrip() for line in lines)


def _calls(model: Module, layers: Iterable[Module], x: Any) -> tuple[list[Any], Any]:
    """(layer, input, output) of each call of a layer, and the model's output."""
    calls: list[Any] = []
    handles = [
        layer.register_forward_hook(
            lambda layer, args, y: calls.append((layer, _input_of(layer, args), y))
        )
        for layer in layers
    ]
    try:
        return calls, model(x)
    finally:
        for handle in handles:
            handle.remove()


def _compared(layer: BatchNormBase, x: Tensor) -> tuple[str, str]:
    """The columns mean and std."""
    running_mean, running_variance = layer.running_mean, layer.running_variance
    if running_mean is None or running_variance is None or not x.array.size:
        return "", ""
    mean, var = layer.statistics(x)
    m = x.array.size // layer.num_features
    with np.errstate(all="ignore"):
        running = layer.standard_deviation(running_variance.array.astype(np.float64))
        shift: Any = np.abs(mean - running_mean.array) / running
        ratio: Any = layer.standard_deviation(var * layer.bessel_correction(m)) / running
    return f"{shift.max():.3g}", f"{ratio.min():.3g} to {ratio.max():.3g}"


def _gap(y: Tensor, z: Tensor) -> float:
    """rms(y - z)/rms(z)."""
    a, b = y.array.astype(np.float64), z.array.astype(np.float64)
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.sum((a - b) ** 2) / np.sum(b * b))) if a.size else 0.0
