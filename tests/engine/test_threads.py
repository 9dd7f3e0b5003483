"""Threads that train beside one another."""

from __future__ import annotations

import gc
import os
import threading
import time
import tracemalloc

import pytest

import minigrad as mg
from minigrad import changes, nn
from minigrad.nn import functional as F


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_waits_for_a_thread_that_adds_and_both_sides_go_on() -> None:
    held = threading.Event()

    def hold() -> None:
        with changes.adding:
            held.set()
            time.sleep(0.2)

    def free() -> bool:
        """Whether this thread can add, and a new one. (In a child it may have the name of one that
        is not there.)"""
        found: list[bool] = []

        def take() -> None:
            found.append(changes.adding.acquire(timeout=2))
            if found[-1]:
                changes.adding.release()

        take()
        together(take, 1)
        return all(found)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if free() else 1)
    assert os.waitpid(pid, 0)[1] == 0
    thread.join()
    assert free()


def train(seed: int) -> list[bytes]:
    """The bits of a small network's parameters and statistics after some steps."""
    generator = mg.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    )
    for p in net.parameters():
        p.data.copy_(mg.randn(*p.shape, generator=generator))
    optimizer = mg.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(20):
        x = mg.randn(16, 1, 8, 8, generator=generator)
        loss = F.cross_entropy(net(x), mg.randint(0, 3, (16,), generator=generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [v.numpy().tobytes() for v in net.state_dict().values()]


@pytest.mark.slow
def test_eight_threads_train_as_if_alone(kernels: str) -> None:
    alone = [train(seed) for seed in range(8)]
    found: dict[int, list[bytes]] = {}

    def work(seed: int) -> None:
        with mg.use_kernels(kernels):  # a setting of this thread
            found[seed] = train(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[seed] for seed in range(8)] == alone


@pytest.mark.slow
@pytest.mark.parametrize("steps", [500, pytest.param(50_000, marks=pytest.mark.fuzz)])
def test_memory_stays_flat_without_the_collector(kernels: str, steps: int) -> None:
    """Nothing waits for the collector: no cycle is made, and nothing is kept."""
    net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = mg.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    x, t = mg.randn(32, 8), mg.randint(0, 2, (32,))

    def run(count: int) -> None:
        for _ in range(count):
            loss = F.cross_entropy(net(x), t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    run(50)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        run(50)
        before = tracemalloc.get_traced_memory()[0]
        run(steps)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()
    assert grown < 20_000, f"{grown} bytes more after {steps} steps"
