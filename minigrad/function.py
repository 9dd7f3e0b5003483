"""Function: an op of one's own as PyTorch's scripts write it, over tensors. `record` is what it is
made of, and shorter where the formula is numpy's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import numpy as np

from minigrad import modes
from minigrad.checks import boolean
from minigrad.recording import needs_grad, record
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

Backward = TypeVar("Backward", bound=Callable[..., Any])


class FunctionCtx:
    """What forward leaves for backward: tensors by `save_for_backward`, the rest as attributes.

    `needs_input_grad` has for each argument of forward whether its gradient is wanted.
    """

    needs_input_grad: tuple[bool, ...]

    def __init__(self) -> None:
        self.saved_tensors: tuple[Tensor | None, ...] = ()
        self._constant: tuple[int, ...] = ()
        self._zeros = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors, as `saved_tensors`. Backward refuses those that were changed in place."""
        for x in tensors:
            if x is not None and not isinstance(x, Tensor):
                raise TypeError(
                    f"save_for_backward: expected tensors, got {type(x).__name__}: keep it as an "
                    "attribute of ctx"
                )
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """These outputs of forward require no gradient."""
        self._constant = tuple(id(x.array) for x in outputs)

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward is given zeros, or None, for outputs that no gradient comes from."""
        self._zeros = boolean("set_materialize_grads", "value", value)

    def mark_dirty(self, *inputs: Tensor) -> None:
        """Refused: forward returns new tensors."""
        raise NotImplementedError("mark_dirty: forward leaves its inputs as they are")


class Function:
    """An op of your own: write `forward` and `backward`, both static, and call `apply`.

    `forward(ctx, *args)` computes on tensors, and nothing in it is recorded; with `setup_context`,
    it is `forward(*args)`. `backward(ctx, *grads)` takes a gradient for each output and returns
    one, or None, for each argument of forward.

    >>> class Cube(mg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return grad * 3 * x**2
    >>> x = mg.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs; every function writes its own."""
        raise NotImplementedError("Function: write a static forward(ctx, …)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Keep what backward needs, where forward takes no ctx."""
        raise NotImplementedError

    @staticmethod
    def backward(*args: Any, **kwargs: Any) -> Any:
        """Compute the arguments' gradients; every function writes its own."""
        raise NotImplementedError("Function: write a static backward(ctx, …)")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """What forward returns, recorded: a tensor, or a tuple with tensors."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(needs_grad(x) for x in args)
        # Complex probes carry derivatives, which no_grad would drop.
        with nullcontext() if modes.probing.get() else modes.no_grad():
            if cls.setup_context is not Function.setup_context:
                output = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, output)
            else:
                output = cls.forward(ctx, *args, **kwargs)
        if isinstance(output, Tensor):
            return _recorded(cls, ctx, args, (output,))[0]
        if not isinstance(output, tuple):
            raise TypeError(
                f"{cls.__name__}: forward must return a tensor or a tuple, got "
                f"{type(output).__name__}"
            )
        return _recorded(cls, ctx, args, output)


def once_differentiable(fn: Backward) -> Backward:
    """A decorator, under or above @staticmethod, of a `backward` that is not made of ops all the
    way, and so has no derivative itself: second derivatives through it are refused."""
    inner: Any = getattr(fn, "__func__", fn)  # a static method hands out what it holds
    inner._once = True
    return fn


def _recorded(
    cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], outputs: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The outputs, on the tape where gradients pass through them.

    A node has one output. Where there are several, one joint node stands for all of them in a row,
    and each output puts its gradient into its part of that row.
    """
    passing = [
        i
        for i, y in enumerate(outputs)
        if isinstance(y, Tensor) and y.dtype.kind in "fc" and id(y.array) not in ctx._constant
    ]
    name = cls.__name__
    results = [wrap(y.array) if isinstance(y, Tensor) else y for y in outputs]
    if len(passing) == 1 == len(outputs):
        y = outputs[0].array
        vjp = _vjp(cls, ctx, args, lambda g: [g])
        return (record(name, y, args, vjp),)
    arrays = [outputs[i].array for i in passing]
    if not arrays or not any(ctx.needs_input_grad) or not modes.grad_enabled.get():
        return tuple(results)
    shapes = [a.shape for a in arrays]
    ends = np.cumsum([a.size for a in arrays]).tolist()
    starts = [0, *ends[:-1]]
    reached: set[int] = set()  # the outputs that a gradient came from, in this walk
    zeros, count = ctx._zeros, len(outputs)

    def split(g: Array) -> list[Array | None]:
        parts: list[Array | None] = [None] * count
        for k, i in enumerate(passing):
            if zeros or k in reached:
                parts[i] = g[starts[k] : ends[k]].reshape(shapes[k])
        reached.clear()
        return parts

    row = np.concatenate([a.reshape(-1) for a in arrays])
    joint = record(name, row, args, _vjp(cls, ctx, args, split))
    for k, i in enumerate(passing):
        results[i] = record(name, arrays[k], (joint,), _into(row, starts[k], ends[k], k, reached))
    return tuple(results)


def _into(row: Array, start: int, end: int, k: int, reached: set[int]) -> Any:
    """The vjp of the k-th output: its gradient in its part of the row, zeros in the others."""
    size, dtype = row.size, row.dtype

    def vjp(g: Array) -> Any:
        reached.add(k)
        d = np.zeros(size, np.result_type(dtype, g))
        d[start:end] = g.reshape(-1)
        return (d,)

    return vjp


def _vjp(cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], split: Any) -> Any:
    """`cls.backward` from arrays to arrays, checked."""
    kept = tuple(x.array for x in ctx.saved_tensors if x is not None)
    once = getattr(cls.backward, "_once", False)
    kinds = [(x.shape, x.dtype) if isinstance(x, Tensor) else None for x in args]

    def vjp(g: Array) -> Any:
        assert len(kept) <= len(ctx.saved_tensors)  # named here, so that changes of them are seen
        if once and "c" in {g.dtype.kind, *(kind[1].kind for kind in kinds if kind)}:
            raise RuntimeError(  # complex numbers carry derivatives, which it would lose
                f"{cls.__name__}: trying to differentiate twice a function that was marked with "
                "@once_differentiable: make its backward of minigrad's ops, and leave the mark out"
            )
        with nullcontext() if modes.probing.get() else modes.no_grad():
            grads = cls.backward(ctx, *(None if part is None else wrap(part) for part in split(g)))
        grads = grads if isinstance(grads, tuple) else (grads,)
        extra = grads[len(kinds) :]
        if len(grads) < len(kinds) or any(d is not None for d in extra):
            raise RuntimeError(
                f"{cls.__name__}: backward returned {len(grads)} gradients, expected "
                f"{len(kinds)}, one or None for each argument of forward"
            )
        found: list[Any] = []
        for kind, d in zip(kinds, grads, strict=False):
            if d is not None and not isinstance(d, Tensor):
                raise TypeError(
                    f"{cls.__name__}: backward must return tensors or None, got {type(d).__name__}"
                )
            if d is None or kind is None:
                found.append(None)
                continue
            a = d.array
            real = a.dtype.kind == "f" and a.dtype != kind[1]
            found.append(a.astype(kind[1]) if real else a)
        return tuple(found)

    return vjp
