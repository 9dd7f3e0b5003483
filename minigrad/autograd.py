"""Gradients as functions, and two tools built on complex numbers.

Every op's numpy formula also works on complex numbers, and makes its choices on the real part. So a
tiny imaginary part, x + ih·v, travels through a function as a derivative does: f(x + ih·v) =
f(x) + ih·f'(x)·v + O(h²). With h = 1e-20 the O(h²) is far below rounding and nothing is subtracted:
the derivative along v is exact to rounding, with no step size to tune (Squire & Trapp 1998).

    gradcheck   compares that derivative with the vjp, for random directions and cotangents
    hvp         sends x + ih·v through forward *and* backward: the imaginary part of the gradient is
                the Hessian times v
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from minigrad import function, modes, tape
from minigrad.checks import refuse_create_graph
from minigrad.function import Function
from minigrad.modes import detect_anomaly, enable_grad, inference_mode, no_grad, set_grad_enabled
from minigrad.ops.random import get_rng_state, set_rng_state
from minigrad.ops.types import Variable
from minigrad.recording import record
from minigrad.tape import Array, Leaf, Node
from minigrad.tensor import Tensor, node_of, seed, wrap

__all__ = [
    "Function", "Variable", "backward", "detect_anomaly", "enable_grad", "functional", "grad",
    "gradcheck", "hvp", "inference_mode", "no_grad", "record", "set_grad_enabled",
]  # fmt: skip

STEP = 1e-20  # h; its square must vanish beside 1, and h times a gradient must not underflow


def _tuple(value: Any) -> tuple[Any, ...]:
    """Several tensors, as `model.parameters()` gives them, too, or one."""
    one = isinstance(value, Tensor | np.ndarray) or not isinstance(value, Iterable)
    return (value,) if one else tuple(value)


def _seeds(name: str, what: str, outputs: Any, given: Any) -> list[tuple[tape.Node, Any]]:
    """The nodes of the outputs and what to start from, their given gradients or 1."""
    outputs = _tuple(outputs)
    given = (None,) * len(outputs) if given is None else _tuple(given)
    if len(given) != len(outputs):
        raise RuntimeError(f"{name}: {len(given)} {what} for {len(outputs)} outputs")
    return [seed(y, g, name) for y, g in zip(outputs, given, strict=True)]


def backward(
    tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:  # fmt: skip
    """Add the gradient of several outputs at once to `.grad` of their leaves.

    Args:
        tensors: a tensor or several.
        grad_tensors: the gradients with respect to them; scalars may leave theirs out.
        retain_graph: keep the graph for another backward.
        create_graph: refused; for second derivatives see `func.grad`.
    """
    refuse_create_graph("backward", create_graph)
    seeds = _seeds("backward", "grad_tensors", tensors, grad_tensors)
    tape.backward(
        [n for n, _ in seeds], [g for _, g in seeds], bool(retain_graph), modes.inspector()
    )


def grad(
    outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None,
    create_graph: bool = False, only_inputs: bool = True, allow_unused: bool | None = None,
    is_grads_batched: bool = False, materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """Return the gradients of `outputs` with respect to `inputs`, without touching any `.grad`.

    Args:
        outputs: a tensor or several.
        inputs: a tensor or several, leaves or not.
        grad_outputs: the gradients with respect to the outputs; scalars may leave theirs out.
        retain_graph: keep the graph for another backward.
        create_graph: refused; for second derivatives see `func.grad`.
        only_inputs: True; False is ignored with a warning.
        allow_unused: return None for an input that the outputs do not depend on.
        is_grads_batched: refused: call this for one of the grad_outputs after another.
        materialize_grads: return zeros for such an input.

    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> mg.autograd.grad((x**3).sum(), x)
    (tensor([ 3., 12.]),)
    """
    refuse_create_graph("grad", create_graph)
    if is_grads_batched:
        raise NotImplementedError(
            "grad: is_grads_batched is not supported: call grad for one of the grad_outputs after "
            "another, with retain_graph=True"
        )
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: materialize_grads=True allows unused inputs: leave that out")
    if not only_inputs:
        warnings.warn(
            "grad: only_inputs=False is ignored; for the gradients of other leaves use "
            "minigrad.autograd.backward",
            FutureWarning,
            stacklevel=2,
        )
    seeds, inputs = _seeds("grad", "grad_outputs", outputs, grad_outputs), _tuple(inputs)
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            raise RuntimeError(f"grad: input {i} does not require grad")
    wanted = [node for x in inputs if (node := node_of(x)) is not None]
    found = tape.walk(
        [n for n, _ in seeds], [g for _, g in seeds], bool(retain_graph), set(wanted),
        modes.inspector(),
    )  # fmt: skip
    if materialize_grads:
        found.update((n, np.zeros(n.shape, n.dtype)) for n in wanted if n not in found)
    if not allow_unused:
        for i, node in enumerate(wanted):
            if node not in found:
                raise RuntimeError(
                    f"grad: the outputs do not depend on input {i} (shape {node.shape}): pass "
                    "allow_unused=True to get None for it"
                )
    return tuple(
        wrap(np.array(found[node], order="C")) if node in found else None for node in wanted
    )


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
    inputs = _tuple(inputs)
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
        return tuple(y for y in _tuple(func(*inputs)) if isinstance(y, Tensor))

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
    xs = _tuple(inputs)
    if v is None:
        if len(xs) != 1 or xs[0].numel() != 1:
            raise RuntimeError("hvp: v can be left out for a single one-element input only")
        v = wrap(np.ones(xs[0].shape))
    vs = _tuple(v)
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
    xs = [x.detach().requires_grad_() for x in _tuple(inputs)]
    with enable_grad():
        outputs = func(*xs)
        found = grad(outputs, xs, v, allow_unused=not strict, materialize_grads=not strict)
    single = isinstance(outputs, Tensor)
    values = outputs.detach() if single else tuple(y.detach() for y in outputs)
    return values, found if isinstance(inputs, tuple | list) else found[0]


functional: Any = SimpleNamespace(hvp=hvp, vjp=vjp)
sys.modules[f"{__name__}.functional"] = functional  # PyTorch has it as a module
sys.modules[f"{__name__}.function"] = function
