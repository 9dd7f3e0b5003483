"""The network that is trained and the network that is used: batch normalisation's two faces.

Runs the paper's Algorithm 2 line by line, then asks what its population statistics are worth: how
far running averages stray at different momenta, whether estimating the statistics anew after the
training improves the network, what sorted batches do to the estimates, and whether new statistics
repair a network whose inputs have changed (covariate shift).

    python examples/train_and_inference.py [--quick] [--data PATH] [--seeds N] [--out DIR]

writes DIR/train_and_inference.png and DIR/train_and_inference.json.

Source: Ioffe and Szegedy, Batch normalization: accelerating deep network training by reducing
internal covariate shift, 2015, section 3.1 and Algorithm 2.
"""

import argparse
from copy import deepcopy
from functools import cache

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F
from support import COLOURS, finish, load_mnist, parse_experiment, run_all, summarise, test_error

WIDTH, DEPTH, EPOCHS = 100, 4, 3
BATCHES = [32, 8, 4]
METHODS = ["running average", "cumulative", "pooled", "sequential"]
STRENGTHS = [0.0, 0.2, 0.4, 0.6, 0.8]
MOMENTA = [0.5, 0.1, 0.01, None]
MEAN, SD = 5.0, 2.0  # of the numbers whose mean and variance are to be estimated


