"""Where batch normalisation belongs: before the activation, after it, or on both sides.

Sigmoid, tanh and ReLU, in a fully connected and in a small convolutional network, at three learning
rates, on 2,000 images of MNIST. The networks of one seed start with the same weights and see the
same batches, so what is compared is the difference of their test errors, seed by seed.

    python examples/placement.py [--quick] [--data PATH] [--seeds N] [--out DIR]

writes DIR/placement.png and DIR/placement.json.

Source: Ioffe and Szegedy, Batch normalization, 2015, section 3.2, which puts it before.
"""

import argparse
from functools import cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F
from support import (
    COLOURS,
    Summary,
    finish,
    load_mnist,
    parse_experiment,
    run_all,
    summarise,
    test_error,
)

NETS = ["MLP", "conv net"]
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "ReLU": nn.ReLU}
PLACES = ["before", "after", "both"]
RATES = [0.01, 0.1, 0.5]
LOOK = {"after": ("o", COLOURS["orange"]), "both": ("s", COLOURS["blue"])}


def hidden(layer: nn.Module, norm: type, channels: int, activation: str, place: str) -> list:
    """The layer and its activation, with batch normalisation where ``place`` says."""
    before = [norm(channels)] if place != "after" else []
    after = [norm(channels)] if place != "before" else []
    return [layer, *before, ACTIVATIONS[activation](), *after]


def build_model(net: str, activation: str, place: str) -> nn.Sequential:
    if net == "MLP":
        return nn.Sequential(
            nn.Flatten(),
            *hidden(nn.Linear(784, 100), nn.BatchNorm1d, 100, activation, place),
            *hidden(nn.Linear(100, 100), nn.BatchNorm1d, 100, activation, place),
            nn.Linear(100, 10),
        )
    first = nn.Conv2d(1, 8, 3, stride=2, padding=1)  # (N, 8, 14, 14)
    second = nn.Conv2d(8, 16, 3, stride=2, padding=1)  # (N, 16, 7, 7)
    return nn.Sequential(
        *hidden(first, nn.BatchNorm2d, 8, activation, place),
        *hidden(second, nn.BatchNorm2d, 16, activation, place),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 10),
    )


def train(data, net: str, activation: str, place: str, rate: float, seed: int, epochs: int):
    """Train one network; return its test error in per cent, with the running statistics."""
    (x, y), (x_test, y_test) = data
    # Batch normalisation draws no numbers, so that the weights are the same in all three places.
    mg.manual_seed(seed)
    model = build_model(net, activation, place)
    optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    loader = DataLoader(TensorDataset(x, y), 50, shuffle=True, seed=seed, drop_last=True)
    for _ in range(epochs):
        for images, labels in loader:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return test_error(model, x_test, y_test)


def subset(flags: argparse.Namespace) -> tuple:
    """2,000 of the training images, 1,000 with --quick, and up to 2,000 test images."""
    (x, y), (x_test, y_test) = load_mnist(flags)
    draw = np.random.default_rng(0)
    some = draw.permutation(len(x))[: 1000 if flags.quick else 2000]
    test = draw.permutation(len(x_test))[:2000]
    mean, std = x[some].mean(), x[some].std()
    return ((x[some] - mean) / std, y[some]), ((x_test[test] - mean) / std, y_test[test])


def differences(results: list[dict], place: str, **where) -> np.ndarray:
    """The test error minus that with ``before``, in points: (settings, seeds)."""
    rows = [r for r in results if all(r[key] == value for key, value in where.items())]
    return np.array([np.subtract(r[place], r["before"]) for r in rows])


def clearly(difference: Summary) -> str:
    """What the interval of a difference of errors allows to say."""
    if difference.high < 0:
        return "lower"
    return "higher" if difference.low > 0 else "not clearly different"


def at_best_rates(results: list[dict]) -> Summary:
    """After minus before where each may have the rate that suits it, the best of its mean errors.

    The mean over nets and activations, over the seeds.
    """
    gains = []
    for net, activation in dict.fromkeys((r["net"], r["activation"]) for r in results):
        mine = [r for r in results if (r["net"], r["activation"]) == (net, activation)]
        before, after = (min((r[p] for r in mine), key=np.mean) for p in ("before", "after"))
        gains.append(np.subtract(after, before))
    return summarise(np.mean(gains, axis=0))


