"""Batch normalisation and its gradients computed in four ways: the same numbers, other times.

(a) ops:   primitive operations on the tape, which finds the gradients by itself;
(b) paper: the six equations of Ioffe & Szegedy 2015, section 3, in numpy;
(c) terms: their closed form, dx = gamma·inv_std·(g - mean of g - x_hat·mean of g·x_hat), in numpy;
(d) numba: the compiled kernel behind F.batch_norm, which is (c) without temporary arrays.

    python examples/batch_norm_four_ways.py [--quick] [--seeds N] [--out DIR]

needs no data set and writes DIR/batch_norm_four_ways.png and .json. All in float64, forward and
backward; times are those of one machine.
"""

import time

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad.nn import functional as F
from support import COLOURS, finish, parse_experiment, run_all

EPS = 1e-5
SHAPES = ((128, 100), (1024, 512), (32, 16, 28, 28))
QUICK_SHAPES = ((128, 100), (8, 4, 14, 14))
TOLERANCE = 1e-12
EDGE = 1e-17  # of the picture: no difference at all has no place on a logarithmic axis
NAMES = ("y", "dx", "dgamma", "dbeta")


def by_primitive_ops(x, gamma, beta, g) -> tuple[np.ndarray, ...]:
    """(a) Only the formula is written down; every operation brings its own derivative."""
    x, gamma, beta = (mg.from_numpy(a).requires_grad_() for a in (x, gamma, beta))
    axes = (0, *range(2, x.ndim))
    centred = x - x.mean(axes, keepdim=True)
    var = (centred * centred).mean(axes, keepdim=True)
    x_hat = centred / (var + EPS).sqrt()
    along = (-1, *[1] * (x.ndim - 2))
    y = gamma.reshape(along) * x_hat + beta.reshape(along)
    y.backward(mg.from_numpy(g))
    return y.detach().numpy(), *(t.grad.numpy() for t in (x, gamma, beta))


def forward(x, gamma, beta) -> tuple[np.ndarray, ...]:
    """What (b) and (c) share: Algorithm 1; gamma and beta are shaped to broadcast."""
    axes = (0, *range(2, x.ndim))
    mean = x.mean(axes, keepdims=True)
    centred = x - mean
    var = (centred * centred).mean(axes, keepdims=True)
    x_hat = centred / np.sqrt(var + EPS)
    return gamma * x_hat + beta, centred, var, x_hat


def by_six_equations(x, gamma, beta, g) -> tuple[np.ndarray, ...]:
    """(b) The chain rule as the paper writes it, one line an equation."""
    axes = (0, *range(2, x.ndim))
    along = (-1, *[1] * (x.ndim - 2))
    m = x.size // x.shape[1]
    y, centred, var, x_hat = forward(x, gamma.reshape(along), beta.reshape(along))
    dx_hat = g * gamma.reshape(along)
    dvar = (dx_hat * centred * -0.5 * (var + EPS) ** -1.5).sum(axes, keepdims=True)
    dmean = (dx_hat * -1 / np.sqrt(var + EPS)).sum(axes, keepdims=True)
    dmean = dmean + dvar * (-2 * centred).sum(axes, keepdims=True) / m
    dx = dx_hat / np.sqrt(var + EPS) + dvar * 2 * centred / m + dmean / m
    dgamma = (g * x_hat).sum(axes)
    dbeta = g.sum(axes)
    return y, dx, dgamma, dbeta


def by_three_terms(x, gamma, beta, g) -> tuple[np.ndarray, ...]:
    """(c) The six equations solved: two sums, and one expression for dx."""
    axes = (0, *range(2, x.ndim))
    along = (-1, *[1] * (x.ndim - 2))
    m = x.size // x.shape[1]
    y, _, var, x_hat = forward(x, gamma.reshape(along), beta.reshape(along))
    dbeta = g.sum(axes)
    dgamma = (g * x_hat).sum(axes)
    scale = gamma.reshape(along) / np.sqrt(var + EPS)
    dx = scale * (g - dbeta.reshape(along) / m - x_hat * dgamma.reshape(along) / m)
    return y, dx, dgamma, dbeta


def by_numba(x, gamma, beta, g) -> tuple[np.ndarray, ...]:
    """(d) One operation on the tape, with a backward derived by hand."""
    x, gamma, beta = (mg.from_numpy(a).requires_grad_() for a in (x, gamma, beta))
    with mg.use_kernels("numba"):
        y = F.batch_norm(x, None, None, gamma, beta, training=True, eps=EPS)
    y.backward(mg.from_numpy(g))
    return y.detach().numpy(), *(t.grad.numpy() for t in (x, gamma, beta))


WAYS = {
    "(a) primitive ops on the tape": by_primitive_ops,
    "(b) six equations, numpy": by_six_equations,
    "(c) three terms, numpy": by_three_terms,
    "(d) numba kernel": by_numba,
}


