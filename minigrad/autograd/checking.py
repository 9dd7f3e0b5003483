"""Whether a function's vjp agrees with its derivative by complex step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad import modes
from minigrad.autograd.gradients import as_tuple, grad
from minigrad.derivatives import STEP
from minigrad.ops.random import get_rng_state, set_rng_state
from minigrad.tape import Array, Leaf
from minigrad.tensor import Tensor, wrap

__all__ = ["gradcheck"]


@contextmanager
def _with_data(
    inputs: Sequence[Tensor], arrays: Sequence[Any], leaves: bool = False
) -> Iterator[None]:
    """Let the tensors hold other arrays for a while (so functions that close over them see it)."""
    saved = [(x, x.array, x.node) for x in inputs]
    try:
        for x, a in zip(inputs, arrays, strict=True):
            x.array = a
            x.node = Leaf(a.shape, a.dtype) if leaves else None
        yield
    finally:
        for x, data, node in saved:
            x.array, x.node = data, node


def gradcheck(
    func: Callable[..., Any], inputs: Any, *, atol: float = 1e-9, rtol: float = 1e-8,
    raise_exception: bool = True,
) -> bool:  # fmt: skip
    """Check the gradients of `func` at `inputs` against derivatives by complex step.

    The forward derivative runs in complex128 on the numpy kernels, the backward in float64 on the
    chosen ones, with a random cotangent; every element of every input that requires grad is checked
    (random directions where there are more than 400). Random numbers repeat from one evaluation to
    the next, running statistics do not move, and no `.grad` is written. Where complex numbers do
    not carry the derivative (the function is not analytic: an eigendecomposition, say), central
    differences decide, to about 1e-6.

    Raises:
        ValueError: no input requires grad, or one that does is not float64.
        RuntimeError: a gradient is wrong (False instead if not `raise_exception`).

    >>> x = mg.randn(3, dtype=mg.float64, requires_grad=True)
    >>> mg.autograd.gradcheck(mg.tanh, (x,))
    True
    """
    inputs = as_tuple(inputs)
    positions: dict[Tensor, int] = {}  # a tensor that is passed twice is one variable
    for i, x in enumerate(inputs):
        if isinstance(x, Tensor) and x.requires_grad:
            positions.setdefault(x, i)
    checked = [(i, x) for x, i in positions.items()]
    if not checked:
        raise ValueError("gradcheck: no input requires grad, so there is nothing to check")
    for i, x in checked:
        if x.dtype != np.float64:
            raise ValueError(
                f"gradcheck: input {i} is {x.dtype}; rounding would drown the comparison: use "
                ".double()"
            )
    state = get_rng_state()
    own = np.random.default_rng(0)
    tensors = [x for _, x in checked]
    try:
        with modes.probe(), modes.enable_grad():
            problem = _compare(func, inputs, checked, tensors, own, state, atol, rtol)
    finally:
        set_rng_state(state)
    if problem and raise_exception:
        raise RuntimeError(f"gradcheck: {problem}")
    return problem is None


def _compare(
    func: Any, inputs: Any, checked: Any, tensors: Any, own: Any, state: Any, atol: Any, rtol: Any
) -> str | None:
    def evaluate() -> tuple[Tensor, ...]:
        set_rng_state(state)
        return tuple(y for y in as_tuple(func(*inputs)) if isinstance(y, Tensor))

    outputs = [y for y in evaluate() if y.requires_grad]
    if not outputs:
        return "no output depends on an input that requires grad"
    which = [i for i, y in enumerate(evaluate()) if y.requires_grad]
    weights = [own.standard_normal(y.shape) for y in outputs]
    analytic = grad(outputs, tensors, [wrap(w) for w in weights], allow_unused=True)
    vjp = [
        np.zeros(x.shape) if g is None else g.array for x, g in zip(tensors, analytic, strict=True)
    ]
    data = [x.array for x in tensors]

    def projected(arrays: Sequence[Any], part: str) -> float:
        with _with_data(tensors, arrays):  # read inside: an output may be an input itself
            ys = [evaluate()[i].array for i in which]
        return float(sum(np.sum(w * getattr(y, part)) for y, w in zip(ys, weights, strict=True)))

    def along(k: int, direction: Array, complex_step: bool) -> float:
        def moved(step: complex) -> list[Any]:
            return [a + step * direction if j == k else a for j, a in enumerate(data)]

        if complex_step:
            return projected(moved(1j * STEP), "imag") / STEP
        return (projected(moved(1e-6), "real") - projected(moved(-1e-6), "real")) / 2e-6

    scale = max((float(np.abs(g).max()) for g in vjp if g.size), default=0.0)
    for k, (position, x) in enumerate(checked):
        for where, direction in _directions(x.shape, own):
            expected = float(np.sum(vjp[k] * direction))
            try:
                exact: float | None = along(k, direction, True)
            except (TypeError, np.linalg.LinAlgError):  # no complex version of some step
                exact = None
            tolerance = atol * max(1.0, scale) + rtol * abs(expected)
            if exact is not None and abs(exact - expected) <= tolerance:
                continue
            numeric = along(k, direction, False)
            rough = 1e-6 * max(1.0, scale) + 1e-5 * abs(numeric)
            analytic_function = exact is not None and abs(exact - numeric) <= rough
            if not analytic_function and abs(expected - numeric) <= rough:
                continue
            shown = exact if analytic_function else numeric
            hint = ""
            if scale < 1e-12:
                hint = (
                    "; the gradient is zero everywhere: if the function ends in a sum or mean of a "
                    "normalised tensor, that is right, and blind: use random weights"
                )
            return (
                f"the gradient of input {position} is wrong at {where}: backward gives "
                f"{expected:.10g}, the function's derivative is {shown:.10g}{hint}"
            )
    return None


def _directions(shape: tuple[int, ...], own: Any) -> Iterator[tuple[str, Array]]:
    size = int(np.prod(shape))
    if size > 400:
        for i in range(8):
            yield f"random direction {i}", own.standard_normal(shape)
        return
    for index in np.ndindex(shape):
        direction = np.zeros(shape)
        direction[index] = 1.0
        yield f"index {index}", direction
