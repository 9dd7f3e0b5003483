"""What an op makes of odd arguments does not depend on how large the tensor is, where large ones
take another way."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad.nn import functional as F

PASSES = pytest.importorskip("minigrad.kernels.compiled.formulas").PASSES
ODD = [None, 0, -1, 0.0, -2.5, float("nan"), float("inf"), "a", True, 10**400, np.float32(2),
       1e39, [1], 1j, 7]  # fmt: skip
# More than the passes: what is built on them, and on the ways for large arrays of two and three.
MORE = [
    "clamp_min", "clamp_max", "hardtanh", "relu6", "softshrink", "gelu", "lerp", "addcmul",
    "addcdiv", "smooth_l1_loss", "huber_loss", "kl_div", "binary_cross_entropy_with_logits",
    "mse_loss", "softmax", "log_softmax", "cumsum", "sum", "norm", "var", "logsumexp", "sort",
    "topk", "normalize", "glu",
]  # fmt: skip


def ops() -> dict[str, tuple[Callable[..., Any], int]]:
    """By name, each with how many tensors it takes."""
    found = {}
    for name in sorted({*PASSES, *MORE}):
        op = getattr(F, name, None) or getattr(minigrad, name, None)
        if op is not None:
            first = list(inspect.signature(op).parameters)
            found[name] = op, sum(key in TENSORS for key in first)
    return found


TENSORS = ("input", "target", "end", "tensor1", "tensor2")
OPS = ops()


def outcome(op: Callable[..., Any], tensors: int, size: int, given: dict[str, Any]) -> Any:
    base = np.random.default_rng(0).uniform(0.1, 0.9, (3, size)).astype(np.float32)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = op(*map(minigrad.from_numpy, base[:tensors]), **given)
    except Exception as error:
        return type(error), str(error).replace(str(size), "n")
    y = y[0] if isinstance(y, tuple) else y
    return y.dtype, y.ndim, bool(np.isnan(y.array.reshape(-1)[:200]).any())


@pytest.mark.parametrize("name", OPS)
def test_odd_arguments_of_small_and_large(name: str) -> None:
    op, tensors = OPS[name]
    assert outcome(op, tensors, 200, {}) == outcome(op, tensors, 20000, {})
    for argument in list(inspect.signature(op).parameters)[tensors:]:
        if argument in ("names", "generator", "size_average", "reduce", "weight"):
            continue
        for value in ODD:
            given = {argument: value}
            small, large = (outcome(op, tensors, size, given) for size in (200, 20000))
            assert small == large, f"{name}({argument}={value!r})"


@pytest.mark.parametrize("name", OPS)
def test_arguments_that_there_are_not(name: str) -> None:
    op, tensors = OPS[name]
    for size in (200, 20000):
        x = [minigrad.ones(size)] * tensors
        with pytest.raises(TypeError):
            op(*x, nonsense=1)
        with pytest.raises(TypeError):
            op(*x, *range(1, 20))
