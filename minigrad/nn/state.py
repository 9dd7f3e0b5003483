"""What a module does with its state: collect it, copy it in, convert its dtype."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from minigrad.changes import note_change
from minigrad.dtypes import CATEGORY
from minigrad.incoming import as_array, is_array
from minigrad.interrupts import deferred
from minigrad.nn.parameter import UninitializedParameter
from minigrad.ops.convert import dtype_of
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

T = TypeVar("T")


class IncompatibleKeys(NamedTuple):
    """What a state dict lacked, and what it had too much."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


def entries(module: Any, prefix: str, extra: str) -> Iterator[tuple[str, Any]]:
    """Everything a state dict holds, with what is shared under each of its names: tensors, and for
    extra state the modules that define the method `extra`."""
    own = module.__dict__
    persistent = [name for name, kept in module._buffer_names.items() if kept]
    for name in [*module._parameter_names, *persistent]:
        if own[name] is not None:
            yield prefix + name, own[name]
    if hasattr(type(module), extra):
        yield f"{prefix}_extra_state", module
    for name in module._module_names:
        if own[name] is not None:
            yield from entries(own[name], f"{prefix}{name}.", extra)


def collect(module: Any, prefix: str) -> OrderedDict[str, Any]:
    """The state dict of a module and all below it."""
    return OrderedDict(
        (name, wrap(holder.array) if isinstance(holder, Tensor) else holder.get_extra_state())
        for name, holder in entries(module, prefix, "get_extra_state")
    )


def load(module: Any, state_dict: Any, strict: bool) -> IncompatibleKeys:
    """Copy a state dict in, after every entry has been found to fit."""
    targets = dict(entries(module, "", "set_extra_state"))
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"load_state_dict: expected a dict, got {type(state_dict).__name__}")
    missing = [key for key in targets if key not in state_dict and not _may_be_missing(key)]
    unexpected = [key for key in state_dict if key not in targets]
    shared = [key for key in targets if key in state_dict]
    problems = []
    if strict and missing:
        problems.append(f"Missing key(s) in state_dict: {_quoted(missing)}.")
    if strict and unexpected:
        problems.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}.")
    tensors = {key: targets[key] for key in shared if isinstance(targets[key], Tensor)}
    misfits = (_misfit(key, tensor, state_dict[key]) for key, tensor in tensors.items())
    problems += [misfit for misfit in misfits if misfit]
    if problems:
        name = type(module).__name__
        raise RuntimeError("\n\t".join([f"Error(s) in loading state_dict for {name}:", *problems]))
    owners = {key: targets[key] for key in shared if key not in tensors}
    undo: list[tuple[Callable[[Any], None], Any]] = []  # set_extra_state is a user's, and may fail
    with deferred():
        try:
            for key, tensor in tensors.items():
                if owners:
                    undo.append((partial(_write, tensor), tensor.array.copy()))
                _write(tensor, _array(key, state_dict[key]))
            for key, owner in owners.items():
                if hasattr(owner, "get_extra_state"):
                    undo.append((owner.set_extra_state, deepcopy(owner.get_extra_state())))
                owner.set_extra_state(state_dict[key])
        except BaseException:
            for put, old in reversed(undo):
                put(old)
            raise
    return IncompatibleKeys(missing, unexpected)


def _write(tensor: Tensor, array: Array) -> None:
    np.copyto(tensor.array, array, casting="same_kind")
    note_change(tensor.array)


def _quoted(keys: list[Any]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _may_be_missing(key: str) -> bool:
    # Checkpoints from before batch normalisation counted its batches have no counter.
    return key.rpartition(".")[2] == "num_batches_tracked"


def _array(key: str, value: Any) -> Any:
    return as_array(value, name=f"load_state_dict: {key}")


def _misfit(key: str, target: Tensor, value: Any) -> str | None:
    """Why a value cannot be copied into `target`, if so."""
    if not is_array(value):
        return f"wrong type for {key}: expected a tensor or array, got {type(value).__name__}."
    array = _array(key, value)
    if array.shape != target.shape:
        return (
            f"size mismatch for {key}: copying a param with shape {array.shape} from checkpoint, "
            f"the shape in current model is {target.shape}."
        )
    if CATEGORY.get(array.dtype.kind, 9) > CATEGORY[target.dtype.kind]:
        return (
            f"dtype mismatch for {key}: {array.dtype} from checkpoint does not fit the current "
            f"model's {target.dtype}."
        )
    if not target.array.flags.writeable:
        return f"read-only memory for {key}: the current model's array cannot be written."
    return None


def floating_dtype(args: tuple[Any, ...], dtype: Any, device: Any) -> np.dtype[Any] | None:
    """The dtype that the arguments of `Module.to` name, None if they name only the CPU."""
    kind = dtype_of("to", args, dtype, device)
    if kind is not None and kind.kind != "f":
        raise TypeError(f"to: a module takes a floating dtype, got {kind}")
    return kind


def convert(tensors: Iterable[Tensor], dtype: np.dtype[Any]) -> None:
    """Give floating leaves, and their gradients, another dtype."""
    with deferred():
        for tensor in tensors:
            if isinstance(tensor, UninitializedParameter):
                tensor.convert(dtype)
                continue
            if tensor.array.dtype.kind != "f" or tensor.array.dtype == dtype:
                continue
            grad = tensor.grad
            tensor.data = wrap(tensor.array.astype(dtype))
            if grad is not None:
                tensor.grad = wrap(grad.array.astype(dtype))


REGISTRIES = (
    "_parameter_names", "_buffer_names", "_module_names", "_forward_hooks", "_forward_pre_hooks",
    "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip


def shallow_copy(module: T) -> T:
    """The same attributes, but registries of its own: else what is assigned to the copy would be
    entered in the original, where there is no such attribute."""
    copy = object.__new__(type(module))
    vars(copy).update(vars(module))
    for name in REGISTRIES:
        vars(copy)[name] = dict(vars(module)[name])
    return copy
