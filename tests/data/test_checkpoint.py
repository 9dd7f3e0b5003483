"""A run that is killed, at any moment, goes on as if it had not been."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.long_run import BATCH, EPOCHS, SAMPLES, Run
from data.test_saving import in_child, open_folder, without_rights

import minigrad as mg
from minigrad import data, nn, optim

__all__ = ["open_folder"]  # a fixture

PROGRAM = Path(__file__).with_name("long_run.py")
STEPS = EPOCHS * SAMPLES // BATCH


def run_once(folder: Path, *death: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), str(folder), *map(str, death)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = run_once(tmp_path_factory.mktemp("undisturbed"))
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"{STEPS} ")
    return run.stdout


# The numbers of calls: a save writes some thirty members, syncs and replaces once, and removes one
# file once there are three.
DEATHS = [
    ("step", 1), ("step", 6), ("write", 1), ("write", 100), ("write", 333), ("fsync", 5),
    ("replace", 5), ("replace", 11), ("unlink", 3),
]  # fmt: skip


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path, undisturbed: str) -> None:
    """One run, stopped at one place after the other: each process goes a few steps further."""
    for death in [("write", 40), ("fsync", 3), ("step", 4), ("replace", 4), ("unlink", 2)]:
        run = run_once(tmp_path, *death)
        assert run.returncode == -signal.SIGKILL, run.stderr
    assert run_once(tmp_path).stdout == undisturbed
    assert len(os.listdir(tmp_path)) == 2  # what the killed ones have left is gone


@pytest.mark.fuzz
@pytest.mark.parametrize("death", DEATHS)
def test_killed_once(tmp_path: Path, undisturbed: str, death: tuple[str, int]) -> None:
    assert run_once(tmp_path, *death).returncode == -signal.SIGKILL
    assert run_once(tmp_path).stdout == undisturbed


@pytest.mark.fuzz
def test_fifty_kills(tmp_path: Path, undisturbed: str) -> None:
    """From outside, at a random time after the process has begun to save."""
    rng = random.Random(0)
    kills = 0
    while kills < 50:
        folder = tmp_path / str(kills)
        for _ in range(3):
            process = subprocess.Popen(
                [sys.executable, str(PROGRAM), str(folder)], stdout=subprocess.DEVNULL
            )
            before = set(os.listdir(folder)) if folder.exists() else set()
            while process.poll() is None and before == (
                set(os.listdir(folder)) if folder.exists() else set()
            ):
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.1))
            process.kill()
            kills += process.wait() == -signal.SIGKILL
        assert run_once(folder).stdout == undisturbed


@pytest.mark.slow
def test_a_run_in_one_process_from_every_step(tmp_path: Path) -> None:
    """Each checkpoint of a run leads to its end."""
    run = Run(str(tmp_path), keep=STEPS)
    run.train()
    end = run.digest()
    files = sorted(tmp_path.iterdir())
    assert [f.name for f in files] == [f"step-{i:08d}.mg" for i in range(1, STEPS + 1)]
    for i in reversed(range(STEPS)):
        for later in files[i + 1 :]:
            later.unlink(missing_ok=True)
        again = Run(str(tmp_path), keep=STEPS)
        mg.manual_seed(i)  # whatever was drawn before loading
        assert again.checkpoint.load_latest() == i + 1
        again.train()
        assert again.digest() == end
    for file in files:
        file.unlink()
    assert Run(str(tmp_path)).checkpoint.load_latest() is None


# ---------------------------------------------------------------------------- loaders


class Endless(data.Sampler[int]):
    """Draws number after number from a generator of its own."""

    def __init__(self) -> None:
        self.generator = mg.Generator()

    def __iter__(self) -> Iterator[int]:
        for _ in range(20):
            yield int(self.generator.numpy.integers(20))


class Stream(data.IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(mg.randperm(20).tolist())


def loaders(workers: int) -> list[Any]:
    numbers = mg.arange(20)
    options: dict[str, Any] = {"batch_size": 3, "num_workers": workers}
    made = [
        data.DataLoader(numbers, **options),
        data.DataLoader(numbers, shuffle=True, **options),
        data.DataLoader(numbers, shuffle=True, seed=3, **options),
        data.DataLoader(numbers, shuffle=True, generator=mg.Generator(), **options),
        data.DataLoader(numbers, sampler=data.RandomSampler(numbers), **options),
        data.DataLoader(numbers, sampler=data.SubsetRandomSampler(range(20)), **options),
        data.DataLoader(numbers, sampler=Endless(), **options),
        data.DataLoader(
            numbers,
            num_workers=workers,
            batch_sampler=data.BatchSampler(data.RandomSampler(numbers), 3, False),
        ),
    ]
    return made if workers else [*made, data.DataLoader(Stream(), batch_size=3)]


# A stream, the last kind, gives every sample once from each worker: it is left out there.
@pytest.mark.parametrize(
    ("kind", "workers"), [(k, w) for k in range(9) for w in (0, 2) if k < 8 or not w]
)
@pytest.mark.parametrize("given", [0, 1, 6, 7, 9])
def test_a_loader_goes_on(kind: int, workers: int, given: int) -> None:
    """After so many batches, of seven an epoch: in the first, at its end, in the second."""
    mg.manual_seed(4)
    states: list[Any] = []
    seen: list[Any] = []

    def train(loader: Any) -> None:
        while loader.epoch < 3:
            for batch in loader:
                seen.append((batch.tolist(), mg.rand(()).item()))  # as dropout would
                states.append((loader.state_dict(), mg.get_rng_state()))

    first = loaders(workers)[kind]
    states.append((first.state_dict(), mg.get_rng_state()))
    train(first)
    expected, (state, rng) = seen[given:], states[given]
    assert len(expected) == 21 - given
    seen.clear()
    mg.manual_seed(5)
    other = loaders(workers)[kind]
    other.load_state_dict(state)
    mg.set_rng_state(rng)
    assert other.state_dict() == state
    train(other)
    assert seen == expected


def test_leaving_a_loop_ends_the_epoch() -> None:
    loader = data.DataLoader(mg.arange(6), 2)
    for _ in loader:
        assert loader.state_dict()["epoch"] == 0
        break
    assert loader.state_dict()["epoch"] == 1 and loader.state_dict()["given"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {}, None, {"epoch": -1}, {"epoch": 1.5}, {"given": -1}, {"given": "1"}, {"start": {}},
        {"generator": None}, {"generator": {"state": 1}}, {"more": 1},
    ],
)  # fmt: skip
def test_a_loader_refuses(wrong: Any) -> None:
    loader = data.DataLoader(mg.arange(6), 2, shuffle=True, generator=mg.Generator())
    next(iter(loader))
    before = loader.state_dict()
    with pytest.raises((TypeError, ValueError)):
        loader.load_state_dict({**before, **wrong} if wrong else wrong)
    assert loader.state_dict() == before


# ---------------------------------------------------------------------------- files


def small(folder: Path, **options: Any) -> tuple[mg.Checkpoint, dict[str, Any]]:
    values = {"x": 0}
    return mg.Checkpoint(folder, **options, values=values), values


def test_every_and_keep(tmp_path: Path) -> None:
    checkpoint, values = small(tmp_path / "a" / "b", every=5, keep=2)
    paths = []
    for step in range(23):
        values["x"] = step
        paths.append(checkpoint.save(step))
    assert [i for i, path in enumerate(paths) if path] == [0, 5, 10, 15, 20]
    names = sorted(os.listdir(checkpoint.folder))
    assert names == ["step-00000015.mg", "step-00000020.mg"]
    assert checkpoint.load_latest() == 20 and values == {"x": 20}


def test_later_files_are_left_alone(tmp_path: Path) -> None:
    """As those of another process that is ahead: neither they nor what was just written go."""
    checkpoint, _ = small(tmp_path, keep=1)
    for step in (100, 1, 2):
        checkpoint.save(step)
    assert sorted(os.listdir(tmp_path)) == ["step-00000002.mg", "step-00000100.mg"]


def test_damaged_files_are_passed_over(tmp_path: Path) -> None:
    checkpoint, values = small(tmp_path)
    for step in (1, 2, 3):
        values["x"] = step
        checkpoint.save(step)
    (tmp_path / "step-00000003.mg").write_bytes(b"")
    last = tmp_path / "step-00000002.mg"
    last.write_bytes(last.read_bytes()[:-9])
    with pytest.warns(RuntimeWarning, match=r"step-00000001.mg was loaded, as later ones"):
        assert checkpoint.load_latest() == 1
    assert values == {"x": 1}
    mg.save([1], tmp_path / "step-00000001.mg")
    with pytest.raises(ValueError, match="all files are damaged"):
        checkpoint.load_latest()
    assert values == {"x": 1}


@pytest.mark.parametrize("limit", [0, 100, 2000])
def test_a_full_disk(tmp_path: Path, limit: int) -> None:
    run = Run(str(tmp_path), keep=1)
    run.train()
    name = f"step-{STEPS:08d}.mg"

    def action() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        before = run.digest()
        with pytest.raises(OSError) as caught:
            run.checkpoint.save(STEPS + 1)
        assert caught.value.errno == errno.EFBIG and run.digest() == before
        assert os.listdir(tmp_path) == [name]

    in_child(action)
    assert run.checkpoint.load_latest() == STEPS


def test_a_read_only_folder(open_folder: Path) -> None:
    checkpoint, values = small(open_folder, keep=1)
    checkpoint.save(1)
    open_folder.chmod(0o555)

    def action() -> None:
        without_rights()
        values["x"] = 5
        with pytest.raises(PermissionError, match="no file can be made in this folder"):
            checkpoint.save(2)
        assert values == {"x": 5} and os.listdir(open_folder) == ["step-00000001.mg"]
        assert checkpoint.load_latest() == 1 and values == {"x": 0}

    in_child(action)
    open_folder.chmod(0o755)


@pytest.mark.slow
def test_two_writers(tmp_path: Path, undisturbed: str) -> None:
    """The same run in two processes at once: both end as one does, and their files are whole."""
    command = [sys.executable, str(PROGRAM), str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == [undisturbed] * 2
    assert run_once(tmp_path).stdout == undisturbed


# ---------------------------------------------------------------------------- parts


def test_all_or_nothing(tmp_path: Path) -> None:
    model, values, numbers = nn.Linear(2, 3), {"x": 1}, [1, 2]
    parts: dict[str, Any] = {"values": values, "model": model, "numbers": numbers}
    checkpoint = mg.Checkpoint(tmp_path, **parts, optimizer=optim.Adam(model.parameters()))
    before = {key: value.array.copy() for key, value in model.state_dict().items()}
    mg.manual_seed(1)
    good = {**checkpoint.state_dict(), "values": {"x": 2}, "numbers": [3]}
    good["model"] = {key: value + 1 for key, value in model.state_dict().items()}
    for name, wrong in [("optimizer", {}), ("numbers", {}), ("model", {}), ("random", 3)]:
        mg.manual_seed(7)
        rng = mg.get_rng_state()
        with pytest.raises((TypeError, ValueError, RuntimeError)) as caught:
            checkpoint.load_state_dict({**good, name: wrong})
        assert f"in part {name!r} of the checkpoint" in caught.value.__notes__[-1]
        assert values == {"x": 1} and numbers == [1, 2] and mg.get_rng_state() == rng
        for key, value in model.state_dict().items():
            np.testing.assert_array_equal(value.array, before[key])
    del good["numbers"]
    with pytest.raises(ValueError, match="expected the parts 'values', 'model', 'numbers'"):
        checkpoint.load_state_dict(good)
    checkpoint.load_state_dict({**good, "numbers": [3]})
    assert values == {"x": 2} and numbers == [3]


def test_generators_and_values_are_parts(tmp_path: Path) -> None:
    ours, theirs = mg.Generator(), np.random.Generator(np.random.MT19937(1))
    history: list[Any] = [{"loss": mg.tensor([0.5])}]
    checkpoint = mg.Checkpoint(tmp_path, ours=ours, theirs=theirs, history=history)
    checkpoint.save(0)

    def draw() -> list[float]:
        return [mg.rand(1, generator=ours).item(), theirs.random(), mg.rand(1).item()]

    expected = draw()
    history.append(1)
    assert draw() != expected
    assert checkpoint.load_latest() == 0
    assert draw() == expected
    assert len(history) == 1 and history[0]["loss"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({}, ValueError, "expected parts by name"),
        ({"x": 1}, TypeError, "x is of type int; expected something with state_dict"),
        ({"x": nn.Linear}, TypeError, "x is the class Linear"),
        ({"random": []}, ValueError, "give the part another name"),
        ({"x": [], "every": 0}, ValueError, "every must be at least 1"),
        ({"x": [], "keep": 1.5}, TypeError, "keep must be an integer"),
    ],
)
def test_refusals(tmp_path: Path, arguments: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        mg.Checkpoint(tmp_path, **arguments)
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    checkpoint, values = small(tmp_path)
    checkpoint.save(1)
    values["x"] = object()  # type: ignore[assignment]
    with pytest.raises(TypeError, match=r"\['values'\]\['x'\] is a object"):
        checkpoint.save(2)
    with pytest.raises(ValueError, match="step must be at least 0"):
        checkpoint.save(-1)
    assert os.listdir(tmp_path) == ["step-00000001.mg"]
