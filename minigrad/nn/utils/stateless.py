"""A module called as a function of its parameters, as `minigrad.func` has it, at the place where it
stood in PyTorch before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: Mapping[str, Tensor],
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
) -> Any:
    """Call a module with other tensors in the places of its parameters and buffers.

    Args:
        module: what to call; it is as before afterwards, also after an error.
        parameters_and_buffers: the tensors by path, such as {"0.weight": w}; the rest keep theirs.
        args: the arguments, a tuple, or one that is not a tuple.
        kwargs: the keyword arguments.
        tie_weights: a tensor that the module holds under several names is replaced under all.

    Raises:
        RuntimeError: a path that names no parameter or buffer.

    >>> model = nn.Linear(2, 1, bias=False)
    >>> mg.func.functional_call(model, {"weight": mg.ones(1, 2)}, (mg.tensor([3.0, 4.0]),))
    tensor([7.])
    """
    slots = _slots(module)
    unknown = [path for path in parameters_and_buffers if path not in slots]
    if unknown:
        raise RuntimeError(
            f"functional_call: {type(module).__name__} has no parameter or buffer "
            f"{', '.join(map(repr, unknown))}; it has {', '.join(slots)}"
        )
    for path, tensor in parameters_and_buffers.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"functional_call: {path!r} must be a Tensor, got {type(tensor).__name__}"
            )
    places = {}
    if tie_weights:
        by_tensor = {slots[p][0][slots[p][1]]: t for p, t in parameters_and_buffers.items()}
        for path, (attributes, name) in slots.items():
            if attributes[name] in by_tensor:
                places[path] = by_tensor[attributes[name]]
    places.update(parameters_and_buffers)

    # Values are put into the attributes directly: as parameters they would have to be Parameters.
    before = [(*slots[path], slots[path][0][slots[path][1]]) for path in places]
    try:
        for path, tensor in places.items():
            attributes, name = slots[path]
            attributes[name] = tensor
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for attributes, name, tensor in before:
            attributes[name] = tensor


def _slots(module: Module) -> dict[str, tuple[dict[str, Any], str]]:
    """Where each parameter and buffer lives: path -> (the owner's attributes, its name there)."""
    slots = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        for name in (*owner._parameter_names, *owner._buffer_names):
            if owner.__dict__[name] is not None:
                slots[f"{path}.{name}" if path else name] = (owner.__dict__, name)
    return slots
