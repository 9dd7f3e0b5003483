"""Derivatives of functions, under the names and with the arguments that came before `func`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import jacobians, modes, tape
from minigrad.autograd.gradients import as_tuple, grad
from minigrad.checks import one_of, refuse_create_graph
from minigrad.derivatives import STEP
from minigrad.ops.random import get_rng_state, set_rng_state
from minigrad.ops.shape import reshape
from minigrad.tape import Leaf, Node
from minigrad.tensor import Tensor, node_of, wrap

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

STRATEGIES = ("reverse-mode", "forward-mode")


def hvp(
    func: Callable[..., Tensor], inputs: Any, v: Any = None, create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensor, Any]:  # fmt: skip
    """Return (func(*inputs), H·v), H the Hessian of the scalar `func`, exact to rounding.

    Args:
        func: from the inputs to a scalar tensor.
        inputs: a tensor or several; their requires_grad does not matter.
        v: of the shapes of the inputs; may be left out for a single one-element input.
        create_graph: refused.
        strict: raise if the output does not depend on an input (otherwise its product is zero).
    """
    if create_graph:
        raise NotImplementedError("hvp: create_graph is not supported")
    single = isinstance(inputs, Tensor)
    xs = as_tuple(inputs)
    if v is None:
        if len(xs) != 1 or xs[0].numel() != 1:
            raise RuntimeError("hvp: v can be left out for a single one-element input only")
        v = wrap(np.ones(xs[0].shape))
    vs = as_tuple(v)
    if len(vs) != len(xs) or any(a.shape != b.shape for a, b in zip(vs, xs, strict=True)):
        raise RuntimeError(
            f"hvp: v of shapes {[a.shape for a in vs]} for inputs of shapes {[x.shape for x in xs]}"
        )
    state = get_rng_state()
    try:
        with modes.probe(), modes.enable_grad():
            probes = []
            for x, direction in zip(xs, vs, strict=True):
                z = x.array + 1j * STEP * direction.array.astype(np.float64)
                z = np.asarray(z, np.complex128)
                probes.append(wrap(z, Leaf(z.shape, z.dtype)))
            out = func(*probes)
            if not isinstance(out, Tensor) or out.array.size != 1:
                raise RuntimeError("hvp: the function must return a tensor with one element")
            found: dict[Node, Any] = {}
            if (node := node_of(out)) is not None:
                found = tape.walk((node,), (np.ones(out.shape, out.dtype),), False)
    finally:
        set_rng_state(state)
    products = []
    for i, (x, z) in enumerate(zip(xs, probes, strict=True)):
        if z.node not in found and strict:
            raise RuntimeError(f"hvp: the output does not depend on input {i}")
        part = found[z.node].imag / STEP if z.node in found else np.zeros(x.shape)
        products.append(wrap(np.asarray(part).astype(x.dtype)))
    value = wrap(np.asarray(out.array.real).astype(xs[0].dtype))
    return value, products[0] if single else tuple(products)


vhp = hvp  # vᵀ·H: H is symmetric


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """Return func(*inputs), and the gradients with respect to the inputs.

    Args:
        func: a function of tensors to a tensor or several.
        inputs: a tensor or a tuple of them.
        v: the gradients with respect to the outputs; one with a single element may leave it out.
        create_graph: refused; for second derivatives see `func.grad`.
        strict: refuse an input on which the outputs do not depend; its gradient is zero otherwise.
    """
    refuse_create_graph("vjp", create_graph)
    xs = [x.detach().requires_grad_() for x in as_tuple(inputs)]
    with modes.enable_grad():
        outputs = func(*xs)
        found = grad(outputs, xs, v, allow_unused=not strict, materialize_grads=not strict)
    single = isinstance(outputs, Tensor)
    values = outputs.detach() if single else tuple(y.detach() for y in outputs)
    return values, found if isinstance(inputs, tuple | list) else found[0]


def jacobian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False,
    vectorize: bool = False, strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The Jacobian matrices of `func`, a tensor (…, ***) for an output (…) and an input (***).

    Args:
        func: from tensors to a tensor or several.
        inputs: a tensor, or a tuple of them, for which a tuple is returned; for several outputs,
            one for each.
        create_graph: refused; for second derivatives see `func.grad`.
        strict: refused; an input on which the outputs do not depend has zeros.
        vectorize: accepted; it changes nothing.
        strategy: "reverse-mode", a backward pass for each element of the outputs, or
            "forward-mode", a forward pass for each element of the inputs.
    """
    given, argnums = _differentiated("jacobian", inputs, create_graph, strict)
    one_of("jacobian", "strategy", strategy, STRATEGIES)
    backwards = strategy == "reverse-mode"
    matrix: Callable[..., Any] = jacobians.jacrev if backwards else jacobians.jacfwd
    with modes.no_grad():
        out = func(*given)
    if isinstance(out, Tensor):
        return matrix(func, argnums)(*given)
    each = [matrix(lambda *args, i=i: func(*args)[i], argnums)(*given) for i in range(len(out))]
    return tuple(each)


def hessian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False,
    vectorize: bool = False, outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The second derivatives of `func`, which returns one element: (***, ***) for an input (***),
    and for a tuple of inputs a tuple of tuples. The other arguments are those of `jacobian`."""
    given, argnums = _differentiated("hessian", inputs, create_graph, strict)
    one_of("hessian", "outer_jacobian_strategy", outer_jacobian_strategy, STRATEGIES)
    return jacobians.hessian(lambda *args: reshape(func(*args), ()), argnums)(*given)


def jvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """Return (func(*inputs), J·v); v is of the inputs' shapes, and may be left out for one element.
    The other arguments are those of `jacobian`."""
    given, _ = _differentiated("jvp", inputs, create_graph, strict)
    if v is None:
        if len(given) != 1 or given[0].numel() != 1:
            raise RuntimeError("jvp: v can be left out for a single one-element input only")
        v = wrap(np.ones(given[0].shape))
    value, tangent = jacobians.jvp(func, given, v if isinstance(v, tuple) else (v,))
    return value, tangent


def _differentiated(
    name: str, inputs: Any, create_graph: bool, strict: bool
) -> tuple[tuple[Tensor, ...], int | tuple[int, ...]]:
    """The arguments that are differentiated and their `argnums`; refuse what is not supported."""
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    if not all(isinstance(x, Tensor) for x in given):
        raise TypeError(
            f"{name}: inputs must be a tensor or a tuple of tensors, got {type(inputs).__name__}"
        )
    refuse_create_graph(name, create_graph)
    if strict:
        raise NotImplementedError(f"{name}: strict is not supported: look for zeros in the result")
    return given, tuple(range(len(given))) if isinstance(inputs, tuple) else 0
