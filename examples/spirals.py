"""Train a multilayer perceptron on two interleaved spirals and draw its decision boundary.

    python examples/spirals.py [--quick] [--kernels numpy|numba] [--epochs N] [--seed N] [--out DIR]

writes DIR/spirals.png.
"""

import time

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F
from support import COLOURS, cosine, marked, parse_flags, progress, save_figure

BATCH = 50
PEAK_RATE = 0.1
TURNS = 1.75
INNER = 0.15  # the arms reach from this radius to 1
EDGE = 1.2  # the picture shows [-EDGE, EDGE] in both directions


def spirals(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points (2 count, 2) and labels 0 or 1 (2 count, 1), float32: two arms, half a turn apart."""
    # Uniform in the radius's square: evenly along the arm, whose turns grow with the radius.
    radius = np.sqrt(rng.uniform(INNER**2, 1, size=(2, count)))
    angle = 2 * np.pi * TURNS * radius + np.array([[0], [np.pi]])
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    points += 0.02 * rng.standard_normal(points.shape)
    labels = np.repeat([0, 1], count)
    return points.reshape(-1, 2).astype(np.float32), labels.reshape(-1, 1).astype(np.float32)


def build_model() -> nn.Module:
    return nn.Sequential(
        nn.Linear(2, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 1),  # the logit of label 1
    )


def train(model: nn.Module, x_train, y_train, epochs: int, seed: int) -> list[float]:
    """Train in place; return the mean loss of every epoch."""
    loader = DataLoader(
        TensorDataset(mg.from_numpy(x_train), mg.from_numpy(y_train)),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        seed=seed,
    )
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.SGD(model.parameters(), lr=PEAK_RATE, momentum=0.9, nesterov=True)
    losses = []
    with progress(range(epochs), "training", "epoch") as bar:
        for epoch in bar:
            optimizer.param_groups[0]["lr"] = cosine(PEAK_RATE, epoch / epochs)
            loss_sum = correct = seen = 0
            for x, y in loader:
                logits = model(x)
                loss = criterion(logits, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

                loss_sum += loss.item() * len(x)
                correct += ((logits > 0) == (y > 0)).sum().item()
                seen += len(x)
            losses.append(loss_sum / seen)
            bar.set_postfix_str(f"accuracy {100 * correct / seen:.1f} %", False)
    # the bar's clock starts after its first step, in which kernels are compiled
    print(f"trained for {epochs} epochs in {time.time() - bar.start_t:.1f} s")
    return losses


def probability(model: nn.Module, points: np.ndarray) -> np.ndarray:
    """What the network thinks of label 1 at every point, (N, 1)."""
    model.eval()
    with mg.no_grad():
        return F.sigmoid(model(mg.from_numpy(points))).numpy()


def draw(model: nn.Module, losses: list[float], train_set, test_set, accuracy: float) -> Figure:
    side = np.linspace(-EDGE, EDGE, 300, dtype=np.float32)
    grid = np.stack(np.meshgrid(side, side), axis=-1)  # (300, 300, 2), rows from below
    surface = probability(model, grid.reshape(-1, 2)).reshape(300, 300)

    figure = Figure(figsize=(11.5, 5.8), layout="constrained")
    figure.suptitle(
        f"{accuracy:.0f} % of the points that were held out lie on the right side of the boundary",
        fontsize=14, fontweight="bold",
    )  # fmt: skip
    axes, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    filled = axes.contourf(
        side, side, surface, levels=np.linspace(0, 1, 21), cmap="RdBu_r", alpha=0.6
    )
    if surface.min() < 0.5 < surface.max():
        axes.contour(side, side, surface, levels=[0.5], colors="black", linewidths=1.3)
    for (points, labels), marker, size in ((train_set, "o", 13), (test_set, "^", 17)):
        for label, colour in ((0, "#1f4e9c"), (1, "#b2182b")):
            x, y = points[labels[:, 0] == label].T
            axes.scatter(
                x, y, s=size, marker=marker, color=colour, edgecolor="white", linewidth=0.4
            )
    axes.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), aspect="equal", xticks=[], yticks=[])
    axes.set_title("Dots: training; triangles: held out")
    bar = figure.colorbar(filled, ax=axes, shrink=0.8, ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.set_label("probability of red; black line: 0.5")

    marker = "o" if len(losses) == 1 else ""  # a line through one point is not seen
    right.semilogy(range(1, len(losses) + 1), losses, color=COLOURS["blue"], marker=marker)
    right.set(title="Learning curve", xlabel="epoch", ylabel="binary cross-entropy (nats)")
    right.grid(alpha=0.3)
    right.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    flags = parse_flags(__doc__, epochs=150, quick_epochs=30)
    rng = np.random.default_rng(flags.seed)
    train_set, test_set = spirals(250, rng), spirals(100, rng)

    model = build_model()
    losses = train(model, *train_set, flags.epochs, flags.seed)

    points, labels = test_set
    accuracy = 100 * float(np.mean((probability(model, points) > 0.5) == (labels > 0.5)))
    picture = save_figure(flags, draw(model, losses, train_set, test_set, accuracy))
    print(f"wrote {picture}")
    print(marked(flags, f"held-out accuracy: {accuracy:.2f} %"))


if __name__ == "__main__":
    main()