def draw(results: list[dict], title: str) -> Figure:
    nets = list(dict.fromkeys(r["net"] for r in results))
    figure = Figure(figsize=(10, 1.6 + 2.9 * len(nets)), layout="constrained")
    grid: Any = figure.subplots(len(nets), len(ACTIVATIONS), sharey="row", squeeze=False)
    for row, net in zip(grid, nets, strict=True):
        for axes, activation in zip(row, ACTIVATIONS, strict=True):
            mine = [r for r in results if (r["net"], r["activation"]) == (net, activation)]
            axes.axhline(0, color=COLOURS["black"], lw=1)
            for shift, (place, (marker, colour)) in zip((-0.12, 0.12), LOOK.items(), strict=True):
                for i, r in enumerate(mine):
                    s = summarise(np.subtract(r[place], r["before"]))
                    reach = [[s.mean - s.low], [s.high - s.mean]] if s.n > 1 else None
                    axes.errorbar(
                        i + shift, s.mean, reach, fmt=marker, color=colour, ms=6, capsize=4,
                        label=place if i == 0 else None,
                    )  # fmt: skip
            axes.set_title(f"{net}, {activation}")
            axes.set_xticks(
                range(len(mine)),
                [f"{r['rate']}\n({np.mean(r['before']):.1f} %)" for r in mine],
            )
            axes.set_xlim(-0.5, len(mine) - 0.5)
            axes.set_yscale("symlog", linthresh=2)
            ticks = [-50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50]
            axes.set_yticks(ticks, [f"{t:+d}" if t else "0" for t in ticks])
            axes.minorticks_off()
        row[0].set_ylabel(f"{net}: difference of\ntest errors (points)")
    for row, net in zip(grid, nets, strict=True):
        shown = np.concatenate([differences(results, p, net=net).ravel() for p in LOOK])
        row[0].set_ylim(min(-2.0, 1.5 * shown.min()), max(2.0, 1.5 * shown.max()))
    handles, labels = grid[0, 0].get_legend_handles_labels()
    names = [f"{label} minus before" for label in labels]
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    grid[-1, 1].set_xlabel("learning rate (in brackets: test error with batch norm before)")
    figure.suptitle(title, fontsize=14)
    return figure


def main() -> None:
    flags = parse_experiment(__doc__, seeds=5, quick_seeds=3)
    mg.set_num_threads(1)
    data = cache(lambda: subset(flags))
    grid: list[dict[str, Any]] = [
        {"net": net, "activation": activation, "rate": rate, "epochs": 2}
        for net in (["MLP"] if flags.quick else NETS)
        for activation in ACTIVATIONS
        for rate in RATES
    ]

    def train_network(**configuration) -> float:
        return train(data(), **configuration)

    work = [
        {**c, "place": place, "seed": seed}
        for c in grid for place in PLACES for seed in range(flags.seeds)
    ]  # fmt: skip
    errors = np.reshape(run_all(flags, train_network, work), (len(grid), len(PLACES), -1))
    results = [
        {**c, **dict(zip(PLACES, rows.tolist(), strict=True))}
        for c, rows in zip(grid, errors, strict=True)
    ]
    report(results)

    # The mean over the settings is one number per seed; its interval is over the seeds.
    overall = {place: summarise(differences(results, place).mean(axis=0)) for place in LOOK}
    kinds = {
        name: summarise(differences(results, "after", activation=name).mean(axis=0))
        for name in ACTIVATIONS
    }
    rates = {
        rate: summarise(differences(results, "after", rate=rate).mean(axis=0)) for rate in RATES
    }
    each = [clearly(summarise(row)) for row in differences(results, "after")]
    after, both, best = overall["after"], overall["both"], at_best_rates(results)
    # A network that diverged errs on about nine in ten images, and counts with that.
    lost = {p: sum(e > 85 for r in results for e in r[p]) for p in PLACES}
    runs = len(grid) * flags.seeds
    slow, fast = rates[RATES[0]], rates[RATES[-1]]
    title = (
        "Batch norm after the activation instead of before it: the test error is\n"
        f"{clearly(slow)} at rate {RATES[0]} ({slow.interval()} points), "
        f"{clearly(fast)} at rate {RATES[-1]} ({fast.interval()})"
    )
    finding = (
        f"Test error with batch norm after the activation minus before it, mean of {len(grid)} "
        f"settings: {after.interval()} points ("
        + ", ".join(f"{name} {s.interval()}" for name, s in kinds.items())
        + "; "
        + ", ".join(f"rate {rate} {s.interval()}" for rate, s in rates.items())
        + f"), each at its best rate {best.interval()}; on both sides minus before "
        f"{both.interval()}. After is clearly better in {each.count('lower')} settings, "
        f"clearly worse in {each.count('higher')}; of {runs} networks each, diverged: "
        + ", ".join(f"{p} {n}" for p, n in lost.items())
        + f" (95 % intervals of paired differences, {flags.repeats})."
    )
    finish(
        flags,
        draw(results, title),
        finding,
        settings={"batch": 50, "momentum": 0.9, "epochs": 2, "images": len(data()[0][0])},
        results=results,
        after_minus_before={
            "all": after._asdict(),
            "best rates": best._asdict(),
            **{str(key): s._asdict() for key, s in [*kinds.items(), *rates.items()]},
        },
        both_minus_before=both._asdict(),
        diverged=lost,
    )


def report(results: list[dict]) -> None:
    print(f"{'test error (%)':28}" + "".join(f"{place:>14}" for place in PLACES))
    for r in results:
        name = f"{r['net']}, {r['activation']}, rate {r['rate']}"
        print(f"{name:28}" + "".join(f"{f'{summarise(r[p]):.1f}':>14}" for p in PLACES))


if __name__ == "__main__":
    main()
