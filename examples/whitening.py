"""What preprocessing does to the condition number, and what whitening asks for.

Eight views of the same points, each with the condition number κ of least squares on them: the ratio
of the largest to the smallest eigenvalue of XᵀX/N, where X has a column of ones for the bias. Two
random batches of scikit-learn's digits are whitened by PCA and by ZCA: do they get the same axes?
And how much longer takes whitening than standardising?

    python examples/whitening.py [--quick] [--seeds N] [--out DIR]

needs no data set and writes DIR/whitening.png and .json.
"""

import time
from typing import Any

import numpy as np
from conditioning import curvatures, stretched
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from minigrad.data import ClipOutliers, MinMax, Standardize, Whiten
from support import COLOURS, finish, parse_experiment, run_all, summarise

SIZES = (16, 64, 256)  # numbers of features


def condition(x: np.ndarray) -> float:
    """κ of least squares on x (N, D) with a bias."""
    eigenvalues = curvatures(np.column_stack([x, np.ones(len(x))]))
    return float(eigenvalues[-1] / eigenvalues[0])


def whitening_matrix(kind: str, x: np.ndarray) -> np.ndarray:
    """W of y = (x - mean)·W, fitted on x."""
    whiten = Whiten(kind).fit(x)
    return whiten.transform(np.eye(x.shape[1]) + whiten.mean_)


def two_batches(seed: int) -> dict[str, np.ndarray | float]:
    """‖W1 - W2‖/‖W1‖ of the whitenings W1 and W2 of two random batches of 256 digits (4 x 4
    pixels), and the cosines of the angles between the new axes of the one and of the other."""
    images = load_digits().images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
    x = np.random.default_rng(seed).permutation(Standardize().fit_transform(images))
    result: dict[str, Any] = {}
    for kind in ("pca", "zca"):
        a, b = whitening_matrix(kind, x[:256]), whitening_matrix(kind, x[256:512])
        result[kind] = np.linalg.norm(a - b) / np.linalg.norm(a)
        cosines = (a / np.linalg.norm(a, axis=0)).T @ (b / np.linalg.norm(b, axis=0))
        result[f"{kind} cosines"] = cosines.round(3)
        nearest = np.abs(cosines).argmax(axis=1)
        result[f"{kind} swapped"] = np.mean(
            (nearest != np.arange(16)) | (np.diag(cosines[:, nearest]) < 0)
        )
    return result


def cost(seed: int, features: int) -> float:
    """How many times longer whitening takes than standardising 2,000 samples, fit and transform."""
    x = np.random.default_rng(seed).standard_normal((2000, features))
    times = []
    with threadpool_limits(1):  # waiting threads would make this a measurement of the machine
        for _ in range(30):  # alternately, so that what else the machine does meets both
            marks = [time.perf_counter()]
            for preprocessing in (Standardize(), Whiten("zca")):
                preprocessing.fit_transform(x)
                marks.append(time.perf_counter())
            times.append(np.diff(marks))
    fastest = np.min(times, axis=0)
    return fastest[1] / fastest[0]


def views() -> tuple[dict[str, np.ndarray], float]:
    """The same points in eight ways, and the share of values that clipping changes."""
    x, clip = stretched(), ClipOutliers(2.5)
    pca = Whiten("pca").fit(x)
    centred = x - x.mean(axis=0)
    pictures = {
        "raw": x,
        "min-max": MinMax().fit_transform(x),
        "clipped at 2.5 σ": clip.fit_transform(x),
        "centred": centred,
        "rotated": centred @ pca.components_.T,
        "standardised": Standardize().fit_transform(x),
        "PCA-whitened": pca.transform(x),
        "ZCA-whitened": Whiten("zca").fit_transform(x),
    }
    return pictures, float(clip.outliers(x).mean())


