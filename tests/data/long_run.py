"""A run for the tests of checkpoints: `python long_run.py FOLDER [WHERE COUNT]`.

It prints a digest of all that it ends with. With WHERE and COUNT it kills itself: at the COUNTth
call of `step`, `write`, `fsync`, `replace` or `unlink`; a write is left half done.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import data, exchange, nn, optim

EPOCHS, SAMPLES, BATCH = 3, 40, 8


def dying(function: Any, count: int, half: bool = False) -> Any:
    """The function, whose call number `count` ends the process, if `half` in the middle of it."""
    calls = 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            if half:
                archive, _, array, _ = args
                archive.fp.write(array.tobytes()[: array.nbytes // 2])
                archive.fp.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    return call


class Run:
    """A network with dropout and batch normalisation, which draws in every step."""

    def __init__(self, folder: str, **options: Any) -> None:
        mg.manual_seed(0)
        rng = np.random.default_rng(1)
        x = rng.standard_normal((SAMPLES, 5))
        y = rng.integers(0, 3, SAMPLES)
        self.model = nn.Sequential(
            nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
        ).double()
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.01)
        self.scheduler = optim.lr_scheduler.StepLR(self.optimizer, 1, gamma=0.5)
        self.loader = data.DataLoader(
            data.TensorDataset(mg.tensor(x), mg.tensor(y)), BATCH, shuffle=True
        )
        self.values: dict[str, Any] = {"step": 0, "losses": []}
        self.noise = np.random.default_rng(2)
        self.checkpoint = mg.Checkpoint(
            folder, **options, model=self.model, optimizer=self.optimizer,
            scheduler=self.scheduler, loader=self.loader, values=self.values, noise=self.noise,
        )  # fmt: skip

    def step(self, x: Any, y: Any) -> None:
        x = x + 0.1 * self.noise.standard_normal(x.shape)
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        self.values["step"] += 1
        self.values["losses"].append(loss.item())

    def train(self) -> None:
        while self.loader.epoch < EPOCHS:
            for x, y in self.loader:
                self.step(x, y)
                self.checkpoint.save(self.values["step"])
            self.scheduler.step()

    def digest(self) -> str:
        """Of every bit of the run's state."""
        seen = hashlib.sha256()

        def add(value: Any) -> None:
            if isinstance(value, dict):
                for key, item in value.items():
                    seen.update(repr(key).encode())
                    add(item)
            elif isinstance(value, list | tuple):
                for item in value:
                    add(item)
            elif isinstance(value, mg.Tensor):
                seen.update(value.array.tobytes())
            else:
                seen.update(repr(value).encode())

        add(self.checkpoint.state_dict())
        return seen.hexdigest()


def main() -> None:
    folder, *death = sys.argv[1:]
    run = Run(folder, keep=2)
    run.checkpoint.load_latest()
    if death:
        where, count = death[0], int(death[1])
        if where == "step":
            run.step = dying(run.step, count)  # type: ignore[method-assign]
        elif where == "write":
            exchange.write_member = dying(exchange.write_member, count, half=True)
        else:
            setattr(os, where, dying(getattr(os, where), count))
    run.train()
    print(run.values["step"], run.digest())


if __name__ == "__main__":
    mg.use_kernels("numpy")  # starts faster
    main()
