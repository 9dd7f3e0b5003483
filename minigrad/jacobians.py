"""Jacobian and Hessian matrices, and products with them: the rest of PyTorch's `torch.func`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import modes
from minigrad.checks import one_of
from minigrad.derivatives import (
    STEP,
    leaves_of,
    moved,
    only_tensor,
    parted,
    prepared,
    refuse_second_probe,
    walk_to,
)
from minigrad.ops.joining import stack, unbind
from minigrad.ops.random import get_rng_state, set_rng_state
from minigrad.tape import Leaf
from minigrad.tensor import Tensor, node_of, wrap

__all__ = ["hessian", "jacfwd", "jacrev", "jvp", "vmap"]


def jvp(
    func: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...],
    has_aux: bool = False,
) -> tuple[Any, ...]:  # fmt: skip
    """Return (func(*primals), J·tangents), by one complex forward pass, exact to rounding.

    Not on the tape. With `has_aux` the rest of what `func` returns comes third.
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise TypeError("jvp: expected a tuple of primals and one of tangents")
    (xs, rebuild), (vs, _) = leaves_of("jvp", primals), leaves_of("jvp", tangents)
    if [x.shape for x in xs] != [v.shape for v in vs]:
        raise RuntimeError(
            f"jvp: tangents of shapes {[v.shape for v in vs]} for primals of shapes "
            f"{[x.shape for x in xs]}"
        )
    refuse_second_probe("jvp")
    with modes.probe():
        probes = [wrap(moved(x.array, v.array)) for x, v in zip(xs, vs, strict=True)]
        result, rest = parted("jvp", func(*rebuild(probes)), has_aux)
    out = only_tensor("jvp", result)
    kind = xs[0].dtype
    value = wrap(np.asarray(out.array.real).astype(kind))
    tangent = wrap(np.asarray(out.array.imag / STEP).astype(kind))
    return (value, tangent, rest) if has_aux else (value, tangent)


