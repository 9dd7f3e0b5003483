"""One network trained by several processes, and batch normalisation across them.

The same network is trained on MNIST by 1, 2 and 4 processes that share every batch of 64: the
accuracy should be the same, the time falls where there are processors for them, and part of it is
spent waiting for each other. Then 4 processes (2 with --quick) with 2 samples each: batch
normalisation of each process's own 2 samples, and of all together (SyncBatchNorm).

    python examples/mnist_parallel.py [--quick] [--data PATH] [--seeds N] [--out DIR]

starts the processes itself (mpiexec comes with `pip install -e ".[distributed]"`), and writes
DIR/mnist_parallel.png and DIR/mnist_parallel.json.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg
from minigrad import distributed, nn, optim
from minigrad.data import DataLoader, DistributedSampler, TensorDataset
from minigrad.nn import functional as F
from minigrad.nn.parallel import DistributedDataParallel
from support import COLOURS, cosine, finish, load_mnist, parse_experiment, run_all, summarise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH = 64  # of all processes together
LOOK = {"BN": COLOURS["orange"], "SyncBN": COLOURS["blue"], "none": COLOURS["grey"]}


def build_model(norm: str) -> nn.Module:
    def normalisation(channels: int) -> nn.Module:
        return nn.Identity() if norm == "none" else nn.BatchNorm2d(channels)

    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, stride=2, padding=1), normalisation(8), nn.ReLU()),  # (N, 8, 14, 14)
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), normalisation(16), nn.ReLU()),  # (N, 16, 7, 7)
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 10),
    )
    return nn.SyncBatchNorm.convert_sync_batchnorm(model) if norm == "SyncBN" else model


def train_rank(
    data: Any, norm: str, batch: int, images: int, epochs: int, seed: int
) -> dict[str, Any]:
    """One rank's part of the training; the accuracy in per cent, and where the time went."""
    (x, y), (x_test, y_test) = data
    x, y = x[:images], y[:images]
    group = distributed.group_of("mnist_parallel")
    mg.set_num_threads(1)
    mg.manual_seed(seed)
    model = DistributedDataParallel(build_model(norm))
    peak = 0.1 * batch / 64
    optimizer = optim.SGD(model.parameters(), lr=peak, momentum=0.9)
    sampler = DistributedSampler(y, seed=seed, drop_last=True)
    loader = DataLoader(TensorDataset(x, y), batch // group.size, sampler=sampler, drop_last=True)
    steps, start = 0, 0.0
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for images, labels in loader:
            # towards 0, or the last few steps would decide
            optimizer.param_groups[0]["lr"] = cosine(peak, steps / (epochs * len(loader)))
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
            if steps == 5:  # by then everything is compiled
                distributed.barrier()
                start, group.waited = time.perf_counter(), 0.0
    seconds = time.perf_counter() - start
    model.eval()
    with mg.no_grad():
        right = (model(mg.from_numpy(x_test)).argmax(dim=1).numpy() == y_test).mean()
    share = mg.tensor([group.waited / seconds], dtype=mg.float64)
    distributed.all_reduce(share, distributed.ReduceOp.AVG)
    return {"accuracy": 100 * float(right), "seconds": seconds, "steps": steps - 5,
            "waiting": 100 * share.item()}  # fmt: skip


def start_ranks(ranks: int, data: str, **work: Any) -> dict[str, Any]:
    """Run this file on several ranks; what rank 0 printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if not distributed.is_available() or shutil.which("mpiexec", path=path) is None:
        raise SystemExit('several processes need MPI: pip install -e ".[distributed]"')
    done = subprocess.run(
        ["mpiexec", "-n", str(ranks), sys.executable, __file__, "--rank", json.dumps([data, work])],
        env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{ranks} processes ended with an error:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def rank_main(argument: str) -> None:
    """What a process does that `start_ranks` started."""
    file, work = json.loads(argument)
    distributed.init_process_group()
    with np.load(file) as arrays:
        data = (arrays["x"], arrays["y"]), (arrays["x_test"], arrays["y_test"])
    result = train_rank(data, **work)
    if distributed.get_rank() == 0:
        print(json.dumps(result))
    distributed.destroy_process_group()


def write_data(flags: argparse.Namespace) -> str:
    """The images that the processes read: all of MNIST, or 2,000 of each part with --quick."""
    most = 2000 if flags.quick else None
    (x, y), (x_test, y_test) = load_mnist(flags)
    x_test, y_test = x_test[:most], y_test[:most]
    some = np.random.default_rng(0).permutation(len(x))[:most]
    mean, std = x[some].mean(), x[some].std()
    file = flags.out / f".{flags.name}.{os.getpid()}.npz"
    np.savez(file, x=(x[some] - mean) / std, y=y[some], x_test=(x_test - mean) / std, y_test=y_test)
    return str(file)


def draw(results: dict[str, Any], title: str) -> "Figure":
    from matplotlib.figure import Figure  # the ranks, which draw nothing, start sooner without it

    figure = Figure(figsize=(12, 4.6), layout="constrained")
    times, accuracy, small = figure.subplots(1, 3)
    ranks = [int(r) for r in results["ranks"]]
    rows = list(results["ranks"].values())
    milliseconds = np.array([1000 * np.mean(r["seconds"]) / r["steps"] for r in rows])
    waiting = milliseconds * [np.mean(r["waiting"]) / 100 for r in rows]
    places = range(len(ranks))
    times.bar(places, milliseconds - waiting, color=COLOURS["blue"], label="computing")
    times.bar(places, waiting, bottom=milliseconds - waiting, color=COLOURS["yellow"],
              label="waiting for the others")  # fmt: skip
    times.set_xticks(places, map(str, ranks))
    times.set(xlabel="processes", ylabel=f"ms for a batch of {BATCH}")
    times.set_title("Time of a step")
    times.legend(fontsize=9, loc="upper left")
    for seed in range(len(rows[0]["accuracy"])):
        accuracy.plot(places, [r["accuracy"][seed] for r in rows], "o-", ms=6, lw=1,
                      color=COLOURS["blue"])  # fmt: skip
    accuracy.set_xticks(places, map(str, ranks))
    # Of 10,000 images a point is a hundred: an axis of less would make much of a few.
    low, high = accuracy.get_ylim()
    room = max(0.0, 1 - (high - low)) / 2
    accuracy.set_ylim(low - room, high + room)
    accuracy.set(xlabel="processes", ylabel="test accuracy (%)")
    accuracy.set_title("One network, a line a seed")
    names = list(results["small"])
    for i, name in enumerate(names):
        values = results["small"][name]
        small.bar(i, np.mean(values), color=LOOK[name], alpha=0.75)
        small.plot(np.full(len(values), i), values, "o", color=COLOURS["black"], ms=5)
    small.set_xticks(range(len(names)), names)
    small.set(ylabel="test error (%)")
    small.set_title(f"{ranks[-1]} x 2 samples, a dot a seed")
    figure.suptitle(title)
    return figure


def main() -> None:
    flags = parse_experiment(__doc__, seeds=3, quick_seeds=1)
    file = cache(lambda: write_data(flags))
    counts = (1, 2) if flags.quick else (1, 2, 4)
    most, epochs = counts[-1], 2
    norms = ("BN", "SyncBN") if flags.quick else tuple(LOOK)

    def train_on_ranks(ranks: int, **work: Any) -> dict[str, Any]:
        return start_ranks(ranks, file(), **work)

    seeds = range(flags.seeds)
    work = [{"ranks": r, "norm": "none", "batch": BATCH, "images": 60_000,
             "epochs": epochs, "seed": s}
            for r in counts for s in seeds]  # fmt: skip
    small = [{"ranks": most, "norm": n, "batch": 2 * most, "images": 12_000,
              "epochs": 1, "seed": s}
             for n in norms for s in seeds]  # fmt: skip
    try:
        runs = run_all(flags, train_on_ranks, [*work, *small])
    finally:
        if file.cache_info().currsize:
            Path(file()).unlink(missing_ok=True)
    results: dict[str, Any] = {"ranks": {}, "small": {}}
    for i, r in enumerate(counts):
        mine = runs[i * flags.seeds : (i + 1) * flags.seeds]
        results["ranks"][str(r)] = {
            "steps": mine[0]["steps"],
            **{key: [m[key] for m in mine] for key in ("accuracy", "seconds", "waiting")},
        }
    for i, name in enumerate(norms):
        mine = runs[len(work) + i * flags.seeds : len(work) + (i + 1) * flags.seeds]
        results["small"][name] = [100 - m["accuracy"] for m in mine]
    report(results)
    rows = results["ranks"].values()
    gap = max(abs(a - b) for r in rows for a, b in zip(
        r["accuracy"], results["ranks"]["1"]["accuracy"], strict=True))  # fmt: skip
    own, all_ = (summarise(results["small"][name]) for name in ("BN", "SyncBN"))
    finding = (
        f"1 to {most} processes end within {gap:.2f} points of each other; with 2 samples each, "
        f"BN errs on {own:.1f} %, synchronised over all {most} on {all_:.1f} %"
    )
    finish(
        flags,
        draw(results, finding.replace("; ", ";\n")),
        f"{finding} ({flags.repeats}).",
        settings={"batch": BATCH, "samples_each": 2, "epochs": epochs, "momentum": 0.9},
        results=results,
    )


def report(results: dict[str, Any]) -> None:
    print(f"{'processes':12}{'accuracy (%)':>16}{'ms a step':>12}{'waiting (%)':>14}")
    for ranks, r in results["ranks"].items():
        accuracy, waiting = summarise(r["accuracy"]), summarise(r["waiting"])
        step = 1000 * np.mean(r["seconds"]) / r["steps"]
        print(f"{ranks:12}{f'{accuracy:.2f}':>16}{step:>12.2f}{f'{waiting:.0f}':>14}")
    for name, errors in results["small"].items():
        print(f"2 samples a process, {name:6}: {summarise(errors):.2f} % wrong")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        rank_main(sys.argv[2])
    else:
        main()
