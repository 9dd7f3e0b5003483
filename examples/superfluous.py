"""What batch normalisation makes superfluous, and what it asks for instead.

The paper that introduced it also changed how its network is trained: no local response
normalisation, fewer photometric distortions, less L2, no dropout, a faster decay of the rate and
more thorough shuffling. Here a small convolutional network learns 1,000 images of MNIST with and
without batch normalisation, and each of these is changed alone. The networks of one seed start with
the same weights, so what is compared is the change of the test error, seed by seed.

    python examples/superfluous.py [--quick] [--data PATH] [--seeds N] [--out DIR]

writes DIR/superfluous.png and DIR/superfluous.json.

Source: Ioffe and Szegedy, Batch normalization, 2015, section 4.2.1.
"""

import argparse
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn, optim
from minigrad.nn import functional as F
from support import (
    COLOURS,
    Summary,
    finish,
    load_mnist,
    parse_experiment,
    run_all,
    summarise,
    test_error,
)

BATCH, SHARD = 50, 100
RATES = [0.01, 0.03, 0.1, 0.3]
NETS = {"plain": False, "BN": True}
LOOK = {"plain": ("o", COLOURS["orange"]), "BN": ("s", COLOURS["blue"])}
# What is changed, each alone. The first four are to be needed less with batch normalisation.
CHANGES: dict[str, list[Any]] = {
    "LRN": [0.1, 1.0],  # alpha of local response normalisation after each ReLU
    "jitter": [0.2, 0.5],  # the largest change of the brightness and of the contrast of an image
    "L2": [1e-4, 1e-3, 1e-2],  # weight decay
    "dropout": [0.1, 0.3, 0.5],  # of the inputs of the last layer
    "decay": [1, 6],  # by how many powers of ten the rate falls
    "shuffling": ["within shards", "never"],
}
REMEDIES = ["LRN", "jitter", "L2", "dropout"]


def build_model(batch_norm: bool, lrn: float, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 8), (8, 16)):  # (N, 8, 7, 7) and (N, 16, 4, 4)
        layers.append(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1))
        layers += [nn.BatchNorm2d(outputs)] * batch_norm + [nn.ReLU()]
        layers += [nn.LocalResponseNorm(5, alpha=lrn)] if lrn else []
    layers += [nn.Flatten(), *([nn.Dropout(dropout)] if dropout else []), nn.Linear(256, 10)]
    return nn.Sequential(*layers)


