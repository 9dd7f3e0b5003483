"""A program that forks while other threads are busy, for test_forks.

    python forking.py CHILDREN WORK ...

lets threads do one kind of work without end and forks CHILDREN times meanwhile. Every child does
the same work, and some more, within seconds, or is ended by an alarm. Prints how they ended, one
line for each kind of work.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable

import numpy as np

import minigrad as mg
from minigrad import kernels, nn, optim
from minigrad.data import DataLoader
from minigrad.kernels.machinery import memory
from minigrad.nn import functional as F

LARGE = 1 << 19  # elements, for which kernels run in parallel and results lie in leased memory


def draw() -> None:
    mg.randn(200_000)


def seed() -> None:
    mg.manual_seed(0)
    mg.rand(50_000)
    mg.get_rng_state()


def lease() -> None:
    if kernels.kernels_in_use() == "numba":
        for _ in range(100):
            memory.empty((LARGE,), np.dtype(np.float32))


def parallel() -> None:
    F.relu(mg.tensor(np.ones(LARGE, np.float32)))


def step() -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    optimizer = optim.Adam(net.parameters())
    net(mg.randn(16, 8)).sum().backward()
    optimizer.step()


def loader() -> None:
    for _ in DataLoader(mg.zeros(64, 2), 4, shuffle=True, num_workers=2):
        pass


def compile_() -> None:
    """Every call compiles something new."""
    import numba

    made = numba.njit(eval(f"lambda x: x + {time.perf_counter_ns()}"))
    made(1)
    made(1.0)


def load() -> None:
    """The first call imports numba and our kernels, which takes long."""
    kernels.kernels_in_use()


def everything() -> None:
    for work in (draw, seed, lease, parallel, step, loader):
        work()


def main(name: str, children: int) -> None:
    work: Callable[[], None] = globals()[name]
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            work()

    threads = [threading.Thread(target=busy) for _ in range(2)]
    if name != "load":
        everything()  # is compiled here: a child's seconds are too few for it on a busy machine
    for thread in threads:
        thread.start()
    ends = []
    for i in range(children):
        time.sleep(0.01 * (i % 4) if name != "load" else 0.05)
        with warnings.catch_warnings():  # newer Pythons warn of what is tried here
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            work()
            if name != "load":
                everything()
            os._exit(0)
        ends.append(os.waitpid(pid, 0)[1])
    stop.set()
    for thread in threads:
        thread.join()
    work()
    print(name, *ends)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        main(name, int(sys.argv[1]))
