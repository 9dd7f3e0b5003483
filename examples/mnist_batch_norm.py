"""Batch normalisation on MNIST: the first experiment of the paper that introduced it.

Three hidden layers of 100 sigmoids, binary images, 60 of them a step, 50,000 steps of plain SGD,
with and without batch normalisation before each sigmoid: accuracy against steps, and how the
input of a sigmoid of the last hidden layer is distributed as the training goes on.

    python examples/mnist_batch_norm.py [--sweep] [--quick] [--data PATH] [--seeds N] [--out DIR]

writes DIR/mnist_batch_norm.png and .json; with --sweep DIR/mnist_batch_norm-sweep.png and .json,
the accuracy for many learning rates and initial scales.

Source: Ioffe and Szegedy, Batch normalization: accelerating deep network training by reducing
internal covariate shift, 2015, section 4.1 and figure 1.
"""

import argparse
from functools import cache

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn, optim
from minigrad.nn import functional as F
from support import COLOURS, finish, load_mnist, parse_experiment, progress, run_all, summarise

WIDTH, BATCH = 100, 60
SIGMA, RATE = 0.01, 0.5  # of the main experiment
UNIT = 0  # of the last hidden layer, whose input is watched
NETS = {"plain": False, "BN": True}
LOOK = {"plain": COLOURS["orange"], "BN": COLOURS["blue"]}
TARGET = 94.0  # per cent: how many steps until the test accuracy is this high?


def build_model(batch_norm: bool, sigma: float) -> nn.Sequential:
    """Weights N(0, sigma²), biases 0. beta takes the place of the bias before normalisation."""
    layers: list[nn.Module] = []
    inputs = 28 * 28
    for _ in range(3):
        layers.append(nn.Linear(inputs, WIDTH, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm1d(WIDTH))
        layers.append(nn.Sigmoid())
        inputs = WIDTH
    layers.append(nn.Linear(WIDTH, 10))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=sigma)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def evaluate(model: nn.Sequential, x: np.ndarray, y: np.ndarray) -> tuple[float, list[float]]:
    """Accuracy in per cent, and the {15, 50, 85}th percentiles of the input of the last sigmoid."""
    model.eval()
    with mg.no_grad():
        below = model[:-2](mg.from_numpy(x))
        logits = model[-2:](below)
    model.train()
    accuracy = 100 * float(np.mean(logits.argmax(dim=1).numpy() == y))
    return accuracy, np.percentile(below.numpy()[:, UNIT], [15, 50, 85]).tolist()


def checkpoints(steps: int) -> list[int]:
    """When to look: evenly on a logarithmic axis, at the start and at round numbers."""
    even = np.geomspace(50, steps, 60)
    round_numbers = [n for n in (0, 1000, 2000, 5000, 10000, 20000, 50000) if n <= steps]
    return sorted({round(n / 50) * 50 for n in even if n <= steps} | {*round_numbers, steps})


