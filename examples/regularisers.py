"""Batch normalisation, dropout, L1 and L2 as regularisers, and what normalising an image removes.

1. A network learns 1,000 images of MNIST. How far above its accuracy on new images is that on the
   training images, and does it help the new ones to close the gap? The strengths of dropout, L1
   and L2 were chosen for the loss on other images of the training set.
2. Under batch normalisation the scale of the weights does not matter, so weight decay does not
   make the network simpler: it keeps the weights short, and with that the steps (lr/‖w‖²) long.
3. Instance normalisation removes contrast and brightness: a·x + b gives what x gives.
4. Gates between batch and instance normalisation (rho = 1 and 0) decide by themselves: the same
   images of randomly coloured digits with two questions, which digit, and which colour?

    python examples/regularisers.py [--quick] [--data PATH] [--seeds N] [--out DIR]

takes MNIST from PATH/mnist and writes DIR/regularisers.png and .json.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F
from support import COLOURS, finish, load_mnist, parse_experiment, run_all, summarise

WIDTH = 100
BATCH = 50
RATE = 0.1
REGULARISERS: dict[str, dict[str, Any]] = {
    "none": {},
    "L1": {"l1": 3e-4},
    "L2": {"l2": 1e-2},
    "dropout": {"dropout": 0.5},
    "BN": {"bn": True},
    "BN + L2": {"bn": True, "l2": 1e-2},
    "BN + dropout": {"bn": True, "dropout": 0.5},
}
CONTRASTS = 10.0 ** np.arange(-3, 3.1, 0.5)
QUESTIONS = {"digit": "orange", "colour": "blue"}


def network(bn: bool, dropout: float) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs in (784, WIDTH):
        layers.append(nn.Linear(inputs, WIDTH, bias=not bn))  # BN would subtract the bias again
        layers += [nn.BatchNorm1d(WIDTH)] if bn else []
        layers += [nn.ReLU(), nn.Dropout(dropout)] if dropout else [nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def evaluate(model: nn.Module, x: mg.Tensor, y: mg.Tensor) -> tuple[float, float]:
    """Accuracy in per cent, and the mean loss in nats."""
    model.eval()
    with mg.no_grad():
        logits = model(x)
        loss = F.cross_entropy(logits, y).item()
    return 100 * float((logits.argmax(dim=1) == y).float().mean().item()), loss


def fit(model, optimizer, x, y, epochs: int, seed: int, penalty=None, each_epoch=None) -> None:
    """Train in place; `penalty()` is added to the loss."""
    loader = DataLoader(TensorDataset(x, y), BATCH, shuffle=True, drop_last=True, seed=seed)
    for _ in range(epochs):
        model.train()
        for images, labels in loader:
            loss = F.cross_entropy(model(images), labels)
            if penalty is not None:
                loss = loss + penalty()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if each_epoch is not None:
            each_epoch()


def train_regularised(
    train, test, seed: int, epochs: int, bn=False, dropout=0.0, l1=0.0, l2=0.0
) -> dict:
    """Accuracies and losses, and after each epoch the squared length ‖w‖² of the first weights."""
    mg.manual_seed(seed)
    model = network(bn, dropout)
    weights = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": weights, "weight_decay": l2}, {"params": others}]
    lengths = []
    x, y = train
    fit(
        model, optim.SGD(groups, lr=RATE), x, y, epochs, seed,
        penalty=(lambda: l1 * sum(w.abs().sum() for w in weights)) if l1 else None,
        each_epoch=lambda: lengths.append(float(np.sum(weights[0].array.astype(np.float64) ** 2))),
    )  # fmt: skip
    seen, unseen = evaluate(model, x, y), evaluate(model, *test)
    return {"train": seen[0], "test": unseen[0], "test loss": unseen[1], "length": lengths}


def scale_test(seed: int) -> dict[str, float]:
    """What 10 times larger weights before a batch normalisation (eps = 0) change."""
    mg.manual_seed(seed)
    x = mg.randn(64, 20, dtype=mg.float64)
    cotangent = mg.randn(64, 10, dtype=mg.float64)
    w = mg.randn(10, 20, dtype=mg.float64)
    outputs, gradients = [], []
    for a in (1, 10):
        scaled = (a * w).requires_grad_()
        y = F.batch_norm(F.linear(x, scaled), None, None, training=True, eps=0.0)
        (y * cotangent).sum().backward()
        outputs.append(y.detach().numpy())
        gradients.append(scaled.grad.numpy())
    return {
        "output": np.abs(outputs[1] - outputs[0]).max(),
        "gradient": np.abs(10 * gradients[1] - gradients[0]).max() / np.abs(gradients[0]).max(),
    }


def contrast_error(images: np.ndarray) -> dict[str, list[float]]:
    """The largest |IN(a·x + 1) - IN(x)| for each contrast a, with two values of eps."""
    x = mg.from_numpy(images.astype(np.float64))
    errors = {}
    for eps in (1e-5, 1e-10):
        norm = nn.InstanceNorm2d(1, eps=eps, dtype=mg.float64)
        errors[f"{eps:g}"] = [(norm(a * x + 1) - norm(x)).abs().max().item() for a in CONTRASTS]
    return errors


def coloured(images: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Half-size images in one of 8 inks (N, 3, 14, 14), and the number of the ink."""
    rng = np.random.default_rng(seed)
    small = images.reshape(len(images), 1, 14, 2, 14, 2).mean(axis=(3, 5))
    ink = rng.integers(0, 8, len(images))
    on = (ink[:, None] >> np.arange(3)) & 1
    strength = 0.4 + 0.6 * on + 0.1 * rng.standard_normal((len(images), 3))
    return (small * strength[:, :, None, None]).astype(np.float32), ink