def draw_views(grid, pictures: dict[str, np.ndarray]) -> None:
    along = pictures["rotated"][:, 0]
    hue = np.clip(along, *np.percentile(along, (3, 97)))  # points keep their colour
    for axes, (name, points) in zip(grid.flat, pictures.items(), strict=True):
        axes.scatter(*points.T, c=hue, cmap="viridis", s=9, linewidths=0)
        axes.axhline(0, color=COLOURS["grey"], linewidth=0.8, zorder=0)
        axes.axvline(0, color=COLOURS["grey"], linewidth=0.8, zorder=0)
        axes.set_aspect("equal", adjustable="datalim")
        kappa = condition(points)
        axes.set_title(f"{name}\nκ = {kappa:,.{0 if kappa > 100 else 1}f}", fontsize=12)
        axes.locator_params(nbins=5)


def draw_batches(two, results: list) -> None:
    for axes, kind in zip(two, ("pca", "zca"), strict=True):
        axes.imshow(results[0][f"{kind} cosines"], cmap="RdBu", vmin=-1, vmax=1)
        axes.grid(False)
        axes.set(xlabel="axes of batch 2", ylabel="axes of batch 1", xticks=[], yticks=[])
        swapped = 100 * np.mean([r[f"{kind} swapped"] for r in results])
        axes.set_title(f"{kind.upper()}: {swapped:.0f} % of the\naxes swap or flip", fontsize=12)


def draw_cost(axes, ratios: np.ndarray) -> None:
    for place, column in enumerate(ratios.T):
        s = summarise(column)
        reach = [[s.mean - s.low], [s.high - s.mean]] if s.n > 1 else None
        axes.errorbar(place, s.mean, reach, fmt="o", color=COLOURS["blue"], capsize=4)
    axes.axhline(1, color=COLOURS["black"], linewidth=1)
    axes.set_xticks(range(len(SIZES)), SIZES)
    axes.margins(x=0.2)
    axes.set(xlabel="features", ylim=(0, None))
    axes.set_title("time of ZCA /\ntime of standardising", fontsize=12)


def main() -> None:
    flags = parse_experiment(__doc__, seeds=5)
    seeds = range(flags.seeds)
    batches = run_all(flags, two_batches, [{"seed": seed} for seed in seeds])
    sizes = [{"seed": seed, "features": d} for seed in seeds for d in SIZES]
    ratios = np.reshape(run_all(flags, cost, sizes), (flags.seeds, -1))
    pictures, clipped = views()
    kappas = {name: condition(points) for name, points in pictures.items()}

    figure = Figure(figsize=(10, 9.4), layout="constrained")
    figure.suptitle(
        f"The condition number falls from {kappas['raw']:,.0f} to {kappas['standardised']:.1f} by "
        f"standardising,\nto {kappas['ZCA-whitened']:.1f} by whitening, which takes "
        f"{summarise(ratios[:, -1]):.1f} times as long",
        fontsize=14,
    )
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=[1.75, 1]))
    draw_views(above.subplots(2, 4), pictures)
    row: Any = below.subplots(1, 3)
    draw_batches(row[:2], batches)
    draw_cost(row[2], ratios)

    distances = [
        f"{kind.upper()} {summarise(b[kind] for b in batches):.2f}" for kind in ("pca", "zca")
    ]
    finding = (
        f"Condition number of least squares on stretched points: raw {kappas['raw']:,.0f}, min-max "
        f"{kappas['min-max']:.0f}, centred {kappas['centred']:.0f}, standardised "
        f"{kappas['standardised']:.1f}, whitened {kappas['ZCA-whitened']:.1f}. Distance of two "
        f"batches' whitenings: {', '.join(distances)}. With {SIZES[-1]} features ZCA takes "
        f"{summarise(ratios[:, -1]):.1f} times as long as standardising ({flags.repeats})."
    )
    results = {
        "condition": kappas,
        "batches": [{k: v for k, v in b.items() if "cosines" not in k} for b in batches],
        "cost ratio": ratios,
        "clipped": clipped,
    }
    finish(flags, figure, finding, settings={"sizes": SIZES}, results=results)


if __name__ == "__main__":
    main()
