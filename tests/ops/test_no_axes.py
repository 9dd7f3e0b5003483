"""Functions of an axis, of a tensor that has none: 0 and -1 stand for it, as in PyTorch."""

from __future__ import annotations

from typing import Any

import pytest

import minigrad

torch = pytest.importorskip("torch")

PLAIN = [
    "cumsum", "cumprod", "logcumsumexp", "cummax", "cummin", "sort", "argsort", "mode",
    "median", "nanmedian", "softmax", "squeeze", "log_softmax", "logsumexp", "sum", "mean",
    "prod", "amax", "amin", "max", "min", "argmax", "argmin", "any", "all", "norm", "unbind",
    "nansum", "unsqueeze", "nanmean", "count_nonzero", "atleast_1d", "flatten",
]  # fmt: skip
WITH: dict[str, tuple[Any, ...]] = {
    "transpose": (0, 0), "swapaxes": (0, -1), "movedim": (0, 0), "moveaxis": (-1, 0),
    "permute": ((),), "roll": (1, 0), "flip": ((0,),), "topk": (1, 0), "kthvalue": (1, 0),
    "split": (1, 0), "chunk": (1, 0), "select": (0, 0), "narrow": (0, 0, 1), "quantile": (0.5, 0),
    "nanquantile": (0.5, -1), "tensor_split": (1, 0), "unflatten": (0, (1,)), "tile": ((2,),),
    "diff": (1, 0), "diagonal": (), "trace": (), "tril": (), "rot90": (1, (0, 1)), "hsplit": (1,),
    "repeat_interleave": (2, 0), "unique_consecutive": (False, False, 0),
}  # fmt: skip
INDEXED = {
    "index_select": lambda m: (0, m.tensor([0])),
    "index_select 2": lambda m: (0, m.tensor([0, 0])),
    "index_select 0": lambda m: (0, m.tensor([], dtype=m.int64)),
    "gather": lambda m: (0, m.tensor(0)),
    "take_along_dim": lambda m: (m.tensor(0), 0),
    "scatter": lambda m: (0, m.tensor(0), m.tensor(5.0)),
    "scatter_add": lambda m: (0, m.tensor(0), m.tensor(5.0)),
    "index_add": lambda m: (0, m.tensor([0]), m.tensor(5.0)),
    "index_copy": lambda m: (0, m.tensor([0]), m.tensor(5.0)),
    "index_fill": lambda m: (0, m.tensor([0]), 5.0),
    "masked_fill": lambda m: (m.tensor(True), 5.0),
}


def outcome(m: Any, name: str) -> Any:
    """Shapes, values and the gradient in one library; or that it refuses."""
    x = m.tensor(3.0, requires_grad=True)
    op = name.split()[0]
    args = INDEXED[name](m) if name in INDEXED else WITH.get(name, (0,) if op != "flatten" else ())
    args = () if op == "atleast_1d" else args
    try:
        out = getattr(m, op)(x, *args) if hasattr(m, op) else getattr(x, op)(*args)
    except (RuntimeError, IndexError, ValueError):
        return "refused"
    several = list(out) if isinstance(out, tuple | list) else [out]
    if several[0].requires_grad:
        several[0].sum().backward()
    grads = [] if x.grad is None else [x.grad]
    return [(tuple(y.shape), y.tolist()) for y in [*several, *grads]]


@pytest.mark.filterwarnings("ignore")  # PyTorch deprecates some of these calls
@pytest.mark.parametrize("name", [*PLAIN, *WITH, *INDEXED])
def test_as_pytorch(name: str) -> None:
    assert outcome(minigrad, name) == outcome(torch, name)