def train_gates(train, test, seed: int, question: str, epochs: int) -> dict:
    """Accuracy, and the gates rho of both layers after training."""
    x, colour = coloured(train[0].numpy(), seed)
    x_test, test_colour = coloured(test[0].numpy()[:2000], seed + 1000)
    y, y_test = (
        (train[1].numpy(), test[1].numpy()[:2000]) if question == "digit" else (colour, test_colour)
    )
    mg.manual_seed(seed)
    norms = [nn.BatchInstanceNorm2d(16), nn.BatchInstanceNorm2d(16)]
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), norms[0], nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1, bias=False), norms[1], nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 9, 10),
    )  # fmt: skip
    gates = [norm.gate for norm in norms]
    rest = [p for p in model.parameters() if not any(p is gate for gate in gates)]
    groups = [{"params": rest}, {"params": gates, "lr": RATE * 5}]
    optimizer = optim.SGD(groups, lr=RATE / 2, momentum=0.9)
    fit(model, optimizer, mg.from_numpy(x), mg.from_numpy(y), epochs, seed)
    accuracy = evaluate(model, mg.from_numpy(x_test), mg.from_numpy(y_test))[0]
    return {"accuracy": accuracy, "rho": [norm.rho.numpy() for norm in norms]}


def grouped(grid: list[dict], key: str, results: list) -> dict[str, list]:
    """The results of the runs with the same value of `key`, seed after seed."""
    groups: dict[str, list] = {}
    for run, result in zip(grid, results, strict=True):
        groups.setdefault(run[key], []).append(result)
    return groups


def draw_gap(axes, runs: dict) -> None:
    for i, results in enumerate(runs.values()):
        seen, unseen = (summarise(r[key] for r in results) for key in ("train", "test"))
        axes.plot([unseen.mean, seen.mean], [i, i], color=COLOURS["grey"], linewidth=3, zorder=1)
        for s, colour in ((unseen, "blue"), (seen, "orange")):
            axes.errorbar(s.mean, i, xerr=s.sd, fmt="o", color=COLOURS[colour], capsize=3)
        axes.text(
            (seen.mean + unseen.mean) / 2, i - 0.12, f"{seen.mean - unseen.mean:.1f}", ha="center"
        )
    axes.set_yticks(range(len(runs)), runs)
    axes.set_ylim(len(runs) - 0.5, -0.7)  # room for the number above the first line
    axes.set(xlabel="accuracy (%) on new (blue) and training images (orange)")
    axes.set_title("(a) How far apart: new and training images")


