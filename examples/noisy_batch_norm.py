"""Does batch normalisation help by steadying the distributions of the activations?

Santurkar et al. (2018) say no: noise with a mean and scale that change at every step, put after
each batch normalisation, makes the distributions move more than in the plain network, and yet it
trains as well. Four networks of five hidden layers of 100 ReLUs learn 8,000 images of MNIST at two
learning rates: plain and with batch normalisation, each with and without the noise. The internal
covariate shift ‖G - G'‖₂ is measured along training.

    python examples/noisy_batch_norm.py [--quick] [--data PATH] [--seeds N] [--out DIR]

writes DIR/noisy_batch_norm.png and .json. About two minutes; --quick takes seconds.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn, optim
from minigrad.analysis import ActivationRecorder, internal_covariate_shift
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F
from support import COLOURS, finish, load_mnist, parse_experiment, run_all, summarise

DEPTH = 5
WIDTH = 100
BATCH = 128
TRAINING, TESTING = 8000, 2000
RATES = (0.5, 0.1)
EVERY = 50  # steps between two measurements
SHIFT = "‖G - G'‖/‖G‖"
SHOWN = 200  # steps of the percentiles in the picture
KINDS = {
    "plain": "orange",
    "plain + noise": "yellow",
    "batch norm": "blue",
    "batch norm + noise": "sky",
}
SHIFTING = ("plain", "batch norm", "batch norm + noise")  # whose distributions are drawn


def build(kind: str) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for i in range(DEPTH):
        linear = nn.Linear(WIDTH if i else 784, WIDTH)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers.append(linear)
        if kind.startswith("batch norm"):
            layers.append(nn.BatchNorm1d(WIDTH))
        if kind.endswith("noise"):
            layers.append(nn.NoiseInjection())
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def forever(loader: DataLoader):
    while True:
        yield from loader


def error(model: nn.Module, images: mg.Tensor, labels: mg.Tensor) -> float:
    """Of the test images, in per cent; a network that has become NaN is guessing."""
    model.eval()
    with mg.no_grad():
        logits = model(images)
    model.train()
    return 100 * float((logits.argmax(dim=1) != labels).float().mean())


def shift(model: nn.Sequential, x, y, rate: float) -> list[float]:
    """Relative distance ‖G - G'‖/‖G‖ and cosine, means over the hidden layers after the first."""
    found = internal_covariate_shift(model, F.cross_entropy, x, y, rate)
    linear = [path for path, m in model.named_modules() if isinstance(m, nn.Linear)]
    rows = [(s.distance / s.norm if s.norm else np.nan, s.cosine) for s in map(found.get, linear)]
    return np.mean(rows[1:-1], axis=0).tolist()


def movement(recorder: ActivationRecorder, layer: str) -> float:
    """How far the percentiles move from one step to the next, against the width between them."""
    values = recorder.percentiles(layer)
    width = np.median(values[:, -1] - values[:, 0])
    return float(np.median(np.abs(np.diff(values, axis=0)).mean(axis=1)) / width)


def train(kind: str, rate: float, seed: int, steps: int, data: TensorDataset, test: tuple) -> dict:
    """Train, test every 50 steps, and watch one unit before the last ReLU."""
    mg.manual_seed(seed)
    model = build(kind)
    optimizer = optim.SGD(model.parameters(), lr=rate)
    loader = DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=True, seed=seed)
    last_relu = [path for path, m in model.named_modules() if isinstance(m, nn.ReLU)][-1]
    watched = str(int(last_relu) - 1)
    result: dict[str, Any] = {"step": [], "error": [], "shift": [], "cosine": []}
    with ActivationRecorder(model, [watched], unit=0) as recorder, np.errstate(all="ignore"):
        for step, (x, y) in zip(range(steps), forever(loader), strict=False):
            if step % EVERY == 0:
                distance, cosine = shift(model, x, y, rate)
                result["step"].append(step)
                result["error"].append(error(model, *test))
                result["shift"].append(distance)
                result["cosine"].append(cosine)
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if not np.isfinite(loss.item()):
                break
    result["diverged"] = not np.isfinite(loss.item())
    result["step"].append(step + 1)
    result["error"].append(error(model, *test))
    result["movement"] = movement(recorder, watched)
    result["percentiles"] = recorder.percentiles(watched)[:SHOWN].round(4)
    return result


def draw(runs: dict, title: str, steps: int) -> Figure:
    figure = Figure(figsize=(10, 9.6), layout="constrained")
    figure.suptitle(title, fontsize=13)
    parts: Any = figure.subfigures(3, 1, height_ratios=[1.15, 1.2, 0.85])
    above, middle, below = parts
    for axes, kind in zip(above.subplots(1, len(KINDS), sharey=True), KINDS, strict=True):
        draw_errors(axes, {rate: runs[kind, rate] for rate in RATES}, COLOURS[KINDS[kind]], steps)
        axes.set_title(kind, fontsize=12)
        if kind == "plain":
            axes.set_ylabel("test error (%), a line a seed")
        axes.legend(fontsize=9.5)
    draw_strips(middle.subplots(len(SHIFTING), 1, sharex=True, sharey=True), runs)
    left, right = below.subplots(1, 2)
    moving = {kind: [run["movement"] for run in runs[kind, RATES[1]]] for kind in SHIFTING}
    draw_numbers(left, moving, "percentiles: movement a step / width")
    shifts = {kind: [np.mean(run["shift"]) for run in runs[kind, RATES[1]]] for kind in KINDS}
    draw_numbers(right, shifts, "internal covariate shift ‖G - G'‖ / ‖G‖")
    below.suptitle(f"Means and 95 % intervals at lr {RATES[1]}", fontsize=12, weight=400)
    return figure


