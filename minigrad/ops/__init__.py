"""The operations, one file a chapter. Tensor's operators and methods are these same functions:
the tables below install them.

Arguments have PyTorch's names; docstrings and formulas write x for `input` and y for `other`, and
a and b for their arrays.
"""

from __future__ import annotations

from typing import Any

from minigrad.device import device
from minigrad.ops import (
    activations,
    arithmetic,
    compare,
    convert,
    create,
    indexing,
    inplace,
    joining,
    linear,
    losses,
    norm,
    random,
    reductions,
    rounding,
    search,
    shape,
)
from minigrad.tensor import Tensor

# Methods: Tensor.name is the chapter's function of that name.
METHODS = {
    arithmetic: "add sub mul div floor_divide remainder neg positive pow square exp expm1 log log2 "
    "log10 log1p sqrt rsqrt reciprocal sin cos abs maximum minimum "
    "clamp lerp addcmul",
    rounding: "sign floor ceil trunc round",
    compare: "eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and "
    "bitwise_or bitwise_xor bitwise_not isnan isinf isfinite isclose allclose equal",
    activations: "relu sigmoid tanh erf softmax log_softmax",
    reductions: "sum mean var std amax amin prod cumsum cumprod logsumexp norm any all "
    "count_nonzero",
    search: "max min argmax argmin sort argsort topk median bincount",
    shape: "reshape view view_as reshape_as flatten unflatten permute transpose swapaxes swapdims "
    "movedim t squeeze unsqueeze expand expand_as broadcast_to contiguous clone narrow select "
    "diagonal diag triu tril",
    joining: "split chunk unbind flip roll tile repeat repeat_interleave",
    convert: "to float double half long int bool type_as cpu",
    linear: "matmul mm bmm mv dot outer addmm",
    indexing: "gather scatter scatter_add index_select take take_along_dim masked_fill "
    "masked_select nonzero unique",
    inplace: "fill_ zero_ copy_ uniform_ normal_ bernoulli_",
    create: "new_tensor new_zeros new_ones new_full",
    random: "bernoulli multinomial",
}
ALIASES = {
    "subtract": arithmetic.sub, "multiply": arithmetic.mul, "divide": arithmetic.div,
    "true_divide": arithmetic.div, "negative": arithmetic.neg, "absolute": arithmetic.abs,
    "clip": arithmetic.clamp, "greater": compare.gt, "less": compare.lt,
    "where": lambda x, condition, y: arithmetic.where(condition, x, y),
}  # fmt: skip


def reflected(op: Any) -> Any:
    """`other op x` as `op(other, x)`."""
    return lambda x, other: op(other, x)


OPERATORS = {
    "add": arithmetic.add, "sub": arithmetic.sub, "mul": arithmetic.mul, "pow": arithmetic.pow,
    "truediv": arithmetic.div, "floordiv": arithmetic.floor_divide, "mod": arithmetic.remainder,
    "matmul": linear.matmul, "and": compare.bitwise_and, "or": compare.bitwise_or,
    "xor": compare.bitwise_xor,
}  # fmt: skip
UNARY = {
    "neg": arithmetic.neg, "pos": arithmetic.positive, "abs": arithmetic.abs,
    "invert": compare.bitwise_not, "getitem": indexing.getitem, "setitem": indexing.setitem,
}  # fmt: skip
IN_PLACE = {
    "add": "add_", "sub": "sub_", "mul": "mul_", "truediv": "div_", "pow": "pow_",
    "floordiv": "floor_divide_", "mod": "remainder_",
}  # fmt: skip


def _install() -> None:
    op: Any
    for chapter, names in METHODS.items():
        for name in names.split():
            setattr(Tensor, name, getattr(chapter, name))
    for name, op in ALIASES.items():
        setattr(Tensor, name, op)
    for name, op in OPERATORS.items():
        setattr(Tensor, f"__{name}__", op)
        setattr(Tensor, f"__r{name}__", reflected(op))
    for name, op in inplace.METHODS.items():
        setattr(Tensor, name, op)
    for name, method in IN_PLACE.items():
        setattr(Tensor, f"__i{name}__", inplace.METHODS[method])
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(Tensor, f"__{name}__", getattr(compare, name))
    for name, op in UNARY.items():
        setattr(Tensor, f"__{name}__", op)
    Tensor.device = property(lambda x: device())  # type: ignore[attr-defined]
    Tensor.T = property(lambda x: shape.permute(x, *range(x.ndim)[::-1]))  # type: ignore[attr-defined]
    Tensor.mT = property(lambda x: shape.transpose(x, -1, -2))  # type: ignore[attr-defined]


_install()

__all__ = ["losses", "norm"]
