"""Ctrl-C: what is to happen as a whole happens as a whole, with real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.interrupts import deferred

SIGINT = signal.SIGINT


def interrupt() -> None:
    os.kill(os.getpid(), SIGINT)


@pytest.fixture(autouse=True)
def handler() -> Iterator[Any]:
    """Python's own handler, as in a program, and afterwards the one that was there."""
    before = signal.signal(SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(SIGINT, before)


WORKS = ["sgd", "adam", "amsgrad", "module", "convert", "optimizer_state", "statistics",
         "schedule", "save"]  # fmt: skip


def run(tries: int, *works: str, kernels: str = "numba") -> dict[str, list[int]]:
    """How many interrupts came, and how many left halves: of each, one after the other."""
    program = Path(__file__).with_name("interrupted.py")
    found = subprocess.run(
        [sys.executable, "-W", "error", program, str(tries), *works],
        env={**os.environ, "MINIGRAD_KERNELS": kernels}, capture_output=True, text=True,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    rows = [line.split() for line in found.stdout.splitlines()]
    return {work: [int(number) for number in numbers] for work, *numbers in rows}


@pytest.mark.slow
def test_interrupted_at_random_times() -> None:
    assert run(100, *WORKS) == {work: [100, 0] for work in WORKS}


@pytest.mark.slow
def test_interrupted_at_random_times_on_numpy() -> None:
    works = ["sgd", "adam", "statistics"]
    assert run(100, *works, kernels="numpy") == {work: [100, 0] for work in works}


@pytest.mark.slow
def test_without_protection_this_search_finds_halves() -> None:
    """Statistics are not among them: their block is three assignments, during which Python hands
    over to no other thread, such as the one that interrupts here."""
    works = ("sgd", "module")
    found = run(150, "unprotected", *works, kernels="numpy")  # compiled, a step is one call
    assert set(found) == set(works)
    assert all(came == 150 and half > 0 for came, half in found.values())


@pytest.mark.fuzz
@pytest.mark.parametrize("work", WORKS)
def test_interrupted_a_thousand_times(work: str) -> None:
    assert run(1000, work) == {work: [1000, 0]}


class TestDeferred:
    def test_it_comes_at_the_end(self, handler: Any) -> None:
        done = []
        with pytest.raises(KeyboardInterrupt), deferred():
            interrupt()
            interrupt()
            done.append(1)
        assert done == [1] and signal.getsignal(SIGINT) is handler

    def test_without_one_nothing_comes(self, handler: Any) -> None:
        with deferred():
            assert signal.getsignal(SIGINT) is not handler
        assert signal.getsignal(SIGINT) is handler

    def test_an_error_is_its_context(self, handler: Any) -> None:
        with pytest.raises(KeyboardInterrupt) as caught, deferred():
            interrupt()
            raise ZeroDivisionError
        assert isinstance(caught.value.__context__, ZeroDivisionError)
        with pytest.raises(ZeroDivisionError), deferred():
            raise ZeroDivisionError
        assert signal.getsignal(SIGINT) is handler

    def test_nested(self, handler: Any) -> None:
        done = []
        with pytest.raises(KeyboardInterrupt), deferred():
            with deferred():
                interrupt()
            done.append("inner")
            with deferred():
                pass
            done.append("outer")
        assert done == ["inner", "outer"] and signal.getsignal(SIGINT) is handler

    def test_a_handler_of_the_users(self) -> None:
        calls: list[Any] = []
        signal.signal(SIGINT, lambda *args: calls.append(args))
        with deferred():
            interrupt()
            assert calls == []
        assert [number for number, _ in calls] == [SIGINT] and calls[0][1] is not None

    @pytest.mark.parametrize("other", [signal.SIG_IGN, signal.SIG_DFL])
    def test_where_python_is_not_asked(self, other: Any) -> None:
        signal.signal(SIGINT, other)
        with deferred():
            assert signal.getsignal(SIGINT) == other
        assert signal.getsignal(SIGINT) == other

    def test_the_block_may_set_a_handler(self) -> None:
        calls: list[Any] = []

        def mine(*args: Any) -> None:
            calls.append(args)

        with deferred():
            signal.signal(SIGINT, mine)
        assert signal.getsignal(SIGINT) is mine

    def test_other_threads(self, handler: Any) -> None:
        """Python interrupts the main thread only, and lets no other exchange the handler."""
        found: list[Any] = []

        def act() -> None:
            with deferred():
                found.append(signal.getsignal(SIGINT))

        thread = threading.Thread(target=act)
        thread.start()
        thread.join()
        assert found == [handler]

    def test_insistent(self, handler: Any) -> None:
        done: list[int] = []
        with pytest.raises(KeyboardInterrupt), deferred(insistent=True):
            interrupt()
            done.append(1)
            interrupt()
            done.append(2)
        assert done == [1] and signal.getsignal(SIGINT) is handler

    def test_check(self, handler: Any) -> None:
        done: list[int] = []
        with pytest.raises(KeyboardInterrupt), deferred() as wait:
            wait.check()
            interrupt()
            done.append(1)
            wait.check()
            done.append(2)
        assert done == [1] and signal.getsignal(SIGINT) is handler

    def test_it_costs_microseconds(self) -> None:
        def once() -> float:
            start = time.perf_counter()
            for _ in range(1000):
                with deferred():
                    pass
            return time.perf_counter() - start

        assert min(once() for _ in range(20)) / 1000 < 20e-6  # 1.2 on the machine it was written on


class InTheMiddle(optim.SGD):
    """Interrupted between the first parameter and the second."""

    def update(self, group: Any, entries: Any) -> None:
        super().update(group, entries[:1])
        interrupt()
        super().update(group, entries[1:])


def test_a_step_is_whole() -> None:
    p, q = (nn.Parameter(mg.zeros(1)) for _ in range(2))
    p.grad, q.grad = mg.ones(1), mg.ones(1)
    optimizer = InTheMiddle([p, q], lr=1.0)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    assert p.item() == q.item() == -1.0 and optimizer.has_stepped


def test_a_closure_is_interrupted_at_once() -> None:
    p = nn.Parameter(mg.zeros(1))
    p.grad = mg.ones(1)
    optimizer = optim.SGD([p], lr=1.0)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step(interrupt)
    assert p.item() == 0.0 and mg.is_grad_enabled()


def test_entering_a_block_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """If entering raises, recording is as it was; a `with` would not call __exit__ then."""
    from minigrad import modes

    class Interrupting:
        def __init__(self, variable: Any) -> None:
            self.get, self.inner, self.first = variable.get, variable, True

        def set(self, value: Any) -> None:
            self.inner.set(value)
            if self.first:
                self.first = False
                raise KeyboardInterrupt

    monkeypatch.setattr(modes, "grad_enabled", Interrupting(modes.grad_enabled))
    with pytest.raises(KeyboardInterrupt), mg.no_grad():
        pass
    assert mg.is_grad_enabled()


def test_a_finished_save_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def interrupted(*args: str) -> None:
        replace(*args)
        interrupt()

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mg.save([np.ones(5)], tmp_path / "x")
    assert mg.load(tmp_path / "x")[0].tolist() == [1.0] * 5 and os.listdir(tmp_path) == ["x"]


def test_a_save_that_takes_long_is_left_between_its_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mg.save("before", tmp_path / "x")
    write, written = np.lib.format.write_array, []

    def interrupted(*args: Any, **options: Any) -> None:
        if len(written) == 2:
            interrupt()
        write(*args, **options)
        written.append(1)

    monkeypatch.setattr(np.lib.format, "write_array", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mg.save([np.ones(5)] * 100, tmp_path / "x")
    assert len(written) == 2
    assert mg.load(tmp_path / "x") == "before" and os.listdir(tmp_path) == ["x"]


def test_a_save_that_hangs_is_interrupted_by_the_second(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    code = f"""
import numpy as np, minigrad as mg
try:
    print("saving", flush=True)
    mg.save(np.ones(1 << 20), {str(tmp_path / "pipe")!r})
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    reader = os.open(tmp_path / "pipe", os.O_RDONLY)
    try:
        assert process.stdout is not None and process.stdout.readline() == "saving\n"
        assert os.read(reader, 1)  # it writes, and soon waits for a reader
        time.sleep(0.3)
        process.send_signal(SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(SIGINT)
        while os.read(reader, 1 << 16):  # what zipfile still writes at its end
            pass
        assert process.communicate(timeout=20)[0] == "interrupted\n"
    finally:
        process.kill()
        process.wait()
        os.close(reader)
