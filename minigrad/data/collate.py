"""From a list of samples to a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minigrad.incoming import as_array, is_array
from minigrad.ops.joining import stack
from minigrad.tensor import Tensor, wrap


def default_collate(batch: list[Any]) -> Any:
    """Stack samples into a batch, inside tuples, lists and dicts too.

    Tensors, arrays (of any library) and numbers become tensors with a first axis of samples (Python
    floats float64, ints int64); tuples and lists become lists; strings and bytes are only listed.

    Raises:
        TypeError, ValueError: samples differ in shape, length or keys, or are of another kind.
    """
    if not batch:
        raise ValueError("default_collate: got no samples")
    first = batch[0]
    if isinstance(first, Tensor):
        return _stack(batch)
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, bool | int | float | complex) or is_array(first):
        taken = [as_array(s, name="default_collate") if is_array(s) else s for s in batch]
        _check_alike(taken, np.shape)
        return _stacked([np.asarray(s) for s in taken])
    if isinstance(first, Mapping):
        _check_alike(batch, lambda s: set(s))
        return {key: default_collate([s[key] for s in batch]) for key in first}
    if isinstance(first, tuple | list):
        _check_alike(batch, len)
        columns = [default_collate(list(column)) for column in zip(*batch, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise TypeError(
        f"default_collate: cannot batch samples of {type(first).__name__}: expected tensors, "
        "arrays, numbers, strings, or tuples, lists and dicts of them; or pass a collate_fn"
    )


def default_convert(data: Any) -> Any:
    """Arrays of any library become tensors, inside tuples, lists and dicts too; the rest stays.

    This is what a loader without batches (`batch_size=None`) does to each sample.
    """
    if isinstance(data, str | bytes | Tensor | bool | int | float | complex):
        return data
    if is_array(data):
        return wrap(as_array(data, name="default_convert"))
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple | list):
        converted = [default_convert(value) for value in data]
        return type(data)(*converted) if hasattr(data, "_fields") else converted
    return data


def _stack(samples: list[Tensor]) -> Tensor:
    _check_alike(samples, lambda s: s.shape)
    if any(s.requires_grad for s in samples):
        return stack(samples)
    return _stacked([s.array for s in samples])


def _stacked(arrays: list[Any]) -> Tensor:
    # np.stack of transposed samples gives transposed memory
    return wrap(np.ascontiguousarray(np.stack(arrays)))


def _check_alike(samples: list[Any], kind: Callable[[Any], Any]) -> None:
    try:
        kinds = [kind(s) for s in samples]
    except TypeError:
        kinds = [type(s).__name__ for s in samples]
    for i, other in enumerate(kinds):
        if other != kinds[0]:
            raise ValueError(
                f"default_collate: sample {i} of the batch differs from the first: {other} and "
                f"{kinds[0]}; pad the samples, or pass a collate_fn"
            )
