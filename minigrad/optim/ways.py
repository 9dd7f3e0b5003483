"""PyTorch's ways to compute one and the same step. There is one here, whatever they say; they stand
in the parameter groups for code that reads them there."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack


class Ways(TypedDict, total=False):
    """The keywords of the optimisers."""

    foreach: bool | None
    fused: bool | None
    capturable: bool
    differentiable: bool


def check_ways(name: str, keys: str, **ways: Unpack[Ways]) -> dict[str, Any]:
    """Those that PyTorch's optimiser of this name has (`keys`), given or by default.

    Raises:
        ValueError, TypeError: what would change more than the way a step is computed, and other
            keywords.
    """
    if others := ways.keys() - Ways.__annotations__:
        raise TypeError(f"{name}: got an unexpected keyword argument {min(others)!r}")
    if ways.get("differentiable"):
        raise ValueError(
            f"{name}: differentiable=True is not supported, steps are not recorded: write the step "
            "with minigrad.func.grad and functional_call"
        )
    if ways.get("capturable"):
        raise ValueError(f"{name}: capturable=True concerns CUDA graphs: leave it out")
    defaults = {"foreach": None, "fused": None, "capturable": False, "differentiable": False}
    return {key: ways.get(key, defaults[key]) for key in keys.split()}
