"""Which normalisation survives small batches, and which cells of a batch share statistics.

Batch, group, layer and instance normalisation, and none, at batch sizes from 32 down to 2, in a
fully connected and in a small convolutional network, on 4,000 images of MNIST. The learning rate
goes with the batch size. Batch normalisation is also tested with statistics that were estimated
anew after the training, in large batches: is it the running average that fails, or the training?

    python examples/batch_size.py [--quick] [--data PATH] [--seeds N] [--out DIR]

writes DIR/batch_size.png and DIR/batch_size.json.

Source: Wu and He, Group normalization, 2018, figures 1, 2 and table 2.
"""

import argparse
from functools import cache, partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F
from support import COLOURS, finish, load_mnist, parse_experiment, run_all, summarise, test_error

BATCHES = [32, 16, 8, 4, 2]
NETS = {
    "MLP": ["BN", "GN", "LN", "none"],  # (N, C): instance normalisation would leave nothing
    "conv net": ["BN", "GN", "LN", "IN", "none"],
}
EPOCHS = {"MLP": 5, "conv net": 3}
LOOK = {
    "BN": COLOURS["blue"],
    "GN": COLOURS["green"],
    "LN": COLOURS["pink"],
    "IN": COLOURS["yellow"],
    "none": COLOURS["black"],
}
MARKS = {"BN": "o", "GN": "D", "LN": "^", "IN": "v", "none": "x"}


def normalisation(kind: str, channels: int, maps: bool) -> nn.Module:
    """The layer for (N, C), or with ``maps`` for (N, C, H, W). LN is over all of a sample."""
    if kind == "BN":
        return nn.BatchNorm2d(channels) if maps else nn.BatchNorm1d(channels)
    if kind == "IN":
        return nn.InstanceNorm2d(channels, affine=True)
    groups = {"GN": 4, "LN": 1}
    return nn.GroupNorm(groups[kind], channels) if kind in groups else nn.Identity()


def build_model(net: str, kind: str) -> nn.Sequential:
    norm = partial(normalisation, kind, maps=net == "conv net")
    if net == "MLP":
        return nn.Sequential(
            nn.Flatten(),
            *(nn.Linear(784, 100), norm(100), nn.ReLU()),
            *(nn.Linear(100, 100), norm(100), nn.ReLU()),
            nn.Linear(100, 10),
        )
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, stride=2, padding=1), norm(8), nn.ReLU()),  # (N, 8, 14, 14)
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), norm(16), nn.ReLU()),  # (N, 16, 7, 7)
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 10),
    )


def train(data, net: str, kind: str, batch: int, seed: int, epochs: int) -> dict[str, float]:
    """Train one network; return its test error, also with statistics estimated anew."""
    (x, y), test = data
    mg.manual_seed(seed)
    model = build_model(net, kind)
    # The rate goes with the batch size: one epoch moves as far (Goyal and others, 2017).
    optimizer = optim.SGD(model.parameters(), lr=0.1 * batch / 32, momentum=0.9)
    loader = DataLoader(TensorDataset(x, y), batch, shuffle=True, seed=seed, drop_last=True)
    for _ in range(epochs):
        for images, labels in loader:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    errors = {"error": test_error(model, *test)}
    if kind == "BN":
        nn.utils.recalibrate(model, DataLoader(mg.from_numpy(x), 500))
        errors["recalibrated"] = test_error(model, *test)
    return errors


# The picture of the cells that share statistics, from derivatives: y[n, c, s] depends on x[n', c',
# s'] if the derivative of one with respect to the other is not 0.

SHAPE = (4, 6, 5, 1)  # N, C, H, W
CELL = (0, 2, 1, 0)
CUBES = {
    "BN": nn.BatchNorm2d(6),
    "LN": nn.GroupNorm(1, 6),
    "IN": nn.InstanceNorm2d(6),
    "GN": nn.GroupNorm(2, 6),
}


def depends_on(layer: nn.Module) -> np.ndarray:
    """Where the derivative of one output cell is not 0: booleans (N, C, H, W)."""
    mg.manual_seed(0)
    x = mg.randn(*SHAPE, requires_grad=True)
    layer(x)[CELL].backward()
    return x.grad.numpy() != 0


def draw_cube(axes, name: str, mask: np.ndarray) -> None:
    cells = mask[..., 0].transpose(1, 0, 2)  # to (C, N, H): drawn along x, y and z
    colours = np.full(cells.shape, "#F2F2F2")
    colours[cells] = LOOK[name]
    colours[CELL[1], CELL[0], CELL[2]] = COLOURS["orange"]
    axes.voxels(np.ones(cells.shape, bool), facecolors=colours, edgecolor="#888888", lw=0.5)
    c, n, h = cells.shape
    axes.text(c / 2, -1, -0.5, "C", ha="center")
    axes.text(c + 0.9, n / 2, -0.5, "N", ha="center")
    axes.text(-0.2, 0, h / 2, "H, W", ha="right")
    axes.set_axis_off()
    axes.set_box_aspect(cells.shape, zoom=1.05)
    axes.view_init(elev=22, azim=-62)
    axes.set_title(f"{name}: {mask.sum()} of {mask.size} cells", loc="center", fontsize=11, y=1.0)


