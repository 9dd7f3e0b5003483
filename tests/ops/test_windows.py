"""Windows on tensors and order statistics: what their gradients' tables do not show."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor

torch = pytest.importorskip("torch")


def plain(value: Any) -> Any:
    """Nested lists and tuples of either library."""
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        return tuple(plain(v) for v in value)
    return tuple(value) if isinstance(value, torch.Size) else getattr(value, "tolist", value)()


SAME: dict[str, Any] = {
    "unravel_index": lambda m: m.unravel_index(m.tensor([[0, 5], [11, -1]]), (3, 4)),
    "unravel_index of a number": lambda m: m.unravel_index(m.tensor(5), 7),
    "unique_consecutive": lambda m: m.tensor([1, 1, 2, 2, 2, 1]).unique_consecutive(True, True),
    "unique_consecutive, axes": lambda m: m.unique_consecutive(
        m.tensor([[1, 1, 2], [1, 1, 2]]), return_inverse=True
    ),
    "unique_consecutive, dim": lambda m: m.unique_consecutive(
        m.tensor([[1, 1, 2], [3, 3, 4]]), return_counts=True, dim=1
    ),
    "unique_consecutive of none": lambda m: m.unique_consecutive(m.tensor([]), True, True),
    "atleast of several": lambda m: m.atleast_2d(m.tensor(1.0), m.ones(2)),
    "block_diag of none": lambda m: m.block_diag(),
    "mode, ties": lambda m: m.mode(m.tensor([[3, 1, 3, 1], [2, 2, 0, 1]])),
    "mode, dim": lambda m: m.mode(m.tensor([[3, 1], [3, 2], [1, 2]]), 0, True),
}


@pytest.mark.parametrize("name", SAME)
def test_as_in_pytorch(name: str) -> None:
    assert plain(SAME[name](mg)) == plain(SAME[name](torch))


def test_nan_in_order_statistics() -> None:
    nan = float("nan")
    rows = [[3.0, nan, 1.0, nan, 2.0], [nan, 7.0, nan, nan, nan], [1.0, 5.0, 4.0, 3.0, 2.0]]
    for f in (lambda m, x: m.nanmedian(x, 1), lambda m, x: m.kthvalue(x, 4),
              lambda m, x: m.aminmax(x, dim=1), lambda m, x: (m.nanmedian(x),)):  # fmt: skip
        found, expected = f(mg, mg.tensor(rows)), f(torch, torch.tensor(rows))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_broadcast_shapes() -> None:
    for shapes in ((), ((2, 1), 3), ((1,), (4, 1, 0))):
        assert mg.broadcast_shapes(*shapes) == tuple(torch.broadcast_shapes(*shapes))
    with pytest.raises(RuntimeError, match=r"broadcast_shapes: shapes \(2,\) and \(3,\) do not"):
        mg.broadcast_shapes(2, 3)


def test_a_real_tensor_is_its_own_real_part_and_conjugate() -> None:
    x = mg.ones(2, requires_grad=True)
    assert x.real is x and mg.real(x) is x and mg.conj(x) is x
    assert mg.from_numpy(np.array([1 + 2j])).conj().tolist() == [1 - 2j]


def test_strides_reach_the_whole_memory_of_the_base() -> None:
    """A view of a row shows the other rows, too; what it shows there belongs to no input."""
    found = {}
    for m in (mg, torch):
        x = m.arange(12.0).requires_grad_()
        row = x.view(3, 4)[1]
        seen = m.as_strided(row, (2, 3), (4, 2), 1)
        (seen * m.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).sum().backward()
        found[m] = seen.tolist(), x.grad.tolist()
    assert found[mg] == found[torch]


x = mg.arange(12.0).view(3, 4)
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "beyond": (lambda: x.as_strided((3,), (6,)), RuntimeError,
               "as_strided: size (3,), stride (6,) and storage_offset 0 reach element 12 of a"),
    "lengths": (lambda: x.as_strided((3, 1), (1,)), RuntimeError, "as_strided: 2 sizes (3, 1) for"),
    "repeated": (lambda: mg.ones(1, requires_grad=True).expand(3).as_strided((2,), (0,)),
                 RuntimeError, "as_strided: there is no gradient for an input whose elements"),
    "H": (lambda: mg.ones(2, 2, 2).H, RuntimeError, "H: expected a matrix, got shape (2, 2, 2)"),
    "adjoint": (lambda: mg.ones(2).adjoint(), RuntimeError, "adjoint: expected matrices"),
    "blocks": (lambda: mg.block_diag(mg.ones(1, 1, 1)), RuntimeError, "block_diag: expected at"),
    "dims": (lambda: x.diag_embed(0, 1, 1), RuntimeError, "diag_embed: dim1 and dim2 are both"),
    "src": (lambda: x.select_scatter(mg.ones(4), 1, 0), RuntimeError,
            "select_scatter: src has shape (4,), expected (3,)"),
    "index": (lambda: x.select_scatter(mg.ones(4), 0, 3), IndexError, "select_scatter: index 3"),
    "k": (lambda: x.kthvalue(5), RuntimeError, "kthvalue: k = 5 is out of range for axis 1"),
    "floats": (lambda: mg.unravel_index(x, (2, 3)), ValueError, "unravel_index: indices must be"),
    "dsplit": (lambda: x.dsplit(2), RuntimeError, "dsplit: expected three axes"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    call, kind, text = REFUSED[name]
    with pytest.raises(kind, match=re.escape(text)):
        call()
    assert isinstance(x, Tensor) and x.tolist()[2][3] == 11