def build_model(batch_norm: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 784
    for _ in range(DEPTH):
        layers.append(nn.Linear(inputs, WIDTH, bias=not batch_norm))
        layers += [nn.BatchNorm1d(WIDTH)] * batch_norm + [nn.ReLU()]
        inputs = WIDTH
    return nn.Sequential(*layers, nn.Linear(inputs, 10))


def fit(model: nn.Module, x: np.ndarray, y: np.ndarray, batch: int, seed: int) -> None:
    optimizer = optim.SGD(model.parameters(), lr=0.1 * batch / 32, momentum=0.9)
    loader = DataLoader(TensorDataset(x, y), batch, shuffle=True, seed=seed, drop_last=True)
    model.train()
    for _ in range(EPOCHS):
        for images, labels in loader:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def with_statistics(model: nn.Module, method: str, batches) -> nn.Module:
    """A copy whose population statistics were estimated anew."""
    copy = deepcopy(model)
    if method == "running average":
        copy.train()
        with mg.no_grad():
            for images in batches:
                copy(images)
    else:
        nn.utils.recalibrate(copy, batches, method=method)
    return copy


def shift(x: np.ndarray, strength: float) -> np.ndarray:
    """Covariate shift: the images under a snow of uniform noise. The labels stay right."""
    snow = np.random.default_rng(0).random(x.shape, np.float32)
    return (1 - np.float32(strength)) * x + np.float32(strength) * snow


def study(data, batch: int, seed: int) -> dict:
    """Train one network; its test error under all kinds of statistics."""
    (x, y), test = data
    mg.manual_seed(seed)
    model = build_model()
    fit(model, x, y, batch, seed)

    def batches(images: np.ndarray) -> DataLoader:
        return DataLoader(mg.from_numpy(images), batch, drop_last=True)

    result: dict = {"shifted": [], "repaired": []}
    for key, order in (("methods", slice(None)), ("sorted", np.argsort(y, kind="stable"))):
        result[key] = {
            method: test_error(with_statistics(model, method, batches(x[order])), *test)
            for method in METHODS
        }
    result["methods"]["running average"] = test_error(model, *test)  # that of the training itself
    for strength in STRENGTHS:
        changed = shift(test[0], strength), test[1]
        result["shifted"].append(test_error(model, *changed))
        # no labels are needed to estimate statistics
        repaired = with_statistics(model, "sequential", batches(shift(x, strength)))
        result["repaired"].append(test_error(repaired, *changed))
    return result


# Algorithm 2, line by line.


def algorithm_2(data) -> float:
    """Print the lines as they run; return how far the folded network is from the normalised one."""
    (x, y), (x_test, _) = data
    x, x_test = x.astype(np.float64), x_test.astype(np.float64)
    mg.manual_seed(0)
    print("Algorithm 2 of Ioffe and Szegedy, line by line, in float64")
    layers = list(build_model(batch_norm=False))
    print(f" 1    the network: {DEPTH} hidden layers of {WIDTH} ReLUs")
    training: list[nn.Module] = []
    for layer in layers:
        training.append(layer)
        if isinstance(layer, nn.Linear) and layer is not layers[-1]:
            training.append(nn.BatchNorm1d(WIDTH))
    model = nn.Sequential(*training).double()
    print(f" 2-5  {DEPTH} transforms y = BN(x) added, each feeding the ReLU that x fed")
    fit(model, x, y, 32, 0)
    print(f" 6    trained, gamma and beta too: {EPOCHS} epochs of batches of 32")
    model.eval()
    print(" 7    the parameters are frozen from here on")
    nn.utils.recalibrate(model, DataLoader(mg.from_numpy(x), 32, drop_last=True), "cumulative")
    for k, bn in enumerate((m for m in model if isinstance(m, nn.BatchNorm1d)), start=1):
        mean, var = bn.running_mean.numpy()[0], bn.running_var.numpy()[0]
        print(
            f" 8-10 k = {k}: unit 0 has E[x] = {mean:+.3f}, Var[x] = m/(m - 1)·E[var] = {var:.3f}"
        )
    folded = nn.utils.fold_batchnorm(model)
    with mg.no_grad():
        x_test = mg.from_numpy(x_test)
        gap = (folded(x_test) - model(x_test)).abs().max().item()
    print(f"11-12 each transform became an affine map: the outputs differ by at most {gap:.1e}\n")
    return gap


# Estimates of a mean and a variance that are known.


def stray(momentum: float | None, steps: int) -> np.ndarray:
    """Root mean square error of the running mean after every batch of 4, over 2,000 channels."""
    mg.manual_seed(0)
    bn = nn.BatchNorm1d(2000, momentum=momentum)
    errors = np.empty(steps)
    with mg.no_grad():
        for step in range(steps):
            bn(mg.randn(4, 2000) * SD + MEAN)
            errors[step] = np.sqrt(np.mean((bn.running_mean.numpy() - MEAN) ** 2))
    return errors


def variances(sort: bool) -> dict[str, float]:
    """Estimates of the variance 4 from 8,192 numbers in batches of 32, sorted or as they come."""
    x = np.random.default_rng(0).normal(MEAN, SD, 8192)
    batches = np.sort(x).reshape(-1, 32, 1) if sort else x.reshape(-1, 32, 1)
    found = {}
    for method in ("cumulative", "pooled"):
        bn = nn.BatchNorm1d(1, dtype=mg.float64)
        nn.utils.recalibrate(bn, [mg.from_numpy(b) for b in batches], method=method)
        found[method] = bn.running_var.item()
    return found


# The picture.

MEANING = (
    "New statistics: cumulative, the mean of the batches' own; pooled, that of all batches as one "
    "sample;\nsequential, pooled from layer to layer, the layers below normalising with theirs "
    "already. Dots: seeds"
)
LOOK = dict(zip(METHODS, (COLOURS[c] for c in ("grey", "yellow", "black", "blue")), strict=True))


def draw(strays: dict, sorted_: dict, results: dict[int, list[dict]], title: str) -> Figure:
    figure = Figure(figsize=(12, 9.2), layout="constrained")
    (a, b), (c, d) = figure.subplots(2, 2)
    draw_momenta(a, strays)
    draw_methods(b, results, "methods", "(b) New statistics, by batch size in training")
    draw_methods(c, results, "sorted", "(c) The same, from batches sorted by label")
    b.set_ylim(0, 1.35 * b.get_ylim()[1])
    c.legend_.remove()
    found = ", ".join(f"{method} {var:.4f}" for method, var in sorted_.items())
    c.set_xlabel(f"Sorted numbers of variance {SD**2:g} estimated:\n{found}")
    draw_shift(d, results[BATCHES[0]])
    figure.supxlabel(MEANING, fontsize=11)
    figure.suptitle(title, fontsize=13)
    return figure


def draw_momenta(axes, strays: dict) -> None:
    colours = [COLOURS[c] for c in ("blue", "orange", "black", "pink")]
    for (momentum, errors), colour in zip(strays.items(), colours, strict=True):
        at = np.arange(1, len(errors) + 1)
        axes.plot(at, errors, color=colour, label=f"momentum {momentum}")
        if momentum is not None:
            theory = SD / 2 * np.sqrt(momentum / (2 - momentum))
            axes.axhline(theory, color=colour, ls="--", lw=1)
    axes.plot([], [], "k--", lw=1, label="sd·√(momentum/(2 - momentum))/√m")
    axes.set(xscale="log", yscale="log", xlabel="batches of 4")
    axes.set(ylabel="rms error of the running mean", title="(a) How far running averages stray")
    axes.set_ylim(top=80)
    axes.legend(fontsize=9, loc="upper center", ncols=2)


def draw_methods(axes, results: dict[int, list[dict]], key: str, title: str) -> None:
    width = 0.8 / len(METHODS)
    for i, method in enumerate(METHODS):
        for j, runs in enumerate(results.values()):
            values = [r[key][method] for r in runs]
            at = j + (i - 1.5) * width
            axes.bar(at, np.mean(values), 0.9 * width, color=LOOK[method],
                     label=method if j == 0 else None)  # fmt: skip
            axes.plot([at] * len(values), values, "o", ms=4, color=COLOURS["black"], mfc="white")
    axes.set_xticks(range(len(results)), [f"batches of {b}" for b in results])
    axes.grid(axis="x", visible=False)
    axes.set(ylabel="test error (%)", title=title)
    axes.legend(fontsize=9, loc="upper left")


def draw_shift(axes, runs: list[dict]) -> None:
    for key, colour, label in (
        ("shifted", "orange", "statistics of the training images"),
        ("repaired", "blue", "statistics of images as they are now"),
    ):
        points = [summarise(values) for values in zip(*(r[key] for r in runs), strict=True)]
        axes.errorbar(
            STRENGTHS, [p.mean for p in points], np.nan_to_num([p.sd for p in points]),
            fmt="o-", capsize=3, color=COLOURS[colour], label=label,
        )  # fmt: skip
    axes.set(xlabel="strength s of the shift x → (1 - s)·x + s·snow", ylabel="test error (%)")
    axes.set(ylim=(0, 100), title="(d) Covariate shift and its repair")
    axes.legend(fontsize=9)


def subset(flags: argparse.Namespace) -> tuple:
    """4,000 of the training images, 800 with --quick, and 2,000 of the test images, flat."""
    (x, y), (x_test, y_test) = load_mnist(flags)
    rng = np.random.default_rng(0)
    some = rng.permutation(len(x))[: 800 if flags.quick else 4000]
    tested = rng.permutation(len(x_test))[:2000]
    return (
        (x[some].reshape(len(some), -1), y[some]),
        (x_test[tested].reshape(len(tested), -1), y_test[tested]),
    )


def main() -> None:
    flags = parse_experiment(__doc__, seeds=8, quick_seeds=1)
    mg.set_num_threads(1)
    data = cache(lambda: subset(flags))
    gap = algorithm_2(data())

    def train_network(**configuration) -> dict:
        return study(data(), **configuration)

    sizes = [32, 4] if flags.quick else BATCHES
    seeds = range(flags.seeds)
    runs = iter(
        run_all(flags, train_network, [{"batch": b, "seed": s} for b in sizes for s in seeds])
    )
    results = {b: [next(runs) for _ in seeds] for b in sizes}
    steps = 400 if flags.quick else 1000
    strays = {momentum: stray(momentum, steps) for momentum in MOMENTA}
    estimates = variances(sort=True)

    def of(batch: int, key: str, which) -> str:
        return f"{summarise(r[key][which] for r in results[batch]):.1f}"

    finding = (
        f"Trained in batches of 4: test error {of(4, 'methods', 'running average')} % with "
        f"running averages, {of(4, 'methods', 'sequential')} % with new statistics"
    )
    gain = summarise(
        r["methods"]["running average"] - r["methods"]["sequential"] for r in results[4]
    )
    repair = (
        f"in batches of 32: snow (s = {STRENGTHS[3]}) raises it from {of(32, 'shifted', 0)} "
        f"to {of(32, 'shifted', 3)} %, new statistics lower it to {of(32, 'repaired', 3)} %"
    )
    finish(
        flags,
        draw(strays, estimates, results, f"{finding};\n{repair}"),
        f"{finding} (a difference of {gain.interval('.1f')} points); {repair} ({flags.repeats}). "
        f"Folding changes the outputs by {gap:.0e}.",
        settings={"width": WIDTH, "depth": DEPTH, "epochs": EPOCHS, "rate": "0.1 * batch / 32"},
        results=results,
        variance_of_sorted_batches={"true": SD**2, **estimates},
        variance_of_shuffled_batches=variances(sort=False),
        stray={str(momentum): errors[-1] for momentum, errors in strays.items()},
        fold_gap=gap,
    )


if __name__ == "__main__":
    main()
