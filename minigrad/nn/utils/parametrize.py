"""PyTorch's `torch.nn.utils.parametrize`: a parameter that is computed from others.

In the place of a parameter W stands f(V): training changes V, a layer uses W as before. V and f are
in `module.parametrizations`, a ModuleDict, under the name of W.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from minigrad.changes import note_change
from minigrad.modes import no_grad
from minigrad.nn.container import ModuleDict, ModuleList
from minigrad.nn.module import Module, Parameter
from minigrad.tensor import Tensor, wrap

M = TypeVar("M", bound=Module)


class ParametrizationList(ModuleList):
    """The functions, one after the other, and what the first of them is computed from: `original`,
    or `original0`, `original1`, … where its `right_inverse` returns several."""

    def __init__(self, modules: list[Module], original: Any, trained: bool) -> None:
        super().__init__(modules)
        several = isinstance(original, tuple | list)
        tensors = list(original) if several else [original]
        self.names = [f"original{i}" for i in range(len(tensors))] if several else ["original"]
        for name, x in zip(self.names, tensors, strict=True):
            if isinstance(x, Parameter):
                self.register_parameter(name, x)
            elif trained:
                self.register_parameter(name, Parameter(x.detach().clone()))
            else:
                self.register_buffer(name, x.detach().clone())

    def originals(self) -> list[Tensor]:
        """What the parameter is computed from."""
        return [getattr(self, name) for name in self.names]

    def forward(self) -> Tensor:
        """The parameter."""
        first, *others = self
        x = first(*self.originals())
        for function in others:
            x = function(x)
        return x  # type: ignore[no-any-return]

    def right_inverse(self, value: Tensor) -> None:
        """Let the originals be such that the parameter is `value`, as far as the functions have a
        `right_inverse`."""
        with no_grad():
            given: Any = value
            for function in reversed(list(self)):
                given = _inverse(function, given)
            tensors = given if isinstance(given, tuple | list) else (given,)
            pairs = list(zip(self.originals(), tensors, strict=True))
            for name, (own, x) in zip(self.names, pairs, strict=True):
                if own.shape != x.shape:
                    raise ValueError(
                        f"right_inverse: {name} has shape {own.shape}, got {x.shape} for it"
                    )
            for own, x in pairs:
                np.copyto(own.array, x.array, casting="same_kind")
                note_change(own.array)


def _inverse(function: Module, value: Any) -> Any:
    inverse = getattr(type(function), "right_inverse", None)
    if inverse is None:
        raise RuntimeError(
            f"{type(function).__name__} has no right_inverse, so what it computes cannot be set"
        )
    return inverse(function, value)


def register_parametrization(
    module: M, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> M:
    """Let a parameter or buffer of a module be what `parametrization` computes.

    Args:
        module: the owner; its class becomes a subclass in which the name is a property.
        tensor_name: the name of the parameter or buffer. It may have parametrizations already,
            after which this one comes.
        parametrization: a module from the original, or several, to the tensor. With a method
            `right_inverse`, from the tensor to them, it starts from the tensor as it is.
        unsafe: do not check that shape and dtype stay.

    Raises:
        ValueError: there is no such parameter or buffer, or shape or dtype would change.
    """
    name, given = "register_parametrization", [module, parametrization]
    if not all(isinstance(m, Module) for m in given):
        kinds = " and ".join(type(m).__name__ for m in given)
        raise TypeError(f"{name}: module and parametrization must be Modules, got {kinds}")
    if is_parametrized(module, tensor_name):
        existing: Any = _lists(module)[tensor_name]
        with no_grad():
            _check_same(name, tensor_name, existing(), parametrization(existing()), unsafe)
        existing.append(parametrization)
        return module
    trained = tensor_name in module._parameter_names
    old = vars(module).get(tensor_name)
    if not isinstance(old, Tensor) or not (trained or tensor_name in module._buffer_names):
        raise ValueError(
            f"{name}: {type(module).__name__} has no parameter or buffer named {tensor_name!r}"
        )
    original: Any = old
    with no_grad():
        if hasattr(type(parametrization), "right_inverse"):
            original = _inverse(parametrization, old)
        several = original if isinstance(original, tuple | list) else (original,)
        _check_same(name, tensor_name, old, parametrization(*several), unsafe)
    if original is not old and not isinstance(original, tuple | list) and trained:
        old.data = original.detach()  # the optimiser's parameter stays the one that is trained
        original = old
    trained = trained and old.requires_grad
    made = ParametrizationList([parametrization], original, trained)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    _lists(module)[tensor_name] = made
    _reclass(module)
    return module


def _check_same(name: str, which: str, old: Any, new: Any, unsafe: bool) -> None:
    if unsafe:
        return
    if not isinstance(new, Tensor) or new.shape != old.shape or new.dtype != old.dtype:
        got = f"{new.dtype} of shape {new.shape}" if isinstance(new, Tensor) else type(new).__name__
        raise ValueError(
            f"{name}: {which!r} is {old.dtype} of shape {old.shape}, but the parametrization gives "
            f"{got}: pass unsafe=True if that is meant"
        )


def _lists(module: Module) -> ModuleDict:
    return module.parametrizations  # type: ignore[attr-defined,no-any-return]


def _property(name: str) -> property:
    def get(module: Any) -> Any:
        return module.parametrizations[name]()

    def put(module: Any, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")
        module.parametrizations[name].right_inverse(value)

    return property(get, put)


def _reclass(module: Any) -> None:
    """Give the module a class of its own, with a property for each name, or its former one."""
    base = getattr(type(module), "_unparametrized", type(module))
    names = list(_lists(module)) if is_parametrized(module) else []
    if not names:
        module.__class__ = base
        return
    space = {**{name: _property(name) for name in names}, "_unparametrized": base}
    space["__module__"] = base.__module__
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), space)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrizations, or one of this name."""
    lists = vars(module).get("parametrizations")
    if not isinstance(lists, ModuleDict):
        return False
    return len(lists) > 0 if tensor_name is None else tensor_name in lists


def remove_parametrizations(module: M, tensor_name: str, leave_parametrized: bool = True) -> M:
    """Make a parameter an ordinary one again, with the value that it has, or without
    `leave_parametrized` the original's."""
    name = "remove_parametrizations"
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"{name}: {tensor_name!r} of {type(module).__name__} is not parametrized")
    lists = _lists(module)
    made: Any = lists[tensor_name]
    originals = made.originals()
    if not leave_parametrized and len(originals) > 1:
        raise ValueError(f"{name}: {tensor_name!r} has several originals: leave it parametrized")
    kept = originals[0]
    if leave_parametrized:
        with no_grad():
            value = made().detach()
        if len(originals) > 1:
            kept = Parameter(value) if isinstance(kept, Parameter) else value
        else:
            kept.data = wrap(value.array.copy())
    lists.pop(tensor_name)
    if not len(lists):
        delattr(module, "parametrizations")
    _reclass(module)
    if isinstance(kept, Parameter):
        module.register_parameter(tensor_name, kept)
    else:
        module.register_buffer(tensor_name, kept)
    return module
