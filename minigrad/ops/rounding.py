"""Signs and roundings: steps, whose gradient is 0 everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.checks import integer
from minigrad.recording import operand, record_each
from minigrad.tensor import Tensor, wrap


def sign(input: Any) -> Tensor:
    """-1, 0 or 1; its gradient is 0."""
    a = operand("sign", input)
    if a.dtype == bool:
        return wrap(a.copy())
    out = np.where(np.isnan(a.real), 0, np.sign(a.real)).astype(a.dtype)
    return record_each("sign", out, (input, np.zeros_like))


def _rounding(name: str, function: Any) -> Any:
    def op(input: Any) -> Tensor:
        a = operand(name, input)
        if a.dtype.kind in "iu":
            return wrap(a.copy())
        if a.dtype.kind == "b":
            raise RuntimeError(f"{name}: bool tensors are not supported: convert them")
        return record_each(name, function(a.real).astype(a.dtype), (input, np.zeros_like))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"{name} of every element; its gradient is 0."
    return op


floor, ceil, trunc = (_rounding(n, f) for n, f in
                      (("floor", np.floor), ("ceil", np.ceil), ("trunc", np.trunc)))  # fmt: skip


def round(input: Any, *, decimals: int = 0) -> Tensor:
    """Round half to even; its gradient is 0."""
    a, decimals = operand("round", input), integer("round", "decimals", decimals, None)
    if a.dtype.kind == "b":
        raise RuntimeError("round: bool tensors are not supported: convert them")
    return record_each("round", np.round(a.real, decimals).astype(a.dtype), (input, np.zeros_like))
