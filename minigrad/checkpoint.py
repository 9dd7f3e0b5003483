"""Checkpoints: a run that was stopped, wherever it was, goes on as if it had not been."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import serialization
from minigrad.checks import integer
from minigrad.interrupts import deferred
from minigrad.ops.random import Generator, default_generator

FILE = re.compile(r"step-(\d+)\.mg")
# How a part's state is read, and how it is given back.
Access = tuple[Callable[[], Any], Callable[[Any], Any]]
RANDOM = "random"  # the library's generator, which is a part of every run


class Checkpoint:
    """All that a run needs to go on, as one object that is saved in one file.

        checkpoint = mg.Checkpoint("run", every=100, model=model, optimizer=optimizer,
                                   scheduler=scheduler, loader=loader, values=values)
        checkpoint.load_latest()
        while loader.epoch < 10:
            for x, y in loader:
                ...                             # a step of the training
                values["step"] += 1
                checkpoint.save(values["step"])
            scheduler.step()

    Killed at any moment and started again, this ends with the same bits: the loader goes on behind
    the last batch that the checkpoint knows of, and the library's generator, which is always part
    of it, where it stood. Python's and numpy's global generators are not part of it.

    Args:
        folder: where the files are, `step-00000100.mg` and so on; made when it is needed. It is for
            one run.
        every: `save` writes at steps that this divides, and does nothing at others.
        keep: how many files stay; older ones are removed once a newer one is whole.
        parts: what is saved, by name: whatever has `state_dict` and `load_state_dict` (models,
            optimisers, schedules, loaders), generators, the library's and numpy's, and dicts and
            lists of the user's values, which loading fills anew.

    Raises:
        TypeError: a part that is none of these.
        ValueError: no parts, or one that is called "random".
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, every: int = 1, keep: int = 3, **parts: Any
    ) -> None:
        self.folder = Path(folder)
        self.every = integer("Checkpoint", "every", every)
        self.keep = integer("Checkpoint", "keep", keep)
        if not parts:
            raise ValueError("Checkpoint: expected parts by name, as in model=model, got none")
        if RANDOM in parts:
            raise ValueError(
                f"Checkpoint: {RANDOM!r} is the library's generator, which is saved in any case: "
                "give the part another name"
            )
        self.parts = parts
        for name, part in parts.items():
            _access(name, part)

    def state_dict(self) -> dict[str, Any]:
        """The states of all parts by name, and under "random" that of the library's generator.
        Tensors in it share memory with the parts."""
        return {name: get() for name, (get, _) in self._accesses().items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give every part its state back; all of it or nothing.

        Raises:
            ValueError: the names differ from those of the parts.
            TypeError, ValueError, RuntimeError: a part refuses its state. No part has changed then.
        """
        accesses = self._accesses()
        if not isinstance(state_dict, dict) or set(state_dict) != set(accesses):
            got = type(state_dict).__name__
            if isinstance(state_dict, dict):
                got = ", ".join(map(repr, state_dict)) or "none"
            raise ValueError(
                f"Checkpoint.load_state_dict: expected the parts {', '.join(map(repr, accesses))}, "
                f"got {got}"
            )
        with deferred():
            before: dict[str, Any] = {}
            name = ""
            try:
                for name, (get, put) in accesses.items():
                    before[name] = deepcopy(get())
                    put(state_dict[name])
            except BaseException as error:
                for name, state in before.items():
                    accesses[name][1](state)
                error.add_note(f"in part {name!r} of the checkpoint; no part has changed")
                raise

    def save(self, step: int) -> Path | None:
        """Write all parts to a file if `every` divides the step; return its path, or None.

        The file appears as a whole or not at all. Of two processes that save the same step, the
        last one's stays.

        Raises:
            OSError: the file cannot be written, as the disk is full or the folder read-only. Older
                files stay, and the parts are as they were.
            TypeError: a part holds what a file cannot; see `save`.
        """
        step = integer("Checkpoint.save", "step", step, 0)
        if step % self.every:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{step:08d}.mg"
        serialization.save({"step": step, "parts": self.state_dict()}, path)
        # Files of later steps are another process's, or an earlier run's: they are left alone.
        files = self._files()  # asked once: another writer removes some, too
        for number in sorted(n for n in files if n <= step)[: -self.keep]:
            files[number].unlink(missing_ok=True)
        return path

    def load_latest(self) -> int | None:
        """Load the file of the latest step and return that step; None if there is no file.

        A file that is damaged is passed over with a warning, and the one before it is loaded.

        Raises:
            ValueError: all files are damaged; nothing has changed.
            TypeError, ValueError, RuntimeError: the file is of other parts; nothing has changed.
        """
        damaged: list[str] = []
        for _, path in sorted(self._files().items(), reverse=True):
            try:
                content = serialization.load(path)
                step, states = integer("step", "step", content["step"], 0), content["parts"]
            except FileNotFoundError:  # another process has saved and removed it
                continue
            except (ValueError, TypeError, KeyError) as error:
                damaged.append(f"{path} ({error})")
                continue
            if damaged:
                warnings.warn(
                    f"Checkpoint: {path} was loaded, as later ones are damaged: "
                    f"{', '.join(damaged)}",
                    RuntimeWarning,
                    stacklevel=2,
                )
            self.load_state_dict(states)
            return step
        if damaged:
            raise ValueError(
                f"Checkpoint: all files are damaged: {', '.join(damaged)}; remove them to start "
                "anew"
            )
        return None

    def _files(self) -> dict[int, Path]:
        """The files that are there, by their steps."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return {}
        found = ((FILE.fullmatch(name), name) for name in names)
        return {int(match[1]): self.folder / name for match, name in found if match}

    def _accesses(self) -> dict[str, Access]:
        parts = {**self.parts, RANDOM: default_generator()}
        return {name: _access(name, part) for name, part in parts.items()}


def _access(name: str, part: Any) -> Access:
    if isinstance(part, type):
        raise TypeError(
            f"Checkpoint: {name} is the class {part.__name__}, expected an object of it"
        )
    if hasattr(part, "state_dict") and hasattr(part, "load_state_dict"):
        return part.state_dict, part.load_state_dict
    if isinstance(part, Generator):
        return part.get_state, part.set_state
    if isinstance(part, np.random.Generator):
        bits = part.bit_generator
        return lambda: bits.state, lambda state: setattr(bits, "state", state)
    if isinstance(part, dict | list):
        return part.copy, lambda state: _refill(name, part, state)
    raise TypeError(
        f"Checkpoint: {name} is of type {type(part).__name__}; expected something with state_dict "
        "and load_state_dict, a generator, or a dict or list of values: put a number into a dict"
    )


def _refill(name: str, part: Any, state: Any) -> None:
    if type(state) is not type(part):
        raise TypeError(
            f"Checkpoint: {name} is a {type(part).__name__}, its saved state a "
            f"{type(state).__name__}"
        )
    part.clear()
    if isinstance(part, dict):
        part.update(deepcopy(state))
    else:
        part.extend(deepcopy(state))
