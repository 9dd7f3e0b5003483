"""Tables whose rows integers name, one by one or in bags."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from minigrad.checks import floating, integer, number, one_of
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.errors import described
from minigrad.nn.module import Module, Parameter
from minigrad.tensor import Tensor, wrap


class _Table(Module):
    """What both have: `weight` (num_embeddings, embedding_dim), and how it is looked up."""

    # What the layer's text shows, and where it leaves it out.
    shown: ClassVar[dict[str, Any]] = {
        "padding_idx": None, "max_norm": None, "norm_type": 2, "scale_grad_by_freq": False,
    }  # fmt: skip

    def _set_up(
        self, rows: int, width: int, max_norm: float | None, norm_type: float, by_freq: bool,
        sparse: bool, padding_idx: int | None, weight: Tensor | None, kind: np.dtype[Any],
    ) -> None:  # fmt: skip
        name = type(self).__name__
        self.num_embeddings = integer(name, "num_embeddings", rows)
        self.embedding_dim = integer(name, "embedding_dim", width)
        if padding_idx is not None:
            padding_idx = integer(name, "padding_idx", padding_idx, None)
            if not -rows <= padding_idx < rows:
                raise ValueError(
                    f"{name}: padding_idx must name one of the {rows} rows, got {padding_idx}"
                )
            padding_idx %= rows
        if sparse:
            raise NotImplementedError(f"{name}: there are no sparse gradients: leave sparse out")
        if max_norm is not None:
            max_norm = number(name, "max_norm", max_norm, at_least=0)
        self.padding_idx, self.max_norm = padding_idx, max_norm
        self.norm_type, self.scale_grad_by_freq = number(name, "norm_type", norm_type), by_freq
        self.sparse = False
        shape = self.num_embeddings, self.embedding_dim
        if weight is None:
            self.weight = Parameter(wrap(np.empty(shape, kind)))
            self.reset_parameters()
            return
        if weight.shape != shape:
            raise ValueError(f"{name}: _weight must have shape {shape}, got {weight.shape}")
        self.weight = Parameter(weight)

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            init.zeros_(wrap(self.weight.array[self.padding_idx]))

    def extra_repr(self) -> str:
        """The arguments that are not PyTorch's defaults."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        for name, default in self.shown.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        return text


def _given(name: str, embeddings: Any) -> tuple[int, int]:
    """The sizes of a table that was made elsewhere."""
    if not isinstance(embeddings, Tensor) or embeddings.ndim != 2:
        shape = getattr(embeddings, "shape", None)
        raise ValueError(
            f"{name}: embeddings must be a tensor (num_embeddings, embedding_dim), got "
            + (described(embeddings) if shape is None else f"shape {tuple(shape)}")
        )
    rows, width = embeddings.shape
    return rows, width


class Embedding(_Table):
    """Rows of a table: integers (…) in [0, num_embeddings) give vectors (…, embedding_dim).

    Args:
        num_embeddings: the number of rows.
        embedding_dim: the length of a row.
        padding_idx: a row that starts at zero and is not trained.
        max_norm: scale the rows that are looked up to this norm, if theirs is larger.
        norm_type: which norm.
        scale_grad_by_freq: divide a row's gradient by how often it was looked up.
        sparse: False: there are no sparse gradients.
        dtype: of the table; float32 by default.

    `weight` (num_embeddings, embedding_dim) starts standard normal.

    >>> nn.Embedding(10, 4)(mg.tensor([1, 5, 1])).shape
    (3, 4)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._set_up(
            num_embeddings, embedding_dim, max_norm, norm_type, scale_grad_by_freq, sparse,
            padding_idx, _weight, floating("Embedding", dtype, device),
        )  # fmt: skip
        self.weight.requires_grad_(not _freeze)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A layer with this table (num_embeddings, embedding_dim), whose memory is shared.

        Args:
            embeddings: the table.
            freeze: leave it out of training.
            padding_idx: a row that is not trained; it starts as it is.
            max_norm, norm_type, scale_grad_by_freq, sparse: as for the layer.
        """
        return cls(
            *_given("Embedding", embeddings), padding_idx, max_norm, norm_type, scale_grad_by_freq,
            sparse, embeddings, freeze,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """The rows that x names."""
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type,
            self.scale_grad_by_freq,
        )  # fmt: skip


class EmbeddingBag(_Table):
    """The sum, mean or maximum over each bag of the rows of a table that its integers name.

    Args:
        num_embeddings: the number of rows.
        embedding_dim: the length of a row.
        max_norm: scale the rows that are looked up to this norm, if theirs is larger.
        norm_type: which norm.
        scale_grad_by_freq: divide a row's gradient by how often it was looked up.
        mode: "sum", "mean" or "max".
        sparse: False: there are no sparse gradients.
        include_last_offset: the offsets end with the end of the last bag.
        padding_idx: a row that starts at zero and counts nothing in a bag.
        dtype: of the table; float32 by default.

    `weight` (num_embeddings, embedding_dim) starts standard normal.

    >>> nn.EmbeddingBag(10, 4)(mg.tensor([1, 5, 1]), mg.tensor([0, 2])).shape  # two bags
    (2, 4)
    """

    shown: ClassVar[dict[str, Any]] = {
        "max_norm": None, "norm_type": 2, "scale_grad_by_freq": False, "mode": None,
        "padding_idx": None,
    }  # fmt: skip

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = one_of("EmbeddingBag", "mode", mode, ("sum", "mean", "max"))
        self.include_last_offset = include_last_offset
        self._set_up(
            num_embeddings, embedding_dim, max_norm, norm_type, scale_grad_by_freq, sparse,
            padding_idx, _weight, floating("EmbeddingBag", dtype, device),
        )  # fmt: skip

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """A layer with this table (num_embeddings, embedding_dim), whose memory is shared; frozen,
        or trained with freeze=False."""
        layer = cls(
            *_given("EmbeddingBag", embeddings), max_norm, norm_type, scale_grad_by_freq, mode,
            sparse, embeddings, include_last_offset, padding_idx,
        )  # fmt: skip
        layer.weight.requires_grad_(not freeze)
        return layer

    def forward(
        self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None
    ) -> Tensor:
        """One row for each bag of x (B, N), or of x (N,) with offsets (B,)."""
        return F.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq,
            self.mode, False, per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip
