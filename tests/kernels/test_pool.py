"""The pool of threads that share out a loop's tasks."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

import numba

import minigrad as mg
from minigrad.kernels import get_num_threads, set_num_threads
from minigrad.kernels.machinery import launch, pool


@numba.njit(nogil=True)
def mark(lo: int, hi: int, seen: Any, work: int) -> None:
    for t in range(lo, hi):
        total = 0.0
        for i in range(work):
            total += np.sin(float(i))
        seen[t] += 1 if total < 1e9 else 0


@numba.njit(nogil=True)
def mark_p(at: int, tasks: int, *args: Any) -> None:
    launch.in_parallel(at, tasks, mark, args)


@pytest.fixture(autouse=True)
def threads() -> Any:
    before = get_num_threads()
    yield
    set_num_threads(before)


def loops(count: int, tasks: int, work: int) -> Any:
    seen = np.zeros(tasks, np.int64)
    for _ in range(count):
        launch.run(mark, mark_p, tasks, 1 << 30, seen, work)
    return seen


@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("tasks", [1, 2, 3, 127, 128, 129, 1000])
def test_every_task_is_done_once(n: int, tasks: int) -> None:
    set_num_threads(n)
    for work in (0, 50):
        assert (loops(200, tasks, work) == 200).all()


def test_loops_of_several_threads_do_not_mix() -> None:
    set_num_threads(3)
    found: dict[int, bool] = {}

    def one(k: int) -> None:
        found[k] = bool((loops(500, 40 + k, k) == 500).all())

    starters = [threading.Thread(target=one, args=(k,)) for k in range(6)]
    for t in starters:
        t.start()
    for t in starters:
        t.join()
    assert found == dict.fromkeys(range(6), True)


def test_helpers_sleep_between_loops() -> None:
    set_num_threads(2)
    loops(3, 100, 100)
    time.sleep(0.2)
    before, start = time.process_time(), time.perf_counter()
    time.sleep(0.5)
    assert time.process_time() - before < 0.2 * (time.perf_counter() - start)
    assert (loops(3, 100, 100) == 3).all()


def test_nobody_waits_for_a_helper_that_does_not_come() -> None:
    """As if no processor served the helpers: they are not woken."""
    set_num_threads(2)
    loops(1, 10, 0)
    time.sleep(0.2)  # by then they sleep
    state, asleep = pool._state, pool._state[pool.ASLEEP // 8]
    state[pool.ASLEEP // 8] = 0  # so that nobody is woken
    try:
        assert (loops(20, 50, 10) == 20).all()
    finally:
        state[pool.ASLEEP // 8] = asleep


def test_the_threads_of_numba_are_left_alone() -> None:
    before = numba.get_num_threads()
    set_num_threads(2)
    (mg.ones(1024, 1024).exp() + 1).sum()
    assert numba.get_num_threads() == before


def test_where_no_thread_can_be_started_loops_are_done_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    set_num_threads(len(pool._helpers) + 3)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        assert (loops(20, 50, 10) == 20).all()
    assert (loops(20, 50, 10) == 20).all() and len(pool._helpers) == get_num_threads() - 1


@pytest.mark.slow
def test_interrupted_loops_and_threads_that_change_in_number_leave_the_same_bits() -> None:
    """Ctrl-C comes after a loop, whole as it is, and the pool is free for the next."""
    code = """
import random, signal, threading, time
import minigrad as mg
from minigrad.kernels.machinery import pool

signal.signal(signal.SIGINT, signal.default_int_handler)
x = mg.randn(64, 64, 32, 32)
mg.set_num_threads(1)
work = lambda: mg.nn.functional.batch_norm(x, None, None, training=True).array.tobytes()
want, came, over, armed = work(), 0, threading.Event(), threading.Event()

def meddle():
    while not over.is_set():
        mg.set_num_threads(random.choice((1, 2, 4, 8)))
        time.sleep(0.02 * random.random())
        if armed.is_set():
            armed.clear()
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

thread = threading.Thread(target=meddle)
thread.start()
while came < 30:
    try:
        armed.set()
        while True:
            for _ in range(500):
                assert work() == want
            if not armed.is_set():  # Python loses an interrupt that comes in a finaliser
                armed.set()
    except KeyboardInterrupt:
        came += 1
    assert work() == want
over.set()
thread.join()
print(came == 30, pool.one_loop.acquire(blocking=False))
"""
    if not hasattr(signal, "pthread_kill"):
        pytest.skip("the system sends no signal to a thread")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no such timer")
def test_interrupts_leave_no_lock_behind() -> None:
    """However near to the taking of a lock they come: one that stays locked is waited for forever,
    or leaves every later loop to one thread."""
    code = """
import random, signal, sys, time
import numpy as np
import minigrad as mg
from minigrad.kernels.machinery import launch, memory

class Interrupt(Exception):
    pass

def interrupt(*_):
    raise Interrupt

def lost(_):  # in a finaliser
    global came
    came += 1

def loop():
    launch.run(lambda *_: None, lambda *_: None, 2, 1 << 20)

mg.set_num_threads(2)
mg.relu(mg.ones(1 << 20))
signal.signal(signal.SIGALRM, interrupt)
sys.unraisablehook = lost
came = 0
for work in (lambda: memory.empty((1 << 17,), np.dtype(np.float32)), loop):
    while came < 2000:
        before = came
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-4))
            while came == before:
                work()
        except Interrupt:
            came += 1
        assert not memory._lock.locked() and not launch.one_loop.locked(), came
    came = 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.slow
def test_a_process_ends_while_a_daemon_starts_loops() -> None:
    """Each of its loops is whole: the end may come in the middle of one, many times here."""
    code = """
import threading, time
import minigrad as mg
from minigrad.kernels.machinery import pool

mg.set_num_threads(3)
x = mg.ones(1 << 19)
over = threading.Event()

def loops():
    while not over.is_set():
        mg.nn.functional.relu(x)

mg.nn.functional.relu(x)
daemon = threading.Thread(target=loops, daemon=True)
daemon.start()
for i in range(100):
    time.sleep(0.001 * (1 + i % 4))
    pool._stop()
    pool._over, pool._state[pool.STOP // 8] = False, 0  # as if it had not come
    pool._helpers.clear()
over.set()
daemon.join(20)
print(daemon.is_alive())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


@pytest.mark.slow
def test_a_process_ends_while_helpers_are_awake() -> None:
    code = """
import minigrad as mg, os
mg.set_num_threads(4)
x = mg.ones(1000, 1000)
for _ in range(20):
    x = x.tanh()
if hasattr(os, "fork"):
    pid = os.fork()
    x = x.tanh()
    if pid == 0:
        raise SystemExit(0 if float(x[0, 0]) > 0 else 1)
    assert os.waitpid(pid, 0)[1] == 0
"""
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
