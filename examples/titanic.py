"""Who survived the Titanic? Class, fare and age, with and without batch normalisation.

A blog's experiment, repeated: two hidden layers, 200 epochs, one split of the data, from which it
concludes that batch normalisation gains two points and is more stable. Here with many splits, and
for each the difference between two networks that start from the same weights; with raw and with
standardised inputs.

    python examples/titanic.py [--quick] [--data PATH] [--seeds N] [--out DIR]

writes DIR/titanic.png and DIR/titanic.json.
"""

import argparse
from functools import cache
from itertools import product

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, Standardize, TensorDataset
from minigrad.nn import functional as F
from support import COLOURS, finish, load_titanic, parse_experiment, run_all, summarise

WIDTH, BATCH, LAST = 16, 32, 10  # LAST: how many epochs at the end are averaged
ACTIVATIONS = {"ReLU": nn.ReLU, "sigmoid": nn.Sigmoid}
LOOK = {"plain": COLOURS["orange"], "BN": COLOURS["blue"]}
BLOG = {"inputs": "raw", "activation": "ReLU", "rate": 0.1}  # nearest to what it describes
STANDARDISED = {**BLOG, "inputs": "standardised"}


def known_ages(flags: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """The 714 passengers with a known age: features (N, 3) and survived (N, 1), float32."""
    x, y = load_titanic(flags)
    known = ~np.isnan(x).any(axis=1)
    return x[known], y[known, None].astype(np.float32)


def split(x: np.ndarray, y: np.ndarray, inputs: str, seed: int) -> tuple[np.ndarray, ...]:
    """Four fifths for training; what standardises is learnt from these alone."""
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = np.split(order, [int(0.8 * len(x))])
    if inputs == "standardised":
        x = Standardize().fit(x[train]).transform(x)
    return x[train], y[train], x[test], y[test]


def build_model(batch_norm: bool, activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in (3, WIDTH):
        # The same draws with and without normalisation, so the two networks start alike.
        layers.append(nn.Linear(inputs, WIDTH))
        if batch_norm:
            layers.append(nn.BatchNorm1d(WIDTH))
        layers.append(ACTIVATIONS[activation]())
    return nn.Sequential(*layers, nn.Linear(WIDTH, 1))  # the logit of having survived


def train(data, inputs, activation, rate, batch_norm, epochs, seed) -> list[float]:
    """Train one network; return its held-out accuracy after every epoch, in per cent."""
    features, survived = data
    x, y, x_test, y_test = split(features, survived, inputs, seed)
    mg.manual_seed(seed)
    model = build_model(batch_norm, activation)
    optimizer = optim.SGD(model.parameters(), lr=rate)
    loader = DataLoader(TensorDataset(x, y), BATCH, shuffle=True, seed=seed)
    curve = []
    for _ in range(epochs):
        model.train()
        for inputs_, survived in loader:
            loss = F.binary_cross_entropy_with_logits(model(inputs_), survived)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with mg.no_grad():
            right = (model(mg.from_numpy(x_test)).numpy() > 0) == (y_test > 0)
        curve.append(100 * float(right.mean()))
    return curve


def jitter(curve) -> float:
    """How far the accuracy jumps from one epoch to the next, in the second half, on average."""
    return float(np.abs(np.diff(curve[len(curve) // 2 :])).mean())


def name_of(setting: dict) -> str:
    return f"{setting['inputs']}, {setting['activation']}, rate {setting['rate']:g}"


def main() -> None:
    flags = parse_experiment(__doc__, seeds=10, quick_seeds=3)
    mg.set_num_threads(1)
    epochs = 30 if flags.quick else 200
    data = cache(lambda: known_ages(flags))

    def train_network(**configuration) -> list[float]:
        return train(data(), **configuration)

    settings = [
        {"inputs": i, "activation": a, "rate": r}
        for i, a, r in product(("raw", "standardised"), ACTIVATIONS, (0.01, 0.1))
    ]
    if flags.quick:
        settings = [BLOG, {"inputs": "standardised", "activation": "sigmoid", "rate": 0.01}]
    grid = [(s, seed, bn) for s in settings for seed in range(flags.seeds) for bn in (False, True)]
    runs = run_all(
        flags,
        train_network,
        [{**s, "seed": seed, "batch_norm": bn, "epochs": epochs} for s, seed, bn in grid],
    )
    # (settings, seeds, 2, epochs); the last axis but one: plain, BN
    curves = np.reshape(runs, (len(settings), flags.seeds, 2, epochs))
    results = [result(setting, c) for setting, c in zip(settings, curves, strict=True)]

    print(f"{'held-out accuracy (%)':29}{'plain':>12}{'BN':>12}  difference [95 %]     BN wins")
    for r in results:
        plain, normalised = (f"{summarise(r[net]):.1f}" for net in LOOK)
        interval = summarise(r["differences"]).interval()
        print(
            f"{r['name']:29}{plain:>12}{normalised:>12}  {interval:20}  {r['wins']}/{flags.seeds}"
        )
    blog = results[settings.index(BLOG)]
    gain = summarise(blog["differences"])
    jumps = {net: summarise(blog[f"{net} jitter"]) for net in LOOK}
    clear = sum(summarise(r["differences"]).low > 0 for r in results)
    finding = f"With raw inputs BN gains {gain.interval()} points"
    if STANDARDISED in settings:  # against the same splits and initial weights
        other = results[settings.index(STANDARDISED)]["plain"] - blog["plain"]
        finding += f", standardising them instead {summarise(other).interval()}"
    details = (
        f" (means and 95 % intervals of {flags.seeds} splits); BN's gain is above 0 in {clear} of "
        f"{len(results)} settings. With raw inputs the accuracy jumps by {jumps['BN']:.1f} points "
        f"from epoch to epoch with BN, {jumps['plain']:.1f} without."
    )
    finish(
        flags,
        draw(results, curves[settings.index(BLOG)], finding),
        finding + details,
        settings={"epochs": epochs, "batch": BATCH, "width": WIDTH, "last_epochs": LAST},
        results=results,
    )


def result(setting: dict, curves: np.ndarray) -> dict:
    """The numbers of one setting, one for each seed; curves (seeds, 2, epochs)."""
    plain, normalised = curves[:, :, -LAST:].mean(axis=2).T
    return {
        "name": name_of(setting),
        **setting,
        "plain": plain,
        "BN": normalised,
        "differences": normalised - plain,
        "wins": int((normalised > plain).sum()),
        "plain jitter": [jitter(c) for c in curves[:, 0]],
        "BN jitter": [jitter(c) for c in curves[:, 1]],
    }


def draw(results: list[dict], curves: np.ndarray, title: str) -> Figure:
    figure = Figure(figsize=(13, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.15])
    draw_curves(left, curves)
    draw_differences(right, results)
    figure.suptitle(title)
    return figure


def draw_curves(axes, curves: np.ndarray) -> None:
    epochs = np.arange(1, curves.shape[-1] + 1)
    for i, (net, colour) in enumerate(LOOK.items()):
        mean, sd = curves[:, i].mean(0), curves[:, i].std(0, ddof=1) if len(curves) > 1 else 0
        axes.fill_between(epochs, mean - sd, mean + sd, color=colour, alpha=0.15, lw=0)
        axes.plot(epochs, mean, color=colour, label=f"{net}: mean ± sd")
        axes.plot(epochs, curves[0, i], color=colour, lw=0.7, alpha=0.8, label=f"{net}: one split")
    axes.set(xlabel="epoch", ylabel="held-out accuracy (%)", ylim=(48, 80))
    axes.set_title(f"(a) {name_of(BLOG)}")
    axes.legend(loc="lower right", fontsize=9, ncols=2)


def draw_differences(axes, results: list[dict]) -> None:
    rng = np.random.default_rng(0)
    for row, r in enumerate(reversed(results)):
        statistics = summarise(r["differences"])
        colour = COLOURS["green"] if r["inputs"] == "standardised" else COLOURS["pink"]
        heights = row + rng.uniform(-0.18, 0.18, len(r["differences"]))
        axes.plot(r["differences"], heights, "o", ms=4, color=colour, alpha=0.45, mew=0)
        axes.plot([statistics.low, statistics.high], [row, row], color=colour, lw=3)
        axes.plot(statistics.mean, row, "D", ms=8, color=colour, mec="white")
        axes.text(
            1.01, row, f"{r['wins']}/{len(r['differences'])}", va="center",
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
    axes.axvline(0, color=COLOURS["black"], lw=1)
    axes.set_yticks(range(len(results)), [r["name"] for r in reversed(results)])
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("accuracy with BN minus without, same split and weights (points)")
    axes.set_title("(b) A dot a split; mean, 95 % interval; how often BN wins")


if __name__ == "__main__":
    main()
