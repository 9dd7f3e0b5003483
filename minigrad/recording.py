"""What an op is made with: `operands` (its inputs as arrays of one dtype) before the formula, and
after it `record_each` (pairs of an input and its gradient's map) or `record` (one joint vjp).
`overwrite` is for changes in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from numpy import ndarray

from minigrad import changes, modes
from minigrad.checks import asked
from minigrad.closures import look_at
from minigrad.dtypes import CATEGORY, float32, result_dtype
from minigrad.incoming import taken
from minigrad.kernels import row_major
from minigrad.tape import Array, Node
from minigrad.tensor import Tensor, node_of, wrap
from minigrad.views import Window, overlaps

T = TypeVar("T", bound=Tensor)
Pair = tuple[Any, Callable[[Any], Any]]


def operands(name: str, x: Any, y: Any, floating: bool = False) -> tuple[Any, Any]:
    """The arrays of the two inputs of the op `name`, of one dtype and shapes that broadcast.

    The dtype is `result_dtype`'s; `floating` lifts integers to float32, as division does.
    """
    # Two tensors of one floating dtype, or one and a plain number, do without the general rule. (To
    # ask a dtype for its kind takes three times as long as to see that it is float32.)
    if isinstance(x, Tensor):
        a = x.array
        dtype = a.dtype
        if isinstance(y, Tensor):
            b = y.array
            if dtype is b.dtype and (dtype is float32 or dtype.kind in "fc"):
                if a.shape != b.shape:
                    check_broadcast(name, (a, b))
                return a, b
        elif type(y) in (float, int) and dtype.kind == "f":
            return a, _number(name, y, dtype)
    a, b = of_one_dtype(name, x, y, floating=floating)
    return a, b


def of_one_dtype(name: str, *values: Any, floating: bool = False) -> tuple[Any, ...]:
    """`operands` of any number of inputs."""
    try:
        dtype = result_dtype(*values)
    except TypeError as error:
        raise TypeError(f"{asked(name)}: {error}") from None
    if floating and CATEGORY[dtype.kind] < CATEGORY["f"]:
        dtype = float32
    arrays = tuple([_cast(name, v, dtype) for v in values])
    if len(arrays) > 1:
        check_broadcast(name, arrays)
    return arrays


def _number(name: str, y: float, dtype: np.dtype[Any]) -> Any:
    """y as a 0-d array, with which numpy computes faster than with a plain number."""
    if -60000 < y < 60000:  # overflows in no dtype, not in float16, and errstate takes long
        return np.array(y, dtype)
    try:
        with np.errstate(over="ignore"):
            return np.array(y, dtype)
    except OverflowError:
        raise _too_large(name, y, dtype) from None


def _cast(name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    """The array of an operand in the common dtype. Integers wrap, as in all arithmetic."""
    if type(value) in (float, int) and dtype.kind == "f":
        return cast(Array, _number(name, value, dtype))
    a = np.asarray(value.array if isinstance(value, Tensor) else value)
    if a.ndim or a.dtype is dtype:
        return a.astype(dtype, copy=False)
    try:
        with np.errstate(over="ignore"):  # a 0-d tensor counts as a number, which may be too large
            return a.astype(dtype)
    except OverflowError:
        raise _too_large(name, value, dtype) from None


def _too_large(name: str, value: Any, dtype: np.dtype[Any]) -> ValueError:
    return ValueError(
        f"{name}: the number of {len(str(abs(value)))} digits is too large for {dtype}"
    )


def check_broadcast(name: str, arrays: Sequence[Array]) -> None:
    """Raise, naming the op, unless the arrays' shapes broadcast."""
    try:
        np.broadcast_shapes(*(a.shape for a in arrays))
    except ValueError:
        shapes = " and ".join(str(a.shape) for a in arrays)
        raise ValueError(
            f"{name}: shapes {shapes} do not broadcast: counted from the last axis, sizes must be "
            "equal or 1"
        ) from None


TENSORS, SEVERAL = (Tensor, np.ndarray), (tuple, list)


def require(name: str, **inputs: Any) -> None:
    """Raise unless these are tensors or arrays, for an op that looks at their shapes first."""
    for argument, value in inputs.items():
        if not isinstance(value, TENSORS):
            raise TypeError(f"{name}: {argument} must be a tensor, got {type(value).__name__}")


def refuse_numbers(name: str, *values: Any, hint: str) -> None:
    """Raise if one of the values is a plain number, where PyTorch takes tensors only."""
    for value in values:
        if not isinstance(value, Tensor | np.ndarray):
            raise TypeError(f"{name}: expected a tensor, got {value!r}: {hint}")


def operand_arrays(name: str, *values: Any) -> list[Any]:
    """`operands` of any number, with plain numbers as 0-d arrays of the common dtype too."""
    return list(operands(name, *values) if len(values) == 2 else of_one_dtype(name, *values))


