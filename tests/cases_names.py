"""Calls of every public function that has `dim`, by PyTorch's and by numpy's names.

They are text: some tests run it, and others give it to type checkers.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType

import minigrad
from minigrad.nn import functional
from minigrad.ops.methods import Methods
from minigrad.ops.methods_in_place import InPlace

HEAD = """
import minigrad as mg
from minigrad.nn import functional as F

mg.manual_seed(0)
x = mg.tensor([[3.0, 1.0, 2.0], [6.0, 5.0, 4.0]])
y = x + 1
two = mg.stack([x, y])
index = mg.tensor([[0, 1, 0], [1, 0, 1]])
"""
# The arguments other than `dim`, for the functions that need some, with what stands first.
ARGUMENTS = {
    "cat": ("[x, y]", ""), "stack": ("[x, y]", ""), "concat": ("[x, y]", ""),
    "concatenate": ("[x, y]", ""),
    "split": ("x", "split_size_or_sections=2"), "split_with_sizes": ("x", "split_sizes=[1, 2]"),
    "chunk": ("x", "chunks=2"),
    "repeat_interleave": ("x", "repeats=2"), "topk": ("x", "k=1"),
    "gather": ("x", "index=index"), "index_select": ("x", "index=index[0]"),
    "scatter": ("x", "index=index, src=y"), "scatter_add": ("x", "index=index, src=y"),
    "scatter_reduce": ("x", "index=index, src=y, reduce='mean'"),
    "quantile": ("x", "q=0.5"), "nanquantile": ("x", "q=0.5"),
    "take_along_dim": ("x", "indices=index"), "narrow": ("x", "start=1, length=1"),
    "select": ("x", "index=1"), "unflatten": ("x", "sizes=(1, -1)"),
    "cosine_similarity": ("x", "x2=y"), "logsumexp": ("x", ""), "normalize": ("x", "p=1"),
    "cross": ("x", "other=y"), "glu": ("two[0, :, :2]", ""),
    "tensor_split": ("x", "indices_or_sections=2"), "index_fill": ("x", "index=index[0], value=1"),
    "index_add": ("x", "index=index[0, :1], source=y[:, :1]"),
    "index_copy": ("x", "index=index[0, :1], source=y[:, :1]"),
    "select_scatter": ("x", "src=y[:, 0], index=1"), "slice_scatter": ("x", "src=y"),
    "kthvalue": ("x", "k=2"), "norm": ("x", "p=1"), "squeeze": ("two[:, :1]", ""),
    "size": ("x", ""), "renorm": ("x", "p=2, maxnorm=1.0"),
}  # fmt: skip


def owners() -> Iterator[tuple[str, ModuleType | type, str]]:
    """Where public functions are, how they are called there, and what comes before that."""
    yield "mg.", minigrad, ""
    yield "F.", functional, ""
    yield "", Methods, "."
    yield "", InPlace, "."


def calls() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """The function as it is called, its arguments' names, and a call with {} where `dim=1` goes."""
    for prefix, owner, dot in owners():
        for name, function in vars(owner).items():
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            names = tuple(inspect.signature(function).parameters)
            if "dim" not in names:
                continue
            first, others = ARGUMENTS.get(name.removesuffix("_"), ("x", ""))
            if dot:
                yield f"Tensor.{name}", names, f"{first}.clone().{name}({{}}, {others})"
            else:
                yield f"{prefix}{name}", names, f"{prefix}{name}({first}, {{}}, {others})"
