"""A program that is interrupted again and again, for test_interrupts.

    python interrupted.py TRIES [unprotected] WORK ...

runs one kind of work without end, sends itself SIGINT after a random time, catches the
KeyboardInterrupt and looks whether the work was done as a whole; TRIES times. Prints how often an
interrupt came, and how often what it left was half done, one line for each kind of work.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import interrupts, nn, optim

Work = tuple[Callable[[], Any], Callable[[], bool]]  # what is done again and again; is it whole?


def steps(make: Callable[[list[mg.Tensor]], optim.Optimizer], key: str) -> Work:
    """All parameters start alike and have the same gradient, so they must stay alike."""
    parameters = [nn.Parameter(mg.zeros(4)) for _ in range(60)]
    optimizer = make(parameters)
    for p in parameters:
        p.grad = mg.ones(4)

    def whole() -> bool:
        arrays = [p.array for p in parameters]
        arrays += [optimizer.state[p][key].array for p in parameters if p in optimizer.state]
        n = len(parameters)
        same = [len({a.tobytes() for a in part}) == 1 for part in (arrays[:n], arrays[n:]) if part]
        return len(arrays) in (n, 2 * n) and all(same)

    return optimizer.step, whole


def sgd() -> Work:
    return steps(lambda p: optim.SGD(p, lr=0.1, momentum=0.9), "momentum_buffer")


def adam() -> Work:
    return steps(lambda p: optim.Adam(p, lr=0.1), "step")


def amsgrad() -> Work:
    return steps(lambda p: optim.AdamW(p, lr=0.1, amsgrad=True), "max_exp_avg_sq")


def module() -> Work:
    net = nn.Sequential(*(nn.Linear(2, 2) for _ in range(30)))
    states = [{k: mg.full(v.shape, n) for k, v in net.state_dict().items()} for n in (1.0, 2.0)]
    number = itertools.count()

    def whole() -> bool:
        return len({a for p in net.parameters() for a in p.array.ravel().tolist()}) == 1

    return lambda: net.load_state_dict(states[next(number) % 2]), whole


def convert() -> Work:
    net = nn.Sequential(*(nn.Linear(2, 2) for _ in range(30)))
    number = itertools.count()

    def whole() -> bool:
        return len({p.dtype for p in net.parameters()}) == 1

    return lambda: net.to(np.float64 if next(number) % 2 else np.float32), whole


def optimizer_state() -> Work:
    parameters = [nn.Parameter(mg.zeros(1)) for _ in range(30)]
    optimizer = optim.SGD(parameters, lr=1, momentum=0.9)
    states = []
    for n in (1.0, 2.0):
        for p in parameters:
            optimizer.state[p] = {"momentum_buffer": mg.full((1,), n)}
        optimizer.param_groups[0]["lr"] = n
        states.append(
            {
                "state": optimizer.state_dict()["state"],
                "param_groups": [dict(optimizer.state_dict()["param_groups"][0])],
            }
        )
    number = itertools.count()

    def whole() -> bool:
        held = {optimizer.state[p]["momentum_buffer"].item() for p in parameters}
        return held == {optimizer.param_groups[0]["lr"]}

    return lambda: optimizer.load_state_dict(states[next(number) % 2]), whole


def statistics() -> Work:
    """Batches of mean 1 and (unbiased) variance 2 move both by halves, and are counted."""
    layer = nn.BatchNorm1d(3, momentum=0.5, dtype=np.float64)
    x = mg.tensor(np.repeat([[0.0], [2.0]], 3, axis=1))

    def whole() -> bool:
        n = int(layer.num_batches_tracked.item())
        mean, var = layer.running_mean.array, layer.running_var.array
        done = bool((mean == 1 - 0.5**n).all() and (var == 2 - 0.5**n).all())
        if n > 30 or not done:
            layer.reset_running_stats()
        return done

    return lambda: layer(x), whole


def schedule() -> Work:
    optimizer = optim.SGD([{"params": [nn.Parameter(mg.zeros(1))]} for _ in range(20)], lr=1.0)
    optimizer.has_stepped = True
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.999)

    def whole() -> bool:
        rates = {group["lr"] for group in optimizer.param_groups}
        return len(rates) == 1 and bool(np.isclose(rates.pop(), 0.999**scheduler.last_epoch))

    return scheduler.step, whole


def save() -> Work:
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "x")
    number = itertools.count()
    mg.save([-1], path)

    def work() -> None:
        n = next(number)
        mg.save([np.full(5, n)] * 10, path)

    def whole() -> bool:
        found = mg.load(path)
        return os.listdir(folder.name) == ["x"] and all((a == found[0]).all() for a in found)

    work.folder = folder  # type: ignore[attr-defined]  # lives as long as the work
    return work, whole


def blocks() -> Work:
    """What remains: Python itself may raise between the end of a block and its __exit__."""

    def work() -> None:
        with mg.no_grad():
            pass

    def whole() -> bool:
        found = mg.is_grad_enabled()
        mg.set_grad_enabled(True)
        return found

    return work, whole


def main(name: str, tries: int) -> None:
    work, whole = globals()[name]()
    rng = random.Random(0)
    work()
    before = signal.getsignal(signal.SIGINT)
    came = half = 0
    for _ in range(tries):
        delay = rng.random() * 2e-3

        def send(delay: float = delay) -> None:
            time.sleep(delay)
            os.kill(os.getpid(), signal.SIGINT)

        sender = threading.Thread(target=send)
        with contextlib.suppress(KeyboardInterrupt):
            sender.start()
            while True:
                work()
        came += 1  # any other exception ends the program
        sender.join()
        half += not whole()
        assert signal.getsignal(signal.SIGINT) is before
    print(name, came, half)


if __name__ == "__main__":
    tries, *names = sys.argv[1:]
    if names[0] == "unprotected":
        interrupts.deferred.__enter__ = lambda self: self  # type: ignore[method-assign]
        names = names[1:]
    for name in names:
        main(name, int(tries))
