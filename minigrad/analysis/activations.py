"""What the activations of a network look like while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, cast

import numpy as np

from minigrad import modes
from minigrad.autograd import grad
from minigrad.checks import integer
from minigrad.hooks import RemovableHandle
from minigrad.nn import activation
from minigrad.nn.module import Module
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

# Layers that work on each value by itself, and so have a derivative at each value.
ELEMENTWISE = tuple(
    kind
    for kind in vars(activation).values()
    if isinstance(kind, type)
    and issubclass(kind, Module)
    and kind not in (Module, activation.Softmax, activation.LogSoftmax, activation.Softmax2d)
)


class ActivationRecorder:
    """Record percentiles and saturation of layers' outputs at every forward pass in training mode.

        with ActivationRecorder(model) as recorder:
            train(model)
        plt.plot(recorder.percentiles("1"))

    It reads what passes by, through forward hooks, and changes nothing. Passes in eval mode, and
    those of measurements and gradient checks, are not recorded.

    Args:
        model: the network.
        layers: paths, as in `named_modules`; by default all elementwise activations.
        percentiles: in per cent; the default is the source's.
        unit: record one channel (axis 1) only, as the source does; by default all values together.
        threshold: an activation is saturated where its derivative is below this, in size: of a
            sigmoid, whose derivative is at most 0.25, where |input| > 2.9; of a ReLU, where it is
            off.
        every: record the first of so many passes.

    Source: Ioffe and Szegedy, Batch normalization, 2015, figure 1(b, c): {15, 50, 85}th percentiles
    of the inputs to a typical sigmoid of the last hidden layer. Name the layer before the sigmoid
    for these.
    """

    def __init__(
        self,
        model: Module,
        layers: Sequence[str] | None = None,
        *,
        percentiles: Sequence[float] = (15, 50, 85),
        unit: int | None = None,
        threshold: float = 0.05,
        every: int = 1,
    ) -> None:
        modules = dict(model.named_modules())
        if layers is None:
            layers = [path for path, m in modules.items() if isinstance(m, ELEMENTWISE)]
        unknown = [path for path in layers if path not in modules]
        if isinstance(layers, str) or unknown or not layers:
            raise ValueError(
                f"ActivationRecorder: layers must be paths of modules, got {layers!r}; "
                f"{type(model).__name__} has {', '.join(path for path in modules if path)}"
            )
        levels = np.asarray(percentiles, np.float64)
        if levels.ndim != 1 or not levels.size or not ((levels >= 0) & (levels <= 100)).all():
            raise ValueError(
                f"ActivationRecorder: percentiles must be numbers from 0 to 100, got {percentiles}"
            )
        every = integer("ActivationRecorder", "every", every)
        self.layers = list(layers)
        self._modules = [modules[path] for path in layers]
        self._levels, self._unit, self._threshold, self._every = levels, unit, threshold, every
        self._passes = dict.fromkeys(layers, 0)
        self._steps: dict[str, list[int]] = {path: [] for path in layers}
        self._percentiles: dict[str, list[Array]] = {path: [] for path in layers}
        self._saturation: dict[str, list[float]] = {path: [] for path in layers}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        if self._handles:
            raise RuntimeError("ActivationRecorder: it is recording already")
        for path, module in zip(self.layers, self._modules, strict=True):
            self._handles.append(module.register_forward_hook(self._hook(path)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        while self._handles:
            self._handles.pop().remove()

    def steps(self, layer: str) -> Array:
        """The number of the pass, from 0, of each record: int64 (T,)."""
        return np.array(self._steps[layer], np.int64)

    def percentiles(self, layer: str) -> Array:
        """Float64 (T, percentiles)."""
        return np.array(self._percentiles[layer]).reshape(-1, len(self._levels))

    def saturation(self, layer: str) -> Array:
        """The fraction of values at which the activation is saturated: float64 (T,).

        NaN for a layer that is no elementwise activation.
        """
        return np.array(self._saturation[layer], np.float64)

    def _hook(self, path: str) -> Any:
        def record(module: Module, args: tuple[Any, ...], output: Tensor) -> None:
            if modes.probing.get() or not module.training:
                return
            number = self._passes[path]
            self._passes[path] = number + 1
            if number % self._every:
                return
            values = self._chosen(output.array)
            fraction = np.nan
            if isinstance(module, ELEMENTWISE):
                slope = self._chosen(_derivative(module, args))
                fraction = float(np.mean(np.abs(slope) < self._threshold))
            self._steps[path].append(number)
            with np.errstate(all="ignore"):  # a network that has diverged is recorded, too
                levels = np.percentile(values.astype(np.float64), self._levels)
            self._percentiles[path].append(levels)
            self._saturation[path].append(fraction)

        return record

    def _chosen(self, values: Array) -> Array:
        return values if self._unit is None else values[:, self._unit]


def _derivative(module: Module, args: tuple[Any, ...]) -> Array:
    """f'(x) of an elementwise f, which is its gradient for a cotangent of ones."""
    x = wrap(args[0].array).requires_grad_()
    with modes.enable_grad():
        y = module.forward(x)
        slope = grad(y, x, wrap(np.ones_like(y.array)))[0]
    return cast(Tensor, slope).array
