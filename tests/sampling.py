"""What a case is: an operation, the shapes it is tried on, and a reference in numpy or plain loops.

Because names and arguments are PyTorch's, one case runs on either library: `m` is `minigrad` or
`torch`. The tests go through samples: one for each case, list of shapes and memory layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Case:
    """One operation with its arguments. Names: "exp" is m.exp, "F.relu" is m.nn.functional.relu,
    ".view" a method. `call(m, *tensors)` replaces all that where it does not fit."""

    name: str
    shapes: Sequence[Shapes]  # one sample for each
    reference: Callable[..., Any]  # from arrays to an array, or a tuple of them
    args: tuple[Any, ...]  # after the tensors; arrays become tensors
    kwargs: dict[str, Any]
    call: Callable[..., Any] | None
    domain: str  # see `draw`
    differentiable: bool  # at the points the domain draws


@dataclass(frozen=True)
class Sample:
    """A case on inputs of given shapes. Layouts: "rows" in order, "transposed", "strided" (every
    second element of a larger array), "twice" (one tensor as both inputs)."""

    case: Case
    shapes: Shapes
    layout: str

    def __str__(self) -> str:
        arguments = [*map(str, self.case.args), *(f"{k}={v}" for k, v in self.case.kwargs.items())]
        label = " ".join(" ".join(arguments).split())[:40]
        shapes = "·".join("x".join(map(str, s)) or "0d" for s in self.shapes)
        return f"{self.case.name}({label})-{shapes}-{self.layout}"

    def arrays(self, dtype: Any = np.float64, domain: str | None = None) -> list[Any]:
        """Fresh inputs, the same ones at every call."""
        rng = np.random.default_rng(7)
        shapes = self.shapes[:1] if self.layout == "twice" else self.shapes
        return [
            laid_out(np.asarray(draw(domain or self.case.domain, s, rng), dtype), self.layout)
            for s in shapes
        ]

    def run(self, m: Any, tensors: Sequence[Any]) -> Any:
        """What the library `m` makes of these tensors."""
        case = self.case
        if self.layout == "twice":
            tensors = [tensors[0], tensors[0]]
        if case.call is not None:
            return case.call(m, *tensors)

        def given(value: Any) -> Any:
            if not isinstance(value, np.ndarray):
                return value
            like = tensors[0].detach().numpy().dtype if value.dtype.kind == "f" else value.dtype
            return m.from_numpy(value.astype(like))

        where, _, name = case.name.rpartition(".")
        args = [*tensors, *map(given, case.args)]
        owner = {"": m, "F": m.nn.functional}[where] if not case.name.startswith(".") else None
        function = getattr(owner, name) if owner is not None else getattr(args.pop(0), name)
        return function(*args, **{k: given(v) for k, v in case.kwargs.items()})

    def expected(self, arrays: Sequence[Any]) -> Any:
        """What the reference makes of these arrays."""
        return self.case.reference(*(arrays * 2 if self.layout == "twice" else arrays))


def draw(domain: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Random numbers: real, positive or nonzero (by 0.5), unit (in 0.05 to 0.95); zeros
    (0, 1, 2) where they are the hard case; or values to test conventions on, without a derivative:
    ties (0, 1, 2), kinks, special (nan, inf, tiny, huge)."""
    x = np.asarray(rng.standard_normal(shape))
    chosen = {
        "ties": [0.0, 1.0, 2.0],
        "zeros": [0.0, 1.0, 2.0],
        "kinks": [-6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0],
        "special": [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-30, -1e-30, 100.0, -100.0, 1e30, -1e30],
    }
    if domain in chosen:
        return rng.choice(chosen[domain], shape)
    return {
        "real": x,
        "positive": np.abs(x) + 0.5,
        "nonzero": x + np.copysign(0.5, x),
        "unit": 0.05 + 0.9 / (1 + np.exp(-x)),
    }[domain]


def laid_out(a: Any, layout: str) -> Any:
    """The same numbers in another order in memory."""
    a = np.asarray(a)
    if layout == "transposed" and a.ndim > 1:
        return np.ascontiguousarray(a.T).T
    if layout == "strided" and a.ndim:
        larger = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
        larger[..., ::2] = a
        return larger[..., ::2]
    return a


CASES: list[Case] = []


def case(
    name: str, shapes: Sequence[Any], reference: Callable[..., Any], *args: Any,
    call: Callable[..., Any] | None = None, domain: str = "real", **kwargs: Any,
) -> None:  # fmt: skip
    """Add to CASES; a lone shape stands for one input."""
    lists = [s if s and isinstance(s[0], tuple) else (s,) for s in shapes]
    smooth = domain not in ("ties", "kinks") and not name.startswith("arg")
    CASES.append(Case(name, lists, reference, args, kwargs, call, domain, smooth))


def loops(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of nested lists as one of arrays."""
    return lambda *arrays: np.array(f(*(a.tolist() for a in arrays)))


def like(x: Any, *others: Any) -> Any:
    """Fills in for references of samples without elements."""
    return np.zeros(np.broadcast_shapes(x.shape, *(o.shape for o in others)))


def samples() -> Iterator[Sample]:
    for c in CASES:
        for i, shapes in enumerate(c.shapes):
            yield Sample(c, shapes, "rows")
            if i == 0 and max(map(len, shapes)) > 1:
                yield Sample(c, shapes, "transposed")
                yield Sample(c, shapes, "strided")
            if len(shapes) == 2 and shapes[0] == shapes[1]:
                yield Sample(c, shapes, "twice")
