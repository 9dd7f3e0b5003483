"""Large arrays: one compiled pass in place of numpy's several.

What an op computes stands in the op. Here is only the choice: from so many elements on that a call
of compiled code costs less than it saves, on the numba path, the same formulas run in
`kernels/compiled/elementwise.py`.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from minigrad import kernels, modes
from minigrad.checks import LARGEST
from minigrad.kernels import get_num_threads
from minigrad.kernels import row_major as row_major
from minigrad.recording import record_each
from minigrad.tensor import Tensor, wrap

F = TypeVar("F", bound=Callable[..., Any])
FROM = kernels.LARGE  # elements: numpy needs some 10 us for as many, calling a pass takes 5
SLOW_FROM = 1 << 8  # where numpy has no function of its own and needs ten times as long
SLOW = ("erf", "erfc", "erfinv", "gelu", "ndtr", "ndtri", "lgamma", "digamma", "i0", "entr")
OLD_NUMPY = np.lib.NumpyVersion(np.__version__) < "2.1.0"  # cannot be asked whether it would copy
RECORDED_AS = {"gelu_tanh": "gelu", "rpow": "pow"}
FINITE = ("fmod", "remainder")  # whose formulas do not serve infinities
TURNED_FROM = 1 << 16  # of a result: from there on, caches run over where one operand lies across
PAIRS_FROM = 1 << 18  # of the result: from there on, several threads share one addition or product


def for_both(chapter: str, *arrays: Any) -> Any:
    """`for_large` of float32 and float64 arrays. While a function is probed, float64 is refused:
    its constants then receive complex gradients."""
    return kernels.for_large(chapter, *arrays, dtypes="f" if modes.probing.get() else "fd")


def _passes(name: str, *arrays: Any) -> Any:
    """compiled/elementwise if it has the operation `name` in these arrays' dtype, else None."""
    passes = for_both("elementwise", *arrays)
    if passes is None or arrays[0].dtype.char == "f" or passes.serves_float64(name):
        return passes
    return None


def one_pass(op: F) -> F:
    """Let the pass of the op's name (`_` in front of it aside) serve large inputs."""
    name = op.__name__.lstrip("_")
    least = SLOW_FROM if name in SLOW else FROM
    defaults = {key: p.default for key, p in inspect.signature(op).parameters.items()}
    names = tuple(defaults)

    @functools.wraps(op)
    def call(input: Any, *args: Any, **options: Any) -> Any:
        if isinstance(input, Tensor) and input.array.size >= least:
            passes = _passes(name, input.array)
            if passes is not None:
                given = {**defaults, **dict(zip(names[1:], args, strict=False)), **options}
                values = passes.PASSES[name].values(given)
                if all(type(v) in (int, float) and v == v for v in values):  # not NaN
                    # What the op refuses of no elements, it refuses of many.
                    if len(names) > 1 or args or options:
                        op(wrap(np.empty(0, input.array.dtype)), *args, **options)
                    return of_one_pass(name, input, *values)
        return op(input, *args, **options)

    return cast(F, call)


def of_one_pass(name: str, x: Tensor, *values: float) -> Tensor:
    """The op `name` of x with these parameters, recorded with what its backward needs."""
    passes, a = _passes(name, x.array), x.array
    if not a.flags.c_contiguous:
        a = row_major(a)
    y = passes.forward(name, a, *values)
    with_x, with_y = passes.needs(name)
    kept_x, kept_y = a if with_x else None, y if with_y else None
    return record_each(
        RECORDED_AS.get(name, name), y,
        (x, lambda g: passes.backward(name, g, kept_x, kept_y, *values)),
    )  # fmt: skip


def _pair(name: str, ufunc: Any) -> Callable[..., Any]:
    def apply(a: Any, b: Any) -> Any:
        """Of arrays whose shapes broadcast. One thread is as fast in numpy, with equal bits."""
        if a.size >= TURNED_FROM and a.shape == b.shape:  # one lies as rows, the other as columns
            rows_of_a, rows_of_b = a.flags.c_contiguous, b.flags.c_contiguous
            if rows_of_a != rows_of_b:
                a, b = (a, row_major(b)) if rows_of_a else (row_major(a), b)
        if (a.size >= PAIRS_FROM or b.size >= PAIRS_FROM) and get_num_threads() > 1:
            passes = _passes(name, a, b)
            if passes is not None:
                out = passes.pair(name, np.asarray(a), np.asarray(b))
                if out is not None:
                    return out
        return ufunc(a, b)

    return apply


