"""What a module does with its state: copy it in, and convert its dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minigrad.changes import note_change
from minigrad.dtypes import CATEGORY
from minigrad.ops.convert import dtype_of
from minigrad.tensor import Tensor, wrap


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


def load(
    owner: str, targets: Mapping[str, Tensor], state_dict: Any, strict: bool
) -> IncompatibleKeys:
    """Copy `state_dict` into `targets` (both by path), after every entry has been found to fit."""
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
    misfits = (_misfit(key, targets[key], state_dict[key]) for key in shared)
    problems += [misfit for misfit in misfits if misfit]
    if problems:
        raise RuntimeError("\n\t".join([f"Error(s) in loading state_dict for {owner}:", *problems]))
    for key in shared:
        np.copyto(targets[key].array, _array(state_dict[key]), casting="same_kind")
        note_change(targets[key].array)
    return IncompatibleKeys(missing, unexpected)


def _quoted(keys: list[Any]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _may_be_missing(key: str) -> bool:
    # Checkpoints from before batch normalisation counted its batches have no counter.
    return key.rpartition(".")[2] == "num_batches_tracked"


def _array(value: Any) -> Any:
    return value.array if isinstance(value, Tensor) else value


def _misfit(key: str, target: Tensor, value: Any) -> str | None:
    """Why a value cannot be copied into `target`, if so."""
    array = _array(value)
    if not isinstance(array, np.ndarray | np.generic):
        return f"wrong type for {key}: expected a tensor or array, got {type(value).__name__}."
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


def convert(tensor: Tensor, dtype: np.dtype[Any]) -> None:
    """Give a floating leaf, and its gradient, another dtype."""
    if tensor.array.dtype.kind != "f" or tensor.array.dtype == dtype:
        return
    grad = tensor.grad
    tensor.data = wrap(tensor.array.astype(dtype))
    if grad is not None:
        tensor.grad = wrap(grad.array.astype(dtype))
