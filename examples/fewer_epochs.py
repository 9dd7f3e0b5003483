"""How many times fewer steps batch normalisation needs in a deeper network, at its best rate.

Convolutional networks of 8 layers with ReLUs learn MNIST at half its size, initialised as He and
others propose, which keeps the signal's size from layer to layer, and as layers are by default,
which lets it fade. Each is trained at the rate out of a sweep at which it is fastest; the sweep has
seeds of its own. How many steps until the accuracy on the test images, with the running statistics,
is high enough? And at the end: is it the accuracy that the statistics of the batch would give?

    python examples/fewer_epochs.py [--quick] [--data PATH] [--seeds N] [--out DIR]

writes DIR/fewer_epochs.png and DIR/fewer_epochs.json. If DIR has the result of mnist_batch_norm.py
its factor is shown too.

Source: Ioffe and Szegedy, Batch normalization, 2015, section 4.2.2 and figure 2.
"""

import argparse
import json
from functools import cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn, optim
from minigrad.nn import functional as F
from support import COLOURS, Summary, finish, load_mnist, parse_experiment, run_all, summarise

DEPTH, CHANNELS, BATCH = 8, 8, 60
STARTS = {"He": "He's initialisation", "default": "default initialisation"}
NETS = {"plain": False, "BN": True}
LOOK = {"plain": COLOURS["orange"], "BN": COLOURS["blue"]}
RATES = [0.003, 0.01, 0.03, 0.1, 0.3]
SWEEP_SEEDS = [100, 101, 102]  # not those of the comparison


def build_model(start: str, batch_norm: bool) -> nn.Sequential:
    """8 convolutions, the first and the fifth with stride 2: (N, 1, 14, 14) → (N, 10)."""
    layers: list[nn.Module] = []
    inputs = 1
    for i in range(DEPTH):
        stride = 2 if i in (0, DEPTH // 2) else 1
        conv = nn.Conv2d(inputs, CHANNELS, 3, stride=stride, padding=1, bias=not batch_norm)
        if start == "He":
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        layers += [conv, *([nn.BatchNorm2d(CHANNELS)] if batch_norm else []), nn.ReLU()]
        inputs = CHANNELS
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(CHANNELS * 4 * 4, 10))