def turned(g: Any) -> Any:
    """A large gradient whose axes changed places, in row-major order: whoever gets it needs it so,
    and numpy would take five times as long. What is small, or broadcast, stays as it lies."""
    return g if g.size < FROM or g.flags.c_contiguous or 0 in g.strides else row_major(g)


def _lying_flat(a: Any) -> Any:
    return a if a.flags.carray else row_major(a)


def reshaped(a: Any, shape: tuple[int, ...]) -> Any:
    """a in another shape: a view where there can be one."""
    if a.size < FROM or a.flags.c_contiguous or OLD_NUMPY:
        return a.reshape(shape)
    try:
        return a.reshape(shape, copy=False)
    except ValueError:
        return row_major(a).reshape(shape)


def last(a: Any, axis: int) -> Any:
    """a in row-major order, with `axis` for its last one."""
    a = np.moveaxis(a, axis, -1)
    return a if a.flags.c_contiguous else row_major(a)


def placed(a: Any, axis: int) -> Any:
    """a in row-major order, with its last axis at the place of `axis`: what `last` did, undone."""
    a = np.moveaxis(a, -1, axis)
    return a if a.flags.c_contiguous else row_major(a)


def scans(a: Any) -> Any:
    """The loops for running products and extrema along the last axis if a is large, else None."""
    return kernels.for_large("scans", a) if FROM <= a.size < 1 << 31 else None  # places are int32


plus, minus = _pair("add", np.add), _pair("sub", np.subtract)
times, over = _pair("mul", np.multiply), _pair("div", np.divide)


def summed(g: Any, shape: tuple[int, ...]) -> Any:
    """A large gradient summed over the axes that broadcasting from `shape` added or stretched; what
    is small is left to `recording.fit`."""
    if g.shape == shape or g.size < FROM:
        return g
    lead = g.ndim - len(shape)
    axes = [i for i, n in enumerate(g.shape) if i < lead or shape[i - lead] != n]
    out = total("sum", g, tuple(axes))
    return g if out is None else out.reshape(shape)


def summed_product(g: Any, b: Any, shape: tuple[int, ...]) -> Any:
    """summed(g·b, shape), where g is large and has to be summed without the product in between."""
    if g.shape != shape and g.size >= FROM and b.dtype == g.dtype:
        lead = g.ndim - len(shape)
        axes = tuple(i for i, n in enumerate(g.shape) if i < lead or shape[i - lead] != n)
        if (loops := kernels.for_large("dots", g)) is not None:
            out = loops.dots(g, b, axes)
            if out is not None:
                return out.reshape(shape)
    return summed(times(g, b), shape)


def of_two(name: str, x: Any, y: Any, a: Any, b: Any, p: float = 0.0) -> Tensor | None:
    """The op `name` of x and y, whose arrays are a and b, in one pass each way: the result of its
    pair, and the gradients "dx of name" and "dy of name" of the triples; g itself passes where
    there is none of that name. None if the arrays are not large, or lie so that no loop fits."""
    if (a.size < FROM and b.size < FROM) or (
        passes := _passes(name, a, b)
    ) is None:
        return None
    if (out := passes.pair(name, a, b, p)) is None or (name in FINITE and not _finite(out)):
        return None

    def back(which: str, shape: tuple[int, ...]) -> Callable[[Any], Any]:
        formula = f"{which} of {name}"
        if formula not in passes.TRIPLES:
            return lambda g: summed(g, shape)
        return lambda g: summed(passes.triple(formula, a, b, _lying_flat(g), p), shape)

    return record_each(name, out, (x, back("dx", a.shape)), (y, back("dy", b.shape)))


def _finite(a: Any) -> bool:
    """Whether all are numbers, in the usual case (their sum is one) at a third of the time."""
    with np.errstate(all="ignore"):
        return math.isfinite(a.sum()) or bool(np.isfinite(a).all())


def in_one_pass(name: str, *arrays: Any, p: float = 0.0) -> Any:
    """The pair or triple of this name of large arrays; None if they are others, or p not finite."""
    if max(a.size for a in arrays) < FROM or not -LARGEST <= p <= LARGEST:
        return None
    if (passes := _passes(name, *arrays)) is None:
        return None
    return (passes.pair if len(arrays) == 2 else passes.triple)(name, *map(_lying_flat, arrays), p)


