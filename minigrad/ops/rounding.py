"""Signs and roundings: steps, whose gradient is 0 everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.checks import integer
from minigrad.ops.large import one_pass
from minigrad.recording import operand, record_each
from minigrad.tensor import Tensor, wrap


@one_pass
def sign(input: Any) -> Tensor:
    """-1, 0 or 1; its gradient is 0."""
    a = operand("sign", input)
    if a.dtype == bool:
        return wrap(a.copy())
    out = np.where(np.isnan(a.real), 0, np.sign(a.real)).astype(a.dtype)
    return record_each("sign", out, (input, np.zeros_like))


def sgn(input: Any) -> Tensor:
    """`sign`, under the name that complex numbers have, too, in PyTorch."""
    return sign(input)


def _rounded(name: str, rounding: Any, x: Any) -> Tensor:
    a = operand(name, x)
    if a.dtype.kind in "iu":
        return wrap(a.copy())
    if a.dtype.kind == "b":
        raise RuntimeError(f"{name}: bool tensors are not supported: convert them")
    return record_each(name, rounding(a.real).astype(a.dtype), (x, np.zeros_like))


def floor(input: Any) -> Tensor:
    """The largest integer that is not above x; its gradient is 0."""
    return _rounded("floor", np.floor, input)


def ceil(input: Any) -> Tensor:
    """The smallest integer that is not below x; its gradient is 0."""
    return _rounded("ceil", np.ceil, input)


def trunc(input: Any) -> Tensor:
    """x without what stands behind the point; its gradient is 0."""
    return _rounded("trunc", np.trunc, input)


def round(input: Any, *, decimals: int = 0) -> Tensor:
    """Round half to even; its gradient is 0."""
    a, decimals = operand("round", input), integer("round", "decimals", decimals, None)
    if a.dtype.kind == "b":
        raise RuntimeError("round: bool tensors are not supported: convert them")
    return record_each("round", np.round(a.real, decimals).astype(a.dtype), (input, np.zeros_like))