def compare(seed: int, shape: tuple[int, ...], rounds: int) -> dict[str, dict]:
    """For each way: the largest difference to (a), relative to the largest value, of the output
    and each gradient; and the time of the fastest of ``rounds`` runs, the ways taking turns."""
    rng = np.random.default_rng(seed)
    x, g = rng.standard_normal((2, *shape)) * 3 + 1
    gamma, beta = rng.standard_normal((2, shape[1]))
    expected = by_primitive_ops(x, gamma, beta, g)
    differences = {}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for way, function in WAYS.items():
        found = function(x, gamma, beta, g)  # compiles (d), too
        differences[way] = {
            name: float(np.abs(a - b).max() / np.abs(b).max())
            for name, a, b in zip(NAMES, found, expected, strict=True)
        }
    for _ in range(rounds):
        for way, function in WAYS.items():
            start = time.perf_counter()
            function(x, gamma, beta, g)
            times[way].append(1000 * (time.perf_counter() - start))
    return {way: {"difference": differences[way], "ms": min(times[way])} for way in WAYS}


def table(rows: dict[tuple, dict[str, dict]]) -> str:
    """Times and differences, a line for each way and shape."""
    lines = [f"{'shape':>16}  {'way':<30}{'ms':>9}" + "".join(f"{n:>10}" for n in NAMES)]
    for shape, ways in rows.items():
        for way, row in ways.items():
            differences = "".join(f"{row['difference'][n]:>10.1e}" for n in NAMES)
            lines.append(
                f"{'x'.join(map(str, shape)):>16}  {way:<30}{row['ms']:>9.3f}{differences}"
            )
    return "\n".join(lines)


def over_seeds(runs: list[dict]) -> dict[str, dict]:
    """The largest difference and the shortest time of several seeds."""
    return {
        way: {
            "difference": {n: max(run[way]["difference"][n] for run in runs) for n in NAMES},
            "ms": min(run[way]["ms"] for run in runs),
        }
        for way in WAYS
    }


def draw(rows: dict[tuple, dict[str, dict]], title: str) -> Figure:
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=14)
    left, right = figure.subplots(1, 2)
    looks = zip("osD^", ("blue", "green", "yellow", "orange"), strict=True)
    for k, (way, (marker, colour)) in enumerate(zip(WAYS, looks, strict=True)):
        look = {"marker": marker, "color": COLOURS[colour], "linestyle": "", "markersize": 8}
        places = np.arange(len(rows)) + 0.2 * (k - 1.5)
        times = [ways[way]["ms"] for ways in rows.values()]
        left.plot(times, places, label=way, **look)
        for ms, place in zip(times, places, strict=True):
            left.annotate(
                f"{ms:.2g}", (ms, place), (9, 0), textcoords="offset points", va="center",
                fontsize=10,
            )  # fmt: skip
        differences = [max(w[way]["difference"][n] for w in rows.values()) for n in NAMES]
        if k:  # the first is what the others are compared with
            # side by side, and what does not differ at all on the lower edge
            places = np.arange(len(NAMES)) + 0.2 * (k - 2)
            right.plot(places, np.maximum(differences, EDGE), clip_on=False, zorder=3, **look)
    left.set_yticks(range(len(rows)), ["x".join(map(str, shape)) for shape in rows])
    left.invert_yaxis()
    left.set(xscale="log", xlabel="ms, forward and backward, fastest run")
    left.margins(x=0.18, y=0.1)
    left.set_title("Time")
    right.axhline(TOLERANCE, color=COLOURS["grey"], linestyle=":")
    right.text(len(NAMES) - 0.5, TOLERANCE, "tolerance", ha="right", va="bottom", fontsize=10)
    right.set_xticks(range(len(NAMES)), NAMES)
    right.set(yscale="log", ylim=(EDGE, 1e-11), xlim=(-0.5, len(NAMES) - 0.5))
    right.set_title("Difference to (a), relative")
    right.set_xlabel("lower edge: none at all")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def main() -> None:
    flags = parse_experiment(__doc__, seeds=5)
    shapes = QUICK_SHAPES if flags.quick else SHAPES
    rounds = 20 if flags.quick else 50
    configurations = [
        {"seed": seed, "shape": shape, "rounds": rounds}
        for shape in shapes
        for seed in range(flags.seeds)
    ]
    results = run_all(flags, compare, configurations)
    rows = {
        shape: over_seeds(results[i * flags.seeds : (i + 1) * flags.seeds])
        for i, shape in enumerate(shapes)
    }
    print(table(rows))
    worst = max(
        row["difference"][n] for ways in rows.values() for row in ways.values() for n in NAMES
    )
    verdict = "agree to" if worst <= TOLERANCE else "DISAGREE by"
    shape, largest = max(rows.items(), key=lambda item: np.prod(item[0]))
    ms = [row["ms"] for row in largest.values()]
    finding = (
        f"The four ways {verdict} {worst:.0e} in float64. Forward and backward of "
        f"{'x'.join(map(str, shape))} took {ms[0]:.2g} ms as primitive ops, {ms[1]:.2g} by the six "
        f"equations, {ms[2]:.2g} by the three terms and {ms[3]:.2g} in the numba kernel."
    )
    title = (
        f"Four ways to compute batch norm {verdict} {worst:.0e};\n"
        f"{'x'.join(map(str, shape))} takes the kernel {ms[3]:.2g} ms, primitive ops {ms[0]:.2g}"
    )
    names = {"x".join(map(str, shape)): ways for shape, ways in rows.items()}
    finish(
        flags, draw(rows, title), finding, settings={"rounds": rounds, "eps": EPS}, results=names
    )


if __name__ == "__main__":
    main()