def gated(x: Any, a: Any, axis: int) -> Tensor | None:
    """One half of a large x along the axis times the sigmoid of the other; None if x is not."""
    if a.size < FROM or (passes := _passes("glu", a)) is None:
        return None
    a = a if a.flags.c_contiguous else row_major(a)
    half, before = a.shape[axis] // 2, (slice(None),) * axis
    halves = (*before, slice(0, half)), (*before, slice(half, None))
    first, gate = (a[h] for h in halves)
    y = passes.pair("glu", first, gate)

    def back(g: Any) -> Any:
        dx, g = kernels.empty(a.shape, a.dtype), np.ascontiguousarray(g)
        dx[halves[0]] = passes.pair("glu", g, gate)
        dx[halves[1]] = passes.triple("dy of glu", first, gate, g)
        return dx

    return None if y is None else record_each("glu", y, (x, back))


def power(x: Tensor, exponent: float) -> Tensor | None:
    """x to a constant other than 0, of large x; None if x is not."""
    if x.array.size < FROM or not math.isfinite(exponent):
        return None
    if _passes("pow", x.array) is None:
        return None
    if exponent in (0.5, -0.5):
        return of_one_pass("sqrt" if exponent > 0 else "rsqrt", x)
    parity = 0 if exponent % 1 else 2 - int(exponent % 2)
    return of_one_pass("pow", x, float(exponent), float(parity))


def base_to(base: Any, x: Any) -> Tensor | None:
    """A plain number to the power x, of large x; None if they are others."""
    if not isinstance(x, Tensor) or x.array.size < FROM or type(base) not in (int, float):
        return None
    if not 0 < base < math.inf or base == 1:
        return None
    if _passes("rpow", x.array) is None:
        return None
    return of_one_pass("rpow", x, math.log2(base), math.log(base))


def rows(a: Any) -> Any:
    """The loops for softmax and its family along an axis if a is large, else None."""
    return kernels.for_large("rows", a) if a.size >= FROM else None


def picking(a: Any, count: int) -> Any:
    """The loops for reading and writing by index if `count` elements are many, else None."""
    return for_both("picking", a) if count >= FROM else None


def selection(a: Any, axis: int) -> tuple[Any, Any]:
    """The loops for order along an axis if a is large, else None; and a with that axis last."""
    if a.size < FROM or (loops := kernels.for_large("selection", a)) is None:
        return None, a
    return loops, a if axis == a.ndim - 1 else row_major(np.moveaxis(a, axis, -1))


def resampled(a: Any, matrices: Callable[[Any], dict[int, Any]]) -> tuple[Any, Any] | None:
    """A large array with axes multiplied by sparse matrices, and the map of its gradient; None if
    it is not large. `matrices` makes them of `resample.Matrix`, by axes."""
    if a.size < FROM or (loops := for_both("resample", a)) is None:
        return None
    made = matrices(loops.Matrix)
    adjoints = {axis: matrix.adjoint for axis, matrix in made.items()}
    return loops.applied(a, made), lambda g: loops.applied(g, adjoints)


def total(name: str, a: Any, axes: tuple[int, ...], centres: Any = None) -> Any:
    """The sum over `axes` in float64 ("sum", of "abs", "square" or "spread" from the centres, or of
    how many are "equal" to them, or the "same", NaN as well), axes kept, if a is large; else None.
    """
    if a.size < FROM or (loops := kernels.for_large("rows", a)) is None:
        return None
    return loops.total(name, a, axes, centres)


def along(name: str, a: Any, axes: tuple[int, ...], centres: Any, factors: Any) -> Any:
    """factors·(a - centres) ("linear"), factors·e^(a - centres) ("exp"), factors·sign(a) ("sign")
    or factors where a is "equal" to the centres or the "same", factors and centres being constant
    along `axes`, if a is large; else None."""
    if a.size < FROM or (loops := kernels.for_large("rows", a)) is None:
        return None
    return loops.along(name, a, axes, centres, factors)


def large_loss(
    name: str, x: Any, target: Any, a: Any, t: Any, reduction: str, p: float = 0.0,
    scale: float = 1.0,
) -> Tensor | None:  # fmt: skip
    """scale·loss, reduced, of large arrays a and t of one shape; None if they are others. What
    needs a gradient for its target is a loss of a - t."""
    if reduction == "none" or a.size < FROM:
        return None
    if (passes := _passes(name, a, t)) is None:
        return None
    if reduction == "mean":
        scale /= a.size
    out = np.asarray(passes.loss(name, a, t, p) * scale, a.dtype)

    def dx(g: Any) -> Any:
        return passes.loss_slope(name, a, t, float(g) * scale, p)

    return record_each(name, out, (x, dx), (target, lambda g: -dx(g)))
