"""PyTorch's `torch.nn.utils.rnn`: sequences of several lengths for recurrent layers.

Padded, they stand in one tensor (T, N, …) of the longest one's length. Packed, as recurrent layers
take them, too, there is no padding, nor is there work on it: a `PackedSequence` has the elements of
all first steps, then those of all second steps, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from minigrad.checks import integer, one_of
from minigrad.incoming import as_array
from minigrad.ops.indexing import index_select
from minigrad.ops.sequences import side_by_side, to_packed, to_padded
from minigrad.ops.shape import clone, narrow, select, transpose
from minigrad.tensor import Tensor, wrap

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Sequences of several lengths, the longest first, without padding.

    Args:
        data: the elements (sum of lengths, …): of all first steps, of all second steps, …
        batch_sizes: int64 (T,), how many sequences have each step.
        sorted_indices: int64 (N,), which of the original sequences stands at each place; None if
            they are in their original order.
        unsorted_indices: its inverse, computed if not given.

    It is made by `pack_padded_sequence` and `pack_sequence`; layers return one for one.
    """

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not isinstance(data, tuple | list) or len(data) != 2:
                raise TypeError("PackedSequence: batch_sizes is missing")
            data, batch_sizes = data
        sizes: Any = batch_sizes
        return super().__new__(cls, data, sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """With its data converted, as by `Tensor.to`; itself if that changes nothing."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        return type(self)(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def float(self) -> Self:
        """With its data as float32."""
        return self.to(np.float32)

    def double(self) -> Self:
        """With its data as float64."""
        return self.to(np.float64)

    def long(self) -> Self:
        """With its data as int64."""
        return self.to(np.int64)

    def cpu(self) -> Self:
        """Itself: the CPU is the only device."""
        return self

    def cuda(self, *args: Any, **kwargs: Any) -> Self:
        """Refused: the CPU is the only device there is."""
        self.data.cuda(*args, **kwargs)
        return self

    @property
    def is_cuda(self) -> bool:
        """False: the CPU is the only device."""
        return False


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes one, int64 (N,); None for None."""
    if permutation is None:
        return None
    order = as_array(permutation)
    inverse = np.empty_like(order)
    inverse[order] = np.arange(order.size)
    return wrap(inverse)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Padded sequences packed.

    Args:
        input: (T, N, …), or (N, T, …) with `batch_first`; what stands beyond a length is dropped.
        lengths: N integers from 1 to T, a tensor or list.
        batch_first: which of the first two axes is the batch's.
        enforce_sorted: refuse sequences that are not sorted by length, the longest first; without,
            they are sorted here, and the packed sequence knows their original order.

    Raises:
        ValueError: for lengths that do not fit the input, or are not sorted where they must be.
    """
    name = "pack_padded_sequence"
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: input must be a Tensor, got {type(input).__name__}")
    if input.ndim < 2:
        raise ValueError(f"{name}: expected an input (T, N, …), got shape {input.shape}")
    x = transpose(input, 0, 1) if batch_first else input
    steps, batch = x.shape[:2]
    numbers = as_array(lengths)
    if numbers.shape != (batch,) or numbers.dtype.kind not in "iu" or not batch:
        raise ValueError(
            f"{name}: lengths must be {batch} integers, one for each sequence and at least one, "
            f"got {numbers.tolist()}"
        )
    if numbers.min() < 1 or numbers.max() > steps:
        raise ValueError(
            f"{name}: lengths must be from 1 to the input's {steps} steps, got {numbers.tolist()}"
        )
    order = None
    if not enforce_sorted:
        order = np.argsort(-numbers.astype(np.int64), kind="stable")
        numbers, x = numbers[order], index_select(x, 1, order)
    elif (numbers[1:] > numbers[:-1]).any():
        raise ValueError(
            f"{name}: lengths must be sorted, the longest first, got {numbers.tolist()}: pass "
            "enforce_sorted=False"
        )
    sizes = (numbers > np.arange(numbers.max())[:, None]).sum(1)  # (T,)
    data = to_packed(narrow(x, 0, 0, len(sizes)), sizes.tolist())
    return PackedSequence(data, wrap(sizes), None if order is None else wrap(order))


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """A packed sequence padded, in its original order, and the lengths.

    Args:
        sequence: of N sequences.
        batch_first: give (N, T, …) instead of (T, N, …).
        padding_value: what stands beyond the lengths.
        total_length: T, at least the longest one's length, which is the default.

    Returns:
        The sequences, and their lengths, int64 (N,).
    """
    name = "pad_packed_sequence"
    if not isinstance(sequence, PackedSequence):
        raise TypeError(f"{name}: sequence must be a PackedSequence, got {type(sequence).__name__}")
    sizes = step_sizes(name, sequence)
    lengths = wrap((np.arange(sizes[0]) < np.array(sizes)[:, None]).sum(0))
    if total_length is not None:
        total = integer(name, "total_length", total_length)
        if total < len(sizes):
            raise ValueError(
                f"{name}: total_length must be at least the longest sequence's {len(sizes)} steps, "
                f"got {total_length}"
            )
        sizes += [0] * (total - len(sizes))
    x = to_padded(sequence.data, sizes, padding_value)
    if sequence.unsorted_indices is not None:
        x = index_select(x, 1, sequence.unsorted_indices)
        lengths = index_select(lengths, 0, sequence.unsorted_indices)
    return transpose(x, 0, 1) if batch_first else x, lengths


def step_sizes(name: str, sequence: PackedSequence) -> list[int]:
    """Its batch_sizes as a list, refused by `name` if they are not those of packed sequences."""
    data, sizes = sequence.data, as_array(sequence.batch_sizes)
    if not isinstance(data, Tensor) or not data.ndim:
        raise TypeError(f"{name}: a PackedSequence's data must be a tensor with axes, got {data!r}")
    falling = sizes.ndim == 1 and sizes.size and (sizes[1:] <= sizes[:-1]).all()
    if not falling or sizes.dtype.kind not in "iu" or sizes[-1] < 1 or sizes.sum() != len(data):
        raise ValueError(
            f"{name}: a PackedSequence's batch_sizes must be positive integers that fall from step "
            f"to step and add up to its {len(data)} elements, got {sizes.tolist()}"
        )
    return [int(n) for n in sizes]


def pad_sequence(
    sequences: Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:  # fmt: skip
    """Sequences of several lengths in one tensor, (T, N, …) with the longest one's T.

    Args:
        sequences: N tensors (T_i, …), alike in all but their first size.
        batch_first: give (N, T, …).
        padding_value: what stands beyond the lengths.
        padding_side: "right", or "left" to put it before the sequences.
    """
    tensors = _sequences("pad_sequence", sequences)
    one_of("pad_sequence", "padding_side", padding_side, ("right", "left"))
    return side_by_side(tensors, batch_first, padding_value, padding_side == "left")


def _sequences(name: str, sequences: Any) -> list[Tensor]:
    """The sequences as a list, refused if they do not fit one another."""
    if not isinstance(sequences, Iterable):
        kind = type(sequences).__name__
        raise TypeError(f"{name}: expected several tensors, got {kind}")
    tensors = list(sequences)
    if not tensors:
        raise ValueError(f"{name}: expected at least one sequence, got none")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected tensors, got {type(x).__name__} at position {i}")
        if not x.ndim or x.shape[1:] != tensors[0].shape[1:]:
            raise ValueError(
                f"{name}: sequence {i} has shape {x.shape}, expected that of the first, "
                f"{tensors[0].shape}, in all but the first size"
            )
    return tensors


def unpad_sequence(
    padded_sequences: Tensor, lengths: Any, batch_first: bool = False
) -> list[Tensor]:
    """The N sequences of a padded tensor (T, N, …), or (N, T, …) with `batch_first`, each cut to
    its length."""
    x = padded_sequences
    if not isinstance(x, Tensor) or x.ndim < 2:
        raise TypeError("unpad_sequence: padded_sequences must be a tensor (T, N, …)")
    rows = x if batch_first else transpose(x, 0, 1)
    numbers = as_array(lengths)
    if numbers.shape != rows.shape[:1] or numbers.dtype.kind not in "iu":
        raise ValueError(
            f"unpad_sequence: lengths must be {len(rows)} integers, got {numbers.tolist()}"
        )
    ends = np.clip(numbers, 0, rows.shape[1]).tolist()
    return [clone(narrow(select(rows, 0, i), 0, 0, n)) for i, n in enumerate(ends)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Tensors (T_i, …) packed; arguments as for `pad_sequence` and `pack_padded_sequence`.

    >>> nn.utils.rnn.pack_sequence([mg.tensor([1, 2, 3]), mg.tensor([4])]).data
    tensor([1, 4, 2, 3])
    """
    tensors = _sequences("pack_sequence", sequences)
    lengths = [len(x) for x in tensors]
    return pack_padded_sequence(pad_sequence(tensors), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed sequence, in their original order."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences))
