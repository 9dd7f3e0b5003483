"""The loss landscape along training: a plain network, batch normalisation, residual connections.

Every few steps of training the loss and its gradient are measured along the gradient, at 0.5, 1, 2
and 4 times the training step, as in Santurkar et al. (2018), figure 4; less often the sharpness,
the largest eigenvalue of the Hessian. The network has five hidden layers of 100 ReLUs, the data are
8,000 images of MNIST.

    python examples/landscape.py [--quick] [--data PATH] [--seeds N] [--out DIR]

writes DIR/landscape.png and .json. About two minutes; --quick takes seconds.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn, optim
from minigrad.analysis import along_gradient, sharpness
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F
from support import COLOURS, finish, load_mnist, parse_experiment, run_all, summarise

DEPTH = 5
WIDTH = 100
RATE = 0.1
BATCH = 128
TRAINING = 8000
WINDOW = 5  # probes that a point of the lower curves is the mean of
FACTORS = (0.5, 1, 2, 4)  # of the learning rate: how far along the gradient is looked
KINDS = {"plain": "orange", "batch norm": "blue", "residual": "black"}


def build(kind: str) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for i in range(DEPTH):
        linear = nn.Linear(WIDTH if i else 784, WIDTH)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        norm = [nn.BatchNorm1d(WIDTH)] if kind == "batch norm" else []
        parts = [linear, *norm, nn.ReLU()]
        # the first layer changes the size, and has no shortcut
        layers.append((nn.Residual if kind == "residual" and i else nn.Sequential)(*parts))
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def forever(loader: DataLoader):
    while True:
        yield from loader


def landscape(
    kind: str, seed: int, steps: int, probe_every: int, sharpness_every: int, images, labels
) -> dict[str, list]:
    """Train, and measure on the batch of the next step."""
    mg.manual_seed(seed)
    model = build(kind)
    optimizer = optim.SGD(model.parameters(), lr=RATE)
    loader = DataLoader(
        TensorDataset(images, labels), batch_size=BATCH, shuffle=True, drop_last=True, seed=seed
    )
    found: dict[str, list] = {
        key: [] for key in ("step", "loss", "change", "smoothness", "sharp step", "sharpness")
    }
    for step, (x, y) in zip(range(steps), forever(loader), strict=False):
        if step % probe_every == 0:
            line = along_gradient(model, F.cross_entropy, x, y, [RATE * f for f in FACTORS])
            found["step"].append(step)
            found["loss"].append(line.loss)
            found["change"].append(line.gradient_change)
            found["smoothness"].append(line.smoothness)
        if step % sharpness_every == 0:
            found["sharp step"].append(step)
            found["sharpness"].append(
                sharpness(model, F.cross_entropy, x, y, iterations=20, tol=0.02)
            )
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return found


def summaries(run: dict[str, list]) -> dict[str, float]:
    """One number a run for each panel."""
    loss = np.array(run["loss"])
    return {
        "loss range": float(np.median(loss.max(axis=1) - loss.min(axis=1))),
        "gradient change": float(np.median(np.array(run["change"])[:, -1])),
        "smoothness, median": float(np.median(run["smoothness"])),
        "smoothness, largest": float(np.max(run["smoothness"])),
        "sharpness, median": float(np.median(run["sharpness"])),
    }


def draw(runs: dict[str, list[dict]], title: str) -> Figure:
    figure = Figure(figsize=(10, 8), layout="constrained")
    figure.suptitle(title, fontsize=14)
    halves: Any = figure.subfigures(2, 1)
    above, below = halves
    draw_losses(above.subplots(1, len(KINDS), sharey=True), runs)
    predictiveness, smoothness, sharp = below.subplots(1, 3)
    for kind, colour in KINDS.items():
        for axes, at, key in (
            (predictiveness, "step", "change"),
            (smoothness, "step", "smoothness"),
            (sharp, "sharp step", "sharpness"),
        ):
            draw_mean(axes, runs[kind], at, key, colour, kind)
    sharp.axhline(2 / RATE, color=COLOURS["black"], linestyle=":", label="2 / lr")
    for axes, title, label in (
        (predictiveness, "Change of the gradient", f"‖Δ∇L‖ at {FACTORS[-1]} times the step"),
        (smoothness, "Effective smoothness", "largest ‖Δ∇L‖ / ‖Δθ‖"),
        (sharp, "Sharpness", "largest eigenvalue of the Hessian"),
    ):
        axes.set(title=title, ylabel=label, xlabel="training step", yscale="log")
        axes.margins(y=0.08)
    sharp.legend(fontsize=10)
    return figure


def draw_losses(row, runs: dict[str, list[dict]]) -> None:
    """The least and the largest loss over the step lengths, means over the seeds."""
    for axes, (kind, colour) in zip(row, KINDS.items(), strict=True):
        values = np.array([run["loss"] for run in runs[kind]])  # (seeds, steps, factors)
        low, high = values.min(axis=2).mean(axis=0), values.max(axis=2).mean(axis=0)
        axes.fill_between(runs[kind][0]["step"], low, high, color=COLOURS[colour], alpha=0.6)
        axes.set(title=kind, xlabel="training step", yscale="log")
    row[0].set_ylabel("loss along the gradient (nats)\nfrom 0.5 to 4 times the step")


def draw_mean(axes, runs: list[dict], at: str, key: str, colour: str, label: str) -> None:
    """The geometric mean over the seeds, and over WINDOW neighbours where there are many."""
    values = np.array([run[key] for run in runs])
    if key == "change":
        values = values[..., -1]  # the longest step
    steps, logs = np.array(runs[0][at]), np.log(values).mean(axis=0)
    if len(steps) > 4 * WINDOW:
        weights = np.full(WINDOW, 1 / WINDOW)
        steps, logs = (np.convolve(x, weights, "valid") for x in (steps, logs))
    axes.plot(steps, np.exp(logs), color=COLOURS[colour], label=label)


def main() -> None:
    flags = parse_experiment(__doc__, seeds=5, quick_seeds=2)
    (images, labels), _ = load_mnist(flags)
    images = mg.from_numpy(images[:TRAINING])
    labels = mg.from_numpy(labels[:TRAINING])
    steps, probe_every, sharpness_every = (100, 10, 50) if flags.quick else (1000, 10, 50)

    def train(kind: str, seed: int, steps: int) -> dict[str, list]:
        return landscape(kind, seed, steps, probe_every, sharpness_every, images, labels)

    configurations = [
        {"kind": kind, "seed": seed, "steps": steps}
        for kind in KINDS
        for seed in range(flags.seeds)
    ]
    found = run_all(flags, train, configurations)
    n = flags.seeds
    runs = {kind: found[i * n : (i + 1) * n] for i, kind in enumerate(KINDS)}
    numbers = {kind: [summaries(run) for run in runs[kind]] for kind in KINDS}
    results = {
        key: {kind: [row[key] for row in numbers[kind]] for kind in KINDS}
        for key in numbers["plain"][0]
    }
    for key, row in results.items():
        text = "   ".join(f"{kind} {summarise(values):.3g}" for kind, values in row.items())
        print(f"{key:20}  {text}")

    def times(key: str, kind: str = "batch norm") -> str:
        pairs = zip(results[key]["plain"], results[key][kind], strict=True)
        ratio = summarise(a / b for a, b in pairs)
        return f"{ratio:.{0 if ratio.mean >= 10 else 1}f}"

    finding = (
        f"With batch norm the loss range along the gradient is {times('loss range')} times "
        f"narrower than plain, the gradient changes {times('gradient change')} times less, the "
        f"largest effective smoothness is {times('smoothness, largest')} times lower, but its "
        f"median {times('smoothness, median')} times and the sharpness "
        f"{times('sharpness, median')} times; residual: loss range "
        f"{times('loss range', 'residual')} times narrower (mean ± s.d. of paired ratios, "
        f"{flags.seeds} seeds)"
    )
    title = (
        f"Along the gradient the loss varies {times('loss range')} times less with batch norm;\n"
        f"the sharpness is {times('sharpness, median')} times lower"
    )
    settings = {
        "depth": DEPTH, "width": WIDTH, "lr": RATE, "batch": BATCH, "images": TRAINING,
        "steps": steps, "factors": FACTORS,
    }  # fmt: skip
    finish(flags, draw(runs, title), finding, settings=settings, results=results)


if __name__ == "__main__":
    main()