def train(data, batch_norm: bool, sigma: float, rate: float, steps: int, seed: int) -> dict:
    """Train one network; return accuracy and percentiles at the checkpoints."""
    (x, y), (x_test, y_test) = data
    mg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = build_model(batch_norm, sigma)
    optimizer = optim.SGD(model.parameters(), lr=rate)
    at = checkpoints(steps)
    look = set(at)
    history: dict[str, list] = {"steps": at, "accuracy": [], "percentiles": []}
    order = np.empty(0, dtype=int)
    name = f"{'BN' if batch_norm else 'plain'}, sigma {sigma:g}, rate {rate:g}, seed {seed}"
    for step in progress(range(steps + 1), name, leave=False):
        if step in look:
            accuracy, percentiles = evaluate(model, x_test, y_test)
            history["accuracy"].append(accuracy)
            history["percentiles"].append(percentiles)
        if len(order) < BATCH:  # a new epoch
            order = rng.permutation(len(x))
        numbers, order = order[:BATCH], order[BATCH:]
        loss = F.cross_entropy(
            model(mg.from_numpy(x[numbers].astype(np.float32))), mg.from_numpy(y[numbers])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return history


def binary_mnist(flags: argparse.Namespace) -> tuple:
    """Images (N, 784), 1 above 127 of 255 and else 0, as bytes for training; and labels."""
    (x, y), (x_test, y_test) = load_mnist(flags)
    binary = [images.reshape(len(images), -1) > 127.5 / 255 for images in (x, x_test)]
    return (binary[0].astype(np.uint8), y), (binary[1].astype(np.float32), y_test)


def runs(flags: argparse.Namespace, configurations: list[dict]) -> list[dict]:
    data = cache(lambda: binary_mnist(flags))  # not read if all results are known

    def train_network(**configuration) -> dict:
        return train(data(), **configuration)

    return run_all(flags, train_network, configurations)


def steps_to(history: dict, accuracy: float) -> float:
    """The first checkpoint with at least this accuracy; NaN if there is none."""
    reached = (
        n for n, a in zip(history["steps"], history["accuracy"], strict=True) if a >= accuracy
    )
    return next(reached, float("nan"))


# The main experiment.


def compare(flags: argparse.Namespace) -> None:
    steps = 1000 if flags.quick else 50_000
    setting = {"sigma": SIGMA, "rate": RATE, "steps": steps}
    seeds = range(flags.seeds)
    histories = runs(
        flags, [{"batch_norm": bn, "seed": s, **setting} for s in seeds for bn in NETS.values()]
    )
    results = {"plain": histories[::2], "BN": histories[1::2]}
    at = histories[0]["steps"]
    marks = [n for n in (1000, 2000, 5000, 10000, 20000, 50000) if n <= steps]
    table = {
        net: {n: summarise(h["accuracy"][at.index(n)] for h in results[net]) for n in marks}
        for net in NETS
    }
    print("test accuracy (%)" + "".join(f"{n:>14,}" for n in marks) + "  steps")
    for net in NETS:
        print(f"{net:17}" + "".join(f"{table[net][n]:.1f}".rjust(14) for n in marks))

    final = {net: table[net][steps] for net in NETS}
    reached = {net: [steps_to(h, TARGET) for h in results[net]] for net in NETS}
    finding = f"After {steps:,} steps: BN {final['BN']:.1f} %, plain {final['plain']:.1f} % right"
    if not np.isnan(reached["plain"] + reached["BN"]).any():
        ratio = summarise(np.divide(reached["plain"], reached["BN"]))
        finding += f"; BN needs {ratio:.1f} times fewer steps to {TARGET:g} %"
    finding += f" ({flags.repeats})."
    finish(
        flags,
        draw(results, finding.replace("; ", ";\n")),
        finding,
        settings={**setting, "batch": BATCH, "width": WIDTH},
        results=results,
        accuracy={net: {n: s._asdict() for n, s in row.items()} for net, row in table.items()},
        steps_to_target=reached,
    )


def draw(results: dict[str, list[dict]], title: str) -> Figure:
    figure = Figure(figsize=(13, 4.8), layout="constrained")
    left, *right = figure.subplots(1, 3, width_ratios=[1.5, 1, 1])
    for net, histories in results.items():
        draw_accuracy(left, net, histories)
    left.set(xscale="log", ylim=(0, 100), ylabel="test accuracy (%)", xlabel="step")
    left.legend(loc="center right")
    left.set_title("(a) Accuracy: mean and range over the seeds")
    for axes, letter, net in zip(right, "bc", results, strict=True):
        draw_percentiles(axes, net, results[net][0])
        axes.set_title(f"({letter}) Input of a sigmoid, {net}")
    low = min(axes.get_ylim()[0] for axes in right)
    high = max(axes.get_ylim()[1] for axes in right)
    for axes in right:
        axes.set_ylim(low, high)
    figure.suptitle(title, fontsize=14)
    return figure


def draw_accuracy(axes, net: str, histories: list[dict]) -> None:
    at = histories[0]["steps"][1:]  # a logarithmic axis has no 0
    accuracy = np.array([h["accuracy"][1:] for h in histories])
    axes.fill_between(at, accuracy.min(0), accuracy.max(0), color=LOOK[net], alpha=0.2, lw=0)
    axes.plot(at, accuracy.mean(0), color=LOOK[net], label=net)


def draw_percentiles(axes, net: str, history: dict) -> None:
    at = history["steps"][1:]
    low, middle, high = np.array(history["percentiles"][1:]).T
    axes.fill_between(at, low, high, color=LOOK[net], alpha=0.2, lw=0)
    for line, name in ((high, "85th"), (middle, "50th"), (low, "15th")):
        axes.plot(at, line, color=LOOK[net], lw=2 if name == "50th" else 1)
        axes.annotate(
            f" {name}", (at[-1], line[-1]), fontsize=9, va="center", annotation_clip=False
        )
    axes.set(xscale="log", xlabel="step", ylabel="percentile of the test images")


# The sweep.


def sweep(flags: argparse.Namespace) -> None:
    steps, rates, sigmas = 10_000, [0.02, 0.1, 0.5, 2.5], [0.001, 0.01, 0.1, 1.0]
    if flags.quick:
        steps, rates, sigmas = 500, [0.1, 0.5], [0.01, 0.1]
    seeds = range(flags.seeds)
    grid = [(net, sigma, rate) for net in NETS for sigma in sigmas for rate in rates]
    histories = iter(
        runs(
            flags,
            [
                {"batch_norm": NETS[net], "sigma": s, "rate": r, "steps": steps, "seed": seed}
                for net, s, r in grid
                for seed in seeds
            ],
        )
    )
    final = {cell: summarise(next(histories)["accuracy"][-1] for _ in seeds) for cell in grid}
    spread = {
        net: [f([final[c].mean for c in grid if c[0] == net]) for f in (min, max)] for net in NETS
    }
    finding = (
        f"After {steps:,} steps, over {len(rates)} rates and {len(sigmas)} scales: "
        + ", ".join(f"{net} from {low:.0f} to {high:.0f} %" for net, (low, high) in spread.items())
    )
    finish(
        flags,
        draw_sweep(final, sigmas, rates, finding),
        f"{finding} right ({flags.repeats}).",
        suffix="-sweep",
        settings={"steps": steps, "rates": rates, "sigmas": sigmas, "batch": BATCH},
        results=[{"net": n, "sigma": s, "rate": r, **final[n, s, r]._asdict()} for n, s, r in grid],
    )


def draw_sweep(final: dict, sigmas, rates, title: str) -> Figure:
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    for axes, net in zip(figure.subplots(1, 2, sharey=True), NETS, strict=True):
        means = np.array([[final[net, s, r].mean for r in rates] for s in sigmas])
        image = axes.imshow(means, cmap="cividis", vmin=10, vmax=100, origin="lower")
        for (i, j), mean in np.ndenumerate(means):
            text = f"{final[net, sigmas[i], rates[j]]:.1f}".replace(" ± ", "\n± ")
            axes.text(j, i, text, ha="center", va="center", color="w" if mean < 60 else "k")
        axes.set_xticks(range(len(rates)), [f"{r:g}" for r in rates])
        axes.set_yticks(range(len(sigmas)), [f"{s:g}" for s in sigmas])
        axes.set(xlabel="learning rate", title=net)
        axes.grid(False)
    figure.axes[0].set_ylabel("standard deviation of the initial weights")
    figure.colorbar(image, ax=figure.axes, shrink=0.8, label="test accuracy (%)")
    figure.suptitle(title, fontsize=14)
    return figure


def main() -> None:
    flags = parse_experiment(
        __doc__,
        seeds=3,
        add_flags=lambda parser: parser.add_argument(
            "--sweep", action="store_true", help="many learning rates and initial scales"
        ),
    )
    mg.set_num_threads(1)  # products this small gain nothing from a second
    (sweep if flags.sweep else compare)(flags)


if __name__ == "__main__":
    main()
