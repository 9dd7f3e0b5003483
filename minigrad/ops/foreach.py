"""PyTorch's `_foreach_add_` and its like, with which optimisers go through lists of tensors: one
tensor after another here. `minigrad._foreach_NAME` is `foreach("NAME")`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad.ops import reductions
from minigrad.tensor import Tensor

# What takes a `value` behind its tensors, which the methods take by name alone.
VALUED = ("addcmul", "addcdiv")


def foreach(op: str) -> Callable[..., Any] | None:
    """The function that calls Tensor's method `op` on each tensor of a list, with what stands at
    its place in lists of tensors or numbers, and with a single one as it is; None if there is no
    such method. With an underscore at the end it changes the tensors, and returns them.
    """
    plain = op.removesuffix("_")
    method: Any = reductions.norm if op == "norm" else getattr(Tensor, op, None)
    if method is None and op != plain:
        method = _written_back(getattr(Tensor, plain, None))
    if not callable(method):
        return None

    def call(tensors: Any, *given: Any, **options: Any) -> list[Tensor]:
        lists = list(given)
        if plain in VALUED and len(lists) == 3:
            options["value"] = lists.pop()
        name = f"_foreach_{op}"
        for values in (*lists, *options.values()):
            if isinstance(values, tuple | list) and len(values) != len(tensors):
                raise RuntimeError(f"{name}: {len(tensors)} tensors, but {len(values)} values")
        results = []
        for i, x in enumerate(tensors):
            each = [values[i] if isinstance(values, tuple | list) else values for values in lists]
            named = {k: v[i] if isinstance(v, tuple | list) else v for k, v in options.items()}
            results.append(method(x, *each, **named))
        return results

    call.__name__ = call.__qualname__ = f"_foreach_{op}"
    return call


def _written_back(method: Any) -> Any:
    """The method in place, where there is one that is not."""
    return method and (lambda x, *args, **options: x.copy_(method(x, *args, **options)))
