"""Gradients as functions, and derivatives of them: `grad` of PyTorch's `torch.func`.

`grad` records what it returns as one operation on the tape. Its vjp needs second derivatives, and
one complex pass has all of them. Let G(x, θ) = ∂f/∂x be what was returned, and v its cotangent.
With x + ih·v in place of x, a forward and a backward pass give in the imaginary parts

    ∂f/∂x (x + ih·v)  =  G + ih·(∂²f/∂x²)·v         the vjp of G with respect to x, as the Hessian
                                                    matrix is symmetric
    ∂f/∂θ (x + ih·v)  =  ∂f/∂θ + ih·(∂²f/∂θ∂x)·v    and with respect to every θ that f uses

So a gradient penalty trains the parameters of the network that f closes over. A third derivative
would need a second imaginary unit, and is refused.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence, Set
from typing import Any

import numpy as np

from minigrad import changes, modes, tape
from minigrad.checks import integer, integers
from minigrad.kernels import use_kernels
from minigrad.ops.arithmetic import mul
from minigrad.ops.convert import to
from minigrad.ops.random import get_rng_state, set_rng_state
from minigrad.ops.reductions import sum as total
from minigrad.ops.shape import narrow, reshape
from minigrad.pieces import Pending, whole
from minigrad.tape import Array, Leaf, Node
from minigrad.tensor import Tensor, node_of, wrap

__all__ = ["grad", "grad_and_value", "value_and_grad", "vjp"]

STEP = 1e-20  # h; its square must vanish beside 1, and h times a gradient must not underflow

Run = Callable[[Sequence[Tensor]], tuple[Any, Any]]  # from the inputs to the value and the rest


def grad(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The gradient of `func`, which returns a scalar, as a function of the same arguments.

    What it returns is on the tape, so second derivatives reach the arguments and every tensor that
    `func` uses, such as the parameters of a network. Third derivatives are refused.

    Args:
        func: from its arguments to a tensor of no axes; called once more in each backward, in
            complex numbers, with the random numbers of the first time.
        argnums: which arguments: a tensor, or dicts, lists and tuples of tensors. Of several, a
            tuple of gradients is returned.
        has_aux: `func` returns (value, rest); return (gradient, rest).

    Raises:
        TypeError: an argument that is no floating tensor.
        RuntimeError: a value that is no scalar.
    """

    @functools.wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        grads, _, rest = _grad("grad", func, argnums, has_aux, args, kwargs, keep=has_aux)
        return (grads, rest) if has_aux else grads

    return gradient