def draw_errors(axes, by_rate: dict[float, list[dict]], colour: str, steps: int) -> None:
    looks: Any = ({"color": colour}, {"color": COLOURS["grey"], "linewidth": 1})
    for (rate, found), look in zip(by_rate.items(), looks, strict=True):
        for i, run in enumerate(found):
            at, errors = list(run["step"]), list(run["error"])
            if run["diverged"]:  # it guesses from here on
                at.append(steps)
                errors.append(errors[-1])
            axes.plot(at, errors, alpha=0.8, label=None if i else f"lr {rate}", **look)
    axes.set(yscale="log", xlabel="training step")
    axes.set_yticks([5, 10, 20, 50, 90], ["5", "10", "20", "50", "90"])
    axes.minorticks_off()


def draw_strips(rows, runs: dict) -> None:
    for axes, kind in zip(rows, SHIFTING, strict=True):
        low, middle, high = np.array(runs[kind, RATES[1]][0]["percentiles"]).T
        colour = COLOURS[KINDS[kind]]
        axes.fill_between(range(len(low)), low, high, color=colour, alpha=0.35, linewidth=0)
        axes.plot(middle, color=colour, linewidth=1)
        axes.set_ylabel(kind.replace(" + ", "\n+ "), fontsize=10)
    rows[0].set_title("One unit's input to the last ReLU: 15th, 50th and 85th percentiles")
    rows[-1].set_xlabel(f"training step (lr {RATES[1]}, first seed)")


def draw_numbers(axes, values: dict[str, list[float]], label: str) -> None:
    for i, (kind, numbers) in enumerate(values.items()):
        s = summarise(numbers)
        reach = [[s.mean - s.low], [s.high - s.mean]] if s.n > 1 else None
        axes.errorbar(s.mean, i, xerr=reach, fmt="o", color=COLOURS[KINDS[kind]], capsize=4)
    axes.set_yticks(range(len(values)), values)
    axes.invert_yaxis()
    axes.margins(y=0.15)
    axes.set_xlim(left=0)
    axes.set_xlabel(label)


def main() -> None:
    flags = parse_experiment(__doc__, seeds=5, quick_seeds=2)
    (images, labels), (test_images, test_labels) = load_mnist(flags)
    data = TensorDataset(images[:TRAINING], labels[:TRAINING])
    test = mg.from_numpy(test_images[:TESTING]), mg.from_numpy(test_labels[:TESTING])
    steps = 100 if flags.quick else 1000

    def four_nets(kind: str, rate: float, seed: int, steps: int) -> dict:
        return train(kind, rate, seed, steps, data, test)

    pairs = [(kind, rate) for kind in KINDS for rate in RATES]
    found = run_all(
        flags,
        four_nets,
        [
            {"kind": kind, "rate": rate, "seed": seed, "steps": steps}
            for kind, rate in pairs
            for seed in range(flags.seeds)
        ],
    )
    n = flags.seeds
    runs = {pair: found[i * n : (i + 1) * n] for i, pair in enumerate(pairs)}
    results = {
        f"{kind}, lr {rate}": {
            "test error (%)": [run["error"][-1] for run in runs[kind, rate]],
            "diverged": [run["diverged"] for run in runs[kind, rate]],
            SHIFT: [float(np.mean(run["shift"])) for run in runs[kind, rate]],
            "ICS cosine": [float(np.mean(run["cosine"])) for run in runs[kind, rate]],
            "movement": [run["movement"] for run in runs[kind, rate]],
        }
        for kind, rate in pairs
    }
    for name, row in results.items():
        numbers = "   ".join(
            f"{key} {summarise(values):.2f}" for key, values in row.items() if key != "diverged"
        )
        print(f"{name:26}  {numbers}")

    def of(key: str, kind: str, rate: float, spec: str = ".1f") -> str:
        return format(summarise(results[f"{kind}, lr {rate}"][key]), spec)

    fast, slow = RATES
    errors = "; ".join(
        f"lr {rate}: "
        + ", ".join(
            f"{kind} {of('test error (%)', kind, rate)}"
            + (
                f" ({k} of {n} diverged)"
                if (k := sum(r["diverged"] for r in runs[kind, rate]))
                else ""
            )
            for kind in KINDS
        )
        for rate in RATES
    )
    moves = ", ".join(f"{kind} {of('movement', kind, slow, '.2f')}" for kind in SHIFTING)
    ics = ", ".join(f"{kind} {of(SHIFT, kind, slow, '.2f')}" for kind in KINDS)
    finding = (
        f"Test error (%), {errors}. At lr {slow}, movement of a unit's percentiles a step, against "
        f"their width: {moves}; ICS {SHIFT}: {ics} (mean ± s.d. over {n} seeds)"
    )
    noisy, plain = (of("test error (%)", k, fast) for k in ("batch norm + noise", "plain"))
    lost = sum(results[f"plain, lr {fast}"]["diverged"])
    unsettled, steady = (of("movement", kind, slow, ".2f") for kind in SHIFTING[::-2])
    title = (
        f"With batch norm and noise the percentiles move {unsettled} of their width a step,\n"
        f"plain {steady}; test error at lr {fast}: {noisy} %, plain {plain} % "
        f"({lost} of {n} diverged)"
    )
    finish(
        flags,
        draw(runs, title, steps),
        finding,
        settings={
            "depth": DEPTH, "width": WIDTH, "batch": BATCH, "images": TRAINING, "steps": steps,
            "noise": repr(nn.NoiseInjection()),
        },
        results=results,
    )  # fmt: skip


if __name__ == "__main__":
    main()
