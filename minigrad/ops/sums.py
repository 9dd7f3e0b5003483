"""Integrals of samples by the trapezoidal rule, sums down to the shape that was broadcast, and
parts of a tensor whose norms have a bound."""

from __future__ import annotations

from typing import Any, Unpack, overload

from minigrad.checks import axis_of, number
from minigrad.names import Axis, numpy_names, numpy_overloads
from minigrad.ops.arithmetic import add, div, mul, sub, where
from minigrad.ops.compare import gt
from minigrad.ops.cumulative import cumsum
from minigrad.ops.reductions import norm, summed
from minigrad.ops.reductions import sum as total
from minigrad.ops.shape import narrow, reshape, sizes_of
from minigrad.recording import floating_operand, operand
from minigrad.tensor import Tensor, wrap


@numpy_names
def trapezoid(
    y: Any, x: Any = None, *, dim: int = -1, dx: float | None = None, **names: Unpack[Axis]
) -> Tensor:
    """The integral over `dim` by the trapezoidal rule, Σ (x_{i+1} - x_i)·(y_i + y_{i+1})/2.

    Args:
        y: the samples.
        x: where they are: a vector of as many numbers, or a tensor that broadcasts.
        dim: the axis; what has no neighbours there has no integral, 0.
        dx: the distance of neighbours, 1 if it is not given; not with x.
    """
    axis, parts = _trapezoids("trapezoid", y, x, dx, dim)
    return total(parts, axis)


@numpy_names
def cumulative_trapezoid(
    y: Any, x: Any = None, *, dim: int = -1, dx: float | None = None, **names: Unpack[Axis]
) -> Tensor:
    """The integrals up to each sample but the first; the arguments are those of `trapezoid`."""
    axis, parts = _trapezoids("cumulative_trapezoid", y, x, dx, dim)
    return cumsum(parts, axis)


@numpy_names
def trapz(
    y: Any, x: Any = None, *, dim: int = -1, dx: float | None = None, **names: Unpack[Axis]
) -> Tensor:
    """`trapezoid` by its older name."""
    axis, parts = _trapezoids("trapz", y, x, dx, dim)
    return total(parts, axis)


def sum_to_size(input: Any, *size: Any) -> Tensor:
    """The sum over the axes that broadcasting a tensor of this size would add or stretch: the
    gradient that its elements get. Of the same size, the tensor itself."""
    # y = Σ x over those axes        dL/dx = g, spread over them
    a, sizes = summed("sum_to_size", input, None), sizes_of("sum_to_size", size)
    lead = a.ndim - len(sizes)
    pairs = zip(a.shape[max(lead, 0) :], sizes, strict=False)
    if lead < 0 or any(n not in (m, 1) for m, n in pairs):
        raise RuntimeError(f"sum_to_size: size {sizes} does not broadcast to shape {a.shape}")
    if sizes == a.shape:
        return input if isinstance(input, Tensor) else wrap(a)
    axes = [i for i, m in enumerate(a.shape) if i < lead or (sizes[i - lead] == 1 != m)]
    return reshape(total(input, axes), sizes)


@overload
def renorm(input: Any, p: float, dim: int, maxnorm: float) -> Tensor: ...
@overload
def renorm(input: Any, p: float, *, axis: int, maxnorm: float) -> Tensor: ...
@numpy_overloads
def renorm(input: Any, p: float, dim: int, maxnorm: float) -> Tensor:
    """The parts of x at each place of axis `dim`, whose p-norms shall be at most maxnorm: larger
    ones are scaled to it.

    y = x·maxnorm/(‖x‖ + 1e-7) where ‖x‖ > maxnorm, else x, with the norm over all other axes.
    """
    a = floating_operand("renorm", input)
    p, most = number("renorm", "p", p, above=0), number("renorm", "maxnorm", maxnorm, at_least=0)
    if a.ndim < 2:
        raise RuntimeError(f"renorm: expected at least two axes, got shape {a.shape}")
    axis = axis_of("renorm", dim, a.ndim)
    others = [i for i in range(a.ndim) if i != axis]
    large = gt(norm(input, p, others, keepdim=True), most)
    kept = where(large, input, 0)  # a NaN elsewhere has no part in the gradient
    scale = div(most, add(norm(kept, p, others, keepdim=True), 1e-7))
    return where(large, mul(kept, scale), input)


def _trapezoids(name: str, y: Any, x: Any, dx: float | None, dim: int) -> tuple[int, Tensor]:
    """The axis, counted from the end, and the areas between neighbours there."""
    a = operand(name, y)
    axis = axis_of(name, dim, a.ndim) - a.ndim
    if not a.ndim or a.dtype.kind == "b":
        raise RuntimeError(
            f"{name}: expected numbers along an axis, got {a.dtype} of shape {a.shape}"
        )
    heights = div(add(*_neighbours(y, axis)), 2)
    if x is None:
        return axis, mul(heights, 1 if dx is None else number(name, "dx", dx))
    if dx is not None:
        raise TypeError(f"{name}: expected one of x and dx, got both")
    b = operand(name, x)
    shape = (b.size, *[1] * (-1 - axis)) if b.ndim == 1 else b.shape
    if b.dtype.kind == "b" or len(shape) < -axis or shape[axis] != a.shape[axis]:
        raise RuntimeError(
            f"{name}: x is {b.dtype} of shape {b.shape}, expected a number for each of the "
            f"{a.shape[axis]} samples along axis {axis} of y, of shape {a.shape}"
        )
    before, after = _neighbours(reshape(x, shape), axis)
    return axis, mul(heights, sub(after, before))


def _neighbours(x: Any, axis: int) -> tuple[Tensor, Tensor]:
    """All but the last along the axis, and all but the first."""
    size = x.shape[axis]
    return narrow(x, axis, 0, max(size - 1, 0)), narrow(x, axis, min(1, size), max(size - 1, 0))
