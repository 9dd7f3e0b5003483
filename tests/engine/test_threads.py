"""Threads that train beside one another."""

from __future__ import annotations

import os
import threading

import pytest

import minigrad as mg


def together(work: object, count: int = 4) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("n", [1, 1000, 200_000])
def test_backward_onto_one_leaf_loses_no_addition(n: int) -> None:
    w = mg.zeros(n, requires_grad=True)

    def work() -> None:
        for _ in range(100):
            (w * 1.0).sum().backward()

    together(work)
    assert w.grad is not None and (w.grad.array == 400).all()


def test_a_first_gradient_is_not_lost_either() -> None:
    for _ in range(200):
        w = mg.zeros(5000, requires_grad=True)
        together(lambda w=w: w.sum().backward(), 3)  # type: ignore[misc]
        assert w.grad is not None and (w.grad.array == 3).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # newer Pythons warn where there are threads
def test_a_fork_while_another_thread_adds_gradients() -> None:
    w = mg.zeros(200_000, requires_grad=True)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            (w * 1.0).sum().backward()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(10):
            pid = os.fork()
            if pid == 0:
                x = mg.ones(3, requires_grad=True)
                x.sum().backward()
                os._exit(0 if x.grad is not None and x.grad.tolist() == [1, 1, 1] else 1)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        thread.join()