def draw_gain(axes, gains: dict) -> None:
    for i, gain in enumerate(gains.values()):
        reach = [[gain.mean - gain.low], [gain.high - gain.mean]]
        colour = COLOURS["blue" if gain.low > 0 else "orange" if gain.high < 0 else "grey"]
        axes.errorbar(gain.mean, i, xerr=reach, fmt="o", color=colour, capsize=4)
    axes.axvline(0, color=COLOURS["black"], linewidth=1)
    axes.set_yticks(range(len(gains)), gains)
    axes.invert_yaxis()
    axes.set(xlabel="difference of accuracy (points), 95 % interval")
    axes.set_title("(b) What helps on new images")


def draw_lengths(axes, runs: dict) -> None:
    for name, colour in (("BN", "blue"), ("BN + L2", "orange")):
        rates = RATE * WIDTH / np.array([r["length"] for r in runs[name]])
        epochs = 1 + np.arange(rates.shape[1])
        axes.semilogy(epochs, rates.mean(axis=0), color=COLOURS[colour], label=name)
        axes.fill_between(epochs, rates.min(0), rates.max(0), color=COLOURS[colour], alpha=0.2)
    axes.set(xlabel="epoch", ylabel="lr/‖w‖², ‖w‖² the mean over units")
    for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatter("{x:g}")
    axes.set_title("(c) Under BN, weight decay makes longer steps")
    axes.legend()


def draw_contrast(figure, image: np.ndarray) -> None:
    changes = ((1.0, 0.0), (0.5, 0.0), (0.2, 0.6), (0.05, 0.4))
    for column, (a, b) in zip(figure.subplots(2, len(changes)).T, changes, strict=True):
        x = a * image[None] + np.float32(b)  # (1, 1, 28, 28)
        y = nn.InstanceNorm2d(1)(mg.from_numpy(x)).numpy()
        column[0].imshow(x[0, 0], cmap="gray", vmin=0, vmax=1)
        column[1].imshow(y[0, 0], cmap="gray", vmin=-0.5, vmax=3)
        column[0].set_title(f"{a:g}·x" + (f" + {b:g}" if b else ""), fontsize=10)
        for axes in column:
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
    figure.suptitle(
        "(e) Contrast goes in (above), not out of IN (below)", fontsize="large", weight=400
    )


def draw_error(axes, errors: dict) -> None:
    shown = np.abs(np.log(CONTRASTS)) > 0.1  # a = 1 is the reference
    for eps, values in errors.items():
        axes.loglog(CONTRASTS[shown], np.array(values)[shown], "o-", label=f"eps = {eps}")
    axes.set(
        xlabel="contrast a (a = 1 is nearly the reference, and left out)",
        ylabel="largest |IN(a·x + 1) - IN(x)|",
    )
    axes.set_title("(f) The same, while a²·var is far above eps")
    axes.legend()


def draw_gates(axes, gates: dict) -> None:
    bins = np.linspace(0, 1, 11)
    for question, results in gates.items():
        rho = np.concatenate([r["rho"][0] for r in results])
        label = f"which {question}? mean {rho.mean():.2f}"
        colour = COLOURS[QUESTIONS[question]]
        axes.hist(rho, bins, density=True, color=colour, alpha=0.55, label=label)
    axes.set(xlabel="gate rho of the first layer: 0 instance, 1 batch", ylabel="density")
    axes.set_title("(d) Gates where colour is noise, and where not")
    axes.legend(loc="upper left")


