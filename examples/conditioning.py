"""Gradient descent on stretched, standardised and whitened data.

The curvature of least squares is XᵀX/N. Along its largest eigenvalue a large learning rate
diverges, along its smallest a small one creeps: the steps that gradient descent needs grow with
the condition number κ, the ratio of the two. Preprocessing is a choice of that number, which
whitening.py shows.

    python examples/conditioning.py [--quick] [--data PATH] [--seeds N] [--out DIR]

takes Pclass, Fare and Age from PATH/titanic.csv (or, where there is none, random numbers that
look like them) and scikit-learn's digits; writes DIR/conditioning.png and .json.
"""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import minigrad as mg
from minigrad import data, nn, optim
from minigrad.data import DataLoader, MinMax, Standardize, TensorDataset, Whiten
from minigrad.nn import functional as F
from support import COLOURS, finish, parse_experiment, run_all, summarise

GOAL = 1e-6  # of the excess loss at the start
KINDS: dict[str, Any] = {
    "raw": None, "min-max": MinMax, "standardised": Standardize, "ZCA": lambda: Whiten("zca"),
}  # fmt: skip
BATCH = 32
RATES = (0.1, 0.3, 1.0, 3.0, 10.0)  # of SGD and of full-batch descent; the best of each counts


def stretched(count: int = 300) -> np.ndarray:
    """Points (count, 2): correlated, of different spread, away from 0, and a few far out."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((count, 2)) @ [[3.0, 0.45], [0.0, 0.45]] + [6.0, 2.5]
    points[:6] += rng.choice([-1, 1], (6, 1)) * rng.uniform(2, 4, (6, 2)) * [3.0, 0.6]
    return points


def preprocess(kind: str, x: np.ndarray) -> np.ndarray:
    return x if KINDS[kind] is None else KINDS[kind]().fit_transform(x)


def curvatures(x: np.ndarray) -> np.ndarray:
    """Eigenvalues of XᵀX/N, the curvature of mean((Xw - y)²)/2, smallest first."""
    return np.linalg.eigvalsh(x.T @ x / len(x))


def path(x: np.ndarray, y: np.ndarray, rate: float, steps: int) -> np.ndarray:
    """Gradient descent on mean((Xw - y)²)/2 from w = 0: the weights (steps + 1, 2)."""
    w = mg.zeros(2, 1, dtype=mg.float64, requires_grad=True)
    optimizer = optim.SGD([w], lr=rate)
    visited = [w.detach().numpy().copy()]
    for _ in range(steps):
        loss = F.mse_loss(mg.from_numpy(x) @ w, mg.from_numpy(y)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        visited.append(w.detach().numpy().copy())
    return np.array(visited)[..., 0]


@cache
def passengers(folder) -> tuple[np.ndarray, np.ndarray, str]:
    """Pclass, Fare, Age (N, 3) and survived (N,) of those whose age is known, and the source."""
    try:
        x, y = data.titanic(folder)
    except FileNotFoundError:
        rng = np.random.default_rng(0)
        pclass, age = rng.choice([1, 2, 3], 714, p=[0.25, 0.25, 0.5]), rng.normal(30, 14, 714)
        fare = np.exp(rng.normal(4.8 - 0.85 * pclass, 0.6))
        x = np.stack([pclass, fare, np.clip(age, 0.4, 80)], axis=1)
        y = rng.random(714) < 0.75 - 0.15 * pclass
        return x, y.astype(float), "stand-in for the Titanic (random)"
    known = np.isfinite(x).all(axis=1)
    return x[known].astype(np.float64), y[known].astype(np.float64), "Titanic"


def steps_to_goal(folder: str | None, kind: str, seeds: int, limit: int) -> dict:
    """Linear regression of survival on four fifths of the passengers, a random choice per seed.

    All seeds descend at once, each with its best constant rate 2/(largest + smallest curvature).
    Returns condition numbers and steps per seed (None: not within `limit`), and the mean excess
    loss, relative to the start's, at some steps.
    """
    features, survived, _ = passengers(folder)
    xs, ys = [], []
    for seed in range(seeds):
        chosen = np.random.default_rng(seed).permutation(len(features))[: len(features) * 4 // 5]
        x = preprocess(kind, features[chosen])
        xs.append(np.column_stack([x, np.ones(len(x))]))  # the last column's weight is the bias
        ys.append(survived[chosen, None])
    eigenvalues = np.array([curvatures(x) for x in xs])
    best = [np.mean((x @ np.linalg.lstsq(x, y)[0] - y) ** 2) for x, y in zip(xs, ys, strict=True)]
    inputs, targets = mg.from_numpy(np.array(xs)), mg.from_numpy(np.array(ys))
    rates = mg.from_numpy(2 / (eigenvalues[:, 0] + eigenvalues[:, -1]))
    w = mg.zeros(seeds, inputs.shape[2], 1, dtype=mg.float64, requires_grad=True)
    optimizer = optim.SGD([w], lr=1)
    steps, curve, start = np.full(seeds, -1), [], None
    marks = set(np.unique(np.geomspace(1, limit, 150).astype(int)) - 1)
    for step in range(limit):
        losses = ((inputs @ w - targets) ** 2).mean(dim=(1, 2))
        excess = losses.detach().numpy() - best
        start = excess if start is None else start
        steps[(steps < 0) & (excess <= GOAL * start)] = step
        if step in marks or (steps >= 0).all():
            curve.append((step, max(np.mean(excess / start), GOAL / 2)))
        if (steps >= 0).all():
            break
        optimizer.zero_grad()
        (losses * rates).sum().div(2).backward()
        optimizer.step()
    return {
        "condition": eigenvalues[:, -1] / eigenvalues[:, 0],
        "steps": [int(s) if s >= 0 else None for s in steps],
        "curve": curve,
    }


def descend(seed: int, batch: int, rate: float, passes: int) -> list[float]:
    """The training loss of a 64-32-10 network on the digits at the start and after every pass."""
    images, labels = load_digits(return_X_y=True)
    x = mg.from_numpy(Standardize().fit_transform(images.astype(np.float32)))
    y = mg.from_numpy(labels)
    mg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    optimizer = optim.SGD(model.parameters(), lr=rate)
    loader = DataLoader(TensorDataset(x, y), batch or len(x), shuffle=True, seed=seed)
    losses = []
    for _ in range(passes + 1):
        with mg.no_grad():
            losses.append(F.cross_entropy(model(x), y).item())
        for images, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
    return losses


def draw_paths(three) -> None:
    """Contours of the loss over two weights, and what large and small learning rates do there."""
    x = stretched() - stretched().mean(axis=0)
    noise = 0.1 * np.random.default_rng(1).standard_normal((len(x), 1))
    y = Standardize().fit_transform(x) @ [[1.0], [-0.6]] + noise
    for axes, kind in zip(three, ("raw", "standardised", "ZCA"), strict=True):
        z = preprocess(kind, x)
        low, high = curvatures(z)
        best = np.linalg.lstsq(z, y)[0][:, 0]
        rates = {"2.1/λmax": 2.1 / high, "best constant": 2 / (low + high), "0.1/λmax": 0.1 / high}
        for (name, rate), colour in zip(rates.items(), ("orange", "blue", "black"), strict=True):
            w = path(z, y, rate, 25)
            axes.plot(*w.T, ".-", color=COLOURS[colour], linewidth=1.2, label=f"lr {name}")
        side = 1.6 * np.abs(best).max() * np.linspace(-1, 1, 120)
        offsets = np.stack(np.meshgrid(side, side), axis=-1)
        excess = np.einsum("...i,ij,...j->...", offsets, z.T @ z / len(z), offsets)
        first, second = best[0] + side, best[1] + side
        axes.contour(first, second, excess**0.5, 12, colors=COLOURS["grey"], linewidths=0.6)
        axes.plot(*best, "*", color=COLOURS["black"], markersize=11)
        axes.set(xlim=first[[0, -1]], ylim=second[[0, -1]], xlabel="first weight")
        axes.set_ylabel("second weight")
        axes.set_title(f"{'centred' if kind == 'raw' else kind}: κ = {high / low:.1f}")
    three[0].legend(fontsize=10, loc="lower left", title="25 steps", title_fontsize=10)


def draw_steps(axes, source: str, results: dict) -> None:
    looks = (("blue", "-"), ("orange", "--"), ("black", "-."), ("pink", ":"))
    for (kind, result), (colour, line) in zip(results.items(), looks, strict=True):
        step, excess = np.array(result["curve"]).T
        kappa = np.mean(result["condition"])
        label = f"{kind}: κ = {kappa:,.{0 if kappa > 100 else 1}f}"
        axes.loglog(step + 1, excess, line, color=COLOURS[colour], label=label)
    axes.axhline(GOAL, color=COLOURS["grey"], linewidth=0.8)
    axes.set(ylim=(GOAL / 1e4, 3), xlabel="1 + step", ylabel="excess loss / that at the start")
    axes.set_title(f"{source.partition(' (')[0]}: steps follow κ")
    axes.legend(fontsize=10, loc="lower left")


def draw_descent(axes, curves: dict) -> None:
    for (name, losses), colour in zip(curves.items(), ("orange", "blue"), strict=True):
        axes.semilogy(np.mean(losses, axis=0), ".-", color=COLOURS[colour], label=name)
        reach = np.min(losses, axis=0), np.max(losses, axis=0)
        axes.fill_between(range(len(reach[0])), *reach, color=COLOURS[colour], alpha=0.2)
    axes.set(xlabel="passes over 1,797 digits", ylabel="training loss (nats)")
    axes.set_title("Loss per sample that was looked at")
    axes.legend(fontsize=10)


def best_rates(runs: list[dict], results: list) -> dict[str, list]:
    """The losses (seeds, passes + 1) at the rate that ends lowest in the mean over seeds."""
    losses: dict = {}
    for run, result in zip(runs, results, strict=True):
        losses.setdefault(run["batch"], {}).setdefault(run["rate"], []).append(result)
    found = {}
    for batch, by_rate in losses.items():
        rate, chosen = min(by_rate.items(), key=lambda item: np.mean(item[1], axis=0)[-1])
        found[f"batches of {batch}, lr {rate:g}" if batch else f"full batch, lr {rate:g}"] = chosen
    return found


def times_fewer(full: list[float], sgd: list[float]) -> float:
    """Passes of full-batch descent, divided by those that SGD needs to the loss at its end."""
    after = next(i for i, loss in enumerate(sgd) if loss <= full[-1])
    a, b = np.log(sgd[after - 1 : after + 1])  # between two passes, by interpolation
    return (len(full) - 1) / (after - 1 + (a - np.log(full[-1])) / (a - b))


def steps_taken(result: dict, limit: int) -> str:
    steps = result["steps"]
    return f"over {limit:,}" if None in steps else f"{summarise(steps):,.0f}"


def title_of(source: str, regression: dict, limit: int) -> str:
    raw, other = regression["raw"], regression["standardised"]
    kappas = [np.mean(r["condition"]) for r in (raw, other)]
    return (
        f"{source.partition(' (')[0]}: condition number κ = {kappas[0]:,.0f} takes "
        f"{steps_taken(raw, limit)} steps,\nstandardised κ = {kappas[1]:.1f} takes "
        f"{steps_taken(other, limit)}"
    )


def main() -> None:
    flags = parse_experiment(__doc__, seeds=5)
    folder = None if flags.data is None else str(flags.data)
    seeds, source = range(flags.seeds), passengers(folder)[2]
    print(f"inputs: {source}, {len(passengers(folder)[0])} rows")
    limit, passes = (5_000, 8) if flags.quick else (1_000_000, 30)
    same = {"folder": folder, "seeds": flags.seeds, "limit": limit}
    regressions = run_all(flags, steps_to_goal, [same | {"kind": kind} for kind in KINDS])
    regression = dict(zip(KINDS, regressions, strict=True))
    runs = [
        {"seed": seed, "batch": batch, "rate": rate, "passes": passes}
        for seed in seeds for batch in (0, BATCH) for rate in RATES[2 * flags.quick :]
    ]  # fmt: skip
    curves = best_rates(runs, run_all(flags, descend, runs))
    fewer = [times_fewer(full, sgd) for full, sgd in zip(*curves.values(), strict=True)]

    figure = Figure(figsize=(10, 8), layout="constrained")
    figure.suptitle(title_of(source, regression, limit), fontsize=14)
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=[1, 1.1]))
    draw_paths(above.subplots(1, 3))
    left, right = below.subplots(1, 2)
    draw_steps(left, source, regression)
    draw_descent(right, curves)

    parts = []
    for kind, r in regression.items():
        taken = steps_taken(r, limit)
        kappa = summarise(r["condition"])
        parts.append(f"{kind} {kappa:{',.0f' if kappa.mean > 100 else '.1f'}} and {taken}")
    finding = (
        f"{source}, condition number and steps of gradient descent: {'; '.join(parts)}. "
        f"SGD needs {summarise(fewer):.1f} times fewer samples than full-batch descent "
        f"({flags.repeats})."
    )
    results = {
        "condition": {kind: r["condition"] for kind, r in regression.items()},
        "steps": {kind: r["steps"] for kind, r in regression.items()},
        "losses": curves,
        "times fewer samples": fewer,
    }
    settings = {"inputs": source, "goal": GOAL, "limit": limit, "passes": passes}
    finish(flags, figure, finding, settings=settings, results=results)


if __name__ == "__main__":
    main()