def orders(count: int, shuffling: str, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The order of the images, epoch after epoch. They lie in a random order to begin with."""
    while True:
        order = np.arange(count)
        if shuffling == "over all":
            order = rng.permutation(count)
        elif shuffling == "within shards":  # the shards themselves stay where they are
            order = np.concatenate(
                [rng.permutation(order[i : i + SHARD]) for i in range(0, count, SHARD)]
            )
        yield order


def jittered(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Each image x as c·x + b, the contrast c within 1 ± strength, the brightness b within it."""
    c, b = rng.uniform(-strength, strength, (2, len(images), 1, 1, 1)).astype(np.float32)
    return (1 + c) * images + b


def train(data, net: str, rate: float, seed: int, epochs: int, change: str, strength) -> dict:
    """Train one network, with one change; return its errors in per cent on other images."""
    (x, y), validation, test = data
    use: dict[str, Any] = dict.fromkeys(REMEDIES, 0.0) | {"decay": 0, "shuffling": "over all"}
    use |= {change: strength} if change else {}
    mg.manual_seed(seed)
    model = build_model(NETS[net], use["LRN"], use["dropout"])
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": use["L2"]}, {"params": others}]
    optimizer = optim.SGD(groups, lr=rate, momentum=0.9)
    rng = np.random.default_rng(seed)
    batches = range(0, len(x) - BATCH + 1, BATCH)
    steps = epochs * len(batches)
    step = 0
    for _, order in zip(range(epochs), orders(len(x), use["shuffling"], rng), strict=False):
        for start in batches:
            for group in optimizer.param_groups:
                group["lr"] = rate * 0.1 ** (use["decay"] * step / steps)
            chosen = order[start : start + BATCH]
            images = jittered(x[chosen], use["jitter"], rng) if use["jitter"] else x[chosen]
            loss = F.cross_entropy(model(mg.from_numpy(images)), mg.from_numpy(y[chosen]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return {"validation": test_error(model, *validation), "test": test_error(model, *test)}


def subset(flags: argparse.Namespace) -> tuple:
    """1,000 training images, 2,000 others to choose by, and the test images, of 14 x 14 pixels."""
    (x, y), (x_test, y_test) = load_mnist(flags)
    some = np.random.default_rng(0).permutation(len(x))[:3000]
    x, x_test = (a.reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5)) for a in (x[some], x_test))
    mean, std = x[:1000].mean(), x[:1000].std()
    x, x_test = (x - mean) / std, (x_test - mean) / std
    y = y[some]
    return (x[:1000], y[:1000]), (x[1000:], y[1000:]), (x_test, y_test)


def name_of(change: str, strength) -> str:
    """A row of the figure."""
    if change == "shuffling":
        return f"shuffled {strength}"
    return f"rate falls to 1e-{strength}" if change == "decay" else f"{change} {strength:g}"


def clearly_above(difference: Summary) -> bool:
    return bool(difference.low > 0)


def draw(changes: dict[str, dict[str, Summary]], taken: list[str], title: str) -> Figure:
    figure = Figure(figsize=(10, 1.9 + 0.4 * len(changes)), layout="constrained")
    axes: Any = figure.subplots(1, 2, sharey=True)
    for left in axes:
        left.axvline(0, color=COLOURS["black"], lw=1)
    for i, row in enumerate(changes.values()):
        for net, shift in (("plain", -0.14), ("BN", 0.14)):
            marker, colour = LOOK[net]
            dot(axes[0], row[net], i + shift, marker, colour, net if i == 0 else None)
        s = row["BN - plain"]
        dot(axes[1], s, i, "D", COLOURS["grey" if s.low <= 0 <= s.high else "black"], None)
    for left in axes:
        left.grid(axis="y", visible=False)
        left.set_xscale("symlog", linthresh=1)
        ticks = [-20, -5, -2, -1, 0, 1, 2, 5, 20]
        # ±1 stands too close to ±2 for words of its own
        left.set_xticks(ticks, ["" if abs(t) == 1 else f"{t:+d}" if t else "0" for t in ticks])
        left.minorticks_off()
        left.margins(x=0.12)
    axes[0].set_yticks(range(len(changes)), [f"{n} *" if n in taken else n for n in changes])
    axes[0].invert_yaxis()
    axes[0].set_xlabel("change of the test error (points), 95 % interval\n* compared in the title")
    axes[0].set_title("Left of 0: it helps")
    axes[1].set_xlabel("the change with BN minus that without\n(grey: the interval holds 0)")
    axes[1].set_title("Right of 0: it helps less with BN")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(title, fontsize=14)
    return figure


def dot(axes, s: Summary, height: float, marker: str, colour: str, label: str | None) -> None:
    reach = [[s.mean - s.low], [s.high - s.mean]] if s.n > 1 else None
    axes.errorbar(
        s.mean, height, xerr=reach, fmt=marker, color=colour, ms=6, capsize=3, label=label
    )


def main() -> None:
    flags = parse_experiment(__doc__, seeds=8, quick_seeds=3)
    mg.set_num_threads(1)
    data = cache(lambda: subset(flags))
    epochs = 5 if flags.quick else 15
    rates = RATES[1:3] if flags.quick else RATES
    grid = [(c, s) for c, all_ in CHANGES.items() for s in (all_[-1:] if flags.quick else all_)]

    def train_network(**configuration) -> dict:
        return train(data(), **configuration)

    seeds = range(flags.seeds)

    def runs(settings: list[dict]) -> list[dict[str, np.ndarray]]:
        """The errors of each setting, one for each seed."""
        work = [{**s, "seed": seed, "epochs": epochs} for s in settings for seed in seeds]
        found = iter(run_all(flags, train_network, work))
        rows = [[next(found) for _ in seeds] for _ in settings]
        return [{key: np.array([r[key] for r in row]) for key in row[0]} for row in rows]

    # Each network has the rate that suits it, the best without any change.
    cells = [(net, rate) for net in NETS for rate in rates]
    unchanged = dict(
        zip(
            cells,
            runs([{"net": n, "rate": r, "change": "", "strength": 0} for n, r in cells]),
            strict=True,
        )
    )
    rate = {n: min(rates, key=lambda r: unchanged[n, r]["validation"].mean()) for n in NETS}
    base = {net: unchanged[net, rate[net]] for net in NETS}
    pairs = [(net, *c) for net in NETS for c in grid]
    settings = [{"net": n, "rate": rate[n], "change": c, "strength": s} for n, c, s in pairs]
    changed = dict(zip(pairs, runs(settings), strict=True))
    moved = {key: {k: changed[key][k] - base[key[0]][k] for k in base[key[0]]} for key in pairs}
    changes = {
        name_of(*c): {
            **{net: summarise(moved[net, *c]["test"]) for net in NETS},
            "BN - plain": summarise(moved["BN", *c]["test"] - moved["plain", *c]["test"]),
        }
        for c in grid
    }
    report(base, rate, changes)

    # Of each remedy the strength that the plain network would be given, chosen by other images.
    best = {
        change: name_of(
            *min(
                (c for c in grid if c[0] == change),
                key=lambda c: moved["plain", *c]["validation"].mean(),
            )
        )
        for change in REMEDIES
    }
    less = [c for c in REMEDIES if clearly_above(changes[best[c]]["BN - plain"])]
    error = {net: summarise(base[net]["test"]) for net in NETS}
    title = (
        f"Of {len(REMEDIES)} remedies, clearly less useful with batch norm: "
        f"{', '.join(less) or 'none'}.\n"
        f"Test error without any: plain {error['plain']:.1f} %, BN {error['BN']:.1f} %"
    )

    def both(name: str) -> str:
        row = changes[name]
        return (
            f"{name} plain {row['plain'].interval()}, BN {row['BN'].interval()}, "
            f"BN minus plain {row['BN - plain'].interval()}"
        )

    others = [name_of("decay", CHANGES["decay"][-1])]
    others += [name_of(*c) for c in grid if c[0] == "shuffling"]
    gain = summarise(base["BN"]["test"] - base["plain"]["test"])
    finding = (
        f"Test error without changes: plain {error['plain']:.1f} %, BN {error['BN']:.1f} % "
        f"(BN minus plain {gain.interval()}). Change of it in points: "
        + "; ".join(both(name) for name in [*best.values(), *others])
        + f". Clearly less needed with BN: {', '.join(less) or 'none'} of {', '.join(REMEDIES)} "
        f"(paired differences, 95 % intervals, {flags.repeats})."
    )
    finish(
        flags,
        draw(changes, list(best.values()), title),
        finding,
        settings={"batch": BATCH, "momentum": 0.9, "epochs": epochs, "rates": rate},
        results=[
            {"net": n, "change": c, "strength": s, **{k: v.tolist() for k, v in row.items()}}
            for (n, c, s), row in changed.items()
        ],
        unchanged=[{"net": n, "rate": r, **row} for (n, r), row in unchanged.items()],
        changes={n: {k: s._asdict() for k, s in row.items()} for n, row in changes.items()},
        chosen=best,
        less_needed=less,
    )


def report(base: dict, rate: dict, changes: dict[str, dict[str, Summary]]) -> None:
    for net in NETS:
        print(f"{net}: rate {rate[net]}, test error {summarise(base[net]['test']):.2f} %")
    print(f"{'change of the test error':28}{'plain':>22}{'BN':>22}{'BN - plain':>22}")
    for name, row in changes.items():
        print(f"{name:28}" + "".join(f"{s.interval('+.2f'):>22}" for s in row.values()))


if __name__ == "__main__":
    main()