def grad_and_value(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """As `grad`, but returns (gradient, value), or (gradient, (value, rest)) with `has_aux`."""

    @functools.wraps(func)
    def both(*args: Any, **kwargs: Any) -> Any:
        grads, value, rest = _grad("grad_and_value", func, argnums, has_aux, args, kwargs, True)
        return grads, (value, rest) if has_aux else value

    return both


def value_and_grad(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """As `grad_and_value`, the value first: the order that JAX has."""
    both = grad_and_value(func, argnums, has_aux)
    return functools.wraps(func)(lambda *args, **kwargs: both(*args, **kwargs)[::-1])


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Return (func(*primals), pull), where pull(cotangent) = Jᵀ·cotangent for each argument.

    `func` is called once more by each pull, whose result is a tuple, one product for each argument,
    on the tape as `grad`'s is. With `has_aux` the rest of what `func` returns comes third.
    """
    state = get_rng_state()
    result, rest = parted("vjp", func(*primals), has_aux)
    out = only_tensor("vjp", result)
    argnums = 0 if len(primals) == 1 else tuple(range(len(primals)))

    def pull(cotangent: Any) -> Any:
        if not isinstance(cotangent, Tensor) or cotangent.shape != out.shape:
            raise RuntimeError(
                f"vjp: expected a cotangent of the output's shape {out.shape}, got "
                f"{getattr(cotangent, 'shape', cotangent)!r}"
            )

        def weighted(*args: Any) -> Tensor:
            return total(mul(parted("vjp", func(*args), has_aux)[0], cotangent))

        now = get_rng_state()
        set_rng_state(state)  # the same function as before
        try:
            grads, _, _ = _grad("vjp", weighted, argnums, False, primals, {}, False)
        finally:
            set_rng_state(now)
        return grads if isinstance(grads, tuple) and len(primals) > 1 else (grads,)

    return (out, pull, rest) if has_aux else (out, pull)


# ---------------------------------------------------------------------------- the inside


def moved(a: Array, v: Any) -> Array:
    """x + ih·v."""
    return np.asarray(a + 1j * STEP * np.asarray(v, np.float64), np.complex128)


def refuse_second_probe(name: str) -> None:
    if modes.probing.get():
        raise NotImplementedError(
            f"{name}: a third derivative is not supported: second derivatives take the complex "
            "numbers that there are"
        )


def leaves_of(name: str, tree: Any) -> tuple[list[Tensor], Callable[[Sequence[Any]], Any]]:
    """The tensors in dicts, lists and tuples, and how to put others in their places."""
    found: list[Tensor] = []

    def look(value: Any) -> Any:
        if isinstance(value, Tensor):
            if value.array.dtype.kind not in "fc":
                raise TypeError(f"{name}: expected a floating tensor, got dtype {value.dtype}")
            found.append(value)
            return len(found) - 1
        if isinstance(value, dict):
            return {key: look(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(look(item) for item in value)
        raise TypeError(
            f"{name}: expected a tensor to differentiate by, or a dict, list or tuple of tensors, "
            f"got {type(value).__name__}"
        )

    places = look(tree)

    def put(values: Sequence[Any], place: Any) -> Any:
        if isinstance(place, int):
            return values[place]
        if isinstance(place, dict):
            return {key: put(values, item) for key, item in place.items()}
        return type(place)(put(values, item) for item in place)

    return found, lambda values: put(values, places)


def parted(name: str, result: Any, has_aux: bool) -> tuple[Any, Any]:
    """What a function returned: the value, and the rest."""
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(
            f"{name}: has_aux=True expects the function to return a pair (value, rest)"
        )
    return result


def only_tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: the function must return a tensor, got {type(value).__name__}")
    return value


def prepared(
    name: str, func: Callable[..., Any], argnums: Any, has_aux: bool, args: Any, kwargs: Any
) -> tuple[Run, list[Tensor], Callable[[Sequence[Any]], Any]]:
    """The function of the tensors to differentiate by, those, and how results are put together."""
    several = isinstance(argnums, tuple | list)
    numbers = [
        integer(name, "argnums", n, None) for n in integers(name, "argnums", argnums, None, None)
    ]
    for n in numbers:
        if not -len(args) <= n < len(args):
            raise RuntimeError(f"{name}: argnums {n} of {len(args)} arguments")
    places = [n % len(args) for n in numbers]
    xs, rebuild = leaves_of(name, tuple(args[n] for n in places))

    def run(inputs: Sequence[Tensor]) -> tuple[Any, Any]:
        given = list(args)
        for n, value in zip(places, rebuild(inputs), strict=True):
            given[n] = value
        return parted(name, func(*given, **kwargs), has_aux)

    return run, xs, rebuild if several else lambda values: rebuild(values)[0]


class _Inputs(modes.Observer):
    """Notes the arrays that a function uses and did not make, of tensors that may require grad."""

    replaces, lines = False, False

    def __init__(self, since: int) -> None:
        self.since = since
        self.arrays: dict[int, Array] = {}

    def made(self, node: Any, out: Any, inputs: Sequence[Any]) -> None:
        """`node` has run forward."""
        for x in inputs:
            if isinstance(x, Tensor):
                own = x.node or x.leaf
                if own is not None and own.time < self.since:
                    self.arrays[id(x.array)] = x.array


def _grad(
    name: str, func: Callable[..., Any], argnums: Any, has_aux: bool, args: Any, kwargs: Any,
    keep: bool,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """The gradients, recorded, the value and the rest; `keep` the value's own graph."""
    run, xs, rebuild = prepared(name, func, argnums, has_aux, args, kwargs)
    state, start = get_rng_state(), changes.tick()
    used, recording = _Inputs(start), modes.grad_enabled.get()
    inputs = [wrap(x.array, _entrance(x)) for x in xs]
    with modes.watched_by(used), modes.enable_grad():
        result, rest = run(inputs)
    value = only_tensor(name, result)
    if value.array.ndim:
        raise RuntimeError(
            f"{name}: expected a function to a scalar, got a tensor of shape {value.shape}"
        )
    out, entrances = node_of(value), [node for x in inputs if (node := x.node) is not None]
    outside: list[Node] = []
    found: dict[Node, Any] = {}
    if out is not None:
        outside = _outside(out, start, entrances)
        found = walk_to(out, np.ones((), out.dtype), entrances, keep)
    parts = [
        np.array(found[node], order="C") if node in found else np.zeros_like(a)
        for node, a in zip(entrances, (x.array for x in xs), strict=True)
    ]
    second = _Second(run, len(xs), [*(x.array for x in xs), *used.arrays.values()], outside, state)
    parents = (*map(node_of, xs), *outside)
    if not recording or not any(parents):
        return rebuild([wrap(part) for part in parts]), value, rest
    if len(xs) == 1:
        return rebuild([_result(name, parts[0], parents, second, xs)]), value, rest
    flat = np.concatenate([part.reshape(-1) for part in parts])
    joint = _result(name, flat, parents, second, xs)
    grads, at = [], 0
    for part in parts:
        grads.append(to(reshape(narrow(joint, 0, at, part.size), part.shape), part.dtype))
        at += part.size
    return rebuild(grads), value, rest


def _result(
    name: str, out: Array, parents: tuple[Node | None, ...], second: _Second, xs: Sequence[Tensor]
) -> Tensor:
    """The gradient as a tensor on the tape; those who watch the tape see it like any other."""
    node = Node(name, parents, out.shape, out.dtype, second)
    if modes.watchers:
        modes.made(node, out, xs)
    return wrap(out, node)


def _entrance(x: Tensor) -> Node:
    """The node of x inside the function; the value's own gradient passes to x through it."""
    node = Node("input", (node_of(x),), x.shape, x.dtype, lambda g: g)
    if modes.watchers:
        modes.made(node, x.array, (x,))
    return node


def _outside(out: Node, start: int, entrances: list[Node]) -> list[Node]:
    """The nodes made before `start` that those of the function lead to: parameters, mostly."""
    found: dict[Node, None] = {}
    seen, stack_ = {out, *entrances}, [out]
    while stack_:
        node = stack_.pop()
        if node.time < start:
            found[node] = None
        elif node not in entrances:
            new = {parent for parent in node.parents if parent is not None} - seen
            seen |= new
            stack_.extend(new)
    return sorted(found, key=lambda node: node.time)


class _Second:
    """The vjp of a gradient: one complex pass through the function."""

    def __init__(
        self, run: Run, n: int, saved: list[Array], outside: list[Node], state: Any
    ) -> None:
        self.run, self.n, self.outside, self.state = run, n, outside, state
        self.saved = saved  # the inputs, and what else must not change before backward

    def __call__(self, g: Array) -> list[Any]:
        return self.along(g, self.saved)

    def along(self, g: Array, saved: list[Array]) -> list[Any]:
        """The gradients of the inputs, and of what the function uses besides."""
        if any(a.dtype.kind == "c" for a in (g, *saved)):
            refuse_second_probe("backward of func.grad")
        size = float(np.abs(g).max(initial=0))
        size = size if 0 < size < np.inf else 1.0  # h·v must be tiny whatever v is
        probes, at, flat = [], 0, g.reshape(-1)
        for a in saved[: self.n]:
            v = flat[at : at + a.size].reshape(a.shape)
            z = moved(a, v / size)
            probes.append(wrap(z, Leaf(z.shape, z.dtype)))
            at += a.size
        now, found = get_rng_state(), {}
        set_rng_state(self.state)
        try:
            # Also real arrays go the way of numpy: its formulas take complex gradients.
            # Where an operation drops an imaginary part, the result would be wrong.
            with (
                modes.probe(), modes.enable_grad(), use_kernels("numpy"),
                warnings.catch_warnings(),
            ):  # fmt: skip
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                value, _ = self.run(probes)
                node = node_of(value)
                if node is not None:
                    cotangent = np.ones(node.shape, np.complex128)
                    found = complex_walk(node, cotangent, {p.node for p in probes}, False)
        finally:
            set_rng_state(now)
        wanted = [*(p.node for p in probes), *self.outside]
        dtypes = [*(a.dtype for a in saved[: self.n]), *(n.dtype for n in self.outside)]
        return [
            np.asarray(found[node].imag * (size / STEP)).astype(dtype) if node in found else None
            for node, dtype in zip(wanted, dtypes, strict=True)
        ]


def walk_to(out: Node, cotangent: Array, wanted: list[Node], keep: bool) -> dict[Any, Any]:
    """The gradients of the nodes `wanted`, complex in a probe: of real ones among them, too."""
    if out.dtype.kind == "c":
        return complex_walk(out, cotangent, set(wanted), keep)
    return tape.walk((out,), (cotangent,), keep, set(wanted))


def complex_walk(
    out: Node, cotangent: Array, wanted: Set[Node | None], keep: bool
) -> dict[Any, Any]:
    """{node: gradient} for the nodes that are `wanted`, and for all that are older than those.

    All gradients are complex. What was computed from parameters alone is real; its vjp, which is
    linear, is given the two parts of the gradient one after the other.
    """
    pending, found = Pending(), {}
    pending.add(out, cotangent)
    start = min(node.time for node in wanted if node is not None)
    with np.errstate(all="ignore"):
        while pending.nodes and pending.nodes[0][1].time >= start:
            node, grad = pending.take_newest()
            if node in wanted or node.vjp is None:
                found[node] = grad
                continue
            if node.dtype.kind == "c":
                parts = list(map(whole, tape.gradients_of_inputs(node, grad)))
            else:
                real, imag = (
                    map(whole, tape.gradients_of_inputs(node, part.astype(node.dtype)))
                    for part in (grad.real, grad.imag / STEP)
                )
                parts = [
                    None if a is None or b is None else a + 1j * STEP * b.astype(np.float64)
                    for a, b in zip(real, imag, strict=True)
                ]
            for parent, part in zip(node.parents, parts, strict=True):
                if parent is not None and part is not None:
                    pending.add(parent, np.asarray(part, np.complex128))
            if not keep:
                node.vjp, node.parents = tape.used_up, ()
    return found | pending.grads
