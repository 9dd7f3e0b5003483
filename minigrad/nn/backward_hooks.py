"""Backward hooks of modules: what sees the gradients of a module's output and of its arguments.

A call with such hooks sends the tensors among its arguments, and those of its output, through an op
that leaves them as they are. In backward the output's shows the gradients that come in to the pre
hooks; the arguments', which the walk reaches when all inside of the module is done, shows both to
the hooks, which may put others in the place of the arguments' gradients.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minigrad.checks import users_level
from minigrad.function import Function
from minigrad.recording import needs_grad
from minigrad.tensor import Tensor, wrap

Hook = Callable[..., Any]


class _Watch(Function):
    """The tensors as they are; in backward, the gradients that `see` makes of theirs."""

    @staticmethod
    def forward(ctx: Any, see: Hook, zeros: bool, *tensors: Tensor) -> Any:
        ctx.see = see
        ctx.set_materialize_grads(zeros)
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return (None, None, *ctx.see(grads))


class Call:
    """One call of a module with backward hooks: `arguments` before forward, `output` after it."""

    def __init__(self, module: Any, pre_hooks: Iterable[Hook], hooks: Iterable[Hook]) -> None:
        self.module, self.pre_hooks, self.hooks = module, tuple(pre_hooks), tuple(hooks)
        self.places: list[int] = []  # the arguments through which gradients pass
        self.number = 0
        self.others: dict[int, tuple[Any, Any]] = {}  # tensors that need none
        self.incoming: Any = None  # the gradients of the output, when backward has reached it

    def arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, watched."""
        self.number = len(args)
        self.places = [i for i, x in enumerate(args) if needs_grad(x)] if self.hooks else []
        others = ((i, x) for i, x in enumerate(args) if isinstance(x, Tensor))
        self.others = {i: (x.shape, x.dtype) for i, x in others if i not in self.places}
        return _watched(args, self.places, self._leave, True)

    def output(self, result: Any) -> Any:
        """What the module returns, watched."""
        row = result if isinstance(result, tuple) else (result,)
        if not any(isinstance(y, Tensor) for y in row):
            warnings.warn(
                f"{type(self.module).__name__}: backward hooks see the gradients of a tensor or a "
                f"tuple of them, and the output is a {type(result).__name__}",
                UserWarning,
                stacklevel=users_level(),
            )
        places, number = [i for i, y in enumerate(row) if needs_grad(y)], len(row)
        row = _watched(row, places, lambda grads: self._enter(grads, places, number), False)
        if not isinstance(result, tuple):
            return row[0]
        return type(result)(*row) if hasattr(result, "_fields") else row

    def _enter(self, grads: Any, places: list[int], number: int) -> Any:
        self.incoming = self._through(self.pre_hooks, _at_places(grads, places, number))
        if self.hooks and not self.places:  # no argument's gradient will be computed
            none = (None,) * self.number
            for hook in self.hooks:
                if any(g is not None for g in hook(self.module, none, self.incoming) or ()):
                    raise RuntimeError(
                        f"{type(self.module).__name__}: a backward hook returned a gradient, but "
                        "none of the arguments requires one"
                    )
        return [self.incoming[i] for i in places]

    def _leave(self, grads: Any) -> Any:
        if self.incoming is None:  # the output was not used
            return grads
        row = list(_at_places(grads, self.places, self.number))
        for i, (shape, dtype) in self.others.items():
            row[i] = wrap(np.zeros(shape, dtype))
        found = self._through(self.hooks, tuple(row), self.incoming)
        self.incoming = None
        return [found[i] for i in self.places]

    def _through(self, hooks: Iterable[Hook], grads: Any, *more: Any) -> Any:
        for hook in hooks:
            changed = hook(self.module, grads, *more)
            if changed is None:
                continue
            changed = changed if isinstance(changed, tuple) else (changed,)
            if len(changed) != len(grads):
                raise RuntimeError(
                    f"{type(self.module).__name__}: a backward hook returned {len(changed)} "
                    f"gradients, expected {len(grads)}, or None to leave them"
                )
            grads = changed
        return grads


def _watched(values: Any, places: list[int], see: Hook, zeros: bool) -> tuple[Any, ...]:
    """The values, those at the places on a tape that shows their gradients to `see`: `zeros` for
    those that no gradient came from, or None."""
    found = list(values)
    if places:
        watched = _Watch.apply(see, zeros, *(values[i] for i in places))
        for i, x in zip(places, watched, strict=True):
            found[i] = x
    return tuple(found)


def _at_places(grads: Any, places: list[int], number: int) -> tuple[Any, ...]:
    """The gradients at their places, None at others."""
    row: list[Any] = [None] * number
    for i, g in zip(places, grads, strict=True):
        row[i] = g
    return tuple(row)
