"""What shares memory here shares it in PyTorch, and what is a copy there is one here."""

from __future__ import annotations

from typing import Any

import pytest

import minigrad as mg

torch = pytest.importorskip("torch")

# From a tensor of shape (4, 3).
WAYS: dict[str, Any] = {
    "unfold": lambda m, x: x.unfold(0, 2, 1),
    "unfold, apart": lambda m, x: x.unfold(1, 1, 2),
    "diagonal": lambda m, x: x.diagonal(1),
    "linalg.diagonal": lambda m, x: m.linalg.diagonal(x),
    "T": lambda m, x: x.T,
    "mT": lambda m, x: x.mT,
    "t": lambda m, x: x.t(),
    "movedim": lambda m, x: x.movedim(0, 1),
    "moveaxis": lambda m, x: x.moveaxis(0, 1),
    "adjoint": lambda m, x: x.adjoint(),
    "mH": lambda m, x: x.mH,
    "H": lambda m, x: x.H,
    "real": lambda m, x: x.real,
    "conj": lambda m, x: x.conj(),
    "as_strided": lambda m, x: x.as_strided((2, 2), (4, 1), 1),
    "as_strided of a view": lambda m, x: x[1:].t().as_strided((2,), (3,), 1),
    "as_strided of a view, from its start": lambda m, x: x[1:].as_strided((2, 2), (3, 2)),
    "atleast_1d": lambda m, x: m.atleast_1d(x[0, 0]),
    "atleast_2d": lambda m, x: m.atleast_2d(x[0], x)[0],
    "atleast_3d": lambda m, x: m.atleast_3d([x])[0],
    "dsplit": lambda m, x: x.view(2, 2, 3).dsplit(3)[1],
    "diag_embed": lambda m, x: x.diag_embed(),
    "diagflat": lambda m, x: x.diagflat(),
    "block_diag": lambda m, x: m.block_diag(x),
    "select_scatter": lambda m, x: x.select_scatter(x[0], 0, 1),
    "diagonal_scatter": lambda m, x: x.diagonal_scatter(x.diagonal()),
    "swapaxes": lambda m, x: x.swapaxes(0, 1),
    "swapdims": lambda m, x: x.swapdims(0, -1),
    "permute": lambda m, x: x.permute(1, 0),
    "expand": lambda m, x: x[:1].expand(4, 3),
    "expand_as": lambda m, x: x[:1].expand_as(x),
    "broadcast_to": lambda m, x: m.broadcast_to(x[:1], (4, 3)),
    "broadcast_tensors": lambda m, x: m.broadcast_tensors(x[:1], x)[0],
    "meshgrid": lambda m, x: m.meshgrid(x[0], x[1], indexing="ij")[0],
    "narrow": lambda m, x: x.narrow(0, 1, 2),
    "select": lambda m, x: x.select(0, 1),
    "split": lambda m, x: x.split([1, 3])[1],
    "chunk": lambda m, x: x.chunk(2)[1],
    "unbind": lambda m, x: x.unbind(1)[1],
    "tensor_split": lambda m, x: x.tensor_split(3)[1],
    "hsplit": lambda m, x: x.hsplit(3)[1],
    "vsplit": lambda m, x: x.vsplit(2)[1],
    "squeeze": lambda m, x: x[:1].squeeze(0),
    "unsqueeze": lambda m, x: x.unsqueeze(0),
    "view": lambda m, x: x.view(3, 4),
    "view_as": lambda m, x: x.view_as(x),
    "unflatten": lambda m, x: x.unflatten(0, (2, 2)),
    "ravel": lambda m, x: x.ravel(),
    "flatten": lambda m, x: x.flatten(),
    "flatten, transposed": lambda m, x: x.t().flatten(),
    "reshape": lambda m, x: x.reshape(3, 4),
    "reshape, transposed": lambda m, x: x.t().reshape(2, 6),
    "reshape_as": lambda m, x: x.reshape_as(x),
    "contiguous": lambda m, x: x.contiguous(),
    "contiguous, transposed": lambda m, x: x.t().contiguous(),
    "to": lambda m, x: x.to(x.dtype),
    "float": lambda m, x: x.float(),
    "double": lambda m, x: x.double(),
    "detach": lambda m, x: x.detach(),
    "data": lambda m, x: x.data,
    "positive": lambda m, x: x.positive(),
    "as_tensor": lambda m, x: m.as_tensor(x),
    "x[1:3]": lambda m, x: x[1:3],
    "x[:, ::2]": lambda m, x: x[:, ::2],
    "x[1]": lambda m, x: x[1],
    "x[1, 1]": lambda m, x: x[1, 1],
    "x[None]": lambda m, x: x[None],
    "x[..., 0]": lambda m, x: x[..., 0],
    "x[[0, 1]]": lambda m, x: x[[0, 1]],
    "clone": lambda m, x: x.clone(),
    "flip": lambda m, x: x.flip(0),
    "roll": lambda m, x: x.roll(1, 0),
    "tril": lambda m, x: x.tril(),
    "repeat": lambda m, x: x.repeat(1, 1),
    "cat": lambda m, x: m.cat([x]),
    "stack": lambda m, x: m.stack([x]),
    "where": lambda m, x: m.where(x > 0, x, x),
    "clamp": lambda m, x: x.clamp(0, 5),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("recorded", [False, True])
def test_sharing(way: str, recorded: bool) -> None:
    found = {}
    for m in (torch, mg):
        x = m.ones(4, 3)
        if recorded:
            x.requires_grad_()
            x = x * 1
        view = WAYS[way](m, x)
        with m.no_grad():
            view.detach().mul_(2) if way not in REPEATED else x.detach().mul_(2)
            found[m] = x.sum().item() != 12, view.sum().item()
    assert found[mg] == found[torch]


# A change through these would have to change one element twice.
REPEATED = ("unfold", "expand", "expand_as", "broadcast_to", "broadcast_tensors", "meshgrid")