def main() -> None:
    flags = parse_experiment(__doc__, seeds=8)
    mg.set_num_threads(1)  # small networks: more would wait for one another
    images, test = load_mnist(flags)
    test = mg.from_numpy(test[0]), mg.from_numpy(test[1])

    def sample(seed: int, count: int) -> tuple[mg.Tensor, mg.Tensor]:
        chosen = np.random.default_rng(seed).permutation(len(images[0]))[:count]
        return mg.from_numpy(images[0][chosen]), mg.from_numpy(images[1][chosen])

    def regularise(seed: int, name: str, epochs: int) -> dict:
        return train_regularised(sample(seed, 1000), test, seed, epochs, **REGULARISERS[name])

    def mix(seed: int, question: str, epochs: int) -> dict:
        return train_gates(sample(seed, 2000), test, seed, question, epochs)

    seeds = range(flags.seeds)
    epochs, gate_epochs = (15, 2) if flags.quick else (40, 8)
    grid = [{"name": n, "seed": s, "epochs": epochs} for n in REGULARISERS for s in seeds]
    runs = grouped(grid, "name", run_all(flags, regularise, grid))
    grid = [{"question": q, "seed": s, "epochs": gate_epochs} for q in QUESTIONS for s in seeds]
    gates = grouped(grid, "question", run_all(flags, mix, grid))
    scales = [scale_test(seed) for seed in seeds]
    errors = contrast_error(images[0][:8])

    pairs = [(name, "none") for name in REGULARISERS if name != "none"]
    pairs += [("BN + L2", "BN"), ("BN + dropout", "BN")]
    gains = {
        f"{a} over {b}": summarise(
            r["test"] - s["test"] for r, s in zip(runs[a], runs[b], strict=True)
        )
        for a, b in pairs
    }
    ratios = [
        a["length"][-1] / b["length"][-1] for a, b in zip(runs["BN"], runs["BN + L2"], strict=True)
    ]
    rho = {q: summarise(np.mean(r["rho"][0]) for r in results) for q, results in gates.items()}

    figure = Figure(figsize=(12, 13), layout="constrained")
    figure.suptitle(
        f"On new images BN brings {gains['BN over none'].interval()} points, dropout "
        f"{gains['dropout over none'].interval()},\ndropout on top of BN "
        f"{gains['BN + dropout over BN'].interval()}"
    )
    rows: Any = figure.subfigures(3, 1)
    above, middle = rows[0].subplots(1, 2), rows[1].subplots(1, 2)
    draw_gap(above[0], runs)
    draw_gain(above[1], gains)
    draw_lengths(middle[0], runs)
    draw_gates(middle[1], gates)
    left, right = rows[2].subfigures(1, 2)
    draw_contrast(left, images[0][0])
    draw_error(right.subplots(), errors)

    finding = (
        f"On 1,000 images of MNIST, new images: {summarise(r['test'] for r in runs['none']):.1f} % "
        f"without a regulariser; BN {gains['BN over none'].interval()}, dropout "
        f"{gains['dropout over none'].interval()}, L2 {gains['L2 over none'].interval()}, L1 "
        f"{gains['L1 over none'].interval()} points; on top of BN, dropout "
        f"{gains['BN + dropout over BN'].interval()} and L2 {gains['BN + L2 over BN'].interval()}. "
        f"Under BN weight decay makes lr/‖w‖² {summarise(ratios):.1f} times larger. Gates of the "
        f"first layer: rho {rho['digit']:.2f} where colour is noise, {rho['colour']:.2f} where it "
        f"is the question ({flags.repeats})."
    )
    results = {
        "regularisers": runs,
        "gains": {name: gain._asdict() for name, gain in gains.items()},
        "lr ratio": ratios,
        "scale": scales,
        "contrast": errors,
        "gates": gates,
    }
    settings = {"epochs": epochs, "gate epochs": gate_epochs, "regularisers": REGULARISERS}
    finish(flags, figure, finding, settings=settings, results=results)


if __name__ == "__main__":
    main()
