"""`_foreach_add_` and its like beside PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")

# The arguments behind the list: "l" a list of tensors, "n" one of numbers, or one for all.
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("add", ("l",), {"alpha": 0.5}), ("add", (2.0,), {}), ("add", ("n",), {}), ("sub", ("l",), {}),
    ("mul", (0.9,), {}), ("mul", ("l",), {}), ("mul", ("n",), {}), ("div", ("l",), {}),
    ("lerp", ("l", 0.1), {}), ("addcmul", ("l", "l"), {"value": 0.3}),
    ("addcmul", ("l", "l", 0.3), {}), ("addcdiv", ("l", "l", "n"), {}), ("sqrt", (), {}),
    ("addcdiv", ("l", "l"), {}), ("neg", (), {}), ("reciprocal", (), {}), ("abs", (), {}),
    ("maximum", ("l",), {}), ("clamp_min", (1.0,), {}), ("clamp_max", (1.0,), {}),
    ("pow", (2,), {}), ("sign", (), {}), ("exp", (), {}), ("rsqrt", (), {}),
]  # fmt: skip


def lists(lib: Any, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [lib.tensor(rng.random(shape) + 0.5) for shape in ((3, 2), (), (4,), (0,))]


@pytest.mark.parametrize(("op", "args", "options"), CALLS, ids=lambda x: str(x))
def test_foreach(op: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    found = {}
    for lib in (minigrad, torch):
        given = [
            lists(lib, i + 1) if a == "l" else [0.5, 2.0, 3.0, 1.0] if a == "n" else a
            for i, a in enumerate(args)
        ]
        changed = lists(lib, 0)
        plain = getattr(lib, f"_foreach_{op}")(changed, *given, **options)
        getattr(lib, f"_foreach_{op}_")(changed, *given, **options)
        found[lib] = [*plain, *changed]
    for a, b in zip(found[minigrad], found[torch], strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), 1e-12)


def test_norms_copies_and_refusals() -> None:
    for lib in (minigrad, torch):
        x = lists(lib, 0)[:3]
        norms = lib._foreach_norm(x, 2)
        assert [n.shape for n in norms] == [()] * 3 and abs(norms[1] - abs(x[1])) < 1e-12
        to = [lib.zeros_like(t) for t in x]
        lib._foreach_copy_(to, x)
        assert to[0].tolist() == x[0].tolist()
        lib._foreach_zero_(to)
        assert to[0].tolist() == [[0, 0]] * 3
        assert hasattr(lib, "_foreach_mul_") and not hasattr(lib, "_foreach_smell_")
    x = lists(minigrad, 0)
    with pytest.raises(RuntimeError, match="_foreach_add: 3 tensors, but 2 values"):
        minigrad._foreach_add(x[:3], x[:2])