def jacrev(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The Jacobian matrix of `func`, a backward pass for each element of its output.

    An output of shape (…) and an argument of shape (***) give (…, ***). Not on the tape.
    """

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        run, xs, rebuild = prepared("jacrev", func, argnums, has_aux, args, kwargs)
        with modes.enable_grad():
            inputs = [wrap(x.array, Leaf(x.shape, x.dtype)) for x in xs]
            result, rest = run(inputs)
        out = only_tensor("jacrev", result)
        node, leaves = node_of(out), [x.node for x in inputs]
        rows: list[list[Any]] = [[] for _ in xs]
        for index in np.ndindex(out.shape):
            found: dict[Any, Any] = {}
            if node is not None:
                cotangent = np.zeros(out.shape, out.dtype)
                cotangent[index] = 1
                wanted = [leaf for leaf in leaves if leaf is not None]
                found = walk_to(node, cotangent, wanted, True)
            for row, x, leaf in zip(rows, inputs, leaves, strict=True):
                row.append(found[leaf] if leaf in found else np.zeros(x.shape, x.dtype))
        parts = [
            wrap(np.stack(row).reshape(out.shape + x.shape) if row
                 else np.zeros(out.shape + x.shape, x.dtype))
            for row, x in zip(rows, inputs, strict=True)
        ]  # fmt: skip
        return (rebuild(parts), rest) if has_aux else rebuild(parts)

    return jacobian


def jacfwd(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False,
    randomness: str = "error",
) -> Callable[..., Any]:  # fmt: skip
    """The Jacobian matrix of `func`, a complex forward pass for each element of its arguments.

    An output of shape (…) and an argument of shape (***) give (…, ***). Not on the tape.
    `randomness` is accepted as in PyTorch; every pass draws the same random numbers.
    """

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        run, xs, rebuild = prepared("jacfwd", func, argnums, has_aux, args, kwargs)
        refuse_second_probe("jacfwd")
        state = get_rng_state()
        out, rest = run(xs)
        ys, put = leaves_of("jacfwd", out)
        columns: list[list[Any]] = [[[] for _ in xs] for _ in ys]
        for k, x in enumerate(xs):
            for index in np.ndindex(x.shape):
                direction = np.zeros(x.shape)
                direction[index] = 1
                inputs = [wrap(moved(x.array, direction)) if j == k else y
                          for j, y in enumerate(xs)]  # fmt: skip
                set_rng_state(state)
                with modes.probe():
                    out, _ = run(inputs)
                for i, y in enumerate(leaves_of("jacfwd", out)[0]):
                    columns[i][k].append(y.array.imag / STEP)
        parts = []
        for y, several in zip(ys, columns, strict=True):
            shaped = []
            for x, each in zip(xs, several, strict=True):
                matrix = np.stack(each, -1) if each else np.zeros((*y.shape, 0))
                shaped.append(wrap(matrix.reshape(y.shape + x.shape).astype(y.dtype)))
            parts.append(rebuild(shaped))
        return (put(parts), rest) if has_aux else put(parts)

    return jacobian


def hessian(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The second derivatives of `func`, exact to rounding: `jacfwd(jacrev(func))`.

    For a scalar and an argument of shape (***), (***, ***). Not on the tape.
    """
    return jacfwd(jacrev(func, argnums), argnums)


def vmap(
    func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:  # fmt: skip
    """`func` of single examples as a function of a batch of them. It is a loop: `func` is called
    once for each, and the results are stacked; what takes a batch as it is is faster.

    Args:
        func: from tensors, or tuples and dicts of them, to tensors likewise.
        in_dims: the axis of the batch in each argument, None for one that all share; or one for
            all. For a tuple or dict it is that of everything in it.
        out_dims: the axis of the batch in the results, or one for each.
        randomness: "error" or "different": what is random draws numbers of its own for each
            example; "same" is refused.
        chunk_size: accepted; it changes nothing.
    """
    if not callable(func):
        raise TypeError(f"vmap: func must be a function, got {type(func).__name__}")
    one_of("vmap", "randomness", randomness, ("error", "different"))

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        dims = in_dims if isinstance(in_dims, tuple | list) else (in_dims,) * len(args)
        if len(dims) != len(args):
            raise ValueError(f"vmap: in_dims={in_dims!r} for {len(args)} arguments")
        parts = [_examples(a, d) for a, d in zip(args, dims, strict=True)]
        parts += [_examples(a, 0) for a in kwargs.values()]
        counts = {len(p) for p in parts if p is not None}
        if len(counts) != 1:
            raise ValueError(f"vmap: expected batches of one size, got {sorted(counts)}")
        given = [*args, *kwargs.values()]
        results = []
        for i in range(counts.pop()):
            each = [g if p is None else p[i] for g, p in zip(given, parts, strict=True)]
            named = dict(zip(kwargs, each[len(args) :], strict=True))
            results.append(func(*each[: len(args)], **named))
        if not results:
            raise ValueError("vmap: a batch without examples has no result to take the shape of")
        return _together(results, out_dims)

    return mapped


def _examples(value: Any, dim: Any) -> Any:
    """What each call gets of an argument; None if all of it."""
    if dim is None:
        return None
    if isinstance(value, dict):
        each = [_examples(v, dim) for v in value.values()]
        return [dict(zip(value, row, strict=True)) for row in zip(*each, strict=True)]
    if isinstance(value, tuple | list):
        each = [_examples(v, d) for v, d in zip(value, _for_each(dim, value), strict=True)]
        rows = zip(*each, strict=True)
        return [type(value)(row) for row in rows]
    if not isinstance(value, Tensor) or not value.ndim:
        raise ValueError(f"vmap: expected a tensor with an axis of examples, got {value!r}")
    return unbind(value, dim)


def _together(results: list[Any], dim: Any) -> Any:
    first = results[0]
    if isinstance(first, dict):
        return {k: _together([r[k] for r in results], dim) for k in first}
    if isinstance(first, tuple | list):
        columns = zip(*results, strict=True)
        dims = _for_each(dim, first)
        return type(first)([_together(list(c), d) for c, d in zip(columns, dims, strict=True)])
    return stack(results, dim)


def _for_each(dim: Any, several: Any) -> Any:
    return dim if isinstance(dim, tuple | list) else (dim,) * len(several)