def operand(name: str, x: Any, floating: bool = False) -> Any:
    """The array of the only input of the op `name`; see `operands`."""
    if isinstance(x, Tensor):
        if not floating or x.array.dtype.kind in "fc":
            return x.array
        return x.array.astype(float32)
    return cast(Array, of_one_dtype(name, x, floating=floating)[0])


def floating_operand(name: str, x: Any) -> Array:
    """`operand`, refused where PyTorch takes no integers and bools."""
    a: Array = operand(name, x)
    check_floating(name, a)
    return a


def check_floating(name: str, a: Array) -> None:
    """Raise where PyTorch takes no integers and bools."""
    if a.dtype is not float32 and a.dtype.kind not in "fc":
        raise TypeError(f"{name}: expected a floating tensor, got dtype {a.dtype}: use .float()")


def record_each(name: str, out: Any, *pairs: Pair) -> Tensor:
    """Record an operation whose inputs have a map of their own each: from g to that gradient.

    Un-broadcasting is done for them: where the output's shape or dtype is not that of an input, its
    map may return any that the forward's broadcasting and promotion made of it, and `fit` takes it
    back. (An op that uses `record` calls `fit` itself.)
    """
    if type(out) is not ndarray:
        out = np.asarray(out)
    if not out.flags.c_contiguous:  # what is no view lies in row-major order, whatever made it
        out = row_major(out)
    if modes.grad_enabled.get() and (node := node_each(name, out, pairs)) is not None:
        return wrap(out, node)
    return _constant(name, out, None)


def node_each(name: str, out: Array, pairs: Sequence[Pair]) -> Node | None:
    """The node of `record_each`, or None where no gradient passes."""
    shape, dtype = out.shape, out.dtype
    nodes: tuple[Node, ...] = ()
    maps: tuple[Callable[[Any], Any], ...] = ()
    for x, f in pairs:
        if not isinstance(x, Tensor):
            continue
        node = x.node if x.base is None else node_of(x)
        if node is not None:
            if node.shape != shape or node.dtype is not dtype:
                f = _fitted(f, node.shape, node.dtype)
            nodes += (node,)
            maps += (f,)
    if not nodes or (dtype is not float32 and dtype.kind not in "fc"):
        return None  # integers and bools carry no gradient
    node = Node(name, nodes, shape, dtype, maps[0] if len(maps) == 1 else _joint(maps))
    if modes.watchers:
        modes.made(node, out, [x for x, _ in pairs])
    return node


def _joint(maps: tuple[Callable[[Any], Any], ...]) -> Callable[[Any], Sequence[Any]]:
    """One vjp of several maps; two are the usual number, and faster as a tuple."""
    if len(maps) == 2:
        first, second = maps
        return lambda g: (first(g), second(g))
    return lambda g: [f(g) for f in maps]