def accuracy(model: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    """In per cent, in the mode in which the model is; BN in training mode has batches of 60."""
    with mg.no_grad():
        size = BATCH if model.training else len(x)
        parts = [model(mg.from_numpy(x[i : i + size])).numpy() for i in range(0, len(x), size)]
    return 100 * float(np.mean(np.concatenate(parts).argmax(axis=1) == y))


def looks(steps: int) -> list[int]:
    """The steps after which the accuracy is measured: evenly on a logarithmic axis."""
    return sorted({round(n) for n in np.geomspace(10, steps, 40)})


def train(
    data, start: str, net: str, rate: float, seed: int, steps: int, target: float, stop: bool
) -> dict[str, Any]:
    """Train one network; ``steps`` steps, or with ``stop`` until the target is reached."""
    (x, y), (x_test, y_test) = data
    mg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = build_model(start, NETS[net])
    optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    curve: list[float] = []
    at = looks(steps)
    order = np.empty(0, dtype=int)
    for step in range(1, steps + 1):
        if len(order) < BATCH:  # a new epoch
            order = rng.permutation(len(x))
        chosen, order = order[:BATCH], order[BATCH:]
        loss = F.cross_entropy(model(mg.from_numpy(x[chosen])), mg.from_numpy(y[chosen]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in at:
            model.eval()
            curve.append(accuracy(model, x_test, y_test))
            model.train()
            if stop and curve[-1] >= target:
                break
    reached = next((n for n, a in zip(at, curve, strict=False) if a >= target), None)
    # The statistics of the batches of test images, which inference is not to depend on.
    return {"reached": reached, "curve": curve, "by batch": accuracy(model, x_test, y_test)}


def halved(flags: argparse.Namespace) -> tuple:
    """All training images, and 1,000 test images (500 with --quick), of 14 x 14 pixels."""
    (x, y), (x_test, y_test) = load_mnist(flags)
    some = np.random.default_rng(0).permutation(len(x_test))
    some = some[: 500 if flags.quick else 1000]
    x, x_test = (a.reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5)) for a in (x, x_test[some]))
    mean, std = x.mean(), x.std()
    return ((x - mean) / std, y), ((x_test - mean) / std, y_test[some])


def known_factor(flags: argparse.Namespace) -> Summary | None:
    """The factor of mnist_batch_norm.py, if its record is beside this one's."""
    file = flags.out / "mnist_batch_norm.json"
    if flags.quick or not file.exists():
        return None
    reached = json.loads(file.read_text("utf-8"))["steps_to_target"]
    if None in reached["plain"] + reached["BN"]:
        return None
    return summarise(np.divide(reached["plain"], reached["BN"]))


def main() -> None:
    flags = parse_experiment(__doc__, seeds=10, quick_seeds=2)
    mg.set_num_threads(1)
    data = cache(lambda: halved(flags))
    steps, target = (100, 80.0) if flags.quick else (1500, 95.0)
    rates = RATES[2::2] if flags.quick else RATES
    sweep_seeds = SWEEP_SEEDS[:1] if flags.quick else SWEEP_SEEDS
    setting = {"steps": steps, "target": target}

    def train_network(**configuration) -> dict:
        return train(data(), **configuration)

    cells = [(start, net) for start in STARTS for net in NETS]
    work = [
        {"start": start, "net": net, "rate": r, "seed": s, "stop": True, **setting}
        for start, net in cells for r in rates for s in sweep_seeds
    ]  # fmt: skip
    found = iter(run_all(flags, train_network, work))
    # What does not get there in time counts as if it did with the last step: then the factor is
    # larger than what is said.
    sweep = {
        cell: {r: float(np.mean([next(found)["reached"] or steps for _ in sweep_seeds]))
               for r in rates}
        for cell in cells
    }  # fmt: skip
    rate = {cell: min(rates, key=lambda r: sweep[cell][r]) for cell in cells}
    work = [
        {"start": c[0], "net": c[1], "rate": rate[c], "seed": s, "stop": False, **setting}
        for c in cells for s in range(flags.seeds)
    ]  # fmt: skip
    found = iter(run_all(flags, train_network, work))
    results = {cell: [next(found) for _ in range(flags.seeds)] for cell in cells}

    reached = {c: np.array([r["reached"] or steps for r in runs]) for c, runs in results.items()}
    missed = {c: sum(r["reached"] is None for r in runs) for c, runs in results.items()}
    factors = {s: summarise(reached[s, "plain"] / reached[s, "BN"]) for s in STARTS}
    # With a plain network that was not there in time, the factor is a bound.
    least = {s: "at least " if missed[s, "plain"] else "" for s in STARTS}
    final = {c: summarise(r["curve"][-1] for r in runs) for c, runs in results.items()}
    gap = {s: summarise(r["by batch"] - r["curve"][-1] for r in results[s, "BN"]) for s in STARTS}
    other = known_factor(flags)
    for cell in cells:
        print(
            f"{', '.join(cell)}: steps to {target:g} % in the sweep "
            + ", ".join(f"{r:g}: {n:.0f}" for r, n in sweep[cell].items())
            + f"; at {rate[cell]:g}: {summarise(reached[cell]):.0f}"
        )

    title = (
        f"{DEPTH} layers, each at its best rate: how many times fewer steps to {target:g} %\n"
        "with batch norm: "
        + "; ".join(f"{least[s]}{factors[s].interval('.1f')}, {name}" for s, name in STARTS.items())
    )

    def in_words(start: str) -> str:
        plain, bn = (
            f"{summarise(reached[start, net]):.0f} (rate {rate[start, net]:g}"
            + (f", {missed[start, net]} not in time)" if missed[start, net] else ")")
            for net in NETS
        )
        return (
            f"{STARTS[start]} {plain} against {bn}, {least[start]}"
            f"{factors[start].interval('.1f')} times fewer; "
            f"after {steps:,} steps plain {final[start, 'plain']:.1f} %, BN "
            f"{final[start, 'BN']:.1f} % right with running statistics, those of test batches "
            f"instead {gap[start].interval()} points"
        )

    finding = (
        f"Steps to {target:g} %, each network at its best of {len(rates)} rates, plain against BN: "
        + "; ".join(in_words(start) for start in STARTS)
        + (f"; the sigmoids of mnist_batch_norm: {other.interval('.1f')} times" if other else "")
        + f" (95 % intervals, {flags.repeats})."
    )
    finish(
        flags,
        draw(results, sweep, factors, least, other, rate, setting, title),
        finding,
        settings={"depth": DEPTH, "channels": CHANNELS, "batch": BATCH, "rates": rates, **setting},
        results=[{"start": c[0], "net": c[1], "rate": rate[c], "runs": results[c]} for c in cells],
        sweep=[{"start": c[0], "net": c[1], "steps": sweep[c]} for c in cells],
        factors={start: s._asdict() for start, s in factors.items()},
        by_batch_minus_running={start: s._asdict() for start, s in gap.items()},
    )


def draw(results, sweep, factors, least, other, rate, setting: dict, title: str) -> Figure:
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.2, 1.1, 1])
    target, steps = setting["target"], setting["steps"]
    for (start, net), runs in results.items():
        style = "-" if start == "He" else ":"
        curves = np.array([r["curve"] for r in runs])
        left.fill_between(
            looks(steps), curves.min(0), curves.max(0), color=LOOK[net], alpha=0.15, lw=0
        )
        left.plot(
            looks(steps), curves.mean(0), style, color=LOOK[net],
            label=f"{net}, {start}, rate {rate[start, net]:g}",
        )  # fmt: skip
        known = sweep[start, net]
        middle.plot(list(known), list(known.values()), f"o{style}", color=LOOK[net])
    left.axhline(target, color=COLOURS["black"], lw=1, ls="--")
    left.set(xlabel="step", ylabel="test accuracy (%)", xscale="log", ylim=(0, 100))
    left.set_title("(a) Accuracy, mean and range")
    figure.legend(loc="outside lower center", ncols=4, fontsize=10)
    middle.set(xscale="log", yscale="log", xlabel="learning rate")
    middle.set_xticks(rates := list(known), [f"{r:g}" for r in rates])
    middle.set_ylabel(f"steps to {target:g} % (at most {steps:,})")
    middle.minorticks_off()
    low, high = middle.get_ylim()
    ticks = [n for n in (20, 50, 100, 200, 500, 1000) if low <= n <= high]
    middle.set_yticks(ticks, [f"{n:,}" for n in ticks])
    middle.set_title("(b) The sweep of rates")
    rows = {f"{DEPTH} layers,\n{start}\n{least[start]}".rstrip(): s for start, s in factors.items()}
    rows |= {"sigmoids of\nthe article": other} if other else {}
    for i, s in enumerate(rows.values()):
        reach = [[s.mean - s.low], [s.high - s.mean]] if s.n > 1 else None
        right.errorbar(s.mean, i, xerr=reach, fmt="o", color=COLOURS["blue"], capsize=4)
    right.axvline(1, color=COLOURS["black"], lw=1)
    right.axvline(10, color=COLOURS["grey"], lw=1.5, ls="--")
    right.text(9.7, len(rows) - 0.5, "claimed", ha="right", color="#666666")
    right.set_yticks(range(len(rows)), rows)
    right.set(ylim=(len(rows) - 0.3, -0.6), xlabel="times fewer steps with BN")
    right.set_xlim(0, max(11.0, *(1.1 * s.high for s in rows.values() if s.n > 1)))
    right.grid(axis="y", visible=False)
    right.set_title("(c) The factor, 95 % interval")
    figure.suptitle(title, fontsize=14)
    return figure


if __name__ == "__main__":
    main()
