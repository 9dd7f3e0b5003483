"""Train a small convolutional network with batch normalisation on real handwritten digits.

The data are scikit-learn's 1,797 digits of 8 x 8 pixels; a fifth of them is held out. The layer
sizes, the rate and the number of epochs were chosen by cross-validation on the other four
fifths: the held-out images are classified for the learning curve, and choose nothing.

    python examples/digits.py [--quick] [--kernels numpy|numba] [--epochs N] [--seed N] [--out DIR]

writes DIR/digits.png (learning curves, confusion matrix, the digits it got wrong) and
DIR/digits.npz (the weights).
"""

import time
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F
from support import COLOURS, cosine, marked, parse_flags, place, progress, save_figure

BATCH = 64
PEAK_RATE = 0.05


def load_data():
    """Training and held-out images (N, 1, 8, 8), float32 in [0, 1], and labels (N,), int64."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return train_test_split(
        images, labels.astype(np.int64), test_size=0.2, stratify=labels, random_state=0
    )


def build_model() -> nn.Module:
    # The convolutions have no bias: the batch normalisation after them would subtract it again.
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),  # (N, 16, 8, 8)
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),  # (N, 32, 8, 8)
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 32, 4, 4)
        nn.Conv2d(32, 64, 3, padding=1, bias=False),  # (N, 64, 4, 4)
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 64, 2, 2)
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(256, 10),
    )


def train(model: nn.Module, x_train, y_train, x_test, y_test, epochs: int, seed: int):
    """Train in place; return the curves, one value an epoch each."""
    loader = DataLoader(
        TensorDataset(mg.from_numpy(x_train), mg.from_numpy(y_train)),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        seed=seed,
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(
        model.parameters(), lr=PEAK_RATE, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    curves: dict[str, list[float]] = {
        "loss": [],
        "accuracy": [],
        "held-out loss": [],
        "held-out accuracy": [],
    }
    steps = epochs * len(loader)

    with progress(None, "training", total=steps) as bar:
        for _ in range(epochs):
            model.train()
            loss_sum = correct = seen = 0
            for x, y in loader:
                optimizer.param_groups[0]["lr"] = cosine(PEAK_RATE, bar.n / steps)
                logits = model(x)
                loss = criterion(logits, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

                loss_sum += loss.item() * len(x)
                correct += (logits.argmax(dim=1) == y).sum().item()
                seen += len(x)
                bar.update()

            logits = predict(model, x_test)
            curves["loss"].append(loss_sum / seen)
            curves["accuracy"].append(100 * correct / seen)
            curves["held-out loss"].append(F.cross_entropy(logits, mg.from_numpy(y_test)).item())
            curves["held-out accuracy"].append(accuracy(logits, y_test))
            bar.set_postfix_str(f"held out {curves['held-out accuracy'][-1]:.1f} %", False)
    # the bar's clock starts after its first step, in which kernels are compiled
    print(f"trained for {epochs} epochs in {time.time() - bar.start_t:.1f} s")
    return curves


def predict(model: nn.Module, images: np.ndarray) -> mg.Tensor:
    """Logits (N, 10), with the running statistics and without dropout."""
    model.eval()
    with mg.no_grad():
        return mg.cat([model(part) for part in mg.from_numpy(images).split(BATCH)])


def accuracy(logits: mg.Tensor, labels: np.ndarray) -> float:
    """In per cent."""
    return 100 * float(np.mean(logits.argmax(dim=1).numpy() == labels))


def draw(curves: dict, logits: mg.Tensor, images: np.ndarray, labels: np.ndarray) -> Figure:
    figure = Figure(figsize=(12, 7.4), layout="constrained")
    wrong = int(np.sum(logits.argmax(dim=1).numpy() != labels))
    figure.suptitle(
        f"{accuracy(logits, labels):.1f} % of the digits that were held out are read correctly: "
        f"{wrong} of {len(labels)} wrong",
        fontsize=14, fontweight="bold",
    )  # fmt: skip
    halves: Any = figure.subfigures(2, 1, height_ratios=[2.1, 1])
    above, below = halves
    left, right = above.subfigures(1, 2, width_ratios=[1.1, 1])
    draw_curves(left, curves)
    draw_confusion(right, logits, labels)
    draw_hardest(below, logits, images, labels)
    return figure


def draw_curves(figure, curves: dict) -> None:
    epochs = np.arange(1, len(curves["loss"]) + 1)
    marker = "o" if len(epochs) == 1 else ""  # a line through one point is not seen
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, name in ((above, "loss"), (below, "accuracy")):
        for key, colour, label in (
            (name, "blue", "training (with dropout)"),
            (f"held-out {name}", "orange", "held out"),
        ):
            axes.plot(epochs, curves[key], marker=marker, color=COLOURS[colour], label=label)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    above.set_yscale("log")
    above.set_ylabel("cross-entropy (nats)")
    above.set_title("Learning curves")
    above.legend(frameon=False)
    lowest = min(curves["accuracy"][1:] + curves["held-out accuracy"][1:], default=0)
    below.set_ylim(max(0, lowest - 2), 100.4)  # without the first epoch, which hides the others
    below.set_ylabel("accuracy (%)")
    below.set_xlabel("epoch")
    below.set_xlim(0.5, len(epochs) + 0.5)
    below.xaxis.get_major_locator().set_params(integer=True)


def draw_confusion(figure, logits: mg.Tensor, labels: np.ndarray) -> None:
    counts = np.zeros((10, 10), dtype=int)
    np.add.at(counts, (labels, logits.argmax(dim=1).numpy()), 1)
    wrong = counts * (1 - np.eye(10, dtype=int))

    # The diagonal in blue, everything off it in red: one mistake among hundreds stays visible.
    axes = figure.subplots()
    image = np.ones((10, 10, 3))
    image[np.arange(10), np.arange(10)] = (0.78, 0.87, 0.95)
    depth = 0.35 + 0.65 * wrong / max(1, wrong.max())
    image[wrong > 0] = 1 - depth[wrong > 0, None] * np.array([0.1, 0.62, 0.62])
    axes.imshow(image)
    for true, predicted in np.argwhere(counts > 0):
        axes.text(predicted, true, counts[true, predicted], ha="center", va="center", fontsize=9)
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    axes.set_xticks(np.arange(-0.5, 10), minor=True)
    axes.set_yticks(np.arange(-0.5, 10), minor=True)
    axes.grid(which="minor", color="0.9", linewidth=0.6)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title("Confusion: what was held out, mistakes red")


def draw_hardest(figure, logits: mg.Tensor, images: np.ndarray, labels: np.ndarray) -> None:
    """The misclassified digits first, the surest mistake leftmost; then the least sure hits."""
    probabilities = F.softmax(logits, dim=1).numpy()
    predicted = probabilities.argmax(axis=1)
    rows = np.arange(len(labels))
    # How much more the network believed in its own answer, or in the best wrong one, than in
    # the truth: above zero for mistakes.
    rivals = probabilities.copy()
    rivals[rows, labels] = -1
    rival = rivals.argmax(axis=1)
    margin = probabilities[rows, rival] - probabilities[rows, labels]
    hardest = np.argsort(-margin, kind="stable")[:9]

    figure.suptitle("The misclassified digits (red), then those it was least sure of")
    for axes, i in zip(figure.subplots(1, 9), hardest, strict=True):
        wrong = predicted[i] != labels[i]
        axes.imshow(images[i, 0], cmap="gray_r", vmin=0, vmax=1)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(color="tab:red" if wrong else "0.6", linewidth=2 if wrong else 1)
        axes.set_title(
            f"{predicted[i]}, truly {labels[i]}" if wrong else f"{labels[i]}, right",
            color="tab:red" if wrong else "0.2",
            fontsize=10,
        )
        axes.set_xlabel(
            f"{labels[i]}: {probabilities[i, labels[i]]:.0%}   "
            f"{rival[i]}: {probabilities[i, rival[i]]:.0%}",
            fontsize=9.5,
        )


def main() -> None:
    flags = parse_flags(__doc__, epochs=30, quick_epochs=3)
    x_train, x_test, y_train, y_test = load_data()
    model = build_model()
    print(
        f"{len(x_train)} training and {len(x_test)} held-out images, "
        f"{sum(p.numel() for p in model.parameters())} parameters, seed {flags.seed}"
    )

    curves = train(model, x_train, y_train, x_test, y_test, flags.epochs, flags.seed)

    logits = predict(model, x_test)
    weights = place(flags, ".npz")
    mg.save(model.state_dict(), weights)
    reloaded = build_model()
    reloaded.load_state_dict(mg.load(weights))
    if not np.array_equal(predict(reloaded, x_test).numpy(), logits.numpy()):
        raise RuntimeError(f"the weights reloaded from {weights} give other predictions")

    picture = save_figure(flags, draw(curves, logits, x_test, y_test))
    print(f"wrote {picture} and {weights} (reloaded: identical predictions)")
    print(marked(flags, f"held-out accuracy: {accuracy(logits, y_test):.2f} %"))


if __name__ == "__main__":
    main()
