"""The gradients that a walk has been given so far: which arrays are its own, and which are not."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.pieces import Pending, Piece
from minigrad.tape import Leaf


def new(n: int = 4) -> tuple[Pending, Leaf]:
    return Pending(), Leaf((n,), np.dtype(np.float64))


def first_two(value: float) -> Piece:
    return Piece((4,), (slice(2),), np.full(2, value))


def test_the_first_is_borrowed_the_second_allocates_and_the_third_is_added_in_place() -> None:
    pending, node = new()
    first, second = np.ones(4), np.full(4, 2.0)
    pending.add(node, first)
    assert pending.grads[node] is first
    pending.add(node, second)
    both = pending.grads[node]
    pending.add(node, second)
    assert pending.grads[node] is both and both.tolist() == [5.0] * 4
    assert first.tolist() == [1.0] * 4 and second.tolist() == [2.0] * 4
    assert pending.take_newest() == (node, both)


def test_a_node_is_taken_once_and_starts_anew() -> None:
    pending, node = new()
    pending.add(node, np.ones(4))
    pending.add(node, np.ones(4))
    pending.take_newest()
    assert pending.nodes == []
    borrowed = np.ones(4)
    pending.add(node, borrowed)
    pending.add(node, np.ones(4))
    assert borrowed.tolist() == [1.0] * 4


def test_a_piece_is_not_added_to_what_is_borrowed() -> None:
    pending, node = new()
    borrowed = np.ones(4)
    pending.add(node, borrowed)
    pending.add_piece(node, first_two(3.0))
    own = pending.grads[node]
    assert borrowed.tolist() == [1.0] * 4 and own.tolist() == [4.0, 4.0, 1.0, 1.0]
    pending.add_piece(node, first_two(1.0))
    pending.add(node, borrowed)
    assert pending.grads[node] is own and own.tolist() == [6.0, 6.0, 2.0, 2.0]


def test_the_zeros_around_a_piece_are_the_walks_own() -> None:
    pending, node = new()
    pending.add_piece(node, first_two(3.0))
    own: Any = pending.grads[node]
    pending.add_piece(node, first_two(1.0))
    pending.add(node, np.ones(4))
    assert pending.grads[node] is own and own.tolist() == [5.0, 5.0, 1.0, 1.0]
    assert [n for _, n in pending.nodes] == [node]


def test_the_newest_is_taken_first() -> None:
    pending, older = new()
    newer = Leaf((4,), np.dtype(np.float64))
    for node in (older, newer):
        pending.add_piece(node, first_two(1.0))
    assert pending.take_newest()[0] is newer and pending.take_newest()[0] is older


def test_whether_a_piece_fits() -> None:
    _, node = new()
    assert first_two(1.0).fits(node) is True
    assert not Piece((4,), (slice(2),), np.ones(2, np.float32)).fits(node)
    assert not Piece((5,), (slice(2),), np.ones(2)).fits(node)
