"""The arguments of functions, layers and optimisers have PyTorch's names and order."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from sweeps import each

import minigrad
from minigrad.nn import functional as F

torch = pytest.importorskip("torch")

# PyTorch's own table of signatures, for the functions that are not written in Python.
SIGNATURES = {
    function: inspect.signature(dummy)
    for function, dummy in torch.overrides.get_testing_overrides().items()
}
NOT_HERE = {
    "out", "memory_format", "layout", "pin_memory", "generator", "size_average", "reduce",
    "out_dtype", "sparse_grad", "inplace", "min_value", "max_value", "foreach", "fused",
    "capturable", "differentiable", "cudnn_enabled",
}  # fmt: skip
# Where that table differs from the documentation.
DOCUMENTED = {
    "broadcast_to": "input shape", "dot": "input tensor", "permute": "input dims",
    "isfinite": "input", "isinf": "input", "logsumexp": "input dim keepdim",
    "where": "condition input other", "swapaxes": "input axis0 axis1",
    "swapdims": "input dim0 dim1", "topk": "input k dim largest sorted", "max": "input dim keepdim",
    "repeat_interleave": "input repeats dim output_size", "prod": "input dim keepdim dtype",
    "histogram": "input bins range weight density",
    "max_pool3d": "input kernel_size stride padding dilation ceil_mode return_indices",
    "norm": "input p dim keepdim", "dropout": "input p training", "xlogy": "input other",
    "diag_embed": "input offset dim1 dim2", "nanmedian": "input dim keepdim",
    "unflatten": "input dim sizes", "isin": "elements test_elements assume_unique invert",
    "cholesky_solve": "input input2 upper", "isreal": "input", "msort": "input",
    "adaptive_max_pool1d": "input output_size", "alpha_dropout": "input p training",
    "feature_alpha_dropout": "input p training", "split_with_sizes": "input split_sizes dim",
    "polygamma": "n input",
}  # fmt: skip
# PyTorch's tables give these the arguments that they have in nn.functional.
AT_FRONT = {
    "embedding": "weight indices padding_idx scale_grad_by_freq sparse",
    "instance_norm":
        "input weight bias running_mean running_var use_input_stats momentum eps cudnn_enabled",
}  # fmt: skip


OPTIMISERS = (
    "SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "LBFGS",
    "Rprop", "ASGD", "Adafactor",
)  # fmt: skip


def expected_names(owner: Any, name: str) -> list[str]:
    function = getattr(owner, name)
    if owner is torch and name in AT_FRONT:
        return [p for p in AT_FRONT[name].split() if p not in NOT_HERE]
    if name in DOCUMENTED:
        return DOCUMENTED[name].split()
    try:
        signature = SIGNATURES[function]
    except KeyError:
        signature = inspect.signature(function)
    return [p for p in signature.parameters if p not in NOT_HERE and p[0] != "_"]


def checked_names() -> Iterator[tuple[Any, Any, str]]:
    for name in minigrad.__all__:
        if callable(getattr(torch, name, None)) and getattr(torch, name) in SIGNATURES:
            yield minigrad, torch, name
    for name in F.__all__:
        yield F, torch.nn.functional, name
    for name in minigrad.nn.__all__:
        if inspect.isclass(getattr(torch.nn, name, None)):
            yield minigrad.nn, torch.nn, name
    for name in OPTIMISERS:
        yield minigrad.optim, torch.optim, name


@each("ours theirs name", checked_names(), by=lambda ours, theirs, name: ours.__name__)
def test_names_of_arguments(ours: Any, theirs: Any, name: str) -> None:
    """PyTorch's arguments have their names and order here; the first ones, where we have more."""
    try:
        expected = expected_names(theirs, name)
    except ValueError:  # a compiled function, of which inspect knows no arguments
        pytest.skip("PyTorch gives no signature to compare with")
    if {"args", "kwargs"} & set(expected):
        pytest.skip("PyTorch gives no signature to compare with")
    found = [
        p
        for p in inspect.signature(getattr(ours, name)).parameters
        if p not in NOT_HERE and p[0] != "_"
    ]
    several = {"axes", "sizes", "times"} - {*expected}  # f(2, 3) beside f((2, 3))
    loose = [p for p in found if p not in several]
    assert loose[: len(expected)] == expected
