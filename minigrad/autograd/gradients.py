"""The gradients of outputs with respect to leaves, or to given inputs."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad import modes, tape
from minigrad.checks import refuse_create_graph
from minigrad.tensor import Tensor, node_of, seed, wrap

__all__ = ["backward", "grad"]


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Several tensors, as `model.parameters()` gives them, too, or one."""
    one = isinstance(value, Tensor | np.ndarray) or not isinstance(value, Iterable)
    return (value,) if one else tuple(value)


def _seeds(name: str, what: str, outputs: Any, given: Any) -> list[tuple[tape.Node, Any]]:
    """The nodes of the outputs and what to start from, their given gradients or 1."""
    outputs = as_tuple(outputs)
    given = (None,) * len(outputs) if given is None else as_tuple(given)
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
    seeds, inputs = _seeds("grad", "grad_outputs", outputs, grad_outputs), as_tuple(inputs)
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