def _fitted(f: Callable[[Any], Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    return lambda g: fit(f(g), shape, dtype)


def fit(grad: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Sum `grad` over the axes that broadcasting added or stretched, and cast it to `dtype`,
    unless it is the complex gradient of a real input."""
    if grad.shape != shape:
        lead = grad.ndim - len(shape)
        axes = [*range(lead)]
        axes += [i + lead for i, n in enumerate(shape) if n == 1 != grad.shape[i + lead]]
        wide: Any = np.complex128 if grad.dtype.kind == "c" else np.float64
        grad = np.add.reduce(grad, tuple(axes), wide).reshape(shape)
    if grad.dtype == dtype or (grad.dtype.kind == "c" and dtype.kind == "f"):
        return grad  # the walk decides what becomes of the imaginary part of a complex probe
    return grad.astype(dtype)


def record(
    name: str, out: Any, inputs: Sequence[Any], vjp: Callable[[Any], Any], base: Any = None
) -> Tensor:
    """Record an operation of your own: its result, its inputs and one joint vjp.

    Args:
        name: what errors call it.
        out: the resulting array.
        inputs: the tensors it was computed from (other values are allowed and get no gradient).
        vjp: from `g`, the gradient of the output (an array), to a tuple with one gradient for each
            input, of that input's shape and dtype, or None where none is wanted. The gradient of
            an only input may come alone. It must close over arrays, not over tensors.

    Returns:
        The result as a Tensor; recorded only if gradients are enabled and some input needs one.

    >>> def square(x):  # its gradient is 2·g·x
    ...     a = x.array
    ...     return mg.autograd.record("square", a * a, (x,), lambda g: 2 * g * a)
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> square(x).backward()
    >>> x.grad
    tensor(6.)
    """
    if not isinstance(inputs, SEVERAL):
        raise TypeError(
            f"record: the inputs of {name!r} must be a tuple of tensors, got "
            f"{type(inputs).__name__}: an only one is written (x,)"
        )
    if type(out) is not ndarray or (out.dtype is not float32 and not out.dtype.isnative):
        out = _array(name, out)
    nodes: tuple[Node | None, ...] = ()
    for x in inputs:
        node = (x.node if x.base is None else node_of(x)) if isinstance(x, Tensor) else None
        nodes += (node,)
    if not modes.grad_enabled.get() or not any(nodes):
        return unrecorded(name, out, base)
    dtype = out.dtype
    if dtype is not float32 and dtype.kind not in "fc":  # integers and bools carry no gradient
        return wrap(out, None, base)
    look_at(name, vjp)
    if base is None and not out.flags.c_contiguous:
        out = row_major(out)
    node = Node(name, nodes, out.shape, dtype, vjp)
    if modes.watchers:
        modes.made(node, out, inputs)
    return wrap(out, node, base)


def overwrite(name: str, x: T, write: Callable[[Any], None], *pairs: Pair) -> T:
    """Change the memory of x by `write`, and note it; `pairs` say how gradients pass, as in
    `record_each`, to those that the new values come from (the old values of x, too, if they do).

    x takes the history of its new values. If it is a view, so does its base, where x shows it:

        base = (base without x's window) + (x in its window)

    and every other view of that base goes by what the base is now when it is next used.
    """
    node, base = node_of(x), x.base
    if modes.grad_enabled.get():
        check_recordable(name, x)
    if not x.array.flags.writeable or overlaps(x.array):
        raise RuntimeError(
            f"{name}: the memory of this tensor (shape {x.shape}) is read-only or repeated by "
            "expand: change a clone()"
        )
    write(x.array)
    changes.note_change(x.array)
    new = node_each(name, x.array, pairs) if modes.grad_enabled.get() else None
    if new is None:
        return x
    if node is not None and node.keep_grad:  # .grad is that of the tensor as it is
        node.keep_grad, new.keep_grad = False, True
    if base is None:
        x.node = new
    else:
        window, before = Window(base.array, x.array), base.node
        inside = wrap(x.array, new)
        whole = node_each(name, base.array, ((base, window.without), (inside, window.read)))
        if before is not None and whole is not None and before.keep_grad:
            before.keep_grad, whole.keep_grad = False, True
        base.node = whole
    return x


def carry(x: Tensor, values: Array) -> None:
    """Make x complex, with its base, if complex values are to be written to it while a function is
    probed: they carry a derivative."""
    if values.dtype.kind != "c" or x.array.dtype.kind == "c" or not modes.probing.get():
        return
    if x.base is None:
        x.array = x.array.astype(values.dtype)
    else:
        base = x.base.array
        x.base.array, x.array = Window(base, x.array).converted(base, values.dtype)


def check_recordable(name: str, x: Tensor) -> None:
    """Refuse to change, while gradients are recorded, what no history can be written for."""
    whole = x if x.base is None else x.base
    if x.node is not None and x.node.vjp is None:
        which = "a leaf that requires grad"
    elif whole.node is not None and whole.node.vjp is None:
        which = "a view of a leaf that requires grad"
    elif whole.node is not None and x.node is None:
        which = "a view that was taken under no_grad, of a tensor that requires grad,"
    else:
        return
    raise RuntimeError(
        f"{name}: {which} cannot be changed in place while gradients are recorded: wrap the change "
        "in no_grad(), or change a clone()"
    )


def need_grad(*inputs: Tensor | None) -> tuple[bool, ...]:
    """`needs_grad` of several: tensors, or None."""
    needs: tuple[bool, ...] = ()
    for x in inputs:
        needs += (x is not None and (x.node if x.base is None else node_of(x)) is not None,)
    return needs


def needs_grad(x: Any) -> bool:
    """Whether a vjp must return a gradient for this input."""
    return isinstance(x, Tensor) and (x.node if x.base is None else node_of(x)) is not None


def unrecorded(name: str, out: Any, base: Tensor | None = None) -> Tensor:
    """The result of an operation through which no gradient passes."""
    if type(out) is not ndarray:
        out = _array(name, out)
    if base is None and not out.flags.c_contiguous:
        out = row_major(out)
    return _constant(name, out, base)


def _constant(name: str, out: Array, base: Tensor | None) -> Tensor:
    probed = out.dtype is not float32 and out.dtype.kind == "c" and modes.probing.get()
    if probed and not modes.grad_enabled.get():
        out = out.real.copy()  # Under no_grad derivatives stop: those in the imaginary part, too.
    if modes.watchers and out.dtype.kind in "fc":
        modes.made(Node(name, (), out.shape, out.dtype, None), out)
    return wrap(out, None, base)


def _array(name: str, out: Any) -> Array:
    """The result of an op's formula as an array: it is numpy's scalar where all axes are summed."""
    if isinstance(out, Tensor):
        raise TypeError(
            f"record: the result of {name!r} must be an array, got a Tensor: use .array"
        )
    array = np.asarray(out)
    return array if array.dtype.isnative else taken(name, array)
