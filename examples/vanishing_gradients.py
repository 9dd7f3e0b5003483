"""Gradient norms layer by layer: how they vanish and explode, and what keeps them alive.

Ten hidden layers of 100 units, one backward pass at initialisation on random data. Sigmoid, tanh
and ReLU; Xavier's and He's initialisation, a small and a large Gaussian; the plain network, one
with batch normalisation before each activation, and one with residual connections, x + f(Wx).

    python examples/vanishing_gradients.py [--quick] [--seeds N] [--out DIR]

needs no data set and writes DIR/vanishing_gradients.png and .json.
"""

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn
from minigrad.analysis import gradient_norms
from minigrad.nn import functional as F
from minigrad.nn import init
from support import COLOURS, finish, parse_experiment, run_all, summarise

DEPTH = 10
WIDTH = 100
BATCH = 128
CLASSES = 10

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "ReLU": nn.ReLU}
INITIALISATIONS = {
    "Xavier": init.xavier_normal_,
    "He": lambda weight: init.kaiming_normal_(weight, nonlinearity="relu"),
    "N(0, 0.01²)": lambda weight: init.normal_(weight, 0, 0.01),
    "N(0, 0.5²)": lambda weight: init.normal_(weight, 0, 0.5),
}
KINDS = {"plain": "orange", "batch norm": "blue", "residual": "black"}


def build(kind: str, activation: str, initialisation: str) -> nn.Sequential:
    """The hidden layers, each one module, and the output layer."""

    def linear(outputs: int) -> nn.Linear:
        layer = nn.Linear(WIDTH, outputs, bias=False)
        INITIALISATIONS[initialisation](layer.weight)
        return layer

    layers = []
    for _ in range(DEPTH):
        parts = [linear(WIDTH), ACTIVATIONS[activation]()]
        if kind == "batch norm":
            parts.insert(1, nn.BatchNorm1d(WIDTH))
        layers.append((nn.Residual if kind == "residual" else nn.Sequential)(*parts))
    return nn.Sequential(*layers, linear(CLASSES))


def gradients(activation: str, initialisation: str, seed: int) -> dict[str, list[float]]:
    """‖∂L/∂W‖₂ of the hidden layers' weights, first to last, for each kind of network."""
    norms = {}
    for kind in KINDS:
        mg.manual_seed(seed)
        x, y = mg.randn(BATCH, WIDTH), mg.randint(0, CLASSES, (BATCH,))
        model = build(kind, activation, initialisation)
        by_layer = gradient_norms(model, F.cross_entropy, x, y)
        linear = [path for path, m in model.named_modules() if isinstance(m, nn.Linear)]
        norms[kind] = [by_layer[path] for path in linear[:DEPTH]]
    return norms


def log10(values: list[float]) -> str:
    summary = summarise(np.log10(values))
    return f"{summary.mean:+.1f}" + (f" ± {summary.sd:.1f}" if summary.n > 1 else "")


def draw(results: dict, finding: str) -> Figure:
    figure = Figure(figsize=(13, 9), layout="constrained")
    figure.suptitle(finding)
    grid = figure.subplots(len(ACTIVATIONS), len(INITIALISATIONS), sharex=True, sharey="row")
    depth = np.arange(1, DEPTH + 1)
    for row, activation in zip(grid, ACTIVATIONS, strict=True):
        for axes, initialisation in zip(row, INITIALISATIONS, strict=True):
            for kind, colour in KINDS.items():
                norms = np.array([r[kind] for r in results[activation, initialisation]])
                axes.plot(
                    depth,
                    np.exp(np.log(norms).mean(axis=0)),  # geometric: the axis is logarithmic
                    marker="o",
                    markersize=3.5,
                    color=COLOURS[colour],
                    label=kind,
                )
                low, high = norms.min(axis=0), norms.max(axis=0)
                axes.fill_between(depth, low, high, color=COLOURS[colour], alpha=0.2, linewidth=0)
            axes.set_yscale("log")
            if activation == "sigmoid":
                axes.set_title(initialisation)
        row[0].set_ylabel(f"{activation}\n‖∂L/∂W‖₂")
    for axes in grid[-1]:
        axes.set_xlabel("layer (1 = next to the input)")
        axes.set_xticks([1, 4, 7, 10])
    grid[0, 0].legend()
    return figure


def main() -> None:
    flags = parse_experiment(__doc__, seeds=10, quick_seeds=3)
    pairs = [(a, i) for a in ACTIVATIONS for i in INITIALISATIONS]
    found = run_all(
        flags,
        gradients,
        [
            {"activation": a, "initialisation": i, "seed": seed}
            for a, i in pairs
            for seed in range(flags.seeds)
        ],
    )
    runs = {pair: found[i * flags.seeds : (i + 1) * flags.seeds] for i, pair in enumerate(pairs)}

    # Two numbers for each network: the norm in the first layer, and its ratio to that in the last
    # hidden layer. A shrinking signal makes the norms of all layers small, at a ratio of 1.
    names = {f"{a}, {i}, {kind}": (a, i, kind) for a, i in pairs for kind in KINDS}
    firsts = {n: [r[kind][0] for r in runs[a, i]] for n, (a, i, kind) in names.items()}
    ratios = {
        n: [r[kind][0] / r[kind][-1] for r in runs[a, i]] for n, (a, i, kind) in names.items()
    }

    width = max(map(len, names))
    print(f"{'log10, mean ± s.d.':{width}}   first layer    first / last of {DEPTH}")
    for name in names:
        print(f"{name:{width}}  {log10(firsts[name]):>13}  {log10(ratios[name]):>13}")

    def change(numbers: dict, name: str) -> str:
        return f"{log10(numbers[f'{name}, plain'])} -> {log10(numbers[f'{name}, batch norm'])}"

    finding = (
        f"Plain -> batch norm, {DEPTH} layers, log10 of the gradient norm ratio first/last: "
        f"sigmoid, Xavier {change(ratios, 'sigmoid, Xavier')}; tanh, N(0, 0.5²) "
        f"{change(ratios, 'tanh, N(0, 0.5²)')}; ReLU, He {change(ratios, 'ReLU, He')} (no better). "
        "log10 of its norm in the first layer: ReLU, N(0, 0.01²) "
        f"{change(firsts, 'ReLU, N(0, 0.01²)')}; ReLU, N(0, 0.5²) "
        f"{change(firsts, 'ReLU, N(0, 0.5²)')} (mean ± s.d. over {flags.seeds} seeds)"
    )
    layers = {
        kind: np.exp([np.log([r[kind] for r in found]).mean(axis=0) for found in runs.values()])
        for kind in KINDS
    }
    between = {kind: f"{n.min():.1g} to {n.max():.1g}" for kind, n in layers.items()}
    title = (
        "Gradient norms over all layers and initialisations: with batch norm "
        f"{between['batch norm']},\nplain {between['plain']}, with residual connections "
        f"{between['residual']}"
    )
    figure = draw(runs, title)
    settings = {"depth": DEPTH, "width": WIDTH, "batch": BATCH, "classes": CLASSES}
    finish(
        flags,
        figure,
        finding,
        settings=settings,
        results={"norm in the first layer": firsts, "ratio of first to last": ratios},
    )


if __name__ == "__main__":
    main()