def draw_errors(axes, net: str, results: list[dict]) -> None:
    batches = sorted({r["batch"] for r in results if r["net"] == net})
    for kind in dict.fromkeys(r["kind"] for r in results if r["net"] == net):
        rows = [r for b in batches for r in results
                if (r["net"], r["kind"], r["batch"]) == (net, kind, b)]  # fmt: skip
        for key, style in (("error", f"{MARKS[kind]}-"), ("recalibrated", "s--")):
            if key not in rows[0]:
                continue
            values = np.array([r[key] for r in rows])
            mean = values.mean(axis=1)
            span = mean - values.min(axis=1), values.max(axis=1) - mean
            label = kind if key == "error" else f"{kind}, statistics anew"
            axes.errorbar(
                batches, mean, span,
                fmt=style, color=LOOK[kind], label=label, ms=5, capsize=3,
                lw=1.8 if key == "error" else 1, mfc=None if key == "error" else "white",
            )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(batches, [str(b) for b in batches])
    # Each network has an axis of its own: one of them may have nothing near the other's errors.
    errors = [e for r in results if r["net"] == net for k in ("error", "recalibrated")
              for e in r.get(k, [])]  # fmt: skip
    low, high = 0.9 * min(errors), 1.1 * max(errors)
    ticks = [t for t in (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 90) if low <= t <= high]
    axes.set_yticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.set(xlabel="batch size", ylabel="test error (%)", ylim=(low, high))
    axes.set_title(f"{net}: mean and range over the seeds")


def draw(results: list[dict], title: str) -> Figure:
    figure = Figure(figsize=(13, 8.4), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[1, 1.35])
    above, below = halves
    above.suptitle(
        "Of which cells the normalised value of the orange cell depends: where its derivative "
        "is not 0",
        fontsize=11, fontweight="normal",
    )  # fmt: skip
    for i, (name, layer) in enumerate(CUBES.items()):
        axes = above.add_subplot(1, len(CUBES), i + 1, projection="3d")
        draw_cube(axes, name, depends_on(layer))
    nets = dict.fromkeys(r["net"] for r in results)
    for axes, net in zip(below.subplots(1, len(nets), squeeze=False)[0], nets, strict=True):
        draw_errors(axes, net, results)
        handles, labels = axes.get_legend_handles_labels()  # the last one has all kinds
    below.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=10)
    figure.suptitle(title)
    return figure


def subset(flags: argparse.Namespace) -> tuple:
    """4,000 of the training images, 800 with --quick, and all test images; standardised."""
    (x, y), (x_test, y_test) = load_mnist(flags)
    some = np.random.default_rng(0).permutation(len(x))[: 800 if flags.quick else 4000]
    mean, std = x[some].mean(), x[some].std()
    return ((x[some] - mean) / std, y[some]), ((x_test - mean) / std, y_test)


def main() -> None:
    flags = parse_experiment(__doc__, seeds=5, quick_seeds=1)
    mg.set_num_threads(1)
    mg.manual_seed(0)
    with mg.no_grad():
        two = nn.BatchNorm1d(6, affine=False)(mg.randn(2, 6) * 10)
    print(f"Two samples after BatchNorm1d, whatever they were:\n{two.numpy().round(3)}")

    batches = [32, 2] if flags.quick else BATCHES
    data = cache(lambda: subset(flags))
    grid: list[dict[str, Any]] = [
        {"net": net, "kind": kind, "batch": batch, "epochs": 5 if flags.quick else EPOCHS[net]}
        for net, kinds in ({"MLP": ["BN", "GN", "LN"]} if flags.quick else NETS).items()
        for kind in kinds
        for batch in batches
    ]

    def train_network(**configuration) -> dict:
        return train(data(), **configuration)

    seeds = range(flags.seeds)
    runs = run_all(flags, train_network, [{**c, "seed": s} for c in grid for s in seeds])
    results = []
    for i, c in enumerate(grid):
        mine = runs[i * flags.seeds : (i + 1) * flags.seeds]
        results.append({**c, **{key: [r[key] for r in mine] for key in mine[0]}})
    report(results, batches)

    def at_two(kind: str, key: str = "error"):
        row = next(r for r in results if (r["net"], r["kind"], r["batch"]) == ("MLP", kind, 2))
        return summarise(row[key])

    finding = (
        f"At batch size 2 the MLP errs on {at_two('BN'):.0f} % with BN, "
        f"{at_two('LN'):.1f} % with LN, {at_two('GN'):.1f} % with GN"
    )
    anew = f"; statistics estimated anew bring BN to {at_two('BN', 'recalibrated'):.0f} %"
    finish(
        flags,
        draw(results, finding),
        f"{finding}{anew} ({flags.repeats}).",
        settings={"rate": "0.1 * batch / 32", "momentum": 0.9, "epochs": EPOCHS},
        results=results,
        shared_cells={name: int(depends_on(layer).sum()) for name, layer in CUBES.items()},
    )


def report(results: list[dict], batches: list[int]) -> None:
    print(f"{'test error (%), batch size':28}" + "".join(f"{b:>14}" for b in batches))
    for net, kind, key in sorted({(r["net"], r["kind"], k) for r in results for k in r
                                  if k in ("error", "recalibrated")}):  # fmt: skip
        cells = [summarise(r[key]) for b in batches for r in results
                 if (r["net"], r["kind"], r["batch"]) == (net, kind, b)]  # fmt: skip
        name = f"{net}, {kind}{'' if key == 'error' else ', statistics anew'}"
        print(f"{name:28}" + "".join(f"{f'{c:.1f}':>14}" for c in cells))


if __name__ == "__main__":
    main()
